//! Datasets of token ids in scripts: files mapped rather than read, whose integers may be of any width.

use super::failure::Answer;
use super::host::Host;
use super::model::Model;
use super::model_file::ModelFile;
use super::token_dataset::{self, Dtype, TokenDataset};
use super::tokens::Tokens;
use super::values::{self, Options};
use crate::error::{At, Error};
use crate::terminal;
use rhai::plugin::*;
use rhai::{INT, Map};
use std::rc::Rc;

/// Token ids in a file, or in several.
#[derive(Clone)]
pub struct Dataset(Rc<TokenDataset>);

fn of_model(context: &NativeCallContext, dataset: &Dataset, model: &crate::model::Model, count: INT) -> Answer<()> {
    let host = Host::of(context)?;
    if let Some(unknown) = dataset.0.check_tokenizer(model)?.filter(|said| host.first_time(said)) {
        terminal::note(&unknown);
    }
    Ok(dataset.0.check(model.architecture.vocab, values::count("the count", count)?)?)
}

#[export_module]
pub(super) mod api {
    /// Token ids: integers of any width in a `.npy` or `.npz`, or by themselves; in one file, or in several that are read as one. They are mapped: a
    /// large dataset takes no memory.
    pub type Dataset = super::Dataset;

    /// Opens a `.npy` file of token ids, a `.npz` with one array of them (or one called `tokens`), or a `.bin` that `caramba tokenize` has made. A
    /// directory or a pattern (`"shards/*.npy"`) is all its files as one dataset, in the order of the numbers in their names.
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
        let (found, files) = host.files_of_dataset(path)?;
        let dtype = Dtype { given: dtype.as_deref(), otherwise: host.options.dtype.as_deref() };
        let dataset = TokenDataset::of_files(&found, files, dtype)?;
        dataset.files().for_each(|file| host.opened(file));
        dataset.notes().iter().filter(|note| host.first_time(note)).for_each(|note| terminal::warn(note));
        Ok(Dataset(Rc::new(dataset)))
    }

    /// What a dataset at this path is called in a table: the name of its file or directory; of a pattern, with that of its directory.
    ///
    /// # Example
    /// ```rhai
    /// assert(dataset_name("data/held_out.npy") == "held_out.npy" && dataset_name("data/val/*.npy") == "val/*.npy", "as it is called");
    /// ```
    pub fn dataset_name(path: &str) -> String {
        token_dataset::name_of(path)
    }

    /// Where it is: a file, a directory, or a pattern.
    #[rhai_fn(get = "path", pure)]
    pub fn path(dataset: &mut Dataset) -> String {
        dataset.0.path().display().to_string()
    }

    /// The paths of its files, in their order.
    #[rhai_fn(get = "files", pure)]
    pub fn files(dataset: &mut Dataset) -> rhai::Array {
        dataset.0.files().map(|file| file.display().to_string().into()).collect()
    }

    /// How many tokens it holds.
    #[rhai_fn(get = "len", name = "len", pure)]
    pub fn len(dataset: &mut Dataset) -> INT {
        dataset.0.count() as INT
    }

    /// How an id is stored: `i64`, `u16`, ...
    #[rhai_fn(get = "stored_type", pure)]
    pub fn stored_type(dataset: &mut Dataset) -> String {
        dataset.0.stored_type()
    }

    /// `count` tokens from `start` on.
    #[rhai_fn(name = "slice", pure, return_raw)]
    pub fn slice(dataset: &mut Dataset, start: INT, count: INT) -> Answer<Tokens> {
        let (start, count) = (values::count("the start", start)?, values::count("the count", count)?);
        Ok(dataset.0.slice(start, count).at(dataset.0.path().display())?)
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
            return Err(Error::new(message).at(dataset.0.path().display()).remedy("take shorter blocks, or a longer text").into());
        }
        if !(0..blocks).contains(&index) {
            let message = format!("there is no block {index} of {size} tokens: they go from 0 to {}", blocks - 1);
            return Err(Error::new(message).at(dataset.0.path().display()).into());
        }
        slice(dataset, index * stride, size)
    }

    /// An error that names the first token which is not in `0..vocab`, with its position.
    #[rhai_fn(name = "check", pure, return_raw)]
    pub fn check(dataset: &mut Dataset, vocab: INT) -> Answer<()> {
        Ok(dataset.0.check(values::count("the vocabulary", vocab)?, usize::MAX)?)
    }

    /// As `check(vocab)`, of the first `count` tokens only.
    #[rhai_fn(name = "check", pure, return_raw)]
    pub fn check_first(dataset: &mut Dataset, vocab: INT, count: INT) -> Answer<()> {
        let (vocab, count) = (values::count("the vocabulary", vocab)?, values::count("the count", count)?);
        Ok(dataset.0.check(vocab, count)?)
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
    #[rhai_fn(name = "check", pure, return_raw, volatile)]
    pub fn check_model(context: NativeCallContext, dataset: &mut Dataset, model: Model, count: INT) -> Answer<()> {
        of_model(&context, dataset, model.network.model(), count)
    }

    /// The same for a model that is not loaded.
    #[rhai_fn(name = "check", pure, return_raw, volatile)]
    pub fn check_model_file(context: NativeCallContext, dataset: &mut Dataset, model: ModelFile, count: INT) -> Answer<()> {
        of_model(&context, dataset, &model.model, count)
    }

    /// The SHA-256 of its file, in hexadecimal; of several files that of their hashes, one after the other.
    #[rhai_fn(name = "hash", pure, return_raw)]
    pub fn hash(dataset: &mut Dataset) -> Answer<String> {
        Ok(dataset.0.hash()?)
    }

    /// For a person to read.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(dataset: &mut Dataset) -> String {
        let files = match dataset.0.files().len() {
            1 => String::new(),
            count => format!(" in {count} files"),
        };
        format!("dataset {} of {} tokens{files}", dataset.0.path().display(), dataset.0.count())
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
