//! What the scheduler counts.

use runtime::metrics::{Counter, Gauge, Metrics, Unit};

/// The meters, for those who count.
#[derive(Clone, Debug)]
pub struct Meters {
    /// Timestamps that were given.
    pub timestamps: Counter,
    /// Regions' reports, by what became of them.
    pub reports: Counter,
    /// Reports that came too late or made no sense.
    pub reports_refused: Counter,
    /// Commands that were sent to leaders.
    pub commands_sent: Counter,
    /// Commands for which there was no room or no stream.
    pub commands_dropped: Counter,
    /// Regions that are known.
    pub regions: Gauge,
    /// Stores that are known.
    pub stores: Gauge,
    /// Plans under way.
    pub plans: Gauge,
}

impl Meters {
    /// Declares them.
    pub fn new(metrics: &Metrics) -> Self {
        let count = |name: &str, help: &str| metrics.counter(name, Unit::Count, help);
        let gauge = |name: &str, help: &str| metrics.gauge(name, Unit::Count, help);
        Meters {
            timestamps: count("timestamps", "Timestamps given"),
            reports: count("region_reports", "Reports about regions taken over"),
            reports_refused: count("region_reports_refused", "Reports about regions refused"),
            commands_sent: count("commands_sent", "Commands sent to leaders"),
            commands_dropped: count("commands_dropped", "Commands without a way to their leader"),
            regions: gauge("regions", "Regions known"),
            stores: gauge("stores", "Stores known"),
            plans: gauge("plans", "Plans under way"),
        }
    }
}
