//! The store's own keys, all in the family `local` of one of the two engines.
//!
//! | engine | key | value |
//! |---|---|---|
//! | kv | `01 01` | [`Region`](proto::metapb::Region): the first region, while it is being bootstrapped |
//! | kv | `01 02` | [`StoreIdent`](proto::raft_serverpb::StoreIdent): whose disk this is |
//! | raft | `01 02 region 01 index` | [`Entry`](proto::eraftpb::Entry): the log |
//! | raft | `01 02 region 02` | [`RaftLocalState`](proto::raft_serverpb::RaftLocalState): its end, term and vote |
//! | raft | `01 02 region 04` | [`Region`](proto::metapb::Region): for whom a message created this log |
//! | raft | `01 02 region 06` | [`RaftTruncatedState`](proto::raft_serverpb::RaftTruncatedState): the snapshot that this log follows |
//! | kv | `01 02 region 03` | [`RaftApplyState`](proto::raft_serverpb::RaftApplyState): how much of it is in the data |
//! | kv | `01 02 region 05` | [`InstallMarker`](crate::state::InstallMarker): a snapshot is being installed |
//! | kv | `01 03 region 01` | [`RegionLocalState`](proto::raft_serverpb::RegionLocalState): the region, or its tombstone |
//!
//! Numbers are eight bytes, big-endian, so that keys are ordered by region and then by index. The
//! keys with `04`, `05` and `06` are ours, all others are TinyKV's.

use bytes::Bytes;
use proto::RegionId;

/// The first byte of every local key.
const LOCAL: u8 = 0x01;
/// What belongs to the log of a region.
const REGION_RAFT: u8 = 0x02;
/// What a region is.
const REGION_META: u8 = 0x03;

const RAFT_LOG: u8 = 0x01;
const RAFT_STATE: u8 = 0x02;
const APPLY_STATE: u8 = 0x03;
const RAFT_OWNER: u8 = 0x04;
const INSTALL: u8 = 0x05;
const RAFT_BASE: u8 = 0x06;
const REGION_STATE: u8 = 0x01;

/// The first region of a cluster, from before the scheduler is asked until it has agreed.
pub const PREPARE_BOOTSTRAP: &[u8] = &[LOCAL, 0x01];

/// Whose disk this is.
pub const STORE_IDENT: &[u8] = &[LOCAL, 0x02];

fn region_key(kind: u8, region: RegionId, suffix: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(19);
    key.extend([LOCAL, kind]);
    key.extend(region.get().to_be_bytes());
    key.push(suffix);
    key
}

/// One entry of a region's log.
pub fn raft_log(region: RegionId, index: u64) -> Bytes {
    let mut key = region_key(REGION_RAFT, region, RAFT_LOG);
    key.extend(index.to_be_bytes());
    key.into()
}

/// The end of a region's log, with the term and the vote of its peer.
pub fn raft_state(region: RegionId) -> Bytes {
    region_key(REGION_RAFT, region, RAFT_STATE).into()
}

/// For which peer a message created the log of a region that this store does not have yet.
pub fn raft_owner(region: RegionId) -> Bytes {
    region_key(REGION_RAFT, region, RAFT_OWNER).into()
}

/// The snapshot that the log of a region follows, if it began with one.
pub fn raft_base(region: RegionId) -> Bytes {
    region_key(REGION_RAFT, region, RAFT_BASE).into()
}

/// How much of the log is in the data.
pub fn apply_state(region: RegionId) -> Bytes {
    region_key(REGION_RAFT, region, APPLY_STATE).into()
}

/// That a snapshot is being installed.
pub fn install_marker(region: RegionId) -> Bytes {
    region_key(REGION_RAFT, region, INSTALL).into()
}

/// The region itself, or its tombstone.
pub fn region_state(region: RegionId) -> Bytes {
    region_key(REGION_META, region, REGION_STATE).into()
}

/// All keys of regions' states, as a range.
pub fn region_states() -> (Bytes, Bytes) {
    (Bytes::from_static(&[LOCAL, REGION_META]), Bytes::from_static(&[LOCAL, REGION_META + 1]))
}

/// All records of the kv engine about how regions were applied and installed, as a range.
pub fn region_records() -> (Bytes, Bytes) {
    (Bytes::from_static(&[LOCAL, REGION_RAFT]), Bytes::from_static(&[LOCAL, REGION_META]))
}

/// All keys of a region in the raft engine, as a range.
pub fn raft_range(region: RegionId) -> (Bytes, Bytes) {
    (region_key(REGION_RAFT, region, 0).into(), region_key(REGION_RAFT, region, u8::MAX).into())
}

/// The region whose state is under this key, if one is.
pub fn region_of_state(key: &[u8]) -> Option<RegionId> {
    let [LOCAL, REGION_META, number @ .., REGION_STATE] = key else { return None };
    Some(RegionId::new(u64::from_be_bytes(number.try_into().ok()?)))
}

/// The region whose install marker is under this key, if one is.
pub fn region_of_install(key: &[u8]) -> Option<RegionId> {
    let [LOCAL, REGION_RAFT, number @ .., INSTALL] = key else { return None };
    Some(RegionId::new(u64::from_be_bytes(number.try_into().ok()?)))
}

/// The place in the log of the entry under this key, if one is.
pub fn index_of_entry(key: &[u8]) -> Option<u64> {
    let [LOCAL, REGION_RAFT, numbers @ ..] = key else { return None };
    let (_region, rest) = numbers.split_first_chunk::<8>()?;
    let [RAFT_LOG, index @ ..] = rest else { return None };
    Some(u64::from_be_bytes(index.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: RegionId = RegionId::new(0x0102);

    #[test]
    fn keys_are_those_of_the_original() {
        let number = [0, 0, 0, 0, 0, 0, 1, 2];
        let with = |head: &[u8], tail: &[u8]| [head, &number, tail].concat();
        assert_eq!(
            raft_log(REGION, 7),
            [with(&[1, 2], &[1]), vec![0, 0, 0, 0, 0, 0, 0, 7]].concat()
        );
        assert_eq!(raft_log(REGION, 7).len(), 19);
        assert_eq!(raft_state(REGION), with(&[1, 2], &[2]));
        assert_eq!(apply_state(REGION), with(&[1, 2], &[3]));
        assert_eq!(region_state(REGION), with(&[1, 3], &[1]));
        assert_eq!((PREPARE_BOOTSTRAP, STORE_IDENT), (&[1, 1][..], &[1, 2][..]));
    }

    #[test]
    fn keys_read_back_and_ranges_hold_what_they_name() {
        assert_eq!(region_of_state(&region_state(REGION)), Some(REGION));
        assert_eq!(index_of_entry(&raft_log(REGION, 9)), Some(9));
        assert_eq!(region_of_state(&raft_state(REGION)), None);
        assert_eq!(index_of_entry(&raft_state(REGION)), None);
        for junk in [&b""[..], b"\x01", b"\x01\x03", b"\x01\x03short\x01"] {
            assert_eq!((region_of_state(junk), index_of_entry(junk)), (None, None), "{junk:?}");
        }

        let (start, end) = region_states();
        let state = region_state(RegionId::new(u64::MAX));
        assert!(start <= state && state < end);
        let (start, end) = raft_range(REGION);
        for key in [
            raft_log(REGION, 0),
            raft_log(REGION, u64::MAX),
            raft_state(REGION),
            raft_owner(REGION),
        ] {
            assert!(start <= key && key < end, "{key:?}");
        }
        assert!(end < raft_log(RegionId::new(0x0103), 0));
    }
}
