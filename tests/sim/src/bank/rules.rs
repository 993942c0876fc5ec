//! The rules of snapshot isolation, decided by timestamps alone: from what clients did and saw, and from
//! every record that is on the disks in the end, for nothing is collected here.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use engine::{Cf, Engine, KeyRange};
use proto::metapb::Region;
use storage::mvcc::{Write, WriteKind, decode_user_key, split_key};
use storage::txn::Mutation;

use super::book::{Book, Told, Transaction};
use crate::store::{Property, Violation, World};

type Verdict<T = ()> = Result<T, Violation>;

static WHOLE: Property = Property {
    name: "a transaction is committed on all its keys at one timestamp, or on none",
    source: "Percolator: all keys follow the primary one",
};

static TOLD: Property = Property {
    name: "what a client was told of its transaction is what happened",
    source: "a commit that is acknowledged is decided",
};

static SEEN: Property = Property {
    name: "a read sees the newest version that was committed before its start",
    source: "snapshot isolation, first rule",
};

static APART: Property = Property {
    name: "of two transactions that wrote a key, one ended before the other began",
    source: "snapshot isolation, second rule: the first committer wins",
};

static LEFT: Property = Property {
    name: "every value belongs to a put, and no lock is left",
    source: "whoever meets a lock can settle it; the lock of a key lies in the region of the key",
};

static READABLE: Property =
    Property { name: "the disks can be read", source: "the records of components/storage" };

/// All records of all accounts.
#[derive(Default)]
pub(super) struct Records {
    /// By start timestamp: the keys that were committed, and since when.
    commits: BTreeMap<u64, BTreeMap<Bytes, u64>>,
    rollbacks: BTreeSet<(u64, Bytes)>,
    /// The keys and start timestamps of puts, and of values.
    puts: BTreeSet<(Bytes, u64)>,
    values: BTreeSet<(Bytes, u64)>,
    locks: Vec<Bytes>,
}

fn unreadable(error: impl std::fmt::Display) -> Violation {
    READABLE.violated(error.to_string())
}

impl Records {
    /// Reads all regions, each where it is newest.
    pub(super) fn read<'a>(
        world: &World,
        regions: impl Iterator<Item = &'a Region>,
    ) -> Verdict<Self> {
        let mut records = Records::default();
        for region in regions {
            let mut newest = None;
            for peer in &region.peers {
                let kv = world.engines(peer.store_id).kv;
                let state = raftstore::state::apply_state(&*kv, region.region_id());
                let applied = state.map_err(unreadable)?.map_or(0, |state| state.applied_index);
                if newest.as_ref().is_none_or(|(most, _)| applied > *most) {
                    newest = Some((applied, kv));
                }
            }
            if let Some((_, kv)) = newest {
                records.add(&*kv, region)?;
            }
        }
        Ok(records)
    }

    fn add(&mut self, kv: &dyn Engine, region: &Region) -> Verdict {
        let range = || KeyRange::new(&region.start_key, &region.end_key);
        let view = kv.snapshot().map_err(unreadable)?;
        for cf in Cf::DATA {
            let mut cursor = view.cursor(cf, range()).map_err(unreadable)?;
            let mut is_valid = cursor.seek_to_first().map_err(unreadable)?;
            while is_valid {
                let key: Bytes = decode_user_key(cursor.key()).map_err(unreadable)?.into();
                if cf == Cf::Lock {
                    self.locks.push(key);
                } else {
                    let ts = split_key(cursor.key()).map_err(unreadable)?.1;
                    if cf == Cf::Write {
                        self.add_write(key, ts, Write::parse(cursor.value()).map_err(unreadable)?)?;
                    } else {
                        self.values.insert((key, ts));
                    }
                }
                is_valid = cursor.next().map_err(unreadable)?;
            }
        }
        Ok(())
    }

    fn add_write(&mut self, key: Bytes, ts: u64, write: Write) -> Verdict {
        match write.kind {
            WriteKind::Rollback => {
                self.rollbacks.insert((write.start_ts, key));
                return Ok(());
            }
            WriteKind::Put => {
                self.puts.insert((key.clone(), write.start_ts));
            }
            WriteKind::Delete | WriteKind::Lock => {}
        }
        let of_transaction = self.commits.entry(write.start_ts).or_default();
        let before = of_transaction.insert(key.clone(), ts);
        WHOLE.require(before.is_none(), || format!("{key:?} of {write:?} at {ts} and {before:?}"))
    }

    /// All rules. Answers how many transactions were committed, and how many were not.
    pub(super) fn judge(mut self, book: &Book) -> Verdict<(u64, u64)> {
        LEFT.require(self.locks.is_empty(), || format!("locks on {:?}", self.locks))?;
        LEFT.require(self.puts == self.values, || {
            let odd: Vec<_> = self.puts.symmetric_difference(&self.values).collect();
            format!("puts without a value, or values without a put: {odd:?}")
        })?;
        let (mut fates, mut rolled_back) = (BTreeMap::new(), 0);
        for transaction in &book.transactions {
            match self.fate(transaction)? {
                Some(commit_ts) => drop(fates.insert(transaction.start_ts, commit_ts)),
                None => rolled_back += u64::from(!transaction.writes.is_empty()),
            }
        }
        WHOLE.require(self.commits.is_empty(), || format!("strangers: {:?}", self.commits))?;
        check_reads(&book.transactions, &fates)?;
        check_intervals(&book.transactions, &fates)?;
        Ok((fates.len() as u64, rolled_back))
    }

    /// Since when a transaction is committed, if it is.
    fn fate(&mut self, transaction: &Transaction) -> Verdict<Option<u64>> {
        let start_ts = transaction.start_ts;
        let keys = self.commits.remove(&start_ts).unwrap_or_default();
        let Some(commit_ts) = keys.values().next().copied() else {
            let is_told = matches!(transaction.told, Some(Told::CommittedAt(_)));
            TOLD.require(!is_told, || format!("not committed: {transaction:?}"))?;
            return Ok(None);
        };
        let wanted: BTreeSet<&Bytes> = transaction.writes.iter().map(Mutation::key).collect();
        let is_whole = wanted.iter().eq(keys.keys().collect::<Vec<_>>().iter())
            && keys.values().all(|ts| *ts == commit_ts)
            && start_ts < commit_ts;
        WHOLE.require(is_whole, || format!("{keys:?} of {transaction:?}"))?;
        for key in keys.keys() {
            let is_rolled_back = self.rollbacks.contains(&(start_ts, key.clone()));
            WHOLE.require(!is_rolled_back, || {
                format!("{key:?} is rolled back, too, of {transaction:?}")
            })?;
        }
        let told = transaction.told.unwrap_or(Told::CommittedAt(commit_ts));
        TOLD.require(told == Told::CommittedAt(commit_ts), || {
            format!("committed at {commit_ts}: {transaction:?}")
        })?;
        Ok(Some(commit_ts))
    }
}

fn check_reads(transactions: &[Transaction], fates: &BTreeMap<u64, u64>) -> Verdict {
    let mut versions: BTreeMap<&Bytes, BTreeMap<u64, Option<&Bytes>>> = BTreeMap::new();
    for transaction in transactions {
        let Some(commit_ts) = fates.get(&transaction.start_ts) else { continue };
        for mutation in &transaction.writes {
            let value = match mutation {
                Mutation::Put(_, value) => Some(value),
                Mutation::Delete(_) => None,
                Mutation::Lock(_) => continue,
            };
            versions.entry(mutation.key()).or_default().insert(*commit_ts, value);
        }
    }
    for transaction in transactions {
        for (key, seen) in &transaction.reads {
            let of_key = versions.get(key);
            let newest = of_key.and_then(|all| all.range(..=transaction.start_ts).next_back());
            let visible = newest.and_then(|(_, value)| *value);
            SEEN.require(seen.as_ref() == visible, || {
                let at = transaction.start_ts;
                format!("{key:?} at {at} is {visible:?} ({newest:?}), and {seen:?} was read")
            })?;
        }
    }
    Ok(())
}

fn check_intervals(transactions: &[Transaction], fates: &BTreeMap<u64, u64>) -> Verdict {
    let mut intervals: BTreeMap<&Bytes, Vec<(u64, u64)>> = BTreeMap::new();
    for transaction in transactions {
        let Some(commit_ts) = fates.get(&transaction.start_ts) else { continue };
        for mutation in &transaction.writes {
            intervals.entry(mutation.key()).or_default().push((transaction.start_ts, *commit_ts));
        }
    }
    for (key, mut of_key) in intervals {
        of_key.sort_unstable();
        for pair in of_key.windows(2) {
            let [first, second] = pair else { unreachable!("windows of two") };
            APART.require(first.1 < second.0, || format!("{key:?}: {first:?} and {second:?}"))?;
        }
    }
    Ok(())
}
