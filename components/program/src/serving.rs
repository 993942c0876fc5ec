//! What calls run on, and where they come in.

use std::io;
use std::net::SocketAddr;
use std::thread::available_parallelism;

use tokio::net::TcpListener;

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {source}; choose another address with {flag}")]
pub struct ListenError {
    /// The address.
    pub addr: SocketAddr,
    /// The flag that says which.
    pub flag: &'static str,
    /// What the system said.
    pub source: io::Error,
}

/// Listens on exactly this address, which the flag names; answers it with the port that the system chose
/// where that was left open.
pub async fn listen(
    addr: SocketAddr,
    flag: &'static str,
) -> Result<(TcpListener, SocketAddr), ListenError> {
    let refused = |source| ListenError { addr, flag, source };
    let listener = TcpListener::bind(addr).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

/// What calls run on. On few cores a single thread for all calls serves more than several that wake each
/// other.
pub fn async_runtime() -> io::Result<tokio::runtime::Runtime> {
    let threads = available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(threads).thread_name("grpc").enable_all().build()
}
