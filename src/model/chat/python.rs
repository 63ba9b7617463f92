//! What Python prints where Jinja in Rust would print something else.

use minijinja::value::{Value, ValueKind};
use std::fmt::Write;

/// Before the words that a template gives to `raise_exception`.
pub(super) const RAISED: &str = "raise_exception: ";

/// Python's word for a value that has one.
pub(super) fn word(value: &Value) -> Option<&'static str> {
    match value.kind() {
        ValueKind::Bool => Some(if value.is_true() { "True" } else { "False" }),
        ValueKind::None => Some("None"),
        _ => None,
    }
}

/// `json.dumps(value, ensure_ascii=False, indent=indent)`
pub(super) fn dumps(value: &serde_json::Value, indent: Option<usize>) -> String {
    let mut text = String::new();
    write_value(&mut text, value, indent, 0);
    text
}

fn write_value(text: &mut String, value: &serde_json::Value, indent: Option<usize>, depth: usize) {
    match value {
        serde_json::Value::Array(values) if !values.is_empty() => {
            text.push('[');
            for (index, value) in values.iter().enumerate() {
                begin(text, index, indent, depth + 1);
                write_value(text, value, indent, depth + 1);
            }
            end(text, indent, depth);
            text.push(']');
        }
        serde_json::Value::Object(entries) if !entries.is_empty() => {
            text.push('{');
            for (index, (key, value)) in entries.iter().enumerate() {
                begin(text, index, indent, depth + 1);
                // A text as JSON is the same in both languages.
                let _ = write!(text, "{}: ", serde_json::Value::from(key.as_str()));
                write_value(text, value, indent, depth + 1);
            }
            end(text, indent, depth);
            text.push('}');
        }
        other => _ = write!(text, "{other}"),
    }
}

fn begin(text: &mut String, index: usize, indent: Option<usize>, depth: usize) {
    match indent {
        None => text.push_str(if index == 0 { "" } else { ", " }),
        Some(width) => {
            text.push_str(if index == 0 { "\n" } else { ",\n" });
            text.extend(std::iter::repeat_n(' ', width * depth));
        }
    }
}

fn end(text: &mut String, indent: Option<usize>, depth: usize) {
    if let Some(width) = indent {
        text.push('\n');
        text.extend(std::iter::repeat_n(' ', width * depth));
    }
}
