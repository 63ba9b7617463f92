//! Files of data: text, JSON, JSON lines, YAML; where they are and what they hold.

use super::failure::Answer;
use super::host::Host;
use super::tokens::hex;
use super::values::{from_data, to_data};
use crate::artifact::{json, write_atomically};
use crate::error::{At, Error, Result};
use crate::interrupt;
use crate::manifest::node;
use crate::mapped::no_pointer;
use crate::source::Source;
use rhai::plugin::*;
use rhai::{Array, INT, Map};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;

/// JSON becomes up to fifty times as large in a script.
const MAX_JSON: u64 = 64 << 20;

pub(super) fn text_of(context: &NativeCallContext, path: &str) -> Answer<String> {
    text_up_to(context, path, u64::MAX)
}

fn text_up_to(context: &NativeCallContext, path: &str, limit: u64) -> Answer<String> {
    let host = Host::of(context)?;
    let file = host.resolve(path)?;
    let length = std::fs::metadata(&file).at(path)?.len();
    if length > limit {
        let error = Error::new(format!("the file has {length} bytes, expected at most {limit}")).at(path);
        return Err(error.remedy("keep large data in JSON lines (read_jsonl) or as token ids (dataset)").into());
    }
    let bytes = std::fs::read(&file).at(path)?;
    host.opened(&file);
    no_pointer(&bytes).at(path)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        Error::new(format!("line {line} is no UTF-8 text")).at(path).remedy("convert the file to UTF-8")
    })?;
    Ok(text)
}

/// Through serde_json, whose messages name line and column of JSON; `line` is the number of the text's first line.
fn json_of(path: &str, text: &str, line: usize) -> Result<Dynamic> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| Source::new(path, text).not_json(&error, line))?;
    let data = serde_yaml::to_value(value).map_err(|error| Error::new(error.to_string()))?;
    Ok(from_data(&data))
}

pub(super) fn hash(path: &Path) -> Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        interrupt::check()?;
        match file.read(&mut chunk)? {
            0 => return Ok(hex(&hasher.finalize())),
            length => hasher.update(&chunk[..length]),
        }
    }
}

#[export_module]
pub(super) mod api {
    /// The text of a file.
    #[rhai_fn(return_raw, volatile)]
    pub fn read_text(context: NativeCallContext, path: &str) -> Answer<String> {
        text_of(&context, path)
    }

    /// The lines of a file.
    #[rhai_fn(return_raw, volatile)]
    pub fn read_lines(context: NativeCallContext, path: &str) -> Answer<Array> {
        Ok(text_of(&context, path)?.lines().map(|line| line.to_owned().into()).collect())
    }

    /// What a JSON file holds.
    #[rhai_fn(return_raw, volatile)]
    pub fn read_json(context: NativeCallContext, path: &str) -> Answer<Dynamic> {
        Ok(json_of(path, &text_up_to(&context, path, MAX_JSON)?, 1)?)
    }

    /// What a text of JSON says.
    ///
    /// # Example
    /// ```rhai
    /// assert(parse_json("{\"a\": [1, 2.5, null]}").a == [1, 2.5, ()], "any value");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn parse_json(text: &str) -> Answer<Dynamic> {
        Ok(json_of("the text", text, 1)?)
    }

    /// What a file of JSON lines holds: an array of one value for each line that is not empty.
    #[rhai_fn(return_raw, volatile)]
    pub fn read_jsonl(context: NativeCallContext, path: &str) -> Answer<Array> {
        let text = text_of(&context, path)?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        Ok(lines.map(|(index, line)| json_of(path, line, index + 1)).collect::<Result<_>>()?)
    }

    /// What a YAML file holds.
    #[rhai_fn(return_raw, volatile)]
    pub fn read_yaml(context: NativeCallContext, path: &str) -> Answer<Dynamic> {
        let source = Source::new(path, text_of(&context, path)?);
        Ok(from_data(&node::value(&source)?))
    }

    /// Writes a file of text: whole or not at all. A file that is there is replaced.
    #[rhai_fn(return_raw, volatile)]
    pub fn write_text(context: NativeCallContext, path: &str, text: &str) -> Answer<()> {
        let host = Host::of(&context)?;
        host.acts("write_text")?;
        Ok(write_atomically(&host.writable(path)?, text.as_bytes()).at(path)?)
    }

    /// Writes a JSON file: whole or not at all.
    #[rhai_fn(return_raw, volatile)]
    pub fn write_json(context: NativeCallContext, path: &str, value: Dynamic) -> Answer<()> {
        let host = Host::of(&context)?;
        host.acts("write_json")?;
        Ok(json::write(&host.writable(path)?, &to_data(&value).at(path)?)?)
    }

    /// A value as JSON text.
    ///
    /// # Example
    /// ```rhai
    /// assert(json_text(#{ a: [1, 2.5] }).contains("2.5"), "as text");
    /// ```
    #[rhai_fn(name = "json_text", name = "to_json", return_raw)]
    pub fn json_text(value: Dynamic) -> Answer<String> {
        Ok(json::text(&to_data(&value)?)?)
    }

    /// A value as JSON text in one line.
    #[rhai_fn(return_raw)]
    pub fn one_line(value: Dynamic) -> Answer<String> {
        Ok(json::value(&to_data(&value)?)?.0.to_string())
    }

    /// Whether there is a file or directory of this name, looked for as `load` and `dataset` do.
    #[rhai_fn(return_raw, volatile)]
    pub fn exists(context: NativeCallContext, path: &str) -> Answer<bool> {
        Ok(Host::of(&context)?.resolve(path)?.exists())
    }

    /// A file's name without its directory and its last extension: `SmolLM2` of `models/SmolLM2.gguf`.
    pub fn file_stem(path: &str) -> String {
        Path::new(path).file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
    }

    /// A file's name without its directory: `SmolLM2.gguf` of `models/SmolLM2.gguf`.
    pub fn file_name(path: &str) -> String {
        Path::new(path).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// The SHA-256 of a file, in hexadecimal.
    #[rhai_fn(return_raw, volatile)]
    pub fn file_hash(context: NativeCallContext, path: &str) -> Answer<String> {
        let host = Host::of(&context)?;
        Ok(host.resolve(path).and_then(|found| host.file_hash(&found)).at(path)?)
    }

    /// The SHA-256 of the manifest that is being run, in hexadecimal; `()` without one.
    #[rhai_fn(return_raw, volatile)]
    pub fn manifest_hash(context: NativeCallContext) -> Answer<Dynamic> {
        let host = Host::of(&context)?;
        let hash = host.options.experiment.as_ref().map(|experiment| hex(&Sha256::digest(experiment.source.whole().as_bytes())));
        Ok(hash.map_or(Dynamic::UNIT, Into::into))
    }

    /// What the results were made with: `caramba` (its version), `script` and `script_sha256`, `system`, `architecture`, `cpus`.
    #[rhai_fn(return_raw, volatile)]
    pub fn versions(context: NativeCallContext) -> Answer<Map> {
        let host = Host::of(&context)?;
        let script = host.main.as_str();
        let hash = host.source(script).map(|source| hex(&Sha256::digest(source.text.as_bytes())));
        Ok(Map::from_iter([
            ("caramba".into(), env!("CARGO_PKG_VERSION").into()),
            ("script".into(), script.to_owned().into()),
            ("script_sha256".into(), hash.map_or(Dynamic::UNIT, Into::into)),
            ("system".into(), std::env::consts::OS.into()),
            ("architecture".into(), std::env::consts::ARCH.into()),
            ("cpus".into(), (std::thread::available_parallelism().map_or(1, usize::from) as INT).into()),
        ]))
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
