//! Collecting old versions everywhere.
//!
//! Three steps, each of which is done everywhere before the next begins. The safe point is raised at the
//! scheduler first: it never falls there, so that two who collect at the same time agree on the higher
//! one, and a store that starts meanwhile takes it over by itself. A store that cannot be told ends the
//! matter: should it serve again, it would answer readers from below the safe point, who miss what was
//! collected.

use std::time::Duration;

use bytes::Bytes;
use client::Timestamp;

use crate::args::Gc;
use crate::error::CtlError;
use crate::output::{Cell, Output};
use crate::{Result, Session};

/// After so many regions it is told how far it got.
const TOLD_EVERY: u64 = 64;

/// Collects what only readers before a moment see.
pub(crate) async fn collect(
    session: &Session,
    wish: &Gc,
    progress: &mut (dyn FnMut(String) + Send),
) -> Result<Output> {
    let safe_point = choose(session, wish).await?;
    let admin = session.client.admin();
    let scheduler = session.client.scheduler();
    let safe_point = scheduler.update_gc_safe_point(safe_point).await?.max(safe_point);
    let stores = scheduler.stores(false).await?;
    for store in &stores {
        let raised = admin.raise_safe_point(store.id, safe_point).await;
        raised.map_err(|error| {
            let hint =
                "nothing was collected: start this store, or remove it for ever, and try again";
            CtlError::from(error).hint(hint)
        })?;
    }
    progress(format!(
        "safe point {safe_point}: known to the scheduler and {} stores",
        stores.len()
    ));

    let mut resolved = Walk::new("old locks resolved");
    while let Some(start) = &resolved.next {
        let region = admin.resolve_locks(start, safe_point).await?;
        resolved.step(region.locks, region.next, progress);
    }
    let mut collected = Walk::new("records removed");
    while let Some(start) = &collected.next {
        let region = admin.collect_garbage(start, safe_point).await?;
        collected.step(region.removed, region.next, progress);
    }
    Ok(Output::Record(vec![
        ("safe_point", Cell::Number(safe_point.get())),
        ("stores", Cell::Number(stores.len() as u64)),
        ("regions", Cell::Number(collected.regions)),
        ("locks", Cell::Number(resolved.found)),
        ("removed", Cell::Number(collected.found)),
    ]))
}

/// A walk over all regions, and how far it got.
struct Walk {
    /// What is counted.
    what: &'static str,
    regions: u64,
    found: u64,
    /// The first key of the next region, unless that was the last one.
    next: Option<Bytes>,
}

impl Walk {
    fn new(what: &'static str) -> Walk {
        Walk { what, regions: 0, found: 0, next: Some(Bytes::new()) }
    }

    /// One region is done, in which so many were found; `next` is the first key after it, empty for infinity.
    fn step(&mut self, found: u64, next: Bytes, progress: &mut (dyn FnMut(String) + Send)) {
        self.regions += 1;
        self.found += found;
        if next.is_empty() || self.regions.is_multiple_of(TOLD_EVERY) {
            progress(format!("{} regions: {} {}", self.regions, self.found, self.what));
        }
        self.next = Some(next).filter(|next| !next.is_empty());
    }
}

/// The moment before which nobody may read any more.
async fn choose(session: &Session, wish: &Gc) -> Result<Timestamp> {
    let now = session.client.scheduler().timestamp().await?;
    let Some(wanted) = wish.safe_point else { return Ok(before(now, wish.keep.get())) };
    let wanted = Timestamp::new(wanted);
    if wanted > now {
        let what = format!("the safe point {wanted} is in the future; it is {now} now");
        return Err(CtlError::misused(what));
    }
    Ok(wanted)
}

fn before(now: Timestamp, keep: Duration) -> Timestamp {
    let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
    let moment = i64::try_from(now.physical_ms().saturating_sub(keep)).unwrap_or(i64::MAX);
    Timestamp::compose(moment, 0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_counted_back_from_now() {
        let now = Timestamp::compose(100_000, 7).unwrap();
        assert_eq!(before(now, Duration::from_secs(10)), Timestamp::compose(90_000, 0).unwrap());
        assert_eq!(before(now, Duration::MAX), Timestamp::new(0));
    }
}
