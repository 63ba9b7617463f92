//! The model that a verb is about.

use crate::error::Result;
use crate::manifest;
use crate::model::{Model, OpenOptions};
use crate::script;
use clap::Args;
use std::path::{Path, PathBuf};

/// Where the model is, and what a training checkpoint's tensors mean.
#[derive(Debug, Args)]
pub struct ModelArgument {
    /// The model: a directory, a .gguf, .safetensors or .pt file; models/austen and models/austen-dba are bundled
    model: PathBuf,
    /// Find the model in this manifest, by its name or path: it says what a training checkpoint's tensors mean
    #[arg(long, value_name = "MANIFEST", help_heading = "Training checkpoints")]
    manifest: Option<PathBuf>,
    /// The target of the manifest [default: as for `caramba run`]
    #[arg(long, value_name = "NAME", requires = "manifest", help_heading = "Training checkpoints")]
    target: Option<String>,
}

impl ModelArgument {
    /// Opens it.
    pub fn open(&self) -> Result<Model> {
        let Some(path) = &self.manifest else { return Model::open(&script::find_model(&self.model)?, &OpenOptions::default()) };
        let experiment = manifest::open(path)?.experiment(self.target.as_deref())?;
        let described = |model: &&manifest::ModelSource| model.options.get("model").is_some();
        let named = experiment.models.iter().find(|model| Path::new(&model.name) == self.model || Path::new(&model.path) == self.model);
        // Another checkpoint of the model that the manifest describes.
        let source = named.or_else(|| experiment.models.iter().rfind(described));
        let topology = source.and_then(|model| model.options.get("model").cloned());
        let path = named.map_or(self.model.as_path(), |model| Path::new(&model.path));
        Model::open(&script::find_model(path)?, &OpenOptions { topology })
    }
}
