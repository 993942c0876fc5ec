//! The swarm: what kind of world a seed makes.
//!
//! A simulator with one set of probabilities explores one neighbourhood, however long it runs. So
//! each seed first draws the probabilities themselves: some worlds lose a third of all messages, some
//! have perfect links and slow disks, some change their members all the time.

use raft::{Config, NodeId};
use runtime::Rng;

/// Everything that is fixed for one run.
#[derive(Clone, Debug)]
pub struct Params {
    /// Members at the start.
    pub nodes: u64,
    /// Steps of the safety phase.
    pub steps: u64,
    /// See [`Config::election_ticks`].
    pub election_ticks: u32,
    /// See [`Config::heartbeat_ticks`].
    pub heartbeat_ticks: u32,
    /// See [`Config::pre_vote`].
    pub pre_vote: bool,
    /// See [`Config::check_quorum`]; also switches on leases, and with them clocks that nearly agree.
    pub check_quorum: bool,
    /// See [`Config::async_persist`].
    pub async_persist: bool,
    /// Who answers reads.
    pub reads: Reads,
    /// Of a hundred messages, how many are lost.
    pub loss_percent: u64,
    /// Of a hundred messages, how many arrive again later.
    pub duplicate_percent: u64,
    /// A link delivers any one of its so many oldest messages next.
    pub reorder_window: u64,
    /// Up to so many inputs come before a Ready is taken.
    pub batch_max: u64,
    /// Up to so many entries are applied in one go.
    pub apply_max: u64,
    /// A log is compacted once so many entries are applied.
    pub compact_every: u64,
    /// See [`Config::message_bytes_max`].
    pub message_bytes_max: u64,
    /// See [`Config::inflight_messages_max`].
    pub inflight_messages_max: usize,
    /// See [`Config::cache_bytes_max`].
    pub cache_bytes_max: u64,
    /// See [`Config::applying_bytes_max`].
    pub applying_bytes_max: u64,
    /// How much time passes in one step that passes time: up to so many thousandths of a tick.
    pub pace: u64,
    /// How often each kind of step comes.
    weights: [u64; ACTIONS.len()],
}

/// Who answers reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Only leaders do, and drop what they have not answered when they step down. What they have
    /// applied is all that anybody was shown in their term, so under a lease they answer at once.
    AtLeaders,
    /// Followers do as well, by way of the leader, and may have applied more than the leader has. So
    /// under a lease a leader must first apply what it knows to be committed.
    Anywhere,
}

/// A kind of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A message arrives, or gets lost.
    Deliver,
    /// Time passes, and with it ticks.
    PassTime,
    /// A write gets on some disk.
    Write,
    /// A state machine applies.
    Apply,
    /// A client writes.
    Propose,
    /// A client asks for a read that a round of heartbeats confirms.
    ReadIndex,
    /// A client reads under a lease.
    ReadUnderLease,
    /// A state machine is saved, and perhaps its log shortened.
    Save,
    /// A member comes or goes.
    ChangeMembers,
    /// Leadership is asked to move, or somebody told to campaign.
    Transfer,
    /// A machine loses what is not on its disk.
    Crash,
    /// A machine that is down comes back.
    Restart,
    /// The network gets worse, or better.
    Disturb,
    /// A message from long ago arrives.
    Replay,
    /// A transport reports about a peer, rightly or not.
    Report,
}

/// Each kind of step with how often it comes in a quiet and in a wild world, in ten thousand.
const ACTIONS: [(Action, u64, u64); 15] = [
    (Action::Deliver, 5000, 7000),
    (Action::PassTime, 300, 1500),
    (Action::Write, 200, 3000),
    (Action::Apply, 100, 2000),
    (Action::Propose, 2, 1500),
    (Action::ReadIndex, 0, 200),
    (Action::ReadUnderLease, 20, 200),
    (Action::Save, 10, 300),
    (Action::ChangeMembers, 0, 30),
    (Action::Transfer, 0, 30),
    (Action::Crash, 0, 40),
    (Action::Restart, 20, 80),
    (Action::Disturb, 0, 60),
    (Action::Replay, 0, 200),
    (Action::Report, 0, 30),
];

impl Params {
    /// The world of `seed`.
    pub fn draw(rng: &mut Rng, steps: u64) -> Self {
        let election_ticks = small(rng.range(5..21));
        Params {
            nodes: pick(rng, &[1, 2, 3, 3, 3, 4, 5, 5, 6, 7]),
            steps,
            election_ticks,
            heartbeat_ticks: small(rng.range(1..1 + u64::from(election_ticks) / 3)),
            pre_vote: rng.chance(1, 2),
            check_quorum: rng.chance(1, 2),
            async_persist: rng.chance(1, 2),
            reads: if rng.chance(1, 2) { Reads::AtLeaders } else { Reads::Anywhere },
            loss_percent: pick(rng, &[0, 0, 1, 5, 10, 20, 30]),
            duplicate_percent: pick(rng, &[0, 0, 1, 5, 10, 25, 50]),
            reorder_window: pick(rng, &[1, 1, 2, 4, 8, 32]),
            batch_max: pick(rng, &[1, 1, 2, 4, 16, 64]),
            apply_max: pick(rng, &[1, 2, 8, 64]),
            compact_every: pick(rng, &[1, 5, 20, 60, 200]),
            message_bytes_max: pick(rng, &[1, 150, 400, 2000, 1 << 20]),
            inflight_messages_max: size(pick(rng, &[1, 2, 4, 16, 256])),
            cache_bytes_max: pick(rng, &[0, 300, 2000, 10_000]),
            applying_bytes_max: pick(rng, &[1, 1000, 1 << 20]),
            pace: pick(rng, &[100, 250, 500, 1000]),
            weights: ACTIONS.map(|(_, least, most)| {
                // Some things hardly happen in some worlds: where nobody writes, for example, a machine
                // that hears nothing is not behind, and may be elected.
                let drawn = rng.range(least..most + 1);
                if rng.chance(1, 3) { least } else { drawn }
            }),
        }
    }

    /// What the node `id` is configured with when it starts, for the first time or again.
    pub(crate) fn config(&self, id: NodeId, seed: u64, is_new: bool) -> Config {
        Config {
            id,
            election_ticks: self.election_ticks,
            heartbeat_ticks: self.heartbeat_ticks,
            seed,
            pre_vote: self.pre_vote,
            check_quorum: self.check_quorum,
            restart_wait_ticks: if self.check_quorum && !is_new { self.election_ticks } else { 0 },
            async_persist: self.async_persist,
            message_bytes_max: self.message_bytes_max,
            inflight_messages_max: self.inflight_messages_max,
            inflight_bytes_max: self.message_bytes_max.max(4000),
            cache_bytes_max: self.cache_bytes_max,
            pending_bytes_max: 20_000,
            applying_bytes_max: self.applying_bytes_max,
            pending_reads_max: 64,
            snapshot_ticks_max: 2 * self.election_ticks,
            ..Config::default()
        }
    }

    /// The kind of the next step.
    pub(crate) fn draw_action(&self, rng: &mut Rng) -> Action {
        let mut place = rng.below(self.weights.iter().sum());
        for ((action, ..), weight) in ACTIONS.iter().zip(self.weights) {
            if place < weight {
                return *action;
            }
            place -= weight;
        }
        unreachable!("the place is below the sum of all weights")
    }
}

fn pick(rng: &mut Rng, values: &[u64]) -> u64 {
    *rng.pick(values).expect("the lists above are not empty")
}

fn small(value: u64) -> u32 {
    u32::try_from(value).expect("ticks are few")
}

fn size(value: u64) -> usize {
    usize::try_from(value).expect("a window is small")
}
