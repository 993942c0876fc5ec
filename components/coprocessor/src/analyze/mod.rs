//! ANALYZE: what a planner wants to know about the values of a table or an index.
//!
//! | statistic | of | tells |
//! |---|---|---|
//! | [`Histogram`] | an index, an integer primary key | how many values are in a range |
//! | [`CountSketch`] | an index, a column | how often a value occurs, at most |
//! | [`DistinctSketch`](sketch::DistinctSketch) | a column | how many different values there are, about |
//! | samples | a column | a histogram, which the client builds |
//!
//! A histogram wants its values in order, so it is only made where the scan has them so. The statistics of
//! all regions are merged by the client, which is why hashes and encodings are fixed to the bit.
//!
//! NULL is a value here like any other, as in the original: it is counted, sampled, and sketched. Wrong
//! statistics make plans worse, and answers never wrong.

mod collector;
pub(crate) mod hash;
mod histogram;
mod sketch;

use prost::Message as _;
use proto::tipb::{
    AnalyzeColumnsReq, AnalyzeColumnsResp, AnalyzeIndexReq, AnalyzeIndexResp, AnalyzeReq,
    AnalyzeType,
};

use crate::datum::Datum;
use crate::error::{Error, Result};
use crate::exec::source::{Filled, Source};
use crate::exec::{ROWS_MAX, Ranges};
use crate::memory::Memory;
use crate::plan::{Access, Scan, table_columns};
use crate::table::RECORD_KEY_LEN;

use collector::Collector;
use histogram::Histogram;
use sketch::CountSketch;

/// Collects statistics over ranges and answers their message.
pub(crate) fn run(
    request: &AnalyzeReq,
    ranges: Ranges<'_>,
    memory: &mut Memory,
    is_original: bool,
) -> Result<Vec<u8>> {
    if request.tp == i32::from(AnalyzeType::TypeIndex) {
        let request = request.idx_req.as_ref();
        let request = request.ok_or_else(|| Error::invalid("no index to analyze"))?;
        return Ok(index(request, ranges, memory, is_original)?.encode_to_vec());
    }
    let request = request.col_req.as_ref();
    let request = request.ok_or_else(|| Error::invalid("no columns to analyze"))?;
    Ok(columns(request, ranges, memory, is_original)?.encode_to_vec())
}

fn index(
    request: &AnalyzeIndexReq,
    ranges: Ranges<'_>,
    memory: &mut Memory,
    is_original: bool,
) -> Result<AnalyzeIndexResp> {
    let mut histogram = Histogram::new(request.bucket_size);
    let mut sketch = match (request.cmsketch_depth, request.cmsketch_width) {
        (Some(depth), Some(width)) => Some(CountSketch::new(depth, width, memory, is_original)?),
        (_, None) | (None, _) => None,
    };
    let mut ranges = ranges.keys_only(true);
    let mut collect = |key: &[u8]| -> Result<()> {
        let values = key.get(RECORD_KEY_LEN..).ok_or(Error::SHORT)?;
        let mut rest = values;
        for _ in 0..request.num_columns {
            Datum::cut(&mut rest)?;
        }
        let values = &values[..values.len() - rest.len()];
        if let Some(sketch) = &mut sketch {
            sketch.insert(values);
        }
        histogram.push(values, memory)
    };
    while let Some(collected) = ranges.next(|key, _| collect(key))? {
        collected?;
    }
    let (hist, cms) = (Some(histogram.into_message()), sketch.map(CountSketch::into_message));
    Ok(AnalyzeIndexResp { hist, cms })
}

fn columns(
    request: &AnalyzeColumnsReq,
    ranges: Ranges<'_>,
    memory: &mut Memory,
    is_original: bool,
) -> Result<AnalyzeColumnsResp> {
    let columns = table_columns(&request.columns_info, is_original)?;
    let Some(first) = request.columns_info.first() else {
        return Err(Error::invalid("no columns to analyze"));
    };
    let mut histogram = first.pk_handle.then(|| Histogram::new(request.bucket_size));
    let skipped = usize::from(first.pk_handle);
    let mut collectors = columns[skipped..].iter();
    let mut collectors = collectors.try_fold(Vec::new(), |mut all, _| {
        all.push(Collector::new(request, memory, is_original)?);
        Ok::<_, Error>(all)
    })?;
    let used = vec![true; columns.len()];
    let scan = Scan { access: Access::Table, columns, is_descending: false };
    let mut source = Source::new(&scan, &used, ranges);
    let mut encoded = Vec::new();
    loop {
        let filled = source.fill(ROWS_MAX)?;
        let batch = source.batch();
        for (place, (column, vector)) in scan.columns.iter().zip(&batch.columns).enumerate() {
            for row in 0..batch.rows {
                encoded.clear();
                vector.at(row, column.ty.reads_unsigned()).encode_value(&mut encoded);
                match (&mut histogram, place) {
                    (Some(histogram), 0) => histogram.push(&encoded, memory)?,
                    _ => collectors[place - skipped].push(&encoded, memory)?,
                }
            }
        }
        match filled {
            Filled::More => {}
            Filled::End => break,
            Filled::Failed(error) => return Err(error),
        }
    }
    let collectors = collectors.into_iter().map(Collector::into_message).collect();
    Ok(AnalyzeColumnsResp { collectors, pk_hist: histogram.map(Histogram::into_message) })
}
