//! How eagerly things are moved.

use runtime::units::Period;
use serde::{Deserialize, Serialize};

/// The limits of scheduling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// How many leaders may be on the move at a time. Zero switches the balancing of leaders off.
    pub leader_schedule_limit: u64,
    /// How many peers may be on the move to balance stores. Zero switches that off.
    pub region_schedule_limit: u64,
    /// How many regions may be under repair at a time. Zero switches repair off.
    pub replica_schedule_limit: u64,
    /// After so much silence a store counts as lost, and its peers are replaced.
    pub max_store_down_time: Period,
    /// How often the next regions are looked at, to see whether they want repair.
    pub patrol_region_interval: Period,
    /// The shortest pause between two plans of a balancer; it grows while there is nothing to do.
    pub min_interval: Period,
    /// The longest pause between two attempts of a balancer.
    pub max_interval: Period,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            leader_schedule_limit: 4,
            region_schedule_limit: 2048,
            replica_schedule_limit: 64,
            max_store_down_time: Period::secs(30 * 60),
            patrol_region_interval: Period::millis(100),
            min_interval: Period::millis(10),
            max_interval: Period::secs(5),
        }
    }
}

impl Config {
    /// Everything that is wrong, each with the name of the setting.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        let zero = Period::millis(0);
        require(
            self.max_store_down_time >= Period::secs(30),
            "max-store-down-time must be at least 30s",
        );
        require(self.patrol_region_interval > zero, "patrol-region-interval must not be zero");
        require(self.min_interval > zero, "min-interval must not be zero");
        require(
            self.max_interval >= self.min_interval,
            "max-interval must be at least min-interval",
        );
        problems
    }
}
