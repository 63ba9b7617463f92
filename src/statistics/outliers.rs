//! Measurements that another program disturbed: found, told, and never dropped silently.

use super::summary::{quantile_of_sorted, sorted};
use super::{check, mean};
use crate::error::Result;

/// Modified Z-scores beyond this are outliers. hyperfine's threshold: 1.4826 (which makes the median absolute deviation estimate a
/// standard deviation) times ten, so that only gross disturbances are told.
const THRESHOLD: f64 = 14.826;

const ADVICE: &str = "was another program busy? A quiet machine or more runs would tell";

/// The indices of values far from the median, by their modified Z-score `(value - median) / MAD`.
///
/// Sources: B. Iglewicz and D. C. Hoaglin, "How to Detect and Handle Outliers" (1993); hyperfine, `outlier_detection.rs`. Where more than half the
/// values are equal, the MAD is zero and the mean absolute deviation takes its place (times sqrt(pi/2) / 1.4826, as for a normal sample).
///
/// # Errors
/// No values, or one that is not finite.
pub fn outliers(values: &[f64]) -> Result<Vec<usize>> {
    check(values)?;
    let center = quantile_of_sorted(&sorted(values), 0.5);
    let deviations: Vec<f64> = values.iter().map(|value| (value - center).abs()).collect();
    let mut scale = quantile_of_sorted(&sorted(&deviations), 0.5);
    if scale == 0.0 {
        scale = mean(&deviations)? * (std::f64::consts::FRAC_PI_2.sqrt() / 1.4826);
    }
    Ok((0..values.len()).filter(|&index| deviations[index] > THRESHOLD * scale).collect())
}

/// A sentence for the user when measurements are disturbed; `None` when all is well. `what` names them: "decode times".
///
/// # Errors
/// As [`outliers`].
pub fn outlier_warning(what: &str, values: &[f64]) -> Result<Option<String>> {
    let found = outliers(values)?;
    Ok(match found[..] {
        [] => None,
        // The same advice as hyperfine's: a slow first run is a cache or a compilation, anything else is another program.
        [0] => Some(format!(
            "the first of {} {what} is far from the rest ({} against a median of {}): more warm-up would keep it out",
            values.len(),
            short(values[0]),
            short(super::median(values)?),
        )),
        [_] => Some(format!("1 of {} {what} is an outlier: {ADVICE}", values.len())),
        _ => Some(format!("{} of {} {what} are outliers: {ADVICE}", found.len(), values.len())),
    })
}

fn short(value: f64) -> String {
    format!("{value:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gross_disturbance_is_found_and_spread_is_not() {
        let mut times = vec![5.1, 5.3, 5.0, 5.2, 5.4, 5.1, 5.5];
        assert!(outliers(&times).unwrap().is_empty());
        times[3] = 50.0;
        assert_eq!(outliers(&times).unwrap(), [3]);
    }

    #[test]
    fn mostly_equal_values() {
        assert!(outliers(&[2.0; 9]).unwrap().is_empty());
        let mut values = [2.0; 30];
        values[29] = 3.0;
        assert_eq!(outliers(&values).unwrap(), [29]);
    }

    #[test]
    fn warnings() {
        assert_eq!(outlier_warning("decode times", &[5.1, 5.3, 5.0, 5.2]).unwrap(), None);
        insta::assert_snapshot!(outlier_warning("decode times", &[90.0, 5.1, 5.3, 5.0, 5.2]).unwrap().unwrap(), @"the first of 5 decode times is far from the rest (90.000 against a median of 5.200): more warm-up would keep it out");
        insta::assert_snapshot!(outlier_warning("decode times", &[5.1, 90.0, 5.3, 5.0, 5.2]).unwrap().unwrap(), @"1 of 5 decode times is an outlier: was another program busy? A quiet machine or more runs would tell");
        insta::assert_snapshot!(outlier_warning("decode times", &[5.1, 90.0, 5.3, 5.0, 5.2, 91.0, 5.1]).unwrap().unwrap(), @"2 of 7 decode times are outliers: was another program busy? A quiet machine or more runs would tell");
    }
}
