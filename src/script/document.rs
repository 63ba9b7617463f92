//! A YAML (or JSON, or JSON lines) file whose every value knows its line and column, so that a script that reads cases somebody wrote can show a
//! mistake where it is.

use super::failure::Answer;
use super::files;
use super::values::from_data;
use crate::error::Error;
use crate::manifest::node::{self, Entry, Kind, Node, Scalar, Value};
use crate::source::{Place, Source};
use rhai::Array;
use rhai::plugin::*;
use std::rc::Rc;

/// A file that was read. Copies are the same document.
#[derive(Debug, Clone)]
pub struct Document(Rc<Read>);

#[derive(Debug)]
struct Read {
    source: Source,
    root: Node,
    value: Dynamic,
}

impl Document {
    fn read(path: &str, text: String) -> crate::Result<Document> {
        let source = Source::new(path, text);
        let root = if path.ends_with(".jsonl") { lines(&source)? } else { node::parse(&source)? };
        let value = from_data(&root.plain(&source)?);
        Ok(Document(Rc::new(Read { source, root, value })))
    }

    /// The value that the keys and indices of `path` lead to, and the place of the key (or of the value, in a list); as far as there is one.
    fn find(&self, path: &Array) -> (&Node, Place) {
        let mut found = (&self.0.root, self.0.root.place);
        for step in path {
            let next = match &found.0.value {
                Value::Map(entries) => entries.iter().find(|entry| step.to_string() == entry.key).map(|entry| (&entry.node, entry.place)),
                Value::List(items) => {
                    let index = step.as_int().ok().and_then(|index| usize::try_from(index).ok());
                    index.and_then(|index| items.get(index)).map(|item| (item, item.place))
                }
                Value::Scalar(_) => None,
            };
            match next {
                Some(next) => found = next,
                None => break,
            }
        }
        found
    }

    fn point(&self, place: Place, error: Error) -> Box<EvalAltResult> {
        self.0.source.point(place, error).into()
    }
}

/// JSON lines: a list of one value for each line that is not empty.
fn lines(source: &Source) -> crate::Result<Node> {
    let mut items = Vec::new();
    for (index, line) in source.text().lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = Place { line: index + 1, column: 1 };
        let value: serde_json::Value = serde_json::from_str(line).map_err(|error| {
            let column = error.column().max(1);
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default().to_owned();
            source.point(Place { column, ..place }, Error::new(format!("this is no valid JSON: {message}")))
        })?;
        items.push(in_line(&value, line, place));
    }
    Ok(Node { place: Place { line: 1, column: 1 }, tag: None, value: Value::List(items) })
}

/// A value of one line. A key's place is where the line has it first, which is right but for a key that is nested or quoted before.
fn in_line(value: &serde_json::Value, line: &str, place: Place) -> Node {
    let scalar = |text: String, kind: Kind| Value::Scalar(Scalar { text, kind });
    let value = match value {
        serde_json::Value::Null => scalar("null".to_owned(), Kind::Null),
        serde_json::Value::Bool(value) => scalar(value.to_string(), Kind::Bool(*value)),
        serde_json::Value::Number(number) => {
            let kind = number.as_i64().map_or_else(|| Kind::Float(number.as_f64().unwrap_or(f64::NAN)), Kind::Integer);
            scalar(number.to_string(), kind)
        }
        serde_json::Value::String(text) => scalar(text.clone(), Kind::Text),
        serde_json::Value::Array(items) => Value::List(items.iter().map(|item| in_line(item, line, place)).collect()),
        serde_json::Value::Object(map) => {
            let entry = |(key, value): (&String, &serde_json::Value)| {
                let quoted = format!("\"{key}\"");
                let column = line.find(&quoted).map_or(1, |at| line[..at].chars().count() + 1);
                let place = Place { column, ..place };
                Entry { key: key.clone(), place, node: in_line(value, line, place) }
            };
            Value::Map(map.iter().map(entry).collect())
        }
    };
    Node { place, tag: None, value }
}

#[export_module]
pub(super) mod api {
    /// A file of YAML, JSON or JSON lines whose every value knows its place: mistakes in it are shown with their line. A place in it is a list of
    /// keys and indices: `["cases", 2, "prompt"]`.
    pub type Document = super::Document;

    /// Reads a file of YAML, JSON, or JSON lines (a list, one value a line).
    ///
    /// # Example
    /// ```rhai,no_run
    /// let cases = document("cases.yml");
    /// for (item, index) in cases.value {
    ///     if !("prompt" in item) { cases.refuse([index], "this case has no `prompt`", "give it the text to continue"); }
    /// }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn document(context: NativeCallContext, path: &str) -> Answer<Document> {
        let text = files::text_of(&context, path)?;
        Ok(super::Document::read(path, text)?)
    }

    /// All that it holds.
    #[rhai_fn(get = "value", pure)]
    pub fn value(document: &mut Document) -> Dynamic {
        document.0.value.clone()
    }

    /// Where a value stands, for a person: `cases.yml:3:5`.
    #[rhai_fn(pure)]
    pub fn locate(document: &mut Document, place: Array) -> String {
        document.0.source.locate(document.find(&place).1)
    }

    /// Ends the script without success: what is wrong with the value at `place`, shown where it stands. `help` says what to do.
    #[rhai_fn(pure, return_raw)]
    pub fn refuse(document: &mut Document, place: Array, message: &str, help: &str) -> Answer<()> {
        let error = Error::new(message);
        let error = if help.is_empty() { error } else { error.remedy(help) };
        Err(document.point(document.find(&place).1, error))
    }

    /// An error where the map at `place` has a key that is not among `known`: a misspelt key must not switch anything off. `what` says what has
    /// these keys.
    #[rhai_fn(pure, return_raw)]
    pub fn check_keys(document: &mut Document, place: Array, what: &str, known: Array) -> Answer<()> {
        let (node, at) = document.find(&place);
        let Value::Map(entries) = &node.value else {
            let error = Error::new(format!("{what} is {}: expected a mapping", node.describe()));
            return Err(document.point(at, error));
        };
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        match entries.iter().find(|entry| !known.contains(&entry.key)) {
            None => Ok(()),
            Some(entry) => {
                let error = crate::error::unknown(&format!("key of {what}"), &entry.key, known.iter().map(String::as_str));
                Err(document.point(entry.place, error))
            }
        }
    }

    /// An error that says that `name`, which stands at `place`, is no known `what`, and which one may be meant.
    #[rhai_fn(name = "unknown", pure, return_raw)]
    pub fn unknown_at(document: &mut Document, place: Array, what: &str, name: &str, known: Array) -> Answer<()> {
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        let error = crate::error::unknown(what, name, known.iter().map(String::as_str));
        Err(document.point(document.find(&place).1, error))
    }

    /// For a person to read.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(document: &mut Document) -> String {
        format!("document {}", document.0.source.name())
    }

    /// An error that says that `name` is no known `what`, and which one may be meant.
    ///
    /// # Example
    /// ```rhai,no_run
    /// fail_unknown("task", "wino", ["winogrande", "hellaswag"]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn fail_unknown(what: &str, name: &str, known: Array) -> Answer<()> {
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        Err(crate::error::unknown(what, name, known.iter().map(String::as_str)).into())
    }

    /// As `fail_unknown`, about a parameter of a benchmark: shown where that was given.
    #[rhai_fn(return_raw)]
    pub fn invalid_unknown(parameter: &str, what: &str, name: &str, known: Array) -> Answer<()> {
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        Err(crate::error::unknown(what, name, known.iter().map(String::as_str)).about(parameter).into())
    }

    /// Whether a text is JSON; a code fence around it is left away.
    ///
    /// # Example
    /// ```rhai
    /// assert(is_json(" {\"a\": [1]} ") && is_json("```json\n[]\n```") && !is_json("{a: 1}") && !is_json(""), "JSON or not");
    /// ```
    pub fn is_json(text: &str) -> bool {
        let text = text.trim();
        let inside = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
        let inside = inside.map(|inside| inside.strip_prefix("json").unwrap_or(inside));
        serde_json::from_str::<serde::de::IgnoredAny>(inside.unwrap_or(text)).is_ok()
    }

    /// How many times in a row the same value, or the same up to `period` values, stand in a list (of words, of tokens) or a text (its characters)
    /// at most: 1 where nothing is repeated, 0 where there is nothing.
    ///
    /// # Example
    /// ```rhai
    /// assert(longest_repeat("a b a b a b c".words(), 4) == 3 && longest_repeat("haha", 2) == 2, "a b, three times; ha, twice");
    /// ```
    pub fn longest_repeat(values: Dynamic, period: rhai::INT) -> rhai::INT {
        let longest = |list: &[String]| super::longest_run(list, usize::try_from(period).unwrap_or(0)) as rhai::INT;
        if let Some(tokens) = values.read_lock::<super::super::tokens::Tokens>() {
            return super::longest_run(tokens.as_slice(), usize::try_from(period).unwrap_or(0)) as rhai::INT;
        }
        match (values.as_array_ref(), values.as_immutable_string_ref()) {
            (Ok(array), _) => longest(&array.iter().map(ToString::to_string).collect::<Vec<_>>()),
            (_, Ok(text)) => longest(&text.chars().map(String::from).collect::<Vec<_>>()),
            _ => 0,
        }
    }
}

/// The most times that a piece of 1 to `period` values stands in a row.
fn longest_run<T: PartialEq>(values: &[T], period: usize) -> usize {
    let mut longest = usize::from(!values.is_empty());
    for length in 1..=period.min(values.len()) {
        let mut run = 0;
        for index in length..values.len() {
            run = if values[index] == values[index - length] { run + 1 } else { 0 };
            longest = longest.max(run / length + 1);
        }
    }
    longest
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
