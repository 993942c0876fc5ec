//! A leader stands still, and does not know it when it goes on: its lease must be over by its own clock.
//!
//! Clients read and write a few keys all the time. Each write has a value of its own, so the history that
//! they have seen can be judged: is each key a register, at which every operation happens at one moment
//! between its beginning and its end?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use client::Raw;
use runtime::Rng;
use sim::store::{Moment, Registers};
use tests::eventually;
use tokio::task::JoinSet;

use crate::world::World;

const CLIENTS: u64 = 6;
const KEYS: u64 = 3;

/// An operation that has ended: on a key, from a moment on.
struct Operation {
    key: usize,
    begun: Moment,
    ended: Moment,
    outcome: Outcome,
}

enum Outcome {
    Read(u64),
    Wrote(u64),
    /// Nobody knows whether this was written.
    Lost(u64),
    Refused(u64),
}

/// What all clients share: one order of all moments, and whether it is over.
#[derive(Default)]
struct Shared {
    moment: AtomicU64,
    is_over: AtomicBool,
    reads: AtomicU64,
}

impl Shared {
    fn now(&self) -> Moment {
        self.moment.fetch_add(1, SeqCst) + 1
    }
}

fn name(key: usize) -> String {
    format!("register{key}")
}

async fn work(raw: Raw, shared: Arc<Shared>, number: u64) -> Vec<Operation> {
    let mut rng = Rng::new(number);
    let (mut history, mut next) = (Vec::new(), 0);
    while !shared.is_over.load(SeqCst) {
        let key = usize::try_from(rng.below(KEYS)).expect("few keys");
        let begun = shared.now();
        let outcome = if rng.below(2) == 0 {
            next += 1;
            let value = next * CLIENTS + number;
            match raw.put(name(key), value.to_string()).await {
                Ok(()) => Outcome::Wrote(value),
                Err(error) if error.is_undetermined() => Outcome::Lost(value),
                Err(_) => Outcome::Refused(value),
            }
        } else {
            // A read that fails has seen nothing.
            let Ok(found) = raw.get(name(key)).await else { continue };
            shared.reads.fetch_add(1, SeqCst);
            Outcome::Read(number_of(found.as_ref()))
        };
        history.push(Operation { key, begun, ended: shared.now(), outcome });
    }
    history
}

/// A value as a number; none is zero.
fn number_of(value: Option<&Bytes>) -> u64 {
    let text = value.map_or("0", |value| std::str::from_utf8(value).expect("digits"));
    text.parse().expect("a number")
}

fn judge(history: &[Operation]) -> Result<(), String> {
    let mut registers = Registers::default();
    for Operation { key, begun, outcome, .. } in history {
        if let Outcome::Wrote(value) | Outcome::Lost(value) | Outcome::Refused(value) = outcome {
            registers.begin(*key, *value, *begun);
        }
    }
    for Operation { key, begun, ended, outcome } in history {
        match outcome {
            Outcome::Read(value) => registers
                .read(*key, *value, *begun, *ended)
                .map_err(|violation| violation.detail)?,
            Outcome::Wrote(value) => registers.written(*key, *value, *ended),
            Outcome::Lost(_) => {}
            Outcome::Refused(value) => registers.refused(*key, *value),
        }
    }
    registers.judge().map_err(|violation| violation.detail)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stood_still_for_five_seconds_answers_nothing_that_is_old() {
    let mut world = World::start(3).await;
    let shared = Arc::new(Shared::default());
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(work(world.client.raw(), Arc::clone(&shared), number));
    }
    let reads = async |more: u64| {
        let until = shared.reads.load(SeqCst) + more;
        eventually("reads", async || (shared.reads.load(SeqCst) >= until).then_some(())).await;
    };
    reads(200).await;
    for _ in 0..2 {
        let place = world.leader_of(b"register0").await;
        world.cluster.store(place).signal("STOP");
        // The story itself, and not a wait for anything: others lead long before.
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.cluster.store(place).signal("CONT");
        reads(500).await;
    }
    shared.is_over.store(true, SeqCst);
    let mut history: Vec<Operation> = clients.join_all().await.into_iter().flatten().collect();
    history.sort_by_key(|operation| operation.ended);
    let wrote = history.iter().filter(|one| matches!(one.outcome, Outcome::Wrote(_))).count();
    assert!(wrote > 300, "{wrote} writes are no load");
    assert_eq!(judge(&history), Ok(()));

    // The judge can say no: one old value in the midst of it.
    let read = history.iter_mut().rev().find_map(|one| match &mut one.outcome {
        Outcome::Read(value) => Some(value),
        Outcome::Wrote(_) | Outcome::Lost(_) | Outcome::Refused(_) => None,
    });
    *read.expect("many were read") = 0;
    assert!(judge(&history).is_err());
}
