//! The consensus core beside raft-rs: three nodes in memory, from proposing to applied on all three.
//!
//! Both are driven in the same way: a batch of proposals goes to the leader, then each node's Readys are
//! written to a log in memory, their messages delivered in order, their entries applied, until all
//! three have applied the batch; then comes the next batch. Twice: with messages moved from node to
//! node, and with each message encoded, and decoded from the bytes, as on a real wire.
//!
//! raft-rs is measured with its defaults, and as it is fastest here (`batch_append`, and messages of up
//! to a mebibyte). The ratios come from rounds in turn (`tests/rounds`).

#[path = "../../gate/allocations.rs"]
mod allocations;
mod load;
mod ours;
mod theirs;

use load::{ENTRY_BYTES, Group, Wire};
use rounds::Table;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// Proposals in one go.
const BATCHES: [usize; 4] = [1, 8, 32, 256];

/// Entries of one measurement.
const ENTRIES: usize = 1 << 15;

fn main() {
    // For a profiler: `raft-bench 32` runs ours alone, in batches of 32, with messages as bytes.
    if let Some(batch) = std::env::args().nth(1).and_then(|batch| batch.parse().ok()) {
        let mut ours = ours::Trio::new(Wire::Encoded);
        let bytes: u64 = (0..100).map(|_| ours.run(ENTRIES, batch)).sum();
        return say(&format!("{bytes} bytes applied"));
    }
    for (wire, how) in [(Wire::Moved, "moved"), (Wire::Encoded, "encoded and decoded")] {
        for (batch_append, name) in [(false, "raft-rs, defaults"), (true, "raft-rs, batch_append")]
        {
            say(&format!("\nMessages {how}; ns per entry of 128 bytes:\n"));
            let mut table = Table::new("ours", name);
            for batch in BATCHES {
                let mut ours = ours::Trio::new(wire);
                let mut theirs = theirs::Trio::new(wire, batch_append);
                table.compare(
                    format!("batches of {batch}"),
                    ENTRIES as u64,
                    || ours.run(ENTRIES, batch),
                    || theirs.run(ENTRIES, batch),
                );
            }
            say(&table.to_string());
        }
        say(&format!("\nMessages {how}; per entry:\n"));
        say("| | who | messages | Readys | allocations |");
        say("|---|---|---:|---:|---:|");
        for batch in BATCHES {
            say(&cost("ours", &mut ours::Trio::new(wire), batch));
            say(&cost("raft-rs, defaults", &mut theirs::Trio::new(wire, false), batch));
            say(&cost("raft-rs, batch_append", &mut theirs::Trio::new(wire, true), batch));
        }
    }
}

/// One row: what `who` needs for each entry.
fn cost(who: &str, group: &mut impl Group, batch: usize) -> String {
    const ENTRIES: usize = 1 << 13;
    // Once to warm up.
    group.run(ENTRIES, batch);
    let (before, allocations) = (group.traffic(), allocations::count());
    let bytes = group.run(ENTRIES, batch);
    let allocations = allocations::count() - allocations;
    let traffic = group.traffic();
    assert_eq!(bytes, (3 * ENTRIES * ENTRY_BYTES) as u64, "all three applied all of it");
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let each = |count: u64| count as f64 / ENTRIES as f64;
    format!(
        "| batches of {batch} | {who} | {:.2} | {:.2} | {:.2} |",
        each(traffic.messages - before.messages),
        each(traffic.readys - before.readys),
        each(allocations),
    )
}

/// The one place where this program prints.
fn say(text: &str) {
    println!("{text}");
}
