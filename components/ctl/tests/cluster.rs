//! The program as its users meet it, on a cluster of three stores: each family of commands once.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

/// A playground that runs until it is dropped.
struct Playground {
    child: Child,
    /// It stops when this ends.
    input: Option<ChildStdin>,
    scheduler: String,
}

impl Playground {
    fn start(dir: &Path) -> Self {
        let mut command = Command::new(tests::process::program("tinykv-playground"));
        command.args(["--scheduler-port", "0", "--store-port", "0", "--dir"]).arg(dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it is built");
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("it was asked for"));
        let mut scheduler = None;
        let mut line = String::new();
        while !line.starts_with("Ctrl-c") {
            line.clear();
            assert!(
                output.read_line(&mut line).expect("it speaks") > 0,
                "the playground has ended"
            );
            let mut words = line.split_whitespace();
            if words.next() == Some("scheduler") {
                scheduler = words.next().map(str::to_owned);
            }
        }
        // What it says further on is for nobody, but it must be able to say it.
        child.stdout = Some(output.into_inner());
        Playground { child, input, scheduler: scheduler.expect("the banner tells it") }
    }

    /// Ends it as somebody does who types `quit`.
    fn quit(mut self) {
        use std::io::Write as _;
        let mut input = self.input.take().expect("it runs");
        input.write_all(b"quit\n").expect("it listens");
        drop(input);
        let mut rest = String::new();
        let mut output = self.child.stdout.take().expect("it was kept");
        output.read_to_string(&mut rest).expect("it speaks");
        assert!(self.child.wait().expect("it is ours").success(), "{rest}");
        assert!(rest.ends_with("stopped.\n"), "{rest}");
    }

    /// Runs `tinykv-ctl`; answers its status, its answer, and what it complained of.
    fn run(&self, line: &str) -> (i32, String, String) {
        let words = line.split_whitespace();
        ctl(words.chain(["--scheduler", &self.scheduler]))
    }

    /// Runs what must succeed, and answers its JSON.
    fn json(&self, line: &str) -> Value {
        let (status, answer, complaint) = self.run(&format!("{line} -o json"));
        assert_eq!((status, complaint.as_str()), (0, ""), "{line}: {answer}");
        serde_json::from_str(&answer).expect("an answer is JSON")
    }

    /// Asks until the answer fits; for what the scheduler learns a moment later.
    fn until(&self, line: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        // Each question starts a process, which is pause enough.
        for _ in 0..2000 {
            last = self.json(line);
            if fits(&last) {
                return last;
            }
        }
        panic!("{line} never came to fit: {last}");
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        if let Some(input) = self.input.take() {
            // A test that failed: the end of its input stops it, and its stores with it.
            drop(input);
            let kill = Command::new("kill").arg(self.child.id().to_string()).status();
            drop(kill);
            let _ = self.child.wait();
        }
    }
}

fn ctl<'a>(words: impl Iterator<Item = &'a str>) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinykv-ctl"));
    let output = command.args(words).env_remove("TINYKV_SCHEDULER").output().expect("it is built");
    let text = |bytes| String::from_utf8(bytes).expect("it speaks to people");
    let status = output.status.code().expect("it ends by itself");
    (status, text(output.stdout), text(output.stderr))
}

fn numbers(value: &Value) -> Vec<u64> {
    let text = value.as_str().expect("a list of numbers");
    text.split(',').map(|number| number.parse().expect("a number")).collect()
}

#[test]
fn each_family_of_commands_does_its_work_on_a_cluster() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let playground = Playground::start(&dir);
    keys(&playground);
    regions(&playground);
    peers(&playground);
    garbage(&playground);
    refusals(&playground, &dir);
    playground.quit();
    offline(&dir.join("store1"));
}

fn keys(playground: &Playground) {
    assert_eq!(playground.json("txn put apple red")["written"], "apple");
    let before = playground.json("txn put k\\x00 1")["at"].as_u64().expect("a timestamp");
    playground.json("txn put pear green");
    playground.json("txn put apple gold");
    assert_eq!(playground.json("txn get apple")["value"], "gold");
    assert_eq!(playground.json(&format!("txn get apple --at {before}"))["value"], "red");
    let (status, table, _) = playground.run("txn scan");
    assert_eq!(
        (status, table.as_str()),
        (0, "key    value\napple  gold\nk\\x00  1\npear   green\n")
    );
    let hex = playground.json("txn get 6b00 --form hex");
    assert_eq!((&hex["key"], &hex["value"]), (&"6b00".into(), &"31".into()));
    playground.json("txn delete apple");
    let (status, _, complaint) = playground.run("txn get apple");
    assert_eq!((status, complaint.as_str()), (4, "tinykv-ctl: there is no key apple\n"));
}

fn regions(playground: &Playground) {
    let is_replicated = |regions: &Value| numbers(&regions[0]["stores"]).len() == 3;
    playground.until("regions", is_replicated);
    let parts = playground.json("split m");
    assert_eq!((&parts[0]["end"], &parts[1]["start"]), (&"m".into(), &"m".into()));
    let all = playground.until("regions", |all| {
        all.as_array()
            .is_some_and(|all| all.len() == 2 && all.iter().all(|region| region["leader"].is_u64()))
    });
    let right = &all[1];
    assert_eq!((&right["start"], &right["end"]), (&"m".into(), &"".into()));
    let by_key = playground.json("region pear");
    assert_eq!(by_key["region"], right["region"]);
    assert_eq!(by_key["peers"].as_array().map(Vec::len), Some(3));

    // The leader moves to another store, and it is that store which says so.
    let id = right["region"].as_u64().expect("a number");
    let (leader, stores) = (right["leader"].as_u64(), numbers(&right["stores"]));
    let other = stores.into_iter().find(|store| Some(*store) != leader).expect("there are three");
    assert_eq!(playground.json(&format!("transfer-leader {id} {other}"))["leader"], other);
    let peers = playground.json(&format!("region {id}"));
    let leads = peers["peers"].as_array().expect("a list").iter();
    let leads: Vec<&Value> = leads.filter(|peer| peer["role"] == "leader").collect();
    assert!(leads.iter().any(|peer| peer["store"] == other), "{peers}");
}

fn peers(playground: &Playground) {
    let stores = playground.json("stores");
    let stores = stores.as_array().expect("a list");
    assert_eq!(stores.len(), 3);
    assert!(stores.iter().all(|store| store["state"] == "up"), "{stores:?}");
    let members = playground.json("members");
    assert_eq!((members.as_array().map(Vec::len), &members[0]["leads"]), (Some(1), &true.into()));

    // The scheduler gives the region a third peer again by itself, on the only store that is left.
    let region = playground.json("regions --limit 1")[0].clone();
    let id = region["region"].as_u64().expect("a number");
    let store = numbers(&region["stores"])[0];
    let without = playground.json(&format!("remove-peer {id} {store}"));
    assert!(!numbers(&without[0]["stores"]).contains(&store), "{without}");
    playground.until("regions --limit 1", |all| numbers(&all[0]["stores"]).contains(&store));
    playground.until("operators", |all| {
        let all = all.as_array().expect("a list").iter();
        all.into_iter().any(|operator| operator["region"] == id)
    });
    let (status, _, complaint) = playground.run(&format!("add-peer {id} {store}"));
    assert_eq!(status, 1, "{complaint}");
    assert!(complaint.contains("has a peer on store"), "{complaint}");
}

fn garbage(playground: &Playground) {
    for value in 0..5 {
        playground.json(&format!("txn put old {value}"));
    }
    let (status, answer, progress) = playground.run("gc --keep 0s");
    assert_eq!(status, 0, "{progress}");
    assert!(progress.contains("known to the scheduler and 3 stores"), "{progress}");
    let removed = answer.lines().find_map(|line| line.strip_prefix("removed")).expect("a number");
    assert!(removed.trim().parse::<u64>().expect("a number") >= 4, "{answer}");
    assert_eq!(playground.json("txn get old")["value"], "4", "the newest stays");
    let (status, _, complaint) = playground.run("txn get old --at 1");
    assert_eq!(status, 1, "{complaint}");
    assert!(complaint.contains("safe point"), "{complaint}");
}

fn refusals(playground: &Playground, dir: &Path) {
    let store = dir.join("store1");
    let store = store.to_str().expect("a path of ours");
    let cases = [
        ("region 999", 4, "there is no region 999"),
        ("split m", 1, "begins at this key already"),
        ("transfer-leader 2 99", 4, "has no peer on store 99"),
        ("add-peer 2 99", 4, "there is no store 99"),
        ("gc --safe-point 18446744073709551615", 2, "in the future"),
        ("raw get k --at 1", 2, "raw keys have no past"),
        ("txn put \\q v", 2, "a backslash is written"),
        (&format!("offline {store}"), 1, "in use by another process"),
        ("offline nowhere", 1, "holds no engine"),
    ];
    for (line, expected, words) in cases {
        let (status, answer, complaint) = playground.run(line);
        assert_eq!((status, answer.as_str()), (expected, ""), "{line}: {complaint}");
        assert!(complaint.contains(words), "{line}: {complaint}");
    }
    let away = ["stores", "--scheduler", "127.0.0.1:1", "--timeout", "200ms", "-o", "json"];
    let (status, _, complaint) = ctl(away.into_iter());
    assert_eq!(status, 1);
    let complaint: Value = serde_json::from_str(&complaint).expect("an error is JSON, too");
    assert!(complaint["hint"].as_str().is_some_and(|hint| hint.contains("--scheduler")));
}

fn offline(store: &Path) {
    let path = store.to_str().expect("a path of ours");
    let (status, answer, complaint) = ctl(["offline", path, "-o", "json"].into_iter());
    assert_eq!((status, complaint.as_str()), (0, ""));
    let regions: Value = serde_json::from_str(&answer).expect("an answer is JSON");
    let ends: Vec<&Value> =
        regions.as_array().expect("a list").iter().map(|it| &it["end"]).collect();
    assert_eq!(ends, ["m", ""]);
    let id = regions[0]["region"].to_string();
    let (status, answer, _) = ctl(["offline", path, &id, "-o", "json"].into_iter());
    let region: Value = serde_json::from_str(&answer).expect("an answer is JSON");
    let number = |name: &str| region[name].as_u64().expect("a number");
    // The other stores stopped first, so the last entries may have found no majority.
    assert!(
        status == 0 && 0 < number("applied") && number("applied") <= number("last"),
        "{answer}"
    );
    let (status, _, _) = ctl(["offline", path, "999"].into_iter());
    assert_eq!(status, 4);
}
