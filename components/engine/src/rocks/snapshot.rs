//! A RocksDB snapshot that keeps its database open.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{DB, ReadOptions};
use self_cell::self_cell;

use super::cursor::RocksCursor;
use super::failure::on_read;
use super::handle;
use crate::{Cf, Cursor, KeyRange, Layout, Result, Snapshot};

type View<'a> = rocksdb::Snapshot<'a>;

self_cell!(
    /// RocksDB's snapshot borrows the database; ours is handed to other threads and tasks, so it owns
    /// a share of it.
    struct OwnedView {
        owner: Arc<DB>,
        #[covariant]
        dependent: View,
    }
);

pub(super) struct RocksSnapshot {
    view: OwnedView,
    /// For point reads; built once, because building it costs as much as a short read.
    point: ReadOptions,
    layout: Layout,
    path: PathBuf,
}

impl RocksSnapshot {
    pub(super) fn new(db: Arc<DB>, layout: Layout, path: PathBuf) -> Self {
        let view = OwnedView::new(db, |db| db.snapshot());
        let mut point = ReadOptions::default();
        point.set_snapshot(view.borrow_dependent());
        RocksSnapshot { view, point, layout, path }
    }
}

impl Snapshot for RocksSnapshot {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Bytes>> {
        let db = self.view.borrow_owner();
        let value = db.get_pinned_cf_opt(handle(db, self.layout, cf), key, &self.point);
        let value = value.map_err(|error| on_read(&self.path, &error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn cursor<'a>(&'a self, cf: Cf, range: KeyRange<'_>) -> Result<Box<dyn Cursor + 'a>> {
        let handle = handle(self.view.borrow_owner(), self.layout, cf);
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
        let iterator = self.view.borrow_dependent().raw_iterator_cf_opt(handle, options);
        Ok(Box::new(RocksCursor { iterator, path: &self.path }))
    }
}
