//! Tests that are too long for the foot of the file they test.

mod log;
mod worker;
