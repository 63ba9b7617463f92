//! Statistics of measured numbers: a number has a spread.
//!
//! Everything takes `&[f64]`, refuses what is empty or not finite (and says where), and gives the same answer for the same input on
//! every machine: the bootstrap has a generator of its own and a seed. Each definition names its source, since packages differ.

mod bootstrap;
mod hypothesis;
mod interval;
mod outliers;
mod paired;
mod ratio;
mod relation;
mod summary;

pub(crate) use bootstrap::SplitMix64;
pub use bootstrap::{Resampling, Statistic, bootstrap};
pub use hypothesis::{TTest, Wilcoxon, paired_t_test, t_test, wilcoxon};
pub use interval::{Interval, mean_interval};
pub use outliers::{outlier_warning, outliers};
pub use paired::{McNemar, PairedDifference, mcnemar, paired_difference, round_ratio};
pub use ratio::{PairedRatio, paired_ratio};
pub use relation::{Correlation, Line, bin_edges, correlation, histogram, linear_fit, rank_correlation};
pub use summary::{Summary, mean, median, quantile, standard_deviation, sum, summary, weighted_mean};

use crate::error::{Error, Result};

/// Refuses an empty list and values that are not finite.
fn check(values: &[f64]) -> Result<()> {
    if values.is_empty() {
        return Err(Error::new("statistics of no values: expected at least one")
            .remedy("ask values.is_empty() before, or look why nothing was measured"));
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::new(format!("value {index} of {} is {}: expected finite numbers", values.len(), values[index]))
            .remedy("leave that measurement out, and say so beside the result")),
        None => Ok(()),
    }
}

/// Refuses a confidence level that is no proportion, such as `95`.
fn check_level(level: f64) -> Result<()> {
    if level > 0.0 && level < 1.0 {
        return Ok(());
    }
    Err(Error::new(format!("confidence level {level} is not between 0 and 1")).remedy("write 0.95 for 95 %"))
}

fn at_least_two(values: &[f64], what: &str) -> Result<()> {
    if values.len() >= 2 {
        return Ok(());
    }
    Err(Error::new(format!("{what} needs at least two values, found {}", values.len())).remedy("repeat the measurement"))
}
