//! A JSON map whose values are left as they are written: a map of hundreds of thousands of small maps takes many times its length in
//! memory when all of it is parsed at once.

use crate::error::{Error, Result};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The keys of a map, in their order, each with its value's text.
pub(super) struct RawMap<'a> {
    pub entries: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> RawMap<'a> {
    /// # Errors
    /// It isn't JSON, or not a map; a key that stands in it twice.
    pub fn parse(text: &'a str) -> Result<RawMap<'a>> {
        let map: RawMap = serde_json::from_str(text).map_err(|error| Error::new(format!("this is not JSON: {error}")))?;
        let mut names: Vec<&str> = map.entries.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => {
                Err(Error::new(format!("`{}` stands in it twice", pair[0])).remedy("the file is damaged: fetch or make it again"))
            }
            None => Ok(map),
        }
    }

    /// The text of a key's value.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, value)| value.get())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawMap<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

/// A key, borrowed where nothing in it is escaped.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = RawMap<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a map of keys and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<RawMap<'de>, A::Error> {
        let mut entries = Vec::new();
        while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
            entries.push((key, value));
        }
        Ok(RawMap { entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_once() {
        let map = RawMap::parse(r#" {"a": {"x": [1,2]}, "b\n": "text"} "#).unwrap();
        assert_eq!((map.get("a"), map.get("b\n"), map.get("c")), (Some(r#"{"x": [1,2]}"#), Some("\"text\""), None));
        assert!(RawMap::parse(r#"{"a": 1, "b": 2, "a": 3}"#).err().unwrap().to_string().contains("`a` stands in it twice"));
        assert!(RawMap::parse("[1]").err().unwrap().to_string().contains("expected a map"));
        assert!(RawMap::parse("{\n\"a\" 1}").err().unwrap().to_string().contains("line 2"));
    }
}
