//! The key space against a model that keeps every state it ever had, and against etcd's own rules.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use engine::{Durability, Engine, Faults, Faulty, Layout};
use proptest::prelude::*;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest,
    PutRequest, RangeRequest, RequestOp, TxnRequest, WatchResponse,
};
use proto::mvccpb::KeyValue;
use runtime::Rng;
use runtime::clock::Instant;

use crate::meta::range::{KeyRange, range};
use crate::meta::watch::{Interest, Offer, Sink, Watchers};
use crate::meta::{Identity, Limits, MetaError, Space};

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest { key: bytes(key), value: bytes(value), ..PutRequest::default() }
}

fn read(key: &str, end: &str) -> RangeRequest {
    RangeRequest { key: bytes(key), range_end: bytes(end), ..RangeRequest::default() }
}

fn all() -> RangeRequest {
    read("\0", "\0")
}

fn delete(key: &str, end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: bytes(key), range_end: bytes(end), prev_kv: true }
}

fn keys(response: &proto::etcdserverpb::RangeResponse) -> Vec<String> {
    response.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
}

/// A space on a disk.
struct Fixture {
    engine: Faulty,
    space: Space,
    now: Instant,
}

impl Fixture {
    fn new() -> Self {
        Self::on(Faulty::new(Layout::Raft, Arc::new(Faults::default())))
    }

    fn on(engine: Faulty) -> Self {
        let now = Instant::default();
        let identity = Identity { cluster: 7, member: 8 };
        let space = Space::open(&engine, identity, Limits::default(), now).unwrap();
        Fixture { engine, space, now }
    }

    /// What happened becomes durable; then the power goes, and comes back.
    fn restart(mut self) -> Self {
        self.engine.write(&self.space.take_batch(), Durability::Synced).unwrap();
        Self::on(self.engine.crash(0))
    }

    fn put(&mut self, key: &str, value: &str) -> i64 {
        self.space.execute_put(put(key, value)).unwrap().header.unwrap().revision
    }
}

#[test]
fn versions_count_and_begin_anew_after_a_deletion() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.space.revision(), 1);
    assert_eq!(fixture.put("a", "1"), 2);
    assert_eq!(fixture.put("a", "2"), 3);
    let gone = fixture.space.execute_delete(&delete("a", "")).unwrap();
    assert_eq!((gone.deleted, gone.header.unwrap().revision), (1, 4));
    assert_eq!(fixture.space.execute_delete(&delete("a", "")).unwrap().header.unwrap().revision, 4);
    assert_eq!(fixture.put("a", "7"), 5);
    let mut fixture = fixture.restart();
    let at = |space: &Space, revision: i64| {
        let request = RangeRequest { revision, ..read("a", "") };
        range(space, &request).map(|found| {
            let parts = |kv: &KeyValue| (kv.create_revision, kv.mod_revision, kv.version);
            found.kvs.first().map(parts)
        })
    };
    let states = [0, 2, 3, 4, 5].map(|revision| at(&fixture.space, revision));
    let expected = [Some((5, 5, 1)), Some((2, 2, 1)), Some((2, 3, 2)), None, Some((5, 5, 1))];
    assert_eq!(states, expected.map(Ok));
    assert_eq!(at(&fixture.space, 6), Err(MetaError::FutureRevision));
    let compact = |space: &mut Space, revision: i64| {
        space.compact(CompactionRequest { revision, physical: false }).map(|_| ())
    };
    assert_eq!(compact(&mut fixture.space, 9), Err(MetaError::FutureRevision));
    assert_eq!(compact(&mut fixture.space, 4), Ok(()));
    assert_eq!(compact(&mut fixture.space, 4), Err(MetaError::Compacted));
    let fixture = fixture.restart();
    assert_eq!(at(&fixture.space, 3), Err(MetaError::Compacted));
    assert_eq!((at(&fixture.space, 4), fixture.space.revision()), (Ok(None), 5));
}

#[test]
fn a_compaction_at_the_newest_revision_does_not_lose_it() {
    let mut fixture = Fixture::new();
    fixture.put("a", "1");
    fixture.space.execute_delete(&delete("a", "")).unwrap();
    let request = CompactionRequest { revision: 3, physical: false };
    fixture.space.compact(request).unwrap();
    let mut fixture = fixture.restart();
    assert_eq!((fixture.space.revision(), fixture.space.bytes()), (3, 0));
    assert_eq!(fixture.put("a", "2"), 4);
}

#[test]
fn reads_are_sorted_filtered_and_cut() {
    let mut fixture = Fixture::new();
    for (key, value) in [("b", "3"), ("a", "1"), ("c", "2"), ("a", "9")] {
        fixture.put(key, value);
    }
    let base = || all();
    let sorted = |target: SortTarget, order: SortOrder| RangeRequest {
        sort_target: target.into(),
        sort_order: order.into(),
        ..base()
    };
    let cases = [
        (base(), vec!["a", "b", "c"], false),
        (RangeRequest { limit: 2, ..base() }, vec!["a", "b"], true),
        (RangeRequest { limit: 3, ..base() }, vec!["a", "b", "c"], false),
        (sorted(SortTarget::Create, SortOrder::Descend), vec!["c", "a", "b"], false),
        (sorted(SortTarget::Mod, SortOrder::None), vec!["b", "c", "a"], false),
        (sorted(SortTarget::Value, SortOrder::Ascend), vec!["c", "b", "a"], false),
        (
            RangeRequest { limit: 1, ..sorted(SortTarget::Create, SortOrder::Ascend) },
            vec!["b"],
            true,
        ),
        (RangeRequest { max_create_revision: 3, ..base() }, vec!["a", "b"], false),
        (RangeRequest { min_mod_revision: 4, ..base() }, vec!["a", "c"], false),
        (RangeRequest { count_only: true, ..base() }, vec![], false),
        (read("c", "a"), vec![], false),
    ];
    for (request, expected, more) in cases {
        let found = range(&fixture.space, &request).unwrap();
        assert_eq!(
            (keys(&found), found.more),
            (expected.iter().map(|k| (*k).to_owned()).collect(), more)
        );
    }
    let counted = range(&fixture.space, &RangeRequest { limit: 1, ..base() }).unwrap();
    assert_eq!(counted.count, 3);
    let valueless = range(&fixture.space, &RangeRequest { keys_only: true, ..base() }).unwrap();
    assert!(valueless.kvs.iter().all(|kv| kv.value.is_empty()));
}

fn operation(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn created_at(key: &str, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Create.into(),
        key: bytes(key),
        target_union: Some(TargetUnion::CreateRevision(revision)),
        range_end: Bytes::new(),
    }
}

#[test]
fn a_transaction_happens_at_one_revision_or_not_at_all() {
    let mut fixture = Fixture::new();
    let campaign = |lease: i64| TxnRequest {
        compare: vec![created_at("owner", 0)],
        success: vec![
            operation(Request::RequestPut(PutRequest { lease, ..put("owner", "me") })),
            operation(Request::RequestPut(put("log", "won"))),
        ],
        failure: vec![operation(Request::RequestRange(read("owner", "")))],
    };
    assert_eq!(fixture.space.execute_txn(campaign(5)).unwrap_err(), MetaError::LeaseNotFound);
    assert_eq!(fixture.space.revision(), 1, "the second put did not happen either");
    let won = fixture.space.execute_txn(campaign(0)).unwrap();
    assert!(won.succeeded && won.header.unwrap().revision == 2 && won.responses.len() == 2);
    let lost = fixture.space.execute_txn(campaign(0)).unwrap();
    assert!(!lost.succeeded && lost.header.unwrap().revision == 2);
    let Some(proto::etcdserverpb::response_op::Response::ResponseRange(found)) =
        &lost.responses[0].response
    else {
        panic!("{lost:?}");
    };
    assert_eq!(found.kvs[0].create_revision, 2);
}

#[test]
fn what_makes_no_sense_is_refused_in_etcds_words() {
    let mut fixture = Fixture::new();
    fixture.put("a", "1");
    let txn = |success: Vec<RequestOp>| TxnRequest { success, ..TxnRequest::default() };
    let op = |key: &str| operation(Request::RequestPut(put(key, "")));
    let gone = |key: &str, end: &str| operation(Request::RequestDeleteRange(delete(key, end)));
    let cases = [
        (txn(vec![op("a"), op("a")]), "etcdserver: duplicate key given in txn request"),
        (txn(vec![gone("a", "c"), op("b")]), "etcdserver: duplicate key given in txn request"),
        (txn(vec![op("")]), "etcdserver: key is not provided"),
        (txn(vec![op("x"); 129]), "etcdserver: too many operations in txn request"),
        (txn(vec![RequestOp::default()]), "etcdserver: invalid operation in txn request"),
        (
            txn(vec![operation(Request::RequestTxn(TxnRequest::default()))]),
            "etcdserver: nested transactions are not served",
        ),
        (
            txn(vec![operation(Request::RequestRange(RangeRequest { revision: 9, ..all() }))]),
            "etcdserver: mvcc: required revision is a future revision",
        ),
    ];
    for (request, text) in cases {
        assert_eq!(fixture.space.execute_txn(request).unwrap_err().to_string(), text);
    }
    let puts = [
        (PutRequest { ignore_value: true, ..put("a", "x") }, MetaError::ValueProvided),
        (PutRequest { ignore_lease: true, lease: 1, ..put("a", "x") }, MetaError::LeaseProvided),
        (PutRequest { ignore_value: true, ..put("b", "") }, MetaError::KeyNotFound),
        (put("b", &"x".repeat(2 << 20)), MetaError::TooLarge),
    ];
    for (request, expected) in puts {
        assert_eq!(fixture.space.execute_put(request).unwrap_err(), expected);
    }
    fixture.space.limits.bytes = fixture.space.bytes() + 10;
    assert_eq!(fixture.space.execute_put(put("b", "0123456789")), Err(MetaError::NoSpace));
    assert_eq!(fixture.space.revision(), 2);
}

#[test]
fn keys_end_with_their_lease_at_one_revision() {
    let mut fixture = Fixture::new();
    let mut rng = Rng::new(1);
    let grant = LeaseGrantRequest { ttl: 60, id: 0 };
    let lease = fixture.space.grant(grant, &mut rng, fixture.now).unwrap().id;
    assert!(lease > 0);
    let again = LeaseGrantRequest { ttl: 60, id: lease };
    let again = fixture.space.grant(again, &mut rng, fixture.now);
    assert_eq!(again.unwrap_err(), MetaError::LeaseExists);
    for key in ["a", "b", "c"] {
        fixture.space.execute_put(PutRequest { lease, ..put(key, "1") }).unwrap();
    }
    fixture.put("c", "without a lease");
    let mut fixture = fixture.restart();
    let before = fixture.space.revision();
    let minute = fixture.now + Duration::from_mins(1);
    fixture.space.expire(minute, 10);
    let mut fixture = fixture.restart();
    assert_eq!(fixture.space.revision(), before + 1);
    assert_eq!(keys(&range(&fixture.space, &all()).unwrap()), ["c"]);
    let revoked = fixture.space.revoke(LeaseRevokeRequest { id: lease });
    assert_eq!(revoked, Err(MetaError::LeaseNotFound));
    assert_eq!(fixture.space.leases.renew(lease, minute), None);
    let short = LeaseGrantRequest { ttl: -5, id: 3 };
    assert_eq!(fixture.space.grant(short, &mut rng, minute).unwrap().ttl, 2);
    let long = LeaseGrantRequest { ttl: 9_000_000_001, id: 4 };
    let long = fixture.space.grant(long, &mut rng, minute);
    assert_eq!(long.unwrap_err(), MetaError::LeaseTtlTooLarge);
}

/// Receives as much as there is room for.
#[derive(Clone, Default)]
struct Room(Arc<Mutex<(usize, Vec<WatchResponse>)>>);

impl Sink for Room {
    fn offer(&self, response: WatchResponse) -> Offer {
        let mut room = self.0.lock().unwrap();
        if room.0 == 0 {
            return Offer::Full;
        }
        room.0 -= 1;
        room.1.push(response);
        Offer::Taken
    }
}

impl Room {
    fn make(&self, room: usize) {
        self.0.lock().unwrap().0 = room;
    }

    /// The revisions that were seen, message by message.
    fn seen(&self) -> Vec<Vec<i64>> {
        let of = |response: &WatchResponse| {
            response.events.iter().map(|event| event.kv.as_ref().unwrap().mod_revision).collect()
        };
        self.0.lock().unwrap().1.iter().map(of).collect()
    }
}

fn interest(key: &str, end: &str, from: i64) -> Interest {
    Interest {
        range: KeyRange::new(&bytes(key), &bytes(end)),
        from,
        wants_prev: false,
        no_puts: false,
        no_deletes: false,
        wants_progress: false,
    }
}

fn show_newest(watchers: &mut Watchers, space: &Space) {
    for revision in space.since(space.revision()) {
        watchers.show(revision, space);
    }
}

#[test]
fn a_watcher_sees_every_change_once_however_slow_it_is() {
    let mut fixture = Fixture::new();
    for value in ["1", "2", "3"] {
        fixture.put("a", value);
    }
    let (room, mut watchers) = (Room::default(), Watchers::default());
    watchers.insert((1, 0), interest("a", "", 3), Box::new(room.clone()), &fixture.space);
    watchers.catch_up(&fixture.space);
    assert_eq!(room.seen(), Vec::<Vec<i64>>::new(), "there is no room");
    room.make(1);
    watchers.catch_up(&fixture.space);
    assert_eq!(room.seen(), [[3, 4]]);
    fixture.put("a", "4");
    show_newest(&mut watchers, &fixture.space);
    fixture.put("a", "5");
    show_newest(&mut watchers, &fixture.space);
    assert!(!watchers.is_in_step(1));
    room.make(5);
    watchers.catch_up(&fixture.space);
    fixture.put("b", "x");
    show_newest(&mut watchers, &fixture.space);
    fixture.put("a", "6");
    show_newest(&mut watchers, &fixture.space);
    assert_eq!(room.seen(), [vec![3, 4], vec![5, 6], vec![8]]);
    assert!(watchers.is_in_step(1) && watchers.remove((1, 0)) && watchers.is_empty());
}

#[test]
fn a_watcher_of_what_was_compacted_is_told_and_ends() {
    let mut fixture = Fixture::new();
    fixture.put("a", "1");
    fixture.put("a", "2");
    fixture.put("a", "3");
    fixture.space.compact(CompactionRequest { revision: 3, physical: false }).unwrap();
    let (room, mut watchers) = (Room::default(), Watchers::default());
    room.make(9);
    watchers.insert((1, 0), interest("a", "", 2), Box::new(room.clone()), &fixture.space);
    watchers.insert((1, 1), interest("a", "", 3), Box::new(room.clone()), &fixture.space);
    watchers.catch_up(&fixture.space);
    let seen = room.0.lock().unwrap().1.clone();
    assert!(seen[0].canceled && seen[0].compact_revision == 3 && seen[0].watch_id == 0);
    assert_eq!(seen[1].events.len(), 2);
    assert!(!watchers.contains((1, 0)) && watchers.contains((1, 1)));
}

/// One thing that is done to the space.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8, u8),
    Txn(Vec<(u8, u8)>, u8),
    Compact(u8),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u8..6, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => (0u8..6, 0u8..7).prop_map(|(start, end)| Step::Delete(start, end)),
        2 => (proptest::collection::vec((0u8..6, any::<u8>()), 1..4), 0u8..6)
            .prop_map(|(puts, guard)| Step::Txn(puts, guard)),
        1 => (0u8..30).prop_map(Step::Compact),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..50)
}

/// The plainest model: every state there ever was.
type States = BTreeMap<i64, BTreeMap<u8, (u8, i64, i64, i64)>>;

fn model_put(state: &mut BTreeMap<u8, (u8, i64, i64, i64)>, key: u8, value: u8, revision: i64) {
    let (_, created, _, version) = state.get(&key).copied().unwrap_or((0, revision, 0, 0));
    state.insert(key, (value, created, revision, version + 1));
}

fn check(space: &Space, states: &States) -> Result<(), TestCaseError> {
    for (&revision, state) in states {
        let request = RangeRequest { revision, ..all() };
        let Ok(found) = range(space, &request) else {
            prop_assert!(revision < space.compacted());
            continue;
        };
        let of = |kv: &KeyValue| {
            (kv.key[0], (kv.value[0], kv.create_revision, kv.mod_revision, kv.version))
        };
        prop_assert_eq!(&found.kvs.iter().map(of).collect::<BTreeMap<_, _>>(), state);
    }
    // What is remembered of the past leads from each state to the next.
    for revision in space.since(space.compacted() + 1) {
        let before = &states[&(revision.number - 1)];
        for change in &revision.changes {
            let prev = change.prev.as_ref().map(|kv| kv.value[0]);
            prop_assert_eq!(prev, before.get(&change.kv.key[0]).map(|(value, ..)| *value));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_state_can_be_read_until_it_is_compacted(steps in steps()) {
        let mut fixture = Fixture::new();
        let key = |key: u8| Bytes::copy_from_slice(&[b'a' + key]);
        let mut states = States::from([(1, BTreeMap::new())]);
        for step in steps {
            let (&newest, state) = states.last_key_value().unwrap();
            let (next, mut state) = (newest + 1, state.clone());
            match step {
                Step::Put(name, value) => {
                    let request = PutRequest {
                        key: key(name), value: vec![value].into(), ..PutRequest::default()
                    };
                    fixture.space.execute_put(request).unwrap();
                    model_put(&mut state, b'a' + name, value, next);
                }
                Step::Delete(start, end) => {
                    let request = DeleteRangeRequest {
                        key: key(start), range_end: key(end), prev_kv: false
                    };
                    let gone = fixture.space.execute_delete(&request).unwrap();
                    let before = state.len();
                    state.retain(|&name, _| !(b'a' + start..b'a' + end).contains(&name));
                    prop_assert_eq!(usize::try_from(gone.deleted).unwrap(), before - state.len());
                }
                Step::Txn(puts, guard) => {
                    let unique: BTreeMap<u8, u8> = puts.into_iter().collect();
                    let put = |(&name, &value): (&u8, &u8)| operation(Request::RequestPut(PutRequest {
                        key: key(name), value: vec![value].into(), ..PutRequest::default()
                    }));
                    let request = TxnRequest {
                        compare: vec![Compare { key: key(guard), ..created_at("x", 0) }],
                        success: unique.iter().map(put).collect(),
                        failure: vec![],
                    };
                    let done = fixture.space.execute_txn(request).unwrap();
                    prop_assert_eq!(done.succeeded, !state.contains_key(&(b'a' + guard)));
                    for (&name, &value) in unique.iter().filter(|_| done.succeeded) {
                        model_put(&mut state, b'a' + name, value, next);
                    }
                }
                Step::Compact(revision) => {
                    let revision = i64::from(revision);
                    let is_possible =
                        revision > fixture.space.compacted() && revision <= fixture.space.revision();
                    let request = CompactionRequest { revision, physical: false };
                    prop_assert_eq!(fixture.space.compact(request).is_ok(), is_possible);
                }
                Step::Restart => fixture = fixture.restart(),
            }
            if fixture.space.revision() > newest {
                states.insert(next, state);
            }
            prop_assert_eq!(fixture.space.revision(), *states.last_key_value().unwrap().0);
        }
        check(&fixture.space, &states)?;
        let fixture = fixture.restart();
        check(&fixture.space, &states)?;
    }
}
