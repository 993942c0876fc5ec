//! Words on the wire, and keys in order: into bytes and back.

use std::hint::black_box;

use bytes::Bytes;
use criterion::Criterion;
use prost::Message;
use proto::eraftpb::{self, Entry};
use proto::kvrpcpb::{KvPair, RawPutRequest, ScanResponse};

fn both<M: Message + Default>(criterion: &mut Criterion, name: &str, message: &M) {
    let bytes = Bytes::from(message.encode_to_vec());
    criterion.bench_function(&format!("proto/{name}, encoded"), |bencher| {
        bencher.iter(|| black_box(message).encode_to_vec());
    });
    criterion.bench_function(&format!("proto/{name}, decoded"), |bencher| {
        bencher.iter(|| M::decode(black_box(&bytes).clone()).expect("it was encoded"));
    });
}

/// A put of a hundred bytes.
pub(crate) fn raw_put(criterion: &mut Criterion) {
    let (key, value) = (Bytes::from_static(b"key0000000000001"), Bytes::from(vec![7; 100]));
    let put = RawPutRequest { key, value, ..RawPutRequest::default() };
    both(criterion, "RawPut of 100 bytes", &put);
}

/// What a leader sends a follower under load.
pub(crate) fn append_of_32(criterion: &mut Criterion) {
    let data = Bytes::from(vec![7; 128]);
    let entry = |index| Entry { term: 5, index, data: data.clone(), ..Entry::default() };
    let entries = (1000..1032).map(entry).collect();
    let append =
        eraftpb::Message { to: 2, from: 1, term: 5, entries, ..eraftpb::Message::default() };
    both(criterion, "append of 32 entries", &append);
}

/// The answer to a scan.
pub(crate) fn scan_of_1000(criterion: &mut Criterion) {
    let value = Bytes::from(vec![7; 100]);
    let pair = |number| {
        let key = Bytes::from(format!("key{number:013}"));
        KvPair { key, value: value.clone(), ..KvPair::default() }
    };
    let pairs = (0..1000).map(pair).collect();
    both(criterion, "scan of 1000 rows", &ScanResponse { pairs, ..ScanResponse::default() });
}

/// A key as it is ordered.
pub(crate) fn ordered_key(criterion: &mut Criterion) {
    let mut encoded = Vec::new();
    codec::bytes::encode(&mut encoded, b"key0000000000001");
    criterion.bench_function("codec/key of 16 bytes, encoded", |bencher| {
        let mut out = Vec::with_capacity(64);
        bencher.iter(|| {
            out.clear();
            codec::bytes::encode(&mut out, black_box(b"key0000000000001"));
        });
    });
    criterion.bench_function("codec/key of 16 bytes, decoded", |bencher| {
        bencher
            .iter(|| codec::bytes::decode(&mut black_box(&encoded[..])).expect("it was encoded"));
    });
}
