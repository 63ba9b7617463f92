//! A map of a configuration (JSON, or YAML turned into it), read key by key with errors that say which key, what was expected and what
//! was found.

use crate::error::{At, Error, Result, unknown};
use serde_json::{Map, Value};

/// A map and where it stands. A key that is absent and a key that is `null` are the same thing, as in Hugging Face configurations.
#[derive(Clone, Copy)]
pub(crate) struct Section<'a> {
    map: &'a Map<String, Value>,
}

impl<'a> Section<'a> {
    /// # Errors
    /// `value` is no map.
    pub fn of(value: &'a Value) -> Result<Section<'a>> {
        match value {
            Value::Object(map) => Ok(Section { map }),
            other => Err(Error::new(format!("expected a map of keys and values, found {}", shown(other)))),
        }
    }

    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Whether the key is there, be it with `null`.
    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    fn read<T>(&self, key: &str, expected: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match read(value) {
            Some(it) => Ok(Some(it)),
            None => Err(Error::new(format!("expected {expected}, found {}", shown(value))).at(format!("key `{key}`"))),
        }
    }

    pub fn size(&self, key: &str) -> Result<Option<usize>> {
        self.read(key, "a whole number", whole)
    }

    pub fn needed_size(&self, key: &str) -> Result<usize> {
        self.size(key)?.ok_or_else(|| missing(key))
    }

    pub fn float(&self, key: &str) -> Result<Option<f32>> {
        self.read(key, "a number", |value| value.as_f64().map(|number| number as f32))
    }

    pub fn needed_float(&self, key: &str) -> Result<f32> {
        self.float(key)?.ok_or_else(|| missing(key))
    }

    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.read(key, "true or false", Value::as_bool)
    }

    pub fn text(&self, key: &str) -> Result<Option<&'a str>> {
        self.read(key, "text", Value::as_str)
    }

    /// One whole number or a list of them.
    pub fn sizes(&self, key: &str) -> Result<Option<Vec<usize>>> {
        self.read(key, "a whole number or a list of whole numbers", |value| match value {
            Value::Array(values) => values.iter().map(whole).collect(),
            one => Some(vec![whole(one)?]),
        })
    }

    pub fn floats(&self, key: &str) -> Result<Option<Vec<f32>>> {
        self.read(key, "a list of numbers", |value| value.as_array()?.iter().map(|number| Some(number.as_f64()? as f32)).collect())
    }

    /// A list of lists of numbers.
    pub fn float_lists(&self, key: &str) -> Result<Option<Vec<Vec<f32>>>> {
        let list = |value: &Value| value.as_array()?.iter().map(|number| Some(number.as_f64()? as f32)).collect::<Option<Vec<f32>>>();
        self.read(key, "a list of lists of numbers", |value| value.as_array()?.iter().map(list).collect())
    }

    pub fn texts(&self, key: &str) -> Result<Option<Vec<&'a str>>> {
        self.read(key, "a list of texts", |value| value.as_array()?.iter().map(Value::as_str).collect())
    }

    pub fn section(&self, key: &str) -> Result<Option<Section<'a>>> {
        self.get(key).map(|value| Section::of(value).at(format!("key `{key}`"))).transpose()
    }

    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.map.keys().map(String::as_str)
    }

    /// That there is no key but these: a misspelt option must not be taken for an absent one.
    pub fn only(&self, what: &str, known: &[&str]) -> Result<()> {
        match self.keys().find(|key| !known.contains(key)) {
            None => Ok(()),
            Some(key) => Err(unknown(what, key, known.iter().copied())),
        }
    }
}

/// Whole numbers may be written `2048.0`, as some exporters do.
fn whole(value: &Value) -> Option<usize> {
    let float = || value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..=9e15).contains(number)).map(|number| number as usize);
    value.as_u64().and_then(|number| usize::try_from(number).ok()).or_else(float)
}

pub(crate) fn missing(key: &str) -> Error {
    Error::new(format!("key `{key}` is missing"))
}

/// A value as an error shows it: short.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "a map".to_owned(),
        Value::Array(values) => format!("a list of {}", values.len()),
        Value::Null => "nothing".to_owned(),
        other => {
            let text = other.to_string();
            match text.char_indices().nth(60) {
                Some((end, _)) => format!("{}...", &text[..end]),
                None => text,
            }
        }
    }
}
