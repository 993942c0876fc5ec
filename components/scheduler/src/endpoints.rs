//! Several etcds as one: calls go to one of them until it fails, and then to the next.
//!
//! A member that is gone refuses connections in no time. Were calls spread over all members, those that
//! fall to it would fail for as long as it is gone, and it takes several in a row that succeed to begin a
//! term. So it costs whoever is under way when it goes, and nobody else.
//!
//! A call that failed is not made again here: nobody knows whether it was carried out, but who made it
//! knows what that means.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::transport::{Channel, Endpoint, Error};
use tonic::{Code, Status};

/// How long a connection may take, and how long one is silent before it is asked whether it lives.
const PATIENCE: Duration = Duration::from_secs(1);

/// A way to all members of an etcd.
#[derive(Clone)]
pub struct Endpoints {
    members: Vec<Channel>,
    /// The one that was found ready.
    chosen: usize,
    /// The one that has not failed lately, for all clones.
    current: Arc<AtomicUsize>,
}

impl Endpoints {
    /// To the members at these URLs. `patience` limits each call; streams go without.
    pub fn new(urls: &[String], patience: Option<Duration>) -> Result<Self, String> {
        let member = |url: &String| {
            let endpoint =
                Endpoint::try_from(url.clone()).map_err(|error| format!("{url}: {error}"))?;
            let endpoint = endpoint.connect_timeout(PATIENCE).tcp_nodelay(true);
            let endpoint =
                endpoint.http2_keep_alive_interval(PATIENCE).keep_alive_timeout(PATIENCE);
            let endpoint = match patience {
                Some(patience) => endpoint.timeout(patience),
                None => endpoint,
            };
            Ok(endpoint.connect_lazy())
        };
        let members = urls.iter().map(member).collect::<Result<Vec<_>, String>>()?;
        assert!(!members.is_empty(), "without an etcd, everything is kept here");
        Ok(Endpoints { members, chosen: 0, current: Arc::default() })
    }
}

impl Service<http::Request<Body>> for Endpoints {
    type Response = http::Response<Body>;
    type Error = Error;
    type Future = BoxFuture<Self::Response, Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.chosen = self.current.load(Ordering::Relaxed);
        self.members[self.chosen].poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (chosen, current) = (self.chosen, Arc::clone(&self.current));
        let next = (chosen + 1) % self.members.len();
        let called = self.members[chosen].call(request);
        Box::pin(async move {
            let outcome = called.await;
            if outcome.as_ref().map_or(true, is_unavailable) {
                // Of those who fail together, one goes on to the next.
                let _ =
                    current.compare_exchange(chosen, next, Ordering::Relaxed, Ordering::Relaxed);
            }
            outcome
        })
    }
}

/// It says itself that another one may know more.
fn is_unavailable(response: &http::Response<Body>) -> bool {
    let status = Status::from_header_map(response.headers());
    status.is_some_and(|status| status.code() == Code::Unavailable)
}
