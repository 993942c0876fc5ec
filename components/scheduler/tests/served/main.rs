//! A scheduler as its clients meet it: over gRPC, in the process of the test.

mod etcd;
mod fixture;
mod service;
