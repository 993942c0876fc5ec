//! An answer that is owed, and given exactly once.
//!
//! A [`Reply`] moves along with the work: from the client's call into a queue, into the list of
//! proposals, to the thread that applies. Whoever can answer, consumes it. It cannot be answered
//! twice, because [`answer`](Reply::answer) takes it by value; and it cannot be forgotten, because
//! dropping it gives the answer that the type keeps for this case, [`Abandoned::abandoned`]. So a
//! client never waits for a path that nobody thought of: a full queue, a destroyed peer, a thread
//! that panicked.
//!
//! For a command, *abandoned* must mean "unknown": the work may have been done before its reply
//! was lost.
//!
//! There are three ways to receive. [`Reply::new`] gives an [`Answer`] to await, to wait for, or to
//! poll. [`Handover::reply`] gives one for a task of an async runtime that a thread will answer among
//! many others. [`Reply::from_fn`] calls a function instead, on the thread that answers. Deadlines are
//! the receiver's: it may stop waiting at any time.

mod handover;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

pub use handover::Handover;

/// Answers that can say "nobody answered".
pub trait Abandoned {
    /// The answer that is given when a reply is dropped.
    fn abandoned() -> Self;
}

/// The duty to answer once.
#[must_use = "a reply that is dropped answers `abandoned`"]
pub struct Reply<T: Abandoned>(Option<Receiver<T>>);

enum Receiver<T: Abandoned> {
    Waiter(oneshot::Sender<T>),
    Through(Handover<T>, oneshot::Sender<T>),
    Function(Box<dyn FnOnce(T) + Send>),
}

impl<T: Abandoned> Reply<T> {
    /// A duty and the answer that will come of it.
    pub fn new() -> (Reply<T>, Answer<T>) {
        let (sender, receiver) = oneshot::channel();
        (Reply(Some(Receiver::Waiter(sender))), Answer(receiver))
    }

    /// A duty that is fulfilled by calling `receive`, on the thread that answers.
    ///
    /// That may be any thread, and also one that is panicking: the function hands the answer over
    /// and does not block, compute or panic.
    pub fn from_fn(receive: impl FnOnce(T) + Send + 'static) -> Reply<T> {
        Reply(Some(Receiver::Function(Box::new(receive))))
    }

    /// Gives the answer. Nothing happens when nobody waits for it any more.
    pub fn answer(mut self, answer: T) {
        self.deliver(answer);
    }

    /// Whether somebody may still be interested; when not, the work can be skipped.
    pub fn is_awaited(&self) -> bool {
        match &self.0 {
            Some(Receiver::Waiter(sender) | Receiver::Through(_, sender)) => !sender.is_closed(),
            Some(Receiver::Function(_)) => true,
            None => false,
        }
    }

    fn deliver(&mut self, answer: T) {
        match self.0.take() {
            // An error means that the waiter has gone, which is its right.
            Some(Receiver::Waiter(sender)) => drop(sender.send(answer)),
            Some(Receiver::Through(handover, sender)) => {
                handover.pass(Reply(Some(Receiver::Waiter(sender))), answer);
            }
            Some(Receiver::Function(receive)) => receive(answer),
            None => {}
        }
    }
}

impl<T: Abandoned> Drop for Reply<T> {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.deliver(T::abandoned());
        }
    }
}

impl<T: Abandoned> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_awaited() { "Reply(awaited)" } else { "Reply(nobody waits)" })
    }
}

/// The answer to come: `.await` it, [`wait`](Answer::wait) for it, or [`try_take`](Answer::try_take).
#[derive(Debug)]
pub struct Answer<T>(oneshot::Receiver<T>);

impl<T> Answer<T> {
    /// The answer, if it was given and not yet taken. Never blocks.
    pub fn try_take(&mut self) -> Option<T> {
        self.0.try_recv().ok()
    }

    /// Blocks the thread until the answer is there. Not for async tasks, which await it.
    pub fn wait(self) -> T {
        self.0.blocking_recv().expect(ANSWERED)
    }
}

impl<T> Future for Answer<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let answer = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(answer.expect(ANSWERED))
    }
}

/// Why an answer that is awaited cannot fail to come.
const ANSWERED: &str = "a reply answers before it is gone, and this answer was not yet taken";

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::Waker;

    use super::*;

    #[derive(Debug, PartialEq)]
    pub(super) enum Outcome {
        Done(u32),
        Unknown,
    }

    impl Abandoned for Outcome {
        fn abandoned() -> Self {
            Outcome::Unknown
        }
    }

    #[test]
    fn an_answer_is_given_once_to_whoever_waits() {
        let (reply, answer) = Reply::new();
        reply.answer(Outcome::Done(1));
        assert_eq!(answer.wait(), Outcome::Done(1));

        let (reply, mut answer) = Reply::new();
        assert_eq!(answer.try_take(), None, "not yet given");
        reply.answer(Outcome::Done(2));
        assert_eq!(answer.try_take(), Some(Outcome::Done(2)));
        assert_eq!(answer.try_take(), None, "already taken");
    }

    #[test]
    fn a_dropped_reply_answers_abandoned_also_out_of_a_panic() {
        let (reply, answer) = Reply::<Outcome>::new();
        drop(reply);
        assert_eq!(answer.wait(), Outcome::Unknown);

        let (reply, answer) = Reply::<Outcome>::new();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _held = reply;
            std::panic::resume_unwind(Box::new("a worker broke"));
        }));
        assert!(panicked.is_err());
        assert_eq!(answer.wait(), Outcome::Unknown);
    }

    #[test]
    fn a_task_that_awaits_is_woken_by_the_answer() {
        let (reply, mut answer) = Reply::new();
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(Pin::new(&mut answer).poll(&mut context), Poll::Pending);
        reply.answer(Outcome::Done(3));
        assert_eq!(Pin::new(&mut answer).poll(&mut context), Poll::Ready(Outcome::Done(3)));
    }

    #[test]
    fn a_function_receives_the_answer_or_the_abandonment_exactly_once() {
        let (sender, receiver) = mpsc::sync_channel(4);
        let collect = |sender: &mpsc::SyncSender<_>| {
            let sender = sender.clone();
            Reply::from_fn(move |answer| sender.send(answer).expect("room for four"))
        };
        collect(&sender).answer(Outcome::Done(4));
        drop(collect(&sender));
        drop(sender);
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [Outcome::Done(4), Outcome::Unknown]);
    }

    #[test]
    fn a_reply_knows_when_nobody_waits() {
        let (reply, answer) = Reply::<Outcome>::new();
        assert!(reply.is_awaited());
        drop(answer);
        assert!(!reply.is_awaited());
        reply.answer(Outcome::Done(5));
    }
}
