//! Thresholds: comparisons such as `student.perplexity / teacher.perplexity < 1.05`, read and worked out.

use crate::error::{Error, Result};
use regex::Regex;
use rhai::packages::{ArithmeticPackage, BasicMathPackage, LogicPackage, Package};
use rhai::{Dynamic, Engine, Scope};

/// The comparisons, longer ones first.
const COMPARISONS: [&str; 6] = ["<=", ">=", "==", "!=", "<", ">"];

/// A threshold in its three parts.
pub struct Parts<'a> {
    pub left: &'a str,
    pub comparison: &'static str,
    pub right: &'a str,
}

/// Takes a threshold apart.
///
/// # Errors
/// It has no comparison, or several, or one side is empty.
pub fn parts(text: &str) -> Result<Parts<'_>> {
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

fn number(engine: &Engine, scope: &mut Scope, expression: &str) -> Result<f64> {
    let value = engine.eval_expression_with_scope::<Dynamic>(scope, expression);
    let value = value.map_err(|error| Error::new(format!("`{expression}` cannot be worked out: {error}")))?;
    let truth = || value.as_bool().ok().map(|truth| if truth { 1.0 } else { 0.0 });
    let float = value.as_float().ok().or_else(|| value.as_int().ok().map(|value| value as f64)).or_else(truth);
    float.ok_or_else(|| Error::new(format!("`{expression}` is {}: expected a number", value)))
}

/// The names with dots in a threshold, each as its words, in the order that they come: `student.perplexity` is `["student", "perplexity"]`.
///
/// # Errors
/// What [`parts`] says; a side that is no expression of numbers.
pub fn names(text: &str) -> Result<Vec<Vec<String>>> {
    parts(text)?;
    let names = Regex::new(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+").map_err(|error| Error::new(error.to_string()))?;
    let mut found: Vec<Vec<String>> = Vec::new();
    for name in names.find_iter(text) {
        let words: Vec<String> = name.as_str().split('.').map(str::to_owned).collect();
        if !found.contains(&words) {
            found.push(words);
        }
    }
    // With a number for everything that will be measured: what is no expression is found before it is.
    let trial = names.replace_all(text, "1.5");
    let trial = parts(&trial)?;
    for side in [trial.left, trial.right] {
        number(&engine(), &mut Scope::new(), side).map_err(|error| error.at(format!("the threshold `{text}`")))?;
    }
    Ok(found)
}

/// What a threshold comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Of its left side.
    pub value: f64,
    /// Of its right side.
    pub limit: f64,
    /// A value that is no number passes nothing.
    pub passed: bool,
}

/// Works a threshold out, with the values of its names.
///
/// # Errors
/// As [`names`]; a name without a value.
pub fn outcome(text: &str, values: &[(String, f64)]) -> Result<Outcome> {
    let found = parts(text)?;
    let mut scope = Scope::new();
    let (mut left, mut right) = (found.left.to_owned(), found.right.to_owned());
    // Longer names first: one may begin with another.
    let mut values: Vec<&(String, f64)> = values.iter().collect();
    values.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    for (index, (name, value)) in values.into_iter().enumerate() {
        let variable = format!("value_{index}");
        left = left.replace(name.as_str(), &variable);
        right = right.replace(name.as_str(), &variable);
        scope.push(variable, *value);
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
    Ok(Outcome { value, limit, passed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_worked_out() {
        let values = [("student.ppl".to_owned(), 10.2), ("student.ppl_b".to_owned(), 30.0), ("teacher.ppl".to_owned(), 10.0)];
        let found = outcome("student.ppl / teacher.ppl < 1.05", &values).unwrap();
        assert!(found.passed && (found.value - 1.02).abs() < 1e-12 && found.limit == 1.05, "{found:?}");
        assert!(!outcome("student.ppl_b <= 3 * teacher.ppl - 1", &values).unwrap().passed);
        assert!(!outcome("student.ppl < 20", &[("student.ppl".to_owned(), f64::NAN)]).unwrap().passed);
        assert_eq!(names("a.x / b.c.x >= 2 * a.x").unwrap(), [vec!["a", "x"], vec!["b", "c", "x"]]);
    }

    #[test]
    fn what_is_none_is_told() {
        let told = |text: &str| names(text).unwrap_err().to_string();
        assert!(told("student.perplexity").contains("has 0 comparisons"));
        assert!(told("1 < a.x < 2").contains("has 2 comparisons"));
        assert!(told("a.x <").contains("compares with nothing"));
        assert!(told("a.x + < 2").contains("cannot be worked out"), "{}", told("a.x + < 2"));
        assert!(told("a.x < print(1)").contains("cannot be worked out"));
        assert!(outcome("a.x < 2", &[]).is_err());
    }
}
