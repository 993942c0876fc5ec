//! How clients ask: which store they take for the right one, how long they wait, and what they make of
//! the answer.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use proto::kvrpcpb::Context;
use proto::metapb::{Peer, Region};
use runtime::reply::{Abandoned, Reply};
use storage::mvcc::encode_user_key;
use storage::{Error, KeyError, Kv, RegionError, Result};

use super::city::City;

/// Of a hundred answers, how many are lost while anything may go wrong.
const LOST: u64 = 8;

/// How many regions clients remember as they were.
const REMEMBERED: usize = 16;

/// How often a client asks before it gives up, while anything may go wrong.
const ATTEMPTS: usize = 12;

/// What comes of a request: the answers of all regions, or why one refused it. Nothing if nobody knows.
pub(super) type Asked<I, T> = Option<std::result::Result<Vec<(Vec<I>, T)>, KeyError>>;

/// What a client hears: an answer, or that there will be none.
struct Heard<T>(Option<Result<T>>);

impl<T> Abandoned for Heard<T> {
    fn abandoned() -> Self {
        Heard(None)
    }
}

/// Where a request goes.
struct Target {
    store: u64,
    region: Region,
    context: Context,
}

/// A request on a store: it ends with the store's life, and stands still while the store does.
struct OnStore<F> {
    city: Rc<City>,
    store: u64,
    life: u64,
    inner: Pin<Box<F>>,
}

impl<T, F: Future<Output = Result<T>>> Future for OnStore<F> {
    type Output = Option<Result<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let (life, paused_until) = self.city.state_of(self.store);
        if life != self.life {
            return Poll::Ready(None);
        }
        let mut pause = self.city.time.sleep_until(paused_until);
        if Pin::new(&mut pause).poll(context).is_pending() {
            return Poll::Pending;
        }
        self.inner.as_mut().poll(context).map(Some)
    }
}

impl City {
    /// Asks about all of `items`, each in the region of its key and those of one region together, until
    /// there is an answer for each that is not a region's error.
    pub(super) async fn ask<I, T, F>(
        self: &Rc<Self>,
        items: &[I],
        key_of: fn(&I) -> &Bytes,
        request: impl Fn(Rc<Kv>, Context, Vec<I>) -> F,
    ) -> Asked<I, T>
    where
        I: Clone + 'static,
        T: 'static,
        F: Future<Output = Result<T>> + 'static,
    {
        let attempts = if self.is_calm.get() { usize::MAX } else { ATTEMPTS };
        self.ask_a_few_times(attempts, items, key_of, request).await
    }

    /// The same, but no more than so many times.
    pub(super) async fn ask_a_few_times<I, T, F>(
        self: &Rc<Self>,
        attempts_max: usize,
        items: &[I],
        key_of: fn(&I) -> &Bytes,
        request: impl Fn(Rc<Kv>, Context, Vec<I>) -> F,
    ) -> Asked<I, T>
    where
        I: Clone + 'static,
        T: 'static,
        F: Future<Output = Result<T>> + 'static,
    {
        let (mut left, mut answers, mut attempts) = (items.to_vec(), Vec::new(), 0);
        while let Some(first) = left.first() {
            if let Some(target) = self.target(key_of(first)) {
                let is_here = |item: &I| target.region.contains(&encode_user_key(key_of(item)));
                let (batch, others): (Vec<I>, Vec<I>) = left.iter().cloned().partition(is_here);
                let (id, store) = (target.region.id, target.store);
                let (kv, life) = self.branch(store);
                let asked = kv.map(|kv| request(kv, target.context, batch.clone()));
                let heard = match asked {
                    Some(asked) => self.send(store, life, asked).await,
                    None => None,
                };
                match heard {
                    Some(Ok(answer)) => {
                        answers.push((batch, answer));
                        left = others;
                        continue;
                    }
                    Some(Err(Error::Key(error))) => return Some(Err(*error)),
                    Some(Err(Error::Region(error))) => self.refused(id, &error),
                    // The disk failed, or the store did.
                    Some(Err(Error::Engine(_))) | None => self.counted(|counts| counts.lost += 1),
                    Some(Err(error)) => panic!("nobody asked for anything bad: {error}"),
                }
            }
            attempts += 1;
            if attempts >= attempts_max {
                return None;
            }
            self.time.sleep(self.some_time(300)).await;
        }
        Some(Ok(answers))
    }

    /// A request on its way, and its answer on the way back, unless either is lost.
    async fn send<T: 'static>(
        self: &Rc<Self>,
        store: u64,
        life: u64,
        asked: impl Future<Output = Result<T>> + 'static,
    ) -> Option<Result<T>> {
        let (reply, answer) = Reply::new();
        let is_late = self.chance(1, 20) && !self.is_calm.get();
        let (there, back) = (self.some_time(if is_late { 4000 } else { 50 }), self.some_time(50));
        let is_lost = self.chance(LOST, 100) && !self.is_calm.get();
        let city = Rc::clone(self);
        self.begin_request(async move {
            city.time.sleep(there).await;
            let inner = Box::pin(asked);
            let outcome = OnStore { city: Rc::clone(&city), store, life, inner }.await;
            city.time.sleep(back).await;
            if !is_lost {
                reply.answer(Heard(outcome));
            }
        });
        self.time.within(self.election * 2, answer).await?.0
    }

    /// What a client takes for the right place: mostly that is so.
    fn target(&self, key: &Bytes) -> Option<Target> {
        let key = encode_user_key(key);
        let mut remembered = self.remembered.borrow_mut();
        let known = self.scheduler.region_by_key(&key);
        let is_old = self.chance(1, 10) && !self.is_calm.get();
        let old = remembered.iter().filter(|_| is_old).find(|region| region.contains(&key));
        let region = old.cloned().or(known)?;
        if self.chance(1, 20) {
            remembered.push(region.clone());
            if remembered.len() > REMEMBERED {
                remembered.remove(0);
            }
        }
        let hint = self.hints.borrow_mut().remove(&region.id);
        let leader = hint.or_else(|| self.scheduler.leader(region.region_id()));
        let any = || self.pick(&region.peers);
        let peer = if self.chance(1, 10) { any() } else { leader.or_else(any) }?;
        let context = Context {
            region_id: region.id,
            region_epoch: Some(region.epoch()),
            peer: Some(peer),
            term: 0,
        };
        Some(Target { store: peer.store_id, region, context })
    }

    /// A region has refused: somebody else may lead it.
    fn refused(&self, region: u64, error: &RegionError) {
        self.counted(|counts| counts.refusals += 1);
        if let RegionError::NotLeader { leader: Some(leader), .. } = error {
            let leader: Peer = *leader;
            self.hints.borrow_mut().insert(region, leader);
        }
    }
}
