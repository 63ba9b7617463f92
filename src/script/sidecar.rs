//! What stands beside a dataset of token ids: which tokenizer made it. `data.npy.json` is the sidecar of `data.npy`.

use crate::artifact::write_atomically;
use crate::error::{At, Error, Result};
use crate::model::Model;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};

/// It is some hundred bytes.
const MAX_BYTES: u64 = 1 << 16;

/// What a dataset says of itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sidecar {
    /// See [`crate::model::Tokenizer::fingerprint`]; empty where somebody described by hand how a file's ids are stored.
    #[serde(default)]
    pub tokenizer: String,
    /// The model whose tokenizer that is, for a person to read.
    #[serde(default)]
    pub model: String,
    /// The token between documents.
    #[serde(default)]
    pub separator: Option<u32>,
    #[serde(default)]
    pub dtype: String,
    #[serde(default)]
    pub tokens: u64,
}

impl Sidecar {
    fn path(dataset: &Path) -> PathBuf {
        let mut name = dataset.as_os_str().to_owned();
        name.push(".json");
        PathBuf::from(name)
    }

    /// That of a dataset, if it has one.
    ///
    /// # Errors
    /// There is one that can't be read.
    pub fn of(dataset: &Path) -> Result<Option<Sidecar>> {
        let path = Self::path(dataset);
        let Ok(file) = std::fs::File::open(&path) else { return Ok(None) };
        let mut text = String::new();
        let wrong =
            || Error::new("this is no description of a dataset").remedy("remove it, or make the dataset again with caramba tokenize");
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(|_| wrong()).at(path.display())?;
        serde_json::from_str(&text).map(Some).map_err(|_| wrong()).at(path.display())
    }

    /// Writes it beside `dataset`.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, dataset: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|error| Error::new(error.to_string()))?;
        write_atomically(&Self::path(dataset), format!("{text}\n").as_bytes())
    }

    /// That the dataset was made with the tokenizer of `model`, where both say it. Where only the dataset does, that is returned as a sentence.
    ///
    /// # Errors
    /// It was made with another one: its ids mean other texts to the model.
    pub fn check(dataset: &Path, model: &Model) -> Result<Option<String>> {
        let Some(sidecar) = Self::of(dataset)?.filter(|sidecar| !sidecar.tokenizer.is_empty()) else { return Ok(None) };
        let made = if sidecar.model.is_empty() { String::new() } else { format!(" ({})", sidecar.model) };
        let Ok(tokenizer) = model.tokenizer() else {
            return Ok(Some(format!("{} has no tokenizer: whether it is the one that made this dataset{made} can't be told", model.name)));
        };
        if tokenizer.fingerprint()? == sidecar.tokenizer {
            return Ok(None);
        }
        Err(Error::new(format!("it was made with another tokenizer{made} than that of {}: its ids mean other texts", model.name)).remedy(
            format!(
                "make one with this model's: caramba tokenize {} TEXT -o DATA.npy; to measure it all the same, remove {}",
                model.path.display(),
                Self::path(dataset).display()
            ),
        ))
    }
}
