//! Text to tokens and back.
//!
//! One engine, the crate `tokenizers`, for both sources: a `tokenizer.json` is given to it as it is, the vocabulary of a GGUF is turned into
//! the same parts (see `gguf/vocabulary.rs`). So a tokenizer from either can be written as a `tokenizer.json`.

use crate::error::{At, Error, Result};
use std::collections::HashSet;
use std::path::Path;

/// A tokenizer, from `tokenizer.json` or the vocabulary inside a GGUF.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// One more than the highest token.
    vocab: usize,
    /// Tokens that stand for no text.
    special: HashSet<u32>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// It can't be read, or isn't a tokenizer (with the line of the mistake).
    pub fn from_file(path: &Path) -> Result<Tokenizer> {
        // The largest vocabularies make files of some 20 MB.
        let text = super::file::read_text(path, 1 << 28)?;
        Self::from_json(&text).at(path.display())
    }

    /// As [`Tokenizer::from_file`], from its text.
    ///
    /// # Errors
    /// It isn't a tokenizer.
    pub fn from_json(json: &str) -> Result<Tokenizer> {
        let inner: tokenizers::Tokenizer =
            json.parse().map_err(|error| Error::new(format!("this is not a tokenizer that can be used: {error}")))?;
        Self::new(inner)
    }

    pub(super) fn new(mut inner: tokenizers::Tokenizer) -> Result<Tokenizer> {
        // A tokenizer.json may ask for padding and truncation, which belong to training in batches: here they would falsify measurements.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| Error::new(error.to_string()))?;
        let vocab = inner.get_vocab(true).values().max().map_or(0, |&highest| highest as usize + 1);
        if vocab == 0 {
            return Err(Error::new("the tokenizer has an empty vocabulary"));
        }
        let special = inner.get_added_tokens_decoder().into_iter().filter(|(_, token)| token.special).map(|(id, _)| id).collect();
        Ok(Tokenizer { inner, vocab, special })
    }

    /// The tokens of `text`; with `special`, what the model wants around a text (its begin-of-text token) too. Special tokens that are
    /// spelt out in the text (`<|im_start|>`) are taken as such.
    ///
    /// # Errors
    /// Text that the tokenizer cannot take.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, special);
        Ok(encoding.map_err(|error| Error::new(format!("the text can't be made into tokens: {error}")))?.get_ids().to_vec())
    }

    /// The text of `tokens`; special tokens are left out. Bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// A token beyond the vocabulary.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.check(tokens)?;
        self.inner.decode(tokens, true).map_err(|error| Error::new(format!("the tokens can't be made into text: {error}")))
    }

    /// The number of tokens: all are below it. A model's own vocabulary may be larger (padded to a round number).
    pub fn vocab(&self) -> usize {
        self.vocab
    }

    /// A token as the vocabulary spells it (`Ġthe`, `<|im_start|>`); `None` for one that there isn't.
    pub fn token_text(&self, token: u32) -> Option<String> {
        self.inner.id_to_token(token)
    }

    /// The token that is spelt so in the vocabulary.
    pub fn token(&self, text: &str) -> Option<u32> {
        self.inner.token_to_id(text)
    }

    /// Whether the token stands for no text (begin of text, padding, turns of a conversation).
    pub fn is_special(&self, token: u32) -> bool {
        self.special.contains(&token)
    }

    /// Text piece by piece, as tokens arrive.
    pub fn stream(&self) -> Stream<'_> {
        Stream { tokenizer: self, tokens: Vec::new(), told: 0 }
    }

    /// As `tokenizer.json`.
    ///
    /// # Errors
    /// Never seen; the crate's signature has one.
    pub(super) fn to_json(&self) -> Result<String> {
        self.inner.to_string(false).map_err(|error| Error::new(format!("the tokenizer can't be written: {error}")))
    }

    fn check(&self, tokens: &[u32]) -> Result<()> {
        match tokens.iter().find(|&&token| token as usize >= self.vocab) {
            None => Ok(()),
            Some(token) => Err(Error::new(format!("token {token} is beyond the vocabulary of {} tokens", self.vocab))
                .remedy("use the tokenizer that the tokens were made with")),
        }
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer of {} tokens", self.vocab)
    }
}

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

impl Stream<'_> {
    /// The text that is certain now; `None` while a character is incomplete, and for tokens without text. A token beyond the vocabulary
    /// has no text.
    pub fn push(&mut self, token: u32) -> Option<String> {
        if token as usize >= self.tokenizer.vocab || self.tokenizer.is_special(token) {
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
        after.get(before.len()..).filter(|piece| !piece.is_empty()).map(str::to_owned)
    }

    fn tell(&mut self, piece: String) -> String {
        self.tokens.drain(..self.told);
        self.told = self.tokens.len();
        piece
    }
}
