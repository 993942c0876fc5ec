//! The keys, their versions, and the log of changes; in memory, and as records for the disk.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use engine::{Cf, Engine, KeyRange as EngineRange, WriteBatch};
use prost::Message;
use proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, LeaseGrantRequest, ResponseHeader,
};
use proto::mvccpb::KeyValue;
use runtime::clock::Instant;

use super::error::MetaError;
use super::lease::Leases;
use super::range::KeyRange;
use crate::error::{self, Error};

/// Where the space lives in the engine: the family that no client can name.
const CF: Cf = Cf::Local;

/// `m/r` + revision + number within the transaction -> the key as it was from then on.
const VERSIONS: &[u8] = b"m/r";
/// `m/l` + id -> seconds granted.
const LEASES: &[u8] = b"m/l";
/// The revision of the newest compaction.
const COMPACTED: &[u8] = b"m/c";
/// The newest revision, which compaction may have left without a version of its own.
const REVISION: &[u8] = b"m/n";

/// Who answers, for the header of every response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id.
    pub cluster: u64,
    /// The scheduler's id within it.
    pub member: u64,
}

/// How much the space takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of keys and values of all versions; more is refused until something is compacted.
    pub bytes: usize,
    /// Bytes of one request.
    pub request_bytes: usize,
    /// Conditions, or operations, of one transaction.
    pub txn_ops: usize,
    /// Revisions that are kept for watchers; twice as many are compacted to this number.
    pub revisions: i64,
    /// Watchers of all clients together.
    pub watchers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let (bytes, request_bytes) = (256 << 20, 3 << 19);
        Limits { bytes, request_bytes, txn_ops: 128, revisions: 100_000, watchers: 100_000 }
    }
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The key as it is since; without a version when it was deleted.
    pub kv: Arc<KeyValue>,
    /// The key as it was before, if it existed and is not forgotten.
    pub prev: Option<Arc<KeyValue>>,
}

/// What one transaction changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Its number.
    pub number: i64,
    /// The changes, in order.
    pub changes: Vec<Change>,
}

/// A version of a key, and its number within the transaction that wrote it.
#[derive(Debug)]
struct Version {
    kv: Arc<KeyValue>,
    place: u32,
}

/// A revisioned key space.
#[derive(Debug)]
pub struct Space {
    pub(crate) leases: Leases,
    pub(crate) limits: Limits,
    identity: Identity,
    revision: i64,
    compacted: i64,
    /// The versions of each key, oldest first; a deletion is a version, too.
    keys: BTreeMap<Bytes, Vec<Version>>,
    /// What happened, from the compacted revision on.
    log: VecDeque<Revision>,
    /// What the versions take.
    bytes: usize,
    /// What must be written before anything since the last write is answered.
    batch: WriteBatch,
}

/// Where the compaction stands before the first one. It is below zero because etcd, too, compacts at
/// zero once.
const NEVER: i64 = -1;

/// What a version takes in memory beside its key and value.
const VERSION_BYTES: usize = 128;

impl Space {
    /// Reads the space from an engine; an empty one is at revision 1.
    pub fn open(
        engine: &dyn Engine,
        identity: Identity,
        limits: Limits,
        now: Instant,
    ) -> error::Result<Self> {
        let mut space = Space {
            leases: Leases::default(),
            limits,
            identity,
            revision: 1,
            compacted: NEVER,
            keys: BTreeMap::new(),
            log: VecDeque::new(),
            bytes: 0,
            batch: WriteBatch::new(),
        };
        let number = |key: &[u8]| -> error::Result<Option<i64>> {
            let Some(mut value) = engine.get(CF, key)? else { return Ok(None) };
            value.try_get_i64().map(Some).map_err(|_| corrupt("a revision"))
        };
        space.compacted = number(COMPACTED)?.unwrap_or(NEVER);
        scan(engine, LEASES, |mut key, mut ttl| {
            let record = key.try_get_i64().and_then(|id| Ok((id, ttl.try_get_i64()?)));
            let (id, ttl) = record.map_err(|_| corrupt("a lease"))?;
            space.leases.insert(id, ttl, now);
            Ok(())
        })?;
        scan(engine, VERSIONS, |mut key, value| {
            let bad = || corrupt("a version of a key");
            let kv = KeyValue::decode(value).map_err(|_| bad())?;
            let revision = key.try_get_i64().map_err(|_| bad())?;
            let place = key.try_get_u32().map_err(|_| bad())?;
            if revision != kv.mod_revision {
                return Err(bad());
            }
            space.load(Version { kv: Arc::new(kv), place });
            Ok(())
        })?;
        space.revision = space.revision.max(number(REVISION)?.unwrap_or(1));
        Ok(space)
    }

    /// Takes a version in that was read; they come in order of revision.
    fn load(&mut self, version: Version) {
        let kv = &version.kv;
        self.revision = kv.mod_revision;
        let prev = self.newest(&kv.key).cloned();
        if kv.mod_revision >= self.compacted {
            self.append(Change { kv: Arc::clone(kv), prev: prev.clone() });
        }
        self.bind(kv, prev.as_deref());
        self.bytes += size(kv);
        self.keys.entry(kv.key.clone()).or_default().push(version);
    }

    /// The newest revision.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The oldest revision that can be read.
    pub fn compacted(&self) -> i64 {
        self.compacted
    }

    /// Bytes that all versions take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What stands before every response.
    pub fn header(&self) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.identity.cluster,
            member_id: self.identity.member,
            revision: self.revision,
            raft_term: 1,
        }
    }

    /// What has to be written before anything since the last call is answered.
    pub fn take_batch(&mut self) -> WriteBatch {
        std::mem::take(&mut self.batch)
    }

    /// Whether something has to be written.
    pub fn is_dirty(&self) -> bool {
        !self.batch.is_empty()
    }

    /// The newest version of a key that exists.
    pub fn newest(&self, key: &[u8]) -> Option<&Arc<KeyValue>> {
        self.keys.get(key)?.last().map(|version| &version.kv).filter(|kv| kv.version > 0)
    }

    /// The keys of a range as they were at a revision.
    pub fn at(&self, range: &KeyRange, revision: i64) -> Vec<Arc<KeyValue>> {
        let Some(bounds) = range.bounds() else { return Vec::new() };
        let visible = |versions: &Vec<Version>| {
            let until = versions.partition_point(|version| version.kv.mod_revision <= revision);
            versions[..until].last().map(|version| &version.kv).filter(|kv| kv.version > 0).cloned()
        };
        let keys = self.keys.range::<[u8], _>(bounds);
        keys.filter_map(|(_, versions)| visible(versions)).collect()
    }

    /// What happened from `revision` on, as far as it is remembered.
    pub fn since(&self, revision: i64) -> impl Iterator<Item = &Revision> {
        let from = self.log.partition_point(|logged| logged.number < revision);
        self.log.range(from..)
    }

    /// Begins a transaction that changes something.
    pub(super) fn begin(&self) -> Writing {
        Writing { revision: self.revision + 1, changes: 0 }
    }

    /// Writes one key, and answers what was there before.
    pub(super) fn put(
        &mut self,
        writing: &mut Writing,
        (key, value): (Bytes, Bytes),
        lease: i64,
    ) -> Option<Arc<KeyValue>> {
        let prev = self.newest(&key).cloned();
        let (create_revision, version) = prev
            .as_ref()
            .map_or((writing.revision, 1), |prev| (prev.create_revision, prev.version + 1));
        let mod_revision = writing.revision;
        let kv = KeyValue { key, create_revision, mod_revision, version, value, lease };
        self.change(writing, kv, prev.clone());
        prev
    }

    /// Deletes the keys of a range, and answers what was there.
    pub(super) fn delete(&mut self, writing: &mut Writing, range: &KeyRange) -> Vec<Arc<KeyValue>> {
        let found = self.at(range, i64::MAX);
        for prev in &found {
            let (key, mod_revision) = (prev.key.clone(), writing.revision);
            let kv = KeyValue { key, mod_revision, ..KeyValue::default() };
            self.change(writing, kv, Some(Arc::clone(prev)));
        }
        found
    }

    fn change(&mut self, writing: &mut Writing, kv: KeyValue, prev: Option<Arc<KeyValue>>) {
        let kv = Arc::new(kv);
        let place = writing.changes;
        writing.changes += 1;
        self.batch.put(CF, version_key(writing.revision, place), kv.encode_to_vec());
        self.bind(&kv, prev.as_deref());
        self.bytes += size(&kv);
        self.keys.entry(kv.key.clone()).or_default().push(Version { kv: Arc::clone(&kv), place });
        assert!(kv.mod_revision <= self.revision + 1, "E1: a revision was left out");
        self.revision = kv.mod_revision;
        self.append(Change { kv, prev });
    }

    fn append(&mut self, change: Change) {
        let number = change.kv.mod_revision;
        match self.log.back_mut() {
            Some(newest) if newest.number == number => newest.changes.push(change),
            Some(_) | None => self.log.push_back(Revision { number, changes: vec![change] }),
        }
    }

    /// E3: lets go of the old lease, and holds on to the new one.
    fn bind(&mut self, kv: &KeyValue, prev: Option<&KeyValue>) {
        if let Some(prev) = prev.filter(|prev| prev.lease != 0 && prev.lease != kv.lease) {
            self.leases.detach(prev.lease, &kv.key);
        }
        if kv.lease != 0 && self.leases.contains(kv.lease) {
            self.leases.attach(kv.lease, kv.key.clone());
        }
    }

    /// Forgets what only revisions before this one could see.
    pub fn compact(&mut self, request: CompactionRequest) -> Result<CompactionResponse, MetaError> {
        let revision = request.revision;
        if revision <= self.compacted {
            return Err(MetaError::Compacted);
        }
        if revision > self.revision {
            return Err(MetaError::FutureRevision);
        }
        let older = self.log.iter().take_while(|logged| logged.number <= revision);
        let changes = older.flat_map(|logged| &logged.changes);
        let mut touched: Vec<Bytes> = changes.map(|change| change.kv.key.clone()).collect();
        touched.sort_unstable();
        touched.dedup();
        for key in touched {
            self.trim(&key, revision);
        }
        self.compacted = revision;
        self.batch.put(CF, COMPACTED, revision.to_be_bytes().to_vec());
        self.batch.put(CF, REVISION, self.revision.to_be_bytes().to_vec());
        self.forget_before(revision);
        Ok(CompactionResponse { header: Some(self.header()) })
    }

    /// Of the versions up to `revision`, keeps the last, and not even that if it is a deletion.
    fn trim(&mut self, key: &Bytes, revision: i64) {
        let Some(versions) = self.keys.get_mut(key) else { return };
        let until = versions.partition_point(|version| version.kv.mod_revision <= revision);
        let Some(last) = until.checked_sub(1) else { return };
        let keep = usize::from(versions[last].kv.version > 0);
        for gone in versions.drain(..until - keep) {
            self.bytes -= size(&gone.kv);
            self.batch.delete(CF, version_key(gone.kv.mod_revision, gone.place));
        }
        if versions.is_empty() {
            self.keys.remove(key);
        }
    }

    fn forget_before(&mut self, revision: i64) {
        while self.log.front().is_some_and(|logged| logged.number < revision) {
            self.log.pop_front();
        }
        // Of the revision itself, what survives can still be watched, as it will after a restart.
        if let Some(first) = self.log.front_mut().filter(|first| first.number == revision) {
            let keys = &self.keys;
            let survives = |change: &Change| {
                let versions = keys.get(&change.kv.key);
                versions.is_some_and(|all| all.iter().any(|v| Arc::ptr_eq(&v.kv, &change.kv)))
            };
            first.changes.retain(survives);
            first.changes.iter_mut().for_each(|change| change.prev = None);
            if first.changes.is_empty() {
                self.log.pop_front();
            }
        }
    }

    /// Compacts by itself when the history has grown long.
    pub fn compact_if_long(&mut self) {
        let keep = self.limits.revisions;
        if self.revision - self.compacted > 2 * keep {
            let request = CompactionRequest { revision: self.revision - keep, physical: false };
            // Nothing can be against it: the revision lies between the two.
            let _ = self.compact(request);
        }
    }

    pub(super) fn save_lease(&mut self, granted: &LeaseGrantRequest) {
        self.batch.put(CF, lease_key(granted.id), granted.ttl.to_be_bytes().to_vec());
    }

    pub(super) fn forget_lease(&mut self, id: i64) {
        self.batch.delete(CF, lease_key(id));
    }
}

/// A transaction that is being written.
#[derive(Debug)]
pub(super) struct Writing {
    revision: i64,
    changes: u32,
}

fn size(kv: &KeyValue) -> usize {
    VERSION_BYTES + 2 * kv.key.len() + kv.value.len()
}

fn version_key(revision: i64, place: u32) -> Vec<u8> {
    [VERSIONS, &revision.to_be_bytes(), &place.to_be_bytes()].concat()
}

fn lease_key(id: i64) -> Vec<u8> {
    [LEASES, &id.to_be_bytes()].concat()
}

fn corrupt(what: &str) -> Error {
    Error::Records(format!("{what} cannot be read from the disk"))
}

/// Calls `each` with what follows the prefix, and the value.
fn scan(
    engine: &dyn Engine,
    prefix: &[u8],
    mut each: impl FnMut(&[u8], &[u8]) -> error::Result<()>,
) -> error::Result<()> {
    let snapshot = engine.snapshot()?;
    let end = [&prefix[..prefix.len() - 1], &[prefix[prefix.len() - 1] + 1]].concat();
    let mut cursor = snapshot.cursor(CF, EngineRange::new(prefix, &end))?;
    let mut is_there = cursor.seek_to_first()?;
    while is_there {
        let (key, value) = cursor.entry();
        each(&key[prefix.len()..], value)?;
        is_there = cursor.next()?;
    }
    Ok(())
}
