//! A client with one transaction.

use std::rc::Rc;

use bytes::Bytes;
use proto::kvrpcpb::Context;
use runtime::Rng;

use super::world::{Told, World};
use super::{ATTEMPTS_MAX, KEYS};
use crate::mvcc::{Direction, Row};
use crate::txn::{Commit, Get, Mutation, Prewrite, Rollback, Scan};
use crate::{KeyError, Locked};

/// A client with one transaction.
pub(super) struct Client {
    pub(super) world: Rc<World>,
    pub(super) rng: Rng,
    pub(super) id: usize,
    pub(super) start_ts: u64,
}

impl Client {
    pub(super) async fn run(mut self) {
        for _ in 0..self.rng.below(3) {
            if !self.read().await {
                return;
            }
        }
        let mutations = self.choose_writes();
        self.world.with(self.id, |transaction| transaction.writes.clone_from(&mutations));
        let Some(primary) = mutations.first().map(|first| first.key().clone()) else { return };
        let (primaries, secondaries) = mutations.split_at(1);
        let mut requests = if self.rng.chance(1, 2) {
            vec![mutations.clone()]
        } else {
            vec![primaries.to_vec(), secondaries.to_vec()]
        };
        self.rng.shuffle(&mut requests);
        for request in requests {
            if !self.prewrite(request, &primary).await {
                return self.roll_back(&mutations).await;
            }
        }
        let commit_ts = self.world.next_ts();
        if !self.commit(primaries, commit_ts).await {
            return;
        }
        self.world.with(self.id, |transaction| {
            assert!(transaction.told.is_none());
            transaction.told = Some(Told::CommittedAt(commit_ts));
        });
        if self.rng.chance(3, 4) {
            self.commit(secondaries, commit_ts).await;
        }
    }

    /// Reads a key, or several at once; whether there was an answer.
    pub(super) async fn read(&mut self) -> bool {
        let (version, world) = (self.start_ts, Rc::clone(&self.world));
        let key = Bytes::from_static(self.rng.pick(&KEYS).unwrap());
        let is_scan = self.rng.chance(1, 3);
        let limit = u32::try_from(self.rng.range(1..6)).unwrap();
        let scan = Scan { start: key.clone(), limit, version, direction: Direction::Forward };
        for _ in 0..ATTEMPTS_MAX {
            let get = Get { key: key.clone(), version };
            let locked = if is_scan {
                let rows = world.ask(async |kv| kv.read(&Context::default(), scan.clone()).await);
                let Some(Ok(rows)) = rows.await else { return false };
                match self.note_scan(&scan, &rows) {
                    None => return true,
                    Some(locked) => locked,
                }
            } else {
                match world.ask(async |kv| kv.read(&Context::default(), get.clone()).await).await {
                    Some(Ok(value)) => {
                        world.with(self.id, |transaction| transaction.note(&key, value.as_ref()));
                        return true;
                    }
                    Some(Err(KeyError::Locked(locked))) => locked,
                    Some(Err(error)) => panic!("a read is never refused for {error}"),
                    None => return false,
                }
            };
            world.settle(&locked, world.next_ts()).await;
        }
        false
    }

    /// Notes what a scan found, and did not find, up to the first lock.
    pub(super) fn note_scan(&self, scan: &Scan, rows: &[Row]) -> Option<Locked> {
        let is_full = rows.len() as u64 == u64::from(scan.limit);
        let last = rows.last().filter(|_| is_full).map(Row::key);
        for row in rows {
            if let Row::Locked(locked) = row {
                return Some(locked.clone());
            }
        }
        for key in KEYS.into_iter().map(Bytes::from_static) {
            if key < scan.start || last.is_some_and(|last| key > *last) {
                continue;
            }
            let value = rows.iter().find_map(|row| match row {
                Row::Value { key: found, value } if *found == key => Some(value),
                Row::Value { .. } | Row::Locked(_) => None,
            });
            self.world.with(self.id, |transaction| transaction.note(&key, value));
        }
        None
    }

    pub(super) fn choose_writes(&mut self) -> Vec<Mutation> {
        let mut keys = KEYS;
        self.rng.shuffle(&mut keys);
        let count = usize::try_from(self.rng.below(4)).unwrap();
        let keys = keys.into_iter().take(count).map(Bytes::from_static);
        keys.map(|key| match self.rng.below(6) {
            0 => Mutation::Delete(key),
            1 => Mutation::Lock(key),
            _ => Mutation::Put(key, self.start_ts.to_string().into()),
        })
        .collect()
    }

    pub(super) async fn prewrite(&mut self, mutations: Vec<Mutation>, primary: &Bytes) -> bool {
        let (start_ts, ttl) = (self.start_ts, self.rng.range(1..40));
        let world = Rc::clone(&self.world);
        let prewrite = Prewrite { mutations, primary: primary.clone(), start_ts, ttl };
        for _ in 0..ATTEMPTS_MAX {
            let refused = world.ask(async |kv| kv.run(&Context::default(), prewrite.clone()).await);
            let Some(Ok(refused)) = refused.await else { return false };
            if refused.is_empty() {
                if self.rng.chance(1, 6) {
                    continue; // as if the answer were lost
                }
                return true;
            }
            for error in refused {
                match error {
                    KeyError::Locked(locked) => {
                        world.settle(&locked, world.next_ts()).await;
                    }
                    KeyError::Conflict(_) | KeyError::Retryable(_) | KeyError::Abort(_) => {
                        world.seen.borrow_mut().refused += 1;
                        return false;
                    }
                }
            }
        }
        false
    }

    pub(super) async fn commit(&self, mutations: &[Mutation], commit_ts: u64) -> bool {
        let keys = mutations.iter().map(|mutation| mutation.key().clone()).collect();
        let commit = Commit { keys, start_ts: self.start_ts, commit_ts };
        let world = &self.world;
        match world.ask(async |kv| kv.run(&Context::default(), commit.clone()).await).await {
            Some(Ok(())) => true,
            Some(Err(_)) => {
                world.with(self.id, |transaction| {
                    assert_eq!(transaction.told, None, "a committed transaction is refused");
                    transaction.told = Some(Told::RolledBack);
                });
                false
            }
            None => false,
        }
    }

    pub(super) async fn roll_back(&self, mutations: &[Mutation]) {
        let keys = mutations.iter().map(|mutation| mutation.key().clone()).collect();
        let rollback = Rollback { keys, start_ts: self.start_ts };
        let world = &self.world;
        let answer =
            world.ask(async |kv| kv.rollback(&Context::default(), rollback.clone()).await).await;
        match answer {
            Some(Ok(())) => {
                world.with(self.id, |transaction| transaction.told = Some(Told::RolledBack));
            }
            // Nobody but we can have committed it, and we have not.
            Some(Err(error)) => panic!("a rollback was refused: {error}"),
            None => {}
        }
    }
}
