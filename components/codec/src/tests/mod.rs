//! What holds for all encodings: the bytes others wrote, and the promises of the crate's head.

mod golden;
mod properties;

/// Runs an encoder on an empty buffer.
fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}
