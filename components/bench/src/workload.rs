//! What clients do: one operation after the other, drawn from a mix.
//!
//! | workload | of a hundred operations | keys |
//! |---|---|---|
//! | put, get, scan | all the same | uniform |
//! | mixed | 50 gets, 50 puts | uniform |
//! | ycsb-a | 50 gets, 50 puts | zipfian |
//! | ycsb-b | 95 gets, 5 puts | zipfian |
//! | ycsb-c | 100 gets | zipfian |
//! | ycsb-d | 95 gets, 5 inserts | latest |
//! | ycsb-e | 95 scans of 1 to 100 rows, 5 inserts | zipfian |
//! | ycsb-f | 50 gets, 50 read-modify-writes | zipfian |
//! | rmw | 100 read-modify-writes | uniform |
//! | pairs | 100 transactions that write two keys | uniform |
//! | bank | 100 transfers between two accounts, and the total is checked at the end | uniform |
//! | timestamps | 100 timestamps | |
//!
//! A read-modify-write without transactions is a get and a put, and not atomic.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use clap::ValueEnum;
use runtime::Rng;

use crate::keys::{Chooser, Distribution};

/// The longest scan of YCSB's workload E.
const SHORT_SCAN_MAX: u64 = 100;

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    Put,
    Get,
    Mixed,
    Scan,
    YcsbA,
    YcsbB,
    YcsbC,
    YcsbD,
    YcsbE,
    YcsbF,
    Rmw,
    Pairs,
    Bank,
    Timestamps,
}

impl Workload {
    /// As on the command line.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value().expect("no workload is hidden");
        value.get_name().to_owned()
    }

    /// Whether it is nothing without transactions.
    pub(crate) fn needs_transactions(self) -> bool {
        matches!(self, Workload::Pairs | Workload::Bank)
    }

    /// Whether it asks for keys that must be there before.
    pub(crate) fn needs_keys(self) -> bool {
        !matches!(self, Workload::Put | Workload::Pairs | Workload::Bank | Workload::Timestamps)
    }

    fn distribution(self) -> Distribution {
        match self {
            Workload::Put
            | Workload::Get
            | Workload::Mixed
            | Workload::Scan
            | Workload::Rmw
            | Workload::Pairs
            | Workload::Bank
            | Workload::Timestamps => Distribution::Uniform,
            Workload::YcsbD => Distribution::Latest,
            Workload::YcsbA
            | Workload::YcsbB
            | Workload::YcsbC
            | Workload::YcsbE
            | Workload::YcsbF => Distribution::Zipfian,
        }
    }

    /// Of a hundred operations, how many are of which kind; the last one gets what is left.
    fn mix(self) -> &'static [(u64, Kind)] {
        match self {
            Workload::Put => &[(100, Kind::Put)],
            Workload::Get | Workload::YcsbC => &[(100, Kind::Get)],
            Workload::Mixed | Workload::YcsbA => &[(50, Kind::Get), (50, Kind::Put)],
            Workload::Scan => &[(100, Kind::Scan)],
            Workload::YcsbB => &[(95, Kind::Get), (5, Kind::Put)],
            Workload::YcsbD => &[(95, Kind::Get), (5, Kind::Insert)],
            Workload::YcsbE => &[(95, Kind::ShortScan), (5, Kind::Insert)],
            Workload::YcsbF => &[(50, Kind::Get), (50, Kind::ReadModifyWrite)],
            Workload::Rmw => &[(100, Kind::ReadModifyWrite)],
            Workload::Pairs => &[(100, Kind::Pair)],
            Workload::Bank => &[(100, Kind::Transfer)],
            Workload::Timestamps => &[(100, Kind::Timestamp)],
        }
    }

    /// The kinds of operations in it.
    pub(crate) fn kinds(self) -> impl Iterator<Item = Kind> {
        self.mix().iter().map(|(_, kind)| *kind)
    }
}

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Get,
    Put,
    Insert,
    Scan,
    ShortScan,
    ReadModifyWrite,
    Pair,
    Transfer,
    Timestamp,
}

impl Kind {
    /// As in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Get => "get",
            Kind::Put => "put",
            Kind::Insert => "insert",
            Kind::Scan | Kind::ShortScan => "scan",
            Kind::ReadModifyWrite => "read-modify-write",
            Kind::Pair => "pair",
            Kind::Transfer => "transfer",
            Kind::Timestamp => "timestamp",
        }
    }
}

/// What a client is to do next. Keys are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Read a key, which must be there if its number is below `filled`.
    Get { key: u64, filled: u64 },
    /// Write a key.
    Put { key: u64 },
    /// Read so many rows from a key on.
    Scan { key: u64, rows: usize },
    /// Read a key, and write it.
    ReadModifyWrite { key: u64 },
    /// Write two keys in one transaction.
    Pair { keys: [u64; 2] },
    /// Move something from one account to another.
    Transfer { from: u64, to: u64, amount: u64 },
    /// Take a timestamp.
    Timestamp,
}

/// Draws operations. Clients share it, so that each knows of the keys that others have inserted.
pub(crate) struct Generator {
    workload: Workload,
    chooser: Chooser,
    filled: u64,
    existing: AtomicU64,
    scan_rows: usize,
}

impl Generator {
    /// For so many keys, two at least.
    pub(crate) fn new(
        workload: Workload,
        distribution: Option<Distribution>,
        keys: u64,
        scan_rows: usize,
    ) -> Self {
        assert!(keys >= 2, "the command line allows no fewer keys");
        let distribution = distribution.unwrap_or(workload.distribution());
        let chooser = Chooser::new(distribution, keys);
        Generator { workload, chooser, filled: keys, existing: AtomicU64::new(keys), scan_rows }
    }

    pub(crate) fn next(&self, rng: &mut Rng) -> (Kind, Operation) {
        let kind = self.kind(rng);
        let existing = self.existing.load(Relaxed);
        let operation = match kind {
            Kind::Insert => Operation::Put { key: self.existing.fetch_add(1, Relaxed) },
            Kind::Get => {
                Operation::Get { key: self.chooser.choose(rng, existing), filled: self.filled }
            }
            Kind::Put => Operation::Put { key: self.chooser.choose(rng, existing) },
            Kind::Scan => {
                // From where so many rows follow.
                let room = self.filled.saturating_sub(self.scan_rows as u64).max(1);
                let key = self.chooser.choose(rng, existing) % room;
                Operation::Scan { key, rows: self.scan_rows }
            }
            Kind::ShortScan => {
                let rows = usize::try_from(1 + rng.below(SHORT_SCAN_MAX)).expect("it is short");
                Operation::Scan { key: self.chooser.choose(rng, existing), rows }
            }
            Kind::ReadModifyWrite => {
                Operation::ReadModifyWrite { key: self.chooser.choose(rng, self.filled) }
            }
            Kind::Pair => Operation::Pair { keys: self.two(rng) },
            Kind::Transfer => {
                let [from, to] = self.two(rng);
                Operation::Transfer { from, to, amount: rng.below(10) }
            }
            Kind::Timestamp => Operation::Timestamp,
        };
        (kind, operation)
    }

    fn kind(&self, rng: &mut Rng) -> Kind {
        let mix = self.workload.mix();
        let (_, last) = mix[mix.len() - 1];
        if mix.len() == 1 {
            return last;
        }
        let mut drawn = rng.below(100);
        for (share, kind) in mix {
            if drawn < *share {
                return *kind;
            }
            drawn -= share;
        }
        last
    }

    /// Two different keys.
    fn two(&self, rng: &mut Rng) -> [u64; 2] {
        let first = self.chooser.choose(rng, self.filled);
        let second = self.chooser.choose(rng, self.filled);
        [first, if first == second { (first + 1) % self.filled } else { second }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mix_is_a_hundred() {
        for workload in Workload::value_variants() {
            let sum: u64 = workload.mix().iter().map(|(share, _)| share).sum();
            assert_eq!(sum, 100, "{workload:?}");
        }
    }

    #[test]
    fn operations_are_drawn_as_the_mix_says() {
        let generator = Generator::new(Workload::YcsbB, None, 100, 10);
        let mut rng = Rng::new(5);
        let puts = (0..10_000).filter(|_| generator.next(&mut rng).0 == Kind::Put).count();
        assert!((400..600).contains(&puts), "{puts} puts are about 5 %");
    }

    #[test]
    fn what_was_inserted_is_asked_for_later() {
        let generator = Generator::new(Workload::YcsbD, None, 100, 10);
        let mut rng = Rng::new(5);
        let mut inserted = 100;
        let mut newest = 0;
        for _ in 0..2_000 {
            match generator.next(&mut rng) {
                (Kind::Insert, Operation::Put { key }) => {
                    assert_eq!(key, inserted, "one after the other");
                    inserted += 1;
                }
                (_, Operation::Get { key, filled: 100 }) => newest = newest.max(key),
                other => panic!("{other:?} is not in the mix"),
            }
        }
        assert!(inserted > 150, "{inserted}");
        assert!(newest >= 150, "{newest}");
    }

    #[test]
    fn two_keys_differ_also_when_there_are_only_two() {
        let generator = Generator::new(Workload::Bank, None, 2, 10);
        let mut rng = Rng::new(1);
        for _ in 0..100 {
            let (_, operation) = generator.next(&mut rng);
            let Operation::Transfer { from, to, amount } = operation else {
                panic!("{operation:?} is no transfer");
            };
            assert_ne!(from, to);
            assert!(amount < 10);
        }
    }

    #[test]
    fn a_scan_begins_where_enough_rows_follow() {
        let generator = Generator::new(Workload::Scan, None, 100, 90);
        let mut rng = Rng::new(1);
        for _ in 0..100 {
            let (_, operation) = generator.next(&mut rng);
            let Operation::Scan { key, rows: 90 } = operation else {
                panic!("{operation:?} is no such scan");
            };
            assert!(key < 10);
        }
    }
}
