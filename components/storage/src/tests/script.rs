//! Golden scripts: stories of transactions, told in requests.
//!
//! A script under `testscripts/` is a list of commands, each block followed by `---` and by what
//! came out. Its first line says what it shows. `UPDATE_GOLDENFILES=1` writes the output anew; the
//! difference is then read like code.
//!
//! A client is a name in front of its commands. Timestamps are plain numbers, or milliseconds
//! (`20ms`) where time to live matters; two of the same millisecond do not meet in one story.
//!
//! | command | what it does |
//! |---|---|
//! | `ann: begin 10` | a transaction starts; what it buffered before is forgotten, as if the client had died |
//! | `ann: put a=1 b=2`, `ann: delete a`, `ann: hold a` | it buffers; the first key it names is its primary |
//! | `ann: get a b`, `ann: scan a limit=3` | it reads as of its start |
//! | `ann: prewrite ttl=5`, `ann: prewrite b` | of all that is buffered, or of these keys |
//! | `ann: commit 12`, `ann: commit 12 b` | all keys, or these |
//! | `ann: rollback`, `ann: rollback b` | the same |
//! | `get a at=12`, `scan a limit=3 at=12 reverse` | anybody reads |
//! | `check a start=10 now=30ms` | what became of the transaction with this primary and start |
//! | `resolve 10 commit=12`, `resolve 10` | its locks are committed, or rolled back |
//! | `settle a` | what a reader does with the lock on `a`: check the primary, then resolve |
//! | `locks 20`, `safe-point 20`, `collect 20` | garbage |
//! | `dump` | every record there is |
//! | `hits "a mark"` | how often the branch of that name was taken |

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use engine::Cf;
use goldenscript::{ArgumentConsumer, Command, Context as ScriptContext, Runner};
use proto::kvrpcpb::Context;
use runtime::mark;

use super::fixture::{Recorder, wait};
use crate::mvcc::{Direction, LOGICAL_BITS, Lock, Row, TS_MAX, Write, decode_user_key, split_key};
use crate::txn::{
    CheckStatus, Commit, Get, Mutation, Prewrite, ResolveLock, Rollback, Scan, ScanLocks, Status,
};
use crate::{Abort, Error as StorageError, KeyError, Kv, Limits, Retryable};

type Output = Result<String, Box<dyn Error>>;

#[test]
fn percolator() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testscripts");
    let count = tests::scripts::run_all(&folder, Script::new);
    assert!(count >= 20, "{count} stories");
}

struct Script {
    kv: Kv,
    storage: Arc<Recorder>,
    clients: BTreeMap<String, Client>,
}

/// A transaction of a client.
#[derive(Clone, Default)]
struct Client {
    start_ts: u64,
    buffer: Vec<Mutation>,
}

impl Client {
    fn primary(&self) -> Result<Bytes, Box<dyn Error>> {
        Ok(self.buffer.first().ok_or("nothing is buffered")?.key().clone())
    }

    /// The keys that are named, or all that are buffered.
    fn keys(&self, args: &mut ArgumentConsumer<'_>) -> Vec<Bytes> {
        let named: Vec<Bytes> = std::iter::from_fn(|| args.next_pos()).map(text).collect();
        if named.is_empty() {
            return self.buffer.iter().map(|mutation| mutation.key().clone()).collect();
        }
        named
    }
}

impl Script {
    fn new() -> Self {
        let storage = Recorder::new();
        let kv = Kv::new(Arc::clone(&storage) as _, Limits::default());
        Script { kv, storage, clients: BTreeMap::new() }
    }
}

impl Runner for Script {
    type Command = Command;

    fn start_script(&mut self) -> Result<(), Box<dyn Error>> {
        mark::reset();
        Ok(())
    }

    fn run(&mut self, command: &Command, context: &ScriptContext) -> Output {
        let mut args = command.consume_args();
        let output = match &context.prefix {
            Some(client) => self.act(client, &command.name, &mut args)?,
            None => self.serve(&command.name, &mut args)?,
        };
        args.reject_next()?;
        Ok(output)
    }
}

/// What clients do.
impl Script {
    fn act(&mut self, name: &str, verb: &str, args: &mut ArgumentConsumer<'_>) -> Output {
        let client = self.clients.entry(name.to_owned()).or_default();
        match verb {
            "begin" => {
                let start_ts = timestamp(args.next_pos().ok_or("when?")?)?;
                *client = Client { start_ts, buffer: Vec::new() };
            }
            "put" => {
                while let Some((key, value)) = args.next_key() {
                    client.buffer.push(Mutation::Put(text(key), text(value)));
                }
            }
            "delete" | "hold" => {
                while let Some(key) = args.next_pos().map(text) {
                    let is_delete = verb == "delete";
                    let mutation =
                        if is_delete { Mutation::Delete(key) } else { Mutation::Lock(key) };
                    client.buffer.push(mutation);
                }
            }
            _ => return self.request(&self.clients[name].clone(), verb, args),
        }
        Ok(String::new())
    }

    fn request(&self, client: &Client, verb: &str, args: &mut ArgumentConsumer<'_>) -> Output {
        let start_ts = client.start_ts;
        let region = Context::default();
        match verb {
            "get" => {
                let mut output = String::new();
                while let Some(key) = args.next_pos() {
                    output += &self.get(key, start_ts);
                }
                Ok(output)
            }
            "scan" => self.scan(args, start_ts),
            "prewrite" => {
                let ttl = args.take_key("ttl").map_or(Ok(0), str::parse)?;
                let primary = client.primary()?;
                let keys = client.keys(args);
                let named = client.buffer.iter().filter(|mutation| keys.contains(mutation.key()));
                let mutations = named.cloned().collect();
                let prewrite = Prewrite { mutations, primary, start_ts, ttl };
                let refused = match wait(self.kv.run(&region, prewrite)) {
                    Ok(refused) => refused,
                    Err(error) => return Ok(refusal(&error)),
                };
                if refused.is_empty() {
                    return Ok("locked\n".to_owned());
                }
                let mut output = String::new();
                for error in &refused {
                    writeln!(output, "refused: {}", key_error(error))?;
                }
                Ok(output)
            }
            "commit" => {
                let commit_ts = timestamp(args.next_pos().ok_or("when?")?)?;
                let commit = Commit { keys: client.keys(args), start_ts, commit_ts };
                Ok(done("committed", wait(self.kv.run(&region, commit))))
            }
            "rollback" => {
                let rollback = Rollback { keys: client.keys(args), start_ts };
                Ok(done("rolled back", wait(self.kv.rollback(&region, rollback))))
            }
            _ => Err(format!("no command {verb} of a client").into()),
        }
    }
}

/// What anybody asks.
impl Script {
    fn serve(&self, verb: &str, args: &mut ArgumentConsumer<'_>) -> Output {
        match verb {
            "get" => {
                let at = at(args)?;
                Ok(self.get(args.next_pos().ok_or("which key?")?, at))
            }
            "scan" => {
                let at = at(args)?;
                self.scan(args, at)
            }
            "check" => {
                let lock_ts = timestamp(args.take_key("start").ok_or("which start?")?)?;
                let current_ts = timestamp(args.take_key("now").ok_or("what time is it?")?)?;
                let primary = text(args.next_pos().ok_or("which key?")?);
                match self.check(primary, lock_ts, current_ts) {
                    Ok(status) => Ok(format!("{}\n", status_text(status))),
                    Err(error) => Ok(refusal(&error)),
                }
            }
            "resolve" => {
                let commit_ts = args.take_key("commit").map(timestamp).transpose()?;
                let start_ts = timestamp(args.next_pos().ok_or("which transaction?")?)?;
                Ok(self.resolve(start_ts, commit_ts))
            }
            "settle" => {
                let now = args.take_key("now").map_or(Ok(0), timestamp)?;
                self.settle(args.next_pos().ok_or("which key?")?, now)
            }
            "locks" | "safe-point" | "collect" => self.collect(verb, args),
            "dump" => Ok(self.dump()),
            "hits" => Ok(format!("{}\n", mark::hits(args.next_pos().ok_or("which mark?")?))),
            _ => Err(format!("no command {verb}").into()),
        }
    }

    fn get(&self, key: &str, version: u64) -> String {
        match wait(self.kv.read(&Context::default(), Get { key: text(key), version })) {
            Ok(None) => format!("{key}: none\n"),
            Ok(Some(value)) => format!("{key} = {}\n", show(&value)),
            Err(error) => refusal(&error),
        }
    }

    fn scan(&self, args: &mut ArgumentConsumer<'_>, version: u64) -> Output {
        let limit = args.take_key("limit").map_or(Ok(100), str::parse)?;
        let start = text(args.next_pos().unwrap_or_default());
        let direction = match args.next_pos() {
            Some("reverse") => Direction::Reverse,
            Some(_) | None => Direction::Forward,
        };
        let scan = Scan { start, limit, version, direction };
        match wait(self.kv.read(&Context::default(), scan)) {
            Ok(rows) => Ok(rows.iter().map(row_text).collect()),
            Err(error) => Ok(refusal(&error)),
        }
    }

    fn check(&self, primary: Bytes, lock_ts: u64, current_ts: u64) -> crate::Result<Status> {
        let check = CheckStatus { primary, lock_ts, current_ts };
        wait(self.kv.run(&Context::default(), check))
    }

    fn resolve(&self, start_ts: u64, commit_ts: Option<u64>) -> String {
        let resolve = ResolveLock::new(start_ts, commit_ts);
        done("resolved", wait(self.kv.resolve_lock(&Context::default(), resolve)))
    }

    fn settle(&self, key: &str, now: u64) -> Output {
        let locks = self.storage.rows(Cf::Lock);
        let Some((_, record)) = locks.iter().find(|(locked, _)| locked == key) else {
            return Ok(format!("{key} is not locked\n"));
        };
        let lock = Lock::parse(record)?;
        let status = self.check(lock.primary.clone(), lock.ts, now)?;
        let mut output = format!("{}: {}\n", show(&lock.primary), status_text(status));
        output += &match status {
            Status::Alive { .. } => "wait\n".to_owned(),
            Status::Committed { commit_ts } => self.resolve(lock.ts, Some(commit_ts)),
            Status::RolledBack | Status::Expired | Status::NeverSeen => self.resolve(lock.ts, None),
        };
        Ok(output)
    }

    fn collect(&self, verb: &str, args: &mut ArgumentConsumer<'_>) -> Output {
        let region = Context::default();
        let ts = timestamp(args.next_pos().ok_or("up to when?")?)?;
        match verb {
            "locks" => {
                let scan = ScanLocks { start: Bytes::new(), max_ts: ts, limit: 100 };
                let found = wait(self.kv.scan_locks(&region, scan))?;
                let rows = found.locks.into_iter().map(|locked| row_text(&Row::Locked(locked)));
                Ok(rows.collect())
            }
            "safe-point" => Ok(format!("{}\n", stamp(wait(self.kv.raise_safe_point(ts))?))),
            _ => match wait(self.kv.collect_garbage(&region, ts)) {
                Ok(removed) => Ok(format!("{removed} records\n")),
                Err(error) => Ok(refusal(&error)),
            },
        }
    }

    fn dump(&self) -> String {
        let mut output = String::new();
        for (key, record) in self.storage.rows(Cf::Lock) {
            let lock = Lock::parse(&record).unwrap();
            let (kind, ts, primary) = (lock.kind, stamp(lock.ts), show(&lock.primary));
            let key = show(&key);
            writeln!(
                output,
                "lock    {key} = {kind:?} start={ts} primary={primary} ttl={}",
                lock.ttl
            )
            .unwrap();
        }
        for (key, record) in self.storage.rows(Cf::Write) {
            let Write { kind, start_ts } = Write::parse(&record).unwrap();
            writeln!(output, "write   {} = {kind:?} start={}", version(&key), stamp(start_ts))
                .unwrap();
        }
        for (key, value) in self.storage.rows(Cf::Default) {
            writeln!(output, "default {} = {}", version(&key), show(&value)).unwrap();
        }
        output
    }
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn version(key: &[u8]) -> String {
    let user_key = decode_user_key(key).unwrap();
    format!("{}@{}", show(&user_key), stamp(split_key(key).unwrap().1))
}

fn at(args: &mut ArgumentConsumer<'_>) -> Result<u64, Box<dyn Error>> {
    args.take_key("at").map_or(Ok(TS_MAX), timestamp)
}

fn timestamp(text: &str) -> Result<u64, Box<dyn Error>> {
    match text.strip_suffix("ms") {
        Some(ms) => Ok(ms.parse::<u64>()? << LOGICAL_BITS),
        None if text == "max" => Ok(TS_MAX),
        None => Ok(text.parse()?),
    }
}

fn stamp(ts: u64) -> String {
    if ts >= 1 << LOGICAL_BITS { format!("{}ms", ts >> LOGICAL_BITS) } else { ts.to_string() }
}

fn row_text(row: &Row) -> String {
    match row {
        Row::Value { key, value } => format!("{} = {}\n", show(key), show(value)),
        Row::Locked(locked) => format!("{}\n", key_error(&KeyError::Locked(locked.clone()))),
    }
}

fn status_text(status: Status) -> String {
    match status {
        Status::Alive { ttl } => format!("alive, time to live {ttl} ms"),
        Status::Committed { commit_ts } => format!("committed at {}", stamp(commit_ts)),
        Status::RolledBack => "was rolled back".to_owned(),
        Status::Expired => "expired, rolled back now".to_owned(),
        Status::NeverSeen => "never seen, rolled back now".to_owned(),
    }
}

fn done(what: &str, result: crate::Result<()>) -> String {
    match result {
        Ok(()) => format!("{what}\n"),
        Err(error) => refusal(&error),
    }
}

/// What a client is told. A failure that is none of its business fails the script.
fn refusal(error: &StorageError) -> String {
    match error.as_key_error() {
        Some(KeyError::Locked(locked)) => row_text(&Row::Locked(locked.clone())),
        Some(error) => format!("refused: {}\n", key_error(error)),
        None => format!("refused: {error}\n"),
    }
}

fn key_error(error: &KeyError) -> String {
    match error {
        KeyError::Locked(locked) => {
            let (key, primary) = (show(&locked.key), show(&locked.lock.primary));
            format!("{key} is locked by {}, primary {primary}", stamp(locked.lock.ts))
        }
        KeyError::Conflict(conflict) => {
            let at = stamp(conflict.conflict_ts);
            format!("conflict on {} at {at}", show(&conflict.key))
        }
        KeyError::Retryable(Retryable::RolledBack { .. }) => "it was rolled back".to_owned(),
        KeyError::Retryable(Retryable::LockLost { holder_ts, .. }) => {
            format!("its lock is lost, {} holds the key", stamp(*holder_ts))
        }
        KeyError::Abort(Abort::Committed { commit_ts, .. }) => {
            format!("it is committed at {}", stamp(*commit_ts))
        }
        KeyError::Abort(Abort::BelowSafePoint { ts, safe_point }) => {
            format!("{} is below the safe point {}", stamp(*ts), stamp(*safe_point))
        }
        KeyError::Abort(Abort::TimestampTaken { ts, start_ts }) => {
            format!("{} is taken by the transaction of {}", stamp(*ts), stamp(*start_ts))
        }
    }
}
