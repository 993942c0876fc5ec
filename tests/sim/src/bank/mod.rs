//! A bank over whole stores: transactions on accounts that lie in many regions, while regions are cut,
//! leaders and peers change, and machines and clients die.
//!
//! ```text
//!   Teller ─┐  one transaction each: reads, decides, prewrites, commits; or counts all money
//!   Teller ─┼─► City    the scheduler's map, an oracle, requests that are late or lost
//!   Teller ─┘     │
//!                 ├─► Kv over Slow over Replicated   on store 1, in this life of it
//!                 ├─► Kv over Slow over Replicated   on store 2
//!                 ▼
//!              the world of `store`, with its nemesis, its operators and its checks
//! ```
//!
//! Clients keep the protocol of `storage::txn`, as a driver does: they read as of their start, settle
//! locks by the fate of the primary key, prewrite region by region, commit the primary, and the others at
//! leisure. They are futures, polled in one thread; one that dies is dropped wherever it stands, and its
//! requests may go on without it. Requests and answers take a while, or much longer, and some answers
//! never come; then a client asks the primary key what became of its commit.
//!
//! In the end the world is healed, everybody comes to an end, the locks of the dead are settled, and the
//! money is counted once more. Then the records on the disks are held against what clients did, saw and
//! were told:
//!
//! 1. A transaction is committed on all its keys at one timestamp, or on none, and its client was not told
//!    otherwise.
//! 2. A read saw the newest version that was committed at or before the reader's start.
//! 3. Of two transactions that wrote a key, one was committed before the other one began.
//! 4. No lock is left, and every value that is left belongs to a put.
//! 5. Every snapshot of all accounts showed the same sum.
//!
//! What is left out: the collection of garbage, which the rules would miss, and everything that the world
//! of [`store`](crate::store) leaves out.

mod ask;
mod book;
mod city;
mod rules;
mod slow;
mod teller;
mod time;

use std::rc::Rc;

use bytes::Bytes;
use runtime::Rng;

use self::book::{Book, Transaction};
use self::city::City;
use self::rules::Records;
use self::teller::Teller;
use crate::outcome::{self, Failure};
use crate::store::check::STORES;
use crate::store::simulation::Simulation;
use crate::store::workload::name;
use crate::store::{Property, Violation};

pub use self::book::Counts;

/// Accounts there are at most. A transaction touches up to four.
const ACCOUNTS_MAX: usize = 10;

/// Transactions of one run at most; each of them stays in the book and on the disks.
const TRANSACTIONS_MAX: usize = 400;

/// How many election timeouts clients get in a healed world.
const TIMEOUTS_MAX: u32 = 400;

static ENDS: Property = Property {
    name: "in a healed world every transaction comes to an end",
    source: "a lock can be settled by whoever meets it, and no wake-up is lost",
};

type Verdict<T = ()> = Result<T, Violation>;

/// A run that went well, and what clients did in it.
pub type Run = outcome::Run<Counts>;

/// Runs a seed. A failure tells the last `lines` events.
pub fn run(seed: u64, lines: usize) -> Result<Run, Box<Failure>> {
    outcome::told(lines, |lines| play(seed, lines))
}

fn play(seed: u64, lines: usize) -> Result<Run, Box<Failure>> {
    let failure = |violation, after, story| {
        let replay = format!("make simulate BANK={seed}");
        Box::new(Failure { seed, violation, after, story, replay })
    };
    let begun = Bank::new(seed, lines);
    let mut bank = begun.map_err(|violation| failure(violation, "nothing".into(), Vec::new()))?;
    let judged = outcome::guarded(&STORES, || bank.run());
    let world = bank.simulation.world;
    match judged {
        Ok(counts) => Ok(Run { counts, trace: world.trace.hash() }),
        Err(violation) => {
            let after = format!("{:?}", world.now());
            Err(failure(violation, after, world.into_story()))
        }
    }
}

/// The world of a seed, and all that clients do in it.
struct Bank {
    simulation: Simulation,
    city: Rc<City>,
    rng: Rng,
    accounts: Vec<Bytes>,
    /// How many clients there are at a time.
    tellers: usize,
}

impl Bank {
    fn new(seed: u64, lines: usize) -> Verdict<Self> {
        let mut rng = Rng::new(seed).fork("bank");
        let mut simulation = Simulation::new(seed, lines)?;
        // The registers and lists of whole stores stay at home: their keys are not those of transactions.
        simulation.is_quiet = true;
        let keys = simulation.params.rates.keys.min(ACCOUNTS_MAX);
        let tellers = usize::try_from(rng.range(3..12)).expect("few clients");
        Ok(Bank {
            city: City::new(&simulation.world, rng.fork("city")),
            simulation,
            rng,
            accounts: (0..keys).map(name).collect(),
            tellers,
        })
    }

    fn run(&mut self) -> Verdict<Counts> {
        while self.simulation.world.now() < self.simulation.params.length {
            self.begin_some();
            self.step()?;
        }
        // Meanwhile clients stand still, as if all of them were slow.
        self.simulation.recover()?;
        self.city.is_calm.set(true);
        self.wait_for("comes to an end")?;
        let (sweeper, auditor) = (self.teller(), self.teller());
        self.city.begin(sweeper.sweep(), None);
        self.wait_for("has settled all locks")?;
        self.city.begin(drop_outcome(auditor), None);
        self.wait_for("has counted all money")?;
        self.judge()
    }

    /// One event, and whatever clients make of it.
    fn step(&mut self) -> Verdict {
        self.simulation.step()?;
        self.city.turn(&mut self.simulation.world);
        let violation = self.city.book.borrow_mut().violation.take();
        violation.map_or(Ok(()), Err)
    }

    /// New clients in the place of those that are done.
    fn begin_some(&mut self) {
        let is_full = |city: &City| city.book.borrow().transactions.len() >= TRANSACTIONS_MAX;
        while self.city.clients() < self.tellers && !is_full(&self.city) {
            let teller = self.teller();
            let dies = self.rng.chance(1, 5);
            let polls = dies.then(|| self.rng.below(60));
            if self.rng.chance(1, 4) {
                self.city.begin(drop_outcome(teller), polls);
            } else {
                self.city.begin(teller.transfer(), polls);
            }
        }
    }

    fn teller(&mut self) -> Teller {
        let city = Rc::clone(&self.city);
        let start_ts = city.next_ts();
        let mut book = city.book.borrow_mut();
        let id = book.transactions.len();
        book.transactions.push(Transaction { start_ts, ..Transaction::default() });
        drop(book);
        let rng = self.rng.fork(&format!("teller {id}"));
        Teller { city, rng, accounts: self.accounts.clone(), id, start_ts }
    }

    /// Lets time pass until nobody has anything to do.
    fn wait_for(&mut self, what: &str) -> Verdict {
        let limit = self.city.election * TIMEOUTS_MAX;
        let end = self.simulation.world.now() + limit;
        loop {
            self.step()?;
            if self.city.is_idle() {
                return Ok(());
            }
            ENDS.require(self.simulation.world.now() < end, || {
                let clients = self.city.clients();
                format!("nobody {what} in {limit:?}: {clients} clients wait")
            })?;
        }
    }

    fn judge(&mut self) -> Verdict<Counts> {
        let regions = self.simulation.newest()?;
        let records = Records::read(&self.simulation.world, regions.values())?;
        let book: Book = self.city.book.take();
        let (committed, rolled_back) = records.judge(&book)?;
        Ok(Counts { seeds: 1, committed, rolled_back, ..book.counts })
    }
}

/// An auditor whose answer is in the book.
async fn drop_outcome(auditor: Teller) {
    let _: bool = auditor.audit().await;
}
