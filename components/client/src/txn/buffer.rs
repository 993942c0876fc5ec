//! What a transaction wants to write. Nothing of it leaves before the commit.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use proto::kvrpcpb::{Mutation, Op};

/// A transaction's writes, by key; the last one of each counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffer {
    writes: BTreeMap<Bytes, Write>,
}

/// What shall become of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// It has this value.
    Put(Bytes),
    /// It is gone.
    Delete,
    /// It stays, but nobody else may write it meanwhile.
    Lock,
}

impl Buffer {
    /// Wants something for a key. What was wanted before is replaced; a lock replaces nothing, because a
    /// write locks as well.
    pub(crate) fn want(&mut self, key: Bytes, write: Write) {
        if write == Write::Lock && self.writes.contains_key(&key) {
            return;
        }
        self.writes.insert(key, write);
    }

    /// What the transaction wants for a key, if anything.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Write> {
        self.writes.get(key)
    }

    /// Whether there is nothing to commit.
    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// How many keys are written in a range, locks not counted.
    pub(crate) fn count(&self, start: &Bytes, end: &Bytes) -> usize {
        self.range(start, end).count()
    }

    fn range<'a>(
        &'a self,
        start: &Bytes,
        end: &'a Bytes,
    ) -> impl Iterator<Item = (&'a Bytes, &'a Write)> {
        let from = (Bound::Included(start.clone()), Bound::Unbounded);
        let writes = self.writes.range::<Bytes, _>(from);
        let inside = writes.take_while(|(key, _)| proto::region::is_before_end(key, end));
        inside.filter(|(_, write)| **write != Write::Lock)
    }

    /// Puts the transaction's own writes over what it has read of a range.
    pub(crate) fn overlay(
        &self,
        read: Vec<(Bytes, Bytes)>,
        start: &Bytes,
        end: &Bytes,
    ) -> Vec<(Bytes, Bytes)> {
        let mut merged: BTreeMap<Bytes, Bytes> = read.into_iter().collect();
        for (key, write) in self.range(start, end) {
            match write {
                Write::Put(value) => drop(merged.insert(key.clone(), value.clone())),
                Write::Delete | Write::Lock => drop(merged.remove(key)),
            }
        }
        merged.into_iter().collect()
    }

    /// The writes as the wire has them, in the order of keys.
    pub(crate) fn into_mutations(self) -> Vec<Mutation> {
        let mutation = |(key, write)| {
            let (op, value) = match write {
                Write::Put(value) => (Op::Put, value),
                Write::Delete => (Op::Del, Bytes::new()),
                Write::Lock => (Op::Lock, Bytes::new()),
            };
            Mutation { op: op.into(), key, value }
        };
        self.writes.into_iter().map(mutation).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn a_transaction_sees_its_own_writes_over_what_it_reads() {
        let mut buffer = Buffer::default();
        assert!(buffer.is_empty());
        for (key, write) in [
            ("b", Write::Put(bytes("2"))),
            ("c", Write::Delete),
            ("d", Write::Lock),
            ("b", Write::Put(bytes("3"))),
            ("b", Write::Lock),
            ("x", Write::Put(bytes("9"))),
        ] {
            buffer.want(bytes(key), write);
        }
        let last = Write::Put(bytes("3"));
        assert_eq!(buffer.get(b"b"), Some(&last), "the last one, and it is no mere lock");
        assert_eq!((buffer.get(b"c"), buffer.get(b"e")), (Some(&Write::Delete), None));
        let read = [("a", "1"), ("c", "1"), ("d", "1")];
        let read = read.map(|(key, value)| (bytes(key), bytes(value))).to_vec();
        let seen = buffer.overlay(read, &bytes("a"), &bytes("m"));
        let seen: Vec<_> = seen.iter().map(|(key, value)| (&key[..], &value[..])).collect();
        assert_eq!(seen, [(&b"a"[..], &b"1"[..]), (b"b", b"3"), (b"d", b"1")]);
        assert_eq!(buffer.count(&bytes(""), &bytes("")), 3);
        let ops: Vec<i32> = buffer.into_mutations().iter().map(|mutation| mutation.op).collect();
        assert_eq!(ops, [Op::Put, Op::Del, Op::Lock, Op::Put].map(i32::from));
    }
}
