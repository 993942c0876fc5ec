//! How long puts take when a system has half as much to do as it can, beside etcd: once at the same rate for
//! both, which is half of what the slower one can do, and once each at half of its own.

use std::sync::Arc;

use super::cluster::{Cluster, REPORTS, Settings};
use super::contest::{contest, median};
use super::report::{Report, Table, Target};
use super::{Ground, Result, VALUE_BYTES};
use crate::keys::Values;
use crate::number::{float, whole};
use crate::process::{StartError, Started};
use crate::results::{Results, Run};
use crate::system::System;
use crate::workload::Workload;

pub(super) async fn run(ground: &Ground<'_>) -> Result<Report> {
    let etcd = match Started::etcd(&ground.wish.debian) {
        Ok(etcd) => etcd,
        Err(missing @ StartError::Missing(..)) => {
            return Ok(Report::new(Table::sentence(format!("skipped: {missing}"))));
        }
        Err(error) => return Err(error.into()),
    };
    let values = Arc::new(Values::new(VALUE_BYTES));
    let connect = async || System::connect(&etcd.address, &values, false).await.ok();
    ground.eventually("an etcd with a leader", connect).await?;
    let settings = Settings { stores: &REPORTS, ..Settings::default() };
    let cluster = Cluster::start(ground, 3, settings).await?;
    let (ours, theirs) = (("tinykv", cluster.address.as_str()), ("etcd", etcd.address.as_str()));
    let full = contest(ground, &[ours, theirs], Workload::Put, None).await?;
    let half = |name| half(median(&full, name, |run| run.per_second));
    let slower = half("tinykv").min(half("etcd"));
    let both = contest(ground, &[ours, theirs], Workload::Put, Some(slower)).await?;
    let own = if half("tinykv") > slower { ours } else { theirs };
    let faster = contest(ground, &[own], Workload::Put, Some(half(own.0))).await?;

    let mut table = Table::new(&["", "due a second", "p50, ms", "p99, ms", "p99.9, ms", "done"]);
    table.row(row(&both, "tinykv", slower));
    table.row(row(&both, "etcd", slower));
    table.row(row(&faster, own.0, half(own.0)));
    let p99 = |results, name| median(results, name, |run: &Run| run.measured.latency.p99_us);
    let at_own = |name| p99(if name == own.0 { &faster } else { &both }, name);
    let same = p99(&both, "tinykv") / p99(&both, "etcd");
    let each = at_own("tinykv") / at_own("etcd");
    Ok(Report::new(table)
        .figure("p99 of puts / etcd's, both at the lower rate", same, Target::AtMost(1.0))
        .figure("p99 of puts / etcd's, each at half of its own", each, Target::AtMost(1.0)))
}

/// Half of a rate.
fn half(per_second: f64) -> u64 {
    whole(per_second / 2.0).max(1)
}

fn row(results: &Results, name: &str, rate: u64) -> [String; 6] {
    let ms = |figure| format!("{:.2}", median(results, name, figure) / 1e3);
    let done = median(results, name, |run| float(run.measured.counts.done) / run.seconds);
    [
        name.to_owned(),
        rate.to_string(),
        ms(|run| run.measured.latency.p50_us),
        ms(|run| run.measured.latency.p99_us),
        ms(|run| run.measured.latency.p999_us),
        format!("{done:.0}"),
    ]
}
