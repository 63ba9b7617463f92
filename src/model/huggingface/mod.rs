//! Hugging Face directories: `config.json`, weights in one or several safetensors files, `tokenizer.json`. Our own students are kept in the
//! same form, with an `attention` section in the configuration.

pub(crate) mod attention;
pub(crate) mod config;
mod raw;
pub(crate) mod rope;
pub(crate) mod safetensors;

use super::tokenizer::Tokenizer;
use super::{Model, ModelFile, OpenOptions, ReadTokenizer, checkpoint, gguf, parent};
use crate::error::{At, Error, Result};
use raw::RawMap;
use std::path::{Path, PathBuf};

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
const GENERATION: &str = "generation_config.json";

/// Configurations are some KB. What JSON becomes in memory is up to fifty times as large as its text.
const MAX_CONFIG: usize = 1 << 20;
/// The longest indices, of hundreds of thousands of tensors, are some MB.
const MAX_INDEX: usize = 32 << 20;
/// What `transformers` wrote before safetensors.
const TORCH_WEIGHTS: &str = "pytorch_model.bin";

/// A directory: a model with a configuration, or the only GGUF file in it, or what a repository of the Hugging Face cache is at.
pub(super) fn open_directory(path: &Path, options: &OpenOptions) -> Result<Model> {
    if path.join(CONFIG).is_file() {
        return open(path, None, options);
    }
    if let Some(snapshot) = snapshot(path) {
        return open_directory(&snapshot, options);
    }
    match ending(path, "gguf")?.as_slice() {
        [] => open(path, None, options),
        [file] => gguf::open(file, options),
        files => {
            let names: Vec<String> = files.iter().filter_map(|file| Some(file.file_name()?.to_string_lossy().into_owned())).collect();
            Err(Error::new(format!("there are {} GGUF files here: {}", files.len(), names.join(", ")))
                .at(path.display())
                .remedy("give the path of the one that is meant"))
        }
    }
}

/// The snapshot that a repository in the cache of the hub (`models--ORG--NAME`) is at: that of its branch `main`, or the only one.
fn snapshot(repository: &Path) -> Option<PathBuf> {
    let snapshots = repository.join("snapshots");
    let main = std::fs::read_to_string(repository.join("refs").join("main")).ok();
    if let Some(found) = main.map(|commit| snapshots.join(commit.trim())).filter(|found| found.is_dir()) {
        return Some(found);
    }
    let mut all = std::fs::read_dir(&snapshots).ok()?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    all.next().filter(|_| all.next().is_none())
}

/// Reads the directory at `path` (or the one in which the file `path` lies); `weights` is a single file to take the tensors from, if
/// the user named one.
pub(super) fn open(path: &Path, weights: Option<&Path>, options: &OpenOptions) -> Result<Model> {
    let directory = if path.is_dir() { path } else { parent(path) };
    let mut description = Description::read(directory)?;
    attention::change(&mut description.architecture, &options.forms).at(directory.display())?;
    let mut notes = Vec::new();
    let sources = match weights {
        Some(file) => Weights { index: None, files: vec![ModelFile::open(file)?] },
        None => {
            let found = Weights::of(directory, &mut notes)?;
            if found.files.is_empty() {
                return checkpoint::open(&directory.join(TORCH_WEIGHTS), options);
            }
            found
        }
    };
    let held = safetensors::read(&sources.files)?;
    let (tensors, chosen) =
        safetensors::canonical(&description.architecture, held, options.state_dict.as_deref()).at(directory.display())?;
    notes.extend(chosen);
    let mut files = description.files;
    files.extend(sources.files);
    files.extend(sources.index);
    let model = Model::new(weights.unwrap_or(path), files, description.architecture, tensors, description.tokenizer);
    Ok(model.at(directory.display())?.noting(notes))
}

/// What stands beside the weights.
pub(crate) struct Description {
    pub architecture: super::Architecture,
    pub tokenizer: ReadTokenizer,
    /// The files that this was read from.
    pub files: Vec<ModelFile>,
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
        let file = ModelFile::open(&config)?;
        let mut architecture = config::architecture(&file.json(MAX_CONFIG)?).at(config.display())?;
        let mut files = vec![file];
        let generation = directory.join(GENERATION);
        if generation.is_file() {
            let file = ModelFile::open(&generation)?;
            config::add_generation(&mut architecture, &file.json(MAX_CONFIG)?).at(generation.display())?;
            files.push(file);
        }
        let (tokenizer, found) = tokenizer(directory);
        files.extend(found);
        Ok(Description { architecture, tokenizer, files })
    }
}

/// The tokenizer in `directory`, and the file that it is read from.
pub(crate) fn tokenizer(directory: &Path) -> (ReadTokenizer, Option<ModelFile>) {
    let path = directory.join(TOKENIZER);
    if !path.is_file() {
        return (Box::new(|| Ok(None)), None);
    }
    match ModelFile::open(&path) {
        Ok(file) => {
            let read = file.clone();
            (Box::new(move || Tokenizer::from_file(&read).map(Some)), Some(file))
        }
        // Weights are of use without a tokenizer: what is wrong with it is told when it is wanted.
        Err(problem) => (Box::new(move || Err(problem)), None),
    }
}

/// The safetensors files of a model, and the index that names them.
struct Weights {
    index: Option<ModelFile>,
    files: Vec<ModelFile>,
}

impl Weights {
    /// Those of a directory: the one file, or the shards of its index. None if there is only a checkpoint of PyTorch.
    fn of(directory: &Path, notes: &mut Vec<String>) -> Result<Weights> {
        let (index, single) = (directory.join(INDEX), directory.join(WEIGHTS));
        if single.is_file() {
            // As `transformers` does. An index that doesn't name this file is that of shards which lay here before it.
            if index.is_file() && !ModelFile::open(&index).and_then(|file| shards(&file)).is_ok_and(|names| names == [WEIGHTS]) {
                notes.push(format!("{WEIGHTS} is used; {INDEX} beside it names other files, which are not"));
            }
            return Ok(Weights { index: None, files: vec![ModelFile::open(&single)?] });
        }
        if index.is_file() {
            let index = ModelFile::open(&index)?;
            let open = |name: &String| {
                let path = directory.join(name);
                if path.is_file() {
                    return ModelFile::open(&path);
                }
                Err(Error::new(format!("the index names `{name}`, which is not there"))
                    .at(index.path.display())
                    .remedy("fetch the missing file too, or all of them again"))
            };
            let files = shards(&index)?.iter().map(open).collect::<Result<_>>()?;
            return Ok(Weights { index: Some(index), files });
        }
        let found = ending(directory, "safetensors")?;
        match found.as_slice() {
            [file] => Ok(Weights { index: None, files: vec![ModelFile::open(file)?] }),
            [] if directory.join(TORCH_WEIGHTS).is_file() => Ok(Weights { index: None, files: Vec::new() }),
            [] => Err(Error::new(format!("there are no weights in this directory (no {WEIGHTS}, no {INDEX})"))
                .at(directory.display())
                .remedy("fetch the weights too; a PyTorch checkpoint is opened by its own path")),
            found => Err(Error::new(format!("there are {} safetensors files and neither {WEIGHTS} nor {INDEX}", found.len()))
                .at(directory.display())
                .remedy("give the path of the one that is meant, or fetch the index")),
        }
    }
}

/// The files of a directory that end so, in the order of their names.
fn ending(directory: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(Error::from).at(directory.display())? {
        let path = entry.map_err(Error::from).at(directory.display())?.path();
        if path.extension().is_some_and(|known| known == extension) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The files that an index names, each once.
fn shards(index: &ModelFile) -> Result<Vec<String>> {
    let names = || {
        let map = RawMap::parse(index.text(MAX_INDEX)?)?;
        let map = map.get("weight_map").ok_or_else(|| super::section::missing("weight_map"))?;
        let mut names = std::collections::BTreeSet::new();
        for (tensor, file) in &RawMap::parse(map)?.entries {
            let file: std::borrow::Cow<str> =
                serde_json::from_str(file.get()).map_err(|_| Error::new("expected the name of a file").at(format!("tensor {tensor}")))?;
            // An index names files beside it; a path that leads elsewhere is somebody's trick.
            if Path::new(&*file).file_name().is_none_or(|name| name != &*file) {
                return Err(
                    Error::new(format!("expected the name of a file beside the index, found `{file}`")).at(format!("tensor {tensor}"))
                );
            }
            names.insert(file.into_owned());
        }
        match names.is_empty() {
            true => Err(Error::new("the index names no files")),
            false => Ok(names.into_iter().collect()),
        }
    };
    names().at(index.path.display())
}

#[cfg(test)]
mod tests;
