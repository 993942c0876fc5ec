//! Founding a cluster, with a crash at every point, and with others who do the same.

use proto::StoreId;
use runtime::Rng;

use super::cluster::{Cluster, quiet};
use super::machine::{LOSSES, Machine};
use super::scheduler::TestScheduler;
use crate::error::Error;
use crate::ports::SchedulerClient as _;
use crate::{bootstrap_store, state};

/// Founds or joins until it works, with a crash after each failure; answers how many there were.
fn found(machine: &mut Machine, scheduler: &TestScheduler, loss: usize) -> u32 {
    for crashes in 0..10 {
        match bootstrap_store(&machine.engines(), scheduler, 7, "here") {
            Ok(_) => return crashes,
            Err(_) => machine.crash(loss),
        }
    }
    panic!("it never works");
}

fn regions(machine: &Machine) -> usize {
    state::region_states(&*machine.engines().kv).unwrap().len()
}

#[test]
fn founding_survives_a_crash_at_every_point() {
    let mut crashes = 0;
    for syncs in [false, true] {
        for raft in [false, true] {
            for after in 0..6 {
                for loss in 0..LOSSES {
                    let mut machine = Machine::new(1);
                    let scheduler = TestScheduler::new();
                    let disk = if raft { &machine.raft_disk } else { &machine.kv };
                    if syncs {
                        disk.faults.fail_sync_after(after);
                    } else {
                        disk.faults.fail_write_after(after);
                    }
                    crashes += found(&mut machine, &scheduler, loss);
                    let region = scheduler.founded().expect("the cluster is founded");
                    assert_eq!(regions(&machine), 1, "raft {raft}, syncs {syncs}, after {after}");
                    let held = state::region_state(&*machine.engines().kv, region.region_id());
                    assert_eq!(state::region_of(&held.unwrap().unwrap()), region);
                    assert_eq!(crate::bootstrap::prepared(&machine.engines()).unwrap(), None);
                }
            }
        }
    }
    assert!(crashes >= 24, "only {crashes} crashes");
}

#[test]
fn a_founded_store_leads_its_region_after_any_restart() {
    let mut cluster = Cluster::empty(quiet());
    let mut machine = Machine::new(0);
    let store = bootstrap_store(&machine.engines(), &cluster.scheduler, 7, "here").unwrap();
    machine.id = StoreId::new(store.id);
    cluster.machines.insert(store.id, machine);
    cluster.start(store.id);
    let region = cluster.scheduler.founded().unwrap().region_id();
    cluster.wait_for_leader(region);
    cluster.put("a", "1");
    cluster.restart(store.id, 0);
    cluster.wait_for_leader(region);
    assert_eq!(cluster.get("a").as_deref(), Some("1"));
}

#[test]
fn of_two_stores_that_found_at_once_one_joins() {
    let mut rng = Rng::new(19);
    for _ in 0..50 {
        let scheduler = TestScheduler::new();
        let mut machines = [Machine::new(1), Machine::new(2)];
        // The first gets as far as asking, and the other one is done before its answer.
        let after = rng.below(4);
        machines[0].raft_disk.faults.fail_write_after(0);
        assert!(bootstrap_store(&machines[0].engines(), &scheduler, 7, "one").is_err());
        machines[0].crash(usize::try_from(rng.below(4)).unwrap());
        machines[1].kv.faults.fail_write_after(after);
        found(&mut machines[1], &scheduler, 1);
        machines[0].kv.faults.fail_write_after(rng.below(3));
        found(&mut machines[0], &scheduler, 0);
        assert_eq!((regions(&machines[0]), regions(&machines[1])), (0, 1));
        let ids = machines.map(|machine| state::store_ident(&*machine.engines().kv).unwrap());
        assert_ne!(ids[0], ids[1]);
    }
}

#[test]
fn a_lost_answer_of_the_scheduler_does_not_cost_the_first_region() {
    let mut machine = Machine::new(1);
    let scheduler = TestScheduler::new();
    scheduler.lose_next_answer();
    assert_eq!(found(&mut machine, &scheduler, 0), 1, "it asks again after a restart");
    assert_eq!(regions(&machine), 1);
    let region = scheduler.founded().unwrap();
    assert!(scheduler.region(region.region_id()).unwrap().is_some());
}

#[test]
fn a_disk_of_another_cluster_is_refused_and_left_alone() {
    let machine = Machine::new(1);
    let scheduler = TestScheduler::new();
    bootstrap_store(&machine.engines(), &scheduler, 7, "here").unwrap();
    let refused = bootstrap_store(&machine.engines(), &scheduler, 8, "here").unwrap_err();
    assert!(matches!(refused, Error::ForeignDisk { found_cluster: 7, .. }), "{refused}");
    assert_eq!(regions(&machine), 1);
}

#[test]
fn a_disk_that_lost_its_ident_is_refused() {
    let machine = Machine::new(1);
    let scheduler = TestScheduler::new();
    let mut batch = engine::WriteBatch::new();
    batch.put(engine::Cf::Default, "a", "1");
    let engines = machine.engines();
    engines.kv.write(&batch, engine::Durability::Synced).unwrap();
    let refused = bootstrap_store(&engines, &scheduler, 7, "here").unwrap_err();
    assert!(matches!(refused, Error::Corrupt { record: "store ident", .. }), "{refused}");
}

#[test]
fn a_scheduler_that_does_not_answer_is_an_error_and_changes_nothing() {
    let machine = Machine::new(1);
    let scheduler = TestScheduler::new();
    scheduler.set_down(true);
    let refused = bootstrap_store(&machine.engines(), &scheduler, 7, "here").unwrap_err();
    assert!(matches!(refused, Error::Scheduler(_)), "{refused}");
    assert_eq!(state::store_ident(&*machine.engines().kv).unwrap(), None);
    scheduler.set_down(false);
    bootstrap_store(&machine.engines(), &scheduler, 7, "here").unwrap();
    assert_eq!(regions(&machine), 1);
}
