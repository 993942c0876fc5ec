//! The connections that come in, and how many there may be.
//!
//! Each takes a descriptor for as long as it lasts, also one over which nothing is ever said. Were all
//! taken, the engine could not open its next file, and that ends the node. So at most half of the
//! process's descriptors go to connections; one more is closed as soon as it is there, and whoever made
//! it tries again.
//!
//! Whoever connects and does not say in time that it speaks HTTP/2 is closed as well: its place is
//! wanted. From then on the transport asks the other side whether it is alive. What else is looked at in
//! the beginning of a connection tells `opening`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tonic::codegen::tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::opening::Opening;

/// How many connections there may be, however many descriptors the system gives.
const CONNECTIONS_MAX: usize = 4096;

/// How long it may take to say that one speaks HTTP/2.
const PREFACE_MAX: Duration = Duration::from_secs(10);

/// How much is read at a time while a connection is looked at.
const READ_BYTES: usize = 4 << 10;

/// Accepts connections.
pub struct Incoming {
    listener: TcpListener,
    room: Arc<Semaphore>,
    patience: Duration,
}

impl Incoming {
    /// As many as the process has room for.
    pub fn new(listener: TcpListener) -> Self {
        Self::with(listener, connections_max(), PREFACE_MAX)
    }

    fn with(listener: TcpListener, connections: usize, patience: Duration) -> Self {
        Incoming { listener, room: Arc::new(Semaphore::new(connections)), patience }
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let accepted = std::task::ready!(self.listener.poll_accept(context));
        if let Ok((stream, _)) = accepted
            && let Ok(room) = Arc::clone(&self.room).try_acquire_owned()
        {
            // Answers leave at once: held back to be sent together, as the system would, each waits
            // for the other side's delayed acknowledgement, which is 40 milliseconds.
            let connection = stream.set_nodelay(true).map(|()| Connection {
                stream,
                opening: Some((Opening::new(), Box::pin(sleep(self.patience)))),
                _room: room,
            });
            return Poll::Ready(Some(connection));
        }
        // It came to nothing. After others have had their turn, the next one is looked at.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A connection, and its share of the room.
pub struct Connection {
    stream: TcpStream,
    /// While it is looked at; and for how long the other side may be silent.
    opening: Option<(Opening, Pin<Box<Sleep>>)>,
    _room: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Connection { stream, opening: looked_at, .. } = &mut *self;
        while let Some((opening, patience)) = looked_at {
            let ready = opening.pull(buffer.remaining());
            if opening.is_over() {
                *looked_at = None;
            } else if ready.is_empty() {
                if opening.is_silent() && patience.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                let mut bytes = [0; READ_BYTES];
                let mut read = ReadBuf::new(&mut bytes);
                std::task::ready!(Pin::new(&mut *stream).poll_read(context, &mut read))?;
                opening.push(read.filled());
            }
            if !ready.is_empty() {
                buffer.put_slice(&ready);
                return Poll::Ready(Ok(()));
            }
        }
        Pin::new(stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Takes as many descriptors as the process may have, and leaves half of them to files.
fn connections_max() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where that is refused, it stays as it was.
    let _ = setrlimit(Resource::Nofile, raised);
    let files = getrlimit(Resource::Nofile).current;
    let half = files
        .map_or(CONNECTIONS_MAX, |files| usize::try_from(files / 2).unwrap_or(CONNECTIONS_MAX));
    half.clamp(1, CONNECTIONS_MAX)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn one_connection_too_many_is_closed_and_room_is_given_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut incoming = Incoming::with(listener, 1, PREFACE_MAX);
            let mut next =
                async || poll_fn(|context| Pin::new(&mut incoming).poll_next(context)).await;
            let _first = TcpStream::connect(address).await.unwrap();
            let held = next().await.unwrap().unwrap();
            let mut second = TcpStream::connect(address).await.unwrap();
            let refused = async { second.read(&mut [0; 1]).await.map_or(0, |bytes| bytes) };
            tokio::select! {
                _ = next() => panic!("there is no room for the second"),
                bytes = refused => assert_eq!(bytes, 0, "it is closed"),
            }
            drop(held);
            let _third = TcpStream::connect(address).await.unwrap();
            assert!(next().await.unwrap().is_ok());
        });
        assert!((1..=CONNECTIONS_MAX).contains(&connections_max()));
    }

    #[test]
    fn a_connection_that_is_opened_and_left_ends_and_one_that_speaks_does_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let patience = Duration::from_millis(50);
            let mut incoming = Incoming::with(listener, 2, patience);
            let mut next =
                async || poll_fn(|context| Pin::new(&mut incoming).poll_next(context)).await;
            let _silent = TcpStream::connect(address).await.unwrap();
            let mut left = next().await.unwrap().unwrap();
            let error = left.read(&mut [0; 1]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);

            let mut speaker = TcpStream::connect(address).await.unwrap();
            let mut held = next().await.unwrap().unwrap();
            speaker.write_all(&[b'x'; 24]).await.unwrap();
            held.read_exact(&mut [0; 24]).await.unwrap();
            let frame = [0, 0, 0, 4, 0, 0, 0, 0, 0];
            let later = async {
                sleep(2 * patience).await;
                speaker.write_all(&frame).await.unwrap();
            };
            let mut read = [1; 9];
            let (outcome, ()) = tokio::join!(held.read_exact(&mut read), later);
            assert_eq!((outcome.unwrap(), read), (9, frame));
        });
    }
}
