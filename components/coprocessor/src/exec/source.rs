//! Batches out of pairs.

use super::decode::Decoder;
use super::ranges::{Points, Ranges};
use crate::column::{Batch, Vector};
use crate::error::{Error, Result};
use crate::plan::{Access, Scan};

/// How many bytes of keys and columns fill a batch before it has its rows.
const BATCH_BYTES: usize = 1 << 20;

/// Fills a batch with the rows of a scan, again and again.
pub(crate) struct Source<'a> {
    ranges: Ranges<'a>,
    decoder: Decoder<'a>,
    batch: Batch,
}

/// What is behind the rows of a batch.
#[derive(Debug)]
pub(crate) enum Filled {
    /// More, perhaps.
    More,
    /// Nothing.
    End,
    /// This, and nothing that could be read.
    Failed(Error),
}

impl<'a> Source<'a> {
    /// A source of the columns that are used.
    pub(crate) fn new(scan: &'a Scan, used: &[bool], ranges: Ranges<'a>) -> Self {
        let points = match scan.access {
            Access::Table => Points::Records,
            Access::Index { is_unique: true, .. } => Points::Any,
            Access::Index { is_unique: false, .. } => Points::None,
        };
        let decoder = Decoder::new(scan, used);
        let ranges = ranges.with_points(points).keys_only(!decoder.needs_values());
        let ranges = if scan.is_descending { ranges.reverse() } else { ranges };
        let columns = scan.columns.iter();
        let columns = columns.map(|column| Vector::of_class(column.ty.class())).collect();
        Source { ranges, decoder, batch: Batch { columns, rows: 0 } }
    }

    /// The rows that were filled in last.
    pub(crate) fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Replaces the batch by the next rows, at most so many. What stops it is told beside the rows that
    /// come before it; only giving up has no rows.
    pub(crate) fn fill(&mut self, rows_max: usize) -> Result<Filled> {
        self.batch.clear();
        let mut bytes = 0;
        while self.batch.rows < rows_max && bytes < BATCH_BYTES {
            let (decoder, batch) = (&mut self.decoder, &mut self.batch);
            match self.ranges.next(|key, value| decoder.push(key, value, batch)) {
                Ok(Some(Ok(size))) => bytes += size,
                Ok(Some(Err(error))) => {
                    self.batch.truncate();
                    return Ok(Filled::Failed(error));
                }
                Ok(None) => return Ok(Filled::End),
                Err(error @ Error::Interrupted(_)) => return Err(error),
                Err(error) => return Ok(Filled::Failed(error)),
            }
        }
        Ok(Filled::More)
    }
}

impl Batch {
    fn clear(&mut self) {
        self.rows = 0;
        self.columns.iter_mut().for_each(Vector::clear);
    }

    /// Takes back the part of a row that was decoded before it failed.
    fn truncate(&mut self) {
        for column in &mut self.columns {
            column.truncate(self.rows);
        }
    }
}
