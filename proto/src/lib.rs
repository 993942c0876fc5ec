//! The words on the wire and on disk.

macro_rules! package {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[allow(
            missing_docs,
            clippy::all,
            clippy::pedantic,
            reason = "generated from the .proto files, which carry the comments"
        )]
        pub mod $name {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
        }
    };
}

package!(
    /// Stores, regions, peers.
    metapb
);
package!(
    /// Raft's messages, entries and states.
    eraftpb
);
package!(
    /// Why a region could not serve.
    errorpb
);
package!(
    /// Raw and transactional requests.
    kvrpcpb
);
package!(
    /// Plans pushed down to the data.
    coprocessor
);
package!(
    /// Commands in the log.
    raft_cmdpb
);
package!(
    /// Between stores; local state.
    raft_serverpb
);
package!(
    /// The scheduler's service.
    schedulerpb
);
package!(
    /// The store's service; nothing but gRPC stubs.
    #[cfg(feature = "grpc")]
    tinykvpb
);
