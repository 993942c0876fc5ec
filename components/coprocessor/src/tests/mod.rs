//! The tests that need more than a few lines: golden vectors and stories, a model, and bad input.

mod bad_input;
mod language;
mod model;
mod random;
mod script;
mod script_plans;
mod world;
