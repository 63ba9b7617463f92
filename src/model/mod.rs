//! What a model is: its architecture, its weights under canonical names, its tokenizer; and the readers of every format.

pub mod architecture;
pub(crate) mod architectures;
mod blocks;
pub mod chat;
mod checkpoint;
mod file;
mod gguf;
mod hashes;
mod hub;
pub(crate) use hub::{cache as hub_cache, would_fetch};
mod huggingface;
mod inventory;
mod names;
pub mod operations;
mod pairs;
mod rope;
mod section;
pub mod student;
mod summary;
pub mod tensor;
#[cfg(test)]
mod testing;
pub mod tokenizer;
pub mod topology;
mod write;

pub use architecture::{Architecture, Attention, Differential, Gate, Latent, Layer, OutputGate, QkNorm};
pub use architectures::documentation as architectures_page;
pub use file::ModelFile;
pub use hashes::FileHash;
pub use hub::is_hub_name;
pub(crate) use huggingface::attention::FORM_KEYS;
pub use huggingface::config::architecture as read_configuration;
pub use operations::{Activation, Block, BlockKind, Operation};
pub use rope::{Rope, RopeScaling};
pub use summary::{Summary, TypeSummary};
pub use tensor::{DataType, Tensor};
pub use tokenizer::{Stream, Tokenizer};
pub use write::{WriteOptions, write_directory};

use crate::error::{At, Error, Result};
use crate::terminal;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

/// What a path alone does not say.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// The `model` section of a manifest (nested topologies): what a training checkpoint's tensors mean.
    pub topology: Option<serde_yaml::Value>,
    /// The dictionary of a training checkpoint whose tensors are meant, where there are several: its keys joined by dots.
    pub state_dict: Option<String>,
    /// A scaling of RoPE to compute with instead of the model's own, with the keys of a configuration's `rope_scaling`: how it does beyond the
    /// context that it was trained with.
    pub rope_scaling: Option<serde_yaml::Value>,
    /// How many tokens of the vocabulary there are: the embedding's rows beyond them are padding, and are left out.
    pub vocab: Option<usize>,
    /// A model whose tokenizer is taken if this one has none.
    pub tokenizer: Option<PathBuf>,
    /// What is changed of each layer's attention, with the keys of an `attention` section of a standard layer; layers behind the list are left as they are.
    pub forms: Vec<Option<serde_json::Map<String, serde_json::Value>>>,
}

/// A model on the host: nothing is computed here, and weights stay in their (memory-mapped) files until they are asked for.
pub struct Model {
    /// What to call it in tables when the user gave no name: the directory's or file's stem.
    pub name: String,
    /// What it was read from, as the user gave it.
    pub path: PathBuf,
    /// Every file that was read.
    pub files: Vec<ModelFile>,
    /// What the user should know: choices that the files left open.
    pub notes: Vec<String>,
    pub architecture: Architecture,
    /// By canonical name (see [`Architecture::tensors`]); shapes are checked against the architecture: the runtime may rely on all of
    /// them being there, and on nothing else being there.
    pub tensors: BTreeMap<String, Tensor>,
    tokenizer: LazyLock<Result<Option<Tokenizer>>, ReadTokenizer>,
    /// Another model whose tokenizer is used where this has none, and that tokenizer.
    lender: Option<PathBuf>,
    /// Rows of the embedding, for a tokenizer that is read later.
    rows: Arc<AtomicUsize>,
    borrowed: OnceLock<Result<Tokenizer>>,
    hashes: OnceLock<Vec<FileHash>>,
}

/// Reads a model's tokenizer, if it has one: when it is first wanted, for that can take as long as the weights, and token datasets need none.
pub type ReadTokenizer = Box<dyn FnOnce() -> Result<Option<Tokenizer>> + Send>;

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

impl Model {
    /// Reads a GGUF file, a Hugging Face directory (or one of our own students), or a PyTorch checkpoint. Weights stay in the file.
    ///
    /// # Errors
    /// What is wrong with which file, tensor or key.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Model> {
        let mut model = Self::read(&hub::locate(path)?, options)?;
        model.lender.clone_from(&options.tokenizer);
        if let Some(vocab) = options.vocab {
            model.leave_out_padding(vocab).at(path.display())?;
        }
        match &options.rope_scaling {
            None => Ok(model),
            Some(scaling) => model.stretched(scaling).at("rope_scaling").at(path.display()),
        }
    }

    /// The same with the first `vocab` tokens only: what a softmax over these gives is then what the model says of them.
    fn leave_out_padding(&mut self, vocab: usize) -> Result<()> {
        let rows = self.architecture.vocab;
        if vocab == 0 {
            return Err(Error::new("a vocabulary of 0 tokens is none").at("vocab"));
        }
        if vocab >= rows {
            return Ok(());
        }
        for name in [EMBEDDING, HEAD] {
            if let Some(tensor) = self.tensors.get_mut(name) {
                *tensor = tensor.part(0..vocab).at(format!("tensor {name}"))?;
            }
        }
        self.architecture.vocab = vocab;
        self.rows.store(vocab, Ordering::Relaxed);
        self.notes.push(format!("{} of its {rows} rows for tokens are said to be padding, and are left out", rows - vocab));
        Ok(())
    }

    /// The same with another scaling of RoPE in every layer that rotates, and room for the context that it reaches.
    fn stretched(mut self, scaling: &serde_yaml::Value) -> Result<Model> {
        let section = serde_json::to_value(scaling).map_err(|error| Error::new(error.to_string()))?;
        let before = self.architecture.context;
        self.architecture.context = huggingface::rope::stretch(&mut self.architecture, &section)?;
        self.architecture.check()?;
        self.notes.push(match self.architecture.context {
            after if after > before => format!("RoPE is scaled as asked for: the context is {after} tokens, {before} are the model's own"),
            _ => "RoPE is scaled as asked for".to_owned(),
        });
        Ok(self)
    }

    fn read(path: &Path, options: &OpenOptions) -> Result<Model> {
        match Kind::of(path)? {
            Kind::Gguf => gguf::open(path, options),
            Kind::Directory => huggingface::open_directory(path, options),
            Kind::Safetensors => huggingface::open(parent(path), Some(path), options),
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
        files: Vec<ModelFile>,
        mut architecture: Architecture,
        tensors: BTreeMap<String, Tensor>,
        tokenizer: ReadTokenizer,
    ) -> Result<Model> {
        architecture.check()?;
        let mut notes = Vec::new();
        if architecture.tied_embeddings
            && let (Some(head), Some(embedding)) = (tensors.get(HEAD), tensors.get(EMBEDDING))
            && !head.equals(embedding)
        {
            architecture.tied_embeddings = false;
            notes.push(format!(
                "the configuration says that the head is the embedding (tie_word_embeddings), but a head that differs is stored: {HEAD} is used"
            ));
        }
        let tensors = architecture.take_tensors(tensors)?;
        let rows = Arc::new(AtomicUsize::new(architecture.vocab));
        let (later, place) = (Arc::clone(&rows), path.display().to_string());
        let tokenizer: ReadTokenizer = Box::new(move || {
            let read = tokenizer()?;
            let vocab = later.load(Ordering::Relaxed);
            if let Some(tokenizer) = read.as_ref().filter(|tokenizer| tokenizer.vocab() > vocab) {
                terminal::warn(&format!(
                    "{place}: the tokenizer has {} tokens, the embedding {vocab} rows: texts with tokens from {vocab} on can't be used",
                    tokenizer.vocab()
                ));
            }
            Ok(read.map(|tokenizer| tokenizer.embedded(vocab)))
        });
        let (path, hashes) = (path.to_owned(), OnceLock::new());
        Ok(Model {
            name: name(&path),
            path,
            files,
            notes,
            architecture,
            tensors,
            tokenizer: LazyLock::new(tokenizer),
            lender: None,
            rows,
            borrowed: OnceLock::new(),
            hashes,
        })
    }

    /// The same with more to know about it.
    #[must_use]
    fn noting(mut self, notes: Vec<String>) -> Model {
        self.notes.extend(notes);
        self
    }

    /// The tokenizer, or why there is none.
    ///
    /// # Errors
    /// The model has no tokenizer and none to borrow, or one that can't be used.
    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        let problem = match (&*self.tokenizer, &self.lender) {
            (Ok(Some(tokenizer)), _) => return Ok(tokenizer),
            (Ok(None), Some(lender)) => match self.borrowed.get_or_init(|| self.borrow(lender)) {
                Ok(tokenizer) => return Ok(tokenizer),
                Err(problem) => problem.clone(),
            },
            (Ok(None), None) => Error::new("the model has no tokenizer"),
            (Err(problem), _) => problem.clone(),
        };
        let remedy = "put the model's tokenizer.json beside its weights, or give tokens (a .npy file) instead of text";
        Err(problem.at(self.path.display()).remedy(remedy))
    }
}

impl Model {
    /// The tokenizer of another model, said once.
    fn borrow(&self, lender: &Path) -> Result<Tokenizer> {
        let other = Model::open(lender, &OpenOptions::default())?;
        let tokenizer = other.tokenizer()?.lent(self.architecture.vocab);
        terminal::note(&format!("{} has no tokenizer of its own: that of {} is used", self.path.display(), other.name));
        Ok(tokenizer)
    }
}

/// What to call the model at `path` if it has no other name, which may be one of the hub: `tiny` for `hf://ORG/tiny@v2`.
pub(crate) fn name_of(path: &Path) -> String {
    hub::name_of(path).unwrap_or_else(|| name(path))
}

/// What to call the model at `path`: `SmolLM2-135M.Q4_1` for `models/SmolLM2-135M.Q4_1.gguf`, the directory's name for a directory, the
/// repository's for a snapshot in a Hugging Face cache.
pub(crate) fn name(path: &Path) -> String {
    // A link is called what it is called: in the cache of the hub it leads to a file whose name is a hash.
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let dotted = path.file_name().is_none() || path.ends_with("..") || absolute.file_name().is_none();
    let resolved = if dotted { std::fs::canonicalize(path).unwrap_or(absolute) } else { absolute };
    let mut path = resolved.as_path();
    // Every model has a file of such a name: its directory says which it is.
    const USUAL: [&str; 6] = ["model.safetensors", "model.pt", "model.pth", "model.bin", "pytorch_model.bin", huggingface::CONFIG];
    if path.file_name().is_some_and(|file| USUAL.iter().any(|usual| file == *usual))
        && path.parent().is_some_and(|parent| parent.file_name().is_some())
    {
        path = parent(path);
    }
    let folder = |path: &Path| path.parent().and_then(Path::file_name).is_some_and(|name| name == "snapshots" || name == "blobs");
    if folder(path)
        && let Some(repository) = path.parent().and_then(Path::parent).and_then(Path::file_name)
        && let Some((_, name)) = repository.to_string_lossy().strip_prefix("models--").and_then(|name| name.rsplit_once("--"))
    {
        return name.to_owned();
    }
    let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
    stem.map_or_else(|| "model".to_owned(), |stem| stem.to_string_lossy().into_owned())
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
        let file = ModelFile::open(path)?.bytes();
        let start = file.as_ref().as_ref();
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
