//! Who makes which plan: balance-leader, the replica checker, scattering, and the coordinator.

use std::time::Duration;

use proto::metapb::StoreState;
use proto::schedulerpb::PeerStats;
use runtime::units::Period;

use super::fixture::{
    World, assert_adds, assert_moves, assert_removes, assert_transfers, done, is_add_on,
    is_remove_from, is_transfer_to,
};
use crate::error::Error;
use crate::schedule::config::Config;
use crate::schedule::coordinator::{Balance, Balancer};
use crate::schedule::operator::{Kind, Operator, Step};

/// Stores 1 to 4 that lead so many regions.
fn leading(counts: [u64; 4]) -> World {
    let mut world = World::new(3);
    lead(&mut world, counts);
    world
}

fn lead(world: &mut World, counts: [u64; 4]) {
    for (store, leaders) in (1..).zip(counts) {
        world.leads(store, leaders);
    }
}

mod balance_leader {
    use super::*;

    #[test]
    fn balance_limit() {
        let mut world = leading([1, 0, 0, 0]);
        world.put_new(1, &[1, 2, 3, 4]);
        assert!(world.balance_leader().is_none());
        world.leads(1, 16);
        assert!(world.balance_leader().is_some());
        let mut world = leading([7, 8, 9, 10]);
        world.put_new(1, &[4, 1, 2, 3]);
        assert!(world.balance_leader().is_none());
        world.leads(4, 18);
        assert!(world.balance_leader().is_some());
    }

    #[test]
    fn balance_leader_schedule_strategy() {
        let mut world = leading([10, 10, 10, 10]);
        world.core.cluster.stores.get_mut(1).unwrap().load.leader_mib = 10_000;
        world.put_new(1, &[1, 2, 3, 4]);
        assert!(world.balance_leader().is_none(), "the number counts, not the size");
    }

    #[test]
    fn balance_leader_tolerant_ratio() {
        let mut world = leading([14, 10, 10, 10]);
        world.put_new(1, &[1, 2, 3, 4]);
        assert!(world.balance_leader().is_none());
        world.leads(1, 21);
        assert!(world.balance_leader().is_some());
    }

    #[test]
    fn balance_filter() {
        let mut world = leading([1, 2, 3, 16]);
        world.put_new(1, &[4, 1, 2, 3]);
        assert_transfers(world.balance_leader(), 4, 1);
        world.state(4, StoreState::Offline);
        assert_transfers(world.balance_leader(), 4, 1);
        world.down(1);
        assert_transfers(world.balance_leader(), 4, 2);
        world.busy(2, true);
        assert_transfers(world.balance_leader(), 4, 3);
        world.silence(3, Duration::from_secs(30));
        assert!(world.balance_leader().is_none());
    }

    #[test]
    fn balance_selector() {
        let mut world = leading([1, 2, 3, 16]);
        world.put_new(1, &[4, 2, 3]);
        world.put_new(2, &[3, 1, 2]);
        assert_transfers(world.balance_leader(), 4, 2);
        lead(&mut world, [1, 14, 15, 16]);
        assert_transfers(world.balance_leader(), 3, 1);
        lead(&mut world, [1, 2, 15, 16]);
        world.put_new(1, &[3, 2, 4]);
        world.put_new(2, &[1, 2, 3]);
        assert_transfers(world.balance_leader(), 3, 2);
        lead(&mut world, [10, 10, 10, 10]);
        world.put_new(1, &[4, 2, 3]);
        world.put_new(2, &[1, 2, 3]);
        assert!(world.balance_leader().is_none() && world.balance_leader().is_none());
        lead(&mut world, [11, 13, 0, 16]);
        assert_transfers(world.balance_leader(), 4, 3);
    }
}

mod replica_checker {
    use super::*;

    const REPLICA: Kind = Kind::REPLICA;

    #[test]
    fn basic() {
        let mut world = World::new(3);
        for (store, regions) in [(1, 4), (2, 3), (3, 2), (4, 1)] {
            world.holds(store, regions);
        }
        let region = world.region(1, &[1, 2]);
        assert_adds(world.repair(&region), REPLICA, 4);
        world.down(4);
        assert_adds(world.repair(&region), REPLICA, 3);
        world.up(4);
        assert_adds(world.repair(&region), REPLICA, 4);
        let region = world.region(1, &[1, 2, 4]);
        assert!(world.repair(&region).is_none());
        let region = world.region(1, &[1, 2, 4, 3]);
        assert_removes(world.repair(&region), REPLICA, 1);
        world.state(3, StoreState::Offline);
        world.holds(1, 0);
        let region = world.region(1, &[2, 4, 3]);
        assert_moves(world.repair(&region), REPLICA, 3, 1);
    }

    #[test]
    fn lost_store() {
        let mut world = World::new(3);
        world.holds(1, 1);
        world.holds(2, 1);
        let region = world.region(1, &[1, 2, 3]);
        assert!(world.repair(&region).is_none(), "nobody knows store 3");
    }

    #[test]
    fn offline() {
        let mut world = World::new(3);
        for (store, regions) in [(1, 1), (2, 2), (3, 3), (4, 4)] {
            world.holds(store, regions);
        }
        let region = world.region(1, &[1]);
        assert_adds(world.repair(&region), REPLICA, 2);
        let region = world.region(1, &[1, 2]);
        assert_adds(world.repair(&region), REPLICA, 3);
        let region = world.region(1, &[1, 2, 3, 4]);
        assert_removes(world.repair(&region), REPLICA, 4);
        world.busy(4, true);
        assert!(world.repair(&region).is_none());
        world.busy(4, false);
        assert_removes(world.repair(&region), REPLICA, 4);
        world.state(3, StoreState::Offline);
        assert_removes(world.repair(&region), REPLICA, 3);
        let region = world.region(1, &[1, 2, 3]);
        assert_moves(world.repair(&region), REPLICA, 3, 4);
        world.holds(5, 3);
        assert_moves(world.repair(&region), REPLICA, 3, 5);
    }

    /// What the Go original leaves out.
    #[test]
    fn a_peer_that_is_silent_on_a_store_that_reports_is_replaced() {
        let mut world = World::new(3);
        for store in 1..=5 {
            world.holds(store, store);
        }
        let mut region = world.region(1, &[1, 2, 3]);
        let peer = region.peer_on(2).copied();
        region.down = vec![PeerStats { peer, down_seconds: 30 * 60 }];
        assert!(!region.is_healthy(), "nobody moves it around");
        assert!(world.repair(&region).is_none(), "it may come back");
        region.down[0].down_seconds += 1;
        assert_moves(world.repair(&region), REPLICA, 2, 4);
        assert!(world.view().survives_without(&region, 2));
        region.down.push(PeerStats { peer: region.peer_on(3).copied(), down_seconds: 120 });
        assert!(!world.view().survives_without(&region, 2), "of two that are left one is silent");
    }

    /// What the Go original leaves out.
    #[test]
    fn a_peer_on_a_lost_store_is_replaced_before_one_on_a_leaving_store() {
        let mut world = World::new(3);
        for store in 1..=5 {
            world.holds(store, store);
        }
        world.down(2);
        world.state(3, StoreState::Offline);
        let region = world.region(1, &[1, 2, 3]);
        let plan = world.repair(&region).unwrap();
        assert_eq!(plan.desc, "replace-down-replica");
        assert_moves(Some(plan), REPLICA, 2, 4);
        let region = world.region(1, &[1, 2, 4, 5]);
        assert_removes(world.repair(&region), REPLICA, 2);
        let region = world.region(1, &[3]);
        world.set_replicas(1);
        let plan = world.repair(&region).unwrap();
        let [Step::AddPeer { .. }, Step::TransferLeader { .. }, Step::RemovePeer { store: 3 }] =
            plan.steps()
        else {
            panic!("the last replica moves without being lost: {plan}");
        };
    }
}

#[test]
fn a_region_is_scattered_to_where_less_is() {
    let mut world = World::new(3);
    for (store, regions) in [(1, 20), (2, 20), (3, 20), (4, 1), (5, 1), (6, 30)] {
        world.holds(store, regions);
    }
    world.put_new(1, &[1, 2, 3]);
    let command = world.core.scatter(1, None, world.now).unwrap().unwrap();
    assert!(is_add_on(&command, 4), "{command:?}");
    let (mut region, mut next) = (world.known(1), Some(command));
    while let Some(command) = next {
        region = done(&region, &command.message);
        next = world.dispatch(&region);
    }
    let mut stores: Vec<u64> = region.stores().collect();
    stores.sort_unstable();
    assert_eq!(stores, [3, 4, 5]);
    let unknown = world.core.scatter(9, None, world.now);
    assert!(matches!(unknown, Err(Error::RegionNotFound(Some(9)))), "{unknown:?}");
    let short = world.region(2, &[1, 2]);
    world.put(short);
    assert!(world.core.scatter(2, None, world.now).is_err(), "it is being repaired");
}

mod coordinator {
    use super::*;

    fn without_balancing() -> Config {
        Config { leader_schedule_limit: 0, region_schedule_limit: 0, ..Config::default() }
    }

    /// Lets the coordinator run until it says something.
    fn next(world: &mut World) -> Option<crate::schedule::controller::Command> {
        (0..200).find_map(|_| {
            world.pass(Duration::from_millis(50));
            world.tick().into_iter().next()
        })
    }

    #[test]
    fn basic() {
        let mut world = World::new(3);
        world.put_new(1, &[1]);
        let plan = |world: &World, kind: Kind| {
            let step = Step::AddPeer { store: 9, peer: 9 };
            Operator::new("test", &world.known(1), kind, vec![step])
        };
        assert!(world.add(plan(&world, Kind::LEADER)));
        assert_eq!(world.core.controller.count(Kind::LEADER), 1);
        assert!(world.core.controller.get(1).is_some());
        assert!(!world.add(plan(&world, Kind::REGION)));
        assert_eq!(world.core.controller.count(Kind::REGION), 0);
        assert!(world.core.controller.cancel(1, world.now));
        assert!(world.add(plan(&world, Kind::REGION)));
        assert_eq!(world.core.controller.count(Kind::REGION), 1);
    }

    #[test]
    fn dispatch() {
        let mut world = World::new(3);
        for (store, regions) in [(4, 40), (3, 30), (2, 20), (1, 10)] {
            world.holds(store, regions);
        }
        world.put_new(1, &[2, 3, 4]);
        let command = next(&mut world).unwrap();
        assert_moves(world.core.controller.get(1).cloned(), Kind::BALANCE, 4, 1);
        assert!(world.core.coordinator.remove("balance-region-scheduler"));
        assert!(is_add_on(&command, 1), "{command:?}");
        let joined = done(&world.known(1), &command.message);
        let command = world.dispatch(&joined).unwrap();
        assert!(is_remove_from(&command, 4), "{command:?}");
        let left = done(&joined, &command.message);
        assert!(world.dispatch(&left).is_none() && world.dispatch(&left).is_none());

        for (store, leaders) in [(4, 50), (3, 30), (2, 20), (1, 10)] {
            world.leads(store, leaders);
        }
        world.put_new(2, &[4, 3, 2]);
        let command = next(&mut world).unwrap();
        assert_transfers(world.core.controller.get(2).cloned(), 4, 2);
        assert!(is_transfer_to(&command, 2), "{command:?}");
        assert!(world.core.coordinator.remove("balance-leader-scheduler"));
        let led = done(&world.known(2), &command.message);
        assert!(world.dispatch(&led).is_none());
    }

    #[test]
    fn replica() {
        let mut world = World::with(3, without_balancing());
        for store in 1..=4 {
            world.holds(store, store);
        }
        world.put_new(1, &[2, 3]);
        let command = next(&mut world).unwrap();
        assert!(is_add_on(&command, 1), "{command:?}");
        let mended = done(&world.known(1), &command.message);
        assert!(world.dispatch(&mended).is_none());
        world.put_new(2, &[1, 2, 3, 4]);
        let command = next(&mut world).unwrap();
        assert!(is_remove_from(&command, 4), "{command:?}");
        let mended = done(&world.known(2), &command.message);
        assert!(world.dispatch(&mended).is_none());
    }

    #[test]
    fn peer_state() {
        let mut world = World::new(3);
        for (store, regions) in [(1, 10), (2, 20), (3, 30), (4, 40)] {
            world.holds(store, regions);
        }
        world.put_new(1, &[2, 3, 4]);
        let command = next(&mut world).unwrap();
        assert!(is_add_on(&command, 1), "{command:?}");
        let mut joined = done(&world.known(1), &command.message);
        joined.pending = vec![*joined.peer_on(1).unwrap()];
        assert!(world.dispatch(&joined).is_none(), "it is catching up");
        assert!(world.core.controller.get(1).is_some());
        joined.pending.clear();
        let command = world.dispatch(&joined).unwrap();
        assert!(is_remove_from(&command, 4), "{command:?}");
        world.core.controller.cancel(1, world.now);
        world.put_new(1, &[1, 2, 3]);
        let known = world.known(1);
        assert!(world.dispatch(&known).is_none());
    }

    /// Regions that were read from disk count as known, but nobody leads them yet.
    fn unheard(world: &mut World, regions: impl Iterator<Item = (u64, [u64; 3])>) {
        for (id, stores) in regions {
            let region = world.leaderless(id, &stores);
            world.put(region);
        }
    }

    /// The region's leader reports it, to the map alone.
    fn hear(world: &mut World, id: u64) {
        let mut region = world.known(id);
        region.leader = Some(region.meta.peers[0]);
        world.core.cluster.report(region).unwrap();
    }

    #[test]
    fn should_run() {
        let mut world = leading([5, 2, 0, 0]);
        unheard(&mut world, (1..=5).map(|id| (id, [1, 2, 3])));
        unheard(&mut world, (6..=7).map(|id| (id, [2, 1, 4])));
        assert!(!world.core.cluster.is_prepared(world.now));
        assert_eq!(world.core.cluster.regions.load(4).regions, 2);
        for id in 1..=7 {
            hear(&mut world, id);
            assert_eq!(world.core.cluster.is_prepared(world.now), id == 7, "region {id}");
        }
        let mut stale = world.known(6);
        stale.meta.peers.clear();
        stale.meta.region_epoch = None;
        assert!(world.core.cluster.report(stale).is_err());
        assert_eq!(world.core.cluster.prepared.regions(), 7);
    }

    #[test]
    fn should_run_with_non_leader_regions() {
        let mut world = leading([10, 0, 0, 0]);
        unheard(&mut world, (1..=10).map(|id| (id, [1, 2, 3])));
        for id in 1..=8 {
            assert!(!world.core.cluster.is_prepared(world.now));
            hear(&mut world, id);
        }
        assert!(world.core.cluster.is_prepared(world.now));
        assert_eq!(world.core.cluster.prepared.regions(), 8);
        assert!([9, 10].iter().all(|&id| world.known(id).leader.is_none()));
    }

    #[test]
    fn nothing_is_awaited_for_ever() {
        let mut world = World::new(3);
        unheard(&mut world, (1..=10).map(|id| (id, [1, 2, 3])));
        assert!(!world.core.cluster.is_prepared(world.now));
        assert!(world.core.cluster.is_prepared(world.now + Duration::from_mins(6)));
    }

    #[test]
    fn remove_scheduler() {
        let mut world = World::new(3);
        assert_eq!(world.core.coordinator.balancers().len(), 2);
        for name in ["balance-leader-scheduler", "balance-region-scheduler"] {
            assert!(world.core.coordinator.remove(name) && !world.core.coordinator.remove(name));
        }
        assert!(world.core.coordinator.balancers().is_empty());
    }

    #[test]
    fn restart() {
        let mut world = World::with(3, without_balancing());
        for store in 1..=3 {
            world.holds(store, store);
        }
        world.put_new(1, &[1]);
        let command = next(&mut world).unwrap();
        assert!(is_add_on(&command, 2), "{command:?}");
        let joined = done(&world.known(1), &command.message);

        let mut world = World::with(3, without_balancing());
        for store in 1..=3 {
            world.holds(store, store);
        }
        world.put(joined);
        let command = next(&mut world).unwrap();
        assert!(is_add_on(&command, 3), "{command:?}");
    }

    #[test]
    fn controller() {
        let mut world = World::new(3);
        world.put_new(1, &[1]);
        world.put_new(2, &[2]);
        let config = Config { leader_schedule_limit: 2, ..Config::default() };
        let mut balancer = Balancer::new(Balance::Leaders, &config, world.now);
        while balancer.pause() < config.max_interval.get() {
            let before = balancer.pause();
            assert!(balancer.schedule(&mut world.core.context(world.now)).is_none());
            assert_eq!(balancer.pause(), (before * 130 / 100).min(config.max_interval.get()));
        }
        let plan = |world: &World, id: u64, kind: Kind| {
            let step = Step::AddPeer { store: 9, peer: 9 };
            Operator::new("test", &world.known(id), kind, vec![step])
        };
        let is_allowed = |world: &World| balancer.is_allowed(&world.core.controller, &config);
        assert!(is_allowed(&world) && world.add(plan(&world, 1, Kind::LEADER)));
        assert!(is_allowed(&world) && world.add(plan(&world, 2, Kind::LEADER)));
        assert!(!is_allowed(&world));
        world.core.controller.cancel(2, world.now);
        assert!(is_allowed(&world));
        assert!(world.add(plan(&world, 2, Kind::LEADER)) && !is_allowed(&world));
        assert!(world.add(plan(&world, 2, Kind::BALANCE).urgent()), "it replaces the other");
        assert!(is_allowed(&world));
    }

    #[test]
    fn interval() {
        let mut world = World::new(3);
        for seconds in [5, 10, 20, 30, 60] {
            let config = Config::default();
            let mut balancer = Balancer::new(Balance::Leaders, &config, world.now);
            let mut passed = Duration::ZERO;
            while passed < Duration::from_secs(seconds) {
                assert!(balancer.schedule(&mut world.core.context(world.now)).is_none());
                passed += balancer.pause();
            }
            let limit = Period::secs(seconds / 2).get();
            assert!(balancer.pause() < limit, "{seconds}: {:?}", balancer.pause());
        }
    }
}
