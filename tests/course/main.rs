//! The course's tests of clusters: lessons 2B, 2C and 3B. `docs/course.md` says which test is which.
//!
//! Every test is written once and runs in two worlds, see [`world`]: in simulated time, where a
//! minute of trouble takes a moment and can be had again from its seed, and on real threads and disks.
//! A test is a future; [`tasks`] runs several of them side by side in one thread.
//!
//! Where the tests differ from the original: a client that meets a region that has changed looks for
//! it anew, instead of asking five seconds long with what it knew; scans read in all three ways that
//! there are; the keys of several clients are deleted side by side; and in simulated time a crash also
//! forgets what was written without a sync.

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
