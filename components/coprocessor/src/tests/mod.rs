//! The tests that need more than a few lines: golden vectors and stories, a model, and bad input.

mod bad_input;
mod fuzz;
mod language;
mod limits;
#[expect(
    clippy::wildcard_enum_match_arm,
    clippy::float_cmp,
    reason = "it knows what is generated and nothing else, and floats are equal or not"
)]
mod model;
#[expect(clippy::wildcard_enum_match_arm, reason = "it knows what is generated and nothing else")]
mod naive;
mod random;
mod script;
mod script_plans;
mod world;
