//! Which stores may take part in a plan.
//!
//! | | gone | leaving | silent for long | silent | busy | blocked |
//! |---|---|---|---|---|---|---|
//! | gives a leader | no | | no | no | | no |
//! | takes a leader | no | no | no | no | no | no |
//! | gives a peer | no | | no | | no | |
//! | takes a peer | no | no | no | no | no | |

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
        let is_silent = store.is_disconnected(now);
        match self {
            Part::GiveLeader => !is_dead && !is_silent && !store.is_blocked,
            Part::TakeLeader => {
                !is_dead && !is_leaving && !is_silent && !store.is_busy() && !store.is_blocked
            }
            Part::GivePeer => !is_dead && !store.is_busy(),
            Part::TakePeer => !is_dead && !is_leaving && !is_silent && !store.is_busy(),
        }
    }
}
