//! Every function that scripts can call, by name: for the static check and for errors that say what would have been right.

use rhai::Engine;
use std::collections::BTreeMap;

/// Functions that the language itself provides and that no module lists.
const KEYWORDS: &[&str] =
    &["Fn", "call", "curry", "is_def_var", "is_def_fn", "is_shared", "type_of", "print", "debug", "eval", "this", "exit"];

/// Getters and setters are functions with this before their name.
const GETTER: &str = "get$";

/// One form of a function.
pub(super) struct Form {
    pub(super) arity: usize,
    /// `slice(tokens: Tokens, start: integer, count: integer) -> Tokens`
    pub(super) signature: String,
    /// The type of its first argument, as the engine names it.
    pub(super) first: String,
}

pub(super) struct Catalog {
    functions: BTreeMap<String, Vec<Form>>,
}

impl Catalog {
    pub(super) fn of(engine: &Engine) -> Catalog {
        let mut functions: BTreeMap<String, Vec<Form>> = BTreeMap::new();
        let all = engine.collect_fn_metadata(
            None,
            |info| {
                let function = info.metadata;
                let first = function.params_info.first().and_then(|text| text.split_once(':')).map_or("", |(_, kind)| kind.trim());
                let first = plain_type(first.trim_start_matches("&mut ").trim_start_matches('&'));
                let parameters: Vec<String> = function.params_info.iter().map(|text| parameter(text)).collect();
                let parameters = if function.params_info.len() == function.num_params {
                    parameters.join(", ")
                } else {
                    vec!["_"; function.num_params].join(", ")
                };
                let returned = plain_type(&function.return_type);
                let arrow = if returned.is_empty() || returned == "()" { String::new() } else { format!(" -> {returned}") };
                let signature = format!("{}({parameters}){arrow}", function.name);
                Some((function.name.to_string(), Form { arity: function.num_params, signature, first }))
            },
            true,
        );
        for (name, form) in all {
            functions.entry(name).or_default().push(form);
        }
        // The engine's own order changes from run to run.
        functions.values_mut().for_each(|forms| forms.sort_by(|a, b| (a.arity, &a.signature).cmp(&(b.arity, &b.signature))));
        Catalog { functions }
    }

    pub(super) fn forms(&self, name: &str) -> &[Form] {
        self.functions.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn is_keyword(name: &str) -> bool {
        KEYWORDS.contains(&name)
    }

    /// The names of everything that can be called.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str).filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
    }

    /// The properties of a type.
    pub(super) fn properties<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        let getters = self.functions.iter().filter_map(|(name, forms)| Some((name.strip_prefix(GETTER)?, forms)));
        getters.filter(move |(_, forms)| forms.iter().any(|form| form.first == kind)).map(|(name, _)| name)
    }
}

/// `start: INT` as `start: integer`.
fn parameter(text: &str) -> String {
    match text.split_once(':') {
        Some((name, kind)) => format!("{}: {}", name.trim(), plain_type(kind)),
        None => plain_type(text),
    }
}

/// Rust's name of a type as a script's author would say it.
pub(super) fn plain_type(kind: &str) -> String {
    let kind = kind.trim().trim_start_matches("&mut ").trim_start_matches('&').trim();
    if let Some(inner) = kind.strip_prefix("Answer<").and_then(|rest| rest.strip_suffix('>')) {
        return plain_type(inner);
    }
    if let Some(inner) = kind.strip_prefix("RhaiResultOf<").and_then(|rest| rest.strip_suffix('>')) {
        return plain_type(inner);
    }
    let plain = match kind.rsplit("::").next().unwrap_or(kind) {
        "INT" | "i64" => "integer",
        "FLOAT" | "f64" => "float",
        "str" | "String" | "ImmutableString" | "string" => "text",
        "bool" => "bool",
        "Array" | "array" => "array",
        "Map" | "map" => "map",
        "FnPtr" | "Fn" => "function",
        "Dynamic" => "any",
        "Range<INT>" | "Range<i64>" | "RangeInclusive<INT>" | "RangeInclusive<i64>" | "ExclusiveRange" | "InclusiveRange" => "range",
        other => other,
    };
    plain.to_owned()
}

/// The nearest of `known` to a misspelt `name`, if one is near.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // `length` is meant where there is `len`.
    let begins = |candidate: &str| candidate.len() >= 3 && candidate != name && name.starts_with(candidate);
    let known: Vec<&str> = known.collect();
    known
        .iter()
        .copied()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance > 0 && *distance <= 1 + candidate.len() / 4)
        .min_by_key(|(distance, candidate)| (*distance, candidate.len()))
        .map(|(_, candidate)| candidate)
        .or_else(|| known.iter().copied().filter(|candidate| begins(candidate)).max_by_key(|candidate| candidate.len()))
}
