//! From a script's values to plain data and back: JSON, YAML, CSV fields, options given as a map.

use super::failure::Answer;
use super::habits;
use super::numbers::Numbers;
use super::tokens::Tokens;
use crate::artifact::Field;
use crate::error::{Error, Result, unknown};
use crate::terminal;
use rhai::{Dynamic, FLOAT, INT, ImmutableString, Map};
use serde_yaml::Value;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// What a value is called in messages.
pub(super) fn kind_of(value: &Dynamic) -> &'static str {
    if value.is_unit() {
        "nothing"
    } else if value.is_int() {
        "an integer"
    } else if value.is_float() {
        "a float"
    } else if value.is_bool() {
        "a truth value"
    } else if value.is_string() || value.is_char() {
        "text"
    } else if value.is_array() {
        "a list"
    } else if value.is_map() {
        "a map"
    } else if value.is_fnptr() {
        "a function"
    } else if value.is::<Tokens>() {
        "tokens"
    } else if value.is::<Numbers>() {
        "numbers"
    } else {
        "another kind of value"
    }
}

/// As in messages: what it is, and the value itself where that is short.
pub(super) fn described(value: &Dynamic) -> String {
    let text = if value.is_string() { format!("\"{value}\"") } else { value.to_string() };
    if value.is_unit() || text.chars().count() > 60 { kind_of(value).to_owned() } else { format!("{} ({text})", kind_of(value)) }
}

/// A script's value as plain data.
///
/// # Errors
/// A function, or a value with methods (a model, a session): data holds neither.
pub(super) fn to_data(value: &Dynamic) -> Result<Value> {
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(value) = value.as_bool() {
        return Ok(value.into());
    }
    if let Ok(value) = value.as_int() {
        return Ok(value.into());
    }
    if let Ok(value) = value.as_float() {
        return Ok(value.into());
    }
    if let Ok(value) = value.as_char() {
        return Ok(value.to_string().into());
    }
    if let Ok(value) = value.as_immutable_string_ref() {
        return Ok(value.as_str().into());
    }
    if let Ok(values) = value.as_array_ref() {
        let convert = |(index, value)| to_data(value).map_err(|error| error.at(format!("[{index}]")));
        return values.iter().enumerate().map(convert).collect::<Result<Vec<_>>>().map(Value::Sequence);
    }
    if let Ok(map) = value.as_map_ref() {
        let convert = |(key, value): (&rhai::Identifier, &Dynamic)| match to_data(value) {
            Ok(value) => Ok((Value::from(key.as_str()), value)),
            Err(error) => Err(error.at(key)),
        };
        return map.iter().map(convert).collect::<Result<serde_yaml::Mapping>>().map(Value::Mapping);
    }
    if let Some(numbers) = value.read_lock::<Numbers>() {
        return Ok(Value::Sequence(numbers.iter().map(Value::from).collect()));
    }
    if let Some(tokens) = value.read_lock::<Tokens>() {
        return Ok(Value::Sequence(tokens.as_slice().iter().map(|&token| Value::from(token)).collect()));
    }
    if let Some(error) = value.read_lock::<Error>() {
        return Ok(error.to_string().into());
    }
    if let Ok(bytes) = value.as_blob_ref() {
        return Ok(Value::Sequence(bytes.iter().map(|&byte| Value::from(byte)).collect()));
    }
    let remedy = "take out what has methods, or keep what you need of it: its name, its numbers";
    Err(Error::new(format!("{} cannot be written as data", kind_of(value))).remedy(remedy))
}

/// Plain data as a script's value. Keys that are no text become text.
pub(super) fn from_data(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match number.as_i64() {
            Some(value) => value.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Value::String(value) => value.as_str().into(),
        Value::Sequence(values) => Dynamic::from_array(values.iter().map(from_data).collect()),
        Value::Mapping(entries) => {
            let entry = |(key, value): (&Value, &Value)| {
                let key = match key {
                    Value::String(key) => key.clone(),
                    other => from_data(other).to_string(),
                };
                (key.into(), from_data(value))
            };
            Dynamic::from_map(entries.iter().map(entry).collect())
        }
        Value::Tagged(tagged) => from_data(&tagged.value),
    }
}

/// One value of a CSV row.
pub(super) fn to_field(value: &Dynamic) -> Result<Field> {
    Ok(match to_data(value)? {
        Value::Null => Field::Empty,
        Value::Bool(value) => Field::Bool(value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => Field::Integer(value),
            None => Field::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Field::Text(text),
        _ => {
            let remedy = "put lists and maps into the JSON report, and single values into rows";
            return Err(Error::new(format!("{} does not fit into a field of a CSV file", kind_of(value))).remedy(remedy));
        }
    })
}

/// A script's integer as a count.
pub(super) fn count(what: &str, value: INT) -> Result<usize> {
    usize::try_from(value).map_err(|_| Error::new(format!("{what} is {value}: expected 0 or more")))
}

/// Places among `count` things: one integer, a list or a range of them, from 0 on or, negative, from the end. `what` names them in messages.
pub(super) fn places(what: &str, value: &Dynamic, count: usize) -> Result<Vec<usize>> {
    let place = |given: INT| {
        let place = if given < 0 { given + count as INT } else { given };
        usize::try_from(place)
            .ok()
            .filter(|place| *place < count)
            .ok_or_else(|| Error::new(format!("{what} has {given}: expected 0 to {}, or -1 for the last", count.saturating_sub(1))))
    };
    let list: Option<Vec<INT>> = if let Ok(one) = value.as_int() {
        Some(vec![one])
    } else if let Some(range) = value.read_lock::<std::ops::Range<INT>>() {
        // Of a longer one, the first that is not there is told.
        Some(range.clone().take(count + 1).collect())
    } else if let Some(range) = value.read_lock::<std::ops::RangeInclusive<INT>>() {
        Some(range.clone().take(count + 1).collect())
    } else {
        value.as_array_ref().ok().and_then(|array| array.iter().map(|value| value.as_int().ok()).collect())
    };
    let Some(list) = list else {
        return Err(Error::new(format!("{what} is {}: expected an integer, a list of integers or a range such as 0..4", described(value))));
    };
    list.into_iter().map(place).collect()
}

/// Options given as a map: each is taken by name and type, and what is left at the end is a mistake.
pub(super) struct Options {
    what: &'static str,
    map: Map,
    known: Vec<&'static str>,
}

impl Options {
    /// `what` names the options in messages: "session option".
    pub(super) fn new(what: &'static str, map: Map) -> Options {
        Options { what, map, known: Vec::new() }
    }

    /// The value of `key`; `None` where it was not given, or given as `()`.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Dynamic> {
        self.known.push(key);
        self.map.remove(key).filter(|value| !value.is_unit())
    }

    /// An option that had another name before: that one is taken as well, and told once.
    pub(super) fn renamed(&mut self, before: &'static str, now: &'static str) {
        if self.map.contains_key(now) {
            return;
        }
        if let Some(value) = self.map.remove(before) {
            static TOLD: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
            if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(before) {
                terminal::note(&format!("the {} `{before}` is called `{now}` now", self.what));
            }
            self.map.insert(now.into(), value);
        }
    }

    pub(super) fn integer(&mut self, key: &'static str) -> Result<Option<INT>> {
        self.typed(key, "an integer", |value| value.as_int().ok())
    }

    pub(super) fn count(&mut self, key: &'static str) -> Result<Option<usize>> {
        let place = format!("{} `{key}`", self.what);
        self.integer(key)?.map(|value| count(&place, value)).transpose()
    }

    /// An integer is taken for a float.
    pub(super) fn float(&mut self, key: &'static str) -> Result<Option<FLOAT>> {
        self.typed(key, "a number", |value| value.as_float().ok().or_else(|| value.as_int().ok().map(|value| value as FLOAT)))
    }

    pub(super) fn truth(&mut self, key: &'static str) -> Result<Option<bool>> {
        self.typed(key, "true or false", |value| value.as_bool().ok())
    }

    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<ImmutableString>> {
        self.typed(key, "text", |value| value.clone().into_immutable_string().ok())
    }

    /// Places among `count`: one integer, a list or a range of them, from 0 on or, negative, from the end.
    pub(super) fn places(&mut self, key: &'static str, count: usize) -> Result<Option<Vec<usize>>> {
        let what = format!("{} `{key}`", self.what);
        self.take(key).map(|value| places(&what, &value, count)).transpose()
    }

    /// One text, or a list of texts.
    pub(super) fn texts(&mut self, key: &'static str) -> Result<Option<Vec<String>>> {
        self.typed(key, "text, or a list of texts", |value| match value.as_array_ref() {
            Ok(values) => values.iter().map(|value| value.as_immutable_string_ref().ok().map(|text| text.to_string())).collect(),
            Err(_) => value.as_immutable_string_ref().ok().map(|text| vec![text.to_string()]),
        })
    }

    fn typed<T>(&mut self, key: &'static str, expected: &str, convert: impl Fn(&Dynamic) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match convert(&value) {
            Some(value) => Ok(Some(value)),
            None => Err(Error::new(format!("{} `{key}` is {}: expected {expected}", self.what, described(&value)))),
        }
    }

    /// To be called when all options were taken.
    ///
    /// # Errors
    /// An option that is left: nobody knows it.
    pub(super) fn finish(self) -> Result<()> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(key) => Err(match habits::option(key, self.known.iter().copied()) {
                Some(meant) => Error::new(format!("unknown {} `{key}`", self.what)).remedy(format!("did you mean `{meant}`?")),
                None => unknown(self.what, key, self.known.iter().copied()),
            }),
        }
    }
}

/// A list of numbers, however a script holds it: packed, or an array of integers and floats.
pub(super) fn floats(value: &Dynamic) -> Answer<Vec<f64>> {
    if let Some(numbers) = value.read_lock::<Numbers>() {
        return Ok(numbers.iter().collect());
    }
    let Ok(array) = value.as_array_ref() else {
        return Err(Error::new(format!("expected numbers, and got {}", described(value))).into());
    };
    let convert = |(index, value): (usize, &Dynamic)| {
        let float = value.as_float().ok().or_else(|| value.as_int().ok().map(|value| value as f64));
        float.ok_or_else(|| Error::new(format!("value {index} is {}: expected a number", described(value))).into())
    };
    array.iter().enumerate().map(convert).collect()
}

/// A list of tokens, however a script holds it.
pub(super) fn token_list(value: &Dynamic) -> Result<Tokens> {
    if let Some(tokens) = value.read_lock::<Tokens>() {
        return Ok(tokens.clone());
    }
    let Ok(array) = value.as_array_ref() else {
        let remedy = "model.tokenize(text) makes tokens of text";
        return Err(Error::new(format!("expected tokens, and got {}", described(value))).remedy(remedy));
    };
    let convert = |(index, value): (usize, &Dynamic)| {
        let token = value.as_int().ok().and_then(|value| u32::try_from(value).ok());
        token.ok_or_else(|| Error::new(format!("token {index} is {}: expected an integer from 0 on", described(value))))
    };
    array.iter().enumerate().map(convert).collect::<Result<Vec<u32>>>().map(Tokens::from)
}
