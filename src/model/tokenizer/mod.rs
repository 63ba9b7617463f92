//! Text to tokens and back.
//!
//! One engine, the crate `tokenizers`, for both sources: a `tokenizer.json` is given to it as it is, the vocabulary of a GGUF is turned into
//! the same parts (see `gguf/vocabulary.rs`). So a tokenizer from either can be written as a `tokenizer.json`.

mod guard;
mod limits;
mod stream;

pub use stream::Stream;

use super::ModelFile;
use crate::error::{At, Error, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The largest vocabularies make files of some 30 MB.
const MAX_FILE: usize = 1 << 27;

/// How long the library may take: for anything, and for each MB of it. It takes a hundredth of this for what it was made for.
const SECONDS: f64 = 2.0;
const SECONDS_PER_MB: f64 = 4.0;

fn limit(bytes: usize) -> Duration {
    Duration::from_secs_f64(SECONDS + SECONDS_PER_MB * bytes as f64 / 1e6)
}

/// A tokenizer, from `tokenizer.json` or the vocabulary inside a GGUF.
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    /// One more than the highest token.
    vocab: usize,
    /// Rows of the model's embedding: tokens beyond them mean nothing to it.
    embedded: usize,
    /// Tokens that stand for no text.
    special: HashSet<u32>,
    /// Bytes that no token covers have tokens of their own, which its decoder puts together (SentencePiece).
    byte_tokens: bool,
    /// What the library could not do. Asked again, it would take as long or say the same.
    broken: OnceLock<Error>,
}

/// What a `tokenizer.json` holds, but for its vocabulary, which is most of it.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    #[expect(dead_code, reason = "looked at for its syntax only")]
    model: IgnoredAny,
}

fn unusable(error: impl std::fmt::Display) -> Error {
    Error::new(format!("this is not a tokenizer that can be used: {error}"))
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// It can't be read, or isn't a tokenizer (with the line of the mistake).
    pub(crate) fn from_file(file: &ModelFile) -> Result<Tokenizer> {
        Self::from_json(file.text(MAX_FILE)?).at(file.path.display())
    }

    /// As [`Tokenizer::from_file`], from its text.
    ///
    /// # Errors
    /// It isn't a tokenizer.
    pub fn from_json(json: &str) -> Result<Tokenizer> {
        // In two steps: the library panics on a syntax error inside a decoder, and does what it is told.
        let Parts { normalizer, post_processor, decoder, .. } = serde_json::from_str(json).map_err(unusable)?;
        limits::check(&serde_json::json!({ "normalizer": normalizer, "post_processor": post_processor, "decoder": decoder }))?;
        let text = json.to_owned();
        let inner = guard::within(limit(json.len()), move || serde_json::from_str::<tokenizers::Tokenizer>(&text));
        Self::new(inner?.map_err(unusable)?)
    }

    /// From what a `tokenizer.json` holds.
    ///
    /// # Errors
    /// As [`Tokenizer::from_json`].
    pub(super) fn from_parts(parts: Value) -> Result<Tokenizer> {
        limits::check(&parts)?;
        // A vocabulary of hundreds of thousands of tokens takes its time.
        let bytes = parts["model"]["vocab"].as_object().map_or(0, |vocab| vocab.len() * 32);
        let inner = guard::within(limit(bytes), move || serde_json::from_value::<tokenizers::Tokenizer>(parts));
        Self::new(inner?.map_err(unusable)?)
    }

    fn new(mut inner: tokenizers::Tokenizer) -> Result<Tokenizer> {
        // A tokenizer.json may ask for padding and truncation, which belong to training in batches: here they would falsify measurements.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| Error::new(error.to_string()))?;
        let vocab = inner.get_vocab(true).values().max().map_or(0, |&highest| highest as usize + 1);
        if vocab == 0 {
            return Err(Error::new("the tokenizer has an empty vocabulary"));
        }
        let special = inner.get_added_tokens_decoder().into_iter().filter(|(_, token)| token.special).map(|(id, _)| id).collect();
        let byte_tokens = serde_json::to_string(&inner.get_decoder()).is_ok_and(|decoder| decoder.contains("\"ByteFallback\""));
        Ok(Tokenizer { inner: Arc::new(inner), vocab, embedded: usize::MAX, special, byte_tokens, broken: OnceLock::new() })
    }

    /// The same for a model whose embedding has `rows` rows.
    #[must_use]
    pub(super) fn embedded(mut self, rows: usize) -> Tokenizer {
        self.embedded = rows;
        self
    }

    /// What the library said, or that it could say nothing: then this is all that is ever said.
    fn kept<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.broken.get_or_init(|| unusable(error.message())).clone())
    }

    /// The tokens of `text`; with `special`, what the model wants around a text (its begin-of-text token) too. Special tokens that are
    /// spelt out in the text (`<|im_start|>`) are taken as such.
    ///
    /// # Errors
    /// Text that the tokenizer cannot take.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        if let Some(broken) = self.broken.get() {
            return Err(broken.clone());
        }
        let (inner, owned) = (Arc::clone(&self.inner), text.to_owned());
        let encoding = self.kept(guard::within(limit(text.len()), move || {
            inner.encode_fast(owned, special).map(|encoding| encoding.get_ids().to_vec()).map_err(|error| error.to_string())
        }))?;
        let tokens = encoding.map_err(|error| Error::new(format!("the text can't be made into tokens: {error}")))?;
        match tokens.iter().find(|&&token| token as usize >= self.embedded) {
            None => Ok(tokens),
            Some(&token) => Err(Error::new(format!(
                "the text has the token `{}` ({token}), for which the model has no embedding: its tokenizer has {} tokens, its embedding {} rows",
                self.token_text(token).unwrap_or_default(),
                self.vocab,
                self.embedded
            ))
            .remedy("use the tokenizer that the model was trained with, or leave the added tokens out of the text")),
        }
    }

    /// The text of `tokens`; special tokens are left out. Bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// A token beyond the vocabulary.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.check(tokens)?;
        if let Some(broken) = self.broken.get() {
            return Err(broken.clone());
        }
        let mut texts: Vec<String> =
            tokens.iter().filter(|&token| !self.special.contains(token)).filter_map(|&token| self.inner.id_to_token(token)).collect();
        if self.byte_tokens {
            texts = whole_characters(texts);
        }
        let decoded = self.kept(guard::caught(|| match self.inner.get_decoder() {
            Some(decoder) => tokenizers::Decoder::decode(decoder, texts).map_err(|error| error.to_string()),
            None => Ok(texts.join(" ")),
        }))?;
        decoded.map_err(|error| Error::new(format!("the tokens can't be made into text: {error}")))
    }

    /// The text of `tokens` as it follows that of the tokens `before`: a text's first token loses its space, others don't.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn decode_after(&self, before: &[u32], tokens: &[u32]) -> Result<String> {
        let whole = self.decode(&[before, tokens].concat())?;
        Ok(stream::beyond(&self.decode(before)?, &whole).to_owned())
    }

    /// The number of tokens: all are below it. A model's own vocabulary may be larger (padded to a round number).
    pub fn vocab(&self) -> usize {
        self.vocab
    }

    /// A token as the vocabulary spells it (`Ġthe`, `<|im_start|>`); `None` for one that there isn't.
    pub fn token_text(&self, token: u32) -> Option<String> {
        self.inner.id_to_token(token)
    }

    /// The text of a token as it stands within a text: with the space that a first token loses. `None` for a token without text of its own.
    pub fn piece(&self, token: u32) -> Option<String> {
        // Whatever comes before it, its text is what both together have more.
        let before = [token];
        self.decode_after(&before, &[token]).ok().filter(|text| !text.is_empty())
    }

    /// The token that is spelt so in the vocabulary.
    pub fn token(&self, text: &str) -> Option<u32> {
        self.inner.token_to_id(text)
    }

    /// Whether the token stands for no text (begin of text, padding, turns of a conversation).
    pub fn is_special(&self, token: u32) -> bool {
        self.special.contains(&token)
    }

    /// Text piece by piece, as tokens arrive that follow the tokens `before` (the last few of a prompt are enough).
    pub fn stream(&self, before: &[u32]) -> Stream<'_> {
        Stream::new(self, before)
    }

    fn has_text(&self, token: u32) -> bool {
        (token as usize) < self.vocab && !self.is_special(token)
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

/// Tokens of single bytes (`<0xE2>`) with those that are part of no character as U+FFFD. The library's decoder takes a row of them for one
/// text, and drops all of it for a single broken byte: a line's end, too, that stood before it.
fn whole_characters(texts: Vec<String>) -> Vec<String> {
    let byte = |text: &String| {
        let digits = text.strip_prefix("<0x")?.strip_suffix('>').filter(|digits| digits.len() == 2)?;
        u8::from_str_radix(digits, 16).ok()
    };
    let mut all = Vec::with_capacity(texts.len());
    for run in texts.chunk_by(|a, b| byte(a).is_some() == byte(b).is_some()) {
        let bytes: Option<Vec<u8>> = run.iter().map(byte).collect();
        match bytes.filter(|bytes| std::str::from_utf8(bytes).is_err()) {
            None => all.extend_from_slice(run),
            Some(bytes) => {
                for chunk in bytes.utf8_chunks() {
                    all.extend(chunk.valid().bytes().map(|byte| format!("<0x{byte:02X}>")));
                    all.extend(chunk.invalid().iter().map(|_| "\u{fffd}".to_owned()));
                }
            }
        }
    }
    all
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer of {} tokens", self.vocab)
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
        let mut stream = tokenizer.stream(&[]);
        // The crab is four bytes; the special token between them, and one that there isn't, have no text.
        let told: Vec<Option<String>> = [1, 4, 5, 0, 99, 6, 7, 2].iter().map(|&token| stream.push(token)).collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(told, [some("a"), None, None, None, None, None, some("🦀"), some("b")]);
        assert_eq!(stream.finish(), None);

        let mut cut_off = tokenizer.stream(&[]);
        assert_eq!((cut_off.push(1), cut_off.push(4), cut_off.push(5)), (some("a"), None, None));
        assert_eq!(cut_off.finish(), some("\u{fffd}"));

        let mut broken = tokenizer.stream(&[]);
        let told: String = (0..100).filter_map(|_| broken.push(4)).collect();
        assert!(told.chars().count() > 80, "bytes that never become a character are told after a while");
    }

    /// A SentencePiece vocabulary with tokens for bytes.
    fn pieces() -> Tokenizer {
        let vocab: serde_json::Map<String, Value> = ["<unk>", "▁the", "▁sea", "<0x0A>", "<0xE2>", "<0x82>", "<0xAC>"]
            .iter()
            .enumerate()
            .map(|(id, text)| ((*text).into(), json!(id)))
            .collect();
        let decoders = json!([
            { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
            { "type": "ByteFallback" },
            { "type": "Fuse" },
            { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
        ]);
        Tokenizer::from_parts(parts(|parts| {
            parts["added_tokens"] = json!([]);
            parts["post_processor"] = Value::Null;
            parts["pre_tokenizer"] = Value::Null;
            parts["decoder"] = json!({ "type": "Sequence", "decoders": decoders });
            parts["model"] = json!({ "type": "BPE", "vocab": vocab, "merges": [], "byte_fallback": true, "unk_token": "<unk>" });
        }))
        .unwrap()
    }

    #[test]
    fn a_text_goes_on_where_its_prompt_ended() {
        let tokenizer = pieces();
        assert_eq!(tokenizer.decode(&[1, 2]).unwrap(), "the sea");
        assert_eq!(tokenizer.decode_after(&[1], &[2, 1]).unwrap(), " sea the");
        assert_eq!(tokenizer.decode_after(&[], &[2, 1]).unwrap(), "sea the");
        let mut stream = tokenizer.stream(&[2, 1]);
        assert_eq!([2, 1].map(|token| stream.push(token).unwrap()), [" sea", " the"]);
        // A character that the prompt began.
        assert_eq!(tokenizer.decode_after(&[1, 4, 5], &[6, 2]).unwrap(), "€ sea");
    }

    #[test]
    fn broken_bytes_take_nothing_with_them() {
        let tokenizer = pieces();
        let told = |tokens: &[u32]| {
            let mut stream = tokenizer.stream(&[1]);
            let mut told: String = tokens.iter().filter_map(|&token| stream.push(token)).collect();
            told.extend(stream.finish());
            assert_eq!(told, tokenizer.decode_after(&[1], tokens).unwrap(), "streamed and whole");
            told
        };
        assert_eq!(told(&[3, 4, 5, 2, 1]), "\n\u{fffd}\u{fffd} sea the");
        assert_eq!(told(&[3, 4, 5, 6, 2]), "\n€ sea");
        assert_eq!(told(&[4, 4, 5, 6, 3, 5]), "\u{fffd}€\n\u{fffd}");
        assert_eq!(told(&[[5; 20].as_slice(), &[2]].concat()), "\u{fffd}".repeat(20) + " sea");
    }

    #[test]
    fn tokens_beyond_the_embedding_are_told() {
        let tokenizer = Tokenizer::from_parts(parts(|_| ())).unwrap().embedded(2);
        assert_eq!(tokenizer.encode("a", true).unwrap(), [0, 1]);
        let message = tokenizer.encode("ab", true).unwrap_err().to_string();
        assert!(
            message.contains("the token `b` (2), for which the model has no embedding: its tokenizer has 8 tokens, its embedding 2 rows"),
            "{message}"
        );
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
