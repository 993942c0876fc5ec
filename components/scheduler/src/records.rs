//! What the scheduler itself must not forget, and where it is written down.
//!
//! | name | value |
//! |---|---|
//! | `cluster_id` | 8 bytes: the id that every request carries |
//! | `timestamp` | 8 bytes: the end of the window of timestamps, in milliseconds since 1970 |
//! | `alloc_id` | 8 bytes: the end of the batch of ids |
//! | `gc/safe_point` | 8 bytes |
//! | `raft` | `metapb.Cluster`, from the first store's registration on |
//! | `raft/s/<id>` | `metapb.Store`; the id in twenty digits |
//!
//! With a space of our own they lie in the engine beside it, under names that no client can say.
//! With a real etcd they lie there, below `/pd/<cluster id>/`, and are written only while we lead.
//!
//! Regions are not among them. They are remembered on the local disk as well as that goes, so that a
//! restarted scheduler can answer where a key lies before all leaders have reported; what is lost
//! comes back with the next heartbeat.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use engine::{Cf, Durability, Engine, KeyRange, WriteBatch};
use prost::Message;
use proto::metapb::{Cluster, Region, Store};

use crate::error::{Error, Result};

/// One thing to be written down.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The end of the window of timestamps.
    Timestamp(u64),
    /// The end of the batch of ids.
    Ids(u64),
    /// No transaction reads below.
    SafePoint(u64),
    /// What the cluster is.
    Cluster(Cluster),
    /// A store.
    Store(Store),
}

const TIMESTAMP: &str = "timestamp";
const IDS: &str = "alloc_id";
const SAFE_POINT: &str = "gc/safe_point";
const CLUSTER: &str = "raft";
const STORES: &str = "raft/s/";

impl Record {
    /// Under which name it is written.
    pub fn name(&self) -> String {
        match self {
            Record::Timestamp(_) => TIMESTAMP.to_owned(),
            Record::Ids(_) => IDS.to_owned(),
            Record::SafePoint(_) => SAFE_POINT.to_owned(),
            Record::Cluster(_) => CLUSTER.to_owned(),
            Record::Store(store) => format!("{STORES}{:020}", store.id),
        }
    }

    /// What is written.
    pub fn value(&self) -> Bytes {
        match self {
            Record::Timestamp(number) | Record::Ids(number) | Record::SafePoint(number) => {
                Bytes::copy_from_slice(&number.to_be_bytes())
            }
            Record::Cluster(cluster) => cluster.encode_to_vec().into(),
            Record::Store(store) => store.encode_to_vec().into(),
        }
    }
}

/// Everything that was written down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// The end of the last window of timestamps; zero when there was none.
    pub timestamp: u64,
    /// The end of the last batch of ids; zero when there was none.
    pub ids: u64,
    /// No transaction reads below.
    pub safe_point: u64,
    /// What the cluster is, if somebody has said so.
    pub cluster: Option<Cluster>,
    /// All stores.
    pub stores: Vec<Store>,
}

impl Loaded {
    /// Takes one record in, by its name. Names that are not ours are left alone.
    pub fn take(&mut self, name: &str, value: &[u8]) -> Result<()> {
        let bad = || Error::Records(format!("the record {name} cannot be read"));
        let number = || (&value[..]).try_get_u64().map_err(|_| bad());
        match name {
            TIMESTAMP => self.timestamp = number()?,
            IDS => self.ids = number()?,
            SAFE_POINT => self.safe_point = number()?,
            CLUSTER => self.cluster = Some(Cluster::decode(value).map_err(|_| bad())?),
            name if name.starts_with(STORES) => {
                self.stores.push(Store::decode(value).map_err(|_| bad())?);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Where records are written.
pub trait Records: Send + Sync {
    /// Reads everything.
    fn load(&self) -> Result<Loaded>;

    /// Writes all of these, or none. When it returns they survive, and nobody else has written since
    /// we began to lead.
    fn save(&self, records: &[Record]) -> Result<()>;
}

/// Before the names, in the engine.
const PREFIX: &[u8] = b"s/";
/// Before the id of a region that is remembered.
const REGIONS: &[u8] = b"r/";
/// Where everything of ours lies.
const CF: Cf = Cf::Local;
/// Under which name the cluster's id is written.
const CLUSTER_ID: &str = "cluster_id";
/// Where a directory says whether its metadata lies in it or in a real etcd.
const PLACE: &str = "place";

/// Records in an engine of our own.
#[derive(Clone)]
pub struct EngineRecords {
    engine: Arc<dyn Engine>,
}

impl EngineRecords {
    /// Writes to this engine.
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        EngineRecords { engine }
    }

    /// The cluster that this directory belongs to, and where its metadata lies; an empty directory
    /// belongs to nobody.
    pub fn owner(&self) -> Result<Option<(u64, String)>> {
        let Some(mut id) = self.engine.get(CF, &key(CLUSTER_ID))? else { return Ok(None) };
        let bad = || Error::Records("the cluster's id cannot be read".to_owned());
        let place = self.engine.get(CF, &key(PLACE))?.ok_or_else(bad)?;
        let place = String::from_utf8(place.to_vec()).map_err(|_| bad())?;
        Ok(Some((id.try_get_u64().map_err(|_| bad())?, place)))
    }

    /// From now on this directory belongs to that cluster.
    pub fn own(&self, cluster: u64, place: &str) -> Result<()> {
        let mut batch = WriteBatch::new();
        batch.put(CF, key(CLUSTER_ID), cluster.to_be_bytes().to_vec());
        batch.put(CF, key(PLACE), place.as_bytes().to_vec());
        Ok(self.engine.write(&batch, Durability::Synced)?)
    }

    /// Remembers regions, and forgets others, as well as that goes without waiting for the disk.
    pub fn remember(
        &self,
        regions: &[Arc<Region>],
        gone: impl IntoIterator<Item = u64>,
    ) -> Result<()> {
        let mut batch = WriteBatch::new();
        for id in gone {
            batch.delete(CF, region_key(id));
        }
        for region in regions {
            batch.put(CF, region_key(region.id), region.encode_to_vec());
        }
        Ok(self.engine.write(&batch, Durability::Unsynced)?)
    }

    /// The regions that were remembered.
    pub fn regions(&self) -> Result<Vec<Region>> {
        let mut regions = Vec::new();
        self.scan(REGIONS, |_, value| {
            let bad = |_| Error::Records("a region cannot be read".to_owned());
            regions.push(Region::decode(value).map_err(bad)?);
            Ok(())
        })?;
        Ok(regions)
    }

    fn scan(&self, prefix: &[u8], mut each: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
        let snapshot = self.engine.snapshot()?;
        let mut end = prefix.to_vec();
        *end.last_mut().expect("a prefix is not empty") += 1;
        let mut cursor = snapshot.cursor(CF, KeyRange::new(prefix, &end))?;
        let mut is_there = cursor.seek_to_first()?;
        while is_there {
            let (key, value) = cursor.entry();
            each(&key[prefix.len()..], value)?;
            is_there = cursor.next()?;
        }
        Ok(())
    }
}

fn key(name: &str) -> Vec<u8> {
    [PREFIX, name.as_bytes()].concat()
}

fn region_key(id: u64) -> Vec<u8> {
    [REGIONS, &id.to_be_bytes()].concat()
}

impl Records for EngineRecords {
    fn load(&self) -> Result<Loaded> {
        let mut loaded = Loaded::default();
        self.scan(PREFIX, |name, value| {
            std::str::from_utf8(name).map_or(Ok(()), |name| loaded.take(name, value))
        })?;
        Ok(loaded)
    }

    fn save(&self, records: &[Record]) -> Result<()> {
        let mut batch = WriteBatch::new();
        for record in records {
            batch.put(CF, key(&record.name()), record.value());
        }
        Ok(self.engine.write(&batch, Durability::Synced)?)
    }
}

#[cfg(test)]
mod tests {
    use engine::{Faults, Faulty, Layout};

    use super::*;

    #[test]
    fn what_is_saved_survives_a_power_cut_and_is_read_by_name() {
        let engine = Faulty::new(Layout::Raft, Arc::new(Faults::default()));
        let engine = Arc::new(engine);
        let records = EngineRecords::new(Arc::clone(&engine) as Arc<dyn Engine>);
        assert_eq!(records.load().unwrap(), Loaded::default());
        assert_eq!(records.owner().unwrap(), None);
        let stores: Vec<Store> = (0..10).map(|id| Store { id, ..Store::default() }).collect();
        let cluster = Cluster { id: 123, max_peer_count: 3 };
        let mut all: Vec<Record> = stores.iter().cloned().map(Record::Store).collect();
        all.extend([Record::Cluster(cluster), Record::Timestamp(5), Record::Ids(6)]);
        all.push(Record::SafePoint(u64::MAX));
        records.save(&all).unwrap();
        records.own(123, "here").unwrap();
        records.remember(&[Arc::new(Region { id: 7, ..Region::default() })], []).unwrap();
        let records = EngineRecords::new(Arc::new(engine.crash(0)));
        let cluster = Some(cluster);
        let expected = Loaded { timestamp: 5, ids: 6, safe_point: u64::MAX, cluster, stores };
        assert_eq!(records.load().unwrap(), expected);
        assert_eq!(records.owner().unwrap(), Some((123, "here".to_owned())));
        assert!(records.regions().unwrap().is_empty(), "it was not synced");
    }

    #[test]
    fn names_are_the_originals_and_damage_is_told() {
        let store = Store { id: 123, ..Store::default() };
        assert_eq!(Record::Store(store).name(), "raft/s/00000000000000000123");
        let error = Loaded::default().take("timestamp", b"short").unwrap_err();
        assert!(error.to_string().contains("the record timestamp cannot be read"), "{error}");
        assert!(Loaded::default().take("raft/status/raft_bootstrap_time", b"?").is_ok());
    }
}
