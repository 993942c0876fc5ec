//! What a log writes, and what it keeps to itself.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use slog::{Logger, crit, debug, error, info, o, trace};

use crate::clock::{Clock, ManualClock};
use crate::log::{Capture, Config, Format, Keys, Level, Log, RepeatLimit, key};
use crate::units::Period;

/// A stream whose other end is a string.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("text")
    }
}

/// All that a log of this configuration has written when it is closed.
fn written(config: &Config, work: impl FnOnce(&Log)) -> String {
    let paper = Paper::default();
    let log = Log::open_on(config, Arc::new(ManualClock::new()), paper.clone());
    work(&log);
    drop(log);
    paper.text()
}

fn tell(log: &Logger) {
    let region = log.new(o!("region" => 2));
    info!(region, "leader elected"; "peer" => 7, "term" => 6);
    debug!(region, "not shown");
    error!(log, "disk failed"; "error" => %io::Error::other("no space"));
}

#[test]
fn text_is_for_people_and_json_for_programs() {
    assert_eq!(
        written(&Config::default(), |log| tell(log.logger())),
        "2001-09-09T01:46:40.000Z info  leader elected, region: 2, peer: 7, term: 6\n\
         2001-09-09T01:46:40.000Z error disk failed, error: no space\n"
    );
    let json = written(&Config { format: Format::Json, ..Config::default() }, |log| {
        tell(log.logger());
    });
    let lines: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("one object per line")).collect();
    let elected = serde_json::json!({
        "time": "2001-09-09T01:46:40.000Z", "level": "info", "message": "leader elected",
        "region": 2, "peer": 7, "term": 6,
    });
    let failed = serde_json::json!({
        "time": "2001-09-09T01:46:40.000Z", "level": "error", "message": "disk failed",
        "error": "no space",
    });
    assert_eq!(lines, [elected, failed]);
}

#[test]
fn the_level_changes_while_the_log_is_open() {
    let text = written(&Config { level: Level::Error, ..Config::default() }, |log| {
        info!(log.logger(), "one");
        log.level().set(Level::Trace);
        trace!(log.logger(), "two");
        log.level().set(Level::Fatal);
        error!(log.logger(), "three");
        crit!(log.logger(), "four");
    });
    let messages: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert_eq!(messages, ["two", "four"]);
}

#[test]
fn keys_are_redacted_unless_the_log_shows_them() {
    let line = |keys| {
        let text = written(&Config { keys, ..Config::default() }, |log| {
            let (short, long) = (b"t\x80\x00a".as_slice(), [b'x'; 130]);
            info!(log.logger(), "split"; "key" => key(short), "to" => %key(&long));
        });
        text.split_once("split, ").expect("the message").1.to_owned()
    };
    assert_eq!(line(Keys::Redacted), "key: ?, to: ?\n");
    let shown = format!("key: t\\x80\\x00a, to: {}... and 2 bytes\n", "x".repeat(128));
    assert_eq!(line(Keys::Shown), shown);
    assert_eq!(format!("{} {:?}", key(b"a"), key(b"a")), "? ?", "outside of a log");
}

#[test]
fn what_was_suppressed_is_told_when_the_log_is_closed() {
    let repeats = RepeatLimit { count: 2, period: Period::secs(10) };
    let text = written(&Config { repeats, ..Config::default() }, |log| {
        (0..5).for_each(|_| info!(log.logger(), "again"));
    });
    assert_eq!(text.matches("info  again\n").count(), 2);
    assert!(text.ends_with("info  repeats suppressed, count: 3, message: again\n"), "{text}");
}

/// A stream that is as slow as the test wants: each line says that it came, and waits.
struct Slow {
    paper: Paper,
    came: Sender<()>,
    go: Receiver<()>,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.paper.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.came.send(()).expect("room for all lines");
        // An error is the end of the test, which no longer wants to delay anything.
        let _ = self.go.recv();
        Ok(())
    }
}

#[test]
fn a_slow_stream_delays_nobody_and_the_lost_lines_are_counted() {
    let paper = Paper::default();
    let ((came, coming), (let_go, go)) = (bounded(100), bounded(100));
    let config = Config { format: Format::Json, queue: 4, ..Config::default() };
    let stream = Slow { paper: paper.clone(), came, go };
    let log = Log::open_on(&config, Arc::new(ManualClock::new()), stream);

    info!(log.logger(), "held");
    coming.recv().expect("the first line came and is held");
    for number in 1..=7 {
        info!(log.logger(), "more"; "number" => number);
    }
    let_go.send(()).expect("room");
    for _ in 0..4 {
        coming.recv().expect("as many lines as the queue holds");
        let_go.send(()).expect("room");
    }
    info!(log.logger(), "after");
    drop(let_go);
    drop(log);
    let text = paper.text();
    assert_eq!(text.matches("\"more\"").count(), 4, "{text}");
    assert_eq!(text.matches("records dropped").count(), 1, "{text}");
    assert!(text.contains("\"count\":3}"), "{text}");
    assert!(text.ends_with("\"message\":\"after\"}\n"), "{text}");
}

#[test]
fn a_capture_keeps_the_last_records_with_time_and_context() {
    let clock = ManualClock::new();
    let (log, capture) = Capture::open(Level::Info, 2, Arc::new(clock.clone()));
    info!(log, "forgotten");
    info!(log, "start"; "key" => key(b"a\x00"));
    clock.advance(Duration::from_secs(1));
    tell(&log.new(o!("store" => 1, "region" => 1)));

    assert_eq!(capture.count("start"), 0, "two newer ones pushed it out");
    assert_eq!(capture.count("leader elected"), 1);
    let entries = capture.entries();
    assert_eq!(entries[0].to_string(), "info  leader elected peer=7 region=2 store=1 term=6");
    assert_eq!(entries[1].level, Level::Error);
    assert_eq!(entries[1].values["region"], "1", "the inner region is not the outer one's");
    assert_eq!(entries[1].at, clock.now());
    assert_eq!(capture.take(), entries);
    assert_eq!(capture.entries(), []);

    info!(log, "shown"; "key" => key(b"a\x00"));
    assert_eq!(capture.take()[0].values["key"], "a\\x00");
}

#[test]
fn a_configuration_says_only_what_differs_and_refuses_unknown_words() {
    let config: Config = toml::from_str("level = \"warning\"\nkeys = \"shown\"").expect("valid");
    assert_eq!(config, Config { level: Level::Warn, keys: Keys::Shown, ..Config::default() });
    let printed = toml::to_string(&config).expect("a table");
    assert_eq!(toml::from_str(&printed), Ok(config));

    let error = toml::from_str::<Config>("level = \"loud\"").expect_err("no level").to_string();
    assert!(error.contains("the levels are fatal, error, warn, info, debug and trace"), "{error}");
    assert!(toml::from_str::<Config>("levle = \"info\"").is_err());
}
