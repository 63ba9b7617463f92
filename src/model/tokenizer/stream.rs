//! Text piece by piece, as tokens arrive.

use super::Tokenizer;

/// Decodes tokens one by one. A character whose bytes are spread over several tokens is told when it is whole.
///
/// What a token decodes to depends on its neighbours (the first token of a text loses its space), so each piece is the difference
/// between the text with and without the newest tokens, over a window that begins with the last piece told.
pub struct Stream<'a> {
    tokenizer: &'a Tokenizer,
    /// The last piece's tokens (as context), then those whose text hasn't been told.
    tokens: Vec<u32>,
    /// How many of `tokens` have been told.
    told: usize,
}

/// A character of four bytes whose bytes are tokens of their own needs four; whoever sends more broken bytes than this sees U+FFFD.
const LONGEST_WAIT: usize = 8;

impl<'a> Stream<'a> {
    /// Of the tokens that follow `before`.
    pub(super) fn new(tokenizer: &'a Tokenizer, before: &[u32]) -> Stream<'a> {
        let tokens: Vec<u32> = before.iter().copied().filter(|&token| tokenizer.has_text(token)).collect();
        Stream { tokenizer, told: tokens.len(), tokens }
    }

    /// The text that is certain now; `None` while a character is incomplete, and for tokens without text. A token beyond the vocabulary
    /// has no text.
    pub fn push(&mut self, token: u32) -> Option<String> {
        if !self.tokenizer.has_text(token) {
            return None;
        }
        self.tokens.push(token);
        let waiting = self.tokens.len() - self.told;
        self.piece().filter(|piece| !piece.ends_with('\u{fffd}') || waiting >= LONGEST_WAIT).map(|piece| self.tell(piece))
    }

    /// What is left at the end: U+FFFD for a character that was cut off.
    pub fn finish(mut self) -> Option<String> {
        self.piece().map(|piece| self.tell(piece))
    }

    fn piece(&self) -> Option<String> {
        let before = self.tokenizer.decode(&self.tokens[..self.told]).ok()?;
        let after = self.tokenizer.decode(&self.tokens).ok()?;
        Some(beyond(&before, &after)).filter(|piece| !piece.is_empty()).map(str::to_owned)
    }

    fn tell(&mut self, piece: String) -> String {
        self.tokens.drain(..self.told);
        self.told = self.tokens.len();
        piece
    }
}

/// What `after` has more than `before`. Bytes that were no character may have become one with those that followed: whatever differs is new.
pub(super) fn beyond<'t>(before: &str, after: &'t str) -> &'t str {
    let common = before.chars().zip(after.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    &after[common..]
}
