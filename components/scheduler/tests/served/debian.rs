//! Debian's etcd, unpacked by `make etcd` beside what is built.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;
use tests::process::Process;

/// One of its programs; says so, and answers none, where it is not there.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("..");
    let path = target.join("debian/usr/bin").join(name);
    if path.exists() {
        return Some(path);
    }
    skip(&format!("skipped: {} is missing; `make etcd` fetches it on Debian", path.display()));
    None
}

#[expect(clippy::print_stderr, reason = "a test that does nothing must say so")]
fn skip(text: &str) {
    eprintln!("{text}");
}

/// A port that nobody uses now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A real etcd.
pub(crate) struct Etcd {
    pub(crate) url: String,
    pub(crate) urls: Vec<String>,
    _processes: Vec<Process>,
    _home: TempDir,
}

impl Etcd {
    /// One of one member.
    pub(crate) fn start() -> Option<Self> {
        Self::start_members(1)
    }

    pub(crate) fn start_members(count: usize) -> Option<Self> {
        let (program, home) = (program("etcd")?, TempDir::new().unwrap());
        let url = |_| format!("http://127.0.0.1:{}", free_port());
        let (urls, peers): (Vec<_>, Vec<_>) = (0..count).map(|n| (url(n), url(n))).unzip();
        let cluster: Vec<String> =
            peers.iter().enumerate().map(|(number, peer)| format!("m{number}={peer}")).collect();
        let start = |number: usize| {
            let (url, peer) = (&urls[number], &peers[number]);
            let mut command = Command::new(&program);
            command
                .arg(format!("--name=m{number}"))
                .arg(format!("--data-dir={}/m{number}", home.path().display()))
                .arg(format!("--listen-client-urls={url}"))
                .arg(format!("--advertise-client-urls={url}"))
                .arg(format!("--listen-peer-urls={peer}"))
                .arg(format!("--initial-advertise-peer-urls={peer}"))
                .arg(format!("--initial-cluster={}", cluster.join(",")));
            Process::start(&mut command)
        };
        let mut processes: Vec<Process> = (0..count).map(start).collect();
        for process in &mut processes {
            process.wait_for("ready to serve client requests");
        }
        Some(Etcd { url: urls[0].clone(), urls, _processes: processes, _home: home })
    }
}
