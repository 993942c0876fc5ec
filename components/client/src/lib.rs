//! The other end of the wire: raw and transactional calls to a cluster.

mod backoff;
mod config;
mod dial;
pub mod error;
pub mod scheduler;
pub mod timestamp;

pub use config::Config;
pub use error::{Error, Result};
pub use scheduler::SchedulerClient;
pub use timestamp::Timestamp;
