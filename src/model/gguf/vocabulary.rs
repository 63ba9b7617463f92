//! The vocabulary inside a GGUF, as the parts of a `tokenizer.json`.
//!
//! Sources: llama.cpp's `llama-vocab.cpp` (which pre-tokenizer a name stands for), `transformers`' `convert_slow_tokenizer.py` (how
//! SentencePiece scores become merges), and the `tokenizer.json` files of the models themselves.

use super::container::Container;
use crate::error::{Error, Result, unknown};
use crate::model::tokenizer::Tokenizer;
use serde_json::{Value, json};
use std::collections::HashMap;

/// `tokenizer.ggml.token_type`.
const UNKNOWN: u64 = 2;
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;
const UNUSED: u64 = 5;
const BYTE: u64 = 6;

/// The longest tokens are rows of a few hundred spaces or signs.
const MAX_TOKEN: usize = 1024;
/// Ways to put pieces together, for each piece and for any vocabulary: real ones have about two for each. Pieces that all begin with each
/// other have as many as they have letters.
const MERGES_PER_PIECE: usize = 8;
const MERGES: usize = 1 << 16;

/// How text is cut before merging; `tokenizer.ggml.pre` names it.
struct Cut {
    names: &'static [&'static str],
    /// Each digit stands alone, before anything else is cut.
    digits: bool,
    /// The pattern whose matches are the pieces; `None`: GPT-2's, which the engine has built in.
    pattern: Option<&'static str>,
    /// A piece that is a token is that token, whatever the merges would make of it.
    whole_words: bool,
    /// Unicode normalisation C first.
    nfc: bool,
    /// A begin-of-text token is wanted where the file doesn't say.
    bos: bool,
}

const LLAMA_3: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const CUTS: &[Cut] = &[
    // A file that names none was made before there was a choice.
    Cut { names: &["gpt-2", "default"], digits: false, pattern: None, whole_words: false, nfc: false, bos: false },
    Cut { names: &["smollm", "starcoder", "refact", "codeshell"], digits: true, pattern: None, whole_words: false, nfc: false, bos: false },
    Cut {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3"],
        digits: false,
        pattern: Some(LLAMA_3),
        whole_words: true,
        nfc: false,
        bos: true,
    },
    Cut { names: &["qwen2", "deepseek-r1-qwen"], digits: false, pattern: Some(QWEN_2), whole_words: false, nfc: true, bos: false },
    Cut { names: &["tekken"], digits: false, pattern: Some(TEKKEN), whole_words: true, nfc: false, bos: true },
];

/// The tokenizer of the file; `None` if it has no vocabulary.
///
/// # Errors
/// It has one that can't be used.
pub(super) fn tokenizer(container: &Container) -> Result<Option<Tokenizer>> {
    let Some(model) = container.string("tokenizer.ggml.model")? else { return Ok(None) };
    let json = match model {
        "none" | "no_vocab" => return Ok(None),
        "gpt2" => byte_pairs(container)?,
        "llama" => sentence_pieces(container)?,
        other => return Err(unknown("vocabulary", other, ["gpt2", "llama"]).at("key tokenizer.ggml.model")),
    };
    Tokenizer::from_parts(json).map(Some)
}

/// What both kinds of vocabulary have.
struct Vocabulary<'a> {
    texts: Vec<&'a str>,
    types: Vec<u64>,
}

impl<'a> Vocabulary<'a> {
    fn read(container: &'a Container) -> Result<Vocabulary<'a>> {
        let texts = container.strings("tokenizer.ggml.tokens")?.ok_or_else(|| super::missing("tokenizer.ggml.tokens"))?;
        let types = container.integers("tokenizer.ggml.token_type")?.unwrap_or_else(|| vec![1; texts.len()]);
        same_length("tokenizer.ggml.token_type", types.len(), texts.len())?;
        if let Some((id, text)) = texts.iter().enumerate().find(|(_, text)| text.len() > MAX_TOKEN) {
            return Err(Error::new(format!("token {id} has {} bytes, more than any token has ({MAX_TOKEN})", text.len()))
                .at("key tokenizer.ggml.tokens")
                .remedy("the file is damaged, or made to do harm: fetch it again from a source that you know"));
        }
        Ok(Vocabulary { texts, types })
    }

    /// Text to token; of two tokens with one text the first.
    fn ids(&self) -> HashMap<&'a str, usize> {
        self.texts.iter().enumerate().rev().map(|(id, &text)| (text, id)).collect()
    }

    fn id_map(&self) -> Value {
        let ids = self.ids();
        let mut sorted: Vec<(&&str, &usize)> = ids.iter().collect();
        sorted.sort_by_key(|(_, id)| **id);
        Value::Object(sorted.into_iter().map(|(text, id)| ((*text).to_owned(), json!(id))).collect())
    }

    /// Tokens that are found in the text before anything else is done with it.
    fn added(&self) -> Value {
        let added =
            (self.texts.iter().enumerate()).filter(|&(id, text)| matches!(self.types[id], CONTROL | USER_DEFINED) && !text.is_empty());
        let entry = |(id, text): (usize, &&str)| {
            let special = self.types[id] == CONTROL;
            json!({ "id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": special })
        };
        added.map(entry).collect()
    }

    /// What puts begin-of-text and end-of-text tokens around a text.
    fn around(&self, container: &Container, add_bos: bool) -> Result<Value> {
        let flag = |key: &str, default: bool| Ok::<_, Error>(container.bool(key)?.unwrap_or(default));
        let mut parts = vec![json!({ "Sequence": { "id": "A", "type_id": 0 } })];
        let mut specials = serde_json::Map::new();
        let mut put = |key: &str, at_front: bool| -> Result<()> {
            let id = container.integer(key)?.ok_or_else(|| super::missing(key))? as usize;
            let text = *self
                .texts
                .get(id)
                .ok_or_else(|| Error::new(format!("key {key} is {id}, beyond the vocabulary of {} tokens", self.texts.len())))?;
            let part = json!({ "SpecialToken": { "id": text, "type_id": 0 } });
            parts.insert(if at_front { 0 } else { parts.len() }, part);
            specials.insert(text.to_owned(), json!({ "id": text, "ids": [id], "tokens": [text] }));
            Ok(())
        };
        if flag("tokenizer.ggml.add_bos_token", add_bos)? {
            put("tokenizer.ggml.bos_token_id", true)?;
        }
        if flag("tokenizer.ggml.add_eos_token", false)? {
            put("tokenizer.ggml.eos_token_id", false)?;
        }
        if specials.is_empty() {
            return Ok(Value::Null);
        }
        let mut pair = parts.clone();
        pair.push(json!({ "Sequence": { "id": "B", "type_id": 1 } }));
        Ok(json!({ "type": "TemplateProcessing", "single": parts, "pair": pair, "special_tokens": specials }))
    }
}

fn same_length(key: &str, found: usize, expected: usize) -> Result<()> {
    match found == expected {
        true => Ok(()),
        false => Err(Error::new(format!("key {key} has {found} values, expected one for each of the {expected} tokens"))),
    }
}

/// GPT-2's kind: bytes spelt as printable characters, merges in their order.
fn byte_pairs(container: &Container) -> Result<Value> {
    let vocabulary = Vocabulary::read(container)?;
    let merges = container.strings("tokenizer.ggml.merges")?.ok_or_else(|| super::missing("tokenizer.ggml.merges"))?;
    // A part may begin with a space, but never is one.
    let split = |merge: &&str| {
        merge.char_indices().skip(1).find(|&(_, c)| c == ' ').map(|(at, _)| [merge[..at].to_owned(), merge[at + 1..].to_owned()])
    };
    let pairs =
        merges.iter().map(|merge| split(merge).ok_or_else(|| Error::new(format!("key tokenizer.ggml.merges: `{merge}` is not a pair"))));
    let merges = pairs.collect::<Result<Vec<_>>>()?;

    let pre = container.string("tokenizer.ggml.pre")?.unwrap_or("default");
    let cut = CUTS.iter().find(|cut| cut.names.contains(&pre));
    let cut =
        cut.ok_or_else(|| unknown("pre-tokenizer", pre, CUTS.iter().flat_map(|cut| cut.names).copied()).at("key tokenizer.ggml.pre"))?;
    let mut steps = Vec::new();
    if cut.digits {
        steps.push(json!({ "type": "Digits", "individual_digits": true }));
    }
    if let Some(pattern) = cut.pattern {
        steps.push(json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false }));
    }
    let byte_level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": cut.pattern.is_none() });
    steps.push(byte_level.clone());
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": vocabulary.added(),
        "normalizer": if cut.nfc { json!({ "type": "NFC" }) } else { Value::Null },
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": steps },
        "post_processor": vocabulary.around(container, cut.bos)?,
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": cut.whole_words,
            "vocab": vocabulary.id_map(), "merges": merges,
        },
    }))
}

/// SentencePiece's kind: pieces with scores (the better one is merged first), bytes for what no piece covers.
fn sentence_pieces(container: &Container) -> Result<Value> {
    let vocabulary = Vocabulary::read(container)?;
    let scores = container.floats("tokenizer.ggml.scores")?.ok_or_else(|| super::missing("tokenizer.ggml.scores"))?;
    same_length("tokenizer.ggml.scores", scores.len(), vocabulary.texts.len())?;
    let unknown_token = match container.integer("tokenizer.ggml.unknown_token_id")? {
        Some(id) => Some(id as usize),
        None => vocabulary.types.iter().position(|&kind| kind == UNKNOWN),
    };
    let unknown_token = unknown_token.and_then(|id| vocabulary.texts.get(id));
    let prefix = container.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let mut normalizers = vec![json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" })];
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if prefix {
        normalizers.insert(0, json!({ "type": "Prepend", "prepend": "▁" }));
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": vocabulary.added(),
        "normalizer": { "type": "Sequence", "normalizers": normalizers },
        "pre_tokenizer": null,
        "post_processor": vocabulary.around(container, true)?,
        "decoder": { "type": "Sequence", "decoders": decoders },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": unknown_token, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocabulary.id_map(), "merges": merges_of(&vocabulary, &scores)?,
        },
    }))
}

/// Every way to put a piece together from two pieces, the best-scored piece first.
///
/// # Errors
/// There are far more than a vocabulary has.
fn merges_of<'a>(vocabulary: &Vocabulary<'a>, scores: &[f64]) -> Result<Vec<[&'a str; 2]>> {
    let most = MERGES + MERGES_PER_PIECE * vocabulary.texts.len();
    let mergeable = |id: usize| !matches!(vocabulary.types[id], UNKNOWN | CONTROL | UNUSED | BYTE);
    let ids: HashMap<&str, usize> = vocabulary.ids().into_iter().filter(|&(_, id)| mergeable(id)).collect();
    let mut merges = Vec::new();
    for (&piece, &id) in &ids {
        for (at, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(at);
            if let (Some(&left_id), Some(&right_id)) = (ids.get(left), ids.get(right)) {
                merges.push((scores[id], left_id, right_id, left, right));
            }
            if merges.len() > most {
                return Err(Error::new(format!("its pieces can be put together in more than {most} ways"))
                    .at("key tokenizer.ggml.tokens")
                    .remedy("the file is damaged, or made to do harm: fetch it again from a source that you know"));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
    Ok(merges.into_iter().map(|(_, _, _, left, right)| [left, right]).collect())
}
