//! Keys are linearizable registers.
//!
//! Every write of a key has a value of its own, so it is known which write a read saw. All operations on
//! one value form a *cluster*, and its *zone* reaches from the first end of one of them to the last
//! beginning. A zone whose first end is before its last beginning is *forward*: the value was certainly
//! there all the time in between. The others are *backward*: somewhere in there all of the operations may
//! have happened at once. A history is linearizable exactly if no two forward zones of a key overlap,
//! no backward zone lies within a forward one, and nobody read what was not being written yet.
//!
//! A write of which nothing is known, and that nobody has read, may never have happened. If it was read,
//! it has happened, and may have ended at any time.
//!
//! Lists that clients append to are registers too: the value is what was appended last.

use std::collections::BTreeMap;

use super::{Property, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "each key is a linearizable register",
    source: "Gibbons and Korach, Testing Shared Memories, 1997",
};

/// A moment: operations begin and end one after the other.
pub type Moment = u64;

/// All operations on one value.
#[derive(Clone, Copy, Debug, Default)]
struct Cluster {
    /// When its write began.
    begun: Moment,
    /// When its write was acknowledged; `None` if that is not known.
    ended: Option<Moment>,
    /// It was refused, so nobody may see it.
    is_refused: bool,
    is_read: bool,
    /// The first end of any operation.
    first_end: Option<Moment>,
    /// The last beginning of any operation.
    last_begin: Moment,
}

/// The history of all keys.
#[derive(Debug, Default)]
pub struct Registers {
    keys: BTreeMap<usize, BTreeMap<u64, Cluster>>,
}

impl Registers {
    fn cluster(&mut self, key: usize, value: u64) -> &mut Cluster {
        let values = self.keys.entry(key).or_insert_with(|| {
            // Before anything else every key has the value zero, which means none.
            let nothing = Cluster { ended: Some(0), first_end: Some(0), ..Cluster::default() };
            BTreeMap::from([(0, nothing)])
        });
        values.entry(value).or_default()
    }

    /// A write begins.
    pub fn begin(&mut self, key: usize, value: u64, now: Moment) {
        let cluster = self.cluster(key, value);
        (cluster.begun, cluster.last_begin) = (now, now);
    }

    /// A write was acknowledged.
    pub fn written(&mut self, key: usize, value: u64, now: Moment) {
        let cluster = self.cluster(key, value);
        cluster.ended = Some(now);
        cluster.first_end = Some(cluster.first_end.unwrap_or(now));
    }

    /// A write was certainly not done.
    pub fn refused(&mut self, key: usize, value: u64) {
        self.cluster(key, value).is_refused = true;
    }

    /// A read that began at `begun` found a value now.
    pub fn read(&mut self, key: usize, value: u64, begun: Moment, now: Moment) -> Verdict {
        let cluster = self.cluster(key, value);
        PROPERTY.require(!cluster.is_refused, || {
            format!("{value} was read from key {key}, and its write was refused")
        })?;
        PROPERTY.require(value == 0 || cluster.begun > 0, || {
            format!("{value} was read from key {key}, and nobody wrote it")
        })?;
        cluster.is_read = true;
        cluster.first_end = Some(cluster.first_end.unwrap_or(now).min(now));
        cluster.last_begin = cluster.last_begin.max(begun);
        Ok(())
    }

    /// Judges everything that has happened.
    pub fn judge(&self) -> Verdict {
        self.keys.iter().try_for_each(|(key, values)| judge(*key, values))
    }
}

/// From when to when, and of which value.
type Zone = (Moment, Moment, u64);

fn judge(key: usize, values: &BTreeMap<u64, Cluster>) -> Verdict {
    let (mut forward, mut backward) = (Vec::<Zone>::new(), Vec::<Zone>::new());
    for (value, cluster) in values {
        PROPERTY.require(!(cluster.is_refused && cluster.is_read), || {
            format!("{value} was read from key {key}, and its write was refused")
        })?;
        let Some(first_end) = cluster.first_end else { continue };
        if cluster.is_refused {
            continue;
        }
        if first_end < cluster.last_begin {
            forward.push((first_end, cluster.last_begin, *value));
        } else {
            backward.push((cluster.last_begin, first_end, *value));
        }
    }
    forward.sort_unstable();
    for pair in forward.windows(2) {
        let [(_, end, one), (start, _, other)] = pair else { unreachable!("windows of two") };
        PROPERTY.require(end < start, || {
            let zones = (values[one], values[other]);
            format!("key {key} had {one} and {other} at the same time: {zones:?}")
        })?;
    }
    for (start, end, value) in backward {
        let before = forward.partition_point(|zone| zone.0 < start);
        let Some((_, last, other)) = before.checked_sub(1).map(|place| forward[place]) else {
            continue;
        };
        PROPERTY.require(end >= last, || {
            let zones = (values[&value], values[&other]);
            format!("key {key} had {value} in between, while it had {other}: {zones:?}")
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A story: `w` value begin end, `u` value begin (of which nothing is known), `r` value begin end.
    fn history(events: &[(char, u64, u64, u64)]) -> Verdict {
        let mut registers = Registers::default();
        for (what, value, begin, _) in events {
            if *what != 'r' {
                registers.begin(1, *value, *begin);
            }
        }
        for (what, value, begin, end) in events {
            match what {
                'w' => registers.written(1, *value, *end),
                'r' => registers.read(1, *value, *begin, *end)?,
                _ => {}
            }
        }
        registers.judge()
    }

    #[test]
    fn good_histories_pass_and_bad_ones_do_not() {
        let good: [&[(char, u64, u64, u64)]; 5] = [
            &[('w', 1, 1, 2), ('r', 1, 3, 4), ('w', 2, 5, 6), ('r', 2, 7, 8)],
            &[('w', 1, 1, 9), ('r', 0, 2, 3), ('r', 1, 4, 5)],
            &[('w', 1, 1, 9), ('w', 2, 2, 8), ('r', 2, 10, 11)],
            &[('u', 1, 1, 0), ('r', 0, 2, 3), ('r', 1, 4, 5), ('r', 1, 6, 7)],
            &[('u', 1, 1, 0), ('w', 2, 2, 3), ('r', 2, 4, 5)],
        ];
        for events in good {
            assert!(history(events).is_ok(), "{events:?}: {:?}", history(events));
        }
        let bad: [&[(char, u64, u64, u64)]; 5] = [
            &[('w', 1, 1, 2), ('r', 0, 3, 4)],
            &[('w', 1, 1, 2), ('w', 2, 3, 4), ('r', 1, 5, 6)],
            &[('w', 1, 1, 9), ('r', 1, 2, 3), ('r', 0, 4, 5)],
            &[('w', 1, 1, 2), ('w', 2, 3, 9), ('r', 2, 4, 5), ('r', 1, 6, 7)],
            &[('r', 7, 1, 2)],
        ];
        for events in bad {
            assert!(history(events).is_err(), "{events:?}");
        }
    }
}
