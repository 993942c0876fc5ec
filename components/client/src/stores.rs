//! Connections to stores, by the stores' ids.
//!
//! The scheduler knows where a store is. A connection is made when it is first needed, by one of those who
//! need it, and kept; when a store does not answer, it is forgotten together with the address, because a
//! store that restarts may do so elsewhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use proto::metapb::StoreState;
use proto::tinykvext::tiny_kv_ext_client::TinyKvExtClient;
use proto::tinykvpb::tiny_kv_client::TinyKvClient;
use tokio::sync::OnceCell;
use tonic::transport::Channel;

use crate::batch::Batches;
use crate::config::Config;
use crate::dial::{dial, url};
use crate::failure::Failure;
use crate::scheduler::SchedulerClient;

/// The largest answer that is read. Above what a store gives, which is bounded itself.
const ANSWER_BYTES_MAX: usize = 128 << 20;

/// What calls to a store go through: its two services, over one connection.
#[derive(Clone)]
pub(crate) struct Stub {
    /// Data.
    pub(crate) kv: TinyKvClient<Channel>,
    /// Administration, and the stream.
    pub(crate) ext: TinyKvExtClient<Channel>,
    /// The stream, from when it is first needed, and how long its requests wait for an answer.
    batches: Option<(OnceLock<Batches>, Duration)>,
}

impl Stub {
    /// The stream, if there may be one and the store takes it.
    pub(crate) fn batches(&self) -> Option<&Batches> {
        let (stream, patience) = self.batches.as_ref()?;
        let batches = stream.get_or_init(|| Batches::start(self.ext.clone(), *patience));
        batches.is_offered().then_some(batches)
    }
}

/// The stores that we talk to.
pub(crate) struct Stores {
    scheduler: SchedulerClient,
    config: Config,
    known: Mutex<BTreeMap<u64, Arc<OnceCell<Arc<Stub>>>>>,
}

impl Stores {
    pub(crate) fn new(scheduler: SchedulerClient, config: Config) -> Self {
        Stores { scheduler, config, known: Mutex::default() }
    }

    /// The way to a store.
    pub(crate) async fn get(&self, id: u64) -> Result<Arc<Stub>, Failure> {
        let cell = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(id).or_default())
        };
        cell.get_or_try_init(|| self.connect(id)).await.cloned()
    }

    /// The store is not where we thought, or does not answer.
    pub(crate) fn forget(&self, id: u64) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    async fn connect(&self, id: u64) -> Result<Arc<Stub>, Failure> {
        let found = self.scheduler.store(id).await;
        let store = found.map_err(|error| Failure::Unlocated(error.to_string()))?;
        let store = store.filter(|store| store.state() != StoreState::Tombstone);
        let store = store.ok_or_else(|| Failure::Unlocated(format!("there is no store {id}")))?;
        let url = url(&store.address).map_err(Failure::Unreachable)?;
        let channel = dial(&url, self.config.connect).await.map_err(Failure::Unreachable)?;
        let kv = TinyKvClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ext = TinyKvExtClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let batches = self.config.batched.then(|| (OnceLock::new(), self.config.store_attempt));
        Ok(Arc::new(Stub { kv, ext, batches }))
    }
}
