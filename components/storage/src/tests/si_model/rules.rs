//! The rules, decided from the book and from every record that was ever written.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use engine::{Cf, KeyRange};
use proto::kvrpcpb::Context;

use super::super::fixture::wait;
use super::world::{Told, Transaction, World};
use crate::mvcc::{Write, WriteKind};
use crate::storage::Storage;
use crate::txn::Mutation;

/// The rules.
pub(super) fn check(world: &World) {
    let history = world.history.borrow();
    let fates = check_fates(world, &history);
    let mut versions: BTreeMap<Bytes, BTreeMap<u64, &Mutation>> = BTreeMap::new();
    let mut timestamps = BTreeSet::new();
    for transaction in history.iter() {
        assert!(timestamps.insert(transaction.start_ts), "a timestamp is used twice");
        let Some(commit_ts) = fates.get(&transaction.start_ts) else { continue };
        assert!(timestamps.insert(*commit_ts), "a timestamp is used twice");
        for mutation in &transaction.writes {
            versions.entry(mutation.key().clone()).or_default().insert(*commit_ts, mutation);
        }
    }
    check_reads(&history, &versions);
    check_intervals(&history, &fates);
    check_left(world);
    world.seen.borrow_mut().write_skew += count_write_skew(&history, &fates);
}

/// Rule 1. Answers who was committed when.
fn check_fates(world: &World, history: &[Transaction]) -> BTreeMap<u64, u64> {
    let state = world.storage.state.lock().unwrap();
    let mut commits: BTreeMap<u64, BTreeMap<Bytes, u64>> = BTreeMap::new();
    let mut rollbacks: BTreeSet<(u64, Bytes)> = BTreeSet::new();
    let mut places = BTreeSet::new();
    for (key, ts, write) in &state.records {
        assert!(places.insert((key, ts)), "two records of {key:?} at {ts}");
        match write.kind {
            WriteKind::Rollback => {
                assert_eq!(*ts, write.start_ts);
                rollbacks.insert((write.start_ts, key.clone()));
            }
            WriteKind::Put | WriteKind::Delete | WriteKind::Lock => {
                let keys = commits.entry(write.start_ts).or_default();
                let before = keys.insert(key.clone(), *ts);
                assert_eq!(before, None, "{key:?} of {} is committed twice", write.start_ts);
            }
        }
    }
    let mut fates = BTreeMap::new();
    let mut seen = world.seen.borrow_mut();
    for transaction in history {
        let start_ts = transaction.start_ts;
        let keys = commits.remove(&start_ts).unwrap_or_default();
        let Some(commit_ts) = keys.values().next().copied() else {
            assert!(!matches!(transaction.told, Some(Told::CommittedAt(_))), "{transaction:?}");
            seen.rolled_back += u64::from(!transaction.writes.is_empty());
            continue;
        };
        assert!(start_ts < commit_ts);
        for mutation in &transaction.writes {
            let key = mutation.key();
            assert_eq!(keys.get(key), Some(&commit_ts), "{key:?} of {transaction:?}");
            assert!(!rollbacks.contains(&(start_ts, key.clone())), "{key:?} of {transaction:?}");
        }
        assert_eq!(keys.len(), transaction.writes.len());
        let told = transaction.told.unwrap_or(Told::CommittedAt(commit_ts));
        assert_eq!(told, Told::CommittedAt(commit_ts), "{transaction:?}");
        fates.insert(start_ts, commit_ts);
        seen.committed += 1;
    }
    assert!(commits.is_empty(), "somebody committed who never was");
    fates
}

/// Rule 2.
fn check_reads(history: &[Transaction], versions: &BTreeMap<Bytes, BTreeMap<u64, &Mutation>>) {
    for transaction in history {
        for (key, seen) in &transaction.reads {
            let older = versions.get(key).into_iter().flat_map(|versions| {
                versions.range(..=transaction.start_ts).rev().map(|(_, mutation)| *mutation)
            });
            let visible = older
                .filter(|mutation| !matches!(mutation, Mutation::Lock(_)))
                .map(|mutation| match mutation {
                    Mutation::Put(_, value) => Some(value.clone()),
                    Mutation::Delete(_) | Mutation::Lock(_) => None,
                })
                .next();
            assert_eq!(*seen, visible.flatten(), "{key:?} read by {transaction:?}");
        }
    }
}

/// Rule 3.
fn check_intervals(history: &[Transaction], fates: &BTreeMap<u64, u64>) {
    let mut intervals: BTreeMap<&Bytes, Vec<(u64, u64)>> = BTreeMap::new();
    for transaction in history {
        let Some(commit_ts) = fates.get(&transaction.start_ts) else { continue };
        for mutation in &transaction.writes {
            intervals.entry(mutation.key()).or_default().push((transaction.start_ts, *commit_ts));
        }
    }
    for (key, mut intervals) in intervals {
        intervals.sort_unstable();
        for pair in intervals.windows(2) {
            assert!(pair[0].1 < pair[1].0, "{key:?}: {pair:?} overlap");
        }
    }
}

/// Rule 4.
fn check_left(world: &World) {
    let reader = wait(world.storage.inner.snapshot(&Context::default())).unwrap();
    let count = |cf, wanted: fn(&[u8]) -> bool| {
        let mut cursor = reader.cursor(cf, KeyRange::ALL).unwrap();
        let mut count = 0;
        let mut is_valid = cursor.seek_to_first().unwrap();
        while is_valid {
            count += usize::from(wanted(cursor.value()));
            is_valid = cursor.next().unwrap();
        }
        count
    };
    assert_eq!(count(Cf::Lock, |_| true), 0, "locks are left");
    let puts = count(Cf::Write, |record| Write::parse(record).unwrap().kind == WriteKind::Put);
    assert_eq!(count(Cf::Default, |_| true), puts, "values without a put are left");
}

/// Pairs of committed transactions that overlap in time, where each read what the other one wrote.
fn count_write_skew(history: &[Transaction], fates: &BTreeMap<u64, u64>) -> u64 {
    let committed: Vec<_> = history
        .iter()
        .filter_map(|transaction| Some((transaction, *fates.get(&transaction.start_ts)?)))
        .collect();
    let overwrites = |reader: &Transaction, writer: &Transaction| {
        writer.writes.iter().any(|mutation| {
            !matches!(mutation, Mutation::Lock(_)) && reader.reads.contains_key(mutation.key())
        })
    };
    let mut pairs = 0;
    for (one, one_ts) in &committed {
        for (other, other_ts) in &committed {
            let overlap = one.start_ts < other.start_ts && other.start_ts < *one_ts;
            let overlap = overlap && one.start_ts < *other_ts;
            pairs += u64::from(overlap && overwrites(one, other) && overwrites(other, one));
        }
    }
    pairs
}
