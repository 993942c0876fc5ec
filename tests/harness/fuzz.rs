//! Damage, by a seed.
//!
//! What is sent to a decoder nearly is something it knows: a good message with a few bytes changed.

use runtime::Rng;

/// How many cases a test tries: `FUZZ_CASES` in the environment, or so many.
pub fn cases(otherwise: u64) -> u64 {
    std::env::var("FUZZ_CASES").map_or(otherwise, |cases| cases.parse().expect("a number"))
}

/// Changes up to four bytes, inserts some, takes some away, or cuts the end off; or changes nothing.
pub fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.below(5) {
        let place = usize::try_from(rng.below(bytes.len() as u64 + 1)).expect("a place in memory");
        let byte = rng.next_u64().to_le_bytes()[0];
        let Some(there) = bytes.get_mut(place) else {
            bytes.push(byte);
            continue;
        };
        match rng.below(8) {
            0 | 1 => bytes.insert(place, byte),
            2 => bytes.truncate(place),
            3 => drop(bytes.remove(place)),
            _ => *there = byte,
        }
    }
}
