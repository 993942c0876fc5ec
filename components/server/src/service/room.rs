//! How much may be under way, for all connections together.
//!
//! Each call takes a place, and the bytes of its request as they arrive. An answer that reads takes its
//! bytes once it is made. Both are given back when the answer has left, or the client has.
//!
//! ```text
//!   call ──► a place? ──no──► the request is not even read; the answer says: busy
//!              │yes
//!            its bytes? ──no──► RESOURCE_EXHAUSTED, nothing was done
//!              │yes
//!            done ──► the answer's bytes? ──no──► busy (only calls that read)
//!              │yes
//!            sent ──► everything is given back
//! ```
//!
//! A write that is done is answered however full it is: to refuse it then would be a lie, and its answer
//! is short. Streams between stores have limits of their own, and take no part in this.
//!
//! A stream of batches takes no place; each request in it does, as if it had come by itself. So that all
//! of them can be told when there is none, a message is read however full it is, and what is being read
//! and was not looked at yet may be as much again. A stream that sends more than that ends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;

use crate::respond::too_much;

/// How many streams of batches there may be at a time; whoever opens another one is told to send calls.
const STREAMS_MAX: usize = 1024;

/// How a call is bounded.
#[derive(Debug, PartialEq)]
enum Limit {
    /// Not here: between stores, or by those who look after this one.
    Elsewhere,
    /// It takes a place, and its bytes.
    Call,
    /// What is in it takes places.
    Batches,
}

fn limit(path: &str) -> Limit {
    match path {
        "/tinykvpb.TinyKv/Raft" | "/tinykvpb.TinyKv/Snapshot" => Limit::Elsewhere,
        "/tinykvext.TinyKvExt/Batch" => Limit::Batches,
        _ if path.starts_with("/tinykvext.TinyKvExt/") => Limit::Elsewhere,
        _ => Limit::Call,
    }
}

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

    /// Asks all streams of batches to end, because the port closes.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Comes to its end when the room is closed, or gone.
    pub(super) fn closing(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut closed = self.closed.subscribe();
        async move {
            // An error means that it is gone.
            let _ = closed.wait_for(|closed| *closed).await;
        }
    }

    /// A place for one more call.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Share> {
        let has_place = take(&self.calls, 1, self.calls_max);
        has_place.then(|| self.share(Holder::Call, self.bytes_max))
    }

    /// For what one more stream of batches sends, until it is looked at.
    fn open(self: &Arc<Self>) -> Option<Share> {
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
pub(super) struct Share {
    room: Arc<Room>,
    bytes: AtomicUsize,
    holder: Holder,
    /// How many bytes all shares may have together for this one to take more.
    bytes_max: usize,
}

impl Share {
    /// Takes so many bytes more, if there is room.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let fits = take(&self.room.bytes, bytes, self.bytes_max);
        if fits {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// How many bytes it has.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Gives all its bytes back, and keeps its place.
    pub(super) fn give_back(&self) {
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

/// A service whose calls take their share of a room. It finds it in the extensions of the request; a
/// call without one has to be refused.
#[derive(Clone)]
pub struct Bounded<S> {
    service: S,
    room: Arc<Room>,
}

impl<S> Bounded<S> {
    /// Puts `service` into `room`.
    pub(super) fn new(service: S, room: Arc<Room>) -> Self {
        Bounded { service, room }
    }
}

impl<S: NamedService> NamedService for Bounded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Bounded<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let share = match limit(request.uri().path()) {
            Limit::Elsewhere => return Box::pin(self.service.call(request)),
            Limit::Call => self.room.enter(),
            Limit::Batches => self.room.open(),
        };
        let Some(share) = share.map(Arc::new) else {
            let refused = self.service.call(request.map(|_| Body::new(Full::new(NOTHING))));
            return Box::pin(refused);
        };
        request.extensions_mut().insert(Arc::clone(&share));
        let counting = Arc::clone(&share);
        let request = request.map(|body| Body::new(Counted { body, share: counting }));
        let answered = self.service.call(request);
        Box::pin(async move {
            let response = answered.await?;
            // An answer keeps its call's share until it has left.
            Ok(response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _held = &share;
                    frame
                }))
            }))
        })
    }
}

/// An empty message, not compressed, in place of one that is not read.
const NOTHING: Bytes = Bytes::from_static(&[0; 5]);

/// A request whose bytes are counted as they arrive.
struct Counted {
    body: Body,
    share: Arc<Share>,
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
            return Poll::Ready(Some(Err(too_much())));
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http_body::Body as _;

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

    /// Says whether the call has a share, and how long its request is; takes no notice of anything else.
    #[derive(Clone)]
    struct Witness;

    impl Service<http::Request<Body>> for Witness {
        type Response = http::Response<Body>;
        type Error = Status;
        type Future = BoxFuture<Self::Response, Status>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
            Box::pin(async move {
                let mut length = 0;
                while let Some(frame) =
                    poll_fn(|context| Pin::new(request.body_mut()).poll_frame(context)).await
                {
                    length += frame?.data_ref().map_or(0, Bytes::len);
                }
                let has_share = request.extensions().get::<Arc<Share>>().is_some();
                let mut response = http::Response::new(Body::new(Full::new(NOTHING)));
                response.extensions_mut().insert((has_share, length));
                Ok(response)
            })
        }
    }

    fn request(length: usize) -> http::Request<Body> {
        http::Request::new(Body::new(Full::<Bytes>::from(vec![1; length])))
    }

    #[test]
    fn calls_beyond_the_room_are_not_read_and_bytes_beyond_it_end_their_call() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let room = Room::new(2, 10);
            let mut bounded = Bounded::new(Witness, Arc::clone(&room));
            let found = |response: &http::Response<Body>| {
                *response.extensions().get::<(bool, usize)>().unwrap()
            };
            let first = bounded.call(request(6)).await.unwrap();
            assert_eq!(found(&first), (true, 6));
            let too_long = bounded.call(request(5)).await.unwrap_err();
            assert_eq!(too_long.code(), tonic::Code::ResourceExhausted);
            assert_eq!((room.calls(), room.bytes()), (1, 6), "the refused one holds nothing");
            let second = bounded.call(request(4)).await.unwrap();
            let third = bounded.call(request(1000)).await.unwrap();
            assert_eq!(found(&third), (false, 5), "an empty message in its place");
            let mut stream = request(1000);
            *stream.uri_mut() = "/tinykvpb.TinyKv/Raft".parse().unwrap();
            assert_eq!(found(&bounded.call(stream).await.unwrap()), (false, 1000));
            drop((first, second));
            assert_eq!((room.calls(), room.bytes()), (0, 0));
        });
    }
}
