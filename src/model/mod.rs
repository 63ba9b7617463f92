//! What a model is: its architecture, its weights under canonical names, its tokenizer; and the readers of every format.

pub mod architecture;
mod blocks;
pub mod tensor;
pub mod tokenizer;

pub use architecture::{Architecture, Attention, Gate, Layer, Rope, RopeScaling};
pub use tensor::{DataType, Tensor};

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a path alone does not say.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// The `model` section of a manifest (nested topologies): what a training checkpoint's tensors mean.
    pub topology: Option<serde_yaml::Value>,
}

/// A model on the host: nothing is computed here, and weights stay in their (memory-mapped) files until they are asked for.
pub struct Model {
    /// What to call it in tables when the user gave no name: the directory's or file's stem.
    pub name: String,
    /// What it was read from, as the user gave it.
    pub path: PathBuf,
    /// Every file that was read.
    pub files: Vec<PathBuf>,
    pub architecture: Architecture,
    /// By canonical name (those of a Hugging Face Llama, and of `Attention` for a decoupled layer); shapes are checked against
    /// the architecture by the reader: the runtime may rely on all of them being there.
    pub tensors: BTreeMap<String, Tensor>,
    /// `None`: the model serves token datasets only.
    pub tokenizer: Option<crate::model::tokenizer::Tokenizer>,
}

impl Model {
    /// Reads a GGUF file, a Hugging Face directory (or one of our own students), or a PyTorch checkpoint. Weights stay in the file.
    ///
    /// # Errors
    /// What is wrong with which file, tensor or key.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Model> {
        let _ = options;
        Err(Error::new("the readers are being written").at(path.display()))
    }
}
