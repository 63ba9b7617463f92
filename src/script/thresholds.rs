//! Thresholds: comparisons such as `student.perplexity / teacher.perplexity < 1.05`, read and worked out.

use super::failure::Answer;
use crate::error::{Error, Result};
use regex::Regex;
use rhai::packages::{ArithmeticPackage, BasicMathPackage, LogicPackage, Package};
use rhai::plugin::*;
use rhai::{Array, Engine, FLOAT, Map, Scope};

/// The comparisons, longer ones first.
const COMPARISONS: [&str; 6] = ["<=", ">=", "==", "!=", "<", ">"];

/// A threshold in its three parts.
struct Parts<'a> {
    left: &'a str,
    comparison: &'static str,
    right: &'a str,
}

fn parts(text: &str) -> Result<Parts<'_>> {
    let wrong = |message: String| Error::new(message).remedy("write it like this: student.perplexity / teacher.perplexity < 1.05");
    let mut found: Vec<(usize, &'static str)> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match COMPARISONS.iter().find(|comparison| text[at..].starts_with(**comparison)) {
            Some(comparison) => {
                found.push((at, comparison));
                at += comparison.len();
            }
            None => at += text[at..].chars().next().map_or(1, char::len_utf8),
        }
    }
    let &[(place, comparison)] = found.as_slice() else {
        return Err(wrong(format!("the threshold `{text}` has {} comparisons: expected one", found.len())));
    };
    let (left, right) = (text[..place].trim(), text[place + comparison.len()..].trim());
    if left.is_empty() || right.is_empty() {
        return Err(wrong(format!("the threshold `{text}` compares with nothing")));
    }
    Ok(Parts { left, comparison, right })
}

/// An engine that knows numbers, and nothing else.
fn engine() -> Engine {
    let mut engine = Engine::new_raw();
    engine.register_global_module(ArithmeticPackage::new().as_shared_module());
    engine.register_global_module(LogicPackage::new().as_shared_module());
    engine.register_global_module(BasicMathPackage::new().as_shared_module());
    engine.set_max_expr_depths(50, 50).set_max_operations(10_000);
    engine
}

fn number(engine: &Engine, scope: &mut Scope, expression: &str) -> Result<FLOAT> {
    let value = engine.eval_expression_with_scope::<Dynamic>(scope, expression);
    let value = value.map_err(|error| Error::new(format!("`{expression}` cannot be worked out: {error}")))?;
    let truth = || value.as_bool().ok().map(|truth| if truth { 1.0 } else { 0.0 });
    let float = value.as_float().ok().or_else(|| value.as_int().ok().map(|value| value as FLOAT)).or_else(truth);
    float.ok_or_else(|| Error::new(format!("`{expression}` is {}: expected a number", super::values::described(&value))))
}

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
        let found = parts(text)?;
        let names = Regex::new(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+").map_err(|error| Error::new(error.to_string()))?;
        let words = |name: regex::Match<'_>| Dynamic::from_array(name.as_str().split('.').map(|word| word.to_owned().into()).collect());
        let mut seen: Vec<&str> = Vec::new();
        let mut listed = Array::new();
        for name in names.find_iter(text) {
            if !seen.contains(&name.as_str()) {
                seen.push(name.as_str());
                listed.push(words(name));
            }
        }
        // With 1 for everything that will be measured: what is no expression is found before it is.
        let trial = names.replace_all(text, "1.5");
        let trial = parts(&trial)?;
        for side in [trial.left, trial.right] {
            number(&engine(), &mut Scope::new(), side).map_err(|error| error.at(format!("the threshold `{text}`")))?;
        }
        Ok(Map::from_iter([
            ("left".into(), found.left.to_owned().into()),
            ("comparison".into(), found.comparison.into()),
            ("right".into(), found.right.to_owned().into()),
            ("names".into(), listed.into()),
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
        let found = parts(text)?;
        let mut scope = Scope::new();
        let (mut left, mut right) = (found.left.to_owned(), found.right.to_owned());
        // Longer names first: one may begin with another.
        let mut names: Vec<_> = values.into_iter().collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        for (index, (name, value)) in names.into_iter().enumerate() {
            let variable = format!("value_{index}");
            left = left.replace(name.as_str(), &variable);
            right = right.replace(name.as_str(), &variable);
            let float = value.as_int().map_or(value.clone(), |value| (value as FLOAT).into());
            scope.push_dynamic(variable, float);
        }
        let engine = engine();
        let (value, limit) = (number(&engine, &mut scope, &left)?, number(&engine, &mut scope, &right)?);
        let passed = match found.comparison {
            "<" => value < limit,
            "<=" => value <= limit,
            ">" => value > limit,
            ">=" => value >= limit,
            "==" => value == limit,
            _ => value != limit && !value.is_nan(),
        };
        Ok(Map::from_iter([("value".into(), value.into()), ("limit".into(), limit.into()), ("passed".into(), passed.into())]))
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
