//! redis, over its own protocol: as much of it as gets and puts need.
//!
//! ```text
//!   client  *3 $3 SET $16 key0000000000042 $100 ...       each part is a line with its length, then itself
//!   redis   +OK                                           or -ERR and why
//!   client  *2 $3 GET $16 key0000000000042
//!   redis   $100 ...                                      or $-1, nothing
//! ```

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use runtime::Rng;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::io::{BufStream, Error, ErrorKind};
use tokio::net::TcpStream;

use super::{ConnectError, Done, Failure, check};
use crate::keys::{Values, key};
use crate::workload::Operation;

/// The longest line of an answer.
const LINE_MAX: u64 = 1 << 16;

/// Where it is.
#[derive(Clone)]
pub(crate) struct Address {
    host: String,
    values: Arc<Values>,
}

impl Address {
    pub(crate) fn new(host: &str, values: &Arc<Values>) -> Self {
        Address { host: host.to_owned(), values: Arc::clone(values) }
    }

    /// A connection of its own for each client, as its own benchmark does it.
    pub(crate) async fn connect(&self) -> Result<Redis, ConnectError> {
        let refused = |error| ConnectError(format!("{}: {error}", self.host));
        let stream = TcpStream::connect(&self.host).await.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        Ok(Redis { stream: BufStream::new(stream), values: Arc::clone(&self.values) })
    }
}

/// A connection.
pub(crate) struct Redis {
    stream: BufStream<TcpStream>,
    values: Arc<Values>,
}

impl Redis {
    /// Does an operation.
    pub(crate) async fn perform(
        &mut self,
        operation: Operation,
        rng: &mut Rng,
    ) -> Result<Done, Failure> {
        let lost = |error: Error| Failure::Unknown(error.to_string());
        match operation {
            Operation::Get { key: number, filled } => {
                let found = self.exchange(&[b"GET", &key(number)]).await.map_err(lost)?;
                check(&self.values, number, filled, found.as_deref())
            }
            Operation::Put { key: number } => {
                let value = self.values.of(number, rng);
                self.exchange(&[b"SET", &key(number), &value]).await.map_err(lost)?;
                Ok(Done::rows(0))
            }
            Operation::Scan { .. }
            | Operation::ReadModifyWrite { .. }
            | Operation::Pair { .. }
            | Operation::Transfer { .. }
            | Operation::Timestamp => Err(Failure::Refused("it is not asked for this".to_owned())),
        }
    }

    async fn exchange(&mut self, parts: &[&[u8]]) -> Result<Option<Bytes>, Error> {
        self.stream.write_all(&request(parts)).await?;
        self.stream.flush().await?;
        answer(&mut self.stream).await
    }
}

fn request(parts: &[&[u8]]) -> BytesMut {
    let mut request = BytesMut::from(format!("*{}\r\n", parts.len()).as_bytes());
    for part in parts {
        request.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        request.extend_from_slice(part);
        request.extend_from_slice(b"\r\n");
    }
    request
}

/// Reads one answer: a value, or nothing.
async fn answer(stream: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Bytes>, Error> {
    let strange = |what: &str| Error::new(ErrorKind::InvalidData, what.to_owned());
    let mut line = String::new();
    (&mut *stream).take(LINE_MAX).read_line(&mut line).await?;
    let line = line.strip_suffix("\r\n").ok_or_else(|| strange("the connection was closed"))?;
    let rest = line.get(1..).unwrap_or_default();
    match line.as_bytes().first() {
        Some(b'+') => Ok(None),
        Some(b'$') if rest == "-1" => Ok(None),
        Some(b'$') => {
            let length = rest.parse().ok().filter(|length| *length <= Values::BYTES_MAX);
            let length: usize = length.ok_or_else(|| strange("a value without end"))?;
            let mut value = vec![0; length + 2];
            stream.read_exact(&mut value).await?;
            value.truncate(length);
            Ok(Some(value.into()))
        }
        Some(_) | None => Err(strange(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_its_parts_each_with_its_length() {
        assert_eq!(&request(&[b"GET", b"k"])[..], b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    }

    #[tokio::test]
    async fn answers_are_values_nothing_or_errors() {
        type Expected = Result<Option<&'static str>, &'static str>;
        let cases: [(&[u8], Expected); 7] = [
            (b"+OK\r\n", Ok(None)),
            (b"$-1\r\n", Ok(None)),
            (b"$5\r\na\r\nbc\r\n", Ok(Some("a\r\nbc"))),
            (b"-ERR no memory\r\n", Err("-ERR no memory")),
            (b"", Err("the connection was closed")),
            (b"$99999999999\r\n", Err("a value without end")),
            (b"\r\n", Err("")),
        ];
        for (mut bytes, expected) in cases {
            let found = answer(&mut bytes).await.map_err(|error| error.to_string());
            let expected = expected.map(|value| value.map(|value| Bytes::from(value.to_owned())));
            assert_eq!(found, expected.map_err(str::to_owned));
        }
    }
}
