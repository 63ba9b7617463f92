//! What people type who know another language: its words, its functions, its syntax, and what scripts have for them.

use super::hints::{Said, place_of};
use crate::diagnostics::Place;
use regex::Regex;
use rhai::{LexError, ParseErrorType};

/// Words of other languages that stand where a name stands, and what Rhai has for them.
pub(super) const WORDS: &[(&str, &str)] = &[
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
    ("match", "write `switch value { 1 => \"one\", _ => \"many\" }`"),
    ("case", "write `switch value { 1 => \"one\", _ => \"many\" }`"),
    ("with", "a file is read whole: read_text(path), read_json(path), read_lines(path)"),
    ("struct", "a map holds values by name: `#{ name: value }`"),
    ("finally", "what follows the `catch` block runs in both cases: leave it out"),
    ("elseif", "write `else if x { ... }`"),
    ("require", "a script is imported by `import \"name\" as name;`"),
    ("NaN", "write 0.0 / 0.0; x.is_nan() asks for it"),
    ("nan", "write 0.0 / 0.0; x.is_nan() asks for it"),
    ("inf", "write 1.0 / 0.0; x.is_infinite() asks for it"),
    ("Infinity", "write 1.0 / 0.0; x.is_infinite() asks for it"),
    ("os", "paths are texts: `${folder}/name.csv`; list_directory and glob find files"),
    ("sys", "`args.rest` are the arguments of the command line; exit(status) ends the script"),
    ("json", "write parse_json(text), to_json(value), read_json(path)"),
    ("Math", "these are functions and methods: `x.sqrt()`, `max(a, b)`, `PI()`"),
    ("math", "these are functions and methods: `x.sqrt()`, `x.exp()`, `PI()`"),
    ("np", "arrays and numbers have the methods: `values.mean()`, `numbers([1.0, 2.0]).sum()`"),
    ("torch", "a model is made with `load(path)`; `caramba docs Model` lists what it has"),
    ("console", "write `print(value)`"),
    ("std", "write `print(value)`"),
];

/// Functions, methods and properties of other languages, and what scripts call instead; `!` before what is a sentence of its own.
const FUNCTIONS: &[(&str, &str)] = &[
    ("append", "values.push(value)"),
    ("add", "values.push(value)"),
    ("extend", "values.append(others), or values += others"),
    ("concat", "a + b"),
    ("size", "values.len"),
    ("length", "values.len"),
    ("count", "values.len, or values.filter(|x| x > 0).len"),
    ("slice", "values.extract(1..3), or tokens[1..3]"),
    ("remove_at", "values.remove(index)"),
    ("substr", "text.sub_string(start, length)"),
    ("substring", "text.sub_string(start, length)"),
    ("find", "text.index_of(part), or values.index_of(value)"),
    ("indexOf", "text.index_of(part), or values.index_of(value)"),
    ("isdigit", "matches(text, \"^[0-9]+$\")"),
    ("splitlines", "text.split(\"\\n\")"),
    ("update", "map.mixin(others), or map += others"),
    ("values_of", "map.values()"),
    ("str", "`${value}` in backticks, or value.to_string()"),
    ("int", "x.to_int() of a number, parse_int(text) of a text"),
    ("float", "x.to_float() of a number, parse_float(text) of a text"),
    ("type", "type_of(value)"),
    ("isinstance", "type_of(value) == \"array\""),
    ("enumerate", "for (value, index) in array { ... }"),
    ("items", "for (name, value) in map { ... }"),
    ("sorted", "values.order(), or values.sort() in place"),
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
    ("tolist", "values.to_array()"),
    ("to_list", "values.to_array()"),
    ("numpy", "values.to_array()"),
    ("from_json", "parse_json(text)"),
    ("json_loads", "parse_json(text)"),
    ("load_json", "read_json(path)"),
    ("random", "rng(seed), then .uniform(), .normal() or .integer(1, 6)"),
    ("rand", "rng(seed), then .uniform(), .normal() or .integer(1, 6)"),
    ("randint", "rng(seed), then .integer(1, 6)"),
    ("shape", "values.len; matrix.rows and matrix.columns"),
    ("load_npy", "read_npy(path)"),
    ("percentile", "quantile(values, 0.95)"),
    ("average", "values.mean()"),
    ("avg", "values.mean()"),
    ("std", "values.standard_deviation()"),
    ("stdev", "values.standard_deviation()"),
    ("var", "values.standard_deviation() ** 2"),
    ("variance", "values.standard_deviation() ** 2"),
    ("T", "matrix.transpose()"),
    ("matmul", "a * b, the product of matrices"),
    ("inv", "matrix.inverse()"),
    ("reshape", "numbers.rows(width)"),
    ("astype", "tokens(values), numbers(values)"),
    ("generate", "let session = model.session(); session.prefill(model.tokenize(text)); session.generate(#{ max_tokens: 64 })"),
    ("to", "!a model lies on the device that --device chooses"),
    ("cuda", "!a model lies on the device that --device chooses"),
    ("n_layers", "model.layers"),
    ("num_layers", "model.layers"),
    ("num_hidden_layers", "model.layers"),
    ("hidden_size", "model.d_model"),
    ("hidden_dim", "model.d_model"),
    ("vocab_size", "model.vocab"),
    ("max_position_embeddings", "model.context"),
    ("config", "model.shape, model.context, model.vocab and the like"),
    ("tokenizer", "model.tokenize(text) and model.detokenize(tokens)"),
    ("device", "device()"),
    ("Error", "fail(\"what is wrong\", \"what to do\")"),
    ("Exception", "fail(\"what is wrong\", \"what to do\")"),
    ("request", "!scripts reach no network: read_text(path) reads a file"),
    ("fetch", "!scripts reach no network: read_text(path) reads a file"),
    ("hidden_state", "session.hidden_states(tokens, #{ layers: 5 })"),
    ("attentions", "session.attention_weights(tokens, #{ layers: 5 })"),
    ("read_parquet_file", "read_parquet(path)"),
    ("encode", "model.tokenize(text)"),
    ("decode", "model.detokenize(tokens); session.decode(n) makes n tokens"),
    ("forward", "session.prefill(tokens), then session.logits()"),
    ("chat", "model.chat([#{ role: \"user\", content: text }]), whose tokens session.prefill(...) takes"),
    ("plot", "run.line_chart(\"name.png\", #{ ... }), or `charts(rows)` of a benchmark"),
    ("save", "write_text(path, text), write_json(path, value), or run.json(name, value) in a run directory"),
    ("now", "let clock = timer(); and later clock.ms(); the day is date()"),
    ("time", "let clock = timer(); and later clock.ms(); the day is date()"),
];

/// Options by the names that other programs give them.
const OPTIONS: &[(&str, &str)] = &[
    ("max_length", "context"),
    ("max_seq_len", "context"),
    ("context_length", "context"),
    ("seq_len", "context"),
    ("n_ctx", "context"),
    ("ctx", "context"),
    ("kv_cache", "cache"),
    ("kv_dtype", "cache"),
    ("cache_type", "cache"),
    ("cache_kind", "cache"),
    ("batch", "batch_size"),
    ("n_batch", "batch_size"),
    ("num_sequences", "batch_size"),
    ("chunk_size", "prefill_chunk"),
    ("n_ubatch", "prefill_chunk"),
    ("temp", "temperature"),
    ("do_sample", "temperature"),
    ("n_predict", "max_tokens"),
    ("num_tokens", "max_tokens"),
    ("max_new_tokens", "max_tokens"),
    ("repeat_penalty", "repetition_penalty"),
    ("stop_sequences", "stop"),
    ("stop_strings", "stop"),
    ("logprobs", "top_logprobs"),
    ("quantization", "weights"),
    ("quantize", "weights"),
    ("precision", "weights"),
    ("layer", "layers"),
    ("head", "heads"),
    ("query", "queries"),
];

/// What scripts have instead of a function, method or property of another language.
pub(super) fn instead(name: &str) -> Option<String> {
    let (_, help) = FUNCTIONS.iter().find(|(other, _)| *other == name)?;
    Some(help.strip_prefix('!').map_or_else(|| format!("write {help}"), str::to_owned))
}

/// The option that another program calls `name`, if it is one of `known`.
pub(super) fn option<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let meant = OPTIONS.iter().find(|(other, _)| *other == name)?.1;
    let mut known = known;
    known.find(|option| *option == meant)
}

/// What is another language's at this place.
pub(super) fn foreign(text: &str, place: Place, kind: &ParseErrorType) -> Option<Said> {
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
    if let Some(said) = declared_elsewise(kind, line, place, &rest, &word, first) {
        return Some(said);
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
    // A method is no word.
    if before.trim_end().ends_with('.') {
        return None;
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
    // if x: ...
    let blocks = ["if", "for", "while", "else", "try", "with", "else:", "try:"];
    let is_block = blocks.contains(&first) && !line.contains('{');
    let colon = line.find(": ").or_else(|| line.trim_end().strip_suffix(':').map(str::len));
    if let Some(colon) = colon.filter(|_| is_block) {
        let at = place_of(place.line, line[..colon].chars().count() + 1);
        return Some(Said::with("a block stands in braces", format!("write {} {{ ... }}", line[..colon].trim())).at(Some(at)));
    }
    // if (x) print(x);
    if matches!(kind, ParseErrorType::MissingToken(token, _) if token == "{") {
        let firsts = text.lines().take(place.line).filter_map(|line| line.split_whitespace().next());
        let begun = firsts.filter(|word| blocks.contains(word)).last();
        let head = if before.trim_end().ends_with("else") { "else" } else { begun.unwrap_or("if").trim_end_matches(':') };
        let condition = if ["if", "while"].contains(&head) {
            " x"
        } else if head == "for" {
            " x in values"
        } else {
            ""
        };
        return Some(Said::with("a block in braces is missing here", format!("write {head}{condition} {{ ... }}")));
    }
    None
}

/// Declarations as other languages write them.
fn declared_elsewise(kind: &ParseErrorType, line: &str, place: Place, rest: &str, word: &str, first: &str) -> Option<Said> {
    let found = |pattern: &str| Regex::new(pattern).ok().and_then(|regex| regex.captures(line));
    let part = |found: &regex::Captures, at: usize| found.get(at).map(|part| part.as_str().to_owned()).unwrap_or_default();
    let is_fn = first == "fn" || line.trim_start().starts_with("private fn");
    // [x * 2 for x in values]
    if let Some(found) = found(r"\[\s*([^\[\]]+?)\s+for\s+(\w+)\s+in\s") {
        let at = found.get(0).map(|all| place_of(place.line, line[..all.start()].chars().count() + 1));
        let help = format!("write values.map(|{}| {}), with .filter(...) before it for an `if`", part(&found, 2), part(&found, 1));
        return Some(Said::with("there are no list comprehensions", help).at(at));
    }
    // let [a, b] = ...; let a, b = ...
    if found(r"^\s*(let|const)\s*[\[({]").is_some() || found(r"^\s*(let|const)\s+\w+\s*,").is_some() {
        return Some(Said::with(
            "`let` declares one variable",
            "take it apart behind that: let pair = ...; let a = pair[0]; let b = pair[1];",
        ));
    }
    if found(r"^\s*(let|const)\s+\w+\s*:").is_some() {
        return Some(Said::with("variables are declared without a type", "leave it out: let x = 5;"));
    }
    if rest.starts_with(':') && is_fn {
        return Some(Said::with("parameters are declared without a type", "leave it out: fn f(x) { ... }"));
    }
    if rest.starts_with("->") && is_fn {
        return Some(Said::with("functions are declared without a type", "leave it out: fn f(x) { ... }"));
    }
    if is_fn && let Some(found) = found(r"fn\s+(\w+)\s*\([^)=]*=\s*([^,)]+)") {
        let help = format!(
            "write a second function beside it: fn {0}() {{ {0}({1}) }}; or let it take a map of options",
            part(&found, 1),
            part(&found, 2).trim()
        );
        return Some(Said::with("parameters have no defaults", help));
    }
    // (x) => x + 1
    if matches!(kind, ParseErrorType::VariableUndefined(_))
        && Regex::new(r"^\w+(\s*,\s*\w+)*\s*\)?\s*=>").is_ok_and(|arrow| arrow.is_match(rest))
    {
        let names = rest.split("=>").next().unwrap_or_default().trim().trim_end_matches(')');
        return Some(Said::with("functions are not written with `=>`", format!("write |{names}| ...")));
    }
    if first == "for" && matches!(kind, ParseErrorType::MissingToken(token, _) if token == "in") && rest.starts_with(',') {
        return Some(Said::with("two variables of a loop stand in brackets", "write for (value, index) in values { ... }"));
    }
    if matches!(kind, ParseErrorType::MissingToken(token, _) if token == "=>") && rest.starts_with(',') {
        return Some(Said::with("several values of a case are parted by `|`", "write 1 | 2 => ..."));
    }
    if word == "fn" && matches!(kind, ParseErrorType::BadInput(_)) {
        return Some(Said::with("a function has a name here", "one without a name is written |x| x + 1"));
    }
    if rest.starts_with('@') && matches!(kind, ParseErrorType::UnknownOperator(_)) {
        return Some(Said::with("there is no `@`", "a * b is the product of matrices"));
    }
    if first == "import" && word == "eval" {
        return Some(Said::with("`eval` is a word of the language", "import it under another name: import \"eval\" as questions;"));
    }
    // for (let i = 0; i < 5; i++)
    if first == "for"
        && let Some(found) = found(r"for\s*\(.*?;\s*\w+\s*<=?\s*([\w.]+)\s*;")
    {
        let help = format!("write for i in 0..{} {{ ... }}, or a `while` loop", part(&found, 1));
        return Some(Said::with("`for` goes through something", help));
    }
    // import numpy as np
    if first == "import" && matches!(kind, ParseErrorType::VariableUndefined(_)) {
        const PACKAGES: [&str; 11] = ["numpy", "torch", "pandas", "scipy", "math", "os", "sys", "json", "re", "random", "matplotlib"];
        let help = match PACKAGES.contains(&word) {
            true => {
                "there are no packages of Python here; `caramba docs` lists what there is, and finds words: `caramba docs mean`".to_owned()
            }
            false => format!("write import \"{word}\" as {word};"),
        };
        return Some(Said::with("a script is imported by its name in quotes", help));
    }
    // 10 if x else 5
    if let (ParseErrorType::MissingToken(token, _), Some(found)) = (kind, found(r"(\S+)\s+if\s+(.+?)\s+else\s+([^;]+)"))
        && token == ";"
        && rest.starts_with("if")
    {
        let help = format!("write if {} {{ {} }} else {{ {} }}", part(&found, 2), part(&found, 1), part(&found, 3));
        return Some(Said::with("`if` stands before what it decides", help));
    }
    if let ParseErrorType::Reserved(name) = kind
        && ["print", "debug"].contains(&name.as_str())
    {
        return Some(Said::with(format!("`{name}` is a function"), format!("write {name}(value)")));
    }
    None
}
