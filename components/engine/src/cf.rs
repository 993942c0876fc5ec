//! Families of keys, and which engine has which.

use std::fmt;

/// A column family: an ordered space of keys of its own.
///
/// The first three are the ones TinyKV's clients know by name. `Local` is ours: were the store's own
/// records kept in `default`, a client could overwrite them by guessing their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cf {
    /// Raw values, and values of transactions under (key, start timestamp).
    Default,
    /// Locks of running transactions, one per key.
    Lock,
    /// What was committed when, under (key, commit timestamp).
    Write,
    /// The store's own records: region and apply states in the kv engine, the log in the raft engine.
    Local,
}

impl Cf {
    /// The families that hold clients' data, in the order in which snapshots carry them.
    pub const DATA: [Cf; 3] = [Cf::Default, Cf::Lock, Cf::Write];

    /// Every family.
    pub const ALL: [Cf; 4] = [Cf::Default, Cf::Lock, Cf::Write, Cf::Local];

    /// The name on the wire and in file names.
    pub const fn name(self) -> &'static str {
        match self {
            Cf::Default => "default",
            Cf::Lock => "lock",
            Cf::Write => "write",
            Cf::Local => "local",
        }
    }

    /// The data family of that name. `Local` has no name that a client could say.
    pub fn from_name(name: &str) -> Option<Cf> {
        Cf::DATA.into_iter().find(|cf| cf.name() == name)
    }

    /// A small number for arrays with a place per family.
    pub(crate) const fn slot(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Cf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which families an engine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The kv engine: clients' data and the store's records about it.
    Kv,
    /// The raft engine: a single space.
    Raft,
}

impl Layout {
    /// The name by which people and files know the engine.
    pub const fn name(self) -> &'static str {
        match self {
            Layout::Kv => "kv",
            Layout::Raft => "raft",
        }
    }

    /// The families of this layout.
    pub const fn families(self) -> &'static [Cf] {
        match self {
            Layout::Kv => &Cf::ALL,
            Layout::Raft => &[Cf::Local],
        }
    }

    /// Asking an engine for a family that it does not have is a mistake of ours, not bad input.
    pub(crate) fn check(self, cf: Cf) {
        assert!(self.families().contains(&cf), "the {self:?} layout has no family {cf}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_data_families_can_be_named() {
        for cf in Cf::DATA {
            assert_eq!(Cf::from_name(cf.name()), Some(cf));
        }
        for name in ["local", "raft", "", "DEFAULT"] {
            assert_eq!(Cf::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn slots_number_the_families() {
        for (slot, cf) in Cf::ALL.into_iter().enumerate() {
            assert_eq!(cf.slot(), slot);
        }
    }
}
