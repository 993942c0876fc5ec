//! Applies committed entries: one batch for all regions that have some.
//!
//! The data is not synced for each batch, because the log protects it: after a crash the entries behind
//! the applied index, which is in the same batch as what it covers, are applied again. Batches that
//! change what a region *is* are synced before anybody hears of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Cf, Durability, Engine, WriteBatch};
use proto::RegionId;
use proto::eraftpb::Entry;
use proto::metapb::Region;
use runtime::mutant;
use runtime::reply::Reply;
use runtime::worker::{Runner, Tasks};
use slog::{Logger, error, info};

use super::ApplyTask;
use crate::apply::{Applier, Executed, Turn, changes_region};
use crate::error::Result;
use crate::message::{
    Answer, Applied, Completion, Done, RegionSnapshot, Request, Response, Waiting, answer_all,
};
use crate::meters::ApplyMeters;
use crate::{keys, state};

/// How large a batch grows before it is written, in bytes. One entry may make it larger.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// The owner of all appliers of a store.
pub struct ApplyWorker {
    kv: Arc<dyn Engine>,
    completions: Tasks<Completion>,
    meters: ApplyMeters,
    log: Logger,
    appliers: BTreeMap<RegionId, Applier>,
    turn: Turn,
    /// Regions that were touched since the last write.
    touched: Vec<RegionId>,
    /// Whoever waits for the write.
    waiting: Vec<(Vec<Reply<Answer>>, Answered)>,
    /// The disk failed: nothing is done any more, and whoever waits learns that nothing is known.
    has_failed: bool,
}

/// What a waiting client is told once the batch is written.
enum Answered {
    Now(Answer),
    /// Reads are done then.
    Reads {
        requests: Vec<Request>,
        region: Region,
        term: u64,
    },
}

impl ApplyWorker {
    /// A worker without regions.
    pub(crate) fn new(
        kv: Arc<dyn Engine>,
        completions: Tasks<Completion>,
        meters: ApplyMeters,
        log: Logger,
    ) -> Self {
        ApplyWorker {
            kv,
            completions,
            meters,
            log,
            appliers: BTreeMap::new(),
            turn: Turn::default(),
            touched: Vec::new(),
            waiting: Vec::new(),
            has_failed: false,
        }
    }

    /// From now on it reports to `completions`. Returns where it reported to until now, for whoever puts something
    /// in between.
    pub fn report_to(&mut self, completions: Tasks<Completion>) -> Tasks<Completion> {
        std::mem::replace(&mut self.completions, completions)
    }

    fn do_task(&mut self, task: ApplyTask) -> Result<()> {
        match task {
            ApplyTask::Register { peer, region, state, term } => {
                let applier = Applier::new(peer, region, state, term);
                self.appliers.insert(applier.region_id(), applier);
            }
            ApplyTask::Entries { region, entries, waiting } => {
                self.apply(region, &entries, waiting)?;
            }
            ApplyTask::Stop(region) => {
                self.write()?;
                self.appliers.remove(&region);
                self.report(Completion::ApplierStopped(region));
            }
            ApplyTask::Destroy { region, peer, tombstone } => {
                self.destroy(region, &tombstone)?;
                self.report(Completion::Destroyed { region, peer });
            }
        }
        Ok(())
    }

    fn apply(&mut self, region: RegionId, entries: &[Entry], waiting: Vec<Waiting>) -> Result<()> {
        let mut waiting = waiting.into_iter().peekable();
        for entry in entries {
            if !self.waiting.is_empty() && changes_region(entry) {
                // It may clear what a command before it was to read.
                runtime::mark!("written before an entry that changes the region");
                self.write()?;
            }
            // Taken anew for each entry: a write in between ends a borrow.
            let Some(applier) = self.appliers.get_mut(&region) else { return Ok(()) };
            if applier.is_destroyed() {
                return Ok(());
            }
            let executed = applier.apply(entry, &*self.kv, &mut self.turn)?;
            if self.touched.last() != Some(&region) && !self.touched.contains(&region) {
                self.touched.push(region);
            }
            let is_for = |waiting: &Waiting| {
                waiting.index == entry.index && (waiting.term == entry.term || mutant::on(17))
            };
            if let Some(Waiting { replies, .. }) = waiting.next_if(is_for) {
                // They are of whoever led in the term of the entry, and so is what was read.
                let answered = answer(executed, applier.region(), entry.term);
                self.waiting.push((replies, answered));
            }
            if self.turn.batch.size_bytes() > BATCH_BYTES_MAX {
                self.write()?;
            }
        }
        Ok(())
    }

    /// Leaves a tombstone for a peer, and takes away what data it has.
    fn destroy(&mut self, region: RegionId, tombstone: &Region) -> Result<()> {
        self.write()?;
        self.appliers.remove(&region);
        let mut batch = WriteBatch::new();
        // The record tells what the peer covers now; a split may have made it just before.
        if let Some(found) = state::region_state(&*self.kv, region)?
            && !state::is_tombstone(&found)
        {
            let covered = state::region_of(&found);
            if !covered.is_uninitialized() {
                state::clear_data(&mut batch, &covered.start_key, &covered.end_key);
            }
        }
        // Of a snapshot that turned out to be damaged, a part may be in.
        if let Some(marker) = state::install_marker(&*self.kv, region)? {
            state::clear_data(&mut batch, &marker.clear_start, &marker.clear_end);
            batch.delete(Cf::Local, keys::install_marker(region));
        }
        if !mutant::on(14) {
            state::put_tombstone(&mut batch, tombstone);
        }
        batch.delete(Cf::Local, keys::apply_state(region));
        self.kv.write(&batch, durability(true))?;
        info!(self.log, "peer removed"; "region" => region.get());
        Ok(())
    }

    /// Writes what came together, answers whoever waited for it, and reports.
    fn write(&mut self) -> Result<()> {
        if self.touched.is_empty() {
            return Ok(());
        }
        let touched = std::mem::take(&mut self.touched);
        let turn = std::mem::take(&mut self.turn);
        let (mut batch, mut applied_indexes) = (turn.batch, WriteBatch::new());
        let mut reports = Vec::with_capacity(touched.len());
        for region in touched {
            let Some(applier) = self.appliers.get_mut(&region) else { continue };
            applier.save(if mutant::on(9) { &mut applied_indexes } else { &mut batch });
            let (index, term) = applier.applied();
            let (effects, bytes_written) = applier.take_effects();
            if applier.is_destroyed() {
                self.appliers.remove(&region);
            }
            reports.push(Applied { region, index, term, bytes_written, effects });
        }
        self.kv.write(&batch, durability(turn.must_sync))?;
        if !applied_indexes.is_empty() {
            self.kv.write(&applied_indexes, Durability::Unsynced)?;
        }
        let written = self.meters.written();
        // Before the answers: whoever has one must find a peer that knows what it says.
        self.report(Completion::Applied(reports));
        self.answer_all()?;
        self.meters.answered(written);
        Ok(())
    }

    fn answer_all(&mut self) -> Result<()> {
        let mut snapshot = None;
        for (replies, answered) in std::mem::take(&mut self.waiting) {
            let answer = match answered {
                Answered::Now(answer) => answer,
                Answered::Reads { requests, region, term } => {
                    let snapshot = match &snapshot {
                        Some(snapshot) => Arc::clone(snapshot),
                        None => Arc::clone(snapshot.insert(self.kv.snapshot()?)),
                    };
                    let view = RegionSnapshot { region: Arc::new(region), term, snapshot };
                    Answer(Ok(Done::Responses(respond(&requests, &view)?)))
                }
            };
            answer_all(replies, answer);
        }
        Ok(())
    }

    fn report(&self, completion: Completion) {
        // An error means that the store has stopped, and nobody wants to know.
        drop(self.completions.send(completion));
    }

    fn fail(&mut self, error: &crate::Error) {
        error!(self.log, "applying failed, the store stops"; "error" => %error);
        self.has_failed = true;
        self.waiting.clear();
        self.report(Completion::Failed(error.to_string()));
    }
}

impl Runner for ApplyWorker {
    type Task = Vec<ApplyTask>;

    fn run(&mut self, tasks: Vec<ApplyTask>) {
        self.meters.begin();
        for task in tasks {
            if self.has_failed {
                return;
            }
            if let Err(error) = self.do_task(task) {
                self.fail(&error);
            }
        }
    }

    fn flush(&mut self) {
        if !self.has_failed
            && let Err(error) = self.write()
        {
            self.fail(&error);
        }
    }
}

/// A change of what a region is must be durable before anything depends on it.
fn durability(must_sync: bool) -> Durability {
    if must_sync && !mutant::on(25) { Durability::Synced } else { Durability::Unsynced }
}

fn answer(executed: Executed, region: &Region, term: u64) -> Answered {
    match executed {
        Executed::Written => Answered::Now(Answer(Ok(Done::Written))),
        Executed::Admin(done) => Answered::Now(Answer(Ok(Done::Admin(done)))),
        Executed::Refused(error) => Answered::Now(Answer(Err(error))),
        Executed::Reads(requests) => Answered::Reads { requests, region: region.clone(), term },
    }
}

/// Answers the requests of a command that reads, by a state in which its changes are made.
fn respond(requests: &[Request], view: &RegionSnapshot) -> Result<Vec<Response>> {
    let mut responses = Vec::with_capacity(requests.len());
    for request in requests {
        responses.push(match request {
            Request::Put { .. } => Response::Put,
            Request::Delete { .. } => Response::Delete,
            Request::Get { cf, key } => Response::Get(view.snapshot.get(*cf, key)?),
            Request::Snap => Response::Snap(view.clone()),
        });
    }
    Ok(responses)
}
