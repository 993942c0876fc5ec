//! What a scheduler says of itself on its status port.

use std::sync::Arc;

use program::pages::Inside;
use proto::schedulerpb::Member;

use crate::service::bounds::Bounds;
use crate::state::State;

/// A scheduler, for whoever looks at it.
pub struct Shown(pub Arc<State>, pub Bounds);

impl Inside for Shown {
    fn status(&self) -> String {
        let state = &*self.0;
        let membership = &state.membership;
        let name = |member: Option<Member>| {
            member.map_or("null".to_owned(), |member| format!("{:?}", member.name))
        };
        let now = state.clock.now();
        let has_time = state.tso().is_open();
        let core = state.core();
        format!(
            "{{\"name\": {}, \"cluster_id\": {}, \"leads\": {}, \"leader\": {}, \
             \"timestamps\": {has_time}, \"bootstrapped\": {}, \"stores\": {}, \"regions\": {}, \
             \"plans\": {}, \"calls\": {}, \"streams\": {}}}",
            name(Some(membership.me().clone())),
            state.cluster_id,
            membership.leads(now),
            name(membership.leader()),
            core.cluster.meta.is_some(),
            core.cluster.stores.len(),
            core.cluster.regions.len(),
            core.controller.iter().count(),
            self.1.calls.calls(),
            self.1.streams.calls(),
        )
    }

    /// Somebody leads whom calls reach.
    fn readiness(&self) -> Result<(), String> {
        self.0.membership.leader().map(drop).ok_or_else(|| "nobody leads".to_owned())
    }
}
