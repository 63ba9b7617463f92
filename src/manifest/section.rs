//! A mapping whose keys are known: what is missing, surplus or of the wrong type is said with its place.

use super::node::{Entry, Kind, Node, Scalar, Value};
use crate::error::{Error, Result, unknown};
use crate::source::{Place, Source};

/// A mapping of a manifest.
pub struct Section<'a> {
    source: &'a Source,
    /// What it describes, for messages: `benchmark`, `target`.
    what: &'a str,
    node: &'a Node,
    entries: &'a [Entry],
}

impl<'a> Section<'a> {
    /// `node` as a mapping, whatever keys it has.
    ///
    /// # Errors
    /// It is something else.
    pub fn open(source: &'a Source, what: &'a str, node: &'a Node) -> Result<Section<'a>> {
        match &node.value {
            Value::Map(entries) if node.tag.is_none() => Ok(Section { source, what, node, entries }),
            _ => Err(mismatch(source, node, &format!("a {what}"), "a mapping (`key: value`)")),
        }
    }

    /// `node` as a mapping with no other keys than the words of `known` (and `x-...`, which are everybody's own).
    ///
    /// # Errors
    /// It is something else, or has an unknown key.
    pub fn of(source: &'a Source, what: &'a str, node: &'a Node, known: &str) -> Result<Section<'a>> {
        let section = Section::open(source, what, node)?;
        let surplus = section.entries.iter().find(|entry| !known.split(' ').any(|key| key == entry.key) && !entry.key.starts_with("x-"));
        match surplus {
            None => Ok(section),
            Some(entry) => {
                let error = unknown(&format!("key of a {what}"), &entry.key, known.split(' '));
                Err(source.point(entry.place, error))
            }
        }
    }

    pub fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    pub fn place(&self) -> Place {
        self.node.place
    }

    /// The value under `key`; nothing (`key:` alone, `~`) counts as absent.
    pub fn get(&self, key: &str) -> Option<&'a Node> {
        let absent = |node: &&Node| matches!(node.value, Value::Scalar(Scalar { kind: Kind::Null, .. }));
        self.node.get(key).filter(|node| !absent(node))
    }

    /// Where the key stands; where the section begins, if the key is absent.
    pub fn key_place(&self, key: &str) -> Place {
        self.entries.iter().find(|entry| entry.key == key).map_or(self.node.place, |entry| entry.place)
    }

    /// The value under `key`.
    ///
    /// # Errors
    /// It is missing; `remedy` says what to write.
    pub fn require(&self, key: &str, remedy: &str) -> Result<&'a Node> {
        self.get(key).ok_or_else(|| {
            let error = Error::new(format!("this {} has no `{key}`", self.what)).remedy(remedy);
            self.source.point(self.node.place, error)
        })
    }

    /// The text under `key`, if there is one. A number or `true` is taken as it was written: `name: 7` is a name.
    ///
    /// # Errors
    /// A list or mapping.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>> {
        self.get(key).map(|node| text(self.source, node, key)).transpose()
    }

    /// `true` or `false` under `key`.
    ///
    /// # Errors
    /// Something else.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.get(key)
            .map(|node| match &node.value {
                Value::Scalar(Scalar { kind: Kind::Bool(value), .. }) => Ok(*value),
                _ => Err(mismatch(self.source, node, &format!("`{key}`"), "`true` or `false`")),
            })
            .transpose()
    }

    /// The count under `key`.
    ///
    /// # Errors
    /// Something else, or out of `range`.
    pub fn count(&self, key: &str, range: std::ops::RangeInclusive<i64>) -> Result<Option<usize>> {
        self.get(key)
            .map(|node| match &node.value {
                Value::Scalar(Scalar { kind: Kind::Integer(value), .. }) if range.contains(value) => {
                    usize::try_from(*value).map_err(|_| mismatch(self.source, node, &format!("`{key}`"), "a count"))
                }
                _ => {
                    let wanted = format!("a whole number from {} to {}", range.start(), range.end());
                    Err(mismatch(self.source, node, &format!("`{key}`"), &wanted))
                }
            })
            .transpose()
    }

    /// The list under `key`; empty if it is absent.
    ///
    /// # Errors
    /// Something else.
    pub fn list(&self, key: &str) -> Result<&'a [Node]> {
        match self.get(key) {
            None => Ok(&[]),
            Some(node) => list(self.source, node, key),
        }
    }
}

/// `node` as a text.
///
/// # Errors
/// A list or mapping.
pub fn text<'a>(source: &Source, node: &'a Node, key: &str) -> Result<&'a str> {
    match &node.value {
        Value::Scalar(scalar) if scalar.kind != Kind::Null && node.tag.is_none() => Ok(&scalar.text),
        _ => Err(mismatch(source, node, &format!("`{key}`"), "a text")),
    }
}

/// `node` as a list.
///
/// # Errors
/// Something else.
pub fn list<'a>(source: &Source, node: &'a Node, key: &str) -> Result<&'a [Node]> {
    match &node.value {
        Value::List(items) if node.tag.is_none() => Ok(items),
        _ => Err(mismatch(source, node, &format!("`{key}`"), "a list (`[a, b]`)")),
    }
}

/// `what` should be `wanted`, and is something else.
pub fn mismatch(source: &Source, node: &Node, what: &str, wanted: &str) -> Error {
    source.point(node.place, Error::new(format!("{what} is {wanted}, found {}", node.describe())))
}
