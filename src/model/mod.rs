//! What a model is: its architecture, its weights under canonical names, its tokenizer; and the readers of every format.

pub mod architecture;
mod blocks;
mod checkpoint;
mod file;
mod gguf;
mod hashes;
mod huggingface;
mod inventory;
mod section;
pub mod student;
mod summary;
pub mod tensor;
#[cfg(test)]
mod testing;
pub mod tokenizer;
pub mod topology;
mod write;

pub use architecture::{Architecture, Attention, Gate, Layer, Rope, RopeScaling};
pub use hashes::FileHash;
pub use summary::{Summary, TypeSummary};
pub use tensor::{DataType, Tensor};
pub use tokenizer::Tokenizer;
pub use write::{WriteOptions, write_directory};

use crate::error::{At, Error, Result};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};

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
    /// By canonical name (see [`Architecture::tensors`]); shapes are checked against the architecture: the runtime may rely on all of
    /// them being there, and on nothing else being there.
    pub tensors: BTreeMap<String, Tensor>,
    tokenizer: LazyLock<Result<Option<Tokenizer>>, ReadTokenizer>,
    hashes: OnceLock<Vec<FileHash>>,
}

/// Reads a model's tokenizer, if it has one: when it is first wanted, for that can take as long as the weights, and token datasets need none.
pub type ReadTokenizer = Box<dyn FnOnce() -> Result<Option<Tokenizer>> + Send>;

impl Model {
    /// Reads a GGUF file, a Hugging Face directory (or one of our own students), or a PyTorch checkpoint. Weights stay in the file.
    ///
    /// # Errors
    /// What is wrong with which file, tensor or key.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Model> {
        match Kind::of(path)? {
            Kind::Gguf => gguf::open(path),
            Kind::Directory => match only_gguf(path) {
                Some(file) => gguf::open(&file),
                None => huggingface::open(path, None),
            },
            Kind::Safetensors => huggingface::open(parent(path), Some(path)),
            Kind::Checkpoint => checkpoint::open(path, options),
        }
    }

    /// A model from what a reader found (or a test made). A model whose tokenizer can't be used still serves token datasets, and says why
    /// when text is wanted.
    ///
    /// # Errors
    /// Sizes that don't fit each other; tensors that are missing, surplus or mis-shaped.
    pub fn new(
        path: &Path,
        files: Vec<PathBuf>,
        architecture: Architecture,
        tensors: BTreeMap<String, Tensor>,
        tokenizer: ReadTokenizer,
    ) -> Result<Model> {
        architecture.check()?;
        let tensors = architecture.take_tensors(tensors)?;
        let (path, hashes) = (path.to_owned(), OnceLock::new());
        Ok(Model { name: name(&path), path, files, architecture, tensors, tokenizer: LazyLock::new(tokenizer), hashes })
    }

    /// The tokenizer, or why there is none.
    ///
    /// # Errors
    /// The model has no tokenizer, or one that can't be used.
    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        let problem = match &*self.tokenizer {
            Ok(Some(tokenizer)) => return Ok(tokenizer),
            Ok(None) => Error::new("the model has no tokenizer"),
            Err(problem) => problem.clone(),
        };
        let remedy = "put the model's tokenizer.json beside its weights, or give tokens (a .npy file) instead of text";
        Err(problem.at(self.path.display()).remedy(remedy))
    }
}

/// What to call the model at `path`: `SmolLM2-135M.Q4_1` for `models/SmolLM2-135M.Q4_1.gguf`, the directory's name for a directory.
fn name(path: &Path) -> String {
    // `models/x/.` and `.` have names too.
    let resolved = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut path = resolved.as_path();
    if path.file_name().is_some_and(|file| file == "model.safetensors") {
        path = parent(path);
    }
    let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
    stem.map_or_else(|| "model".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// The GGUF file of a directory that has one of them and no configuration: how such models are often kept.
fn only_gguf(directory: &Path) -> Option<PathBuf> {
    if directory.join(huggingface::CONFIG).is_file() {
        return None;
    }
    let files = std::fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    let mut found = files.filter(|path| path.extension().is_some_and(|extension| extension == "gguf"));
    found.next().filter(|_| found.next().is_none())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The forms in which a model comes.
#[derive(Debug, PartialEq)]
enum Kind {
    Gguf,
    Directory,
    Safetensors,
    Checkpoint,
}

impl Kind {
    /// By what the file begins with; its name counts only where that says nothing.
    fn of(path: &Path) -> Result<Kind> {
        if std::fs::metadata(path).map_err(Error::from).at(path.display())?.is_dir() {
            return Ok(Kind::Directory);
        }
        let mut start = Vec::new();
        std::fs::File::open(path).and_then(|file| file.take(16).read_to_end(&mut start)).map_err(Error::from).at(path.display())?;
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match extension.as_str() {
            _ if start.starts_with(gguf::MAGIC) => Ok(Kind::Gguf),
            // A zip archive (PyTorch's format since 1.6), or a bare pickle of protocol 2 and later.
            _ if start.starts_with(b"PK\x03\x04") || start.starts_with(&[0x80, 2]) => Ok(Kind::Checkpoint),
            _ if start.get(8) == Some(&b'{') => Ok(Kind::Safetensors),
            "gguf" => Ok(Kind::Gguf),
            "safetensors" => Ok(Kind::Safetensors),
            "pt" | "pth" | "bin" | "ckpt" => Ok(Kind::Checkpoint),
            _ if path.file_name().is_some_and(|file| file == huggingface::CONFIG) => Ok(Kind::Directory),
            _ => Err(Error::new("this is not a model")
                .at(path.display())
                .remedy("give a directory with config.json and *.safetensors, a .gguf file, or a PyTorch checkpoint")),
        }
    }
}
