//! Stopping: dropped to ask, joined to wait.
//!
//! Whoever starts things keeps a [`Stop`] and gives each of them a [`Stopping`]. Asking is one act,
//! by [`Stop::ask`], by a [`Trigger`] from a signal handler, or by dropping the `Stop`; everything
//! that holds a `Stopping` learns of it, threads and tasks alike. A thing has stopped when it
//! dropped its `Stopping`, and [`Stop::join`] returns when all have. Nobody keeps a list of them.
//!
//! A process stops in this order, so that nothing is torn down that is still needed:
//!
//! 1. *Ask.* Listeners accept no more; background duties finish their round.
//! 2. *From the outside in*, drop the senders: services, then router, then workers. What was
//!    accepted is still answered, since a worker runs its queue to the end.
//! 3. *From the inside out*, join: workers first, as their last results may concern the loops that
//!    feed them; then the loops; then the listeners.
//! 4. Close the engines when nobody can reach them, and end the log last, because all of the above
//!    may have something to say.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tokio::sync::{mpsc, watch};

/// The side that asks and waits.
#[derive(Debug)]
#[must_use = "dropping it asks everything to stop"]
pub struct Stop {
    asking: AskWhenDropped,
    /// What the given-out `Stopping`s are made from.
    stopping: Stopping,
    /// Ends when the last `Stopping` is gone.
    gone: mpsc::Receiver<Infallible>,
}

#[derive(Debug)]
struct AskWhenDropped(Trigger);

impl Drop for AskWhenDropped {
    fn drop(&mut self) {
        self.0.ask();
    }
}

/// Asks, from anywhere and any number of times; dropping it does nothing.
#[derive(Clone, Debug)]
pub struct Trigger(Arc<Asking>);

#[derive(Debug)]
struct Asking {
    /// True once asked; for tasks, which can await a change.
    flag: watch::Sender<bool>,
    /// Gone once asked; for threads, whose channels then report a disconnect.
    sender: Mutex<Option<Sender<Infallible>>>,
}

/// The side that is asked: kept while running, dropped when done.
#[derive(Clone, Debug)]
pub struct Stopping {
    flag: watch::Receiver<bool>,
    channel: Receiver<Infallible>,
    _alive: mpsc::Sender<Infallible>,
}

impl Stop {
    /// Nothing is asked yet and nobody has to stop.
    pub fn new() -> Self {
        let (flag, watched) = watch::channel(false);
        let (sender, channel) = bounded(0);
        let (alive, gone) = mpsc::channel(1);
        let trigger = Trigger(Arc::new(Asking { flag, sender: Mutex::new(Some(sender)) }));
        let stopping = Stopping { flag: watched, channel, _alive: alive };
        Stop { asking: AskWhenDropped(trigger), stopping, gone }
    }

    /// For one more thing that will have to stop. Who is given it late learns at once that it was
    /// asked.
    pub fn stopping(&self) -> Stopping {
        self.stopping.clone()
    }

    /// For a signal handler or an [`Alarm`](crate::worker::Alarm).
    pub fn trigger(&self) -> Trigger {
        self.asking.0.clone()
    }

    /// Asks everything to stop, and does not wait.
    pub fn ask(&self) {
        self.asking.0.ask();
    }

    /// Asks, and blocks until everything has stopped. Not for async tasks.
    pub fn join(self) {
        // The end of the channel is the only thing that can be received.
        self.ask_and_let_go().blocking_recv();
    }

    /// Asks, and waits until everything has stopped.
    pub async fn joined(self) {
        self.ask_and_let_go().recv().await;
    }

    fn ask_and_let_go(self) -> mpsc::Receiver<Infallible> {
        let Stop { asking, stopping, gone } = self;
        drop(asking);
        drop(stopping);
        gone
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Trigger {
    /// Asks everything that holds a [`Stopping`] to stop.
    pub fn ask(&self) {
        self.0.flag.send_replace(true);
        drop(self.0.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Stopping {
    /// Whether it is time to stop. Cheap enough to ask in a loop.
    pub fn is_asked(&self) -> bool {
        *self.flag.borrow()
    }

    /// Awaits the request, for a task's `select!`.
    pub async fn asked(&self) {
        // An error would say that nobody can ask any more, which happens only after the request.
        let _ = self.flag.clone().wait_for(|asked| *asked).await;
    }

    /// Blocks the thread until the request.
    pub fn wait(&self) {
        let _ = self.channel.recv();
    }

    /// Blocks the thread until the request, but not longer than `limit`; returns whether it was
    /// asked. This is how a thread pauses without delaying the end.
    pub fn wait_for(&self, limit: Duration) -> bool {
        match self.channel.recv_timeout(limit) {
            Ok(never) => match never {},
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        }
    }

    /// A channel that carries nothing and is disconnected by the request, for a thread's `select!`.
    pub fn channel(&self) -> &Receiver<Infallible> {
        &self.channel
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::worker::{Alarm, Thread};

    #[test]
    fn asking_reaches_those_who_were_there_and_those_who_come_late() {
        let stop = Stop::new();
        let early = stop.stopping();
        assert!(!early.is_asked());
        assert!(!early.wait_for(Duration::ZERO));
        stop.trigger().ask();
        stop.trigger().ask();
        for stopping in [early, stop.stopping()] {
            assert!(stopping.is_asked());
            assert!(stopping.wait_for(Duration::MAX));
            stopping.wait();
            assert!(stopping.channel().recv().is_err());
        }
    }

    #[test]
    fn dropping_asks_and_a_trigger_does_not_keep_from_it() {
        let stop = Stop::new();
        let (stopping, trigger) = (stop.stopping(), stop.trigger());
        drop(trigger.clone());
        assert!(!stopping.is_asked());
        drop(stop);
        assert!(stopping.is_asked());
    }

    #[test]
    fn a_joined_thread_has_seen_the_request_and_ended() {
        let stop = Stop::new();
        let stopping = stop.stopping();
        let (sender, ended) = bounded(1);
        let thread = Thread::spawn("patient", &Alarm::ignored(), move || {
            stopping.wait();
            sender.send("ended").expect("the test waits");
            drop(stopping);
        });
        stop.join();
        assert_eq!(ended.try_recv(), Ok("ended"));
        assert_eq!(thread.expect("a thread").join(), Ok(()));
    }

    #[test]
    fn a_task_awaits_the_request_and_a_joiner_the_end() {
        let mut context = Context::from_waker(Waker::noop());
        let stop = Stop::new();
        let stopping = stop.stopping();
        let trigger = stop.trigger();
        let mut joined = pin!(stop.joined());
        {
            let mut asked = pin!(stopping.asked());
            assert_eq!(asked.as_mut().poll(&mut context), Poll::Pending);
            trigger.ask();
            assert_eq!(asked.as_mut().poll(&mut context), Poll::Ready(()));
        }
        assert_eq!(joined.as_mut().poll(&mut context), Poll::Pending);
        drop(stopping);
        assert_eq!(joined.as_mut().poll(&mut context), Poll::Ready(()));
    }
}
