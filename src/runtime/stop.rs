//! The text of a sequence as it is generated, which ends where one of some strings begins.

use crate::model::{Stream, Tokenizer};

/// Text that arrives token by token. What may be the beginning of a stop string is held back until it is known.
pub struct StopText<'a> {
    stream: Option<Stream<'a>>,
    stops: &'a [String],
    text: String,
    /// Bytes of `text` that were handed out.
    told: usize,
    stopped_by: Option<&'a str>,
}

impl<'a> StopText<'a> {
    /// Of the tokens that follow `before`. Empty stop strings stop nothing.
    pub fn new(tokenizer: &'a Tokenizer, before: &[u32], stops: &'a [String]) -> StopText<'a> {
        StopText { stream: Some(tokenizer.stream(before)), stops, text: String::new(), told: 0, stopped_by: None }
    }

    /// The text that is certain now, perhaps none; whether it has ended is known to [`StopText::stopped_by`].
    pub fn push(&mut self, token: u32) -> String {
        match self.stream.as_mut().and_then(|stream| stream.push(token)) {
            Some(piece) if self.stopped_by.is_none() => self.add(&piece),
            _ => String::new(),
        }
    }

    /// What is left where no more tokens come.
    pub fn finish(&mut self) -> String {
        if self.stopped_by.is_none()
            && let Some(rest) = self.stream.take().and_then(Stream::finish)
        {
            self.text.push_str(&rest);
            self.look(self.text.len() - rest.len());
        }
        self.tell(self.text.len())
    }

    /// The stop string that has ended the text.
    pub fn stopped_by(&self) -> Option<&'a str> {
        self.stopped_by
    }

    /// All of the text, but for the stop string and what followed it.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn add(&mut self, piece: &str) -> String {
        self.text.push_str(piece);
        self.look(self.text.len() - piece.len());
        if self.stopped_by.is_some() {
            return self.tell(self.text.len());
        }
        let waiting = self.stops.iter().map(|stop| begun(&self.text, stop)).max().unwrap_or(0);
        self.tell(self.text.len() - waiting)
    }

    /// Looks for stop strings that end beyond byte `from`.
    fn look(&mut self, from: usize) {
        let find = |stop: &'a String| {
            let mut start = from.saturating_sub(stop.len());
            while !self.text.is_char_boundary(start) {
                start -= 1;
            }
            self.text[start..].find(stop.as_str()).map(|at| (start + at, stop))
        };
        let first = self.stops.iter().filter(|stop| !stop.is_empty()).filter_map(find).min_by_key(|(at, stop)| (*at, stop.len()));
        if let Some((at, stop)) = first {
            self.text.truncate(at);
            self.stopped_by = Some(stop);
        }
    }

    fn tell(&mut self, end: usize) -> String {
        let piece = self.text.get(self.told..end).unwrap_or_default().to_owned();
        self.told = self.told.max(end);
        piece
    }
}

/// Bytes at the end of `text` that `stop` begins with.
fn begun(text: &str, stop: &str) -> usize {
    let lengths = stop.char_indices().map(|(at, _)| at).filter(|&length| length > 0);
    lengths.filter(|&length| text.ends_with(&stop[..length])).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(pieces: &[&str], stops: &[&str]) -> (String, Vec<String>, Option<String>) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut text = StopText { stream: None, stops: &stops, text: String::new(), told: 0, stopped_by: None };
        let mut told = Vec::new();
        for piece in pieces {
            if text.stopped_by.is_none() {
                told.push(text.add(piece));
            }
        }
        told.push(text.finish());
        (text.text.clone(), told, text.stopped_by.map(str::to_owned))
    }

    #[test]
    fn a_text_ends_before_its_stop_string() {
        let (text, told, by) = watched(&["The ", "end\n", "\nno", "more"], &["\n\n", "END"]);
        assert_eq!((text.as_str(), by.as_deref()), ("The end", Some("\n\n")));
        assert_eq!(told, ["The ", "end", "", ""]);
    }

    #[test]
    fn what_only_looks_like_a_stop_string_is_told_later() {
        let (text, told, by) = watched(&["a<", "en", "x", "<e"], &["<end>"]);
        assert_eq!((text.as_str(), by), ("a<enx<e", None));
        assert_eq!(told, ["a", "", "<enx", "", "<e"]);
    }

    #[test]
    fn the_earliest_counts_and_nothing_is_cut_inside_a_character() {
        let (text, _, by) = watched(&["é", "ü§ab"], &["b", "a", "", "§"]);
        assert_eq!((text.as_str(), by.as_deref()), ("éü", Some("§")));
        assert_eq!(watched(&["ab"], &["bc"]).0, "ab");
    }
}
