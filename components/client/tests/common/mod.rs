//! What the tests of this crate share.

#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod gate;

use std::sync::Arc;
use std::time::Duration;

use client::{Config, SchedulerClient};
use engine::{Engine, Layout, Memory};
use runtime::Rng;
use runtime::clock::SystemClock;
use runtime::shutdown::Stop;
use scheduler::failure::Failure;
use scheduler::node::{Base, Running};
use slog::{Discard, Logger, o};

use self::gate::Gate;

/// A real scheduler in the process of the test, behind a gate.
pub(crate) struct Scheduler {
    pub(crate) gate: Gate,
    /// Kept: a scheduler whose `Stop` is gone stops.
    stop: Stop,
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
        let base = Base { engine, clock, failure, logger: logger.clone() };
        let running = Running::start(&config, base).await.expect("it starts");
        gate.open(running.addr);
        let stopping = stop.stopping();
        tokio::spawn(async move {
            running.until(&stopping, &logger).await.0.expect("it serves until it is asked to stop");
        });
        Scheduler { gate, stop }
    }

    pub(crate) async fn client(&self) -> SchedulerClient {
        self.client_with(config()).await
    }

    pub(crate) async fn client_with(&self, config: Config) -> SchedulerClient {
        let addr = self.gate.addr().to_string();
        SchedulerClient::connect(&[&addr], config, Rng::new(1)).await.expect("it is there")
    }
}

/// Patience for tests: nothing here is far away.
pub(crate) fn config() -> Config {
    Config {
        connect: Duration::from_millis(500),
        scheduler_attempt: Duration::from_millis(500),
        scheduler_total: Duration::from_secs(10),
        ..Config::default()
    }
}

/// Asks again until the answer fits; for what takes effect a moment after it was sent.
pub(crate) async fn eventually<T, F>(mut ask: impl FnMut() -> F, fits: impl Fn(&T) -> bool) -> T
where
    F: Future<Output = T>,
    T: std::fmt::Debug,
{
    let mut last = None;
    for _ in 0..1000 {
        let answer = ask().await;
        if fits(&answer) {
            return answer;
        }
        last = Some(answer);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came to fit: {last:?}");
}
