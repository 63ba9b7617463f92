//! Every function that scripts can call, by name: for the static check and for errors that say what would have been right.

use rhai::Engine;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

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
    /// The types of all its arguments; "any" where it takes any, or where that is not known.
    pub(super) takes: Vec<String>,
    pub(super) returns: String,
    /// The names of its parameters.
    names: Vec<String>,
    comment: String,
}

impl Form {
    /// Whether an argument of type `given` (`None`: not known) is taken at `index`.
    fn fits(&self, index: usize, given: Option<&str>) -> bool {
        match (self.takes.get(index).map(String::as_str), given) {
            (None | Some("any"), _) | (_, None | Some("any")) => true,
            (Some(takes), Some(given)) => takes == given,
        }
    }

    /// Whether it takes arguments of these types.
    pub(super) fn takes(&self, given: &[Option<String>]) -> bool {
        self.arity == given.len() && given.iter().enumerate().all(|(index, given)| self.fits(index, given.as_deref()))
    }

    /// The name of a parameter.
    pub(super) fn parameter(&self, index: usize) -> Option<&str> {
        self.names.get(index).map(String::as_str)
    }

    /// Whether it can be called as a method of a value of this type.
    pub(super) fn is_method_of(&self, kind: &str) -> bool {
        self.arity > 0 && self.fits(0, Some(kind))
    }
}

pub(super) struct Catalog {
    functions: BTreeMap<String, Vec<Form>>,
}

impl Catalog {
    /// What every engine of caramba has: made once.
    pub(super) fn of(engine: &Engine) -> &'static Catalog {
        static CATALOG: OnceLock<Catalog> = OnceLock::new();
        CATALOG.get_or_init(|| Catalog::collect(engine))
    }

    fn collect(engine: &Engine) -> Catalog {
        let mut functions: BTreeMap<String, Vec<Form>> = BTreeMap::new();
        let all = engine.collect_fn_metadata(
            None,
            |info| {
                let function = info.metadata;
                let known = function.params_info.len() == function.num_params;
                let kind = |text: &str| text.split_once(':').map_or_else(|| "any".to_owned(), |(_, kind)| plain_type(kind));
                let takes: Vec<String> = if known {
                    function.params_info.iter().map(|text| kind(text)).collect()
                } else {
                    vec!["any".to_owned(); function.num_params]
                };
                let parameters: Vec<String> = function.params_info.iter().map(|text| parameter(text)).collect();
                let parameters = if known { parameters.join(", ") } else { vec!["_"; function.num_params].join(", ") };
                let returned = plain_type(&function.return_type);
                let arrow = if returned.is_empty() || returned == "()" { String::new() } else { format!(" -> {returned}") };
                let signature = format!("{}({parameters}){arrow}", function.name);
                let first = takes.first().cloned().unwrap_or_default();
                let names = function.params_info.iter().map(|text| text.split(':').next().unwrap_or(text).trim().to_owned()).collect();
                let comment = function.comments.join("\n");
                let arity = function.num_params;
                Some((function.name.to_string(), Form { arity, signature, first, takes, returns: returned, names, comment }))
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

    /// The names of what can be called without an object, or with any.
    pub(super) fn functions(&self) -> impl Iterator<Item = &str> {
        let methods = |forms: &[Form]| forms.iter().all(|form| form.first.starts_with(|c: char| c.is_ascii_uppercase()));
        self.functions.iter().filter(move |(name, forms)| is_word(name) && !methods(forms)).map(|(name, _)| name.as_str())
    }

    /// The properties of a type.
    pub(super) fn properties<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        let getters = self.functions.iter().filter_map(|(name, forms)| Some((name.strip_prefix(GETTER)?, forms)));
        getters.filter(move |(_, forms)| forms.iter().any(|form| form.first == kind)).map(|(name, _)| name)
    }

    /// The type of a property, where that is known.
    pub(super) fn property(&self, kind: &str, name: &str) -> Option<&str> {
        let forms = self.functions.get(&format!("{GETTER}{name}"))?;
        forms.iter().find(|form| form.first == kind).map(|form| form.returns.as_str())
    }

    /// Whether a property can be set.
    pub(super) fn has_setter(&self, kind: &str, name: &str) -> bool {
        self.functions.get(&format!("set${name}")).is_some_and(|forms| forms.iter().any(|form| form.first == kind))
    }

    /// The functions that are methods of a value of this type and of no other.
    pub(super) fn methods<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.functions.iter().filter(|(name, _)| is_word(name));
        named.filter(move |(_, forms)| forms.iter().any(|form| form.first == kind)).map(|(name, _)| name.as_str())
    }

    /// Whether this is a type of caramba's, whose properties and methods are all known.
    pub(super) fn is_closed(&self, kind: &str) -> bool {
        kind.starts_with(|c: char| c.is_ascii_uppercase()) && self.methods(kind).next().is_some()
    }

    /// Every word that the documentation of a function quotes, and that of the functions which it refers to: the names of its options are among them.
    /// Empty where it says nothing of options.
    pub(super) fn option_names(&self, function: &str) -> BTreeSet<&str> {
        let own = |name: &str| self.forms(name).iter().flat_map(|form| quoted(&form.comment)).collect::<BTreeSet<&str>>();
        let mut words = own(function);
        let referred: Vec<&str> = words.iter().copied().filter(|word| *word != function && !self.forms(word).is_empty()).collect();
        for name in referred {
            words.extend(own(name));
        }
        words
    }
}

fn is_word(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// The words in backticks of a comment, and the keys of maps in its examples.
fn quoted(comment: &str) -> impl Iterator<Item = &str> {
    let quoted = comment.split('`').skip(1).step_by(2).filter(|word| is_word(word) && !word.is_empty());
    let before_colons =
        comment.match_indices(':').filter_map(|(at, _)| comment[..at].rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next());
    quoted.chain(before_colons.filter(|word| !word.is_empty()))
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
        // One thing in two modules.
        "Run" => "RunDirectory",
        "Range<INT>" | "Range<i64>" | "RangeInclusive<INT>" | "RangeInclusive<i64>" | "ExclusiveRange" | "InclusiveRange" => "range",
        other => other,
    };
    plain.to_owned()
}

/// The nearest of `known` to a misspelt `name`, if one is near enough to be meant: rather nothing than something silly.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    crate::error::nearest(name, known)
}
