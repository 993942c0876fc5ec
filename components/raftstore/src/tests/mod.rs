//! Whole stores, stepped by hand: several of them over disks that forget and fail, in one thread and
//! without a clock that moves by itself.

mod apply;
mod bootstrap;
mod bundles;
mod checks;
mod cluster;
mod course_storage;
mod course_util;
mod course_workers;
mod crash;
mod leases;
mod log_gc;
mod look;
mod machine;
mod net;
mod replies;
mod scheduler;
mod script;
mod snapshots;
mod splits;
mod stale;
