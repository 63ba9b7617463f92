//! Files of models, seen as bytes without reading them.

use super::tensor::Bytes;
use crate::error::{At, Error, Result};
use crate::mapped::Mapped;
use crate::source::Source;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that a model was read from, held open: what is said of it later is true of the bytes that were read, even when another
/// file lies at its path by then.
#[derive(Clone)]
pub struct ModelFile {
    /// Where it was found, as the user gave it.
    pub path: PathBuf,
    mapped: Arc<Mapped>,
}

impl ModelFile {
    /// # Errors
    /// It can't be opened, isn't a file, is empty, or only points to the file that is meant.
    pub(crate) fn open(path: &Path) -> Result<ModelFile> {
        Ok(ModelFile { path: path.to_owned(), mapped: Arc::new(Mapped::open(path)?) })
    }

    /// Its bytes, where they lie.
    pub(crate) fn bytes(&self) -> Bytes {
        self.mapped.clone()
    }

    /// Its length in bytes.
    pub fn length(&self) -> usize {
        self.mapped.bytes().len()
    }

    pub(super) fn mapped(&self) -> &Mapped {
        &self.mapped
    }

    /// All of it as text, without a byte order mark. These files are small: `limit` keeps a wrong one from filling the memory.
    ///
    /// # Errors
    /// It is longer than `limit` bytes, or isn't UTF-8.
    pub(crate) fn text(&self, limit: usize) -> Result<&str> {
        text(self.mapped.bytes(), limit).at(self.path.display())
    }

    /// As [`ModelFile::text`], parsed as JSON. `NaN` and `Infinity`, which Python writes and JSON hasn't, are read as `null`.
    ///
    /// # Errors
    /// It is longer than `limit` bytes, or isn't JSON; mistakes are told with their line.
    pub(crate) fn json(&self, limit: usize) -> Result<serde_json::Value> {
        json(&self.path.display().to_string(), self.text(limit)?)
    }
}

fn text(bytes: &[u8], limit: usize) -> Result<&str> {
    if bytes.len() > limit {
        return Err(Error::new(format!("expected at most {limit} bytes of text, found {}", bytes.len()))
            .remedy("this is another file than its name says: fetch it again"));
    }
    // What Windows calls "Unicode" begins with a mark of two bytes.
    if bytes.starts_with(&[0xff, 0xfe]) && bytes.len() > 2 || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Error::new("this is UTF-16 text, expected UTF-8").remedy("save it as UTF-8"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| Error::new(format!("byte {} is not UTF-8 text", error.valid_up_to())))
}

fn json(name: &str, text: &str) -> Result<serde_json::Value> {
    let wrong = |text: &str, error: &serde_json::Error| Source::new(name, text).not_json(error, 1);
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(error) => match without_nan(text) {
            Cow::Owned(changed) => serde_json::from_str(&changed).map_err(|error| wrong(&changed, &error)),
            Cow::Borrowed(_) => Err(wrong(text, &error)),
        },
    }
}

/// The text with `null` in the place of each `NaN`, `Infinity` and `-Infinity` outside of quotes.
fn without_nan(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let (mut changed, mut copied) = (String::new(), 0);
    let (mut at, mut quoted) = (0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            _ => {
                if let Some(word) = ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| bytes[at..].starts_with(word.as_bytes())) {
                    changed.push_str(&text[copied..at]);
                    changed.push_str("null");
                    at += word.len() - 1;
                    copied = at + 1;
                }
            }
        }
        at += 1;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    changed.push_str(&text[copied..]);
    Cow::Owned(changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_python_calls_json_is_read() {
        let written = r#"{"a": NaN, "b": [-Infinity, Infinity, 1.5], "c": "NaN, \"Infinity\""}"#;
        assert_eq!(json("a.json", written).unwrap(), json!({ "a": null, "b": [null, null, 1.5], "c": "NaN, \"Infinity\"" }));
        let message = json("a.json", "{\n\"a\": NaN,\n}").unwrap_err().to_string();
        assert!(message.starts_with("a.json:3:1: this is not JSON: trailing comma"), "{message}");
    }

    #[test]
    fn marks_and_encodings_of_text_are_known() {
        assert_eq!(text(b"\xef\xbb\xbf{}", 100).unwrap(), "{}");
        assert!(text(b"\xff\xfe{\0}\0", 100).unwrap_err().to_string().contains("UTF-16"));
        assert_eq!(text(b"ab\xff", 100).unwrap_err().message(), "byte 2 is not UTF-8 text");
        assert!(text(b"abc", 2).unwrap_err().to_string().contains("at most 2 bytes"));
    }
}
