//! What `catch (error)` holds where the engine itself has failed (an index, a type, a function that there isn't): Rhai hands over a map with its own sentence.
//! Here it becomes an error as every other, with the sentence, the remedy and the place that would have been shown.

use super::host::Host;
use super::report;
use crate::error::Error;
use regex::Regex;
use rhai::plugin::*;
use rhai::{EvalAltResult, INT, Map};
use std::sync::LazyLock;

/// A sentence of the engine with its place: `Variable not found: x @ 'a.rhai' (line 3, position 5)`, before what called it.
static SENTENCE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?s)^(.*?)(?: @ '([^']*)')?(?: \(line (\d+), position (\d+)\))?(?:\nin .*)?$").ok());

/// The kind of error that begins with such words.
fn kind_of(sentence: &str, position: Position) -> EvalAltResult {
    use EvalAltResult as E;
    let behind = |words: &str| sentence.strip_prefix(words).map(str::to_owned);
    // "Data type incorrect: text (expecting number)"
    let types = |words: &str| {
        let rest = behind(words)?;
        if let Some(expected) = rest.strip_prefix(", expecting ") {
            return Some((expected.to_owned(), String::new()));
        }
        let rest = rest.strip_prefix(": ")?;
        Some(match rest.strip_suffix(')').and_then(|rest| rest.split_once(" (expecting ")) {
            Some((found, expected)) => (expected.to_owned(), found.to_owned()),
            None => (String::new(), rest.to_owned()),
        })
    };
    if let Some(name) = behind("Variable not found: ") {
        E::ErrorVariableNotFound(name, position)
    } else if let Some(signature) = behind("Function not found: ") {
        E::ErrorFunctionNotFound(signature, position)
    } else if let Some(name) = behind("Property not found: ") {
        E::ErrorPropertyNotFound(name, position)
    } else if let Some(name) = behind("Module not found: ") {
        E::ErrorModuleNotFound(name, position)
    } else if let Some(kind) = behind("Indexer unavailable: ") {
        E::ErrorIndexingType(kind, position)
    } else if let Some(name) = behind("Cannot modify constant ") {
        E::ErrorAssignmentToConstant(name, position)
    } else if let Some((expected, found)) = types("Data type incorrect").or_else(|| types("Output type incorrect")) {
        E::ErrorMismatchDataType(expected, found, position)
    } else if sentence.starts_with("Data race detected") {
        E::ErrorDataRace(String::new(), position)
    } else if sentence.starts_with("Unknown property ") {
        E::ErrorDotExpr(sentence.to_owned(), position)
    } else if let Some((is_text, index, length)) = bounds(sentence) {
        if is_text { E::ErrorStringBounds(length, index, position) } else { E::ErrorArrayBounds(length, index, position) }
    } else if sentence == "For loop expects iterable type" {
        E::ErrorFor(position)
    } else if sentence == "'this' not bound" {
        E::ErrorUnboundThis(position)
    } else if sentence == "Stack overflow" {
        E::ErrorStackOverflow(position)
    } else if let Some(what) = sentence.strip_suffix(" too large") {
        E::ErrorDataTooLarge(what.to_owned(), position)
    } else {
        E::ErrorArithmetic(sentence.to_owned(), position)
    }
}

/// `Array index 5 out of bounds: only 2 elements in array`: whether it is of a text, the index, how many there are.
fn bounds(sentence: &str) -> Option<(bool, INT, usize)> {
    let (what, rest) = sentence.split_once(" index ")?;
    let (index, held) = rest.split_once(" out of bounds: ")?;
    let held = held.strip_prefix("only ").and_then(|held| held.split(' ').next()).map_or(Some(0), |held| held.parse().ok())?;
    Some((what == "String", index.parse().ok()?, held)).filter(|_| what == "Array" || what == "String")
}

/// The map that the engine makes of an error of its own, as an error; `None`: it is something else.
fn error_of(context: &NativeCallContext, map: &Map) -> Option<Error> {
    let text = |name: &str| map.get(name)?.clone().into_string().ok();
    let (message, source) = (text("message")?, text("source").unwrap_or_default());
    if !text("error")?.starts_with("Error") {
        return None;
    }
    let parts = SENTENCE.as_ref()?.captures(&message)?;
    let sentence = parts.get(1)?.as_str();
    let number = |at: usize, name: &str| match parts.get(at) {
        Some(digits) => digits.as_str().parse().ok(),
        None => map.get(name)?.as_int().ok().and_then(|number| u16::try_from(number).ok()),
    };
    let position = match (number(3, "line"), number(4, "position")) {
        (Some(line), Some(column)) if line > 0 => Position::new(line, column),
        _ => Position::NONE,
    };
    let source = parts.get(2).map_or(source, |inner| inner.as_str().to_owned());
    let host = Host::of(context).ok()?;
    Some(report::caught(context.engine(), &host, &source, kind_of(sentence, position)))
}

/// The function of the assignment: in no documentation, since nobody calls it by name.
#[export_module]
mod hidden {
    #[rhai_fn(volatile)]
    pub fn caught_error(context: NativeCallContext, value: Dynamic) -> Dynamic {
        let error = value.as_map_ref().ok().and_then(|map| error_of(&context, &map));
        error.map_or(value, Dynamic::from)
    }
}

pub(super) fn hidden_module() -> rhai::Module {
    exported_module!(hidden)
}
