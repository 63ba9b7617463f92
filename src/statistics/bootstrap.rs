//! Confidence intervals without a distribution: the bias-corrected and accelerated bootstrap (BCa).
//!
//! Source: B. Efron, "Better Bootstrap Confidence Intervals", JASA 82 (1987); the formulas as in Efron and Tibshirani, "An Introduction to
//! the Bootstrap" (1993), chapter 14. Ties at the estimate count half, as in `scipy.stats.bootstrap`.

use super::summary::{check_proportion, position, quantile_of_sorted, sorted};
use super::{Interval, at_least_two, check, check_level, sum};
use crate::error::{Error, Result};
use crate::interrupt;
use statrs::distribution::{ContinuousCDF, Normal};

/// What is estimated from a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    Mean,
    /// The quantile at a proportion between 0 and 1, as [`super::quantile`] defines it; 0.5 is the median.
    Quantile(f64),
}

/// How often to draw, from which seed, and how sure to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resampling {
    /// Confidence level, between 0 and 1.
    pub level: f64,
    /// Samples drawn. Efron and Tibshirani ask for 1000 at least for an interval; more steady the ends.
    pub resamples: usize,
    pub seed: u64,
}

impl Default for Resampling {
    fn default() -> Self {
        Self { level: 0.95, resamples: 10_000, seed: 0 }
    }
}

/// The interval of a statistic of `values`.
///
/// # Errors
/// Fewer than two values, one that is not finite, a level or proportion outside 0 to 1, or fewer than 100 resamples.
pub fn bootstrap(values: &[f64], statistic: Statistic, resampling: &Resampling) -> Result<Interval> {
    check(values)?;
    check_level(resampling.level)?;
    at_least_two(values, "a bootstrap interval")?;
    if let Statistic::Quantile(proportion) = statistic {
        check_proportion(proportion)?;
    }
    if resampling.resamples < 100 {
        let message = format!("{} resamples say nothing about the ends of an interval: expected 100 at least", resampling.resamples);
        return Err(Error::new(message).remedy("10000 is a good number"));
    }
    let sorted_values = sorted(values);
    let estimate = statistic.of_sorted(&sorted_values);
    let mut random = SplitMix64(resampling.seed);
    let mut sample = vec![0.0; values.len()];
    let mut replicates: Vec<f64> = (0..resampling.resamples)
        .map(|_| {
            interrupt::check()?;
            sample.fill_with(|| sorted_values[random.below(sorted_values.len())]);
            Ok(statistic.of_unsorted(&mut sample))
        })
        .collect::<Result<_>>()?;
    replicates.sort_unstable_by(f64::total_cmp);

    let below = replicates.partition_point(|&replicate| replicate < estimate);
    let not_above = replicates.partition_point(|&replicate| replicate <= estimate);
    let bias = normal().inverse_cdf((below + not_above) as f64 / (2 * replicates.len()) as f64);
    let acceleration = statistic.acceleration(&sorted_values);
    let end = |proportion: f64| {
        let z = normal().inverse_cdf(proportion);
        let corrected = normal().cdf(bias + (bias + z) / (1.0 - acceleration * (bias + z)));
        // All replicates on one side of the estimate make the bias infinite: then the plain percentile is what there is.
        quantile_of_sorted(&replicates, if corrected.is_finite() && bias.is_finite() { corrected } else { proportion })
    };
    let tail = (1.0 - resampling.level) / 2.0;
    Ok(Interval { low: end(tail), high: end(1.0 - tail), level: resampling.level })
}

fn normal() -> Normal {
    Normal::standard()
}

impl Statistic {
    fn of_sorted(self, sorted: &[f64]) -> f64 {
        match self {
            Statistic::Mean => sum(sorted.iter().copied()) / sorted.len() as f64,
            Statistic::Quantile(proportion) => quantile_of_sorted(sorted, proportion),
        }
    }

    /// Reorders `sample`: selecting is linear where sorting is not, and this runs once per resample.
    fn of_unsorted(self, sample: &mut [f64]) -> f64 {
        match self {
            Statistic::Mean => self.of_sorted(sample),
            Statistic::Quantile(proportion) => {
                let (index, fraction) = position(sample.len(), proportion);
                let (_, &mut low, above) = sample.select_nth_unstable_by(index, f64::total_cmp);
                let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
                low + fraction * (high - low)
            }
        }
    }

    /// A sixth of the skewness of the jackknife: the statistic with each value left out in turn, in closed form, since the plain way
    /// is quadratic.
    fn acceleration(self, sorted: &[f64]) -> f64 {
        let others = sorted.len() - 1;
        let without: Vec<f64> = match self {
            Statistic::Mean => {
                let total = sum(sorted.iter().copied());
                sorted.iter().map(|value| (total - value) / others as f64).collect()
            }
            Statistic::Quantile(proportion) => {
                let (index, fraction) = position(others, proportion);
                let at = |position: usize, left_out: usize| sorted[if position < left_out { position } else { position + 1 }];
                let next = (index + 1).min(others - 1);
                (0..sorted.len()).map(|out| at(index, out) + fraction * (at(next, out) - at(index, out))).collect()
            }
        };
        let mean = sum(without.iter().copied()) / without.len() as f64;
        let squares = sum(without.iter().map(|value| (mean - value).powi(2)));
        let cubes = sum(without.iter().map(|value| (mean - value).powi(3)));
        // Equal values have no skewness to speak of.
        if squares > 0.0 { cubes / (6.0 * squares.powf(1.5)) } else { 0.0 }
    }
}

/// Sebastiano Vigna's SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>): ten lines whose output no dependency can change under a
/// published number.
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An index below `count`. The bias of the multiplication (D. Lemire, 2019) is below `count / 2^64`: nothing here.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Step times in ms with a long right tail.
    const SKEWED: [f64; 15] = [5.1, 5.3, 5.0, 5.2, 9.8, 5.4, 5.1, 6.0, 5.5, 5.2, 7.1, 5.3, 5.0, 5.6, 12.4];

    #[test]
    fn generator_gives_the_published_sequence() {
        // The reference C code with x = 1234567.
        let mut random = SplitMix64(1_234_567);
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn intervals_agree_with_scipy() {
        // scipy.stats.bootstrap((x,), np.mean, n_resamples=200000, method="BCa", rng=1), the same for np.median and for
        // lambda a, axis: np.percentile(a, 75, axis=axis). Another generator, so only close.
        let many = Resampling { resamples: 100_000, ..Resampling::default() };
        for (statistic, low, high, tolerance) in [
            (Statistic::Mean, 5.46, 7.8267, 0.03),
            (Statistic::Quantile(0.5), 5.1, 5.6, 1e-9),
            (Statistic::Quantile(0.75), 5.35, 9.8, 1e-9),
        ] {
            let interval = bootstrap(&SKEWED, statistic, &many).unwrap();
            let close = (interval.low - low).abs() < tolerance && (interval.high - high).abs() < tolerance;
            assert!(close, "{statistic:?}: {interval:?}, scipy says {low} to {high}");
        }
    }

    #[test]
    fn same_seed_same_interval() {
        let of_seed = |seed| bootstrap(&SKEWED, Statistic::Mean, &Resampling { seed, ..Resampling::default() }).unwrap();
        assert_eq!(of_seed(7), of_seed(7));
        assert_ne!(of_seed(7), of_seed(8));
    }

    #[test]
    fn closed_jackknife_equals_the_plain_one() {
        let values = sorted(&SKEWED);
        for statistic in [Statistic::Mean, Statistic::Quantile(0.5), Statistic::Quantile(0.9), Statistic::Quantile(1.0)] {
            let without: Vec<f64> = (0..values.len())
                .map(|out| {
                    let rest: Vec<f64> = values.iter().enumerate().filter(|(i, _)| *i != out).map(|(_, v)| *v).collect();
                    statistic.of_sorted(&rest)
                })
                .collect();
            let mean = without.iter().sum::<f64>() / without.len() as f64;
            let squares: f64 = without.iter().map(|v| (mean - v).powi(2)).sum();
            let cubes: f64 = without.iter().map(|v| (mean - v).powi(3)).sum();
            let plain = cubes / (6.0 * squares.powf(1.5));
            assert!((statistic.acceleration(&values) - plain).abs() < 1e-9, "{statistic:?}");
        }
    }

    #[test]
    fn equal_values_and_two_values() {
        let interval = bootstrap(&[4.0; 5], Statistic::Mean, &Resampling::default()).unwrap();
        assert_eq!((interval.low, interval.high), (4.0, 4.0));
        let interval = bootstrap(&[1.0, 2.0], Statistic::Quantile(0.5), &Resampling::default()).unwrap();
        assert!(interval.low >= 1.0 && interval.high <= 2.0 && interval.low < interval.high, "{interval:?}");
    }

    #[test]
    fn refusals() {
        let few = Resampling { resamples: 10, ..Resampling::default() };
        assert!(bootstrap(&SKEWED, Statistic::Mean, &few).unwrap_err().to_string().contains("10000"));
        assert!(bootstrap(&[1.0], Statistic::Mean, &Resampling::default()).is_err());
        assert!(bootstrap(&SKEWED, Statistic::Quantile(50.0), &Resampling::default()).is_err());
    }
}
