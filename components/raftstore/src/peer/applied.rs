//! What follows from what was applied.

use proto::metapb::Region;
use raft::Storage as _;
use slog::info;

use super::{Peer, at};
use crate::context::{Context, Outgoing};
use crate::error::{RegionError, Result};
use crate::message::{Answer, Effect, answer_all};
use crate::worker::RegionTask;

/// What the owner of the peers must do about an effect, because it concerns more than this peer.
#[derive(Debug)]
pub(crate) enum Consequence {
    /// The region is another than it was.
    RegionChanged(Region),
    /// The right part of a split is on this store now.
    RightPart {
        /// The region.
        right: Region,
        /// Its peer campaigns at once, because the left part's led.
        campaigns: bool,
        /// Bytes written into the whole, of which some may be in the right part.
        written: u64,
    },
    /// The peer is gone, and so are its data and its place on the kv engine.
    Gone,
}

impl Peer {
    /// Entries up to `index` are in the data.
    pub(crate) fn on_applied(
        &mut self,
        context: &Context,
        applied: crate::message::Applied,
        out: &mut Outgoing,
    ) -> Result<Vec<Consequence>> {
        let mut consequences = Vec::new();
        let is_leader = self.is_leader();
        let mut truncated = None;
        for effect in applied.effects {
            match effect {
                Effect::PeersChanged { change, region, peer, index } => {
                    info!(self.log, "peers changed";
                        "index" => index, "changed" => peer.id, "peers" => region.peers.len());
                    self.node.storage_mut().set_region(region.clone());
                    self.node.storage_mut().forget_snapshot();
                    self.node.apply_conf_change(&change).map_err(at(self.region_id()))?;
                    consequences.push(Consequence::RegionChanged(region));
                }
                Effect::Split { left, right, is_right_here } => {
                    info!(self.log, "region split"; "right" => right.id);
                    // Reads that wait mean the whole region, of which this peer has a part only: the
                    // rest may be led, and written, elsewhere by now.
                    let regions = vec![left.clone(), right.clone()];
                    self.refuse_reads(&RegionError::EpochNotMatch { regions });
                    self.node.storage_mut().set_region(left.clone());
                    self.node.storage_mut().forget_snapshot();
                    self.pending_split = None;
                    self.duties.was_split();
                    consequences.push(Consequence::RegionChanged(left));
                    if is_right_here {
                        let (campaigns, written) = (is_leader, self.duties.all_written());
                        consequences.push(Consequence::RightPart { right, campaigns, written });
                    }
                }
                Effect::LogTruncated { index, term } => truncated = Some((index, term)),
                Effect::Destroyed => {
                    consequences.push(Consequence::Gone);
                    return Ok(consequences);
                }
            }
        }
        self.node.storage_mut().set_applied(applied.index, applied.term);
        self.node.on_applied(applied.index);
        if self.pending_split.is_some_and(|index| index <= applied.index) {
            self.pending_split = None;
        }
        if let Some((index, term)) = truncated {
            let cut = index - self.storage().truncated().index;
            self.node.storage_mut().set_truncated(index, term);
            self.duties.log_cut(cut, self.storage().last_index() - index);
            out.region.push(RegionTask::DeleteLog { region: self.region_id(), end: index + 1 });
        }
        self.duties.written(applied.bytes_written);
        if !consequences.is_empty() {
            self.report(context, out);
        }
        self.answer_reads(context)?;
        Ok(consequences)
    }

    /// The region is the right part of one into which so many bytes were written.
    pub(crate) fn was_cut_off(&mut self, written: u64) {
        self.duties.was_cut_off(written);
    }

    /// The peer is going: whoever waits is told, or learns that nothing is known.
    pub(crate) fn farewell(&mut self) {
        let gone = RegionError::NotFound { region: self.region().id };
        if let Some(bundle) = self.bundle.take() {
            answer_all(bundle.replies, Answer(Err(gone.clone())));
        }
        self.refuse_reads(&gone);
    }
}
