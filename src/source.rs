//! A text that a person wrote (a manifest, a script), and its mistakes shown where they are.
//!
//! ```text
//! paper.yml:12:9: unknown parameter `promt_lengths`
//!    |
//! 12 |         promt_lengths: [128]
//!    |         ^^^^^^^^^^^^^
//! ```

pub use crate::diagnostics::Place;
use crate::diagnostics::{Written, excerpt};
use crate::error::Error;

/// A text and the name by which its author knows it.
#[derive(Debug, Clone, Default)]
pub struct Source {
    name: String,
    text: String,
    /// Texts of other files that stand for parts of this one.
    included: Vec<Source>,
}

impl Source {
    /// `name` is the path as the user gave it.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Source {
        Source { name: name.into(), text: text.into(), included: Vec::new() }
    }

    /// The same with the texts that it includes.
    #[must_use]
    pub fn including(self, included: Vec<Source>) -> Source {
        Source { included, ..self }
    }

    /// The text in which `place` lies.
    pub fn part(&self, place: Place) -> &Source {
        place.file.checked_sub(1).and_then(|index| self.included.get(index)).unwrap_or(self)
    }

    /// All that it consists of: its own text, then those that it includes.
    pub fn whole(&self) -> String {
        std::iter::once(self).chain(&self.included).map(|part| part.text.as_str()).collect()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// `file:line:column`
    pub fn locate(&self, place: Place) -> String {
        format!("{}:{}:{}", self.part(place).name, place.line, place.column)
    }

    /// `error` with its place and, below the sentence, the source line.
    pub fn point(&self, place: Place, error: Error) -> Error {
        let error = match self.excerpt(place) {
            Some(excerpt) => error.showing(excerpt),
            None => error,
        };
        error.at(self.locate(place))
    }

    /// What is wrong with a text that is no JSON, shown where it is. `first` is the number of the text's first line: of JSON lines, each is a text of its own.
    pub fn not_json(&self, error: &serde_json::Error, first: usize) -> Error {
        let (line, bytes) = (error.line().max(1), error.column());
        let text = self.text.split_inclusive('\n').nth(line - 1).unwrap_or_default().trim_end_matches(['\n', '\r']);
        // Counted in bytes, up to and with the one that is wrong; 0: the line is over.
        let before = text.char_indices().take_while(|(at, _)| at + 1 < bytes).count();
        let place = if error.is_eof() { Place::new(line, text.chars().count() + 1) } else { Place::new(line, before + 1) };
        let said = error.to_string();
        let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
        let here = text.chars().nth(place.column - 1);
        let help = match (said, here) {
            _ if error.is_eof() => "the text ends before what it has begun: a quote or bracket is not closed, or the file was cut short",
            ("trailing comma", _) => "JSON has no comma behind the last of a list or of names",
            (_, Some('\'')) => "JSON has texts in double quotes",
            (_, Some('/' | '#')) => "JSON has no comments",
            (_, Some('N' | 'I' | 'T' | 'F')) => "JSON knows true, false and null, and no NaN",
            ("key must be a string", _) => "JSON has names in double quotes",
            ("trailing characters", _) => "a file holds one value; several, each on a line of its own, are JSON lines (.jsonl)",
            ("expected `,` or `}`" | "expected `,` or `]`", _) => "a comma is missing before this, or a bracket",
            ("expected value", _) if before > 0 => {
                "a value belongs here: a text in double quotes, a number, true, false, null, [...] or {...}"
            }
            _ => "JSON begins with { or [",
        };
        let said = match said {
            _ if self.text.trim().is_empty() => "there is nothing in it".to_owned(),
            "key must be a string" => "a name must be a text".to_owned(),
            "trailing characters" => "more text follows".to_owned(),
            other => other.replace("EOF while parsing", "it ends within"),
        };
        let error = Error::new(format!("this is not JSON: {said}"));
        let error = match excerpt(&self.text, Written::Script, place, &[]) {
            Some(shown) => error.showing(if first == 1 { shown } else { numbered(&shown, line, first + line - 1) }),
            None => error,
        };
        error.at(format!("{}:{}:{}", self.name, first + line - 1, place.column)).remedy(help)
    }

    /// The line at `place`, with carets below the word that begins there; `None` when there is no such line.
    pub fn excerpt(&self, place: Place) -> Option<String> {
        excerpt(&self.part(place).text, Written::Yaml, place, &[])
    }
}

/// An excerpt with the number of its line changed.
fn numbered(shown: &str, from: usize, to: usize) -> String {
    let (from, to) = (from.to_string(), to.to_string());
    let margin = " ".repeat(to.len().saturating_sub(from.len()));
    let line = |line: &str| match line.strip_prefix(&format!("{from} |")) {
        Some(rest) => format!("{to} |{rest}"),
        None => format!("{margin}{line}"),
    };
    shown.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, line: usize, column: usize) -> String {
        Source::new("a.yml", text).point(Place::new(line, column), Error::new("wrong").remedy("mend it")).to_string()
    }

    #[test]
    fn a_mistake_is_shown_where_it_is() {
        insta::assert_snapshot!(shown("one\n  two: [3]\n", 2, 3), @r"
        a.yml:2:3: wrong
          |
        2 |   two: [3]
          |   ^^^
          help: mend it
        ");
        insta::assert_snapshot!(shown("k:\t'a b' # ä", 1, 4), @r"
        a.yml:1:4: wrong
          |
        1 | k:    'a b' # ä
          |       ^^^^^
          help: mend it
        ");
        insta::assert_snapshot!(shown("k: x ${long name} y", 1, 6), @r"
        a.yml:1:6: wrong
          |
        1 | k: x ${long name} y
          |      ^^^^^^^^^^^^
          help: mend it
        ");
    }

    #[test]
    fn what_is_no_json_is_shown_where_it_is() {
        let shown = |text: &str, first: usize| {
            let error = serde_json::from_str::<serde_json::Value>(text).unwrap_err();
            Source::new("a.json", text).not_json(&error, first).to_string()
        };
        insta::assert_snapshot!(shown("{\n  \"ä\": 1,\n  \"b\": [1, 2,],\n}", 1), @r#"
        a.json:3:14: this is not JSON: trailing comma
          |
        3 |   "b": [1, 2,],
          |              ^
          help: JSON has no comma behind the last of a list or of names
        "#);
        insta::assert_snapshot!(shown("{\"ä\": 'x'}", 1), @r#"
        a.json:1:7: this is not JSON: expected value
          |
        1 | {"ä": 'x'}
          |       ^^^
          help: JSON has texts in double quotes
        "#);
        insta::assert_snapshot!(shown("{a: 1}", 120), @r"
        a.json:120:2: this is not JSON: a name must be a text
            |
        120 | {a: 1}
            |  ^
          help: JSON has names in double quotes
        ");
        insta::assert_snapshot!(shown("{\"a\": [1, 2", 1), @r#"
        a.json:1:12: this is not JSON: it ends within a list
          |
        1 | {"a": [1, 2
          |            ^
          help: the text ends before what it has begun: a quote or bracket is not closed, or the file was cut short
        "#);
        insta::assert_snapshot!(shown("{\"a\": 1 \"b\": 2}", 1), @r#"
        a.json:1:9: this is not JSON: expected `,` or `}`
          |
        1 | {"a": 1 "b": 2}
          |         ^^^
          help: a comma is missing before this, or a bracket
        "#);
        insta::assert_snapshot!(shown("{\"a\": NaN}", 1), @r#"
        a.json:1:7: this is not JSON: expected value
          |
        1 | {"a": NaN}
          |       ^^^
          help: JSON knows true, false and null, and no NaN
        "#);
        insta::assert_snapshot!(shown("{\"a\": 1}\n{\"a\": 2}", 1), @r#"
        a.json:2:1: this is not JSON: more text follows
          |
        2 | {"a": 2}
          | ^
          help: a file holds one value; several, each on a line of its own, are JSON lines (.jsonl)
        "#);
        insta::assert_snapshot!(shown("{\n  // why\n  \"a\": 1}", 1), @r"
        a.json:2:3: this is not JSON: a name must be a text
          |
        2 |   // why
          |   ^^
          help: JSON has no comments
        ");
        insta::assert_snapshot!(shown("hello", 1), @r"
        a.json:1:1: this is not JSON: expected value
          |
        1 | hello
          | ^^^^^
          help: JSON begins with { or [
        ");
        insta::assert_snapshot!(shown("", 1), @r"
        a.json:1:1: this is not JSON: there is nothing in it
          help: the text ends before what it has begun: a quote or bracket is not closed, or the file was cut short
        ");
    }

    #[test]
    fn places_outside_the_text_do_no_harm() {
        assert_eq!(shown("one", 0, 0), "a.yml:0:0: wrong\n  help: mend it");
        assert_eq!(shown("one", 7, 1), "a.yml:7:1: wrong\n  help: mend it");
        assert!(shown("one", 1, 99).ends_with("1 | one\n  |    ^\n  help: mend it"));
        let long = "x".repeat(5000);
        assert!(shown(&long, 1, 4000).len() < 600);
    }
}
