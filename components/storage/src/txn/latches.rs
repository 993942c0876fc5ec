//! One command at a time per key.
//!
//! A command reads the state of its keys, decides, and writes. Two that touch the same key must not
//! overlap in that: a commit that has seen its lock and a rollback that has seen the same lock would
//! both write. So a command takes the *latch* of every key it may write, before it reads.
//!
//! Each latched key has a queue of the commands that want it, and a command runs when it stands first
//! in all of its queues:
//!
//! ```text
//!   key a:  [1] [3]          1 runs: it is first everywhere.
//!   key b:  [1] [2] [3]      2 waits for b; 4 waits for c.
//!   key c:  [2] [4]          When 1 is done, 2 runs, though 3 has waited for a as long.
//! ```
//!
//! *Fair*: nobody is overtaken by one that came later and wants the same key. *Without deadlock*: a
//! command enters all its queues in one step, so any two meet in the same order in every queue that
//! they share. *Asynchronous*: who waits is a [`Future`], and no thread is blocked; one that is
//! dropped leaves the queues. *Bounded*: when too many wait, the next one is refused as busy.
//!
//! Latches live in memory and are not part of any data. They say nothing about other processes:
//! that is what the stamp of a write is for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::error::{RegionError, Result};

/// The latches of one storage.
#[derive(Debug)]
pub struct Latches {
    queues: Mutex<Queues>,
    waiting_max: usize,
}

/// Who wants what.
///
/// L1: a command is in the queue of each of its keys, once, and in no other.
/// L2: it runs exactly when it stands first in all of them; `missing` counts those where it does not.
/// L3: a key without a queue is latched by nobody, and no queue is empty.
#[derive(Debug, Default)]
struct Queues {
    by_key: BTreeMap<Bytes, VecDeque<u64>>,
    commands: BTreeMap<u64, Waiting>,
    last: u64,
    /// How many commands wait.
    waiting: usize,
}

#[derive(Debug)]
struct Waiting {
    keys: BTreeSet<Bytes>,
    /// In how many of its queues the command does not stand first.
    missing: usize,
    waker: Option<Waker>,
}

impl Latches {
    /// Free latches. At most `waiting_max` commands wait at a time.
    pub fn new(waiting_max: usize) -> Arc<Self> {
        Arc::new(Latches { queues: Mutex::default(), waiting_max })
    }

    /// Enters the queues of `keys`. Await the answer for the latches; it may be there at once.
    pub fn acquire(self: &Arc<Self>, keys: impl IntoIterator<Item = Bytes>) -> Result<Acquire> {
        let keys: BTreeSet<Bytes> = keys.into_iter().collect();
        let mut queues = self.lock();
        if queues.waiting >= self.waiting_max && queues.is_contended(&keys) {
            runtime::mark!("too many commands wait for latches");
            return Err(RegionError::Busy("too many commands wait for the same keys").into());
        }
        let command = queues.enter(keys);
        drop(queues);
        Ok(Acquire(Some(LatchGuard { latches: Arc::clone(self), command })))
    }

    /// The latches of `keys` if nobody has or wants any of them, else nothing.
    pub fn try_acquire(
        self: &Arc<Self>,
        keys: impl IntoIterator<Item = Bytes>,
    ) -> Option<LatchGuard> {
        let keys: BTreeSet<Bytes> = keys.into_iter().collect();
        let mut queues = self.lock();
        if queues.is_contended(&keys) {
            return None;
        }
        let command = queues.enter(keys);
        drop(queues);
        Some(LatchGuard { latches: Arc::clone(self), command })
    }

    /// How many commands hold latches or wait for them.
    pub fn commands(&self) -> usize {
        self.lock().commands.len()
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().expect("no thread panics while it holds the queues")
    }
}

impl Queues {
    fn is_contended(&self, keys: &BTreeSet<Bytes>) -> bool {
        keys.iter().any(|key| self.by_key.contains_key(key))
    }

    fn enter(&mut self, keys: BTreeSet<Bytes>) -> u64 {
        self.last += 1;
        let mut missing = 0;
        for key in &keys {
            let queue = self.by_key.entry(key.clone()).or_default();
            missing += usize::from(!queue.is_empty());
            queue.push_back(self.last);
        }
        self.waiting += usize::from(missing > 0);
        self.commands.insert(self.last, Waiting { keys, missing, waker: None });
        self.last
    }

    fn is_granted(&self, command: u64) -> bool {
        self.commands[&command].missing == 0
    }

    /// Takes a command out of all its queues, and answers whom to wake.
    fn leave(&mut self, command: u64) -> Vec<Waker> {
        let left = self.commands.remove(&command).expect("L1: a guard has its command");
        self.waiting -= usize::from(left.missing > 0);
        left.keys.iter().filter_map(|key| self.leave_queue(command, key)).collect()
    }

    /// Takes a command out of one queue. The next one may run now.
    fn leave_queue(&mut self, command: u64, key: &Bytes) -> Option<Waker> {
        let queue = self.by_key.get_mut(key).expect("L1: a command is in the queues of its keys");
        let place = queue.iter().position(|waiting| *waiting == command);
        let place = place.expect("L1: a command is in the queues of its keys");
        queue.remove(place);
        let next = queue.front().copied();
        if next.is_none() {
            self.by_key.remove(key);
        }
        if place > 0 {
            return None; // who stands first does not change
        }
        let next = self.commands.get_mut(&next?).expect("L1: who is in a queue is known");
        assert!(next.missing > 0, "L2: somebody stood in front of it");
        next.missing -= 1;
        if next.missing > 0 {
            return None;
        }
        self.waiting -= 1;
        next.waker.take()
    }
}

/// The wish for latches. Dropping it gives the wish up.
#[must_use = "latches that are not awaited are given back"]
#[derive(Debug)]
pub struct Acquire(Option<LatchGuard>);

impl Future for Acquire {
    type Output = LatchGuard;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<LatchGuard> {
        let guard = self.0.as_ref().expect("a future is not polled after it is ready");
        let mut queues = guard.latches.lock();
        if !queues.is_granted(guard.command) {
            let waiting = queues.commands.get_mut(&guard.command);
            waiting.expect("L1: a guard has its command").waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        drop(queues);
        Poll::Ready(self.0.take().expect("looked at above"))
    }
}

/// Latches that are held, until this is dropped.
pub struct LatchGuard {
    latches: Arc<Latches>,
    command: u64,
}

impl LatchGuard {
    /// Whether `key` is one of the latched keys.
    pub fn covers(&self, key: &[u8]) -> bool {
        self.latches.lock().commands[&self.command].keys.contains(key)
    }

    /// Gives some of the latches back before the others. Keys that are not held are ignored.
    pub fn release(&mut self, keys: impl IntoIterator<Item = Bytes>) {
        let mut queues = self.latches.lock();
        let mut wakers = Vec::new();
        for key in keys {
            let held = queues.commands.get_mut(&self.command);
            if held.expect("L1: a guard has its command").keys.remove(&key) {
                wakers.extend(queues.leave_queue(self.command, &key));
            }
        }
        drop(queues);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for LatchGuard {
    fn drop(&mut self) {
        let wakers = self.latches.lock().leave(self.command);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for LatchGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LatchGuard({})", self.command)
    }
}
