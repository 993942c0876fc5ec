//! Holds docs/wire.md against the compiled .proto files, in both directions.
//!
//! Each side is turned into [`Facts`], one line of text for each thing that a peer on the wire can
//! notice: a name, a number, a type, a label, a streaming kind. Then the two maps are compared. So
//! a difference comes out as a sentence about one thing, whichever side forgot it.

mod compiled;
mod table;

use std::collections::BTreeMap;

/// Things by name, such as `field metapb.Peer.id`, and what they are, such as `1 uint64`.
type Facts = BTreeMap<String, String>;

/// The table of words, as people read it.
const DOCUMENT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/wire.md"));

/// Every difference between the two, as a sentence.
fn differences(document: &Facts, compiled: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    for (name, is) in document {
        match compiled.get(name) {
            None => found.push(format!("{name}: only docs/wire.md has it, as `{is}`")),
            Some(other) if other != is => found
                .push(format!("{name}: docs/wire.md has `{is}`, the .proto files have `{other}`")),
            Some(_) => {}
        }
    }
    for (name, is) in compiled {
        if !document.contains_key(name) {
            found.push(format!("{name}: only the .proto files have it, as `{is}`"));
        }
    }
    found
}

/// How many facts are of a kind and, where that is said, about a package.
fn count(facts: &Facts, kind: &str, package: &str) -> usize {
    let prefix = format!("{kind} {package}");
    facts.keys().filter(|name| name.starts_with(&prefix)).count()
}

#[test]
fn the_document_and_the_compiled_words_are_the_same() {
    let document = table::facts(DOCUMENT).expect("docs/wire.md should be readable");
    let found = differences(&document, &compiled::facts());
    assert!(found.is_empty(), "the words differ:\n{}", found.join("\n"));
}

/// A check of two empty maps would pass, too.
#[test]
fn the_check_sees_every_package_whole() {
    let document = table::facts(DOCUMENT).expect("docs/wire.md should be readable");
    assert_eq!(count(&document, "package", ""), 13);
    for (package, enums, messages) in [
        ("metapb.", 1, 5),
        ("eraftpb.", 3, 7),
        ("errorpb.", 0, 7),
        ("kvrpcpb.", 2, 28),
        ("coprocessor.", 0, 3),
        ("raft_cmdpb.", 2, 24),
        ("raft_serverpb.", 1, 12),
        ("schedulerpb.", 2, 53),
        ("tinykvpb.", 0, 0),
        ("tipb.", 8, 43),
        ("etcdserverpb.", 5, 43),
        ("mvccpb.", 1, 2),
        ("tinykvext.", 2, 24),
    ] {
        assert_eq!(count(&document, "enum", package), enums, "enums of {package}");
        assert_eq!(count(&document, "message", package), messages, "messages of {package}");
    }
    for (service, calls) in [
        ("/schedulerpb.Scheduler/", 21),
        ("/tinykvpb.TinyKv/", 14),
        ("/etcdserverpb.", 17),
        ("/tinykvext.TinyKvExt/", 11),
    ] {
        assert_eq!(count(&document, "call", service), calls, "calls of {service}");
    }
}

/// Each makes one mistake in the document: what is right, what is put there, and what must be said.
const MISTAKES: [(&str, &str, &str); 16] = [
    (
        "`Peer`: id=1 uint64;",
        "`Peer`: id=1 int64;",
        "field metapb.Peer.id: docs/wire.md has `1 int64`, the .proto files have `1 uint64`",
    ),
    (
        "`Peer`: id=1 uint64; store_id=2",
        "`Peer`: id=1 uint64; store_id=3",
        "field metapb.Peer.store_id: docs/wire.md has `3 uint64`, the .proto files have `2 uint64`",
    ),
    (
        "peers=5 repeated Peer",
        "peers=5 Peer",
        "field metapb.Region.peers: docs/wire.md has `5 metapb.Peer`, \
             the .proto files have `5 repeated metapb.Peer`",
    ),
    (
        "conf_ver=1 uint64; version=2 uint64",
        "conf_ver=1 uint64",
        "field metapb.RegionEpoch.version: only the .proto files have it, as `2 uint64`",
    ),
    (
        "conf_ver=1 uint64; version=2 uint64",
        "conf_ver=1 uint64; version=2 uint64; force=3 bool",
        "field metapb.RegionEpoch.force: only docs/wire.md has it, as `3 bool`",
    ),
    (
        "code=1 int32!",
        "code=1 int32",
        "field tipb.Error.code: docs/wire.md has `1 int32`, \
         the .proto files have `1 required int32`",
    ),
    (
        "leader=2 metapb.Peer",
        "leader=2 metapb.Store",
        "field errorpb.NotLeader.leader: docs/wire.md has `2 metapb.Store`, \
             the .proto files have `2 metapb.Peer`",
    ),
    (
        "lease=8 int64 }",
        "lease=8 uint64 }",
        "field etcdserverpb.Compare.lease: docs/wire.md has `8 uint64 in target_union`, \
             the .proto files have `8 int64 in target_union`",
    ),
    (
        "request_txn=4 TxnRequest }",
        "request_txn=4 TxnRequest }; x=5 bool",
        "field etcdserverpb.RequestOp.x: only docs/wire.md has it, as `5 bool`",
    ),
    (
        "AddNode=0; RemoveNode=1",
        "AddNode=0; RemoveNode=2",
        "value eraftpb.ConfChangeType.RemoveNode: docs/wire.md has `2`, the .proto files have `1`",
    ),
    (
        "Delete=4; Snap=5 [reserved: 2]",
        "Delete=4; Snap=5",
        "enum raft_cmdpb.CmdType: docs/wire.md has ``, the .proto files have `reserved 2`",
    ),
    (
        "[reserved: 6, stale_epoch]",
        "[reserved: 6]",
        "message errorpb.Error: docs/wire.md has `reserved 6`, \
             the .proto files have `reserved 6, stale_epoch`",
    ),
    (
        "- `WatchProgressRequest`: no fields\n",
        "",
        "message etcdserverpb.WatchProgressRequest: only the .proto files have it, as ``",
    ),
    (
        "| TsoRequest | TsoResponse | bidi stream |",
        "| TsoRequest | TsoResponse | unary |",
        "call /schedulerpb.Scheduler/Tso: docs/wire.md has \
             `unary schedulerpb.TsoRequest -> schedulerpb.TsoResponse`, the .proto files have \
             `bidi stream schedulerpb.TsoRequest -> schedulerpb.TsoResponse`",
    ),
    (
        "/tinykvpb.TinyKv/RawScan`",
        "/tinykvpb.TinyKv/Scan`",
        "call /tinykvpb.TinyKv/RawScan: only the .proto files have it, as \
             `unary kvrpcpb.RawScanRequest -> kvrpcpb.RawScanResponse`",
    ),
    (
        "### `tipb` (proto2)",
        "### `tipb` (proto3)",
        "package tipb: docs/wire.md has `proto3`, the .proto files have `proto2`",
    ),
];

#[test]
fn every_kind_of_drift_is_named() {
    let compiled = compiled::facts();
    for (right, wrong, expected) in MISTAKES {
        assert_eq!(DOCUMENT.matches(right).count(), 1, "{right:?} should be there once");
        let document = table::facts(&DOCUMENT.replace(right, wrong)).expect("still readable");
        let found = differences(&document, &compiled);
        assert!(found.iter().any(|one| one == expected), "{wrong:?} was called:\n{found:#?}");
    }
}
