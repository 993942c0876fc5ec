//! The other end of the wire: raw and transactional calls to a cluster.
