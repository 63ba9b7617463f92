//! JSON reports. JSON has no NaN and no infinity: they become `null`, and the report says where.

use crate::error::{Error, Result};
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::Path;

/// The key under which a report lists the numbers that JSON cannot hold: path to `NaN`, `inf` or `-inf`.
pub const NOT_FINITE: &str = "not_finite";

/// Anything as JSON, and the paths (`benchmarks.latency[2].std`) of numbers that were not finite and are `null` now.
///
/// # Errors
/// What JSON cannot hold in another way: a map whose keys are no text, for one.
pub fn value(report: &impl Serialize) -> Result<(Value, Vec<(String, f64)>)> {
    // serde_json turns NaN into null without a word. YAML's values keep it, so the tree is made of those and walked.
    let tree = serde_yaml::to_value(report).map_err(|error| Error::new(format!("cannot be written as JSON: {error}")))?;
    let mut lost = Vec::new();
    let value = convert(tree, &mut String::new(), &mut lost)?;
    Ok((value, lost))
}

/// Pretty JSON with a final line end. An object that held NaN or an infinity says so under [`NOT_FINITE`].
///
/// # Errors
/// As [`value`].
pub fn text(report: &impl Serialize) -> Result<String> {
    let (mut value, lost) = value(report)?;
    if let (Value::Object(object), false) = (&mut value, lost.is_empty()) {
        let lost: Map<String, Value> = lost.into_iter().map(|(path, number)| (path, Value::from(number.to_string()))).collect();
        object.insert(NOT_FINITE.to_owned(), Value::Object(lost));
    }
    Ok(format!("{value:#}\n"))
}

/// Writes [`text`] as a whole file.
///
/// # Errors
/// As [`value`], and those of [`super::write_atomically`].
pub fn write(path: &Path, report: &impl Serialize) -> Result<()> {
    let text = text(report).map_err(|error| error.at(path.display()))?;
    super::write_atomically(path, text.as_bytes())
}

fn convert(tree: serde_yaml::Value, path: &mut String, lost: &mut Vec<(String, f64)>) -> Result<Value> {
    use serde_yaml::Value as Tree;
    Ok(match tree {
        Tree::Null => Value::Null,
        Tree::Bool(value) => Value::Bool(value),
        Tree::String(value) => Value::String(value),
        Tree::Number(number) => {
            if let Some(value) = number.as_i64() {
                value.into()
            } else if let Some(value) = number.as_u64() {
                value.into()
            } else {
                let value = number.as_f64().unwrap_or(f64::NAN);
                if !value.is_finite() {
                    lost.push((path.clone(), value));
                }
                value.into()
            }
        }
        Tree::Sequence(values) => {
            let convert_one = |(index, value)| within(path, &format!("[{index}]"), |path| convert(value, path, lost));
            Value::Array(values.into_iter().enumerate().map(convert_one).collect::<Result<_>>()?)
        }
        Tree::Mapping(entries) => {
            let mut object = Map::new();
            for (key, value) in entries {
                let key = match key {
                    Tree::String(key) => key,
                    Tree::Number(key) => key.to_string(),
                    Tree::Bool(key) => key.to_string(),
                    other => return Err(Error::new(format!("the key {other:?} is no text")).at(path)),
                };
                let step = if path.is_empty() { key.clone() } else { format!(".{key}") };
                let value = within(path, &step, |path| convert(value, path, lost))?;
                object.insert(key, value);
            }
            Value::Object(object)
        }
        // An enum's variant with content: serde's external tagging, as serde_json itself writes it.
        Tree::Tagged(tagged) => {
            let tag = tagged.tag.to_string().trim_start_matches('!').to_owned();
            let step = if path.is_empty() { tag.clone() } else { format!(".{tag}") };
            let value = within(path, &step, |path| convert(tagged.value, path, lost))?;
            Value::Object(Map::from_iter([(tag, value)]))
        }
    })
}

fn within<T>(path: &mut String, step: &str, inner: impl FnOnce(&mut String) -> T) -> T {
    let length = path.len();
    path.push_str(step);
    let result = inner(path);
    path.truncate(length);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Serialize)]
    struct Row {
        name: &'static str,
        values: Vec<f64>,
        std: Option<f64>,
        kind: Kind,
    }

    #[derive(Serialize)]
    enum Kind {
        Plain,
        Scaled(f64),
    }

    #[test]
    fn the_same_as_serde_json_where_json_can_hold_it() {
        let rows = vec![
            Row { name: "a: \"b\"\n", values: vec![0.1, -2.0, 1e300], std: None, kind: Kind::Plain },
            Row { name: "yes", values: vec![], std: Some(5e-324), kind: Kind::Scaled(2.5) },
        ];
        assert_eq!(value(&rows).unwrap(), (serde_json::to_value(&rows).unwrap(), vec![]));
        let wide = json!({ "max": u64::MAX, "min": i64::MIN, "z": 1, "a": 2, "text": ["null", "~", "1.5", ""] });
        let (same, lost) = value(&wide).unwrap();
        assert_eq!((same.to_string(), lost.len()), (wide.to_string(), 0));
    }

    #[test]
    fn what_json_cannot_hold_is_null_with_a_note() {
        let mut report = std::collections::BTreeMap::new();
        report.insert(
            "latency",
            vec![Row { name: "a", values: vec![1.0, f64::NAN], std: Some(f64::NEG_INFINITY), kind: Kind::Scaled(f64::INFINITY) }],
        );
        insta::assert_snapshot!(text(&report).unwrap(), @r#"
        {
          "latency": [
            {
              "name": "a",
              "values": [
                1.0,
                null
              ],
              "std": null,
              "kind": {
                "Scaled": null
              }
            }
          ],
          "not_finite": {
            "latency[0].values[1]": "NaN",
            "latency[0].std": "-inf",
            "latency[0].kind.Scaled": "inf"
          }
        }
        "#);
    }

    #[test]
    fn keys_that_are_no_text_are_refused() {
        let report = std::collections::BTreeMap::from([(vec![1], 2)]);
        assert!(value(&report).unwrap_err().to_string().contains("is no text"));
    }
}
