//! Excerpts of what a person wrote (a script, a manifest, JSON, the command line), with carets below what is wrong. Every message that shows a
//! line is drawn here.
//!
//! ```text
//!    |
//! 12 |         promt_lengths: [128]
//!    |         ^^^^^^^^^^^^^
//! ```

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::ops::Range;

/// Longer lines are shown in part: a minified file must not fill the terminal.
const WIDTH: usize = 120;

/// Line and column, both from 1; columns are counted in characters, as editors do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// What the text is written in: it says what counts as one word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Written {
    /// `fp16-v2`, `a/b.npy` and `${name}` are words.
    #[default]
    Yaml,
    /// Names, numbers, texts in quotes; operators.
    Script,
}

/// The lines of `text` at `place`, with carets below the word that begins there, and below other places what they are (`opened here`).
/// `None` when there is no such line.
pub fn excerpt(text: &str, written: Written, place: Place, others: &[(Place, &str)]) -> Option<String> {
    let marked = span(text, written, place)?;
    let mut snippet = Snippet::source(text).annotation(AnnotationKind::Primary.span(marked));
    for (place, label) in others {
        if let Some(other) = span(text, written, *place) {
            snippet = snippet.annotation(AnnotationKind::Context.span(other).label(*label));
        }
    }
    Some(drawn(snippet))
}

/// One line without a number (a command line), with carets below a part of it.
pub fn underlined(line: &str, marked: Range<usize>) -> String {
    if line.get(marked.clone()).is_none() {
        return String::new();
    }
    drawn(Snippet::source(line).line_numbering(false).annotation(AnnotationKind::Primary.span(marked)))
}

fn drawn(snippet: Snippet<'_, annotate_snippets::Annotation<'_>>) -> String {
    let report = [Group::with_level(Level::ERROR).element(snippet)];
    let text = Renderer::plain().term_width(WIDTH).render(&report);
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The bytes of the word at `place`; at the end of a line, an empty span there.
fn span(text: &str, written: Written, place: Place) -> Option<Range<usize>> {
    let number = place.line.checked_sub(1)?;
    let begin: usize = text.split_inclusive('\n').take(number).map(str::len).sum();
    let line = text.split_inclusive('\n').nth(number)?.trim_end_matches(['\n', '\r']);
    let column = place.column.saturating_sub(1);
    let start = line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
    let rest: Vec<char> = line[start..].chars().collect();
    let length: usize = rest.iter().take(word(&rest, written)).map(|c| c.len_utf8()).sum();
    Some(begin + start..begin + start + length)
}

/// How many characters the word (or the quoted text, or the single sign) at the beginning of `rest` has: at least 1.
fn word(rest: &[char], written: Written) -> usize {
    let quoted = rest.first().filter(|&&c| c == '"' || c == '\'').and_then(|quote| rest[1..].iter().position(|c| c == quote));
    if let Some(length) = quoted {
        return length + 2;
    }
    let part_of_word = |c: &char| c.is_alphanumeric() || *c == '_' || (written == Written::Yaml && "-./$*&!".contains(*c));
    let mut length = rest.iter().take_while(|c| part_of_word(c)).count();
    // `${name}` as a whole.
    if rest.get(length) == Some(&'{') && length > 0 && rest[length - 1] == '$' {
        length = rest.iter().position(|&c| c == '}').map_or(length, |end| end + 1);
    }
    // `+=`, `::`, `<=` are one thing.
    if length == 0 && written == Written::Script {
        length = rest.iter().take_while(|c| "+-*/%=<>!&|:?".contains(**c)).count();
    }
    length.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, line: usize, column: usize) -> String {
        excerpt(text, Written::Script, Place { line, column }, &[]).unwrap_or_default()
    }

    #[test]
    fn words_are_marked_and_ends_of_lines() {
        insta::assert_snapshot!(shown("let ä = 1;\nlet b = lenght(ä)\nb += 1;", 2, 9), @r"
          |
        2 | let b = lenght(ä)
          |         ^^^^^^
        ");
        insta::assert_snapshot!(shown("let b = 2\nb += 1;", 1, 10), @r"
          |
        1 | let b = 2
          |          ^
        ");
        insta::assert_snapshot!(shown("let b = 2\r\n\tb += 1;\r\n", 2, 4), @r"
          |
        2 |     b += 1;
          |       ^^
        ");
    }

    #[test]
    fn other_places_say_what_they_are() {
        let text = "fn f() {\n    if true {\n        1\n\n\n\n}\n";
        let opened = [(Place { line: 2, column: 13 }, "opened here")];
        insta::assert_snapshot!(excerpt(text, Written::Script, Place { line: 7, column: 2 }, &opened).unwrap(), @r"
          |
        2 |     if true {
          |             - opened here
        ...
        7 | }
          |  ^
        ");
    }

    #[test]
    fn a_command_line_has_no_numbers() {
        insta::assert_snapshot!(underlined("caramba script a.rhai --set n=-3", 22..32), @r"
        |
        | caramba script a.rhai --set n=-3
        |                       ^^^^^^^^^^
        ");
        assert_eq!(underlined("ä", 1..2), "");
    }

    #[test]
    fn places_outside_the_text_do_no_harm() {
        assert_eq!(shown("one", 0, 0), "");
        assert_eq!(shown("one", 7, 1), "");
        assert!(shown("one", 1, 99).ends_with("1 | one\n  |    ^"));
        let long = "x ".repeat(5000);
        assert!(shown(&long, 1, 4001).len() < 600);
    }
}
