//! Committed entries on their own: what each does to the data, and that bytes which make no sense do
//! the same everywhere, namely nothing.

use std::fmt::Write as _;
use std::sync::Arc;

use engine::{Cf, Engine, Faults, Faulty, Layout, MAX_KEY_BYTES};
use prost::Message as _;
use proto::eraftpb::{ConfChangeType, Entry, EntryType};
use proto::metapb::{Peer, Region, RegionEpoch};
use proto::raft_cmdpb::{CmdType, RaftCmdRequest, RaftRequestHeader};
use proto::{PeerId, RegionId, StoreId};
use runtime::clock::{Clock, ManualClock};
use runtime::metrics::Metrics;
use runtime::reply::Reply;
use runtime::worker::{Inline, Queue, Tasks, queue};
use runtime::{Rng, mark};
use slog::{Discard, Logger, o};
use tests::fuzz::damage;

use super::cluster::{Waiter, found, peer, put};
use crate::apply::{encode_admin, encode_change_peer, encode_write};
use crate::error::RegionError;
use crate::message::{
    Admin, AdminDone, Applied, Completion, Done, Effect, Header, Request, Waiting,
};
use crate::meters::{self, ApplyMeters};
use crate::state;
use crate::worker::ApplyTask;
use crate::worker::apply::ApplyWorker;

const REGION: RegionId = RegionId::new(1);

/// Meters that nobody reads.
fn unread() -> ApplyMeters {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new());
    meters::declare(&Metrics::new("unread"), &clock).1
}

/// An apply worker with one region, whose peer is on store 1.
pub(crate) struct Bench {
    pub(crate) kv: Arc<Faulty>,
    tasks: Tasks<Vec<ApplyTask>>,
    worker: Inline<ApplyWorker>,
    completions: Queue<Completion>,
    region: Region,
    next: u64,
    term: u64,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let kv = Arc::new(Faulty::new(Layout::Kv, Faults::none()));
        let (reports, completions) = queue(1000, true);
        let log = Logger::root(Discard, o!());
        let worker = ApplyWorker::new(Arc::clone(&kv) as Arc<dyn Engine>, reports, unread(), log);
        let (tasks, worker) = Inline::new(100, worker);
        let region = Region::new(REGION, "", "").with_peers([peer(1), peer(2)]);
        let bench = Bench { kv, tasks, worker, completions, region, next: 6, term: 6 };
        let mut batch = engine::WriteBatch::new();
        state::put_region(&mut batch, &bench.region);
        bench.kv.write(&batch, engine::Durability::Synced).unwrap();
        bench.register();
        bench
    }

    fn register(&self) {
        let state = state::initial_apply_state();
        let region = self.region.clone();
        self.give(vec![ApplyTask::Register { peer: peer(1), region, state, term: 5 }]);
    }

    fn give(&self, tasks: Vec<ApplyTask>) {
        self.tasks.try_send(tasks).unwrap();
    }

    fn header(&self) -> Header {
        let epoch = self.region.epoch();
        Header { region: REGION, peer: Some(peer(1)), epoch, term: 0 }
    }

    fn entry(&mut self, entry_type: EntryType, data: impl Into<bytes::Bytes>) -> Entry {
        let index = self.next;
        self.next += 1;
        Entry { entry_type: entry_type.into(), term: self.term, index, data: data.into() }
    }

    fn write(&mut self, requests: &[Request]) -> Entry {
        let data = encode_write(&self.header(), peer(1), requests);
        self.entry(EntryType::EntryNormal, data)
    }

    fn admin(&mut self, admin: &Admin) -> Entry {
        let data = encode_admin(&self.header(), peer(1), admin).unwrap();
        self.entry(EntryType::EntryNormal, data)
    }

    fn change(&mut self, change: ConfChangeType, changed: Peer) -> Entry {
        let data = encode_change_peer(&self.header(), peer(1), change, changed).encode_to_vec();
        self.entry(EntryType::EntryConfChange, data)
    }

    /// Applies entries in one batch; somebody waits for each.
    fn apply(&mut self, entries: Vec<Entry>) -> Vec<Option<Result<Done, RegionError>>> {
        let mut waiters: Vec<Waiter> = Vec::new();
        let mut waiting = Vec::new();
        for entry in &entries {
            let (reply, waiter) = Reply::new();
            let (index, term) = (entry.index, entry.term);
            waiting.push(Waiting { index, term, replies: vec![reply] });
            waiters.push(waiter);
        }
        self.give(vec![ApplyTask::Entries { region: REGION, entries, waiting }]);
        self.worker.run_all();
        waiters.iter_mut().map(|waiter| waiter.try_take().map(|answer| answer.0)).collect()
    }

    fn apply_one(&mut self, entry: Entry) -> Result<Done, RegionError> {
        self.apply(vec![entry]).remove(0).expect("it is answered")
    }

    fn reports(&self) -> Vec<Applied> {
        let mut reports = Vec::new();
        while let Some(completion) = self.completions.try_take() {
            if let Completion::Applied(applied) = completion {
                reports.extend(applied);
            }
        }
        reports
    }

    fn get(&self, key: &str) -> Option<bytes::Bytes> {
        self.kv.get(Cf::Default, key.as_bytes()).unwrap()
    }
}

fn get(key: &str) -> Request {
    Request::Get { cf: Cf::Default, key: key.to_owned().into() }
}

fn split_at(key: &str) -> Admin {
    let (new_region, new_peers) = (RegionId::new(2), vec![21, 22]);
    Admin::Split { key: key.to_owned().into(), new_region, new_peers }
}

#[test]
fn a_command_is_done_whole_or_not_at_all() {
    let mut bench = Bench::new();
    let entry = bench.write(&[put("a", "1"), put("b", "2"), get("a")]);
    let done = bench.apply_one(entry).unwrap();
    assert!(matches!(done, Done::Responses(responses) if responses.len() == 3));
    assert_eq!((bench.get("a"), bench.get("b")), (Some("1".into()), Some("2".into())));

    let split = bench.admin(&split_at("b"));
    bench.apply_one(split).unwrap();
    bench.region.region_epoch = Some(RegionEpoch::new(1, 2));
    let entry = bench.write(&[put("a", "3"), put("c", "4")]);
    let refused = bench.apply_one(entry).unwrap_err();
    assert!(matches!(refused, RegionError::KeyNotInRegion { .. }), "{refused}");
    assert_eq!(bench.get("a"), Some("1".into()), "none of it");
}

#[test]
fn a_read_sees_its_own_time_even_if_the_peer_is_removed_right_after() {
    let mut bench = Bench::new();
    let entries = vec![
        bench.write(&[put("a", "1")]),
        bench.write(&[get("a")]),
        bench.change(ConfChangeType::RemoveNode, peer(1)),
    ];
    let mut answers = bench.apply(entries);
    let read = answers.remove(1).unwrap();
    assert_eq!(found(read), Some("1".into()), "it was there, and it is nobody's to take away");
    assert_eq!(bench.get("a"), None, "the peer is gone, and its data");
    assert_eq!(mark::hits("written before an entry that changes the region"), 1);
}

#[test]
fn a_read_sees_its_own_time_even_if_a_part_is_given_up_right_after() {
    let mut bench = Bench::new();
    let right = Region::new(RegionId::new(2), "m", "").with_peers([Peer { id: 21, store_id: 1 }]);
    let mut batch = engine::WriteBatch::new();
    state::put_tombstone(&mut batch, &right);
    bench.kv.write(&batch, engine::Durability::Synced).unwrap();

    let entries =
        vec![bench.write(&[put("x", "1")]), bench.write(&[get("x")]), bench.admin(&split_at("m"))];
    let read = bench.apply(entries).remove(1).unwrap();
    assert_eq!(found(read), Some("1".into()));
    assert_eq!(bench.get("x"), None, "the right part's peer was removed before it was made");
    assert_eq!(mark::hits("a split whose right part was removed already"), 1);
}

#[test]
fn what_is_applied_and_how_far_is_one_write() {
    for keep in 0..=6 {
        let mut bench = Bench::new();
        for key in ["a", "b", "c"] {
            let entry = bench.write(&[put(key, "1")]);
            assert!(bench.apply_one(entry).is_ok());
        }
        let kv = bench.kv.crash(keep);
        let state = state::apply_state(&kv, REGION).unwrap();
        let applied = state.map_or(5, |state| state.applied_index);
        for (index, key) in (6..).zip(["a", "b", "c"]) {
            let is_there = kv.get(Cf::Default, key.as_bytes()).unwrap().is_some();
            assert_eq!(is_there, index <= applied, "{key} after a crash that keeps {keep}");
        }
    }
}

#[test]
fn a_read_is_of_the_term_of_its_entry() {
    let mut bench = Bench::new();
    bench.term = 9;
    let entry = bench.write(&[Request::Snap]);
    let Ok(Done::Responses(mut responses)) = bench.apply_one(entry) else { panic!("no answer") };
    let Some(crate::message::Response::Snap(view)) = responses.pop() else { panic!("no view") };
    assert_eq!(view.term, 9);
}

#[test]
fn the_epoch_is_checked_when_a_command_is_applied() {
    let mut bench = Bench::new();
    let stale = [
        bench.admin(&split_at("m")),
        bench.write(&[put("a", "1")]),
        bench.admin(&split_at("c")),
        bench.change(ConfChangeType::RemoveNode, peer(2)),
    ];
    let answers = bench.apply(stale.into());
    assert!(matches!(answers[0], Some(Ok(Done::Admin(AdminDone::Split(_))))));
    for answer in &answers[1..] {
        let Some(Err(RegionError::EpochNotMatch { regions })) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!((&regions[0].end_key[..], regions[0].epoch().version), (&b"m"[..], 2));
    }
    assert_eq!(bench.get("a"), None);
    assert_eq!(
        mark::hits("a command that met another epoch than it was proposed in"),
        1,
        "the others are changes of the region"
    );
}

#[test]
fn a_split_is_refused_alike_everywhere_if_it_makes_no_sense() {
    let refused = |admin: Admin| {
        let mut bench = Bench::new();
        bench.region.end_key = "m".into();
        bench.register();
        let entry = bench.admin(&admin);
        let error = bench.apply_one(entry).unwrap_err();
        assert_eq!(bench.reports().iter().flat_map(|report| &report.effects).count(), 0);
        let left = state::region_state(&*bench.kv, REGION).unwrap().unwrap();
        assert_eq!(state::region_of(&left).epoch().version, 1);
        error
    };
    let split = |key: &str, new_region: u64, new_peers: &[u64]| Admin::Split {
        key: key.to_owned().into(),
        new_region: RegionId::new(new_region),
        new_peers: new_peers.to_vec(),
    };
    for key in ["", "m", "z"] {
        let error = refused(split(key, 2, &[21, 22]));
        assert!(matches!(error, RegionError::KeyNotInRegion { .. }), "{key:?}: {error}");
    }
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    for admin in [
        split("c", 0, &[21, 22]),
        split("c", 1, &[21, 22]),
        split("c", 2, &[21]),
        split("c", 2, &[21, 22, 23]),
        split("c", 2, &[21, 21]),
        split("c", 2, &[0, 21]),
        split(&long, 2, &[21, 22]),
    ] {
        let error = refused(admin);
        assert!(matches!(error, RegionError::Refused(_)), "{error}");
    }
}

#[test]
fn a_change_of_peers_is_refused_alike_everywhere_if_it_makes_no_sense() {
    use ConfChangeType::{AddNode, RemoveNode};
    let other = |id, store| Peer::new(PeerId::new(id), StoreId::new(store));
    for (change, changed) in [
        (AddNode, other(9, 1)),
        (AddNode, other(2, 9)),
        (RemoveNode, other(9, 9)),
        (RemoveNode, other(9, 2)),
        (AddNode, other(0, 9)),
        (AddNode, other(9, 0)),
    ] {
        let mut bench = Bench::new();
        let entry = bench.change(change, changed);
        let error = bench.apply_one(entry).unwrap_err();
        assert!(matches!(error, RegionError::Refused(_)), "{change:?} {changed:?}: {error}");
    }
    let mut bench = Bench::new();
    bench.region.peers.truncate(1);
    bench.register();
    let entry = bench.change(RemoveNode, peer(1));
    assert!(matches!(bench.apply_one(entry), Err(RegionError::Refused(_))), "the last one stays");
}

#[test]
fn a_cut_of_the_log_never_goes_back_and_never_beyond_what_is_applied() {
    let mut bench = Bench::new();
    let first = bench.write(&[put("a", "1")]);
    bench.apply(vec![first]);
    for (index, effects) in [(4, 0), (5, 0), (99, 0), (6, 1), (6, 0)] {
        let entry = bench.admin(&Admin::CompactLog { index, term: 6 });
        bench.reports();
        assert!(matches!(bench.apply_one(entry), Ok(Done::Admin(AdminDone::CompactLog))));
        let reported = bench.reports().remove(0).effects;
        assert_eq!(reported.len(), effects, "to {index}: {reported:?}");
    }
}

#[test]
fn a_key_that_no_engine_takes_is_refused_and_not_a_panic() {
    let mut bench = Bench::new();
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    for request in [put(&long, "1"), Request::Delete { cf: Cf::Lock, key: long.clone().into() }] {
        let entry = bench.write(&[request]);
        assert!(matches!(bench.apply_one(entry), Err(RegionError::Refused(_))));
    }
    let entry = bench.write(&[put(&"k".repeat(MAX_KEY_BYTES), "1")]);
    assert!(bench.apply_one(entry).is_ok());
}

/// What a replica makes of entries: answers, and the data afterwards.
fn outcome(entries: &[(EntryType, Vec<u8>)]) -> (Vec<String>, String) {
    let mut bench = Bench::new();
    let entries = entries.iter().map(|(kind, data)| bench.entry(*kind, data.clone())).collect();
    let answers = bench.apply(entries);
    let shown = answers.iter().map(|answer| format!("{answer:?}")).collect();
    let mut held = String::new();
    let view = bench.kv.snapshot().unwrap();
    for cf in Cf::ALL {
        let mut cursor = view.cursor(cf, engine::KeyRange::ALL).unwrap();
        let mut is_valid = cursor.seek_to_first().unwrap();
        while is_valid {
            writeln!(held, "{cf} {:?} {:?}", cursor.key(), cursor.value()).unwrap();
            is_valid = cursor.next().unwrap();
        }
    }
    (shown, held)
}

#[test]
fn bytes_that_are_no_command_have_the_same_end_on_every_replica() {
    let mut bench = Bench::new();
    let whole = [
        bench.write(&[put("a", "1"), get("a"), Request::Snap]),
        bench.admin(&split_at("m")),
        bench.admin(&Admin::CompactLog { index: 6, term: 6 }),
        bench.change(ConfChangeType::AddNode, Peer { id: 3, store_id: 3 }),
    ];
    let mut rng = Rng::new(16);
    for _ in 0..500 {
        let mut entries = Vec::new();
        for _ in 0..3 {
            let known = rng.pick(&whole).unwrap();
            let data = if rng.chance(1, 4) {
                (0..rng.below(40)).map(|_| u8::try_from(rng.below(256)).unwrap()).collect()
            } else {
                let mut data = known.data.to_vec();
                damage(&mut data, &mut rng);
                data
            };
            entries.push((known.entry_type(), data));
        }
        assert_eq!(outcome(&entries), outcome(&entries), "{entries:?}");
    }
    assert!(mark::hits("an entry that does not parse") > 100);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let mut bench = Bench::new();
    let header = RaftRequestHeader {
        region_id: 1,
        region_epoch: Some(bench.region.epoch()),
        ..RaftRequestHeader::default()
    };
    let request = |cmd: i32| proto::raft_cmdpb::Request {
        cmd_type: cmd,
        ..proto::raft_cmdpb::Request::default()
    };
    let mut local = request(CmdType::Put.into());
    let cf = "local".to_owned();
    let (key, value) = ("k".into(), "v".into());
    local.put = Some(proto::raft_cmdpb::PutRequest { cf, key, value });
    for requests in [
        vec![request(CmdType::Put.into())],
        vec![request(CmdType::Delete.into())],
        vec![request(CmdType::Get.into())],
        vec![request(CmdType::Invalid.into())],
        vec![request(77)],
        vec![local],
    ] {
        let command = RaftCmdRequest { header: Some(header), requests, admin_request: None };
        let entry = bench.entry(EntryType::EntryNormal, command.encode_to_vec());
        let answer = bench.apply_one(entry);
        assert!(matches!(answer, Err(RegionError::Refused(_))), "{command:?}: {answer:?}");
    }
}

#[test]
fn an_entry_that_removes_the_peer_leaves_a_tombstone_and_no_data() {
    let mut bench = Bench::new();
    let entries = vec![
        bench.write(&[put("a", "1")]),
        bench.change(ConfChangeType::RemoveNode, peer(1)),
        bench.write(&[put("b", "2")]),
    ];
    let answers = bench.apply(entries);
    assert!(matches!(answers[1], Some(Ok(Done::Admin(AdminDone::ChangePeer(_))))));
    assert!(matches!(answers[2], Some(Err(RegionError::StaleCommand))), "nobody applies it here");
    let record = state::region_state(&*bench.kv, REGION).unwrap().unwrap();
    let tombstone = state::region_of(&record);
    assert!(state::is_tombstone(&record));
    assert_eq!(tombstone.epoch().conf_ver, 2);
    assert_eq!(
        tombstone.peer_on_store(StoreId::new(1)),
        Some(&peer(1)),
        "it says which one it was"
    );
    assert_eq!((bench.get("a"), bench.get("b")), (None, None));
    assert_eq!(state::apply_state(&*bench.kv, REGION).unwrap(), None);
    let effects: Vec<_> = bench.reports().into_iter().flat_map(|report| report.effects).collect();
    assert!(matches!(effects[..], [Effect::PeersChanged { .. }, Effect::Destroyed]));
    assert_eq!(bench.kv.pending_batches(), 0, "the tombstone is synced, and all before it");
}

#[test]
fn a_disk_that_fails_stops_applying_and_nobody_is_told_that_it_is_done() {
    let mut bench = Bench::new();
    let faults = Faults::none();
    let kv = Arc::new(Faulty::new(Layout::Kv, Arc::clone(&faults)));
    let (reports, completions) = queue(1000, true);
    let log = Logger::root(Discard, o!());
    let worker = ApplyWorker::new(Arc::clone(&kv) as Arc<dyn Engine>, reports, unread(), log);
    (bench.tasks, bench.worker) = Inline::new(100, worker);
    (bench.kv, bench.completions) = (kv, completions);
    bench.register();
    let first = bench.write(&[put("a", "1")]);
    assert!(bench.apply_one(first).is_ok());
    bench.reports();

    faults.fail_write_after(0);
    let entries = vec![bench.write(&[put("a", "2")]), bench.write(&[put("b", "2")])];
    for answer in bench.apply(entries) {
        assert!(matches!(answer, Some(Err(RegionError::StaleCommand))), "{answer:?}");
    }
    let why = bench.completions.try_take();
    assert!(
        matches!(&why, Some(Completion::Failed(why)) if why.contains("told to fail")),
        "{why:?}"
    );
    let later = bench.write(&[put("c", "3")]);
    assert!(matches!(bench.apply_one(later), Err(RegionError::StaleCommand)));
    assert!(bench.completions.try_take().is_none(), "it says so once, and does nothing more");
}
