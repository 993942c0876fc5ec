//! A storage as unpleasant as a replicated one: calls take a while and end in any order, answers are lost,
//! and leaders change.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use engine::{Cf, Cursor, KeyRange, Op};
use proto::kvrpcpb::Context;
use runtime::Rng;
use runtime::reply::{Abandoned, Reply};

use super::super::fixture::wait;
use crate::mvcc::{Write, WriteKind, decode_user_key, split_key};
use crate::storage::{Changes, Pending, Reader, Stamp, Storage};
use crate::{Error, RegionError, Result, Standalone};

/// Not ready a few times.
pub(super) struct Delay(pub(super) u64);

impl Future for Delay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _context: &mut TaskContext<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        Poll::Pending
    }
}

/// A storage whose calls take a while, and whose leaders change.
pub(super) struct Slow {
    pub(super) inner: Standalone,
    pub(super) state: Mutex<SlowState>,
}

pub(super) struct SlowState {
    pub(super) rng: Rng,
    pub(super) term: u64,
    pub(super) in_flight: Vec<(Changes, Reply<Fate>)>,
    /// Every record that was ever written, but late rollbacks.
    pub(super) records: Vec<(Bytes, u64, Write)>,
}

/// What a client is told of its write.
pub(super) struct Fate(std::result::Result<(), RegionError>);

impl Abandoned for Fate {
    fn abandoned() -> Self {
        Fate(Err(RegionError::StaleCommand))
    }
}

impl Slow {
    pub(super) fn new(rng: Rng) -> Arc<Self> {
        let state = SlowState { rng, term: 1, in_flight: Vec::new(), records: Vec::new() };
        Arc::new(Slow { inner: Standalone::in_memory(), state: Mutex::new(state) })
    }

    pub(super) fn delay(&self) -> Delay {
        let rng = &mut self.state.lock().unwrap().rng;
        Delay(if rng.chance(1, 2) { 0 } else { rng.below(6) })
    }

    /// One of the writes on their way arrives.
    pub(super) fn apply_one(&self) {
        let mut state = self.state.lock().unwrap();
        let count = state.in_flight.len();
        if count == 0 {
            return;
        }
        let index = usize::try_from(state.rng.below(count as u64)).unwrap();
        let (changes, reply) = state.in_flight.swap_remove(index);
        for op in changes.batch.ops() {
            if let Op::Put { cf: Cf::Write, key, value } = op {
                let user_key = decode_user_key(key).unwrap().into();
                let ts = split_key(key).unwrap().1;
                let write = Write::parse(value).unwrap();
                let is_late = write.start_ts <= self.inner.safe_point();
                // Somebody asks for the fate of a transaction whose records were collected, and is told
                // that it was rolled back; see `txn::gc` why nobody can act on that.
                if !(is_late && write.kind == WriteKind::Rollback) {
                    state.records.push((user_key, ts, write));
                }
            }
        }
        wait(self.inner.write(&Context::default(), changes)).unwrap();
        let is_told = !state.rng.chance(1, 15);
        drop(state);
        reply.answer(if is_told { Fate(Ok(())) } else { Fate::abandoned() });
    }

    /// Another leader takes over. Some writes on their way arrive before, the others never.
    pub(super) fn change_leader(&self) {
        let count = self.state.lock().unwrap().in_flight.len() as u64;
        let arrive = self.state.lock().unwrap().rng.below(count + 1);
        (0..arrive).for_each(|_| self.apply_one());
        let mut state = self.state.lock().unwrap();
        state.term += 1;
        let lost = std::mem::take(&mut state.in_flight);
        drop(state);
        drop(lost); // their replies answer that the fate is unknown
    }
}

/// The storage as the leader of one term has it. When the next one has taken over, it serves nothing.
pub(super) struct Leader {
    pub(super) slow: Arc<Slow>,
    pub(super) term: u64,
}

impl Leader {
    pub(super) fn check_term(&self, term: u64) -> Result<()> {
        if term == self.term {
            return Ok(());
        }
        Err(RegionError::NotLeader { region: 1, leader: None }.into())
    }
}

impl Storage for Leader {
    fn snapshot<'a>(&'a self, context: &'a Context) -> Pending<'a, Arc<dyn Reader>> {
        Box::pin(async move {
            self.slow.delay().await;
            let stamped = {
                let mut state = self.slow.state.lock().unwrap();
                self.check_term(state.term)?;
                if state.rng.chance(1, 40) {
                    return Err(RegionError::Busy("so it is").into());
                }
                let reader = wait(self.slow.inner.snapshot(context))?;
                Stamped { reader, stamp: Stamp { term: state.term, ..Stamp::NONE } }
            };
            self.slow.delay().await;
            Ok(Arc::new(stamped) as Arc<dyn Reader>)
        })
    }

    fn write<'a>(&'a self, _context: &'a Context, changes: Changes) -> Pending<'a, ()> {
        Box::pin(async move {
            self.slow.delay().await;
            let (reply, answer) = Reply::new();
            {
                let mut state = self.slow.state.lock().unwrap();
                assert_eq!(changes.stamp.term, self.term, "a write says what it was computed from");
                self.check_term(state.term)?;
                state.in_flight.push((changes, reply));
            }
            answer.await.0.map_err(Error::from)
        })
    }

    fn raw_families(&self) -> &'static [Cf] {
        &[Cf::Default]
    }

    fn safe_point(&self) -> u64 {
        self.slow.inner.safe_point()
    }

    fn raise_safe_point(&self, safe_point: u64) -> Pending<'_, u64> {
        self.slow.inner.raise_safe_point(safe_point)
    }
}

pub(super) struct Stamped {
    pub(super) reader: Arc<dyn Reader>,
    pub(super) stamp: Stamp,
}

impl Reader for Stamped {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn check(&self, region_key: &[u8]) -> Result<()> {
        self.reader.check(region_key)
    }

    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        self.reader.get(cf, key)
    }

    fn cursor<'a>(&'a self, cf: Cf, range: KeyRange<'_>) -> Result<Box<dyn Cursor + 'a>> {
        self.reader.cursor(cf, range)
    }
}
