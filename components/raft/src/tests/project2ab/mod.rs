//! Log replication: part 2AB of the course.

mod paper;
mod replication;
