//! Models: loaded on the device, with their tokenizer.

use super::attention::{self, Attention};
use super::failure::{self, Answer};
use super::host::Host;
use super::model_file::ModelFile;
use super::session::{self, Session};
use super::tokens::Tokens;
use super::values::{Options, to_data, token_list};
use crate::error::{At, Error, Result, unknown};
use crate::model::chat::ChatOptions;
use crate::model::{Architecture, OpenOptions};
use crate::progress::{Progress, Unit};
use crate::quant::CACHE_KINDS;
use crate::runtime::{CacheKind, CacheKinds, LoadOptions, Network, WeightKind, bytes_per_token};
use rhai::plugin::*;
use rhai::{Array, FLOAT, INT, ImmutableString, Map};
use std::rc::Rc;
use std::sync::Arc;

/// A model whose weights are on the device.
#[derive(Clone)]
pub struct Model {
    pub(super) network: Rc<Network>,
    /// As the user asked for it: `stored`, `f16`, ...
    weights: &'static str,
    /// What a script says of its attention; empty: nothing.
    attention: String,
}

/// How weights can be stored on the device.
const WEIGHTS: &[(&str, WeightKind)] =
    &[("stored", WeightKind::Stored), ("f32", WeightKind::F32), ("f16", WeightKind::F16), ("q8", WeightKind::Q8), ("q4", WeightKind::Q4)];

/// What may be said of a model beside its path.
const MODEL_OPTIONS: [&str; 8] = ["weights", "dtype", "model", "attention", "state_dict", "rope_scaling", "vocab", "tokenizer"];

/// How a model is to be loaded.
#[derive(Clone)]
pub(super) struct LoadChoice {
    pub(super) weights: &'static str,
    kind: WeightKind,
    /// What the file alone does not say.
    pub(super) open: OpenOptions,
    /// What a script says of its attention.
    pub(super) attention: Vec<Attention>,
}

impl LoadChoice {
    /// From the options of `load`.
    pub(super) fn of(context: &NativeCallContext, options: Map) -> Answer<LoadChoice> {
        let unknown_option = options.keys().find(|key| !MODEL_OPTIONS.contains(&key.as_str())).cloned();
        let mut options = options;
        // PyTorch's word.
        if let Some(kind) = options.remove("dtype").filter(|_| !options.contains_key("weights")) {
            options.insert("weights".into(), kind);
        }
        let mut options = Options::new("model option", options);
        let attention = attention::of_option(context, options.take("attention"))
            .map_err(|error| failure::changed(error, |error| error.about("attention")))?;
        let name = options.text("weights").map_err(|error| error.about("weights"))?.unwrap_or_else(|| "stored".into());
        let topology = options.take("model").map(|section| to_data(&section)).transpose().at("model")?;
        let state_dict = options.text("state_dict")?.map(|name| name.to_string());
        let rope_scaling = options.take("rope_scaling").map(|section| to_data(&section)).transpose().at("rope_scaling")?;
        let vocab = options.count("vocab").map_err(|error| error.about("vocab"))?;
        let lender = options.text("tokenizer").map_err(|error| error.about("tokenizer"))?;
        let tokenizer = lender.map(|path| Ok::<_, Box<EvalAltResult>>(Host::of(context)?.resolve_model(&path)?)).transpose()?;
        options.finish().map_err(|error| error.about(unknown_option.unwrap_or_default()))?;
        let (weights, kind) = weights_named(&name)?;
        let open = OpenOptions { topology, state_dict, rope_scaling, forms: attention::forms(&attention), vocab, tokenizer };
        Ok(LoadChoice { weights, kind, open, attention })
    }
}

/// The kind of weights that is called so.
pub(super) fn weights_named(name: &str) -> Result<(&'static str, WeightKind)> {
    let found = WEIGHTS.iter().find(|(known, _)| *known == name);
    found.copied().ok_or_else(|| unknown("kind of weights", name, WEIGHTS.iter().map(|(name, _)| *name)).about("weights"))
}

impl Model {
    fn load(context: &NativeCallContext, path: &str, options: Map) -> Answer<Model> {
        let mut source = options;
        source.insert("path".into(), path.into());
        let file = ModelFile::open(context, source)?;
        Ok(Model::of(&*Host::of(context)?, file.model, &file.choice).at(path)?)
    }

    /// Puts a model that was read on the device.
    pub(super) fn of(host: &Host, model: Arc<crate::model::Model>, choice: &LoadChoice) -> Result<Model> {
        let layers = attention::of_layers(&choice.attention, model.architecture.layers.len())?;
        let gpu = host.gpu()?;
        let total = model.tensors.values().map(|tensor| tensor.stored_bytes() as u64).sum();
        let progress = Progress::new(format!("loading {}", model.name), Some(total), Unit::Bytes);
        let report = |done: u64, _: u64| progress.set(done);
        let network = Network::load(gpu, model, &LoadOptions { weights: choice.kind, progress: Some(&report), attention: &layers })?;
        Ok(Model { network, weights: choice.weights, attention: attention::description(&choice.attention) })
    }

    pub(super) fn architecture(&self) -> &Architecture {
        &self.network.model().architecture
    }
}

/// The kinds of a cache, from a kind's name or from options: `cache` for all of it, and its parts by themselves.
pub(super) fn cache_kinds(options: &mut Options) -> Result<CacheKinds> {
    let parse = |name: ImmutableString| CacheKind::parse(&name);
    let all = options.text("cache")?.map(|name| CacheKinds::parse(&name)).transpose()?;
    let mut kinds = all.unwrap_or(CacheKinds::uniform(CacheKind::F16));
    for (key, part) in [
        ("key_cache", &mut kinds.key),
        ("value_cache", &mut kinds.value),
        ("semantic_cache", &mut kinds.semantic),
        ("geometric_cache", &mut kinds.geometric),
    ] {
        if let Some(kind) = options.text(key)?.map(parse).transpose()? {
            *part = kind;
        }
    }
    Ok(kinds)
}

/// What a report says of a model's shape. Layers that are alike are counted together.
fn shape(architecture: &Architecture) -> Map {
    let count = |value: usize| Dynamic::from(value as INT);
    let mut kinds: Vec<(&crate::model::Layer, usize)> = Vec::new();
    for layer in &architecture.layers {
        match kinds.iter_mut().find(|(kind, _)| *kind == layer) {
            Some((_, layers)) => *layers += 1,
            None => kinds.push((layer, 1)),
        }
    }
    let layer = |(layer, layers): &(&crate::model::Layer, usize)| {
        let attention = &layer.attention;
        let kind = if attention.decoupled { "decoupled" } else { "standard" };
        Dynamic::from_map(Map::from_iter([
            ("layers".into(), count(*layers)),
            ("attention".into(), kind.into()),
            ("heads".into(), count(attention.heads)),
            ("kv_heads".into(), count(attention.kv_heads)),
            ("semantic_width".into(), count(attention.sem)),
            ("geometric_width".into(), count(attention.geo)),
            ("value_width".into(), count(attention.value)),
            ("rope_base".into(), attention.rope.as_ref().map_or(Dynamic::UNIT, |rope| FLOAT::from(rope.base).into())),
            ("d_ff".into(), count(layer.d_ff)),
        ]))
    };
    Map::from_iter([
        ("family".into(), architecture.family.clone().into()),
        ("d_model".into(), count(architecture.d_model)),
        ("vocab".into(), count(architecture.vocab)),
        ("context".into(), count(architecture.context)),
        ("layers".into(), count(architecture.layers.len())),
        ("tied_embeddings".into(), architecture.tied_embeddings.into()),
        ("kinds".into(), Dynamic::from_array(kinds.iter().map(layer).collect())),
    ])
}

impl Model {
    /// What a report says of it.
    pub(super) fn description(&self) -> Result<Map> {
        let model = self.network.model();
        let summary = model.summary();
        let per_token = CACHE_KINDS.iter().filter(|entry| entry.kind != CacheKind::None).map(|entry| {
            let bytes = bytes_per_token(&model.architecture, CacheKinds::uniform(entry.kind));
            (entry.name.into(), (bytes as INT).into())
        });
        let mut description = Map::from_iter([
            ("name".into(), model.name.clone().into()),
            ("path".into(), model.path.display().to_string().into()),
            ("files".into(), Dynamic::from_array(hashes(model)?)),
            ("shape".into(), shape(&model.architecture).into()),
            ("parameters".into(), (summary.parameters as INT).into()),
            ("stored_types".into(), summary.type_names().into()),
            ("weights".into(), self.weights.into()),
            ("weight_bytes".into(), (self.network.weight_bytes() as INT).into()),
            ("bytes_per_token".into(), Dynamic::from_map(per_token.collect())),
        ]);
        if !self.attention.is_empty() {
            description.insert("attention".into(), self.attention.clone().into());
        }
        Ok(description)
    }
}

pub(super) fn hashes(model: &crate::model::Model) -> Result<Array> {
    let entry = |hash: &crate::model::FileHash| {
        Dynamic::from_map(Map::from_iter([
            ("file".into(), hash.file.clone().into()),
            ("bytes".into(), (hash.bytes as INT).into()),
            ("sha256".into(), hash.sha256.clone().into()),
        ]))
    };
    Ok(model.hashes()?.iter().map(entry).collect())
}

/// A conversation as text.
fn chat_text(model: &crate::model::Model, messages: &Array, options: Map) -> Result<String> {
    let json = |value: &Dynamic| -> Result<serde_json::Value> {
        serde_json::to_value(to_data(value)?).map_err(|error| Error::new(error.to_string()))
    };
    let mut chosen = ChatOptions::default();
    let others = ["add_generation_prompt", "continue_final_message"];
    let (own, others): (Map, Map) = options.into_iter().partition(|(name, _)| others.contains(&name.as_str()));
    let mut own = Options::new("chat option", own);
    chosen.continue_final_message = own.truth("continue_final_message")?.unwrap_or(false);
    chosen.add_generation_prompt = own.truth("add_generation_prompt")?.unwrap_or(!chosen.continue_final_message);
    own.finish()?;
    for (name, value) in &others {
        chosen.others.insert(name.to_string(), json(value).at(name)?);
    }
    let messages = messages.iter().map(json).collect::<Result<Vec<_>>>().at("messages")?;
    model.chat_template()?.render(&messages.into(), &chosen)
}

#[export_module]
pub(super) mod api {
    /// A language model, its weights on the device.
    pub type Model = super::Model;

    /// Loads a model: a GGUF file, a directory with `config.json` and safetensors, a PyTorch checkpoint.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let model   = load("models/SmolLM2-135M");
    /// let session = model.session(#{ cache: "q8", context: 2048 });
    /// session.prefill(model.tokenize("The sea was"));
    /// print(session.generate(#{ max_tokens: 64, temperature: 0.8, seed: 7 }).text);
    /// ```
    #[rhai_fn(name = "load", return_raw, volatile)]
    pub fn load(context: NativeCallContext, path: &str) -> Answer<Model> {
        load_with(context, path, Map::new())
    }

    /// Loads a model with options: `weights`, or `dtype` (`"stored"`, as in the file where the device can; `"f32"`, `"f16"`, `"q8"`, `"q4"`),
    /// `attention` (what `attention(...)` makes, a map for it, or a list of them, the first of which that is for a layer counts), and for a
    /// training checkpoint `model` (the model section of a manifest) and `state_dict` (the dictionary whose tensors are meant, where it
    /// holds several). `vocab` is how many tokens there are where the embedding's last rows are padding; `tokenizer` a model whose tokenizer is
    /// taken if this one has none. `rope_scaling` is another scaling of RoPE than the model's own, as in a `config.json`: how it does beyond the context that
    /// it was trained with.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let model = load("models/SmolLM2-135M", #{ weights: "q8" });
    /// let longer = load("models/SmolLM2-135M", #{ rope_scaling: #{ rope_type: "yarn", factor: 4.0 } });
    /// ```
    #[rhai_fn(name = "load", return_raw, volatile)]
    pub fn load_with(context: NativeCallContext, path: &str, options: Map) -> Answer<Model> {
        Model::load(&context, path, options)
    }

    /// Loads the model that a map describes: `path`, and the options of `load`.
    #[rhai_fn(name = "load", return_raw, volatile)]
    pub fn load_map(context: NativeCallContext, source: Map) -> Answer<Model> {
        let mut source = source;
        let path = source.remove("path").and_then(|path| path.into_immutable_string().ok());
        let path =
            path.ok_or_else(|| Error::new("a model's map has no `path`").remedy("write load(#{ path: \"...\", weights: \"f16\" })"))?;
        load_with(context, &path, source)
    }

    /// What to call it where it was given no other name: that of its file or directory.
    #[rhai_fn(get = "name", pure)]
    pub fn name(model: &mut Model) -> String {
        model.network.model().name.clone()
    }

    /// What it was loaded from.
    #[rhai_fn(get = "path", pure)]
    pub fn path(model: &mut Model) -> String {
        model.network.model().path.display().to_string()
    }

    /// The longest context that it was made for, in tokens.
    #[rhai_fn(get = "context", pure)]
    pub fn context_length(model: &mut Model) -> INT {
        model.architecture().context as INT
    }

    /// How many token ids there are: `0..vocab`.
    #[rhai_fn(get = "vocab", pure)]
    pub fn vocab(model: &mut Model) -> INT {
        model.architecture().vocab as INT
    }

    /// The width of a token's vector.
    #[rhai_fn(get = "d_model", pure)]
    pub fn d_model(model: &mut Model) -> INT {
        model.architecture().d_model as INT
    }

    /// How many layers it has.
    #[rhai_fn(get = "layers", pure)]
    pub fn layers(model: &mut Model) -> INT {
        model.architecture().layers.len() as INT
    }

    /// Its shape as a map: `family`, `d_model`, `vocab`, `context`, `layers`, and `kinds`, the layers that differ with their widths per
    /// head.
    #[rhai_fn(get = "shape", pure)]
    pub fn shape_map(model: &mut Model) -> Map {
        shape(model.architecture())
    }

    /// How many parameters it has; an embedding that is also the head counts once.
    #[rhai_fn(get = "parameters", pure)]
    pub fn parameters(model: &mut Model) -> INT {
        model.network.model().summary().parameters as INT
    }

    /// The element types in its file, the one with most bytes first: `"Q4_1, F32"`.
    #[rhai_fn(get = "stored_types", pure)]
    pub fn stored_types(model: &mut Model) -> String {
        model.network.model().summary().type_names()
    }

    /// How its weights were asked to be stored on the device: `"stored"`, `"f16"`, ...
    #[rhai_fn(get = "weights", pure)]
    pub fn weights(model: &mut Model) -> String {
        model.weights.to_owned()
    }

    /// As `weights`, by PyTorch's word.
    #[rhai_fn(get = "dtype", pure)]
    pub fn dtype(model: &mut Model) -> String {
        weights(model)
    }

    /// Bytes that its weights hold on the device.
    #[rhai_fn(pure)]
    pub fn weight_bytes(model: &mut Model) -> INT {
        model.network.weight_bytes() as INT
    }

    /// Its files with their `bytes` and `sha256`. They are read once.
    #[rhai_fn(name = "hashes", pure, return_raw)]
    pub fn file_hashes(model: &mut Model) -> Answer<Array> {
        Ok(hashes(model.network.model())?)
    }

    /// What a report says of it: name, path, files with their hashes, shape, parameters, how weights are stored, bytes of cache per token.
    #[rhai_fn(get = "description", pure, return_raw)]
    pub fn description(model: &mut Model) -> Answer<Map> {
        Ok(model.description()?)
    }

    /// Bytes of cache that one token takes in all layers, keys and values, scales included, with a cache of this kind.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let model = load("models/SmolLM2-135M");
    /// print(`${model.bytes_per_token("fp16")} bytes, ${model.bytes_per_token("q5/q4")} with q5 keys and q4 values`);
    /// ```
    #[rhai_fn(name = "bytes_per_token", pure, return_raw)]
    pub fn bytes_of_kind(model: &mut Model, kind: &str) -> Answer<INT> {
        Ok(bytes_per_token(model.architecture(), CacheKinds::parse(kind)?) as INT)
    }

    /// As above, of a cache given as to `session`: `#{ cache: "q8", value_cache: "q4" }`.
    #[rhai_fn(name = "bytes_per_token", pure, return_raw)]
    pub fn bytes_of_kinds(model: &mut Model, kinds: Map) -> Answer<INT> {
        let mut options = Options::new("cache option", kinds);
        let kinds = cache_kinds(&mut options)?;
        options.finish()?;
        Ok(bytes_per_token(model.architecture(), kinds) as INT)
    }

    /// Whether it has a tokenizer.
    #[rhai_fn(get = "has_tokenizer", pure)]
    pub fn has_tokenizer(model: &mut Model) -> bool {
        model.network.model().tokenizer().is_ok()
    }

    /// The tokens of a text, with what the model wants before one (its begin-of-text token).
    #[rhai_fn(name = "tokenize", pure, return_raw)]
    pub fn tokenize(model: &mut Model, text: &str) -> Answer<Tokens> {
        tokenize_with(model, text, true)
    }

    /// The tokens of a text; `special`: with what the model wants before one.
    #[rhai_fn(name = "tokenize", pure, return_raw)]
    pub fn tokenize_with(model: &mut Model, text: &str, special: bool) -> Answer<Tokens> {
        Ok(model.network.model().tokenizer()?.encode(text, special)?.into())
    }

    /// The tokens of a conversation, as the model's chat template writes it: `[#{ role: "user", content: "..." }]`. They end with what comes before an
    /// answer, and are to be prefilled as they are.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let model = load("models/SmolLM2-135M-Instruct");
    /// let session = model.session();
    /// session.prefill(model.tokenize([#{ role: "user", content: "Name three rivers." }]));
    /// print(session.generate(#{ max_tokens: 100 }).text);
    /// ```
    #[rhai_fn(name = "tokenize", pure, return_raw)]
    pub fn tokenize_chat(model: &mut Model, messages: Array) -> Answer<Tokens> {
        tokenize_chat_with(model, messages, Map::new())
    }

    /// As above, with the options of `chat`.
    #[rhai_fn(name = "tokenize", pure, return_raw)]
    pub fn tokenize_chat_with(model: &mut Model, messages: Array, options: Map) -> Answer<Tokens> {
        let text = chat_with(model, messages, options)?;
        // The template writes the begin-of-text token itself, where there is to be one.
        tokenize_with(model, &text, false)
    }

    /// Whether it has a chat template: base models have none.
    #[rhai_fn(get = "has_chat_template", pure)]
    pub fn has_chat_template(model: &mut Model) -> bool {
        model.network.model().chat_template().is_ok()
    }

    /// The text of a conversation, as the model's chat template writes it, up to what comes before an answer.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let model = load("models/SmolLM2-135M-Instruct");
    /// print(model.chat([#{ role: "system", content: "Be brief." }, #{ role: "user", content: "Name three rivers." }]));
    /// ```
    #[rhai_fn(name = "chat", pure, return_raw)]
    pub fn chat(model: &mut Model, messages: Array) -> Answer<String> {
        chat_with(model, messages, Map::new())
    }

    /// As above. Options: `add_generation_prompt` (true: end with what comes before an answer), `continue_final_message` (false: end within the last
    /// message, for the model to go on with it), and whatever else the template reads (`tools`, `enable_thinking`, ...).
    ///
    /// # Example
    /// ```rhai,no_run
    /// let model = load("models/SmolLM2-135M-Instruct");
    /// let begun = [#{ role: "user", content: "Name a river." }, #{ role: "assistant", content: "The river" }];
    /// print(model.chat(begun, #{ continue_final_message: true }));
    /// ```
    #[rhai_fn(name = "chat", pure, return_raw)]
    pub fn chat_with(model: &mut Model, messages: Array, options: Map) -> Answer<String> {
        Ok(chat_text(model.network.model(), &messages, options)?)
    }

    /// The text of tokens; special tokens are left out.
    #[rhai_fn(pure, return_raw)]
    pub fn detokenize(model: &mut Model, tokens: Dynamic) -> Answer<String> {
        Ok(model.network.model().tokenizer()?.decode(token_list(&tokens)?.as_slice())?)
    }

    /// The token that begins a text, or `()`.
    #[rhai_fn(get = "bos", pure)]
    pub fn bos(model: &mut Model) -> Dynamic {
        model.architecture().bos.map_or(Dynamic::UNIT, |token| INT::from(token).into())
    }

    /// The tokens that end a text.
    #[rhai_fn(get = "eos", pure)]
    pub fn eos(model: &mut Model) -> Tokens {
        model.architecture().eos.clone().into()
    }

    /// A session with an fp16 cache, for one sequence of 2048 tokens (or of the model's context, if that is shorter).
    #[rhai_fn(name = "session", pure, return_raw, volatile)]
    pub fn session_plainly(model: &mut Model) -> Answer<Session> {
        session_with(model, Map::new())
    }

    /// A session: the cache and all else it needs are allocated here, and nothing later. Options:
    ///
    /// | option | default | |
    /// |---|---|---|
    /// | `cache` | `"fp16"` | a kind that `all_cache_kinds()` lists; `"q5/q4"`: for keys and for values; `"none"`: every step recomputes the whole prefix |
    /// | `key_cache`, `value_cache` | `cache` | those of standard layers by themselves |
    /// | `semantic_cache`, `geometric_cache` | `cache` | the keys of decoupled layers; with 4 bits and less, geometric keys stay at q8 |
    /// | `context` | 2048 | positions that there is room for, per sequence |
    /// | `batch_size` | 1 | sequences that run side by side; `sequences`, before |
    /// | `prefill_chunk` | chosen for the device | most tokens of one step of a prefill; `chunk`, before |
    #[rhai_fn(name = "session", pure, return_raw, volatile)]
    pub fn session_with(model: &mut Model, options: Map) -> Answer<Session> {
        Ok(session::new(model, options)?)
    }

    /// For a person to read.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(model: &mut Model) -> String {
        let stored = model.network.model();
        format!("model {} ({:.1} million parameters)", stored.name, stored.summary().parameters as f64 / 1e6)
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
