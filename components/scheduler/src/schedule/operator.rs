//! Plans: what shall happen to one region, step by step.
//!
//! A plan never acts. Its current step is said to the region's leader with every heartbeat until a
//! heartbeat shows that it is done; so a lost message, a restarted store or a new leader only delay
//! it. What makes this safe is the epoch: the plan was made for one, each of its steps that changes
//! members adds one to `conf_ver`, and a region whose `conf_ver` grew by more was changed by somebody
//! else. Then the plan is dropped.
//!
//! ```text
//! move the peer of region 1 from store 4 to store 1, made at conf_ver 5
//!
//! step             heartbeat says                       answer
//! add 9 on 1       leader 2, peers 2 3 4     conf 5     add peer 9 on store 1
//!                  leader 2, peers 2 3 4 1   conf 6     (9 is pending: nothing)
//!                  the same, nobody pending             remove the peer on 4
//! remove from 4    leader 2, peers 2 3 1     conf 7     done
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use proto::metapb::RegionEpoch;
use runtime::clock::Instant;

use crate::cluster::region::RegionInfo;

/// A plan that only transfers leadership may take so long.
pub const LEADER_PLAN_MAX: Duration = Duration::from_secs(10);

/// A plan that moves peers may take so long: a snapshot has to travel.
pub const REGION_PLAN_MAX: Duration = Duration::from_mins(10);

/// One thing that a leader is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Hand leadership over.
    TransferLeader {
        /// The store that leads now.
        from: u64,
        /// The store that shall lead.
        to: u64,
    },
    /// Take a new peer in.
    AddPeer {
        /// The store where it shall live.
        store: u64,
        /// Its id.
        peer: u64,
    },
    /// Take a peer out.
    RemovePeer {
        /// The store where it lives.
        store: u64,
    },
}

impl Step {
    /// Whether the region is as the step wants it.
    pub fn is_done(self, region: &RegionInfo) -> bool {
        match self {
            Step::TransferLeader { to, .. } => region.leader_store() == Some(to),
            // A peer that is still far behind does not yet make up for the one that will go.
            Step::AddPeer { peer, .. } => self.changed(region) && !region.is_pending(peer),
            Step::RemovePeer { store } => region.peer_on(store).is_none(),
        }
    }

    /// Whether the step's change of members has happened.
    fn changed(self, region: &RegionInfo) -> bool {
        match self {
            Step::TransferLeader { .. } => false,
            Step::AddPeer { store, peer } => {
                region.peer_on(store).is_some_and(|found| found.id == peer)
            }
            Step::RemovePeer { store } => region.peer_on(store).is_none(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::TransferLeader { from, to } => {
                write!(f, "transfer leader from store {from} to store {to}")
            }
            Step::AddPeer { store, peer } => write!(f, "add peer {peer} on store {store}"),
            Step::RemovePeer { store } => write!(f, "remove peer on store {store}"),
        }
    }
}

/// What a plan touches and who made it: a set of the words below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind(u32);

impl Kind {
    /// It transfers leadership.
    pub const LEADER: Kind = Kind(1);
    /// It moves peers.
    pub const REGION: Kind = Kind(1 << 1);
    /// A person asked for it.
    pub const ADMIN: Kind = Kind(1 << 2);
    /// The replica checker made it.
    pub const REPLICA: Kind = Kind(1 << 4);
    /// A balancer made it.
    pub const BALANCE: Kind = Kind(1 << 5);

    /// The words, in the order in which they are written.
    const WORDS: [(Kind, &str); 5] = [
        (Kind::LEADER, "leader"),
        (Kind::REGION, "region"),
        (Kind::ADMIN, "admin"),
        (Kind::REPLICA, "replica"),
        (Kind::BALANCE, "balance"),
    ];

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Kind) -> Kind {
        Kind(self.0 | other.0)
    }

    /// Whether the sets have a word in common.
    pub const fn meets(self, other: Kind) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether every word of `other` is in the set.
    pub const fn has(self, other: Kind) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = Kind::WORDS.iter().filter(|(kind, _)| self.has(*kind)).map(|(_, word)| *word);
        let words: Vec<&str> = words.collect();
        f.write_str(if words.is_empty() { "unknown" } else { "" })?;
        f.write_str(&words.join(","))
    }
}

/// A word that is none of a kind's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown flag name: {0}")]
pub struct UnknownKind(String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        text.split(',').try_fold(Kind::default(), |kind, word| {
            let found = Kind::WORDS.iter().find(|(_, known)| *known == word);
            found.map(|(more, _)| kind.with(*more)).ok_or_else(|| UnknownKind(word.to_owned()))
        })
    }
}

/// Which plan gives way when a region already has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// It would be nice.
    Normal,
    /// Data is at risk, or a person waits.
    High,
}

/// A plan for one region.
#[derive(Clone, Debug)]
pub struct Operator {
    /// What it is for, as in `balance-leader`.
    pub desc: &'static str,
    /// The region it is about.
    pub region: u64,
    /// The region's epoch when it was made.
    pub epoch: RegionEpoch,
    /// What it touches.
    pub kind: Kind,
    /// Which plan gives way.
    pub priority: Priority,
    steps: Vec<Step>,
    current: usize,
    started: Option<Instant>,
}

impl Operator {
    /// A plan of these steps for the region as it is now.
    pub fn new(desc: &'static str, region: &RegionInfo, kind: Kind, steps: Vec<Step>) -> Self {
        let priority = if kind.meets(Kind::ADMIN) { Priority::High } else { Priority::Normal };
        let (epoch, region) = (region.epoch(), region.id());
        Operator { desc, region, epoch, kind, priority, steps, current: 0, started: None }
    }

    /// The same plan, before which others give way.
    #[must_use]
    pub fn urgent(mut self) -> Self {
        self.priority = Priority::High;
        self
    }

    /// The steps, the done ones included.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The step that is under way; none when all are done.
    pub fn step(&self) -> Option<Step> {
        self.steps.get(self.current).copied()
    }

    /// From `now` on it is carried out.
    pub fn start(&mut self, now: Instant) {
        self.started = Some(now);
    }

    /// Passes the steps that the region shows to be done. Answers the one to do next.
    pub fn check(&mut self, region: &RegionInfo) -> Option<Step> {
        while self.step().is_some_and(|step| step.is_done(region)) {
            self.current += 1;
        }
        self.step()
    }

    /// How many changes of members, of those up to the current step, the region shows.
    pub fn changes(&self, region: &RegionInfo) -> u64 {
        let so_far = &self.steps[..(self.current + 1).min(self.steps.len())];
        so_far.iter().filter(|step| step.changed(region)).count() as u64
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.current == self.steps.len()
    }

    /// Whether it has taken too long.
    pub fn is_late(&self, now: Instant) -> bool {
        let limit = if self.kind.meets(Kind::REGION) { REGION_PLAN_MAX } else { LEADER_PLAN_MAX };
        !self.is_done() && self.started.is_some_and(|started| now.since(started) > limit)
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RegionEpoch { conf_ver, version } = self.epoch;
        write!(f, "{} (kind {}, region {}", self.desc, self.kind, self.region)?;
        write!(f, " at {version}.{conf_ver}):")?;
        for (place, step) in self.steps.iter().enumerate() {
            write!(f, "{} {step}", if place == 0 { "" } else { "," })?;
            f.write_str(if place < self.current { " (done)" } else { "" })?;
        }
        Ok(())
    }
}
