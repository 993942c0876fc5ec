//! What a client says first, and one thing in it that is put right.
//!
//! HTTP/2 wants a host and a port in `:authority`. Version 3.4 of etcd's client, when it asks one member
//! how it is, writes there what a person has typed, `http://127.0.0.1:2379`. Go's servers take no notice.
//! The library here refuses the request before any service sees it, so `etcdctl endpoint status` would
//! fail. Nobody here asks by which name they were called: so the first request of a connection is given
//! another one, whatever it was.
//!
//! ```text
//!   preface, 24 bytes | SETTINGS | ... | HEADERS 83 86 45.. 41 88 9d29ae.. | DATA | HEADERS 83 86 be ..
//!     passes            passes           41 88 9d29ae..  becomes  41 01 "-"   from here on, all passes
//! ```
//!
//! Later requests name the authority by its place in a table that both sides fill as they go. Ours then
//! has a shorter entry than theirs. That is harmless: places are counted from the newest entry, and as
//! ours takes less room, we forget no entry before they do.
//!
//! What cannot be understood passes as it is; the library says what is wrong with it.

/// What every client says first, in this many bytes: it speaks HTTP/2.
const PREFACE: usize = 24;

/// The bytes in front of every frame: length, kind, flags, stream.
const FRAME_HEAD: usize = 9;

/// The kind of frame that begins a request.
const HEADERS: u8 = 1;

/// The largest frame that the library takes unless it is told otherwise.
const FRAME_MAX: usize = 16 << 10;

/// The flags of such a frame that put something in front of its block.
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

/// The place of `:authority` in the table that everybody has from the beginning.
const AUTHORITY: usize = 1;

/// What is written in its stead: one byte, so that no name is shorter.
const NAME: [u8; 2] = [1, b'-'];

/// What has arrived of a connection's beginning.
#[derive(Debug)]
pub(crate) struct Opening {
    held: Vec<u8>,
    /// How much of it may go on; more than there is, while a frame is still arriving.
    free: usize,
    /// Of the preface, what has not arrived.
    missing: usize,
    is_over: bool,
}

impl Opening {
    /// Of a connection over which nothing was said yet.
    pub(crate) fn new() -> Self {
        Opening { held: Vec::new(), free: PREFACE, missing: PREFACE, is_over: false }
    }

    /// Whether the other side has not said yet that it speaks HTTP/2.
    pub(crate) fn is_silent(&self) -> bool {
        self.missing > 0
    }

    /// Whether all that follows passes as it is.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over && self.held.is_empty()
    }

    /// Takes what has arrived; nothing, when the other side has hung up.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.missing = self.missing.saturating_sub(bytes.len());
        self.held.extend_from_slice(bytes);
        self.is_over |= bytes.is_empty();
        while !self.is_over
            && let Some(&[a, b, c, kind, ..]) = self.held.get(self.free..)
        {
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            let end = self.free + FRAME_HEAD + length;
            if kind != HEADERS {
                self.free = end;
            } else if length > FRAME_MAX {
                self.is_over = true;
            } else if let Some(frame) = self.held.get(self.free..end) {
                if let Some(renamed) = renamed(frame) {
                    self.held.splice(self.free..end, renamed);
                }
                self.is_over = true;
            } else {
                break;
            }
        }
    }

    /// Gives what may go on, at most so many bytes of it.
    pub(crate) fn pull(&mut self, max: usize) -> Vec<u8> {
        let ready = if self.is_over { self.held.len() } else { self.free.min(self.held.len()) };
        let length = ready.min(max);
        self.free = self.free.saturating_sub(length);
        self.held.drain(..length).collect()
    }
}

/// A frame that begins a request, with another authority; none if it has no authority that is spelt out.
fn renamed(frame: &[u8]) -> Option<Vec<u8>> {
    let flags = *frame.get(4)?;
    let mut rest = frame.get(FRAME_HEAD..)?;
    if flags & PADDED != 0 {
        rest = rest.get(1..)?;
    }
    if flags & PRIORITY != 0 {
        rest = rest.get(5..)?;
    }
    loop {
        let first = *rest.first()?;
        // A field that both sides know by its place, and a new size for the table, are a number each.
        // Any other has a name, by its place or spelt out, and a value.
        let bits = match first {
            0x80.. => 7,
            0x40.. => 6,
            0x20.. => 5,
            _ => 4,
        };
        let place = number(&mut rest, bits)?;
        if first & 0x80 != 0 || first & 0xe0 == 0x20 {
            continue;
        }
        if place == 0 {
            skip_text(&mut rest)?;
        }
        let start = frame.len() - rest.len();
        skip_text(&mut rest)?;
        let end = frame.len() - rest.len();
        if place != AUTHORITY {
            continue;
        }
        if end - start < NAME.len() {
            // It is empty already.
            return None;
        }
        let mut renamed = frame.to_vec();
        renamed.splice(start..end, NAME);
        let length = u32::try_from(renamed.len() - FRAME_HEAD).ok()?;
        renamed[..3].copy_from_slice(&length.to_be_bytes()[1..]);
        return Some(renamed);
    }
}

/// A number that begins in the lower `bits` of a byte, and takes more bytes where it does not fit there.
fn number(rest: &mut &[u8], bits: u32) -> Option<usize> {
    let (&first, mut tail) = rest.split_first()?;
    let all = (1 << bits) - 1;
    let mut value = usize::from(first) & all;
    if value == all {
        let mut shift = 0;
        loop {
            let (&byte, after) = tail.split_first()?;
            tail = after;
            // Nothing that fits into a frame needs more than three bytes.
            if shift > 14 {
                return None;
            }
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *rest = tail;
    Some(value)
}

fn skip_text(rest: &mut &[u8]) -> Option<()> {
    let length = number(rest, 7)?;
    *rest = rest.get(length..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, block: &[u8]) -> Vec<u8> {
        let length = u8::try_from(block.len()).unwrap();
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.extend_from_slice(block);
        frame
    }

    /// A method, a path, a name that is spelt out, and then the authority.
    fn block(authority: &[u8]) -> Vec<u8> {
        [b"\x83\x3f\xe1\x1f\x45\x02/a\x40\x01x\x00", authority, b"\x5f\x01z"].concat()
    }

    #[test]
    fn the_authority_of_a_request_is_replaced_wherever_it_stands() {
        let typed = block(b"\x41\x0ehttp://a:12345");
        let coded = block(b"\x01\x87\x9d\x29\xae\xe3\x0c\x01\xff");
        let mended = block(b"\x41\x01-");
        assert_eq!(renamed(&frame(HEADERS, 4, &typed)), Some(frame(HEADERS, 4, &mended)));
        assert_eq!(renamed(&frame(HEADERS, 4, &coded)).unwrap()[9..], block(b"\x01\x01-"));
        let front = [&[2, 0, 0, 0, 0, 15][..], &typed, &[0, 0]].concat();
        let mended = [&[2, 0, 0, 0, 0, 15][..], &mended, &[0, 0]].concat();
        let flags = 4 | PADDED | PRIORITY;
        assert_eq!(renamed(&frame(HEADERS, flags, &front)), Some(frame(HEADERS, flags, &mended)));
        let unchanged: [&[u8]; 5] =
            [b"", b"\x83\x86\xbe", b"\x41\x00", b"\x41\x7f\xff\xff\xff\xff", b"\x41\x05abc"];
        for block in unchanged {
            assert_eq!(renamed(&frame(HEADERS, 4, block)), None, "{block:?}");
        }
    }

    #[test]
    fn only_the_first_request_is_touched_however_the_bytes_arrive() {
        let settings = frame(4, 0, b"\x00\x03\x00\x00\x00\x64");
        let (typed, mended) = (block(b"\x41\x08http://a"), block(b"\x41\x01-"));
        let stream = |first: &[u8]| {
            let first = frame(HEADERS, 4, first);
            [&[b'P'; PREFACE], &settings[..], &first, &frame(HEADERS, 4, &typed), b"rest"].concat()
        };
        let sent = stream(&typed);
        for step in 1..sent.len() {
            let (mut opening, mut got) = (Opening::new(), Vec::new());
            for bytes in sent.chunks(step) {
                opening.push(bytes);
                got.extend(opening.pull(7));
                got.extend(opening.pull(usize::MAX));
            }
            assert!(opening.is_over() && !opening.is_silent());
            assert_eq!(got, stream(&mended), "{step} bytes at a time");
        }
    }

    #[test]
    fn nothing_is_held_back_for_ever() {
        let mut opening = Opening::new();
        opening.push(&[b'P'; PREFACE - 1]);
        assert!(opening.is_silent());
        assert_eq!(opening.pull(100).len(), PREFACE - 1);
        // A frame that is not a request passes as it arrives.
        opening.push(b"P\x00\xff\xff\x00\x00\x00\x00\x00\x01body");
        assert_eq!(opening.pull(100).len(), 14);
        let mut long = Opening::new();
        long.push(&[&[b'P'; PREFACE][..], b"\x01\x00\x00\x01\x04\x00\x00\x00\x01x"].concat());
        assert_eq!(long.pull(100).len(), PREFACE + 10);
        // Half a request, and the other side is gone.
        let mut half = Opening::new();
        half.push(&[&[b'P'; PREFACE][..], &frame(HEADERS, 4, b"\x83")[..9]].concat());
        assert_eq!(half.pull(100).len(), PREFACE);
        half.push(b"");
        assert_eq!(half.pull(100).len(), 9);
        assert!(half.is_over());
    }
}
