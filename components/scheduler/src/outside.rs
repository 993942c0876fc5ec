//! Several schedulers over one real etcd: records lie there, and a lease says who leads.
//!
//! ```text
//! /pd/cluster_id                     the id, written once
//! /pd/<id>/leader                    who leads; bound to its lease, gone when that ends
//! /pd/<id>/members/<name>            who lives, in the same way
//! /pd/<id>/timestamp, alloc_id, raft, raft/s/..., gc/safe_point      the records
//! ```
//!
//! # Why nobody gives a timestamp in another's time
//!
//! 1. The leader's key exists only while its lease lives, and nobody writes it while it exists.
//! 2. We count our lease from *before* we asked for it or renewed it, so ours ends first, on any clock
//!    that runs at the pace of etcd's.
//! 3. Every answer is made first and the lease looked at afterwards (see [`member`](crate::member)).
//! 4. Records are written in transactions that compare the creation of the leader's key: a leader whose
//!    lease has ended without its knowing cannot write. So a successor that has read the records can
//!    rely on them.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use prost::Message;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::response_op::Response;
use proto::etcdserverpb::{
    Compare, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, PutRequest,
    RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse,
};
use proto::schedulerpb::Member;
use runtime::clock::Instant;
use runtime::shutdown::Stopping;
use runtime::worker::Tasks;
use slog::{Logger, info, warn};
use tokio::runtime::Handle;
use tonic::Status;
use tonic::codegen::tokio_stream::once;

use crate::endpoints::Endpoints;
use crate::error::{Error, Result};
use crate::keeper::{Done, Task};
use crate::member::Term;
use crate::records::{Loaded, Record, Records};
use crate::service::ask;
use crate::state::State;

/// The pace at which etcd is tried again at the start.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pace of an election: how often a follower looks whether somebody leads, and a leader whether it
/// still does; and the pause after a session that failed.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Where the cluster's id is written.
const CLUSTER_ID: &str = "/pd/cluster_id";

/// Our words to a real etcd.
#[derive(Clone)]
pub struct Outside {
    endpoints: Endpoints,
    root: String,
}

fn key(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// The first key behind all that begin with a prefix that ends in a slash.
fn behind(prefix: &str) -> Bytes {
    let inner = prefix.trim_end_matches('/');
    key(&format!("{inner}0")) // '0' follows '/'
}

fn created_at(name: &str, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Create.into(),
        key: key(name),
        target_union: Some(TargetUnion::CreateRevision(revision)),
        range_end: Bytes::new(),
    }
}

fn put(name: &str, value: Bytes, lease: i64) -> RequestOp {
    let put = PutRequest { key: key(name), value, lease, ..PutRequest::default() };
    RequestOp { request: Some(Request::RequestPut(put)) }
}

fn get(name: &str) -> RequestOp {
    let range = RangeRequest { key: key(name), ..RangeRequest::default() };
    RequestOp { request: Some(Request::RequestRange(range)) }
}

fn found(response: &TxnResponse) -> Option<&RangeResponse> {
    match response.responses.first()?.response.as_ref()? {
        Response::ResponseRange(range) => Some(range),
        Response::ResponsePut(_) | Response::ResponseDeleteRange(_) | Response::ResponseTxn(_) => {
            None
        }
    }
}

impl Outside {
    /// Finds the cluster, or founds it under the id that is offered. Tries again until somebody
    /// answers: etcd may be started after us.
    pub async fn open(
        endpoints: Endpoints,
        offered: u64,
        logger: &Logger,
    ) -> std::result::Result<(Self, u64), String> {
        let request = TxnRequest {
            compare: vec![created_at(CLUSTER_ID, 0)],
            success: vec![put(CLUSTER_ID, Bytes::copy_from_slice(&offered.to_be_bytes()), 0)],
            failure: vec![get(CLUSTER_ID)],
        };
        let mut tries = 0;
        let response = loop {
            match KvClient::new(endpoints.clone()).txn(request.clone()).await {
                Ok(response) => break response.into_inner(),
                Err(error) if tries == 60 => return Err(error.to_string()),
                Err(error) => {
                    warn!(logger, "etcd does not answer yet"; "error" => %error);
                    tries += 1;
                    tokio::time::sleep(PATIENCE).await;
                }
            }
        };
        let known = || {
            let range = found(&response)?;
            (&range.kvs.first()?.value[..]).try_get_u64().ok()
        };
        let id = if response.succeeded { Some(offered) } else { known() };
        let id = id.ok_or_else(|| format!("{CLUSTER_ID} is no id"))?;
        Ok((Outside { endpoints, root: format!("/pd/{id}/") }, id))
    }

    fn kv(&self) -> KvClient<Endpoints> {
        KvClient::new(self.endpoints.clone()).max_decoding_message_size(usize::MAX)
    }

    fn leader_key(&self) -> String {
        format!("{}leader", self.root)
    }

    fn member_key(&self, name: &str) -> String {
        format!("{}members/{name}", self.root)
    }

    async fn below(&self, prefix: &str) -> std::result::Result<RangeResponse, Status> {
        let (key, range_end) = (key(prefix), behind(prefix));
        let request = RangeRequest { key, range_end, ..RangeRequest::default() };
        self.kv().range(request).await.map(tonic::Response::into_inner)
    }

    async fn members(&self) -> std::result::Result<Vec<Member>, Status> {
        let range = self.below(&format!("{}members/", self.root)).await?;
        Ok(range.kvs.iter().filter_map(|kv| Member::decode(kv.value.clone()).ok()).collect())
    }
}

/// Records in a real etcd, written only while we lead.
pub struct OutsideRecords {
    outside: Outside,
    runtime: Handle,
    /// The revision at which our leader's key was created; zero while we do not lead.
    guard: Arc<AtomicI64>,
}

impl OutsideRecords {
    /// Calls run on this runtime; they are made from threads outside of it.
    pub fn new(outside: Outside, runtime: Handle) -> Self {
        OutsideRecords { outside, runtime, guard: Arc::default() }
    }

    /// What is set while we lead.
    pub fn guard(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.guard)
    }

    fn wait<T>(&self, call: impl Future<Output = std::result::Result<T, Status>>) -> Result<T> {
        self.runtime.block_on(call).map_err(|status| Error::Records(status.to_string()))
    }

    fn guarded(&self, success: Vec<RequestOp>) -> Result<TxnResponse> {
        let guard = self.guard.load(Ordering::SeqCst);
        if guard == 0 {
            return Err(Error::NotLeader);
        }
        let compare = vec![created_at(&self.outside.leader_key(), guard)];
        let request = TxnRequest { compare, success, failure: Vec::new() };
        let response = self.wait(async { self.outside.kv().txn(request).await })?.into_inner();
        if response.succeeded { Ok(response) } else { Err(Error::NotLeader) }
    }
}

impl Records for OutsideRecords {
    fn load(&self) -> Result<Loaded> {
        let root = &self.outside.root;
        let (key, range_end) = (key(root), behind(root));
        let range = RangeRequest { key, range_end, ..RangeRequest::default() };
        // Under the guard as well: what is read is what the last leader left, and nobody changes it.
        let response =
            self.guarded(vec![RequestOp { request: Some(Request::RequestRange(range)) }])?;
        let mut loaded = Loaded::default();
        for kv in found(&response).map_or(&[][..], |range| &range.kvs) {
            if let Some(name) = kv.key.strip_prefix(root.as_bytes())
                && let Ok(name) = std::str::from_utf8(name)
            {
                loaded.take(name, &kv.value)?;
            }
        }
        Ok(loaded)
    }

    fn save(&self, records: &[Record]) -> Result<()> {
        let name = |record: &Record| format!("{}{}", self.outside.root, record.name());
        let puts = records.iter().map(|record| put(&name(record), record.value(), 0));
        self.guarded(puts.collect()).map(|_| ())
    }
}

/// Takes part in the election for as long as the process runs.
pub struct Candidate {
    /// The etcd where it happens.
    pub outside: Outside,
    /// What to tell who leads.
    pub state: Arc<State>,
    /// Who begins and ends a term.
    pub keeper: Tasks<Task>,
    /// What allows the records to be written.
    pub guard: Arc<AtomicI64>,
    /// For how long a term lasts without being renewed.
    pub ttl: Duration,
    /// What is told to a person.
    pub logger: Logger,
}

/// A lease, and until when it surely lives.
struct Session {
    lease: i64,
    /// When its last renewal was asked for.
    renewed: Instant,
    ends: Instant,
    leads: bool,
}

impl Candidate {
    /// Lives one session after the other.
    pub async fn run(self, stopping: Stopping) {
        let mut leases = LeaseClient::new(self.outside.endpoints.clone());
        while !stopping.is_asked() {
            let mut lease = 0;
            let lived = tokio::select! {
                lived = self.live(&mut lease) => lived,
                () = stopping.asked() => Ok(()),
            };
            self.step_down().await;
            // Only now may somebody else lead; they need not wait until the lease ends by itself.
            let _ = leases.lease_revoke(LeaseRevokeRequest { id: lease }).await;
            if let Err(error) = lived {
                warn!(self.logger, "a session has ended"; "error" => %error);
                let pause = tokio::time::sleep(LOOK_INTERVAL);
                tokio::select! { () = pause => {}, () = stopping.asked() => {} }
            }
        }
    }

    fn now(&self) -> Instant {
        self.state.clock.now()
    }

    /// One session: from the grant of a lease until it is lost. It never ends well.
    async fn live(&self, lease: &mut i64) -> std::result::Result<(), Status> {
        let sent = self.now();
        let ttl = i64::try_from(self.ttl.as_secs()).unwrap_or(1).max(1);
        let mut leases = LeaseClient::new(self.outside.endpoints.clone());
        let grant = leases.lease_grant(LeaseGrantRequest { ttl, id: 0 }).await?.into_inner();
        *lease = grant.id;
        let ends = sent + self.ttl;
        self.serve(&mut Session { lease: grant.id, renewed: sent, ends, leads: false }).await
    }

    async fn serve(&self, session: &mut Session) -> std::result::Result<(), Status> {
        let me = self.state.membership.me();
        let value = Bytes::from(me.encode_to_vec());
        let register = PutRequest {
            key: key(&self.outside.member_key(&me.name)),
            value: value.clone(),
            lease: session.lease,
            ..PutRequest::default()
        };
        self.outside.kv().put(register).await?;
        loop {
            let now = self.now();
            if now >= session.ends {
                return Err(Status::unavailable("the lease could not be renewed in time"));
            }
            if now.since(session.renewed) >= self.ttl / 3 {
                // Once more is tried at the next turn, while there is time.
                match self.renew(session).await {
                    Ok(()) => {}
                    Err(error) if error.code() == tonic::Code::NotFound => return Err(error),
                    Err(error) => warn!(self.logger, "cannot renew"; "error" => %error),
                }
            }
            if session.leads {
                self.check_key().await?;
            } else {
                self.campaign(session, &value).await?;
            }
            if let Ok(members) = self.outside.members().await {
                self.state.membership.set_members(members);
            }
            tokio::time::sleep(LOOK_INTERVAL.min(self.ttl / 6)).await;
        }
    }

    async fn renew(&self, session: &mut Session) -> std::result::Result<(), Status> {
        let sent = self.now();
        let request = LeaseKeepAliveRequest { id: session.lease };
        let once = once(request);
        let mut leases = LeaseClient::new(self.outside.endpoints.clone());
        let answers = leases.lease_keep_alive(once).await?;
        let answer = answers.into_inner().message().await?;
        if answer.is_none_or(|answer| answer.ttl <= 0) {
            return Err(Status::not_found("the lease has ended"));
        }
        (session.renewed, session.ends) = (sent, sent + self.ttl);
        if session.leads {
            self.state.membership.lead(Term::Until(session.ends));
        }
        Ok(())
    }

    /// Writes the leader's key unless it is there; whoever it names leads.
    async fn campaign(&self, session: &mut Session, me: &Bytes) -> std::result::Result<(), Status> {
        let name = self.outside.leader_key();
        let request = TxnRequest {
            compare: vec![created_at(&name, 0)],
            success: vec![put(&name, me.clone(), session.lease)],
            failure: vec![get(&name)],
        };
        let response = self.outside.kv().txn(request).await?.into_inner();
        if !response.succeeded {
            let value = found(&response).and_then(|range| range.kvs.first());
            let leader = value.and_then(|kv| Member::decode(kv.value.clone()).ok());
            self.state.membership.follow(leader);
            return Ok(());
        }
        let created = response.header.map_or(0, |header| header.revision);
        self.guard.store(created, Ordering::SeqCst);
        let begun = ask(&self.keeper, Task::Lead).await.map(|Done(done)| done);
        match begun {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(Status::unavailable(error.to_string())),
            None => return Err(Status::unavailable("the keeper is busy")),
        }
        session.leads = true;
        self.state.membership.lead(Term::Until(session.ends));
        info!(self.logger, "elected"; "revision" => created);
        Ok(())
    }

    /// The key may have been taken away by hand. Then somebody else may lead from now on, though our
    /// lease lives.
    async fn check_key(&self) -> std::result::Result<(), Status> {
        let request =
            RangeRequest { key: key(&self.outside.leader_key()), ..RangeRequest::default() };
        // While nobody answers, the lease says for how long that may go on.
        let Ok(range) = self.outside.kv().range(request).await else { return Ok(()) };
        let created = range.into_inner().kvs.first().map(|kv| kv.create_revision);
        if created == Some(self.guard.load(Ordering::SeqCst)) {
            return Ok(());
        }
        Err(Status::aborted("the leader's key is gone"))
    }

    async fn step_down(&self) {
        self.state.membership.follow(None);
        if self.guard.swap(0, Ordering::SeqCst) != 0 {
            info!(self.logger, "stepping down");
        }
        // When there is nobody to hear it, the process is ending.
        let _ = ask(&self.keeper, Task::Follow).await;
    }
}
