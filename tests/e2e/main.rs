//! A cluster of real processes, and what happens to it: crashes, pauses, full disks, stores that come and
//! go. `make e2e` runs it.
//!
//! The simulation goes through a million such stories and finds what is wrong with an idea. Here are a few,
//! for what it leaves out: the programs themselves, their sockets, their disks, and the system's clock.
//!
//! | story | file |
//! |---|---|
//! | every store is killed in turn, in clusters of three and of five; the scheduler is killed | `crashes` |
//! | a store comes, a store leaves | `stores` |
//! | regions split under load; all stores are restarted in turn under load | `load` |
//! | a leader stands still for five seconds | `pause` |
//! | a disk is full | `disk` |
//!
//! What was acknowledged must be there afterwards, and what was refused must not. A write whose answer was
//! lost may be there or not, which is what the client says of it.

#![expect(clippy::unwrap_used, reason = "a test may fail at every step")]

mod crashes;
mod disk;
mod load;
mod pause;
mod stores;
mod world;
