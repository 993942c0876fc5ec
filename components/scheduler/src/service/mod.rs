//! What is served: calls and streams, from the wire to the core and back.
//!
//! An arm decides nothing. What a request may ask is checked in one place per service; what a failure
//! is called, by [`respond`].

pub mod bounds;
pub mod etcd;
pub mod heartbeats;
pub mod respond;
pub mod scheduler;
pub mod status;
pub mod watches;

use std::pin::Pin;
use std::task::{Context, Poll};

use runtime::reply::{Abandoned, Reply};
use runtime::worker::Tasks;
use tokio::sync::mpsc::Receiver;
use tonic::codegen::tokio_stream::Stream;

use crate::state::Message;

/// Messages of a stream that may wait for their receiver.
pub const STREAM_QUEUE: usize = 1024;

/// A stream of what somebody sends.
pub struct Outgoing<T>(pub Receiver<Message<T>>);

impl<T> Stream for Outgoing<T> {
    type Item = Message<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message<T>>> {
        self.0.poll_recv(cx)
    }
}

/// Hands a task to a worker and awaits the answer. `None` when there is no room for it.
pub async fn ask<T, A: Abandoned>(tasks: &Tasks<T>, task: impl FnOnce(Reply<A>) -> T) -> Option<A> {
    let (reply, answer) = Reply::new();
    // A task that is refused drops its reply, which is then abandoned; the caller says it better.
    tasks.try_send(task(reply)).ok()?;
    Some(answer.await)
}
