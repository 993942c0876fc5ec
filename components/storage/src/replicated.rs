//! Regions, each kept by a Raft group: the storage of a node in a cluster.
//!
//! A snapshot is the region's lease away: mostly it is taken on the spot, and only a leader whose lease
//! has run out asks its followers first. A write is an entry in the log of its region, and carries the
//! term of the snapshot that it was computed from: a leader of another term refuses it, because what the
//! command decided may no longer be so.

use std::sync::Arc;

use engine::{Cf, Engine, Op, WriteBatch};
use proto::RegionId;
use proto::kvrpcpb::Context;
use raftstore::{Answer, Command, Header, LocalRead, Request, Router};
use runtime::reply::{self, Handover, Reply};

use crate::error::{Error, RegionError, Result};
use crate::region_reader::{RegionReader, lock_key};
use crate::safe_point::SafePoint;
use crate::storage::{Changes, Pending, Reader, Stamp, Storage};

/// How many answers may wait to be given to tasks of the runtime; as many calls of one connection may.
const ANSWERS_WAITING_MAX: usize = 1024;

/// A storage over the regions of one store.
pub struct Replicated {
    router: Router,
    safe_point: SafePoint,
    handover: Option<Handover<Answer>>,
}

impl Replicated {
    /// A storage over the regions behind `router`; `kv` is the engine that holds their data.
    pub fn new(router: Router, kv: Arc<dyn Engine>) -> Result<Self> {
        Ok(Replicated { router, safe_point: SafePoint::load(kv)?, handover: None })
    }

    /// For a runtime, which has to run what comes with it: its tasks are answered together.
    pub fn for_runtime(mut self) -> (Self, impl Future<Output = ()> + Send) {
        let (handover, giving) = Handover::new(ANSWERS_WAITING_MAX);
        self.handover = Some(handover);
        (self, giving)
    }

    /// The way to the regions.
    pub fn router(&self) -> &Router {
        &self.router
    }

    fn reply(&self) -> (Reply<Answer>, reply::Answer<Answer>) {
        self.handover.as_ref().map_or_else(Reply::new, Handover::reply)
    }
}

/// For whom a request is meant, as its client said.
fn header(context: &Context) -> Header {
    Header {
        region: RegionId::new(context.region_id),
        peer: context.peer,
        epoch: context.region_epoch.unwrap_or_default(),
        term: context.term,
    }
}

/// A refusal in the words of commands. What a region will never do makes no sense to repeat.
fn refusal(error: RegionError) -> Error {
    match error {
        RegionError::Refused(why) => Error::invalid(why),
        RegionError::NotLeader { .. }
        | RegionError::NotFound { .. }
        | RegionError::KeyNotInRegion { .. }
        | RegionError::EpochNotMatch { .. }
        | RegionError::StaleCommand
        | RegionError::StoreNotMatch { .. }
        | RegionError::Busy(_) => error.into(),
    }
}

impl Storage for Replicated {
    fn snapshot<'a>(&'a self, context: &'a Context) -> Pending<'a, Arc<dyn Reader>> {
        let header = header(context);
        match self.router.read(&header) {
            LocalRead::Answered(answer) => {
                let reader =
                    answer.map(|view| Arc::new(RegionReader::new(view)) as Arc<dyn Reader>);
                Box::pin(std::future::ready(reader.map_err(refusal)))
            }
            LocalRead::Ask => {
                let (reply, answer) = self.reply();
                self.router.command(header, Command::Read, reply);
                Box::pin(async {
                    let Answer(answer) = answer.await;
                    match answer.map_err(refusal)?.into_snapshot() {
                        Some(view) => Ok(Arc::new(RegionReader::new(view)) as Arc<dyn Reader>),
                        None => Err(RegionError::StaleCommand.into()),
                    }
                })
            }
        }
    }

    fn write<'a>(&'a self, context: &'a Context, changes: Changes) -> Pending<'a, ()> {
        changes.assert_sound();
        let Changes { stamp, batch, latches } = changes;
        let mut header = header(context);
        if stamp != Stamp::NONE {
            (header.term, header.epoch) = (stamp.term, stamp.epoch);
        }
        let (decided, outcome) = self.reply();
        // The latches go when the fate of the write is decided, whoever still listens.
        let reply = Reply::from_fn(move |answer| {
            drop(latches);
            decided.answer(answer);
        });
        self.router.command(header, Command::Write(requests(&batch)), reply);
        Box::pin(async {
            let Answer(answer) = outcome.await;
            answer.map(drop).map_err(refusal)
        })
    }

    /// Data of raw calls lies among that of transactions, whose families are theirs alone.
    fn raw_families(&self) -> &'static [Cf] {
        &[Cf::Default]
    }

    fn safe_point(&self) -> u64 {
        self.safe_point.get()
    }

    fn raise_safe_point(&self, safe_point: u64) -> Pending<'_, u64> {
        Box::pin(std::future::ready(self.safe_point.raise(safe_point)))
    }
}

/// Changes as a region takes them, with locks under the keys of regions.
fn requests(batch: &WriteBatch) -> Vec<Request> {
    let place =
        |cf: Cf, key: &bytes::Bytes| if cf == Cf::Lock { lock_key(key) } else { key.clone() };
    let request = |op: &Op| match op {
        Op::Put { cf, key, value } => {
            Request::Put { cf: *cf, key: place(*cf, key), value: value.clone() }
        }
        Op::Delete { cf, key } => Request::Delete { cf: *cf, key: place(*cf, key) },
        Op::DeleteRange { .. } => unreachable!("a command deletes key by key"),
    };
    batch.ops().iter().map(request).collect()
}
