//! Answers that a runtime's own thread gives to the tasks that wait for them.
//!
//! A thread that answers a task wakes the runtime, which is a call into the system; and as the runtime is
//! awake at once, each response leaves in a packet of its own, before the next answer comes. So they are put
//! into a queue, of which only the first wakes the runtime. A task there gives some of them, and
//! then the waiters run, one after the other, and after them the connection, with all their responses.

use std::future::poll_fn;
use std::task::Poll;

use tokio::sync::{mpsc, oneshot};

use super::{Abandoned, Answer, Receiver, Reply};

/// The way of answers to a runtime.
pub struct Handover<T: Abandoned>(mpsc::Sender<(Reply<T>, T)>);

/// So many answers make a packet worth it. With more of them, whoever asked would wait idly for the first.
const GIVEN_AT_ONCE: usize = 32;

impl<T: Abandoned + Send> Handover<T> {
    /// The way to a runtime, and what has to be spawned there. An answer that finds `waiting_max` others in
    /// the queue, or nobody at its other end, is given by the thread that has it.
    pub fn new(waiting_max: usize) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, mut receiver) = mpsc::channel::<(Reply<T>, T)>(waiting_max);
        let giving = async move {
            let mut gathered = Vec::with_capacity(GIVEN_AT_ONCE);
            while receiver.recv_many(&mut gathered, GIVEN_AT_ONCE).await > 0 {
                for (reply, answer) in gathered.drain(..) {
                    reply.answer(answer);
                }
                let_others_run().await;
            }
        };
        (Handover(sender), giving)
    }
}

impl<T: Abandoned> Handover<T> {
    /// A duty that is fulfilled over there, and the answer that will come of it.
    pub fn reply(&self) -> (Reply<T>, Answer<T>) {
        let (sender, receiver) = oneshot::channel();
        (Reply(Some(Receiver::Through(self.clone(), sender))), Answer(receiver))
    }

    pub(super) fn pass(&self, reply: Reply<T>, answer: T) {
        if let Err(refused) = self.0.try_send((reply, answer)) {
            let (reply, answer) = refused.into_inner();
            reply.answer(answer);
        }
    }
}

impl<T: Abandoned> Clone for Handover<T> {
    fn clone(&self) -> Self {
        Handover(self.0.clone())
    }
}

/// Ends a task's turn; it comes again after the tasks that can run now.
async fn let_others_run() {
    let mut had_a_turn = false;
    poll_fn(|context| {
        if had_a_turn {
            return Poll::Ready(());
        }
        had_a_turn = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use super::super::tests::Outcome;
    use super::*;

    /// Polls once.
    fn step(task: Pin<&mut impl Future<Output = ()>>) {
        assert_eq!(task.poll(&mut Context::from_waker(Waker::noop())), Poll::Pending);
    }

    #[test]
    fn answers_that_are_handed_over_are_given_there_some_at_a_time() {
        let (handover, giving) = Handover::new(GIVEN_AT_ONCE + 1);
        let mut giving = Box::pin(giving);
        let (replies, mut answers): (Vec<_>, Vec<_>) =
            (0..=GIVEN_AT_ONCE).map(|_| handover.reply()).unzip();
        for reply in replies {
            reply.answer(Outcome::Done(1));
        }
        let mut given = || answers.iter_mut().filter_map(Answer::try_take).count();
        assert_eq!(given(), 0, "the thread that answers wakes no waiter");
        step(giving.as_mut());
        assert_eq!(given(), GIVEN_AT_ONCE, "now they may run");
        step(giving.as_mut());
        assert_eq!(given(), 1);
    }

    #[test]
    fn an_answer_for_which_the_queue_has_no_room_is_given_on_the_spot() {
        let (handover, giving) = Handover::new(1);
        let ((first, mut waits), (second, mut answered)) = (handover.reply(), handover.reply());
        first.answer(Outcome::Done(1));
        second.answer(Outcome::Done(2));
        assert_eq!((waits.try_take(), answered.try_take()), (None, Some(Outcome::Done(2))));
        drop(giving);
        assert_eq!(waits.try_take(), Some(Outcome::Unknown), "it went down with its queue");
        let (late, mut answered) = handover.reply();
        late.answer(Outcome::Done(3));
        assert_eq!(answered.try_take(), Some(Outcome::Done(3)), "and nobody is there any more");
    }

    #[test]
    fn a_dropped_reply_is_handed_over_as_abandoned() {
        let (handover, giving) = Handover::<Outcome>::new(1);
        let (reply, mut answer) = handover.reply();
        assert!(reply.is_awaited());
        drop(reply);
        step(Box::pin(giving).as_mut());
        assert_eq!(answer.try_take(), Some(Outcome::Unknown));
        let (reply, answer) = handover.reply();
        drop(answer);
        assert!(!reply.is_awaited());
    }
}
