//! What replication costs beside the disks below it: three stores in one process, without a network.
//!
//! - Puts: clients that wait for each answer, against a bare RocksDB that does the same synced batches
//!   three times.
//! - Reads under a lease, against point reads of the bare engine through the same kind of snapshot.
//! - A store with a thousand idle regions: which share of a core it takes.
//! - A snapshot: built, moved and ingested.

mod cluster;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cluster::Cluster;
use crossbeam_channel::{Receiver, Sender, bounded};
use engine::{Cf, Durability, Engine, Engines, WriteBatch};
use proto::RegionId;
use proto::metapb::{Peer, RegionEpoch};
use raftstore::{
    Admin, AdminDone, Answer, Command, Config, Done, Header, LocalRead, Request, Router,
};
use runtime::clock::{Clock, Instant, SystemClock};
use runtime::reply::Reply;
use runtime::units::Period;

/// As in the server.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const VALUE_BYTES: usize = 256;
/// Keys that are read.
const KEYS: u64 = 100_000;
/// How large the snapshot is made.
const SNAPSHOT_BYTES: u64 = 96 << 20;
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_secs(2);

fn main() {
    let home = tempfile::tempdir().expect("a place for the data");
    let only = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    if wanted("puts") {
        puts(&home.path().join("puts"));
    }
    if wanted("reads") {
        reads(&home.path().join("reads"));
    }
    if wanted("idle") {
        idle(&home.path().join("idle"));
    }
    if wanted("snapshot") {
        snapshot(&home.path().join("snapshot"));
    }
}

#[expect(clippy::print_stdout, reason = "a bench is for somebody who reads its output")]
fn print(text: &str) {
    println!("{text}");
}

fn since(start: Instant) -> Duration {
    SystemClock.now().since(start)
}

fn header(region: u64) -> Header {
    let epoch = RegionEpoch { conf_ver: 1, version: 1 };
    Header { region: RegionId::new(region), peer: None, epoch, term: 0 }
}

/// Waits until some store leads the region, and answers its router.
fn leader_of(cluster: &Cluster, region: u64) -> Router {
    let start = SystemClock.now();
    loop {
        for member in &cluster.members {
            let router = member.node.router();
            if let LocalRead::Answered(Ok(_)) = router.read(&header(region)) {
                return router.clone();
            }
        }
        assert!(since(start) < Duration::from_secs(30), "region {region} gets no leader");
        std::thread::yield_now();
    }
}

fn key(number: u64) -> Bytes {
    format!("key-{:012}", number % 1_000_000).into()
}

fn put(number: u64) -> Request {
    Request::Put { cf: Cf::Default, key: key(number), value: vec![b'v'; VALUE_BYTES].into() }
}

fn ask(router: &Router, header: Header, command: Command) -> Answer {
    let (reply, answer) = Reply::new();
    router.command(header, command, reply);
    answer.wait()
}

/// Keeps `clients` puts under way for a while, and answers how many were done in a second. `begin` starts
/// one, and calls back when it is done.
fn closed_loop(clients: u64, begin: impl Fn(u64, Sender<()>)) -> f64 {
    let (done, finished): (Sender<()>, Receiver<()>) = bounded(4096);
    let start = SystemClock.now();
    let mut number = 0;
    for _ in 0..clients {
        begin(number, done.clone());
        number += 1;
    }
    let mut completed = 0.0;
    while since(start) < ROUND {
        if finished.recv_timeout(Duration::from_secs(10)).is_err() {
            break;
        }
        completed += 1.0;
        begin(number, done.clone());
        number += 1;
    }
    let rate = completed / since(start).as_secs_f64();
    for _ in 0..clients {
        finished.recv_timeout(Duration::from_secs(10)).expect("every put is answered");
    }
    rate
}

/// Three engines that write the same batches, synced, at the same time: what no replication can beat.
struct Bare {
    puts: Sender<(Bytes, Sender<()>)>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Bare {
    fn start(engines: Vec<Arc<dyn Engine>>) -> Bare {
        let (puts, arrived): (_, Receiver<(Bytes, Sender<()>)>) = bounded(4096);
        let thread = spawn(move || {
            let (to, acks): (Vec<_>, Vec<_>) = engines
                .into_iter()
                .map(|engine| {
                    let (batches, take) = bounded::<Arc<WriteBatch>>(1);
                    let (ack, acked) = bounded::<()>(1);
                    spawn(move || {
                        while let Ok(batch) = take.recv() {
                            engine.write(&batch, Durability::Synced).expect("the disk works");
                            ack.send(()).expect("somebody waits");
                        }
                    });
                    (batches, acked)
                })
                .unzip();
            let mut index = 0_u64;
            while let Ok(first) = arrived.recv() {
                let mut batch = WriteBatch::new();
                let mut waiting = Vec::new();
                for (value, done) in std::iter::once(first).chain(arrived.try_iter().take(1023)) {
                    index += 1;
                    batch.put(Cf::Local, index.to_be_bytes().to_vec(), value);
                    waiting.push(done);
                }
                let batch = Arc::new(batch);
                for engine in &to {
                    engine.send(Arc::clone(&batch)).expect("the engine's thread lives");
                }
                for acked in &acks {
                    acked.recv().expect("the engine's thread lives");
                }
                for done in waiting {
                    done.send(()).expect("the client waits");
                }
            }
        });
        Bare { puts, thread: Some(thread) }
    }

    fn stop(mut self) {
        drop(self.puts);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it ends");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the bare disk is measured without our workers")]
fn spawn(body: impl FnOnce() + Send + 'static) -> std::thread::JoinHandle<()> {
    std::thread::spawn(body)
}

fn raft_engines(dir: &Path) -> Vec<Arc<dyn Engine>> {
    let open = |name: u64| -> Arc<dyn Engine> {
        let (mode, recovery) = (engine::OpenMode::CreateIfMissing, engine::Recovery::Strict);
        let (dir, config) = (dir.join(name.to_string()), engine::Config::default());
        std::fs::create_dir_all(&dir).expect("a place for the data");
        let opened = engine::Rocks::open(&dir, engine::Layout::Raft, &config, mode, recovery);
        Arc::new(opened.expect("it opens"))
    };
    (1..=3).map(open).collect()
}

fn puts(dir: &Path) {
    let cluster = Cluster::start(&dir.join("stores"), 3, 1, &Config::default());
    let leader = leader_of(&cluster, 1);
    let bare = Bare::start(raft_engines(&dir.join("bare")));
    print("| clients | replicated puts/s | three bare synced writes/s | ratio | min to max |");
    print("|---:|---:|---:|---:|---:|");
    for clients in [1, 16, 256] {
        let replicated = || {
            closed_loop(clients, |number, done| {
                let reply = Reply::from_fn(move |answer: Answer| {
                    assert!(matches!(answer.0, Ok(Done::Written)), "{answer:?}");
                    done.send(()).expect("the client waits");
                });
                leader.command(header(1), Command::Write(vec![put(number)]), reply);
            })
        };
        let written = || {
            closed_loop(clients, |_, done| {
                // As much as an entry takes in the log.
                let entry = Bytes::from(vec![b'v'; VALUE_BYTES + 60]);
                bare.puts.send((entry, done)).expect("the writer lives");
            })
        };
        row(clients, &replicated, &written);
    }
    bare.stop();
    cluster.stop();
}

fn row(what: u64, ours: &dyn Fn() -> f64, theirs: &dyn Fn() -> f64) {
    let (mut mine, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (a, b) = if round % 2 == 0 {
            let a = ours();
            (a, theirs())
        } else {
            let b = theirs();
            (ours(), b)
        };
        mine.push(a);
        bare.push(b);
        ratios.push(a / b);
    }
    for values in [&mut mine, &mut bare, &mut ratios] {
        values.sort_by(f64::total_cmp);
    }
    let (least, most) = (ratios[0], ratios[ROUNDS - 1]);
    let middle = ROUNDS / 2;
    print(&format!(
        "| {what} | {:.0} | {:.0} | **{:.2}** | {least:.2} to {most:.2} |",
        mine[middle], bare[middle], ratios[middle]
    ));
}

fn reads(dir: &Path) {
    let cluster = Cluster::start(dir, 3, 1, &Config::default());
    let leader = leader_of(&cluster, 1);
    for chunk in 0..KEYS / 1000 {
        let requests = (0..1000).map(|n| put(chunk * 1000 + n)).collect();
        let answer = ask(&leader, header(1), Command::Write(requests));
        assert!(answer.0.is_ok(), "{answer:?}");
    }
    let store = leader.store().get();
    let member = cluster.members.iter().find(|member| member.node.router().store().get() == store);
    let kv = Arc::clone(&member.expect("the leader is one of them").engines.kv);
    let number = AtomicU64::new(1);
    let next = || number.fetch_add(7919, Ordering::Relaxed) % KEYS;
    let mut table = rounds::Table::new("lease read", "engine snapshot and get");
    table.compare(
        "point read",
        100_000,
        || {
            for _ in 0..100_000 {
                let LocalRead::Answered(Ok(view)) = leader.read(&header(1)) else {
                    leader_of(&cluster, 1);
                    continue;
                };
                let found = view.snapshot.get(Cf::Default, &key(next())).expect("the disk works");
                assert!(found.is_some());
            }
        },
        || {
            for _ in 0..100_000 {
                let view = kv.snapshot().expect("the disk works");
                let found = view.get(Cf::Default, &key(next())).expect("the disk works");
                assert!(found.is_some());
            }
        },
    );
    print(&format!("\n{table}\n"));
    cluster.stop();
}

/// CPU time that this process has used.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which is in brackets, the 12th and 13th are user and system time, in ticks of
    // ten milliseconds.
    let behind = text.rsplit(')').next().unwrap_or_default();
    let fields = behind.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|word| word.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn idle(dir: &Path) {
    for stores in [1, 3] {
        let cluster =
            Cluster::start(&dir.join(stores.to_string()), stores, 1000, &Config::default());
        for region in 1..=1000 {
            leader_of(&cluster, region);
        }
        let (start, used) = (SystemClock.now(), cpu_time());
        while since(start) < Duration::from_secs(10) {
            std::thread::park_timeout(Duration::from_millis(500));
        }
        let share = cpu_time().saturating_sub(used).as_secs_f64() / since(start).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "there are three at most")]
        let each = share * 100.0 / stores as f64;
        print(&format!(
            "1000 idle regions, stores: {stores}: {each:.1} % of a core for each store"
        ));
        cluster.stop();
    }
}

fn snapshot(dir: &Path) {
    let config = Config {
        log_gc_period: Period::millis(200),
        log_gc_count: 1000,
        region_size_max: runtime::units::Bytes::gib(4),
        ..Config::default()
    };
    let cluster = Cluster::start(dir, 2, 1, &config);
    let leader = leader_of(&cluster, 1);
    let mut written = 0;
    let mut number = 0_u64;
    while written < SNAPSHOT_BYTES {
        let requests: Vec<_> = (0..500)
            .map(|_| {
                number += 1;
                let value = random_value(number);
                written += value.len() as u64 + 20;
                let key = format!("key-{number:016}").into();
                Request::Put { cf: Cf::Default, key, value }
            })
            .collect();
        let answer = ask(&leader, header(1), Command::Write(requests));
        assert!(answer.0.is_ok(), "{answer:?}");
    }
    // The follower leaves and comes back as a new peer, which needs everything.
    let own = leader.view(RegionId::new(1)).expect("it is there").peer;
    let other = Peer { id: 10 + 3 - own.store_id, store_id: 3 - own.store_id };
    change(&leader, proto::eraftpb::ConfChangeType::RemoveNode, other);
    let follower: &Engines = &cluster
        .members
        .iter()
        .find(|member| member.node.router().store().get() == other.store_id)
        .expect("there are two")
        .engines;
    let last = Bytes::from(format!("key-{number:016}"));
    let has_last =
        |engines: &Engines| engines.kv.get(Cf::Default, &last).expect("the disk works").is_some();
    wait_until(|| !has_last(follower));
    let start = SystemClock.now();
    let again = Peer { id: 99, store_id: other.store_id };
    change(&leader, proto::eraftpb::ConfChangeType::AddNode, again);
    wait_until(|| has_last(follower));
    let took = since(start);
    #[expect(clippy::cast_precision_loss, reason = "a size in mebibytes is small")]
    let rate = written as f64 / f64::from(1 << 20) / took.as_secs_f64();
    print(&format!(
        "a snapshot of {} MiB was built, moved and ingested in {took:.2?}: {rate:.0} MiB/s",
        written >> 20
    ));
    cluster.stop();
}

fn random_value(seed: u64) -> Bytes {
    let mut rng = runtime::Rng::new(seed);
    (0..VALUE_BYTES / 8).flat_map(|_| rng.next_u64().to_le_bytes()).collect()
}

fn change(leader: &Router, change: proto::eraftpb::ConfChangeType, peer: Peer) {
    let start = SystemClock.now();
    loop {
        let view = leader.view(RegionId::new(1)).expect("it is there");
        let header = Header { epoch: view.region.epoch(), ..header(1) };
        let answer = ask(leader, header, Command::Admin(Admin::ChangePeer { change, peer }));
        if let Ok(Done::Admin(AdminDone::ChangePeer(_))) = answer.0 {
            return;
        }
        assert!(since(start) < Duration::from_secs(30), "the peers do not change: {answer:?}");
    }
}

fn wait_until(condition: impl Fn() -> bool) {
    let start = SystemClock.now();
    while !condition() {
        assert!(since(start) < Duration::from_mins(1), "it does not come about");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}
