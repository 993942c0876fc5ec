//! What everybody did and saw, as somebody knows it who sees them all.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

use bytes::Bytes;
use storage::txn::Mutation;

use crate::store::{Property, Violation};

/// What a client knows of its transaction's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    CommittedAt(u64),
    RolledBack,
}

/// A transaction as its client lived it.
#[derive(Clone, Debug, Default)]
pub(super) struct Transaction {
    pub(super) start_ts: u64,
    pub(super) reads: BTreeMap<Bytes, Option<Bytes>>,
    pub(super) writes: Vec<Mutation>,
    pub(super) told: Option<Told>,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) transactions: Vec<Transaction>,
    pub(super) counts: Counts,
    /// The first promise that a client saw broken.
    pub(super) violation: Option<Violation>,
}

pub(super) static STABLE: Property = Property {
    name: "a snapshot of a transaction does not move",
    source: "snapshot isolation: what was read at a timestamp is read again at it",
};

impl Book {
    /// A client has read a key.
    pub(super) fn read(&mut self, id: usize, key: &Bytes, value: Option<&Bytes>) {
        let transaction = &mut self.transactions[id];
        let before = transaction.reads.insert(key.clone(), value.cloned());
        if let Some(before) = before.filter(|before| before.as_ref() != value) {
            let at = transaction.start_ts;
            self.broken(&STABLE, format!("{key:?} at {at} was {before:?} and is {value:?}"));
        }
    }

    /// A promise was broken.
    pub(super) fn broken(&mut self, property: &'static Property, detail: String) {
        self.violation.get_or_insert_with(|| property.violated(detail));
    }
}

/// How much was done, so that a run that did too little is not taken for a proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Runs.
    pub seeds: u64,
    /// Transactions that were committed.
    pub committed: u64,
    /// Transactions that wanted to write and were not committed.
    pub rolled_back: u64,
    /// Sums of all accounts that were right, while everything went wrong.
    pub audits: u64,
    /// Clients that died.
    pub deaths: u64,
    /// Times that somebody met a lock of a transaction that was still alive.
    pub waited: u64,
    /// Times that somebody rolled a transaction back because its time was over.
    pub expired: u64,
    /// Times that the fate of a transaction was asked before it had arrived at its primary key.
    pub never_seen: u64,
    /// Locks that were settled as committed by somebody else.
    pub resolved: u64,
    /// Commits of a primary key whose fate was not known and had to be asked for.
    pub unknown: u64,
    /// Refusals by a region: moved, cut, not led here.
    pub refusals: u64,
    /// Requests whose answer never came.
    pub lost: u64,
    /// Transactions that wrote in several regions.
    pub wide: u64,
}

impl Counts {
    fn all(&self) -> [(u64, &'static str); 13] {
        [
            (self.seeds, "seeds"),
            (self.committed, "commits"),
            (self.rolled_back, "rollbacks"),
            (self.audits, "audits"),
            (self.deaths, "dead clients"),
            (self.waited, "waits for a lock"),
            (self.expired, "expired transactions"),
            (self.never_seen, "transactions asked for too early"),
            (self.resolved, "locks committed by others"),
            (self.unknown, "unknown commits"),
            (self.refusals, "refusals by regions"),
            (self.lost, "lost answers"),
            (self.wide, "transactions over several regions"),
        ]
    }

    /// What hardly happened: less than once in two seeds.
    pub fn missing(&self) -> Vec<&'static str> {
        let wanted = self.seeds / 2;
        self.all().into_iter().filter(|(count, _)| *count < wanted).map(|(_, name)| name).collect()
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.committed += other.committed;
        self.rolled_back += other.rolled_back;
        self.audits += other.audits;
        self.deaths += other.deaths;
        self.waited += other.waited;
        self.expired += other.expired;
        self.never_seen += other.never_seen;
        self.resolved += other.resolved;
        self.unknown += other.unknown;
        self.refusals += other.refusals;
        self.lost += other.lost;
        self.wide += other.wide;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.all().map(|(count, name)| format!("{count} {name}"));
        f.write_str(&all.join(", "))
    }
}
