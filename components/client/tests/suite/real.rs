//! The real scheduler, in the process of the test.

use std::sync::Arc;

use client::{Config, SchedulerClient};
use engine::{Engine, Layout, Memory};
use program::{About, Failure};
use runtime::Rng;
use runtime::clock::SystemClock;
use runtime::shutdown::Stop;
use scheduler::node::{Base, Running};
use slog::{Discard, Logger, o};

use crate::gate::Gate;

/// A real scheduler in the process of the test, behind a gate.
pub(crate) struct Scheduler {
    pub(crate) gate: Gate,
    /// Kept: a scheduler whose `Stop` is gone stops.
    _stop: Stop,
}

impl Scheduler {
    pub(crate) async fn start() -> Self {
        let gate = Gate::new().await;
        let anywhere = "127.0.0.1:0".to_owned();
        let config = scheduler::config::Config {
            client_urls: format!("http://{anywhere}"),
            advertise_client_urls: format!("http://{}", gate.addr()),
            status_addr: String::new(),
            ..scheduler::config::Config::default()
        };
        let engine: Arc<dyn Engine> = Arc::new(Memory::new(Layout::Raft));
        let stop = Stop::new();
        let logger = Logger::root(Discard, o!());
        let failure = Arc::new(Failure::new(stop.trigger()));
        let clock = Arc::new(SystemClock);
        let about = About::default();
        let base = Base { engine, clock, failure, about, logger: logger.clone() };
        let running = Running::start(&config, base).await.expect("it starts");
        gate.open(running.addr);
        let stopping = stop.stopping();
        tokio::spawn(async move {
            running.until(&stopping, &logger).await.0.expect("it serves until it is asked to stop");
        });
        Scheduler { gate, _stop: stop }
    }

    pub(crate) async fn client(&self) -> SchedulerClient {
        self.client_with(crate::config()).await
    }

    pub(crate) async fn client_with(&self, config: Config) -> SchedulerClient {
        let addr = self.gate.addr().to_string();
        SchedulerClient::connect(&[&addr], config, Rng::new(1)).await.expect("it is there")
    }
}
