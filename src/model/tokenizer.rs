//! Text to tokens and back.
//!
//! One engine, the crate `tokenizers`, for both sources: a `tokenizer.json` is given to it as it is, the vocabulary of a GGUF is turned into
//! the same parts (see `gguf/vocabulary.rs`). So a tokenizer from either can be written as a `tokenizer.json`.

use crate::error::{At, Error, Result};
use serde_json::Value;
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
        let unusable = |error: serde_json::Error| Error::new(format!("this is not a tokenizer that can be used: {error}"));
        // In two steps: the crate panics on a syntax error inside a decoder.
        let parts: Value = serde_json::from_str(json).map_err(unusable)?;
        Self::from_parts(parts)
    }

    /// From what a `tokenizer.json` holds.
    ///
    /// # Errors
    /// As [`Tokenizer::from_json`].
    pub(super) fn from_parts(parts: Value) -> Result<Tokenizer> {
        let inner = serde_json::from_value(parts);
        Self::new(inner.map_err(|error| Error::new(format!("this is not a tokenizer that can be used: {error}")))?)
    }

    fn new(mut inner: tokenizers::Tokenizer) -> Result<Tokenizer> {
        // A tokenizer.json may ask for padding and truncation, which belong to training in batches: here they would falsify measurements.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| Error::new(error.to_string()))?;
        let around = serde_json::to_value(inner.get_post_processor()).unwrap_or_default();
        check_templates(&around).at("post_processor")?;
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

/// That the templates which put special tokens around a text are about one text, and about tokens that they list: the crate relies on it
/// without having looked.
fn check_templates(part: &Value) -> Result<()> {
    for inner in part["processors"].as_array().into_iter().flatten() {
        check_templates(inner)?;
    }
    for piece in part["single"].as_array().into_iter().flatten() {
        if let Some(token) = piece["SpecialToken"]["id"].as_str()
            && part["special_tokens"].get(token).is_none()
        {
            return Err(Error::new(format!("its template has the token `{token}`, which its special_tokens don't list")));
        }
        if piece["Sequence"]["id"] == "B" {
            return Err(Error::new("its template for a single text wants a second one"));
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A tokenizer of single bytes, with a part changed.
    fn parts(change: impl Fn(&mut Value)) -> Value {
        let vocab: serde_json::Map<String, Value> =
            ["<s>", "a", "b", "Ġ", "ð", "Ł", "¦", "Ģ"].iter().enumerate().map(|(id, text)| ((*text).into(), json!(id))).collect();
        let byte_level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
        let mut parts = json!({
            "version": "1.0",
            "truncation": { "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0 },
            "padding": { "strategy": { "Fixed": 9 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "<s>" },
            "added_tokens": [{ "id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true }],
            "normalizer": null,
            "pre_tokenizer": byte_level,
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{ "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
                "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
                "special_tokens": { "<s>": { "id": "<s>", "ids": [0], "tokens": ["<s>"] } },
            },
            "decoder": byte_level,
            "model": { "type": "BPE", "vocab": vocab, "merges": [] },
        });
        change(&mut parts);
        parts
    }

    #[test]
    fn texts_are_neither_cut_nor_padded() {
        let tokenizer = Tokenizer::from_parts(parts(|_| ())).unwrap();
        assert_eq!(tokenizer.encode("a b b", true).unwrap(), [0, 1, 3, 2, 3, 2]);
        assert_eq!(tokenizer.encode("a b b", false).unwrap(), [1, 3, 2, 3, 2]);
        assert!(tokenizer.is_special(0) && !tokenizer.is_special(1) && !tokenizer.is_special(99));
        assert_eq!((tokenizer.token_text(3).as_deref(), tokenizer.token_text(8), tokenizer.token("b")), (Some("Ġ"), None, Some(2)));
    }

    #[test]
    fn a_stream_waits_for_whole_characters_but_not_forever() {
        let tokenizer = Tokenizer::from_parts(parts(|_| ())).unwrap();
        let mut stream = tokenizer.stream();
        // The crab is four bytes; the special token between them, and one that there isn't, have no text.
        let told: Vec<Option<String>> = [1, 4, 5, 0, 99, 6, 7, 2].iter().map(|&token| stream.push(token)).collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(told, [some("a"), None, None, None, None, None, some("🦀"), some("b")]);
        assert_eq!(stream.finish(), None);

        let mut cut_off = tokenizer.stream();
        assert_eq!((cut_off.push(1), cut_off.push(4), cut_off.push(5)), (some("a"), None, None));
        assert_eq!(cut_off.finish(), some("\u{fffd}"));

        let mut broken = tokenizer.stream();
        let told: String = (0..100).filter_map(|_| broken.push(4)).collect();
        assert!(told.chars().count() > 80, "bytes that never become a character are told after a while");
    }

    #[test]
    fn what_the_crate_would_stumble_over_is_refused() {
        let refusal = |change: &dyn Fn(&mut Value)| Tokenizer::from_parts(parts(change)).unwrap_err().to_string();
        let message = refusal(&|parts| parts["post_processor"]["special_tokens"] = json!({}));
        assert_eq!(message, "post_processor: its template has the token `<s>`, which its special_tokens don't list");
        let message = refusal(&|parts| parts["post_processor"]["single"][1]["Sequence"]["id"] = json!("B"));
        assert_eq!(message, "post_processor: its template for a single text wants a second one");
        let message = refusal(&|parts| parts["model"]["type"] = json!("Mystery"));
        assert!(message.starts_with("this is not a tokenizer that can be used: "), "{message}");
        let text = parts(|_| ()).to_string().replace("\"decoder\":{", "\"decoder\":{]");
        let message = Tokenizer::from_json(&text).unwrap_err().to_string();
        assert!(message.contains("line 1 column"), "{message}");

        let good = parts(|_| ()).to_string();
        let mut state = 1u32;
        let mut random = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        for _ in 0..3000 {
            let mut damaged = good.clone().into_bytes();
            for _ in 0..1 + random(3) {
                damaged[random(good.len())] = b"0123456789[],:\"{}eE-.x\n"[random(23)];
            }
            if let Ok(text) = String::from_utf8(damaged)
                && let Ok(tokenizer) = Tokenizer::from_json(&text)
                && let Ok(tokens) = tokenizer.encode("a <s>b 🦀 c", true)
            {
                let _ = tokenizer.decode(&tokens);
            }
        }
    }
}
