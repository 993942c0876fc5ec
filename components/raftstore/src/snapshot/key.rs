//! Which snapshot it is, and how its files are called.
//!
//! A name is made of numbers and of words of our own, never of a string that arrived from outside, so
//! it cannot lead out of the folder.
//!
//! ```text
//! rev_7_6_120_write.sst.tmp      gen_7_6_120.meta
//! |   | | |   |         |
//! |   | | |   |         being written (.tmp), or a second link that an engine takes in (.ingest)
//! |   | | |   family; a snapshot's list of files has `.meta` instead
//! |   region, term, index
//! gen: built here, rev: received
//! ```

use std::fmt;

use engine::Cf;
use proto::eraftpb::Snapshot;

/// A state of a region: everything up to an entry of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapKey {
    /// The region.
    pub region: u64,
    /// The term of the last entry that is in the state.
    pub term: u64,
    /// The index of that entry.
    pub index: u64,
}

impl SnapKey {
    /// The state that Raft's snapshot of a region speaks of.
    pub fn of(snapshot: &Snapshot, region: u64) -> Self {
        SnapKey { region, term: snapshot.term(), index: snapshot.index() }
    }
}

impl fmt::Display for SnapKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}", self.region, self.term, self.index)
    }
}

/// Where a snapshot's files come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// From this store's data. They are sent to others.
    Built,
    /// From another store. They are installed here.
    Received,
}

impl Side {
    const ALL: [Side; 2] = [Side::Built, Side::Received];

    const fn prefix(self) -> &'static str {
        match self {
            Side::Built => "gen",
            Side::Received => "rev",
        }
    }
}

/// A snapshot of this store: a state, and where its files come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapId {
    /// The state.
    pub key: SnapKey,
    /// Where its files come from.
    pub side: Side,
}

impl fmt::Display for SnapId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.side.prefix(), self.key)
    }
}

/// What a file of a snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// The keys of a family.
    Data(Cf),
    /// The sizes and checksums of the others.
    Meta,
}

impl Part {
    /// The list first: without it the others are litter, so it is the first to go.
    pub(super) const ALL: [Part; 4] =
        [Part::Meta, Part::Data(Cf::Default), Part::Data(Cf::Lock), Part::Data(Cf::Write)];
}

/// How far a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// It is complete, once its snapshot is.
    Final,
    /// It is being written.
    Temporary,
    /// It is a second link to a complete file, for an engine that takes it away.
    Ingest,
}

impl Phase {
    pub(super) const ALL: [Phase; 3] = [Phase::Final, Phase::Temporary, Phase::Ingest];

    const fn ending(self) -> &'static str {
        match self {
            Phase::Final => "",
            Phase::Temporary => ".tmp",
            Phase::Ingest => ".ingest",
        }
    }
}

/// The name of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileName {
    pub(super) id: SnapId,
    pub(super) part: Part,
    pub(super) phase: Phase,
}

impl FileName {
    /// The name of a complete file.
    pub(super) fn new(id: SnapId, part: Part) -> Self {
        FileName { id, part, phase: Phase::Final }
    }

    /// The name of the same file in another phase.
    pub(super) fn in_phase(self, phase: Phase) -> Self {
        FileName { phase, ..self }
    }

    /// Every name that a file of this snapshot may have.
    pub(super) fn all_of(id: SnapId) -> impl Iterator<Item = FileName> {
        let named = move |part| Phase::ALL.map(|phase| FileName { id, part, phase });
        Part::ALL.into_iter().flat_map(named)
    }

    /// Reads a name back. What we would not have written is not ours: `gen_01_1_1.meta` is somebody's
    /// own file.
    pub(super) fn parse(text: &str) -> Option<FileName> {
        let side = Side::ALL.into_iter().find(|side| text.starts_with(side.prefix()))?;
        let (head, endings) = text.split_once('.')?;
        let mut words = head.split('_').skip(1);
        let mut number = || words.next()?.parse().ok();
        let key = SnapKey { region: number()?, term: number()?, index: number()? };
        let part = match words.next() {
            None => Part::Meta,
            Some(family) => Part::Data(Cf::from_name(family)?),
        };
        let phase = Phase::ALL.into_iter().rev().find(|phase| endings.ends_with(phase.ending()))?;
        let name = FileName { id: SnapId { key, side }, part, phase };
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FileName { id, part, phase } = self;
        match part {
            Part::Data(cf) => write!(f, "{id}_{cf}.sst{}", phase.ending()),
            Part::Meta => write!(f, "{id}.meta{}", phase.ending()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_original_and_read_back() {
        let id = |side| SnapId { key: SnapKey { region: 1, term: u64::MAX, index: 3 }, side };
        let names: Vec<_> =
            Side::ALL.into_iter().flat_map(|side| FileName::all_of(id(side))).collect();
        assert_eq!(names.len(), 24);
        for name in &names {
            assert_eq!(FileName::parse(&name.to_string()), Some(*name));
        }
        let first = names[0].to_string();
        assert!(first.contains(".meta"), "{first}: the list is the first to be removed");
        let has = |text: &str| names.iter().any(|name| name.to_string() == text);
        for text in [
            "gen_1_18446744073709551615_3_default.sst",
            "rev_1_18446744073709551615_3_write.sst.tmp",
            "rev_1_18446744073709551615_3_lock.sst.ingest",
            "gen_1_18446744073709551615_3.meta",
        ] {
            assert!(has(text), "{text}");
        }
    }

    #[test]
    fn what_we_would_not_have_written_is_not_ours() {
        for text in [
            "",
            "gen",
            "gen_",
            "gen_1_1_1",
            "gen_1_1.meta",
            "gen_1_1_1_1.meta",
            "gen_1_1_1.meta.bak",
            "gen_01_1_1.meta",
            "gen_+1_1_1.meta",
            "gen_-1_1_1.meta",
            "gen_1_1_18446744073709551616.meta",
            "gen_1_1_1_local.sst",
            "gen_1_1_1_default",
            "gen_1_1_1_default.meta",
            "gen_1_1_1.sst",
            "gen_1_1_1_default.sst.tmp.tmp",
            "GEN_1_1_1.meta",
            "snap_1_1_1.meta",
            "genx_1_1_1.meta",
            "gen_1_1_1_default_.sst",
            "../gen_1_1_1.meta",
            "rev_1_1_1_default.sst/",
            "README.md",
        ] {
            assert_eq!(FileName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn states_are_ordered_by_region_then_term_then_index() {
        let key = |region, term, index| SnapKey { region, term, index };
        assert!([key(1, 2, 3), key(1, 2, 4), key(1, 3, 1), key(2, 0, 0)].is_sorted());
        let snapshot = Snapshot::new(6, 120, proto::eraftpb::ConfState::default(), "");
        assert_eq!(SnapKey::of(&snapshot, 7), key(7, 6, 120));
        assert_eq!(SnapKey::of(&snapshot, 7).to_string(), "7_6_120");
    }
}
