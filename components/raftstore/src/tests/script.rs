//! Golden scripts: stories about stores, told in what their regions become.
//!
//! A script under `testscripts/` is a list of commands, each block followed by `---` and by what came out.
//! Its first line says what it shows. `UPDATE_GOLDENFILES=1` writes the output anew; the difference is then
//! read like code. After each command everything that follows from it is done, but no time passes.
//!
//! | command | what it does |
//! |---|---|
//! | `stores 3 members="1 2" short-logs` | stores 1 to 3, with region 1 on two of them; logs are cut soon |
//! | `lead 1`, `lead 2 region=2` | wait until a store leads a region |
//! | `tick 5`, `converge 1` | time passes; wait until all members of a region hold the same |
//! | `put a=1`, `get a`, `read a` | as a client that finds the leader; `read` goes through the log |
//! | `put a=1 at=2`, `get a at=2 term=5` | the same of one store, which answers or refuses |
//! | `split m as=2`, `split m as=2 region=1` | cut a region; the right part's peers are 21, 22, ... |
//! | `add 3`, `add 33 store=3`, `remove 3`, `transfer 2` | members and leadership, by whoever leads |
//! | `... once` | the same wish, once, with the answer that it gets |
//! | `scheduler off` | it does not answer, until it is `on` |
//! | `isolate 3`, `cut 1 2`, `lose snapshot to=3`, `heal` | the network; kinds are those of Raft |
//! | `crash 3`, `start 3`, `spoil 3` | machines, and the files of snapshots that came |
//! | `hold apply 3`, `hold region 3`, `release 3` | a store whose disk is slow for this work |
//! | `fail kv 3 after=1`, `fail raft 3 after=0` | a disk that fails |
//! | `regions`, `disk 3`, `data 3`, `lease 1`, `sent vote/snapshot` | look |
//! | `hits "a mark"` | how often the branch of that name was taken |

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use engine::Cf;
use goldenscript::{ArgumentConsumer, Command, Context, Runner};
use proto::eraftpb::ConfChangeType::{AddNode, RemoveNode};
use proto::metapb::{Peer, Region};
use proto::{PeerId, RegionId, StoreId};
use runtime::mark;

use super::cluster::{Cluster, FIRST, found, get_from, put, quiet, short_logs, spoil};
use super::net::{from_store, kind, to_store};
use crate::error::RegionError;
use crate::message::{Admin, Command as Wish, Done, Header, Request};
use crate::peer::stage::Stage;
use crate::router::LocalRead;
use crate::state;

type Output = Result<String, Box<dyn Error>>;

/// Runs all scripts in a folder of `testscripts`, and returns how many there are.
fn run_scripts(folder: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testscripts").join(folder);
    tests::scripts::run_all(&folder, Script::default)
}

#[test]
fn life() {
    assert!(run_scripts("life") > 0);
}

#[test]
fn stale() {
    assert!(run_scripts("stale") > 0);
}

#[test]
fn split() {
    assert!(run_scripts("split") > 0);
}

#[test]
fn snapshot() {
    assert!(run_scripts("snapshot") > 0);
}

#[test]
fn membership() {
    assert!(run_scripts("membership") > 0);
}

#[derive(Default)]
struct Script {
    cluster: Option<Cluster>,
}

impl Runner for Script {
    type Command = Command;

    fn start_script(&mut self) -> Result<(), Box<dyn Error>> {
        mark::reset();
        Ok(())
    }

    fn run(&mut self, command: &Command, _context: &Context) -> Output {
        let mut args = command.consume_args();
        let output = match command.name.as_str() {
            "stores" => self.begin(&mut args)?,
            "hits" => match mark::hits(args.next_pos().ok_or("which mark?")?) {
                1 => "once".into(),
                count => format!("{count} times"),
            },
            name => {
                let cluster = self.cluster.as_mut().ok_or("begin with `stores`")?;
                let output = match name {
                    "put" | "get" | "read" => ask(cluster, name, &mut args)?,
                    "split" | "add" | "remove" | "transfer" => change(cluster, name, &mut args)?,
                    "lead" | "tick" | "converge" => pass(cluster, name, &mut args)?,
                    "regions" | "disk" | "data" | "lease" | "sent" => {
                        look(cluster, name, &mut args)?
                    }
                    name => disturb(cluster, name, &mut args)?,
                };
                cluster.settle();
                output
            }
        };
        args.reject_next()?;
        Ok(output)
    }
}

impl Script {
    fn begin(&mut self, args: &mut ArgumentConsumer<'_>) -> Output {
        let size: u64 = number(args)?;
        let members = match args.take_key("members") {
            Some(list) => list.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>()?,
            None => (1..=size).collect(),
        };
        let config = match args.next_pos() {
            None => quiet(),
            Some("short-logs") => short_logs(),
            Some("forgetful") => {
                crate::Config { leader_missing_period: runtime::units::Period::secs(2), ..quiet() }
            }
            Some(option) => return Err(format!("no option {option}").into()),
        };
        self.cluster = Some(Cluster::new(size, &members, config));
        Ok(String::new())
    }
}

fn pass(cluster: &mut Cluster, name: &str, args: &mut ArgumentConsumer<'_>) -> Output {
    let region = region(args)?;
    match name {
        "lead" => cluster.lead(region, number(args)?),
        "tick" => cluster.tick(u32::try_from(number(args)?)?),
        _ => cluster.converge(RegionId::new(number(args)?)),
    }
    Ok(String::new())
}

/// What a client wants.
fn ask(cluster: &mut Cluster, name: &str, args: &mut ArgumentConsumer<'_>) -> Output {
    let (key, wish) = if name == "put" {
        let (key, value) = args.next_key().ok_or("put what?")?;
        (key.to_owned(), Wish::Write(vec![put(key, value)]))
    } else {
        let key = args.next_pos().ok_or("which key?")?.to_owned();
        let get = Request::Get { cf: Cf::Default, key: key.clone().into() };
        (key, if name == "get" { Wish::Read } else { Wish::Write(vec![get]) })
    };
    let region = region(args)?;
    let term = args.take_key("term").unwrap_or("0").parse()?;
    let Some(at) = args.take_key("at") else {
        let done = cluster.must(&key, &wish);
        return Ok(shown(Ok(done), &key));
    };
    let at = at.parse()?;
    let header = Header { term, ..cluster.header(at, region) };
    Ok(match cluster.ask(at, header, wish) {
        Some(answer) => shown(answer, &key),
        None => "no answer yet".into(),
    })
}

fn shown(answer: Result<Done, RegionError>, key: &str) -> String {
    let value =
        |value: Option<String>| value.map_or("nothing".into(), |value| format!("{value:?}"));
    match answer {
        Ok(Done::Read(view)) => value(get_from(&view, key)),
        Ok(Done::Written) => String::new(),
        Ok(done @ Done::Responses(_)) => {
            value(found(Ok(done)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        }
        Ok(Done::Admin(done)) => format!("{done:?}"),
        Err(error) => error.to_string(),
    }
}

/// Changes of a region, by whoever leads it.
fn change(cluster: &mut Cluster, name: &str, args: &mut ArgumentConsumer<'_>) -> Output {
    let region = region(args)?;
    let leader = cluster.leader(region).ok_or("nobody leads")?;
    let admin = if name == "split" {
        let key = args.next_pos().ok_or("where?")?.to_owned();
        let new_region: u64 = args.take_key("as").ok_or("as which region?")?.parse()?;
        let known = cluster.region(leader, region);
        let new_peers = known.peers.iter().map(|peer| new_region * 10 + peer.store_id).collect();
        Admin::Split { key: key.into(), new_region: RegionId::new(new_region), new_peers }
    } else {
        let id = number(args)?;
        let store = args.take_key("store").map_or(Ok(id), str::parse)?;
        let peer = Peer::new(PeerId::new(id), StoreId::new(store));
        match name {
            "add" => Admin::ChangePeer { change: AddNode, peer },
            "remove" => Admin::ChangePeer { change: RemoveNode, peer },
            _ => Admin::TransferLeader { to: peer },
        }
    };
    if args.next_pos() == Some("once") {
        return Ok(match cluster.admin(leader, region, admin) {
            Some(Ok(_)) => String::new(),
            Some(Err(error)) => error.to_string(),
            None => "no answer yet".into(),
        });
    }
    match admin {
        Admin::Split { key, new_region, .. } => {
            cluster.split(region, std::str::from_utf8(&key)?, new_region.get());
        }
        Admin::ChangePeer { change, peer } => cluster.change(region, change, peer),
        Admin::TransferLeader { to } => cluster.lead(region, to.store_id),
        Admin::CompactLog { .. } => {}
    }
    Ok(String::new())
}

/// What happens to networks and machines.
fn disturb(cluster: &mut Cluster, name: &str, args: &mut ArgumentConsumer<'_>) -> Output {
    if name == "heal" {
        cluster.net.heal();
        return Ok(String::new());
    }
    if name == "scheduler" {
        cluster.scheduler.set_down(args.next_pos() == Some("off"));
        return Ok(String::new());
    }
    if name == "lose" {
        let lost = args.next_pos().ok_or("lose what?")?.to_owned();
        let to: Option<u64> = args.take_key("to").map(str::parse).transpose()?;
        cluster.net.lose(move |message| {
            to.is_none_or(|to| to == to_store(message)) && kind_name(message) == lost
        });
        return Ok(String::new());
    }
    if matches!(name, "hold" | "fail") {
        let what = args.next_pos().ok_or("which?")?.to_owned();
        let after = args.take_key("after").unwrap_or("0").parse()?;
        let machine = cluster.at(number(args)?);
        match (name, what.as_str()) {
            ("hold", "apply") => machine.holds_apply = true,
            ("hold", "region") => machine.holds_region = true,
            ("fail", "kv") => machine.kv.faults.fail_write_after(after),
            ("fail", "raft") => machine.raft_disk.faults.fail_write_after(after),
            _ => return Err(format!("{name} what?").into()),
        }
        return Ok(String::new());
    }
    let store = number(args)?;
    match name {
        "isolate" => cluster.isolate(store),
        "cut" => cluster.net.cut(store, number(args)?),
        "crash" => {
            cluster.net.forget(store);
            cluster.at(store).crash(0);
        }
        "start" => cluster.start(store),
        "release" => {
            let machine = cluster.at(store);
            (machine.holds_apply, machine.holds_region) = (false, false);
        }
        "spoil" => {
            let dir = cluster.world.dir.join(format!("snap-{store}"));
            spoil(&dir);
        }
        _ => return Err(format!("no command {name}").into()),
    }
    Ok(String::new())
}

fn look(cluster: &Cluster, name: &str, args: &mut ArgumentConsumer<'_>) -> Output {
    let mut output = String::new();
    match name {
        "regions" => {
            let only: Option<u64> = args.next_pos().map(str::parse).transpose()?;
            for store in cluster.machines.keys().filter(|store| only.is_none_or(|o| o == **store)) {
                show_store(cluster, *store, &mut output)?;
            }
        }
        "disk" => show_disk(cluster, number(args)?, &mut output)?,
        "data" => {
            let store = number(args)?;
            let whole = Region::new(FIRST, "", "");
            let keys = cluster.data(store, &whole).into_iter();
            let pairs = keys.map(|((_, key), value)| {
                format!("{}={}", key.escape_ascii(), value.escape_ascii())
            });
            output = pairs.collect::<Vec<_>>().join(" ");
        }
        "lease" => {
            let store = number(args)?;
            let header = cluster.header(store, region(args)?);
            let read = cluster.process(store).ok_or("it does not run")?.router.read(&header);
            let serves = matches!(read, LocalRead::Answered(Ok(_)));
            output.push_str(if serves { "serves reads alone" } else { "has to ask" });
        }
        _ => {
            let kinds = args.next_pos().ok_or("which kinds?")?.to_owned();
            for message in cluster.net.sent() {
                let name = kind_name(&message);
                if kinds.split('/').any(|wanted| wanted == name) {
                    let (from, to) = (from_store(&message), to_store(&message));
                    writeln!(output, "{from} -> {to} region {} {name}", message.region_id)?;
                }
            }
        }
    }
    Ok(output)
}

fn show_store(cluster: &Cluster, store: u64, output: &mut String) -> Result<(), Box<dyn Error>> {
    let machine = &cluster.machines[&store];
    if let Some(why) = &machine.stopped {
        return Ok(writeln!(output, "{store}: stopped: {why}")?);
    }
    let Some(process) = &machine.process else { return Ok(writeln!(output, "{store}: crashed")?) };
    if process.raft.peers.is_empty() {
        writeln!(output, "{store}: nothing")?;
    }
    for (id, peer) in &process.raft.peers {
        let stage = match &peer.stage {
            Stage::Uninitialized => "knows nothing yet",
            Stage::Active => "active",
            Stage::Stopping(_) => "about to install a snapshot",
            Stage::Installing => "installing a snapshot",
            Stage::Broken => "broken",
            Stage::Destroying => "being removed",
        };
        let role = if peer.is_leader() { ", leads" } else { "" };
        let known = shown_region(peer.region());
        writeln!(output, "{store}: region {id}, peer {}{role}, {stage}{known}", peer.own().id)?;
    }
    Ok(())
}

fn shown_region(region: &Region) -> String {
    if region.is_uninitialized() {
        return String::new();
    }
    let (start, end) = (region.start_key.escape_ascii(), region.end_key.escape_ascii());
    let epoch = region.epoch();
    let peers: Vec<String> =
        region.peers.iter().map(|peer| format!("{}@{}", peer.id, peer.store_id)).collect();
    let peers = peers.join(" ");
    format!(": [{start}..{end}) conf_ver {} version {} {peers}", epoch.conf_ver, epoch.version)
}

fn show_disk(cluster: &Cluster, store: u64, output: &mut String) -> Result<(), Box<dyn Error>> {
    let engines = cluster.machines[&store].engines();
    for (id, record) in state::region_states(&*engines.kv)? {
        let what = if state::is_tombstone(&record) { "tombstone" } else { "region" };
        let log = if state::raft_state(&*engines.raft, id)?.is_some() { "a log" } else { "no log" };
        writeln!(output, "{what} {id}, {log}{}", shown_region(&state::region_of(&record)))?;
    }
    for (id, _) in state::install_markers(&*engines.kv)? {
        writeln!(output, "region {id} is being installed")?;
    }
    Ok(())
}

/// How scripts call a message.
fn kind_name(message: &proto::raft_serverpb::RaftMessage) -> &'static str {
    use proto::eraftpb::MessageType as Kind;
    if message.is_tombstone {
        return "tombstone";
    }
    match kind(message) {
        Some(Kind::MsgAppend) => "append",
        Some(Kind::MsgAppendResponse) => "appended",
        Some(Kind::MsgRequestVote) => "vote",
        Some(Kind::MsgRequestVoteResponse) => "voted",
        Some(Kind::MsgRequestPreVote) => "pre-vote",
        Some(Kind::MsgRequestPreVoteResponse) => "pre-voted",
        Some(Kind::MsgSnapshot) => "snapshot",
        Some(Kind::MsgHeartbeat) => "heartbeat",
        Some(Kind::MsgHeartbeatResponse) => "heard",
        Some(Kind::MsgTimeoutNow) => "timeout-now",
        Some(
            Kind::MsgHup
            | Kind::MsgBeat
            | Kind::MsgPropose
            | Kind::MsgTransferLeader
            | Kind::MsgReadIndex
            | Kind::MsgReadIndexResponse,
        )
        | None => "other",
    }
}

fn number(args: &mut ArgumentConsumer<'_>) -> Result<u64, Box<dyn Error>> {
    Ok(args.next_pos().ok_or("a number is missing")?.parse()?)
}

fn region(args: &mut ArgumentConsumer<'_>) -> Result<RegionId, Box<dyn Error>> {
    Ok(RegionId::new(args.take_key("region").unwrap_or("1").parse()?))
}
