//! What is measured: our own cluster, and what people would use in its place.
//!
//! | system | what it is | what it can do |
//! |---|---|---|
//! | [`tinykv`] | any cluster that speaks TinyKV's protocol, through the crate `client` | everything |
//! | [`etcd`] | three members of etcd, through the same stubs as our own scheduler's tests | get, put, scan |
//! | [`bare`] | a server of etcd's messages with nothing behind it: what the transport costs | get, put |
//! | [`redis`] | one process, no replication: for scale | get, put |
//!
//! All are driven by the same clients, with the same keys and values, from the same thread.

pub(crate) mod bare;
pub(crate) mod etcd;
pub(crate) mod redis;
pub(crate) mod tinykv;

use std::sync::Arc;

use runtime::Rng;

use crate::keys::Values;
use crate::workload::{Kind, Operation, Workload};

/// One client of a system.
pub(crate) trait Perform: Send + 'static {
    /// Does an operation, and waits until it is done.
    fn perform(
        &mut self,
        operation: Operation,
        rng: &mut Rng,
    ) -> impl Future<Output = Result<Done, Failure>> + Send;
}

/// What came of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// Rows that were read.
    pub(crate) rows: u64,
    /// How often it was begun again.
    pub(crate) begun_again: u64,
}

impl Done {
    pub(crate) fn rows(rows: usize) -> Self {
        Done { rows: rows as u64, begun_again: 0 }
    }
}

/// Why an operation was not done.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// It was certainly not done.
    #[error("refused: {0}")]
    Refused(String),
    /// Nobody knows.
    #[error("unknown: {0}")]
    Unknown(String),
    /// An answer came and cannot be true. It ends the run.
    #[error("a wrong answer: {0}")]
    Wrong(String),
}

/// A system, as far as one can connect to it.
#[derive(Clone)]
pub(crate) enum System {
    TinyKv(tinykv::TinyKv),
    Etcd(etcd::Etcd),
    Redis(redis::Address),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {0}")]
pub(crate) struct ConnectError(pub(crate) String);

impl System {
    /// Connects to what an address names: `etcd://`, `redis://`, or else the address of a scheduler.
    /// Of etcd there may be several, with commas. To our own cluster each request is a call of its own.
    pub(crate) async fn connect(
        address: &str,
        values: &Arc<Values>,
        transactions: bool,
    ) -> Result<Self, ConnectError> {
        Ok(match address.split_once("://") {
            Some(("etcd", hosts)) => System::Etcd(etcd::Etcd::connect(hosts, values).await?),
            Some(("redis", host)) => System::Redis(redis::Address::new(host, values)),
            Some(_) | None => {
                let connected = tinykv::TinyKv::connect(address, values, transactions, false);
                System::TinyKv(connected.await?)
            }
        })
    }

    /// The same cluster, to which requests travel together. `None` for what knows no such way.
    pub(crate) async fn batched(
        &self,
        address: &str,
        values: &Arc<Values>,
        transactions: bool,
    ) -> Result<Option<Self>, ConnectError> {
        let System::TinyKv(_) = self else { return Ok(None) };
        let connected = tinykv::TinyKv::connect(address, values, transactions, true).await?;
        Ok(Some(System::TinyKv(connected)))
    }

    /// Why it cannot do a workload, if it cannot.
    pub(crate) fn objection(&self, workload: Workload, transactions: bool) -> Option<&'static str> {
        let only = |kinds: &[Kind]| workload.kinds().all(|kind| kinds.contains(&kind));
        let simple = [Kind::Get, Kind::Put, Kind::Insert];
        let scans = [Kind::Get, Kind::Put, Kind::Insert, Kind::Scan, Kind::ShortScan];
        match self {
            System::TinyKv(_) => None,
            System::Etcd(_) if transactions => Some("its transactions are another thing"),
            System::Etcd(_) => (!only(&scans)).then_some("it is asked for gets, puts and scans"),
            System::Redis(_) if transactions => Some("it has no transactions that can conflict"),
            System::Redis(_) => (!only(&simple)).then_some("it is asked for gets and puts"),
        }
    }

    /// A client of it.
    pub(crate) async fn session(&self) -> Result<Session, ConnectError> {
        Ok(match self {
            System::TinyKv(tinykv) => Session::TinyKv(tinykv.clone()),
            System::Etcd(etcd) => Session::Etcd(etcd.clone()),
            System::Redis(address) => Session::Redis(address.connect().await?),
        })
    }
}

/// One client of one system.
pub(crate) enum Session {
    TinyKv(tinykv::TinyKv),
    Etcd(etcd::Etcd),
    Redis(redis::Redis),
}

impl Perform for Session {
    async fn perform(&mut self, operation: Operation, rng: &mut Rng) -> Result<Done, Failure> {
        match self {
            Session::TinyKv(tinykv) => tinykv.perform(operation, rng).await,
            Session::Etcd(etcd) => etcd.perform(operation, rng).await,
            Session::Redis(redis) => redis.perform(operation, rng).await,
        }
    }
}

/// Whether what was read under a key may stand there. A key that was there from the beginning must have a
/// value; one that is being inserted may have none yet.
fn check(values: &Values, key: u64, filled: u64, found: Option<&[u8]>) -> Result<Done, Failure> {
    match found {
        Some(value) if values.fits(key, value) => Ok(Done::rows(1)),
        None if key >= filled => Ok(Done::rows(0)),
        Some(value) => {
            Err(Failure::Wrong(format!("{} bytes that are not key {key}'s", value.len())))
        }
        None => Err(Failure::Wrong(format!("key {key} is not there"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_value_of_the_key_is_right_and_only_a_new_key_may_be_missing() {
        let values = Values::new(20);
        let value = values.of(3, &mut Rng::new(1));
        assert_eq!(check(&values, 3, 10, Some(&value)), Ok(Done::rows(1)));
        assert_eq!(check(&values, 10, 10, None), Ok(Done::rows(0)));
        let wrong = |text: &str| Err(Failure::Wrong(text.to_owned()));
        assert_eq!(check(&values, 3, 10, None), wrong("key 3 is not there"));
        assert_eq!(check(&values, 4, 10, Some(&value)), wrong("20 bytes that are not key 4's"));
    }
}
