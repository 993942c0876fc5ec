//! Golden scripts: stories about a cluster, told in messages.
//!
//! A script under `testscripts/` is a list of commands, each block followed by `---` and by what
//! came out. Its first line says what it shows. `UPDATE_GOLDENFILES=1` writes the output anew; the
//! difference is then read like code.
//!
//! | command | what it does |
//! |---|---|
//! | `cluster 3 leader=1 check-quorum ...` | nodes 1 to 3; options are the fields of `Config` |
//! | `campaign 2`, `beat 1`, `tick 1 5` | a node's own wishes, and its time |
//! | `propose 1 a b`, `add 4 at=1`, `remove 3 at=1`, `transfer 2 at=1`, `read 1 r` | its user's wishes |
//! | `run`, `settle` | deliver everything until the cluster is quiet; settle: and write to all disks |
//! | `collect` | take what nodes want to say, and leave it on the network |
//! | `... quiet`, `... show=vote/append` | what of that to show, if not all |
//! | `deliver`, `lose`, `repeat`, `delay` | what happens to messages on the network, selected by `from= to= kind=vote/append` |
//! | `release` | put delayed messages back on the network |
//! | `cut 1 2`, `cut 1 2 one-way`, `isolate 3`, `heal` | the network |
//! | `crash 1`, `restart 1 wait=10`, `restart 1 wiped`, `join 4` | machines |
//! | `disk 2 term=3 1 1 2` | replace a machine by one that has these terms in its log |
//! | `persist 1`, `slow-apply 1`, `apply 1`, `compact 1` | disks and state machines |
//! | `report-snapshot 3 at=1 ok`, `unreachable 3 at=1` | what a transport has to say |
//! | `status`, `log`, `applied`, `reads`, `lease 1` | look |
//! | `hits "a mark"` | how often the branch of that name was taken |

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use goldenscript::{ArgumentConsumer, Command, Context, Runner};
use runtime::mark;

use super::cluster::Cluster;
use super::{add_node, beat, remove_node};
use crate::message::Message;
use crate::{Config, NodeId};

type Output = Result<String, Box<dyn Error>>;

/// Runs all scripts in a folder of `testscripts`, and returns how many there are.
fn run_scripts(folder: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testscripts").join(folder);
    tests::scripts::run_all(&folder, Script::default)
}

#[test]
fn election() {
    assert!(run_scripts("election") > 0);
}

#[test]
fn replication() {
    assert!(run_scripts("replication") > 0);
}

#[test]
fn snapshots() {
    assert!(run_scripts("snapshots") > 0);
}

#[test]
fn membership() {
    assert!(run_scripts("membership") > 0);
}

#[test]
fn transfer() {
    assert!(run_scripts("transfer") > 0);
}

#[test]
fn reads() {
    assert!(run_scripts("reads") > 0);
}

#[test]
fn durability() {
    assert!(run_scripts("durability") > 0);
}

/// Each odd branch of the code has a story that goes there.
#[test]
fn odd_branches_have_their_stories() {
    let goes_there = |script: &str, hits: fn() -> u64| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testscripts").join(script);
        let text = fs::read_to_string(path).unwrap();
        goldenscript::generate(&mut Script::default(), &text).unwrap();
        assert!(hits() > 0, "{script} has lost its way");
    };
    goes_there("election/shorter_log_loses", || mark::hits("vote refused: the log is behind"));
    goes_there("election/votes_of_an_old_campaign", || mark::hits("message of an earlier term"));
    goes_there("election/one_way_link", || mark::hits("candidate ignored: a leader is there"));
    goes_there("election/a_restarted_voter_waits", || mark::hits("campaign refused"));
    goes_there("election/check_quorum", || mark::hits("leader without a quorum"));
    goes_there("replication/conflicting_tail", || mark::hits("log truncated at a conflict"));
    goes_there("replication/append_before_the_commit_index", || {
        mark::hits("append before the commit index")
    });
    goes_there("replication/too_much_pending", || {
        mark::hits("proposal refused: too much is pending")
    });
    goes_there("replication/wiped_disk", || {
        mark::hits("heartbeat commits more than the log holds")
    });
    goes_there("replication/wiped_disk", || mark::hits("refusal of what was accepted"));
    goes_there("snapshots/late", || mark::hits("snapshot older than the commit index"));
    goes_there("snapshots/of_what_the_log_holds", || mark::hits("snapshot of what the log holds"));
    goes_there("snapshots/before_the_member_was_added", || {
        mark::hits("snapshot without this node")
    });
    goes_there("membership/add_a_node", || mark::hits("append before the members are known"));
    goes_there("membership/remove_the_leader", || mark::hits("leader removed"));
    goes_there("transfer/to_a_stranger", || mark::hits("answer from a stranger"));
    goes_there("transfer/given_up", || mark::hits("transfer given up"));
    goes_there("transfer/changed_mind", || mark::hits("transfer to the same heir again"));
    goes_there("transfer/back_to_the_leader", || mark::hits("transfer to the leader itself"));
    goes_there("durability/replaced_and_back_while_being_written", || {
        mark::hits("late report of what was replaced")
    });
    goes_there("reads/too_many", || mark::hits("read refused: too many wait"));
}

#[derive(Default)]
struct Script {
    cluster: Cluster,
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
            "cluster" => self.start(&mut args)?,
            "run" | "settle" | "collect" | "deliver" | "lose" | "repeat" | "delay" | "release" => {
                self.move_messages(&command.name, &mut args)?
            }
            "cut" | "isolate" | "heal" | "crash" | "restart" | "join" | "disk" => {
                self.disturb(&command.name, &mut args)?
            }
            "persist" | "slow-apply" | "apply" | "compact" => {
                self.work(&command.name, &mut args)?
            }
            "status" | "log" | "applied" | "reads" | "lease" => {
                self.look(&command.name, &mut args)?
            }
            "hits" => match mark::hits(args.next_pos().ok_or("which mark?")?) {
                1 => "once".into(),
                count => format!("{count} times"),
            },
            name => self.wish(name, &mut args)?,
        };
        args.reject_next()?;
        self.cluster.check();
        Ok(output)
    }
}

impl Script {
    fn start(&mut self, args: &mut ArgumentConsumer<'_>) -> Output {
        let mut config = Config { election_ticks: 10, heartbeat_ticks: 2, ..Config::default() };
        let size = position(args)?;
        let leader: NodeId = args.take_key("leader").unwrap_or("0").parse()?;
        while let Some((key, value)) = args.next_key() {
            set_limit(&mut config, key, value)?;
        }
        while let Some(option) = args.next_pos() {
            match option {
                "pre-vote" => config.pre_vote = true,
                "check-quorum" => config.check_quorum = true,
                "async" => config.async_persist = true,
                _ => return Err(format!("no option {option}").into()),
            }
        }
        self.cluster = Cluster::new(size, config);
        if leader != 0 {
            self.cluster.node(leader).campaign()?;
            self.cluster.settle()?;
        }
        Ok(String::new())
    }

    /// What a node's own user or clock wants.
    fn wish(&mut self, name: &str, args: &mut ArgumentConsumer<'_>) -> Output {
        let id = position(args)?;
        let at: NodeId = args.take_key("at").map_or(Ok(id), str::parse)?;
        match name {
            "campaign" => self.cluster.node(id).campaign()?,
            "tick" => {
                let count: u64 = args.next_pos().unwrap_or("1").parse()?;
                for _ in 0..count {
                    self.cluster.node(id).tick()?;
                }
            }
            // A beat is a tick in which the heartbeat interval ends.
            "beat" => self.cluster.node(id).raft.step(beat(id))?,
            "propose" => {
                while let Some(command) = args.next_pos() {
                    self.cluster.node(id).propose(command.to_owned())?;
                }
            }
            "add" => {
                self.cluster.node(at).propose_conf_change(&add_node(id))?;
            }
            "remove" => {
                self.cluster.node(at).propose_conf_change(&remove_node(id))?;
            }
            "transfer" => self.cluster.node(at).transfer_leader(id)?,
            "read" => {
                while let Some(context) = args.next_pos() {
                    self.cluster.node(id).read_index(context.to_owned())?;
                }
            }
            "unreachable" => self.cluster.node(at).report_unreachable(id),
            "report-snapshot" => {
                let delivered = args.next_pos() == Some("ok");
                self.cluster.node(at).report_snapshot(id, delivered);
            }
            _ => return Err(format!("no command {name}").into()),
        }
        Ok(String::new())
    }

    fn move_messages(&mut self, name: &str, args: &mut ArgumentConsumer<'_>) -> Output {
        let mut output = String::new();
        if matches!(name, "run" | "settle" | "collect") {
            let shown = Selector::new(args, "show")?;
            let is_quiet = args.next_pos() == Some("quiet");
            let moved = match name {
                "run" => self.cluster.run()?,
                "settle" => self.cluster.settle()?,
                _ => self.cluster.collect()?.into_iter().map(|message| (message, true)).collect(),
            };
            for (message, arrives) in moved {
                if !is_quiet && shown.has(&message) {
                    writeln!(output, "{message}{}", if arrives { "" } else { " (lost)" })?;
                }
            }
            return Ok(output);
        }
        if name == "release" {
            self.cluster.network.extend(self.cluster.late.drain(..));
            return Ok(output);
        }
        let selected = Selector::new(args, "kind")?;
        self.cluster.collect()?;
        for message in std::mem::take(&mut self.cluster.network) {
            if !selected.has(&message) {
                self.cluster.network.push_back(message);
                continue;
            }
            writeln!(output, "{message}")?;
            match name {
                "deliver" => {
                    self.cluster.deliver(message);
                }
                "repeat" => {
                    self.cluster.deliver(message.clone());
                    self.cluster.network.push_back(message);
                }
                "delay" => self.cluster.late.push_back(message),
                _ => {} // lose
            }
        }
        Ok(output)
    }

    fn disturb(&mut self, name: &str, args: &mut ArgumentConsumer<'_>) -> Output {
        if name == "heal" {
            self.cluster.cut.clear();
            return Ok(String::new());
        }
        let id = position(args)?;
        match name {
            "cut" => {
                let other = position(args)?;
                self.cluster.cut.insert((id, other));
                if args.next_pos() != Some("one-way") {
                    self.cluster.cut.insert((other, id));
                }
            }
            "isolate" => {
                for other in self.cluster.machines.keys().filter(|other| **other != id) {
                    self.cluster.cut.extend([(id, *other), (*other, id)]);
                }
            }
            "crash" => self.cluster.crash(id),
            "restart" => {
                let wait_ticks = args.take_key("wait").unwrap_or("0").parse()?;
                match args.next_pos() {
                    Some("wiped") => self.cluster.restart_wiped(id),
                    _ => self.cluster.restart(id, wait_ticks),
                }
            }
            "disk" => {
                let term = args.take_key("term").ok_or("which term?")?.parse()?;
                let terms: Result<Vec<_>, _> =
                    std::iter::from_fn(|| args.next_pos()).map(str::parse).collect();
                self.cluster.preload(id, term, &terms?);
            }
            _ => self.cluster.join(id),
        }
        Ok(String::new())
    }

    fn work(&mut self, name: &str, args: &mut ArgumentConsumer<'_>) -> Output {
        let id = position(args)?;
        let mut output = String::new();
        match name {
            "persist" => {
                let count = args.next_pos().unwrap_or("1000").parse()?;
                self.cluster.collect()?;
                for message in self.cluster.persist(id, count)? {
                    writeln!(output, "{message}")?;
                }
            }
            "slow-apply" => self.cluster.at(id).applies_by_hand = true,
            "apply" => {
                self.cluster.collect()?;
                self.cluster.apply(id)?;
            }
            _ => self.cluster.compact(id),
        }
        Ok(output)
    }

    fn look(&mut self, name: &str, args: &mut ArgumentConsumer<'_>) -> Output {
        let only: Option<NodeId> = args.next_pos().map(str::parse).transpose()?;
        let mut output = String::new();
        for (id, machine) in &self.cluster.machines {
            if only.is_some_and(|only| only != *id) {
                continue;
            }
            match name {
                "status" => writeln!(output, "{}", machine.node.status())?,
                "log" => writeln!(output, "{id}: {}", machine.log())?,
                "applied" => writeln!(output, "{id}: {}", machine.commands())?,
                "lease" => match machine.node.lease() {
                    Some(lease) => writeln!(output, "{id}: round {}", lease.round)?,
                    None => writeln!(output, "{id}: none")?,
                },
                _ => {
                    for read in &machine.reads {
                        let context = read.context.escape_ascii();
                        writeln!(output, "{id}: {context} at {}", read.index)?;
                    }
                }
            }
        }
        Ok(output)
    }
}

/// Which messages a command is about: all, unless it says `from=`, `to=` or `kind=`.
struct Selector {
    from: Option<NodeId>,
    to: Option<NodeId>,
    kind: Option<String>,
}

impl Selector {
    fn new(args: &mut ArgumentConsumer<'_>, kind: &str) -> Result<Self, Box<dyn Error>> {
        Ok(Selector {
            from: args.take_key("from").map(str::parse).transpose()?,
            to: args.take_key("to").map(str::parse).transpose()?,
            kind: args.take_key(kind).map(str::to_owned),
        })
    }

    fn has(&self, message: &Message) -> bool {
        let kind = message.body.to_string();
        let kind = kind.split(' ').next().unwrap_or_default().trim_end_matches('?');
        self.from.is_none_or(|from| from == message.from)
            && self.to.is_none_or(|to| to == message.to)
            && self.kind.as_ref().is_none_or(|wanted| wanted.split('/').any(|one| one == kind))
    }
}

fn position(args: &mut ArgumentConsumer<'_>) -> Result<u64, Box<dyn Error>> {
    Ok(args.next_pos().ok_or("a number is missing")?.parse()?)
}

fn set_limit(config: &mut Config, key: &str, value: &str) -> Result<(), Box<dyn Error>> {
    match key {
        "message-bytes" => config.message_bytes_max = value.parse()?,
        "inflight" => config.inflight_messages_max = value.parse()?,
        "pending-bytes" => config.pending_bytes_max = value.parse()?,
        "applying-bytes" => config.applying_bytes_max = value.parse()?,
        "pending-reads" => config.pending_reads_max = value.parse()?,
        "snapshot-ticks" => config.snapshot_ticks_max = value.parse()?,
        _ => return Err(format!("no option {key}").into()),
    }
    Ok(())
}
