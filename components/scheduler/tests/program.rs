//! The program as a person starts it: without a warning killed, paused, started again.

#![expect(clippy::unwrap_used, reason = "a test may fail at every step")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::{PutRequest, RangeRequest};
use proto::metapb::Store;
use proto::schedulerpb::scheduler_client::SchedulerClient;
use proto::schedulerpb::{
    AllocIdRequest, BootstrapRequest, GetMembersRequest, GetStoreRequest, RequestHeader, TsoRequest,
};
use scheduler::tso::compose;
use tests::process::Process;
use tonic::transport::{Channel, Endpoint};

struct Running {
    process: Process,
    channel: Channel,
    client: SchedulerClient<Channel>,
    header: Option<RequestHeader>,
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinyscheduler-server"));
    command.args(["-client-urls=http://127.0.0.1:0", "-status-addr=127.0.0.1:0"]);
    command.arg(format!("-data-dir={}", dir.display()));
    command
}

async fn start(dir: &Path) -> Running {
    let mut process = Process::start(&mut command(dir));
    let address = process.wait_until_serving();
    let endpoint = Endpoint::try_from(format!("http://{address}")).unwrap();
    let channel = endpoint.connect().await.expect("it serves");
    let mut client = SchedulerClient::new(channel.clone());
    let members = client.get_members(GetMembersRequest::default()).await.unwrap().into_inner();
    let header = Some(RequestHeader { cluster_id: members.header.unwrap().cluster_id });
    Running { process, channel, client, header }
}

impl Running {
    async fn timestamps(&mut self, count: usize) -> Vec<u64> {
        let header = self.header;
        let requests = (0..count).map(move |_| TsoRequest { header, count: 100 });
        let stream = Stream(requests);
        let mut answers = self.client.tso(stream).await.unwrap().into_inner();
        let mut given = Vec::new();
        while let Some(answer) = answers.message().await.unwrap() {
            given.push(compose(answer.timestamp.unwrap()));
        }
        given
    }

    async fn id(&mut self) -> u64 {
        let request = AllocIdRequest { header: self.header };
        self.client.alloc_id(request).await.unwrap().into_inner().id
    }
}

struct Stream<I>(I);

impl<I: Iterator + Unpin> tonic::codegen::tokio_stream::Stream for Stream<I> {
    type Item = I::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<I::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nothing_is_given_twice_or_lost_by_kills() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("deep/data");
    let (mut newest, mut newest_id, mut revision) = (0, 0, 1);
    for round in 0..4 {
        let mut running = start(&dir).await;
        let store = Store { id: 1, address: "127.0.0.1:20160".to_owned(), ..Store::default() };
        if round == 0 {
            let request = BootstrapRequest { header: running.header, store: Some(store.clone()) };
            running.client.bootstrap(request).await.unwrap();
        }
        let given = running.timestamps(200).await;
        assert!(given.len() == 200 && given.is_sorted_by(|a, b| a + 99 < *b));
        assert!(given[0] - 99 > newest, "round {round}");
        newest = given[199];
        let id = running.id().await;
        assert!(id > newest_id, "round {round}");
        newest_id = id;
        let mut kv = KvClient::new(running.channel.clone());
        let read = RangeRequest { key: Bytes::from_static(b"k"), ..RangeRequest::default() };
        let found = kv.range(read).await.unwrap().into_inner();
        assert_eq!((found.header.unwrap().revision, found.count), (revision, i64::from(round > 0)));
        for _ in 0..20 {
            let put = PutRequest { key: Bytes::from_static(b"k"), ..PutRequest::default() };
            revision = kv.put(put).await.unwrap().into_inner().header.unwrap().revision;
        }
        let request = GetStoreRequest { header: running.header, store_id: 1 };
        let known = running.client.get_store(request).await.unwrap().into_inner();
        assert_eq!(known.store, Some(store));
        running.process.kill();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_paused_process_goes_on_with_the_time_of_day() {
    let home = tempfile::tempdir().unwrap();
    let mut running = start(home.path()).await;
    let before = running.timestamps(1).await[0];
    running.process.signal("STOP");
    // Nothing is waited for: time itself passes, more of it than the window of timestamps holds.
    tokio::time::sleep(Duration::from_millis(3500)).await;
    running.process.signal("CONT");
    let after = running.timestamps(1).await[0];
    assert!(after > before);
    let ms = (after >> 18) - (before >> 18);
    assert!(ms >= 2_900, "the end of the old window, or later: {ms}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_ends_when_asked_and_says_why_it_cannot_start() {
    let home = tempfile::tempdir().unwrap();
    let running = start(home.path()).await;
    let second = Process::start(&mut command(home.path()));
    let (status, log) = second.finish();
    assert!(!status.success() && log.iter().any(|line| line.contains("in use")), "{log:?}");
    running.process.terminate();
    let (status, log) = running.process.finish();
    assert!(status.success(), "{log:?}");
    assert!(log.last().unwrap().contains("stopped"), "{log:?}");

    let mut foreign = command(home.path());
    foreign.args(["--set", "cluster-id=5"]);
    let (status, log) = Process::start(&mut foreign).finish();
    assert!(!status.success());
    assert!(log.iter().any(|line| line.contains("belongs to cluster")), "{log:?}");
    let mut unknown = command(home.path());
    unknown.arg("-initial-cluster=x");
    let (status, log) = Process::start(&mut unknown).finish();
    assert_eq!(status.code(), Some(2), "{log:?}");
    assert!(log.iter().any(|line| line.contains("--initial-cluster")), "{log:?}");
}
