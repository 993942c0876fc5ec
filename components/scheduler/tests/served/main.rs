//! A scheduler as its clients meet it: over gRPC, in the process of the test.

#![expect(clippy::unwrap_used, reason = "a test may fail at every step")]

mod debian;
mod differential;
mod etcd;
mod etcdctl;
mod failover;
mod fixture;
mod fuzz;
mod limits;
mod load;
mod service;
