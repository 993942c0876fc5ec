//! The tests that need more than a few lines.
