//! What the suites of the whole system share.
//!
//! - [`process`]: real programs, started on free ports, watched by what they log, and killed;
//! - [`cluster`]: a scheduler and stores of these programs, over one folder;
//! - [`eventually`]: waits for what comes about by itself;
//! - [`fuzz`]: messages that are nearly right;
//! - [`documented`]: the page on configuration, against what the programs say of themselves;
//! - [`scripts`]: golden scripts, a folder at a time.
//!
//! `tidy`, the repository's rules about itself, needs nothing from here.

pub mod cluster;
pub mod documented;
pub mod fuzz;
pub mod process;
pub mod scripts;

use std::time::Duration;

use runtime::clock::{Clock, SystemClock};

/// What has not come about by then does not.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often is looked.
const INTERVAL: Duration = Duration::from_millis(20);

/// Asks again until there is an answer. Panics, naming `what`, when none comes in a minute.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = SystemClock.now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(SystemClock.now().since(start) < PATIENCE, "{what} does not come about");
        tokio::time::sleep(INTERVAL).await;
    }
}
