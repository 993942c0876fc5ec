//! A region in memory with some rows, and a way to ask it.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use bytes::Bytes;
use prost::Message as _;
use proto::coprocessor::{KeyRange, Request};
use proto::kvrpcpb::Context;
use proto::tipb::{ColumnInfo, DagRequest, SelectResponse};
use storage::txn::{Commit, Mutation, Prewrite};
use storage::{Kv, Limits, Standalone};

use crate::datum::{Datum, DatumRef};
use crate::{ANALYZE, Answer, DAG, Interrupt, Options, answer, row, table};

/// The table of the golden cases.
pub(super) const TABLE: i64 = 41;

/// Its columns: name, id, type number, flags.
const COLUMNS: [(&str, i64, i32, i32); 13] = [
    ("id", 1, 8, 0),
    ("a", 2, 3, 0),
    ("u", 3, 8, 0x20),
    ("f", 4, 5, 0),
    ("g", 5, 4, 0),
    ("s", 6, 15, 0),
    ("late", 7, 3, 0),
    ("later", 8, 15, 0),
    ("c", 9, 254, 0),
    ("zero", 10, 5, 0),
    ("more", 11, 5, 0),
    ("less", 12, 5, 0),
    ("tenth", 13, 5, 0),
];

/// A storage, and what asks it.
pub(super) struct World {
    pub(super) kv: Kv,
    pub(super) options: Options,
    clock: u64,
}

/// Waits for a future that needs nobody else.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut context = TaskContext::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a storage in memory answers at once"),
    }
}

impl World {
    pub(super) fn new() -> Self {
        let storage = Arc::new(Standalone::in_memory());
        let kv = Kv::new(storage, Limits::default());
        World { kv, options: Options::default(), clock: 1 }
    }

    /// Commits pairs.
    pub(super) fn put(&mut self, pairs: Vec<(Vec<u8>, Vec<u8>)>) {
        let keys: Vec<Bytes> = pairs.iter().map(|(key, _)| Bytes::from(key.clone())).collect();
        let Some(primary) = keys.first().cloned() else { return };
        let put = |(key, value): (Vec<u8>, Vec<u8>)| Mutation::Put(key.into(), value.into());
        let mutations = pairs.into_iter().map(put).collect();
        self.clock += 2;
        let (start_ts, commit_ts) = (self.clock, self.clock + 1);
        let prewrite = Prewrite { mutations, primary, start_ts, ttl: 0 };
        let context = Context::default();
        assert_eq!(wait(self.kv.run(&context, prewrite)).unwrap(), []);
        wait(self.kv.run(&context, Commit { keys, start_ts, commit_ts })).unwrap();
    }

    /// Commits the rows of the golden cases, and their indexes.
    pub(super) fn put_fixture(&mut self) {
        let text = |text: &str| Datum::Bytes(text.as_bytes().to_vec());
        let (int, uint, real) = (Datum::Int, Datum::Uint, Datum::Real);
        let rows = [
            [int(10), uint(5), real(1.5), real(0.5), text("aa")],
            [int(-3), uint(u64::MAX), real(-2.25), real(-0.5), text("b")],
            [const { Datum::Null }; 5],
            [int(10), uint(0), real(0.4), real(1.25), text("")],
            [int(7), uint(100), real(1e10), real(3.0), text("ccc")],
        ];
        let mut pairs = Vec::new();
        for (handle, row) in (1..).zip(&rows) {
            pairs.push(record(handle, row));
            pairs.push(entry(1, &row[0], handle, false));
            pairs.push(entry(2, &row[1], handle, true));
        }
        self.put(pairs);
    }

    /// Leaves a lock behind.
    pub(super) fn lock(&self, key: Vec<u8>, primary: Vec<u8>, start_ts: u64, ttl: u64) {
        let mutations = vec![Mutation::Put(key.into(), Bytes::new())];
        let prewrite = Prewrite { mutations, primary: primary.into(), start_ts, ttl };
        assert_eq!(wait(self.kv.run(&Context::default(), prewrite)).unwrap(), []);
    }

    /// Sends a request.
    pub(super) fn ask(&self, request: &Request) -> Answer {
        self.ask_patiently(request, None)
    }

    /// Sends a request that somebody gives up on at once, perhaps.
    pub(super) fn ask_patiently(&self, request: &Request, over: Option<Interrupt>) -> Answer {
        let reader = wait(self.kv.reader(&Context::default(), request.start_ts)).unwrap();
        answer(&*reader, request, &self.options, &|| over).unwrap()
    }

    /// Runs a plan.
    pub(super) fn select(&self, plan: &DagRequest, ranges: Vec<KeyRange>, start_ts: u64) -> Answer {
        let data = plan.encode_to_vec().into();
        self.ask(&Request { tp: DAG, data, ranges, start_ts, ..Request::default() })
    }

    /// Collects statistics.
    pub(super) fn analyze(&self, request: &impl prost::Message, ranges: Vec<KeyRange>) -> Answer {
        let data = request.encode_to_vec().into();
        self.ask(&Request { tp: ANALYZE, data, ranges, start_ts: u64::MAX, ..Request::default() })
    }
}

/// The pair of a row of the golden cases' table, of columns 2 and on.
pub(super) fn record(handle: i64, row: &[Datum]) -> (Vec<u8>, Vec<u8>) {
    let stored = (2..).zip(row.iter().cloned());
    let stored: Vec<_> = stored.filter(|(_, value)| *value != Datum::Null).collect();
    (table::record_key(TABLE, handle), row::encode(&stored))
}

/// The pair of an entry of one of its indexes.
pub(super) fn entry(index: i64, value: &Datum, handle: i64, is_unique: bool) -> (Vec<u8>, Vec<u8>) {
    let value = value.lend();
    if is_unique && !value.is_null() {
        return (table::index_key(TABLE, index, &[value], None), handle.to_be_bytes().to_vec());
    }
    (table::index_key(TABLE, index, &[value], Some(handle)), vec![table::HANDLE_IN_KEY])
}

/// What a plan calls a column.
pub(super) fn column(name: &str) -> ColumnInfo {
    let (_, column_id, tp, flag) =
        *COLUMNS.iter().find(|(known, ..)| *known == name).expect("the column exists");
    let mut info =
        ColumnInfo { column_id, tp, flag, pk_handle: name == "id", ..ColumnInfo::default() };
    let real = |value: f64| {
        let mut encoded = Vec::new();
        DatumRef::Real(value).encode_value(&mut encoded);
        Some(Bytes::from(encoded))
    };
    match name {
        "late" => info.default_val = Some(Bytes::from_static(b"\x08\x0a")),
        "later" => info.default_val = Some(Bytes::from_static(b"\x02\x02x")),
        "c" => info.column_len = 4,
        "zero" => info.default_val = real(0.0),
        "more" => info.default_val = real(1.5),
        "less" => info.default_val = real(-1.5),
        "tenth" => info.default_val = real(0.1),
        _ => {}
    }
    info
}

/// A range of keys.
pub(super) fn range(start: Vec<u8>, end: Vec<u8>) -> KeyRange {
    KeyRange { start: start.into(), end: end.into() }
}

/// All rows of a table, as TinySQL says it.
pub(super) fn all_rows(table: i64) -> KeyRange {
    let mut end = table::record_key(table, i64::MAX);
    end.push(0);
    range(table::record_key(table, i64::MIN), end)
}

/// One row.
pub(super) fn one_row(handle: i64) -> KeyRange {
    range(table::record_key(TABLE, handle), table::record_key(TABLE, handle + 1))
}

/// The rows of an answer: the datums of each, one after the other.
pub(super) fn rows_of(answer: &Answer, width: usize) -> Vec<Vec<Datum>> {
    let response = SelectResponse::decode(answer.data.clone()).unwrap();
    let mut rows = Vec::new();
    for chunk in response.chunks {
        let mut rest = &chunk.rows_data[..];
        while !rest.is_empty() {
            rows.push((0..width).map(|_| Datum::decode(&mut rest).unwrap()).collect());
        }
    }
    rows
}

/// A value as scripts write it.
pub(super) fn shown(value: &DatumRef<'_>) -> String {
    match value {
        DatumRef::Null => "null".to_owned(),
        DatumRef::Int(value) => value.to_string(),
        DatumRef::Uint(value) => format!("{value}u"),
        DatumRef::Real(value) => format!("{value:?}"),
        DatumRef::Bytes(value) => format!("'{}'", value.escape_ascii()),
    }
}
