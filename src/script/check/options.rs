//! Options and parameters that are written out as a map: their names, and the values that are literals.

use super::Checker;
use crate::error::{Error, unknown};
use crate::quant::CacheKinds;
use crate::script::catalog::{Form, nearest};
use crate::script::charts;
use crate::script::generation::Generation;
use crate::script::habits;
use crate::script::model::weights_named;
use crate::script::parameters::Parameters;
use crate::script::values::described;
use rhai::{Dynamic, Expr, FnCallExpr, Ident, Map, Position};

/// What parameters are called that take options and nothing else.
const OPTIONS: &[&str] = &["options", "chart"];

/// What a literal must be.
#[derive(Clone, Copy)]
enum Is {
    Count,
    Integer,
    Number,
    Truth,
    Text,
    Cache,
    Weights,
}

/// Options whose values are checked before a device is opened: function, option, what it is.
const VALUES: &[(&str, &str, Is)] = &[
    ("session", "context", Is::Count),
    ("session", "batch_size", Is::Count),
    ("session", "prefill_chunk", Is::Count),
    ("session", "sequences", Is::Count),
    ("session", "chunk", Is::Count),
    ("session", "cache", Is::Cache),
    ("session", "key_cache", Is::Cache),
    ("session", "value_cache", Is::Cache),
    ("session", "semantic_cache", Is::Cache),
    ("session", "geometric_cache", Is::Cache),
    ("bytes_per_token", "cache", Is::Cache),
    ("load", "weights", Is::Weights),
    ("load", "dtype", Is::Weights),
    ("load", "vocab", Is::Count),
    ("load", "tokenizer", Is::Text),
    ("load", "state_dict", Is::Text),
    ("generate", "max_tokens", Is::Count),
    ("generate", "top_k", Is::Count),
    ("generate", "temperature", Is::Number),
    ("generate", "top_p", Is::Number),
    ("generate", "min_p", Is::Number),
    ("generate", "repetition_penalty", Is::Number),
    ("generate", "repetition_window", Is::Count),
    ("generate", "seed", Is::Integer),
    ("generate", "top_logprobs", Is::Count),
    ("generate", "stop_at_end", Is::Truth),
    ("generate", "stream", Is::Truth),
];

impl Checker<'_> {
    /// The options that a documented function is given.
    pub(super) fn options(&self, call: &FnCallExpr, forms: &[&Form], given: usize, call_position: Position) {
        // A method's object is no argument that is written between the brackets.
        let offset = given - call.args.len();
        for (index, argument) in call.args.iter().enumerate() {
            let Expr::Map(entries, _) = argument else { continue };
            if !forms.iter().all(|form| form.parameter(index + offset).is_some_and(|name| OPTIONS.contains(&name))) {
                continue;
            }
            let known = self.catalog.option_names(&call.name);
            let chart = forms.iter().any(|form| form.parameter(index + offset) == Some("chart"));
            let before = self.found.borrow().mistakes.len();
            self.names(&call.name, &known, &entries.0, chart);
            for (name, value) in &entries.0 {
                let rule = VALUES.iter().find(|(function, option, _)| *function == call.name && *option == name.name.as_str());
                if let (Some((function, option, is)), Some(value)) = (rule, value.get_literal_value(None))
                    && let Some(error) = wrong(function, option, *is, &value)
                {
                    self.mistake(error, name.pos);
                }
            }
            // Where all of it is written out, it is read as it will be.
            if self.found.borrow().mistakes.len() == before
                && let Some(map) = argument.get_literal_value(None).and_then(Dynamic::try_cast::<Map>)
                && let Some(error) = whole(&call.name, chart, map)
            {
                let place = entries.0.first().map_or(call_position, |(name, _)| name.pos);
                self.mistake(error, place);
            }
        }
    }

    /// `deep`: maps inside of it, too.
    fn names(&self, function: &str, known: &std::collections::BTreeSet<&str>, entries: &[(Ident, Expr)], deep: bool) {
        for (name, value) in entries {
            if !known.contains(name.name.as_str()) {
                let near = habits::option(&name.name, known.iter().copied()).or_else(|| nearest(&name.name, known.iter().copied()));
                let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
                let error = Error::new(format!("unknown {function} option `{}`", name.name));
                self.mistake(error.remedy(format!("{near}`caramba docs {function}` lists them")), name.pos);
            }
            if deep {
                let maps = match value {
                    Expr::Array(values, _) => values.iter().collect(),
                    other => vec![other],
                };
                for map in maps {
                    if let Expr::Map(entries, _) = map {
                        self.names(function, known, &entries.0, true);
                    }
                }
            }
        }
    }

    /// The parameters that a benchmark is made with: `latency::new(#{ ... })`.
    pub(super) fn parameters(&self, benchmark: &str, parameters: &Parameters, entries: &[(Ident, Expr)], position: Position) {
        for (name, value) in entries {
            if !parameters.has(&name.name) {
                let error = unknown("parameter", &name.name, parameters.names());
                self.mistake(error.at(benchmark), name.pos);
            } else if let Some(error) = value.get_literal_value(None).and_then(|value| parameters.fits(&name.name, value).err()) {
                self.mistake(error.at(benchmark), name.pos);
            }
        }
        if let Some(error) = parameters.missing(|name| entries.iter().any(|(given, _)| given.name == name)) {
            self.mistake(error.at(benchmark), position);
        }
    }
}

/// What is wrong with options that are all known.
fn whole(function: &str, is_chart: bool, map: Map) -> Option<Error> {
    match function {
        "generate" => Generation::parse(map).err(),
        _ if is_chart => charts::fits(function, map).err(),
        _ => None,
    }
}

fn wrong(function: &str, option: &str, is: Is, value: &Dynamic) -> Option<Error> {
    let expected = |what: &str| Some(Error::new(format!("{function} option `{option}` is {}: expected {what}", described(value))));
    // As if it was not given.
    if value.is_unit() {
        return None;
    }
    match is {
        Is::Count => match value.as_int() {
            Ok(count) if count >= 0 => None,
            Ok(_) => expected("0 or more"),
            Err(_) => expected("an integer"),
        },
        Is::Number if !value.is_int() && !value.is_float() => expected("a number"),
        Is::Integer if !value.is_int() => expected("an integer"),
        Is::Text if !value.is_string() => expected("text"),
        Is::Weights => match value.clone().into_immutable_string() {
            Ok(name) => weights_named(&name).err(),
            Err(_) => expected("text, such as \"q8\""),
        },
        Is::Truth if !value.is_bool() => expected("true or false"),
        Is::Cache => match value.clone().into_immutable_string() {
            Ok(name) => CacheKinds::parse(&name).err(),
            Err(_) => expected("text, such as \"q8\""),
        },
        _ => None,
    }
}
