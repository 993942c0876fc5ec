//! The scheduler without its port.

use std::time::Duration;

use bytes::Bytes;
use criterion::Criterion;
use proto::metapb::{Cluster, Peer, Region, RegionEpoch, Store};
use runtime::Rng;
use runtime::clock::{Instant, SystemClock};
use scheduler::cluster::region::RegionInfo;
use scheduler::core::Core;
use scheduler::schedule::config::Config;
use scheduler::tso::{Time, Tso};

const REGIONS: u64 = 10_000;

/// One timestamp, the look at the clock included. A window that is used up is the next one at once.
pub(crate) fn timestamp(criterion: &mut Criterion) {
    let clock = SystemClock;
    let mut tso = Tso::new(Duration::from_secs(3));
    let time = Time::of(&clock);
    let end = tso.first_window(0, time);
    tso.opened(0, end, time);
    criterion.bench_function("scheduler/timestamp", |bencher| {
        bencher.iter(|| {
            let time = Time::of(&clock);
            if let Some(end) = tso.next_window(time) {
                tso.extended(end);
            }
            tso.take(1, time).expect("the window is open")
        });
    });
}

fn key(number: u64) -> Bytes {
    format!("t_{number:016}").into()
}

fn region(id: u64) -> RegionInfo {
    let peer = |place: u64| Peer { id: id * 3 + place, store_id: 1 + place };
    let meta = Region {
        id,
        start_key: if id == 1 { Bytes::new() } else { key(id) },
        end_key: if id == REGIONS { Bytes::new() } else { key(id + 1) },
        region_epoch: Some(RegionEpoch { conf_ver: 3, version: 1 }),
        peers: (0..3).map(peer).collect(),
    };
    let leader = meta.peers.first().copied();
    RegionInfo { size_mib: 96, ..RegionInfo::new(meta, leader) }
}

/// A region among ten thousand.
pub(crate) fn region_by_key(criterion: &mut Criterion) {
    let mut core = Core::new(Config::default(), Rng::new(1), Instant::default());
    core.cluster.meta = Some(Cluster { id: 1, max_peer_count: 3 });
    for id in 1..=3 {
        core.cluster.stores.put(Store { id, ..Store::default() }, Instant::default());
    }
    for id in 1..=REGIONS {
        core.report(region(id), Instant::default()).expect("it is new");
    }
    let mut rng = Rng::new(2);
    criterion.bench_function("scheduler/region by its key among 10,000", |bencher| {
        let next = || key(1 + rng.below(REGIONS));
        let find = |key: Bytes| core.cluster.regions.at(&key).is_some();
        bencher.iter_batched(next, find, criterion::BatchSize::SmallInput);
    });
}
