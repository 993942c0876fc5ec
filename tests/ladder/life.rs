//! Rungs about the life of a TinySQL: its first start, and long idle hours in which other things happen.

use bytes::Bytes;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::{MemberListRequest, RangeRequest};
use proto::kvrpcpb::Mutation;

use crate::tinysql::{TinySql, put};
use crate::{bytes, one_store, quick};
use tests::cluster::Cluster;

/// A key of the metadata: `m`, a name, and a kind.
fn meta(name: &str, kind: u64) -> Bytes {
    let mut key = vec![b'm'];
    codec::bytes::encode(&mut key, name.as_bytes());
    key.extend(kind.to_be_bytes());
    key.into()
}

/// One statement that changes the schema, as four transactions that each see those before.
async fn change_schema(sql: &mut TinySql, number: u64) {
    let counter = meta("NextGlobalID", u64::from(b's'));
    let (header, version) =
        (meta("DDLJobList", u64::from(b'L')), meta("SchemaVersion", u64::from(b's')));
    let item = meta(&format!("DDLJobList{number}"), u64::from(b'l'));
    let now = sql.timestamp().await;
    let found = sql.get(&counter, now).await;
    let expected = if number == 0 { String::new() } else { (2 * number).to_string() };
    assert_eq!(found, expected, "the last statement's commit has returned");
    sql.commit(&[put(counter.clone(), (2 * number + 1).to_string())]).await.unwrap();
    let queued = [
        put(counter, (2 * number + 2).to_string()),
        put(header.clone(), "1"),
        put(item.clone(), "job"),
    ];
    sql.commit(&queued).await.unwrap();
    let description = Bytes::from(vec![b'{'; 4 << 10]);
    let run = [
        put(meta(&format!("DB:{number}"), u64::from(b'h')), description),
        put(meta(&format!("Diff:{number}"), u64::from(b's')), "diff"),
        put(version, (number + 1).to_string()),
        put(item.clone(), "done"),
        put(header.clone(), "1"),
    ];
    sql.commit(&run).await.unwrap();
    let gone = Mutation { op: proto::kvrpcpb::Op::Del.into(), ..put(item, "") };
    let history = put(meta(&format!("DDLJobHistory{number}"), u64::from(b'h')), "done");
    sql.commit(&[gone, put(header, "0"), history]).await.unwrap();
}

/// The first start on three empty stores: ten changes of the schema, then 528 variables, each with an entry
/// of an index, and the mark that says that it was done. And a second start, which finds all of it.
#[tokio::test]
async fn a_cluster_is_bootstrapped_once_and_found_bootstrapped_by_the_next_start() {
    let cluster = Cluster::start(3, &quick());
    let mut sql = TinySql::connect(cluster.address()).await;
    let mark = meta("BootstrapKey", u64::from(b's'));
    let now = sql.timestamp().await;
    assert_eq!(sql.get(&mark, now).await, "", "nobody was here before");
    for number in 0..10 {
        change_schema(&mut sql, number).await;
    }
    let variables: Vec<Mutation> = (0..528_u32)
        .flat_map(|number| {
            let row = [&b"t\x80\0\0\0\0\0\0\x05_r"[..], &number.to_be_bytes()].concat();
            let entry = [&b"t\x80\0\0\0\0\0\0\x05_i"[..], &number.to_be_bytes()].concat();
            [put(row, vec![b'v'; 40]), put(entry, vec![0; 8])]
        })
        .collect();
    sql.commit(&variables).await.unwrap();
    sql.commit(&[put(mark.clone(), "1")]).await.unwrap();

    let mut next = TinySql::connect(cluster.address()).await;
    let now = next.timestamp().await;
    assert_eq!(next.get(&mark, now).await, "1");
    assert_eq!(next.get(&meta("SchemaVersion", u64::from(b's')), now).await, "10");
    let schema = next.scan(b"m", now).await;
    let of_schema = schema.iter().filter(|(key, _)| key.starts_with(b"m")).count();
    assert_eq!(
        of_schema,
        10 * 3 + 4,
        "descriptions, diffs, history; counter, queue, version, mark"
    );
    assert_eq!(next.scan(b"t", now).await.len(), 2 * 528);
}

/// What an idle TinySQL asks for all the time, while a store and the scheduler are restarted under it.
#[tokio::test]
async fn idle_polls_outlive_a_restart_of_the_store_and_of_the_scheduler() {
    let (mut cluster, mut sql) = one_store().await;
    let written = sql.commit(&[put("t1", "v1")]).await.unwrap();
    let mut newest = written;
    for round in 0..6 {
        match round {
            1 => cluster.kill_scheduler(),
            2 => cluster.start_scheduler(),
            3 => cluster.kill_store(0),
            4 => cluster.start_store(0),
            _ => {}
        }
        if round == 1 {
            // Without the scheduler nothing new begins, but what is known is still served.
            assert_eq!(sql.get(b"t1", written).await, "v1");
            continue;
        }
        let next = sql.timestamp().await;
        assert!(next > newest, "round {round}");
        newest = next;
        let key = bytes("/tidb/store/gcworker/saved_safe_point");
        let request = RangeRequest { key, ..RangeRequest::default() };
        let found = KvClient::new(sql.channel.clone()).range(request).await.unwrap().into_inner();
        assert!(found.kvs.is_empty());
        let mut members =
            proto::etcdserverpb::cluster_client::ClusterClient::new(sql.channel.clone());
        let listed = members.member_list(MemberListRequest::default()).await.unwrap().into_inner();
        assert_eq!(listed.members[0].client_urls, [format!("http://{}", cluster.address())]);
        if round != 3 {
            assert_eq!(sql.get(b"t1", newest).await, "v1");
        }
    }
    let at = sql.commit(&[put("t1", "v2")]).await.unwrap();
    assert_eq!(sql.get(b"t1", at).await, "v2");
}
