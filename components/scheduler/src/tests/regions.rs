//! The map of regions against what the course says of it, and against a model by chance.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use proto::metapb::{self, Peer, Region, RegionEpoch};
use runtime::Rng;
use runtime::clock::Instant;

use crate::cluster::Cluster;
use crate::cluster::region::RegionInfo;
use crate::cluster::regions::{Holds, Regions};
use crate::cluster::stores::Stores;

fn region(id: u64, start: &str, end: &str) -> RegionInfo {
    let (start, end) = (start.to_owned().into_bytes(), end.to_owned().into_bytes());
    let meta = Region { id, start_key: start.into(), end_key: end.into(), ..Region::default() };
    RegionInfo::new(meta, None)
}

/// Each region becomes two, in the middle of its first byte.
pub(super) fn split(regions: &[RegionInfo]) -> Vec<RegionInfo> {
    let count = regions.len() as u64;
    let mut out = Vec::new();
    for region in regions {
        let start = region.meta.start_key.first().copied().unwrap_or(0);
        let end = region.meta.end_key.first().copied().unwrap_or(255);
        let middle = Bytes::copy_from_slice(&[start / 2 + end / 2]);
        let mut epoch = region.epoch();
        epoch.version += 1;
        let (mut left, mut right) = (region.clone(), region.clone());
        left.meta.id += count;
        left.meta.end_key = middle.clone();
        left.meta.region_epoch = Some(epoch);
        right.meta.id += 2 * count;
        right.meta.start_key = middle;
        right.meta.region_epoch = Some(epoch);
        out.extend([left, right]);
    }
    out
}

/// Each two neighbours become one; a last one that is alone merges with itself.
pub(super) fn merged(regions: &[RegionInfo]) -> Vec<RegionInfo> {
    let count = regions.len() as u64;
    let merge = |pair: &[RegionInfo]| {
        let (left, right) = (&pair[0], pair.last().unwrap());
        let newer = if left.epoch().version > right.epoch().version { left } else { right };
        let mut merged = left.clone();
        merged.meta.id += count;
        merged.meta.end_key.clone_from(&right.meta.end_key);
        let RegionEpoch { conf_ver, version } = newer.epoch();
        merged.meta.region_epoch = Some(RegionEpoch { conf_ver, version: version + 1 });
        merged
    };
    regions.chunks(2).map(merge).collect()
}

fn at(regions: &Regions, key: &str) -> Option<u64> {
    regions.at(key.as_bytes()).map(|region| region.id())
}

fn before(regions: &Regions, key: &str) -> Option<u64> {
    regions.before(key.as_bytes()).map(|region| region.id())
}

#[test]
fn the_tree_finds_by_key_and_knows_neighbours() {
    let mut regions = Regions::default();
    assert_eq!(at(&regions, "a"), None);
    regions.put(Arc::new(region(1, "a", "b")));
    regions.put(Arc::new(region(3, "c", "d")));
    let found = ["", "a", "b", "c", "d"].map(|key| at(&regions, key));
    assert_eq!(found, [None, Some(1), None, Some(3), None]);
    assert_eq!(["a", "b", "c"].map(|key| before(&regions, key)), [None; 3], "none is adjacent");

    regions.put(Arc::new(region(2, "b", "c")));
    assert_eq!((before(&regions, "c"), before(&regions, "b")), (Some(2), Some(1)));
    regions.remove(3);
    regions.put(Arc::new(region(4, "d", "")));
    let found = ["", "a", "b", "c", "d", "e"].map(|key| at(&regions, key));
    assert_eq!(found, [None, Some(1), Some(2), None, Some(4), Some(4)]);

    regions.put(Arc::new(region(10, "", "a")));
    assert!(regions.remove(123).is_none(), "another id, though somebody lies there");
    let evicted = regions.put(Arc::new(region(11, "", "d")));
    assert_eq!(evicted.iter().map(|region| region.id()).collect::<Vec<_>>(), [10, 1, 2]);
    assert_eq!(["", "a", "c"].map(|key| at(&regions, key)), [Some(11); 3]);
    regions.put(Arc::new(region(5, "e", "")));
    assert_eq!((at(&regions, "d"), at(&regions, "e")), (None, Some(5)));
}

#[test]
fn a_split_and_merged_tree_covers_all_keys() {
    let mut known = Regions::default();
    let mut regions = vec![region(0, "", "")];
    for turn in 0..28 {
        let merges = if turn < 14 { turn >= 7 } else { (turn - 13) % 3 == 0 };
        regions = if merges { merged(&regions) } else { split(&regions) };
        for region in &regions {
            known.put(Arc::new(region.clone()));
            assert_eq!(known.at(&region.meta.start_key).unwrap().id(), region.id());
        }
        assert_eq!(known.len(), regions.len());
    }
}

/// Ten regions of three peers on ten stores.
fn ten() -> Vec<RegionInfo> {
    let region = |number: u8| {
        let id = u64::from(number);
        let peer = |place: u64| Peer { id: id * 3 + place, store_id: (id + place) % 10 };
        let peers: Vec<Peer> = (0..3).map(peer).collect();
        let meta = Region {
            id,
            start_key: vec![number].into(),
            end_key: vec![number + 1].into(),
            region_epoch: None,
            peers: peers.clone(),
        };
        RegionInfo::new(meta, Some(peers[0]))
    };
    (0..10).map(region).collect()
}

#[test]
fn regions_are_added_replaced_and_removed_everywhere() {
    let mut known = Regions::default();
    for (place, original) in ten().into_iter().enumerate() {
        let key = [u8::try_from(place).unwrap()];
        assert!(known.get(original.id()).is_none() && known.at(&key).is_none());
        known.put(Arc::new(original.clone()));
        assert_eq!(known.at(&key).map(Arc::as_ref), Some(&original));
        let previous = known.before(&key).map(|region| region.id());
        assert_eq!(previous, original.id().checked_sub(1));

        let mut led = original.clone();
        led.leader = Some(led.meta.peers[2]);
        let leaders = |known: &Regions| known.load(original.meta.peers[2].store_id).leaders;
        let before = leaders(&known);
        known.put(Arc::new(led.clone()));
        assert_eq!(known.get(led.id()).map(Arc::as_ref), Some(&led));
        assert_eq!(leaders(&known), before + 1);
        assert!(known.remove(led.id()).is_some() && known.get(led.id()).is_none());
        assert_eq!(leaders(&known), before);
        known.put(Arc::new(original));
    }
    let mut rng = Rng::new(1);
    for store in 0..10 {
        let healthy = RegionInfo::is_healthy;
        let led = known.any(store, Holds::Leader, &mut rng, healthy).unwrap();
        assert_eq!(led.leader_store(), Some(store));
        let followed = known.any(store, Holds::Follower, &mut rng, healthy).unwrap();
        assert!(followed.peer_on(store).is_some() && followed.leader_store() != Some(store));
    }
    let mut wide = ten().pop().unwrap();
    wide.meta.start_key = vec![8].into();
    known.put(Arc::new(wide));
    assert!(known.get(8).is_none() && known.get(9).is_some());
    for mut lagging in ten().into_iter().filter(|region| region.id() < 8) {
        lagging.pending.clone_from(&lagging.meta.peers);
        known.put(Arc::new(lagging));
    }
    for store in 0..8 {
        assert!(known.any(store, Holds::Leader, &mut rng, RegionInfo::is_healthy).is_none());
    }
}

#[test]
fn a_region_answers_about_its_peers() {
    let mut region = ten().remove(0);
    region.pending = vec![region.meta.peers[1]];
    assert_eq!(
        (0..4).map(|s| region.peer_on(s).is_some()).collect::<Vec<_>>(),
        [true, true, true, false]
    );
    assert!(region.is_pending(1) && !region.is_pending(3) && !region.is_healthy());
    assert_eq!(region.stores().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(region.follower_stores(), [1, 2]);
}

#[test]
fn a_store_is_blocked_once_and_given_back() {
    let mut stores = Stores::default();
    for id in 1..=10 {
        assert!(stores.get(id).is_none() && stores.block(id).is_err());
        let store = metapb::Store { id, ..metapb::Store::default() };
        stores.put(store.clone(), Instant::default());
        assert_eq!(stores.get(id).map(|known| &known.meta), Some(&store));
        assert_eq!(stores.len() as u64, id);
        assert!(stores.block(id).is_ok() && stores.get(id).unwrap().is_blocked);
        assert!(stores.block(id).is_err());
        assert!(stores.unblock(id).is_ok() && !stores.get(id).unwrap().is_blocked);
    }
}

/// Random reports, and beside them the plainest model there is: a list.
fn reports() -> impl Strategy<Value = Vec<(u64, u8, u8, u64, u64)>> {
    let report = (1u64..8, 0u8..6, 1u8..7, 0u64..5, 0u64..3);
    proptest::collection::vec(report, 1..60)
}

proptest! {
    #[test]
    fn no_older_report_wins_and_no_two_regions_overlap(reports in reports()) {
        let mut cluster = Cluster::new(Instant::default());
        let mut model: Vec<RegionInfo> = Vec::new();
        for (id, start, length, version, conf_ver) in reports {
            let meta = Region {
                id,
                start_key: vec![start].into(),
                end_key: vec![start + length].into(),
                region_epoch: Some(RegionEpoch { conf_ver, version }),
                peers: vec![Peer { id, store_id: id % 3 }],
            };
            let region = RegionInfo::new(meta, None);
            let overlaps = |other: &RegionInfo| {
                other.meta.overlaps(&region.meta.start_key, &region.meta.end_key)
            };
            let is_older = |other: &RegionInfo| {
                version < other.epoch().version || conf_ver < other.epoch().conf_ver
            };
            let concerned = |other: &&RegionInfo| other.id() == id || overlaps(other);
            let is_stale = model.iter().filter(concerned).any(is_older);
            let report = cluster.report(region.clone());
            prop_assert_eq!(report.is_err(), is_stale);
            if !is_stale {
                model.retain(|other| other.id() != id && !overlaps(other));
                model.push(region);
            }
            model.sort_by_key(RegionInfo::id);
            let known: Vec<RegionInfo> = cluster.regions.iter().map(|r| r.as_ref().clone()).collect();
            prop_assert_eq!(&known, &model);
            for key in 0..13 {
                let expected = model.iter().find(|region| region.meta.contains(&[key]));
                prop_assert_eq!(cluster.regions.at(&[key]).map(Arc::as_ref), expected);
            }
            for store in 0..3 {
                let held = model.iter().filter(|region| region.peer_on(store).is_some()).count();
                prop_assert_eq!(cluster.regions.load(store).regions, held as u64);
            }
        }
    }
}
