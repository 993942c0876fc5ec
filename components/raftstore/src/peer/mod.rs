//! One replica of one region: a Raft node, its storage, and whoever waits for it.
//!
//! A peer is a core. It is told what happened and puts what it wants done into an
//! [`Outgoing`]; the [worker](crate::worker::raft) does that for all peers together. Its files:
//!
//! | file | the question it answers |
//! |---|---|
//! | [`stage`] | where in its life is it? |
//! | [`admit`] | may this command be done here, now? |
//! | [`propose`] | how does it get into the log? |
//! | [`bundle`] | which of them share an entry? |
//! | [`proposals`] | who waits for which entry? |
//! | [`ready`] | what must be written, sent and applied, in which order? |
//! | [`read`] | how is a read answered without the log? |
//! | [`applied`] | what follows from what was applied? |
//! | [`install`] | how does a snapshot become its data? |
//! | [`stale`] | is this message from the past? |
//! | [`consent`] | what does a removed peer still say? |
//! | [`duties`] | what does it do from time to time? |

pub(crate) mod admit;
pub(crate) mod applied;
pub(crate) mod bundle;
pub(crate) mod consent;
pub(crate) mod duties;
pub(crate) mod install;
pub(crate) mod proposals;
pub(crate) mod propose;
pub(crate) mod read;
pub(crate) mod ready;
pub(crate) mod stage;
pub(crate) mod stale;

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::eraftpb::MessageType;
use proto::metapb::{Peer as PeerRecord, Region, RegionEpoch};
use proto::raft_serverpb::RaftMessage;
use proto::{PeerId, RegionId};
use raft::{RawNode, Role, Storage as _};
use slog::{Logger, o};

use crate::context::{Context, Outgoing};
use crate::error::{Error, Result};
use crate::peer::bundle::Bundle;
use crate::peer::duties::PeerDuties;
use crate::peer::proposals::Proposals;
use crate::peer::read::{Leases, Reads};
use crate::peer::stage::Stage;
use crate::router::View;
use crate::storage::PeerStorage;
use crate::worker::ApplyTask;

/// Entries that a peer may still have to apply and count as one that has caught up: under load there is
/// always one.
const CAUGHT_UP_ENTRIES: u64 = 128;

/// One replica of one region.
pub(crate) struct Peer {
    own: PeerRecord,
    pub(crate) node: RawNode<PeerStorage>,
    pub(crate) stage: Stage,
    /// Writes of this turn that are not proposed yet.
    bundle: Option<Bundle>,
    proposals: Proposals,
    reads: Reads,
    leases: Leases,
    duties: PeerDuties,
    /// The epoch of the message that called this peer into being, while nothing else is known.
    called_at: RegionEpoch,
    /// Peers of other stores that have spoken, for those who are not members, or not known as such.
    acquaintances: BTreeMap<u64, PeerRecord>,
    /// A split that this leader has proposed, until it is applied: its place in the log.
    pending_split: Option<u64>,
    /// Entries that are committed while a snapshot is on its way into the data. Raft limits their bytes.
    held: Vec<ApplyTask>,
    /// What everybody may know, as it was published last.
    published: Option<View>,
    log: Logger,
}

impl Peer {
    /// A peer that goes on from `storage`. `is_restarted` says that it may have promised something that
    /// it does not know any more.
    pub(crate) fn new(
        context: &Context,
        own: PeerRecord,
        storage: PeerStorage,
        stage: Stage,
        is_restarted: bool,
    ) -> Result<Self> {
        let region = storage.region_id();
        let log = context.log.new(o!("region" => region.get(), "peer" => own.id));
        let others = storage.region().peers.iter().any(|peer| *peer != own);
        let may_have_promised = is_restarted && (others || !storage.is_initialized());
        let config = raft_config(context, own, &storage, may_have_promised);
        let node = RawNode::new(config, storage, log.clone()).map_err(at(region))?;
        Ok(Peer {
            own,
            node,
            stage,
            bundle: None,
            proposals: Proposals::default(),
            reads: Reads::default(),
            leases: Leases::default(),
            duties: PeerDuties::new(&context.ticks, region),
            called_at: RegionEpoch::default(),
            acquaintances: BTreeMap::new(),
            pending_split: None,
            held: Vec::new(),
            published: None,
            log,
        })
    }

    /// This store's peer, as others know it.
    pub(crate) fn own(&self) -> PeerRecord {
        self.own
    }

    pub(crate) fn storage(&self) -> &PeerStorage {
        self.node.storage()
    }

    pub(crate) fn region(&self) -> &Region {
        self.storage().region()
    }

    /// A message of a sender that knows the region at this epoch made the peer.
    pub(crate) fn was_called_at(&mut self, epoch: RegionEpoch) {
        self.called_at = epoch;
    }

    /// How many changes of the peers are known here: the latest of them may have made this peer.
    pub(crate) fn known_conf_ver(&self) -> u64 {
        self.region().epoch().conf_ver.max(self.called_at.conf_ver)
    }

    pub(crate) fn region_id(&self) -> RegionId {
        self.storage().region_id()
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.stage.is_active() && matches!(self.node.raft().role(), Role::Leader(_))
    }

    pub(crate) fn term(&self) -> u64 {
        self.node.raft().term()
    }

    /// Who leads, as far as this peer knows.
    pub(crate) fn leader(&self) -> Option<PeerRecord> {
        self.find(self.node.raft().leader()?)
    }

    /// Whether the peer has its data and its leader, and next to nothing left to apply.
    pub(crate) fn is_caught_up(&self) -> bool {
        if !self.stage.is_active() || self.leader().is_none() {
            return false;
        }
        let status = self.node.status();
        status.committed.saturating_sub(status.applied) <= CAUGHT_UP_ENTRIES
    }

    /// Remembers who has spoken, so that an answer finds its way.
    pub(crate) fn meet(&mut self, peer: PeerRecord) {
        if self.region().peer(PeerId::new(peer.id)).is_none() {
            if self.acquaintances.len() >= ACQUAINTANCES_MAX {
                self.acquaintances.pop_first();
            }
            self.acquaintances.insert(peer.id, peer);
        }
    }

    fn find(&self, id: u64) -> Option<PeerRecord> {
        let member = self.region().peer(PeerId::new(id));
        member.or_else(|| self.acquaintances.get(&id)).copied()
    }

    /// Takes in a raft message that is of the present.
    pub(crate) fn step(&mut self, message: proto::eraftpb::Message) -> Result<()> {
        let Ok(message) = raft::Message::try_from(message) else {
            runtime::mark!("a raft message that makes no sense");
            return Ok(());
        };
        let from = message.from;
        let outcome = self.node.step(message);
        if self.node.raft().leader() == Some(from) {
            self.duties.heard_leader();
        }
        match outcome {
            // The disk is ours; everything else is somebody else's mistake, or bad luck.
            Err(raft::Error::Storage(error @ raft::StorageError::Failed(_))) => {
                Err(at(self.region_id())(raft::Error::Storage(error)))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// One unit of time has passed.
    pub(crate) fn tick(&mut self, context: &Context, out: &mut Outgoing) -> Result<()> {
        if self.stage.takes_messages() {
            self.node.tick().map_err(at(self.region_id()))?;
        }
        self.do_duties(context, out);
        Ok(())
    }

    /// A message as it travels, if it is known where its receiver lives.
    fn envelope(&self, message: raft::Message) -> Option<RaftMessage> {
        let to = self.find(message.to)?;
        let region = self.region();
        let may_create = may_create(&message.body);
        let message: proto::eraftpb::Message = message.into();
        let mut envelope = RaftMessage {
            region_id: region.id,
            from_peer: Some(self.own),
            to_peer: Some(to),
            message: Some(message),
            region_epoch: Some(region.epoch()),
            ..RaftMessage::default()
        };
        if may_create && self.storage().is_initialized() {
            envelope.start_key = region.start_key.clone();
            envelope.end_key = region.end_key.clone();
        }
        Some(envelope)
    }

    fn send_all(&self, messages: Vec<raft::Message>, to: &mut Vec<RaftMessage>) {
        to.extend(messages.into_iter().filter_map(|message| self.envelope(message)));
    }

    /// Shows what everybody may know, if it has changed.
    pub(crate) fn publish(&mut self, context: &Context) {
        let lease_until = self.lease_until(context);
        let term = self.term();
        let leader = self.leader();
        if let Some(known) = &self.published
            && known.term == term
            && known.leader == leader
            && known.lease_until == lease_until
            && *known.region == *self.region()
        {
            return;
        }
        let region = match &self.published {
            Some(known) if *known.region == *self.region() => Arc::clone(&known.region),
            Some(_) | None => Arc::new(self.region().clone()),
        };
        let view = View { region, peer: self.own, term, leader, lease_until };
        context.router.publish(self.region_id(), view.clone());
        self.published = Some(view);
    }

    /// How many commands and reads wait.
    pub(crate) fn waiting(&self) -> usize {
        self.proposals.len() + self.reads.len()
    }
}

/// Peers that are remembered though they are no members; who speaks next replaces the oldest number.
const ACQUAINTANCES_MAX: usize = 16;

/// Adds the region to an error of its Raft node.
pub(crate) fn at(region: RegionId) -> impl Fn(raft::Error) -> Error {
    move |source| Error::Raft { region: region.get(), source }
}

/// Whether a message may bring its receiver into being: somebody who has nothing is asked for a vote,
/// or is told of a leader by a heartbeat that expects nothing of it.
fn may_create(body: &raft::Body) -> bool {
    use raft::Body::{Heartbeat, RequestPreVote, RequestVote};
    matches!(body, RequestVote { .. } | RequestPreVote { .. } | Heartbeat { commit: 0, .. })
}

/// The same question to a message that came from elsewhere.
pub(crate) fn is_initial(message: &proto::eraftpb::Message) -> bool {
    match MessageType::try_from(message.msg_type) {
        Ok(MessageType::MsgHeartbeat) => message.commit == 0,
        Ok(_) => wants_vote(message),
        Err(_) => false,
    }
}

/// Whether a message asks for a vote, or for the promise of one.
pub(crate) fn wants_vote(message: &proto::eraftpb::Message) -> bool {
    matches!(
        MessageType::try_from(message.msg_type),
        Ok(MessageType::MsgRequestVote | MessageType::MsgRequestPreVote)
    )
}

fn raft_config(
    context: &Context,
    own: PeerRecord,
    storage: &PeerStorage,
    may_have_promised: bool,
) -> raft::Config {
    let config = &context.config;
    let seed =
        context.rng.fork(&format!("peer {} of region {}", own.id, storage.region_id())).seed();
    raft::Config {
        id: own.id,
        election_ticks: config.election_ticks,
        heartbeat_ticks: config.heartbeat_ticks,
        applied: storage.applied_index(),
        seed,
        pre_vote: true,
        check_quorum: true,
        restart_wait_ticks: if may_have_promised
            && storage.last_index() + storage.hard_state().term > 0
        {
            config.election_ticks
        } else {
            0
        },
        async_persist: false,
        cache_bytes_max: config.entry_cache_size.get(),
        pending_bytes_max: config.proposing_size_max.get(),
        applying_bytes_max: config.applying_size_max.get(),
        snapshot_ticks_max: context.ticks.snapshot_max,
        ..raft::Config::default()
    }
}
