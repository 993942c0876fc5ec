//! The course's tests of project 4B: get, prewrite and commit.

use bytes::Bytes;
use proto::kvrpcpb::Context;

use super::fixture::{Builder, Row, delete, lock, put, value, wait, write};
use crate::mvcc::TS_MAX;
use crate::mvcc::WriteKind::{Delete, Put, Rollback};
use crate::txn::Get;
use crate::{KeyError, Result, Retryable};

fn get(builder: &Builder, key: &[u8], version: u64) -> Result<Option<Bytes>> {
    let get = Get { key: Bytes::copy_from_slice(key), version };
    wait(builder.kv.read(&Context::default(), get))
}

fn found(builder: &Builder, key: &[u8], version: u64) -> Option<Vec<u8>> {
    get(builder, key, version).unwrap().map(|value| value.to_vec())
}

/// A value that was committed.
fn committed(key: &[u8], start_ts: u64, commit_ts: u64, of: &[u8]) -> [Row; 2] {
    [value(key, start_ts, of), write(key, commit_ts, Put, start_ts)]
}

#[test]
fn get_value() {
    let builder = Builder::with(&committed(&[99], 50, 54, &[42]));
    assert_eq!(found(&builder, &[99], TS_MAX), Some(vec![42]));
}

#[test]
fn get_value_ts() {
    let builder = Builder::with(&committed(&[99], 50, 54, &[42]));
    for _ in 0..3 {
        assert_eq!(found(&builder, &[99], 100), Some(vec![42]));
    }
}

#[test]
fn get_empty() {
    assert_eq!(found(&Builder::new(), &[100], TS_MAX), None);
}

#[test]
fn get_none() {
    let rows = [committed(&[99], 50, 54, &[42]), committed(&[101], 50, 54, &[42])].concat();
    assert_eq!(found(&Builder::with(&rows), &[100], TS_MAX), None);
}

#[test]
fn get_versions() {
    let versions = [(50, 54, [42]), (60, 66, [43]), (120, 122, [44])];
    let rows: Vec<Row> = versions
        .iter()
        .flat_map(|(start_ts, commit_ts, of)| committed(&[99], *start_ts, *commit_ts, of))
        .collect();
    let builder = Builder::with(&rows);
    let cases = [(40, None), (56, Some(42)), (60, Some(42)), (65, Some(42)), (66, Some(43))];
    for (version, expected) in cases.into_iter().chain([(100, Some(43))]) {
        assert_eq!(found(&builder, &[99], version), expected.map(|byte| vec![byte]), "{version}");
    }
}

#[test]
fn get_deleted() {
    let first = committed(&[99], 50, 54, &[42]);
    let second = [value(&[99], 60, &[]), write(&[99], 66, Delete, 60)];
    let third = committed(&[99], 120, 122, &[44]);
    let builder = Builder::with(&[first, second, third].concat());
    let cases = [(54, Some(42)), (60, Some(42)), (65, Some(42)), (66, None), (67, None)];
    for (version, expected) in cases.into_iter().chain([(122, Some(44))]) {
        assert_eq!(found(&builder, &[99], version), expected.map(|byte| vec![byte]), "{version}");
    }
}

#[test]
fn get_locked() {
    let mut rows = committed(&[99], 50, 54, &[42]).to_vec();
    rows.push(lock(&[99], &[99], Put, 200, 0));
    let builder = Builder::with(&rows);
    assert_eq!(found(&builder, &[99], 55), Some(vec![42]));
    let error = get(&builder, &[99], 300).unwrap_err();
    let Some(KeyError::Locked(locked)) = error.as_key_error() else { panic!("{error}") };
    assert_eq!((&locked.key[..], &locked.lock.primary[..]), (&[99][..], &[99][..]));
    assert_eq!(locked.lock.ts, 200);
}

#[test]
fn empty_prewrite() {
    let mut builder = Builder::new();
    let prewrite = builder.prewrite(&[]);
    assert_eq!(builder.run(prewrite).unwrap(), []);
    assert_eq!(builder.lens().0, 0);
}

#[test]
fn single_prewrite() {
    let mut builder = Builder::new();
    let mut prewrite = builder.prewrite(&[put(&[3], &[42])]);
    prewrite.ttl = 1000;
    assert_eq!(builder.run(prewrite).unwrap(), []);
    assert_eq!(builder.lens(), (1, 1, 0));
    builder.check(&[value(&[3], 100, &[42]), lock(&[3], &[1], Put, 100, 1000)]);
}

#[test]
fn prewrite_locked() {
    let mut builder = Builder::new();
    let first = builder.prewrite(&[put(&[3], &[42])]);
    let second = builder.prewrite(&[put(&[3], &[53])]);
    assert_eq!(builder.run(first).unwrap(), []);
    let refused = builder.run(second).unwrap();
    assert!(matches!(&refused[..], [KeyError::Locked(_)]), "{refused:?}");
    assert_eq!(builder.lens(), (1, 1, 0));
    builder.check(&[value(&[3], 100, &[42]), lock(&[3], &[1], Put, 100, 0)]);
}

#[test]
fn prewrite_written() {
    let mut builder = Builder::with(&committed(&[3], 80, 101, &[5]));
    let prewrite = builder.prewrite(&[put(&[3], &[42])]);
    let refused = builder.run(prewrite).unwrap();
    assert!(matches!(&refused[..], [KeyError::Conflict(_)]), "{refused:?}");
    assert_eq!(builder.lens(), (1, 0, 1));
    builder.check(&[value(&[3], 80, &[5])]);
}

#[test]
fn prewrite_written_no_conflict() {
    let mut builder = Builder::with(&committed(&[3], 80, 90, &[5]));
    let prewrite = builder.prewrite(&[put(&[3], &[42])]);
    assert_eq!(builder.run(prewrite).unwrap(), []);
    assert_eq!(builder.lens(), (2, 1, 1));
    builder.check(&[value(&[3], 80, &[5]), value(&[3], 100, &[42])]);
    builder.check(&[lock(&[3], &[1], Put, 100, 0)]);
}

#[test]
fn multiple_prewrites() {
    let mut builder = Builder::new();
    for (key, of) in [(3, 42), (4, 53)] {
        let prewrite = builder.prewrite(&[put(&[key], &[of])]);
        assert_eq!(builder.run(prewrite).unwrap(), []);
    }
    assert_eq!(builder.lens(), (2, 2, 0));
    builder.check(&[value(&[3], 100, &[42]), lock(&[3], &[1], Put, 100, 0)]);
    builder.check(&[value(&[4], 101, &[53]), lock(&[4], &[1], Put, 101, 0)]);
}

#[test]
fn prewrite_overwrite() {
    let mut builder = Builder::new();
    let prewrite = builder.prewrite(&[put(&[3], &[42]), put(&[3], &[45])]);
    assert_eq!(builder.run_unchecked(&prewrite).unwrap(), []);
    assert_eq!(builder.lens(), (1, 1, 0));
    builder.check(&[value(&[3], 100, &[45]), lock(&[3], &[1], Put, 100, 0)]);
}

#[test]
fn prewrite_multiple() {
    let mut builder = Builder::new();
    let prewrite = builder.prewrite(&[
        put(&[3], &[42]),
        put(&[4], &[43]),
        put(&[5], &[44]),
        delete(&[4]),
        put(&[4], &[1, 3, 5]),
        put(&[255], &[45]),
    ]);
    assert_eq!(builder.run_unchecked(&prewrite).unwrap(), []);
    assert_eq!(builder.lens(), (4, 4, 0));
    builder.check(&[value(&[4], 100, &[1, 3, 5])]);
}

#[test]
fn empty_commit() {
    let mut builder = Builder::new();
    let commit = builder.commit(&[]);
    builder.run(commit).unwrap();
    assert_eq!(builder.lens(), (0, 0, 0));
}

#[test]
fn single_commit() {
    let kept = value(&[3], 100, &[42]);
    let mut builder = Builder::with(&[kept.clone(), lock(&[3], &[], Put, 100, 0)]);
    let commit = builder.commit(&[&[3]]);
    builder.run(commit).unwrap();
    assert_eq!(builder.lens(), (1, 0, 1));
    builder.check(&[write(&[3], 110, Put, 100)]);
    builder.check_untouched(&[kept]);
}

#[test]
fn commit_overwrite() {
    let kept = value(&[3], 100, &[42]);
    let mut rows = committed(&[3], 80, 84, &[15]).to_vec();
    rows.extend([kept.clone(), lock(&[3], &[1], Put, 100, 0)]);
    let mut builder = Builder::with(&rows);
    let commit = builder.commit(&[&[3]]);
    builder.run(commit).unwrap();
    assert_eq!(builder.lens(), (2, 0, 2));
    builder.check(&[write(&[3], 110, Put, 100)]);
    builder.check_untouched(&[kept]);
}

#[test]
fn commit_multiple_keys() {
    let ours: [(&[u8], &[u8]); 3] =
        [(&[3], &[42]), (&[12, 4, 0], &[1, 1, 0, 0, 1, 5]), (&[15], &[0])];
    let theirs: [(&[u8], &[u8]); 2] = [(&[2], &[0, 0, 0, 8]), (&[43, 6], &[1, 1, 0, 0, 1, 5])];
    let mut untouched: Vec<Row> = Vec::new();
    untouched.extend(committed(&[4], 80, 84, &[15]));
    untouched.extend(committed(&[3, 0], 80, 84, &[150]));
    for (key, of) in theirs {
        untouched.extend([value(key, 99, of), lock(key, &[1], Delete, 99, 0)]);
    }
    let mut rows = untouched.clone();
    for (key, of) in ours {
        rows.extend([value(key, 100, of), lock(key, &[1], Put, 100, 0)]);
    }
    let mut builder = Builder::with(&rows);
    let commit = builder.commit(&ours.map(|(key, _)| key));
    builder.run(commit).unwrap();
    assert_eq!(builder.lens(), (7, 2, 5));
    builder.check(&ours.map(|(key, _)| write(key, 110, Put, 100)));
    builder.check_untouched(&untouched);
}

#[test]
fn recommit_key() {
    let kept = value(&[3], 100, &[42]);
    let mut builder = Builder::with(&[kept.clone(), lock(&[3], &[1], Put, 100, 0)]);
    let commit = builder.commit(&[&[3], &[3]]);
    builder.run(commit).unwrap();
    assert_eq!(builder.lens(), (1, 0, 1));
    builder.check(&[write(&[3], 110, Put, 100)]);
    builder.check_untouched(&[kept]);
}

#[test]
fn commit_conflict_rollback() {
    let rolled_back = write(&[3], 110, Rollback, 100);
    let mut builder = Builder::with(std::slice::from_ref(&rolled_back));
    let commit = builder.commit(&[&[3]]);
    builder.refused(commit);
    assert_eq!(builder.lens(), (0, 0, 1));
    builder.check_untouched(&[rolled_back]);
}

#[test]
fn commit_conflict_race() {
    let rows = [value(&[3], 90, &[110]), lock(&[3], &[1], Rollback, 90, 0)];
    let mut builder = Builder::with(&rows);
    let commit = builder.commit(&[&[3]]);
    let refused = builder.refused(commit);
    let lost = Retryable::LockLost { start_ts: 100, holder_ts: 90 };
    assert_eq!(refused, KeyError::Retryable(lost));
    assert_eq!(builder.lens(), (1, 1, 0));
    builder.check_untouched(&rows);
}

#[test]
fn commit_conflict_repeat() {
    let rows = committed(&[3], 100, 110, &[42]);
    let mut builder = Builder::with(&rows);
    let commit = builder.commit(&[&[3]]);
    builder.run(commit).unwrap();
    assert_eq!(builder.lens(), (1, 0, 1));
    builder.check_untouched(&rows);
}

#[test]
fn commit_missing_prewrite() {
    let rows = [committed(&[4], 80, 84, &[15]), committed(&[3, 0], 80, 84, &[150])].concat();
    let mut builder = Builder::with(&rows);
    let commit = builder.commit(&[&[3]]);
    builder.run(commit).unwrap();
    assert_eq!(builder.lens(), (2, 0, 2));
    builder.check_untouched(&rows);
}
