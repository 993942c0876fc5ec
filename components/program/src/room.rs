//! How much may be under way, for all connections together.
//!
//! Each call takes a place, and the bytes of its request as they arrive. Both are given back when the
//! answer has left, or the client has. What a call hears for which there is no place is for the program
//! to say.
//!
//! A stream that carries requests of its own takes no place; each request in it does, as if it had come by
//! itself. So that all of them can be told when there is none, a message is read however full it is, and
//! what is being read and was not looked at yet may be as much again. A stream that sends more than that
//! ends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;

/// How many streams there may be that carry requests; whoever opens another one is told to send calls.
const STREAMS_MAX: usize = 1024;

/// What is under way.
#[derive(Debug)]
pub struct Room {
    calls: AtomicUsize,
    streams: AtomicUsize,
    bytes: AtomicUsize,
    calls_max: usize,
    bytes_max: usize,
    closed: watch::Sender<bool>,
}

impl Room {
    /// For so many calls and bytes.
    pub fn new(calls_max: usize, bytes_max: usize) -> Arc<Room> {
        let [calls, streams, bytes] = [const { AtomicUsize::new(0) }; 3];
        let (closed, _) = watch::channel(false);
        Arc::new(Room { calls, streams, bytes, calls_max, bytes_max, closed })
    }

    /// Calls under way.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Their bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Asks all streams that carry requests to end, because the port closes.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Comes to its end when the room is closed, or gone.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut closed = self.closed.subscribe();
        async move {
            // An error means that it is gone.
            let _ = closed.wait_for(|closed| *closed).await;
        }
    }

    /// A place for one more call.
    pub fn enter(self: &Arc<Self>) -> Option<Share> {
        let has_place = take(&self.calls, 1, self.calls_max);
        has_place.then(|| self.share(Holder::Call, self.bytes_max))
    }

    /// For what one more stream sends that carries requests, until it is looked at.
    pub fn open(self: &Arc<Self>) -> Option<Share> {
        let has_place = take(&self.streams, 1, STREAMS_MAX);
        has_place.then(|| self.share(Holder::Stream, self.bytes_max.saturating_mul(2)))
    }

    fn share(self: &Arc<Self>, holder: Holder, bytes_max: usize) -> Share {
        Share { room: Arc::clone(self), bytes: AtomicUsize::new(0), holder, bytes_max }
    }
}

fn take(taken: &AtomicUsize, more: usize, max: usize) -> bool {
    let before = taken.fetch_add(more, Ordering::Relaxed);
    let fits = before.checked_add(more).is_some_and(|sum| sum <= max);
    if !fits {
        taken.fetch_sub(more, Ordering::Relaxed);
    }
    fits
}

/// Who has a share.
#[derive(Debug)]
enum Holder {
    Call,
    Stream,
}

/// What one call takes of the room, until it is dropped.
#[derive(Debug)]
pub struct Share {
    room: Arc<Room>,
    bytes: AtomicUsize,
    holder: Holder,
    /// How many bytes all shares may have together for this one to take more.
    bytes_max: usize,
}

impl Share {
    /// Takes so many bytes more, if there is room.
    pub fn take(&self, bytes: usize) -> bool {
        let fits = take(&self.room.bytes, bytes, self.bytes_max);
        if fits {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Gives all its bytes back, and keeps its place.
    pub fn give_back(&self) {
        self.room.bytes.fetch_sub(self.bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let places = match self.holder {
            Holder::Call => &self.room.calls,
            Holder::Stream => &self.room.streams,
        };
        places.fetch_sub(1, Ordering::Relaxed);
        self.give_back();
    }
}

/// A request whose bytes are taken from a share as they arrive. One byte too many, and the call hears what
/// `too_much` says.
pub fn counted(body: Body, share: Arc<Share>, too_much: fn() -> Status) -> Body {
    Body::new(Counted { body, share, too_much })
}

struct Counted {
    body: Body,
    share: Arc<Share>,
    too_much: fn() -> Status,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        let bytes = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Buf::remaining),
            Some(Err(_)) | None => 0,
        };
        if bytes > 0 && !self.share.take(bytes) {
            return Poll::Ready(Some(Err((self.too_much)())));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer that keeps its call's share until it has left.
pub fn held(body: Body, share: Arc<Share>) -> Body {
    Body::new(body.map_frame(move |frame| {
        let _held = &share;
        frame
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back_and_never_more_than_there_is() {
        let room = Room::new(2, 10);
        let first = room.enter().expect("there is a place");
        let second = room.enter().expect("there is a place");
        assert!(room.enter().is_none());
        assert!(first.take(4) && second.take(6));
        assert!(!first.take(1) && !first.take(usize::MAX));
        assert_eq!((room.calls(), room.bytes()), (2, 10));
        drop(second);
        assert!(first.take(6));
        assert!(room.enter().is_some());
        drop(first);
        assert_eq!((room.calls(), room.bytes()), (0, 0));
    }
}
