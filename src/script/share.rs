//! How often something holds: the interval of a share.

use super::failure::Answer;
use super::values;
use crate::error::Error;
use rhai::plugin::*;
use rhai::{INT, Map};

/// The 97.5 % quantile of the normal distribution: of an interval of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's score interval: it stays within 0 and 1, and is of use for a few trials too.
///
/// Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22 (1927).
fn wilson(right: f64, of: f64) -> [f64; 2] {
    let share = right / of;
    let middle = share + Z * Z / (2.0 * of);
    let half = Z * (share * (1.0 - share) / of + Z * Z / (4.0 * of * of)).sqrt();
    let scale = 1.0 + Z * Z / of;
    [((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0)]
}

#[export_module]
pub(super) mod api {
    /// The interval of a share of which `right` of so many trials were found (Wilson's, 95 %): `low` and `high`.
    ///
    /// # Example
    /// ```rhai
    /// let interval = share_interval(8, 10);
    /// assert((interval.low - 0.4902).abs() < 1e-4 && (interval.high - 0.9433).abs() < 1e-4, "eight of ten");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn share_interval(right: INT, of: INT) -> Answer<Map> {
        let (right, of) = (values::count("the trials that hold", right)?, values::count("the trials", of)?);
        if of == 0 || right > of {
            return Err(Error::new(format!("{right} of {of} is no share")).into());
        }
        let [low, high] = super::wilson(right as f64, of as f64);
        Ok(Map::from_iter([("low".into(), low.into()), ("high".into(), high.into())]))
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
