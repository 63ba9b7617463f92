//! Parameters of a script: `const PARAMETERS = #{ name: default, ... }`. A default says the type too, and `required(example)` stands
//! where there is no sensible default. What is given is checked against them: a misspelt name or a wrong type is an error, never a
//! silent default.

use super::failure::Answer;
use super::host::Host;
use super::values::{described, from_data, to_data};
use crate::diagnostics::underlined;
use crate::error::{At, Error, Result, unknown};
use crate::quant::{CACHE_KINDS, CacheKind, CacheKindEntry, CacheKinds};
use rhai::plugin::*;
use rhai::{AST, Engine, Map, Stmt};
use std::fmt::Write;

/// The name of the constant.
const NAME: &str = "PARAMETERS";

/// Stands for a default that there is none of; holds an example of the type.
#[derive(Debug, Clone)]
pub struct Required(Dynamic);

/// The default of a parameter that is a kind of cache; in an array, of each of its elements.
#[derive(Debug, Clone)]
pub struct CacheKindName(ImmutableString);

/// The default of a list that is empty unless it is given; holds an example of an element.
#[derive(Debug, Clone)]
pub struct ListOf(Dynamic);

/// What a script declares.
#[derive(Debug, Clone)]
pub(super) struct Parameters {
    entries: Vec<Parameter>,
}

/// What is wrong with the parameters that were given.
#[derive(Debug)]
pub(super) struct Wrong {
    /// That was given; `None` where one is missing.
    pub(super) key: Option<String>,
    pub(super) error: Error,
}

#[derive(Debug, Clone)]
struct Parameter {
    name: String,
    /// `None`: must be given.
    default: Option<Dynamic>,
    example: Dynamic,
    /// The comment on its line.
    help: String,
}

impl Parameter {
    fn missing(&self) -> Error {
        let remedy = match self.help.as_str() {
            "" => format!("it is {}", expected(&self.example)),
            help => format!("it is {}: {help}", expected(&self.example)),
        };
        Error::new(format!("parameter `{}` is missing", self.name)).remedy(remedy)
    }
}

impl Parameters {
    /// What `ast` declares, if it does; `text` is its source, where comments are found.
    pub(super) fn of(engine: &Engine, ast: &AST, text: &str) -> Answer<Option<Parameters>> {
        let declares = |statement: &&Stmt| matches!(statement, Stmt::Var(parts, ..) if parts.0.name == NAME);
        let Some(statement) = ast.statements().iter().find(declares) else { return Ok(None) };
        let Stmt::Var(parts, _, position) = statement else { return Ok(None) };
        let value = Stmt::Expr(Box::new(parts.1.clone()));
        let mut alone = AST::new([value], ast.shared_lib().clone());
        if let Some(source) = ast.source() {
            alone.set_source(source);
        }
        let Some(map) = engine.eval_ast::<Dynamic>(&alone)?.try_cast::<Map>() else {
            let error = Error::new(format!("{NAME} is no map")).remedy("write const PARAMETERS = #{ name: default };");
            return Err(Box::new(EvalAltResult::ErrorRuntime(Dynamic::from(error), *position)));
        };
        let written = written(text);
        let mut entries: Vec<Parameter> = map
            .into_iter()
            .map(|(name, value)| {
                let help = written.iter().find(|(key, _)| *key == name.as_str()).map(|(_, help)| help.clone()).unwrap_or_default();
                if let Some(ListOf(example)) = value.clone().try_cast::<ListOf>() {
                    let (default, example) = (Some(Dynamic::from_array(Vec::new())), Dynamic::from_array(vec![example]));
                    return Parameter { name: name.into(), default, example, help };
                }
                match value.clone().try_cast::<Required>() {
                    Some(Required(example)) => Parameter { name: name.into(), default: None, example, help },
                    None => Parameter { name: name.into(), default: Some(plain(&value)), example: value, help },
                }
            })
            .collect();
        // Maps are sorted by name; a listing follows the script.
        entries.sort_by_key(|entry| written.iter().position(|(key, _)| *key == entry.name).unwrap_or(usize::MAX));
        Ok(Some(Parameters { entries }))
    }

    /// `given`, checked, with defaults for what is missing.
    pub(super) fn complete(&self, mut given: Map) -> std::result::Result<Map, Wrong> {
        let wrong = |key: &str, error: Error| Wrong { key: Some(key.to_owned()), error };
        if let Some(name) = given.keys().find(|name| !self.entries.iter().any(|entry| entry.name == name.as_str())) {
            return Err(wrong(name, unknown("parameter", name, self.entries.iter().map(|entry| entry.name.as_str())).about(name.as_str())));
        }
        let mut complete = Map::new();
        for entry in &self.entries {
            let value = match (given.remove(entry.name.as_str()).filter(|value| !value.is_unit()), &entry.default) {
                (Some(value), _) => fit(&entry.example, value)
                    .map_err(|error| wrong(&entry.name, error.at(format!("parameter `{}`", entry.name)).about(entry.name.as_str())))?,
                (None, Some(default)) => default.clone(),
                (None, None) => return Err(Wrong { key: None, error: entry.missing() }),
            };
            complete.insert(entry.name.as_str().into(), value);
        }
        Ok(complete)
    }

    /// These and those of `others` that they do not have.
    pub(super) fn and(mut self, others: &Parameters) -> Parameters {
        let more: Vec<Parameter> = others.entries.iter().filter(|entry| !self.has(&entry.name)).cloned().collect();
        self.entries.extend(more);
        self
    }

    /// Those that are not `left_out`.
    pub(super) fn without(self, left_out: impl Fn(&str) -> bool) -> Parameters {
        Parameters { entries: self.entries.into_iter().filter(|entry| !left_out(&entry.name)).collect() }
    }

    /// None at all.
    pub(super) fn none() -> Parameters {
        Parameters { entries: Vec::new() }
    }

    /// The lists that must have elements: they are required, or their default has some.
    pub(super) fn filled_lists(&self) -> impl Iterator<Item = &str> {
        let filled = |entry: &&Parameter| {
            let list = entry.default.as_ref().unwrap_or(&entry.example);
            list.as_array_ref().is_ok_and(|values| !values.is_empty())
        };
        self.entries.iter().filter(filled).map(|entry| entry.name.as_str())
    }

    /// The names, in the order of the declaration.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// Whether a parameter may have this value.
    pub(super) fn fits(&self, name: &str, value: Dynamic) -> Result<()> {
        let Some(entry) = self.entries.iter().find(|entry| entry.name == name).filter(|_| !value.is_unit()) else { return Ok(()) };
        fit(&entry.example, value).map(|_| ()).map_err(|error| error.at(format!("parameter `{name}`")))
    }

    /// The first parameter without a default that is not `given`.
    pub(super) fn missing(&self, given: impl Fn(&str) -> bool) -> Option<Error> {
        self.entries.iter().find(|entry| entry.default.is_none() && !given(&entry.name)).map(Parameter::missing)
    }

    /// Whether there is a parameter of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    /// `--set key=value` as values of the right types, checked and completed.
    pub(super) fn complete_from_text(&self, set: &[(String, String)]) -> Result<Map> {
        let mut given = Map::new();
        for (name, text) in set {
            let example = self.entries.iter().find(|entry| entry.name == *name).map(|entry| &entry.example);
            let value = from_text(text, example).at(format!("--set {name}"))?;
            given.insert(name.as_str().into(), value);
        }
        self.complete(given).map_err(|wrong| {
            let Some(key) = wrong.key else { return wrong.error };
            let error = match self.entries.iter().find(|entry| entry.name == key) {
                Some(entry) if entry.help.is_empty() => wrong.error.remedy(format!("it is {}", expected(&entry.example))),
                Some(entry) => wrong.error.remedy(format!("it is {}: {}", expected(&entry.example), entry.help)),
                None => wrong.error,
            };
            point_at_set(error, set, &key, self.has(&key))
        })
    }

    /// A JSON Schema for each: its type, its default, what it is. Variables of a manifest (`${name}`) may stand anywhere.
    pub(super) fn schema(&self) -> serde_json::Map<String, serde_json::Value> {
        let entry = |entry: &Parameter| {
            let mut schema = serde_json::json!({ "anyOf": [of_type(&entry.example), { "type": "string", "pattern": "\\$\\{" }] });
            if !entry.help.is_empty() {
                schema["description"] = entry.help.as_str().into();
            }
            let default = entry.default.as_ref().and_then(|value| serde_json::to_value(to_data(value).ok()?).ok());
            if let Some(default) = default {
                schema["default"] = default;
            }
            (entry.name.clone(), schema)
        };
        self.entries.iter().map(entry).collect()
    }

    /// For a person: each name, its default, what it is.
    pub(super) fn listing(&self) -> String {
        let shown: Vec<(String, String, &str)> = self
            .entries
            .iter()
            .map(|entry| {
                let default = entry.default.as_ref().map_or_else(|| "required".to_owned(), literal);
                (entry.name.clone(), format!("{default} ({})", expected(&entry.example)), entry.help.as_str())
            })
            .collect();
        let names = shown.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
        let defaults = shown.iter().map(|(_, default, _)| default.chars().count()).max().unwrap_or(0);
        shown.iter().fold(String::new(), |mut text, (name, default, help)| {
            let line = format!("  {name:names$}  {default:defaults$}  {help}");
            let _ = writeln!(text, "{}", line.trim_end());
            text
        })
    }
}

/// An error about the parameter `name`, with its place on the command line, if it was given there: its value, or the name itself.
pub(super) fn point_at_set(error: Error, set: &[(String, String)], name: &str, value: bool) -> Error {
    const OPTION: &str = "--set ";
    let Some((_, text)) = set.iter().rev().find(|(given, _)| given == name) else { return error };
    let line = format!("{OPTION}{name}={text}");
    let name_end = OPTION.len() + name.len();
    let marked = if value && !text.is_empty() { name_end + 1..line.len() } else { OPTION.len()..name_end };
    error.showing(underlined(&line, marked))
}

/// `--set` values as YAML has them, without any declared parameters.
pub(super) fn untyped(set: &[(String, String)]) -> Result<Map> {
    set.iter().map(|(name, text)| Ok((name.as_str().into(), from_text(text, None).at(format!("--set {name}"))?))).collect()
}

fn from_text(text: &str, example: Option<&Dynamic>) -> Result<Dynamic> {
    // Text stays as it was typed: `--set name=007` is no number.
    if example.is_some_and(|example| example.is_string() || example.is::<CacheKindName>()) {
        return Ok(text.to_owned().into());
    }
    let yaml = |text: &str| {
        serde_yaml::from_str::<serde_yaml::Value>(text).map_err(|error| Error::new(format!("cannot be read as a YAML value: {error}")))
    };
    let value = from_data(&yaml(text)?);
    // `--set lengths=128,512` and `--set lengths=128` are what a person types for a list.
    if example.is_some_and(|example| example.is_array()) && !value.is_array() {
        return Ok(from_data(&yaml(&format!("[{text}]"))?));
    }
    Ok(value)
}

/// A default as scripts see it.
fn plain(value: &Dynamic) -> Dynamic {
    if let Some(kind) = value.read_lock::<CacheKindName>() {
        return kind.0.clone().into();
    }
    match value.as_array_ref() {
        Ok(values) => Dynamic::from_array(values.iter().map(plain).collect()),
        Err(_) => value.clone(),
    }
}

/// `value` as the type of `example`.
fn fit(example: &Dynamic, value: Dynamic) -> Result<Dynamic> {
    if example.is::<CacheKindName>() {
        let name = value.clone().into_immutable_string();
        let name = name.map_err(|_| Error::new(format!("expected a kind of cache, and got {}", described(&value))))?;
        return Ok(CacheKinds::canonical(&name)?.into());
    }
    let wrong = |value: &Dynamic| Error::new(format!("expected {}, and got {}", expected(example), described(value)));
    if example.is_unit() || (example.is_int() && value.is_int()) || (example.is_bool() && value.is_bool()) {
        return Ok(value);
    }
    if example.is_string() && (value.is_string() || value.is_char()) {
        return Ok(value.to_string().into());
    }
    if example.is_float() {
        return match (value.as_float(), value.as_int()) {
            (Ok(float), _) => Ok(float.into()),
            (_, Ok(integer)) => Ok((integer as f64).into()),
            _ => Err(wrong(&value)),
        };
    }
    if example.is_map() && value.is_map() {
        return Ok(value);
    }
    match (example.as_array_ref(), value.as_array_ref()) {
        (Ok(example), Ok(values)) => {
            let convert = |(index, value): (usize, &Dynamic)| match example.first() {
                Some(example) => fit(example, value.clone()).at(format!("[{index}]")),
                None => Ok(value.clone()),
            };
            values.iter().enumerate().map(convert).collect::<Result<rhai::Array>>().map(Dynamic::from_array)
        }
        (Err(_), _) if !(example.is_int() || example.is_bool() || example.is_string() || example.is_map()) => Ok(value.clone()),
        _ => Err(wrong(&value)),
    }
}

fn expected(example: &Dynamic) -> String {
    if let Ok(examples) = example.as_array_ref() {
        return match examples.first() {
            None => "a list".to_owned(),
            Some(first) => format!("a list of {}", plural(first)),
        };
    }
    let text = if example.is::<CacheKindName>() {
        "a kind of cache"
    } else if example.is_int() {
        "an integer"
    } else if example.is_float() {
        "a number"
    } else if example.is_bool() {
        "true or false"
    } else if example.is_string() {
        "text"
    } else if example.is_map() {
        "a map"
    } else {
        "any value"
    };
    text.to_owned()
}

/// The JSON Schema of a type.
fn of_type(example: &Dynamic) -> serde_json::Value {
    if let Ok(examples) = example.as_array_ref() {
        return match examples.first() {
            Some(first) => serde_json::json!({ "type": "array", "items": of_type(first) }),
            None => serde_json::json!({ "type": "array" }),
        };
    }
    if example.is::<CacheKindName>() {
        let names: Vec<&str> =
            CACHE_KINDS.iter().flat_map(|entry| std::iter::once(entry.name).chain(entry.aliases.iter().copied())).collect();
        return serde_json::json!({ "anyOf": [{ "enum": names }, { "type": "string", "pattern": "^[^/]+/[^/]+$" }] });
    }
    let kind = if example.is_int() {
        "integer"
    } else if example.is_float() {
        "number"
    } else if example.is_bool() {
        "boolean"
    } else if example.is_string() {
        "string"
    } else if example.is_map() {
        "object"
    } else {
        return serde_json::json!({});
    };
    serde_json::json!({ "type": kind })
}

fn plural(example: &Dynamic) -> &'static str {
    if example.is::<CacheKindName>() {
        "kinds of cache"
    } else if example.is_int() {
        "integers"
    } else if example.is_float() {
        "numbers"
    } else if example.is_string() {
        "texts"
    } else if example.is_map() {
        "maps"
    } else {
        "values"
    }
}

/// As it would be typed after `--set name=`.
fn literal(value: &Dynamic) -> String {
    match value.as_array_ref() {
        Ok(values) => format!("[{}]", values.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Err(_) if value.is_string() => format!("\"{value}\""),
        Err(_) if value.is_unit() => "nothing".to_owned(),
        Err(_) => value.to_string(),
    }
}

/// The names of the declaration in the order they are written, each with the comment at the end of its line.
fn written(text: &str) -> Vec<(String, String)> {
    let start = text.find(&format!("const {NAME}")).unwrap_or(text.len());
    let mut found = Vec::new();
    for line in text[start..].lines() {
        let (code, help) = line.split_once("//").unwrap_or((line, ""));
        let body = code.rsplit_once("#{").map_or(code, |(_, body)| body);
        let mut names = Vec::new();
        for piece in body.split(',') {
            if let Some((name, _)) = piece.split_once(':') {
                let name = name.trim();
                if !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_') {
                    names.push(name.to_owned());
                }
            }
        }
        // A comment after several names describes none of them.
        let help = if names.len() == 1 { help.trim().to_owned() } else { String::new() };
        found.extend(names.into_iter().map(|name| (name, help.clone())));
        if code.contains("};") {
            break;
        }
    }
    found
}

#[export_module]
pub(super) mod api {
    /// In `const PARAMETERS = #{ ... }`: a parameter without a default, and an example of its type.
    ///
    /// # Example
    /// ```rhai,no_run
    /// const PARAMETERS = #{
    ///     dataset: "held_out.npy",    // a .npy file of token ids
    ///     lengths: [128, 512],        // how many tokens
    /// };
    /// fn run(model, config) { print(config.lengths) }
    /// ```
    #[rhai_fn(name = "required")]
    pub fn required(example: Dynamic) -> Required {
        Required(example)
    }

    /// In `const PARAMETERS = #{ ... }`: the default of a parameter that is a kind of cache, such as `"fp16"`, or kinds for keys and for values, such
    /// as `"q5/q4"`. An unknown kind is then an error where it was given, and `q8_0` becomes `q8`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// const PARAMETERS = #{ cache_kind: cache_kind("fp16"), cache_kinds: [cache_kind("fp16"), cache_kind("q8")] };
    /// fn run(model, config) { print(config.cache_kind) }
    /// ```
    #[rhai_fn(name = "cache_kind", return_raw)]
    pub fn cache_kind(name: &str) -> Answer<CacheKindName> {
        Ok(CacheKindName(CacheKinds::canonical(name)?.into()))
    }

    /// The kinds of cache that there are, the most exact first: maps of `name`, `bits` of an element (its share of a scale included), and `text` about it.
    ///
    /// # Example
    /// ```rhai
    /// let q8 = all_cache_kinds().filter(|kind| kind.name == "q8")[0];
    /// assert(q8.bits == 8.5, "8 bits, and 16 for each 32");
    /// ```
    #[rhai_fn(name = "all_cache_kinds")]
    pub fn all_cache_kinds() -> rhai::Array {
        let kinds = CACHE_KINDS.iter().filter(|entry| entry.kind != CacheKind::None);
        let map = |entry: &CacheKindEntry| {
            Map::from_iter([
                ("name".into(), entry.name.into()),
                ("bits".into(), entry.stored_bits().into()),
                ("text".into(), entry.text().into()),
            ])
        };
        kinds.map(|entry| Dynamic::from_map(map(entry))).collect()
    }

    /// In `const PARAMETERS = #{ ... }`: a list that is empty unless it is given, and an example of its elements.
    ///
    /// # Example
    /// ```rhai,no_run
    /// const PARAMETERS = #{ cache_kinds: list_of(cache_kind("fp16")), stops: list_of("\n") };
    /// fn run(model, config) { print(config.stops) }
    /// ```
    #[rhai_fn(name = "list_of")]
    pub fn list_of(example: Dynamic) -> ListOf {
        ListOf(example)
    }

    /// The target of the manifest that is being run, as a map: `experiment` and `name` (the manifest's and the target's), `manifest`,
    /// `models`, `runs`, `benchmarks`, `verify`.
    #[rhai_fn(return_raw, volatile)]
    pub fn experiment(context: NativeCallContext) -> Answer<Map> {
        let host = Host::of(&context)?;
        let Some(experiment) = &host.options.experiment else {
            return Err(Error::new("no manifest is being run").remedy("run one with: caramba run MANIFEST.yml --target NAME").into());
        };
        let mut target = experiment.clone();
        // Where keys stand is for messages.
        target.places.clear();
        let data = serde_yaml::to_value(&target).map_err(|error| Error::new(format!("the experiment: {error}")))?;
        Ok(from_data(&data).cast::<Map>())
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
