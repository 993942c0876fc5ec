//! Golden scripts: stories about the scheduler, told in what it says to the leaders of regions.
//!
//! A script under `testscripts/` is a list of commands, each block followed by `---` and by what came out.
//! Its first line says what it shows. `UPDATE_GOLDENFILES=1` writes the output anew; the difference is then
//! read like code. Epochs are written as `version.conf_ver`.
//!
//! | command | what it does |
//! |---|---|
//! | `stores 4`, `stores 4 replicas=1` | that many stores, which report from now on |
//! | `region 1 "1 2 3"` | the leader, on the first of these stores, reports; peers are 11, 12, 13 |
//! | `... keys=a..m epoch=2.5 mib=96 pending=3` | its keys, its epoch, its size, the stores of peers that lag |
//! | `regions 12 "1 2 3"` | twelve regions like this, from 1 on, that share all keys |
//! | `beat 1`, `beat 1 leader=2 pending=3` | it reports again, with another leader or peers that lag |
//! | `obey 1`, `obey 1 pending` | the region does what it was told last, and reports; a new peer lags |
//! | `pass 30s` | time passes, and what is said meanwhile; stores go on to report |
//! | `silence 2`, `wake 2` | a store does not report any more, or again |
//! | `leave 2` | a store is asked to leave |
//! | `scatter 1` | a person asks for it |
//! | `restart` | the scheduler begins again, with stores and regions as it has them on record |
//! | `plan 1`, `leaders`, `known` | look: a region's plan, who leads how many, the regions |

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use goldenscript::{ArgumentConsumer, Command as Line, Context, Runner};
use proto::eraftpb::ConfChangeType;
use proto::metapb::{self, Peer, Region, RegionEpoch, StoreState};
use proto::schedulerpb::StoreStats;
use runtime::Rng;
use runtime::clock::Instant;

use super::fixture::done;
use crate::cluster::region::RegionInfo;
use crate::cluster::stores::Store;
use crate::core::Core;
use crate::id::Ids;
use crate::schedule::config::Config;
use crate::schedule::controller::Command;

type Output = Result<String, Box<dyn Error>>;

/// How often the process lets the core act, here.
const TICK: Duration = Duration::from_millis(100);

/// How often stores report.
const REPORT: u64 = 10;

/// Runs all scripts in a folder of `testscripts`, and returns how many there are.
fn run_scripts(folder: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testscripts").join(folder);
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    for path in &paths {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.starts_with("# "), "{}: says what it shows", path.display());
        if let Err(error) = goldenscript::run(&mut Script::default(), path) {
            panic!("{}: {error}", path.display());
        }
    }
    paths.len()
}

#[test]
fn plans() {
    assert!(run_scripts("plans") > 0);
}

#[test]
fn repair() {
    assert!(run_scripts("repair") > 0);
}

#[test]
fn reports() {
    assert!(run_scripts("reports") > 0);
}

#[test]
fn balance() {
    assert!(run_scripts("balance") > 0);
}

#[derive(Default)]
struct Script {
    story: Option<Story>,
}

impl Runner for Script {
    type Command = Line;

    fn run(&mut self, line: &Line, _context: &Context) -> Output {
        let mut args = line.consume_args();
        let output = if line.name == "stores" {
            let count = number(&mut args)?;
            let replicas = args.take_key("replicas").map_or(Ok(3), str::parse)?;
            self.story = Some(Story::new(count, replicas));
            String::new()
        } else {
            let story = self.story.as_mut().ok_or("begin with `stores`")?;
            match line.name.as_str() {
                "region" | "regions" | "beat" | "obey" => story.hear(&line.name, &mut args)?,
                "plan" | "leaders" | "known" => story.look(&line.name, &mut args)?,
                name => story.happen(name, &mut args)?,
            }
        };
        args.reject_next()?;
        Ok(output)
    }
}

fn number(args: &mut ArgumentConsumer<'_>) -> Result<u64, Box<dyn Error>> {
    Ok(args.next_pos().ok_or("which one, or how many?")?.parse()?)
}

fn stores_of(list: &str) -> Result<Vec<u64>, Box<dyn Error>> {
    Ok(list.split(' ').map(str::parse).collect::<Result<_, _>>()?)
}

/// A cluster that does nothing by itself, and the scheduler that tells it what to do.
struct Story {
    core: Core,
    now: Instant,
    silent: BTreeSet<u64>,
    regions: BTreeMap<u64, RegionInfo>,
    told: BTreeMap<u64, Command>,
    restarts: u64,
}

impl Story {
    fn new(stores: u64, replicas: u32) -> Self {
        let now = Instant::default();
        let mut core = Core::new(Config::default(), Rng::new(1), now);
        core.cluster.meta = Some(metapb::Cluster { id: 1, max_peer_count: replicas });
        core.ids.extended(1000);
        // Small ids are for what scripts name.
        core.ids.take_all(99);
        for id in 1..=stores {
            let address = format!("store-{id}");
            core.cluster.stores.put(metapb::Store { id, address, ..Default::default() }, now);
        }
        let (silent, regions, told) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        let mut story = Story { core, now, silent, regions, told, restarts: 0 };
        story.stores_report();
        story
    }

    fn stores_report(&mut self) {
        let ids: Vec<u64> = self.core.cluster.stores.iter().map(Store::id).collect();
        for store_id in ids {
            if self.silent.contains(&store_id) {
                continue;
            }
            let stats = StoreStats { store_id, ..StoreStats::default() };
            // A store that is gone is told so, and stops.
            if self.core.report_store(stats, self.now).is_err() {
                self.silent.insert(store_id);
            }
        }
    }

    /// A region reports: what the scheduler makes of it, and what it says.
    fn report(&mut self, region: RegionInfo) -> String {
        let id = region.id();
        let told = self.core.report(region.clone(), self.now);
        match told {
            Err(error) => format!("{error}\n"),
            Ok((_, command)) => {
                self.regions.insert(id, region);
                self.say(command)
            }
        }
    }

    fn say(&mut self, commands: impl IntoIterator<Item = Command>) -> String {
        let mut output = String::new();
        for command in commands {
            writeln!(output, "{}", tell(&command)).expect("a string takes anything");
            self.told.insert(command.message.region_id, command);
        }
        output
    }

    fn hear(&mut self, name: &str, args: &mut ArgumentConsumer<'_>) -> Output {
        let id = number(args)?;
        let region = match name {
            "region" => described(id, args)?,
            "regions" => return self.hear_all(id, args),
            "beat" => {
                let known = self.regions.get(&id).ok_or("no such region")?.clone();
                changed(known, args)?
            }
            _ => {
                let known = self.regions.get(&id).ok_or("no such region")?;
                let command = self.told.remove(&id).ok_or("it was told nothing")?;
                let mut region = done(known, &command.message);
                let added = command.message.change_peer.and_then(|change| change.peer);
                region.pending = match args.next_pos() {
                    Some("pending") => added.into_iter().collect(),
                    _ => Vec::new(),
                };
                region
            }
        };
        Ok(self.report(region))
    }

    fn hear_all(&mut self, count: u64, args: &mut ArgumentConsumer<'_>) -> Output {
        let stores = stores_of(args.next_pos().ok_or("on which stores?")?)?;
        let key = |number: u64| if number > count { String::new() } else { format!("{number:03}") };
        let mut output = String::new();
        for id in 1..=count {
            let start = if id == 1 { String::new() } else { key(id) };
            output += &self.report(region(id, &stores, (&start, &key(id + 1))));
        }
        Ok(output)
    }

    fn happen(&mut self, name: &str, args: &mut ArgumentConsumer<'_>) -> Output {
        match name {
            "pass" => return self.pass(args),
            "silence" => drop(self.silent.insert(number(args)?)),
            "wake" => {
                self.silent.remove(&number(args)?);
                self.stores_report();
            }
            "leave" => {
                let record = self.core.cluster.stores.removed(number(args)?)?;
                self.core.cluster.stores.put(record, self.now);
            }
            "scatter" => {
                let command = self.core.scatter(number(args)?, None, self.now)?;
                return Ok(self.say(command));
            }
            "restart" => self.restart(),
            name => return Err(format!("no command {name}").into()),
        }
        Ok(String::new())
    }

    fn pass(&mut self, args: &mut ArgumentConsumer<'_>) -> Output {
        let text = args.next_pos().ok_or("how long?")?;
        let seconds: u64 = text.strip_suffix('s').ok_or("in seconds: 30s")?.parse()?;
        let mut output = String::new();
        for tick in 1..=seconds * 10 {
            self.now = self.now + TICK;
            if tick.is_multiple_of(REPORT * 10) {
                self.stores_report();
            }
            let commands = self.core.tick(self.now);
            for line in self.say(commands).lines() {
                writeln!(output, "after {}.{}s {line}", tick / 10, tick % 10)?;
            }
            for id in self.core.cluster.emptied_stores() {
                writeln!(output, "after {}.{}s store {id} is gone", tick / 10, tick % 10)?;
                let record = self.core.cluster.stores.buried(id, false)?;
                self.core.cluster.stores.put(record, self.now);
            }
        }
        Ok(output)
    }

    fn restart(&mut self) {
        let cluster = &self.core.cluster;
        let meta = cluster.meta;
        let regions = cluster.regions.scan(b"", b"").map(|region| region.meta.clone()).collect();
        let stores: Vec<_> = cluster.stores.iter().map(|store| store.meta.clone()).collect();
        self.core.reset(self.now);
        self.core.cluster.meta = meta;
        self.restarts += 1;
        self.core.ids = Ids::after(1000 * self.restarts);
        self.core.ids.extended(1000 * (self.restarts + 1));
        for store in stores {
            self.core.cluster.stores.put(store, self.now);
        }
        self.core.recall(regions);
        self.told.clear();
    }

    fn look(&mut self, name: &str, args: &mut ArgumentConsumer<'_>) -> Output {
        let mut output = String::new();
        match name {
            "plan" => match self.core.controller.status(number(args)?, self.now) {
                Some((plan, status)) => writeln!(output, "{status:?}: {plan}")?,
                None => writeln!(output, "none")?,
            },
            "leaders" => {
                for store in self.core.cluster.stores.iter() {
                    let StoreState::Up = store.meta.state() else { continue };
                    writeln!(output, "store {} leads {}", store.id(), store.load.leaders)?;
                }
            }
            _ => {
                for region in self.core.cluster.regions.scan(b"", b"") {
                    let (id, leader) = (region.id(), region.leader_store());
                    let stores: Vec<u64> = region.stores().collect();
                    let keys = (&region.meta.start_key, &region.meta.end_key);
                    let RegionEpoch { conf_ver, version } = region.epoch();
                    writeln!(
                        output,
                        "region {id} at {version}.{conf_ver}, {keys:?}, on {stores:?}, led by {leader:?}"
                    )?;
                }
            }
        }
        Ok(output)
    }
}

fn region(id: u64, stores: &[u64], (start, end): (&str, &str)) -> RegionInfo {
    let peers: Vec<Peer> =
        stores.iter().map(|&store_id| Peer { id: id * 10 + store_id, store_id }).collect();
    let leader = peers.first().copied();
    let key = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let (start_key, end_key) = (key(start), key(end));
    let region_epoch = Some(RegionEpoch { conf_ver: 1, version: 1 });
    RegionInfo::new(Region { id, start_key, end_key, region_epoch, peers }, leader)
}

fn described(id: u64, args: &mut ArgumentConsumer<'_>) -> Result<RegionInfo, Box<dyn Error>> {
    let stores = stores_of(args.next_pos().ok_or("on which stores?")?)?;
    let keys = args.take_key("keys").unwrap_or("..").to_owned();
    let keys = keys.split_once("..").ok_or("keys are written a..m")?;
    changed(region(id, &stores, keys), args)
}

/// The region, as the arguments change it.
fn changed(
    mut region: RegionInfo,
    args: &mut ArgumentConsumer<'_>,
) -> Result<RegionInfo, Box<dyn Error>> {
    if let Some(epoch) = args.take_key("epoch") {
        let (version, conf_ver) = epoch.split_once('.').ok_or("epochs are written 2.5")?;
        let (version, conf_ver) = (version.parse()?, conf_ver.parse()?);
        region.meta.region_epoch = Some(RegionEpoch { conf_ver, version });
    }
    if let Some(mib) = args.take_key("mib") {
        region.size_mib = mib.parse()?;
    }
    if let Some(store) = args.take_key("leader") {
        region.leader = region.peer_on(store.parse()?).copied();
    }
    region.pending = match args.take_key("pending") {
        Some(list) => {
            let on = |store: u64| region.peer_on(store).copied();
            stores_of(list)?.into_iter().filter_map(on).collect()
        }
        None => Vec::new(),
    };
    Ok(region)
}

/// A command in one line.
fn tell(command: &Command) -> String {
    let message = &command.message;
    let what = match (&message.change_peer, &message.transfer_leader) {
        (Some(change), _) => {
            let peer = change.peer.unwrap_or_default();
            match change.change_type() {
                ConfChangeType::AddNode => format!("add peer {} on {}", peer.id, peer.store_id),
                ConfChangeType::RemoveNode => {
                    format!("remove peer {} on {}", peer.id, peer.store_id)
                }
            }
        }
        (None, Some(transfer)) => {
            format!("let store {} lead", transfer.peer.unwrap_or_default().store_id)
        }
        (None, None) => "nothing".to_owned(),
    };
    let RegionEpoch { conf_ver, version } = message.region_epoch.unwrap_or_default();
    format!(
        "-> store {}: region {} at {version}.{conf_ver}: {what}",
        command.store, message.region_id
    )
}
