//! What holds the words to their promises: the table of all of them in docs/wire.md, the bytes they
//! become, the paths of the calls, and what becomes of bytes that are no message.

mod golden;
mod malformed;
#[cfg(feature = "grpc")]
mod paths;
mod wire;
