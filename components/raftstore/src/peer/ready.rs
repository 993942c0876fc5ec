//! What Raft wants done, in the order that keeps its promises.
//!
//! A turn takes the [`Ready`] of each peer that has one (*collect*), writes what all of them want
//! written in one batch with at most one sync, and then does what had to wait for that (*finish*):
//!
//! ```text
//! collect   0. writes that wait for others         become an entry
//!           1. the lease ends, if it must          before any message that hands over leadership
//!           2. messages that promise nothing       travel while the disk works
//!           3. entries, term and vote              into the batch of the turn
//! write     4. the batch                           one write, one sync, all regions
//! finish    5. messages that promise               what they speak of is on disk
//!           6. committed entries                   to the apply worker
//!           7. reads that are proven               answered when their past is applied
//! ```

use raft::{Ready, StateRole};
use slog::info;

use super::{Peer, at};
use crate::context::{Context, Outgoing};
use crate::error::{RegionError, Result};
use crate::peer::stage::Stage;
use crate::storage::Saved;
use crate::worker::{ApplyTask, RegionTask};

/// A Ready whose writes are in the batch of the turn.
pub(crate) struct Collected {
    ready: Ready,
    saved: Option<Saved>,
}

impl Peer {
    /// Steps 0 to 3. `None` if there is nothing to finish.
    pub(crate) fn collect(
        &mut self,
        context: &Context,
        out: &mut Outgoing,
    ) -> Result<Option<Collected>> {
        self.propose_bundle(context);
        if !self.stage.takes_messages() {
            return Ok(None);
        }
        self.ask_for_reads();
        // A leader alone has nobody to send its rounds to, and so nothing ready.
        self.note_round(out.now);
        if !self.node.has_ready() {
            self.publish(context);
            return Ok(None);
        }
        let region = self.region_id();
        let mut ready = self.node.ready().map_err(at(region))?;
        self.note_round(out.now);
        self.note_role(context, &ready, out);
        if self.node.storage_mut().take_snapshot_wish() {
            self.duties.keep_log_behind(self.storage().applied_index(), context.ticks.snapshot_max);
            out.region.push(RegionTask::BuildSnapshot(region));
        }
        self.publish(context);
        if ready.snapshot.is_some() {
            self.stop_for_snapshot(ready, out);
            return Ok(None);
        }
        let messages = std::mem::take(&mut ready.messages);
        self.send_all(messages, &mut out.messages);
        let saved = self.storage().save_ready_state(&ready, &mut out.batch);
        out.must_sync |= saved.is_some();
        self.duties.appended(&ready.entries);
        Ok(Some(Collected { ready, saved }))
    }

    /// Steps 5 to 7: what was collected is on disk.
    pub(crate) fn finish(&mut self, out: &mut Outgoing, collected: Collected) -> Result<()> {
        let Collected { mut ready, saved } = collected;
        if let Some(saved) = saved {
            self.node.storage_mut().install(saved);
        }
        self.node.on_persisted(ready.number).map_err(at(self.region_id()))?;
        let promises = std::mem::take(&mut ready.messages_after_persist);
        self.send_all(promises, &mut out.promises);
        if !ready.committed_entries.is_empty() {
            let oldest = self.proposals.oldest();
            let waiting = self.proposals.take_through(&ready.committed_entries);
            if !waiting.is_empty() {
                out.oldest_committed = out.oldest_committed.into_iter().chain(oldest).min();
            }
            let region = self.region_id();
            let entries = std::mem::take(&mut ready.committed_entries);
            let task = ApplyTask::Entries { region, entries, waiting };
            if matches!(self.stage, Stage::Installing) {
                // After a restart Raft takes the snapshot for applied, and it is not there yet.
                runtime::mark!("entries wait for a snapshot that a restart goes on with");
                self.held.push(task);
            } else {
                out.apply.push(task);
            }
        }
        self.reads_proven(&ready.read_states);
        Ok(())
    }

    /// A snapshot must not meet entries that are still being applied.
    fn stop_for_snapshot(&mut self, ready: Ready, out: &mut Outgoing) {
        let covered = ready.snapshot.as_ref().map(|snapshot| (snapshot.index(), snapshot.term()));
        let (index, term) = covered.unwrap_or_default();
        info!(self.log, "snapshot accepted"; "index" => index);
        self.proposals.forget_through(index, term);
        // The worker says that it has stopped even where there was nothing to stop, so that both kinds
        // of peer go the same way.
        out.apply.push(ApplyTask::Stop(self.region_id()));
        self.stage = Stage::Stopping(Box::new(ready));
    }

    /// Somebody else leads, or this peer does.
    fn note_role(&mut self, context: &Context, ready: &Ready, out: &mut Outgoing) {
        let Some(soft) = &ready.soft_state else { return };
        let region = self.region().id;
        match soft.role {
            StateRole::Leader => {
                info!(self.log, "leader elected"; "term" => self.term());
                self.report(context, out);
            }
            StateRole::Follower | StateRole::Candidate => {
                self.pending_split = None;
                let error = RegionError::NotLeader { region, leader: self.leader() };
                self.refuse_reads(&error);
            }
        }
    }
}
