//! A scheduler that does what a test tells it, and nothing of its own.
//!
//! All stores share one [`Scripted`]; it may be called from any thread. It hands out ids, believes the
//! reports of leaders if they are newer than what it knows, and passes on [`Operator`]s: with every
//! heartbeat of a region the command of its operator goes back to the store that sent it, until the
//! region is as wished. So one change is proposed again and again, as a real scheduler does.
//!
//! The commands reach a store through a [`Handler`], which a test attaches per store;
//! [`through_router`] is the one for stores that are driven by their router.
//!
//! A report that contradicts an earlier one is no error of the caller but a broken promise of the
//! stores: it is kept as a violation, which [`Scripted::violations`] shows.

mod operator;
mod regions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use proto::metapb::{Peer, Region, Store};
use proto::schedulerpb::StoreStats;
use proto::{RegionId, StoreId};
use raftstore::{
    Admin, Answer, Command, Header, RegionHeartbeat, Router, SchedulerClient, SchedulerError,
};
use runtime::Rng;
use runtime::reply::Reply;

use super::governor::Report;
pub use operator::Operator;
use regions::{Regions, Wrong};

/// Takes an operator's command to a store, for the region that the header names.
pub type Handler = Arc<dyn Fn(Header, Admin) + Send + Sync>;

/// A handler that sends commands through the router of the store. Nobody waits for the answers: the
/// next heartbeat shows what became of them.
pub fn through_router(router: Router) -> Handler {
    Arc::new(move |header, admin| {
        router.command(header, Command::Admin(admin), Reply::from_fn(|_answer: Answer| ()));
    })
}

/// The scheduler.
#[derive(Default)]
pub struct Scripted(Mutex<State>);

#[derive(Default)]
struct State {
    next_id: u64,
    is_bootstrapped: bool,
    stores: BTreeMap<u64, Store>,
    regions: Regions,
    /// Who leads each region, and in which term it said so.
    leaders: BTreeMap<u64, (u64, Peer)>,
    pending: BTreeMap<u64, Vec<Peer>>,
    operators: BTreeMap<u64, Operator>,
    handlers: BTreeMap<u64, Handler>,
    violations: Vec<String>,
    removes_the_silent: bool,
    /// Those that were removed.
    silent: BTreeSet<u64>,
    /// What another scheduler shall hear; kept only if there is one.
    reports: Option<Vec<Report>>,
}

impl Scripted {
    /// A scheduler that knows nothing and whose first id is `first_id`.
    pub fn new(first_id: u64) -> Self {
        Scripted(Mutex::new(State { next_id: first_id, ..State::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no thread panics while it holds the scheduler")
    }

    /// From now on commands for the regions that this store leads go to `handler`.
    pub fn attach(&self, store: StoreId, handler: Handler) {
        self.state().handlers.insert(store.get(), handler);
    }

    /// The store is down: what was meant for it is lost.
    pub fn detach(&self, store: StoreId) {
        self.state().handlers.remove(&store.get());
    }

    /// A number that was never given out.
    pub fn next_id(&self) -> u64 {
        let mut state = self.state();
        state.next_id += 1;
        state.next_id - 1
    }

    /// Registers an operator for a region, in place of any other.
    pub fn set_operator(&self, region: RegionId, operator: Operator) {
        self.state().operators.insert(region.get(), operator);
    }

    /// From now on a peer that its leader misses for long is removed, whatever else was wished; unless
    /// another scheduler decides.
    pub fn remove_the_silent(&self) {
        let mut state = self.state();
        state.removes_the_silent = state.reports.is_none();
    }

    /// How many peers were removed because their leaders missed them.
    pub fn removed(&self) -> u64 {
        self.state().silent.len() as u64
    }

    /// From now on what is reported is kept for another scheduler, which decides.
    pub(super) fn keep_reports(&self) {
        self.state().reports = Some(Vec::new());
    }

    /// What was reported since this was last asked.
    pub(super) fn take_reports(&self) -> Vec<Report> {
        self.state().reports.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Takes the operator of a region away.
    pub fn clear_operator(&self, region: RegionId) {
        self.state().operators.remove(&region.get());
    }

    /// The operator of a region that is not done yet.
    pub fn operator(&self, region: RegionId) -> Option<Operator> {
        self.state().operators.get(&region.get()).copied()
    }

    /// The region that holds `key`, as it was reported last.
    pub fn region_by_key(&self, key: &[u8]) -> Option<Region> {
        self.state().regions.holder(key).cloned()
    }

    /// The region of this id, as it was reported last.
    pub fn region_by_id(&self, id: RegionId) -> Option<Region> {
        self.state().regions.get(id.get()).cloned()
    }

    /// All regions as they were reported last, in the order of their keys.
    pub fn regions(&self) -> Vec<Region> {
        self.state().regions.iter().cloned().collect()
    }

    /// Some region whose leader has reported.
    pub fn random_region(&self, rng: &mut Rng) -> Option<Region> {
        let state = self.state();
        let known: Vec<&Region> =
            state.regions.iter().filter(|region| state.leaders.contains_key(&region.id)).collect();
        rng.pick(&known).map(|region| (*region).clone())
    }

    /// Who leads a region, by the newest term in which anybody said so.
    pub fn leader(&self, region: RegionId) -> Option<Peer> {
        self.state().leaders.get(&region.get()).map(|(_, leader)| *leader)
    }

    /// The peers of a region that its leader finds far behind.
    pub fn pending_peers(&self, region: RegionId) -> Vec<Peer> {
        self.state().pending.get(&region.get()).cloned().unwrap_or_default()
    }

    /// The stores that have announced themselves.
    pub fn stores(&self) -> Vec<Store> {
        self.state().stores.values().cloned().collect()
    }

    /// Reports that contradicted each other.
    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }
}

impl State {
    /// Takes in a report. Answers with what its operator has to say, and to whom.
    fn hear(
        &mut self,
        heartbeat: &RegionHeartbeat,
    ) -> Result<Option<(Handler, Header, Admin)>, Wrong> {
        let RegionHeartbeat { region, leader, term, down_peers, pending_peers, .. } = heartbeat;
        // A deposed leader may report late; whoever leads in a later term has the word.
        let known = self.leaders.get(&region.id).map_or(0, |(term, _)| *term);
        if *term >= known {
            self.pending.insert(region.id, pending_peers.clone());
            if let Some((known, other)) = self.leaders.insert(region.id, (*term, *leader))
                && known == *term
                && other != *leader
            {
                let what = format!("{other:?} and {leader:?} lead {} in term {term}", region.id);
                return Err(Wrong::Contradiction(what));
            }
        }
        self.regions.report(region)?;
        if let Some(silent) = down_peers.first().and_then(|stats| stats.peer)
            && self.removes_the_silent
        {
            self.silent.insert(silent.id);
            self.operators.insert(region.id, Operator::RemovePeer(silent));
        }
        let Some(operator) = self.operators.get(&region.id) else { return Ok(None) };
        if operator.is_done(region, *leader, pending_peers) {
            self.operators.remove(&region.id);
            return Ok(None);
        }
        let header = Header {
            region: region.region_id(),
            peer: Some(*leader),
            epoch: region.epoch(),
            term: 0,
        };
        let handler = self.handlers.get(&leader.store_id).map(Arc::clone);
        Ok(handler.zip(operator.command(region)).map(|(handler, admin)| (handler, header, admin)))
    }
}

impl SchedulerClient for Scripted {
    fn alloc_id(&self) -> Result<u64, SchedulerError> {
        Ok(self.next_id())
    }

    fn is_bootstrapped(&self) -> Result<bool, SchedulerError> {
        Ok(self.state().is_bootstrapped)
    }

    fn bootstrap(&self, store: &Store, region: &Region) -> Result<bool, SchedulerError> {
        let mut state = self.state();
        if state.is_bootstrapped {
            return Ok(false);
        }
        state.is_bootstrapped = true;
        state.stores.insert(store.id, store.clone());
        match state.regions.report(region) {
            Ok(()) => Ok(true),
            Err(Wrong::Stale(why) | Wrong::Contradiction(why)) => Err(SchedulerError(why)),
        }
    }

    fn put_store(&self, store: &Store) -> Result<(), SchedulerError> {
        self.state().stores.insert(store.id, store.clone());
        Ok(())
    }

    fn store_heartbeat(&self, stats: &StoreStats) -> Result<(), SchedulerError> {
        if let Some(reports) = &mut self.state().reports {
            reports.push(Report::Store(stats.store_id));
        }
        Ok(())
    }

    fn region_heartbeat(&self, heartbeat: RegionHeartbeat) -> Result<(), SchedulerError> {
        let mut state = self.state();
        let heard = state.hear(&heartbeat);
        if let Some(reports) = &mut state.reports {
            reports.push(Report::Region(Box::new(heartbeat)));
        }
        if let Err(Wrong::Contradiction(what)) = &heard {
            state.violations.push(what.clone());
        }
        // The handler may lead anywhere, so it is called without the lock.
        drop(state);
        match heard {
            Ok(Some((handler, header, admin))) => handler(header, admin),
            Ok(None) => {}
            Err(Wrong::Stale(why) | Wrong::Contradiction(why)) => return Err(SchedulerError(why)),
        }
        Ok(())
    }

    fn ask_split(&self, region: &Region) -> Result<(RegionId, Vec<u64>), SchedulerError> {
        let mut state = self.state();
        let Some(known) = state.regions.get(region.id) else {
            return Err(SchedulerError(format!("region {} not found", region.id)));
        };
        if region.epoch().is_older_than(&known.epoch()) {
            return Err(SchedulerError("epoch is stale".to_owned()));
        }
        let mut next = || {
            state.next_id += 1;
            state.next_id - 1
        };
        let id = RegionId::new(next());
        Ok((id, region.peers.iter().map(|_| next()).collect()))
    }

    fn region(&self, id: RegionId) -> Result<Option<Region>, SchedulerError> {
        Ok(self.region_by_id(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(scheduler: &Scripted, term: u64, leader: Peer, peers: &[Peer], conf_ver: u64) {
        let mut region = Region::new(1.into(), "", "").with_peers(peers.iter().copied());
        region.region_epoch = Some(proto::metapb::RegionEpoch { conf_ver, version: 1 });
        let heartbeat = RegionHeartbeat {
            region,
            leader,
            term,
            down_peers: Vec::new(),
            pending_peers: Vec::new(),
            approximate_size: 0,
        };
        drop(scheduler.region_heartbeat(heartbeat));
    }

    #[test]
    fn an_operator_is_said_with_every_heartbeat_until_it_is_done() {
        let [one, two] = [1, 2].map(|id| Peer { id, store_id: id });
        let scheduler = Scripted::new(10);
        let said = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&said);
        let handler: Handler = Arc::new(move |header, _| sink.lock().unwrap().push(header.epoch));
        scheduler.attach(1.into(), handler);
        scheduler.set_operator(1.into(), Operator::AddPeer(two));
        report(&scheduler, 6, one, &[one], 1);
        report(&scheduler, 6, one, &[one], 1);
        assert_eq!(said.lock().unwrap().len(), 2);
        report(&scheduler, 6, one, &[one, two], 2);
        assert_eq!((said.lock().unwrap().len(), scheduler.operator(1.into())), (2, None));
    }

    #[test]
    fn a_deposed_leader_does_not_become_leader_again_by_a_late_report() {
        let [one, two] = [1, 2].map(|id| Peer { id, store_id: id });
        let scheduler = Scripted::new(10);
        report(&scheduler, 7, two, &[one, two], 2);
        report(&scheduler, 6, one, &[one, two], 2);
        assert_eq!(scheduler.leader(1.into()), Some(two));
        assert_eq!(scheduler.violations(), Vec::<String>::new());
        report(&scheduler, 7, one, &[one, two], 2);
        assert_eq!(scheduler.violations().len(), 1);
    }
}
