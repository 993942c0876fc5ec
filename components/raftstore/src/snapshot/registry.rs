//! Which snapshots there are, how far each is, and who uses it: what the manager keeps under its lock.
//! No file is touched here.
//!
//! ```text
//!                 begin_write            complete              begin_read
//!    (nothing) ---------------> Writing ----------> Complete <------------> ... with users
//!        ^                         |                   |        end_read
//!        |         forget          |     begin_remove  |
//!        +---------------------- Removing <------------+  only without users
//! ```
//!
//! G1: a snapshot that is written or removed belongs to one guard, and nobody else sees it.
//! G2: a snapshot with users is not removed.
//! G3: what is written is paid for: the bytes of all snapshots stay within the limit. Only what was
//!     found when the store started may be beyond.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use runtime::clock::Instant;

use super::error::{Error, Result};
use super::key::{Side, SnapId};
use super::meta::Manifest;

/// How many snapshots there may be, whatever their size: empty ones take names and memory as well.
pub(super) const SNAPSHOTS_MAX: usize = 4096;

/// The most that snapshots may take of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of all files together. What would pass it has to wait.
    pub space_bytes: u64,
    /// How many are built at a time.
    pub builds: u32,
    /// How many are sent at a time; one that goes to two stores counts twice.
    pub sends: u32,
    /// How many are received at a time.
    pub receives: u32,
    /// How long one that nobody uses is kept.
    pub age: Duration,
}

/// How far a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its files are being written from this store's data.
    Building,
    /// It waits to be sent.
    Built,
    /// It is on its way to other stores.
    Sending,
    /// Its files are arriving.
    Receiving,
    /// It waits to be installed.
    Received,
    /// It is being checked, or becomes part of this store's data.
    Installing,
    /// It is being deleted.
    Removing,
}

/// What is known of one snapshot.
#[derive(Debug)]
struct Entry {
    /// What its files take, or will take, as far as that is known.
    bytes: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Writing,
    Complete(Complete),
    Removing,
}

#[derive(Debug)]
struct Complete {
    manifest: Arc<Manifest>,
    users: u32,
    /// When it was first seen without users, since it last had one.
    idle_since: Option<Instant>,
    /// It is damaged, or nobody needs it any more: it gets no new users, and goes with the last.
    condemned: bool,
}

/// All snapshots of a store.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) limits: Limits,
    entries: BTreeMap<SnapId, Entry>,
}

impl Registry {
    pub(super) fn new(limits: Limits) -> Self {
        Registry { limits, entries: BTreeMap::new() }
    }

    /// The bytes of all snapshots, with what is set aside for those that are being received.
    pub(super) fn bytes(&self) -> u64 {
        self.entries.values().map(|entry| entry.bytes).sum()
    }

    pub(super) fn list(&self) -> impl Iterator<Item = (SnapId, Stage)> {
        self.entries.iter().map(|(&id, entry)| (id, stage(id, entry)))
    }

    pub(super) fn stage(&self, id: SnapId) -> Option<Stage> {
        self.entries.get(&id).map(|entry| stage(id, entry))
    }

    /// The files of a complete snapshot that may be used.
    pub(super) fn manifest(&self, id: SnapId) -> Option<Arc<Manifest>> {
        match &self.entries.get(&id)?.state {
            State::Complete(complete) if !complete.condemned => {
                Some(Arc::clone(&complete.manifest))
            }
            State::Complete(_) | State::Writing | State::Removing => None,
        }
    }

    /// Takes in what was found in the folder.
    pub(super) fn found(&mut self, id: SnapId, manifest: Manifest) {
        self.entries
            .insert(id, Entry { bytes: manifest.bytes(), state: State::complete(manifest) });
    }

    /// Sets `bytes` aside for a snapshot that is not there yet.
    pub(super) fn begin_write(&mut self, id: SnapId, bytes: u64) -> Result<()> {
        if self.entries.contains_key(&id) {
            return Err(busy("the same one is in use"));
        }
        let (stage, limit, reason) = match id.side {
            Side::Built => (Stage::Building, self.limits.builds, "too many are being built"),
            Side::Received => {
                (Stage::Receiving, self.limits.receives, "too many are being received")
            }
        };
        let running = self.list().filter(|&(_, other)| other == stage).count();
        if running >= limit as usize {
            return Err(busy(reason));
        }
        if self.entries.len() >= SNAPSHOTS_MAX {
            return Err(busy("there are too many of them"));
        }
        self.check_room(0, bytes)?;
        self.entries.insert(id, Entry { bytes, state: State::Writing });
        Ok(())
    }

    /// Sets other than the first bytes aside for what is being written.
    pub(super) fn resize(&mut self, id: SnapId, bytes: u64) -> Result<()> {
        let before = self.entry(id).bytes;
        self.check_room(before, bytes)?;
        self.entry(id).bytes = bytes;
        Ok(())
    }

    /// What was written is complete, on disk and named.
    pub(super) fn complete(&mut self, id: SnapId, manifest: Manifest) {
        let entry = self.entry(id);
        assert!(matches!(entry.state, State::Writing), "G1: {id} is completed by who writes it");
        assert!(manifest.bytes() <= entry.bytes, "G3: {id} is larger than what was set aside");
        *entry = Entry { bytes: manifest.bytes(), state: State::complete(manifest) };
    }

    /// One more user of a complete snapshot.
    pub(super) fn begin_read(&mut self, id: SnapId) -> Result<Arc<Manifest>> {
        match self.entries.get_mut(&id).map(|entry| &mut entry.state) {
            Some(State::Complete(complete)) if !complete.condemned => {
                complete.users += 1;
                complete.idle_since = None;
                Ok(Arc::clone(&complete.manifest))
            }
            None | Some(State::Complete(_) | State::Writing | State::Removing) => {
                Err(Error::Missing { id })
            }
        }
    }

    /// Refuses when as many are being sent as may be.
    pub(super) fn check_sends(&self) -> Result<()> {
        let users = |entry: &Entry| match &entry.state {
            State::Complete(complete) => u64::from(complete.users),
            State::Writing | State::Removing => 0,
        };
        let built = self.entries.iter().filter(|(id, _)| id.side == Side::Built);
        let running: u64 = built.map(|(_, entry)| users(entry)).sum();
        if running >= u64::from(self.limits.sends) {
            return Err(busy("too many are being sent"));
        }
        Ok(())
    }

    /// Nobody is to begin to use it from now on. Answers `false` where there is no complete one.
    pub(super) fn condemn(&mut self, id: SnapId) -> bool {
        match self.entries.get_mut(&id).map(|entry| &mut entry.state) {
            Some(State::Complete(complete)) => {
                complete.condemned = true;
                true
            }
            None | Some(State::Writing | State::Removing) => false,
        }
    }

    /// One user less. Answers whether the files are to be removed now.
    #[must_use = "the files of a condemned snapshot are removed by its last user"]
    pub(super) fn end_read(&mut self, id: SnapId) -> bool {
        let entry = self.entry(id);
        let State::Complete(complete) = &mut entry.state else {
            unreachable!("G2: {id} went away under a user")
        };
        assert!(complete.users > 0, "G2: {id} has fewer users than guards");
        complete.users -= 1;
        let remove = complete.condemned && complete.users == 0;
        if remove {
            entry.state = State::Removing;
        }
        remove
    }

    /// Takes a complete snapshot away from everybody, so that its files can be removed. Answers `false`
    /// where there is none.
    pub(super) fn begin_remove(&mut self, id: SnapId) -> Result<bool> {
        let Some(entry) = self.entries.get_mut(&id) else { return Ok(false) };
        match &entry.state {
            State::Complete(complete) if complete.users == 0 => {
                entry.state = State::Removing;
                Ok(true)
            }
            State::Complete(_) | State::Writing | State::Removing => {
                Err(busy("the same one is in use"))
            }
        }
    }

    /// Takes away what nobody has used for too long, as [`Registry::begin_remove`] does.
    pub(super) fn begin_remove_old(&mut self, now: Instant) -> Vec<SnapId> {
        let age_max = self.limits.age;
        let mut old = Vec::new();
        for (&id, entry) in &mut self.entries {
            let State::Complete(complete) = &mut entry.state else { continue };
            if complete.users > 0 {
                continue;
            }
            let since = *complete.idle_since.get_or_insert(now);
            if now.since(since) >= age_max {
                entry.state = State::Removing;
                old.push(id);
            }
        }
        old
    }

    /// The files of what was written or removed are gone.
    pub(super) fn forget(&mut self, id: SnapId) {
        let entry = self.entries.remove(&id);
        let complete = matches!(entry, Some(Entry { state: State::Complete(_), .. }) | None);
        assert!(!complete, "G1: {id} is forgotten by who writes or removes it");
    }

    fn entry(&mut self, id: SnapId) -> &mut Entry {
        self.entries.get_mut(&id).expect("G1: a guard keeps its snapshot in the registry")
    }

    fn check_room(&self, before: u64, after: u64) -> Result<()> {
        let others = self.bytes() - before;
        let fits = others.checked_add(after).is_some_and(|all| all <= self.limits.space_bytes);
        if after > before && !fits {
            return Err(busy("their space is used up"));
        }
        Ok(())
    }
}

impl State {
    fn complete(manifest: Manifest) -> Self {
        State::Complete(Complete {
            manifest: Arc::new(manifest),
            users: 0,
            idle_since: None,
            condemned: false,
        })
    }
}

fn stage(id: SnapId, entry: &Entry) -> Stage {
    match (&entry.state, id.side) {
        (State::Writing, Side::Built) => Stage::Building,
        (State::Writing, Side::Received) => Stage::Receiving,
        (State::Complete(complete), Side::Built) if complete.users == 0 => Stage::Built,
        (State::Complete(complete), Side::Received) if complete.users == 0 => Stage::Received,
        (State::Complete(_), Side::Built) => Stage::Sending,
        (State::Complete(_), Side::Received) => Stage::Installing,
        (State::Removing, Side::Built | Side::Received) => Stage::Removing,
    }
}

fn busy(limit: &'static str) -> Error {
    Error::Busy { limit }
}
