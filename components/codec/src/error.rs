//! What can be wrong with bytes that claim to be an encoding.

/// Why a decoder refused its input.
///
/// The texts name no byte of the input but the marker: errors end in logs, and keys are the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The input ends before the value does.
    #[error("insufficient bytes to decode value")]
    Truncated,
    /// A group of a byte string ends with a marker that no encoder writes.
    #[error("invalid marker byte {0:#04x}")]
    Marker(u8),
    /// The unused rest of a last group holds something else than padding, so the same string would
    /// have two encodings.
    #[error("invalid padding byte")]
    Padding,
    /// A number needs more than the 64 bits it is decoded into.
    #[error("value larger than 64 bits")]
    Overflow,
    /// A number in an order-preserving encoding takes more bytes than it needs, so it would not
    /// compare as it means.
    #[error("value not in its shortest form")]
    NotShortest,
    /// A byte string says that it is shorter than nothing.
    #[error("negative length {0}")]
    NegativeLength(i64),
}

/// What decoders return.
pub type Result<T> = std::result::Result<T, Error>;
