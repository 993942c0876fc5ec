//! Which stores may take part in a plan.
//!
//! | | gone | leaving | silent for long | silent | not heard of since the start | busy | blocked |
//! |---|---|---|---|---|---|---|---|
//! | gives a leader | no | | no | no | | | no |
//! | takes a leader | no | no | no | no | no | no | no |
//! | gives a peer | no | | no | | | no | |
//! | takes a peer | no | no | no | no | no | no | |

use std::time::Duration;

use runtime::clock::Instant;

use crate::cluster::stores::Store;

/// What a store would have to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Stop leading a region.
    GiveLeader,
    /// Lead a region.
    TakeLeader,
    /// Lose a peer.
    GivePeer,
    /// Get a peer.
    TakePeer,
}

impl Part {
    /// Whether the store may.
    pub fn is_for(self, store: &Store, now: Instant, down_max: Duration) -> bool {
        let is_dead = store.is_tombstone() || store.silent_for(now) > down_max;
        let is_leaving = store.is_offline();
        let can_take = !is_dead && !is_leaving && store.reports(now) && !store.is_busy();
        match self {
            Part::GiveLeader => !is_dead && !store.is_disconnected(now) && !store.is_blocked,
            Part::TakeLeader => can_take && !store.is_blocked,
            Part::GivePeer => !is_dead && !store.is_busy(),
            Part::TakePeer => can_take,
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::metapb;

    use super::*;

    #[test]
    fn nothing_is_put_on_a_store_that_has_said_nothing_since_the_start() {
        let now = Instant::from_start(Duration::from_hours(1));
        let mut store = Store::new(metapb::Store::default(), now);
        let parts = [Part::GiveLeader, Part::TakeLeader, Part::GivePeer, Part::TakePeer];
        let may =
            |store: &Store| parts.map(|part| part.is_for(store, now, Duration::from_hours(1)));
        assert_eq!(may(&store), [true, false, true, false]);
        store.heard = Some(now);
        assert_eq!(may(&store), [true; 4]);
    }
}
