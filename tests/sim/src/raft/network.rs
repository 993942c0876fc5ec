//! The network: what is on its way, and what becomes of it.
//!
//! Each ordered pair of machines is a link of its own, because real networks fail one way at a time.
//! A link may lose, repeat and reorder; it may be *cut* (everything is lost) or *clogged* (everything
//! waits, and arrives when it is stale). Beside the links a few messages are kept for ever, so that
//! some arrive after everybody has forgotten about them.

use std::collections::VecDeque;

use raft::{Message, NodeId};
use runtime::Rng;

use super::machine::{MACHINES_MAX, slot};
use super::params::Params;

/// Messages that wait on one link. More are lost, as in any transport with a limit.
const LINK_MAX: usize = 96;

/// Messages that are kept to arrive much later.
const KEPT_MAX: usize = 32;

#[derive(Default)]
struct Link {
    queue: VecDeque<Message>,
    is_cut: bool,
    is_clogged: bool,
    /// Where it stands in `ready`.
    place: Option<usize>,
}

/// All links.
pub(crate) struct Network {
    links: Vec<Link>,
    /// Links that could deliver something now.
    ready: Vec<usize>,
    kept: Vec<Message>,
}

/// What happened to the message that was due.
pub(crate) enum Fate {
    /// It arrives.
    Arrives(Message),
    /// It got lost.
    Lost(Message),
}

impl Network {
    pub(crate) fn new() -> Self {
        let links = std::iter::repeat_with(Link::default).take(MACHINES_MAX * MACHINES_MAX);
        Network { links: links.collect(), ready: Vec::new(), kept: Vec::new() }
    }

    /// Puts `message` on its way.
    pub(crate) fn send(&mut self, message: Message) {
        let number = link(slot(message.from), slot(message.to));
        let link = &mut self.links[number];
        if link.is_cut {
            return;
        }
        if link.queue.len() >= LINK_MAX {
            link.queue.pop_front();
        }
        link.queue.push_back(message);
        self.settle(number);
    }

    /// The next message that is due on some link.
    pub(crate) fn take(&mut self, rng: &mut Rng, params: &Params) -> Option<Fate> {
        let number = *rng.pick(&self.ready)?;
        let link = &mut self.links[number];
        let window = (link.queue.len() as u64).min(params.reorder_window);
        let place = usize::try_from(rng.below(window)).expect("a window is small");
        let message = link.queue.remove(place).expect("a ready link has messages");
        // One draw decides both, in hundredths.
        let dice = rng.below(10_000);
        let (loss, repeat) = (dice / 100, dice % 100);
        let is_lost = link.is_cut || loss < params.loss_percent;
        if !is_lost && repeat < params.duplicate_percent {
            link.queue.push_back(message.clone());
            if repeat % 4 == 0 {
                self.keep(rng, message.clone());
            }
        }
        self.settle(number);
        Some(if is_lost { Fate::Lost(message) } else { Fate::Arrives(message) })
    }

    fn keep(&mut self, rng: &mut Rng, message: Message) {
        if self.kept.len() < KEPT_MAX {
            self.kept.push(message);
        } else {
            let place = usize::try_from(rng.below(KEPT_MAX as u64)).expect("few are kept");
            self.kept[place] = message;
        }
    }

    /// A message that was delivered once already, some time ago.
    pub(crate) fn take_kept(&mut self, rng: &mut Rng) -> Option<Message> {
        rng.pick(&self.kept).cloned()
    }

    /// Cuts or mends one direction between two machines.
    pub(crate) fn set_cut(&mut self, from: usize, to: usize, is_cut: bool) {
        self.links[link(from, to)].is_cut = is_cut;
    }

    /// Clogs or opens all links of a machine.
    pub(crate) fn set_clogged(&mut self, machine: usize, is_clogged: bool) {
        for other in 0..MACHINES_MAX {
            for number in [link(machine, other), link(other, machine)] {
                self.links[number].is_clogged = is_clogged;
                self.settle(number);
            }
        }
    }

    /// Mends all that is broken. What is on its way stays so.
    pub(crate) fn heal(&mut self) {
        for number in 0..self.links.len() {
            self.links[number].is_cut = false;
            self.links[number].is_clogged = false;
            self.settle(number);
        }
    }

    /// A machine is gone for good, and with it everything that was meant for it.
    pub(crate) fn forget(&mut self, id: NodeId) {
        for other in 0..MACHINES_MAX {
            let number = link(other, slot(id));
            self.links[number].queue.clear();
            self.settle(number);
        }
    }

    /// Keeps `ready` in step with the link.
    fn settle(&mut self, number: usize) {
        let link = &mut self.links[number];
        let is_ready = !link.is_clogged && !link.queue.is_empty();
        match (is_ready, link.place) {
            (true, None) => {
                link.place = Some(self.ready.len());
                self.ready.push(number);
            }
            (false, Some(place)) => {
                link.place = None;
                self.ready.swap_remove(place);
                if let Some(moved) = self.ready.get(place) {
                    self.links[*moved].place = Some(place);
                }
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
}

fn link(from: usize, to: usize) -> usize {
    from * MACHINES_MAX + to
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft::Body;

    fn message(from: NodeId, to: NodeId, round: u64) -> Message {
        Message { from, to, term: 1, body: Body::HeartbeatResponse { round } }
    }

    fn quiet() -> Params {
        let mut params = Params::draw(&mut Rng::new(1), 0);
        (params.loss_percent, params.duplicate_percent, params.reorder_window) = (0, 0, 1);
        params
    }

    fn take(network: &mut Network, params: &Params) -> Option<Message> {
        match network.take(&mut Rng::new(2), params)? {
            Fate::Arrives(message) => Some(message),
            Fate::Lost(_) => None,
        }
    }

    #[test]
    fn a_clogged_link_keeps_and_a_cut_one_loses() {
        let mut network = Network::new();
        network.send(message(1, 2, 1));
        network.set_clogged(1, true);
        assert_eq!(take(&mut network, &quiet()), None);
        network.set_clogged(1, false);
        assert_eq!(take(&mut network, &quiet()), Some(message(1, 2, 1)));
        network.set_cut(0, 1, true);
        network.send(message(1, 2, 2));
        network.send(message(2, 1, 3));
        assert_eq!(take(&mut network, &quiet()), Some(message(2, 1, 3)));
        assert_eq!(take(&mut network, &quiet()), None);
    }

    #[test]
    fn what_arrives_twice_arrives_later_again() {
        let mut network = Network::new();
        network.send(message(1, 2, 1));
        let mut params = quiet();
        params.duplicate_percent = 100;
        assert_eq!(take(&mut network, &params), Some(message(1, 2, 1)));
        assert_eq!(take(&mut network, &quiet()), Some(message(1, 2, 1)));
        assert_eq!(take(&mut network, &quiet()), None);
    }

    #[test]
    fn a_link_has_a_limit() {
        let mut network = Network::new();
        (0..=LINK_MAX as u64).for_each(|round| network.send(message(1, 2, round)));
        assert_eq!(take(&mut network, &quiet()), Some(message(1, 2, 1)), "the oldest is lost");
    }
}
