//! Tests of whether two groups of measurements differ.

use super::{Interval, at_least_two, check, check_level, mean, standard_deviation};
use crate::error::{Error, Result};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// A t-test: how far two means are apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TTest {
    /// The first mean less the second.
    pub difference: f64,
    pub t: f64,
    pub freedom: f64,
    /// Two-sided.
    pub p: f64,
    /// Of the difference.
    pub interval: Interval,
}

/// A signed-rank test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wilcoxon {
    /// The smaller of the sums of ranks of positive and of negative differences.
    pub statistic: f64,
    /// Two-sided.
    pub p: f64,
    /// Pairs that differ.
    pub pairs: usize,
}

/// Up to so many pairs every way of giving them signs is counted.
const EXACT_PAIRS: usize = 50;

/// Welch's t-test of two groups that may differ in number and in spread.
///
/// Source: B. L. Welch, "The generalization of 'Student's' problem when several different population variances are involved", Biometrika 34 (1947).
///
/// # Errors
/// A group of fewer than two values, or of equal ones in both; values that are not finite; a level outside 0 to 1.
pub fn t_test(a: &[f64], b: &[f64], level: f64) -> Result<TTest> {
    for group in [a, b] {
        check(group)?;
        at_least_two(group, "a t-test")?;
    }
    let share = |group: &[f64]| -> Result<f64> { Ok(standard_deviation(group)?.powi(2) / group.len() as f64) };
    let (first, second) = (share(a)?, share(b)?);
    let freedom = (first + second).powi(2) / (first.powi(2) / (a.len() as f64 - 1.0) + second.powi(2) / (b.len() as f64 - 1.0));
    tested(mean(a)? - mean(b)?, (first + second).sqrt(), freedom, level)
}

/// Student's t-test of pairs.
///
/// # Errors
/// As [`t_test`]; lists of different lengths.
pub fn paired_t_test(a: &[f64], b: &[f64], level: f64) -> Result<TTest> {
    let differences = differences(a, b)?;
    at_least_two(&differences, "a t-test")?;
    let count = differences.len() as f64;
    tested(mean(&differences)?, standard_deviation(&differences)? / count.sqrt(), count - 1.0, level)
}

fn tested(difference: f64, error: f64, freedom: f64, level: f64) -> Result<TTest> {
    check_level(level)?;
    if error == 0.0 {
        return Err(Error::new("a t-test of values that are all equal: there is no spread to compare the difference with"));
    }
    let student = StudentsT::new(0.0, 1.0, freedom).map_err(|error| Error::new(error.to_string()))?;
    let t = difference / error;
    let half = student.inverse_cdf(0.5 + level / 2.0) * error;
    let interval = Interval { low: difference - half, high: difference + half, level };
    Ok(TTest { difference, t, freedom, p: 2.0 * student.cdf(-t.abs()), interval })
}

/// Wilcoxon's signed-rank test of pairs: pairs that are equal are left out, equal differences share their ranks.
///
/// For 50 pairs and fewer, p is exact: all ways of giving the ranks their signs are counted, with shared ranks too. For more, it is that of a normal
/// distribution, corrected for ties.
///
/// Source: F. Wilcoxon, "Individual Comparisons by Ranking Methods", Biometrics Bulletin 1 (1945).
///
/// # Errors
/// Lists of different lengths; no pair that differs; values that are not finite.
pub fn wilcoxon(a: &[f64], b: &[f64]) -> Result<Wilcoxon> {
    let mut differences = differences(a, b)?;
    differences.retain(|difference| *difference != 0.0);
    if differences.is_empty() {
        return Err(Error::new("a signed-rank test of pairs that are all equal"));
    }
    let sizes: Vec<f64> = differences.iter().map(|difference| difference.abs()).collect();
    let ranks = ranks(&sizes);
    let all: f64 = ranks.iter().sum();
    let positive: f64 = ranks.iter().zip(&differences).filter(|(_, difference)| **difference > 0.0).map(|(rank, _)| rank).sum();
    let statistic = positive.min(all - positive);
    let pairs = ranks.len();
    let p = if pairs <= EXACT_PAIRS { exact(&ranks, statistic) } else { approximate(&ranks, statistic) };
    Ok(Wilcoxon { statistic, p: p.min(1.0), pairs })
}

/// Twice the share of all signs whose positive ranks sum up to `statistic` at most. Shared ranks are halves: everything is counted twice.
fn exact(ranks: &[f64], statistic: f64) -> f64 {
    let doubled: Vec<usize> = ranks.iter().map(|rank| (rank * 2.0).round() as usize).collect();
    let mut shares = vec![0.0; doubled.iter().sum::<usize>() + 1];
    shares[0] = 1.0;
    for rank in doubled {
        for sum in (0..shares.len()).rev() {
            let with = if sum >= rank { shares[sum - rank] } else { 0.0 };
            shares[sum] = (shares[sum] + with) / 2.0;
        }
    }
    2.0 * shares[..=(statistic * 2.0).round() as usize].iter().sum::<f64>()
}

fn approximate(ranks: &[f64], statistic: f64) -> f64 {
    let mean = ranks.iter().sum::<f64>() / 2.0;
    // The sum of squares has the ties in it.
    let deviation = (ranks.iter().map(|rank| rank * rank).sum::<f64>() / 4.0).sqrt();
    2.0 * Normal::standard().cdf((statistic - mean) / deviation)
}

fn differences(a: &[f64], b: &[f64]) -> Result<Vec<f64>> {
    if a.len() != b.len() {
        return Err(Error::new(format!("{} values and {}: expected pairs", a.len(), b.len())));
    }
    check(a)?;
    check(b)?;
    Ok(a.iter().zip(b).map(|(a, b)| a - b).collect())
}

/// The rank of each value from 1 on; equal ones share the mean of theirs. Differences that are equal on paper count as equal.
pub(super) fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let first = values[order[start]];
        let same = order[start..].iter().take_while(|&&index| (values[index] - first).abs() <= first.abs() * 1e-13).count();
        for &index in &order[start..start + same] {
            ranks[index] = start as f64 + (same as f64 + 1.0) / 2.0;
        }
        start += same;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [f64; 8] = [12.1, 11.8, 12.6, 13.9, 12.0, 11.9, 12.2, 12.4];
    const B: [f64; 6] = [12.9, 12.2, 13.1, 13.6, 12.8, 12.7];
    const C: [f64; 8] = [12.5, 11.9, 12.9, 14.3, 12.0, 12.2, 12.6, 12.3];

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9 * expected.abs().max(1.0), "{found}, scipy says {expected}");
    }

    #[test]
    fn t_tests_agree_with_scipy() {
        // scipy.stats.ttest_ind(A, B, equal_var=False), and its confidence_interval(0.95)
        let found = t_test(&A, &B, 0.95).unwrap();
        near(found.t, -1.7136523135689539);
        near(found.p, 0.11238402120338971);
        near(found.freedom, 11.952257860200369);
        near(found.interval.low, -1.1833372017301305);
        near(found.interval.high, 0.1416705350634626);
        // scipy.stats.ttest_rel(A, C)
        let found = paired_t_test(&A, &C, 0.95).unwrap();
        near(found.t, -3.2107773060570413);
        near(found.p, 0.014842060499958417);
        near(found.interval.low, -0.3907045649365646);
    }

    #[test]
    fn signed_ranks_agree_with_scipy() {
        // scipy.stats.wilcoxon(x, y)
        let x = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30];
        let y = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.15, 1.29];
        let found = wilcoxon(&x, &y).unwrap();
        assert_eq!((found.statistic, found.p, found.pairs), (5.0, 0.0390625, 9));
        // With ties and a pair that is equal: scipy counts all signs too.
        let found = wilcoxon(&A, &C).unwrap();
        assert_eq!((found.statistic, found.p, found.pairs), (1.5, 0.046875, 7));
        // Too many to count all.
        let many = [
            0.646, 1.122, 0.63, -1.003, 1.205, 0.746, -0.237, 0.881, 0.665, 0.594, 0.328, 0.847, -0.436, 0.137, -0.182, 0.899, 0.34, 0.008,
            -0.482, 0.043, 0.308, 0.024, 1.594, 1.307, -2.411, -1.589, 0.125, -0.122, 0.514, 0.517, 2.418, -0.812, -0.078, 2.343, 0.947,
            0.963, -0.214, -1.348, 0.467, 0.409, -0.927, -0.383, 0.228, -0.645, 0.202, 0.395, 0.336, -0.206, 0.894, 1.191, 0.621, -0.518,
            1.032, -0.201, 1.179, -0.772, 1.214, 0.28, -0.949, -0.014,
        ];
        let found = wilcoxon(&many, &[0.0; 60]).unwrap();
        assert_eq!(found.statistic, 585.0);
        near(found.p, 0.015126799117971637);
    }

    #[test]
    fn refusals() {
        assert!(t_test(&[1.0], &B, 0.95).unwrap_err().to_string().contains("at least two values"));
        assert!(t_test(&[1.0, 1.0], &[2.0, 2.0], 0.95).unwrap_err().to_string().contains("no spread"));
        assert!(paired_t_test(&A, &B, 0.95).unwrap_err().to_string().contains("8 values and 6: expected pairs"));
        assert!(wilcoxon(&A, &A).unwrap_err().to_string().contains("all equal"));
    }
}
