//! What to do about a mistake: what people type who know another language, and the names that were meant.

use super::catalog::{Catalog, Form, nearest, plain_type};
use crate::diagnostics::Place;
use crate::error::Error;
use regex::Regex;
use rhai::{LexError, ParseErrorType};

/// Words of other languages that stand where a name stands, and what Rhai has for them.
const WORDS: &[(&str, &str)] = &[
    ("None", "nothing is written `()`"),
    ("null", "nothing is written `()`"),
    ("nil", "nothing is written `()`"),
    ("undefined", "nothing is written `()`"),
    ("True", "write `true`"),
    ("False", "write `false`"),
    ("not", "write `!x`"),
    ("and", "write `a && b`"),
    ("or", "write `a || b`"),
    ("is", "write `a == b`"),
    ("def", "a function is written `fn name(x) { x + 1 }`"),
    ("function", "a function is written `fn name(x) { x + 1 }`"),
    ("func", "a function is written `fn name(x) { x + 1 }`"),
    ("lambda", "a function without a name is written `|x| x + 1`"),
    ("elif", "write `else if x { ... }`"),
    ("var", "a variable is declared with `let name = value;`"),
    ("pass", "an empty block is written `{}`"),
    ("raise", "`fail(\"what is wrong\", \"what to do\")` or `throw value` ends with an error"),
    ("except", "errors are caught by `try { ... } catch (error) { ... }`"),
    ("from", "a script is imported by `import \"name\" as name;`"),
    ("class", "`object(#{ count: 0, add: |n| { this.count += n } })` makes an object with methods"),
    ("self", "an object is `this` in its methods"),
    ("del", "`map.remove(\"key\")` and `array.remove(index)` take something out"),
    ("async", "everything runs in order: leave it out"),
    ("await", "everything runs in order: leave it out"),
    ("math", "these are functions and methods: `x.sqrt()`, `x.exp()`, `PI()`"),
    ("np", "arrays and numbers have the methods: `values.mean()`, `numbers([1.0, 2.0]).sum()`"),
    ("torch", "a model is made with `load(path)`; `caramba docs Model` lists what it has"),
    ("console", "write `print(value)`"),
    ("std", "write `print(value)`"),
];

/// Functions and methods of other languages, and what scripts call instead.
const FUNCTIONS: &[(&str, &str)] = &[
    ("append", "arrays have `push(value)`"),
    ("extend", "arrays have `append(other)`, or `a += b`"),
    ("str", "`${value}` in backticks, or value.to_string()"),
    ("int", "x.to_int() of a number, parse_int(text) of a text"),
    ("float", "x.to_float() of a number, parse_float(text) of a text"),
    ("type", "type_of(value)"),
    ("isinstance", "type_of(value) == \"array\""),
    ("enumerate", "for (value, index) in array { ... }"),
    ("items", "for (name, value) in map { ... }"),
    ("sorted", "array.sort() sorts it, and returns it"),
    ("reversed", "array.reverse()"),
    ("strip", "text.trim()"),
    ("lower", "text.to_lower()"),
    ("upper", "text.to_upper()"),
    ("startswith", "text.starts_with(part)"),
    ("endswith", "text.ends_with(part)"),
    ("println", "print(value)"),
    ("printf", "print(`${value}`)"),
    ("open", "read_text(path), read_json(path), read_lines(path)"),
    ("forEach", "array.for_each(|x| ...), or a `for` loop"),
    ("foreach", "array.for_each(|x| ...), or a `for` loop"),
    ("includes", "`value in array`, or array.contains(value)"),
    ("has_key", "`\"name\" in map`"),
    ("tolist", "Tokens and Numbers have to_array()"),
    ("numpy", "Tokens and Numbers have to_array()"),
    ("encode", "model.tokenize(text)"),
    ("decode", "model.detokenize(tokens); session.decode(n) makes n tokens"),
    ("forward", "session.prefill(tokens), then session.logits()"),
    ("chat", "model.chat([#{ role: \"user\", content: text }]), whose tokens session.prefill(...) takes"),
    ("plot", "run.line_chart(\"name.png\", #{ ... }), or `charts(rows)` of a benchmark"),
    ("save", "write_text(path, text), write_json(path, value), or run.json(name, value) in a run directory"),
    ("env", "`args.name` and --set name=value give a script its values"),
    ("now", "timer() measures time: clock.ms()"),
    ("time", "timer() measures time: clock.ms()"),
];

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

    fn at(self, place: Option<Place>) -> Said {
        Said { place: place.or(self.place), ..self }
    }
}

/// A mistake of syntax at a place of a script.
pub(super) fn syntax(kind: &ParseErrorType, text: &str, place: Place) -> Said {
    if let Some(said) = foreign(text, place, kind) {
        return said;
    }
    match kind {
        ParseErrorType::VariableUndefined(name) => variable(name, text, Some(place)),
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
        ParseErrorType::MissingToken(token, _) if token == ";" => {
            Said::with("`;` is missing here", "a statement ends with `;`").at(before(text, place))
        }
        ParseErrorType::MissingToken(token, about) => Said::plain(format!("`{token}` is missing {about}")),
        other => Said::plain(format!("syntax: {}", lowered(&other.to_string()))),
    }
}

/// What is another language's at this place.
fn foreign(text: &str, place: Place, kind: &ParseErrorType) -> Option<Said> {
    let line = text.lines().nth(place.line.checked_sub(1)?).unwrap_or_default();
    let column = place.column.saturating_sub(1);
    let rest: String = line.chars().skip(column).collect();
    let before: String = line.chars().take(column).collect();
    let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let last: String =
        before.trim_end().chars().rev().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<Vec<_>>().into_iter().rev().collect();
    let last_at = place_of(place.line, before.trim_end().chars().count() + 1 - last.chars().count());
    let first = line.split_whitespace().next().unwrap_or_default();
    let first_at = place_of(place.line, line.chars().take_while(|c| c.is_whitespace()).count() + 1);
    let undefined = matches!(kind, ParseErrorType::VariableUndefined(_));
    let known = |word: &str| WORDS.iter().find(|(name, _)| *name == word).map(|(_, help)| *help);
    // `# comment`
    if rest.starts_with('#') && !rest.starts_with("#{") {
        return Some(Said::with(
            "a comment does not begin with `#` here",
            format!("write // {}", rest.trim_start_matches(['#', ' ', '!'])),
        ));
    }
    if line.trim_start().starts_with('#') && !line.trim_start().starts_with("#{") {
        let comment = line.trim_start().trim_start_matches(['#', ' ', '!']);
        return Some(Said::with("a comment does not begin with `#` here", format!("write // {comment}")).at(Some(first_at)));
    }
    // f"..."
    if rest.starts_with('"') && before.ends_with(['f', 'r', 'b']) && last.chars().count() == 1 || (undefined && rest.starts_with("f\"")) {
        let quoted = rest.trim_start_matches('f').trim_start_matches('"').split('"').next().unwrap_or_default();
        let inside = quoted.replace('{', "${");
        let at = if rest.starts_with('f') { place } else { last_at };
        return Some(Said::with("values stand in texts in backticks", format!("write `{inside}`")).at(Some(at)));
    }
    // 'text'
    if matches!(kind, ParseErrorType::BadInput(LexError::MalformedChar(_))) {
        let begin = before.rfind('\'').map(|at| before[..at].chars().count());
        let (quoted, at) = match (begin, rest.strip_prefix('\'')) {
            (_, Some(inside)) => (inside.split('\'').next().unwrap_or_default().to_owned(), place),
            (Some(begin), None) => {
                let inside: String = line.chars().skip(begin + 1).take_while(|c| *c != '\'').collect();
                (inside, place_of(place.line, begin + 1))
            }
            (None, None) => (String::new(), place),
        };
        return Some(Said::with("single quotes hold one character", format!("write \"{quoted}\"")).at(Some(at)));
    }
    // i++
    if let Some(sign) = ["++", "--"].into_iter().find(|sign| rest.starts_with(sign) || before.trim_end().ends_with(sign)) {
        let name: String = last.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
        let name = if name.is_empty() { "i" } else { &name };
        return Some(Said::with(format!("there is no `{sign}`"), format!("write {name} {}= 1", &sign[..1])));
    }
    // x ? a : b
    if rest.starts_with('?') && !rest.starts_with("??") && !rest.starts_with("?.") {
        return Some(Said::with("there is no `? :`", "write if x { a } else { b }, which is a value"));
    }
    // model.session(cache="q8")
    let assigned = rest.chars().skip(word.chars().count()).collect::<String>();
    let assigned = assigned.trim_start();
    let is_assigned = |text: &str| text.starts_with('=') && !text.starts_with("==") && !text.starts_with("=>");
    let opened = before.matches('(').count() > before.matches(')').count();
    if opened && !word.is_empty() && is_assigned(assigned) || opened && is_assigned(&rest) {
        let name = if word.is_empty() { &last } else { &word };
        let at = if word.is_empty() { last_at } else { place };
        return Some(Said::with("arguments have no names", format!("options go into a map: #{{ {name}: value }}")).at(Some(at)));
    }
    // {"a": 1}
    if rest.starts_with(':') && (before.trim_end().ends_with('"') || !last.is_empty()) && before.contains('{') && !before.contains("#{") {
        let brace = before.rfind('{').map(|at| place_of(place.line, before[..at].chars().count() + 1));
        return Some(Said::with("a map begins with `#{`", "write #{ name: value }").at(brace));
    }
    // A word where it stands, before it, or at the beginning of the line.
    for (candidate, at) in [(word.as_str(), place), (last.as_str(), last_at), (first, first_at)] {
        // What is declared under such a name is no mistake.
        let declares =
            Regex::new(&format!(r"\b(let|const|for|fn)\s+{}\b", regex::escape(candidate))).is_ok_and(|found| found.is_match(text));
        if let Some(help) = known(candidate).filter(|_| !declares) {
            return Some(Said::with(format!("there is no `{candidate}`"), help).at(Some(at)));
        }
    }
    // if x:
    let blocks = ["if", "for", "while", "else", "try", "with", "else:", "try:"];
    if (rest.starts_with(':') || line.trim_end().ends_with(':')) && blocks.contains(&first) {
        let colon = place_of(place.line, line.trim_end().chars().count());
        let head = line.trim().trim_end_matches(':');
        return Some(Said::with("a block stands in braces", format!("write {head} {{ ... }}")).at(Some(colon)));
    }
    None
}

fn place_of(line: usize, column: usize) -> Place {
    Place { line, column }
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
pub(super) fn variable(name: &str, text: &str, place: Option<Place>) -> Said {
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
    match nearest(name, declared(text).into_iter()) {
        Some(near) => said(format!("did you mean `{near}`?")),
        None if after.starts_with('(') => said("`caramba docs` lists the functions that there are".to_owned()),
        None => said(format!("declare it: let {name} = ...;")),
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

/// A function or method that there is not. `known` are those that could be meant; `otherwise` is said where none is near.
pub(super) fn no_function<'a>(message: &str, name: &str, known: impl Iterator<Item = &'a str>, otherwise: &str) -> Error {
    let known: Vec<&str> = known.collect();
    let help = match (FUNCTIONS.iter().find(|(word, _)| *word == name), nearest(name, known.into_iter())) {
        (Some((_, help)), _) => format!("write {help}"),
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
    let error = Error::new(format!("{} has no property `{property}`", plain_type(kind)));
    if catalog.methods(kind).any(|name| name == property) {
        return error.remedy(format!("it is a method: write {property}()"));
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
        return match (name, kinds) {
            ("+", [a, b]) if a == "text" || b == "text" => error.remedy("`${value}` in backticks puts a value into a text"),
            _ => error,
        };
    }
    // A method's forms are those of its object.
    let same: Vec<&Form> = forms.iter().filter(|form| kinds.first() == Some(&form.first)).collect();
    let meant: Vec<&Form> = if same.is_empty() { forms.iter().collect() } else { same };
    let same_number: Vec<&Form> = meant.iter().copied().filter(|form| form.arity == kinds.len()).collect();
    let meant = if same_number.is_empty() { meant } else { same_number };
    let signatures: Vec<&str> = meant.iter().map(|form| form.signature.as_str()).take(4).collect();
    Error::new(format!("`{name}` does not take ({})", kinds.join(", "))).remedy(format!("it is {}", signatures.join(" or ")))
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
