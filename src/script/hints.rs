//! What to do about a mistake: the names that were meant, the bracket that is missing, the types that fit.

use super::catalog::{Catalog, Form, nearest, plain_type};
use super::habits::{WORDS, foreign, instead};
use crate::diagnostics::Place;
use crate::error::Error;
use regex::Regex;
use rhai::{LexError, ParseErrorType};
use std::collections::BTreeSet;

/// What is said of a mistake: a sentence, and what to do.
pub(super) struct Said {
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// Where it is, if that is another place than the engine's.
    pub(super) place: Option<Place>,
    /// Other places to show, with what they are.
    pub(super) others: Vec<(Place, String)>,
}

impl Said {
    pub(super) fn plain(message: impl Into<String>) -> Said {
        Said { message: message.into(), help: None, place: None, others: Vec::new() }
    }

    pub(super) fn with(message: impl Into<String>, help: impl Into<String>) -> Said {
        Said { help: Some(help.into()), ..Said::plain(message) }
    }

    pub(super) fn at(self, place: Option<Place>) -> Said {
        Said { place: place.or(self.place), ..self }
    }
}

/// A mistake of syntax at a place of a script.
pub(super) fn syntax(catalog: &Catalog, kind: &ParseErrorType, text: &str, place: Place) -> Said {
    if let Some(said) = foreign(text, place, kind) {
        return said;
    }
    match kind {
        ParseErrorType::VariableUndefined(name) => variable(catalog, name, text, Some(place)),
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
        ParseErrorType::BadInput(LexError::UnterminatedString) => Said::with(
            "this text is not closed",
            "end it with the quote that it begins with; a text over several lines is written in backticks",
        ),
        ParseErrorType::UnexpectedEOF | ParseErrorType::MissingToken(..) if let Some((bracket, opened)) = unclosed(text, place) => {
            let wanted = match bracket {
                '(' => ')',
                '[' => ']',
                _ => '}',
            };
            let said = Said::with(format!("`{bracket}` is not closed"), format!("its `{wanted}` is missing"));
            let end = before(text, place).unwrap_or(place);
            let others = if end.line > opened.line { vec![(end, format!("no `{wanted}` up to here"))] } else { Vec::new() };
            Said { others, ..said.at(Some(opened)) }
        }
        ParseErrorType::MismatchedType(wanted, found) if wanted.contains("iterable") => {
            Said::with(format!("{found} cannot be gone through"), "count with a range: for index in 0..5 { ... }")
        }
        ParseErrorType::AssignmentToConstant(name) => Said::with(format!("`{name}` is constant"), "declare it with `let` to change it"),
        ParseErrorType::UnexpectedEOF => Said::with("the script ends in the middle", "is a bracket or a quote not closed?"),
        ParseErrorType::MissingToken(token, _)
            if token == ";"
                && let Some(at) = division(text, place) =>
        {
            Said::with("`//` begins a comment", "a / b of integers leaves the fraction out; (a / b).floor() does so with floats")
                .at(Some(at))
        }
        ParseErrorType::MissingToken(token, _) if token == ";" => {
            Said::with("`;` is missing here", "a statement ends with `;`").at(before(text, place))
        }
        ParseErrorType::MissingToken(token, about) => Said::plain(format!("`{token}` is missing {about}")),
        ParseErrorType::FnDuplicatedDefinition(name, 1) => Said::with(
            format!("there are two functions `{name}` with one parameter"),
            "functions of one name differ in how many parameters they have",
        ),
        ParseErrorType::FnDuplicatedDefinition(name, count) => Said::with(
            format!("there are two functions `{name}` with {count} parameters"),
            "functions of one name differ in how many parameters they have",
        ),
        ParseErrorType::WrongFnDefinition => Said::with(
            "a function is defined at the top of a script, not inside of something",
            "one that is needed here is a closure: let double = |x| x * 2; double.call(5)",
        ),
        ParseErrorType::DuplicatedProperty(name) => Said::with(format!("`{name}` stands twice in this map"), "leave one of them out"),
        ParseErrorType::PropertyExpected if word_at(text, place) == "eval" => {
            Said::with("there is no `eval`", "a model computes and does not learn: leave it out")
        }
        ParseErrorType::PropertyExpected if let Some(help) = instead(&word_at(text, place)) => {
            Said::with(format!("there is no `{}`", word_at(text, place)), help)
        }
        ParseErrorType::Reserved(name) => {
            Said::with(format!("`{name}` is a word of the language"), format!("choose another name, such as `{name}_`"))
        }
        ParseErrorType::VariableExpected if !word_at(text, place).is_empty() => {
            let name = word_at(text, place);
            Said::with(format!("`{name}` is a word of the language"), format!("choose another name, such as `{name}_`"))
        }
        other => {
            let told = other.to_string();
            match told.as_str() {
                "Possibly a typo of '=='?" => Said::with("`=` assigns, and is no condition", "write == to compare"),
                "Unexpected '.'" => Said::with("a number begins with a digit", "write 0.5"),
                "Unexpected '}'" => Said::with("this `}` closes nothing", "something is missing before it, or it is one too many"),
                "Unexpected ')'" => Said::with("this `)` closes nothing", "something is missing before it, or it is one too many"),
                "Unexpected ']'" => Said::with("this `]` closes nothing", "something is missing before it, or it is one too many"),
                "Unexpected ';'" => Said::with("a value is missing before this `;`", "an expression ends here that has only begun"),
                _ => Said::plain(format!("syntax: {}", lowered(&told))),
            }
        }
    }
}

/// The name or word that begins at a place.
fn word_at(text: &str, place: Place) -> String {
    let line = place.line.checked_sub(1).and_then(|number| text.lines().nth(number)).unwrap_or_default();
    line.chars().skip(place.column.saturating_sub(1)).take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Where a comment before a missing `;` looks like a division: `let x = 5 // 2;`.
fn division(text: &str, place: Place) -> Option<Place> {
    let end = before(text, place)?;
    let line = text.lines().nth(end.line.checked_sub(1)?)?;
    let rest: String = line.chars().skip(end.column.saturating_sub(1)).collect();
    let divides = Regex::new(r"^\s*//\s*[\w.()]+\s*;?\s*$").is_ok_and(|regex| regex.is_match(&rest));
    divides.then(|| place_of(end.line, end.column + rest.chars().take_while(|c| c.is_whitespace()).count()))
}

pub(super) fn place_of(line: usize, column: usize) -> Place {
    Place::new(line, column)
}

/// The end of what stands before a place: there a `;` is missing.
fn before(text: &str, place: Place) -> Option<Place> {
    let lines: Vec<&str> = text.lines().collect();
    let mut number = place.line.checked_sub(1)?;
    let mut part: String = lines.get(number).map_or_else(String::new, |line| line.chars().take(place.column.saturating_sub(1)).collect());
    loop {
        let code = without_comment(&part);
        let end = code.trim_end().chars().count();
        if end > 0 {
            return Some(place_of(number + 1, end + 1));
        }
        number = number.checked_sub(1)?;
        part = (*lines.get(number)?).to_owned();
    }
}

/// A line up to its comment.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut characters = line.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match quote {
            Some(_) if c == '\\' => _ = characters.next(),
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '`' => quote = Some(c),
            None if c == '/' && characters.peek().is_some_and(|(_, next)| *next == '/') => return &line[..at],
            None => {}
        }
    }
    line
}

/// The bracket that is not closed before `end`, and where it was opened. Where the indentation says that an inner one was forgotten, that one.
fn unclosed(text: &str, end: Place) -> Option<(char, Place)> {
    let mut open: Vec<(char, Place, usize)> = Vec::new();
    let mut suspect = None;
    let mut in_block_comment = false;
    let mut quote: Option<char> = None;
    for (number, line) in text.lines().enumerate() {
        if number + 1 > end.line {
            break;
        }
        let indent = line.chars().take_while(|c| c.is_whitespace()).count();
        let characters: Vec<char> = line.chars().collect();
        let mut at = 0;
        while at < characters.len() {
            let (c, next) = (characters[at], characters.get(at + 1).copied());
            if in_block_comment {
                if c == '*' && next == Some('/') {
                    in_block_comment = false;
                    at += 1;
                }
            } else if let Some(open_quote) = quote {
                if c == '\\' {
                    at += 1;
                } else if c == open_quote {
                    quote = None;
                }
            } else if c == '/' && next == Some('/') {
                break;
            } else if c == '/' && next == Some('*') {
                in_block_comment = true;
                at += 1;
            } else if c == '"' || c == '`' {
                quote = Some(c);
            } else if c == '\'' && characters.get(at + 2) == Some(&'\'') {
                at += 2;
            } else if "([{".contains(c) {
                open.push((c, place_of(number + 1, at + 1), indent));
            } else if ")]}".contains(c)
                && let Some((bracket, place, of)) = open.pop()
                && bracket == '{'
                && at == indent
                && indent < of
            {
                // A brace that begins its line closes one of a deeper line: the deeper one was forgotten.
                suspect.get_or_insert((bracket, place));
            }
            at += 1;
        }
        // A plain text ends with its line.
        if quote == Some('"') {
            quote = None;
        }
    }
    let (bracket, place, _) = open.last().copied()?;
    Some(suspect.unwrap_or((bracket, place)))
}

/// Whether a text ends inside of a bracket.
pub(super) fn has_open_bracket(text: &str) -> bool {
    unclosed(text, place_of(usize::MAX, 1)).is_some()
}

/// A name that stands for nothing.
pub(super) fn variable(catalog: &Catalog, name: &str, text: &str, place: Option<Place>) -> Said {
    let said = |help: String| Said::with(format!("there is no variable `{name}`"), help);
    if let Some((_, help)) = WORDS.iter().find(|(word, _)| *word == name) {
        return Said::with(format!("there is no `{name}`"), *help);
    }
    let declares = |word: &str| Regex::new(&format!(r"\b{word}\s+{}\b", regex::escape(name))).is_ok_and(|found| found.is_match(text));
    let rest: String = place
        .and_then(|place| {
            text.lines().nth(place.line.checked_sub(1)?).map(|line| line.chars().skip(place.column.saturating_sub(1)).collect())
        })
        .unwrap_or_default();
    let after = rest.strip_prefix(name).unwrap_or_default().trim_start();
    let imported = declares("as") || super::modules::built_in_names().any(|known| known == name);
    if imported && after.starts_with('.') {
        let called: String = after[1..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let import = if declares("as") { String::new() } else { format!("; import \"{name}\" as {name}; at the top makes it known") };
        return said(format!("a script's functions are called with `::`: {name}::{called}(...){import}"));
    }
    if declares("const") {
        return said(format!("a function sees a constant of its script as global::{name}"));
    }
    if declares("let") {
        return said(
            "a function sees its parameters only: pass it to the function, or declare it `const` and write global::NAME".to_owned(),
        );
    }
    let is_function = |what: &str| Said::with(format!("`{name}` is a function"), what);
    if declares("fn") && !after.starts_with('(') {
        return is_function(&format!("{name}(...) calls it; Fn(\"{name}\") holds it, to be called later"));
    }
    if let Some(form) = catalog.forms(name).first().filter(|_| !after.starts_with('(')) {
        return is_function(&if form.arity == 0 { format!("write {name}()") } else { format!("write {}", call_of(&form.signature)) });
    }
    match nearest(name, declared(text).into_iter()) {
        Some(near) => said(format!("did you mean `{near}`?")),
        None if after.starts_with('(') => said("`caramba docs` lists the functions that there are".to_owned()),
        None => said(format!("declare it: let {name} = ...;")),
    }
}

/// `assert(condition: bool, message: text)` as it is called: `assert(condition, message)`.
fn call_of(signature: &str) -> String {
    let call = signature.split(" -> ").next().unwrap_or(signature);
    Regex::new(r": [^,)]+").map_or_else(|_| call.to_owned(), |kinds| kinds.replace_all(call, "").into_owned())
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

/// A function or method that there is not. `known` are those that could be meant; `otherwise` is said where none is near.
pub(super) fn no_function<'a>(message: &str, name: &str, known: impl Iterator<Item = &'a str>, otherwise: &str) -> Error {
    let known: Vec<&str> = known.collect();
    let help = match (instead(name), nearest(name, known.into_iter())) {
        (Some(help), _) => help,
        (None, Some(near)) => format!("did you mean `{near}`?"),
        (None, None) => otherwise.to_owned(),
    };
    Error::new(message).remedy(help)
}

/// A property that a value of this type has not, or that cannot be set.
pub(super) fn no_property(catalog: &Catalog, kind: &str, property: &str, written: bool) -> Error {
    let known: Vec<&str> = catalog.properties(kind).collect();
    if written && known.contains(&property) {
        let help = match kind {
            "Model" => format!("it is the model's own; a session is given its own: model.session(#{{ {property}: ... }})"),
            "Session" => "a session keeps what it was made with: make another one with model.session(#{ ... })".to_owned(),
            _ => "make another value with what you need".to_owned(),
        };
        return Error::new(format!("`{property}` of {} can be read, not set", a(kind))).remedy(help);
    }
    if kind == "()" {
        let error = Error::new(format!("this is nothing, `()`, and has no `{property}`"));
        return error.remedy("what gave it had no value; `a?.b` is () there, and `a ?? b` another value");
    }
    let error = Error::new(format!("{} has no property `{property}`", plain_type(kind)));
    if catalog.methods(kind).any(|name| name == property) {
        return error.remedy(format!("it is a method: write {property}()"));
    }
    if let Some(help) = instead(property) {
        return error.remedy(help);
    }
    let method = nearest(property, catalog.methods(kind)).map(|near| format!("did you mean `{near}()`? "));
    match (nearest(property, known.iter().copied()).map(|near| format!("did you mean `{near}`? ")).or(method), known.is_empty()) {
        (Some(near), false) => error.remedy(format!("{near}it has: {}", known.join(", "))),
        (Some(near), true) => error.remedy(near.trim_end()),
        (None, false) => error.remedy(format!("it has: {}", known.join(", "))),
        (None, true) => error,
    }
}

/// A documented function that takes no arguments of these types.
pub(super) fn wrong_types(catalog: &Catalog, name: &str, kinds: &[String]) -> Error {
    let forms = catalog.forms(name);
    if name == ".." || name == "..=" {
        let error = Error::new(format!("a range goes from integer to integer, and this is {}", kinds.join(" to ")));
        return error.remedy("range(0.0, 1.0, 0.25) steps through floats: for x in range(0.0, 1.0, 0.25) { ... }");
    }
    if !name.starts_with(|first: char| first.is_alphabetic() || first == '_') {
        let error = Error::new(format!("`{name}` does not work on {}", kinds.join(" and ")));
        let numeric = |kind: &String| kind == "integer" || kind == "float";
        return match (name, kinds) {
            (_, kinds) if kinds.iter().any(|kind| kind == "()") => {
                error.remedy("one of them is nothing: what gave it had no value; `a ?? b` takes b there")
            }
            ("+" | "%", [a, b]) if a == "text" || b == "text" => error.remedy("`${value}` in backticks puts a value into a text"),
            ("+" | "-" | "*" | "/", [a, b]) if a == "array" && numeric(b) || b == "array" && numeric(a) => {
                error.remedy(format!("numbers(values) {name} 2 does it with each number, and so does values.map(|x| x {name} 2)"))
            }
            _ => error,
        };
    }
    let is_text = |at: usize| kinds.get(at).is_some_and(|kind| kind == "text");
    let meant = match name {
        "append" if kinds.first().is_some_and(|kind| kind == "array") => {
            Some("values.push(value) adds one value; append takes another array")
        }
        "int" | "to_int" if is_text(0) => Some("parse_int(text) reads an integer out of a text"),
        "float" | "to_float" if is_text(0) => Some("parse_float(text) reads a number out of a text"),
        "print" if kinds.len() > 1 => Some("print takes one value: print(`${a} ${b}`)"),
        _ => None,
    };
    if let Some(help) = meant {
        return Error::new(format!("`{name}` does not take ({})", kinds.join(", "))).remedy(help);
    }
    // A method's forms are those of its object.
    let same: Vec<&Form> = forms.iter().filter(|form| kinds.first() == Some(&form.first)).collect();
    let meant: Vec<&Form> = if same.is_empty() { forms.iter().collect() } else { same };
    let same_number: Vec<&Form> = meant.iter().copied().filter(|form| form.arity == kinds.len()).collect();
    let meant = if same_number.is_empty() { meant } else { same_number };
    let error = Error::new(format!("`{name}` does not take ({})", kinds.join(", ")));
    match signatures(meant.into_iter()) {
        Some(signatures) => error.remedy(format!("it is {signatures}")),
        None => error,
    }
}

/// How a function is called, in its first few forms; those of Rust's other numbers are left out.
pub(super) fn signatures<'a>(forms: impl Iterator<Item = &'a Form>) -> Option<String> {
    let mut told = BTreeSet::new();
    let is_plain = |text: &str| {
        !["i8", "i16", "i32", "i128", "u8", "u16", "u32", "u64", "u128", "f32", "(_", ", _", "isize", "usize"]
            .iter()
            .any(|kind| text.contains(kind))
    };
    let distinct = forms.map(|form| form.signature.as_str()).filter(|text| is_plain(text) && told.insert(*text));
    let distinct: Vec<&str> = distinct.take(4).collect();
    if distinct.is_empty() { None } else { Some(distinct.join(" or ")) }
}

/// `a Model`, `an array`.
pub(super) fn a(kind: &str) -> String {
    match kind {
        "text" | "Tokens" | "Numbers" => kind.to_owned(),
        "()" => "nothing, `()`,".to_owned(),
        _ if kind.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O']) => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

pub(super) fn lowered(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) if characters.clone().next().is_some_and(char::is_lowercase) => first.to_lowercase().chain(characters).collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forgotten_bracket_is_found() {
        let found =
            |text: &str| unclosed(text, place_of(text.lines().count(), 99)).map(|(bracket, place)| (bracket, place.line, place.column));
        assert_eq!(found("fn f() {\n    if x {\n        1\n}\n"), Some(('{', 2, 10)));
        assert_eq!(found("fn f() {\n    1\n"), Some(('{', 1, 8)));
        assert_eq!(found("print(1"), Some(('(', 1, 6)));
        assert_eq!(found("let a = \"{\"; // {\nlet b = '{'; /* ( \n */ `${[1]}`"), None);
    }

    #[test]
    fn what_stands_before() {
        assert_eq!(before("let a = 1  // one\n\nlet b", place_of(3, 1)), Some(place_of(1, 10)));
        assert_eq!(before("let a = \"//\"\nb", place_of(2, 1)), Some(place_of(1, 13)));
        assert_eq!(before("  b", place_of(1, 3)), None);
    }
}
