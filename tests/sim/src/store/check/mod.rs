//! What must always be true of whole stores: one property per file, each with where it comes from.
//!
//! | property | file | asked |
//! |---|---|---|
//! | no store stops by itself, or finds fault with itself | here | after each event |
//! | at most one leader of a region in a term | `leaders` | after each turn |
//! | at most one lease for a key | `leaders` | after each turn |
//! | regions of a store do not overlap, epochs grow, tombstones stay | `records` | when the disk changed |
//! | the newest regions cover all keys | `cover` | at intervals, and in the end |
//! | equal applied index, equal data | `replicas` | when the disk changed, and in the end |
//! | a snapshot is sent in the epoch that it shows | `shown` | when its files arrive |
//! | a command is answered, by the epoch it was meant for | `answers` | with each answer, in the end |
//! | each key is a linearizable register | `zones` | in the end |
//! | what is appended stays, once, in one order | `lists` | with each read, and in the end |
//! | no removal costs a region its majority | `majority` | when the real scheduler asks for one |
//! | what is healed works again | `liveness` | in the end |

pub(crate) mod answers;
pub(crate) mod cover;
pub(crate) mod leaders;
pub(crate) mod lists;
pub(crate) mod liveness;
pub(crate) mod majority;
pub(crate) mod records;
pub(crate) mod replicas;
pub(crate) mod shown;
pub(crate) mod zones;

pub use crate::raft::{Property, Violation};

/// The outcome of a check.
pub type Verdict<T = ()> = Result<T, Violation>;

/// The stores' own opinion: their assertions, and errors that nobody has caused.
pub(crate) static STORES: Property =
    Property { name: "no store stops by itself", source: "the invariants in components/raftstore" };

/// All that is remembered between events.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    pub(crate) leaders: leaders::Leaders,
    pub(crate) records: records::Records,
    pub(crate) replicas: replicas::Replicas,
    pub(crate) registers: zones::Registers,
    pub(crate) lists: lists::Lists,
}
