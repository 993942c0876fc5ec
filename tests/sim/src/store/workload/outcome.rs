//! What became of an operation.

use std::collections::BTreeMap;

use bytes::Bytes;
use engine::Cf;
use raftstore::{Answer, Command, Done, Header, RegionError, RegionSnapshot, Response};

use super::{
    Computed, LIST_MAX, Operation, UnderWay, Workload, is_list, list_of, name, register_of,
};
use crate::store::Verdict;
use crate::store::check::zones::Moment;
use crate::store::check::{Checks, STORES, answers};
use crate::store::settings::draw;
use crate::store::world::World;

/// Alarms of the workload: an append is to be written back.
pub(crate) const APPENDS: u64 = 1 << 32;

impl Workload {
    pub(super) fn answered(
        &mut self,
        world: &mut World,
        checks: &mut Checks,
        number: u64,
        under_way: UnderWay,
        answer: Answer,
    ) -> Verdict {
        let UnderWay { operation, header, command, store, begun, .. } = under_way;
        world.trace.event(number, || format!("answer to {number}: {answer:?}"));
        let outcome = answer.0;
        match &outcome {
            Ok(done) => {
                world.counts.done += 1;
                answers::check_epoch(header.epoch, &command, done)?;
            }
            Err(RegionError::StaleCommand) => world.counts.unknown += 1,
            Err(_) => world.counts.refused += 1,
        }
        match operation {
            Operation::Write { id, keys, reads } => {
                self.settle_write(checks, id, &keys, &outcome);
                if let Ok(Done::Responses(responses)) = &outcome {
                    let values = responses.get(keys.len()..).unwrap_or_default();
                    self.found_values(checks, &reads, values, begun)?;
                }
            }
            Operation::Read { keys, .. } => match &outcome {
                Ok(Done::Read(snapshot)) => self.found(checks, snapshot, &keys, begun).map(drop)?,
                Ok(Done::Responses(responses)) => match &responses[..] {
                    [Response::Snap(snapshot)] => {
                        self.found(checks, snapshot, &keys, begun).map(drop)?;
                    }
                    values => self.found_values(checks, &keys, values, begun)?,
                },
                Ok(Done::Written | Done::Admin(_)) | Err(_) => {}
            },
            Operation::Look { id, keys } => {
                let lists = match &outcome {
                    Ok(Done::Read(snapshot)) => self.found(checks, snapshot, &keys, begun)?,
                    Ok(_) | Err(_) => BTreeMap::new(),
                };
                if lists.is_empty() || lists.values().any(|list| list.len() >= LIST_MAX) {
                    self.unlatch(store, &keys);
                } else if let Ok(Done::Read(snapshot)) = &outcome {
                    let header = Header { term: snapshot.term, ..header };
                    self.computed.insert(id, Computed { id, store, header, lists });
                    let thinking =
                        draw(&mut self.rng, &(std::time::Duration::ZERO..self.rates.thinking));
                    world.alarm(thinking, APPENDS + id);
                }
            }
            Operation::Append { id, keys } => {
                self.unlatch(store, &keys);
                self.settle_write(checks, id, &keys, &outcome);
                if outcome.is_ok() {
                    world.counts.appends += 1;
                    for key in &keys {
                        checks.lists.appended(*key, id);
                    }
                }
            }
            Operation::Scratch | Operation::Admin => {}
        }
        Ok(())
    }

    fn unlatch(&mut self, store: u64, keys: &[usize]) {
        for key in keys {
            self.latches.remove(&(store, *key));
        }
    }

    fn settle_write(
        &mut self,
        checks: &mut Checks,
        id: u64,
        keys: &[usize],
        outcome: &Result<Done, RegionError>,
    ) {
        let now = self.now();
        for key in keys {
            match outcome {
                Ok(_) => checks.registers.written(*key, id, now),
                Err(error) if error.is_undetermined() => {}
                Err(_) => checks.registers.refused(*key, id),
            }
        }
    }

    /// A read was answered at once.
    pub(super) fn found_locally(
        &mut self,
        world: &mut World,
        checks: &mut Checks,
        header: &Header,
        snapshot: &RegionSnapshot,
        keys: &[usize],
    ) -> Verdict {
        // Nothing else has happened since it was asked for.
        let begun = self.now();
        world.trace.event(begun, || format!("read under a lease by {header:?}: {snapshot:?}"));
        let done = Done::Read(snapshot.clone());
        answers::check_epoch(header.epoch, &Command::Read, &done)?;
        self.found(checks, snapshot, keys, begun).map(drop)
    }

    /// A state was read: answers with the lists among the keys.
    fn found(
        &mut self,
        checks: &mut Checks,
        snapshot: &RegionSnapshot,
        keys: &[usize],
        begun: Moment,
    ) -> Verdict<BTreeMap<usize, Vec<u64>>> {
        let mut values = BTreeMap::new();
        for key in keys {
            let value = snapshot.snapshot.get(Cf::Default, &name(*key));
            let value = value.map_err(|error| STORES.violated(error.to_string()))?;
            values.insert(*key, value);
        }
        self.saw(checks, &values, begun)
    }

    fn found_values(
        &mut self,
        checks: &mut Checks,
        keys: &[usize],
        responses: &[Response],
        begun: Moment,
    ) -> Verdict {
        let mut values = BTreeMap::new();
        for (key, response) in keys.iter().zip(responses) {
            if let Response::Get(value) = response {
                self.read.insert(*key);
                values.insert(*key, value.clone());
            }
        }
        let lists = self.saw(checks, &values, begun)?;
        self.finally.extend(lists);
        Ok(())
    }

    fn saw(
        &mut self,
        checks: &mut Checks,
        values: &BTreeMap<usize, Option<Bytes>>,
        begun: Moment,
    ) -> Verdict<BTreeMap<usize, Vec<u64>>> {
        let now = self.now();
        let mut lists = BTreeMap::new();
        for (key, value) in values {
            checks.registers.read(*key, register_of(*key, value.as_ref()), begun, now)?;
            if is_list(*key) {
                lists.insert(*key, list_of(value.as_ref()));
            }
        }
        checks.lists.read(&lists)?;
        Ok(lists)
    }
}
