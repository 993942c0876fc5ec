//! The course's tests of lesson 3C; `docs/course.md` says which is which.

mod heartbeats {
    use std::sync::Arc;

    use bytes::Bytes;
    use proto::metapb::{self, Peer, Region, RegionEpoch};
    use runtime::Rng;
    use runtime::clock::Instant;

    use crate::cluster::Cluster;
    use crate::cluster::region::RegionInfo;
    use crate::error::Error;

    /// Regions of three peers each on stores 0 to 2, of which 1 to 3 are registered.
    struct Fixture {
        cluster: Cluster,
        regions: Vec<RegionInfo>,
    }

    fn regions(count: u8, replicas: u64) -> Vec<RegionInfo> {
        let region = |number: u8| {
            let id = u64::from(number);
            let peer = |place: u64| Peer {
                id: id * replicas + place,
                store_id: (id + place) % u64::from(count),
            };
            let peers: Vec<Peer> = (0..replicas).map(peer).collect();
            let meta = Region {
                id,
                start_key: Bytes::copy_from_slice(&[number]),
                end_key: Bytes::copy_from_slice(&[number + 1]),
                region_epoch: Some(RegionEpoch { conf_ver: 2, version: 2 }),
                peers: peers.clone(),
            };
            RegionInfo::new(meta, peers.first().copied())
        };
        (0..count).map(region).collect()
    }

    impl Fixture {
        fn new() -> Self {
            let mut cluster = Cluster::new(Instant::default());
            for id in 1..=3 {
                let store = metapb::Store { id, ..metapb::Store::default() };
                cluster.stores.put(store, Instant::default());
            }
            let regions = regions(3, 3);
            let mut fixture = Fixture { cluster, regions };
            for place in 0..3 {
                let region = fixture.regions[place].clone();
                fixture.cluster.report(region).unwrap();
                let so_far: Vec<RegionInfo> = fixture.regions[..=place].to_vec();
                fixture.check(&so_far);
            }
            fixture
        }

        /// Reports a change to each region, which must be taken over.
        fn report_each(&mut self, mut change: impl FnMut(&mut RegionInfo)) {
            for place in 0..self.regions.len() {
                let mut region = self.regions[place].clone();
                change(&mut region);
                self.cluster.report(region.clone()).unwrap();
                self.regions[place] = region;
                self.check(&self.regions);
            }
        }

        fn check(&self, expected: &[RegionInfo]) {
            check(&self.cluster, expected);
        }
    }

    fn check(cluster: &Cluster, expected: &[RegionInfo]) {
        assert_eq!(cluster.regions.len(), expected.len());
        for region in expected {
            assert_eq!(cluster.regions.get(region.id()).map(Arc::as_ref), Some(region));
            assert_eq!(cluster.regions.at(&region.meta.start_key).map(Arc::as_ref), Some(region));
        }
        for store in 0..5 {
            let held = expected.iter().filter(|region| region.peer_on(store).is_some());
            let leads = |region: &&RegionInfo| region.leader_store() == Some(store);
            let led: Vec<_> = expected.iter().filter(leads).collect();
            let lags =
                |region: &&RegionInfo| region.pending.iter().any(|peer| peer.store_id == store);
            let load = cluster.regions.load(store);
            assert_eq!(load.regions, held.clone().count() as u64, "store {store}");
            assert_eq!(load.leaders, led.len() as u64, "store {store}");
            assert_eq!(load.pending, expected.iter().filter(lags).count() as u64);
            assert_eq!(load.region_mib, held.map(|region| region.size_mib).sum::<u64>());
            assert_eq!(load.leader_mib, led.iter().map(|region| region.size_mib).sum::<u64>());
        }
    }

    fn epoch_plus(region: &mut RegionInfo, conf_ver: u64, version: u64) {
        let epoch = region.epoch();
        region.meta.region_epoch = Some(RegionEpoch {
            conf_ver: epoch.conf_ver + conf_ver,
            version: epoch.version + version,
        });
    }

    #[test]
    fn region_not_update() {
        Fixture::new().report_each(|_| {});
    }

    #[test]
    fn region_update_version() {
        Fixture::new().report_each(|region| epoch_plus(region, 0, 1));
    }

    #[test]
    fn region_with_stale_version() {
        let mut fixture = Fixture::new();
        let originals = fixture.regions.clone();
        fixture.report_each(|region| epoch_plus(region, 0, 1));
        for mut region in originals {
            epoch_plus(&mut region, 1, 0);
            let refused = fixture.cluster.report(region);
            assert!(matches!(refused, Err(Error::Stale { .. })), "{refused:?}");
            fixture.check(&fixture.regions);
        }
    }

    #[test]
    fn region_update_version_and_confver() {
        Fixture::new().report_each(|region| epoch_plus(region, 1, 1));
    }

    #[test]
    fn region_with_stale_conf_ver() {
        let mut fixture = Fixture::new();
        let originals = fixture.regions.clone();
        fixture.report_each(|region| epoch_plus(region, 1, 0));
        for region in originals {
            let refused = fixture.cluster.report(region);
            assert!(matches!(refused, Err(Error::Stale { .. })), "{refused:?}");
            fixture.check(&fixture.regions);
        }
    }

    #[test]
    fn region_add_pending_peer() {
        let mut rng = Rng::new(1);
        Fixture::new().report_each(|region| {
            region.pending = vec![*rng.pick(&region.meta.peers).unwrap()];
        });
    }

    #[test]
    fn region_remove_pending_peer() {
        let mut rng = Rng::new(1);
        let mut fixture = Fixture::new();
        fixture.report_each(|region| {
            region.pending = vec![*rng.pick(&region.meta.peers).unwrap()];
        });
        fixture.report_each(|region| region.pending.clear());
        for store in 1..=3 {
            assert_eq!(fixture.cluster.stores.get(store).unwrap().load.pending, 0);
        }
    }

    #[test]
    fn region_remove_peers() {
        Fixture::new().report_each(|region| region.meta.peers.truncate(1));
    }

    #[test]
    fn region_add_back_peers() {
        let mut fixture = Fixture::new();
        let mut originals = fixture.regions.clone();
        fixture.report_each(|region| region.meta.peers.truncate(1));
        originals.reverse();
        fixture.report_each(|region| *region = originals.pop().unwrap());
    }

    #[test]
    fn region_change_leader() {
        Fixture::new().report_each(|region| region.leader = Some(region.meta.peers[1]));
    }

    #[test]
    fn region_change_approximate_size() {
        Fixture::new().report_each(|region| region.size_mib = 144);
    }

    #[test]
    fn region_counts() {
        let fixture = Fixture::new();
        for store in 0..3 {
            assert_eq!(fixture.cluster.regions.load(store).regions, 3);
        }
    }

    #[test]
    fn region_get_regions() {
        let fixture = Fixture::new();
        let known: Vec<&RegionInfo> = fixture.cluster.regions.iter().map(Arc::as_ref).collect();
        assert_eq!(known, fixture.regions.iter().collect::<Vec<_>>());
    }

    #[test]
    fn region_get_stores() {
        let fixture = Fixture::new();
        for region in &fixture.regions {
            let leader = region.leader_store().unwrap();
            assert!(region.stores().all(|store| region.peer_on(store).is_some()));
            assert!(!region.follower_stores().contains(&leader));
            assert_eq!(region.follower_stores().len(), 2);
        }
    }

    #[test]
    fn region_get_stores_info() {
        let fixture = Fixture::new();
        for store in fixture.cluster.stores.iter() {
            assert_eq!(store.load, fixture.cluster.regions.load(store.id()));
        }
        assert_eq!(fixture.cluster.stores.get(1).unwrap().load.leaders, 1, "it was refreshed");
    }

    fn bare(id: u64, start: &'static str, end: &'static str, version: u64) -> RegionInfo {
        let meta = Region {
            id,
            start_key: Bytes::from_static(start.as_bytes()),
            end_key: Bytes::from_static(end.as_bytes()),
            region_epoch: Some(RegionEpoch { conf_ver: 1, version }),
            peers: Vec::new(),
        };
        RegionInfo::new(meta, None)
    }

    #[test]
    fn heartbeat_split() {
        let mut cluster = Cluster::new(Instant::default());
        let at = |cluster: &Cluster, key: &str| cluster.regions.at(key.as_bytes()).map(|r| r.id());
        cluster.report(bare(1, "", "", 1)).unwrap();
        assert_eq!(at(&cluster, "foo"), Some(1));

        // The right half is reported first, and then the left one.
        cluster.report(bare(2, "", "m", 1)).unwrap();
        assert_eq!((at(&cluster, "a"), at(&cluster, "z")), (Some(2), None));
        cluster.report(bare(1, "m", "", 2)).unwrap();
        assert_eq!(at(&cluster, "z"), Some(1));

        // And the other way round.
        cluster.report(bare(1, "q", "", 3)).unwrap();
        assert_eq!(["z", "a", "n"].map(|key| at(&cluster, key)), [Some(1), Some(2), None]);
        cluster.report(bare(3, "m", "q", 1)).unwrap();
        assert_eq!(at(&cluster, "n"), Some(3));
    }

    use crate::tests::regions::{merged, split};

    #[test]
    fn region_split_and_merge() {
        let mut cluster = Cluster::new(Instant::default());
        let mut regions = vec![bare(0, "", "", 0)];
        let mut report_all = |regions: &[RegionInfo]| {
            for region in regions {
                cluster.report(region.clone()).unwrap();
                let at = |key: &[u8]| cluster.regions.at(key).map(|found| found.id());
                assert_eq!(at(&region.meta.start_key), Some(region.id()));
                if let [end] = region.meta.end_key[..] {
                    assert_eq!(at(&[end - 1]), Some(region.id()));
                }
            }
            for region in regions {
                if let [end] = region.meta.end_key[..] {
                    let after = cluster.regions.at(&[end + 1]).map(|found| found.id());
                    assert_ne!(after, Some(region.id()));
                }
            }
        };
        for turn in 0..28 {
            let merges = if turn < 14 { turn >= 7 } else { (turn - 13) % 3 == 0 };
            regions = if merges { merged(&regions) } else { split(&regions) };
            report_all(&regions);
        }
        assert_eq!(cluster.regions.len(), regions.len());
    }

    /// The twin of the course's test over gRPC is `concurrent_handle_region` in `tests/service.rs`:
    /// this one is about the map alone.
    #[test]
    fn many_reports_cover_the_key_space() {
        let mut cluster = Cluster::new(Instant::default());
        let key = |number: u64| Bytes::from(format!("{number:5}"));
        for id in 0..2000 {
            let mut region = bare(id + 1, "", "", 1);
            region.meta.start_key = if id == 0 { Bytes::new() } else { key(id) };
            region.meta.end_key = if id == 1999 { Bytes::new() } else { key(id + 1) };
            cluster.report(region).unwrap();
        }
        assert_eq!(cluster.regions.len(), 2000);
        assert_eq!(cluster.regions.scan(b"", b"").count(), 2000);
    }
}

mod balance_region {
    use proto::metapb::StoreState;

    use crate::schedule::operator::Kind;
    use crate::tests::fixture::{World, assert_moves};

    const BALANCE: Kind = Kind::BALANCE;

    #[test]
    fn replicas1() {
        let mut world = World::new(1);
        for (store, regions) in [(1, 6), (2, 8), (3, 8), (4, 16)] {
            world.holds(store, regions);
        }
        world.put_new(1, &[4]);
        assert!(assert_moves(world.balance_region(), BALANCE, 4, 1), "with the leader");
        world.state(1, StoreState::Offline);
        world.holds(2, 6);
        assert!(assert_moves(world.balance_region(), BALANCE, 4, 2));
        world.set_replicas(3);
        assert!(world.balance_region().is_none(), "it has too few peers to be moved");
        world.set_replicas(1);
        assert!(world.balance_region().is_some());
    }

    #[test]
    fn replicas3() {
        let mut world = World::new(3);
        for (store, regions) in [(1, 16), (2, 15), (3, 14)] {
            world.holds(store, regions);
        }
        world.put_new(1, &[1, 2, 3]);
        assert!(world.balance_region().is_none(), "there is no other store");
        world.holds(4, 2);
        assert_moves(world.balance_region(), BALANCE, 1, 4);
        world.holds(5, 1);
        assert_moves(world.balance_region(), BALANCE, 1, 5);
        world.holds(6, 0);
        assert_moves(world.balance_region(), BALANCE, 1, 6);
        world.down(6);
        assert_moves(world.balance_region(), BALANCE, 1, 5);
        for store in [4, 5, 6] {
            world.down(store);
        }
        world.holds(7, 20);
        assert!(world.balance_region().is_none());
    }

    #[test]
    fn replicas5() {
        let mut world = World::new(5);
        for (store, regions) in [(1, 4), (2, 5), (3, 6), (4, 7), (5, 28)] {
            world.holds(store, regions);
        }
        world.put_new(1, &[1, 2, 3, 4, 5]);
        world.holds(6, 1);
        assert_moves(world.balance_region(), BALANCE, 5, 6);
        world.holds(7, 5);
        assert_moves(world.balance_region(), BALANCE, 5, 6);
        world.put_new(1, &[2, 3, 4, 5, 6]);
        assert_moves(world.balance_region(), BALANCE, 5, 1);
        for (store, regions) in [(11, 29), (12, 8), (13, 7)] {
            world.holds(store, regions);
        }
        world.put_new(1, &[2, 3, 11, 12, 13]);
        assert_moves(world.balance_region(), BALANCE, 11, 6);
    }

    #[test]
    fn replace_pending_region() {
        let mut world = World::new(3);
        for (store, regions) in [(1, 16), (2, 7), (3, 15), (4, 10)] {
            world.holds(store, regions);
        }
        world.put_new(1, &[1, 2, 3]);
        world.put_new(2, &[1, 2, 3]);
        let mut lagging = world.region(3, &[2, 1, 3]);
        lagging.pending = vec![*lagging.peer_on(1).unwrap()];
        world.put(lagging);
        assert_eq!(world.balance_region().unwrap().region, 3);
        assert_moves(world.balance_region(), BALANCE, 1, 4);
    }
}
