//! No removal that the scheduler asks for leaves a region without a majority that works.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::metapb::{Peer, Region};

use super::{Property, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "no removal costs a region its majority",
    source: "O3 in components/scheduler/src/schedule/controller.rs",
};

/// When each store was last seen to run.
#[derive(Debug, Default)]
pub(crate) struct Majority {
    seen: BTreeMap<u64, Duration>,
}

impl Majority {
    /// The store runs.
    pub(crate) fn see(&mut self, store: u64, now: Duration) {
        self.seen.insert(store, now);
    }

    /// The scheduler asks for the removal of `gone`. Nobody can expect it to know of a store that failed
    /// a moment ago, so one that ran within `patience` counts; a peer counts only if it has data, which
    /// it does not lose again.
    pub(crate) fn check(
        &self,
        (region, gone): (&Region, &Peer),
        (now, patience): (Duration, Duration),
        has_data: impl Fn(&Peer) -> Verdict<bool>,
    ) -> Verdict {
        let left: Vec<&Peer> = region.peers.iter().filter(|peer| peer.id != gone.id).collect();
        let mut well = Vec::new();
        for peer in &left {
            let is_up = self.seen.get(&peer.store_id).is_some_and(|seen| *seen + patience >= now);
            if is_up && has_data(peer)? {
                well.push(peer.id);
            }
        }
        PROPERTY.require(well.len() > left.len() / 2, || {
            format!("without {gone:?}, only {well:?} of {left:?} work in region {}", region.id)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_are_left_both_must_run_and_have_data() {
        let peers: Vec<Peer> = (1..=3).map(|id| Peer { id, store_id: id }).collect();
        let region = Region::new(1.into(), "", "").with_peers(peers.iter().copied());
        let [second, patience] = [1, 5].map(Duration::from_secs);
        let mut checks = Majority::default();
        (1..=3).for_each(|store| checks.see(store, second));
        checks.see(3, 9 * second);
        let check = |now: u32, empty: u64| {
            let has_data = |peer: &Peer| Ok(peer.id != empty);
            checks.check((&region, &peers[0]), (now * second, patience), has_data).is_ok()
        };
        assert!(check(6, 0), "store 2 failed just now");
        assert!(!check(7, 0), "store 2 has been down for long");
        assert!(!check(6, 3), "the new peer has no data yet");
        assert!(check(6, 1), "whether the one that goes has data is of no interest");
    }
}
