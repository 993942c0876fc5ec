//! How the disk is used. Every field has a default that fits a small machine.

use runtime::units::Bytes;
use serde::{Deserialize, Serialize};

/// The settings of both engines of a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Memory for data that was read from disk, shared by both engines. More of it makes reads faster
    /// when the data does not fit into memory.
    pub block_cache: Bytes,
    /// Threads that flush and compact. 0 takes as many as there are cores, and at least 2.
    pub background_jobs: u32,
    /// The engine that holds what clients wrote.
    pub kv: RocksConfig,
    /// The engine that holds the raft log.
    pub raft: RocksConfig,
}

/// The settings of one engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RocksConfig {
    /// How much a family collects in memory before it is written to a file. More makes larger and
    /// fewer files, and a longer start after a crash.
    pub write_buffer: Bytes,
    /// How many such buffers a family may have before writers wait for the disk.
    pub write_buffers: u32,
    /// The size of a file on the upper levels.
    pub file_size: Bytes,
    /// How large the log in front of the buffers may grow before buffers are flushed to shorten it.
    pub log_size: Bytes,
    /// How files are compressed.
    pub compression: Compression,
    /// How many files are kept open. Each costs a file descriptor and the memory of its index.
    pub open_files: u32,
}

/// How files are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Not at all.
    None,
    /// Fast, and about half the size.
    Lz4,
    /// Slower, and smaller.
    Zstd,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            block_cache: Bytes::mib(256),
            background_jobs: 0,
            kv: RocksConfig::default(),
            raft: RocksConfig::default(),
        }
    }
}

impl Default for RocksConfig {
    fn default() -> Self {
        RocksConfig {
            write_buffer: Bytes::mib(64),
            write_buffers: 4,
            file_size: Bytes::mib(32),
            log_size: Bytes::mib(512),
            compression: Compression::Lz4,
            open_files: 256,
        }
    }
}

impl Config {
    /// Everything that is wrong with the settings, each with the path of its field.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, engine) in [("kv", &self.kv), ("raft", &self.raft)] {
            let mut require = |holds: bool, field: &str, rule: &str| {
                if !holds {
                    problems.push(format!("{name}.{field} must be {rule}"));
                }
            };
            require(engine.write_buffer >= Bytes::kib(64), "write-buffer", "at least 64KiB");
            require(engine.write_buffers >= 2, "write-buffers", "at least 2");
            require(engine.file_size >= Bytes::kib(64), "file-size", "at least 64KiB");
            require(
                engine.log_size >= engine.write_buffer,
                "log-size",
                "at least as large as write-buffer",
            );
            require(engine.open_files >= 16, "open-files", "at least 16");
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_every_problem_is_reported() {
        assert_eq!(Config::default().validate(), Vec::<String>::new());
        let mut config = Config::default();
        config.kv.write_buffers = 1;
        config.raft.log_size = Bytes::kib(1);
        assert_eq!(
            config.validate(),
            [
                "kv.write-buffers must be at least 2",
                "raft.log-size must be at least as large as write-buffer"
            ]
        );
    }
}
