//! GGUF files: llama.cpp's keys and tensor names to our architecture and canonical names.
//!
//! Sources: llama.cpp's `convert_hf_to_gguf.py` (what was done to the weights), `gguf.constants` and `gguf.tensor_mapping` (names).

#[cfg(test)]
mod build;
mod container;
mod vocabulary;

use super::architecture::{Architecture, Attention, Layer, Rope, RopeScaling};
use super::tensor::{Bytes, Tensor};
use super::{Model, ReadTokenizer, file};
use crate::error::{At, Error, Result, unknown};
use container::Container;
use std::collections::BTreeMap;
use std::path::Path;

/// How a file of this type begins.
pub(super) const MAGIC: &[u8; 4] = container::MAGIC;

/// What llama.cpp does with an architecture's weights when it converts them.
struct Family {
    /// `general.architecture`.
    name: &'static str,
    /// Rows of Q and K are stored so that the two elements of a rotary pair are neighbours (`LlamaModel.permute`).
    interleaved_pairs: bool,
}

/// Mistral, SmolLM and SmolLM2 call themselves `llama` in this format.
const FAMILIES: &[Family] = &[
    Family { name: "llama", interleaved_pairs: true },
    Family { name: "qwen2", interleaved_pairs: false },
    Family { name: "qwen3", interleaved_pairs: false },
];

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
];

/// Reads the GGUF file at `path`.
pub(super) fn open(path: &Path) -> Result<Model> {
    let bytes = file::map(path)?;
    let (architecture, tensors, tokenizer) = read(bytes).at(path.display())?;
    Model::new(path, vec![path.to_owned()], architecture, tensors, tokenizer).at(path.display())
}

type Parts = (Architecture, BTreeMap<String, Tensor>, ReadTokenizer);

fn read(bytes: Bytes) -> Result<Parts> {
    let container = Container::parse(bytes)?;
    if container.integer("split.count")?.is_some_and(|count| count > 1) {
        return Err(
            Error::new("this is one of several files that a model was split into").remedy("join them with llama-gguf-split --merge")
        );
    }
    let keys = Keys::new(&container)?;
    let architecture = keys.architecture()?;
    let tensors = canonical(&container, &keys, &architecture)?;
    Ok((architecture, tensors, Box::new(move || vocabulary::tokenizer(&container))))
}

/// The keys of one architecture (`llama.block_count` is `block_count` here).
struct Keys<'a> {
    container: &'a Container,
    family: &'static Family,
}

impl<'a> Keys<'a> {
    fn new(container: &'a Container) -> Result<Keys<'a>> {
        let name = container.string("general.architecture")?.ok_or_else(|| missing("general.architecture"))?;
        let family = FAMILIES.iter().find(|family| family.name == name);
        let family = family.ok_or_else(|| unknown("architecture", name, FAMILIES.iter().map(|family| family.name)))?;
        Ok(Keys { container, family })
    }

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.family.name)
    }

    fn usize(&self, key: &str) -> Result<Option<usize>> {
        Ok(self.container.integer(&self.key(key))?.map(|number| number as usize))
    }

    fn needed(&self, key: &str) -> Result<usize> {
        self.usize(key)?.ok_or_else(|| missing(&self.key(key)))
    }

    fn float(&self, key: &str) -> Result<Option<f32>> {
        Ok(self.container.float(&self.key(key))?.map(|number| number as f32))
    }

    fn per_layer(&self, key: &str, layers: usize) -> Result<Option<Vec<usize>>> {
        let each = self.container.integer_per_layer(&self.key(key), layers)?;
        Ok(each.map(|each| each.into_iter().map(|number| number as usize).collect()))
    }

    fn architecture(&self) -> Result<Architecture> {
        for (key, neutral) in NEUTRAL {
            if let Some(value) = self.container.float(&self.key(key))?
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
        let has = |name: &str| container.tensors.contains_key(name);
        let mut layers = Vec::new();
        for index in 0..count {
            let default = d_model.checked_div(heads[index]).unwrap_or(0);
            let geo = self.usize("attention.key_length")?.unwrap_or(default);
            let rotated = self.usize("rope.dimension_count")?.unwrap_or(geo);
            if rotated != geo {
                let key = self.key("rope.dimension_count");
                return Err(Error::new(format!(
                    "key {key} is {rotated}, expected the whole head of {geo}: partial rotation is not supported"
                )));
            }
            layers.push(Layer {
                attention: Attention {
                    qkv_bias: has(&format!("blk.{index}.attn_q.bias")),
                    out_bias: has(&format!("blk.{index}.attn_output.bias")),
                    qk_norm: has(&format!("blk.{index}.attn_q_norm.weight")),
                    window: self.usize("attention.sliding_window")?.filter(|&window| window > 0),
                    value: self.usize("attention.value_length")?.unwrap_or(default),
                    ..Attention::standard(heads[index], kv_heads[index], geo, Some(rope.clone()))
                },
                d_ff: d_ff[index],
            });
        }
        let vocab = container.tensors.get("token_embd.weight").map(Tensor::rows).or(self.usize("vocab_size")?);
        let token = |key: &str| -> Result<Option<u32>> { Ok(container.integer(key)?.and_then(|id| u32::try_from(id).ok())) };
        let mut eos = Vec::new();
        // The end of a text, of a turn and of a message; an instruction-tuned model ends its answer with either.
        for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
            eos.extend(token(key)?.filter(|id| !eos.contains(id)));
        }
        Ok(Architecture {
            family: self.family.name.to_owned(),
            d_model,
            vocab: vocab.unwrap_or(0),
            context: self.needed("context_length")?,
            norm_eps: self
                .float("attention.layer_norm_rms_epsilon")?
                .ok_or_else(|| missing(&self.key("attention.layer_norm_rms_epsilon")))?,
            tied_embeddings: !has("output.weight"),
            layers,
            bos: token("tokenizer.ggml.bos_token_id")?,
            eos,
        })
    }

    fn rope(&self) -> Result<Rope> {
        let base = self.float("rope.freq_base")?.unwrap_or(10_000.0);
        let type_key = self.key("rope.scaling.type");
        let linear = match self.container.string(&type_key)? {
            None => self.float("rope.scaling.factor")?.or(self.float("rope.scale_linear")?),
            Some("none") => None,
            Some("linear") => Some(self.float("rope.scaling.factor")?.ok_or_else(|| missing(&self.key("rope.scaling.factor")))?),
            Some(other) => return Err(unknown("RoPE scaling", other, ["none", "linear"]).at(format!("key {type_key}"))),
        };
        let factors = self.container.tensors.get("rope_freqs.weight").map(Tensor::to_f32);
        let scaling = match (linear.filter(|&factor| factor != 1.0), factors) {
            (None, None) => RopeScaling::None,
            (Some(factor), None) => RopeScaling::Linear { factor },
            (linear, Some(factors)) => RopeScaling::Factors(factors.iter().map(|f| f * linear.unwrap_or(1.0)).collect()),
        };
        Ok(Rope { base, scaling })
    }
}

fn missing(key: &str) -> Error {
    Error::new(format!("key {key} is missing"))
        .remedy("the file is damaged, or was made by an unfinished converter: make or fetch it again")
}

/// The file's tensors under canonical names, rotary pairs in the Hugging Face order. What has no canonical name keeps its own, so that
/// the check against the architecture names it.
fn canonical(container: &Container, keys: &Keys, architecture: &Architecture) -> Result<BTreeMap<String, Tensor>> {
    let mut tensors = BTreeMap::new();
    for (name, tensor) in &container.tensors {
        if name == "rope_freqs.weight" {
            continue;
        }
        let renamed = canonical_name(name).unwrap_or_else(|| name.clone());
        let heads = layer_of(name).and_then(|index| architecture.layers.get(index)).map(|layer| &layer.attention);
        let heads = heads.filter(|_| keys.family.interleaved_pairs).and_then(|attention| match () {
            () if name.contains(".attn_q.") => Some(attention.heads),
            () if name.contains(".attn_k.") => Some(attention.kv_heads),
            () => None,
        });
        let tensor = match heads {
            Some(heads) => halves_from_pairs(tensor, heads).at(format!("tensor {name}"))?,
            None => tensor.clone(),
        };
        tensors.insert(renamed, tensor);
    }
    Ok(tensors)
}

fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("blk.")?.split_once('.')?.0.parse().ok()
}

fn canonical_name(name: &str) -> Option<String> {
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

/// Undoes `LlamaModel.permute`: within a head of width `w`, stored row `2 i + j` is row `i + j w / 2`.
///
/// A shape that doesn't fit the heads is left as it is: the check against the architecture names it.
fn halves_from_pairs(tensor: &Tensor, heads: usize) -> Result<Tensor> {
    let rows = *tensor.shape.first().unwrap_or(&0);
    let width = rows.checked_div(heads).unwrap_or(0);
    if width * heads != rows || !width.is_multiple_of(2) || u32::try_from(rows).is_err() {
        return Ok(tensor.clone());
    }
    let stored = |row: usize| row / width * width + row % width % (width / 2) * 2 + row % width / (width / 2);
    if tensor.shape.len() == 2 {
        let order: Vec<u32> = (0..rows).map(|row| stored(row) as u32).collect();
        return tensor.reordered(&order);
    }
    // A bias: short enough to be copied.
    let values = tensor.to_f32();
    Tensor::from_f32(tensor.shape.clone(), (0..rows).map(|row| values[stored(row)]).collect())
}

#[cfg(test)]
mod tests;
