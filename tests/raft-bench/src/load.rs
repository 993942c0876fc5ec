//! What both are asked to do, and what is counted.

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
