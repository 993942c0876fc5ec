//! Reads without the log.
//!
//! *Under a lease* a read is answered at once; mostly the [router](crate::router) does it and the peer
//! never hears of it. *Otherwise* the leader proves that it leads by a round of heartbeats, which all
//! reads share that arrive in one turn.
//!
//! Reads are answered while the peer leads in the term in which they came. After that another peer may
//! have answered a read with less, and a client must not see time go back.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use runtime::clock::Instant;
use runtime::mutant;
use runtime::reply::Reply;

use super::Peer;
use crate::context::Context;
use crate::error::RegionError;
use crate::message::{Answer, Done, RegionSnapshot};

/// Reads that wait.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Came in this turn.
    arrived: Vec<Reply<Answer>>,
    /// Wait for the proof, or for what was committed before them to be applied.
    waiting: VecDeque<Batch>,
    /// Counts batches, to recognise Raft's answers.
    number: u64,
}

#[derive(Debug)]
struct Batch {
    number: u64,
    term: u64,
    /// What must be applied first, once Raft has said it.
    index: Option<u64>,
    replies: Vec<Reply<Answer>>,
}

impl Reads {
    pub(crate) fn len(&self) -> usize {
        self.arrived.len() + self.waiting.iter().map(|batch| batch.replies.len()).sum::<usize>()
    }

    fn refuse_all(&mut self, error: &RegionError) {
        let waiting = self.waiting.drain(..).flat_map(|batch| batch.replies);
        for reply in waiting.chain(self.arrived.drain(..)) {
            reply.answer(Answer(Err(error.clone())));
        }
    }
}

/// When the rounds of heartbeats were sent that are not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    term: u64,
    rounds: VecDeque<(u64, Instant)>,
    /// The end of the lease that was proven last.
    until: Option<Instant>,
}

/// Rounds whose time is remembered; an answer to an older one renews nothing.
const ROUNDS_MAX: usize = 64;

impl Leases {
    fn note(&mut self, term: u64, round: u64, sent: Instant) {
        if self.term != term {
            *self = Leases { term, ..Leases::default() };
        }
        if round > 0 && self.rounds.back().is_none_or(|(known, _)| *known < round) {
            if self.rounds.len() >= ROUNDS_MAX {
                self.rounds.pop_front();
            }
            self.rounds.push_back((round, sent));
        }
    }

    /// When a round was sent, if that is remembered. Older ones are forgotten.
    fn sent_at(&mut self, round: u64) -> Option<Instant> {
        while self.rounds.front().is_some_and(|(known, _)| *known < round) {
            self.rounds.pop_front();
        }
        let (known, sent) = self.rounds.front()?;
        (*known == round).then_some(*sent)
    }
}

impl Peer {
    /// Begins a read that was admitted.
    pub(crate) fn read(&mut self, context: &Context, reply: Reply<Answer>) {
        if self.reads.len() >= READS_MAX {
            return reply.answer(Answer(Err(RegionError::Busy("too many reads wait for a proof"))));
        }
        let _ = context;
        self.reads.arrived.push(reply);
    }

    /// Asks for the proof that the reads of this turn need.
    pub(crate) fn ask_for_reads(&mut self) {
        if self.reads.arrived.is_empty() {
            return;
        }
        self.reads.number += 1;
        let number = self.reads.number;
        let context = Bytes::copy_from_slice(&number.to_be_bytes());
        if let Err(error) = self.node.read_index(context) {
            let refusal = self.refusal(&error);
            for reply in self.reads.arrived.drain(..) {
                reply.answer(Answer(Err(refusal.clone())));
            }
            return;
        }
        let replies = std::mem::take(&mut self.reads.arrived);
        let term = self.term();
        self.reads.waiting.push_back(Batch { number, term, index: None, replies });
    }

    /// Raft has proven reads.
    pub(crate) fn reads_proven(&mut self, states: &[raft::ReadState]) {
        for state in states {
            let Ok(number) = <[u8; 8]>::try_from(state.context.as_ref()) else { continue };
            let number = u64::from_be_bytes(number);
            // A proof for one is a proof for all that came before it.
            for batch in &mut self.reads.waiting {
                if batch.number <= number && batch.index.is_none() {
                    batch.index = Some(state.index);
                }
            }
        }
    }

    /// Answers the reads whose proof is there and whose past is applied.
    pub(crate) fn answer_reads(&mut self, context: &Context) -> crate::Result<()> {
        if self.reads.waiting.is_empty() {
            return Ok(());
        }
        let (term, is_leader) = (self.term(), self.is_leader());
        if !is_leader || self.reads.waiting.iter().any(|batch| batch.term != term) {
            let region = self.region().id;
            let error = RegionError::NotLeader { region, leader: self.leader() };
            self.reads.refuse_all(&error);
            return Ok(());
        }
        let applied = self.storage().applied_index();
        let is_due = |batch: &mut Batch| batch.index.is_some_and(|index| index <= applied);
        let mut snapshot = None;
        while let Some(batch) = self.reads.waiting.pop_front_if(is_due) {
            let snapshot = match &snapshot {
                Some(snapshot) => Arc::clone(snapshot),
                None => Arc::clone(snapshot.insert(context.engines.kv.snapshot()?)),
            };
            let region = Arc::new(self.region().clone());
            let view = RegionSnapshot { region, term, snapshot };
            for reply in batch.replies {
                reply.answer(Answer(Ok(Done::Read(view.clone()))));
            }
        }
        Ok(())
    }

    /// Refuses all reads: the peer is going, or has lost the leadership.
    pub(crate) fn refuse_reads(&mut self, error: &RegionError) {
        self.reads.refuse_all(error);
    }

    /// Remembers when a round of heartbeats was sent, at the latest.
    pub(crate) fn note_round(&mut self, now: Instant) {
        self.leases.note(self.node.raft().term(), self.node.round(), now);
    }

    /// Until when this peer may answer reads alone, as far as it is proven.
    pub(crate) fn lease_until(&mut self, context: &Context) -> Option<Instant> {
        let lease = self.node.lease();
        let has_applied_own = self.storage().applied_term() == self.term();
        if !context.config.lease_reads || !self.is_leader() || !has_applied_own {
            self.leases.until = None;
            return None;
        }
        let Some(lease) = lease else {
            // Leadership is being handed over, or was never proven.
            if !mutant::on(18) {
                self.leases.until = None;
            }
            return self.leases.until;
        };
        if self.pending_split.is_none()
            && let Some(sent) = self.leases.sent_at(lease.round)
        {
            self.leases.until = Some(sent + context.config.lease());
        }
        self.leases.until
    }
}

/// Reads of one region that wait for a proof; more are refused as busy.
const READS_MAX: usize = 16_384;
