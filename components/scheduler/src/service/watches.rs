//! A stream of watches: requests go to the thread that owns the space, which then writes to us.

use std::sync::atomic::{AtomicU64, Ordering};

use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{WatchRequest, WatchResponse};
use runtime::worker::Tasks;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, OwnedPermit, Receiver, Sender};
use tonic::codegen::tokio_stream::Stream;
use tonic::{Response, Status, Streaming};

use super::{Outgoing, STREAM_QUEUE};
use crate::meta::MetaError;
use crate::meta::watch::{Offer, Sink};
use crate::meta::worker::{Task, Told};
use crate::service::respond::meta_status;
use crate::state::Message;

/// Tells streams apart.
static STREAMS: AtomicU64 = AtomicU64::new(0);

/// The end of a stream that watchers write to.
struct Responses(Sender<Message<WatchResponse>>);

impl Sink for Responses {
    fn offer(&self, response: WatchResponse) -> Offer {
        match self.0.try_send(Ok(response)) {
            Ok(()) => Offer::Taken,
            Err(TrySendError::Full(_)) => Offer::Full,
            Err(TrySendError::Closed(_)) => Offer::Gone,
        }
    }
}

/// Serves a stream until it ends.
pub async fn serve(
    tasks: Tasks<Task>,
    mut requests: Streaming<WatchRequest>,
    responses: Sender<Message<WatchResponse>>,
) {
    let stream = STREAMS.fetch_add(1, Ordering::Relaxed);
    while let Ok(Some(request)) = requests.message().await {
        let Some(wish) = request.request_union else { continue };
        // An answer has its place before the question is asked, so events cannot push it out.
        let Ok(permit) = responses.clone().reserve_owned().await else { break };
        let task = task(stream, wish, told(permit), &responses);
        if tasks.try_send(task).is_err() {
            let _ = responses.send(Err(meta_status(&MetaError::TooManyRequests))).await;
            break;
        }
    }
    // A watcher that is left over would be found gone when it is shown something.
    let _ = tasks.try_send(Task::Forget { stream });
}

fn told(permit: OwnedPermit<Message<WatchResponse>>) -> Told {
    Box::new(move |response| {
        permit.send(Ok(response));
    })
}

fn task(
    stream: u64,
    wish: RequestUnion,
    told: Told,
    responses: &Sender<Message<WatchResponse>>,
) -> Task {
    match wish {
        RequestUnion::CreateRequest(request) => {
            let sink = Box::new(Responses(responses.clone()));
            Task::Watch { stream, request, told, sink }
        }
        RequestUnion::CancelRequest(request) => {
            Task::CancelWatch { stream, watch: request.watch_id, told }
        }
        RequestUnion::ProgressRequest(_) => Task::Progress { stream, told },
    }
}

/// A client's messages, for the server behind us. It ends with the client's stream.
pub fn pass_on<T: Send + 'static>(mut requests: Streaming<T>) -> impl Stream<Item = T> {
    let (sender, receiver): (Sender<Message<T>>, Receiver<Message<T>>) =
        mpsc::channel(STREAM_QUEUE);
    tokio::spawn(async move {
        while let Ok(Some(request)) = requests.message().await {
            if sender.send(Ok(request)).await.is_err() {
                return;
            }
        }
    });
    Passed(Outgoing(receiver))
}

/// A stream that has no errors.
struct Passed<T>(Outgoing<T>);

impl<T> Stream for Passed<T> {
    type Item = T;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<T>> {
        self.0.0.poll_recv(cx).map(|message| message.and_then(Result::ok))
    }
}

/// The server's messages, for the client. It is called when the server has opened its side, which a
/// real etcd does only after the client has said something; so nobody may wait for it before.
pub async fn pass_back<T>(
    opened: Result<Response<Streaming<T>>, Status>,
    responses: Sender<Result<T, Status>>,
) {
    let mut answers = match opened {
        Ok(answers) => answers.into_inner(),
        Err(status) => {
            // Nobody to tell is no failure.
            let _ = responses.send(Err(status)).await;
            return;
        }
    };
    loop {
        let (message, is_last) = match answers.message().await {
            Ok(Some(message)) => (Ok(message), false),
            Ok(None) => return,
            Err(status) => (Err(status), true),
        };
        // Also when nobody receives any more, the stream behind us ends with this.
        if responses.send(message).await.is_err() || is_last {
            return;
        }
    }
}
