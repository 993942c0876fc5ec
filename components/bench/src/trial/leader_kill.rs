//! How long a region cannot be written when its leader's store is killed, with the default settings: from
//! the last put that is answered by the old leader to the first by a new one, as the clients see it.

use std::time::Duration;

use super::cluster::{Cluster, Settings};
use super::report::{Report, Table, Target, shown};
use super::watch::Watch;
use super::{Ground, Result};
use crate::keys::key;
use crate::number::{float, spread};
use crate::say;

/// How long there is load before a kill.
const BEFORE: Duration = Duration::from_secs(2);

/// And after it: a gap that is longer counts as this long, which is far beyond what is allowed.
const AFTER: Duration = Duration::from_secs(10);

pub(super) async fn run(ground: &Ground<'_>) -> Result<Report> {
    let mut cluster = Cluster::start(ground, 3, Settings::default()).await?;
    let mut table = Table::new(&["kill", "store", "seconds without a put", "puts not done"]);
    let mut gaps = Vec::new();
    for kill in 1..=ground.wish.kills {
        let (leader, _) = cluster.leader(&key(0)).await?;
        let clients = cluster.clients().await?;
        let watch = Watch::new(&ground.clock, BEFORE + AFTER);
        let load = ground.put(watch.over(clients), ground.wish.keys, BEFORE + AFTER, "puts");
        let strike = async {
            tokio::time::sleep(BEFORE).await;
            cluster.kill(leader);
        };
        let (measured, ()) = tokio::join!(load, strike);
        let counts = measured?.counts;
        let gap = watch.longest_gap().as_secs_f64();
        say(&format!("kill {kill} of {}: {gap:.2} s without a put", ground.wish.kills));
        let lost = float(counts.failed + counts.unknown);
        let shown = [leader.to_string(), shown(gap), format!("{lost:.0}")];
        table.row(std::iter::once(kill.to_string()).chain(shown));
        gaps.push(gap);
        cluster.restart(leader).await?;
        cluster.wait_until_level(&key(0)).await?;
    }
    let gaps = spread(gaps);
    Ok(Report::new(table)
        .figure("seconds without a put, the middle", gaps.median, Target::AtMost(2.5))
        .figure("seconds without a put, the most", gaps.most, Target::AtMost(5.0)))
}
