//! Real programs: started, watched by what they log, paused, stopped or killed.
//!
//! Waiting means waiting for a line of the log, with a limit after which the test has failed. What a
//! program says is read all the time, by a thread of its own: a program that nobody listens to would stop
//! at a full pipe. A program is killed when its [`Process`] is dropped, so that a test that fails leaves
//! nothing behind.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runtime::worker::{Alarm, Thread};

/// A line that has not come by then does not come.
const PATIENCE: Duration = Duration::from_mins(1);

/// The newest lines that are kept of a log; a program that never ends may say more.
const LINES_MAX: usize = 20_000;

/// A program of another package, which the whole workspace's build has put beside this test.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test knows where it is");
    let built =
        own.ancestors().nth(2).expect("tests lie in a folder beside the programs").join(name);
    assert!(built.exists(), "{} is missing: build the whole workspace", built.display());
    built
}

/// What a program has said so far.
#[derive(Default)]
struct Log {
    lines: VecDeque<String>,
    /// How many older lines are not kept any more.
    forgotten: usize,
    is_over: bool,
}

impl Log {
    fn add(&mut self, line: String) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
            self.forgotten += 1;
        }
        self.lines.push_back(line);
    }

    /// The first line from the `from`th on with `text` in it, and its number.
    fn find(&self, from: usize, text: &str) -> Option<(usize, String)> {
        let kept = from.saturating_sub(self.forgotten);
        let numbered = self.lines.iter().enumerate().skip(kept);
        let mut found = numbered.filter(|(_, line)| line.contains(text));
        found.next().map(|(place, line)| (self.forgotten + place, line.clone()))
    }
}

/// A log, and the news that there is more of it.
#[derive(Default)]
struct Shared {
    log: Mutex<Log>,
    news: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, stderr: ChildStderr) {
        let mut lines = BufReader::new(stderr).split(b'\n');
        while let Some(Ok(line)) = lines.next() {
            self.lock().add(String::from_utf8_lossy(&line).into_owned());
            self.news.notify_all();
        }
        self.lock().is_over = true;
        self.news.notify_all();
    }
}

/// A running program.
pub struct Process {
    child: Child,
    shared: Arc<Shared>,
    reader: Option<Thread>,
    /// The line from which on the next one is waited for.
    next: usize,
}

impl Process {
    /// Starts a program that logs on its standard error stream.
    pub fn start(command: &mut Command) -> Process {
        // What a test waits for is logged at the default level, whatever its caller's shell says.
        let command = command.env_remove("LOG_LEVEL");
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program can be started");
        let stderr = child.stderr.take().expect("it was asked for");
        let shared = Arc::new(Shared::default());
        let reading = Arc::clone(&shared);
        let reader = Thread::spawn("log", &Alarm::ignored(), move || reading.read(stderr));
        Process { child, shared, reader: Some(reader.expect("a thread")), next: 0 }
    }

    /// Waits for a line with `text` in it, after the last one that was waited for. Panics, with
    /// everything it logged, if the program ends without one.
    pub fn wait_for(&mut self, text: &str) -> String {
        let log = self.shared.lock();
        let is_missing = |log: &mut Log| !log.is_over && log.find(self.next, text).is_none();
        let waited = self.shared.news.wait_timeout_while(log, PATIENCE, is_missing);
        let (log, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let Some((number, line)) = log.find(self.next, text) else {
            let what = if log.is_over { "ended without" } else { "does not say" };
            let said: Vec<&str> = log.lines.iter().map(String::as_str).collect();
            panic!("the program {what} {text:?}:\n{}", said.join("\n"));
        };
        self.next = number + 1;
        line
    }

    /// Waits until it serves; answers the address, which it logs as `addr: 127.0.0.1:1234`.
    pub fn wait_until_serving(&mut self) -> String {
        let line = self.wait_for("serving");
        let (_, rest) = line.split_once("addr: ").expect("the line names the address");
        rest.split([' ', ',']).next().unwrap_or_default().to_owned()
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it without a warning, as a crash would.
    pub fn kill(mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal by its name, as in `STOP` and `CONT`.
    pub fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.id().to_string()]).status();
        assert!(kill.expect("every system has it").success(), "the program runs");
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is ours").is_some()
    }

    /// Waits until it has ended by itself; answers how, and what it logged.
    pub fn finish(mut self) -> (ExitStatus, Vec<String>) {
        let status = self.child.wait().expect("it is ours");
        let reader = self.reader.take().expect("nobody else joins it");
        reader.join().expect("it only reads");
        let lines = std::mem::take(&mut self.shared.lock().lines);
        (status, lines.into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is as good. The reader ends with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        Process::start(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn a_program_that_nobody_listens_to_goes_on() {
        // Ten times what fits into a pipe.
        let mut process = shell("echo ready >&2; yes | head -c 655360 >&2; echo done >&2");
        process.wait_for("ready");
        let (status, lines) = process.finish();
        assert!(status.success());
        assert_eq!(lines.len(), LINES_MAX, "the newest are kept");
        assert_eq!(lines.last().map(String::as_str), Some("done"));
    }

    #[test]
    fn lines_are_waited_for_one_after_the_other() {
        let mut process = shell("echo one a >&2; echo two >&2; echo one b >&2; exec sleep 60");
        assert_eq!(process.wait_for("one"), "one a");
        assert_eq!(process.wait_for("one"), "one b");
        assert!(!process.has_ended());
        process.terminate();
        assert!(!process.finish().0.success());
    }

    #[test]
    #[should_panic(expected = "the program ended without \"three\"")]
    fn a_program_that_ends_is_not_waited_for() {
        shell("echo one >&2").wait_for("three");
    }
}
