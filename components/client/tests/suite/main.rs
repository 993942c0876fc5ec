//! The client against clusters that go wrong on purpose.
//!
//! - [`scheduler`]: the scheduler's client against a real scheduler ([`real`]) behind a network that can
//!   be cut ([`gate`]).
//! - [`table`]: each row of the table of failures, from the wire on.
//! - [`raw`], [`txn`]: what the two interfaces promise.
//! - [`batch`]: requests that travel together. Everywhere else they do so as well, as they do by default.
//! - [`bank`]: many transactions at once, while everything goes wrong.
//!
//! All but the first talk to a [`world`]: stores and regions that do what a test tells them, over real
//! sockets ([`services`], [`streams`]) and a naive twin of the storage ([`model`]).

mod gate;
mod model;
mod real;
mod services;
mod streams;
mod world;

mod bank;
mod batch;
mod raw;
mod scheduler;
mod table;
mod txn;

use std::time::Duration;

use client::Config;

/// Patience for tests: nothing here is far away.
pub(crate) fn config() -> Config {
    Config {
        connect: Duration::from_millis(500),
        scheduler_attempt: Duration::from_millis(500),
        scheduler_total: Duration::from_secs(10),
        ..Config::default()
    }
}

/// Asks again until the answer fits; for what takes effect a moment after it was sent. What is waited for
/// is the answer: the pause only keeps the asking from taking the time that the others need.
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
