//! The model that a verb is about.

use crate::error::Result;
use crate::manifest;
use crate::model::{Model, OpenOptions};
use crate::{script, terminal};
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
    /// Take this dictionary of a checkpoint that holds several (`model`, `ema`)
    #[arg(long, value_name = "NAME", help_heading = "Training checkpoints")]
    state_dict: Option<String>,
}

impl ModelArgument {
    /// As it was typed.
    pub fn path(&self) -> &Path {
        &self.model
    }

    /// Opens it.
    pub fn open(&self) -> Result<Model> {
        let model = self.find()?;
        model.notes.iter().for_each(|note| terminal::warn(&format!("{}: {note}", model.path.display())));
        Ok(model)
    }

    fn find(&self) -> Result<Model> {
        let state_dict = self.state_dict.clone();
        let Some(path) = &self.manifest else {
            return Model::open(&script::find_model(&self.model)?, &OpenOptions { state_dict, ..OpenOptions::default() });
        };
        let experiment = manifest::open(path)?.experiment(self.target.as_deref())?;
        let described = |model: &&manifest::ModelSource| model.options.get("model").is_some();
        let named = experiment.models.iter().find(|model| Path::new(&model.name) == self.model || Path::new(&model.path) == self.model);
        // Another checkpoint of the model that the manifest describes.
        let source = named.or_else(|| experiment.models.iter().rfind(described));
        let topology = source.and_then(|model| model.options.get("model").cloned());
        let given = named.and_then(|model| model.options.get("state_dict")).and_then(|name| name.as_str()).map(str::to_owned);
        let path = named.map_or(self.model.as_path(), |model| Path::new(&model.path));
        Model::open(&script::find_model(path)?, &OpenOptions { topology, state_dict: state_dict.or(given), ..OpenOptions::default() })
    }
}
