//! Thresholds for scripts.

use super::failure::Answer;
use crate::error::{Error, Result};
use crate::thresholds;
use rhai::plugin::*;
use rhai::{Array, FLOAT, Map};

#[export_module]
pub(super) mod api {
    /// The parts of a threshold: `left`, `comparison`, `right`, and `names`, the names with dots in it, each as a list of its words.
    ///
    /// # Example
    /// ```rhai
    /// let parts = threshold_parts("student.perplexity / teacher.perplexity < 1.05");
    /// assert(parts.names == [["student", "perplexity"], ["teacher", "perplexity"]] && parts.right == "1.05", "three parts");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn threshold_parts(text: &str) -> Answer<Map> {
        let (found, names) = (thresholds::parts(text)?, thresholds::names(text)?);
        let words = |name: Vec<String>| Dynamic::from_array(name.into_iter().map(Dynamic::from).collect());
        Ok(Map::from_iter([
            ("left".into(), found.left.to_owned().into()),
            ("comparison".into(), found.comparison.into()),
            ("right".into(), found.right.to_owned().into()),
            ("names".into(), names.into_iter().map(words).collect::<Array>().into()),
        ]))
    }

    /// Works a threshold out, with the values of its names (`student.perplexity`): `value` (of its left side), `limit` (of its right side) and
    /// `passed`. A value that is no number passes nothing.
    ///
    /// # Example
    /// ```rhai
    /// let found = threshold_value("student.perplexity / teacher.perplexity < 1.05", #{ "student.perplexity": 10.2, "teacher.perplexity": 10.0 });
    /// assert(found.passed && found.limit == 1.05, "a ratio of 1.02");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn threshold_value(text: &str, values: Map) -> Answer<Map> {
        let number = |(name, value): (rhai::Identifier, Dynamic)| -> Result<(String, FLOAT)> {
            let number = value.as_float().ok().or_else(|| value.as_int().ok().map(|value| value as FLOAT));
            let number =
                number.ok_or_else(|| Error::new(format!("{name} is {}: expected a number", super::super::values::described(&value))))?;
            Ok((name.to_string(), number))
        };
        let found = thresholds::outcome(text, &values.into_iter().map(number).collect::<Result<Vec<_>>>()?)?;
        Ok(Map::from_iter([
            ("value".into(), found.value.into()),
            ("limit".into(), found.limit.into()),
            ("passed".into(), found.passed.into()),
        ]))
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
