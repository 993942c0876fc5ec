//! The prompt: a line in, what it came to out.
//!
//! A line is one of the playground's own commands, or stands for one of `tinykv-ctl`'s, which does it. At a
//! terminal there is a prompt. Where the lines come from a file or a pipe they are done one after the
//! other, and the playground stops after the last one, with an error if one of them failed; an input
//! without a single line is nobody, and is not waited for.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use ctl::args::{Data, Place, Region, Regions};
use ctl::output::{Output, Style};
use ctl::{Command, Session};
use runtime::worker::{Alarm, Thread};
use tokio::sync::mpsc::{Receiver, channel};

use crate::banner;

/// What can be typed.
pub(crate) const HELP: &str = "\
put KEY VALUE             write a key; the value is the rest of the line
get KEY                   read it
delete KEY                remove it
scan [START [END]]        list keys and values
regions                   list the regions
region ID                 show a region, and how each of its peers is
leaders                   list who leads which region
stores                    list the stores
operators                 list what the scheduler is doing
split KEY                 cut a region in two
move-leader REGION STORE  hand a leadership over
kill STORE                end a store without a warning
restart STORE             start it again
help                      this list
quit                      stop everything";

/// What somebody wants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wish {
    /// Something that `tinykv-ctl` can do.
    Ctl(Command),
    /// The leaders, out of the list of regions.
    Leaders,
    /// To see a store die.
    Kill(u64),
    /// To see it come back.
    Restart(u64),
    /// To know what there is.
    Help,
    /// The end.
    Quit,
    /// Nothing: an empty line, or a comment.
    Nothing,
}

/// Lines, as they come.
pub(crate) struct Lines {
    typed: Receiver<String>,
    is_terminal: bool,
    has_spoken: bool,
}

impl Lines {
    /// The lines of the standard input. Reading waits in a thread that nobody joins: it cannot be
    /// stopped, and ends with the process.
    pub(crate) fn open() -> std::io::Result<Self> {
        let (sender, typed) = channel(1);
        let read = move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { return };
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        };
        drop(Thread::spawn("console", &Alarm::ignored(), read)?);
        Ok(Lines { typed, is_terminal: std::io::stdin().is_terminal(), has_spoken: false })
    }

    /// Whether somebody sits there.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// The next line; `None` when the input has ended. Never comes if there was no input at all.
    pub(crate) async fn next(&mut self) -> Option<String> {
        if self.is_terminal {
            banner::prompt("tinykv> ");
        }
        match self.typed.recv().await {
            Some(line) => {
                self.has_spoken = true;
                Some(line)
            }
            None if self.has_spoken || self.is_terminal => None,
            None => std::future::pending().await,
        }
    }
}

/// Understands a line. The error says what was wrong with it.
pub(crate) fn parse(line: &str, is_raw: bool) -> Result<Wish, String> {
    let line = line.trim();
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim_start();
    let words: Vec<&str> = rest.split_whitespace().collect();
    let data = |data| Wish::Ctl(if is_raw { Command::Raw(data) } else { Command::Txn(data) });
    let wish = match (name, words.as_slice()) {
        ("", _) => Wish::Nothing,
        (comment, _) if comment.starts_with('#') => Wish::Nothing,
        ("put", [key, ..]) => {
            let value = rest[key.len()..].trim_start().to_owned();
            data(Data::Put { key: (*key).to_owned(), value })
        }
        ("get", [key]) => data(Data::Get { key: (*key).to_owned(), at: None }),
        ("delete", [key]) => data(Data::Delete { key: (*key).to_owned() }),
        ("scan", [] | [_] | [_, _]) => {
            let word = |at: usize| words.get(at).copied().unwrap_or_default().to_owned();
            data(Data::Scan { start: word(0), end: word(1), limit: 100, at: None })
        }
        ("regions", []) => {
            let (start, limit) = (String::new(), 1000);
            Wish::Ctl(Command::Regions(Regions { start, raw: is_raw, limit }))
        }
        ("region", [which]) => {
            let which = (*which).to_owned();
            Wish::Ctl(Command::Region(Region { which, key: false, raw: false }))
        }
        ("leaders", []) => Wish::Leaders,
        ("stores", []) => Wish::Ctl(Command::Stores { all: false }),
        ("operators", []) => Wish::Ctl(Command::Operators { region: None }),
        ("split", [key]) => Wish::Ctl(Command::Split { key: (*key).to_owned(), raw: is_raw }),
        ("move-leader", [region, store]) => {
            let place = Place { region: number(region)?, store: number(store)? };
            Wish::Ctl(Command::TransferLeader(place))
        }
        ("kill", [store]) => Wish::Kill(number(store)?),
        ("restart", [store]) => Wish::Restart(number(store)?),
        ("help" | "?", _) => Wish::Help,
        ("quit" | "exit", _) => Wish::Quit,
        _ => return Err(usage(name)),
    };
    Ok(wish)
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word:?} is not a number; `regions` and `stores` show them"))
}

/// How a command is written, if there is one of this name.
fn usage(name: &str) -> String {
    let known = HELP.lines().find(|line| line.split(' ').next() == Some(name));
    match known.and_then(|line| line.split("  ").next()) {
        Some(usage) => format!("it is written: {usage}"),
        None => format!("there is no command {name:?}; `help` lists them"),
    }
}

/// Does what `tinykv-ctl` can do, and answers what it would print.
pub(crate) async fn run(session: &Session, command: &Command) -> ctl::Result<String> {
    let output = session.run(command, &mut |line| banner::say(&line)).await?;
    Ok(output.render(Style::Table))
}

/// Who leads which region.
pub(crate) async fn leaders(session: &Session) -> ctl::Result<String> {
    let all = Regions { start: String::new(), raw: false, limit: u32::MAX };
    let regions = session.run(&Command::Regions(all), &mut |_| ()).await?;
    let output = match regions {
        Output::Table(table) => Output::Table(table.only(&["region", "leader"])),
        Output::Record(_) | Output::Text(_) => regions,
    };
    Ok(output.render(Style::Table))
}

/// Shows what is printed so far, although no line has ended.
pub(crate) fn flush() {
    // A reader that has gone away is told by the next line.
    let _ = std::io::stdout().flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        let put = |key: &str, value: &str| Data::Put { key: key.into(), value: value.into() };
        let cases = [
            ("", Wish::Nothing),
            ("  # a comment", Wish::Nothing),
            ("put k v", Wish::Ctl(Command::Txn(put("k", "v")))),
            (" put  k  two words ", Wish::Ctl(Command::Txn(put("k", "two words")))),
            ("put k", Wish::Ctl(Command::Txn(put("k", "")))),
            ("split m", Wish::Ctl(Command::Split { key: "m".into(), raw: false })),
            ("move-leader 2 3", Wish::Ctl(Command::TransferLeader(Place { region: 2, store: 3 }))),
            ("kill 1", Wish::Kill(1)),
            ("restart 1", Wish::Restart(1)),
            ("leaders", Wish::Leaders),
            ("quit", Wish::Quit),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line, false), Ok(expected), "{line}");
        }
        let raw = Wish::Ctl(Command::Raw(put("k", "v")));
        assert_eq!(parse("put k v", true), Ok(raw), "a raw cluster holds raw keys");
    }

    #[test]
    fn what_is_not_understood_is_explained() {
        let cases = [
            ("get", "it is written: get KEY"),
            ("move-leader 2", "it is written: move-leader REGION STORE"),
            ("kill one", "\"one\" is not a number; `regions` and `stores` show them"),
            ("dance", "there is no command \"dance\"; `help` lists them"),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line, false), Err(expected.to_owned()), "{line}");
        }
    }

    #[test]
    fn every_command_of_the_help_exists() {
        for line in HELP.lines() {
            let name = line.split(' ').next().unwrap_or_default();
            let unknown = format!("there is no command {name:?}");
            let understood = parse(name, false);
            assert!(
                understood.is_ok() || understood.is_err_and(|e| !e.contains(&unknown)),
                "{name}"
            );
        }
    }
}
