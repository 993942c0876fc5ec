//! The thread that owns the space: executes in batches, syncs once per batch, then answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use engine::{Durability, Engine};
use program::Failure;
use proto::etcdserverpb::watch_create_request::FilterType;
use proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse,
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, PutRequest, PutResponse, RangeRequest,
    RangeResponse, StatusResponse, TxnRequest, TxnResponse, WatchCreateRequest, WatchResponse,
};
use runtime::Rng;
use runtime::clock::Clock;
use runtime::reply::Reply;
use runtime::worker::Runner;

use super::error::{MetaError, Outcome};
use super::range::{self, KeyRange};
use super::space::Space;
use super::watch::{Interest, Sink, Watchers};

/// Leases that end in one tick; the next tick goes on.
const EXPIRED_PER_TICK: usize = 1000;

/// Ticks between two notices of progress: ten minutes of tenths of a second, as etcd has it.
const TICKS_PER_NOTICE: u64 = 6000;

/// The version of etcd whose API this is.
pub const ETCD_VERSION: &str = "3.4.3";

/// Something that is told once.
pub type Told = Box<dyn FnOnce(WatchResponse) + Send>;

/// An answer that waits for the disk, and is told how that went.
type Deferred = Box<dyn FnOnce(Result<(), MetaError>) + Send>;

/// What the space is asked to do.
#[expect(missing_docs, reason = "they are called as the calls of etcd's API that they carry out")]
pub enum Task {
    Range(RangeRequest, Reply<Outcome<RangeResponse>>),
    Put(PutRequest, Reply<Outcome<PutResponse>>),
    DeleteRange(DeleteRangeRequest, Reply<Outcome<DeleteRangeResponse>>),
    Txn(TxnRequest, Reply<Outcome<TxnResponse>>),
    Compact(CompactionRequest, Reply<Outcome<CompactionResponse>>),
    LeaseGrant(LeaseGrantRequest, Reply<Outcome<LeaseGrantResponse>>),
    LeaseRevoke(LeaseRevokeRequest, Reply<Outcome<LeaseRevokeResponse>>),
    LeaseKeepAlive(LeaseKeepAliveRequest, Reply<Outcome<LeaseKeepAliveResponse>>),
    LeaseTimeToLive(LeaseTimeToLiveRequest, Reply<Outcome<LeaseTimeToLiveResponse>>),
    LeaseLeases(Reply<Outcome<LeaseLeasesResponse>>),
    Status(Reply<Outcome<StatusResponse>>),
    /// A stream wants to watch: first it is told that, then shown what happens.
    Watch {
        stream: u64,
        request: WatchCreateRequest,
        told: Told,
        sink: Box<dyn Sink>,
    },
    CancelWatch {
        stream: u64,
        watch: i64,
        told: Told,
    },
    Progress {
        stream: u64,
        told: Told,
    },
    /// A stream has ended.
    Forget {
        stream: u64,
    },
}

/// Owns the space and its watchers.
pub struct MetaRunner {
    space: Space,
    watchers: Watchers,
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    rng: Rng,
    failure: Arc<Failure>,
    /// What to say once the batch is on disk.
    answers: Vec<Deferred>,
    /// The last revision that watchers were shown.
    shown: i64,
    /// The next id for a watcher, by stream.
    next_ids: BTreeMap<u64, i64>,
    /// Who wants to know when everything on a stream has been shown.
    progress: Vec<(u64, Told)>,
    ticks: u64,
}

impl MetaRunner {
    /// Serves a space from the engine it was read from.
    pub fn new(
        space: Space,
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        rng: Rng,
        failure: Arc<Failure>,
    ) -> Self {
        let shown = space.revision();
        MetaRunner {
            space,
            watchers: Watchers::default(),
            engine,
            clock,
            rng,
            failure,
            answers: Vec::new(),
            shown,
            next_ids: BTreeMap::new(),
            progress: Vec::new(),
            ticks: 0,
        }
    }

    /// Answers once what was executed is on disk; a refusal may say so at once, but keeps its place.
    fn answer_later<T: Send + 'static>(
        &mut self,
        reply: Reply<Outcome<T>>,
        outcome: Result<T, MetaError>,
    ) {
        self.answers.push(Box::new(move |written| {
            reply.answer(Outcome(written.and(outcome)));
        }));
    }

    fn keep_alive(&mut self, id: i64) -> LeaseKeepAliveResponse {
        // A lease that is not there has no time left; that is no error.
        let ttl = self.space.leases.renew(id, self.clock.now()).unwrap_or(0);
        LeaseKeepAliveResponse { header: Some(self.space.header()), id, ttl }
    }

    fn time_to_live(&self, request: &LeaseTimeToLiveRequest) -> LeaseTimeToLiveResponse {
        let (header, id) = (Some(self.space.header()), request.id);
        let none = LeaseTimeToLiveResponse { header, id, ttl: -1, ..Default::default() };
        let Some((ttl, granted_ttl, keys)) = self.space.leases.describe(id, self.clock.now())
        else {
            return none;
        };
        let keys = if request.keys { keys.cloned().collect() } else { Vec::new() };
        LeaseTimeToLiveResponse { ttl, granted_ttl, keys, ..none }
    }

    fn leases(&self) -> LeaseLeasesResponse {
        let leases = self.space.leases.ids().map(|id| LeaseStatus { id }).collect();
        LeaseLeasesResponse { header: Some(self.space.header()), leases }
    }

    fn status(&self) -> StatusResponse {
        let header = self.space.header();
        let size = i64::try_from(self.space.bytes()).unwrap_or(i64::MAX);
        let index = u64::try_from(self.space.revision()).unwrap_or_default();
        StatusResponse {
            version: ETCD_VERSION.to_owned(),
            db_size: size,
            db_size_in_use: size,
            leader: header.member_id,
            raft_index: index,
            raft_applied_index: index,
            raft_term: header.raft_term,
            header: Some(header),
            ..StatusResponse::default()
        }
    }

    fn watch(
        &mut self,
        stream: u64,
        request: &WatchCreateRequest,
        told: Told,
        sink: Box<dyn Sink>,
    ) {
        // It is told a revision to resume from, which must not be one that a crash takes back.
        self.flush();
        let mut response = WatchResponse {
            header: Some(self.space.header()),
            watch_id: -1,
            created: true,
            ..WatchResponse::default()
        };
        match self.watch_id(stream, request.watch_id) {
            Ok(watch) => {
                response.watch_id = watch;
                told(response);
                let interest = interest(request, self.space.revision());
                self.watchers.insert((stream, watch), interest, sink, &self.space);
                self.watchers.catch_up(&self.space);
            }
            Err(reason) => {
                response.canceled = true;
                reason.clone_into(&mut response.cancel_reason);
                told(response);
            }
        }
    }

    fn watch_id(&mut self, stream: u64, wanted: i64) -> Result<i64, &'static str> {
        if self.watchers.len() >= self.space.limits.watchers {
            return Err("etcdserver: too many watchers");
        }
        if wanted != 0 {
            let is_taken = self.watchers.contains((stream, wanted));
            return if is_taken { Err("mvcc: duplicate watch ID") } else { Ok(wanted) };
        }
        let next = self.next_ids.entry(stream).or_default();
        while self.watchers.contains((stream, *next)) {
            *next += 1;
        }
        *next += 1;
        Ok(*next - 1)
    }

    fn cancel_watch(&mut self, stream: u64, watch: i64, told: Told) {
        if self.watchers.remove((stream, watch)) {
            told(WatchResponse {
                header: Some(self.space.header()),
                watch_id: watch,
                canceled: true,
                ..WatchResponse::default()
            });
        }
    }

    /// Shows watchers what has become durable.
    fn show(&mut self) {
        let space = &self.space;
        for revision in space.since(self.shown + 1) {
            self.watchers.show(revision, space);
        }
        self.shown = space.revision();
        self.watchers.catch_up(space);
        for (stream, told) in std::mem::take(&mut self.progress) {
            if self.watchers.is_in_step(stream) {
                let header = Some(space.header());
                told(WatchResponse { header, watch_id: -1, ..WatchResponse::default() });
            } else {
                self.progress.push((stream, told));
            }
        }
    }

    fn write(&mut self) -> Result<(), MetaError> {
        if !self.space.is_dirty() {
            return Ok(());
        }
        self.engine.write(&self.space.take_batch(), Durability::Synced).map_err(|error| {
            self.failure.report(&error.to_string());
            MetaError::Disk(error.to_string())
        })
    }
}

impl Runner for MetaRunner {
    type Task = Task;

    fn run(&mut self, task: Task) {
        let now = self.clock.now();
        match task {
            Task::Range(request, reply) => {
                let outcome = range::range(&self.space, &request);
                self.answer_later(reply, outcome);
            }
            Task::Put(request, reply) => {
                let outcome = self.space.execute_put(request);
                self.answer_later(reply, outcome);
            }
            Task::DeleteRange(request, reply) => {
                let outcome = self.space.execute_delete(&request);
                self.answer_later(reply, outcome);
            }
            Task::Txn(request, reply) => {
                let outcome = self.space.execute_txn(request);
                self.answer_later(reply, outcome);
            }
            Task::Compact(request, reply) => {
                let outcome = self.space.compact(request);
                self.answer_later(reply, outcome);
            }
            Task::LeaseGrant(request, reply) => {
                let outcome = self.space.grant(request, &mut self.rng, now);
                self.answer_later(reply, outcome);
            }
            Task::LeaseRevoke(request, reply) => {
                let outcome = self.space.revoke(request);
                self.answer_later(reply, outcome);
            }
            Task::LeaseKeepAlive(request, reply) => {
                let outcome = self.keep_alive(request.id);
                self.answer_later(reply, Ok(outcome));
            }
            Task::LeaseTimeToLive(request, reply) => {
                let outcome = self.time_to_live(&request);
                self.answer_later(reply, Ok(outcome));
            }
            Task::LeaseLeases(reply) => {
                let outcome = self.leases();
                self.answer_later(reply, Ok(outcome));
            }
            Task::Status(reply) => {
                let outcome = self.status();
                self.answer_later(reply, Ok(outcome));
            }
            Task::Watch { stream, request, told, sink } => {
                self.watch(stream, &request, told, sink);
            }
            Task::CancelWatch { stream, watch, told } => self.cancel_watch(stream, watch, told),
            Task::Progress { stream, told } => self.progress.push((stream, told)),
            Task::Forget { stream } => {
                self.watchers.remove_stream(stream);
                self.next_ids.remove(&stream);
                self.progress.retain(|(of, _)| *of != stream);
            }
        }
    }

    /// E2: first the disk, then the answers.
    fn flush(&mut self) {
        let written = self.write();
        for answer in self.answers.drain(..) {
            answer(written.clone());
        }
        if written.is_ok() {
            self.show();
        }
    }

    fn tick(&mut self) {
        self.ticks += 1;
        self.space.expire(self.clock.now(), EXPIRED_PER_TICK);
        self.space.compact_if_long();
        self.flush();
        if self.ticks.is_multiple_of(TICKS_PER_NOTICE) {
            self.watchers.notify_progress(&self.space);
        }
    }
}

fn interest(request: &WatchCreateRequest, revision: i64) -> Interest {
    // Without a key, everything is meant.
    let key = if request.key.is_empty() { Bytes::from_static(b"\0") } else { request.key.clone() };
    let filters: Vec<FilterType> = request.filters().collect();
    Interest {
        range: KeyRange::new(&key, &request.range_end),
        from: if request.start_revision > 0 { request.start_revision } else { revision + 1 },
        wants_prev: request.prev_kv,
        no_puts: filters.contains(&FilterType::Noput),
        no_deletes: filters.contains(&FilterType::Nodelete),
        wants_progress: request.progress_notify,
    }
}
