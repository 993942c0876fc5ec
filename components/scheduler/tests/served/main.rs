//! A scheduler as its clients meet it: over gRPC, in the process of the test.

mod debian;
mod differential;
mod etcd;
mod etcdctl;
mod failover;
mod fixture;
mod service;
