//! Puts on three stores in one thread: from the command at the leader's router to the answer.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use engine::Cf;
use raftstore::{Answer, Command, Header, Request};
use runtime::reply::Reply;
use sim::store::{Settings, World};

use crate::{Figures, allocations, each};

/// Batches of puts, each under way as a whole; the first ones are to warm up.
const ROUNDS: usize = 40;
const WARM: usize = 8;

/// The work of all three stores, of which each appends and applies, and of the simulated network and
/// disks: their part does not change.
pub(crate) fn puts(figures: &mut Figures) {
    for batch in [1, 64] {
        let mut world = World::new(1, Settings::calm(raftstore::Config::default()), 0);
        world.found(3, 3).expect("memory does not fail");
        (1..=3).for_each(|store| world.start(store).expect("memory does not fail"));
        let (store, header) = leader(&mut world);
        let mut count = 0;
        for round in 0..ROUNDS {
            if round == WARM {
                count = allocations::count();
            }
            put(&mut world, store, &header, batch);
        }
        let operations = (ROUNDS - WARM) * batch;
        figures.insert(
            format!("store, {batch} puts at a time: allocations"),
            each(allocations::count() - count, operations),
        );
    }
}

/// Where the region is led, and how it is to be addressed.
fn leader(world: &mut World) -> (u64, Header) {
    let found = world.run_until(Duration::from_secs(30), |world| {
        let region = world.scheduler().region_by_key(b"")?;
        let leader = world.scheduler().leader(region.region_id())?;
        let (id, epoch) = (region.region_id(), region.epoch());
        Some((leader.store_id, Header { region: id, peer: Some(leader), epoch, term: 0 }))
    });
    found.expect("nothing is wrong").expect("a leader is elected")
}

fn put(world: &mut World, store: u64, header: &Header, batch: usize) {
    let mut answers = Vec::new();
    for number in 0..batch {
        let key = Bytes::from(format!("key-{number:08}"));
        let put = Request::Put { cf: Cf::Default, key, value: Bytes::from_static(&[7; 256]) };
        let (reply, answer) = Reply::new();
        world.command(store, *header, Command::Write(vec![put]), reply);
        answers.push(answer);
    }
    for mut answer in answers {
        let done = world.run_until(Duration::from_secs(10), |_| answer.try_take());
        let Answer(done) = done.expect("nothing is wrong").expect("it is answered");
        done.expect("nothing speaks against it");
    }
}

/// What is in memory answers at once.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing is waited for"),
    }
}
