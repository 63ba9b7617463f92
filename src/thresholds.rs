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

/// What a name with dots looks like. Hyphens may stand in the model's, which comes first; whatever else a name is made of stands between backticks.
fn names_in() -> Result<Regex> {
    Regex::new(r"(?:`[^`]+`|[A-Za-z_](?:\w|-\w)*)(?:\.(?:`[^`]+`|[A-Za-z_]\w*))+").map_err(|error| Error::new(error.to_string()))
}

/// The words of a name.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in name.chars() {
        match character {
            '`' => quoted = !quoted,
            '.' if !quoted => words.push(String::new()),
            other => words.last_mut().map_or((), |word| word.push(other)),
        }
    }
    words
}

/// The names with dots in a threshold, each as its words, in the order that they come: `student.perplexity` is `["student", "perplexity"]`.
///
/// # Errors
/// What [`parts`] says; a side that is no expression of numbers.
pub fn names(text: &str) -> Result<Vec<Vec<String>>> {
    parts(text)?;
    let names = names_in()?;
    let mut found: Vec<Vec<String>> = Vec::new();
    for name in names.find_iter(text) {
        let words = words(name.as_str());
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
    for (index, (_, value)) in values.iter().enumerate() {
        scope.push(format!("value_{index}"), *value);
    }
    let names = names_in()?;
    let with_values = |side: &str| {
        let variable = |name: &regex::Captures<'_>| {
            let name = words(&name[0]).join(".");
            values.iter().position(|(known, _)| *known == name).map_or(name, |index| format!("value_{index}"))
        };
        names.replace_all(side, variable).into_owned()
    };
    let (left, right) = (with_values(found.left), with_values(found.right));
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
        // Names of models as people give them.
        let values = [("SmolLM2-135M-q8.ppl".to_owned(), 12.0), ("Llama 3.2.ppl-a.ppl".to_owned(), 10.0)];
        let text = "SmolLM2-135M-q8.ppl/`Llama 3.2`.`ppl-a`.ppl-0.2 <= 1.0";
        assert!(outcome(text, &values).unwrap().passed, "{:?}", outcome(text, &values));
        assert_eq!(names(text).unwrap(), [vec!["SmolLM2-135M-q8", "ppl"], vec!["Llama 3.2", "ppl-a", "ppl"]]);
        assert_eq!(names("a.x-b.x < 2-a.x").unwrap(), [vec!["a", "x"], vec!["b", "x"]]);
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
