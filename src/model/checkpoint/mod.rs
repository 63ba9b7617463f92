//! PyTorch checkpoints (`.pt`): a dictionary with the tensors under one of several keys, read without executing anything.
//!
//! The file is opened as an archive ([`container`]), the pickle in it is read as data ([`pickle`]), and the names and shapes that it holds
//! are matched with the architecture ([`super::names`]), which stands in a manifest's `model` section or in a `config.json` beside the file. Only
//! then is a tensor looked at; its bytes stay in the mapped file.

mod container;
mod imports;
mod pickle;
mod views;

use super::huggingface::{CONFIG, Description, attention, tokenizer};
use super::names::{self, Held, Source};
use super::tensor::Tensor;
use super::{Architecture, Model, ModelFile, OpenOptions, pairs, parent, topology};
use crate::error::{At, Error, Result};
use container::Container;
use std::collections::BTreeMap;
use std::path::Path;
use views::StoredTensor;

/// Reads the checkpoint at `path`; what its tensors mean is said by `options.topology` or by a `config.json` beside it.
///
/// # Errors
/// A pickle that wants to run code; no description of the model; tensors that are missing, surplus or mis-shaped; a damaged file.
pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Model> {
    let file = ModelFile::open(path)?;
    let container = Container::read(file.bytes()).at(path.display())?;
    let mut description = describe(path, options)?;
    attention::change(&mut description.architecture, &options.forms).at(path.display())?;
    let (tensors, notes) = tensors(&container, &description.architecture, options.state_dict.as_deref()).at(path.display())?;
    let files = [file].into_iter().chain(description.files).collect();
    let model = Model::new(path, files, description.architecture, tensors, description.tokenizer);
    Ok(model.at(path.display())?.noting(notes))
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

/// The tensors under canonical names, and what the user should know of the choice; all names and shapes are checked before the first is
/// looked at.
fn tensors(container: &Container, architecture: &Architecture, wanted: Option<&str>) -> Result<(BTreeMap<String, Tensor>, Vec<String>)> {
    if container.tensors.is_empty() {
        return Err(Error::new("there are no tensors in it").remedy(
            "expected a dictionary of tensors, by itself or under a key such as model, state_dict or student_state_dict: \
             torch.save({\"state_dict\": model.state_dict()}, path)",
        ));
    }
    let of = |stored: &StoredTensor| Held { shape: stored.shape.clone(), integer: stored.storage.element.integer };
    let held = container.tensors.iter().map(|(name, stored)| (name.clone(), of(stored))).collect();
    let found = names::find(architecture, &held, &container.dictionaries, wanted)?;
    let mut tensors = BTreeMap::new();
    for (canonical, source) in &found.sources {
        let stored = container.tensors.get(&source.name);
        let whole = stored.ok_or_else(|| Error::new("it is not in the file")).and_then(|stored| container.tensor(stored));
        let part = whole.and_then(|whole| source.rows.clone().map_or(Ok(whole.clone()), |rows| whole.part(rows)));
        tensors.insert(canonical.clone(), part.at(format!("tensor {}", source.name))?);
    }
    tied_keys(architecture, &tensors, &found.sources)?;
    for (index, layer) in architecture.layers.iter().enumerate() {
        pairs::align(&layer.attention, index, false, &mut tensors)?;
    }
    Ok((tensors, found.notes))
}

/// A semantic key that is its query may stand in the file twice; then both must be the same.
fn tied_keys(architecture: &Architecture, tensors: &BTreeMap<String, Tensor>, sources: &BTreeMap<String, Source>) -> Result<()> {
    for (index, _) in architecture.layers.iter().enumerate().filter(|(_, layer)| layer.attention.tie_qk) {
        let name = |part: &str| format!("model.layers.{index}.self_attn.{part}.weight");
        let (key, query) = (name("k_sem"), name("q_sem"));
        let (Some(first), Some(second)) = (tensors.get(&key), tensors.get(&query)) else { continue };
        if !first.equals(second) {
            return Err(Error::new(format!(
                "`{}` and `{}` differ, though tie_qk makes them one",
                sources[&key].name, sources[&query].name
            ))
            .remedy("set tie_qk to false if the model was trained without it"));
        }
    }
    Ok(())
}
