//! Counting: what a majority agrees on. Pure functions, no node in sight.
//!
//! Everything Raft guarantees rests on one fact: any two majorities of the same group share a
//! member. The member that helped to commit an entry is therefore among the voters of each later
//! election, and refuses a candidate that lacks it.

/// How many of `members` are a majority. Of none there is no majority, so even an empty group needs
/// one: nothing is ever decided in it.
pub fn majority(members: usize) -> usize {
    members / 2 + 1
}

/// The greatest value that a majority has reached: the commit index, if `values` says for each
/// member up to where its log matches. Zero for an empty group. Reorders the slice.
///
/// ```
/// // Three of five have 7 or more; only two have 8.
/// assert_eq!(raft::quorum::agreed(&mut [9, 3, 7, 8, 5]), 7);
/// ```
pub fn agreed(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    match values.len().checked_sub(majority(values.len())) {
        Some(place) => values[place],
        None => 0,
    }
}

/// The state of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    /// A majority said yes.
    Won,
    /// So many said no that a majority of yes is out of reach.
    Lost,
    /// Neither; wait for more answers.
    Open,
}

/// Counts an election among `members`.
pub fn tally(members: usize, granted: usize, refused: usize) -> Tally {
    if granted >= majority(members) {
        Tally::Won
    } else if members.saturating_sub(refused) < majority(members) {
        Tally::Lost
    } else {
        Tally::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_agrees_on_the_middle_value() {
        let table: &[(&[u64], u64)] = &[
            (&[], 0),
            (&[4], 4),
            (&[4, 5], 4),
            (&[4, 5, 6], 5),
            (&[9, 0, 0], 0),
            (&[1, 2, 3, 4], 2),
            (&[9, 3, 7, 8, 5], 7),
        ];
        for (values, want) in table {
            assert_eq!(agreed(&mut values.to_vec()), *want, "{values:?}");
        }
    }

    #[test]
    fn what_is_agreed_is_held_by_a_majority_and_nothing_greater_is() {
        let mut rng = runtime::Rng::new(7);
        for _ in 0..1000 {
            let members = usize::try_from(rng.range(1..8)).unwrap();
            let values: Vec<u64> = (0..members).map(|_| rng.below(6)).collect();
            let index = agreed(&mut values.clone());
            let holders = |index| values.iter().filter(|value| **value >= index).count();
            assert!(holders(index) >= majority(members));
            assert!(holders(index + 1) < majority(members));
        }
    }

    #[test]
    fn elections_are_decided_as_soon_as_they_can_be() {
        use Tally::{Lost, Open, Won};
        let table = [
            ((1, 1, 0), Won),
            ((2, 1, 0), Open),
            ((2, 1, 1), Lost),
            ((3, 2, 0), Won),
            ((3, 1, 1), Open),
            ((3, 1, 2), Lost),
            ((4, 2, 2), Lost),
            ((5, 3, 2), Won),
            ((5, 2, 2), Open),
            ((0, 0, 0), Lost),
        ];
        for ((members, granted, refused), want) in table {
            assert_eq!(tally(members, granted, refused), want, "{members} {granted} {refused}");
        }
    }
}
