//! What the scheduler costs: timestamps and keys through its port, reports and look-ups without it.
//!
//! The program runs beside the clients of this one, on the same cores. The real etcd, where `make etcd`
//! has put one, keeps its data on the same disk, and takes turns with ours.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use proto::etcdserverpb::PutRequest;
use proto::etcdserverpb::kv_client::KvClient;
use proto::metapb::{self, Peer, Region, RegionEpoch};
use proto::schedulerpb::scheduler_client::SchedulerClient;
use proto::schedulerpb::{GetMembersRequest, RequestHeader, TsoRequest};
use rounds::Table;
use runtime::Rng;
use runtime::clock::{Clock, Instant, SystemClock};
use scheduler::cluster::region::RegionInfo;
use scheduler::core::Core;
use scheduler::schedule::config::Config;
use tests::process::Process;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};

const REGIONS: u64 = 1_000_000;
const LOOKUPS: u64 = 1_000_000;
const REPORTS: u64 = 200_000;
const REQUESTS: usize = 5_000;
const PUTS: u64 = 512;

fn main() {
    regions();
    let home = tempfile::tempdir().expect("a place for the data");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the clients");
    let mut process = Process::start(
        Command::new(env!("CARGO_BIN_EXE_tinyscheduler-server"))
            .args(["-client-urls=http://127.0.0.1:0", "-status-addr=127.0.0.1:0"])
            .arg(format!("-data-dir={}", home.path().display())),
    );
    let url = format!("http://{}", process.wait_until_serving());
    for count in [1, 100, 1000] {
        runtime.block_on(timestamps(&url, count));
    }
    puts(&runtime, &url, home.path());
}

#[expect(clippy::print_stdout, reason = "a bench prints what it measured")]
fn say(text: &str) {
    println!("{text}");
}

fn per_second(count: u64, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate is rounded anyway")]
    let count = count as f64;
    count / took.as_secs_f64()
}

async fn connect(url: &str) -> Channel {
    let endpoint = Endpoint::try_from(url.to_owned()).expect("an address").tcp_nodelay(true);
    endpoint.connect().await.expect("it serves")
}

struct Requests(mpsc::Receiver<TsoRequest>);

impl tonic::codegen::tokio_stream::Stream for Requests {
    type Item = TsoRequest;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<TsoRequest>> {
        self.0.poll_recv(cx)
    }
}

/// One request under way at a time, for so many callers each, as TinySQL's client does it.
async fn timestamps(url: &str, count: u32) {
    let mut client = SchedulerClient::new(connect(url).await);
    let members = client.get_members(GetMembersRequest::default()).await.expect("it serves");
    let cluster_id = members.into_inner().header.expect("a header").cluster_id;
    let (sender, receiver) = mpsc::channel(1);
    let mut answers = client.tso(Requests(receiver)).await.expect("it serves").into_inner();
    let mut took = Vec::with_capacity(REQUESTS);
    let start = SystemClock.now();
    for _ in 0..REQUESTS {
        let asked = SystemClock.now();
        let header = Some(RequestHeader { cluster_id });
        sender.send(TsoRequest { header, count }).await.expect("it listens");
        answers.message().await.expect("it answers").expect("it goes on");
        took.push(SystemClock.now().since(asked));
    }
    let rate = per_second(REQUESTS as u64 * u64::from(count), SystemClock.now().since(start));
    took.sort_unstable();
    let at = |percent: usize| took[took.len() * percent / 100].as_micros();
    say(&format!(
        "timestamps, {count} per request on one stream: {rate:.0}/s; a request takes {} us, p99 {} us",
        at(50),
        at(99)
    ));
}

fn region(id: u64) -> RegionInfo {
    let key = |number: u64| Bytes::from(format!("t_{number:016}"));
    let peer = |place: u64| Peer { id: id * 3 + place, store_id: 1 + (id + place) % 5 };
    let meta = Region {
        id,
        start_key: if id == 1 { Bytes::new() } else { key(id) },
        end_key: if id == REGIONS { Bytes::new() } else { key(id + 1) },
        region_epoch: Some(RegionEpoch { conf_ver: 3, version: 1 }),
        peers: (0..3).map(peer).collect(),
    };
    let leader = meta.peers.first().copied();
    RegionInfo { size_mib: 96, ..RegionInfo::new(meta, leader) }
}

/// Bytes of memory that this process holds.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// A million regions: reports, memory, and finding one by its key.
fn regions() {
    let mut core = Core::new(Config::default(), Rng::new(1), Instant::default());
    core.cluster.meta = Some(metapb::Cluster { id: 1, max_peer_count: 3 });
    for id in 1..=5 {
        let store = metapb::Store { id, ..metapb::Store::default() };
        core.cluster.stores.put(store, Instant::default());
    }
    let before = resident();
    for id in 1..=REGIONS {
        core.report(region(id), Instant::default()).expect("it is new");
    }
    let each = (resident() - before) / REGIONS;
    let mut rng = Rng::new(2);
    let again: Vec<RegionInfo> = (0..REPORTS).map(|_| region(1 + rng.below(REGIONS))).collect();
    let start = SystemClock.now();
    for region in again {
        core.report(region, Instant::default()).expect("it is known");
    }
    let rate = per_second(REPORTS, SystemClock.now().since(start));
    say(&format!("heartbeats in process, {REGIONS} regions: {rate:.0}/s; {each} bytes per region"));
    let keys: Vec<Bytes> =
        (0..LOOKUPS).map(|_| region(1 + rng.below(REGIONS)).meta.start_key).collect();
    let start = SystemClock.now();
    let found = keys.iter().filter(|key| core.cluster.regions.at(key).is_some()).count();
    let took = SystemClock.now().since(start).as_nanos() / u128::from(LOOKUPS);
    say(&format!("a region by its key among {found}: {took} ns"));
}

/// Debian's etcd, if it was fetched.
fn etcd() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../debian/usr/bin/etcd");
    program.exists().then_some(program)
}

fn puts(runtime: &tokio::runtime::Runtime, ours: &str, home: &Path) {
    let Some(program) = etcd() else {
        say("no etcd to compare with: `make etcd` fetches one on Debian");
        return;
    };
    let port = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("it is bound").port()
    };
    let (url, peer) =
        (format!("http://127.0.0.1:{}", port()), format!("http://127.0.0.1:{}", port()));
    let mut command = Command::new(program);
    command
        .arg(format!("--data-dir={}", home.join("etcd").display()))
        .args([format!("--listen-client-urls={url}"), format!("--advertise-client-urls={url}")])
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=default={peer}"))
        // Nobody would read what it logs, and it would wait for that.
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut process = command.spawn().expect("it can be started");
    let (ours, theirs) = (runtime.block_on(connect(ours)), runtime.block_on(wait_for(&url)));
    let mut table = Table::new("tinyscheduler", "etcd 3.4");
    for clients in [1, 64] {
        table.compare(
            format!("put with sync, {clients} at a time"),
            PUTS,
            || runtime.block_on(put_all(&ours, clients)),
            || runtime.block_on(put_all(&theirs, clients)),
        );
    }
    say(&table.to_string());
    process.kill().expect("it is ours");
    process.wait().expect("it is ours");
}

/// A connection to a server that is only just starting: it is tried, at a pace, until it answers.
async fn wait_for(url: &str) -> Channel {
    let endpoint = Endpoint::try_from(url.to_owned()).expect("an address").tcp_nodelay(true);
    let channel = endpoint.connect_lazy();
    let put = PutRequest { key: Bytes::from_static(b"k"), ..PutRequest::default() };
    while KvClient::new(channel.clone()).put(put.clone()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    channel
}

async fn put_all(channel: &Channel, clients: u64) -> u64 {
    let put = |client: u64| {
        let mut kv = KvClient::new(channel.clone());
        async move {
            let mut revision = 0;
            for number in 0..PUTS / clients {
                let key = Bytes::from(format!("key{client}-{number}"));
                let value = Bytes::from(vec![b'v'; 256]);
                let request = PutRequest { key, value, ..PutRequest::default() };
                let response = kv.put(request).await.expect("it serves").into_inner();
                revision = response.header.expect("a header").revision;
            }
            u64::try_from(revision).expect("they count up")
        }
    };
    let mut all = tokio::task::JoinSet::new();
    for client in 0..clients {
        all.spawn(put(client));
    }
    all.join_all().await.into_iter().sum()
}
