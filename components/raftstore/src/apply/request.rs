//! Commands as entries of the log, and back.

use bytes::Bytes;
use engine::Cf;
use prost::Message;
use proto::eraftpb::{ConfChange, ConfChangeType, Entry};
use proto::metapb::Peer;
use proto::raft_cmdpb::{
    self, AdminCmdType, AdminRequest, ChangePeerRequest, CmdType, CompactLogRequest, DeleteRequest,
    GetRequest, PutRequest, RaftCmdRequest, RaftRequestHeader, SnapRequest, SplitRequest,
};

use crate::message::{Admin, Header, Request};

fn header_record(header: &Header, peer: Peer) -> RaftRequestHeader {
    RaftRequestHeader {
        region_id: header.region.get(),
        peer: Some(peer),
        region_epoch: Some(header.epoch),
        term: header.term,
    }
}

/// A command on keys as the data of an entry.
pub(crate) fn encode_write(header: &Header, peer: Peer, requests: &[Request]) -> Bytes {
    let requests = requests.iter().map(to_record).collect();
    let header = Some(header_record(header, peer));
    RaftCmdRequest { header, requests, admin_request: None }.encode_to_vec().into()
}

fn to_record(request: &Request) -> raft_cmdpb::Request {
    let mut record = raft_cmdpb::Request::default();
    match request.clone() {
        Request::Put { cf, key, value } => {
            record.cmd_type = CmdType::Put.into();
            record.put = Some(PutRequest { cf: name(cf), key, value });
        }
        Request::Delete { cf, key } => {
            record.cmd_type = CmdType::Delete.into();
            record.delete = Some(DeleteRequest { cf: name(cf), key });
        }
        Request::Get { cf, key } => {
            record.cmd_type = CmdType::Get.into();
            record.get = Some(GetRequest { cf: name(cf), key });
        }
        Request::Snap => {
            record.cmd_type = CmdType::Snap.into();
            record.snap = Some(SnapRequest {});
        }
    }
    record
}

/// A family as entries name it: the default one needs no name.
fn name(cf: Cf) -> String {
    if cf == Cf::Default { String::new() } else { cf.name().to_owned() }
}

/// A family as clients name it; an empty name is the default one.
fn family(name: &str) -> Option<Cf> {
    if name.is_empty() { Some(Cf::Default) } else { Cf::from_name(name) }
}

/// Whether every engine takes these keys. A longer one must be refused before it reaches one, on every
/// replica alike.
pub(crate) fn has_sane_keys(requests: &[Request]) -> bool {
    requests.iter().filter_map(Request::key).all(|key| key.len() <= engine::MAX_KEY_BYTES)
}

/// The requests of an entry. `None` if one of them is nothing that this store knows.
pub(crate) fn decode_requests(records: &[raft_cmdpb::Request]) -> Option<Vec<Request>> {
    records.iter().map(from_record).collect()
}

fn from_record(record: &raft_cmdpb::Request) -> Option<Request> {
    match CmdType::try_from(record.cmd_type).ok()? {
        CmdType::Put => {
            let put = record.put.as_ref()?;
            let (key, value) = (put.key.clone(), put.value.clone());
            Some(Request::Put { cf: family(&put.cf)?, key, value })
        }
        CmdType::Delete => {
            let delete = record.delete.as_ref()?;
            Some(Request::Delete { cf: family(&delete.cf)?, key: delete.key.clone() })
        }
        CmdType::Get => {
            let get = record.get.as_ref()?;
            Some(Request::Get { cf: family(&get.cf)?, key: get.key.clone() })
        }
        CmdType::Snap => Some(Request::Snap),
        CmdType::Invalid => None,
    }
}

/// Whether an entry may change what the region is, and so what of the data belongs to it.
pub(crate) fn changes_region(entry: &Entry) -> bool {
    let command = || RaftCmdRequest::decode(entry.data.clone()).ok();
    entry.is_conf_change() || command().is_some_and(|command| command.admin_request.is_some())
}

/// A change of the region as the data of an entry. Changes of peers and leadership have other forms.
pub(crate) fn encode_admin(header: &Header, peer: Peer, admin: &Admin) -> Option<Bytes> {
    let mut record = AdminRequest::default();
    match admin {
        Admin::Split { key, new_region, new_peers } => {
            record.cmd_type = AdminCmdType::Split.into();
            record.split = Some(SplitRequest {
                split_key: key.clone(),
                new_region_id: new_region.get(),
                new_peer_ids: new_peers.clone(),
            });
        }
        Admin::CompactLog { index, term } => {
            record.cmd_type = AdminCmdType::CompactLog.into();
            record.compact_log =
                Some(CompactLogRequest { compact_index: *index, compact_term: *term });
        }
        Admin::ChangePeer { .. } | Admin::TransferLeader { .. } => return None,
    }
    Some(encode_record(header, peer, record))
}

fn encode_record(header: &Header, peer: Peer, record: AdminRequest) -> Bytes {
    let header = Some(header_record(header, peer));
    let command = RaftCmdRequest { header, requests: Vec::new(), admin_request: Some(record) };
    command.encode_to_vec().into()
}

/// A change of the peers, which Raft must understand as well: its part is the id, the rest travels as
/// the context.
pub(crate) fn encode_change_peer(
    header: &Header,
    own: Peer,
    change: ConfChangeType,
    peer: Peer,
) -> ConfChange {
    let record = AdminRequest {
        cmd_type: AdminCmdType::ChangePeer.into(),
        change_peer: Some(ChangePeerRequest { change_type: change.into(), peer: Some(peer) }),
        ..AdminRequest::default()
    };
    let context = encode_record(header, own, record);
    ConfChange { change_type: change.into(), node_id: peer.id, context }
}
