//! Suites that are larger than a table.

mod convergence;
mod fixture;
mod keeper;
mod operators;
mod project3c;
mod regions;
mod schedulers;
mod script;
mod space;
