//! PyTorch checkpoints (`.pt`): a dictionary with the tensors under one of several keys, read without executing anything.
//!
//! Three steps, each of which can refuse the file before the next costs anything: the pickle's imports are looked at ([`pickle`]); the
//! names and shapes that it holds are matched with the architecture ([`names`]), which stands in a manifest's `model` section or in a
//! `config.json` beside the file; then the tensors are read. Their bytes are looked up in the mapped file where they lie there
//! unchanged, as they do in all that `torch.save` writes, so that a checkpoint costs no more memory than safetensors do.

mod names;
mod pickle;

use super::huggingface::{CONFIG, Description, tokenizer};
use super::tensor::{Bytes, DataType, Tensor};
use super::{Architecture, Model, OpenOptions, file, parent, topology};
use crate::error::{At, Error, Result};
use names::Source;
use pytorch_reader::{DType, PytorchReader};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

/// Where training programs put the tensors, the likeliest first. A file that has none of these holds the tensors themselves.
const DICTIONARIES: [&str; 4] = ["student_state_dict", "system_state_dict", "model_state_dict", "state_dict"];

/// A pickle holds names and shapes, some KB for a model. Longer than this it is no checkpoint's, and would be unpacked in memory.
const MAX_PICKLE: u64 = 100 << 20;

/// PyTorch's container before 1.6: this many pickles, then the tensors.
const LEGACY_PICKLES: usize = 5;

/// Reads the checkpoint at `path`; what its tensors mean is said by `options.topology` or by a `config.json` beside it.
///
/// # Errors
/// A pickle that wants to run code; no description of the model; tensors that are missing, surplus or mis-shaped; a damaged file.
pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Model> {
    let bytes = file::map(path)?;
    let stored = inspect(bytes.as_ref().as_ref()).at(path.display())?;
    let description = describe(path, options)?;
    let tensors = read(path, &bytes, &stored, &description.architecture).at(path.display())?;
    let files = [path.to_owned()].into_iter().chain(description.files).collect();
    Model::new(path, files, description.architecture, tensors, description.tokenizer).at(path.display())
}

fn describe(path: &Path, options: &OpenOptions) -> Result<Description> {
    let directory = parent(path);
    if let Some(section) = &options.topology {
        let (tokenizer, files) = tokenizer(directory);
        return Ok(Description { architecture: topology::architecture(section)?, tokenizer, files: files.into_iter().collect() });
    }
    if directory.join(CONFIG).is_file() {
        return Description::read(directory);
    }
    Err(Error::new("a checkpoint doesn't say what its tensors mean, and there is neither a model section nor a config.json beside it")
        .at(path.display())
        .remedy("give the `model` section of a manifest with its path, or put the model's config.json into its directory"))
}

/// Where the entries of a zip archive lie that are stored as they are, by their length.
type Stored = HashMap<usize, Vec<usize>>;

/// Looks at every pickle in the file, and where in it tensors may lie.
fn inspect(bytes: &[u8]) -> Result<Stored> {
    let mut stored = Stored::new();
    if !bytes.starts_with(b"PK") {
        if bytes.get(257..262) == Some(b"ustar") {
            return Err(Error::new("this checkpoint was written by a PyTorch older than 0.1.10")
                .remedy("load and save it again with a newer PyTorch"));
        }
        let mut at = 0;
        for _ in 0..LEGACY_PICKLES {
            if at < bytes.len() {
                at += pickle::inspect(&bytes[at..])?;
            }
        }
        return Ok(stored);
    }
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(damaged)?;
        let length = entry.size();
        if entry.name().map_err(damaged)?.ends_with("data.pkl") {
            if length > MAX_PICKLE {
                return Err(Error::new(format!("its pickle is said to have {length} bytes; a checkpoint's has at most {MAX_PICKLE}")));
            }
            let mut pickle = Vec::new();
            entry.by_ref().take(MAX_PICKLE).read_to_end(&mut pickle).map_err(damaged)?;
            pickle::inspect(&pickle)?;
        } else if entry.compression() == zip::CompressionMethod::Stored
            && let (Ok(length), Some(Ok(start))) = (usize::try_from(length), entry.data_start().map(usize::try_from))
        {
            stored.entry(length).or_default().push(start);
        }
    }
    Ok(stored)
}

fn damaged(error: impl std::fmt::Display) -> Error {
    Error::new(format!("this is no readable PyTorch checkpoint: {error}"))
        .remedy("the file is truncated or damaged: fetch or save it again")
}

/// The tensors under canonical names, all checked before the first is read.
fn read(path: &Path, bytes: &Bytes, stored: &Stored, architecture: &Architecture) -> Result<BTreeMap<String, Tensor>> {
    let held = PytorchReader::new(path).map_err(damaged)?.into_tensors();
    let dictionary =
        DICTIONARIES.iter().find(|key| held.keys().any(|name| name.strip_prefix(*key).is_some_and(|rest| rest.starts_with('.'))));
    let prefix = dictionary.map(|key| format!("{key}.")).unwrap_or_default();
    let held: BTreeMap<String, pytorch_reader::Tensor> =
        held.into_iter().filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?.to_owned(), tensor))).collect();
    if held.is_empty() {
        return Err(Error::new("there are no tensors in it")
            .remedy(format!("expected a dictionary of tensors, by itself or under one of the keys {}", DICTIONARIES.join(", "))));
    }

    let shapes = held.iter().map(|(name, tensor)| (name.clone(), tensor.shape().to_vec())).collect();
    let sources = names::canonical(architecture, &shapes);
    let shaped: Vec<(&str, Vec<usize>)> = sources.iter().map(|(name, source)| (name.as_str(), source.shape(&shapes))).collect();
    architecture.check_tensors(shaped.iter().map(|(name, shape)| (*name, shape.as_slice())))?;

    let file_length = bytes.as_ref().as_ref().len();
    let mut read: BTreeMap<&str, Tensor> = BTreeMap::new();
    let wanted: HashSet<&str> = sources.values().map(|source| source.name.as_str()).collect();
    for (name, tensor) in held.iter().filter(|(name, _)| wanted.contains(name.as_str())) {
        // A tensor can be declared larger than what is stored of it (one element repeated), without end.
        if tensor.byte_len() > file_length {
            return Err(
                Error::new(format!("it has {} bytes, the whole file {file_length}", tensor.byte_len())).at(format!("tensor {name}"))
            );
        }
        read.insert(name, whole(tensor, bytes, stored).at(format!("tensor {name}"))?);
    }
    let mut tensors = BTreeMap::new();
    for (canonical, source) in &sources {
        let Some(whole) = read.get(source.name.as_str()) else { continue };
        tensors.insert(canonical.clone(), part(whole, source).at(format!("tensor {}", source.name))?);
    }
    ties(architecture, &tensors, &sources)?;
    Ok(tensors)
}

/// A tensor with all its rows.
fn whole(tensor: &pytorch_reader::Tensor, bytes: &Bytes, stored: &Stored) -> Result<Tensor> {
    let data_type = match tensor.dtype() {
        DType::F32 => DataType::F32,
        DType::F16 => DataType::F16,
        DType::BF16 => DataType::BF16,
        other => {
            return Err(Error::new(format!("its elements are of type {other:?}; F32, F16 and BF16 are supported"))
                .remedy("save the model in one of these: model.float(), model.half() or model.bfloat16()"));
        }
    };
    let read = tensor.read().map_err(damaged)?;
    let file = bytes.as_ref().as_ref();
    let starts = stored.get(&read.len()).map(Vec::as_slice).unwrap_or_default();
    let shape = tensor.shape().to_vec();
    match starts.iter().find(|&&start| file.get(start..start.saturating_add(read.len())) == Some(read.as_slice())) {
        Some(&start) => Tensor::new(data_type, shape, bytes.clone(), start),
        None => Tensor::new(data_type, shape, Arc::new(read), 0),
    }
}

fn part(whole: &Tensor, source: &Source) -> Result<Tensor> {
    match &source.rows {
        None => Ok(whole.clone()),
        Some(rows) if whole.shape.len() == 1 => {
            let offset = whole.offset + rows.start * whole.data_type.block_bytes();
            Tensor::new(whole.data_type, vec![rows.len()], whole.bytes.clone(), offset)
        }
        Some(rows) => whole.rows_of(rows.clone()),
    }
}

impl Source {
    /// The shape of what is taken, given those of the file's tensors.
    fn shape(&self, shapes: &BTreeMap<String, Vec<usize>>) -> Vec<usize> {
        let mut shape = shapes.get(&self.name).cloned().unwrap_or_default();
        if let (Some(rows), Some(height)) = (&self.rows, shape.first_mut()) {
            *height = rows.len();
        }
        shape
    }
}

/// What the description calls one tensor may stand in the file twice; then both must be the same.
fn ties(architecture: &Architecture, tensors: &BTreeMap<String, Tensor>, sources: &BTreeMap<String, Source>) -> Result<()> {
    let keys = architecture.layers.iter().enumerate().filter(|(_, layer)| layer.attention.tie_qk).map(|(index, _)| {
        let name = |part: &str| format!("model.layers.{index}.self_attn.{part}.weight");
        (name("k_sem"), name("q_sem"), "tie_qk")
    });
    let head =
        architecture.tied_embeddings.then(|| ("lm_head.weight".to_owned(), "model.embed_tokens.weight".to_owned(), "tied_embeddings"));
    for (one, other, option) in keys.chain(head) {
        let (Some(first), Some(second)) = (tensors.get(&one), tensors.get(&other)) else { continue };
        if first.contiguous() != second.contiguous() {
            return Err(Error::new(format!(
                "`{}` and `{}` differ, though {option} makes them one",
                sources[&one].name, sources[&other].name
            ))
            .remedy(format!("set {option} to false if the model was trained without it")));
        }
    }
    Ok(())
}
