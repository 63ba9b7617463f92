//! A YAML document as a tree whose every node and key knows its place.
//!
//! YAML 1.2 with its core schema (`yes` is a text, `1e-5` a number), one document a file, merges (`<<`) applied, duplicate keys refused.
//! `serde_yaml` keeps no places, so the tree is built from the parser's events; it becomes a `serde_yaml::Value` when somebody else is
//! to read it.

use crate::error::{Error, Result};
use crate::source::{Place, Source};
use crate::yaml;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Nested deeper than any experiment; reading the tree recurses, and a stack is small.
pub const MAX_DEPTH: usize = 100;
/// A few aliases of aliases expand without end ("billion laughs"): the largest manifests have some thousand nodes.
pub const MAX_NODES: usize = 1_000_000;

/// A value and where it begins.
#[derive(Debug, Clone)]
pub struct Node {
    pub place: Place,
    /// A tag outside YAML's core (`!include`), which nobody here understands.
    pub tag: Option<String>,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the file.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub struct Entry {
    pub key: String,
    pub place: Place,
    pub node: Node,
}

/// A scalar, as written and as meant.
#[derive(Debug, Clone)]
pub struct Scalar {
    pub text: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text,
}

/// Reads the one document of `source`.
///
/// # Errors
/// What is wrong, and where: not YAML, an unknown alias, a duplicate key, too deep, too large.
pub fn parse(source: &Source) -> Result<Node> {
    Ok(Builder::new(source, None)?.run()?.0)
}

/// The one document of `source` as plain values, for whoever wants no places; nothing at all is null. What a manifest, a benchmark's file, `--set`
/// and `read_yaml` say is read by this one reader.
///
/// # Errors
/// As [`parse`]; a tag outside YAML's core.
pub fn value(source: &Source) -> Result<serde_yaml::Value> {
    match Builder::new(source, None)?.document()?.0 {
        Some(node) => node.plain(source),
        None => Ok(serde_yaml::Value::Null),
    }
}

/// As [`parse`], with the files that `!include PATH` names in their places: paths are looked for beside the file that includes, then in the
/// current directory. The source comes back with their texts.
///
/// # Errors
/// As [`parse`]; a file that can't be read, or that includes itself.
pub fn parse_including(source: Source, directory: &Path) -> Result<(Node, Source)> {
    let includes = Includes { directory: directory.to_owned(), ..Includes::default() };
    let (node, includes) = Builder::new(&source, Some(includes))?.run()?;
    Ok((node, source.including(includes.map_or_else(Vec::new, |includes| includes.sources))))
}

/// Beyond these a manifest is made of its own parts.
const MAX_INCLUDES: usize = 100;
const INCLUDE: &str = "!include";

/// What was included so far.
#[derive(Default)]
struct Includes {
    /// Of the file that is being read.
    directory: PathBuf,
    /// The files that are being read, each included by the one before.
    chain: Vec<PathBuf>,
    sources: Vec<Source>,
}

struct Builder<'a> {
    source: &'a Source,
    /// See [`Place::file`].
    file: usize,
    /// `None`: nothing is included.
    includes: Option<Includes>,
    /// Lists and mappings that have begun.
    stack: Vec<Frame>,
    /// Finished nodes that have an anchor, and how many nodes each stands for.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

struct Frame {
    place: Place,
    tag: Option<String>,
    anchor: usize,
    /// `nodes` when it began.
    before: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    /// `places`: where each key stands among the entries.
    Map {
        entries: Vec<Entry>,
        places: HashMap<String, usize>,
        key: Option<Key>,
        merges: Vec<Node>,
    },
}

struct Key {
    text: String,
    place: Place,
    merge: bool,
}

fn foreign(tag: Option<Cow<'_, Tag>>) -> Option<String> {
    tag.filter(|tag| !tag.is_yaml_core_schema() && !tag.suffix.is_empty()).map(|tag| tag.to_string())
}

impl<'a> Builder<'a> {
    fn new(source: &'a Source, includes: Option<Includes>) -> Result<Builder<'a>> {
        yaml::check_size(source)?;
        let file = includes.as_ref().map_or(0, |includes| includes.sources.len());
        Ok(Builder { source, file, includes, stack: Vec::new(), anchors: HashMap::new(), nodes: 0 })
    }

    fn place(&self, mark: &Marker) -> Place {
        Place { line: mark.line(), column: mark.col() + 1, file: self.file }
    }

    /// What the file at `path` holds.
    fn include(&mut self, path: &str, place: Place) -> Result<Node> {
        let wrong = |error: Error| self.source.point(place, error);
        let Some(mut includes) = self.includes.take() else {
            return Err(wrong(Error::new("only a manifest includes other files").remedy("put the value itself here")));
        };
        if includes.sources.len() == MAX_INCLUDES {
            return Err(wrong(Error::new(format!("more than {MAX_INCLUDES} files are included"))));
        }
        let beside = includes.directory.join(path);
        let found = if beside.exists() { beside } else { PathBuf::from(path) };
        let file = std::fs::canonicalize(&found).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                let remedy = "the path is relative to the file that includes it, or to the current directory";
                wrong(Error::new(format!("there is no file `{path}` to include")).remedy(remedy))
            }
            _ => wrong(Error::from(error)),
        })?;
        if includes.chain.contains(&file) || includes.chain.len() > MAX_DEPTH / 10 {
            return Err(wrong(Error::new(format!("`{path}` is included by itself"))));
        }
        let text = super::presets::read(&found).map_err(|error| wrong(error.at(path)))?;
        let source = Source::new(found.display().to_string(), text);
        includes.sources.push(source.clone());
        let outer = std::mem::replace(&mut includes.directory, found.parent().map(PathBuf::from).unwrap_or_default());
        includes.chain.push(file);
        let mut inner = Builder::new(&source, Some(includes))?;
        inner.nodes = self.nodes;
        let (node, includes) = inner.run()?;
        self.includes = includes.map(|mut includes| {
            includes.chain.pop();
            Includes { directory: outer, ..includes }
        });
        self.count(size(&node), place)?;
        Ok(node)
    }

    fn error(&self, place: Place, message: impl Into<String>) -> Error {
        self.source.point(place, Error::new(message))
    }

    fn invalid(&self, place: Place, info: &str) -> Error {
        let error = Error::new(format!("this is no valid YAML: {info}"));
        let line = self.source.text().lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
        let error = match (line.find(['[', '{']), line.find("${")) {
            (Some(bracket), Some(placeholder)) if bracket < placeholder => {
                error.remedy("within brackets a placeholder wants quotes: \"${name}\"")
            }
            _ if line.contains('\t') => error.remedy("indent with spaces, not with tabs"),
            _ => error,
        };
        self.source.point(place, error)
    }

    fn run(self) -> Result<(Node, Option<Includes>)> {
        let source = self.source;
        match self.document()? {
            (Some(node), includes) if !matches!(node.value, Value::Scalar(Scalar { kind: Kind::Null, .. })) => Ok((node, includes)),
            _ => Err(Error::new("the file is empty").at(source.name())),
        }
    }

    fn document(mut self) -> Result<(Option<Node>, Option<Includes>)> {
        let text = self.source.text();
        let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
        let mut root = None;
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| self.invalid(self.place(error.marker()), error.info()))?;
            let place = self.place(&span.start);
            let finished = match event {
                Event::Scalar(text, style, anchor, tag) => {
                    self.count(1, place)?;
                    let merge = text == "<<" && style == ScalarStyle::Plain;
                    if self.take_key(&text, place, merge) {
                        continue;
                    }
                    let mut node = scalar(&text, style, tag, place);
                    if node.tag.as_deref() == Some(INCLUDE) {
                        node = self.include(&text, place)?;
                    }
                    let size = if anchor > 0 { size(&node) } else { 1 };
                    self.remember(anchor, &node, size);
                    node
                }
                Event::Alias(anchor) => {
                    let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                        return Err(self.error(place, "this alias stands inside of what it refers to"));
                    };
                    self.count(size, place)?;
                    if let (Value::Scalar(scalar), true) = (&node.value, self.expects_key()) {
                        self.take_key(&scalar.text, place, false);
                        continue;
                    }
                    node
                }
                Event::SequenceStart(anchor, tag) => {
                    self.begin(place, anchor, tag, Content::List(Vec::new()))?;
                    continue;
                }
                Event::MappingStart(anchor, tag) => {
                    self.begin(
                        place,
                        anchor,
                        tag,
                        Content::Map { entries: Vec::new(), places: HashMap::new(), key: None, merges: Vec::new() },
                    )?;
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => match self.end()? {
                    Some(node) => node,
                    None => continue,
                },
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(self.error(place, "a second document begins here: a file holds one"));
                }
                _ => continue,
            };
            if let Some(node) = self.put(finished)? {
                root = Some(node);
            }
        }
        Ok((root, self.includes))
    }

    fn begin(&mut self, place: Place, anchor: usize, tag: Option<Cow<'_, Tag>>, content: Content) -> Result<()> {
        if self.expects_key() {
            return Err(self.error(place, "a key is one word or text, this is a list or mapping"));
        }
        if self.stack.len() == MAX_DEPTH {
            return Err(self.error(place, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        let before = self.nodes;
        self.count(1, place)?;
        self.stack.push(Frame { place, tag: foreign(tag), anchor, before, content });
        Ok(())
    }

    fn end(&mut self) -> Result<Option<Node>> {
        let Some(frame) = self.stack.pop() else { return Ok(None) };
        let value = match frame.content {
            Content::List(items) => Value::List(items),
            Content::Map { mut entries, mut places, merges, .. } => {
                for merge in merges {
                    self.merge(&mut entries, &mut places, merge, true)?;
                }
                Value::Map(entries)
            }
        };
        let node = Node { place: frame.place, tag: frame.tag, value };
        self.remember(frame.anchor, &node, self.nodes - frame.before);
        Ok(Some(node))
    }

    /// Adds the keys of `from` that aren't there yet.
    fn merge(&self, entries: &mut Vec<Entry>, places: &mut HashMap<String, usize>, from: Node, lists: bool) -> Result<()> {
        match from.value {
            Value::Map(more) => {
                for entry in more {
                    if !places.contains_key(&entry.key) {
                        places.insert(entry.key.clone(), entries.len());
                        entries.push(entry);
                    }
                }
                Ok(())
            }
            Value::List(items) if lists => items.into_iter().try_for_each(|item| self.merge(entries, places, item, false)),
            _ => Err(self.error(from.place, "`<<` merges a mapping or a list of mappings, this is neither")),
        }
    }

    fn remember(&mut self, anchor: usize, node: &Node, size: usize) {
        // 0: no anchor.
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
    }

    fn count(&mut self, more: usize, place: Place) -> Result<()> {
        self.nodes += more;
        if self.nodes > MAX_NODES {
            return Err(self.error(place, format!("the document has more than {MAX_NODES} values, its aliases expanded")));
        }
        Ok(())
    }

    fn expects_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { content: Content::Map { key: None, .. }, .. }))
    }

    /// Takes a scalar as the key of the mapping that has begun, if it expects one.
    fn take_key(&mut self, text: &str, place: Place, merge: bool) -> bool {
        match self.stack.last_mut() {
            Some(Frame { content: Content::Map { key: key @ None, .. }, .. }) => {
                *key = Some(Key { text: text.to_string(), place, merge });
                true
            }
            _ => false,
        }
    }

    /// Gives a finished node to the list or mapping around it; without one it is the document.
    fn put(&mut self, node: Node) -> Result<Option<Node>> {
        let source = self.source;
        match self.stack.last_mut().map(|frame| &mut frame.content) {
            None => return Ok(Some(node)),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, places, key, merges }) => {
                // A key always comes before: `expects_key`.
                let Some(key) = key.take() else { return Ok(None) };
                if key.merge {
                    merges.push(node);
                } else if let Some(first) = places.get(&key.text).and_then(|&place| entries.get(place)) {
                    let message = format!("the key `{}` stands in line {} already", key.text, first.place.line);
                    return Err(source.point(key.place, Error::new(message).remedy("keep one of them")));
                } else {
                    places.insert(key.text.clone(), entries.len());
                    entries.push(Entry { key: key.text, place: key.place, node });
                }
            }
        }
        Ok(None)
    }
}

/// How many values a node has, itself one of them.
fn size(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(_) => 1,
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|entry| size(&entry.node)).sum::<usize>(),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<Cow<'_, Tag>>, place: Place) -> Node {
    let text_wanted = tag.as_ref().is_some_and(|tag| tag.suffix == "str" || tag.suffix.is_empty());
    let kind = if style == ScalarStyle::Plain && !text_wanted { kind(text) } else { Kind::Text };
    Node { place, tag: foreign(tag), value: Value::Scalar(Scalar { text: text.to_string(), kind }) }
}

/// What a plain scalar means in YAML 1.2's core schema.
pub fn kind(text: &str) -> Kind {
    let digits = text.trim_start_matches(['-', '+']);
    let signs = text.len() - digits.len();
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Kind::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" => return Kind::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Kind::Float(f64::NEG_INFINITY),
        _ => {}
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(number) = text.strip_prefix(prefix).and_then(|digits| i64::from_str_radix(digits, radix).ok()) {
            return Kind::Integer(number);
        }
    }
    // Rust's own parsers take more than YAML does ("infinity", "1_0" no, ".5" yes).
    let numeric = signs <= 1
        && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.contains(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || ".eE+-".contains(c));
    if !numeric {
        return Kind::Text;
    }
    match (text.parse(), text.parse()) {
        (Ok(integer), _) => Kind::Integer(integer),
        (_, Ok(float)) => Kind::Float(float),
        _ => Kind::Text,
    }
}

impl Node {
    /// What it is, for "expected ..., found ...".
    pub fn describe(&self) -> String {
        match &self.value {
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
            Value::Scalar(scalar) => match scalar.kind {
                Kind::Null => "nothing".into(),
                Kind::Bool(_) => format!("`{}`", scalar.text),
                Kind::Integer(_) | Kind::Float(_) => format!("the number {}", scalar.text),
                Kind::Text => format!("the text `{}`", shortened(&scalar.text)),
            },
        }
    }

    /// The value under `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node),
            _ => None,
        }
    }

    /// The same without places, for those who read it as they like.
    ///
    /// # Errors
    /// A tag outside YAML's core.
    pub fn plain(&self, source: &Source) -> Result<serde_yaml::Value> {
        if let Some(tag) = &self.tag {
            let remedy = if tag == INCLUDE { "give it a path: `!include file.yml`" } else { "put the value itself here" };
            let error = Error::new(format!("unknown tag `{tag}`")).remedy(remedy);
            return Err(source.point(self.place, error));
        }
        Ok(match &self.value {
            Value::Scalar(scalar) => match scalar.kind {
                Kind::Null => serde_yaml::Value::Null,
                Kind::Bool(value) => value.into(),
                Kind::Integer(value) => value.into(),
                Kind::Float(value) => value.into(),
                Kind::Text => scalar.text.as_str().into(),
            },
            Value::List(items) => items.iter().map(|item| item.plain(source)).collect::<Result<Vec<_>>>()?.into(),
            Value::Map(entries) => plain_map(entries, source)?,
        })
    }
}

/// [`Node::plain`] for some entries of a mapping.
///
/// # Errors
/// As [`Node::plain`].
pub fn plain_map<'a>(entries: impl IntoIterator<Item = &'a Entry>, source: &Source) -> Result<serde_yaml::Value> {
    let mut map = serde_yaml::Mapping::new();
    for entry in entries {
        map.insert(entry.key.as_str().into(), entry.node.plain(source)?);
    }
    Ok(map.into())
}

fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() > 40 || line.len() < text.len() {
        format!("{}...", line.chars().take(40).collect::<String>())
    } else {
        line.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> serde_yaml::Value {
        let source = Source::new("a.yml", text);
        parse(&source).and_then(|node| node.plain(&source)).unwrap()
    }

    fn mistake(text: &str) -> String {
        let source = Source::new("a.yml", text);
        parse(&source).and_then(|node| node.plain(&source)).unwrap_err().to_string()
    }

    #[test]
    fn it_reads_what_serde_yaml_reads() {
        let text = r#"
# The shapes that manifests have.
plain: [1, -2, 3.5, 1e-5, 1.0e+3, .5, 0x1F, true, False, ~, null, yes, 1.2.3, "7", 'it''s', v1_0, 12-7]
empty:
block: |
  two
  lines
folded: >-
  one
  line
base: &base {a: 1, list: [x, y]}
alias: *base
nested:
- id: one
  map: {k: v, 3: w}
-
  - deep
"quoted key": "tab\t\u00e9"
"#;
        let expected: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
        // serde_yaml keeps the type of keys; ours are all texts.
        let spelled = |value: &serde_yaml::Value| serde_yaml::to_string(value).unwrap().replace("'3'", "3");
        assert_eq!(spelled(&read(text)), spelled(&expected));
    }

    #[test]
    fn merges_fill_what_is_missing() {
        let text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: *a, x: 9}\nd: {<<: [*a, *b], w: 0}\ne: {\"<<\": 1}";
        let merged = read(text);
        assert_eq!(merged["c"], serde_yaml::from_str::<serde_yaml::Value>("{x: 9, y: 2}").unwrap());
        assert_eq!(merged["d"], serde_yaml::from_str::<serde_yaml::Value>("{w: 0, x: 1, y: 2, z: 4}").unwrap());
        assert_eq!(merged["e"]["<<"], 1);
    }

    #[test]
    fn mistakes_say_where() {
        insta::assert_snapshot!(mistake("a: 1\nb: 2\na: 3\n"), @r"
    a.yml:3:1: the key `a` stands in line 1 already
      |
    3 | a: 3
      | ^
      help: keep one of them
    ");
        insta::assert_snapshot!(mistake("a: [1, 2\nb: 3\n"), @r"
        a.yml:2:2: this is no valid YAML: illegal placement of ':' indicator
          |
        2 | b: 3
          |  ^
        ");
        insta::assert_snapshot!(mistake("a:\n\t- 1"), @r"
        a.yml:2:2: this is no valid YAML: tabs disallowed within this context (block indentation)
          |
        2 |     - 1
          |     ^
          help: indent with spaces, not with tabs
        ");
        insta::assert_snapshot!(mistake("a: {b: ${c}}"), @r#"
        a.yml:1:9: this is no valid YAML: while parsing a flow mapping, did not find expected ',' or '}'
          |
        1 | a: {b: ${c}}
          |         ^
          help: within brackets a placeholder wants quotes: "${name}"
        "#);
        insta::assert_snapshot!(mistake("a: *nobody"), @r"
        a.yml:1:4: this is no valid YAML: while parsing node, found unknown anchor
          |
        1 | a: *nobody
          |    ^^^^^^^
        ");
        insta::assert_snapshot!(mistake("a: &a [*a]"), @r"
        a.yml:1:8: this alias stands inside of what it refers to
          |
        1 | a: &a [*a]
          |        ^^
        ");
        insta::assert_snapshot!(mistake("a: {<<: 3}"), @r"
        a.yml:1:9: `<<` merges a mapping or a list of mappings, this is neither
          |
        1 | a: {<<: 3}
          |         ^
        ");
        insta::assert_snapshot!(mistake("a: !include {path: b.yml}"), @r"
        a.yml:1:4: unknown tag `!include`
          |
        1 | a: !include {path: b.yml}
          |    ^^^^^^^^
          help: give it a path: `!include file.yml`
        ");
        insta::assert_snapshot!(mistake("a: 1\n---\nb: 2"), @r"
        a.yml:2:1: a second document begins here: a file holds one
          |
        2 | ---
          | ^^^
        ");
        insta::assert_snapshot!(mistake("# nothing\n"), @"a.yml: the file is empty");
        insta::assert_snapshot!(mistake("? [a, b]\n: c"), @r"
        a.yml:1:3: a key is one word or text, this is a list or mapping
          |
        1 | ? [a, b]
          |   ^
        ");
    }

    #[test]
    fn hostile_files_end() {
        let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let previous = format!("*a{}, ", i - 1).repeat(10);
            laughs += &format!("a{i}: &a{i} [{}]\n", previous.trim_end_matches(", "));
        }
        assert!(mistake(&laughs).contains("more than 200000 values"));
        // The parser has a limit of its own for these.
        assert!(mistake(&"[".repeat(100_000)).contains("recursion limit"));
        assert!(mistake(&format!("a: {}", "{b: ".repeat(5000))).contains("levels deep"));
    }
}
