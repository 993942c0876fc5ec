//! Suites that are larger than a table.

mod course;
mod fixture;
mod keeper;
mod operators;
mod project3c;
mod regions;
mod schedulers;
mod space;
