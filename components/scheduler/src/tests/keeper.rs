//! What the keeper writes, over a disk that forgets and a clock that jumps.

use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, Faults, Faulty, Layout};
use program::Failure;
use proto::metapb::{Region, Store};
use proto::schedulerpb::Member;
use runtime::Rng;
use runtime::clock::{Clock, ManualClock};
use runtime::metrics::Metrics;
use runtime::reply::Reply;
use runtime::shutdown::Stop;
use runtime::worker::Runner;
use slog::{Discard, Logger, o};

use crate::cluster::region::RegionInfo;
use crate::core::Core;
use crate::error::Error;
use crate::keeper::{Done, Keeper, Task};
use crate::member::{Membership, Term};
use crate::metrics::Meters;
use crate::records::EngineRecords;
use crate::schedule::config::Config;
use crate::state::State;
use crate::tso::{Tso, compose};

/// A keeper, stepped by hand.
struct Fixture {
    engine: Arc<Faulty>,
    clock: ManualClock,
    state: Arc<State>,
    keeper: Keeper,
}

impl Fixture {
    fn on(engine: Faulty, clock: ManualClock) -> Self {
        let engine = Arc::new(engine);
        let (core, tso) = (
            Core::new(Config::default(), Rng::new(1), clock.now()),
            Tso::new(Duration::from_secs(3)),
        );
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let membership = Membership::new(Member::default());
        let meters = Meters::new(&Metrics::new("test"));
        let state = Arc::new(State::new(1, shared, membership, (core, tso), meters));
        let memory = EngineRecords::new(Arc::clone(&engine) as Arc<dyn Engine>);
        let failure = Arc::new(Failure::new(Stop::new().trigger()));
        let records = (Arc::new(memory.clone()) as Arc<_>, Some(memory));
        let logger = Logger::root(Discard, o!());
        let mut keeper = Keeper::new(Arc::clone(&state), records, failure, 3, logger);
        keeper.lead().unwrap();
        state.membership.lead(Term::Endless);
        Fixture { engine, clock, state, keeper }
    }

    fn new() -> Self {
        let engine = Faulty::new(Layout::Raft, Arc::new(Faults::default()));
        Self::on(engine, ManualClock::new())
    }

    /// The power goes: what was not synced is forgotten. A successor starts.
    fn crash(self) -> Self {
        Self::on(self.engine.crash(0), self.clock)
    }

    fn ask<T>(&mut self, task: impl FnOnce(Reply<Done<T>>) -> Task) -> Result<T, Error> {
        let (reply, mut answer) = Reply::new();
        self.keeper.run(task(reply));
        answer.try_take().expect("the keeper answers at once").0
    }
}

#[test]
fn no_timestamp_comes_again_after_a_crash_whatever_the_clock_says() {
    let mut fixture = Fixture::new();
    let mut rng = Rng::new(3);
    let (mut newest, mut newest_id) = (0, 0);
    for _ in 0..300 {
        match rng.below(10) {
            0 => fixture = fixture.crash(),
            1 => {
                let wall = 900_000_000 + rng.below(200_000_000);
                fixture.clock.set_wall(Duration::from_secs(wall));
            }
            2..=4 => fixture.clock.advance(Duration::from_millis(rng.below(4000))),
            5 => fixture.keeper.tick(),
            _ => {}
        }
        let count = u32::try_from(1 + rng.below(1 << 18)).unwrap();
        // It may be refused, when the window is used up; it may not come again.
        if let Ok(given) = fixture.state.take_timestamps(count) {
            let given = compose(given);
            assert!(given - u64::from(count - 1) > newest, "{given} after {newest}");
            newest = given;
        }
        fixture.keeper.tick();
        let id = fixture.state.core().ids.take().expect("the keeper looks ahead");
        assert!(id > newest_id, "{id} after {newest_id}");
        newest_id = id;
    }
}

#[test]
fn a_leader_that_was_deposed_while_it_took_a_timestamp_gives_none() {
    let fixture = Fixture::new();
    let soon = fixture.clock.now() + Duration::from_secs(1);
    fixture.state.membership.lead(Term::Until(soon));
    assert!(fixture.state.take_timestamps(1).is_ok());
    fixture.clock.advance(Duration::from_secs(1));
    assert!(fixture.state.take_timestamps(1).is_err());
    fixture.state.membership.lead(Term::Until(soon + Duration::from_secs(9)));
    assert!(fixture.state.take_timestamps(1).is_ok(), "it was prolonged in time");
}

#[test]
fn nothing_is_known_before_it_is_written_and_nothing_done_by_who_does_not_lead() {
    let mut fixture = Fixture::new();
    let store = |id: u64| Store { id, address: format!("s{id}"), ..Store::default() };
    assert!(matches!(
        fixture.ask(|reply| Task::PutStore(store(1), reply)),
        Err(Error::NotBootstrapped)
    ));
    fixture.ask(|reply| Task::Bootstrap(store(1), reply)).unwrap();
    fixture.ask(|reply| Task::PutStore(store(2), reply)).unwrap();
    fixture.ask(|reply| Task::BuryStore(2, true, reply)).unwrap();
    let mut fixture = fixture.crash();
    assert_eq!(fixture.state.core().cluster.meta.unwrap().max_peer_count, 3);
    let again = fixture.ask(|reply| Task::PutStore(store(2), reply));
    assert!(matches!(again, Err(Error::StoreTombstone(2))), "{again:?}");
    assert_eq!(fixture.ask(|reply| Task::UpdateSafePoint(7, reply)).unwrap(), 7);

    fixture.ask(Task::Follow).unwrap();
    let refused = fixture.ask(|reply| Task::UpdateSafePoint(9, reply));
    assert!(matches!(refused, Err(Error::NotLeader)), "{refused:?}");
    assert!(fixture.state.core().cluster.meta.is_none(), "what it knew is the next leader's");
    fixture.ask(Task::Lead).unwrap();
    assert_eq!(fixture.state.core().cluster.safe_point, 7);
}

#[test]
fn a_region_that_was_reported_is_remembered_without_its_leader() {
    let mut fixture = Fixture::new();
    let store = Store { id: 1, address: "s".to_owned(), ..Store::default() };
    fixture.ask(|reply| Task::Bootstrap(store, reply)).unwrap();
    let peer = proto::metapb::Peer { id: 5, store_id: 1 };
    let meta = Region { id: 4, peers: vec![peer], ..Region::default() };
    let now = fixture.clock.now();
    let region = RegionInfo::new(meta.clone(), Some(peer));
    let (reported, _) = fixture.state.core().report(region, now).unwrap();
    fixture.state.note(&reported);
    fixture.keeper.tick();
    fixture.ask(|reply| Task::UpdateSafePoint(1, reply)).unwrap(); // syncs what came before
    let fixture = fixture.crash();
    let known = fixture.state.core().cluster.regions.get(4).map(|known| known.as_ref().clone());
    assert_eq!(known, Some(RegionInfo::new(meta, None)));
    assert_eq!(fixture.state.core().cluster.stores.get(1).unwrap().load.regions, 1);
}
