//! TinySQL's part, played without TinySQL: one rung after the other, against the real programs.
//!
//! TinySQL is a SQL layer that knows of a cluster only what comes over the wire, and it does not forgive
//! much: a scheduler without etcd's keys looks well for 99 seconds, an integer in a float column is taken
//! for its bits, a key that is said not to exist is a row that is gone. So each of its steps is taken here
//! as it takes them, with the requests that it sends, and what it reads from the answers is what is looked
//! at.
//!
//! ```text
//! a SQL statement needs      which is            and stands on
//! ─────────────────────────────────────────────────────────────────────────
//! plans                      coprocessor         reads of a region, locks
//! transactions               transactions        timestamps, routing
//! regions that move          regions             epochs, leaders, errors that tell where to ask
//! a start, and a long life   life                all of these
//! timestamps, routing        scheduler           one scheduler, one store
//! sessions, elections        etcd                etcd's keys on the scheduler's port
//! connections                connections         pings, and large messages
//! ```
//!
//! [`tinysql`] is the part itself: the start, a cache of regions, and what is done about each failure.
//! Nothing of our own client is in it, which takes other ways and would forgive other mistakes.

#![expect(clippy::unwrap_used, reason = "a test may fail at every step")]

mod connections;
mod coprocessor;
mod etcd;
mod life;
mod regions;
mod scheduler;
mod tinysql;
mod transactions;

use bytes::Bytes;
use tests::cluster::{Cluster, Settings};

use crate::tinysql::TinySql;

/// A scheduler, a store, and TinySQL connected to them.
async fn one_store() -> (Cluster, TinySql) {
    let cluster = Cluster::start(1, &quick());
    let sql = TinySql::connect(cluster.address()).await;
    (cluster, sql)
}

/// Settings with which the cluster hears of changes early.
fn quick() -> Settings {
    Settings {
        scheduler: vec![],
        store: vec![
            "raftstore.region-heartbeat-period=200ms",
            "raftstore.store-heartbeat-period=200ms",
            "raftstore.split-check-period=200ms",
        ],
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
