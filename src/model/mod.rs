//! What a model is: its architecture, its weights under canonical names, its tokenizer; and the readers of every format.

pub mod architecture;
mod blocks;
pub mod tensor;
pub mod tokenizer;

pub use architecture::{Architecture, Attention, Gate, Layer, Rope, RopeScaling};
pub use tensor::{DataType, Tensor};

use std::collections::BTreeMap;
use std::path::PathBuf;

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
