//! What ends the process from within: a disk that fails, a thread that panics, a lost right to write.

use std::sync::OnceLock;

use runtime::shutdown::Trigger;

/// Asks everything to stop; the first reason is kept.
#[derive(Debug)]
pub struct Failure {
    reason: OnceLock<String>,
    trigger: Trigger,
}

impl Failure {
    /// Nothing has failed; what fails will pull this trigger.
    pub fn new(trigger: Trigger) -> Self {
        Failure { reason: OnceLock::new(), trigger }
    }

    /// The process must stop, for this reason.
    pub fn report(&self, reason: &str) {
        let _ = self.reason.set(reason.to_owned());
        self.trigger.ask();
    }

    /// Why it must stop, if it must.
    pub fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }
}
