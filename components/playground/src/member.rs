//! One process of the cluster.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::cluster::PlaygroundError;

/// How long a process may take until it serves.
const START_MAX: Duration = Duration::from_mins(1);

/// How often its log is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// How long one may take to end once it is asked to.
const STOP_MAX: Duration = Duration::from_secs(20);

/// A running scheduler or store.
pub(crate) struct Member {
    pub(crate) name: String,
    /// Where it serves.
    pub(crate) address: String,
    /// Where it shows how it is, to a browser or to Prometheus.
    pub(crate) pages: String,
    /// What it logs.
    pub(crate) log: PathBuf,
    child: Child,
}

impl Member {
    /// Starts a program, and waits until it says where it serves. Everything that it says is in its log.
    pub(crate) async fn start(
        name: &str,
        command: &mut Command,
        log: &Path,
    ) -> Result<Member, PlaygroundError> {
        let failed = |why: String| PlaygroundError::NotStarted {
            name: name.to_owned(),
            why,
            log: log.to_owned(),
        };
        // A log goes on where it was when its process is started again.
        let file = File::options().create(true).append(true).open(log);
        let file = file.map_err(|error| failed(error.to_string()))?;
        let before = file.metadata().map_err(|error| failed(error.to_string()))?.len();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(file));
        // Ctrl-c goes to the playground alone, which stops the others in their order.
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let (pages, address) = tokio::select! {
            addresses = until_serving(log, before) => addresses,
            status = child.wait() => return Err(failed(format!("it ended ({})", told(status)))),
            () = sleep(START_MAX) => {
                return Err(failed(format!("it does not serve after {START_MAX:?}")));
            }
        };
        Ok(Member { name: name.to_owned(), address, pages, log: log.to_owned(), child })
    }

    /// Waits until it ends.
    pub(crate) async fn wait(&mut self) -> String {
        told(self.child.wait().await)
    }

    /// Ends it without a warning.
    pub(crate) async fn kill(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill().await;
    }

    /// Asks it to end, and ends it if it takes too long.
    pub(crate) async fn stop(&mut self) {
        if let Some(id) = self.child.id() {
            let asked = Command::new("kill").args(["-TERM", &id.to_string()]).status().await;
            let has_ended = asked.is_ok() && timeout(STOP_MAX, self.child.wait()).await.is_ok();
            if !has_ended {
                self.kill().await;
            }
        }
    }
}

fn told(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// Waits until a log says where its process serves; what it had said `before` is another one's. Answers where
/// its pages are, which it says first, and where it serves.
async fn until_serving(log: &Path, before: u64) -> (String, String) {
    let before = usize::try_from(before).unwrap_or(usize::MAX);
    loop {
        // What cannot be read yet may be soon.
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let said = said.get(before..).unwrap_or_default();
        let find = |what| said.lines().find_map(|line| address(line, what));
        if let Some(address) = find("serving") {
            return (find("status port open").unwrap_or_default(), address);
        }
        sleep(LOOK).await;
    }
}

/// The address in a line that says `what`.
fn address(line: &str, what: &str) -> Option<String> {
    let (_, rest) = line.split_once(what)?.1.split_once("addr: ")?;
    rest.split([' ', ',']).next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_from_the_line_that_says_what_it_is() {
        let line = "Nov 21 11:00:00.000 INFO serving, addr: 127.0.0.1:20160, store: 1";
        assert_eq!(address(line, "serving").as_deref(), Some("127.0.0.1:20160"));
        let line = "Nov 21 11:00:00.000 INFO status port open, addr: 127.0.0.1:1";
        assert_eq!(address(line, "serving"), None);
        assert_eq!(address(line, "status port open").as_deref(), Some("127.0.0.1:1"));
        assert_eq!(address("serving", "serving"), None);
    }
}
