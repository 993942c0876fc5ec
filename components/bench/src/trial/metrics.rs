//! What a store says of itself on its status port.

use std::io::Result;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A page, with the head of the answer.
async fn ask(host: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(host).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Whether calls find at a store what they need.
pub(super) async fn is_ready(host: &str) -> bool {
    ask(host, "/readyz").await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
}

/// Everything that a store counts.
pub(super) async fn read(host: &str) -> Result<Counted> {
    ask(host, "/metrics").await.map(Counted)
}

/// A page of counters, as Prometheus reads it.
pub(super) struct Counted(String);

impl Counted {
    /// The count of a series, by its name and labels.
    pub(super) fn of(&self, series: &str) -> Option<u64> {
        let count = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.trim().parse().ok();
        self.0.lines().find_map(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_by_its_whole_name() {
        let page =
            Counted("HTTP/1.1 200 OK\r\n\r\n# HELP a\na_total 1\na_total{b=\"c\"} 7\n".into());
        assert_eq!(page.of("a_total"), Some(1));
        assert_eq!(page.of("a_total{b=\"c\"}"), Some(7));
        assert_eq!(page.of("a"), None);
    }
}
