//! Debian's etcd, unpacked by `make etcd` beside what is built.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::{RangeRequest, StatusRequest};
use tempfile::TempDir;
use tonic::transport::Endpoint;

/// One of its programs; says so, and answers none, where it is not there.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("..");
    let path = target.join("debian/usr/bin").join(name);
    if path.exists() {
        return Some(path);
    }
    skip(&format!("skipped: {} is missing; `make etcd` fetches it on Debian", path.display()));
    None
}

#[expect(clippy::print_stderr, reason = "a test that does nothing must say so")]
fn skip(text: &str) {
    eprintln!("{text}");
}

/// A port that nobody uses now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A real etcd.
pub(crate) struct Etcd {
    pub(crate) url: String,
    pub(crate) urls: Vec<String>,
    processes: Vec<Child>,
    _home: TempDir,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // One that has ended by itself needs no end.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Etcd {
    /// One of one member.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_members(1).await
    }

    pub(crate) async fn start_members(count: usize) -> Option<Self> {
        // Its answers are wanted, not its disk: in memory it syncs for nothing.
        let memory = std::path::Path::new("/dev/shm");
        let home = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        let (program, home) = (program("etcd")?, home.unwrap());
        let url = |_| format!("http://127.0.0.1:{}", free_port());
        let (urls, peers): (Vec<_>, Vec<_>) = (0..count).map(|n| (url(n), url(n))).unzip();
        let cluster: Vec<String> =
            peers.iter().enumerate().map(|(number, peer)| format!("m{number}={peer}")).collect();
        let start = |number: usize| {
            let (url, peer) = (&urls[number], &peers[number]);
            let mut command = Command::new(&program);
            command
                .arg(format!("--name=m{number}"))
                .arg(format!("--data-dir={}/m{number}", home.path().display()))
                .arg(format!("--listen-client-urls={url}"))
                .arg(format!("--advertise-client-urls={url}"))
                .arg(format!("--listen-peer-urls={peer}"))
                .arg(format!("--initial-advertise-peer-urls={peer}"))
                .arg(format!("--initial-cluster={}", cluster.join(",")))
                // It logs what a slow disk costs, and would wait for somebody to read that.
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command.spawn().expect("it can be started")
        };
        let processes: Vec<Child> = (0..count).map(start).collect();
        for url in &urls {
            wait_until_serving(url).await;
        }
        Some(Etcd { url: urls[0].clone(), urls, processes, _home: home })
    }

    /// Ends, without a warning, the member that leads the others.
    pub(crate) async fn kill_leader(&mut self) {
        for (place, url) in self.urls.iter().enumerate() {
            let channel = Endpoint::try_from(url.clone()).unwrap().connect_lazy();
            let status = MaintenanceClient::new(channel).status(StatusRequest {}).await;
            let status = status.expect("it serves").into_inner();
            if status.header.is_some_and(|header| header.member_id == status.leader) {
                self.processes[place].kill().expect("it is ours");
                self.processes[place].wait().expect("it is ours");
                return;
            }
        }
        panic!("none of them leads");
    }
}

async fn wait_until_serving(url: &str) {
    let channel = Endpoint::try_from(url.to_owned()).unwrap().connect_lazy();
    let mut kv = KvClient::new(channel);
    for _ in 0..600 {
        let request = RangeRequest { key: b"k"[..].into(), ..RangeRequest::default() };
        if kv.range(request).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("etcd does not serve at {url}");
}
