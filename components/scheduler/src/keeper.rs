//! The thread that writes down what the scheduler must not forget.
//!
//! Everything that must survive passes through here, one thing after the other: it is worked out from
//! what is known, written, and only then known. Nobody else changes those parts of the core.
//!
//! At every tick it also looks ahead: the next window of timestamps and the next batch of ids are saved
//! before the old ones are used up, so that nobody waits for the disk.

use std::sync::Arc;

use program::Failure;
use proto::metapb::{Cluster, Store};
use runtime::mutant;
use runtime::reply::{Abandoned, Reply};
use runtime::worker::Runner;
use slog::{Logger, info, warn};

use crate::error::{Error, Result};
use crate::id::Ids;
use crate::records::{EngineRecords, Record, Records};
use crate::state::State;
use crate::tso::Time;

/// Ticks between two looks for stores that are empty: one second of twentieths.
const TICKS_PER_BURIAL: u64 = 20;

/// How what was asked ended.
#[derive(Debug)]
pub struct Done<T>(pub Result<T>);

impl<T> Abandoned for Done<T> {
    fn abandoned() -> Self {
        Done(Err(Error::NotLeader))
    }
}

/// What the keeper is asked to do.
pub enum Task {
    /// The first store founds the cluster.
    Bootstrap(Store, Reply<Done<()>>),
    /// A store registers, or registers again.
    PutStore(Store, Reply<Done<()>>),
    /// A store shall be emptied.
    RemoveStore(u64, Reply<Done<()>>),
    /// A store is gone; with force, also one that is not empty.
    BuryStore(u64, bool, Reply<Done<()>>),
    /// The cluster shall be otherwise.
    PutCluster(Cluster, Reply<Done<()>>),
    /// No transaction will read below; answers what holds.
    UpdateSafePoint(u64, Reply<Done<u64>>),
    /// So many ids are wanted at once.
    MoreIds(u64, Reply<Done<()>>),
    /// We lead now: begin with what is written.
    Lead(Reply<Done<()>>),
    /// We do not lead any more.
    Follow(Reply<Done<()>>),
}

/// Writes records, and then changes what they speak of.
pub struct Keeper {
    state: Arc<State>,
    records: Arc<dyn Records>,
    /// Where regions are remembered, if this process does.
    memory: Option<EngineRecords>,
    failure: Arc<Failure>,
    replicas: u32,
    is_leading: bool,
    ticks: u64,
    logger: Logger,
}

impl Keeper {
    /// A keeper that does not lead yet. A cluster that is founded here gets so many replicas.
    pub fn new(
        state: Arc<State>,
        (records, memory): (Arc<dyn Records>, Option<EngineRecords>),
        failure: Arc<Failure>,
        replicas: u32,
        logger: Logger,
    ) -> Self {
        let (is_leading, ticks) = (false, 0);
        Keeper { state, records, memory, failure, replicas, is_leading, ticks, logger }
    }

    /// Begins a term: reads what the last leader wrote, and reserves time and ids behind that.
    pub fn lead(&mut self) -> Result<()> {
        let loaded = self.records.load()?;
        let time = self.time();
        let mut ids = Ids::after(loaded.ids);
        let ids_end = ids.next_batch(1).expect("nothing is reserved yet");
        let window = self.state.tso().first_window(loaded.timestamp, time);
        self.save(&[Record::Timestamp(window), Record::Ids(ids_end)])?;
        ids.extended(ids_end);
        let regions = self.memory.as_ref().map_or(Ok(Vec::new()), EngineRecords::regions)?;
        {
            let mut core = self.state.core();
            core.ids = ids;
            core.cluster.meta = loaded.cluster;
            core.cluster.safe_point = loaded.safe_point;
            for store in loaded.stores {
                core.cluster.stores.put(store, time.now);
            }
            core.recall(regions);
        }
        self.is_leading = true;
        let time = self.time();
        self.state.tso().opened(loaded.timestamp, window, time);
        info!(self.logger, "leading"; "timestamps-from" => loaded.timestamp.max(time.wall_ms));
        Ok(())
    }

    /// Ends a term: what is known is the next leader's to know.
    pub fn follow(&mut self) {
        self.is_leading = false;
        self.state.tso().close();
        self.state.core().reset(self.state.clock.now());
        self.state.drop_streams();
    }

    fn time(&self) -> Time {
        Time::of(self.state.clock.as_ref())
    }

    fn save(&self, records: &[Record]) -> Result<()> {
        // The bug that is planted here forgets the time.
        let is_forgotten =
            |record: &&Record| mutant::on(23) && matches!(record, Record::Timestamp(_));
        let kept: Vec<Record> = records.iter().filter(|r| !is_forgotten(r)).cloned().collect();
        self.records.save(&kept).inspect_err(|error| {
            if let Error::Engine(error) = error
                && error.is_poisoned()
            {
                self.failure.report(&error.to_string());
            }
        })
    }

    fn check_leads(&self) -> Result<()> {
        if self.is_leading { Ok(()) } else { Err(Error::NotLeader) }
    }

    fn bootstrap(&self, mut store: Store) -> Result<()> {
        self.check_leads()?;
        if self.state.core().cluster.meta.is_some() {
            return Err(Error::AlreadyBootstrapped);
        }
        store = self.state.core().cluster.stores.registered(&store)?;
        let cluster = Cluster { id: self.state.cluster_id, max_peer_count: self.replicas };
        self.save(&[Record::Cluster(cluster), Record::Store(store.clone())])?;
        info!(self.logger, "the cluster is founded"; "store" => store.id);
        let mut core = self.state.core();
        core.cluster.meta = Some(cluster);
        core.cluster.stores.put(store, self.state.clock.now());
        Ok(())
    }

    /// Works a store's record out, writes it, and puts it.
    fn put(&self, work_out: impl FnOnce(&crate::core::Core) -> Result<Store>) -> Result<()> {
        self.check_leads()?;
        let store = {
            let core = self.state.core();
            core.cluster.meta()?;
            let store = work_out(&core)?;
            if core.cluster.stores.get(store.id).is_some_and(|known| known.meta == store) {
                return Ok(());
            }
            store
        };
        self.save(&[Record::Store(store.clone())])?;
        info!(self.logger, "a store is registered"; "store" => store.id,
            "addr" => &store.address, "state" => store.state().as_str_name());
        self.state.core().cluster.stores.put(store, self.state.clock.now());
        Ok(())
    }

    fn put_cluster(&self, cluster: Cluster) -> Result<()> {
        self.check_leads()?;
        self.state.core().cluster.meta()?;
        if cluster.id != self.state.cluster_id {
            // Not in the words of a wrong header: clients end themselves when they read those.
            return Err(Error::invalid(format!("{} is another cluster", cluster.id)));
        }
        if cluster.max_peer_count == 0 {
            return Err(Error::invalid("a region needs at least one peer"));
        }
        self.save(&[Record::Cluster(cluster)])?;
        self.state.core().cluster.meta = Some(cluster);
        Ok(())
    }

    fn update_safe_point(&self, wanted: u64) -> Result<u64> {
        self.check_leads()?;
        let known = {
            let core = self.state.core();
            core.cluster.meta()?;
            core.cluster.safe_point
        };
        if wanted <= known {
            return Ok(known);
        }
        self.save(&[Record::SafePoint(wanted)])?;
        self.state.core().cluster.safe_point = wanted;
        Ok(wanted)
    }

    fn more_ids(&self, wanted: u64) -> Result<()> {
        self.check_leads()?;
        let Some(end) = self.state.core().ids.next_batch(wanted) else { return Ok(()) };
        self.save(&[Record::Ids(end)])?;
        self.state.core().ids.extended(end);
        Ok(())
    }

    fn more_time(&self) -> Result<()> {
        let Some(end) = self.state.tso().next_window(self.time()) else { return Ok(()) };
        self.save(&[Record::Timestamp(end)])?;
        self.state.tso().extended(end);
        Ok(())
    }

    fn bury_the_empty(&self) -> Result<()> {
        let empty = self.state.core().cluster.emptied_stores();
        for id in empty {
            self.put(|core| core.cluster.stores.buried(id, false))?;
        }
        Ok(())
    }

    fn remember(&self) -> Result<()> {
        // Taken also by who does not remember, so that they do not pile up.
        let news = self.state.take_news();
        let Some(memory) = &self.memory else { return Ok(()) };
        if news.regions.is_empty() && news.gone.is_empty() {
            return Ok(());
        }
        let regions: Vec<_> = news.regions.into_values().collect();
        memory.remember(&regions, news.gone)
    }

    fn look_ahead(&mut self) -> Result<()> {
        self.more_time()?;
        self.more_ids(1)?;
        self.remember()?;
        if self.ticks.is_multiple_of(TICKS_PER_BURIAL) {
            self.bury_the_empty()?;
        }
        Ok(())
    }
}

impl Runner for Keeper {
    type Task = Task;

    fn run(&mut self, task: Task) {
        match task {
            Task::Bootstrap(store, reply) => reply.answer(Done(self.bootstrap(store))),
            Task::PutStore(store, reply) => {
                let done = self.put(|core| core.cluster.stores.registered(&store));
                reply.answer(Done(done));
            }
            Task::RemoveStore(id, reply) => {
                reply.answer(Done(self.put(|core| core.cluster.stores.removed(id))));
            }
            Task::BuryStore(id, force, reply) => {
                reply.answer(Done(self.put(|core| core.cluster.stores.buried(id, force))));
            }
            Task::PutCluster(cluster, reply) => reply.answer(Done(self.put_cluster(cluster))),
            Task::UpdateSafePoint(wanted, reply) => {
                reply.answer(Done(self.update_safe_point(wanted)));
            }
            Task::MoreIds(wanted, reply) => reply.answer(Done(self.more_ids(wanted))),
            Task::Lead(reply) => reply.answer(Done(self.lead())),
            Task::Follow(reply) => {
                self.follow();
                reply.answer(Done(Ok(())));
            }
        }
    }

    fn tick(&mut self) {
        self.ticks += 1;
        if !self.is_leading {
            return;
        }
        if let Err(error) = self.look_ahead() {
            warn!(self.logger, "cannot write ahead"; "error" => %error);
        }
    }
}
