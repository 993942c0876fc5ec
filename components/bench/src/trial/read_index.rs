//! Gets that each prove that their leader leads, by asking a majority, in turn with gets under a lease. Those
//! that arrive together share a proof.

use super::cluster::{Cluster, REPORTS, Settings};
use super::contest::{contest, ratio, table};
use super::report::{Report, Target};
use super::{Ground, Result};
use crate::workload::Workload;

pub(super) async fn run(ground: &Ground<'_>) -> Result<Report> {
    let [regions, stores] = REPORTS;
    let lease = Settings { stores: &REPORTS, ..Settings::default() };
    let without = [regions, stores, "raftstore.lease-reads=false"];
    let proof = Settings { stores: &without, ..Settings::default() };
    let lease = Cluster::start(ground, 3, lease).await?;
    let proof = Cluster::start(ground, 3, proof).await?;
    let systems = [("under a lease", lease.address.as_str()), ("by ReadIndex", &proof.address)];
    let results = contest(ground, &systems, Workload::Get, None).await?;
    let ratio = ratio(&results, "by ReadIndex", "under a lease");
    let what = "gets by ReadIndex / under a lease";
    Ok(Report::new(table(&results)).figure(what, ratio, Target::AtLeast(0.5)))
}
