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
}

impl Source {
    /// `name` is the path as the user gave it.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Source {
        Source { name: name.into(), text: text.into() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// `file:line:column`
    pub fn locate(&self, place: Place) -> String {
        format!("{}:{}:{}", self.name, place.line, place.column)
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
        excerpt(&self.text, Written::Yaml, place, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, line: usize, column: usize) -> String {
        Source::new("a.yml", text).point(Place { line, column }, Error::new("wrong").remedy("mend it")).to_string()
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
    fn places_outside_the_text_do_no_harm() {
        assert_eq!(shown("one", 0, 0), "a.yml:0:0: wrong\n  help: mend it");
        assert_eq!(shown("one", 7, 1), "a.yml:7:1: wrong\n  help: mend it");
        assert!(shown("one", 1, 99).ends_with("1 | one\n  |    ^\n  help: mend it"));
        let long = "x".repeat(5000);
        assert!(shown(&long, 1, 4000).len() < 600);
    }
}
