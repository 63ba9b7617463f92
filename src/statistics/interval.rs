//! A confidence interval, and Student's for a mean.

use super::{at_least_two, check, check_level, mean, standard_deviation};
use crate::error::Result;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Where the true value is expected, at a confidence `level` between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
    pub level: f64,
}

impl Interval {
    /// Whether `value` is inside, ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// Student's t interval of the mean: `mean +- t * s / sqrt(n)`, `t` being the two-sided quantile with `n - 1` degrees of freedom.
///
/// Source: Student, "The Probable Error of a Mean", Biometrika 6 (1908). It assumes that means of `n` values are about normal; for few and
/// skewed timings [`super::bootstrap`] of the median says more.
///
/// # Errors
/// Fewer than two values, one that is not finite, or a level outside 0 to 1.
pub fn mean_interval(values: &[f64], level: f64) -> Result<Interval> {
    check(values)?;
    check_level(level)?;
    at_least_two(values, "a confidence interval")?;
    let count = values.len() as f64;
    let mean = mean(values)?;
    let half = t_quantile(count - 1.0, 0.5 + level / 2.0) * standard_deviation(values)? / count.sqrt();
    Ok(Interval { low: mean - half, high: mean + half, level })
}

/// The quantile of Student's distribution with `freedom` degrees of freedom.
fn t_quantile(freedom: f64, proportion: f64) -> f64 {
    // `new` refuses only a freedom that is not positive, and callers have two values at least.
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |distribution| distribution.inverse_cdf(proportion))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_agree_with_scipy() {
        // scipy.stats.t.ppf(proportion, freedom)
        for (freedom, proportion, expected) in [
            (1.0, 0.975, 12.706204736174694),
            (2.0, 0.975, 4.302652729749462),
            (7.0, 0.975, 2.364624251592784),
            (9.0, 0.995, 3.249835541592126),
            (29.0, 0.975, 2.045229642132703),
            (199.0, 0.95, 1.6525467461665633),
        ] {
            let found = t_quantile(freedom, proportion);
            assert!((found / expected - 1.0).abs() < 1e-9, "t({freedom}, {proportion}) is {found}, scipy says {expected}");
        }
    }

    #[test]
    fn interval_agrees_with_scipy() {
        // x = [12.1, 11.8, 12.6, 13.9, 12.0, 11.9, 12.2, 12.4]
        // scipy.stats.t.interval(0.95, 7, loc=x.mean(), scale=scipy.stats.sem(x))
        let interval = mean_interval(&[12.1, 11.8, 12.6, 13.9, 12.0, 11.9, 12.2, 12.4], 0.95).unwrap();
        assert!((interval.low - 11.799126632667935).abs() < 1e-9 && (interval.high - 12.925873367332066).abs() < 1e-9, "{interval:?}");
        assert!(interval.contains(12.3625) && !interval.contains(13.0));
    }

    #[test]
    fn equal_values_have_an_interval_of_no_width() {
        assert_eq!(mean_interval(&[2.0, 2.0, 2.0], 0.95).unwrap(), Interval { low: 2.0, high: 2.0, level: 0.95 });
    }

    #[test]
    fn refusals() {
        assert!(mean_interval(&[1.0], 0.95).unwrap_err().to_string().contains("repeat the measurement"));
        assert!(mean_interval(&[1.0, 2.0], 95.0).unwrap_err().to_string().contains("write 0.95"));
    }
}
