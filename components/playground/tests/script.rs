//! The playground, told what to do by a script: everything that can be typed, on a real cluster.

use std::io::{BufRead as _, BufReader, Write as _};
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
        "commands that failed: 3",
    ] {
        assert!(complained.contains(part), "{part:?} is not in\n{complained}");
    }
}

/// A playground that is asked one thing after the other.
struct Talk {
    child: std::process::Child,
    input: std::process::ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Talk {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tinykv-playground"));
        command.args(["--scheduler-port", "0", "--store-port", "0", "--raw"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it is built");
        let input = child.stdin.take().expect("it was asked for");
        let output = BufReader::new(child.stdout.take().expect("it was asked for"));
        let mut talk = Talk { child, input, output };
        talk.hear("Ctrl-c stops everything.");
        talk
    }

    /// What it says before a line that begins like this.
    fn hear(&mut self, end: &str) -> String {
        let mut heard = String::new();
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).expect("it speaks") > 0, "it ended: {heard}");
            if line.starts_with(end) {
                return heard;
            }
            heard.push_str(&line);
        }
    }

    /// What it answers. The help after it shows where the answer ends.
    fn ask(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}\nhelp").expect("it listens");
        let answer = self.hear("put KEY VALUE");
        self.hear("quit");
        answer
    }
}

#[test]
fn a_store_is_killed_and_comes_back_while_the_others_serve() {
    let mut talk = Talk::start();
    talk.ask("put k before");
    // The first store has the number 1, and its region is replicated before it dies.
    let mut regions = String::new();
    for _ in 0..60_000 {
        regions = talk.ask("regions");
        if regions.matches(',').count() == 2 {
            break;
        }
    }
    assert_eq!(regions.matches(',').count(), 2, "{regions}");
    assert_eq!(talk.ask("kill 1"), "store 1 is dead\n");
    // A read may be asked again of another store; a raw write might not be.
    assert!(talk.ask("get k").contains("value  before\n"));
    talk.ask("put k while");
    assert!(talk.ask("get k").contains("value  while\n"));
    assert_eq!(talk.ask("restart 1"), "store 1 serves again\n");
    talk.ask("put k after");
    assert!(talk.ask("get k").contains("value  after\n"));
    writeln!(talk.input, "quit").expect("it listens");
    talk.hear("stopped.");
    assert!(talk.child.wait().expect("it is ours").success());
}
