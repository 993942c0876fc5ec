//! Leases: keys that end with their owner.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use runtime::clock::Instant;

use super::error::MetaError;

/// The shortest lease, in seconds. A shorter wish is granted so much: one and a half of etcd's election
/// timeouts.
pub const TTL_MIN: i64 = 2;

/// The longest.
pub const TTL_MAX: i64 = 9_000_000_000;

/// All leases.
#[derive(Debug, Default)]
pub struct Leases(BTreeMap<i64, Lease>);

/// A lease.
#[derive(Debug)]
struct Lease {
    ttl: i64,
    ends: Instant,
    keys: BTreeSet<Bytes>,
}

fn duration(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or_default())
}

impl Leases {
    /// Whether there is a lease of this id.
    pub fn contains(&self, id: i64) -> bool {
        self.0.contains_key(&id)
    }

    /// The ids of all leases.
    pub fn ids(&self) -> impl Iterator<Item = i64> {
        self.0.keys().copied()
    }

    /// What a wish comes to, in seconds.
    pub fn granted(id: i64, ttl: i64) -> Result<i64, MetaError> {
        match (id, ttl) {
            (0, _) => Err(MetaError::LeaseNotFound),
            (_, ttl) if ttl > TTL_MAX => Err(MetaError::LeaseTtlTooLarge),
            (_, ttl) => Ok(ttl.max(TTL_MIN)),
        }
    }

    /// Begins a lease.
    pub fn insert(&mut self, id: i64, ttl: i64, now: Instant) {
        let lease = Lease { ttl, ends: now + duration(ttl), keys: BTreeSet::new() };
        let old = self.0.insert(id, lease);
        assert!(old.is_none(), "E3: lease {id} began twice, and lost its keys");
    }

    /// Ends a lease, and answers its keys.
    pub fn remove(&mut self, id: i64) -> Option<BTreeSet<Bytes>> {
        self.0.remove(&id).map(|lease| lease.keys)
    }

    /// Its time begins anew; answers how long that is.
    pub fn renew(&mut self, id: i64, now: Instant) -> Option<i64> {
        let lease = self.0.get_mut(&id)?;
        // One that has ended cannot be saved: somebody may have seen it end.
        (lease.ends > now).then(|| {
            lease.ends = now + duration(lease.ttl);
            lease.ttl
        })
    }

    /// Seconds left, seconds granted, and the keys of a lease.
    pub fn describe(
        &self,
        id: i64,
        now: Instant,
    ) -> Option<(i64, i64, impl Iterator<Item = &Bytes>)> {
        let lease = self.0.get(&id)?;
        let left = i64::try_from(lease.ends.since(now).as_secs()).unwrap_or(i64::MAX);
        Some((left, lease.ttl, lease.keys.iter()))
    }

    /// Binds a key to a lease that exists.
    pub fn attach(&mut self, id: i64, key: Bytes) {
        let lease = self.0.get_mut(&id).expect("E3: it was checked before the key was written");
        lease.keys.insert(key);
    }

    /// Unbinds a key.
    pub fn detach(&mut self, id: i64, key: &Bytes) {
        if let Some(lease) = self.0.get_mut(&id) {
            lease.keys.remove(key);
        }
    }

    /// Leases whose time is over, at most so many.
    pub fn ended(&self, now: Instant, limit: usize) -> Vec<i64> {
        let is_over = |(_, lease): &(&i64, &Lease)| lease.ends <= now;
        self.0.iter().filter(is_over).map(|(&id, _)| id).take(limit).collect()
    }

    /// All time is given anew, as after a restart or for a new leader: owners could not renew.
    pub fn extend_all(&mut self, now: Instant) {
        for lease in self.0.values_mut() {
            lease.ends = now + duration(lease.ttl);
        }
    }
}
