//! The plans under way: one per region, told to its leader step by step.
//!
//! # Invariants
//!
//! - O1: a region has at most one plan. A more urgent one replaces it, an equal one is refused.
//! - O2: a plan begins at the epoch that the region has then, and ends when the region's members were
//!   changed by anybody else.
//! - O3: no peer is removed while that would leave the region without a majority of peers in good
//!   shape. The plan waits instead, until they are, or until it is too late for it.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::eraftpb::ConfChangeType;
use proto::metapb::Peer;
use proto::schedulerpb::{ChangePeer, OperatorStatus, RegionHeartbeatResponse, TransferLeader};
use runtime::clock::Instant;

use super::operator::{Kind, Operator, Step};
use super::plans::View;
use crate::cluster::region::RegionInfo;

/// A step is said again after so long, if no heartbeat has come: leadership moves in no time.
const REPEAT_TRANSFER: Duration = Duration::from_secs(2);
/// And a peer comes or goes within the time of a snapshot.
const REPEAT_CHANGE: Duration = Duration::from_secs(5);

/// For how long it can be asked what became of a plan.
const REMEMBERED: Duration = Duration::from_mins(10);

/// Plans that are remembered, at most; the oldest are forgotten first.
const REMEMBERED_MAX: usize = 10_000;

/// Something to say to a store about a region that it leads.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The leader's store.
    pub store: u64,
    /// What to say, without a header.
    pub message: RegionHeartbeatResponse,
}

/// Why a plan is not taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwanted {
    /// Its region is gone.
    #[error("the region is not known")]
    NoRegion,
    /// Its region has changed since.
    #[error("the region has changed since")]
    Outdated,
    /// Its region has a plan that is as urgent.
    #[error("the region has a plan already")]
    Taken,
}

/// The plans under way, and what became of others.
#[derive(Debug, Default)]
pub struct Controller {
    running: BTreeMap<u64, Running>,
    counts: BTreeMap<Kind, u64>,
    ended: BTreeMap<u64, Ended>,
}

#[derive(Debug)]
struct Running {
    operator: Operator,
    say_again: Instant,
}

/// A plan that has ended, and how.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The plan.
    pub operator: Operator,
    /// How it ended.
    pub status: OperatorStatus,
    /// When.
    at: Instant,
}

impl Controller {
    /// The plan of this region.
    pub fn get(&self, region: u64) -> Option<&Operator> {
        self.running.get(&region).map(|running| &running.operator)
    }

    /// All plans under way, in order of region.
    pub fn iter(&self) -> impl Iterator<Item = &Operator> {
        self.running.values().map(|running| &running.operator)
    }

    /// How many plans have a word of this kind.
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts.iter().filter(|(of, _)| of.meets(kind)).map(|(_, count)| count).sum()
    }

    /// How the newest plan of this region stands, or how it ended.
    pub fn status(&self, region: u64, now: Instant) -> Option<(&Operator, OperatorStatus)> {
        if let Some(operator) = self.get(region) {
            return Some((operator, OperatorStatus::Running));
        }
        let ended = self.ended.get(&region)?;
        (now.since(ended.at) <= REMEMBERED).then_some((&ended.operator, ended.status))
    }

    /// Takes a plan on, and answers its first command. One that is unwanted counts as cancelled.
    pub fn add(&mut self, view: View<'_>, operator: Operator) -> Result<Option<Command>, Unwanted> {
        if let Err(unwanted) = self.check(view, &operator) {
            if !self.running.contains_key(&operator.region) {
                self.remember(operator, OperatorStatus::Cancel, view.now);
            }
            return Err(unwanted);
        }
        let id = operator.region;
        if self.running.contains_key(&id) {
            self.end(id, OperatorStatus::Replace, view.now);
        }
        let mut operator = operator;
        operator.start(view.now);
        *self.counts.entry(operator.kind).or_default() += 1;
        self.running.insert(id, Running { operator, say_again: view.now });
        let region = view.cluster.regions.get(id).ok_or(Unwanted::NoRegion)?;
        Ok(self.proceed(view, region))
    }

    fn check(&self, view: View<'_>, operator: &Operator) -> Result<(), Unwanted> {
        let region = view.cluster.regions.get(operator.region).ok_or(Unwanted::NoRegion)?;
        if region.epoch() != operator.epoch {
            return Err(Unwanted::Outdated);
        }
        match self.get(operator.region) {
            Some(old) if old.priority >= operator.priority => Err(Unwanted::Taken),
            Some(_) | None => Ok(()),
        }
    }

    /// Drops a plan, and says whether there was one.
    pub fn cancel(&mut self, region: u64, now: Instant) -> bool {
        self.end(region, OperatorStatus::Cancel, now)
    }

    /// A heartbeat has come: what to tell its leader.
    pub fn dispatch(&mut self, view: View<'_>, region: &RegionInfo) -> Option<Command> {
        let operator = &mut self.running.get_mut(&region.id())?.operator;
        operator.check(region);
        // O2: somebody else has changed the members, so the plan was made for another region.
        let changes = region.epoch().conf_ver.saturating_sub(operator.epoch.conf_ver);
        if !operator.is_done() && changes > operator.changes(region) {
            self.end(region.id(), OperatorStatus::Cancel, view.now);
            return None;
        }
        self.proceed(view, region)
    }

    /// What to say again to leaders that have been silent about their plans.
    pub fn repeat(&mut self, view: View<'_>) -> Vec<Command> {
        let is_due = |running: &&Running| running.say_again <= view.now;
        let due: Vec<u64> =
            self.running.values().filter(is_due).map(|running| running.operator.region).collect();
        let mut commands = Vec::new();
        for id in due {
            match view.cluster.regions.get(id) {
                Some(region) => commands.extend(self.proceed(view, region)),
                None => {
                    self.end(id, OperatorStatus::Cancel, view.now);
                }
            }
        }
        commands
    }

    /// Ends the plan if it is done or late, and otherwise answers its next command.
    fn proceed(&mut self, view: View<'_>, region: &RegionInfo) -> Option<Command> {
        let running = self.running.get_mut(&region.id())?;
        let step = running.operator.check(region);
        if running.operator.is_late(view.now) {
            self.end(region.id(), OperatorStatus::Timeout, view.now);
            return None;
        }
        let Some(step) = step else {
            self.end(region.id(), OperatorStatus::Success, view.now);
            return None;
        };
        let pause = match step {
            Step::TransferLeader { .. } => REPEAT_TRANSFER,
            Step::AddPeer { .. } | Step::RemovePeer { .. } => REPEAT_CHANGE,
        };
        running.say_again = view.now + pause;
        command(view, region, step)
    }

    fn end(&mut self, region: u64, status: OperatorStatus, now: Instant) -> bool {
        let Some(Running { operator, .. }) = self.running.remove(&region) else { return false };
        let count = self.counts.get_mut(&operator.kind).expect("O1: every plan is counted");
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&operator.kind);
        }
        self.remember(operator, status, now);
        true
    }

    fn remember(&mut self, operator: Operator, status: OperatorStatus, now: Instant) {
        if self.ended.len() >= REMEMBERED_MAX {
            self.ended.retain(|_, ended| now.since(ended.at) <= REMEMBERED);
        }
        if self.ended.len() >= REMEMBERED_MAX {
            let oldest = self.ended.iter().min_by_key(|(_, ended)| ended.at).map(|(&id, _)| id);
            oldest.and_then(|id| self.ended.remove(&id));
        }
        self.ended.insert(operator.region, Ended { operator, status, at: now });
    }
}

/// A step in the words of the wire. `None` while it has to wait.
fn command(view: View<'_>, region: &RegionInfo, step: Step) -> Option<Command> {
    let leader = region.leader?;
    let change = |kind: ConfChangeType, peer: Peer| RegionHeartbeatResponse {
        change_peer: Some(ChangePeer { peer: Some(peer), change_type: kind.into() }),
        ..RegionHeartbeatResponse::default()
    };
    let transfer = |to: u64| {
        let peer = Some(*region.peer_on(to)?);
        let transfer_leader = Some(TransferLeader { peer });
        Some(RegionHeartbeatResponse { transfer_leader, ..RegionHeartbeatResponse::default() })
    };
    let words = match step {
        Step::TransferLeader { to, .. } => transfer(to)?,
        // It is there, and catching up.
        Step::AddPeer { store, .. } if region.peer_on(store).is_some() => return None,
        Step::AddPeer { store, peer } => {
            change(ConfChangeType::AddNode, Peer { id: peer, store_id: store })
        }
        // O3: better one peer too many than a majority too few.
        Step::RemovePeer { store } if !view.survives_without(region, store) => return None,
        // It was elected after the plan was made; a leader cannot carry out its own removal.
        Step::RemovePeer { store } if leader.store_id == store => {
            transfer(view.first_able(region.follower_stores(), region)?)?
        }
        Step::RemovePeer { store } => change(ConfChangeType::RemoveNode, *region.peer_on(store)?),
    };
    let message = RegionHeartbeatResponse {
        region_id: region.id(),
        region_epoch: Some(region.epoch()),
        target_peer: Some(leader),
        ..words
    };
    Some(Command { store: leader.store_id, message })
}
