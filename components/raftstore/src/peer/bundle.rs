//! Writes of one turn that go into the log as one entry.
//!
//! What many clients write at the same time is one thing to replicate: one entry is encoded, numbered,
//! logged, sent, and taken apart again on three stores, instead of hundreds. So a peer gathers the writes
//! that a turn admits, and proposes them before the turn asks Raft what is ready, or before the next
//! command that must not overtake them:
//!
//! ```text
//! put a   put b   split   put c        arrive in one turn
//! └── entry 7 ──┘ entry 8 └ entry 9    what the log has
//! ```
//!
//! Invariants:
//!
//! - B1: what is bundled has the same header, because an entry has one: all of it meets the epoch that its
//!   senders knew, or none of it is done.
//! - B2: a command that reads stays alone, as an entry has one answer, which all who wait for it get.
//! - B3: a bundle is proposed in the term in which it was admitted, or never.

use runtime::clock::Instant;
use runtime::reply::Reply;

use crate::message::{Answer, Header, Request};

/// How large a bundle grows, in bytes. One command may be larger by itself.
const BYTES_MAX: usize = 256 << 10;

/// What a request takes in an entry beside its key and its value, at most.
const REQUEST_BYTES: usize = 64;

/// Writes that were admitted, and are not proposed yet.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// B1: of all of them.
    pub(super) header: Header,
    /// B3: the leader's.
    pub(super) term: u64,
    pub(super) requests: Vec<Request>,
    /// When the first of them was admitted.
    pub(super) since: Option<Instant>,
    /// Who waits, in no order: all are told the same.
    pub(super) replies: Vec<Reply<Answer>>,
    bytes: usize,
    /// B2: nobody joins.
    reads: bool,
}

impl Bundle {
    /// A bundle of one command.
    pub(super) fn new(
        header: Header,
        term: u64,
        since: Option<Instant>,
        requests: Vec<Request>,
        reply: Reply<Answer>,
    ) -> Self {
        let (bytes, reads) = (size(&requests), requests.iter().any(reads));
        Bundle { header, term, requests, since, replies: vec![reply], bytes, reads }
    }

    /// Whether one more command may join, in an entry of at most `entry_bytes_max`.
    pub(super) fn takes(
        &self,
        header: &Header,
        term: u64,
        requests: &[Request],
        entry_bytes_max: u64,
    ) -> bool {
        let bytes = self.bytes + size(requests);
        self.header == *header
            && self.term == term
            && bytes <= BYTES_MAX
            && bytes as u64 <= entry_bytes_max
            && !self.reads
            && !requests.iter().any(reads)
    }

    /// Takes one more command, which [`takes`](Self::takes) has allowed.
    pub(super) fn push(&mut self, requests: Vec<Request>, reply: Reply<Answer>) {
        self.bytes += size(&requests);
        self.requests.extend(requests);
        self.replies.push(reply);
    }
}

/// About how many bytes requests take in an entry, and never less.
fn size(requests: &[Request]) -> usize {
    requests.iter().map(|request| REQUEST_BYTES + request.size()).sum()
}

/// B2: whether a request wants more told than that it is done.
fn reads(request: &Request) -> bool {
    match request {
        Request::Put { .. } | Request::Delete { .. } => false,
        Request::Get { .. } | Request::Snap => true,
    }
}
