//! A crash at every point between two writes, of everything that takes several of them.
//!
//! Each story is run again and again: with a store whose first write to one of its disks fails, then its
//! second, and so on until a run meets no failure. A write that fails stops the store as if the power had
//! gone right before it, and of the writes that no sync covers some are lost, in several ways. Then the
//! store starts again and the story goes on. In the end everything that was acknowledged must be there,
//! all members must hold the same, and no peer may be stuck.

use super::cluster::{Cluster, FIRST, Plan, peer, quiet, short_logs};
use super::machine::LOSSES;
use proto::RegionId;
use proto::eraftpb::ConfChangeType::{AddNode, RemoveNode};

/// Which of a store's disks fails.
#[derive(Clone, Copy, Debug)]
enum Fault {
    KvWrite,
    KvSync,
    RaftWrite,
    RaftSync,
}

const FAULTS: [Fault; 4] = [Fault::KvWrite, Fault::KvSync, Fault::RaftWrite, Fault::RaftSync];

fn arm(cluster: &mut Cluster, store: u64, fault: Fault, after: u64) {
    let machine = cluster.at(store);
    match fault {
        Fault::KvWrite => machine.kv.faults.fail_write_after(after),
        Fault::KvSync => machine.kv.faults.fail_sync_after(after),
        Fault::RaftWrite => machine.raft_disk.faults.fail_write_after(after),
        Fault::RaftSync => machine.raft_disk.faults.fail_sync_after(after),
    }
}

/// Runs a story with a crash at each of its points; answers how many crashes there were.
fn crash_everywhere(
    store: u64,
    begin: impl Fn() -> Cluster,
    goes_on: impl Fn(&mut Cluster),
) -> u32 {
    let mut crashes = 0;
    for fault in FAULTS {
        for after in 0.. {
            let mut happened = 0;
            for loss in 0..LOSSES {
                let mut cluster = begin();
                cluster.plan = Some(Plan { store, loss, happened: 0 });
                arm(&mut cluster, store, fault, after);
                let label = format!("store {store}, {fault:?} {after}, loss {loss}");
                let run = std::panic::AssertUnwindSafe(|| {
                    goes_on(&mut cluster);
                    cluster.plan.unwrap_or_default().happened
                });
                match std::panic::catch_unwind(run) {
                    Ok(count) => happened += count,
                    Err(payload) => {
                        let text = payload.downcast_ref::<String>().cloned();
                        panic!("{label}: {}", text.unwrap_or_default());
                    }
                }
            }
            crashes += happened;
            if happened == 0 {
                break;
            }
        }
    }
    crashes
}

/// Writes keys and remembers what was acknowledged.
fn check_all(cluster: &mut Cluster, keys: &[&str]) {
    for key in keys {
        assert_eq!(cluster.get(key).as_deref(), Some(*key), "an acknowledged write");
    }
}

#[test]
fn appending_and_applying_survive_a_crash_at_every_point() {
    for store in [1, 2] {
        let begin = || {
            let mut cluster = Cluster::new(3, &[1, 2, 3], short_logs());
            cluster.lead(FIRST, 1);
            cluster
        };
        let crashes = crash_everywhere(store, begin, |cluster| {
            let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
            for key in keys {
                cluster.put(key, key);
                cluster.tick(1);
            }
            cluster.converge(FIRST);
            check_all(cluster, &keys);
        });
        assert!(crashes > 40, "only {crashes} crashes");
    }
}

#[test]
fn a_split_survives_a_crash_at_every_point() {
    for store in [1, 2] {
        let begin = || {
            let mut cluster = Cluster::new(3, &[1, 2, 3], quiet());
            cluster.lead(FIRST, 1);
            cluster.put("a", "a");
            cluster.put("x", "x");
            cluster
        };
        let crashes = crash_everywhere(store, begin, |cluster| {
            cluster.split(FIRST, "m", 2);
            cluster.put("b", "b");
            cluster.put("y", "y");
            cluster.converge(FIRST);
            cluster.converge(RegionId::new(2));
            check_all(cluster, &["a", "b", "x", "y"]);
        });
        assert!(crashes > 20, "only {crashes} crashes");
    }
}

#[test]
fn installing_a_snapshot_survives_a_crash_at_every_point() {
    let begin = || {
        let mut cluster = Cluster::new(3, &[1, 2, 3], short_logs());
        cluster.lead(FIRST, 1);
        cluster.put("a", "a");
        cluster.isolate(3);
        for key in ["b", "c", "d", "e", "f", "g", "h"] {
            cluster.put(key, key);
        }
        cluster.tick(20);
        assert!(cluster.status(1, FIRST).unwrap().first_index > 8, "{}", cluster.show());
        cluster
    };
    let crashes = crash_everywhere(3, begin, |cluster| {
        cluster.net.heal();
        cluster.tick(1);
        cluster.put("i", "i");
        cluster.put("j", "j");
        cluster.converge(FIRST);
        check_all(cluster, &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]);
        assert!(cluster.status(3, FIRST).unwrap().first_index > 8, "it came by a snapshot");
    });
    assert!(crashes > 20, "only {crashes} crashes");
}

#[test]
fn leaving_and_coming_back_survive_a_crash_at_every_point() {
    let begin = || {
        let mut cluster = Cluster::new(3, &[1, 2, 3], quiet());
        cluster.lead(FIRST, 1);
        cluster.put("a", "a");
        cluster
    };
    let crashes = crash_everywhere(3, begin, |cluster| {
        cluster.change(FIRST, RemoveNode, peer(3));
        cluster.put("b", "b");
        let again = proto::metapb::Peer { id: 33, store_id: 3 };
        cluster.change(FIRST, AddNode, again);
        cluster.put("c", "c");
        cluster.converge(FIRST);
        assert_eq!(cluster.status(3, FIRST).unwrap().id, 33, "the new one");
        check_all(cluster, &["a", "b", "c"]);
    });
    assert!(crashes > 20, "only {crashes} crashes");
}

#[test]
fn being_told_of_the_own_removal_survives_a_crash_at_every_point() {
    let begin = || {
        let mut cluster = Cluster::new(3, &[1, 2, 3], quiet());
        cluster.lead(FIRST, 1);
        cluster.put("a", "a");
        cluster.isolate(3);
        cluster.change(FIRST, RemoveNode, peer(3));
        cluster
    };
    let crashes = crash_everywhere(3, begin, |cluster| {
        cluster.net.heal();
        // It goes by asking for votes, or because the call for its successor comes first.
        cluster.tick(15);
        let again = proto::metapb::Peer { id: 33, store_id: 3 };
        cluster.change(FIRST, AddNode, again);
        cluster.put("b", "b");
        cluster.converge(FIRST);
        assert_eq!(cluster.status(3, FIRST).unwrap().id, 33, "the new one");
        check_all(cluster, &["a", "b"]);
    });
    assert!(crashes > 20, "only {crashes} crashes");
}

#[test]
fn a_split_whose_right_part_was_called_before_survives_a_crash_at_every_point() {
    let begin = || {
        let (mut cluster, _) = super::splits::called_before_its_split();
        cluster.put("a", "a");
        cluster.put("x", "x");
        cluster
    };
    let crashes = crash_everywhere(3, begin, |cluster| {
        cluster.split(FIRST, "m", 2);
        cluster.put("y", "y");
        cluster.converge(FIRST);
        cluster.converge(RegionId::new(2));
        check_all(cluster, &["a", "x", "y"]);
    });
    assert!(crashes > 10, "only {crashes} crashes");
}
