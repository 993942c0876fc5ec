//! The cluster as it is: threads, RocksDB in temporary folders, and the clock on the wall.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{Engines, OpenMode};
use proto::StoreId;
use proto::raft_serverpb::RaftMessage;
use raftstore::{Answer, Command, Header, LocalRead, Node};
use runtime::clock::{Clock, Instant, SystemClock};
use runtime::metrics::Metrics;
use runtime::reply::Reply;
use runtime::units::Bytes;
use runtime::worker::{Alarm, Runner, Worker};

use crate::backend::{Backend, Ground, Medium};
use crate::network::{Carrier, Network};
use crate::tasks::Bell;

/// Stores with threads.
pub(crate) struct Real {
    ground: Rc<Ground>,
    bell: Arc<Bell>,
    nodes: RefCell<BTreeMap<StoreId, Node>>,
    /// How often each store was started.
    starts: RefCell<BTreeMap<StoreId, u64>>,
    /// What a thread said that panicked.
    panicked: Arc<Mutex<Option<String>>>,
    alarm: Alarm,
    courier: Option<Worker>,
    began: Instant,
}

/// Copies the files of snapshots, so that no store waits for them.
struct Courier(Arc<Network>);

impl Runner for Courier {
    type Task = RaftMessage;

    fn run(&mut self, message: RaftMessage) {
        self.0.deliver(message);
    }
}

/// Snapshots that wait to be copied; more are refused, and wished for again.
const FILES_WAITING: usize = 64;

const UNPOISONED: &str = "no thread panics while it tells of a panic";

/// Opens the engines of a store, with little memory, because five stores share a machine.
pub(crate) fn open(home: &Path) -> Medium {
    let config = engine::Config {
        block_cache: Bytes::mib(8),
        background_jobs: 2,
        ..engine::Config::default()
    };
    let engines = Engines::open(home, &config, OpenMode::CreateIfMissing);
    Medium::Files(engines.expect("a new folder can be opened"))
}

impl Real {
    /// A cluster of which no store runs yet.
    pub(crate) fn new(ground: Rc<Ground>, bell: Arc<Bell>) -> Self {
        let panicked = Arc::new(Mutex::new(None));
        let (told, rung) = (Arc::clone(&panicked), Arc::clone(&bell));
        let alarm = Alarm::new(move |panic| {
            told.lock().expect(UNPOISONED).get_or_insert(panic.to_string());
            rung.ring();
        });
        let courier = Courier(Arc::clone(&ground.network));
        let (files, courier) =
            Worker::spawn("courier", FILES_WAITING, &alarm, courier).expect("a thread starts");
        ground.network.set_carrier(Carrier::Sender(files));
        Real {
            ground,
            bell,
            nodes: RefCell::default(),
            starts: RefCell::default(),
            panicked,
            alarm,
            courier: Some(courier),
            began: SystemClock.now(),
        }
    }
}

impl Backend for Real {
    fn now(&self) -> Duration {
        SystemClock.now().since(self.began)
    }

    fn pass(&self, until: Duration) {
        self.bell.wait(until.saturating_sub(self.now()));
        if let Some(panic) = self.panicked.lock().expect(UNPOISONED).take() {
            panic!("a store has panicked: {panic}");
        }
    }

    fn start(&self, store: StoreId) {
        let turn =
            *self.starts.borrow_mut().entry(store).and_modify(|turn| *turn += 1).or_default();
        let (setup, snapshots) = self.ground.setup(store, turn, Arc::new(SystemClock));
        let node =
            Node::start(setup, &self.alarm, &Metrics::new("unread")).expect("the store starts");
        self.ground.connect(node.router(), snapshots);
        self.nodes.borrow_mut().insert(store, node);
    }

    fn stop(&self, store: StoreId) {
        self.ground.disconnect(store);
        let node = self.nodes.borrow_mut().remove(&store).expect("it runs");
        node.stop().expect("a store stops without an error");
    }

    fn command(&self, store: StoreId, header: Header, command: Command, reply: Reply<Answer>) {
        self.nodes.borrow()[&store].router().command(header, command, reply);
    }

    fn read(&self, store: StoreId, header: &Header) -> LocalRead {
        self.nodes.borrow()[&store].router().read(header)
    }
}

impl Drop for Real {
    /// Also after a failure no thread is left, so that the folders can go.
    fn drop(&mut self) {
        for (store, node) in self.nodes.take() {
            self.ground.disconnect(store);
            drop(node.stop());
        }
        self.ground.network.set_carrier(Carrier::Backend);
        if let Some(courier) = self.courier.take() {
            drop(courier.join());
        }
    }
}
