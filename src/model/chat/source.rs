//! Where a model's chat template stands.

use super::ChatTemplate;
use crate::error::{At, Error, Result};
use crate::model::file::ModelFile;
use crate::model::{Model, gguf};
use serde_json::{Map, Value};
use std::path::Path;

const TEMPLATE: &str = "chat_template.jinja";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
/// `tokenizer_config.json` lists added tokens, thousands at times.
const MAX_CONFIG: u64 = 64 << 20;

/// The template of a model, if it has one.
pub(super) fn of(model: &Model) -> Result<Option<ChatTemplate>> {
    let Some(file) = model.files.first() else { return Ok(None) };
    let found = if file.bytes().as_ref().as_ref().starts_with(gguf::MAGIC) {
        gguf::chat_template(file).at(model.path.display())?.map(|text| (vec![("default".to_owned(), text)], Map::new()))
    } else {
        beside(file.path.parent().unwrap_or(Path::new(".")))?
    };
    Ok(found.map(|(templates, mut tokens)| {
        let spelt = |token: Option<u32>| model.tokenizer().ok()?.token_text(token?);
        for (name, token) in [("bos_token", model.architecture.bos), ("eos_token", model.architecture.eos.first().copied())] {
            if let Some(text) = spelt(token).filter(|_| !tokens.contains_key(name)) {
                tokens.insert(name.to_owned(), text.into());
            }
        }
        ChatTemplate { templates, tokens }
    }))
}

type Found = (Vec<(String, String)>, Map<String, Value>);

/// What the files of a directory say.
fn beside(directory: &Path) -> Result<Option<Found>> {
    let config = json(&directory.join(TOKENIZER_CONFIG))?;
    let template = directory.join(TEMPLATE);
    let templates = match template.is_file() {
        true => vec![("default".to_owned(), std::fs::read_to_string(&template).at(template.display())?)],
        false => listed(&config["chat_template"]).at(directory.join(TOKENIZER_CONFIG).display())?,
    };
    if templates.is_empty() {
        return Ok(None);
    }
    let mut tokens = Map::new();
    for source in [&json(&directory.join(SPECIAL_TOKENS))?, &config] {
        let entries = source.as_object().into_iter().flatten().filter(|(name, _)| name.ends_with("_token"));
        for (name, value) in entries {
            // A token is a text, or a map with what is special about it.
            let text = value.as_str().or_else(|| value["content"].as_str());
            tokens.extend(text.map(|text| (name.clone(), Value::from(text))));
        }
    }
    Ok(Some((templates, tokens)))
}

/// One template, or several with their names.
fn listed(value: &Value) -> Result<Vec<(String, String)>> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(template) => Ok(vec![("default".to_owned(), template.clone())]),
        Value::Array(entries) => {
            let entry = |entry: &Value| Some((entry["name"].as_str()?.to_owned(), entry["template"].as_str()?.to_owned()));
            let all: Option<Vec<_>> = entries.iter().map(entry).collect();
            all.ok_or_else(|| Error::new("`chat_template` has an entry without `name` and `template`"))
        }
        _ => Err(Error::new("`chat_template` is neither text nor a list of named templates")),
    }
}

fn json(path: &Path) -> Result<Value> {
    if !path.is_file() {
        return Ok(Value::Null);
    }
    let file = ModelFile::open(path)?;
    if file.length() as u64 > MAX_CONFIG {
        return Err(Error::new(format!("the file has {} bytes: expected {MAX_CONFIG} at most", file.length())).at(path.display()));
    }
    file.json(MAX_CONFIG as usize)
}
