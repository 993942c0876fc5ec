//! Suites that are larger than a table.

mod fixture;
mod operators;
mod project3c;
mod regions;
mod schedulers;
mod space;
