//! Who leads: alone, this scheduler and nobody else; together with others, whoever holds a lease.
//!
//! A leader knows until when it leads. It asks *after* it has made an answer and before it gives it, so
//! that a process that was stopped in between (SIGSTOP, a swap storm, a suspended machine) finds its
//! time over and gives nothing.

use std::sync::{PoisonError, RwLock};

use proto::schedulerpb::Member;
use runtime::clock::Instant;

/// The members, and who of them leads.
#[derive(Debug)]
pub struct Membership {
    me: Member,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    members: Vec<Member>,
    leader: Option<Member>,
    /// Until when we lead, if we do.
    term: Term,
}

/// For how long this process leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// Not at all.
    None,
    /// Until this moment, unless it is prolonged.
    Until(Instant),
    /// As long as it lives: there is nobody else.
    Endless,
}

impl Membership {
    /// A scheduler that is not alone, and does not lead.
    pub fn new(me: Member) -> Self {
        let state = State { members: vec![me.clone()], leader: None, term: Term::None };
        Membership { me, state: RwLock::new(state) }
    }

    /// This scheduler.
    pub fn me(&self) -> &Member {
        &self.me
    }

    /// All members that are known.
    pub fn members(&self) -> Vec<Member> {
        self.read().members.clone()
    }

    /// Who leads, as far as is known.
    pub fn leader(&self) -> Option<Member> {
        self.read().leader.clone()
    }

    /// Whether this process leads at `now`.
    pub fn leads(&self, now: Instant) -> bool {
        match self.read().term {
            Term::None => false,
            Term::Until(end) => now < end,
            Term::Endless => true,
        }
    }

    /// We lead for this term; or do not any more.
    pub fn lead(&self, term: Term) {
        let mut state = self.write();
        state.term = term;
        state.leader = (term != Term::None).then(|| self.me.clone());
    }

    /// Somebody else leads, or nobody.
    pub fn follow(&self, leader: Option<Member>) {
        let mut state = self.write();
        state.term = Term::None;
        state.leader = leader;
    }

    /// These are the members.
    pub fn set_members(&self, members: Vec<Member>) {
        self.write().members = members;
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_term_ends_by_itself() {
        let me = Member { name: "me".to_owned(), ..Member::default() };
        let membership = Membership::new(me.clone());
        let at = |seconds| Instant::from_start(Duration::from_secs(seconds));
        assert!(!membership.leads(at(0)) && membership.leader().is_none());
        membership.lead(Term::Until(at(3)));
        assert!(membership.leads(at(2)) && !membership.leads(at(3)));
        assert_eq!(membership.leader(), Some(me));
        membership.follow(None);
        assert!(!membership.leads(at(0)) && membership.leader().is_none());
        membership.lead(Term::Endless);
        assert!(membership.leads(at(1_000_000)));
    }
}
