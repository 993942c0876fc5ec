//! Walking over a range, page by page and region by region.
//!
//! Whoever scans asks for a page, and goes on behind its last key if it was full, at the next region if
//! it was not. A region may have become two between one page and the next; the page then ends at the
//! boundary that its answer came with, and nothing is passed over.

use bytes::Bytes;

use crate::request::after;

/// How far a scan has come.
pub(crate) struct Walk {
    /// The first key of the next page.
    pub(crate) start: Bytes,
    /// The first key that is not wanted; empty for the end of all.
    end: Bytes,
    /// The most pairs in one page.
    page: u32,
    is_over: bool,
}

impl Walk {
    /// A walk over a range that asks for at most `page` pairs at a time.
    pub(crate) fn new((start, end): (Bytes, Bytes), page: u32) -> Self {
        Walk { start, end, page, is_over: false }
    }

    /// How many pairs to ask for next, if so many are still wanted; `None` at the end.
    pub(crate) fn next(&self, wanted: usize) -> Option<u32> {
        let is_over = self.is_over || wanted == 0 || !self.has(&self.start);
        (!is_over).then(|| u32::try_from(wanted).unwrap_or(self.page).min(self.page))
    }

    /// Whether a key is before the end.
    pub(crate) fn has(&self, key: &[u8]) -> bool {
        proto::region::is_before_end(key, &self.end)
    }

    /// A page has come, with this key at its end. One that was not full was the last of its region, which
    /// ends here.
    pub(crate) fn turn(&mut self, last: Option<&Bytes>, is_full: bool, region_end: &Bytes) {
        match last.filter(|_| is_full) {
            Some(last) => self.start = after(last),
            None if region_end.is_empty() => self.is_over = true,
            None => self.start = region_end.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_pages_go_on_behind_them_and_others_at_the_next_region() {
        let key = |text: &'static str| Bytes::from_static(text.as_bytes());
        let mut walk = Walk::new((key("a"), key("m")), 2);
        assert_eq!((walk.next(9), walk.next(1), walk.next(0)), (Some(2), Some(1), None));
        walk.turn(Some(&key("c")), true, &key("f"));
        assert_eq!((walk.start.as_ref(), walk.next(7)), (&b"c\0"[..], Some(2)));
        walk.turn(Some(&key("d")), false, &key("f"));
        assert_eq!((walk.start.as_ref(), walk.next(6)), (&b"f"[..], Some(2)));
        walk.turn(None, false, &key("m"));
        assert_eq!(walk.next(6), None, "the end is not in the range");

        let mut walk = Walk::new((key(""), key("")), 2);
        walk.turn(None, false, &key(""));
        assert_eq!(walk.next(6), None, "there is no region behind the last");
    }
}
