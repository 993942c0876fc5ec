//! What single calls cost, crate by crate: for whoever changes one of them and wants to know at once.
//!
//! `make bench-micro` runs all; `make bench-micro ONLY=raft` those with that in their name, and
//! `QUICK=1` looks no longer than it has to. Criterion keeps what it measured, so the next run says what
//! has become of it. A figure by itself is this machine's; how a crate stands to others is the matter of the
//! benches that take turns.

mod engine;
mod raft;
mod scheduler;
mod storage;
mod wire;

#[path = "../raft-bench/src/load.rs"]
mod load;
#[path = "../raft-bench/src/ours.rs"]
mod ours;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    let criterion = &mut criterion;
    wire::raw_put(criterion);
    wire::append_of_32(criterion);
    wire::scan_of_1000(criterion);
    wire::ordered_key(criterion);
    raft::propose(criterion);
    raft::tick(criterion);
    engine::all(criterion);
    storage::transaction(criterion);
    storage::get(criterion);
    scheduler::timestamp(criterion);
    scheduler::region_by_key(criterion);
    criterion.final_summary();
}
