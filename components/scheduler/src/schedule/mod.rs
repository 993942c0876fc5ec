//! Scheduling: from what is known of the cluster to what its leaders are told.
//!
//! ```text
//!      Cluster --> replica_checker --+
//!         |        balance_leader ---+--> Operator --> Controller --> Command to a leader
//!         |        balance_region ---+    (a plan)     one per region      |
//!         |        scatter ----------+                                     |
//!         +<------------------------- heartbeats <-------------------------+
//! ```
//!
//! Everything is computed from the cluster, the moment, a source of ids and one of chance; with the
//! same of these come the same plans. Nothing waits: a tick begins what is due and answers what to say.

pub mod balance_leader;
pub mod balance_region;
pub mod config;
pub mod controller;
pub mod coordinator;
pub mod filter;
pub mod operator;
pub mod plans;
pub mod replica_checker;
pub mod scatter;

use runtime::Rng;

use crate::cluster::stores::Store;
use crate::id::Ids;
use config::Config;
use filter::Part;
pub use plans::View;

/// What a scheduler makes its plans from.
pub struct Context<'a> {
    /// The cluster, at a moment.
    pub view: View<'a>,
    /// The limits.
    pub config: &'a Config,
    /// Where new peers get their ids.
    pub ids: &'a mut Ids,
    /// Chance.
    pub rng: &'a mut Rng,
}

impl Context<'_> {
    /// Whether a store may take this part in a plan.
    fn may(&self, part: Part, store: &Store) -> bool {
        part.is_for(store, self.view.now, self.config.max_store_down_time.get())
    }
}
