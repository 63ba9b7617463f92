//! Comparing two arms that were measured in pairs: in the same rounds, on the same samples, on the same questions. What both share (a warm
//! chip, a hard text) cancels.

use super::bootstrap::SplitMix64;
use super::summary::quantile_of_sorted;
use super::{Interval, PairedRatio, Resampling, check, check_level, mean, median, paired_ratio};
use crate::error::{Error, Result};
use crate::interrupt;
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Normal};

/// Fewer rounds than this say too little of their distribution to draw from it: Student's interval is taken instead.
const BOOTSTRAP_ROUNDS: usize = 10;

/// Resamples between two looks for Ctrl-C.
const CHUNK: usize = 256;

/// How much larger A is than B, round by round: the median of `a[i] / b[i]` with its percentile bootstrap interval over rounds. With fewer
/// than ten rounds the geometric mean and Student's interval of the logarithms, as [`paired_ratio`].
///
/// Source: B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13, of the ratios as one sample.
///
/// # Errors
/// As [`paired_ratio`]; Ctrl-C.
pub fn round_ratio(a: &[f64], b: &[f64], resampling: &Resampling) -> Result<PairedRatio> {
    let plain = paired_ratio(a, b, resampling.level)?;
    if a.len() < BOOTSTRAP_ROUNDS {
        return Ok(plain);
    }
    let ratios: Vec<f64> = a.iter().zip(b).map(|(a, b)| a / b).collect();
    let mut sample = vec![0.0; ratios.len()];
    let interval = percentiles(resampling, |random| {
        sample.fill_with(|| ratios[random.below(ratios.len())]);
        middle(&mut sample)
    })?;
    Ok(PairedRatio { ratio: median(&ratios)?, interval: Some(interval), pairs: ratios.len() })
}

/// The mean of `a[i] - b[i]` and its percentile bootstrap interval over the samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedDifference {
    pub difference: f64,
    /// `None` where there are fewer than two things to draw from.
    pub interval: Option<Interval>,
    pub pairs: usize,
}

impl PairedDifference {
    /// Whether the interval leaves 0 out. A single pair never says so.
    pub fn differs(&self) -> bool {
        self.interval.is_some_and(|interval| !interval.contains(0.0))
    }
}

/// How much larger A is than B on the same samples. `group` neighbours are drawn together: samples that overlap (windows whose stride is
/// shorter than they are) know of each other, and are no independent witnesses.
///
/// Source: the block bootstrap of H. R. Künsch, "The jackknife and the bootstrap for general stationary observations", Annals of Statistics
/// 17 (1989), with blocks that do not overlap.
///
/// # Errors
/// No samples, unequal numbers of them, a value that is not finite, a level outside 0 to 1; Ctrl-C.
pub fn paired_difference(a: &[f64], b: &[f64], group: usize, resampling: &Resampling) -> Result<PairedDifference> {
    check_level(resampling.level)?;
    if a.len() != b.len() {
        return Err(Error::new(format!("{} samples of A but {} of B: expected pairs", a.len(), b.len())));
    }
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    check(&differences)?;
    let groups: Vec<(f64, usize)> = differences.chunks(group.max(1)).map(|chunk| (chunk.iter().sum(), chunk.len())).collect();
    let interval = if groups.len() < 2 {
        None
    } else {
        Some(percentiles(resampling, |random| {
            let (mut sum, mut count) = (0.0, 0);
            for _ in 0..groups.len() {
                let (total, members) = groups[random.below(groups.len())];
                sum += total;
                count += members;
            }
            sum / count as f64
        })?)
    };
    Ok(PairedDifference { difference: mean(&differences)?, interval, pairs: differences.len() })
}

/// Two ways of answering the same questions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct McNemar {
    /// The share that A has right, less that of B.
    pub difference: f64,
    pub interval: Interval,
    /// How likely so unequal a split of the questions on which they differ is, if both are equally good: the exact two-sided binomial test.
    pub p: f64,
    /// Right by A alone, and by B alone.
    pub only: [usize; 2],
    pub pairs: usize,
}

/// McNemar's exact test, with the adjusted Wald interval of the difference.
///
/// Sources: Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages", Psychometrika 12
/// (1947); D. G. Bonett and R. M. Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data",
/// Journal of Educational and Behavioral Statistics 37 (2012).
///
/// # Errors
/// No questions, unequal numbers of them, a level outside 0 to 1.
pub fn mcnemar(a: &[bool], b: &[bool], level: f64) -> Result<McNemar> {
    check_level(level)?;
    if a.len() != b.len() || a.is_empty() {
        return Err(Error::new(format!("{} answers of A and {} of B: expected pairs", a.len(), b.len())));
    }
    let only = |mine: &[bool], other: &[bool]| mine.iter().zip(other).filter(|(mine, other)| **mine && !**other).count();
    let (first, second, pairs) = (only(a, b), only(b, a), a.len());
    let differ = first + second;
    let p = match Binomial::new(0.5, differ as u64) {
        Ok(binomial) if differ > 0 => (2.0 * binomial.cdf(first.min(second) as u64)).min(1.0),
        _ => 1.0,
    };
    let all = pairs as f64 + 2.0;
    let [one, two] = [first, second].map(|count| (count as f64 + 1.0) / all);
    let centre = one - two;
    let half = Normal::standard().inverse_cdf(0.5 + level / 2.0) * ((one + two - centre * centre) / all).sqrt();
    Ok(McNemar {
        difference: (first as f64 - second as f64) / pairs as f64,
        interval: Interval { low: (centre - half).max(-1.0), high: (centre + half).min(1.0), level },
        p,
        only: [first, second],
        pairs,
    })
}

/// The percentile interval of so many draws.
fn percentiles(resampling: &Resampling, mut draw: impl FnMut(&mut SplitMix64) -> f64) -> Result<Interval> {
    let mut random = SplitMix64(resampling.seed);
    let mut replicates = Vec::with_capacity(resampling.resamples);
    for index in 0..resampling.resamples.max(100) {
        if index % CHUNK == 0 {
            interrupt::check()?;
        }
        replicates.push(draw(&mut random));
    }
    replicates.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - resampling.level) / 2.0;
    let end = |proportion| quantile_of_sorted(&replicates, proportion);
    Ok(Interval { low: end(tail), high: end(1.0 - tail), level: resampling.level })
}

/// The median; reorders `values`, of which there is one at least.
fn middle(values: &mut [f64]) -> f64 {
    let (half, even) = (values.len() / 2, values.len().is_multiple_of(2));
    let (below, &mut upper, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    if !even {
        return upper;
    }
    let lower = below.iter().copied().max_by(f64::total_cmp).unwrap_or(upper);
    f64::midpoint(lower, upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_drift_cancels() {
        // Rounds become slower and slower; A takes a tenth longer in each.
        let b: Vec<f64> = (0..20).map(|round| 10.0 + f64::from(round)).collect();
        let a: Vec<f64> = b.iter().enumerate().map(|(round, b)| b * (1.1 + 0.002 * (round % 3) as f64)).collect();
        let found = round_ratio(&a, &b, &Resampling::default()).unwrap();
        let interval = found.interval.unwrap();
        assert!(found.differs() && interval.low >= 1.1 && interval.high <= 1.105, "{found:?}");
        assert_eq!(found, round_ratio(&a, &b, &Resampling::default()).unwrap());
        // Few rounds have Student's interval.
        assert_eq!(round_ratio(&a[..9], &b[..9], &Resampling::default()).unwrap(), paired_ratio(&a[..9], &b[..9], 0.95).unwrap());
    }

    #[test]
    fn medians_agree_with_the_plain_one() {
        for values in [vec![3.0], vec![3.0, 1.0], vec![5.0, 1.0, 4.0], vec![4.0, 1.0, 3.0, 9.0]] {
            assert_eq!(middle(&mut values.clone()), median(&values).unwrap(), "{values:?}");
        }
    }

    #[test]
    fn pairs_show_what_separate_intervals_hide() {
        // Texts differ by whole nats, the two models by two hundredths.
        let b: Vec<f64> = (0..30).map(|text| 3.0 + 0.1 * f64::from(text % 10)).collect();
        let a: Vec<f64> = b.iter().enumerate().map(|(text, loss)| loss + 0.02 + 0.001 * (text % 7) as f64).collect();
        let found = paired_difference(&a, &b, 1, &Resampling::default()).unwrap();
        assert!(found.differs() && (found.difference - 0.023).abs() < 0.001, "{found:?}");
        // Drawn ten at a time there are three witnesses, and a wider interval.
        let wide = paired_difference(&a, &b, 10, &Resampling::default()).unwrap();
        assert_eq!(wide.difference, found.difference);
        assert_eq!(paired_difference(&a, &b, 30, &Resampling::default()).unwrap().interval, None);
        assert!(paired_difference(&a, &b[1..], 1, &Resampling::default()).is_err());
    }

    #[test]
    fn mcnemar_agrees_with_scipy() {
        // scipy.stats.binomtest(2, 12, 0.5).pvalue = 0.03857421875, of 50 questions: 10 right by A alone, 2 by B alone.
        let answers = |alone: std::ops::Range<usize>| (0..50).map(|index| index >= 12 || alone.contains(&index)).collect::<Vec<_>>();
        let found = mcnemar(&answers(0..10), &answers(10..12), 0.95).unwrap();
        assert!((found.p - 0.038_574_218_75).abs() < 1e-12, "{found:?}");
        assert_eq!((found.difference, found.only, found.pairs), (0.16, [10, 2], 50));
        // (11 - 3) / 52 -+ 1.959964 * sqrt((14 / 52 - (8 / 52)^2) / 52)
        assert!((found.interval.low - 0.019_1).abs() < 1e-3 && (found.interval.high - 0.288_6).abs() < 1e-3, "{found:?}");
        let same = mcnemar(&answers(0..10), &answers(0..10), 0.95).unwrap();
        assert_eq!((same.p, same.difference), (1.0, 0.0));
        assert!(mcnemar(&[], &[], 0.95).is_err());
    }
}
