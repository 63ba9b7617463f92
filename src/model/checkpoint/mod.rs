//! PyTorch checkpoints (`.pt`): a dictionary with the tensors under one of several keys, read without executing anything.
//!
//! The file is opened as an archive ([`container`]), the pickle in it is read as data ([`pickle`]), and the names and shapes that it holds
//! are matched with the architecture ([`names`]), which stands in a manifest's `model` section or in a `config.json` beside the file. Only
//! then is a tensor looked at; its bytes stay in the mapped file.

mod container;
mod imports;
mod names;
mod pickle;
mod views;

use super::huggingface::{CONFIG, Description, tokenizer};
use super::tensor::Tensor;
use super::{Architecture, Model, OpenOptions, file, parent, topology};
use crate::error::{At, Error, Result};
use container::Container;
use names::Source;
use std::collections::BTreeMap;
use std::path::Path;

/// Where training programs put the tensors, the likeliest first. A file that has none of these holds the tensors themselves.
const DICTIONARIES: [&str; 4] = ["student_state_dict", "system_state_dict", "model_state_dict", "state_dict"];

/// Reads the checkpoint at `path`; what its tensors mean is said by `options.topology` or by a `config.json` beside it.
///
/// # Errors
/// A pickle that wants to run code; no description of the model; tensors that are missing, surplus or mis-shaped; a damaged file.
pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Model> {
    let container = file::map(path).and_then(|bytes| Container::read(bytes).at(path.display()))?;
    let description = describe(path, options)?;
    let tensors = tensors(&container, &description.architecture).at(path.display())?;
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

/// The tensors under canonical names; all names and shapes are checked before the first is looked at.
fn tensors(container: &Container, architecture: &Architecture) -> Result<BTreeMap<String, Tensor>> {
    let under = |key: &str, name: &str| name.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
    let dictionary = DICTIONARIES.iter().find(|key| container.tensors.keys().any(|name| under(key, name)));
    let prefix = dictionary.map(|key| format!("{key}.")).unwrap_or_default();
    let held: BTreeMap<&str, _> =
        container.tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?, tensor))).collect();
    if held.is_empty() {
        return Err(Error::new("there are no tensors in it")
            .remedy(format!("expected a dictionary of tensors, by itself or under one of the keys {}", DICTIONARIES.join(", "))));
    }

    let shapes = held.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.shape.clone())).collect();
    let sources = names::canonical(architecture, &shapes);
    let shaped: Vec<(&str, Vec<usize>)> = sources.iter().map(|(name, source)| (name.as_str(), source.shape(&shapes))).collect();
    architecture.check_tensors(shaped.iter().map(|(name, shape)| (*name, shape.as_slice())))?;

    let mut tensors = BTreeMap::new();
    for (canonical, source) in &sources {
        let tensor = container.tensor(held[source.name.as_str()]).and_then(|whole| part(&whole, source));
        tensors.insert(canonical.clone(), tensor.at(format!("tensor {}", source.name))?);
    }
    ties(architecture, &tensors, &sources)?;
    Ok(tensors)
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
