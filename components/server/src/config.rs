//! What a node can be told. Where it is told it, and in which order, is in [`program::arguments`].

use std::net::SocketAddr;
use std::path::PathBuf;

use program::arguments::Given;
use runtime::units::Bytes;
use serde::{Deserialize, Serialize};

use crate::node::MESSAGE_BYTES_MAX;

/// The settings of a node. Every field is a setting of the same name in kebab case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The address to listen on, and only this one.
    pub addr: String,
    /// The directory for everything that must survive. It is created where it is missing.
    pub path: PathBuf,
    /// Where other stores and clients reach this one, if that is not the address it listens on. Empty is
    /// `addr`.
    pub advertise_addr: String,
    /// The address of the pages about this node: `/metrics`, `/status`, `/readyz` and others. Empty
    /// serves none.
    pub status_addr: String,
    /// The address of the scheduler; several of them with commas.
    pub scheduler: String,
    /// Whether the data is replicated. Without, one engine serves alone: no scheduler, no regions.
    pub raft: bool,
    /// For a node that serves alone: whether a write is on disk before it is answered. Without, a
    /// power cut may take the last writes with it; the end of the process does not.
    pub sync: bool,
    /// Whether tools may ask which calls there are, by gRPC's reflection.
    pub reflection: bool,
    /// How much may be under way.
    pub limits: Limits,
    /// What the process tells a person.
    pub log: runtime::log::Config,
    /// How the disk is used.
    pub engine: engine::Config,
    /// How regions are kept.
    pub raftstore: raftstore::Config,
}

/// How much may be under way, for all clients together. More is refused, and clients try again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limits {
    /// Calls that are not answered yet.
    pub calls: u32,
    /// The bytes of their requests, and of answers that clients have not taken yet.
    pub bytes: Bytes,
    /// How fast snapshots are sent to other stores, all of them together, each second.
    pub snapshot_bytes: Bytes,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { calls: 8192, bytes: Bytes::mib(256), snapshot_bytes: Bytes::mib(100) }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            addr: "127.0.0.1:20160".to_owned(),
            path: PathBuf::from("data"),
            advertise_addr: String::new(),
            status_addr: "127.0.0.1:20180".to_owned(),
            scheduler: "127.0.0.1:2379".to_owned(),
            raft: true,
            sync: true,
            reflection: false,
            limits: Limits::default(),
            log: runtime::log::Config::default(),
            engine: engine::Config::default(),
            raftstore: raftstore::Config::default(),
        }
    }
}

impl Config {
    /// Everything that is wrong, each with the name of the setting.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.addr.parse::<SocketAddr>().is_err() {
            problems.push(format!(
                "addr must be an address and a port, such as 127.0.0.1:20160, not {:?}",
                self.addr
            ));
        }
        if !self.status_addr.is_empty() && self.status_addr.parse::<SocketAddr>().is_err() {
            problems.push("status-addr must be an address and a port, or empty".to_owned());
        }
        if self.limits.calls == 0 {
            problems.push("limits.calls must not be zero".to_owned());
        }
        if self.limits.bytes.as_usize() < MESSAGE_BYTES_MAX {
            problems.push("limits.bytes must be at least 10MiB, which is one message".to_owned());
        }
        if self.limits.snapshot_bytes < Bytes::mib(1) {
            problems.push("limits.snapshot-bytes must be at least 1MiB".to_owned());
        }
        if self.path.as_os_str().is_empty() {
            problems.push("path must name a directory".to_owned());
        }
        if self.raft && self.scheduler.trim().is_empty() {
            problems.push("scheduler must name an address, such as 127.0.0.1:2379".to_owned());
        }
        let regions = self.raftstore.validate();
        problems.extend(regions.into_iter().map(|text| format!("raftstore.{text}")));
        problems.extend(self.engine.validate().into_iter().map(|text| format!("engine.{text}")));
        problems
    }
}

impl program::arguments::Config for Config {
    const PROGRAM: &'static str = "tinykv-server";
    const ABOUT: &'static str = "A TinyKV node: serves a part of the key space over gRPC.\n\n\
         Without arguments it serves on 127.0.0.1:20160 with its data in ./data, as a store of the \
         cluster whose scheduler is at 127.0.0.1:2379. Long flags may be written with one dash, as the \
         Go original does: -path=data.";
    const VARIABLES: &'static str = "TINYKV_";
    type Flags = Flags;

    fn validate(&self) -> Vec<String> {
        Config::validate(self)
    }

    fn log(&self) -> &runtime::log::Config {
        &self.log
    }
}

/// A node's own flags.
#[derive(Debug, clap::Args)]
pub struct Flags {
    /// Listen on this address [default: 127.0.0.1:20160].
    #[arg(long, value_name = "HOST:PORT", global = true)]
    addr: Option<String>,

    /// Keep the data in this directory [default: data].
    #[arg(long, value_name = "DIR", global = true)]
    path: Option<String>,

    /// Serve pages about this node on this address [default: 127.0.0.1:20180].
    #[arg(long, value_name = "HOST:PORT", global = true)]
    status_addr: Option<String>,

    /// Reach the scheduler at this address, or at one of several [default: 127.0.0.1:2379].
    #[arg(long, value_name = "HOST:PORT,...", global = true)]
    scheduler: Option<String>,

    /// Serve alone on one engine, without replication.
    #[arg(long, global = true)]
    standalone: bool,
}

impl program::arguments::Flags for Flags {
    fn given(&self) -> Vec<Given> {
        let alone = self.standalone.then(|| "false".to_owned());
        let named = [
            ("addr", "-addr", &self.addr),
            ("path", "-path", &self.path),
            ("status-addr", "-status-addr", &self.status_addr),
            ("scheduler", "-scheduler", &self.scheduler),
            ("raft", "--standalone", &alone),
        ];
        let given = |(setting, flag, value): (_, _, &Option<String>)| {
            Given::from(setting, flag, value.as_ref())
        };
        named.into_iter().filter_map(given).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use ::tests::documented;
    use program::arguments::{ArgumentsError, Config as _, Wish, command, read};

    use super::*;

    fn wish(
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Wish<Config>, ArgumentsError> {
        let arguments = std::iter::once("tinykv-server").chain(arguments.iter().copied());
        let variables = variables.iter().map(|&(n, v)| (n.to_owned(), v.to_owned()));
        read(arguments.map(OsString::from), variables)
    }

    fn config(arguments: &[&str], variables: &[(&str, &str)]) -> Config {
        match wish(arguments, variables).unwrap() {
            Wish::Serve(told) => {
                assert_eq!(told.unknown, Vec::<String>::new());
                told.config
            }
            Wish::Print(text) => panic!("{text}"),
        }
    }

    #[test]
    fn without_arguments_the_defaults_hold() {
        assert_eq!(config(&[], &[]), Config::default());
        assert_eq!(Config::default().validate(), Vec::<String>::new());
    }

    #[test]
    fn flags_of_both_spellings_win_over_variables() {
        let variables = [("TINYKV_ADDR", "127.0.0.1:1"), ("TINYKV_SYNC", "false")];
        for path in [["-path=x", "-loglevel=warn"], ["--path=x", "--loglevel=warn"]] {
            let config = config(&[path[0], path[1], "-addr", "127.0.0.1:2"], &variables);
            assert_eq!(config.addr, "127.0.0.1:2");
            assert_eq!(config.path, PathBuf::from("x"));
            assert_eq!(config.log.level.as_str(), "warn");
            assert!(!config.sync && config.raft);
        }
        let config = config(&["--standalone", "--set", "engine.kv.write-buffers=7"], &[]);
        assert!(!config.raft);
        assert_eq!(config.engine.kv.write_buffers, 7);
    }

    #[test]
    fn the_level_comes_from_its_variable_unless_that_is_empty_or_a_flag_wins() {
        let level = |arguments: &[&str], value: &str| {
            config(arguments, &[("LOG_LEVEL", value)]).log.level.as_str().to_owned()
        };
        assert_eq!(level(&[], "warn"), "warn");
        assert_eq!(level(&[], ""), "info");
        assert_eq!(level(&["-loglevel=error"], "warn"), "error");
        let Wish::Serve(told) = wish(&[], &[("TINYKV_SYNCC", "false")]).unwrap() else {
            panic!("it should serve");
        };
        assert_eq!(told.unknown, ["TINYKV_SYNCC"]);
    }

    #[test]
    fn the_effective_settings_are_printed_with_their_origin() {
        let Wish::Print(text) = wish(&["config", "-addr=127.0.0.1:9"], &[]).unwrap() else {
            panic!("it should print");
        };
        assert!(text.contains("addr = \"127.0.0.1:9\"  # from the flag -addr\n"), "{text}");
        assert!(text.contains("path = \"data\"  # default\n"), "{text}");
    }

    #[test]
    fn what_cannot_work_is_refused_with_every_reason() {
        let cases: [(&[&str], &str); 5] = [
            (&["-adr=x"], "--adr"),
            (&["--set", "syn=true"], "did you mean sync?"),
            (&["--set", "sync=perhaps"], "write true or false"),
            (&["-loglevel=loud"], "log.level cannot be \"loud\""),
            (
                &["-addr=nowhere", "--set", "engine.kv.write-buffers=1"],
                "\n  - addr must be an address and a port, such as 127.0.0.1:20160, not \
                 \"nowhere\"\n  - engine.kv.write-buffers must be at least 2",
            ),
        ];
        for (arguments, message) in cases {
            let error = wish(arguments, &[]).unwrap_err().to_string();
            assert!(error.contains(message), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn the_page_on_configuration_tells_the_truth() {
        let Wish::Print(described) = wish(&["config"], &[]).unwrap() else {
            panic!("it should print")
        };
        let mut rows = documented::settings(&described, Config::VARIABLES);
        let flags = command::<Config>();
        rows.extend(
            flags.get_arguments().map(|flag| vec![format!("`--{}`", flag.get_long().unwrap())]),
        );
        assert_eq!(documented::complaints(Config::PROGRAM, &rows), Vec::<String>::new());
    }
}
