//! A cluster that speaks TinyKV's protocol, raw or with transactions.

use std::sync::Arc;

use bytes::Bytes;
use client::{Client, Config, Transaction};
use runtime::Rng;

use super::{ConnectError, Done, Failure, check};
use crate::keys::{Values, key, number};
use crate::workload::Operation;

/// What every account of the bank has at the beginning.
const EACH: u64 = 1000;

/// How many keys one transaction fills.
const FILL: u64 = 100;

/// A client of the cluster; clones share its connections.
#[derive(Clone)]
pub(crate) struct TinyKv {
    client: Client,
    values: Arc<Values>,
    transactions: bool,
}

fn failure(error: &client::Error) -> Failure {
    let text = error.to_string();
    if error.is_undetermined() { Failure::Unknown(text) } else { Failure::Refused(text) }
}

fn account(number: u64) -> Bytes {
    format!("acct{number:012}").into()
}

fn amount(found: Option<&Bytes>) -> u64 {
    let digits = found.and_then(|value| value.first_chunk::<8>());
    digits.map_or(0, |digits| u64::from_be_bytes(*digits))
}

fn money(amount: u64) -> Bytes {
    Bytes::copy_from_slice(&amount.to_be_bytes())
}

impl TinyKv {
    pub(crate) async fn connect(
        scheduler: &str,
        values: &Arc<Values>,
        transactions: bool,
        batched: bool,
    ) -> Result<Self, ConnectError> {
        let config = Config { batched, ..Config::default() };
        let client = Client::connect(&[scheduler], config).await;
        let client = client.map_err(|error| ConnectError(format!("{scheduler}: {error}")))?;
        Ok(TinyKv { client, values: Arc::clone(values), transactions })
    }

    /// How many replicas the region of the keys has; none, as long as nobody leads it.
    pub(crate) async fn replicas(&self) -> usize {
        let found = self.client.scheduler().region(&key(0)).await;
        let led = found.ok().flatten().filter(|found| found.leader.is_some());
        led.map_or(0, |found| found.region.peers.len())
    }

    /// Does an operation.
    pub(crate) async fn perform(
        &self,
        operation: Operation,
        rng: &mut Rng,
    ) -> Result<Done, Failure> {
        match operation {
            Operation::Get { key, filled } => self.get(key, filled).await,
            Operation::Put { key } => self.put(key, self.values.of(key, rng)).await,
            Operation::Scan { key, rows } => self.scan(key, rows).await,
            Operation::ReadModifyWrite { key } => self.modify(key, rng).await,
            Operation::Pair { keys } => {
                let pairs = keys.map(|number| (key(number), self.values.of(number, rng)));
                self.write(&pairs).await
            }
            Operation::Transfer { from, to, amount } => {
                let (from, to) = (account(from), account(to));
                self.until_committed(&Change::Transfer { from, to, wanted: amount }).await
            }
            Operation::Timestamp => {
                let taken = self.client.scheduler().timestamp().await;
                taken.map(|_| Done::rows(0)).map_err(|error| failure(&error))
            }
        }
    }

    async fn get(&self, number: u64, filled: u64) -> Result<Done, Failure> {
        let found = if self.transactions {
            match self.client.begin().await {
                Ok(txn) => txn.get(key(number)).await,
                Err(error) => Err(error),
            }
        } else {
            self.client.raw().get(key(number)).await
        };
        let found = found.map_err(|error| failure(&error))?;
        check(&self.values, number, filled, found.as_deref())
    }

    async fn put(&self, number: u64, value: Bytes) -> Result<Done, Failure> {
        if self.transactions {
            return self.write(&[(key(number), value)]).await;
        }
        let put = self.client.raw().put(key(number), value).await;
        put.map(|()| Done::rows(0)).map_err(|error| failure(&error))
    }

    async fn scan(&self, first: u64, rows: usize) -> Result<Done, Failure> {
        let start = key(first);
        let found = if self.transactions {
            match self.client.begin().await {
                Ok(txn) => txn.scan(start, Bytes::new(), rows).await,
                Err(error) => Err(error),
            }
        } else {
            self.client.raw().scan(start, Bytes::new(), rows).await
        };
        let found = found.map_err(|error| failure(&error))?;
        for (key, value) in &found {
            let fits = number(key).is_some_and(|number| self.values.fits(number, value));
            if !fits {
                return Err(Failure::Wrong(format!("a scan has {key:?}, and not its value")));
            }
        }
        Ok(Done::rows(found.len()))
    }

    async fn modify(&self, number: u64, rng: &mut Rng) -> Result<Done, Failure> {
        let value = self.values.of(number, rng);
        if !self.transactions {
            let read = self.get(number, 0).await?;
            self.put(number, value).await?;
            return Ok(read);
        }
        self.until_committed(&Change::Modify { key: key(number), value }).await
    }

    async fn write(&self, pairs: &[(Bytes, Bytes)]) -> Result<Done, Failure> {
        self.until_committed(&Change::Write { pairs }).await
    }

    /// Begins a transaction again and again, until nobody else was faster.
    async fn until_committed(&self, change: &Change<'_>) -> Result<Done, Failure> {
        let mut begun_again = 0;
        loop {
            let once = async {
                let mut txn = self.client.begin().await?;
                change.make(&mut txn).await?;
                txn.commit().await
            };
            match once.await {
                Ok(_) => return Ok(Done { rows: 0, begun_again }),
                Err(error) if lost_the_race(&error) => begun_again += 1,
                Err(error) => return Err(failure(&error)),
            }
        }
    }

    /// Gives every account what it begins with.
    pub(crate) async fn found_bank(&self, accounts: u64) -> Result<(), Failure> {
        let mut first = 0;
        while first < accounts {
            let next = (first + FILL).min(accounts);
            let pairs: Vec<_> = (first..next).map(|n| (account(n), money(EACH))).collect();
            self.write(&pairs).await?;
            first = next;
        }
        Ok(())
    }

    /// Whether the bank still has all its money.
    pub(crate) async fn audit_bank(&self, accounts: u64) -> Result<(), Failure> {
        let txn = self.client.begin().await.map_err(|error| failure(&error))?;
        let enough = usize::try_from(accounts).unwrap_or(usize::MAX);
        let found = txn.scan(account(0), Bytes::from("accu"), enough).await;
        let found = found.map_err(|error| failure(&error))?;
        let total: u64 = found.iter().map(|(_, value)| amount(Some(value))).sum();
        if total == accounts * EACH {
            return Ok(());
        }
        Err(Failure::Wrong(format!("the bank has {total} in place of {}", accounts * EACH)))
    }
}

/// Whether another transaction was first, so that it is worth to begin again.
fn lost_the_race(error: &client::Error) -> bool {
    use client::error::Cause;
    matches!(error.cause(), Cause::Conflict(_) | Cause::RolledBack(_))
}

/// What a transaction does between its beginning and its commit.
enum Change<'a> {
    /// Writes, and reads nothing.
    Write { pairs: &'a [(Bytes, Bytes)] },
    /// Reads a key, and writes it.
    Modify { key: Bytes, value: Bytes },
    /// Moves so much, or as much as there is.
    Transfer { from: Bytes, to: Bytes, wanted: u64 },
}

impl Change<'_> {
    async fn make(&self, txn: &mut Transaction) -> client::Result<()> {
        match self {
            Change::Write { pairs } => {
                for (key, value) in *pairs {
                    txn.put(key.clone(), value.clone())?;
                }
                Ok(())
            }
            Change::Modify { key, value } => {
                txn.get(key.clone()).await?;
                txn.put(key.clone(), value.clone())
            }
            Change::Transfer { from, to, wanted } => {
                let has = amount(txn.get(from.clone()).await?.as_ref());
                let gets = amount(txn.get(to.clone()).await?.as_ref());
                let sum = (*wanted).min(has);
                txn.put(from.clone(), money(has - sum))?;
                txn.put(to.clone(), money(gets + sum))
            }
        }
    }
}
