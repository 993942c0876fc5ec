//! The playground, told what to do by a script: everything that can be typed, on a real cluster.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// Plays a script on three stores, and answers what came of it.
fn play(flags: &[&str], script: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinykv-playground"));
    command.args(["--scheduler-port", "0", "--store-port", "0"]).args(flags);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it is built");
    let mut input = child.stdin.take().expect("it was asked for");
    input.write_all(script.as_bytes()).expect("it listens");
    drop(input);
    child.wait_with_output().expect("it is ours")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it speaks to people")
}

const SCRIPT: &str = "\
# Keys, of which one is split off.
put apple red
put pear  green and round
get pear
split m
scan
regions
leaders
stores
region 2
delete apple
scan
help
";

#[test]
fn a_script_is_done_line_by_line() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_str().expect("a path of ours").to_owned();
    let played = play(&["--dir", &dir], SCRIPT);
    let (said, complained) = (text(&played.stdout), text(&played.stderr));
    assert!(played.status.success(), "{said}{complained}");
    let (_, said) = said.split_once("Ctrl-c stops everything.\n").expect("a banner");
    for part in [
        "key    pear\nvalue  green and round\n",
        "key    value\napple  red\npear   green and round\n",
        "region  start  end  leader",
        "store  address",
        "peers:\npeer  store  role",
        "key   value\npear  green and round\n",
        "move-leader REGION STORE",
        "stopping ...\nstopped.\n",
    ] {
        assert!(said.contains(part), "{part:?} is not in\n{said}{complained}");
    }

    // What was kept is there again, and what goes wrong is told and counted.
    let script = "get pear\nget apple\ndance\nkill 99\n";
    let played = play(&["--dir", &dir], script);
    let (said, complained) = (text(&played.stdout), text(&played.stderr));
    assert!(!played.status.success(), "{said}{complained}");
    assert!(said.contains("value  green and round\n"), "{said}{complained}");
    for part in [
        "there is no key apple",
        "there is no command \"dance\"",
        "no store 99",
        "3 commands failed",
    ] {
        assert!(complained.contains(part), "{part:?} is not in\n{complained}");
    }
}

#[test]
fn a_store_is_killed_and_comes_back_while_the_others_serve() {
    // The first store has the number 1, and is the first to lead.
    let script =
        "put k before\nkill 1\nput k while\nget k\nrestart 1\nput k after\nget k\nstores\n";
    let played = play(&["--raw"], script);
    let (said, complained) = (text(&played.stdout), text(&played.stderr));
    assert!(played.status.success(), "{said}{complained}");
    for part in ["store 1 is dead\n", "value  while\n", "store 1 serves again\n", "value  after\n"]
    {
        assert!(said.contains(part), "{part:?} is not in\n{said}{complained}");
    }
}
