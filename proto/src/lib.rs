//! The words: every message that a process of TinyKV sends or keeps, and every service it offers.
//!
//! They are promises. TinySQL, the clients and tests of the original TinyKV, and etcdctl speak
//! them already; data directories are full of them. So a field number is for ever, and the tables
//! of all fields are kept twice, in the .proto files and in `docs/wire.md`, with a test between
//! the two that names every difference.
//!
//! # Which packages are what
//!
//! | package | wire | disk | between |
//! |---|---|---|---|
//! | [`metapb`] | yes | yes | everybody: stores, regions, peers |
//! | [`eraftpb`] | yes | yes | the members of a Raft group; entries and hard states are kept |
//! | [`errorpb`] | yes | | a store and its clients: why a region did not serve |
//! | [`kvrpcpb`] | yes | | a store and its clients: raw and transactional requests |
//! | [`coprocessor`] | yes | | a store and TinySQL: plans, and what they come to |
//! | [`tipb`] | yes | | the same two: what `coprocessor` carries as bytes |
//! | [`raft_cmdpb`] | | yes | a store and its own log: the data of an entry |
//! | [`raft_serverpb`] | yes | yes | stores; the local states of a region are kept |
//! | [`schedulerpb`] | yes | | the scheduler, stores and clients |
//! | `tinykvpb` | yes | | the service of a store, which has no messages of its own |
//! | [`tinykvext`] | yes | | our own client and tools, and a store |
//! | [`etcdserverpb`] | yes | | the scheduler, TinySQL and etcdctl |
//! | [`mvccpb`] | yes | | the same: keys and events |
//!
//! What the original has no words for is either a package of its own (`tinykvext`) or has a number
//! from 100 on, and is absent unless the option that needs it is on. With everything off, a
//! cluster speaks exactly the original's protocol, but for the hint in a refusal, which who does not
//! know it reads past.
//!
//! # Conventions
//!
//! - **Bytes are [`bytes::Bytes`].** A key that arrives from the network is a slice of the buffer
//!   it came in; cloning counts a reference. A message that is kept for long therefore keeps its
//!   whole buffer: copy what you keep of a large one.
//! - **Zero is absent**, in all packages but `tipb`: a number, string or bytes at zero is not
//!   written, and one that is not there reads as zero. A message is different: `Some` of an empty
//!   one is written, with length zero. In `tipb`, an `Option` says whether a field is there, and a
//!   field without one is always written. `docs/wire.md` has the rules, the tests their bytes.
//! - **An enum is an `i32`** in a message, so that a number nobody knows yet survives.
//!   `message.msg_type()` reads it as the enum, where an unknown number becomes the first value;
//!   `MessageType::try_from(message.msg_type)` tells. Input from outside wants the latter.
//! - **Enum values** have the names of the .proto files in Rust's spelling (`MsgAppend`,
//!   `NotBootstrapped`), without the enum's own name in front where it was repeated.
//! - **Names of fields** are in Rust's spelling, too: etcd's `clientURLs` is `client_urls`, tipb's
//!   `columnLen` is `column_len`, and `type` is `r#type`.
//! - **Errors are boxed**: a field of type `errorpb::Error` or `kvrpcpb::KeyError` is an
//!   `Option<Box<_>>`, because it is large and hardly ever there.
//! - **Everything is optional until validated.** A decoded message is only well-formed. Whoever
//!   takes it from the outside checks it once, at one place of each service.
//!
//! Decoding never panics: bytes that are no message are a [`prost::DecodeError`]. Messages nest at
//! most 100 deep. Fields with unknown numbers are skipped, and gone when the message is written.
//!
//! # Feature `grpc`
//!
//! Adds the clients and servers of the services, on tonic. They run over any transport: a client
//! is made of a channel that its owner has connected. Without the feature the crate is messages
//! only, which is all that Raft, the regions and the simulator need.
//!
//! [`ids`], [`region`] and [`entry`] are what little we say about these messages ourselves.

pub mod entry;
pub mod ids;
pub mod region;

pub use ids::{PeerId, RegionId, StoreId};

#[cfg(test)]
mod tests;

/// All packages as data: an encoded `google.protobuf.FileDescriptorSet`, comments included. It is
/// what gRPC reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// A module for one package, with what the build script made of its .proto file.
macro_rules! package {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        #[allow(
            missing_docs,
            clippy::all,
            clippy::pedantic,
            reason = "generated; what needs a comment has it in the .proto file"
        )]
        pub mod $name {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
        }
    };
}

package!(
    /// Who and where: stores, regions, peers.
    metapb
);
package!(
    /// What the members of a Raft group say and keep.
    eraftpb
);
package!(
    /// Why a region did not serve.
    errorpb
);
package!(
    /// Raw and transactional requests.
    kvrpcpb
);
package!(
    /// Plans that are computed beside the data.
    coprocessor
);
package!(
    /// Commands to a region, as they stand in its log.
    raft_cmdpb
);
package!(
    /// What stores send around Raft's messages, and the local states of a region.
    raft_serverpb
);
package!(
    /// The scheduler: time, ids, the map of regions, and what to move.
    schedulerpb
);
package!(
    /// The service of a store; there are only stubs in it.
    #[cfg(feature = "grpc")]
    tinykvpb
);
package!(
    /// Our own service of a store: batches and administration.
    tinykvext
);
package!(
    /// TinySQL's plans, expressions, results and statistics.
    tipb
);
package!(
    /// The part of etcd's API that is served: keys, watches, leases, members.
    etcdserverpb
);
package!(
    /// Keys and events of etcd's API.
    mvccpb
);
