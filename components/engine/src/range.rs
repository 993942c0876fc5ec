//! Half-open ranges of keys.

/// The keys from `start` up to, and without, `end`. An empty `end` is infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRange<'a> {
    /// The first key of the range.
    pub start: &'a [u8],
    /// The first key after the range; empty for none.
    pub end: &'a [u8],
}

impl<'a> KeyRange<'a> {
    /// Every key.
    pub const ALL: KeyRange<'static> = KeyRange { start: b"", end: b"" };

    /// The keys from `start` up to, and without, `end`.
    pub const fn new(start: &'a [u8], end: &'a [u8]) -> Self {
        KeyRange { start, end }
    }

    /// The range from `start` to infinity.
    pub const fn from(start: &'a [u8]) -> Self {
        KeyRange { start, end: b"" }
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start <= key && (self.end.is_empty() || key < self.end)
    }

    /// Whether no key can lie in the range.
    pub fn is_empty(&self) -> bool {
        !self.end.is_empty() && self.start >= self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_end_is_infinity() {
        let cases: [(&str, &str, &str, bool); 6] = [
            ("", "", "", true),
            ("b", "", "a", false),
            ("b", "", "\u{7f}", true),
            ("b", "d", "b", true),
            ("b", "d", "d", false),
            ("d", "b", "c", false),
        ];
        for (start, end, key, inside) in cases {
            let range = KeyRange::new(start.as_bytes(), end.as_bytes());
            assert_eq!(range.contains(key.as_bytes()), inside, "{range:?} {key}");
        }
        assert!(KeyRange::new(b"b", b"b").is_empty());
        assert!(!KeyRange::from(b"b").is_empty());
    }
}
