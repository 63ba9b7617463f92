//! Hugging Face directories: `config.json`, weights in one or several safetensors files, `tokenizer.json`. Our own students are kept in the
//! same form, with an `attention` section in the configuration.

pub(crate) mod attention;
pub(crate) mod config;
pub(crate) mod safetensors;

use super::tokenizer::Tokenizer;
use super::{Model, ReadTokenizer, file, parent};
use crate::error::{At, Error, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
const GENERATION: &str = "generation_config.json";

/// Configurations and indices are some KB; the longest indices, of hundreds of thousands of tensors, some MB.
const MAX_JSON: u64 = 1 << 28;

/// Reads the directory at `path` (or the one in which the file `path` lies); `weights` is a single file to take the tensors from, if
/// the user named one.
pub(super) fn open(path: &Path, weights: Option<&Path>) -> Result<Model> {
    let directory = if path.is_dir() { path } else { parent(path) };
    let description = Description::read(directory)?;
    let sources = match weights {
        Some(file) => vec![file.to_owned()],
        None => weight_files(directory)?,
    };
    let tensors = safetensors::read(&sources)?;
    let mut files = description.files;
    files.extend(sources);
    if let Some(index) = Some(directory.join(INDEX)).filter(|index| weights.is_none() && index.is_file()) {
        files.push(index);
    }
    Model::new(weights.unwrap_or(path), files, description.architecture, tensors, description.tokenizer).at(directory.display())
}

/// What stands beside the weights.
pub(crate) struct Description {
    pub architecture: super::Architecture,
    pub tokenizer: ReadTokenizer,
    /// The files that this was read from.
    pub files: Vec<PathBuf>,
}

impl Description {
    /// Reads `config.json`, and `generation_config.json` if it is there.
    pub fn read(directory: &Path) -> Result<Description> {
        let config = directory.join(CONFIG);
        if !config.is_file() {
            return Err(Error::new(format!("there is no {CONFIG} here, which says what the weights mean"))
                .at(directory.display())
                .remedy("give a directory with config.json and *.safetensors, a .gguf file, or a PyTorch checkpoint"));
        }
        let mut architecture = config::architecture(&json(&config)?).at(config.display())?;
        let mut files = vec![config];
        let generation = directory.join(GENERATION);
        if generation.is_file() {
            config::add_generation(&mut architecture, &json(&generation)?).at(generation.display())?;
            files.push(generation);
        }
        let (tokenizer, found) = tokenizer(directory);
        files.extend(found);
        Ok(Description { architecture, tokenizer, files })
    }
}

/// The tokenizer in `directory`, and the file that it is read from.
pub(crate) fn tokenizer(directory: &Path) -> (ReadTokenizer, Option<PathBuf>) {
    let path = Some(directory.join(TOKENIZER)).filter(|path| path.is_file());
    let read = path.clone();
    (Box::new(move || read.map(|path| Tokenizer::from_file(&path)).transpose()), path)
}

/// A JSON file; mistakes are told with their line.
fn json(path: &Path) -> Result<Value> {
    let text = file::read_text(path, MAX_JSON)?;
    serde_json::from_str(&text).map_err(|error| Error::new(format!("this is not JSON: {error}"))).at(path.display())
}

/// The safetensors files of a directory: those of its index, or the only one.
fn weight_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let index = directory.join(INDEX);
    if index.is_file() {
        return shards(directory, &json(&index)?).at(index.display());
    }
    let single = directory.join(WEIGHTS);
    if single.is_file() {
        return Ok(vec![single]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(Error::from).at(directory.display())? {
        let path = entry.map_err(Error::from).at(directory.display())?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            found.push(path);
        }
    }
    match found.len() {
        1 => Ok(found),
        0 => Err(Error::new(format!("there are no weights in this directory (no {WEIGHTS}, no {INDEX})"))
            .at(directory.display())
            .remedy("fetch the weights too; a PyTorch checkpoint is opened by its own path")),
        count => Err(Error::new(format!("there are {count} safetensors files and neither {WEIGHTS} nor {INDEX}"))
            .at(directory.display())
            .remedy("give the path of the one that is meant, or fetch the index")),
    }
}

/// The files that an index names, each once.
fn shards(directory: &Path, index: &Value) -> Result<Vec<PathBuf>> {
    let map = super::section::Section::of(index)?.section("weight_map")?.ok_or_else(|| super::section::missing("weight_map"))?;
    let mut names = Vec::new();
    for tensor in map.keys() {
        let file = map.text(tensor)?.unwrap_or_default();
        // An index names files beside it; a path that leads elsewhere is somebody's trick.
        if Path::new(file).file_name().is_none_or(|name| name != file) {
            return Err(Error::new(format!("expected the name of a file beside the index, found `{file}`")).at(format!("tensor {tensor}")));
        }
        names.push(file);
    }
    names.sort_unstable();
    names.dedup();
    match names.is_empty() {
        true => Err(Error::new("the index names no files")),
        false => Ok(names.into_iter().map(|name| directory.join(name)).collect()),
    }
}

#[cfg(test)]
mod tests;
