//! What a run did, so that one that did too little is not taken for a proof.

use std::fmt;
use std::ops::AddAssign;

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Runs.
    pub seeds: u64,
    /// Steps of both phases.
    pub steps: u64,
    /// Messages that arrived.
    pub messages: u64,
    /// Leaders that were elected.
    pub elections: u64,
    /// Machines that lost what was not on disk.
    pub crashes: u64,
    /// Snapshots that were installed.
    pub snapshots: u64,
    /// Members that came or went, each counted once.
    pub changes: u64,
    /// Leaders that told their heir to take over.
    pub transfers: u64,
    /// Entries that were applied, counted at each machine.
    pub applied: u64,
    /// Reads that were confirmed by a round of heartbeats and answered.
    pub reads: u64,
    /// Reads that were answered under a lease.
    pub lease_reads: u64,
    /// Times the network was cut, clogged or mended.
    pub disturbances: u64,
    /// Logs that were shortened.
    pub compactions: u64,
}

impl Counts {
    /// What did not happen at all, although a run of this kind is there to see it.
    pub fn missing(&self) -> Vec<&'static str> {
        let all = [
            (self.elections, "elections"),
            (self.crashes, "crashes"),
            (self.snapshots, "snapshots"),
            (self.changes, "membership changes"),
            (self.transfers, "transfers"),
            (self.applied, "applied entries"),
            (self.reads, "reads"),
            (self.lease_reads, "reads under a lease"),
            (self.disturbances, "disturbances of the network"),
            (self.compactions, "compactions"),
        ];
        // One of each in ten seeds is little enough.
        let wanted = self.seeds / 10;
        all.iter().filter(|(count, _)| *count <= wanted).map(|(_, name)| *name).collect()
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        let Counts {
            seeds,
            steps,
            messages,
            elections,
            crashes,
            snapshots,
            changes,
            transfers,
            applied,
            reads,
            lease_reads,
            disturbances,
            compactions,
        } = other;
        self.seeds += seeds;
        self.steps += steps;
        self.messages += messages;
        self.elections += elections;
        self.crashes += crashes;
        self.snapshots += snapshots;
        self.changes += changes;
        self.transfers += transfers;
        self.applied += applied;
        self.reads += reads;
        self.lease_reads += lease_reads;
        self.disturbances += disturbances;
        self.compactions += compactions;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seeds, {} steps, {} messages, {} elections, {} crashes, {} snapshots, {} membership changes, \
             {} transfers, {} entries applied, {} reads, {} reads under a lease, {} compactions, \
             {} disturbances",
            self.seeds,
            self.steps,
            self.messages,
            self.elections,
            self.crashes,
            self.snapshots,
            self.changes,
            self.transfers,
            self.applied,
            self.reads,
            self.lease_reads,
            self.compactions,
            self.disturbances,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_did_nothing_says_what_it_lacks() {
        let idle = Counts { seeds: 100, steps: 1_000_000, elections: 500, ..Counts::default() };
        assert!(!idle.missing().contains(&"elections"));
        assert!(idle.missing().contains(&"crashes"));
    }
}
