//! Which messages between stores do not arrive.

use std::collections::BTreeSet;

use proto::StoreId;
use runtime::Rng;

/// A reason for a message to be lost. Clients and the scheduler reach every store all the time.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    /// Nothing passes between a store of the one side and one of the other. A store that is on neither
    /// side hears everybody.
    Partition(BTreeSet<StoreId>, BTreeSet<StoreId>),
    /// About a tenth is lost, whoever sends it.
    Lossy,
}

/// Of a thousand messages so many are lost.
const LOST_PER_MILLE: u64 = 101;

impl Filter {
    /// Parts stores from stores.
    pub(crate) fn partition(
        one: impl IntoIterator<Item = StoreId>,
        other: impl IntoIterator<Item = StoreId>,
    ) -> Self {
        Filter::Partition(one.into_iter().collect(), other.into_iter().collect())
    }

    /// Whether it lets a message through.
    pub(crate) fn passes(&self, from: StoreId, to: StoreId, rng: &mut Rng) -> bool {
        match self {
            Filter::Partition(one, other) => {
                let crosses = |from, to| one.contains(&from) && other.contains(&to);
                !crosses(from, to) && !crosses(to, from)
            }
            Filter::Lossy => !rng.chance(LOST_PER_MILLE, 1000),
        }
    }
}

#[test]
fn a_partition_stops_both_directions_and_a_lossy_network_some_messages() {
    let mut rng = Rng::new(1);
    let [a, b, c] = [1, 2, 3].map(StoreId::new);
    let partition = Filter::partition([a], [b]);
    let passes = [(a, b), (b, a), (a, c), (c, b)].map(|(x, y)| partition.passes(x, y, &mut rng));
    assert_eq!(passes, [false, false, true, true]);
    let lost = (0..10_000).filter(|_| !Filter::Lossy.passes(a, b, &mut rng)).count();
    assert!((900..1_120).contains(&lost), "{lost}");
}
