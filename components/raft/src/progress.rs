//! What a leader knows about one follower, and how fast it may talk to it.
//!
//! `match_index` is knowledge: the follower's log equals the leader's up to there, and is on its
//! disk. `next_index` is intent: what to send next. Between the two lies what is on its way. How far
//! `next_index` may run ahead depends on what the leader believes about the follower:
//!
//! ```text
//!                 accepted                      the log no longer reaches back
//!      ┌─────────────────────────► Replicate ───────────────┐
//!    Probe ◄───────────────────────────┘                     ▼
//!      ▲     refused, or unreachable                     Snapshot
//!      └──────────────────────────────────────────────────────┘
//!                 accepted (then Replicate at once), failed, or silent for too long
//! ```
//!
//! - *Probe*: the leader does not know where the logs agree. It sends one append, and waits for the
//!   answer or for the next sign of life before it sends another.
//! - *Replicate*: the logs agree, so answers need not be awaited: each append moves `next_index`
//!   past what it carried. A window limits how many appends and bytes are on their way, so that a
//!   follower that stopped reading costs the leader a bounded amount.
//! - *Snapshot*: the follower needs the state itself; appends wait until it has that.
//!
//! Invariants:
//!
//! - P1: `match_index < next_index`, and `match_index` never goes back.
//! - P2: what is on its way lies between the two, and within the window.

use std::collections::VecDeque;

use proto::eraftpb::Entry;
use runtime::mark;

use crate::message::Position;
use crate::unstable::entry_bytes;
use crate::{Config, Index, NodeId};

/// What a leader knows about one member of its group; one of them is itself.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The member.
    pub id: NodeId,
    /// Its log is known to equal the leader's up to here.
    pub match_index: Index,
    /// The next entry to send it.
    pub next_index: Index,
    /// What may be sent.
    pub state: ProgressState,
    /// It was heard since the leader last counted its quorum.
    pub(crate) is_active: bool,
    /// How long nothing was heard of it, since the leader was elected or it became a member.
    pub(crate) silent_ticks: u32,
    /// The latest heartbeat round that it answered.
    pub(crate) round: u64,
    /// The greatest commit index that it was told in this state.
    told_commit: Index,
    /// The log does not help it, however far back it goes: it knows nothing at all.
    pub(crate) needs_snapshot: bool,
    /// An append is due even if it carries nothing new: its answer will show whether one got lost.
    is_nudged: bool,
}

/// What may be sent to a follower. See the [module](self) for the transitions.
#[derive(Clone, Debug, PartialEq)]
pub enum ProgressState {
    /// One append at a time.
    Probe {
        /// An append is on its way, so none is sent before the next answer.
        is_waiting: bool,
    },
    /// Appends follow each other without waiting.
    Replicate {
        /// What is on its way.
        window: Window,
    },
    /// Nothing is sent until the snapshot has arrived.
    Snapshot {
        /// The last index it covers.
        index: Index,
        /// How long it is on its way.
        ticks: u32,
    },
}

/// The appends on their way to one follower: for each its last index, and its bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    appends: VecDeque<(Index, u64)>,
    bytes: u64,
}

impl Window {
    fn is_full(&self, config: &Config) -> bool {
        self.appends.len() >= config.inflight_messages_max
            || self.bytes >= config.inflight_bytes_max
    }

    fn add(&mut self, last_index: Index, bytes: u64) {
        self.appends.push_back((last_index, bytes));
        self.bytes += bytes;
    }

    /// Forgets the appends that end at or before `index`: acknowledging one acknowledges all before.
    fn free_to(&mut self, index: Index) {
        while let Some((_, bytes)) = self.appends.pop_front_if(|(last, _)| *last <= index) {
            self.bytes -= bytes;
        }
    }

    fn free_one(&mut self) {
        if let Some((_, bytes)) = self.appends.pop_front() {
            self.bytes -= bytes;
        }
    }

    /// How many appends are on their way.
    pub fn len(&self) -> usize {
        self.appends.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.appends.is_empty()
    }
}

impl Progress {
    /// A member of which nothing is known yet: guess that its log is as long as the leader's.
    pub(crate) fn new(id: NodeId, next_index: Index) -> Self {
        Progress {
            id,
            match_index: 0,
            next_index,
            state: ProgressState::Probe { is_waiting: false },
            is_active: false,
            silent_ticks: 0,
            round: 0,
            told_commit: 0,
            needs_snapshot: false,
            is_nudged: true,
        }
    }

    fn speaks(&mut self) {
        self.is_active = true;
        self.silent_ticks = 0;
    }

    /// The member has the log up to `match_index` on its disk. Returns whether that is news.
    pub(crate) fn accepted(&mut self, match_index: Index) -> bool {
        self.speaks();
        let is_news = match_index > self.match_index;
        self.match_index = self.match_index.max(match_index);
        self.next_index = self.next_index.max(match_index + 1);
        match &mut self.state {
            ProgressState::Replicate { window } => window.free_to(match_index),
            // An answer to something older than the snapshot leaves the snapshot on its way.
            ProgressState::Snapshot { index, .. } if match_index < *index => {}
            ProgressState::Probe { .. } | ProgressState::Snapshot { .. } => self.replicate(),
        }
        is_news
    }

    /// The member refused an append after `base_index`; the logs may agree at `hint`.
    pub(crate) fn refused(&mut self, base_index: Index, hint: Position) {
        self.speaks();
        match &mut self.state {
            // It is a refusal of something sent long ago: since then the member accepted that place.
            ProgressState::Replicate { .. } if base_index <= self.match_index => {
                mark!("stale refusal while replicating");
            }
            ProgressState::Replicate { .. } => {
                self.next_index = self.match_index + 1;
                self.probe();
            }
            ProgressState::Probe { .. } if base_index + 1 != self.next_index => {
                mark!("stale refusal while probing");
            }
            ProgressState::Probe { .. } => {
                // The beginning of the log agrees with every log, unless there is no member behind it.
                self.needs_snapshot = base_index == 0;
                let next_index = base_index.min(hint.index + 1).max(self.match_index + 1);
                if next_index == self.next_index && !self.needs_snapshot {
                    // It refuses what it once had. The same append at once would only be refused
                    // again, and so on without end.
                    mark!("refusal of what was accepted");
                    self.wait();
                } else {
                    self.next_index = next_index;
                    self.probe();
                }
            }
            ProgressState::Snapshot { .. } => mark!("refusal while a snapshot is on its way"),
        }
    }

    /// The member answered a heartbeat: it is there, whatever happened to earlier appends.
    pub(crate) fn heard(&mut self, last_index: Index, config: &Config) {
        self.speaks();
        match &mut self.state {
            ProgressState::Probe { is_waiting } => *is_waiting = false,
            // A full window whose answers were lost would never open again.
            ProgressState::Replicate { window } if window.is_full(config) => window.free_one(),
            ProgressState::Replicate { .. } | ProgressState::Snapshot { .. } => {}
        }
        if self.match_index < last_index {
            self.nudge();
        }
    }

    /// The transport could not deliver to the member, so what was on its way may be lost.
    pub(crate) fn unreachable(&mut self) {
        if let ProgressState::Replicate { .. } = self.state {
            self.next_index = self.match_index + 1;
            self.wait();
        }
    }

    /// The transport says whether the snapshot was delivered. After a failure, or if the answer to
    /// the snapshot should be lost, the next sign of life leads to the next attempt.
    pub(crate) fn snapshot_reported(&mut self, delivered: bool) {
        if let ProgressState::Snapshot { index, .. } = self.state {
            let next_index = if delivered { index + 1 } else { 0 };
            self.next_index = next_index.max(self.match_index + 1);
            self.wait();
        }
    }

    /// Time passes. A snapshot of which nothing is heard for too long counts as lost.
    pub(crate) fn tick(&mut self, config: &Config) {
        self.silent_ticks = self.silent_ticks.saturating_add(1);
        if let ProgressState::Snapshot { ticks, .. } = &mut self.state {
            *ticks += 1;
            if *ticks >= config.snapshot_ticks_max {
                mark!("snapshot given up");
                self.snapshot_reported(false);
            }
        }
    }

    /// Sends an append at the next opportunity, even if it carries nothing new.
    pub(crate) fn nudge(&mut self) {
        self.is_nudged = true;
    }

    /// Whether an append may and should be sent now.
    pub(crate) fn wants_append(&self, last_index: Index, commit: Index, config: &Config) -> bool {
        let has_news = self.is_nudged || self.told_commit < commit;
        match &self.state {
            ProgressState::Probe { is_waiting } => {
                !is_waiting && (has_news || self.next_index <= last_index)
            }
            ProgressState::Replicate { window } => {
                has_news || (self.next_index <= last_index && !window.is_full(config))
            }
            ProgressState::Snapshot { .. } => false,
        }
    }

    /// Whether that append may carry entries, or only the commit index.
    pub(crate) fn may_send_entries(&self, config: &Config) -> bool {
        match &self.state {
            ProgressState::Probe { .. } => true,
            ProgressState::Replicate { window } => !window.is_full(config),
            ProgressState::Snapshot { .. } => false,
        }
    }

    /// An append with these entries and this commit index was sent.
    pub(crate) fn sent_append(&mut self, entries: &[Entry], commit: Index) {
        self.told_commit = commit;
        self.is_nudged = false;
        match &mut self.state {
            ProgressState::Probe { is_waiting } => *is_waiting = true,
            ProgressState::Replicate { window } => {
                if let Some(last) = entries.last() {
                    window.add(last.index, entries.iter().map(entry_bytes).sum());
                    self.next_index = last.index + 1;
                }
            }
            ProgressState::Snapshot { .. } => {
                unreachable!("P2: nothing is sent during a snapshot")
            }
        }
    }

    /// A snapshot that covers the log up to `index` was sent.
    pub(crate) fn sent_snapshot(&mut self, index: Index) {
        self.is_nudged = false;
        self.needs_snapshot = false;
        self.state = ProgressState::Snapshot { index, ticks: 0 };
    }

    /// Nothing could be sent, because a snapshot is still being built: wait for a sign of life.
    pub(crate) fn wait(&mut self) {
        self.state = ProgressState::Probe { is_waiting: true };
    }

    fn probe(&mut self) {
        self.told_commit = 0;
        self.state = ProgressState::Probe { is_waiting: false };
    }

    fn replicate(&mut self) {
        self.next_index = self.match_index + 1;
        self.state = ProgressState::Replicate { window: Window::default() };
    }

    pub(crate) fn check_invariants(&self, config: &Config) {
        assert!(self.match_index < self.next_index, "P1: {self:?}");
        if let ProgressState::Replicate { window } = &self.state {
            assert!(window.len() <= config.inflight_messages_max, "P2: {self:?}");
            let mut lasts = window.appends.iter().map(|(last, _)| *last);
            assert!(
                lasts.all(|last| self.match_index < last && last < self.next_index),
                "P2: {self:?}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: Index) -> Entry {
        Entry { index, term: 1, ..Entry::default() }
    }

    fn config() -> Config {
        Config { id: 1, inflight_messages_max: 2, snapshot_ticks_max: 3, ..Config::default() }
    }

    /// A follower known to match up to 5.
    fn replicating() -> Progress {
        let mut progress = Progress::new(2, 6);
        progress.accepted(5);
        progress
    }

    #[test]
    fn a_probe_sends_once_and_waits_for_an_answer() {
        let mut progress = Progress::new(2, 6);
        assert!(progress.wants_append(5, 0, &config()));
        progress.sent_append(&[], 0);
        assert!(!progress.wants_append(9, 3, &config()));
        progress.heard(5, &config());
        assert!(progress.wants_append(5, 0, &config()));
    }

    #[test]
    fn replicating_runs_ahead_until_the_window_is_full() {
        let mut progress = replicating();
        progress.sent_append(&[entry(6)], 5);
        progress.sent_append(&[entry(7), entry(8)], 5);
        assert_eq!(progress.next_index, 9);
        assert!(!progress.wants_append(9, 5, &config()), "two are on their way");
        assert!(progress.wants_append(9, 6, &config()), "news about the commit still go");
        assert!(!progress.may_send_entries(&config()));
        progress.accepted(6);
        assert!(progress.may_send_entries(&config()));
        progress.check_invariants(&config());
    }

    #[test]
    fn a_refusal_backs_up_to_the_hint_but_never_behind_the_match() {
        let mut probing = Progress::new(2, 9);
        probing.refused(8, Position { index: 3, term: 1 });
        assert_eq!(probing.next_index, 4);
        let mut replicating = replicating();
        replicating.sent_append(&[entry(6)], 0);
        replicating.refused(6, Position { index: 1, term: 1 });
        assert_eq!(replicating.next_index, 6);
        assert_eq!(replicating.state, ProgressState::Probe { is_waiting: false });
    }

    #[test]
    fn a_refusal_from_the_past_changes_nothing() {
        let mut replicating = replicating();
        replicating.refused(4, Position::default());
        assert_eq!(replicating.state, ProgressState::Replicate { window: Window::default() });
        let mut probing = Progress::new(2, 4);
        probing.refused(8, Position::default());
        assert_eq!(probing.next_index, 4);
        assert_eq!(mark::hits("stale refusal while replicating"), 1);
        assert_eq!(mark::hits("stale refusal while probing"), 1);
    }

    #[test]
    fn any_answer_ends_a_silence() {
        let answers: [fn(&mut Progress); 3] = [
            |progress| _ = progress.accepted(5),
            |progress| progress.refused(5, Position::default()),
            |progress| progress.heard(5, &config()),
        ];
        for answer in answers {
            let mut progress = Progress::new(2, 6);
            progress.tick(&config());
            progress.tick(&config());
            assert_eq!(progress.silent_ticks, 2);
            answer(&mut progress);
            assert_eq!(progress.silent_ticks, 0);
        }
    }

    #[test]
    fn a_lost_snapshot_is_given_up_after_a_while() {
        let mut progress = Progress::new(2, 1);
        progress.sent_snapshot(7);
        progress.refused(3, Position::default());
        (0..2).for_each(|_| progress.tick(&config()));
        assert!(!progress.wants_append(9, 9, &config()));
        progress.tick(&config());
        assert_eq!((progress.next_index, mark::hits("snapshot given up")), (1, 1));
        progress.heard(9, &config());
        assert!(progress.wants_append(9, 9, &config()));
        assert_eq!(mark::hits("refusal while a snapshot is on its way"), 1);
    }

    #[test]
    fn a_snapshot_ends_with_its_own_acceptance_only() {
        let mut progress = Progress::new(2, 1);
        progress.sent_snapshot(7);
        progress.accepted(3);
        assert_eq!(progress.state, ProgressState::Snapshot { index: 7, ticks: 0 });
        progress.accepted(7);
        assert_eq!(progress.next_index, 8);
        assert!(matches!(progress.state, ProgressState::Replicate { .. }));
    }
}
