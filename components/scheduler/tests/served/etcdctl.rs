//! Debian's etcdctl against our scheduler: what a person types.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::debian::program;
use crate::fixture::{Fixture, config};

/// What it prints, and fails where it fails.
fn run(program: &Path, url: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .env("ETCDCTL_API", "3")
        .arg(format!("--endpoints={url}"))
        .args(arguments)
        .output()
        .expect("it can be started");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it does with a transaction that is typed in.
fn txn(program: &Path, url: &str, script: &str) -> String {
    use std::io::Write;
    let mut child = Command::new(program)
        .env("ETCDCTL_API", "3")
        .args([&format!("--endpoints={url}"), "txn"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

/// Under the address as etcdctl has it by default, and as a person types it who has read it somewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcdctl_gets_puts_deletes_compares_watches_and_leases() {
    let Some(etcdctl) = program("etcdctl") else { return };
    for scheme in ["", "http://"] {
        let clock = std::sync::Arc::new(runtime::clock::SystemClock);
        let fixture = Fixture::with(config(), clock).await;
        let url = format!("{scheme}{}", fixture.url.trim_start_matches("http://"));
        keys(&etcdctl, &url);
        watches(&etcdctl, &url);
        leases(&etcdctl, &url);
        members(&etcdctl, &url, &fixture.url);
    }
}

fn keys(etcdctl: &Path, url: &str) {
    let ctl = |arguments: &[&str]| run(etcdctl, url, arguments);

    assert_eq!(ctl(&["put", "a", "1"]), "OK\n");
    assert_eq!(ctl(&["put", "a", "2", "--prev-kv"]), "OK\na\n1\n");
    assert_eq!(ctl(&["put", "b", "3"]), "OK\n");
    assert_eq!(ctl(&["get", "a"]), "a\n2\n");
    assert_eq!(ctl(&["get", "a", "--rev=2"]), "a\n1\n");
    assert_eq!(ctl(&["get", "", "--prefix", "--keys-only"]), "a\n\nb\n\n");
    assert_eq!(
        ctl(&["get", "a", "z", "--order=DESCEND", "--sort-by=MODIFY", "--limit=1"]),
        "b\n3\n"
    );
    let json = ctl(&["get", "a", "-w", "json"]);
    assert!(json.contains("\"version\":2") && json.contains("\"revision\":4"), "{json}");
    assert_eq!(ctl(&["del", "b"]), "1\n");

    let script = "value(\"a\") = \"2\"\n\nput a 5\nget a\n\nget a\n\n";
    assert_eq!(txn(etcdctl, url, script), "SUCCESS\n\nOK\n\na\n5\n");
    assert!(txn(etcdctl, url, script).starts_with("FAILURE\n"));
}

fn watches(etcdctl: &Path, url: &str) {
    let ctl = |arguments: &[&str]| run(etcdctl, url, arguments);
    let mut watch = Command::new(etcdctl)
        .env("ETCDCTL_API", "3")
        .args([&format!("--endpoints={url}"), "watch", "", "--prefix", "--rev=2"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut event = || lines.by_ref().take(3).collect::<Vec<_>>();
    assert_eq!([event(), event()], [["PUT", "a", "1"], ["PUT", "a", "2"]]);
    assert_eq!([event(), event()], [["PUT", "b", "3"], ["DELETE", "b", ""]]);
    assert_eq!(event(), ["PUT", "a", "5"]);
    ctl(&["put", "c", "live"]);
    assert_eq!(event(), ["PUT", "c", "live"]);
    watch.kill().unwrap();
    watch.wait().unwrap();
}

fn leases(etcdctl: &Path, url: &str) {
    let ctl = |arguments: &[&str]| run(etcdctl, url, arguments);
    let granted = ctl(&["lease", "grant", "60"]);
    let lease = granted.split(' ').nth(1).unwrap();
    assert_eq!(granted, format!("lease {lease} granted with TTL(60s)\n"));
    ctl(&["put", "--lease", lease, "session", "me"]);
    let described = ctl(&["lease", "timetolive", lease, "--keys"]);
    assert!(described.contains("attached keys([session])"), "{described}");
    assert!(ctl(&["lease", "list"]).contains(lease));
    let renewed = ctl(&["lease", "keep-alive", "--once", lease]);
    assert_eq!(renewed, format!("lease {lease} keepalived with TTL(60)\n"));
    assert_eq!(ctl(&["lease", "revoke", lease]), format!("lease {lease} revoked\n"));
    assert_eq!(ctl(&["get", "session"]), "");
}

fn members(etcdctl: &Path, url: &str, advertised: &str) {
    let ctl = |arguments: &[&str]| run(etcdctl, url, arguments);
    assert_eq!(ctl(&["compaction", "5"]), "compacted revision 5\n");
    let members = ctl(&["member", "list"]);
    assert!(members.contains("started, tinyscheduler, , ") && members.contains(advertised));
    // Of the one that was asked, and of all that the list names.
    for (arguments, asked) in [(&["status"][..], url), (&["status", "--cluster"][..], advertised)] {
        let status = ctl(&[&["endpoint"][..], arguments].concat());
        assert!(status.starts_with(&format!("{asked}, ")), "{status}");
        assert!(status.contains("3.4.3") && status.contains("true"), "{status}");
    }
    // It says so on its other stream, and fails if it cannot.
    assert_eq!(ctl(&["endpoint", "health"]), "");
}
