//! What the scheduler can be told. Where it is told it, and in which order, is in [`program::arguments`].

use std::net::SocketAddr;
use std::path::PathBuf;

use program::arguments::Given;
use runtime::units::{Bytes, Period};
use serde::{Deserialize, Serialize};

use crate::schedule;
use crate::service::scheduler::MESSAGE_BYTES_MAX;

/// The settings. Every field is a setting of the same name in kebab case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The name of this scheduler, which tells it from others of the same cluster.
    pub name: String,
    /// The directory for everything that must survive. Empty is `default.` and the name.
    pub data_dir: PathBuf,
    /// The URL to serve on, and only this one: calls of stores and clients, and etcd's API.
    pub client_urls: String,
    /// The URL under which others reach us. Empty is where we serve.
    pub advertise_client_urls: String,
    /// The address of `/metrics`, `/status`, `/livez` and `/readyz`. Empty serves none.
    pub status_addr: String,
    /// The id that the cluster must have; zero takes the one it has, or chooses one.
    pub cluster_id: u64,
    /// A real etcd, for several schedulers that share it. Empty keeps everything here, alone.
    pub etcd_endpoints: Vec<String>,
    /// With a real etcd: for how long a leader leads without renewing. Shorter finds a successor sooner.
    pub lease: Period,
    /// How far ahead the window of timestamps is saved. Longer writes less often; a restart skips it.
    pub tso_save_interval: Period,
    /// How regions are replicated.
    pub replication: Replication,
    /// How eagerly things are moved.
    pub schedule: schedule::config::Config,
    /// The key space that etcd's clients see.
    pub meta: Meta,
    /// How much may be under way.
    pub limits: Limits,
    /// What the process tells a person.
    pub log: runtime::log::Config,
    /// How the disk is used.
    pub engine: engine::Config,
}

/// How regions are replicated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Replication {
    /// How many peers a region has, in a cluster that is founded now.
    pub max_replicas: u32,
}

/// The key space that etcd's clients see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Meta {
    /// How much memory and disk it takes, history included; beyond that, writes are refused.
    pub quota: Bytes,
    /// How many revisions are kept for watchers that come back.
    pub history: u32,
}

/// How much may be under way, for all clients together. More is refused, and clients try again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limits {
    /// Calls that are not answered yet.
    pub calls: u32,
    /// The bytes of their requests.
    pub bytes: Bytes,
    /// Streams that are open: of timestamps, of reports, of watches, of leases.
    pub streams: u32,
    /// Watchers of keys, of which a stream has any number.
    pub watchers: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { calls: 8192, bytes: Bytes::mib(64), streams: 16_384, watchers: 100_000 }
    }
}

impl Default for Replication {
    fn default() -> Self {
        Replication { max_replicas: 3 }
    }
}

impl Default for Meta {
    fn default() -> Self {
        Meta { quota: Bytes::mib(256), history: 100_000 }
    }
}

impl Default for Config {
    fn default() -> Self {
        // What is kept is small: a few stores, a few keys.
        let mut engine =
            engine::Config { block_cache: Bytes::mib(16), ..engine::Config::default() };
        // And a log that ends soon is soon written over, which is cheaper to sync than one that grows.
        (engine.raft.write_buffer, engine.raft.log_size) = (Bytes::kib(256), Bytes::mib(64));
        Config {
            name: "tinyscheduler".to_owned(),
            data_dir: PathBuf::new(),
            client_urls: "http://127.0.0.1:2379".to_owned(),
            advertise_client_urls: String::new(),
            status_addr: "127.0.0.1:2381".to_owned(),
            cluster_id: 0,
            etcd_endpoints: Vec::new(),
            lease: Period::secs(3),
            tso_save_interval: Period::secs(3),
            replication: Replication::default(),
            schedule: schedule::config::Config::default(),
            meta: Meta::default(),
            limits: Limits::default(),
            log: runtime::log::Config::default(),
            engine,
        }
    }
}

/// The address of a URL that is an address: `http://127.0.0.1:2379`.
pub fn address(url: &str) -> Option<SocketAddr> {
    url.strip_prefix("http://")?.trim_end_matches('/').parse().ok()
}

impl Config {
    /// Where everything lies that must survive.
    pub fn data_dir(&self) -> PathBuf {
        if self.data_dir.as_os_str().is_empty() {
            return PathBuf::from(format!("default.{}", self.name));
        }
        self.data_dir.clone()
    }

    /// Where to serve; the settings were validated.
    pub fn client_addr(&self) -> SocketAddr {
        address(&self.client_urls).expect("the settings were validated")
    }

    /// Everything that is wrong, each with the name of the setting.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        require(!self.name.is_empty(), "name must not be empty");
        let serves = address(&self.client_urls);
        require(
            serves.is_some(),
            "client-urls must be one URL without encryption, such as http://127.0.0.1:2379",
        );
        let advertised = self.advertise_client_urls.as_str();
        require(
            advertised.is_empty() || has_host(advertised),
            "advertise-client-urls must be one URL, such as http://192.168.1.7:2379",
        );
        require(
            serves.is_none_or(|addr| !addr.ip().is_unspecified()) || !advertised.is_empty(),
            "advertise-client-urls must say how others reach us, as client-urls names every address",
        );
        require(
            self.status_addr.is_empty() || self.status_addr.parse::<SocketAddr>().is_ok(),
            "status-addr must be an address and a port, or empty",
        );
        let etcd = self.etcd_endpoints.iter().all(|url| has_host(url));
        require(etcd, "etcd-endpoints must be URLs, such as http://127.0.0.1:12379");
        require(self.lease >= Period::secs(1), "lease must be at least 1s");
        let window = Period::millis(100)..=Period::secs(60);
        require(window.contains(&self.tso_save_interval), "tso-save-interval must be 100ms to 1m");
        require(self.replication.max_replicas > 0, "replication.max-replicas must not be zero");
        require(self.meta.history > 0, "meta.history must not be zero");
        let Limits { calls, bytes, streams, watchers } = &self.limits;
        require(*calls > 0, "limits.calls must not be zero");
        let message = bytes.as_usize() >= MESSAGE_BYTES_MAX;
        require(message, "limits.bytes must be at least 10MiB, which is one message");
        require(*streams > 0, "limits.streams must not be zero");
        require(*watchers > 0, "limits.watchers must not be zero");
        problems
            .extend(self.schedule.validate().into_iter().map(|text| format!("schedule.{text}")));
        problems.extend(self.engine.validate().into_iter().map(|text| format!("engine.{text}")));
        problems
    }
}

/// Whether a URL has a scheme, a host and a port, which is what clients dial.
fn has_host(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let rest = rest.trim_end_matches('/');
    rest.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

impl program::arguments::Config for Config {
    const PROGRAM: &'static str = "tinyscheduler-server";
    const ABOUT: &'static str = "The scheduler of a TinyKV cluster: timestamps, ids, the map of regions, and etcd's API for \
         TinySQL.\n\n\
         Without arguments it serves on http://127.0.0.1:2379 with its data in \
         ./default.tinyscheduler. Long flags may be written with one dash, as the Go original does: \
         -data-dir=sched.";
    const VARIABLES: &'static str = "TINYSCHEDULER_";
    type Flags = Flags;

    fn validate(&self) -> Vec<String> {
        Config::validate(self)
    }

    fn log(&self) -> &runtime::log::Config {
        &self.log
    }
}

/// The scheduler's own flags.
#[derive(Debug, clap::Args)]
pub struct Flags {
    /// The name of this scheduler [default: tinyscheduler].
    #[arg(long, value_name = "NAME", global = true)]
    name: Option<String>,

    /// Keep the data in this directory [default: default.NAME].
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<String>,

    /// Serve on this URL [default: <http://127.0.0.1:2379>].
    #[arg(long, value_name = "URL", global = true)]
    client_urls: Option<String>,

    /// The URL under which others reach us [default: that of --client-urls].
    #[arg(long, value_name = "URL", global = true)]
    advertise_client_urls: Option<String>,

    /// Serve metrics and status over HTTP on this address [default: 127.0.0.1:2381].
    #[arg(long, value_name = "HOST:PORT", global = true)]
    status_addr: Option<String>,

    /// Keep the metadata in this etcd, and share it with other schedulers.
    #[arg(long, value_name = "URLS", global = true)]
    etcd_endpoints: Option<String>,
}

impl program::arguments::Flags for Flags {
    fn given(&self) -> Vec<Given> {
        let named = [
            ("name", "-name", &self.name),
            ("data-dir", "-data-dir", &self.data_dir),
            ("client-urls", "-client-urls", &self.client_urls),
            ("advertise-client-urls", "-advertise-client-urls", &self.advertise_client_urls),
            ("status-addr", "-status-addr", &self.status_addr),
            ("etcd-endpoints", "--etcd-endpoints", &self.etcd_endpoints),
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

    fn wish(arguments: &[&str]) -> Result<Wish<Config>, ArgumentsError> {
        let arguments = std::iter::once("tinyscheduler-server").chain(arguments.iter().copied());
        read(arguments.map(OsString::from), [])
    }

    fn config(arguments: &[&str]) -> Config {
        match wish(arguments).unwrap() {
            Wish::Serve(told) => told.config,
            Wish::Print(text) => panic!("{text}"),
        }
    }

    #[test]
    fn without_arguments_the_defaults_hold_and_work() {
        assert_eq!(config(&[]), Config::default());
        assert_eq!(Config::default().data_dir(), PathBuf::from("default.tinyscheduler"));
    }

    #[test]
    fn the_originals_flags_are_understood_with_one_dash_and_two() {
        let config = config(&[
            "-name=a",
            "--data-dir=d",
            "-client-urls=http://127.0.0.1:1",
            "-advertise-client-urls",
            "http://sched:1",
            "-L",
            "warn",
            "--etcd-endpoints=http://a:2379,http://b:2379",
        ]);
        assert_eq!((config.name.as_str(), config.data_dir()), ("a", PathBuf::from("d")));
        assert_eq!(config.client_addr(), "127.0.0.1:1".parse().unwrap());
        assert_eq!(config.advertise_client_urls, "http://sched:1");
        assert_eq!(config.log.level.as_str(), "warn");
        assert_eq!(config.etcd_endpoints, ["http://a:2379", "http://b:2379"]);
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let cases: [(&[&str], &str); 6] = [
            (&["-peer-urls=http://127.0.0.1:2380"], "--peer-urls"),
            (&["-client-urls=127.0.0.1:2379"], "client-urls must be one URL"),
            (&["-client-urls=http://0.0.0.0:2379"], "advertise-client-urls must say how"),
            (&["-advertise-client-urls=localhost:2379"], "advertise-client-urls must be one URL"),
            (&["--set", "shedule.min-interval=1s"], "did you mean schedule.min-interval?"),
            (&["--set", "schedule.max-interval=1ms"], "schedule.max-interval must be at least"),
        ];
        for (arguments, message) in cases {
            let error = wish(arguments).unwrap_err().to_string();
            assert!(error.contains(message), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn the_effective_settings_are_printed_with_their_origin() {
        let Wish::Print(text) = wish(&["config", "-name=a"]).unwrap() else {
            panic!("it should print");
        };
        assert!(text.contains("name = \"a\"  # from the flag -name\n"), "{text}");
        assert!(text.contains("[schedule]\n"), "{text}");
    }

    #[test]
    fn the_page_on_configuration_tells_the_truth() {
        let Wish::Print(described) = wish(&["config"]).unwrap() else { panic!("it should print") };
        let mut rows = documented::settings(&described, Config::VARIABLES);
        let flags = command::<Config>();
        rows.extend(
            flags.get_arguments().map(|flag| vec![format!("`--{}`", flag.get_long().unwrap())]),
        );
        assert_eq!(documented::complaints(Config::PROGRAM, &rows), Vec::<String>::new());
    }
}
