//! Any bytes for any call: they are answered, somehow, and the scheduler goes on.

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, RequestOp,
    TxnRequest, request_op,
};
use proto::metapb::{Region, RegionEpoch};
use proto::schedulerpb::{
    AllocIdRequest, AskSplitRequest, GetRegionRequest, GetStoreRequest, StoreHeartbeatRequest,
    StoreStats,
};
use runtime::Rng;
use tests::fuzz::{cases, damage};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status};

use crate::fixture::{Fixture, store};

/// How many requests are tried, if nobody says otherwise.
const CASES: u64 = 4000;

/// Messages as bytes.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Calls, each with a request that makes sense.
fn seeds(fixture: &Fixture) -> Vec<(&'static str, Vec<u8>)> {
    let header = fixture.header();
    let key = Bytes::from_static(b"key");
    let epoch = Some(RegionEpoch { conf_ver: 1, version: 1 });
    let region = Region { id: 7, region_epoch: epoch, ..Region::default() };
    let split = AskSplitRequest { header, region: Some(region) };
    let stats = StoreStats { store_id: 1, capacity: 100, ..StoreStats::default() };
    let beat = StoreHeartbeatRequest { header, stats: Some(stats) };
    let put = PutRequest { key: key.clone(), ..PutRequest::default() };
    let txn = TxnRequest {
        success: vec![RequestOp { request: Some(request_op::Request::RequestPut(put.clone())) }],
        ..TxnRequest::default()
    };
    let range = RangeRequest { key: key.clone(), limit: 3, ..RangeRequest::default() };
    let delete = DeleteRangeRequest { key: key.clone(), ..DeleteRangeRequest::default() };
    let grant = LeaseGrantRequest { ttl: 60, ..LeaseGrantRequest::default() };
    vec![
        ("/schedulerpb.Scheduler/AllocID", AllocIdRequest { header }.encode_to_vec()),
        (
            "/schedulerpb.Scheduler/GetStore",
            GetStoreRequest { header, store_id: 1 }.encode_to_vec(),
        ),
        (
            "/schedulerpb.Scheduler/GetRegion",
            GetRegionRequest { header, region_key: key }.encode_to_vec(),
        ),
        ("/schedulerpb.Scheduler/AskSplit", split.encode_to_vec()),
        ("/schedulerpb.Scheduler/StoreHeartbeat", beat.encode_to_vec()),
        ("/etcdserverpb.KV/Range", range.encode_to_vec()),
        ("/etcdserverpb.KV/Put", put.encode_to_vec()),
        ("/etcdserverpb.KV/DeleteRange", delete.encode_to_vec()),
        ("/etcdserverpb.KV/Txn", txn.encode_to_vec()),
        ("/etcdserverpb.KV/Compact", CompactionRequest::default().encode_to_vec()),
        ("/etcdserverpb.Lease/LeaseGrant", grant.encode_to_vec()),
    ]
}

#[tokio::test]
async fn any_bytes_for_any_call_are_answered() {
    let mut fixture = Fixture::new().await;
    fixture.bootstrap(1).await;
    let (seeds, mut rng) = (seeds(&fixture), Rng::new(5));
    let mut client = Grpc::new(fixture.channel.clone());
    let mut served = 0;
    for _ in 0..cases(CASES) {
        let (own, message) = rng.pick(&seeds).unwrap();
        let name = if rng.chance(1, 8) { rng.pick(&seeds).unwrap().0 } else { own };
        let mut bytes = message.clone();
        damage(&mut bytes, &mut rng);
        client.ready().await.expect("it serves");
        let request = Request::new(Bytes::from(bytes));
        served +=
            u64::from(client.unary(request, PathAndQuery::from_static(name), Raw).await.is_ok());
    }
    assert!(served > cases(CASES) / 10 && served < cases(CASES), "{served} were served");
    assert_eq!(fixture.failure.reason(), None);
    fixture.put_store(store(2)).await.unwrap();
    assert_eq!(fixture.timestamps(1, 1).await.unwrap().len(), 1);
}
