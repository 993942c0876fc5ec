//! What a peer does from time to time.

use proto::RegionId;
use proto::eraftpb::Entry;
use proto::metapb::Peer as PeerRecord;
use proto::schedulerpb::PeerStats;
use raft::Storage as _;
use runtime::reply::Reply;
use runtime::ticker::Duties;
use slog::warn;

use super::Peer;
use crate::config::Ticks;
use crate::context::{Context, Outgoing};
use crate::message::{Admin, Answer, Command, Header};
use crate::ports::RegionHeartbeat;
use crate::worker::{RegionTask, SchedulerTask};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    CutLog,
    CheckSize,
    Report,
}

/// What a peer counts for its duties.
#[derive(Debug)]
pub(crate) struct PeerDuties {
    due: Duties<Duty>,
    /// Ticks since the leader was heard of, which is not the same as having no leader: a peer that may not
    /// campaign, because it is no member as far as it knows, believes in its last leader for ever.
    leaderless: u64,
    /// About how many bytes the log holds.
    log_bytes: u64,
    /// An upper bound for the size of the region, once it is known.
    size: Option<u64>,
    /// Bytes written since the peer was made: what may not be in files yet.
    written: u64,
    /// Bytes written since the size was asked for or counted.
    written_since: u64,
    /// The size is being found out, or ids for a split are being asked for.
    is_checking: bool,
    /// Where the snapshot ends, or is going to, that somebody waits for, and for how many ticks the log
    /// is still kept behind it.
    kept: Option<(u64, u32)>,
}

/// How much longer than it should be the log may get while it is kept behind a snapshot.
const KEPT_LOGS_MAX: u64 = 8;

impl PeerDuties {
    pub(crate) fn new(ticks: &Ticks, region: RegionId) -> Self {
        // Regions have different phases, so that not all of them are busy at the same tick.
        let phase = region.get();
        let due = Duties::new()
            .every_with_phase(ticks.log_gc, phase, Duty::CutLog)
            .every_with_phase(ticks.split_check, phase, Duty::CheckSize)
            .every_with_phase(ticks.region_heartbeat, phase, Duty::Report);
        PeerDuties {
            due,
            leaderless: 0,
            log_bytes: 0,
            size: None,
            written: 0,
            written_since: 0,
            is_checking: false,
            kept: None,
        }
    }

    /// A snapshot of everything up to `index`, or more, is going to be built, sent and installed. All that
    /// time its receiver does without the log; were that cut behind the snapshot meanwhile, it would need
    /// another one, and so on for as long as there are writes.
    ///
    /// A wait that has begun is not prolonged, so that a follower that never gets there does not keep the
    /// log for ever.
    pub(crate) fn keep_log_behind(&mut self, index: u64, ticks: u32) {
        self.kept.get_or_insert((index, ticks));
    }

    /// Entries were put into the log.
    pub(crate) fn appended(&mut self, entries: &[Entry]) {
        self.log_bytes += entries.iter().map(|entry| entry.data.len() as u64).sum::<u64>();
    }

    /// The leader has said something.
    pub(crate) fn heard_leader(&mut self) {
        self.leaderless = 0;
    }

    /// The log was cut: entries are taken to be of one size.
    pub(crate) fn log_cut(&mut self, cut: u64, left: u64) {
        self.log_bytes = self.log_bytes / (cut + left).max(1) * left;
    }

    /// Bytes were written into the data.
    pub(crate) fn written(&mut self, bytes: u64) {
        self.written += bytes;
        self.written_since += bytes;
        if let Some(size) = &mut self.size {
            *size += bytes;
        }
    }

    /// Bytes written that may not be in files yet.
    pub(crate) fn all_written(&self) -> u64 {
        self.written
    }

    /// The region is the right part of one into which so many bytes were written: they may be here.
    pub(crate) fn was_cut_off(&mut self, written: u64) {
        self.written = written;
    }

    /// The region has a part of its keys only.
    pub(crate) fn was_split(&mut self) {
        self.size = None;
        self.is_checking = false;
    }

    /// All data is new.
    pub(crate) fn was_replaced(&mut self) {
        (self.size, self.written, self.written_since) = (None, 0, 0);
        self.log_bytes = 0;
    }

    /// The size is known, as it was when it was asked for.
    pub(crate) fn size_known(&mut self, size: u64) {
        self.size = Some(size + self.written_since);
        self.is_checking = false;
    }

    /// The check, or what follows from it, came to nothing; the next turn tries again.
    pub(crate) fn check_failed(&mut self) {
        self.is_checking = false;
        self.size = None;
    }
}

impl Peer {
    /// Does what is due.
    pub(crate) fn do_duties(&mut self, context: &Context, out: &mut Outgoing) {
        self.look_for_leader(context, out);
        self.duties.kept =
            self.duties.kept.and_then(|(index, ticks)| Some((index, ticks.checked_sub(1)?)));
        for duty in self.duties.due.tick() {
            if !self.is_leader() {
                continue;
            }
            match duty {
                Duty::CutLog => self.cut_log(context),
                Duty::CheckSize => self.check_size(context, out),
                Duty::Report => self.report(context, out),
            }
        }
    }

    /// A peer that hears from no leader for long may have been removed without hearing of it.
    fn look_for_leader(&mut self, context: &Context, out: &mut Outgoing) {
        if self.is_leader() {
            self.duties.leaderless = 0;
            return;
        }
        self.duties.leaderless += 1;
        if self.duties.leaderless >= context.ticks.leader_missing {
            self.duties.leaderless = 0;
            warn!(self.log, "no leader for long, asking the scheduler");
            let (region, epoch) = (self.region_id(), self.region().epoch());
            out.scheduler.push(SchedulerTask::AskMembership { region, epoch });
        }
    }

    /// Proposes to forget the beginning of the log: what all followers have, or, once that is too much to
    /// keep for a slow one, everything that is applied and does not follow a snapshot that is on its way.
    fn cut_log(&mut self, context: &Context) {
        let config = &context.config;
        let storage = self.storage();
        let (applied, first) = (storage.applied_index(), storage.first_index());
        let held = applied.saturating_sub(first - 1);
        let is_full =
            held >= config.log_gc_count || self.duties.log_bytes >= config.log_gc_size.get();
        let followers = self.node.status().followers;
        let replicated =
            followers.iter().map(|follower| follower.match_index).min().unwrap_or(applied);
        let is_worth_it =
            |index: u64| index.saturating_sub(first - 1) >= (config.log_gc_count / 2).max(1);
        let index = if is_full {
            // Who has the snapshot needs what comes behind it, and who is further than that less.
            let is_endless = self.duties.log_bytes / KEPT_LOGS_MAX >= config.log_gc_size.get();
            let kept = self.duties.kept.filter(|_| !is_endless);
            let needed = kept.and_then(|(index, _)| {
                followers.iter().map(|follower| follower.match_index.max(index)).min()
            });
            needed.map_or(applied, |index| index.min(applied))
        } else if is_worth_it(replicated.min(applied)) {
            replicated.min(applied)
        } else {
            return;
        };
        if index < first {
            return;
        }
        let Ok(term) = self.storage().term(index) else { return };
        self.propose_own(context, Admin::CompactLog { index, term });
    }

    fn propose_own(&mut self, context: &Context, admin: Admin) {
        let header = self.own_header();
        // Whether it comes about shows in what is applied.
        let reply = Reply::from_fn(|_answer: Answer| ());
        self.begin(context, None, &header, Command::Admin(admin), reply);
    }

    fn own_header(&self) -> Header {
        Header {
            region: self.region_id(),
            peer: Some(self.own),
            epoch: self.region().epoch(),
            term: 0,
        }
    }

    /// Has the size found out, if it may have passed the limit.
    fn check_size(&mut self, context: &Context, out: &mut Outgoing) {
        let (max, split) =
            (context.config.region_size_max.get(), context.config.region_size_split.get());
        let duties = &mut self.duties;
        let may_be_large = duties.size.is_none_or(|size| size >= max);
        // What was counted is exact, so that the region may be large means that enough was written. Only
        // where old data is replaced again and again that is not so, and it is not counted for a few bytes.
        let has_grown = duties.size.is_none() || duties.written_since >= split / 1024;
        if duties.is_checking || !may_be_large || !has_grown {
            return;
        }
        duties.is_checking = true;
        duties.written_since = 0;
        let written = duties.written;
        out.region.push(RegionTask::CheckSize { region: self.region().clone(), written });
    }

    /// The size is known, and where to cut the region if it is too large.
    pub(crate) fn on_size_known(
        &mut self,
        epoch: proto::metapb::RegionEpoch,
        size: u64,
        split_key: Option<bytes::Bytes>,
        out: &mut Outgoing,
    ) {
        if epoch != self.region().epoch() {
            self.duties.check_failed();
            return;
        }
        self.duties.size_known(size);
        if let Some(key) = split_key
            && self.is_leader()
        {
            self.duties.is_checking = true;
            out.scheduler.push(SchedulerTask::AskSplit { region: self.region().clone(), key });
        }
    }

    /// Nobody had time to find out the size, or for what was to follow.
    pub(crate) fn check_failed(&mut self) {
        self.duties.check_failed();
    }

    /// The scheduler has given ids for a split, or not.
    pub(crate) fn on_split_ids(
        &mut self,
        context: &Context,
        epoch: proto::metapb::RegionEpoch,
        key: bytes::Bytes,
        ids: Option<(RegionId, Vec<u64>)>,
    ) {
        // Should the split come to nothing, the size is found out anew.
        self.duties.check_failed();
        let Some((new_region, new_peers)) = ids else { return };
        if epoch == self.region().epoch() && self.is_leader() {
            self.propose_own(context, Admin::Split { key, new_region, new_peers });
        }
    }

    /// About how many bytes the region has, once that was found out.
    pub(crate) fn size(&self) -> Option<u64> {
        self.duties.size
    }

    /// Tells the scheduler about the region.
    pub(crate) fn report(&mut self, context: &Context, out: &mut Outgoing) {
        if !self.is_leader() {
            return;
        }
        let heartbeat = RegionHeartbeat {
            region: self.region().clone(),
            leader: self.own,
            term: self.term(),
            down_peers: self.down_peers(context),
            pending_peers: self.pending_peers(),
            approximate_size: self.duties.size.unwrap_or(self.duties.written),
        };
        out.scheduler.push(SchedulerTask::Heartbeat(Box::new(heartbeat)));
    }

    /// Members that have said nothing for as long as makes a follower ask whether it still belongs. Their
    /// stores may be well all the same: a replica whose snapshot is damaged is silent for ever.
    fn down_peers(&self, context: &Context) -> Vec<PeerStats> {
        let tick = context.config.tick.get();
        let followers = self.node.status().followers.into_iter();
        let down = followers
            .filter(|follower| u64::from(follower.silent_ticks) >= context.ticks.leader_missing);
        let stats = down.map(|follower| PeerStats {
            peer: self.find(follower.id),
            down_seconds: (tick * follower.silent_ticks).as_secs(),
        });
        stats.filter(|stats| stats.peer.is_some()).collect()
    }

    /// Members that need a snapshot before they can follow.
    fn pending_peers(&self) -> Vec<PeerRecord> {
        let truncated = self.storage().truncated().index;
        let followers = self.node.status().followers;
        let behind = followers
            .iter()
            .filter(|follower| follower.id != self.own.id && follower.match_index < truncated);
        behind.filter_map(|follower| self.find(follower.id)).collect()
    }
}
