//! Latches: order, fairness, limits, and models.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use runtime::Rng;

use super::fixture::keys;
use crate::txn::{Acquire, LatchGuard, Latches};
use crate::{Error, RegionError};

/// Counts how often somebody was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The latches, if they are granted by now.
fn granted(acquire: &mut Acquire, bell: &Arc<Bell>) -> Option<LatchGuard> {
    let waker = Waker::from(Arc::clone(bell));
    match Pin::new(acquire).poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(guard) => Some(guard),
        Poll::Pending => None,
    }
}

fn latches() -> Arc<Latches> {
    Latches::new(100)
}

#[test]
fn who_waits_is_woken_once_and_by_the_last_it_waits_for() {
    let (latches, bell) = (latches(), Arc::<Bell>::default());
    let a = latches.try_acquire(keys(&[b"a"])).unwrap();
    let b = latches.try_acquire(keys(&[b"b"])).unwrap();
    let mut both = latches.acquire(keys(&[b"b", b"a", b"b"])).unwrap();
    assert!(granted(&mut both, &bell).is_none());
    drop(a);
    assert_eq!(bell.0.load(Ordering::SeqCst), 0, "b is still held");
    drop(b);
    assert_eq!(bell.0.load(Ordering::SeqCst), 1);
    let both = granted(&mut both, &bell).unwrap();
    assert!(both.covers(b"a") && both.covers(b"b") && !both.covers(b"c"));
    drop(both);
    assert_eq!(latches.commands(), 0);
}

#[test]
fn nobody_is_overtaken_on_a_key_that_it_wants() {
    let (latches, bell) = (latches(), Arc::<Bell>::default());
    let first = latches.try_acquire(keys(&[b"b"])).unwrap();
    let mut wants_both = latches.acquire(keys(&[b"a", b"b"])).unwrap();
    // Key a is free, but somebody who came earlier waits for it.
    let mut late = latches.acquire(keys(&[b"a"])).unwrap();
    assert!(granted(&mut late, &bell).is_none());
    assert!(latches.try_acquire(keys(&[b"a"])).is_none());
    drop(first);
    let both = granted(&mut wants_both, &bell).unwrap();
    assert!(granted(&mut late, &bell).is_none());
    drop(both);
    assert!(granted(&mut late, &bell).is_some());
}

#[test]
fn crossing_wishes_do_not_deadlock() {
    let (latches, bell) = (latches(), Arc::<Bell>::default());
    let mut first = latches.acquire(keys(&[b"a", b"b"])).unwrap();
    let mut second = latches.acquire(keys(&[b"b", b"a"])).unwrap();
    assert!(granted(&mut second, &bell).is_none());
    drop(granted(&mut first, &bell).unwrap());
    assert!(granted(&mut second, &bell).is_some());
}

#[test]
fn who_gives_up_makes_room_for_those_behind() {
    let (latches, bell) = (latches(), Arc::<Bell>::default());
    let held = latches.try_acquire(keys(&[b"b"])).unwrap();
    let wants_both = latches.acquire(keys(&[b"a", b"b"])).unwrap();
    let mut late = latches.acquire(keys(&[b"a"])).unwrap();
    assert!(granted(&mut late, &bell).is_none());
    drop(wants_both); // its client went away
    assert_eq!(bell.0.load(Ordering::SeqCst), 1);
    assert!(granted(&mut late, &bell).is_some());
    drop(held);
    assert_eq!(latches.commands(), 0);
}

#[test]
fn too_many_waiting_commands_are_refused_as_busy() {
    let latches = Latches::new(1);
    let _held = latches.try_acquire(keys(&[b"a"])).unwrap();
    let waiting = latches.acquire(keys(&[b"a"])).unwrap();
    let refused = latches.acquire(keys(&[b"a", b"b"])).unwrap_err();
    let is_busy = |error: &Error| matches!(error, Error::Region(error) if matches!(**error, RegionError::Busy(_)));
    assert!(is_busy(&refused), "{refused}");
    assert_eq!(runtime::mark::hits("too many commands wait for latches"), 1);
    // Who need not wait is welcome.
    assert!(latches.acquire(keys(&[b"b"])).is_ok());
    drop(waiting);
    assert!(latches.acquire(keys(&[b"a"])).is_ok());
}

/// Somebody who waits for latches, and is asked only when its bell has rung.
struct Wish {
    keys: Vec<Bytes>,
    acquire: Acquire,
    bell: Arc<Bell>,
    heard: usize,
}

impl Wish {
    fn new(keys: Vec<Bytes>, latches: &Arc<Latches>) -> Self {
        let acquire = latches.acquire(keys.clone()).unwrap();
        // It is asked once without being woken.
        let bell = Arc::new(Bell(AtomicUsize::new(1)));
        Wish { keys, acquire, bell, heard: 0 }
    }

    /// The latches, if it was woken and they are granted.
    fn granted(&mut self) -> Option<LatchGuard> {
        let rung = self.bell.0.load(Ordering::SeqCst);
        if std::mem::replace(&mut self.heard, rung) == rung {
            return None;
        }
        granted(&mut self.acquire, &self.bell)
    }
}

/// Random wishes, some given up: at most one command holds a key, everybody who does not give up is
/// woken and gets what it wants, and in the end nothing is left.
#[test]
fn random_wishes_are_exclusive_and_all_come_true() {
    for seed in 0..50 {
        let mut rng = Rng::new(seed);
        let latches = latches();
        let mut waiting: Vec<Wish> = Vec::new();
        let mut holding: Vec<(Vec<Bytes>, LatchGuard)> = Vec::new();
        for _ in 0..400 {
            match rng.below(4) {
                0 | 1 if waiting.len() < 50 => {
                    let count = rng.range(1..4);
                    let wish: Vec<Bytes> = (0..count)
                        .map(|_| {
                            Bytes::copy_from_slice(
                                *rng.pick(&[b"a", b"b", b"c", b"d", b"e"]).unwrap(),
                            )
                        })
                        .collect();
                    waiting.push(Wish::new(wish, &latches));
                }
                2 if !holding.is_empty() => {
                    rng.shuffle(&mut holding);
                    holding.pop();
                }
                3 if !waiting.is_empty() && rng.chance(1, 4) => {
                    rng.shuffle(&mut waiting);
                    drop(waiting.pop());
                }
                _ => {}
            }
            collect(&mut waiting, &mut holding, seed);
        }
        while !waiting.is_empty() {
            assert!(!holding.is_empty(), "seed {seed}: a deadlock, or somebody was not woken");
            holding.clear();
            collect(&mut waiting, &mut holding, seed);
        }
        holding.clear();
        assert_eq!(latches.commands(), 0, "seed {seed}");
    }
}

/// Moves what is granted from waiting to holding.
fn collect(waiting: &mut Vec<Wish>, holding: &mut Vec<(Vec<Bytes>, LatchGuard)>, seed: u64) {
    let mut still = Vec::new();
    for mut wish in waiting.drain(..) {
        match wish.granted() {
            Some(guard) => holding.push((wish.keys, guard)),
            None => still.push(wish),
        }
    }
    *waiting = still;
    let mut holders: BTreeMap<&Bytes, usize> = BTreeMap::new();
    for (index, (wish, _)) in holding.iter().enumerate() {
        for key in wish {
            let holder = *holders.entry(key).or_insert(index);
            assert_eq!(holder, index, "seed {seed}: two hold {key:?}");
        }
    }
}
