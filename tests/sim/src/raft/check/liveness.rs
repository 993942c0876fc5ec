//! A group that is healed works again: it has a leader before long, commits what is proposed, and
//! brings all members to the same log (paper, section 5.6; and FLP says why it must be healed first).
//! `world/liveness` heals and counts.

use super::Property;

pub(crate) static PROPERTY: Property = Property {
    name: "a healed group elects a leader, commits, and agrees",
    source: "Raft paper, section 5.6",
};
