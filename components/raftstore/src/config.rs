//! How a store behaves. Every field has a default that fits a cluster on a few small machines.

use std::time::Duration;

use runtime::units::{Bytes, Period};
use serde::{Deserialize, Serialize};

/// The settings of a store.
///
/// Periods that count ticks are rounded down to whole ticks, and at least one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The unit of a peer's time. Shorter ticks notice failures sooner and cost more when idle.
    pub tick: Period,
    /// Ticks between heartbeats of a leader. Larger is quieter, and renews leases less often.
    pub heartbeat_ticks: u32,
    /// Ticks without a word from the leader before a peer campaigns, or up to twice as many. Smaller
    /// recovers sooner from a dead leader, and mistakes a slow one for dead more often.
    pub election_ticks: u32,

    /// How often a leader looks whether its log can be shortened.
    pub log_gc_period: Period,
    /// The number of applied entries in the log at which it is cut, whoever still needs them. A
    /// follower that does gets a snapshot instead.
    pub log_gc_count: u64,
    /// The same as bytes.
    pub log_gc_size: Bytes,
    /// The largest command that is accepted. Must stay below what the transport carries.
    pub entry_size_max: Bytes,

    /// How often a leader looks whether its region should be split.
    pub split_check_period: Period,
    /// A region of this size is split.
    pub region_size_max: Bytes,
    /// Where it is split: the left part gets about this much.
    pub region_size_split: Bytes,

    /// How often a leader reports its region to the scheduler, besides at every change.
    pub region_heartbeat_period: Period,
    /// How often a store reports itself to the scheduler.
    pub store_heartbeat_period: Period,
    /// How long a peer waits without a leader before it asks the scheduler whether it still belongs
    /// to its region, and a leader for a word of a follower before it tells the scheduler.
    pub leader_missing_period: Period,

    /// How often snapshots that nobody needs are deleted.
    pub snapshot_gc_period: Period,
    /// How long a snapshot may wait to be sent or installed before it is deleted.
    pub snapshot_age_max: Period,
    /// How much all snapshots of the store together may take on disk; more must wait.
    pub snapshot_space_max: Bytes,
    /// How many snapshots are built, sent and received at a time, of each kind.
    pub snapshots_at_once: u32,
    /// A follower that was sent a snapshot and says nothing for so long is asked again. The log is kept
    /// behind a snapshot for as long.
    pub snapshot_period_max: Period,

    /// How many messages and commands wait for the raft thread. Raft messages beyond are dropped,
    /// which Raft mends; commands beyond are refused as busy.
    pub inbox_size: u32,
    /// Bytes of committed entries that one region hands out for applying at a time. What is beyond
    /// waits in the log.
    pub applying_size_max: Bytes,
    /// Bytes of commands that a leader accepts before they are committed. More are refused as busy.
    pub proposing_size_max: Bytes,
    /// Bytes of entries that a region keeps in memory so that followers need not be served from disk.
    pub entry_cache_size: Bytes,
    /// Whether reads are served under a lease, without asking other stores.
    pub lease_reads: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            tick: Period::millis(100),
            heartbeat_ticks: 2,
            election_ticks: 10,
            log_gc_period: Period::secs(10),
            log_gc_count: 128_000,
            log_gc_size: Bytes::mib(72),
            entry_size_max: Bytes::mib(8),
            split_check_period: Period::secs(10),
            region_size_max: Bytes::mib(144),
            region_size_split: Bytes::mib(96),
            region_heartbeat_period: Period::secs(10),
            store_heartbeat_period: Period::secs(10),
            leader_missing_period: Period::secs(120),
            snapshot_gc_period: Period::secs(60),
            snapshot_age_max: Period::secs(4 * 3600),
            snapshot_space_max: Bytes::gib(8),
            snapshots_at_once: 4,
            snapshot_period_max: Period::secs(60),
            inbox_size: 16_384,
            applying_size_max: Bytes::mib(16),
            proposing_size_max: Bytes::mib(64),
            entry_cache_size: Bytes::mib(4),
            lease_reads: true,
        }
    }
}

/// The same periods in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks {
    /// See [`Config::log_gc_period`].
    pub log_gc: u64,
    /// See [`Config::split_check_period`].
    pub split_check: u64,
    /// See [`Config::region_heartbeat_period`].
    pub region_heartbeat: u64,
    /// See [`Config::store_heartbeat_period`].
    pub store_heartbeat: u64,
    /// See [`Config::leader_missing_period`].
    pub leader_missing: u64,
    /// See [`Config::snapshot_gc_period`].
    pub snapshot_gc: u64,
    /// See [`Config::snapshot_period_max`].
    pub snapshot_max: u32,
}

impl Config {
    /// Turns periods into ticks; the only place that does.
    pub fn ticks(&self) -> Ticks {
        let tick = self.tick.get().as_micros().max(1);
        let ticks = |period: Period| -> u64 {
            let whole = period.get().as_micros() / tick;
            u64::try_from(whole).unwrap_or(u64::MAX).max(1)
        };
        Ticks {
            log_gc: ticks(self.log_gc_period),
            split_check: ticks(self.split_check_period),
            region_heartbeat: ticks(self.region_heartbeat_period),
            store_heartbeat: ticks(self.store_heartbeat_period),
            leader_missing: ticks(self.leader_missing_period),
            snapshot_gc: ticks(self.snapshot_gc_period),
            snapshot_max: u32::try_from(ticks(self.snapshot_period_max)).unwrap_or(u32::MAX),
        }
    }

    /// How long a leader may serve reads after it sent the heartbeats that a majority answered. It is
    /// well before anybody may be elected: a follower's first tick may come right after its answer and
    /// a late one right before the next, which takes two ticks from the promise, and clocks of
    /// different machines do not run equally fast.
    pub fn lease(&self) -> Duration {
        let ticks = self.election_ticks.saturating_sub(2);
        self.tick.get() * ticks * 4 / 5
    }

    /// Everything that is wrong with the settings, each with the path of its field.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, field: &str, rule: &str| {
            if !holds {
                problems.push(format!("{field} must be {rule}"));
            }
        };
        require(self.tick >= Period::millis(1), "tick", "at least 1ms");
        require(self.heartbeat_ticks > 0, "heartbeat-ticks", "at least 1");
        require(
            u64::from(self.election_ticks) > 2 * u64::from(self.heartbeat_ticks),
            "election-ticks",
            "more than twice heartbeat-ticks",
        );
        require(self.election_ticks < 10_000, "election-ticks", "less than 10000");
        require(self.log_gc_count > 0, "log-gc-count", "at least 1");
        let entry = self.entry_size_max;
        require(entry >= Bytes::kib(1), "entry-size-max", "at least 1KiB");
        require(entry <= Bytes::mib(64), "entry-size-max", "at most 64MiB");
        require(self.region_size_split.get() > 0, "region-size-split", "more than nothing");
        require(
            self.region_size_split < self.region_size_max,
            "region-size-split",
            "less than region-size-max",
        );
        require(self.snapshots_at_once > 0, "snapshots-at-once", "at least 1");
        require(self.inbox_size >= 16, "inbox-size", "at least 16");
        require(self.applying_size_max >= entry, "applying-size-max", "at least entry-size-max");
        require(self.proposing_size_max >= entry, "proposing-size-max", "at least entry-size-max");
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_every_problem_is_reported() {
        assert_eq!(Config::default().validate(), Vec::<String>::new());
        let config = Config {
            election_ticks: 4,
            region_size_split: Bytes::mib(144),
            snapshots_at_once: 0,
            ..Config::default()
        };
        assert_eq!(
            config.validate(),
            [
                "election-ticks must be more than twice heartbeat-ticks",
                "region-size-split must be less than region-size-max",
                "snapshots-at-once must be at least 1",
            ]
        );
    }

    #[test]
    fn periods_are_whole_ticks_and_at_least_one() {
        let config = Config { tick: Period::millis(300), ..Config::default() };
        assert_eq!((config.ticks().log_gc, config.ticks().split_check), (33, 33));
        let slow = Config { tick: Period::secs(60), ..Config::default() };
        assert_eq!(slow.ticks().log_gc, 1);
    }

    #[test]
    fn a_lease_ends_well_before_an_election() {
        let config = Config::default();
        let election = config.tick.get() * config.election_ticks;
        assert_eq!(config.lease(), Duration::from_millis(640));
        assert!(config.lease() + 2 * config.tick.get() < election);
    }
}
