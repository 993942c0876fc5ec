//! A network that can be cut: an address of its own, in front of another one.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on to where it is open to.
pub(crate) struct Gate {
    addr: SocketAddr,
    target: watch::Sender<Option<SocketAddr>>,
}

impl Gate {
    /// A closed one: connections are closed at once.
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there are ports");
        let addr = listener.local_addr().expect("it is bound");
        let (target, watching) = watch::channel(None);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut watching = watching.clone();
                let Some(addr) = *watching.borrow_and_update() else { continue };
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(addr).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = watching.changed() => {}
                    }
                });
            }
        });
        Gate { addr, target }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Lets connections through to `target`; those that are open break.
    pub(crate) fn open(&self, target: SocketAddr) {
        self.target.send_replace(Some(target));
    }

    /// Breaks all connections, and takes no new ones. Answers where it was open to.
    pub(crate) fn close(&self) -> Option<SocketAddr> {
        self.target.send_replace(None)
    }
}
