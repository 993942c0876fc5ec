//! What the playground tells its user.

use crate::cluster::Cluster;

/// Where everything is, and what to do with it.
pub(crate) fn welcome(cluster: &Cluster) {
    say("");
    say("The cluster is running:");
    say("");
    for member in cluster.members() {
        say(&format!("  {:<10} {}", member.name, member.address));
    }
    say("");
    say(&format!("  data and logs  {}", cluster.dir().display()));
    let scheduler = cluster.members().next().map_or("", |scheduler| scheduler.address.as_str());
    say("");
    say("Put TinySQL on top, and reach it with any MySQL client on port 4000:");
    say("");
    say(&format!("  tinysql-server --store=tikv --path={scheduler}"));
    say("  mysql -h 127.0.0.1 -P 4000 -u root");
    say("");
    say("Ctrl-c stops everything.");
}

/// A line for the user.
#[expect(clippy::print_stdout, reason = "the playground is for somebody who reads its output")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// A line about what went wrong.
#[expect(clippy::print_stderr, reason = "the playground keeps no log of its own")]
pub(crate) fn complain(line: &str) {
    eprintln!("tinykv-playground: {line}");
}
