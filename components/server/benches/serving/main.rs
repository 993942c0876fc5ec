//! What a single node serves, beside a server that does nothing: both are processes of their own, and
//! take turns under the same load.
//!
//! The bare server is this program started again: the same transport and the same messages, with no
//! storage behind them. 16-byte keys, 256-byte values, 256 calls under way over four connections.

use std::future::Future;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use proto::kvrpcpb::{
    CommitRequest, GetRequest, Mutation, PrewriteRequest, RawGetRequest, RawPutRequest, ScanRequest,
};
use proto::tinykvpb::tiny_kv_client::TinyKvClient;
use rounds::Table;
use runtime::clock::{Clock, SystemClock};
use tests::process::Process;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};

mod echo;

type Client = TinyKvClient<Channel>;

const CONNECTIONS: usize = 4;
const CALLS_UNDER_WAY: usize = 256;
const KEYS: u64 = 20_000;
const VALUE_BYTES: usize = 256;
const VERSIONS: u64 = 10;
/// In each round: a quarter of a second of them.
const CALLS: u64 = 10_240;
const ROUNDS: usize = 41;
const SCANS: u32 = 100;
const SCAN_ROWS: u32 = 1000;

fn main() {
    if std::env::var_os(echo::VARIABLE).is_some() {
        echo::serve();
        return;
    }
    let home = tempfile::tempdir().expect("a place for the data");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the clients");
    let bench = Bench::start(&runtime, home.path());
    bench.fill();
    bench.compare_with_echo();
    bench.compare_versions();
    for versions in [1, VERSIONS] {
        bench.scan(versions);
    }
}

/// Both servers, with clients on them.
struct Bench<'a> {
    runtime: &'a Runtime,
    node: Process,
    ours: Vec<Client>,
    bare: Vec<Client>,
    _echo: Process,
}

fn key(number: u64) -> Bytes {
    let mut key = *b"key-000000000000";
    key[8..].copy_from_slice(&number.to_be_bytes());
    Bytes::copy_from_slice(&key)
}

/// A transactional key, of a table whose rows have so many versions. Raw and transactional data do not
/// share keys.
fn row(versions: u64, number: u64) -> Bytes {
    let mut key = if versions == 1 { *b"one-000000000000" } else { *b"row-000000000000" };
    key[8..].copy_from_slice(&number.to_be_bytes());
    Bytes::copy_from_slice(&key)
}

fn value() -> Bytes {
    Bytes::from(vec![b'v'; VALUE_BYTES])
}

impl<'a> Bench<'a> {
    fn start(runtime: &'a Runtime, home: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tinykv-server"));
        command.args(["--standalone", "-addr=127.0.0.1:0", "-loglevel=info", "--set=sync=false"]);
        let mut node = Process::start(command.arg("-path").arg(home));
        let own = std::env::current_exe().expect("this program is a file");
        let mut echo = Process::start(Command::new(own).env(echo::VARIABLE, "1"));
        let ours = runtime.block_on(connect(&node.wait_until_serving()));
        let bare = runtime.block_on(connect(&echo.wait_until_serving()));
        Bench { runtime, node, ours, bare, _echo: echo }
    }

    /// Does `calls` calls, many at a time; answers how many there were.
    fn load<F, T>(&self, clients: &[Client], calls: u64, call: F) -> u64
    where
        F: Fn(Client, u64) -> T + Copy + Send + 'static,
        T: Future<Output = ()> + Send,
    {
        self.runtime.block_on(async {
            let each = calls / CALLS_UNDER_WAY as u64;
            let tasks: Vec<_> = (0..CALLS_UNDER_WAY)
                .map(|task| {
                    let client = clients[task % clients.len()].clone();
                    tokio::spawn(async move {
                        for number in 0..each {
                            // Spread over the keys, the same way every time.
                            let number = (task as u64 * each + number).wrapping_mul(7919) % KEYS;
                            call(client.clone(), number).await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("every call is answered");
            }
        });
        calls
    }

    fn fill(&self) {
        self.load(&self.ours, KEYS * 2, raw_put);
        for versions in [1, VERSIONS] {
            for version in 0..versions {
                for first in (0..KEYS).step_by(500) {
                    let keys = (first..first + 500).map(|number| row(versions, number)).collect();
                    self.runtime.block_on(write_rows(self.ours[0].clone(), keys, version));
                }
            }
        }
    }

    fn compare_with_echo(&self) {
        let mut table = Table::new("tinykv", "bare tonic").in_rounds(ROUNDS);
        table.compare(
            "raw get",
            CALLS,
            || self.load(&self.ours, CALLS, raw_get),
            || self.load(&self.bare, CALLS, raw_get),
        );
        table.compare(
            "raw put, unsynced",
            CALLS,
            || self.load(&self.ours, CALLS, raw_put),
            || self.load(&self.bare, CALLS, raw_put),
        );
        print(&format!("{table}\n"));
    }

    /// By the clock, which is what a user waits for, and by what the server's processor is busy: the
    /// former has the clients' work in it.
    fn compare_versions(&self) {
        let start = SystemClock.now();
        let wall = || SystemClock.now().since(start);
        let cpu = || self.server_cpu();
        let meters: [(&str, &dyn Fn() -> Duration); 2] =
            [("by the clock", &wall), ("of the server's processor", &cpu)];
        for (by, meter) in meters {
            let mut table = Table::new("KvGet", "raw get").in_rounds(ROUNDS);
            for (which, version) in [("newest", u64::MAX - 1), ("oldest", 19)] {
                table.compare_by(
                    meter,
                    format!("the {which} of {VERSIONS} versions, {by}"),
                    CALLS,
                    || {
                        self.load(&self.ours, CALLS, move |client, key| {
                            kv_get(client, key, version)
                        })
                    },
                    || self.load(&self.ours, CALLS, raw_get),
                );
            }
            print(&format!("{table}\n"));
        }
    }

    /// Rows per second of the server's own processor time, which is what one core could serve.
    fn scan(&self, versions: u64) {
        let clock = SystemClock;
        let mut figures: Vec<(f64, f64)> = (0..rounds::ROUNDS)
            .map(|_| {
                let (start, cpu) = (clock.now(), self.server_cpu());
                let mut client = self.ours[0].clone();
                for scan in 0..SCANS {
                    let start = row(versions, u64::from(scan) * 97 % (KEYS - u64::from(SCAN_ROWS)));
                    self.runtime.block_on(kv_scan(&mut client, start));
                }
                let rows = f64::from(SCAN_ROWS) * f64::from(SCANS);
                let cpu = self.server_cpu().saturating_sub(cpu);
                let wall = clock.now().since(start);
                (rows / cpu.as_secs_f64(), rows / wall.as_secs_f64())
            })
            .collect();
        figures.sort_by(|left, right| left.0.total_cmp(&right.0));
        let (per_core, wall) = figures[figures.len() / 2];
        let (least, most) = (figures[0].0, figures[figures.len() - 1].0);
        print(&format!(
            "KvScan of {SCAN_ROWS} rows, versions per row {versions}: {per_core:.0} rows/s per core of the \
             server ({least:.0} to {most:.0}), {wall:.0} rows/s as one client sees it"
        ));
    }

    /// The processor time that the server's threads have used so far.
    fn server_cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.node.id()));
        let nanoseconds = |task: std::io::Result<std::fs::DirEntry>| -> u64 {
            let path = task.expect("a Linux machine").path().join("schedstat");
            // One that has just ended is not there any more.
            let spent = std::fs::read_to_string(path).unwrap_or_default();
            spent.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0)
        };
        Duration::from_nanos(tasks.expect("a Linux machine").map(nanoseconds).sum())
    }
}

async fn connect(address: &str) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let endpoint = Endpoint::try_from(format!("http://{address}")).expect("an address");
        let channel = endpoint.tcp_nodelay(true).connect().await.expect("it serves");
        clients.push(TinyKvClient::new(channel).max_decoding_message_size(64 << 20));
    }
    clients
}

async fn raw_get(mut client: Client, number: u64) {
    let request = RawGetRequest { key: key(number), ..RawGetRequest::default() };
    let response = client.raw_get(request).await.expect("it serves").into_inner();
    assert_eq!(response.value.len(), VALUE_BYTES);
}

async fn raw_put(mut client: Client, number: u64) {
    let request = RawPutRequest { key: key(number), value: value(), ..RawPutRequest::default() };
    let response = client.raw_put(request).await.expect("it serves").into_inner();
    assert!(response.error.is_empty());
}

async fn kv_get(mut client: Client, number: u64, version: u64) {
    let request = GetRequest { key: row(VERSIONS, number), version, ..GetRequest::default() };
    let response = client.kv_get(request).await.expect("it serves").into_inner();
    assert_eq!(response.value.len(), VALUE_BYTES);
}

async fn kv_scan(client: &mut Client, start_key: Bytes) {
    let request = ScanRequest {
        start_key,
        limit: SCAN_ROWS,
        version: u64::MAX - 1,
        ..ScanRequest::default()
    };
    let response = client.kv_scan(request).await.expect("it serves").into_inner();
    assert_eq!(response.pairs.len(), SCAN_ROWS as usize);
}

/// Commits one version of some rows.
async fn write_rows(mut client: Client, keys: Vec<Bytes>, version: u64) {
    let mutation =
        |key: &Bytes| Mutation { key: key.clone(), value: value(), ..Mutation::default() };
    let (start_version, commit_version) = (version * 10 + 10, version * 10 + 15);
    let prewrite = PrewriteRequest {
        mutations: keys.iter().map(mutation).collect(),
        primary_lock: keys[0].clone(),
        start_version,
        lock_ttl: 3000,
        ..PrewriteRequest::default()
    };
    let answer = client.kv_prewrite(prewrite).await.expect("it serves").into_inner();
    assert_eq!(answer.errors, vec![]);
    let commit = CommitRequest { start_version, keys, commit_version, ..CommitRequest::default() };
    let answer = client.kv_commit(commit).await.expect("it serves").into_inner();
    assert_eq!(answer.error, None);
}

#[expect(clippy::print_stdout, reason = "a bench is a program that prints")]
fn print(text: &str) {
    println!("{text}");
}
