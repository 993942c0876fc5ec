//! A RocksDB snapshot that keeps its database open.

use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{DBPinnableSlice, ReadOptions};
use self_cell::self_cell;

use super::Opened;
use super::cursor::RocksCursor;
use super::failure::on_read;
use crate::{Cf, Cursor, KeyRange, Result, Snapshot};

type View<'a> = rocksdb::Snapshot<'a>;

self_cell!(
    /// RocksDB's snapshot borrows the database; ours is handed to other threads and tasks, so it owns
    /// a share of it.
    struct OwnedView {
        owner: Arc<Opened>,
        #[covariant]
        dependent: View,
    }
);

pub(super) struct RocksSnapshot {
    view: OwnedView,
    /// For point reads; built once, because building it costs as much as a short read.
    point: ReadOptions,
}

impl RocksSnapshot {
    pub(super) fn new(opened: Arc<Opened>) -> Self {
        let view = OwnedView::new(opened, |opened| opened.db.snapshot());
        let mut point = ReadOptions::default();
        point.set_snapshot(view.borrow_dependent());
        RocksSnapshot { view, point }
    }

    fn iterate(&self, cf: Cf, options: ReadOptions) -> Box<dyn Cursor + '_> {
        let opened = self.view.borrow_owner();
        let iterator = self.view.borrow_dependent().raw_iterator_cf_opt(opened.handle(cf), options);
        Box::new(RocksCursor::new(iterator, &opened.path))
    }
}

impl Snapshot for RocksSnapshot {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        let opened = self.view.borrow_owner();
        let value = opened.db.get_pinned_cf_opt(opened.handle(cf), key, &self.point);
        let value = value.map_err(|error| on_read(&opened.path, &error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn get_many(&self, cf: Cf, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        let opened = self.view.borrow_owner();
        // The library sorts them itself otherwise.
        let sorted = keys.is_sorted();
        let handle = opened.handle(cf);
        let keys = keys.iter().copied();
        let values = opened.db.batched_multi_get_cf_opt(&handle, keys, sorted, &self.point);
        let own = |value: DBPinnableSlice<'_>| Bytes::copy_from_slice(&value);
        let answers = values.into_iter().map(|answer| match answer {
            Ok(value) => Ok(value.map(own)),
            Err(error) => Err(on_read(&opened.path, &error)),
        });
        answers.collect()
    }

    fn cursor<'a>(&'a self, cf: Cf, range: KeyRange<'_>) -> Result<Box<dyn Cursor + 'a>> {
        Ok(self.iterate(cf, within(range)))
    }

    fn sweep<'a>(&'a self, cf: Cf, range: KeyRange<'_>) -> Result<Box<dyn Cursor + 'a>> {
        let mut options = within(range);
        options.fill_cache(false);
        Ok(self.iterate(cf, options))
    }
}

/// For an iterator that stays in `range`.
fn within(range: KeyRange<'_>) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_total_order_seek(true);
    if range.is_empty() {
        // RocksDB does not define what reversed bounds mean; nothing lies between these.
        options.set_iterate_lower_bound(b"\0".as_slice());
        options.set_iterate_upper_bound(b"\0".as_slice());
    } else {
        if !range.start.is_empty() {
            options.set_iterate_lower_bound(range.start);
        }
        if !range.end.is_empty() {
            options.set_iterate_upper_bound(range.end);
        }
    }
    options
}
