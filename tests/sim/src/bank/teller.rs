//! A client with one transaction: it moves money between accounts, or counts all of it.

use std::rc::Rc;

use bytes::Bytes;
use runtime::Rng;
use storage::mvcc::{Direction, Row, physical_ms};
use storage::txn::{CheckStatus, Commit, Get, Mutation, Prewrite, ResolveLock, Rollback, Scan};
use storage::txn::{ScanLocks, Status};
use storage::{KeyError, Kv, Locked};

use super::book::Told;
use super::city::City;
use crate::store::Property;

/// What is on an account that nobody has written to.
pub(super) const INITIAL: u64 = 100;

/// How often a client settles locks in its way before it gives up, while anything may go wrong.
const ATTEMPTS: usize = 12;

pub(super) static SUM: Property = Property {
    name: "no money appears or disappears",
    source: "snapshot isolation: a snapshot shows whole transactions",
};

pub(super) static HONEST: Property = Property {
    name: "a committed transaction is never refused or rolled back",
    source: "the primary key decides, once, and what it decided is final",
};

/// See the [module](self).
pub(super) struct Teller {
    pub(super) city: Rc<City>,
    pub(super) rng: Rng,
    pub(super) accounts: Vec<Bytes>,
    /// Its place in the book.
    pub(super) id: usize,
    pub(super) start_ts: u64,
}

/// What is on an account.
pub(super) fn balance(value: Option<&Bytes>) -> u64 {
    let Some(value) = value else { return INITIAL };
    let text = std::str::from_utf8(value).expect("balances are text");
    let number = text.split(' ').next().and_then(|number| number.parse().ok());
    number.expect("balances begin with a number")
}

impl Teller {
    /// Moves some money between some accounts.
    pub(super) async fn transfer(mut self) {
        let Some(mutations) = self.decide().await else { return };
        let place = self.id;
        self.city.book.borrow_mut().transactions[place].writes.clone_from(&mutations);
        let primary = mutations[0].key().clone();
        let (first, others) = mutations.split_at(1);
        let mut requests = vec![first.to_vec(), others.to_vec()];
        match self.rng.below(4) {
            0 => requests = vec![mutations.clone()],
            1 => requests.reverse(),
            _ => {}
        }
        for request in requests {
            if !self.prewrite(&request, &primary).await {
                return self.roll_back(&mutations).await;
            }
            self.think().await;
        }
        let commit_ts = self.city.next_ts();
        if !self.commit_primary(&primary, commit_ts).await {
            return;
        }
        self.told(Told::CommittedAt(commit_ts));
        if self.rng.chance(3, 4) {
            self.think().await;
            self.commit(others, commit_ts, ATTEMPTS).await;
        }
    }

    /// Reads, and decides what to write: money goes from the first account to the others. Sometimes one
    /// account is only held, so that nobody else writes it meanwhile.
    async fn decide(&mut self) -> Option<Vec<Mutation>> {
        let mut accounts = self.accounts.clone();
        self.rng.shuffle(&mut accounts);
        accounts.truncate(usize::try_from(self.rng.range(2..5)).expect("few accounts"));
        let mut balances = Vec::new();
        for account in &accounts {
            balances.push(balance(self.read(account).await?.as_ref()));
        }
        self.think().await;
        let held = if accounts.len() > 2 && self.rng.chance(1, 4) { accounts.pop() } else { None };
        for place in 1..accounts.len() {
            let amount = self.rng.below(balances[0].min(20) + 1);
            balances[0] -= amount;
            balances[place] += amount;
        }
        let start_ts = self.start_ts;
        let mut mutations: Vec<Mutation> = accounts
            .iter()
            .zip(balances)
            .map(|(account, balance)| {
                if balance == INITIAL {
                    return Mutation::Delete(account.clone());
                }
                Mutation::Put(account.clone(), format!("{balance} by {start_ts}").into())
            })
            .chain(held.map(Mutation::Lock))
            .collect();
        self.rng.shuffle(&mut mutations);
        Some(mutations)
    }

    /// Counts all money in one snapshot.
    pub(super) async fn audit(mut self) -> bool {
        let (version, mut left, mut sum) = (self.start_ts, self.accounts.clone(), 0);
        let direction = Direction::Forward;
        for _ in 0.. {
            let asked = self.city.ask(
                &left,
                |key| key,
                move |kv, context, keys: Vec<Bytes>| {
                    let limit = u32::try_from(keys.len()).expect("few accounts");
                    let start = keys.first().cloned().unwrap_or_default();
                    let scan = Scan { start, limit, version, direction };
                    async move { kv.read(&context, scan).await }
                },
            );
            let Some(Ok(answers)) = asked.await else { return false };
            left.clear();
            let mut locks = Vec::new();
            for (keys, rows) in answers {
                let locked = rows.iter().find_map(|row| match row {
                    Row::Locked(locked) => Some(locked.clone()),
                    Row::Value { .. } => None,
                });
                if let Some(locked) = locked {
                    left.extend(keys);
                    locks.push(locked);
                    continue;
                }
                sum += self.count(&keys, &rows);
            }
            for locked in locks {
                self.settle(&locked).await;
            }
            if left.is_empty() {
                break;
            }
            left.sort_unstable();
            self.think().await;
        }
        let total = INITIAL * self.accounts.len() as u64;
        let mut book = self.city.book.borrow_mut();
        if sum == total {
            book.counts.audits += 1;
        } else {
            let read = &book.transactions[self.id].reads;
            let what = format!("at {version} there is {sum} instead of {total}: {read:?}");
            book.broken(&SUM, what);
        }
        true
    }

    /// What is on these accounts, of which only those with a value were found.
    fn count(&self, keys: &[Bytes], rows: &[Row]) -> u64 {
        let mut sum = 0;
        for key in keys {
            let value = rows.iter().find_map(|row| match row {
                Row::Value { key: found, value } if found == key => Some(value),
                Row::Value { .. } | Row::Locked(_) => None,
            });
            self.city.book.borrow_mut().read(self.id, key, value);
            sum += balance(value);
        }
        sum
    }

    /// Reads an account; nothing if nobody answers.
    async fn read(&mut self, key: &Bytes) -> Option<Option<Bytes>> {
        let version = self.start_ts;
        for _ in 0..ATTEMPTS {
            let keys = [key.clone()];
            let asked = self.city.ask(
                &keys,
                |key| key,
                move |kv, context, keys: Vec<Bytes>| {
                    let get = Get { key: keys[0].clone(), version };
                    async move { kv.read(&context, get).await }
                },
            );
            match asked.await? {
                Ok(answers) => {
                    let (_, value) = answers.into_iter().next()?;
                    self.city.book.borrow_mut().read(self.id, key, value.as_ref());
                    return Some(value);
                }
                Err(KeyError::Locked(locked)) => self.settle(&locked).await,
                Err(error) => {
                    self.broken(&format!("a read was refused: {error}"));
                    return None;
                }
            }
        }
        None
    }

    async fn prewrite(&mut self, mutations: &[Mutation], primary: &Bytes) -> bool {
        let election = u64::try_from(self.city.election.as_millis()).expect("elections are short");
        let ttl = *self.rng.pick(&[1, election / 4, election, election * 4]).expect("not empty");
        let start_ts = self.start_ts;
        for _ in 0..ATTEMPTS {
            let primary = primary.clone();
            let asked = self.city.ask(mutations, Mutation::key, move |kv, context, mutations| {
                let primary = primary.clone();
                let prewrite = Prewrite { mutations, primary, start_ts, ttl: ttl.max(1) };
                async move { kv.run(&context, prewrite).await }
            });
            let Some(Ok(answers)) = asked.await else { return false };
            self.city.counted(|counts| counts.wide += u64::from(answers.len() > 1));
            let refused: Vec<KeyError> =
                answers.into_iter().flat_map(|(_, refused)| refused).collect();
            if refused.is_empty() {
                return true;
            }
            for error in refused {
                match error {
                    KeyError::Locked(locked) => self.settle(&locked).await,
                    KeyError::Conflict(_) | KeyError::Retryable(_) | KeyError::Abort(_) => {
                        return false;
                    }
                }
            }
        }
        false
    }

    /// Commits the primary key, and whatever is heard of that, finds out whether it is.
    async fn commit_primary(&mut self, primary: &Bytes, commit_ts: u64) -> bool {
        let mutation = Mutation::Lock(primary.clone());
        let attempts = usize::try_from(self.rng.range(1..6)).expect("a few");
        match self.commit(&[mutation], commit_ts, attempts).await {
            Some(Ok(())) => return true,
            Some(Err(_)) => {
                self.told(Told::RolledBack);
                return false;
            }
            None => self.city.counted(|counts| counts.unknown += 1),
        }
        let (lock_ts, primary) = (self.start_ts, primary.clone());
        for _ in 0..ATTEMPTS {
            match self.status(lock_ts, &primary).await {
                Some(Status::Committed { commit_ts: found }) => {
                    if found != commit_ts {
                        self.broken(&format!("committed at {found}, not at {commit_ts}"));
                    }
                    return true;
                }
                Some(Status::RolledBack | Status::Expired | Status::NeverSeen) => {
                    self.told(Told::RolledBack);
                    return false;
                }
                Some(Status::Alive { .. }) | None => {}
            }
            self.city.time.sleep(self.city.some_time(1000)).await;
        }
        false
    }

    /// Commits keys. Nothing if nobody knows whether they are.
    async fn commit(
        &self,
        mutations: &[Mutation],
        commit_ts: u64,
        attempts: usize,
    ) -> Option<Result<(), KeyError>> {
        let start_ts = self.start_ts;
        let request = move |kv: Rc<Kv>, context, mutations: Vec<Mutation>| {
            let keys = mutations.iter().map(|mutation| mutation.key().clone()).collect();
            let commit = Commit { keys, start_ts, commit_ts };
            async move { kv.run(&context, commit).await }
        };
        let asked = self.city.ask_a_few_times(attempts, mutations, Mutation::key, request);
        let answer = asked.await?.map(drop);
        let told = self.city.book.borrow().transactions[self.id].told;
        if let (Err(error), Some(Told::CommittedAt(_))) = (&answer, told) {
            self.broken(&format!("a secondary key was refused: {error}"));
        }
        Some(answer)
    }

    async fn roll_back(&self, mutations: &[Mutation]) {
        let start_ts = self.start_ts;
        let asked = self.city.ask(mutations, Mutation::key, move |kv, context, mutations| {
            let keys = mutations.iter().map(|mutation| mutation.key().clone()).collect();
            let rollback = Rollback { keys, start_ts };
            async move { kv.rollback(&context, rollback).await }
        });
        match asked.await {
            Some(Ok(_)) | None => self.told(Told::RolledBack),
            // Nobody but this client can have committed it, and it has not.
            Some(Err(error)) => self.broken(&format!("a rollback was refused: {error}")),
        }
    }

    /// What became of a transaction.
    async fn status(&self, lock_ts: u64, primary: &Bytes) -> Option<Status> {
        let current_ts = self.city.next_ts();
        let keys = [primary.clone()];
        let asked = self.city.ask(
            &keys,
            |key| key,
            move |kv, context, keys: Vec<Bytes>| {
                let primary = keys[0].clone();
                let check = CheckStatus { primary, lock_ts, current_ts };
                async move { kv.run(&context, check).await }
            },
        );
        match asked.await? {
            Ok(answers) => answers.into_iter().next().map(|(_, status)| status),
            Err(error) => {
                self.broken(&format!("a status was refused: {error}"));
                None
            }
        }
    }

    /// Does to a lock what became of its transaction, or waits if nothing has yet.
    async fn settle(&self, locked: &Locked) {
        let lock_ts = locked.lock.ts;
        let Some(status) = self.status(lock_ts, &locked.lock.primary).await else { return };
        self.city.counted(|counts| match status {
            Status::Alive { .. } => counts.waited += 1,
            Status::Committed { .. } => counts.resolved += 1,
            Status::Expired => counts.expired += 1,
            Status::NeverSeen => counts.never_seen += 1,
            Status::RolledBack => {}
        });
        let commit_ts = match status {
            Status::Alive { .. } => {
                self.city.time.sleep(self.city.some_time(500)).await;
                return;
            }
            Status::Committed { commit_ts } => Some(commit_ts),
            Status::RolledBack | Status::Expired | Status::NeverSeen => None,
        };
        let keys = [locked.key.clone()];
        let asked = self.city.ask(
            &keys,
            |key| key,
            move |kv, context, _| async move {
                kv.resolve_lock(&context, ResolveLock::new(lock_ts, commit_ts)).await
            },
        );
        if let Some(Err(error)) = asked.await {
            self.broken(&format!("a lock was not resolved: {error}"));
        }
    }

    /// Settles all locks there are, wherever they are.
    pub(super) async fn sweep(self) {
        loop {
            let max_ts = self.city.next_ts();
            let asked = self.city.ask(
                &self.accounts,
                |key| key,
                move |kv, context, _| async move {
                    let scan = ScanLocks { start: Bytes::new(), max_ts, limit: 4 };
                    kv.scan_locks(&context, scan).await
                },
            );
            let Some(Ok(answers)) = asked.await else { continue };
            let locks: Vec<Locked> =
                answers.into_iter().flat_map(|(_, found)| found.locks).collect();
            if locks.is_empty() {
                return;
            }
            for locked in locks {
                self.city.note(physical_ms(locked.lock.ts), || format!("left behind: {locked:?}"));
                self.settle(&locked).await;
            }
        }
    }

    async fn think(&mut self) {
        let is_slow = self.rng.chance(1, 10);
        let length = self.city.some_time(if is_slow { 3000 } else { 20 });
        self.city.time.sleep(length).await;
    }

    fn told(&self, told: Told) {
        self.city.note(self.start_ts, || format!("transaction {}: {told:?}", self.start_ts));
        self.city.book.borrow_mut().transactions[self.id].told = Some(told);
    }

    fn broken(&self, what: &str) {
        let transaction = self.start_ts;
        let detail = format!("transaction {transaction}: {what}");
        self.city.book.borrow_mut().broken(&HONEST, detail);
    }
}
