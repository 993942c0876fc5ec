//! The same random operations on our key space and on a real etcd: the answers must be the same.
//!
//! Ids of cluster and member and the term differ by nature. So may the order of keys that a sort
//! finds equal, which etcd leaves to chance; sorts that are not by key are therefore asked without a
//! limit, and compared as sets. And etcd overlooks that a transaction which deletes everything from a
//! key on, and writes such a key, changes it twice; we refuse that, so it is not asked.

use std::time::Duration;

use bytes::Bytes;
use proto::etcdserverpb::compare::TargetUnion;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::response_op::Response;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, PutRequest, RangeRequest, RequestOp, ResponseHeader, TxnRequest,
    WatchCreateRequest, WatchRequest,
};
use proto::mvccpb::{Event, KeyValue};
use runtime::Rng;
use tokio::sync::mpsc;
use tonic::Status;
use tonic::transport::Channel;

use crate::debian::Etcd;
use crate::fixture::{Fixture, Requests, channel};

const STEPS: usize = 1500;

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// One thing to ask both.
#[derive(Clone, Debug)]
enum Step {
    Range(RangeRequest),
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    Compact(CompactionRequest),
    Grant(LeaseGrantRequest),
    Revoke(LeaseRevokeRequest),
    Describe(LeaseTimeToLiveRequest),
}

struct Generator {
    rng: Rng,
    revision: i64,
    leases: Vec<i64>,
}

impl Generator {
    fn key(&mut self) -> Bytes {
        let keys: [&[u8]; 9] = [b"a", b"aa", b"ab", b"b", b"b\0", b"c", b"\xff", b"\0", b""];
        let rare = self.rng.chance(1, 20);
        let count = if rare { keys.len() } else { 6 };
        Bytes::copy_from_slice(self.rng.pick(&keys[..count]).unwrap())
    }

    fn range_end(&mut self) -> Bytes {
        let ends: [&[u8]; 6] = [b"", b"", b"ac", b"b", b"c", b"\0"];
        Bytes::copy_from_slice(self.rng.pick(&ends).unwrap())
    }

    fn value(&mut self) -> Bytes {
        let length = self.rng.below(4);
        (0..length).map(|_| b'0' + u8::try_from(self.rng.below(10)).unwrap()).collect()
    }

    /// Zero most of the time, and otherwise something around what there is.
    fn revision(&mut self) -> i64 {
        if self.rng.chance(2, 3) {
            return 0;
        }
        let around = u64::try_from(self.revision).unwrap() + 3;
        i64::try_from(self.rng.range(around.saturating_sub(40)..around)).unwrap()
    }

    fn lease(&mut self) -> i64 {
        match self.rng.below(6) {
            0 => 999, // nobody has this one
            1..=2 => self.rng.pick(&self.leases).copied().unwrap_or(0),
            _ => 0,
        }
    }

    fn read(&mut self) -> RangeRequest {
        let mut request = RangeRequest {
            key: self.key(),
            range_end: self.range_end(),
            revision: self.revision(),
            keys_only: self.rng.chance(1, 8),
            count_only: self.rng.chance(1, 8),
            serializable: self.rng.chance(1, 4),
            ..RangeRequest::default()
        };
        match self.rng.below(4) {
            0 => request.limit = i64::try_from(self.rng.below(4)).unwrap(),
            1 => {
                request.sort_target = i32::try_from(self.rng.below(5)).unwrap();
                request.sort_order = i32::try_from(self.rng.below(3)).unwrap();
                if request.sort_target == 0 {
                    request.limit = i64::try_from(self.rng.below(4)).unwrap();
                }
            }
            2 => {
                request.min_mod_revision = self.revision();
                request.max_create_revision = self.revision();
                request.limit = i64::try_from(self.rng.below(3)).unwrap();
            }
            _ => {}
        }
        request
    }

    fn put(&mut self) -> PutRequest {
        let mut request = PutRequest {
            key: self.key(),
            value: self.value(),
            lease: self.lease(),
            prev_kv: self.rng.chance(1, 2),
            ignore_value: self.rng.chance(1, 12),
            ignore_lease: self.rng.chance(1, 12),
        };
        if request.ignore_value && self.rng.chance(3, 4) {
            request.value = Bytes::new();
        }
        if request.ignore_lease && self.rng.chance(3, 4) {
            request.lease = 0;
        }
        request
    }

    fn delete(&mut self) -> DeleteRangeRequest {
        let prev_kv = self.rng.chance(1, 2);
        DeleteRangeRequest { key: self.key(), range_end: self.range_end(), prev_kv }
    }

    fn compare(&mut self) -> Compare {
        let number = self.revision();
        let (target, union) = match self.rng.below(5) {
            0 => (0, TargetUnion::Version(i64::try_from(self.rng.below(3)).unwrap())),
            1 => (1, TargetUnion::CreateRevision(number)),
            2 => (2, TargetUnion::ModRevision(number)),
            3 => (3, TargetUnion::Value(self.value())),
            _ => (4, TargetUnion::Lease(self.lease())),
        };
        Compare {
            result: i32::try_from(self.rng.below(4)).unwrap(),
            target,
            key: self.key(),
            target_union: Some(union),
            range_end: self.range_end(),
        }
    }

    fn operations(&mut self) -> Vec<RequestOp> {
        let count = self.rng.below(4);
        let mut operation = |_| {
            let request = match self.rng.below(3) {
                0 => Request::RequestRange(self.read()),
                1 => Request::RequestPut(self.put()),
                _ => {
                    let mut delete = self.delete();
                    if delete.range_end == b"\0"[..] {
                        delete.range_end = Bytes::new();
                    }
                    Request::RequestDeleteRange(delete)
                }
            };
            RequestOp { request: Some(request) }
        };
        (0..count).map(&mut operation).collect()
    }

    fn step(&mut self) -> Step {
        match self.rng.below(100) {
            0..=29 => Step::Put(self.put()),
            30..=39 => Step::Delete(self.delete()),
            40..=59 => Step::Txn(TxnRequest {
                compare: (0..self.rng.below(3)).map(|_| self.compare()).collect(),
                success: self.operations(),
                failure: self.operations(),
            }),
            60..=61 => {
                let revision = (self.revision - 20).max(0) + self.revision() % 25;
                Step::Compact(CompactionRequest { revision, physical: false })
            }
            62..=65 => {
                let id = i64::try_from(1 + self.rng.below(20)).unwrap();
                self.leases.push(id);
                Step::Grant(LeaseGrantRequest { ttl: 3000 + id, id })
            }
            66..=67 => Step::Revoke(LeaseRevokeRequest { id: self.lease() }),
            68..=70 => Step::Describe(LeaseTimeToLiveRequest { id: self.lease(), keys: true }),
            _ => Step::Range(self.read()),
        }
    }
}

fn header(header: &mut Option<ResponseHeader>) {
    if let Some(header) = header {
        (header.cluster_id, header.member_id, header.raft_term) = (0, 0, 0);
    }
}

fn by_key(kvs: &mut [KeyValue]) {
    kvs.sort_by(|left, right| left.key.cmp(&right.key));
}

/// A response without what may differ, as text.
async fn ask(channel: &Channel, step: Step) -> (i64, Result<String, String>) {
    let mut kv = KvClient::new(channel.clone());
    let mut leases = LeaseClient::new(channel.clone());
    macro_rules! text {
        ($call:expr, $response:ident => $clean:block) => {
            match $call.await {
                Ok(response) => {
                    let mut $response = response.into_inner();
                    header(&mut $response.header);
                    $clean
                    let revision = $response.header.map_or(0, |header| header.revision);
                    (revision, Ok(format!("{:?}", $response)))
                }
                Err(status) => (0, Err(refusal(&status))),
            }
        };
    }
    match step {
        Step::Range(request) => {
            let is_sorted = request.sort_target != 0;
            text!(kv.range(request), response => {
                if is_sorted {
                    by_key(&mut response.kvs);
                }
            })
        }
        Step::Put(request) => text!(kv.put(request), response => {}),
        Step::Delete(request) => text!(kv.delete_range(request), response => {}),
        Step::Txn(request) => text!(kv.txn(request), response => {
            for inner in &mut response.responses {
                match inner.response.as_mut().unwrap() {
                    // Headers inside a transaction are etcd's own business, and nobody reads them.
                    Response::ResponseRange(range) => {
                        range.header = None;
                        by_key(&mut range.kvs);
                    }
                    Response::ResponsePut(put) => put.header = None,
                    Response::ResponseDeleteRange(delete) => delete.header = None,
                    Response::ResponseTxn(_) => {}
                }
            }
        }),
        Step::Compact(request) => text!(kv.compact(request), response => {}),
        Step::Grant(request) => text!(leases.lease_grant(request), response => {}),
        Step::Revoke(request) => text!(leases.lease_revoke(request), response => {}),
        // The seconds that are left pass while we ask.
        Step::Describe(request) => text!(leases.lease_time_to_live(request), response => {
            response.keys.sort();
            response.ttl = response.ttl.min(0);
        }),
    }
}

fn refusal(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

/// All events from a revision on.
async fn events(channel: &Channel, from: i64, until: i64) -> Vec<Event> {
    let (sender, receiver) = mpsc::channel(4);
    let mut client = WatchClient::new(channel.clone());
    let create = WatchCreateRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        start_revision: from,
        prev_kv: true,
        ..WatchCreateRequest::default()
    };
    let request_union = Some(RequestUnion::CreateRequest(create));
    sender.send(WatchRequest { request_union }).await.unwrap();
    // A real etcd opens its side of the stream only when it has heard something on ours.
    let mut responses = client.watch(Requests(receiver)).await.unwrap().into_inner();
    let mut events: Vec<Event> = Vec::new();
    let is_last = |event: &Event| event.kv.as_ref().unwrap().mod_revision == until;
    while !events.iter().any(is_last) {
        let response = responses.message().await.unwrap().unwrap();
        assert!(!response.canceled, "{response:?}");
        events.extend(response.events);
    }
    events
}

async fn compare(seed: u64) {
    let Some(etcd) = Etcd::start().await else { return };
    let (ours, theirs) = (Fixture::new().await, channel(&etcd.url).await);
    let mut generator = Generator { rng: Rng::new(seed), revision: 1, leases: Vec::new() };
    let mut compacted = 0;
    for number in 0..STEPS {
        let step = generator.step();
        let in_time = |who: &str| format!("seed {seed}, step {number}: {who} hangs: {step:#?}");
        let asked = tokio::time::timeout(PATIENCE, ask(&theirs, step.clone())).await;
        let (_, expected) = asked.unwrap_or_else(|_| panic!("{}", in_time("etcd")));
        let asked = tokio::time::timeout(PATIENCE, ask(&ours.channel, step.clone())).await;
        let (revision, found) = asked.unwrap_or_else(|_| panic!("{}", in_time("ours")));
        assert_eq!(found, expected, "seed {seed}, step {number}: {step:#?}");
        generator.revision = generator.revision.max(revision);
        if let (Step::Compact(request), Ok(_)) = (&step, &found) {
            compacted = request.revision;
        }
    }
    // One more, so that there is a last event to wait for.
    let last = PutRequest { key: Bytes::from_static(b"last"), ..PutRequest::default() };
    let (revision, _) = ask(&theirs, Step::Put(last.clone())).await;
    assert_eq!(ask(&ours.channel, Step::Put(last)).await.0, revision);
    let from = compacted + 1;
    let expected = events(&theirs, from, revision).await;
    assert_eq!(events(&ours.channel, from, revision).await, expected, "seed {seed}");
    assert!(expected.len() > 10, "there was something to compare");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_etcd_answers_the_same() {
    for seed in [1, 2] {
        compare(seed).await;
    }
}
