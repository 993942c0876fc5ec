//! The thread that lets time pass for the core, and sends what comes of it.

use std::sync::Arc;

use runtime::worker::Runner;

use crate::state::State;

/// Ticks the core of a leader.
pub struct Rounds(Arc<State>);

/// Nothing is asked of it; its queue is only held to keep it alive.
pub enum Nothing {}

impl Rounds {
    /// For this state.
    pub fn new(state: Arc<State>) -> Self {
        Rounds(state)
    }
}

impl Runner for Rounds {
    type Task = Nothing;

    fn run(&mut self, task: Nothing) {
        match task {}
    }

    fn tick(&mut self) {
        let state = &self.0;
        let now = state.clock.now();
        if !state.membership.leads(now) {
            return;
        }
        let commands = {
            let mut core = state.core();
            let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            state.meters.regions.set(signed(core.cluster.regions.len()));
            state.meters.stores.set(signed(core.cluster.stores.len()));
            state.meters.plans.set(signed(core.controller.iter().count()));
            core.tick(now)
        };
        state.send(commands);
    }
}
