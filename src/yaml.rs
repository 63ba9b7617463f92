//! How large a YAML document becomes: an alias is a few bytes that stand for any number of values, and aliases may stand for aliases.

use crate::error::{Error, Result};
use crate::source::{Place, Source};
use saphyr_parser::{Event, Parser};
use std::collections::HashMap;

/// The longest manifests have some 100 KB.
const MAX_BYTES: usize = 8 << 20;
/// Values of a document with its aliases expanded, and bytes of all its texts.
const MAX_VALUES: usize = 200_000;
const MAX_TEXT: usize = 16 << 20;
/// Nested deeper than anything that a person writes; whoever reads the tree recurses, and a stack is small.
const MAX_DEPTH: usize = 100;

/// What a part of a document amounts to.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    values: usize,
    bytes: usize,
}

impl Size {
    fn add(&mut self, other: Size) {
        self.values = self.values.saturating_add(other.values);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    fn since(self, before: Size) -> Size {
        Size { values: self.values - before.values, bytes: self.bytes - before.bytes }
    }
}

/// That the document is of a size that can be dealt with, before anybody expands it. What isn't YAML is for its reader to tell.
///
/// # Errors
/// It is longer, nested deeper, or stands for more than any document that a person wrote; with the place.
pub fn check_size(source: &Source) -> Result<()> {
    let text = source.text();
    if text.len() > MAX_BYTES {
        return Err(Error::new(format!("the document has {} bytes, expected at most {MAX_BYTES}", text.len()))
            .at(source.name())
            .remedy("keep data in a .json, .jsonl or .csv file"));
    }
    let mut total = Size::default();
    let mut anchors: HashMap<usize, Size> = HashMap::new();
    // Lists and mappings that have begun: their anchors, and the total before them.
    let mut open: Vec<(usize, Size)> = Vec::new();
    let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    while let Some(Ok((event, span))) = parser.next_event() {
        let place = Place::new(span.start.line(), span.start.col() + 1);
        let too_much = |message: String| {
            source.point(place, Error::new(message).remedy("an alias stands for all that its anchor has: write less of them"))
        };
        match event {
            Event::Scalar(text, _, anchor, _) => {
                let size = Size { values: 1, bytes: text.len() };
                total.add(size);
                remember(&mut anchors, &mut total, anchor, size);
            }
            Event::Alias(anchor) => total.add(anchors.get(&anchor).copied().unwrap_or_default()),
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                open.push((anchor, total));
                total.add(Size { values: 1, bytes: 0 });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((anchor, before)) = open.pop() {
                    let size = total.since(before);
                    remember(&mut anchors, &mut total, anchor, size);
                }
            }
            _ => {}
        }
        if open.len() > MAX_DEPTH {
            return Err(too_much(format!("nested more than {MAX_DEPTH} levels deep")));
        }
        if total.values > MAX_VALUES {
            return Err(too_much(format!("the document has more than {MAX_VALUES} values, its aliases expanded")));
        }
        if total.bytes > MAX_TEXT {
            return Err(too_much(format!("the document has more than {MAX_TEXT} bytes of text, its aliases expanded")));
        }
    }
    Ok(())
}

/// Keeps the size of an anchor's part, of which readers keep a copy.
fn remember(anchors: &mut HashMap<usize, Size>, total: &mut Size, anchor: usize, size: Size) {
    // 0: no anchor.
    if anchor > 0 {
        anchors.insert(anchor, size);
        total.add(size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: String) -> String {
        check_size(&Source::new("a.yml", text)).unwrap_err().to_string()
    }

    #[test]
    fn bombs_are_told_before_they_go_off() {
        check_size(&Source::new("a.yml", "a: &x {b: [1, 2]}\nc: *x\nd: {<<: *x, e: 3}\n")).unwrap();
        let text = "x".repeat(400_000);
        let aliases = "- *t\n".repeat(100);
        assert!(told(format!("- &t {text}\n{aliases}")).contains("bytes of text, its aliases expanded"));
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            laughs += &format!("a{level}: &a{level} [{aliases}]\n");
        }
        let message = told(laughs);
        assert!(message.starts_with("a.yml:5:") && message.contains("200000 values, its aliases expanded"), "{message}");
        // Anchors inside each other: each would be copied with all that is in it.
        let nested = (0..90).map(|level| format!("{}- &n{level}\n", " ".repeat(level))).collect::<String>();
        let values = format!("{}- x\n", " ".repeat(90)).repeat(5000);
        assert!(told(format!("{nested}{values}")).contains("values, its aliases expanded"));
        assert!(told("[".repeat(200)).contains("nested more than 100 levels deep"));
        assert!(told(" ".repeat(MAX_BYTES + 1)).contains("expected at most"));
    }
}
