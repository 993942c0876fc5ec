//! A disk is full. Its store stops and says why; the others go on; with room it comes back.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tests::cluster::Cluster;
use tests::eventually;

use crate::world::{World, quick};

/// A small disk: a file system of its own, in memory.
struct Disk(PathBuf);

impl Disk {
    fn new(path: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "none"], &path).then_some(Disk(path))
    }

    fn grow(&self, size: &str) {
        assert!(mount(&["-o", &format!("remount,size={size}")], &self.0));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, as a store may still run when a test fails.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], path: &Path) -> bool {
    let mut command = Command::new("mount");
    let status = command.args(arguments).arg(path).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[expect(clippy::print_stderr, reason = "a test that does nothing must say so")]
fn skip(text: &str) {
    eprintln!("{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_store_whose_disk_is_full_stops_and_comes_back_with_what_it_had() {
    let home = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::new(home.path().join("disk"), "24m") else {
        skip("skipped: a file system can be mounted by the superuser only");
        return;
    };
    let mut world = World::with(Cluster::start(2, &quick())).await;
    let place = world.cluster.add_store_in(disk.0.join("data"));
    world.wait_for_replicas().await;
    let mut rows = world.fill(500).await;
    let mut rounds = 0;
    while !world.cluster.store(place).has_ended() {
        rows.extend(world.fill(500 + rounds * 500).await);
        rounds += 1;
        assert!(rounds < 60, "so much fits on no such disk");
    }
    let (status, log) = world.cluster.take_store(place).finish();
    assert_eq!(status.code(), Some(1), "{log:?}");
    let says_why = log.iter().any(|line| line.contains("No space left on device"));
    assert!(says_why, "{:?}", log.last());
    world.expect(&rows).await;

    disk.grow("1g");
    world.cluster.start_store(place);
    // With another one gone, a majority needs it.
    world.wait_for_replicas().await;
    world.cluster.kill_store(0);
    world.expect(&rows).await;
    eventually("writes", async || {
        let mut txn = world.client.begin().await.ok()?;
        txn.put("after", "it").ok()?;
        txn.commit().await.ok().map(drop)
    })
    .await;
}
