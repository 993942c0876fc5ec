//! What is written together.

use bytes::Bytes;

use crate::Cf;

/// The longest key an engine takes. Layers above refuse longer ones long before; the engine relies on
/// the bound to have a key that is greater than any other.
pub const MAX_KEY_BYTES: usize = 16 * 1024;

/// What one entry of a batch costs in memory beside its key and value.
const OP_OVERHEAD_BYTES: usize = 16;

/// One change. Each is explicit: an empty value is a value, and nothing but a delete deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The key has this value from now on.
    Put {
        /// In this family.
        cf: Cf,
        /// The key; not longer than [`MAX_KEY_BYTES`].
        key: Bytes,
        /// The value; may be empty.
        value: Bytes,
    },
    /// The key has no value from now on; whether it had one does not matter.
    Delete {
        /// In this family.
        cf: Cf,
        /// The key.
        key: Bytes,
    },
    /// No key of the half-open range has a value from now on.
    DeleteRange {
        /// In this family.
        cf: Cf,
        /// The first key that goes.
        start: Bytes,
        /// The first key after it that stays; empty for infinity.
        end: Bytes,
    },
}

/// Changes that happen together or not at all, applied in the order in which they were added.
///
/// Keys and values are [`Bytes`]: a value that came from a socket is handed on, not copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteBatch {
    ops: Vec<Op>,
    size_bytes: usize,
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> Self {
        WriteBatch::default()
    }

    /// Gives `key` a value.
    pub fn put(&mut self, cf: Cf, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        let (key, value) = (checked(key.into()), value.into());
        self.size_bytes += key.len() + value.len() + OP_OVERHEAD_BYTES;
        self.ops.push(Op::Put { cf, key, value });
    }

    /// Takes the value of `key` away.
    pub fn delete(&mut self, cf: Cf, key: impl Into<Bytes>) {
        let key = checked(key.into());
        self.size_bytes += key.len() + OP_OVERHEAD_BYTES;
        self.ops.push(Op::Delete { cf, key });
    }

    /// Takes the values of all keys in `[start, end)` away; an empty `end` is infinity.
    pub fn delete_range(&mut self, cf: Cf, start: impl Into<Bytes>, end: impl Into<Bytes>) {
        let (start, end) = (checked(start.into()), checked(end.into()));
        self.size_bytes += start.len() + end.len() + OP_OVERHEAD_BYTES;
        self.ops.push(Op::DeleteRange { cf, start, end });
    }

    /// Moves the changes of `other` behind ours.
    pub fn append(&mut self, mut other: WriteBatch) {
        self.ops.append(&mut other.ops);
        self.size_bytes += other.size_bytes;
    }

    /// Forgets the changes and keeps the memory for the next ones.
    pub fn clear(&mut self) {
        self.ops.clear();
        self.size_bytes = 0;
    }

    /// The changes, in order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// About how many bytes the batch holds; for deciding when it is large enough.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}

fn checked(key: Bytes) -> Bytes {
    assert!(key.len() <= MAX_KEY_BYTES, "a key of {} bytes reached the engine", key.len());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_knows_its_size() {
        let mut batch = WriteBatch::new();
        assert!(batch.is_empty());
        batch.put(Cf::Default, &b"key"[..], &b"value"[..]);
        batch.delete(Cf::Lock, &b"k"[..]);
        let mut more = WriteBatch::new();
        more.delete_range(Cf::Write, &b"a"[..], &b""[..]);
        batch.append(more);
        assert_eq!((batch.len(), batch.size_bytes()), (3, 8 + 1 + 1 + 3 * OP_OVERHEAD_BYTES));
        batch.clear();
        assert_eq!((batch.len(), batch.size_bytes()), (0, 0));
    }

    #[test]
    #[should_panic(expected = "reached the engine")]
    fn a_key_that_is_too_long_is_our_own_mistake() {
        WriteBatch::new().delete(Cf::Default, vec![0; MAX_KEY_BYTES + 1]);
    }
}
