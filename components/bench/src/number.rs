//! Between counts and fractions: what is measured is rounded anyway.

/// A count as a fraction; exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "what is printed has far fewer digits")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// The whole part of a fraction; zero for what is below zero or no number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion saturates, which is what is wanted"
)]
pub(crate) fn whole(fraction: f64) -> u64 {
    fraction as u64
}

/// Rounded to one digit behind the point, as it stands in results.
pub(crate) fn tenths(fraction: f64) -> f64 {
    (fraction * 10.0).round() / 10.0
}

/// The middle of some values, the least and the most; of none, zeros.
pub(crate) fn spread(values: impl IntoIterator<Item = f64>) -> Spread {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    let last = sorted.len().saturating_sub(1);
    Spread {
        median: f64::midpoint(at(last / 2), at(last.div_ceil(2))),
        least: at(0),
        most: at(last),
    }
}

/// What several rounds of one thing came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_an_even_number_of_rounds_lies_between_two() {
        let of = |values: &[f64]| spread(values.iter().copied());
        assert_eq!(of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), Spread { median: 2.5, least: 1.0, most: 4.0 });
        assert_eq!(of(&[7.0]), Spread { median: 7.0, least: 7.0, most: 7.0 });
        assert_eq!(of(&[]), Spread::default());
    }
}
