//! A text that a person wrote (a manifest, a script), and its mistakes shown where they are.
//!
//! ```text
//! paper.yml:12:9: unknown parameter `promt_lengths`
//!    |
//! 12 |         promt_lengths: [128]
//!    |         ^^^^^^^^^^^^^
//! ```

use crate::error::Error;
use std::fmt::Write;

/// Longer lines are shown in part: a minified file must not fill the terminal.
const WIDTH: usize = 120;

/// Line and column, both from 1; columns are counted in characters, as editors do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize)]
pub struct Place {
    pub line: usize,
    pub column: usize,
    /// 0: the text itself; n: the n-th that it includes.
    pub file: usize,
}

impl Place {
    /// A place in a text that includes no other, or in its own part.
    pub fn new(line: usize, column: usize) -> Place {
        Place { line, column, file: 0 }
    }
}

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

    /// The line at `place`, with carets below the word that begins there; `None` when there is no such line.
    pub fn excerpt(&self, place: Place) -> Option<String> {
        let line = self.part(place).text.lines().nth(place.line.checked_sub(1)?)?;
        // A tab is one column wide here as it is in the count.
        let characters: Vec<char> = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let column = place.column.saturating_sub(1).min(characters.len());
        let start = if column < WIDTH { 0 } else { column - WIDTH / 2 };
        let shown: String = characters.iter().skip(start).take(WIDTH).collect();
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        let indent = " ".repeat(column - start);
        let carets = "^".repeat(word(&characters[column..]).min(WIDTH));
        let mut out = format!("{margin} |\n{number} | {}", shown.trim_end());
        // Writing to a string cannot fail.
        let _ = write!(out, "\n{margin} | {indent}{carets}");
        Some(out)
    }
}

/// How many characters the word (or the quoted text, or the single sign) at the beginning of `rest` has: at least 1.
fn word(rest: &[char]) -> usize {
    let quoted = rest.first().filter(|&&c| c == '"' || c == '\'').and_then(|quote| rest[1..].iter().position(|c| c == quote));
    if let Some(length) = quoted {
        return length + 2;
    }
    let part_of_word = |c: &char| c.is_alphanumeric() || "_-./$*&!".contains(*c);
    let mut length = rest.iter().take_while(|c| part_of_word(c)).count();
    // `${name}` as a whole.
    if rest.get(length) == Some(&'{') && length > 0 && rest[length - 1] == '$' {
        length = rest.iter().position(|&c| c == '}').map_or(length, |end| end + 1);
    }
    length.max(1)
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
        1 | k: 'a b' # ä
          |    ^^^^^
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
    fn places_outside_the_text_do_no_harm() {
        assert_eq!(shown("one", 0, 0), "a.yml:0:0: wrong\n  help: mend it");
        assert_eq!(shown("one", 7, 1), "a.yml:7:1: wrong\n  help: mend it");
        assert!(shown("one", 1, 99).ends_with("1 | one\n  |    ^\n  help: mend it"));
        let long = "x".repeat(5000);
        assert!(shown(&long, 1, 4000).len() < 600);
    }
}
