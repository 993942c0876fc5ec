//! Plans over the wire: what TinySQL would send, and what it gets.

use std::process::Command;

use bytes::Bytes;
use coprocessor::datum::Datum;
use coprocessor::{DAG, row, table};
use prost::Message as _;
use proto::coprocessor::{KeyRange, Request, Response};
use proto::kvrpcpb::{CommitRequest, Mutation, Op, PrewriteRequest};
use proto::tinykvpb::tiny_kv_client::TinyKvClient;
use proto::tipb::{ColumnInfo, DagRequest, Executor, TableScan};
use tests::process::Process;
use tonic::transport::{Channel, Endpoint};

const SERVES: &str = "the node serves";
const TABLE: i64 = 41;

/// All rows of the table, as of a timestamp.
fn request(tp: i64, start_ts: u64) -> Request {
    let column = |column_id, tp| ColumnInfo {
        column_id,
        tp,
        pk_handle: column_id == 1,
        ..ColumnInfo::default()
    };
    let scan =
        TableScan { table_id: TABLE, columns: vec![column(1, 8), column(2, 3)], desc: false };
    let plan = DagRequest {
        executors: vec![Executor { tbl_scan: Some(scan), ..Executor::default() }],
        output_offsets: vec![0, 1],
        ..DagRequest::default()
    };
    let (start, end) = (table::record_key(TABLE, i64::MIN), table::record_key(TABLE, i64::MAX));
    let ranges = vec![KeyRange { start: start.into(), end: end.into() }];
    let data = plan.encode_to_vec().into();
    Request { tp, data, ranges, start_ts, ..Request::default() }
}

async fn ask(client: &mut TinyKvClient<Channel>, request: Request) -> Response {
    client.coprocessor(request).await.expect(SERVES).into_inner()
}

#[tokio::test]
async fn a_plan_is_answered_and_a_lock_is_reported() {
    let dir = tempfile::tempdir().expect("a place for the data");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinykv-server"));
    command.args(["--standalone", "-addr=127.0.0.1:0"]);
    command.arg(format!("-path={}", dir.path().display()));
    let mut process = Process::start(&mut command);
    let address = process.wait_until_serving();
    let endpoint = Endpoint::try_from(format!("http://{address}")).expect("an address");
    let mut client = TinyKvClient::new(endpoint.connect().await.expect(SERVES));

    let keys: Vec<Bytes> = (1..=2).map(|handle| table::record_key(TABLE, handle).into()).collect();
    let put = |key: &Bytes| Mutation {
        op: Op::Put.into(),
        key: key.clone(),
        value: row::encode(&[(2, Datum::Int(7))]).into(),
    };
    let prewrite = PrewriteRequest {
        mutations: keys.iter().map(put).collect(),
        primary_lock: keys[0].clone(),
        start_version: 10,
        lock_ttl: 3000,
        ..PrewriteRequest::default()
    };
    client.kv_prewrite(prewrite).await.expect(SERVES);
    let locked = ask(&mut client, request(DAG, 12)).await.locked.expect("nothing is committed");
    assert_eq!((locked.key, locked.lock_version), (keys[0].clone(), 10));

    let commit = CommitRequest { keys, start_version: 10, commit_version: 11, context: None };
    client.kv_commit(commit).await.expect(SERVES);
    let response = ask(&mut client, request(DAG, 12)).await;
    let rows: &[u8] = b"\x1a\x0a\x1a\x08\x08\x02\x08\x0e\x08\x04\x08\x0e\x48\x00";
    assert_eq!(response, Response { data: rows.into(), ..Response::default() });
    let response = ask(&mut client, request(DAG, 10)).await;
    assert_eq!(response.data, b"\x48\x00"[..], "nothing is committed as of then");
    let response = ask(&mut client, request(102, 12)).await;
    assert_eq!(response.other_error, "coprocessor: unsupported request type 102");
}
