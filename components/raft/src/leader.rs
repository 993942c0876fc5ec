//! The leader: appends, replicates, commits, confirms reads, and hands over.
//!
//! Steps only note what has changed; appends are made when the outbox is collected
//! (`Leader::flush`). So however many proposals and acknowledgements arrive in one turn, each
//! follower gets one append with all new entries and the latest commit index.
//!
//! Invariants:
//!
//! - D1: `progress` has exactly the members of the group, sorted.
//! - D2: nobody's `match_index` is beyond the leader's log.
//! - D3: the log has an entry of the leader's own term, at `term_start`.

use bytes::Bytes;
use proto::eraftpb::{ConfChange, Entry, EntryType};
use runtime::{mark, mutant};

use crate::core::Core;
use crate::error::Result;
use crate::message::{Body, Message, Position};
use crate::progress::Progress;
use crate::quorum;
use crate::raft::Next;
use crate::raw_node::ReadState;
use crate::reads::Reads;
use crate::replicate::replicate;
use crate::storage::Storage;
use crate::unstable::entry_bytes;
use crate::{Error, Index, NodeId};

/// The role of which there is at most one in each term.
#[derive(Debug)]
pub struct Leader {
    /// What it knows about each member, itself included.
    pub(crate) progress: Vec<Progress>,
    /// Where the leader's own term begins in the log: the index of the empty entry that it appended
    /// when it was elected. It knows what is committed only once that entry is.
    pub(crate) term_start: Index,
    /// The place of the last membership change, or an upper bound for it. The next one is accepted
    /// once this is applied.
    pending_change: Index,
    /// The handing over that is under way.
    transfer: Option<Transfer>,
    /// It told somebody to campaign in spite of a lease, so it can have none in this term any more:
    /// that message may be delivered at any time.
    has_given_up_lease: bool,
    reads: Reads,
    /// Bytes proposed here and not yet handed out for applying.
    pending_bytes: u64,
    /// Since the last heartbeat.
    beat_ticks: u32,
    /// Since the quorum was counted last.
    quorum_ticks: u32,
    /// There may be something to append to somebody.
    is_dirty: bool,
}

#[derive(Debug)]
struct Transfer {
    to: NodeId,
    ticks: u32,
}

impl Leader {
    /// A leader that assumes that all logs equal its own until it hears otherwise.
    pub(crate) fn new(core: &Core<impl Storage>) -> Self {
        let term_start = core.log.last_index() + 1;
        let progress = core.members.iter().map(|member| Progress::new(*member, term_start));
        Leader {
            progress: progress.collect(),
            term_start,
            // Whether the tail holds a membership change is not worth looking up.
            pending_change: term_start - 1,
            transfer: None,
            has_given_up_lease: false,
            reads: Reads::default(),
            pending_bytes: 0,
            beat_ticks: 0,
            quorum_ticks: 0,
            is_dirty: false,
        }
    }

    /// Begins the term with an empty entry. Everything older is committed with it (paper, sections
    /// 5.4.2 and 8).
    pub(crate) fn open_term(&mut self, core: &mut Core<impl Storage>) {
        self.persisted(core);
        self.append(core, Entry::default());
    }

    /// Time passes.
    pub(crate) fn tick(&mut self, core: &mut Core<impl Storage>) -> Next {
        for progress in &mut self.progress {
            progress.tick(&core.config);
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.ticks += 1;
            if transfer.ticks >= core.config.election_ticks {
                mark!("transfer given up");
                self.transfer = None;
            }
        }
        self.quorum_ticks += 1;
        if self.quorum_ticks >= core.config.election_ticks {
            self.quorum_ticks = 0;
            if core.config.check_quorum && !self.heard_quorum(core.id) {
                mark!("leader without a quorum");
                return Next::Follow { term: core.term, leader: None };
            }
        }
        self.beat_ticks += 1;
        if self.beat_ticks >= core.config.heartbeat_ticks {
            self.beat(core);
        }
        Next::Stay
    }

    /// Reacts to a message of the present term.
    pub(crate) fn step(&mut self, core: &mut Core<impl Storage>, message: Message) -> Result<Next> {
        let Message { from, term, body, .. } = message;
        match body {
            // What its own user wishes.
            Body::Beat => self.beat(core),
            Body::Propose { entries } => {
                for entry in entries {
                    self.propose(core, entry.entry_type(), entry.data)?;
                }
            }
            Body::TransferLeader => self.transfer_to(core, from),
            Body::ReadIndex { context } => self.read_index(core, from, context)?,

            // What its followers answer.
            Body::AppendAccept { match_index } => self.accepted(core, from, match_index)?,
            Body::AppendRefuse { base_index, hint } => {
                self.refused(core, from, base_index, hint)?;
            }
            Body::HeartbeatResponse { round } => self.heard(core, from, round),

            // Candidates: its vote is its own, and so is the term.
            Body::RequestVote { last, .. } => {
                core.vote(from, last, Some(core.id))?;
            }
            Body::RequestPreVote { last } => core.pre_vote(from, term, last)?,

            Body::Append { .. } | Body::Heartbeat { .. } | Body::Snapshot { .. } => {
                return Err(Error::Impossible { from, why: "a second leader in this term" });
            }
            // Late answers to its campaign, and what it has become already.
            Body::Campaign
            | Body::TimeoutNow
            | Body::VoteResponse { .. }
            | Body::PreVoteResponse { .. }
            | Body::ReadIndexResponse { .. } => {}
        }
        Ok(Next::Stay)
    }

    /// Appends a proposal to the log, and returns where.
    pub(crate) fn propose(
        &mut self,
        core: &mut Core<impl Storage>,
        entry_type: EntryType,
        data: Bytes,
    ) -> Result<Position> {
        if let Some(Transfer { to, .. }) = self.transfer {
            return Err(Error::Transferring { to });
        }
        let entry = Entry { entry_type: entry_type.into(), data, ..Entry::default() };
        let bytes = entry_bytes(&entry);
        if self.pending_bytes > 0 && self.pending_bytes + bytes > core.config.pending_bytes_max {
            mark!("proposal refused: too much is pending");
            return Err(Error::Busy { limit: "pending-bytes-max" });
        }
        if entry_type == EntryType::EntryConfChange {
            if core.log.applied < self.pending_change {
                return Err(Error::ConfChangePending { index: self.pending_change });
            }
            self.pending_change = core.log.last_index() + 1;
        }
        self.pending_bytes += bytes;
        Ok(self.append(core, entry))
    }

    fn append(&mut self, core: &mut Core<impl Storage>, entry: Entry) -> Position {
        let position = Position { term: core.term, index: core.log.last_index() + 1 };
        core.log.append(Entry { index: position.index, term: position.term, ..entry });
        self.is_dirty = true;
        if !core.config.async_persist {
            self.count_own(core, position.index);
        }
        position
    }

    /// With asynchronous persistence, the leader's own copy counts once it is on disk.
    pub(crate) fn persisted(&mut self, core: &mut Core<impl Storage>) {
        let stabled = core.log.stabled();
        self.count_own(core, stabled);
    }

    fn count_own(&mut self, core: &mut Core<impl Storage>, index: Index) {
        if let Some(own) = self.progress.iter_mut().find(|progress| progress.id == core.id) {
            own.accepted(index);
        }
        // Where own copies count at once the leader's is the longest, so it decides only if alone.
        if core.config.async_persist || core.members.len() == 1 {
            self.maybe_commit(core);
        }
    }

    /// Commits what a majority holds, if that includes an entry of this term.
    ///
    /// Counting copies is not enough for an entry of an older term: it can be on a majority and still
    /// be overwritten by a leader elected in between (paper, Figure 8). Once an entry of this term is
    /// on a majority, everything before it is safe as well.
    fn maybe_commit(&mut self, core: &mut Core<impl Storage>) {
        let mut few = [0; 8];
        let mut many = Vec::new();
        let matches = if let Some(matches) = few.get_mut(..self.progress.len()) {
            matches
        } else {
            many.resize(self.progress.len(), 0);
            &mut many[..]
        };
        for (place, progress) in matches.iter_mut().zip(&self.progress) {
            *place = progress.match_index;
        }
        let index = quorum::agreed(matches);
        if index > core.log.committed && (index >= self.term_start || mutant::on(1)) {
            core.log.commit_to(index);
            self.is_dirty = true;
        }
    }

    fn accepted(
        &mut self,
        core: &mut Core<impl Storage>,
        from: NodeId,
        match_index: Index,
    ) -> Result<()> {
        if match_index > core.log.last_index() {
            return Err(Error::Impossible { from, why: "it accepted entries that do not exist" });
        }
        let Some(progress) = self.follower(core.id, from) else { return Ok(()) };
        let is_news = progress.accepted(match_index);
        self.is_dirty = true;
        if is_news {
            self.maybe_commit(core);
            self.time_out_heir(core);
        }
        Ok(())
    }

    fn refused(
        &mut self,
        core: &mut Core<impl Storage>,
        from: NodeId,
        base_index: Index,
        hint: Position,
    ) -> Result<()> {
        let Some(progress) = self.follower(core.id, from) else { return Ok(()) };
        // The follower looked for a place with a term that this log may have there; now this log
        // looks for one with a term that the follower's may have (paper, end of section 5.3).
        let hint = core.log.last_position_with_term_at_most(hint.index, hint.term)?;
        progress.refused(base_index, hint);
        self.is_dirty = true;
        Ok(())
    }

    fn heard(&mut self, core: &mut Core<impl Storage>, from: NodeId, round: u64) {
        let last_index = core.log.last_index();
        let sent_round = self.reads.round;
        let Some(progress) = self.follower(core.id, from) else { return };
        progress.heard(last_index, &core.config);
        progress.round = progress.round.max(round.min(sent_round));
        self.is_dirty = true;
        self.answer_reads(core);
    }

    /// What is known about the follower `id`; nothing about a node that is not, or no longer, one.
    fn follower(&mut self, own: NodeId, id: NodeId) -> Option<&mut Progress> {
        let progress = self.progress.iter_mut().find(|progress| progress.id == id && id != own);
        if progress.is_none() {
            mark!("answer from a stranger");
        }
        progress
    }

    fn followers(&mut self, own: NodeId) -> impl Iterator<Item = &mut Progress> {
        self.progress.iter_mut().filter(move |progress| progress.id != own)
    }

    /// Sends a heartbeat to everybody, in a numbered round if the answers are waited for.
    fn beat(&mut self, core: &mut Core<impl Storage>) {
        self.beat_ticks = 0;
        let is_numbered =
            core.config.check_quorum || self.reads.are_waiting() || self.reads.want_round();
        let round = if is_numbered { self.start_round(core) } else { 0 };
        for progress in self.followers(core.id) {
            let commit = progress.match_index.min(core.log.committed);
            core.send(progress.id, Body::Heartbeat { commit, round });
        }
        if is_numbered {
            // A leader alone is its own majority.
            self.answer_reads(core);
        }
        // What everybody has and the state machine has applied, nobody will ask for.
        let slowest = self.progress.iter().map(|progress| progress.match_index).min();
        core.log.unstable.evict(slowest.unwrap_or(0).min(core.log.applied));
    }

    fn start_round(&mut self, core: &Core<impl Storage>) -> u64 {
        // Before an entry of its term is committed, a leader's commit index may lag behind.
        let knows_commit = core.log.committed >= self.term_start;
        self.reads.start_round(knows_commit.then_some(core.log.committed))
    }

    /// Takes up the wish of `from` to read.
    fn read_index(
        &mut self,
        core: &Core<impl Storage>,
        from: NodeId,
        context: Bytes,
    ) -> Result<()> {
        if self.reads.len() >= core.config.pending_reads_max {
            mark!("read refused: too many wait");
            return Err(Error::Busy { limit: "pending-reads-max" });
        }
        self.reads.add(from, context);
        self.is_dirty = true;
        Ok(())
    }

    fn answer_reads(&mut self, core: &mut Core<impl Storage>) {
        let round = self.confirmed_round(core.id);
        for read in self.reads.take_confirmed(round) {
            let (index, context) = (read.index, read.context);
            if read.from == core.id {
                core.read_states.push(ReadState { index, context });
            } else {
                core.send(read.from, Body::ReadIndexResponse { index, context });
            }
        }
    }

    /// The latest round that a majority has answered.
    fn confirmed_round(&self, own: NodeId) -> u64 {
        let round = |progress: &Progress| {
            if progress.id == own { self.reads.round } else { progress.round }
        };
        quorum::agreed(&mut self.progress.iter().map(round).collect::<Vec<_>>())
    }

    /// The latest round that was sent.
    pub(crate) fn round(&self) -> u64 {
        self.reads.round
    }

    /// The round on which a lease may stand, if any may.
    ///
    /// The state machine must have applied an entry of this term, for only then it holds everything
    /// that earlier leaders committed. And nobody may have been told to campaign against the lease.
    pub(crate) fn lease_round(&self, core: &Core<impl Storage>) -> Option<u64> {
        let is_settled = core.log.applied >= self.term_start;
        let is_staying = self.transfer.is_none() && !self.has_given_up_lease;
        let round = self.confirmed_round(core.id);
        (core.config.check_quorum && is_settled && is_staying && round > 0).then_some(round)
    }

    /// Whether a majority was heard since this was asked last.
    fn heard_quorum(&mut self, own: NodeId) -> bool {
        let mut active = 0;
        for progress in &mut self.progress {
            active += usize::from(progress.is_active || progress.id == own);
            progress.is_active = false;
        }
        active >= quorum::majority(self.progress.len())
    }

    /// Begins to hand over to `heir` (thesis, section 3.10). From now on nothing is proposed, so that
    /// the heir can catch up; if it has not within an election timeout, everything goes on as before.
    fn transfer_to(&mut self, core: &mut Core<impl Storage>, heir: NodeId) {
        if self.transfer.as_ref().is_some_and(|transfer| transfer.to == heir) {
            mark!("transfer to the same heir again");
            return;
        }
        if heir == core.id {
            mark!("transfer to the leader itself");
            self.transfer = None;
            return;
        }
        let last_index = core.log.last_index();
        let Some(progress) = self.follower(core.id, heir) else { return };
        if progress.match_index < last_index {
            progress.nudge();
            self.is_dirty = true;
        }
        self.transfer = Some(Transfer { to: heir, ticks: 0 });
        self.time_out_heir(core);
    }

    /// Tells the heir to campaign once it has the whole log.
    fn time_out_heir(&mut self, core: &mut Core<impl Storage>) {
        let Some(Transfer { to, .. }) = self.transfer else { return };
        let last_index = core.log.last_index();
        let has_all = |progress: &Progress| progress.id == to && progress.match_index == last_index;
        if self.progress.iter().any(has_all) {
            self.has_given_up_lease = true;
            core.send(to, Body::TimeoutNow);
        }
    }

    /// The members have changed.
    pub(crate) fn change_members(&mut self, core: &mut Core<impl Storage>, change: &ConfChange) {
        let next_index = core.log.last_index() + 1;
        self.progress.retain(|progress| core.members.binary_search(&progress.id).is_ok());
        for member in &core.members {
            if self.progress.iter().all(|progress| progress.id != *member) {
                let mut newcomer = Progress::new(*member, next_index);
                // It counts as heard, so that adding it does not make the quorum look lost.
                newcomer.is_active = true;
                self.progress.push(newcomer);
            }
        }
        self.progress.sort_unstable_by_key(|progress| progress.id);
        if self.transfer.as_ref().is_some_and(|transfer| transfer.to == change.node_id) {
            self.transfer = None;
        }
        // Fewer members may mean that what they hold is a majority now.
        self.maybe_commit(core);
        self.answer_reads(core);
        self.is_dirty = true;
    }

    /// These entries were handed out for applying. What is from before this leader's first proposal was
    /// not proposed here, so it makes no room.
    pub(crate) fn handed_out(&mut self, entries: &[Entry]) {
        let own = entries.iter().filter(|entry| entry.index > self.term_start);
        self.pending_bytes = self.pending_bytes.saturating_sub(own.map(entry_bytes).sum());
    }

    /// The transport could not reach `id`.
    pub(crate) fn unreachable(&mut self, own: NodeId, id: NodeId) {
        if let Some(progress) = self.follower(own, id) {
            progress.unreachable();
        }
    }

    /// The transport says how the snapshot to `id` went.
    pub(crate) fn snapshot_reported(&mut self, own: NodeId, id: NodeId, delivered: bool) {
        if let Some(progress) = self.follower(own, id) {
            progress.snapshot_reported(delivered);
        }
    }

    /// Whether [`Leader::flush`] may have something to do.
    pub(crate) fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// Makes the messages that the steps since the last flush have called for.
    pub(crate) fn flush(&mut self, core: &mut Core<impl Storage>) -> Result<()> {
        if !std::mem::take(&mut self.is_dirty) {
            return Ok(());
        }
        if self.reads.want_round() && core.log.committed >= self.term_start {
            self.beat(core);
        }
        for progress in self.followers(core.id) {
            replicate(core, progress)?;
        }
        Ok(())
    }

    pub(crate) fn check_invariants(&self, core: &Core<impl Storage>) {
        let ids = self.progress.iter().map(|progress| &progress.id);
        assert!(ids.eq(&core.members), "D1: {:?} {:?}", self.progress, core.members);
        for progress in &self.progress {
            progress.check_invariants(&core.config);
            assert!(progress.match_index <= core.log.last_index(), "D2: {progress:?}");
        }
        assert!(
            self.term_start <= core.log.last_index(),
            "D3: {} {:?}",
            self.term_start,
            core.log.last_index()
        );
    }
}
