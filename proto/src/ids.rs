//! The three kinds of id, each a type of its own: on the wire they are all `u64`, and a store's id
//! in the place of a peer's is a mistake that no test of small numbers notices.
//!
//! All are given out by the scheduler, from one sequence, and never again. Zero is nobody: it is
//! what an unset field reads as.

use std::fmt;

use crate::metapb;

/// Defines an id: a number that knows what it numbers.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Nobody, and the default.
            pub const INVALID: Self = Self(0);

            /// The id with this number.
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The number, as messages and keys hold it.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// Whether it is somebody's.
            pub const fn is_valid(self) -> bool {
                self.0 != Self::INVALID.0
            }
        }

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }

        impl From<$name> for u64 {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

id!(
    /// A region. After a split, the left part has the id of the whole.
    RegionId
);
id!(
    /// A store: one process with its disks, across all its restarts.
    StoreId
);
id!(
    /// A replica of a region. One that is removed and added again has another id.
    PeerId
);

impl metapb::Region {
    /// The region's id.
    pub fn region_id(&self) -> RegionId {
        RegionId(self.id)
    }
}

impl metapb::Store {
    /// The store's id.
    pub fn store_id(&self) -> StoreId {
        StoreId(self.id)
    }
}

impl metapb::Peer {
    /// The peer's own id.
    pub fn peer_id(&self) -> PeerId {
        PeerId(self.id)
    }

    /// The id of the store that it lives on.
    pub fn on_store(&self) -> StoreId {
        StoreId(self.store_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers_in_both_directions_and_in_order() {
        let id = PeerId::from(7);
        assert_eq!((u64::from(id), id.get(), id), (7, 7, PeerId::new(7)));
        assert_eq!(format!("{id} {id:>3} {id:?}"), "7   7 PeerId(7)");
        assert!(RegionId::new(9) < RegionId::new(10));
        assert_eq!(StoreId::new(u64::MAX).to_string(), "18446744073709551615");
    }

    #[test]
    fn zero_is_nobody() {
        assert_eq!(StoreId::default(), StoreId::INVALID);
        assert!(!RegionId::INVALID.is_valid() && RegionId::new(1).is_valid());
    }

    #[test]
    fn messages_tell_their_ids_by_kind() {
        let peer = metapb::Peer { id: 3, store_id: 1 };
        assert_eq!((peer.peer_id(), peer.on_store()), (PeerId::new(3), StoreId::new(1)));
        let region = metapb::Region { id: 2, ..Default::default() };
        assert_eq!(region.region_id(), RegionId::new(2));
        let store = metapb::Store { id: 1, ..Default::default() };
        assert_eq!(store.store_id(), StoreId::new(1));
    }
}
