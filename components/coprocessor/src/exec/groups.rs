//! The groups of an aggregation, numbered as they appear.
//!
//! A hash table of group numbers beside the list of groups: the order of groups is that of their first
//! rows, whatever the hashes are.

use crate::analyze::hash::hash64;
use crate::error::Result;
use crate::memory::Memory;

/// How many places there are at first; a power of two.
const PLACES_MIN: usize = 64;

/// A place that no group has.
const FREE: u32 = u32::MAX;

/// What a group costs beyond its key and its states: its places and its hash.
const GROUP_BYTES: usize = 32;

/// Groups by key.
#[derive(Debug)]
pub(crate) struct Groups {
    /// All keys, one behind the other.
    keys: Vec<u8>,
    /// Where each key ends.
    ends: Vec<usize>,
    hashes: Vec<u64>,
    /// Group numbers by hash, at most half of them taken.
    places: Vec<u32>,
    /// What the states of a group take.
    state_bytes: usize,
}

impl Groups {
    pub(super) fn new(state_bytes: usize) -> Self {
        let places = vec![FREE; PLACES_MIN];
        Groups { keys: Vec::new(), ends: Vec::new(), hashes: Vec::new(), places, state_bytes }
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The key of a group.
    pub(super) fn key(&self, group: usize) -> &[u8] {
        let start = if group == 0 { 0 } else { self.ends[group - 1] };
        &self.keys[start..self.ends[group]]
    }

    /// The number of the group with a key; a new one if there is none.
    pub(super) fn number_of(&mut self, key: &[u8], memory: &mut Memory) -> Result<usize> {
        let hash = hash64(key);
        let mut place = self.first_place(hash);
        while self.places[place] != FREE {
            let group = self.places[place] as usize;
            if self.hashes[group] == hash && self.key(group) == key {
                return Ok(group);
            }
            place = (place + 1) & (self.places.len() - 1);
        }
        memory.take(key.len() + GROUP_BYTES + self.state_bytes)?;
        let group = self.len();
        self.keys.extend_from_slice(key);
        self.ends.push(self.keys.len());
        self.hashes.push(hash);
        self.places[place] = number(group);
        if self.len() * 2 > self.places.len() {
            self.spread();
        }
        Ok(group)
    }

    /// Twice as many places.
    fn spread(&mut self) {
        self.places = vec![FREE; self.places.len() * 2];
        for (group, hash) in self.hashes.iter().enumerate() {
            let mut place = self.first_place(*hash);
            while self.places[place] != FREE {
                place = (place + 1) & (self.places.len() - 1);
            }
            self.places[place] = number(group);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "only the low bits are used")]
    fn first_place(&self, hash: u64) -> usize {
        hash as usize & (self.places.len() - 1)
    }
}

fn number(group: usize) -> u32 {
    u32::try_from(group).expect("the memory of a request does not hold 2^32 groups")
}
