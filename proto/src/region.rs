//! Questions to a region.
//!
//! # Ranges
//!
//! A range of keys is half open, `[start, end)`, and **an empty end is infinite**. Everywhere in
//! TinyKV, on the wire, on disk and in memory; it is said here once, and [`is_before_end`] is the
//! one place that knows it. An empty start needs no rule, it is the smallest key there is. So the
//! regions of a cluster lie on a line without gaps and without overlap:
//!
//! ```text
//!   start ""          "g"                "m"            ""  end
//!     |--- region 2 ---|---- region 6 ----|--- region 4 ---|
//!          a    f       g       k          m      z
//! ```
//!
//! # Epochs
//!
//! A region changes in two ways, and its [`RegionEpoch`] counts each: `version` the changes of its
//! range, `conf_ver` the changes of its peers. Both only grow. Of two descriptions of one region
//! the one that [`RegionEpoch::is_older_than`] the other is out of date. A command is checked
//! against what it depends on: [`RegionEpoch::is_same_range_as`] for keys, the whole epoch for a
//! change of the region itself.
//!
//! Left out: the order of overlapping regions with different ids. After splits, the greater
//! `version` tells which of them is newer; that is the scheduler's and the router's business.

use bytes::Bytes;

use crate::ids::{PeerId, RegionId, StoreId};
use crate::metapb::{Peer, Region, RegionEpoch};

/// Whether a key lies before the end of a range; an empty end is infinite.
pub fn is_before_end(key: &[u8], end: &[u8]) -> bool {
    end.is_empty() || key < end
}

/// Whether a range ends before another one ends, or where it ends; an empty end is infinite.
pub fn ends_within(end: &[u8], other: &[u8]) -> bool {
    other.is_empty() || (!end.is_empty() && end <= other)
}

impl Region {
    /// A region over a range, as it is first written: its epoch is that of a region that has never
    /// changed.
    pub fn new(id: RegionId, start: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        Self {
            id: id.get(),
            start_key: start.into(),
            end_key: end.into(),
            region_epoch: Some(RegionEpoch::FIRST),
            peers: Vec::new(),
        }
    }

    /// The same with these peers.
    #[must_use]
    pub fn with_peers(mut self, peers: impl IntoIterator<Item = Peer>) -> Self {
        self.peers = peers.into_iter().collect();
        self
    }

    /// Whether a key belongs to it.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start_key <= key && is_before_end(key, &self.end_key)
    }

    /// Whether a whole range belongs to it. An empty end of that range is infinite, too.
    pub fn contains_range(&self, start: &[u8], end: &[u8]) -> bool {
        self.start_key <= start && ends_within(end, &self.end_key)
    }

    /// Whether a key belongs to it that is not its first one: the keys it can be split at.
    pub fn contains_inside(&self, key: &[u8]) -> bool {
        self.start_key < key && is_before_end(key, &self.end_key)
    }

    /// Whether any key could belong both to it and to the range.
    pub fn overlaps(&self, start: &[u8], end: &[u8]) -> bool {
        is_before_end(start, &self.end_key) && is_before_end(&self.start_key, end)
    }

    /// The epoch, where an unset one is that of a region of which nothing is known.
    pub fn epoch(&self) -> RegionEpoch {
        self.region_epoch.unwrap_or_default()
    }

    /// The peer with this id.
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.peer_id() == id)
    }

    /// The peer that lives on this store; there is at most one.
    pub fn peer_on_store(&self, store: StoreId) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.on_store() == store)
    }

    /// Whether only the id is known: a peer that a message created, before its first snapshot.
    pub fn is_uninitialized(&self) -> bool {
        self.peers.is_empty()
    }
}

impl Peer {
    /// A peer on a store.
    pub fn new(id: PeerId, store: StoreId) -> Self {
        Self { id: id.get(), store_id: store.get() }
    }
}

impl RegionEpoch {
    /// The epoch of a region that has never changed. Zero is left to those who know nothing.
    pub const FIRST: Self = Self { conf_ver: 1, version: 1 };

    /// An epoch with these counts.
    pub fn new(conf_ver: u64, version: u64) -> Self {
        Self { conf_ver, version }
    }

    /// Whether the other has seen a change that this one has not, of either kind. The sender of an
    /// older epoch does not know what the region has become.
    pub fn is_older_than(&self, other: &Self) -> bool {
        self.version < other.version || self.conf_ver < other.conf_ver
    }

    /// Whether both speak of the same range of keys.
    pub fn is_same_range_as(&self, other: &Self) -> bool {
        self.version == other.version
    }

    /// The epoch after a change of the peers.
    #[must_use]
    pub fn after_peer_change(self) -> Self {
        Self { conf_ver: self.conf_ver + 1, ..self }
    }

    /// The epoch after a split, of both parts.
    #[must_use]
    pub fn after_split(self) -> Self {
        Self { version: self.version + 1, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A region over `start..end`.
    fn region(start: &'static str, end: &'static str) -> Region {
        Region::new(RegionId::new(2), start, end)
    }

    #[test]
    fn a_key_belongs_to_the_region_that_starts_at_or_before_it_and_ends_behind_it() {
        for (range, key, contains, inside) in [
            (("", ""), "", true, false),
            (("", ""), "a", true, true),
            (("b", "d"), "a", false, false),
            (("b", "d"), "b", true, false),
            (("b", "d"), "c", true, true),
            (("b", "d"), "d", false, false),
            (("b", ""), "z", true, true),
            (("", "b"), "", true, false),
        ] {
            let region = region(range.0, range.1);
            assert_eq!(region.contains(key.as_bytes()), contains, "{key:?} in {range:?}");
            assert_eq!(region.contains_inside(key.as_bytes()), inside, "{key:?} inside {range:?}");
        }
    }

    #[test]
    fn an_empty_end_is_infinite_on_both_sides_of_a_comparison() {
        for (range, other, contains, overlaps) in [
            (("", ""), ("", ""), true, true),
            (("", ""), ("b", "d"), true, true),
            (("b", "d"), ("", ""), false, true),
            (("b", "d"), ("b", "d"), true, true),
            (("b", "d"), ("c", ""), false, true),
            (("b", "d"), ("a", "b"), false, false),
            (("b", "d"), ("a", "c"), false, true),
            (("b", "d"), ("d", ""), false, false),
            (("b", ""), ("c", ""), true, true),
            (("b", ""), ("", "b"), false, false),
        ] {
            let region = region(range.0, range.1);
            let (start, end) = (other.0.as_bytes(), other.1.as_bytes());
            assert_eq!(region.contains_range(start, end), contains, "{other:?} in {range:?}");
            assert_eq!(region.overlaps(start, end), overlaps, "{other:?} and {range:?}");
        }
    }

    #[test]
    fn peers_are_found_by_id_and_by_store() {
        let peer = Peer::new(PeerId::new(3), StoreId::new(1));
        let region = region("", "").with_peers([peer]);
        assert_eq!(region.peer(PeerId::new(3)), Some(&peer));
        assert_eq!(region.peer_on_store(StoreId::new(1)), Some(&peer));
        assert_eq!(region.peer(PeerId::new(1)), None, "that is the store's number");
        assert_eq!(region.peer_on_store(StoreId::new(3)), None, "that is the peer's number");
        assert!(!region.is_uninitialized() && Region::default().is_uninitialized());
    }

    #[test]
    fn an_epoch_is_older_when_it_misses_a_change_of_either_kind() {
        let now = RegionEpoch::new(2, 5);
        for (conf_ver, version, older) in
            [(2, 5, false), (3, 6, false), (1, 5, true), (2, 4, true), (1, 6, true), (3, 4, true)]
        {
            let epoch = RegionEpoch::new(conf_ver, version);
            assert_eq!(epoch.is_older_than(&now), older, "{epoch:?}");
            assert_eq!(epoch.is_same_range_as(&now), version == 5, "{epoch:?}");
        }
        assert!(
            now.is_older_than(&now.after_split()) && now.is_older_than(&now.after_peer_change())
        );
        assert!(Region::default().epoch().is_older_than(&region("", "").epoch()));
    }
}
