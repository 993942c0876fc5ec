//! What the playground tells its user.

use crate::CommandLine;
use crate::cluster::Cluster;
use crate::console;

/// Where everything is, and what to do with it.
pub(crate) fn welcome(cluster: &Cluster, line: &CommandLine, is_terminal: bool) {
    let scheduler = cluster.scheduler_address();
    say("");
    say("The cluster is running:");
    say("");
    for member in cluster.members() {
        let (pages, log) = (format!("http://{}", member.pages), member.log.display());
        say(&format!("  {:<10} {:<16} {pages:<23} {log}", member.name, member.address));
    }
    say("");
    say(&format!("  data       {}", cluster.dir().display()));
    say("");
    say("Reach it from another shell:");
    say("");
    say(&format!("  bin/tinykv-ctl --scheduler {scheduler} stores"));
    say(&format!("  etcdctl --endpoints {scheduler} get --prefix tinykv"));
    if line.raw {
        say(&format!("  bin/tinykv-ctl --scheduler {scheduler} raw put apple red"));
    } else {
        say(&format!("  tinysql-server --store=tikv --path={scheduler}"));
        say("  mysql -h 127.0.0.1 -P 4000 -u root");
    }
    say("");
    if is_terminal {
        say("Or from here: `help` lists what there is. Ctrl-c or `quit` stops everything.");
        say("");
    } else {
        say("Ctrl-c stops everything.");
    }
}

/// A line for the user.
#[expect(clippy::print_stdout, reason = "the playground is for somebody who reads its output")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// The beginning of a line that the user ends.
#[expect(clippy::print_stdout, reason = "the playground is for somebody who reads its output")]
pub(crate) fn prompt(text: &str) {
    print!("{text}");
    console::flush();
}

/// A line about what went wrong.
#[expect(clippy::print_stderr, reason = "the playground keeps no log of its own")]
pub(crate) fn complain(line: &str) {
    eprintln!("tinykv-playground: {line}");
}
