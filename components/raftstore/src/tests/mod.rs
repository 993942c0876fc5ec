//! Whole stores, stepped by hand: several of them over disks that forget and fail, in one thread and
//! without a clock that moves by itself.

mod apply;
mod cluster;
mod crash;
mod machine;
mod net;
mod scheduler;
mod snapshots;
mod stale;
