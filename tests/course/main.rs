//! The course's tests of clusters: lessons 2B, 2C and 3B. `docs/course.md` says which test is which.
//!
//! Every test is written once and runs in two worlds, see [`world`]: in simulated time, where a
//! minute of trouble takes a moment and can be had again from its seed, and on real threads and disks.
//! A test is a future; [`tasks`] runs several of them side by side in one thread.
//!
//! Stricter than the original: scans read in all three ways that there are, through the log, by a proof
//! of leadership and under a lease; contradictions that the scheduler is told fail a test; and in
//! simulated time a crash also forgets what was written without a sync.
//!
//! Looser: a client that meets a region that has changed looks for it anew, instead of asking for five
//! seconds with what it knew, and takes a breath before it asks the next store; a part of a split that
//! nobody has reported yet is looked for as long as any answer is; a change of peers that begins on a bad
//! network has five more seconds, those after it is whole again; and the keys of several clients are
//! deleted side by side.

mod backend;
mod client;
mod cluster;
mod filter;
mod generic;
mod network;
mod project2b;
mod project2c;
mod project3b;
mod real;
mod simulated;
mod tasks;
mod unlabelled;
mod world;
