//! What a `tokenizer.json` may ask for: the library believes sizes, and does what it is told however much a text grows by it.

use crate::error::{At, Error, Result};
use serde_json::Value;

/// How many times longer than a text the replacements may make it. SentencePiece's mark for a space takes three bytes; nothing needs more than
/// a few such steps.
const MAX_GROWTH: f64 = 64.0;
/// Longest piece that something is replaced by, or that is put before a text, in bytes.
const MAX_PIECE: usize = 4096;
/// Parts within parts.
const MAX_NESTING: usize = 16;
/// Tokens around a text.
const MAX_AROUND: usize = 256;

/// That the parts of a tokenizer, its vocabulary aside, ask for nothing that can't be done.
///
/// # Errors
/// Which part asks for what.
pub(super) fn check(parts: &Value) -> Result<()> {
    grows(&parts["normalizer"], 0).at("normalizer")?;
    grows(&parts["decoder"], 0).at("decoder")?;
    templates(&parts["post_processor"], 0).at("post_processor")
}

/// How many times longer a text can become.
fn grows(part: &Value, depth: usize) -> Result<f64> {
    if depth > MAX_NESTING {
        return Err(Error::new(format!("its parts are nested more than {MAX_NESTING} deep")));
    }
    let mut growth = 1.0;
    for list in ["normalizers", "decoders"] {
        for inner in part[list].as_array().into_iter().flatten() {
            growth *= grows(inner, depth + 1)?;
        }
    }
    let length = |text: &Value| text.as_str().map_or(0, str::len);
    match part["type"].as_str() {
        Some("Replace") => {
            let (pattern, with) = (&part["pattern"], length(&part["content"]));
            if pattern["String"].as_str() == Some("") || pattern["Regex"].as_str() == Some("") {
                return Err(Error::new("it replaces the empty text, which is everywhere"));
            }
            if with > MAX_PIECE {
                return Err(Error::new(format!("it replaces something by {with} bytes")));
            }
            // A regular expression may match a single byte.
            growth *= (with as f64 / length(&pattern["String"]).max(1) as f64).max(1.0);
        }
        Some("Prepend") if length(&part["prepend"]) > MAX_PIECE => {
            return Err(Error::new(format!("it puts {} bytes before a text", length(&part["prepend"]))));
        }
        Some("Precompiled") => charsmap(part["precompiled_charsmap"].as_str().unwrap_or_default()).at("precompiled_charsmap")?,
        _ => {}
    }
    match growth > MAX_GROWTH {
        true => Err(Error::new(format!("its replacements make a text {growth:.0} times as long"))),
        false => Ok(growth),
    }
}

/// SentencePiece's table of replacements in base 64: the bytes of a trie (u32, little-endian), the trie, texts that end with 0.
fn charsmap(encoded: &str) -> Result<()> {
    let damaged = |what: &str| Err(Error::new(format!("it is damaged: {what}")));
    let Some(bytes) = base64(encoded) else { return damaged("it is not base 64") };
    let Some((length, rest)) = bytes.split_first_chunk() else { return damaged("it has no length") };
    let length = u32::from_le_bytes(*length) as usize;
    if length < 4 || !length.is_multiple_of(4) || length > rest.len() {
        return damaged(&format!("its trie is said to have {length} bytes, of {} that there are", rest.len()));
    }
    match rest[length..].split(|&byte| byte == 0).map(<[u8]>::len).max() {
        Some(longest) if longest > MAX_PIECE => damaged(&format!("it replaces something by {longest} bytes")),
        _ => Ok(()),
    }
}

/// Bytes from base 64 (RFC 4648, section 4).
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut held, mut bits) = (0u32, 0);
    for c in text.trim_end_matches('=').bytes() {
        let digit = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6 | u32::from(digit)) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    Some(bytes)
}

/// That the templates which put special tokens around a text are about one text, and about tokens that they list: the library relies on it
/// without having looked.
fn templates(part: &Value, depth: usize) -> Result<()> {
    if depth > MAX_NESTING {
        return Err(Error::new(format!("its parts are nested more than {MAX_NESTING} deep")));
    }
    for inner in part["processors"].as_array().into_iter().flatten() {
        templates(inner, depth + 1)?;
    }
    let pieces = part["single"].as_array().map_or(&[][..], Vec::as_slice);
    if pieces.len() > MAX_AROUND {
        return Err(Error::new(format!("its template has {} pieces", pieces.len())));
    }
    let texts = pieces.iter().filter(|piece| !piece["Sequence"].is_null()).count();
    if texts > 1 {
        return Err(Error::new(format!("its template has the text {texts} times")));
    }
    for piece in pieces {
        if let Some(token) = piece["SpecialToken"]["id"].as_str() {
            let Some(listed) = part["special_tokens"].get(token) else {
                return Err(Error::new(format!("its template has the token `{token}`, which its special_tokens don't list")));
            };
            let count = listed["ids"].as_array().map_or(0, Vec::len);
            if count > MAX_AROUND {
                return Err(Error::new(format!("its token `{token}` stands for {count} tokens")));
            }
        }
        if piece["Sequence"]["id"] == "B" {
            return Err(Error::new("its template for a single text wants a second one"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn base_64_is_read() {
        assert_eq!(base64("AAECAwT/").unwrap(), [0, 1, 2, 3, 4, 255]);
        assert_eq!(base64("TWE=").unwrap(), b"Ma");
        assert!(base64("T*E=").is_none());
    }

    #[test]
    fn what_grows_without_end_is_refused() {
        let space = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
        check(&json!({ "normalizer": { "type": "Sequence", "normalizers": [{ "type": "Prepend", "prepend": "▁" }, space] } })).unwrap();
        let told = |normalizer: Value| check(&json!({ "normalizer": normalizer })).unwrap_err().to_string();
        let tenfold = json!({ "type": "Replace", "pattern": { "String": "a" }, "content": "aaaaaaaaaa" });
        let message = told(json!({ "type": "Sequence", "normalizers": [tenfold, tenfold] }));
        assert!(message.contains("normalizer: its replacements make a text 100 times as long"), "{message}");
        assert!(told(json!({ "type": "Replace", "pattern": { "String": "" }, "content": "b" })).contains("the empty text"));
        assert!(told(json!({ "type": "Precompiled", "precompiled_charsmap": "////////" })).contains("4294967295 bytes, of 2"));
        assert!(told(json!({ "type": "Precompiled", "precompiled_charsmap": "" })).contains("no length"));
    }
}
