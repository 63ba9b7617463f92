//! A model that is read from its file but not on the device: its shape, its tokenizer and its hashes are enough to find what is wrong with a
//! plan before anything is measured.

use super::attention;
use super::failure::Answer;
use super::host::Host;
use super::model::{self, LoadChoice, Model};
use super::tokens::Tokens;
use crate::error::{At, Error};
use crate::runtime::{CacheKinds, bytes_per_token};
use crate::terminal;
use rhai::plugin::*;
use rhai::{Array, INT, Map};
use std::sync::Arc;

/// A model's file and how it is to be loaded.
#[derive(Clone)]
pub struct ModelFile {
    pub(super) model: Arc<crate::model::Model>,
    pub(super) choice: LoadChoice,
}

impl ModelFile {
    /// Reads what a map describes: `path`, and the options of `load`.
    ///
    /// # Errors
    /// An option that there is not, with its name; a file that is no model.
    pub(super) fn open(context: &NativeCallContext, mut source: Map) -> Answer<ModelFile> {
        let path = source.remove("path").and_then(|path| path.into_immutable_string().ok());
        let path = path.ok_or_else(|| Error::new("a model's map has no `path`").remedy("write #{ path: \"...\", weights: \"f16\" }"))?;
        let choice = LoadChoice::of(context, source)?;
        let model = Arc::new(crate::model::Model::open(&Host::of(context)?.resolve_model(&path)?, &choice.open)?);
        // A model is read to check a plan, and again to be loaded.
        let host = Host::of(context)?;
        let notes = model.notes.iter().map(|note| format!("{path}: {note}"));
        notes.filter(|note| host.first_time(note)).for_each(|note| terminal::warn(&note));
        // That it is for no layer is told before anything is loaded.
        attention::of_layers(&choice.attention, model.architecture.layers.len()).map_err(|error| error.about("attention"))?;
        Ok(ModelFile { model, choice })
    }
}

#[export_module]
pub(super) mod api {
    /// A model that is read but not on the device: `load(file)` puts it there. It has what a loaded model has but for weights on the device.
    pub type ModelFile = super::ModelFile;

    /// Reads a model without loading it; takes what `load` takes, as a path or as a map with `path` and options.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let file = model_file(#{ path: "models/SmolLM2-135M", weights: "f16" });
    /// print(`${file.name}: ${file.context} tokens, ${file.bytes_per_token("q8")} bytes each in a q8 cache`);
    /// let model = load(file);
    /// ```
    #[rhai_fn(name = "model_file", return_raw, volatile)]
    pub fn of_map(context: NativeCallContext, source: Map) -> Answer<ModelFile> {
        super::ModelFile::open(&context, source)
    }

    /// Reads the model at a path without loading it.
    #[rhai_fn(name = "model_file", return_raw, volatile)]
    pub fn of_path(context: NativeCallContext, path: &str) -> Answer<ModelFile> {
        of_map(context, Map::from_iter([("path".into(), path.to_owned().into())]))
    }

    /// What the model at a path is called where it has no other name: that of its file or directory, or of its repository on the hub.
    ///
    /// # Example
    /// ```rhai
    /// assert(model_name("models/SmolLM2.Q8_0.gguf") == "SmolLM2.Q8_0" && model_name("hf://someone/tiny@v2") == "tiny", "by their files");
    /// ```
    pub fn model_name(path: &str) -> String {
        crate::model::name_of(std::path::Path::new(path))
    }

    /// Loads it on the device.
    #[rhai_fn(name = "load", return_raw, volatile)]
    pub fn load(context: NativeCallContext, file: ModelFile) -> Answer<Model> {
        let host = Host::of(&context)?;
        let path = file.model.path.display().to_string();
        Ok(Model::of(&host, file.model, &file.choice).at(path)?)
    }

    /// What to call it where it was given no other name.
    #[rhai_fn(get = "name", pure)]
    pub fn name(file: &mut ModelFile) -> String {
        file.model.name.clone()
    }

    /// What it was read from.
    #[rhai_fn(get = "path", pure)]
    pub fn path(file: &mut ModelFile) -> String {
        file.model.path.display().to_string()
    }

    /// The longest context that it was made for, in tokens.
    #[rhai_fn(get = "context", pure)]
    pub fn context_length(file: &mut ModelFile) -> INT {
        file.model.architecture.context as INT
    }

    /// How many token ids there are.
    #[rhai_fn(get = "vocab", pure)]
    pub fn vocab(file: &mut ModelFile) -> INT {
        file.model.architecture.vocab as INT
    }

    /// The width of a token's vector.
    #[rhai_fn(get = "d_model", pure)]
    pub fn d_model(file: &mut ModelFile) -> INT {
        file.model.architecture.d_model as INT
    }

    /// How many layers it has.
    #[rhai_fn(get = "layers", pure)]
    pub fn layers(file: &mut ModelFile) -> INT {
        file.model.architecture.layers.len() as INT
    }

    /// How its weights are to be stored on the device.
    #[rhai_fn(get = "weights", pure)]
    pub fn weights(file: &mut ModelFile) -> String {
        file.choice.weights.to_owned()
    }

    /// Whether it has a tokenizer.
    #[rhai_fn(get = "has_tokenizer", pure)]
    pub fn has_tokenizer(file: &mut ModelFile) -> bool {
        file.model.tokenizer().is_ok()
    }

    /// The tokens of a text, with what the model wants before one.
    #[rhai_fn(name = "tokenize", pure, return_raw)]
    pub fn tokenize(file: &mut ModelFile, text: &str) -> Answer<Tokens> {
        tokenize_with(file, text, true)
    }

    /// The tokens of a text; `special`: with what the model wants before one.
    #[rhai_fn(name = "tokenize", pure, return_raw)]
    pub fn tokenize_with(file: &mut ModelFile, text: &str, special: bool) -> Answer<Tokens> {
        Ok(file.model.tokenizer()?.encode(text, special)?.into())
    }

    /// Bytes of cache that one token takes in all layers, with a cache of this kind, or of these: `"q5/q4"`.
    #[rhai_fn(name = "bytes_per_token", pure, return_raw)]
    pub fn bytes_of_kind(file: &mut ModelFile, kind: &str) -> Answer<INT> {
        Ok(bytes_per_token(&file.model.architecture, CacheKinds::parse(kind)?) as INT)
    }

    /// Its files with their `bytes` and `sha256`.
    #[rhai_fn(name = "hashes", pure, return_raw)]
    pub fn file_hashes(file: &mut ModelFile) -> Answer<Array> {
        Ok(model::hashes(&file.model)?)
    }

    /// For a person to read.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(file: &mut ModelFile) -> String {
        format!("model file {}", file.model.name)
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
