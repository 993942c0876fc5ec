//! A small key space with a memory: what etcd is to its clients, on one node.
//!
//! TinySQL keeps a few keys here: who owns the schema, which version it has, who is alive. It does so
//! with etcd's client, so what is served is etcd's data model, to the letter where a client can see it.
//!
//! # The model
//!
//! A *revision* counts the transactions that changed something. Each key remembers its versions: at
//! which revision it was created, changed, deleted. So the space can be read as of an old revision, and
//! a watcher can ask for everything since one.
//!
//! ```text
//! revision     2              3                4               5
//!              put a=1        put a=2, b=9     delete a        put a=7
//!
//! a            created 2      created 2        (gone)          created 5
//!              modified 2     modified 3                       modified 5
//!              version 1      version 2                        version 1
//! ```
//!
//! Revision 1 is the empty space. *Compaction* at a revision forgets what only older ones could see.
//! A *lease* is a promise to come back; keys bound to it are deleted, at one revision, when its holder
//! does not.
//!
//! # How it is kept
//!
//! All versions are in memory, and on disk once each, in order of revision (`docs/scheduling.md` has
//! the keys). The space is meant for metadata, and it has a limit ([`Limits`]).
//!
//! One thread executes everything, in batches: a batch is executed in memory, written and synced at
//! once, and only then answered and shown to watchers. Reads wait in the same line, so nobody sees what
//! a crash could take back.
//!
//! # Invariants
//!
//! - E1: revisions grow by one per transaction that changes something, and by nothing else.
//! - E2: what was answered, or shown to a watcher, is on disk.
//! - E3: a key names its lease exactly when the lease lists the key.
//!
//! # What is left out
//!
//! Members, authentication, nested transactions, fragments of watch responses. Leases live on in full
//! after a restart, as they do in etcd without checkpoints.

pub mod error;
pub mod lease;
pub mod range;
pub mod space;
pub mod txn;
pub mod watch;
pub mod worker;

pub use error::{MetaError, Outcome};
pub use space::{Identity, Limits, Space};
