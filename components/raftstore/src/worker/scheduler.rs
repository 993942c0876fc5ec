//! Calls that wait for the scheduler, so that nobody else has to.

use std::sync::Arc;

use runtime::worker::{Runner, Tasks};
use slog::{Logger, warn};

use super::SchedulerTask;
use crate::message::Completion;
use crate::ports::{SchedulerClient, SchedulerError};

/// Makes the calls one after the other.
pub struct SchedulerWorker {
    client: Arc<dyn SchedulerClient>,
    completions: Tasks<Completion>,
    log: Logger,
}

impl SchedulerWorker {
    /// A worker without tasks.
    pub fn new(
        client: Arc<dyn SchedulerClient>,
        completions: Tasks<Completion>,
        log: Logger,
    ) -> Self {
        SchedulerWorker { client, completions, log }
    }

    /// From now on it reports to `completions`. Returns where it reported to until now, for whoever puts something
    /// in between.
    pub fn report_to(&mut self, completions: Tasks<Completion>) -> Tasks<Completion> {
        std::mem::replace(&mut self.completions, completions)
    }

    /// The store goes on without the scheduler; whatever was to be said is said again.
    fn noted<T>(&self, call: &'static str, result: Result<T, SchedulerError>) -> Option<T> {
        result
            .inspect_err(|error| warn!(self.log, "the scheduler did not answer"; "call" => call, "error" => %error))
            .ok()
    }
}

impl Runner for SchedulerWorker {
    type Task = SchedulerTask;

    fn run(&mut self, task: SchedulerTask) {
        match task {
            SchedulerTask::Heartbeat(heartbeat) => {
                self.noted("region heartbeat", self.client.region_heartbeat(*heartbeat));
            }
            SchedulerTask::StoreHeartbeat(stats) => {
                self.noted("store heartbeat", self.client.store_heartbeat(&stats));
            }
            SchedulerTask::AskSplit { region, key } => {
                let ids = self.noted("ask split", self.client.ask_split(&region));
                let (id, epoch) = (region.region_id(), region.epoch());
                let report = Completion::SplitIds { region: id, epoch, key, ids };
                drop(self.completions.send(report));
            }
            SchedulerTask::AskMembership { region, epoch: _ } => {
                let current = self.noted("region", self.client.region(region)).flatten();
                drop(self.completions.send(Completion::Membership { region, current }));
            }
        }
    }
}
