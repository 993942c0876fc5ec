//! Systems that are started for a bench, and end with it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// How many members an etcd has.
const MEMBERS: usize = 3;

/// Why a system is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Nobody has put the program where it is looked for.
    #[error("{0} is missing{1}")]
    Missing(String, &'static str),
    /// It ended, or said something else than where it serves.
    #[error("{0} did not say where it serves")]
    Silent(String),
    /// The system refused something.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

/// A system that runs.
pub(crate) struct Started {
    /// Where, as `--system` would say it.
    pub(crate) address: String,
    /// What, with its version.
    pub(crate) about: String,
    children: Vec<Child>,
    /// What they say must have somewhere to go until they end.
    _said: Option<Box<dyn Read>>,
    _home: Option<TempDir>,
}

impl Started {
    /// Our own cluster: the playground, as a process of its own.
    pub(crate) fn playground(stores: u16) -> Result<Self, StartError> {
        let program = beside("tinykv-playground")?;
        let mut command = Command::new(&program);
        command.args(["--scheduler-port", "0", "--store-port", "0"]);
        command.args(["--stores", &stores.to_string()]);
        // It ends when its input does, so it gets one that lasts.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn()?;
        let mut said = BufReader::new(child.stdout.take().expect("it was asked for"));
        let about = format!("TinyKV {}, {stores} stores", env!("CARGO_PKG_VERSION"));
        let address = find(&mut said, scheduler_of);
        let started = Started {
            address: address.clone().unwrap_or_default(),
            about,
            children: vec![child],
            _said: Some(Box::new(said)),
            _home: None,
        };
        address.map(|_| started).ok_or_else(|| StartError::Silent(shown(&program)))
    }

    /// Debian's etcd, three members, each with its own log on disk.
    pub(crate) fn etcd(debian: &Path) -> Result<Self, StartError> {
        let program = fetched(debian, "etcd", "; `make etcd` fetches it on Debian")?;
        let home = TempDir::new()?;
        let hosts = free_hosts(2 * MEMBERS)?;
        let (clients, peers) = hosts.split_at(MEMBERS);
        let cluster: Vec<String> =
            peers.iter().enumerate().map(|(n, peer)| format!("m{n}=http://{peer}")).collect();
        let mut children = Vec::new();
        for (n, (client, peer)) in clients.iter().zip(peers).enumerate() {
            let mut command = Command::new(&program);
            command
                .arg(format!("--name=m{n}"))
                .arg(format!("--data-dir={}/m{n}", home.path().display()))
                .arg(format!("--listen-client-urls=http://{client}"))
                .arg(format!("--advertise-client-urls=http://{client}"))
                .arg(format!("--listen-peer-urls=http://{peer}"))
                .arg(format!("--initial-advertise-peer-urls=http://{peer}"))
                .arg(format!("--initial-cluster={}", cluster.join(",")));
            children.push(quiet(&mut command).spawn()?);
        }
        Ok(Started {
            address: format!("etcd://{}", clients.join(",")),
            about: format!("{}, {MEMBERS} members", version(&program)),
            children,
            _said: None,
            _home: Some(home),
        })
    }

    /// Debian's redis, one process without replication that syncs its log before it answers.
    pub(crate) fn redis(debian: &Path) -> Result<Self, StartError> {
        let program = fetched(debian, "redis-server", "; `make redis` fetches it on Debian")?;
        let home = TempDir::new()?;
        let host = free_hosts(1)?.remove(0);
        let port = host.rsplit(':').next().unwrap_or_default();
        let mut command = libraries(&program, debian);
        command.args(["--bind", "127.0.0.1", "--port", port, "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(home.path());
        let child = quiet(&mut command).spawn()?;
        let about = libraries(&program, debian).arg("--version").output();
        Ok(Started {
            address: format!("redis://{host}"),
            about: format!("{}, synced, not replicated", first_line(about)),
            children: vec![child],
            _said: None,
            _home: Some(home),
        })
    }

    /// A server with nothing behind it: this program once more.
    pub(crate) fn bare(value_bytes: usize) -> Result<Self, StartError> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(&program);
        command.args(["bare", "--value-bytes", &value_bytes.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn()?;
        let mut said = BufReader::new(child.stdout.take().expect("it was asked for"));
        let address = find(&mut said, |line| line.strip_prefix("serving ").map(str::to_owned));
        let started = Started {
            address: format!("etcd://{}", address.as_deref().unwrap_or_default()),
            about: "tonic with nothing behind it".to_owned(),
            children: vec![child],
            _said: Some(Box::new(said)),
            _home: None,
        };
        address.map(|_| started).ok_or_else(|| StartError::Silent(shown(&program)))
    }

    /// The processor time of all its processes so far.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let all = processes()?;
        let ours: Vec<u32> = self.children.iter().map(Child::id).collect();
        let ticks = all.iter().filter(|(id, _)| descends(**id, &ours, &all));
        Some(ticks.map(|(_, process)| process.used).sum())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        for child in &self.children {
            // Asked, not killed: a playground has processes of its own to stop.
            let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        }
        for child in &mut self.children {
            let _ = child.wait();
        }
    }
}

/// The processor time of this process so far.
pub(crate) fn own_cpu() -> Option<Duration> {
    stat("self").map(|process| process.used)
}

/// How much memory a process has now, and the most that it ever had, in bytes.
pub(crate) fn memory(id: u32) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    Some((parse_status(&text, "VmRSS:")?, parse_status(&text, "VmHWM:")?))
}

/// A line such as `VmRSS:     1234 kB`.
fn parse_status(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = rest.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// What the kernel says about a process.
struct Process {
    parent: u32,
    used: Duration,
}

fn stat(id: &str) -> Option<Process> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// The parent is the second field after the name, user and system time the twelfth and thirteenth, in
/// hundredths of a second. A name may have anything in it but ends with the last bracket.
fn parse_stat(text: &str) -> Option<Process> {
    let fields: Vec<&str> = text.rsplit(") ").next()?.split(' ').collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let parent = u32::try_from(number(1)?).ok()?;
    Some(Process { parent, used: Duration::from_millis((number(11)? + number(12)?) * 10) })
}

fn processes() -> Option<BTreeMap<u32, Process>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").ok()? {
        let name = entry.ok()?.file_name();
        // What is no number is no process; what is gone meanwhile is gone.
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(process) = stat(&format!("{id}")) {
            found.insert(id, process);
        }
    }
    Some(found)
}

fn descends(id: u32, ancestors: &[u32], all: &BTreeMap<u32, Process>) -> bool {
    let mut at = id;
    while !ancestors.contains(&at) {
        match all.get(&at) {
            Some(process) if process.parent != 0 => at = process.parent,
            Some(_) | None => return false,
        }
    }
    true
}

/// Reads lines until one of them says it.
fn find(said: &mut impl BufRead, what: impl Fn(&str) -> Option<String>) -> Option<String> {
    said.lines().map_while(Result::ok).find_map(|line| what(&line))
}

/// The address in the playground's line about the scheduler.
fn scheduler_of(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let address = words.next().filter(|first| *first == "scheduler").and_then(|_| words.next())?;
    address.contains(':').then(|| address.to_owned())
}

pub(crate) fn beside(name: &str) -> Result<PathBuf, StartError> {
    let path = std::env::current_exe()?.with_file_name(name);
    if path.exists() {
        return Ok(path);
    }
    Err(StartError::Missing(shown(&path), "; build everything with `make`"))
}

fn fetched(debian: &Path, name: &str, hint: &'static str) -> Result<PathBuf, StartError> {
    let path = debian.join("usr/bin").join(name);
    if path.exists() { Ok(path) } else { Err(StartError::Missing(shown(&path), hint)) }
}

/// A program that finds its libraries where it was unpacked.
fn libraries(program: &Path, debian: &Path) -> Command {
    let mut command = Command::new(program);
    let folder = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    command.env("LD_LIBRARY_PATH", debian.join(folder));
    command
}

pub(crate) fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

fn version(program: &Path) -> String {
    first_line(Command::new(program).arg("--version").output())
}

fn first_line(output: std::io::Result<std::process::Output>) -> String {
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown version").to_owned()
}

/// Hosts with ports that nobody uses now, all different.
pub(crate) fn free_hosts(count: usize) -> std::io::Result<Vec<String>> {
    let bound: Result<Vec<_>, _> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    bound?.iter().map(|listener| Ok(listener.local_addr()?.to_string())).collect()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood_also_about_processes_with_odd_names() {
        let process = parse_stat("7 (a) b) S 3 7 7 0 -1 4 1 0 0 0 150 50 0 0 20 0 1").unwrap();
        assert_eq!((process.parent, process.used), (3, Duration::from_secs(2)));
        assert!(parse_stat("7 (a) S 3").is_none());
        let status = "Name:\ta\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(parse_status(status, "VmRSS:"), Some(1 << 20));
        assert_eq!(parse_status(status, "VmSwap:"), None);
    }

    #[test]
    fn grandchildren_count_and_strangers_do_not() {
        let process = |parent| Process { parent, used: Duration::ZERO };
        let all: BTreeMap<u32, Process> =
            [(1, 0), (5, 1), (6, 5), (7, 6), (8, 1)].map(|(id, p)| (id, process(p))).into();
        let ours: Vec<u32> = all.keys().copied().filter(|id| descends(*id, &[5], &all)).collect();
        assert_eq!(ours, [5, 6, 7]);
    }

    #[test]
    fn the_playground_is_understood() {
        let said =
            "starting the scheduler ...\n\n  scheduler  127.0.0.1:2379   x.log\n  store 1 b:1\n";
        assert_eq!(find(&mut said.as_bytes(), scheduler_of).as_deref(), Some("127.0.0.1:2379"));
        assert_eq!(find(&mut "starting the scheduler\n".as_bytes(), scheduler_of), None);
    }
}
