//! The network between the stores: who can reach whom, and how long that takes.
//!
//! Each ordered pair of stores is a link of its own, because real networks fail one way at a time. What
//! is cut is asked both when a message leaves and when it arrives.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use proto::raft_serverpb::RaftMessage;
use runtime::Rng;

use super::settings::{Settings, draw};

/// Whether a message may pass.
type Filter = Box<dyn FnMut(&RaftMessage) -> bool>;

/// All links.
#[derive(Default)]
pub struct Network {
    cut: BTreeSet<(u64, u64)>,
    filter: Option<Filter>,
    /// When the last message of each link arrives, where they keep their order.
    last: BTreeMap<(u64, u64), Duration>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Network(cut: {:?})", self.cut)
    }
}

impl Network {
    /// Cuts one direction between two stores, or mends it.
    pub fn set_cut(&mut self, from: u64, to: u64, is_cut: bool) {
        if is_cut {
            self.cut.insert((from, to));
        } else {
            self.cut.remove(&(from, to));
        }
    }

    /// Cuts everything between two groups of stores, in both directions.
    pub fn partition(&mut self, one: &[u64], other: &[u64]) {
        for (from, to) in one.iter().flat_map(|from| other.iter().map(move |to| (*from, *to))) {
            self.set_cut(from, to, true);
            self.set_cut(to, from, true);
        }
    }

    /// Mends all links and lets every message pass.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.filter = None;
    }

    /// From now on messages pass only if `may_pass` says so. Asked when they leave.
    pub fn set_filter(&mut self, may_pass: impl FnMut(&RaftMessage) -> bool + 'static) {
        self.filter = Some(Box::new(may_pass));
    }

    /// Whether messages go this way.
    pub fn is_cut(&self, from: u64, to: u64) -> bool {
        self.cut.contains(&(from, to))
    }

    /// When a message that leaves now arrives, each time that it does; never if it is lost.
    pub(crate) fn arrivals(
        &mut self,
        message: &RaftMessage,
        settings: &Settings,
        now: Duration,
        rng: &mut Rng,
    ) -> Vec<Duration> {
        let link = ends(message);
        let may_pass = self.filter.as_mut().is_none_or(|filter| filter(message));
        if !may_pass || self.cut.contains(&link) || rng.chance(settings.loss, 1000) {
            return Vec::new();
        }
        let mut arrivals = vec![now + draw(rng, &settings.latency)];
        if !settings.is_reordering {
            let last = self.last.entry(link).or_default();
            arrivals[0] = arrivals[0].max(*last);
            *last = arrivals[0];
        }
        if rng.chance(settings.duplicates, 1000) {
            arrivals.push(arrivals[0] + draw(rng, &settings.latency) * 4);
        }
        if rng.chance(settings.stragglers, 1000) {
            arrivals.push(now + draw(rng, &(Duration::ZERO..Duration::from_secs(30))));
        }
        arrivals
    }
}

/// From which store to which one a message goes.
pub(crate) fn ends(message: &RaftMessage) -> (u64, u64) {
    let store = |peer: Option<proto::metapb::Peer>| peer.map_or(0, |peer| peer.store_id);
    (store(message.from_peer), store(message.to_peer))
}

#[cfg(test)]
mod tests {
    use proto::metapb::Peer;

    use super::*;

    #[test]
    fn a_cut_goes_one_way_and_a_partition_both() {
        let message = |from, to| RaftMessage {
            from_peer: Some(Peer { id: from, store_id: from }),
            to_peer: Some(Peer { id: to, store_id: to }),
            ..RaftMessage::default()
        };
        let settings = Settings::calm(raftstore::Config::default());
        let (mut network, mut rng) = (Network::default(), Rng::new(1));
        let mut arrives = |network: &mut Network, from, to| {
            let now = Duration::ZERO;
            !network.arrivals(&message(from, to), &settings, now, &mut rng).is_empty()
        };
        network.set_cut(1, 2, true);
        assert!(!arrives(&mut network, 1, 2) && arrives(&mut network, 2, 1));
        network.partition(&[1], &[3]);
        assert!(!arrives(&mut network, 1, 3) && !arrives(&mut network, 3, 1));
        network.heal();
        network.set_filter(|message| message.to_peer.is_some_and(|peer| peer.store_id != 3));
        assert!(arrives(&mut network, 1, 2) && !arrives(&mut network, 1, 3));
    }
}
