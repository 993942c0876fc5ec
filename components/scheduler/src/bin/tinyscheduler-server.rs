//! The program of a scheduler.

use std::process::ExitCode;

use scheduler::node;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    program::entry(node::run)
}
