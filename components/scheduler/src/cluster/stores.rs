//! The stores: their state, what they last said, and how much they hold.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::metapb::{self, StoreState};
use proto::schedulerpb::StoreStats;
use runtime::clock::Instant;

use super::regions::Load;
use crate::error::{Error, Result};

/// A store that was silent for so long is left out of plans that need its help. Stores report every
/// ten seconds.
pub const DISCONNECTED_AFTER: Duration = Duration::from_secs(20);

/// A store.
#[derive(Clone, Debug)]
pub struct Store {
    /// Its id, its address, and whether it stays.
    pub meta: metapb::Store,
    /// What it last said about itself.
    pub stats: StoreStats,
    /// When that was; never, right after a start.
    pub heard: Option<Instant>,
    /// When we learned of it, which is where its silence is counted from until it says something: a
    /// scheduler that has only just started must not take all stores for dead.
    pub known_since: Instant,
    /// Left alone by the balancers for now.
    pub is_blocked: bool,
    /// How much it holds, by the newest reports about its regions.
    pub load: Load,
}

impl Store {
    /// A store that has said nothing yet.
    pub fn new(meta: metapb::Store, now: Instant) -> Self {
        Store {
            meta,
            stats: StoreStats::default(),
            heard: None,
            known_since: now,
            is_blocked: false,
            load: Load::default(),
        }
    }

    /// The store's id.
    pub fn id(&self) -> u64 {
        self.meta.id
    }

    /// Whether it serves, and goes on to.
    pub fn is_up(&self) -> bool {
        self.meta.state() == StoreState::Up
    }

    /// Whether it is being emptied.
    pub fn is_offline(&self) -> bool {
        self.meta.state() == StoreState::Offline
    }

    /// Whether it is gone for ever.
    pub fn is_tombstone(&self) -> bool {
        self.meta.state() == StoreState::Tombstone
    }

    /// Whether it says that it has enough to do.
    pub fn is_busy(&self) -> bool {
        self.stats.is_busy
    }

    /// For how long it has been silent.
    pub fn silent_for(&self, now: Instant) -> Duration {
        now.since(self.heard.unwrap_or(self.known_since))
    }

    /// Whether it missed a report or two.
    pub fn is_disconnected(&self, now: Instant) -> bool {
        self.silent_for(now) > DISCONNECTED_AFTER
    }

    /// Whether it has said something lately. After a start that is not known of any store for a while,
    /// and one that was lost long ago must not be taken for a place to put a peer.
    pub fn reports(&self, now: Instant) -> bool {
        self.heard.is_some() && !self.is_disconnected(now)
    }
}

/// All stores, the gone ones included: an id never comes back.
#[derive(Debug, Default)]
pub struct Stores(BTreeMap<u64, Store>);

impl Stores {
    /// The store of this id.
    pub fn get(&self, id: u64) -> Option<&Store> {
        self.0.get(&id)
    }

    /// The store of this id, to be changed.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut Store> {
        self.0.get_mut(&id)
    }

    /// All stores, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = &Store> {
        self.0.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a record over: a new store, or another state or address of a known one.
    pub fn put(&mut self, meta: metapb::Store, now: Instant) {
        match self.0.get_mut(&meta.id) {
            Some(store) => store.meta = meta,
            None => {
                self.0.insert(meta.id, Store::new(meta, now));
            }
        }
    }

    /// Keeps the balancers from a store, until it is unblocked.
    pub fn block(&mut self, id: u64) -> Result<()> {
        let store = self.0.get_mut(&id).ok_or(Error::StoreNotFound(id))?;
        if store.is_blocked {
            return Err(Error::invalid(format!("store {id} is blocked already")));
        }
        store.is_blocked = true;
        Ok(())
    }

    /// Gives a store back to the balancers.
    pub fn unblock(&mut self, id: u64) -> Result<()> {
        self.0.get_mut(&id).ok_or(Error::StoreNotFound(id))?.is_blocked = false;
        Ok(())
    }

    /// The record that a store asks for by registering: its own, with what may change of it. The
    /// caller writes it down and then puts it.
    pub fn registered(&self, wanted: &metapb::Store) -> Result<metapb::Store> {
        if wanted.id == 0 {
            return Err(Error::invalid("invalid zero store id"));
        }
        let known = self.get(wanted.id);
        if known.is_some_and(Store::is_tombstone) {
            return Err(Error::StoreTombstone(wanted.id));
        }
        if wanted.state() == StoreState::Tombstone {
            return Err(Error::invalid("a store becomes tombstone when nothing is left on it"));
        }
        // The address of a store that is gone may be taken again.
        let others = self.iter().filter(|store| store.id() != wanted.id && !store.is_tombstone());
        for other in others {
            if other.meta.address == wanted.address {
                return Err(Error::invalid(format!(
                    "duplicated store address: {}, already registered by store {}",
                    wanted.address,
                    other.id()
                )));
            }
        }
        let mut record = known.map_or_else(|| wanted.clone(), |store| store.meta.clone());
        record.address.clone_from(&wanted.address);
        // A store can be asked to leave. One that is leaving does not come back by starting again.
        if wanted.state() == StoreState::Offline {
            record.state = StoreState::Offline.into();
        }
        Ok(record)
    }

    /// The record of a store that shall be emptied.
    pub fn removed(&self, id: u64) -> Result<metapb::Store> {
        let store = self.get(id).ok_or(Error::StoreNotFound(id))?;
        if store.is_tombstone() {
            return Err(Error::StoreTombstone(id));
        }
        Ok(metapb::Store { state: StoreState::Offline.into(), ..store.meta.clone() })
    }

    /// The record of a store that is gone: one that was emptied, or with `force` any.
    pub fn buried(&self, id: u64, force: bool) -> Result<metapb::Store> {
        let store = self.get(id).ok_or(Error::StoreNotFound(id))?;
        if store.is_up() && !force {
            return Err(Error::invalid("store is still up, please remove store gracefully"));
        }
        Ok(metapb::Store { state: StoreState::Tombstone.into(), ..store.meta.clone() })
    }
}
