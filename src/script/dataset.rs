//! Datasets of token ids: files mapped rather than read, whose integers may be of any width.

use super::failure::Answer;
use super::host::Host;
use super::model::Model;
use super::model_file::ModelFile;
use super::sidecar::Sidecar;
use super::token_file::{self, Ids};
use super::tokens::{Tokens, hex};
use super::values::{self, Options};
use crate::error::{At, Error, Result};
use crate::interrupt;
use crate::mapped::Mapped;
use rhai::plugin::*;
use rhai::{INT, Map};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Token ids in a file.
#[derive(Clone)]
pub struct Dataset(Rc<File>);

struct File {
    path: PathBuf,
    mapped: Mapped,
    ids: Ids,
}

/// Ids looked at between two looks for Ctrl-C.
const CHUNK: usize = 1 << 20;

impl File {
    fn open(path: &Path, shown: &str, dtype: Option<&str>) -> Result<File> {
        let mapped = Mapped::open(path)?;
        let ids = token_file::find(mapped.bytes(), dtype).at(shown)?;
        Ok(File { path: path.to_owned(), mapped, ids })
    }

    fn count(&self) -> usize {
        self.ids.count
    }

    fn id(&self, index: usize) -> i64 {
        let Ids { integer, offset, .. } = &self.ids;
        let at = offset + index * integer.size;
        (integer.read)(&self.mapped.bytes()[at..at + integer.size])
    }

    fn slice(&self, start: usize, count: usize) -> Result<Tokens> {
        let mut ids = Vec::with_capacity(count);
        for index in start..start + count {
            let id = self.id(index);
            ids.push(u32::try_from(id).map_err(|_| Error::new(format!("position {index} holds {id}, which is no token id")))?);
        }
        Ok(ids.into())
    }

    /// # Errors
    /// The first id among the first `count` that is not in `0..vocab`.
    fn check(&self, vocab: usize, count: usize) -> Result<()> {
        let vocab = vocab as i64;
        for index in 0..count.min(self.count()) {
            if index % CHUNK == 0 {
                interrupt::check()?;
            }
            let id = self.id(index);
            if !(0..vocab).contains(&id) {
                let message = format!("token {id} at position {index} is beyond the vocabulary of {vocab} (ids 0 to {})", vocab - 1);
                return Err(
                    Error::new(message).remedy("use a dataset that was made with this model's tokenizer: caramba tokenize makes one")
                );
            }
        }
        Ok(())
    }
}

/// How many token ids the file at `path` holds; `dtype` says how they are stored where the file doesn't.
///
/// # Errors
/// It is no file of token ids, or damaged.
pub fn token_count(path: &Path, dtype: Option<&str>) -> Result<usize> {
    File::open(path, &path.display().to_string(), dtype).map(|file| file.count())
}

fn of_model(dataset: &Dataset, model: &crate::model::Model, count: INT) -> Answer<()> {
    let file = &dataset.0;
    Sidecar::check(&file.path, model).at(file.path.display())?;
    Ok(file.check(model.architecture.vocab, values::count("the count", count)?).at(file.path.display())?)
}

#[export_module]
pub(super) mod api {
    /// Token ids in a file: integers of any width in a `.npy` or `.npz`, or by themselves. It is mapped: a large one takes no memory.
    pub type Dataset = super::Dataset;

    /// Opens a `.npy` file of token ids, or a `.npz` with one array of them (or one called `tokens`).
    ///
    /// # Example
    /// ```rhai,no_run
    /// let data = dataset("held_out.npy");
    /// data.check(load("models/SmolLM2-135M").vocab);
    /// for index in 0..data.blocks(512) { print(data.block(index, 512)); }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn dataset(context: NativeCallContext, path: &str) -> Answer<Dataset> {
        dataset_with(context, path, Map::new())
    }

    /// As above, with `dtype`: how the ids of a file without a header are stored (`"uint16"`, `"uint32"`, ...).
    ///
    /// # Example
    /// ```rhai,no_run
    /// let data = dataset("train.bin", #{ dtype: "uint16" });
    /// ```
    #[rhai_fn(name = "dataset", return_raw, volatile)]
    pub fn dataset_with(context: NativeCallContext, path: &str, options: Map) -> Answer<Dataset> {
        let mut options = Options::new("dataset option", options);
        let dtype = options.text("dtype")?;
        options.finish()?;
        let host = Host::of(&context)?;
        let found = host.resolve(path)?;
        let dataset = Dataset(Rc::new(File::open(&found, path, dtype.as_deref())?));
        host.opened(&found);
        Ok(dataset)
    }

    /// Where it is.
    #[rhai_fn(get = "path", pure)]
    pub fn path(dataset: &mut Dataset) -> String {
        dataset.0.path.display().to_string()
    }

    /// How many tokens it holds.
    #[rhai_fn(get = "len", name = "len", pure)]
    pub fn len(dataset: &mut Dataset) -> INT {
        dataset.0.count() as INT
    }

    /// How an id is stored: `i64`, `u16`, ...
    #[rhai_fn(get = "stored_type", pure)]
    pub fn stored_type(dataset: &mut Dataset) -> String {
        dataset.0.ids.integer.name.to_owned()
    }

    /// `count` tokens from `start` on.
    #[rhai_fn(name = "slice", pure, return_raw)]
    pub fn slice(dataset: &mut Dataset, start: INT, count: INT) -> Answer<Tokens> {
        let file = &dataset.0;
        let (start, count) = (values::count("the start", start)?, values::count("the count", count)?);
        if start.checked_add(count).is_none_or(|end| end > file.count()) {
            let message = format!("{count} tokens from {start} on are not there: it holds {}", file.count());
            return Err(Error::new(message).at(file.path.display()).into());
        }
        Ok(file.slice(start, count).at(file.path.display())?)
    }

    /// How many whole blocks of `size` tokens there are, one after the other.
    #[rhai_fn(name = "blocks", pure, return_raw)]
    pub fn blocks(dataset: &mut Dataset, size: INT) -> Answer<INT> {
        blocks_by(dataset, size, size)
    }

    /// How many whole blocks of `size` tokens there are, each beginning `stride` tokens after the one before.
    #[rhai_fn(name = "blocks", pure, return_raw)]
    pub fn blocks_by(dataset: &mut Dataset, size: INT, stride: INT) -> Answer<INT> {
        if size < 1 || stride < 1 {
            return Err(Error::new(format!("blocks of {size} tokens every {stride}: expected 1 or more")).into());
        }
        let count = dataset.0.count() as INT;
        Ok(if count < size { 0 } else { (count - size) / stride + 1 })
    }

    /// Block `index` of `size` tokens, blocks following each other.
    #[rhai_fn(name = "block", pure, return_raw)]
    pub fn block(dataset: &mut Dataset, index: INT, size: INT) -> Answer<Tokens> {
        block_by(dataset, index, size, size)
    }

    /// Block `index` of `size` tokens: those from `index * stride` on.
    #[rhai_fn(name = "block", pure, return_raw)]
    pub fn block_by(dataset: &mut Dataset, index: INT, size: INT, stride: INT) -> Answer<Tokens> {
        let blocks = blocks_by(dataset, size, stride)?;
        if blocks == 0 {
            let message = format!("its {} tokens are fewer than one block of {size}", dataset.0.count());
            return Err(Error::new(message).at(dataset.0.path.display()).remedy("take shorter blocks, or a longer text").into());
        }
        if !(0..blocks).contains(&index) {
            let message = format!("there is no block {index} of {size} tokens: they go from 0 to {}", blocks - 1);
            return Err(Error::new(message).at(dataset.0.path.display()).into());
        }
        slice(dataset, index * stride, size)
    }

    /// An error that names the first token which is not in `0..vocab`, with its position.
    #[rhai_fn(name = "check", pure, return_raw)]
    pub fn check(dataset: &mut Dataset, vocab: INT) -> Answer<()> {
        Ok(dataset.0.check(values::count("the vocabulary", vocab)?, usize::MAX).at(dataset.0.path.display())?)
    }

    /// As `check(vocab)`, of the first `count` tokens only.
    #[rhai_fn(name = "check", pure, return_raw)]
    pub fn check_first(dataset: &mut Dataset, vocab: INT, count: INT) -> Answer<()> {
        let (vocab, count) = (values::count("the vocabulary", vocab)?, values::count("the count", count)?);
        Ok(dataset.0.check(vocab, count).at(dataset.0.path.display())?)
    }

    /// As `check(vocab, count)` for a model's vocabulary; and that the dataset was made with the model's tokenizer, where it says with which one
    /// (`caramba tokenize` writes that beside it).
    ///
    /// # Example
    /// ```rhai,no_run
    /// let model = load("models/SmolLM2-135M");
    /// let data = dataset("held_out.npy");
    /// data.check(model, 512);
    /// ```
    #[rhai_fn(name = "check", pure, return_raw)]
    pub fn check_model(dataset: &mut Dataset, model: Model, count: INT) -> Answer<()> {
        of_model(dataset, model.network.model(), count)
    }

    /// The same for a model that is not loaded.
    #[rhai_fn(name = "check", pure, return_raw)]
    pub fn check_model_file(dataset: &mut Dataset, model: ModelFile, count: INT) -> Answer<()> {
        of_model(dataset, &model.model, count)
    }

    /// The SHA-256 of its file, in hexadecimal.
    #[rhai_fn(name = "hash", pure, return_raw)]
    pub fn hash(dataset: &mut Dataset) -> Answer<String> {
        dataset.0.mapped.unchanged().at(dataset.0.path.display())?;
        let mut hasher = Sha256::new();
        for chunk in dataset.0.mapped.bytes().chunks(CHUNK) {
            interrupt::check()?;
            hasher.update(chunk);
        }
        Ok(hex(&hasher.finalize()))
    }

    /// For a person to read.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(dataset: &mut Dataset) -> String {
        format!("dataset {} of {} tokens", dataset.0.path.display(), dataset.0.count())
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
