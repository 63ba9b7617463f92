//! `${name}`: values that stand once under `vars` and are used anywhere in the manifest.
//!
//! A placeholder that is all of a value keeps the variable's type (a number, a list, a mapping); within a text it must be a scalar, which
//! is put in as it was written. Variables may use each other. `${model.width}` is the key `width` of the mapping `model`, and `$${` is
//! a plain `${` (in a command for a shell).

use super::node::{Entry, Kind, MAX_DEPTH, MAX_NODES, Node, Scalar, Value};
use crate::error::{Error, Result, unknown};
use crate::source::{Place, Source};
use std::cell::Cell;

/// The variables of a manifest.
pub struct Variables<'a> {
    source: &'a Source,
    entries: &'a [Entry],
    /// Values and variables looked at so far: variables that use each other twice, and so on, grow without end.
    work: Cell<usize>,
    depth: Cell<usize>,
}

impl<'a> Variables<'a> {
    /// `vars` is the section of that name, if the manifest has one.
    ///
    /// # Errors
    /// It isn't a mapping.
    pub fn new(vars: Option<&'a Node>, source: &'a Source) -> Result<Variables<'a>> {
        let entries = match vars.map(|node| (node, &node.value)) {
            None | Some((_, Value::Scalar(Scalar { kind: Kind::Null, .. }))) => &[][..],
            Some((_, Value::Map(entries))) => entries,
            Some((node, _)) => {
                let message = format!("`vars` is a mapping of names to values, found {}", node.describe());
                return Err(source.point(node.place, Error::new(message)));
            }
        };
        Ok(Variables { source, entries, work: Cell::new(0), depth: Cell::new(0) })
    }

    /// `node` with all its placeholders replaced.
    ///
    /// # Errors
    /// An unknown or cyclic variable, a placeholder without end, a list within a text: with the place.
    pub fn fill(&self, node: &Node) -> Result<Node> {
        self.fill_within(node, &mut Vec::new())
    }

    /// `stack` holds the variables that are being worked out.
    fn fill_within(&self, node: &Node, stack: &mut Vec<String>) -> Result<Node> {
        self.work.set(self.work.get() + 1);
        self.depth.set(self.depth.get() + 1);
        if self.work.get() > MAX_NODES {
            let error = Error::new(format!("the variables used here expand to more than {MAX_NODES} values"));
            return Err(self.source.point(node.place, error));
        }
        if self.depth.get() > MAX_DEPTH {
            let error = Error::new(format!("with its variables this is nested more than {MAX_DEPTH} levels deep"));
            return Err(self.source.point(node.place, error));
        }
        let filled = self.fill_one(node, stack);
        self.depth.set(self.depth.get() - 1);
        filled
    }

    fn fill_one(&self, node: &Node, stack: &mut Vec<String>) -> Result<Node> {
        let value = match &node.value {
            Value::List(items) => Value::List(items.iter().map(|item| self.fill_within(item, stack)).collect::<Result<_>>()?),
            Value::Map(entries) => Value::Map(
                entries
                    .iter()
                    .map(|entry| Ok(Entry { node: self.fill_within(&entry.node, stack)?, ..entry.clone() }))
                    .collect::<Result<_>>()?,
            ),
            Value::Scalar(scalar) if scalar.text.contains("${") => return self.fill_text(node, &scalar.text, stack),
            Value::Scalar(_) => return Ok(node.clone()),
        };
        Ok(Node { value, ..node.clone() })
    }

    fn fill_text(&self, node: &Node, text: &str, stack: &mut Vec<String>) -> Result<Node> {
        let whole = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).filter(|name| !name.contains(['{', '}']));
        if let Some(name) = whole {
            // The place is where it is used: that is where a wrong type shows.
            return Ok(Node { place: node.place, ..self.value(name, node.place, stack)? });
        }
        let mut filled = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            if rest[..start].ends_with('$') {
                filled += &rest[..start];
                filled.push('{');
                rest = &rest[start + 2..];
                continue;
            }
            filled += &rest[..start];
            let place = self.within(node.place, &rest[start..]);
            let Some(end) = rest[start..].find('}') else {
                let error = Error::new("this `${` has no `}`").remedy("write `$${` for a plain `${`");
                return Err(self.source.point(place, error));
            };
            let name = &rest[start + 2..start + end];
            let value = self.value(name, place, stack)?;
            let Value::Scalar(scalar) = &value.value else {
                let error = Error::new(format!("`{name}` is {}: it can't be a part of a text", value.describe()));
                return Err(self.source.point(place, error.remedy("use it alone, as the whole value")));
            };
            filled += &scalar.text;
            // A long text is as much work as many short ones.
            self.work.set(self.work.get() + scalar.text.len() / 64);
            rest = &rest[start + end + 1..];
        }
        filled += rest;
        Ok(Node { value: Value::Scalar(Scalar { text: filled, kind: Kind::Text }), ..node.clone() })
    }

    /// The value of the variable `name`, used at `place`.
    fn value(&self, name: &str, place: Place, stack: &mut Vec<String>) -> Result<Node> {
        let name = name.trim();
        if let Some(first) = stack.iter().position(|used| used == name) {
            let circle = stack[first..].iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(" -> ");
            return Err(self.source.point(place, Error::new(format!("the variable `{name}` is made of itself: {circle}"))));
        }
        let raw = self.find(name).ok_or_else(|| self.source.point(place, self.unknown(name)))?;
        stack.push(name.to_string());
        let value = self.fill_within(raw, stack)?;
        stack.pop();
        Ok(value)
    }

    fn find(&self, name: &str) -> Option<&'a Node> {
        let top = |name: &str| self.entries.iter().find(|entry| entry.key == name).map(|entry| &entry.node);
        top(name).or_else(|| {
            let mut parts = name.split('.');
            let first = top(parts.next()?)?;
            parts.try_fold(first, |node, key| node.get(key))
        })
    }

    fn unknown(&self, name: &str) -> Error {
        if self.entries.is_empty() {
            return Error::new(format!("unknown variable `{name}`")).remedy(format!("give it a value: `vars: {{{name}: ...}}`"));
        }
        unknown("variable", name, self.entries.iter().map(|entry| entry.key.as_str()))
    }

    /// The place of `part` (the rest of a scalar from its placeholder on) when the scalar stands in one line, else the scalar's.
    fn within(&self, scalar: Place, part: &str) -> Place {
        let placeholder = part.split_inclusive('}').next().unwrap_or(part);
        let line = self.source.part(scalar).text().lines().nth(scalar.line.saturating_sub(1)).unwrap_or_default();
        let before: usize = line.chars().take(scalar.column.saturating_sub(1)).map(char::len_utf8).sum();
        match line[before..].find(placeholder) {
            Some(offset) => Place { column: scalar.column + line[before..before + offset].chars().count(), ..scalar },
            None => scalar,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::parse;
    use super::*;

    fn fill(text: &str) -> Result<serde_yaml::Value> {
        let source = Source::new("a.yml", text);
        let root = parse(&source)?;
        let variables = Variables::new(root.get("vars"), &source)?;
        variables.fill(root.get("use").unwrap())?.plain(&source)
    }

    fn mistake(text: &str) -> String {
        fill(text).unwrap_err().to_string()
    }

    #[test]
    fn a_lone_placeholder_keeps_its_type() {
        let text = r#"
vars: {width: 2048, half: "${width}", lengths: [1, "${width}"], rate: 1e-5, on: true, name: run, model: {depth: 16, "a.b": 1}}
use:
  - ${width}
  - "${half}"
  - {deep: ["${lengths}"]}
  - ${on}
  - "${name}-${width}-${rate}.pt"
  - ${ model.depth }
  - echo $${HOME} ${name}
  - $5
"#;
        let expected = "[2048, 2048, {deep: [[1, 2048]]}, true, run-2048-1e-5.pt, 16, 'echo ${HOME} run', $5]";
        assert_eq!(fill(text).unwrap(), serde_yaml::from_str::<serde_yaml::Value>(expected).unwrap());
    }

    #[test]
    fn mistakes_say_where() {
        insta::assert_snapshot!(mistake("vars: {d_model: 1}\nuse: {a: [x, '${d_modle}']}"), @r"
        a.yml:2:14: unknown variable `d_modle`
          |
        2 | use: {a: [x, '${d_modle}']}
          |              ^^^^^^^^^^^^
          help: did you mean `d_model`? known are: d_model
        ");
        insta::assert_snapshot!(mistake("use: runs/${name}.pt"), @r"
        a.yml:1:11: unknown variable `name`
          |
        1 | use: runs/${name}.pt
          |           ^^^^^^^
          help: give it a value: `vars: {name: ...}`
        ");
        insta::assert_snapshot!(mistake("vars: {a: '${b}', b: 'x${c}', c: '${a}'}\nuse: ${a}"), @r"
        a.yml:1:34: the variable `a` is made of itself: a -> b -> c -> a
          |
        1 | vars: {a: '${b}', b: 'x${c}', c: '${a}'}
          |                                  ^^^^^^
        ");
        insta::assert_snapshot!(mistake("vars: {a: [1]}\nuse: x${a}"), @r"
        a.yml:2:7: `a` is a list: it can't be a part of a text
          |
        2 | use: x${a}
          |       ^^^^
          help: use it alone, as the whole value
        ");
        insta::assert_snapshot!(mistake("vars: {a: 1}\nuse: ${a"), @r"
        a.yml:2:6: this `${` has no `}`
          |
        2 | use: ${a
          |      ^
          help: write `$${` for a plain `${`
        ");
        insta::assert_snapshot!(mistake("vars: [a]\nuse: ${a}"), @r"
        a.yml:1:7: `vars` is a mapping of names to values, found a list
          |
        1 | vars: [a]
          |       ^
        ");
    }

    #[test]
    fn expansion_ends() {
        let doubled = |value: &str| (1..40).map(|i| format!("  v{i}: {}\n", value.replace('#', &(i - 1).to_string()))).collect::<String>();
        let lists = format!("vars:\n  v0: x\n{}use: ${{v39}}", doubled("[\"${v#}\", \"${v#}\"]"));
        assert!(mistake(&lists).contains("more than 1000000 values"));
        let texts = format!("vars:\n  v0: x\n{}use: ${{v39}}", doubled("\"${v#}${v#}\""));
        assert!(mistake(&texts).contains("more than 1000000 values"));
        let deep =
            format!("vars:\n  v0: x\n{}use: ${{v300}}", (1..301).map(|i| format!("  v{i}: [\"${{v{}}}\"]\n", i - 1)).collect::<String>());
        assert!(mistake(&deep).contains("levels deep"));
    }
}
