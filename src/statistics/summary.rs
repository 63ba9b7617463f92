//! Location and spread of a list of measurements.

use super::{Interval, check, mean_interval};
use crate::error::{Error, Result};

/// What a table says about repeated measurements. All but the count are in the unit of the values.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Summary {
    pub count: usize,
    pub mean: f64,
    /// Of the sample (divisor `count - 1`); `None` for a single value, which has no spread.
    pub std: Option<f64>,
    pub min: f64,
    pub max: f64,
    pub median: f64,
    pub p90: f64,
    pub p99: f64,
    /// Student's t interval of the mean, at 95 %; `None` for a single value.
    pub interval: Option<Interval>,
}

/// Everything a table says about `values`.
///
/// # Errors
/// No values, or one that is not finite.
///
/// # Example
/// ```
/// let summary = caramba::statistics::summary(&[1.0, 2.0, 4.0]).unwrap();
/// assert_eq!((summary.count, summary.median), (3, 2.0));
/// ```
pub fn summary(values: &[f64]) -> Result<Summary> {
    check(values)?;
    let sorted = sorted(values);
    let repeated = values.len() >= 2;
    Ok(Summary {
        count: values.len(),
        mean: mean(values)?,
        std: if repeated { Some(standard_deviation(values)?) } else { None },
        min: sorted[0],
        max: sorted[sorted.len() - 1],
        median: quantile_of_sorted(&sorted, 0.5),
        p90: quantile_of_sorted(&sorted, 0.9),
        p99: quantile_of_sorted(&sorted, 0.99),
        interval: if repeated { Some(mean_interval(values, 0.95)?) } else { None },
    })
}

/// Sum with the rounding errors carried along, so that a million log-probabilities lose nothing.
///
/// Source: A. Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", ZAMM 54 (1974).
pub fn sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut total, mut lost) = (0.0_f64, 0.0);
    for value in values {
        let next = total + value;
        lost += if total.abs() >= value.abs() { (total - next) + value } else { (value - next) + total };
        total = next;
    }
    // After an overflow `lost` is NaN; the infinite total says more.
    if total.is_finite() { total + lost } else { total }
}

/// The arithmetic mean.
///
/// # Errors
/// No values, or one that is not finite.
pub fn mean(values: &[f64]) -> Result<f64> {
    check(values)?;
    Ok(sum(values.iter().copied()) / values.len() as f64)
}

/// The standard deviation of the sample (divisor `n - 1`).
///
/// # Errors
/// Fewer than two values, or one that is not finite.
pub fn standard_deviation(values: &[f64]) -> Result<f64> {
    super::at_least_two(values, "a standard deviation")?;
    let mean = mean(values)?;
    // Two passes: the textbook formula with the sum of squares cancels when the mean is large.
    Ok((sum(values.iter().map(|value| (value - mean).powi(2))) / (values.len() - 1) as f64).sqrt())
}

/// The middle value, or the mean of the two in the middle.
///
/// # Errors
/// No values, or one that is not finite.
pub fn median(values: &[f64]) -> Result<f64> {
    quantile(values, 0.5)
}

/// The value below which a `proportion` (0 to 1) of the values lies, interpolated linearly between neighbours.
///
/// Definition 7 of R. J. Hyndman and Y. Fan, "Sample Quantiles in Statistical Packages", The American Statistician 50 (1996): the
/// default of NumPy and R.
///
/// # Errors
/// No values, one that is not finite, or a proportion outside 0 to 1.
pub fn quantile(values: &[f64], proportion: f64) -> Result<f64> {
    check(values)?;
    check_proportion(proportion)?;
    Ok(quantile_of_sorted(&sorted(values), proportion))
}

pub(super) fn check_proportion(proportion: f64) -> Result<()> {
    if (0.0..=1.0).contains(&proportion) {
        return Ok(());
    }
    Err(Error::new(format!("proportion {proportion} of a quantile is not between 0 and 1")).remedy("write 0.9 for the 90th percentile"))
}

pub(super) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// See [`quantile`]; `sorted` is ascending and not empty.
pub(super) fn quantile_of_sorted(sorted: &[f64], proportion: f64) -> f64 {
    let (index, fraction) = position(sorted.len(), proportion);
    let low = sorted[index];
    let high = sorted[(index + 1).min(sorted.len() - 1)];
    low + fraction * (high - low)
}

/// Where a quantile lies among `count` sorted values: between `index` and `index + 1`, a `fraction` of the way.
pub(super) fn position(count: usize, proportion: f64) -> (usize, f64) {
    let position = (count - 1) as f64 * proportion;
    let index = (position.floor() as usize).min(count - 1);
    (index, position - index as f64)
}

/// The mean of `values`, each counting as often as its weight says: per-block losses by their tokens, for one.
///
/// # Errors
/// No values, one that is not finite, as many weights as values, a negative weight, or weights that sum to zero.
pub fn weighted_mean(values: &[f64], weights: &[f64]) -> Result<f64> {
    check(values)?;
    if values.len() != weights.len() {
        return Err(Error::new(format!("{} values but {} weights: expected one weight a value", values.len(), weights.len())));
    }
    check(weights).map_err(|error| error.at("weights"))?;
    if let Some(index) = weights.iter().position(|&weight| weight < 0.0) {
        return Err(Error::new(format!("weight {index} is {}: expected none below zero", weights[index])));
    }
    let total = sum(weights.iter().copied());
    if total == 0.0 {
        return Err(Error::new("all weights are zero"));
    }
    Ok(sum(values.iter().zip(weights).map(|(value, weight)| value * weight)) / total)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [f64; 8] = [12.1, 11.8, 12.6, 13.9, 12.0, 11.9, 12.2, 12.4];

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-12 * b.abs().max(1.0), "{a} is not {b}");
    }

    #[test]
    fn summary_agrees_with_numpy() {
        // numpy 2: x.mean(), x.std(ddof=1), np.percentile(x, [50, 90, 99])
        let summary = summary(&VALUES).unwrap();
        close(summary.mean, 12.3625);
        close(summary.std.unwrap(), 0.6738747234146291);
        close(summary.median, 12.15);
        close(summary.p90, 12.99);
        close(summary.p99, 13.809);
        assert_eq!((summary.min, summary.max, summary.count), (11.8, 13.9, 8));
    }

    #[test]
    fn one_value_has_no_spread() {
        let summary = summary(&[3.0]).unwrap();
        assert_eq!((summary.std, summary.interval), (None, None));
        assert_eq!((summary.mean, summary.median, summary.p99), (3.0, 3.0, 3.0));
    }

    #[test]
    fn quantiles_at_the_ends() {
        assert_eq!(quantile(&[5.0, 1.0, 3.0], 0.0).unwrap(), 1.0);
        assert_eq!(quantile(&[5.0, 1.0, 3.0], 1.0).unwrap(), 5.0);
        // np.percentile([1, 3, 5, 9], 30) = 2.8
        close(quantile(&[9.0, 5.0, 1.0, 3.0], 0.3).unwrap(), 2.8);
        assert!(quantile(&[1.0], 90.0).unwrap_err().to_string().contains("write 0.9"));
    }

    #[test]
    fn large_means_and_mixed_sizes_do_not_cancel() {
        close(standard_deviation(&[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]).unwrap(), 30.0_f64.sqrt());
        assert_eq!(sum([1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_eq!(sum([f64::MAX, f64::MAX]), f64::INFINITY);
    }

    #[test]
    fn weights_count_tokens() {
        assert_eq!(weighted_mean(&[2.0, 4.0], &[511.0, 0.0]).unwrap(), 2.0);
        assert_eq!(weighted_mean(&[2.0, 4.0], &[3.0, 1.0]).unwrap(), 2.5);
        for weights in [&[1.0][..], &[0.0, 0.0], &[1.0, -1.0], &[1.0, f64::NAN]] {
            assert!(weighted_mean(&[2.0, 4.0], weights).is_err(), "{weights:?}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_refused_with_its_place() {
        assert!(mean(&[]).unwrap_err().to_string().contains("no values"));
        assert!(mean(&[1.0, f64::NAN]).unwrap_err().to_string().starts_with("value 1 of 2 is NaN"));
        assert!(standard_deviation(&[1.0]).unwrap_err().to_string().contains("at least two"));
    }
}
