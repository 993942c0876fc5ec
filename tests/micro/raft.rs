//! The consensus core, as the bench beside raft-rs and the gate drive it.

use criterion::{Criterion, Throughput};
use raft::{Config, MemoryStorage, RawNode};
use slog::Logger;

use crate::load::{ENTRY_BYTES, Group, Wire};
use crate::ours::Trio;

/// How many entries are proposed each time, however many of them together.
const ENTRIES: usize = 256;

/// From a proposal to its being applied on all three nodes.
pub(crate) fn propose(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("raft");
    group.throughput(Throughput::Elements(ENTRIES as u64));
    for (wire, how) in [(Wire::Moved, "moved"), (Wire::Encoded, "as bytes")] {
        for batch in [1, 32] {
            let mut trio = Trio::new(wire);
            let name = format!("256 entries by {batch}, messages {how}, to applied on three");
            group.bench_function(name, |bencher| bencher.iter(|| trio.run(ENTRIES, batch)));
            let traffic = trio.traffic();
            assert!(traffic.messages > 0 && traffic.readys > 0, "{ENTRY_BYTES} bytes were sent");
        }
    }
    group.finish();
}

/// What a follower costs that nothing happens to.
pub(crate) fn tick(criterion: &mut Criterion) {
    let election_ticks = (1 << 30) - 1;
    let config = Config { id: 1, peers: vec![1, 2, 3], election_ticks, ..Config::default() };
    let logger = Logger::root(slog::Discard, slog::o!());
    let node = RawNode::new(config, MemoryStorage::new(), logger);
    let mut node = node.expect("a valid configuration");
    criterion.bench_function("raft/tick of an idle follower", |bencher| {
        bencher.iter(|| {
            node.tick().expect("memory does not fail");
            node.has_ready()
        });
    });
}
