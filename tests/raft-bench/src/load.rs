//! What both are asked to do, and what is counted.

use crate::allocations;

/// Bytes in one entry.
pub(crate) const ENTRY_BYTES: usize = 128;

/// How messages get from node to node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// As they are.
    Moved,
    /// As bytes.
    Encoded,
}

/// What a run needed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) messages: u64,
    pub(crate) readys: u64,
}

/// Three nodes, of which the first one leads.
pub(crate) trait Group {
    /// Proposes `entries` entries, `batch` at a time, and waits after each batch until all three have
    /// applied it. Returns what must be the same for both: the bytes that were applied.
    fn run(&mut self, entries: usize, batch: usize) -> u64;

    /// What was sent so far.
    fn traffic(&self) -> Traffic;
}

/// One row: what `who` needs for each entry.
pub(crate) fn cost(who: &str, group: &mut impl Group, batch: usize) -> String {
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
