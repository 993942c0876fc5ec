//! Real programs: started, watched by what they log, stopped or killed.
//!
//! Waiting means waiting for a line of the log, never for a time. A program is killed when its
//! [`Process`] is dropped, so that a test that fails leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

/// A program of another package, which the whole workspace's build has put beside this test.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test knows where it is");
    let built =
        own.ancestors().nth(2).expect("tests lie in a folder beside the programs").join(name);
    assert!(built.exists(), "{} is missing: build the whole workspace", built.display());
    built
}

/// A running program.
pub struct Process {
    child: Child,
    log: BufReader<ChildStderr>,
    seen: Vec<String>,
}

impl Process {
    /// Starts a program that logs on its standard error stream.
    pub fn start(command: &mut Command) -> Process {
        // What a test waits for is logged at the default level, whatever its caller's shell says.
        let command = command.env_remove("LOG_LEVEL");
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program can be started");
        let log = BufReader::new(child.stderr.take().expect("it was asked for"));
        Process { child, log, seen: Vec::new() }
    }

    /// Waits for a line with `text` in it. Panics, with everything it logged, if the program ends
    /// without one.
    pub fn wait_for(&mut self, text: &str) -> String {
        while let Some(line) = self.next_line() {
            if line.contains(text) {
                return line;
            }
        }
        panic!("the program ended without {text:?}:\n{}", self.seen.join("\n"));
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
        let kill = Command::new("kill").args(["-TERM", &self.id().to_string()]).status();
        assert!(kill.expect("every system has it").success(), "the program runs");
    }

    /// Waits until it has ended by itself; answers how, and what it logged.
    pub fn finish(mut self) -> (ExitStatus, Vec<String>) {
        while self.next_line().is_some() {}
        let status = self.child.wait().expect("it is ours");
        (status, std::mem::take(&mut self.seen))
    }

    fn next_line(&mut self) -> Option<String> {
        let mut line = String::new();
        let length = self.log.read_line(&mut line).expect("a log is text");
        let line = line.trim_end().to_owned();
        (length > 0).then(|| {
            self.seen.push(line.clone());
            line
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
