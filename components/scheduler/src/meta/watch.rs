//! Watching: every change of some keys, from a revision on, in order, once.
//!
//! A watcher is *in step* when it has been shown everything, and then each new revision is offered to
//! it as it happens. One that began in the past, or whose receiver has no room, *lags*: it has a
//! revision from which on it is shown the log, as soon as there is room. So a slow receiver costs no
//! memory; what it has not seen is in the log anyway.
//!
//! ```text
//!                 log  2  3  4  5  6  7 | 8 (new)
//! in step                               | offered 8; no room -> lags from 8
//! lags from 4               4  5  6  7  | shown from 4 on while there is room; then in step
//! ```
//!
//! A revision is shown whole, in one message. A watcher whose revision was compacted while it lagged
//! is told so, and ends.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proto::etcdserverpb::WatchResponse;
use proto::mvccpb::Event;
use proto::mvccpb::event::EventType;

use super::range::KeyRange;
use super::space::{Change, Revision, Space};

/// Events that are shown in one message while a watcher lags; a revision is not cut.
const EVENTS_PER_MESSAGE: usize = 1000;

/// Watchers of one stream are told apart by the second number.
pub type WatcherId = (u64, i64);

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It will arrive.
    Taken,
    /// There is no room now.
    Full,
    /// Nobody receives any more.
    Gone,
}

/// Where a watcher's messages go; never waits.
pub trait Sink: Send {
    /// Hands a message over, if there is room.
    fn offer(&self, response: WatchResponse) -> Offer;
}

/// What a watcher wants to see.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of etcd's request")]
pub struct Interest {
    /// These keys.
    pub range: KeyRange,
    /// From this revision on.
    pub from: i64,
    /// What was before, too.
    pub wants_prev: bool,
    /// No writes.
    pub no_puts: bool,
    /// No deletions.
    pub no_deletes: bool,
    /// A message now and then, although nothing happens.
    pub wants_progress: bool,
}

struct Watcher {
    interest: Interest,
    sink: Box<dyn Sink>,
    /// What to show next; none while in step.
    lags_from: Option<i64>,
}

/// All watchers.
#[derive(Default)]
pub struct Watchers {
    all: BTreeMap<WatcherId, Watcher>,
    /// Who watches one key.
    of_key: BTreeMap<Bytes, BTreeSet<WatcherId>>,
    /// Who watches more than one.
    of_ranges: BTreeSet<WatcherId>,
    lagging: BTreeSet<WatcherId>,
}

impl Watchers {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether this one exists.
    pub fn contains(&self, id: WatcherId) -> bool {
        self.all.contains_key(&id)
    }

    /// Begins to watch. What lies in the past is shown at the next [`catch_up`](Watchers::catch_up).
    pub fn insert(
        &mut self,
        id: WatcherId,
        interest: Interest,
        sink: Box<dyn Sink>,
        space: &Space,
    ) {
        match interest.range.one() {
            Some(key) => {
                self.of_key.entry(key.clone()).or_default().insert(id);
            }
            None => {
                self.of_ranges.insert(id);
            }
        }
        let lags_from = (interest.from <= space.revision()).then_some(interest.from);
        if lags_from.is_some() {
            self.lagging.insert(id);
        }
        self.all.insert(id, Watcher { interest, sink, lags_from });
    }

    /// Ends one, and says whether it existed.
    pub fn remove(&mut self, id: WatcherId) -> bool {
        let Some(watcher) = self.all.remove(&id) else { return false };
        self.lagging.remove(&id);
        self.of_ranges.remove(&id);
        if let Some(key) = watcher.interest.range.one()
            && let Some(ids) = self.of_key.get_mut(key)
        {
            ids.remove(&id);
            if ids.is_empty() {
                self.of_key.remove(key);
            }
        }
        true
    }

    /// Ends all of a stream.
    pub fn remove_stream(&mut self, stream: u64) {
        for id in self.of_stream(stream) {
            self.remove(id);
        }
    }

    fn of_stream(&self, stream: u64) -> Vec<WatcherId> {
        self.all.range((stream, i64::MIN)..=(stream, i64::MAX)).map(|(&id, _)| id).collect()
    }

    /// Whether everybody on a stream has been shown everything.
    pub fn is_in_step(&self, stream: u64) -> bool {
        self.lagging.range((stream, i64::MIN)..=(stream, i64::MAX)).next().is_none()
    }

    /// A revision has happened: shows it to everybody in step who is interested.
    pub fn show(&mut self, revision: &Revision, space: &Space) {
        let mut interested = self.of_ranges.clone();
        for change in &revision.changes {
            interested.extend(self.of_key.get(&change.kv.key).into_iter().flatten());
        }
        for id in interested.difference(&self.lagging).copied().collect::<Vec<_>>() {
            let watcher = self.all.get_mut(&id).expect("an index names watchers that exist");
            let events = watcher.events(revision);
            if events.is_empty() {
                continue;
            }
            match watcher.offer(id, events, space) {
                Offer::Taken => {}
                Offer::Full => {
                    watcher.lags_from = Some(revision.number);
                    self.lagging.insert(id);
                }
                Offer::Gone => {
                    self.remove(id);
                }
            }
        }
    }

    /// Shows those who lag what they have not seen, while there is room.
    pub fn catch_up(&mut self, space: &Space) {
        for id in self.lagging.iter().copied().collect::<Vec<_>>() {
            let watcher = self.all.get_mut(&id).expect("an index names watchers that exist");
            match watcher.catch_up(id, space) {
                Progress::InStep => {
                    self.lagging.remove(&id);
                }
                Progress::Lags => {}
                Progress::Ended => {
                    self.remove(id);
                }
            }
        }
    }

    /// Tells those who want to know how far they are, although nothing happened.
    pub fn notify_progress(&mut self, space: &Space) {
        for (id, watcher) in &self.all {
            if watcher.interest.wants_progress && watcher.lags_from.is_none() {
                // One without room will hear from us anyway.
                let _ = watcher.offer(*id, Vec::new(), space);
            }
        }
    }
}

enum Progress {
    InStep,
    Lags,
    Ended,
}

impl Watcher {
    fn offer(&self, (_, watch_id): WatcherId, events: Vec<Event>, space: &Space) -> Offer {
        let mut header = space.header();
        // A client resumes behind what the header says, so it must not be ahead of what is shown.
        if let Some(kv) = events.last().and_then(|event| event.kv.as_ref()) {
            header.revision = kv.mod_revision;
        }
        let header = Some(header);
        self.sink.offer(WatchResponse { header, watch_id, events, ..WatchResponse::default() })
    }

    fn catch_up(&mut self, id: WatcherId, space: &Space) -> Progress {
        while let Some(from) = self.lags_from {
            if from < space.compacted() {
                return self.end_as_compacted(id, space);
            }
            let mut events = Vec::new();
            let mut next = space.revision() + 1;
            for revision in space.since(from) {
                if events.len() >= EVENTS_PER_MESSAGE {
                    next = revision.number;
                    break;
                }
                events.extend(self.events(revision));
            }
            let offer =
                if events.is_empty() { Offer::Taken } else { self.offer(id, events, space) };
            match offer {
                Offer::Taken => self.lags_from = (next <= space.revision()).then_some(next),
                Offer::Full => return Progress::Lags,
                Offer::Gone => return Progress::Ended,
            }
        }
        Progress::InStep
    }

    fn end_as_compacted(&self, (_, watch_id): WatcherId, space: &Space) -> Progress {
        let response = WatchResponse {
            header: Some(space.header()),
            watch_id,
            canceled: true,
            compact_revision: space.compacted(),
            cancel_reason: super::MetaError::Compacted.to_string(),
            ..WatchResponse::default()
        };
        match self.sink.offer(response) {
            Offer::Taken | Offer::Gone => Progress::Ended,
            Offer::Full => Progress::Lags,
        }
    }

    fn events(&self, revision: &Revision) -> Vec<Event> {
        if revision.number < self.interest.from {
            return Vec::new();
        }
        revision.changes.iter().filter_map(|change| self.event(change)).collect()
    }

    fn event(&self, change: &Change) -> Option<Event> {
        let interest = &self.interest;
        let is_put = change.kv.version > 0;
        let is_hidden = if is_put { interest.no_puts } else { interest.no_deletes };
        if is_hidden || !interest.range.contains(&change.kv.key) {
            return None;
        }
        let r#type = if is_put { EventType::Put } else { EventType::Delete };
        let prev = change.prev.as_ref().filter(|_| interest.wants_prev);
        Some(Event {
            r#type: r#type.into(),
            kv: Some(change.kv.as_ref().clone()),
            prev_kv: prev.map(|kv| kv.as_ref().clone()),
        })
    }
}
