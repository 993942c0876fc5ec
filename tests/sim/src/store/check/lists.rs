//! Lists grow by whole steps: what is appended stays, once, in one order, and in all lists that it was
//! appended to together.

use std::collections::{BTreeMap, BTreeSet};

use super::{Property, Verdict};

pub(crate) static PROPERTY: Property = Property {
    name: "what is appended to a list stays there, once, and in one order for all",
    source: "S14: what a command decides stays true until it is written; S2: applying is atomic",
};

/// What was appended and what was seen.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// The list that was seen with this as its last element.
    seen: BTreeMap<(usize, u64), Vec<u64>>,
    acknowledged: BTreeSet<(usize, u64)>,
    /// The keys that were to get this together.
    together: BTreeMap<u64, Vec<usize>>,
}

impl Lists {
    /// These keys are to get `id` in one step.
    pub(crate) fn begin(&mut self, id: u64, keys: &[usize]) {
        self.together.insert(id, keys.to_vec());
    }

    /// An append was acknowledged.
    pub(crate) fn appended(&mut self, key: usize, id: u64) {
        self.acknowledged.insert((key, id));
    }

    /// Some lists were read in one state.
    pub(crate) fn read(&mut self, lists: &BTreeMap<usize, Vec<u64>>) -> Verdict {
        for (key, list) in lists {
            for id in list {
                let others = self.together.get(id).into_iter().flatten();
                let lacks =
                    |other: &&usize| lists.get(*other).is_some_and(|list| !list.contains(id));
                if let Some(other) = others.into_iter().find(lacks) {
                    let what = format!("{id} is in key {key} and not yet in key {other}");
                    return Err(PROPERTY.violated(what));
                }
            }
            let Some(last) = list.last() else { continue };
            let known = self.seen.entry((*key, *last)).or_insert_with(|| list.clone());
            PROPERTY.require(known == list, || {
                format!("key {key} was seen as {known:?} and as {list:?}")
            })?;
        }
        Ok(())
    }

    /// Judges everything by how the lists are in the end.
    pub(crate) fn judge(&self, finally: &BTreeMap<usize, Vec<u64>>) -> Verdict {
        for (key, list) in finally {
            let distinct: BTreeSet<_> = list.iter().collect();
            PROPERTY.require(distinct.len() == list.len(), || {
                format!("key {key} has something twice: {list:?}")
            })?;
        }
        for ((key, _), seen) in &self.seen {
            let Some(list) = finally.get(key) else { continue };
            PROPERTY.require(list.starts_with(seen), || {
                format!("key {key} was seen as {seen:?} and is {list:?} in the end")
            })?;
        }
        for (key, id) in &self.acknowledged {
            let Some(list) = finally.get(key) else { continue };
            PROPERTY.require(list.contains(id), || {
                format!("{id} was appended to key {key}, which is {list:?} in the end")
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_append_and_half_of_one_are_noticed() {
        let mut lists = Lists::default();
        lists.begin(1, &[1, 3]);
        lists.appended(1, 1);
        let state =
            |one: &[u64], other: &[u64]| BTreeMap::from([(1, one.into()), (3, other.into())]);
        assert!(lists.read(&state(&[1], &[1])).is_ok());
        assert!(lists.read(&state(&[1], &[])).is_err());
        assert!(lists.judge(&state(&[1, 2], &[1])).is_ok());
        assert!(lists.judge(&state(&[2], &[1])).is_err(), "1 is lost");
        assert!(lists.judge(&state(&[1, 1], &[1])).is_err(), "1 is there twice");
    }
}
