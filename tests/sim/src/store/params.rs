//! The swarm: what kind of world a seed makes.
//!
//! One set of probabilities, however well chosen, would visit one neighbourhood for ever. So each seed
//! first draws its own: the settings of the stores, how slow everything is, what goes wrong and how often.

use std::time::Duration;

use raftstore::Config;
use raftstore::snapshot::Limits;
use runtime::Rng;
use runtime::units::{Bytes, Period};

use super::settings::{Settings, micros};
use super::workload::Rates;

/// Everything that is fixed for one run.
#[derive(Clone, Debug)]
pub(crate) struct Params {
    pub(crate) settings: Settings,
    pub(crate) rates: Rates,
    /// How many stores there are, and how many of them have the first region.
    pub(crate) stores: u64,
    pub(crate) members: u64,
    /// How long anything may go wrong.
    pub(crate) length: Duration,
    /// The time between two faults, at most, and how often each kind comes.
    pub(crate) fault_pace: Duration,
    pub(crate) faults: [u64; 11],
    /// The time between two operators, at most, and how often each kind comes.
    pub(crate) operator_pace: Duration,
    pub(crate) operators: [u64; 4],
}

fn pick(rng: &mut Rng, values: &[u64]) -> u64 {
    *rng.pick(values).expect("the lists here are not empty")
}

fn small(value: u64) -> u32 {
    u32::try_from(value).expect("a small number")
}

fn size(value: u64) -> usize {
    usize::try_from(value).expect("a small number")
}

/// Weights: a third of the kinds hardly ever come.
fn weights<const N: usize>(rng: &mut Rng, most: [u64; N]) -> [u64; N] {
    most.map(|most| {
        let (drawn, is_rare) = (rng.range(1..most + 2), rng.chance(1, 3));
        if is_rare { u64::from(most > 0) } else { drawn }
    })
}

impl Params {
    /// The world of a seed.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let stores = pick(rng, &[1, 2, 3, 3, 3, 4, 4, 5, 5, 5, 6, 7]);
        let members = pick(rng, &[1, 3, 3, 5]).min(stores);
        let settings = settings(rng);
        let tick = settings.config.tick.get();
        let election = tick * settings.config.election_ticks;
        Params {
            settings,
            rates: Rates {
                keys: size(pick(rng, &[4, 8, 16, 16, 24, 40])),
                padding: pick(rng, &[0, 10, 40, 100]),
                pace: tick * small(pick(rng, &[1, 1, 2, 8])) / 4,
                thinking: election * small(pick(rng, &[0, 1, 1, 3, 10])),
                weights: weights(rng, [30, 30, 15, 15, 30, 10]),
            },
            stores,
            members,
            length: election * small(pick(rng, &[40, 80, 160])),
            fault_pace: election * small(pick(rng, &[2, 4, 10, 20])),
            faults: weights(rng, [20, 5, 5, 15, 20, 20, 10, 10, 10, 5, 20]),
            operator_pace: election * small(pick(rng, &[1, 1, 2, 5])),
            operators: weights(rng, [20, 20, 20, 10]),
        }
    }
}

fn settings(rng: &mut Rng) -> Settings {
    let config = config(rng);
    let tick = config.tick.get();
    let (max, split) = (tick.as_micros(), tick.as_micros() / 2);
    let [tick, half] = [max, split].map(|time| u64::try_from(time).expect("a tick is short"));
    let limits = Limits {
        space_bytes: pick(rng, &[64 << 10, 1 << 20, 1 << 30]),
        builds: small(pick(rng, &[1, 2, 8])),
        sends: small(pick(rng, &[1, 2, 8])),
        receives: small(pick(rng, &[1, 2, 8])),
        age: config.snapshot_age_max.get(),
    };
    let slow = [tick / 50, tick / 10, tick / 2, 2 * tick];
    Settings {
        snapshots: limits,
        queues: (size(pick(rng, &[1, 4, 256])), size(pick(rng, &[16, 64, 4096]))),
        skew: pick(rng, &[0, 0, 10, 25]),
        latency: micros(10..pick(rng, &[tick / 20, tick / 5, half, tick, 3 * tick])),
        is_reordering: rng.chance(1, 2),
        loss: pick(rng, &[0, 0, 10, 50, 100, 200]),
        duplicates: pick(rng, &[0, 0, 10, 50, 200]),
        stragglers: pick(rng, &[0, 0, 1, 10]),
        freight: micros(100..pick(rng, &[tick, 5 * tick, 30 * tick])),
        damage: pick(rng, &[0, 0, 10, 30]),
        turn: micros(1..pick(rng, &[tick / 100, tick / 100, tick / 10, tick])),
        tick_delay: micros(0..pick(rng, &[1, 1, tick / 4, tick])),
        apply: micros(1..pick(rng, &[slow[0], slow[0], slow[1], slow[2], slow[3]])),
        region: micros(1..pick(rng, &[slow[0], slow[1], slow[2], 20 * slow[3]])),
        scheduler: micros(1..pick(rng, &[slow[0], slow[1], slow[2], slow[3]])),
        config,
    }
}

fn config(rng: &mut Rng) -> Config {
    let millis = pick(rng, &[10, 20, 50]);
    let period = |ticks: u64| Period::millis(millis * ticks);
    let election_ticks = small(rng.range(6..14));
    let (max, split) = *rng
        .pick(&[(300, 200), (300, 200), (1000, 600), (1 << 30, 1 << 29)])
        .expect("the list is not empty");
    let entry = 8 << 10;
    let config = Config {
        tick: period(1),
        heartbeat_ticks: small(rng.range(1..1 + u64::from(election_ticks - 1) / 2)),
        election_ticks,
        log_gc_period: period(pick(rng, &[5, 10, 20])),
        log_gc_count: pick(rng, &[5, 10, 20, 50, 100_000]),
        entry_size_max: Bytes::new(entry),
        split_check_period: period(pick(rng, &[2, 10, 50])),
        region_size_max: Bytes::new(max),
        region_size_split: Bytes::new(split),
        region_heartbeat_period: period(pick(rng, &[3, 10, 40])),
        store_heartbeat_period: period(20),
        leader_missing_period: period(pick(rng, &[20, 50, 100])),
        snapshot_gc_period: period(pick(rng, &[5, 50])),
        snapshot_age_max: period(pick(rng, &[20, 100, 300])),
        snapshot_period_max: period(pick(rng, &[20, 60])),
        inbox_size: small(pick(rng, &[16, 64, 16_384])),
        applying_size_max: Bytes::new(pick(rng, &[entry, 1 << 20])),
        proposing_size_max: Bytes::new(pick(rng, &[entry, 1 << 20])),
        entry_cache_size: Bytes::new(pick(rng, &[0, 1000, 1 << 20])),
        lease_reads: rng.chance(7, 8),
        ..Config::default()
    };
    assert_eq!(config.validate(), Vec::<String>::new(), "{config:?}");
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_makes_the_same_world_and_another_one_another() {
        let world = |seed| format!("{:?}", Params::draw(&mut Rng::new(seed)));
        assert_eq!(world(1), world(1));
        assert_ne!(world(1), world(2));
    }
}
