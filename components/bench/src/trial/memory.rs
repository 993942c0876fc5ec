//! What a store holds in memory after a million puts of a hundred bytes. Most of it are the buffers in front
//! of the sorted files; the cache of what was read is still empty.

use super::cluster::{Cluster, REPORTS, Settings};
use super::report::{Report, Table, Target};
use super::{Ground, Result, VALUE_BYTES};
use crate::fill::fill;
use crate::number::float;

const MIB: f64 = 1_048_576.0;

pub(super) async fn run(ground: &Ground<'_>) -> Result<Report> {
    let settings = Settings { stores: &REPORTS, ..Settings::default() };
    let cluster = Cluster::start(ground, 3, settings).await?;
    let empty = cluster.memory()?;
    let system = cluster.system(VALUE_BYTES, true).await?;
    fill(&system, ground.wish.puts, 1).await?;
    let full = cluster.memory()?;
    let mut table = Table::new(&["store", "MiB at the beginning", "after the puts", "at most"]);
    let mib = |bytes: u64| float(bytes) / MIB;
    for ((store, (empty, _)), (full, peak)) in cluster.stores.iter().zip(empty).zip(&full) {
        let cells = [mib(empty), mib(*full), mib(*peak)].map(|figure| format!("{figure:.0}"));
        table.row(std::iter::once(store.id.to_string()).chain(cells));
    }
    let most = full.iter().map(|(now, _)| mib(*now)).fold(0.0, f64::max);
    let what = format!("MiB of a store after {} puts", ground.wish.puts);
    Ok(Report::new(table).figure(what, most, Target::AtMost(600.0)))
}
