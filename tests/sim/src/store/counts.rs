//! What a run did, so that one that did too little is not taken for a proof.

use std::fmt;
use std::ops::AddAssign;

/// Makes [`Counts`] of the things that are counted, each with what it is called.
macro_rules! counts {
    ($($(#[$doc:meta])* $field:ident: $name:literal,)*) => {
        /// How often what happened.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Counts {
            fn all(&self) -> Vec<(u64, &'static str)> {
                vec![$((self.$field, $name),)*]
            }
        }

        impl AddAssign for Counts {
            fn add_assign(&mut self, other: Self) {
                $(self.$field += other.$field;)*
            }
        }
    };
}

counts! {
    /// Runs.
    seeds: "seeds",
    /// Simulated milliseconds.
    millis: "simulated milliseconds",
    /// Events of all kinds.
    events: "events",
    /// Messages that arrived.
    messages: "messages",
    /// Leaders that were elected, of any region.
    elections: "elections",
    /// Machines whose power went.
    crashes: "crashes",
    /// Stores that were stopped in good order.
    stops: "orderly stops",
    /// Stores that stopped because a disk failed in the middle of a step.
    failed_disks: "failed disks",
    /// Times a machine did nothing for a while.
    pauses: "pauses",
    /// Times the network was cut.
    cuts: "network cuts",
    /// Regions beyond the first, in the end.
    splits: "splits",
    /// Times that a peer came to a region or went.
    changes: "membership changes",
    /// Records of regions that were new on a disk.
    arrived: "peers made",
    /// Peers that left a tombstone.
    buried: "peers removed",
    /// Snapshots that were put on their way.
    snapshots_sent: "snapshots sent",
    /// Snapshots that were damaged, cut off or misreported.
    snapshots_damaged: "snapshots damaged",
    /// Snapshots that were damaged on the disk of their receiver.
    spoiled: "snapshots damaged at rest",
    /// Peers that the scheduler removed in the healed world, because their leaders missed them.
    silent: "silent peers removed",
    /// Operations that were done.
    done: "operations done",
    /// Of these, appends.
    appends: "appends",
    /// Reads that were answered under a lease.
    lease_reads: "reads under a lease",
    /// Operations that were certainly not done.
    refused: "operations refused",
    /// Operations of which nothing is known.
    unknown: "operations unknown",
}

impl Counts {
    /// What hardly happened, although runs are there to see it: less than once in two seeds, or, of what
    /// needs a region of four members that takes a snapshot just then, in fifty.
    pub fn missing(&self) -> Vec<&'static str> {
        let wanted = |name| {
            let is_rare = ["snapshots damaged at rest", "silent peers removed"].contains(&name);
            self.seeds / if is_rare { 50 } else { 2 }
        };
        let rare = self.all().into_iter().filter(|(count, name)| *count <= wanted(*name));
        rare.map(|(_, name)| name).collect()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> =
            self.all().into_iter().map(|(count, name)| format!("{count} {name}")).collect();
        f.write_str(&all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_did_nothing_says_what_it_lacks() {
        let idle = Counts { seeds: 100, events: 1_000_000, ..Counts::default() };
        assert!(!idle.missing().contains(&"events"));
        assert!(idle.missing().contains(&"crashes"));
    }
}
