//! As much of HTTP/1.1 as a page needs: one request, one answer, and the connection closes.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Bytes of a request, body included; a longer one is refused.
const REQUEST_MAX: usize = 8 << 10;

/// Connections at a time; more wait.
const CONNECTIONS_MAX: usize = 64;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long nobody is let in after a connection could not be accepted: the process is out of
/// descriptors, most likely, and others have to end first.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// Without the part after the question mark.
    pub(super) path: &'a str,
    pub(super) body: &'a str,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    code: u16,
    kind: &'static str,
    body: Cow<'static, str>,
}

impl Response {
    pub(super) fn new(code: u16, kind: &'static str, body: impl Into<Cow<'static, str>>) -> Self {
        Response { code, kind, body: body.into() }
    }

    fn refusal(code: u16, why: &'static str) -> Self {
        Response::new(code, super::TEXT, why)
    }

    fn bytes(&self) -> String {
        let Response { code, kind, body } = self;
        let reason = match code {
            200 => "OK",
            404 => "Not Found",
            405 => "Method Not Allowed",
            413 => "Content Too Large",
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
}

/// Serves until it is dropped.
pub(super) async fn serve<A>(listener: TcpListener, answer: A)
where
    A: Fn(&Request<'_>) -> Response + Send + Sync + 'static,
{
    let answer = Arc::new(answer);
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS_MAX {
            // Whichever of them ends first makes room, however it ended.
            drop(connections.join_next().await);
        }
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(REFUSED_PAUSE).await;
            continue;
        };
        let answer = Arc::clone(&answer);
        connections.spawn(async move {
            // Who is too slow, or gone, gets nothing.
            let _ = tokio::time::timeout(PATIENCE, exchange(stream, &*answer)).await;
        });
    }
}

async fn exchange(
    mut stream: TcpStream,
    answer: &(impl Fn(&Request<'_>) -> Response + Sync),
) -> std::io::Result<()> {
    let mut received = Vec::new();
    let mut buffer = [0; 1024];
    let response = loop {
        let read = stream.read(&mut buffer).await?;
        received.extend_from_slice(&buffer[..read]);
        match parse(&received) {
            Parsed::Whole(request) => break answer(&request),
            Parsed::Refused(response) => break response,
            Parsed::Part if read == 0 => return Ok(()),
            Parsed::Part => {}
        }
    };
    stream.write_all(response.bytes().as_bytes()).await?;
    stream.shutdown().await
}

/// What has come of a request so far.
#[derive(Debug, PartialEq, Eq)]
enum Parsed<'a> {
    Part,
    Whole(Request<'a>),
    Refused(Response),
}

fn parse(received: &[u8]) -> Parsed<'_> {
    let Some(end) = received.windows(4).position(|end| end == b"\r\n\r\n") else {
        return if received.len() <= REQUEST_MAX {
            Parsed::Part
        } else {
            Parsed::Refused(Response::refusal(431, "the request is too long\n"))
        };
    };
    let nonsense = Parsed::Refused(Response::refusal(400, "this is no request\n"));
    let (head, body) = (&received[..end], &received[end + 4..]);
    let Ok(head) = str::from_utf8(head) else { return nonsense };
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next())
    else {
        return nonsense;
    };
    let Some(length) = body_length(lines).filter(|_| version.starts_with("HTTP/1.")) else {
        return nonsense;
    };
    if length > REQUEST_MAX {
        return Parsed::Refused(Response::refusal(413, "the body is too long\n"));
    }
    let Some(body) = body.get(..length) else { return Parsed::Part };
    let Ok(body) = str::from_utf8(body) else { return nonsense };
    let path = target.split('?').next().unwrap_or_default();
    Parsed::Whole(Request { method, path, body })
}

/// How long the body is, if the head says so in a way that is understood.
fn body_length<'a>(lines: impl Iterator<Item = &'a str>) -> Option<usize> {
    let mut length = 0;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_however_it_arrives_and_nonsense_is_refused() {
        let put = b"PUT /log-level?now HTTP/1.1\r\nHost: x\r\ncontent-LENGTH: 5\r\n\r\ndebug";
        for length in 0..put.len() {
            assert_eq!(parse(&put[..length]), Parsed::Part, "{length}");
        }
        let whole = Request { method: "PUT", path: "/log-level", body: "debug" };
        assert_eq!(parse(put), Parsed::Whole(whole));
        let long = [b'x'; REQUEST_MAX + 1];
        let cases: [(&[u8], u16); 6] = [
            (b"GET /\r\n\r\n", 400),
            (b"hello\r\n\r\n", 400),
            (b"\xff / HTTP/1.1\r\n\r\n", 400),
            (b"PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            (b"PUT / HTTP/1.1\r\nContent-Length: 8193\r\n\r\n", 413),
            (&long, 431),
        ];
        for (bytes, code) in cases {
            let Parsed::Refused(response) = parse(bytes) else { panic!("{bytes:?}") };
            assert_eq!(response.code, code, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
