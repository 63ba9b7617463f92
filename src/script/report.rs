//! An error of the engine as one for a person: `file:line:column: message`, the line with a mark under the place, who called it, and
//! what to do.

use super::catalog::{Catalog, nearest, plain_type};
use super::hints::{self, Said, lowered};
use super::host::Host;
use super::modules::is_built_in;
use crate::diagnostics::{self, Place, Written};
use crate::error::Error;
use regex::Regex;
use rhai::{Engine, EvalAltResult, Position};

/// Callers shown; a deep recursion would fill the screen.
const CALLERS: usize = 6;

/// Where a function was called: its name, the script that called it, the place.
struct Call {
    function: String,
    source: String,
    position: Position,
}

/// What a person reads. `main` is the script that was run.
pub(super) fn report(engine: &Engine, host: &Host, main: &str, error: EvalAltResult) -> Error {
    let mut source = main.to_owned();
    let mut calls: Vec<Call> = Vec::new();
    let mut error = error;
    let mut outer = Position::NONE;
    loop {
        error = match error {
            EvalAltResult::ErrorInFunctionCall(function, inside, inner, position) => {
                calls.push(Call { function, source: source.clone(), position });
                outer = position;
                if !inside.is_empty() {
                    source = inside;
                }
                *inner
            }
            EvalAltResult::ErrorInModule(name, inner, position) => {
                outer = position;
                if host.source(&name).is_some() {
                    source = name;
                }
                *inner
            }
            other => {
                error = other;
                break;
            }
        };
    }
    let position = match error.position() {
        position if position.is_none() => outer,
        position => position,
    };
    let known = host.source(&source);
    let text = known.as_ref().map_or("", |known| &known.text);
    // A mistake in a manifest is shown there: the line of the script that found it says nothing more.
    if let EvalAltResult::ErrorRuntime(value, _) = &error
        && let Some(error) = value.read_lock::<Error>()
        && error.excerpt().is_some()
    {
        return error.clone();
    }
    calls.retain(|call| !call.position.is_none() && host.source(&call.source).is_some());
    let seen = known.as_ref().map_or(position, |known| known.place(position));
    let said = said(engine, &error, text, seen);
    // What a built-in script or a function of caramba tells is about what it was given: who gave it is shown, if that was a script.
    if matches!(&error, EvalAltResult::ErrorRuntime(value, _) if value.is::<Error>()) && is_built_in(&source) {
        while let Some(call) = calls.pop() {
            if !is_built_in(&call.source) {
                return told(host, said, &call.source, call.position, &calls);
            }
        }
        let error = Error::new(said.message);
        return match said.help {
            Some(help) => error.remedy(help),
            None => error,
        };
    }
    told(host, said, &source, position, &calls)
}

/// An error of the engine that a script has caught, as one for it to ask: with the place, and without the lines that a person would be shown.
pub(super) fn caught(engine: &Engine, host: &Host, source: &str, error: EvalAltResult) -> Error {
    let known = host.source(source);
    let text = known.as_ref().map_or("", |known| &known.text);
    let position = known.as_ref().map_or(error.position(), |known| known.place(error.position()));
    let said = said(engine, &error, text, position);
    let error = Error::new(said.message).at(located(source, said.place.or_else(|| place_of(position))));
    match said.help {
        Some(help) => error.remedy(help),
        None => error,
    }
}

/// What is said, at a place of a script, with who called it.
fn told(host: &Host, said: Said, source: &str, position: Position, calls: &[Call]) -> Error {
    let seen = |source: &str, position: Position| match host.source(source) {
        Some(known) => known.place(position),
        None => position,
    };
    let known = host.source(source);
    let text = known.as_ref().map_or("", |known| &known.text);
    let place = said.place.or_else(|| place_of(seen(source, position)));
    let others: Vec<(Place, &str)> = said.others.iter().map(|(place, label)| (*place, label.as_str())).collect();
    let mut shown = place.and_then(|place| diagnostics::excerpt(text, Written::Script, place, &others)).unwrap_or_default();
    for call in calls.iter().rev().take(CALLERS) {
        let function = if call.function.starts_with("anon$") { "a closure".to_owned() } else { format!("`{}`", call.function) };
        shown.push_str(&format!("\n  in {function}, called from {}", located(&call.source, place_of(seen(&call.source, call.position)))));
    }
    if calls.len() > CALLERS {
        shown.push_str(&format!("\n  and {} calls more", calls.len() - CALLERS));
    }
    let error = Error::new(said.message).at(located(source, place));
    let error = if shown.is_empty() { error } else { error.showing(shown.trim_start_matches('\n')) };
    match said.help {
        Some(help) => error.remedy(help),
        None => error,
    }
}

fn place_of(position: Position) -> Option<Place> {
    Some(Place::new(position.line()?, position.position().unwrap_or(1)))
}

fn located(source: &str, place: Option<Place>) -> String {
    match place {
        Some(Place { line, column, .. }) => format!("{source}:{line}:{column}"),
        None => source.to_owned(),
    }
}

/// The message and its remedy.
fn said(engine: &Engine, error: &EvalAltResult, text: &str, position: Position) -> Said {
    use EvalAltResult as E;
    let place = place_of(position);
    match error {
        E::ErrorRuntime(value, _) => match value.read_lock::<Error>() {
            Some(error) => of_error(&error),
            None if value.is_unit() => Said::plain("the script failed"),
            None => Said::plain(value.to_string()),
        },
        E::ErrorTerminated(value, _) => value.read_lock::<Error>().map_or_else(|| Said::plain("interrupted"), |error| of_error(&error)),
        E::ErrorParsing(kind, _) => hints::syntax(Catalog::of(engine), kind, text, place.unwrap_or_default()),
        E::ErrorVariableNotFound(name, _) => hints::variable(Catalog::of(engine), name, text, place),
        E::ErrorFunctionNotFound(signature, _) => function(Catalog::of(engine), signature),
        E::ErrorPropertyNotFound(name, _) if before_place(text, place).ends_with("args.") => Said::with(
            format!("`args` has no `{name}`"),
            format!(
                "--set {name}=VALUE gives it; const PARAMETERS = #{{ {name}: ... }}; declares it, with what it is where it is not given"
            ),
        ),
        E::ErrorArrayBounds(length, index, _) => {
            Said::with(format!("there is no element {index}: {}", holding(*length, "the array has")), elements(*length))
        }
        E::ErrorStringBounds(length, index, _) => {
            Said::with(format!("there is no character {index}: {}", holding(*length, "the text has")), elements(*length))
        }
        E::ErrorPropertyNotFound(name, _) => {
            let near = nearest(name, words(text).into_iter()).map(|near| format!("did you mean `{near}`? "));
            let help = format!(
                "{}`\"{name}\" in map` asks whether it is there, and map.get(\"{name}\") gives () where it is not",
                near.unwrap_or_default()
            );
            Said::with(format!("the map has no `{name}`"), help)
        }
        E::ErrorDotExpr(message, _) => property(engine, message),
        E::ErrorIndexingType(kind, _) => Said::plain(format!("{} cannot be indexed in this way", plain_type(kind))),
        E::ErrorMismatchDataType(expected, found, _) | E::ErrorMismatchOutputType(expected, found, _) => {
            let (expected, found) = (plain_type(expected), plain_type(found));
            match found.as_str() {
                "range" => Said::with(
                    format!("expected {expected}, and this is a range"),
                    "a part of an array or text is values.extract(0..2); Tokens and Numbers take values[0..2]",
                ),
                "" => Said::plain(format!("expected {expected}")),
                _ => Said::plain(format!("expected {expected}, and this is {found}")),
            }
        }
        E::ErrorFor(..) => Said::with("this cannot be gone through with `for`", "arrays, maps, ranges, tokens, numbers and texts can"),
        E::ErrorStackOverflow(..) => {
            Said::with(format!("calls are nested more than {} deep", engine.max_call_levels()), "a function calls itself without end?")
        }
        E::ErrorDataTooLarge(what, _) => too_large(engine, what),
        E::ErrorModuleNotFound(name, _) => Said::plain(format!("there is no module `{name}`")),
        E::ErrorAssignmentToConstant(name, _) => Said::with(format!("`{name}` is constant"), "declare it with `let` to change it"),
        E::ErrorDataRace(..) => Said::with(
            "a closure uses the very value that it is called on",
            "give what it needs of it a name first: let first = rows[0]; rows.filter(|row| row != first)",
        ),
        E::ErrorUnboundThis(_) => Said::with("`this` is nothing here", "call the function as a method: value.function()"),
        E::ErrorArithmetic(message, _) => {
            let message = lowered(message);
            let help = if message.starts_with("division by zero") {
                Some("floats give infinity: write 1.0 / x, or ask whether x == 0")
            } else {
                None
            };
            Said { help: help.map(str::to_owned), ..Said::plain(message) }
        }
        other => {
            // The place is shown apart.
            let mut other_text = other.to_string();
            if let Some(end) = other_text.rfind(" (line ") {
                other_text.truncate(end);
            }
            Said::plain(lowered(&other_text))
        }
    }
}

/// What stands before a place in its line.
fn before_place(text: &str, place: Option<Place>) -> String {
    let line = place.and_then(|place| text.lines().nth(place.line.checked_sub(1)?)).unwrap_or_default();
    line.chars().take(place.map_or(0, |place| place.column.saturating_sub(1))).collect()
}

fn holding(length: usize, what: &str) -> String {
    if length == 0 { format!("{what} none") } else { format!("{what} {length}") }
}

fn elements(length: usize) -> String {
    match length {
        0 => "values.is_empty() asks whether there are any".to_owned(),
        1 => "the only one is 0, or -1".to_owned(),
        _ => format!("they are 0 to {}, or -1 to -{length} from the end", length - 1),
    }
}

/// An error of caramba's own: its sentence with its places, and its remedy apart.
fn of_error(error: &Error) -> Said {
    let text = error.to_string();
    match error.help() {
        Some(help) => Said::with(text.strip_suffix(&format!("\n  help: {help}")).unwrap_or(&text), help),
        None => Said::plain(text),
    }
}

/// A value beyond a limit: which one, and its number.
fn too_large(engine: &Engine, what: &str) -> Said {
    let (kind, limit) = match what {
        what if what.contains("string") || what.contains("String") => ("text", format!("{} MB", engine.max_string_size() >> 20)),
        what if what.contains("array") || what.contains("Array") || what.contains("BLOB") => {
            ("array", format!("{} elements", crate::artifact::number::integer(engine.max_array_size() as i64)))
        }
        what if what.contains("map") || what.contains("Map") => {
            ("map", format!("{} entries", crate::artifact::number::integer(engine.max_map_size() as i64)))
        }
        other => return Said::with(format!("this {} has become too large", lowered(other)), "is it filled in a loop without end?"),
    };
    Said::with(
        format!("this {kind} has become larger than the limit of {limit}"),
        "is it filled in a loop without end? Tokens and Numbers hold large lists of numbers",
    )
}

/// `signature` is `name (type, type)`, as it was called.
fn function(catalog: &Catalog, signature: &str) -> Said {
    let (name, given) = signature.split_once(" (").unwrap_or((signature, ""));
    if name.starts_with("anon$") {
        return Said::with(
            "this closure cannot be called so: it takes another number of arguments, or was made in another module",
            "give it as many as stand between its bars, |a, b|; object(#{ ... }) makes closures that may leave their module",
        );
    }
    // rhai has no kind of error for some of its own, and puts a sentence where the name stands.
    if name.contains(' ') {
        return Said::plain(lowered(name));
    }
    if catalog.forms(name).is_empty() && !name.starts_with("..") {
        let error =
            hints::no_function(&format!("there is no function `{name}`"), name, catalog.names(), "`caramba docs` lists what there is");
        return of_error(&error);
    }
    let given = given.trim_end_matches(')');
    let kinds: Vec<String> = given.split(", ").map(|kind| plain_type(kind.split(" | ").next().unwrap_or(kind))).collect();
    of_error(&hints::wrong_types(catalog, name, &kinds))
}

/// rhai's "Unknown property 'x' - a getter is not registered for type 'T'".
fn property(engine: &Engine, message: &str) -> Said {
    let quoted: Vec<&str> = message.split('\'').skip(1).step_by(2).collect();
    let [property, kind, ..] = quoted[..] else { return Said::plain(lowered(message)) };
    let kind = plain_type(kind);
    of_error(&hints::no_property(Catalog::of(engine), &kind, property, message.contains("setter")))
}

fn words(text: &str) -> Vec<&str> {
    Regex::new(r"\b[A-Za-z_]\w*\b").map_or_else(|_| Vec::new(), |regex| regex.find_iter(text).map(|found| found.as_str()).collect())
}
