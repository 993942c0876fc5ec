//! The course's tests of questions to regions and messages (`kv/raftstore/util/util_test.go`).

use proto::RegionId;
use proto::eraftpb::{ConfChangeType, Message, MessageType};
use proto::metapb::{Peer, Region, RegionEpoch};

use super::cluster::{Cluster, FIRST, put};
use crate::error::RegionError;
use crate::message::{Admin, Command, Header};
use crate::peer;

#[test]
fn check_key_in_region() {
    // Whether a key is in the region, and whether it is there and not its first one. The third question
    // of the original, with the end included, is not asked here.
    for (key, start, end, inside, strictly_inside) in [
        (&[][..], &[][..], &[][..], true, false),
        (&[], &[], &[6], true, false),
        (&[], &[3], &[6], false, false),
        (&[4], &[3], &[6], true, true),
        (&[4], &[3], &[], true, true),
        (&[3], &[3], &[], true, false),
        (&[2], &[3], &[6], false, false),
        (&[], &[3], &[6], false, false),
        (&[], &[3], &[], false, false),
        (&[6], &[3], &[6], false, false),
    ] {
        let region = Region::new(RegionId::new(1), start.to_vec(), end.to_vec());
        let found = (region.contains(key), region.contains_inside(key));
        assert_eq!(found, (inside, strictly_inside), "{key:?} in {start:?}..{end:?}");
    }
}

#[test]
fn is_initial_msg() {
    for (kind, commit, is_initial) in [
        (MessageType::MsgRequestVote, 0, true),
        (MessageType::MsgHeartbeat, 0, true),
        (MessageType::MsgHeartbeat, 100, false),
        (MessageType::MsgAppend, 100, false),
    ] {
        let message = Message { msg_type: kind.into(), commit, ..Message::default() };
        assert_eq!(peer::is_initial(&message), is_initial, "{kind:?} with commit {commit}");
    }
}

#[test]
fn epoch_stale() {
    let epoch = |version, conf_ver| RegionEpoch { conf_ver, version };
    for (other, is_stale) in [
        (epoch(11, 10), true),
        (epoch(10, 11), true),
        (epoch(10, 10), false),
        (epoch(10, 9), false),
    ] {
        assert_eq!(epoch(10, 10).is_older_than(&other), is_stale, "{other:?}");
    }
}

/// A command, and which parts of the epoch must be equal for it: version and `conf_ver`.
type Case = (Command, bool, bool);

fn cases(region: &Region) -> Vec<Case> {
    // None of them changes anything where the epoch is right.
    let change = ConfChangeType::AddNode;
    let split =
        Admin::Split { key: "".into(), new_region: RegionId::new(9), new_peers: vec![91, 92, 93] };
    vec![
        (Command::Write(vec![put("k", "v")]), true, false),
        (Command::Read, true, false),
        (Command::Admin(Admin::CompactLog { index: 0, term: 0 }), false, false),
        (Command::Admin(split), true, true),
        (Command::Admin(Admin::TransferLeader { to: region.peers[0] }), true, true),
        (Command::Admin(Admin::ChangePeer { change, peer: region.peers[0] }), true, true),
    ]
}

#[test]
fn check_region_epoch() {
    let mut cluster = Cluster::three();
    cluster.lead(FIRST, 1);
    let good = cluster.header(1, FIRST);
    let peers = [1, 2, 3].map(|id| Peer { id, store_id: id });
    let region = Region::new(FIRST, "", "").with_peers(peers);
    let RegionEpoch { conf_ver, version } = good.epoch;
    for (command, checks_version, checks_conf_ver) in cases(&region) {
        for (epoch, may_pass) in [
            (good.epoch, true),
            (RegionEpoch { version: version - 1, conf_ver }, !checks_version),
            (RegionEpoch { version: version + 1, conf_ver }, !checks_version),
            (RegionEpoch { version, conf_ver: conf_ver - 1 }, !checks_conf_ver),
            (RegionEpoch { version, conf_ver: conf_ver + 1 }, !checks_conf_ver),
            // Who sends no epoch is taken to know nothing.
            (RegionEpoch::default(), !checks_version && !checks_conf_ver),
        ] {
            let answer = cluster.ask(1, Header { epoch, ..good }, command.clone());
            let is_refused = matches!(answer, Some(Err(RegionError::EpochNotMatch { .. })));
            assert_eq!(is_refused, !may_pass, "{command:?} in {epoch:?}: {answer:?}");
        }
    }
}
