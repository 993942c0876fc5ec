//! The status port: a few pages for people, probes and Prometheus, over HTTP/1.1.
//!
//! | page | answer |
//! |---|---|
//! | `/metrics` | what is counted, as Prometheus reads it |
//! | `/status` | what this scheduler knows, as JSON |
//! | `/livez` | 200 while the process answers |
//! | `/readyz` | 200 while somebody leads whom calls reach, 503 otherwise |
//!
//! It changes nothing, so it reads the first line of a request and no more, and closes.

use std::sync::Arc;
use std::time::Duration;

use runtime::metrics::{CONTENT_TYPE, Metrics};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::state::State;

/// Bytes of a request's head; a longer one is refused.
const HEAD_MAX: usize = 8 << 10;

/// Connections at a time; more wait.
const CONNECTIONS_MAX: usize = 64;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What pages are made from.
pub struct Pages {
    /// What is known.
    pub state: Arc<State>,
    /// What is counted.
    pub metrics: Metrics,
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, pages: Pages) {
    let (pages, room) = (Arc::new(pages), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        // Out of descriptors, most likely: others have to end first.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let pages = Arc::clone(&pages);
        tokio::spawn(async move {
            // Who is too slow, or gone, gets nothing.
            let _ = tokio::time::timeout(PATIENCE, answer(stream, &pages)).await;
            drop(permit);
        });
    }
}

async fn answer(mut stream: TcpStream, pages: &Pages) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    let response = loop {
        let read = stream.read(&mut buffer).await?;
        head.extend_from_slice(&buffer[..read]);
        if head.windows(4).any(|end| end == b"\r\n\r\n") {
            break pages.page(&head);
        }
        if read == 0 {
            return Ok(());
        }
        if head.len() > HEAD_MAX {
            break page(431, "text/plain", "the request is too long\n");
        }
    };
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

fn page(code: u16, kind: &str, body: &str) -> String {
    let reason = match code {
        200 => "OK",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Bad Request",
    };
    let length = body.len();
    format!(
        "HTTP/1.1 {code} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

impl Pages {
    fn page(&self, head: &[u8]) -> String {
        let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        if !words.next().unwrap_or("").starts_with("HTTP/1.") {
            return page(400, "text/plain", "this is no request\n");
        }
        if method != "GET" {
            return page(405, "text/plain", "only GET is answered here\n");
        }
        match path.split('?').next().unwrap_or("") {
            "/metrics" => page(200, CONTENT_TYPE, &self.metrics.text()),
            "/status" => page(200, "application/json", &self.status()),
            "/livez" => page(200, "text/plain", "ok\n"),
            "/readyz" if self.is_ready() => page(200, "text/plain", "ok\n"),
            "/readyz" => page(503, "text/plain", "nobody leads\n"),
            _ => page(404, "text/plain", "try /status, /metrics, /livez or /readyz\n"),
        }
    }

    fn is_ready(&self) -> bool {
        self.state.membership.leader().is_some()
    }

    fn status(&self) -> String {
        let membership = &self.state.membership;
        let name = |member: Option<proto::schedulerpb::Member>| {
            member.map_or("null".to_owned(), |member| format!("{:?}", member.name))
        };
        let now = self.state.clock.now();
        let has_time = self.state.tso().is_open();
        let core = self.state.core();
        format!(
            "{{\"name\": {}, \"cluster_id\": {}, \"leads\": {}, \"leader\": {}, \
             \"timestamps\": {has_time}, \"bootstrapped\": {}, \"stores\": {}, \"regions\": {}, \
             \"plans\": {}}}\n",
            name(Some(membership.me().clone())),
            self.state.cluster_id,
            membership.leads(now),
            name(membership.leader()),
            core.cluster.meta.is_some(),
            core.cluster.stores.len(),
            core.cluster.regions.len(),
            core.controller.iter().count(),
        )
    }
}
