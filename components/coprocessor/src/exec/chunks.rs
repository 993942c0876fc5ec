//! Rows as they go out: 64 of them in a chunk, written in place.
//!
//! A `SelectResponse` is its chunks and a few bytes, so its bytes are made here as rows come, and nothing
//! is copied when the answer is complete.

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use proto::tipb::{self, SelectResponse};

use crate::error::Result;
use crate::memory::Memory;

/// How many rows a chunk has.
const CHUNK_ROWS: usize = 64;

/// The numbers of `SelectResponse.chunks` and `Chunk.rows_data`.
const CHUNKS: u32 = 3;
const ROWS_DATA: u32 = 3;

/// The rows of an answer.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    complete: Vec<u8>,
    /// The rows of the chunk that is not full.
    open: Vec<u8>,
    open_rows: usize,
}

impl Chunks {
    /// Appends a row that `write` writes.
    pub(crate) fn push(
        &mut self,
        memory: &mut Memory,
        write: impl FnOnce(&mut Vec<u8>, &Memory) -> Result<()>,
    ) -> Result<()> {
        let before = self.open.len();
        write(&mut self.open, memory)?;
        self.open_rows += 1;
        memory.take(self.open.len() - before)?;
        if self.open_rows == CHUNK_ROWS {
            self.close();
        }
        Ok(())
    }

    fn close(&mut self) {
        if self.open_rows == 0 {
            return;
        }
        let rows_len = self.open.len() as u64;
        let chunk_len = 1 + encoded_len_varint(rows_len) as u64 + rows_len;
        encode_key(CHUNKS, WireType::LengthDelimited, &mut self.complete);
        encode_varint(chunk_len, &mut self.complete);
        encode_key(ROWS_DATA, WireType::LengthDelimited, &mut self.complete);
        encode_varint(rows_len, &mut self.complete);
        self.complete.extend_from_slice(&self.open);
        self.open.clear();
        self.open_rows = 0;
    }

    /// The whole message. Its other fields are larger than that of the chunks, and stand behind them.
    pub(crate) fn into_response(mut self, warnings: Vec<tipb::Error>) -> Vec<u8> {
        self.close();
        let rest = SelectResponse { warnings, ..SelectResponse::default() };
        rest.encode(&mut self.complete).expect("a vector takes everything");
        self.complete
    }
}
