//! How much may be under way, for all connections together.
//!
//! A *call* has one request, which is in memory until it is answered; so calls are counted, and so are
//! the bytes of their requests. A *stream* lasts as long as its client, and looks at one message after
//! the other. Were streams counted among the calls, a thousand idle watchers would take the place of those
//! who want a timestamp; so they have a room of their own.
//!
//! Whoever finds no place is told so at once, in a status that says try again, and nothing is read of what
//! they sent.

use std::sync::Arc;
use std::task::{Context, Poll};

use program::room::{Room, counted, held};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;

use super::respond::{too_many_calls, too_many_streams, too_much};
use crate::config;

/// The calls that are streams.
const STREAMS: [&str; 4] = [
    "/schedulerpb.Scheduler/Tso",
    "/schedulerpb.Scheduler/RegionHeartbeat",
    "/etcdserverpb.Watch/Watch",
    "/etcdserverpb.Lease/LeaseKeepAlive",
];

/// What is under way, and how much may be.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Calls, with the bytes of their requests.
    pub calls: Arc<Room>,
    /// Streams.
    pub streams: Arc<Room>,
}

impl Bounds {
    /// As much as the settings say.
    pub fn new(limits: &config::Limits) -> Self {
        Bounds {
            calls: Room::new(limits.calls as usize, limits.bytes.as_usize()),
            streams: Room::new(limits.streams as usize, 0),
        }
    }

    /// A service that takes its place here.
    pub fn around<S>(&self, service: S) -> Bounded<S> {
        Bounded { service, bounds: self.clone() }
    }
}

/// A service within bounds.
#[derive(Clone)]
pub struct Bounded<S> {
    service: S,
    bounds: Bounds,
}

impl<S: NamedService> NamedService for Bounded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Bounded<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let is_stream = STREAMS.contains(&request.uri().path());
        let room = if is_stream { &self.bounds.streams } else { &self.bounds.calls };
        let Some(share) = room.enter().map(Arc::new) else {
            let refusal = if is_stream { too_many_streams() } else { too_many_calls() };
            return Box::pin(std::future::ready(Ok(refusal.into_http())));
        };
        let request = if is_stream {
            request
        } else {
            let share = Arc::clone(&share);
            request.map(|body| counted(body, share, too_much))
        };
        let answered = self.service.call(request);
        Box::pin(async move {
            let response = answered.await?;
            Ok(response.map(|body| held(body, share)))
        })
    }
}
