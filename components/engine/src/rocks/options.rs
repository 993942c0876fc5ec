//! Our settings in RocksDB's words.

use std::thread::available_parallelism;

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DataBlockIndexType, LogLevel, Options};

use crate::{Cf, Compression, Config, Layout, RocksConfig};

/// Bits of filter per key: one read in a hundred for a key that is not there touches a file.
const FILTER_BITS_PER_KEY: f64 = 10.0;

/// How many keys of a file share what they begin with. Whoever looks for one key walks over half as
/// many others: the library's 16 makes files a few percent smaller and each look-up a tenth slower.
const KEYS_SHARING_A_PREFIX: i32 = 4;

/// How much of a write buffer its filter takes: with small values about ten bits per key, as above. A
/// key that was not written lately is then found out to be missing there by one look into memory
/// instead of twenty.
const BUFFER_FILTER_RATIO: f64 = 0.02;

/// The library's levels. Files of the first are merged away in seconds, so they are not compressed.
const LEVELS: usize = 7;

/// How much of a large write reaches the disk at a time, so that no sync finds a mountain.
const BYTES_PER_SYNC: u64 = 1 << 20;

/// Logs that are kept to be written over: while one is written, another may just have been left.
const RECYCLED_LOGS: usize = 2;

/// The cache that both engines of a store share, of the kind that is read without a mutex. It finds out
/// by itself how large its entries are.
pub(super) fn block_cache(config: &Config) -> Cache {
    Cache::new_hyper_clock_cache(config.block_cache.as_usize(), 0)
}

/// What concerns the database as a whole.
pub(super) fn database(config: &Config, layout: Layout) -> Options {
    let engine = engine_config(config, layout);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    options.set_max_background_jobs(background_jobs(config));
    options.set_max_total_wal_size(engine.log_size.get());
    options.set_max_open_files(i32::try_from(engine.open_files).unwrap_or(i32::MAX));
    options.set_bytes_per_sync(BYTES_PER_SYNC);
    // The library's own log is for a person who looks for the cause of an error; keep it short.
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(4);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

/// For an engine whose every write is synced. A sync of a file that grows has to write down its new
/// size, too, in the journal of the file system, and there it waits for whatever others on the machine
/// have in that journal. So a log that is not needed any more is written over instead of deleted.
pub(super) fn sync_without_growing(options: &mut Options) {
    options.set_recycle_log_file_num(RECYCLED_LOGS);
}

/// What concerns one family.
pub(super) fn family(config: &Config, cache: &Cache, layout: Layout, cf: Cf) -> Options {
    let engine = engine_config(config, layout);
    let mut options = Options::default();
    let pieces = pieces(cf);
    options.set_write_buffer_size(engine.write_buffer.as_usize() / usize::from(pieces.number));
    options.set_min_write_buffer_number_to_merge(pieces.merged.into());
    let buffers = i32::try_from(engine.write_buffers).unwrap_or(i32::MAX);
    options.set_max_write_buffer_number(buffers.saturating_mul(pieces.number.into()));
    options.set_target_file_size_base(engine.file_size.get());
    options.set_level_compaction_dynamic_level_bytes(true);
    let mut per_level = [compression(engine.compression); LEVELS];
    per_level[0] = DBCompressionType::None;
    options.set_compression_per_level(&per_level);
    if has_point_reads(cf) {
        options.set_memtable_prefix_bloom_ratio(BUFFER_FILTER_RATIO);
        options.set_memtable_whole_key_filtering(true);
    }
    if cf == Cf::Lock {
        // Few locks are left at any time, so merging them is cheap; and what is merged down to the
        // last level forgets the locks that went.
        options.set_level_zero_file_num_compaction_trigger(1);
    }
    options.set_block_based_table_factory(&tables(cache, has_point_reads(cf)));
    options
}

/// How a family fills its buffer.
struct Pieces {
    /// How many pieces it has, which are filled one after the other.
    number: u16,
    /// How many of them become a file together.
    merged: u16,
}

/// Whoever puts a key looks for its place among those of one piece, and a small piece stays in the caches
/// of a processor. Whoever reads a key looks into the filter of each, and a cursor walks over all.
fn pieces(cf: Cf) -> Pieces {
    match cf {
        Cf::Default => Pieces { number: 8, merged: 8 },
        // Locks come and go with every transaction, and a piece remembers each one that went: the smaller
        // it is, the less has to be looked through.
        Cf::Lock => Pieces { number: 128, merged: 1 },
        // Records of commits are read by cursors.
        Cf::Write | Cf::Local => Pieces { number: 1, merged: 1 },
    }
}

/// The options of a sorted file that is to be taken in by an engine.
pub(super) fn sorted_file() -> Options {
    let mut options = Options::default();
    options.set_compression_type(DBCompressionType::Lz4);
    options
}

/// Locks and values are looked up by their whole key, and a record of a commit is, to see that its
/// place is free; all of these are mostly not there. The store's own records are.
fn has_point_reads(cf: Cf) -> bool {
    match cf {
        Cf::Default | Cf::Lock | Cf::Write => true,
        Cf::Local => false,
    }
}

fn tables(cache: &Cache, filter: bool) -> BlockBasedOptions {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(cache);
    tables.set_block_size(16 << 10);
    tables.set_format_version(5);
    if filter {
        tables.set_block_restart_interval(KEYS_SHARING_A_PREFIX);
        tables.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
        tables.set_bloom_filter(FILTER_BITS_PER_KEY, false);
    }
    tables
}

fn engine_config(config: &Config, layout: Layout) -> &RocksConfig {
    match layout {
        Layout::Kv => &config.kv,
        Layout::Raft => &config.raft,
    }
}

fn background_jobs(config: &Config) -> i32 {
    let jobs = match config.background_jobs {
        0 => available_parallelism().map_or(2, |cores| cores.get().max(2)),
        jobs => jobs as usize,
    };
    i32::try_from(jobs).unwrap_or(i32::MAX)
}

fn compression(compression: Compression) -> DBCompressionType {
    match compression {
        Compression::None => DBCompressionType::None,
        Compression::Lz4 => DBCompressionType::Lz4,
        Compression::Zstd => DBCompressionType::Zstd,
    }
}
