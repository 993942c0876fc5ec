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
//! is short. Streams between stores have limits of their own, and take no part in this. In a stream of
//! batches each request takes a place, as if it had come by itself; see [`program::room`].

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use program::room::{Room, counted, held};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;

use crate::respond::too_much;

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
        let request = request.map(|body| counted(body, counting, too_much));
        let answered = self.service.call(request);
        Box::pin(async move {
            let response = answered.await?;
            Ok(response.map(|body| held(body, share)))
        })
    }
}

/// An empty message, not compressed, in place of one that is not read.
const NOTHING: Bytes = Bytes::from_static(&[0; 5]);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;

    use http_body::Body as _;
    use program::room::Share;
    use tonic::Status;

    use super::*;

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
