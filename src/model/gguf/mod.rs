//! GGUF files: llama.cpp's keys and tensor names to our architecture and canonical names.
//!
//! Sources: llama.cpp's `convert_hf_to_gguf.py` (what was done to the weights), `gguf.constants` and `gguf.tensor_mapping` (names).

#[cfg(test)]
mod build;
mod container;
mod vocabulary;

use super::architecture::{Architecture, Attention, Layer, QkNorm};
use super::architectures::{Family, Gguf, Window, families};
use super::huggingface::attention;
use super::pairs;
use super::rope::{Rope, RopeScaling};
use super::tensor::{Bytes, Tensor};
use super::{Model, ModelFile, OpenOptions, ReadTokenizer};
use crate::error::{At, Error, Result, unknown};
use container::Container;
use std::collections::BTreeMap;
use std::path::Path;

/// How a file of this type begins.
pub(super) const MAGIC: &[u8; 4] = container::MAGIC;

/// Keys that change the computation in ways that the runtime doesn't have, with the value at which they change nothing.
const NEUTRAL: &[(&str, f64)] = &[
    ("expert_count", 0.0),
    ("attention.clamp_kqv", 0.0),
    ("attention.max_alibi_bias", 0.0),
    ("attention.scale", 0.0),
    ("attn_logit_softcapping", 0.0),
    ("final_logit_softcapping", 0.0),
    ("logit_scale", 1.0),
    ("residual_scale", 1.0),
    ("embedding_scale", 1.0),
    ("attention.temperature_length", 0.0),
    ("attention.temperature_scale", 0.0),
    ("attention.output_scale", 1.0),
    ("attention.shared_kv_layers", 0.0),
    ("nextn_predict_layers", 0.0),
    ("rope.scaling.yarn_log_multiplier", 0.0),
];

/// The same for keys that are true or false.
const NEUTRAL_FLAGS: &[(&str, bool)] = &[("attention.causal", true), ("use_parallel_residual", false), ("swin_norm", false)];

/// Reads the GGUF file at `path`.
pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Model> {
    let file = ModelFile::open(path)?;
    let (architecture, tensors, tokenizer) = read(file.bytes(), options).at(path.display())?;
    Model::new(path, vec![file], architecture, tensors, tokenizer).at(path.display())
}

/// The chat template of a GGUF file, if it has one.
pub(super) fn chat_template(file: &ModelFile) -> Result<Option<String>> {
    Ok(Container::parse(file.bytes())?.string("tokenizer.chat_template")?.map(str::to_owned))
}

type Parts = (Architecture, BTreeMap<String, Tensor>, ReadTokenizer);

fn read(bytes: Bytes, options: &OpenOptions) -> Result<Parts> {
    let container = Container::parse(bytes)?;
    if container.integer("split.count")?.is_some_and(|count| count > 1) {
        return Err(
            Error::new("this is one of several files that a model was split into").remedy("join them with llama-gguf-split --merge")
        );
    }
    let keys = Keys::new(&container)?;
    let mut architecture = keys.architecture()?;
    attention::change(&mut architecture, &options.forms)?;
    let tensors = canonical(&container, &keys, &architecture)?;
    Ok((architecture, tensors, Box::new(move || vocabulary::tokenizer(&container))))
}

/// The keys of one architecture (`llama.block_count` is `block_count` here).
pub(crate) struct Keys<'a> {
    container: &'a Container,
    family: &'static Family,
    gguf: &'static Gguf,
}

impl<'a> Keys<'a> {
    fn new(container: &'a Container) -> Result<Keys<'a>> {
        let name = container.string("general.architecture")?.ok_or_else(|| missing("general.architecture"))?;
        let known = || families().filter_map(|family| Some((family, family.gguf.as_ref()?)));
        let found = known().find(|(_, gguf)| gguf.name == name);
        let (family, gguf) = found.ok_or_else(|| unknown("architecture", name, known().map(|(_, gguf)| gguf.name)))?;
        Ok(Keys { container, family, gguf })
    }

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.gguf.name)
    }

    fn usize(&self, key: &str) -> Result<Option<usize>> {
        Ok(self.container.integer(&self.key(key))?.map(|number| number as usize))
    }

    fn needed(&self, key: &str) -> Result<usize> {
        self.usize(key)?.ok_or_else(|| missing(&self.key(key)))
    }

    /// # Errors
    /// Another type of value.
    pub fn float(&self, key: &str) -> Result<Option<f32>> {
        Ok(self.container.float(&self.key(key))?.map(|number| number as f32))
    }

    fn per_layer(&self, key: &str, layers: usize) -> Result<Option<Vec<usize>>> {
        let each = self.container.integer_per_layer(&self.key(key), layers)?;
        Ok(each.map(|each| each.into_iter().map(|number| number as usize).collect()))
    }

    fn architecture(&self) -> Result<Architecture> {
        for (key, neutral) in NEUTRAL.iter().filter(|(key, _)| !self.gguf.keys.contains(key)) {
            if let Some(value) = self.container.float(&self.key(key))?
                && value != *neutral
            {
                return Err(Error::new(format!("key {} is {value}; a model that needs it is not supported", self.key(key))));
            }
        }
        for (key, neutral) in NEUTRAL_FLAGS {
            if let Some(value) = self.container.bool(&self.key(key))?
                && value != *neutral
            {
                return Err(Error::new(format!("key {} is {value}; a model that needs it is not supported", self.key(key))));
            }
        }
        let container = self.container;
        let d_model = self.needed("embedding_length")?;
        let count = self.needed("block_count")?;
        // Every layer has tensors: a count that the file has no tensors for must not be allocated.
        if count > container.tensors.len() {
            let key = self.key("block_count");
            return Err(Error::new(format!("key {key} is {count}, but the file has only {} tensors", container.tensors.len())));
        }
        let heads = self.per_layer("attention.head_count", count)?.ok_or_else(|| missing(&self.key("attention.head_count")))?;
        let kv_heads = self.per_layer("attention.head_count_kv", count)?.unwrap_or_else(|| heads.clone());
        let d_ff = self.per_layer("feed_forward_length", count)?.ok_or_else(|| missing(&self.key("feed_forward_length")))?;
        let rope = self.rope()?;
        let windows = self.windows(count)?;
        let has = |name: &str| container.tensors.contains_key(name);
        let mut layers = Vec::new();
        for index in 0..count {
            let default = d_model.checked_div(heads[index]).unwrap_or(0);
            let geo = self.usize("attention.key_length")?.unwrap_or(default);
            let rotated = self.usize("rope.dimension_count")?.filter(|&rotated| rotated != geo);
            let rope = Rope { rotated, ..rope.clone() };
            let qk_norm = match self.family.qk_norm {
                QkNorm::None if has(&format!("blk.{index}.attn_q_norm.weight")) => QkNorm::Head,
                own => own,
            };
            let attention = Attention {
                qkv_bias: has(&format!("blk.{index}.attn_q.bias")) || has(&format!("blk.{index}.attn_qkv.bias")),
                out_bias: has(&format!("blk.{index}.attn_output.bias")),
                qk_norm,
                window: windows[index],
                value: self.usize("attention.value_length")?.unwrap_or(default),
                ..Attention::standard(heads[index], kv_heads[index], geo, Some(rope))
            };
            let Family { activation, operations, .. } = *self.family;
            layers.push(Layer { activation, operations, ..Layer::llama(attention, d_ff[index]) });
        }
        let vocab = container.tensors.get("token_embd.weight").map(Tensor::rows).or(self.usize("vocab_size")?);
        let token = |key: &str| -> Result<Option<u32>> { Ok(container.integer(key)?.and_then(|id| u32::try_from(id).ok())) };
        let mut eos = Vec::new();
        // The end of a text, of a turn and of a message; an instruction-tuned model ends its answer with either.
        for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
            eos.extend(token(key)?.filter(|id| !eos.contains(id)));
        }
        let mut architecture = Architecture {
            family: self.family.name.to_owned(),
            d_model,
            vocab: vocab.unwrap_or(0),
            context: self.needed("context_length")?,
            norm_eps: self
                .float("attention.layer_norm_rms_epsilon")?
                .ok_or_else(|| missing(&self.key("attention.layer_norm_rms_epsilon")))?,
            // llama.cpp's converter adds it to the weights.
            norm_offset: 0.0,
            embedding_scale: 1.0,
            logit_cap: None,
            tied_embeddings: !has("output.weight"),
            layers,
            bos: token("tokenizer.ggml.bos_token_id")?,
            eos,
        };
        (self.gguf.read)(self, &mut architecture)?;
        Ok(architecture)
    }

    /// The visible positions of each layer.
    fn windows(&self, count: usize) -> Result<Vec<Option<usize>>> {
        let window = self.usize("attention.sliding_window")?.filter(|&window| window > 0 && self.gguf.window != Window::None);
        let every = match self.gguf.window {
            Window::AllButEvery(every) if window.is_some() => Some(self.usize("attention.sliding_window_pattern")?.unwrap_or(every)),
            _ => None,
        };
        let has = |layer: usize| every.is_none_or(|every| !(layer + 1).is_multiple_of(every));
        Ok((0..count).map(|layer| window.filter(|_| has(layer))).collect())
    }

    /// Source: `llama_model::load_hparams` and `llama_context` of llama.cpp, `rope_yarn` of ggml.
    fn rope(&self) -> Result<Rope> {
        let base = self.float("rope.freq_base")?.unwrap_or(self.family.rope_base);
        let type_key = self.key("rope.scaling.type");
        let factor = self.float("rope.scaling.factor")?.or(self.float("rope.scale_linear")?).filter(|&factor| factor != 0.0);
        let needed = || factor.ok_or_else(|| missing(&self.key("rope.scaling.factor")));
        let original = || self.usize("rope.scaling.original_context_length")?.map_or_else(|| self.needed("context_length"), Ok);
        let factors = |name: &str| self.container.tensors.get(name).map(Tensor::to_f32);
        let stored = factors("rope_freqs.weight");
        let mut attention_factor =
            self.float("rope.scaling.attn_factor")?.unwrap_or(1.0) * self.float("rope.scaling.yarn_attn_factor")?.unwrap_or(1.0);
        let linear = |factor: Option<f32>| match (factor.filter(|&factor| factor != 1.0), stored.as_ref()) {
            (None, None) => RopeScaling::None,
            (Some(factor), None) => RopeScaling::Linear { factor },
            (factor, Some(stored)) => RopeScaling::Factors(stored.iter().map(|f| f * factor.unwrap_or(1.0)).collect()),
        };
        let scaling = match self.container.string(&type_key)? {
            None => linear(factor),
            Some("none") => linear(None),
            Some("linear") => linear(Some(needed()?)),
            Some("yarn") => {
                if stored.is_some() {
                    return Err(Error::new("it has YaRN and factors of its own (rope_freqs.weight), which is not supported")
                        .at(format!("key {type_key}")));
                }
                if let Some(mix) = self.float("rope.scaling.yarn_ext_factor")?.filter(|&mix| mix >= 0.0 && mix != 1.0) {
                    return Err(Error::new(format!("a mix of {mix} is not supported; 1 is"))
                        .at(format!("key {}", self.key("rope.scaling.yarn_ext_factor"))));
                }
                let factor = needed()?;
                attention_factor *= 1.0 + 0.1 * factor.max(1.0).ln();
                RopeScaling::Yarn {
                    factor,
                    beta_fast: self.float("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
                    beta_slow: self.float("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
                    original_context: original()?,
                    truncate: true,
                }
            }
            Some("longrope") => {
                let list = |name: &str| factors(name).ok_or_else(|| Error::new("it is missing").at(format!("tensor {name}")));
                RopeScaling::LongRope { short: list(SHORT_FACTORS)?, long: list(LONG_FACTORS)?, original_context: original()? }
            }
            Some(other) => return Err(unknown("RoPE scaling", other, ["none", "linear", "yarn", "longrope"]).at(format!("key {type_key}"))),
        };
        Ok(Rope { base, scaling, rotated: None, attention_factor })
    }
}

const LONG_FACTORS: &str = "rope_factors_long.weight";
const SHORT_FACTORS: &str = "rope_factors_short.weight";

fn missing(key: &str) -> Error {
    Error::new(format!("key {key} is missing"))
        .remedy("the file is damaged, or was made by an unfinished converter: make or fetch it again")
}

/// The file's tensors under canonical names, rotary pairs in our order; checked before anything is made of them. What has no canonical name
/// keeps its own, so that the check against the architecture names it.
fn canonical(container: &Container, keys: &Keys, architecture: &Architecture) -> Result<BTreeMap<String, Tensor>> {
    architecture.check()?;
    let mut tensors = BTreeMap::new();
    for (name, tensor) in &container.tensors {
        if matches!(name.as_str(), "rope_freqs.weight" | LONG_FACTORS | SHORT_FACTORS) {
            continue;
        }
        for (renamed, rows) in fused(name, tensor, architecture) {
            tensors.insert(renamed, tensor.part(rows).at(format!("tensor {name}"))?);
        }
        if !tensors.contains_key(name) && fused(name, tensor, architecture).is_empty() {
            tensors.insert(canonical_name(name, keys.gguf.names).unwrap_or_else(|| name.clone()), tensor.clone());
        }
    }
    architecture.check_tensors(tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice())))?;
    for (index, layer) in architecture.layers.iter().enumerate() {
        pairs::align(&layer.attention, index, keys.gguf.interleaved_pairs, &mut tensors)?;
    }
    Ok(tensors)
}

/// The parts of a tensor that llama.cpp keeps as one: queries, keys and values; gate and up. Nothing for any other.
fn fused(name: &str, tensor: &Tensor, architecture: &Architecture) -> Vec<(String, std::ops::Range<usize>)> {
    let layer = layer_of(name).and_then(|index| Some((index, architecture.layers.get(index)?)));
    let Some((index, layer)) = layer else { return Vec::new() };
    let (Some((part, kind)), Some(&rows)) = (name.splitn(3, '.').nth(2).and_then(|rest| rest.rsplit_once('.')), tensor.shape.first())
    else {
        return Vec::new();
    };
    let named = |part: &str| format!("model.layers.{index}.{part}.{kind}");
    let ends = layer.attention.fused_ends();
    match part {
        "attn_qkv" if rows == ends[2] => {
            vec![
                (named("self_attn.q_proj"), 0..ends[0]),
                (named("self_attn.k_proj"), ends[0]..ends[1]),
                (named("self_attn.v_proj"), ends[1]..ends[2]),
            ]
        }
        "ffn_up" if rows == 2 * layer.d_ff => {
            vec![(named("mlp.gate_proj"), 0..layer.d_ff), (named("mlp.up_proj"), layer.d_ff..rows)]
        }
        _ => Vec::new(),
    }
}

fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("blk.")?.split_once('.')?.0.parse().ok()
}

/// `own`: the names of blocks that differ from those of a Llama.
fn canonical_name(name: &str, own: &[(&str, &str)]) -> Option<String> {
    let whole = match name {
        "token_embd.weight" => Some("model.embed_tokens.weight"),
        "output_norm.weight" => Some("model.norm.weight"),
        "output.weight" => Some("lm_head.weight"),
        _ => None,
    };
    if let Some(whole) = whole {
        return Some(whole.to_owned());
    }
    let (index, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let (block, kind) = rest.rsplit_once('.')?;
    if let Some((_, ours)) = own.iter().find(|(theirs, _)| *theirs == block) {
        return Some(format!("model.layers.{index}.{ours}.{kind}"));
    }
    let block = match block {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "ffn_norm" => "post_attention_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return None,
    };
    Some(format!("model.layers.{index}.{block}.{kind}"))
}

#[cfg(test)]
mod tests;
