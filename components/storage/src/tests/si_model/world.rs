//! What clients share: the storage and its leader, the clock, and the book of what they did.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use proto::kvrpcpb::Context;
use runtime::Rng;

use super::ATTEMPTS_MAX;
use super::slow::{Delay, Leader, Slow};
use crate::mvcc::LOGICAL_BITS;
use crate::txn::{CheckStatus, Mutation, ResolveLock, Status};
use crate::{Error, KeyError, Kv, Limits, Locked, Result};

/// What a client did and was told.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) start_ts: u64,
    pub(super) reads: BTreeMap<Bytes, Option<Bytes>>,
    pub(super) writes: Vec<Mutation>,
    pub(super) told: Option<Told>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    CommittedAt(u64),
    RolledBack,
}

/// How often the interesting things happened, over all worlds.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) committed: u64,
    pub(super) rolled_back: u64,
    pub(super) refused: u64,
    pub(super) deaths: u64,
    pub(super) waited: u64,
    pub(super) expired: u64,
    pub(super) unknown: u64,
    pub(super) leaders: u64,
    pub(super) collected: u64,
    pub(super) write_skew: u64,
}

pub(super) struct World {
    pub(super) storage: Arc<Slow>,
    /// The leader's; another leader has another.
    pub(super) kv: RefCell<Rc<Kv>>,
    pub(super) clock: Cell<u64>,
    pub(super) history: RefCell<Vec<Transaction>>,
    /// When the transactions of living clients started.
    pub(super) alive: RefCell<BTreeMap<usize, u64>>,
    pub(super) seen: RefCell<Seen>,
}

pub(super) type Heard<T> = Option<std::result::Result<T, KeyError>>;

impl World {
    pub(super) fn new(rng: &Rng) -> Rc<Self> {
        let storage = Slow::new(rng.fork("storage"));
        Rc::new(World {
            kv: RefCell::new(leader(&storage)),
            storage,
            clock: Cell::new(0),
            history: RefCell::default(),
            alive: RefCell::default(),
            seen: RefCell::default(),
        })
    }

    /// A timestamp that nobody else gets; a millisecond after the last.
    pub(super) fn next_ts(&self) -> u64 {
        self.clock.set(self.clock.get() + 1);
        self.clock.get() << LOGICAL_BITS
    }

    pub(super) fn change_leader(&self) {
        self.storage.change_leader();
        *self.kv.borrow_mut() = leader(&self.storage);
        self.seen.borrow_mut().leaders += 1;
    }

    /// Asks until there is an answer that is not a region's error, which may never be.
    pub(super) async fn ask<T>(&self, request: impl AsyncFn(&Kv) -> Result<T>) -> Heard<T> {
        for _ in 0..ATTEMPTS_MAX {
            let kv = Rc::clone(&self.kv.borrow());
            match request(&kv).await {
                Ok(answer) => return Some(Ok(answer)),
                Err(Error::Key(error)) => return Some(Err(*error)),
                Err(Error::Region(_)) => Delay(2).await,
                Err(error) => panic!("{error}"),
            }
        }
        None
    }

    /// Does about a lock what clients do; whether it makes sense to try again at once.
    pub(super) async fn settle(&self, locked: &Locked, now: u64) -> bool {
        let (lock_ts, primary) = (locked.lock.ts, locked.lock.primary.clone());
        let check = CheckStatus { primary, lock_ts, current_ts: now };
        let status = self.ask(async |kv| kv.run(&Context::default(), check.clone()).await).await;
        let Some(Ok(status)) = status else { return false };
        self.seen.borrow_mut().note(status);
        let commit_ts = match status {
            Status::Alive { .. } => return false,
            Status::Committed { commit_ts } => Some(commit_ts),
            Status::RolledBack | Status::Expired | Status::NeverSeen => None,
        };
        let resolve = ResolveLock::new(lock_ts, commit_ts);
        self.ask(async |kv| kv.resolve_lock(&Context::default(), resolve.clone()).await)
            .await
            .is_some()
    }

    pub(super) fn with<T>(&self, id: usize, change: impl FnOnce(&mut Transaction) -> T) -> T {
        change(&mut self.history.borrow_mut()[id])
    }
}

pub(super) fn leader(slow: &Arc<Slow>) -> Rc<Kv> {
    let term = slow.state.lock().unwrap().term;
    let leader = Leader { slow: Arc::clone(slow), term };
    Rc::new(Kv::new(Arc::new(leader), Limits::default()))
}

impl Transaction {
    pub(super) fn note(&mut self, key: &Bytes, value: Option<&Bytes>) {
        let before = self.reads.insert(key.clone(), value.cloned());
        assert!(
            before.is_none_or(|before| before.as_ref() == value),
            "a key changed under its reader"
        );
    }
}

impl Seen {
    pub(super) fn note(&mut self, status: Status) {
        match status {
            Status::Alive { .. } => self.waited += 1,
            Status::Expired => self.expired += 1,
            Status::NeverSeen => self.unknown += 1,
            Status::Committed { .. } | Status::RolledBack => {}
        }
    }

    pub(super) fn add(&mut self, other: &Seen) {
        self.committed += other.committed;
        self.rolled_back += other.rolled_back;
        self.refused += other.refused;
        self.deaths += other.deaths;
        self.waited += other.waited;
        self.expired += other.expired;
        self.unknown += other.unknown;
        self.leaders += other.leaders;
        self.collected += other.collected;
        self.write_skew += other.write_skew;
    }

    /// A model that does not go where it hurts proves nothing.
    pub(super) fn assert_interesting(&self) {
        let Seen { committed, rolled_back, refused, deaths, waited, .. } = *self;
        let Seen { expired, unknown, leaders, collected, write_skew, .. } = *self;
        let all = [committed, rolled_back, refused, deaths, waited, expired, unknown];
        let rare = [leaders, collected, write_skew];
        assert!(all.iter().chain(&rare).all(|count| *count >= 100), "{self:?}");
        assert!(committed > rolled_back / 4, "most transactions get somewhere: {self:?}");
    }
}
