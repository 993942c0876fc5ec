//! What the system says about the process: its memory, its descriptors, its time on the cores.

use runtime::metrics::{Gauge, Metrics, Share, Unit};

/// What is shown, brought up to date when somebody looks.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    resident: Gauge,
    descriptors: Gauge,
    threads: Gauge,
    seconds: Share,
}

impl Process {
    /// Declares it.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let metrics = metrics.within("process");
        Process {
            resident: metrics.gauge("resident", Unit::Bytes, "Memory that is in use"),
            descriptors: metrics.gauge("descriptors", Unit::Count, "Files and connections open"),
            threads: metrics.gauge("threads", Unit::Count, "Threads"),
            seconds: metrics.value("cpu", Unit::Seconds, "Time on the cores since the start"),
        }
    }

    /// Asks the system. Where it does not say, the old number stays.
    pub(crate) fn measure(&self) {
        if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
            let number = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name))?;
                line.split_whitespace().next()?.parse::<i64>().ok()
            };
            number("VmRSS:").map(|kib| self.resident.set(kib << 10));
            number("Threads:").map(|threads| self.threads.set(threads));
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            // One of them is for looking.
            let count = open.count().saturating_sub(1);
            self.descriptors.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        if let Ok(stat) = std::fs::read_to_string("/proc/self/stat")
            && let Some(seconds) = core_seconds(&stat)
        {
            self.seconds.set(seconds);
        }
    }
}

/// The time in the program and for it, of a line as `/proc/self/stat` has. The system counts in
/// hundredths of a second.
fn core_seconds(stat: &str) -> Option<f64> {
    // The name is in brackets, and may be anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some((f64::from(ticks()?) + f64::from(ticks()?)) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_asked_and_understood() {
        let metrics = Metrics::new("tinykv");
        let process = Process::new(&metrics);
        assert!(metrics.text().contains("tinykv_process_threads 0\n"));
        process.measure();
        assert!(process.threads.get() >= 1 && process.descriptors.get() >= 3);
        assert!(process.resident.get() > 1 << 20);
        let stat = "7 (a) b) S 1 1 1 0 -1 4194304 90 0 0 0 150 50 0 0 20 0 9 0 1";
        assert_eq!(core_seconds(stat), Some(2.0));
        assert_eq!(core_seconds("7"), None);
    }
}
