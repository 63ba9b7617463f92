//! An error of the engine as one for a person: `file:line:column: message`, the line with a mark under the place, who called it, and
//! what to do.

use super::catalog::{Catalog, Form, nearest, plain_type};
use super::host::Host;
use super::modules::is_built_in;
use crate::error::Error;
use regex::Regex;
use rhai::{Engine, EvalAltResult, ParseErrorType, Position};

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
    let said = Said::of(engine, &error, text);
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

/// What is said, at a place of a script, with who called it.
fn told(host: &Host, said: Said, source: &str, position: Position, calls: &[Call]) -> Error {
    let place = |source: &str, position: Position| match host.source(source) {
        Some(known) => place(source, known.place(position)),
        None => place(source, position),
    };
    let known = host.source(source);
    let text = known.as_ref().map_or("", |known| &known.text);
    let mut shown = excerpt(text, known.as_ref().map_or(position, |known| known.place(position)));
    for call in calls.iter().rev().take(CALLERS) {
        let function = if call.function.starts_with("anon$") { "a closure".to_owned() } else { format!("`{}`", call.function) };
        shown.push_str(&format!("\n  in {function}, called from {}", place(&call.source, call.position)));
    }
    if calls.len() > CALLERS {
        shown.push_str(&format!("\n  and {} calls more", calls.len() - CALLERS));
    }
    let error = Error::new(said.message).at(place(source, position));
    let error = match shown.strip_prefix('\n') {
        Some(lines) => error.showing(lines),
        None => error,
    };
    match said.help {
        Some(help) => error.remedy(help),
        None => error,
    }
}

fn place(source: &str, position: Position) -> String {
    match (position.line(), position.position()) {
        (Some(line), Some(column)) => format!("{source}:{line}:{column}"),
        (Some(line), None) => format!("{source}:{line}"),
        _ => source.to_owned(),
    }
}

/// The line of a place, with a mark under it.
fn excerpt(text: &str, position: Position) -> String {
    let Some((number, line)) = position.line().and_then(|number| Some((number, text.lines().nth(number - 1)?))) else {
        return String::new();
    };
    let margin = " ".repeat(number.to_string().len());
    let line = line.replace('\t', " ");
    let mark = match position.position() {
        Some(column) => format!("\n {margin} | {}^", " ".repeat(column.saturating_sub(1))),
        None => String::new(),
    };
    format!("\n {margin} |\n {number} | {}{mark}", line.trim_end())
}

/// The message and its remedy.
struct Said {
    message: String,
    help: Option<String>,
}

impl Said {
    fn plain(message: impl Into<String>) -> Said {
        Said { message: message.into(), help: None }
    }

    fn with(message: impl Into<String>, help: impl Into<String>) -> Said {
        Said { message: message.into(), help: Some(help.into()) }
    }

    fn of(engine: &Engine, error: &EvalAltResult, text: &str) -> Said {
        use EvalAltResult as E;
        match error {
            E::ErrorRuntime(value, _) => match value.read_lock::<Error>() {
                Some(error) => Said::error(&error),
                None if value.is_unit() => Said::plain("the script failed"),
                None => Said::plain(value.to_string()),
            },
            E::ErrorTerminated(value, _) => {
                value.read_lock::<Error>().map_or_else(|| Said::plain("interrupted"), |error| Said::error(&error))
            }
            E::ErrorParsing(kind, _) => Said::parsing(kind, text),
            E::ErrorVariableNotFound(name, _) => Said::variable(name, text),
            E::ErrorFunctionNotFound(signature, _) => Said::function(&Catalog::of(engine), signature),
            E::ErrorPropertyNotFound(name, _) => {
                let near = nearest(name, words(text).into_iter()).map(|near| format!("did you mean `{near}`? "));
                let help = format!(
                    "{}`\"{name}\" in map` asks whether it is there, and map.get(\"{name}\") gives () where it is not",
                    near.unwrap_or_default()
                );
                Said::with(format!("the map has no `{name}`"), help)
            }
            E::ErrorDotExpr(message, _) => Said::property(engine, message),
            E::ErrorIndexingType(kind, _) => Said::plain(format!("{} cannot be indexed in this way", plain_type(kind))),
            E::ErrorMismatchDataType(expected, found, _) | E::ErrorMismatchOutputType(expected, found, _) => {
                let found = if found.is_empty() { String::new() } else { format!(", and this is {}", plain_type(found)) };
                Said::plain(format!("expected {}{found}", plain_type(expected)))
            }
            E::ErrorFor(..) => Said::with("this cannot be gone through with `for`", "arrays, ranges, tokens, numbers and texts can"),
            E::ErrorStackOverflow(..) => {
                Said::with(format!("calls are nested more than {} deep", engine.max_call_levels()), "a function calls itself without end?")
            }
            E::ErrorDataTooLarge(what, _) => Said::with(
                format!("this {} has become too large", plain_type(what).to_lowercase()),
                "is it filled in a loop without end? tokens and numbers hold large lists",
            ),
            E::ErrorModuleNotFound(name, _) => Said::plain(format!("there is no module `{name}`")),
            E::ErrorAssignmentToConstant(name, _) => Said::with(format!("`{name}` is constant"), "declare it with `let` to change it"),
            E::ErrorDataRace(..) => Said::with(
                "a closure uses the very value that it is called on",
                "give what it needs of it a name first: let first = rows[0]; rows.filter(|row| row != first)",
            ),
            E::ErrorUnboundThis(_) => Said::with("`this` is nothing here", "call the function as a method: value.function()"),
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

    /// An error of caramba's own: its sentence with its places, and its remedy apart.
    fn error(error: &Error) -> Said {
        let text = error.to_string();
        match error.help() {
            Some(help) => Said::with(text.strip_suffix(&format!("\n  help: {help}")).unwrap_or(&text), help),
            None => Said::plain(text),
        }
    }

    fn parsing(kind: &ParseErrorType, text: &str) -> Said {
        match kind {
            ParseErrorType::VariableUndefined(name) => Said::variable(name, text),
            ParseErrorType::ModuleUndefined(name) => {
                let built_in = super::modules::built_in_names().find(|known| known == name);
                let help = match built_in {
                    Some(name) => format!("import \"{name}\" as {name}; at the top makes it known"),
                    None => "import \"path\" as name; at the top makes a script known by a name".to_owned(),
                };
                Said::with(format!("nothing was imported as `{name}`"), help)
            }
            ParseErrorType::MismatchedType(_, found) if found == "an object map" => {
                Said::with("a map that is written out cannot be gone through", "give it a name first: let models = #{ ... };")
            }
            other if other.to_string().contains("'eval' is disabled") => Said::with(
                "`eval` is switched off",
                "what is put together at run time cannot be checked; closures do what it would be used for",
            ),
            ParseErrorType::UnexpectedEOF => Said::with("the script ends in the middle", "is a bracket or a quote not closed?"),
            ParseErrorType::MissingToken(token, _) if token == ";" => {
                Said::with(format!("syntax: {}", lowered(&kind.to_string())), "a statement ends with `;`")
            }
            other => Said::plain(format!("syntax: {}", lowered(&other.to_string()))),
        }
    }

    fn variable(name: &str, text: &str) -> Said {
        let help = match nearest(name, declared(text).into_iter()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if Regex::new(&format!(r"\blet\s+{}\b", regex::escape(name))).is_ok_and(|found| found.is_match(text)) => {
                "a function sees its parameters only: pass it to the function, or declare it `const` and write global::NAME".to_owned()
            }
            None => "declare it with `let`".to_owned(),
        };
        Said::with(format!("there is no variable `{name}`"), help)
    }

    /// `signature` is `name (type, type)`, as it was called.
    fn function(catalog: &Catalog, signature: &str) -> Said {
        let (name, given) = signature.split_once(" (").unwrap_or((signature, ""));
        if name.starts_with("anon$") {
            let help = "object(#{ ... }) makes closures that may leave their module";
            return Said::with("this closure was made in another module, and cannot be called here", help);
        }
        let forms = catalog.forms(name);
        if forms.is_empty() {
            let help = match nearest(name, catalog.names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`caramba api` lists what there is".to_owned(),
            };
            return Said::with(format!("there is no function `{name}`"), help);
        }
        let kinds: Vec<String> =
            given.trim_end_matches(')').split(", ").map(|kind| plain_type(kind.split(" | ").next().unwrap_or(kind))).collect();
        if !name.starts_with(|first: char| first.is_alphabetic() || first == '_') {
            return Said::plain(format!("`{name}` does not work on {}", kinds.join(" and ")));
        }
        // A method's forms are those of its object.
        let same: Vec<&Form> = forms.iter().filter(|form| kinds.first() == Some(&form.first)).collect();
        let meant = if same.is_empty() { forms.iter().collect() } else { same };
        let signatures: Vec<&str> = meant.iter().map(|form| form.signature.as_str()).take(5).collect();
        Said::with(format!("`{name}` does not take ({})", kinds.join(", ")), format!("it is {}", signatures.join(" or ")))
    }

    /// rhai's "Unknown property 'x' - a getter is not registered for type 'T'".
    fn property(engine: &Engine, message: &str) -> Said {
        let quoted: Vec<&str> = message.split('\'').skip(1).step_by(2).collect();
        let [property, kind, ..] = quoted[..] else { return Said::plain(lowered(message)) };
        let catalog = Catalog::of(engine);
        let known: Vec<&str> = catalog.properties(kind).collect();
        let said = format!("{} has no property `{property}`", plain_type(kind));
        if catalog.forms(property).iter().any(|form| form.first == kind) {
            return Said::with(said, format!("it is a method: write {property}()"));
        }
        match (nearest(property, known.iter().copied()), known.is_empty()) {
            (Some(near), _) => Said::with(said, format!("did you mean `{near}`? it has: {}", known.join(", "))),
            (None, false) => Said::with(said, format!("it has: {}", known.join(", "))),
            (None, true) => Said::plain(said),
        }
    }
}

fn lowered(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) if characters.clone().next().is_some_and(char::is_lowercase) => first.to_lowercase().chain(characters).collect(),
        _ => text.to_owned(),
    }
}

/// Names that the text declares: good enough to guess what was meant.
fn declared(text: &str) -> Vec<&str> {
    let captures = |pattern: &str| -> Vec<&str> {
        Regex::new(pattern).map_or_else(
            |_| Vec::new(),
            |regex| regex.captures_iter(text).filter_map(|found| found.get(1)).map(|name| name.as_str()).collect(),
        )
    };
    let mut names = captures(r"\b(?:let|const|for|as)\s+\(?\s*(\w+)");
    for list in captures(r"\bfn\s+\w+\s*\(([^)]*)\)").into_iter().chain(captures(r"\|([\w\s,]*)\|")) {
        names.extend(list.split(',').map(str::trim).filter(|name| !name.is_empty()));
    }
    names.push("args");
    names
}

fn words(text: &str) -> Vec<&str> {
    Regex::new(r"\b[A-Za-z_]\w*\b").map_or_else(|_| Vec::new(), |regex| regex.find_iter(text).map(|found| found.as_str()).collect())
}
