//! Whole stores: many regions, disks, snapshots and a scheduler, in one thread and from one seed.

pub mod scheduler;
