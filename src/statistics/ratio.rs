//! Comparing A with B when their runs are paired: measured in turn, under the same conditions.

use super::{Interval, at_least_two, mean, mean_interval};
use crate::error::{Error, Result};

/// How much larger A is than B.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct PairedRatio {
    /// The geometric mean of `a[i] / b[i]`: above 1 where A is larger. That of B to A is its inverse, which no other mean of ratios
    /// gives.
    pub ratio: f64,
    /// `None` for a single pair.
    pub interval: Option<Interval>,
    pub pairs: usize,
}

impl PairedRatio {
    /// Whether the interval leaves 1 out: A and B differ by more than their spread explains. A single pair never says so.
    pub fn differs(&self) -> bool {
        self.interval.is_some_and(|interval| !interval.contains(1.0))
    }
}

/// The ratio of paired runs: the mean of the logarithms of `a[i] / b[i]` with Student's t interval, and back.
///
/// Sources: P. J. Fleming and J. J. Wallace, "How not to lie with statistics: the correct way to summarize benchmark results", CACM 29
/// (1986), on the geometric mean; pairing cancels what both runs share (heat, clocks, load), which two separate intervals would count as
/// spread.
///
/// # Errors
/// No pairs, unequal lengths, a value that is not positive and finite, or a level outside 0 to 1.
///
/// # Example
/// ```
/// let ratio = caramba::statistics::paired_ratio(&[10.2, 11.1, 9.9], &[5.0, 5.6, 5.0], 0.95).unwrap();
/// assert!(ratio.differs() && (ratio.ratio - 2.0).abs() < 0.02);
/// ```
pub fn paired_ratio(a: &[f64], b: &[f64], level: f64) -> Result<PairedRatio> {
    super::check_level(level)?;
    if a.len() != b.len() {
        return Err(Error::new(format!("{} runs of A but {} of B: expected pairs", a.len(), b.len())));
    }
    for (name, values) in [("A", a), ("B", b)] {
        super::check(values).map_err(|error| error.at(name))?;
        if let Some(index) = values.iter().position(|&value| value <= 0.0) {
            return Err(Error::new(format!("value {index} is {}: a ratio needs values above zero", values[index])).at(name));
        }
    }
    let logs: Vec<f64> = a.iter().zip(b).map(|(a, b)| a.ln() - b.ln()).collect();
    let interval = match at_least_two(&logs, "an interval") {
        Ok(()) => {
            let Interval { low, high, level } = mean_interval(&logs, level)?;
            Some(Interval { low: low.exp(), high: high.exp(), level })
        }
        Err(_) => None,
    };
    Ok(PairedRatio { ratio: mean(&logs)?.exp(), interval, pairs: a.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [f64; 5] = [10.2, 11.1, 9.9, 10.4, 10.8];
    const B: [f64; 5] = [9.7, 10.8, 9.1, 9.9, 10.1];

    #[test]
    fn ratio_agrees_with_scipy() {
        // l = np.log(a / b); np.exp(l.mean()), np.exp(scipy.stats.t.interval(0.95, 4, l.mean(), scipy.stats.sem(l)))
        let found = paired_ratio(&A, &B, 0.95).unwrap();
        let interval = found.interval.unwrap();
        for (found, expected) in
            [(found.ratio, 1.0572176327918266), (interval.low, 1.0296181781966085), (interval.high, 1.0855569052244567)]
        {
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        }
        assert!(found.differs());
    }

    #[test]
    fn the_other_way_round_is_the_inverse() {
        let (forth, back) = (paired_ratio(&A, &B, 0.9).unwrap(), paired_ratio(&B, &A, 0.9).unwrap());
        assert!((forth.ratio * back.ratio - 1.0).abs() < 1e-12);
        assert!((forth.interval.unwrap().low * back.interval.unwrap().high - 1.0).abs() < 1e-12);
    }

    #[test]
    fn one_pair_has_a_ratio_and_no_verdict() {
        let found = paired_ratio(&[2.0], &[1.0], 0.95).unwrap();
        assert_eq!((found.interval, found.pairs, found.differs()), (None, 1, false));
        assert!((found.ratio - 2.0).abs() < 1e-12);
    }

    #[test]
    fn refusals_say_which_side() {
        assert!(paired_ratio(&A, &B[..4], 0.95).unwrap_err().to_string().contains("5 runs of A but 4 of B"));
        assert!(paired_ratio(&[1.0, 1.0], &[1.0, 0.0], 0.95).unwrap_err().to_string().starts_with("B: value 1 is 0"));
        assert!(paired_ratio(&[], &[], 0.95).is_err());
    }
}
