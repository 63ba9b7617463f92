//! GGUF files made by tests, right and wrong ones.

use crate::model::tensor::{Bytes, DataType, Tensor};
use crate::model::{QkNorm, testing};
use std::sync::Arc;

/// Keys and tensors in the order in which they are to stand in the file.
#[derive(Clone, Default)]
pub(super) struct Builder {
    pub version: u32,
    pub keys: Vec<(String, Vec<u8>)>,
    /// Name, shape as `[rows, columns]`, ggml's type, data.
    pub tensors: Vec<(String, Vec<usize>, u32, Vec<u8>)>,
}

/// A length and the bytes.
fn text(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_le_bytes()[..], bytes].concat()
}

fn array(kind: u32, elements: &[Vec<u8>]) -> Vec<u8> {
    [&9u32.to_le_bytes()[..], &kind.to_le_bytes(), &(elements.len() as u64).to_le_bytes(), &elements.concat()].concat()
}

impl Builder {
    /// Any value: its type's number and its bytes. A key that is there already is changed.
    pub fn raw(mut self, key: &str, value: Vec<u8>) -> Builder {
        match self.keys.iter_mut().find(|(known, _)| known == key) {
            Some(entry) => entry.1 = value,
            None => self.keys.push((key.to_owned(), value)),
        }
        self
    }

    pub fn without(mut self, key: &str) -> Builder {
        self.keys.retain(|(known, _)| known != key);
        self
    }

    pub fn integer(self, key: &str, value: u32) -> Builder {
        self.raw(key, [&4u32.to_le_bytes()[..], &value.to_le_bytes()].concat())
    }

    pub fn float(self, key: &str, value: f32) -> Builder {
        self.raw(key, [&6u32.to_le_bytes()[..], &value.to_le_bytes()].concat())
    }

    pub fn bool(self, key: &str, value: bool) -> Builder {
        self.raw(key, [&7u32.to_le_bytes()[..], &[u8::from(value)]].concat())
    }

    pub fn string(self, key: &str, value: &str) -> Builder {
        self.raw(key, [&8u32.to_le_bytes()[..], &text(value.as_bytes())].concat())
    }

    pub fn strings(self, key: &str, values: &[String]) -> Builder {
        self.raw(key, array(8, &values.iter().map(|value| text(value.as_bytes())).collect::<Vec<_>>()))
    }

    pub fn integers(self, key: &str, values: &[i32]) -> Builder {
        self.raw(key, array(5, &values.iter().map(|value| value.to_le_bytes().to_vec()).collect::<Vec<_>>()))
    }

    pub fn floats(self, key: &str, values: &[f32]) -> Builder {
        self.raw(key, array(6, &values.iter().map(|value| value.to_le_bytes().to_vec()).collect::<Vec<_>>()))
    }

    pub fn tensor(mut self, name: &str, shape: &[usize], values: &[f32]) -> Builder {
        self.tensors.retain(|(known, ..)| known != name);
        self.tensors.push((name.to_owned(), shape.to_vec(), 0, values.iter().flat_map(|value| value.to_le_bytes()).collect()));
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut file = [&b"GGUF"[..], &self.version.to_le_bytes()].concat();
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.keys.len() as u64).to_le_bytes());
        for (key, value) in &self.keys {
            file.extend([text(key.as_bytes()), value.clone()].concat());
        }
        let mut data = Vec::new();
        for (name, shape, kind, bytes) in &self.tensors {
            file.extend(text(name.as_bytes()));
            file.extend((shape.len() as u32).to_le_bytes());
            shape.iter().rev().for_each(|&size| file.extend((size as u64).to_le_bytes()));
            file.extend(kind.to_le_bytes());
            file.extend((data.len() as u64).to_le_bytes());
            data.extend(bytes);
            data.resize(data.len().next_multiple_of(32), 0);
        }
        file.resize(file.len().next_multiple_of(32), 0);
        [file, data].concat()
    }

    pub fn mapped(&self) -> Bytes {
        Arc::new(self.bytes())
    }
}

/// The keys of [`testing::standard`] as `family`, without tensors.
fn keys(family: &str) -> Builder {
    let key = |key: &str| format!("{family}.{key}");
    Builder { version: 3, ..Builder::default() }
        .string("general.architecture", family)
        .integer(&key("embedding_length"), 12)
        .integer(&key("block_count"), 2)
        .integer(&key("context_length"), 64)
        .integer(&key("feed_forward_length"), 10)
        .integer(&key("attention.head_count"), 3)
        .integer(&key("attention.head_count_kv"), 1)
        .float(&key("attention.layer_norm_rms_epsilon"), 1e-5)
        .integer("tokenizer.ggml.bos_token_id", 1)
        .integer("tokenizer.ggml.eos_token_id", 2)
}

/// [`testing::standard`] with [`testing::tensors`] as `family`, its tensors named and their rows ordered as llama.cpp's converter does.
pub(super) fn model(family: &str) -> Builder {
    let mut architecture = testing::standard();
    for layer in &mut architecture.layers {
        layer.attention.qkv_bias = family == "qwen2";
        layer.attention.qk_norm = if family == "qwen3" { QkNorm::Head } else { QkNorm::None };
    }
    let mut builder = keys(family);
    for (name, tensor) in testing::tensors(&architecture) {
        let heads = match name.as_str() {
            name if family == "llama" && name.contains("q_proj") => 3,
            name if family == "llama" && name.contains("k_proj") => 1,
            _ => 0,
        };
        let values = if heads > 0 { permuted(&tensor, heads) } else { tensor.to_f32() };
        builder = builder.tensor(&ggml_name(&name), &tensor.shape, &values);
    }
    builder
}

/// `LlamaModel.permute` of llama.cpp's converter, in its own words:
/// `weights.reshape(n_head, 2, weights.shape[0] // n_head // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)`
fn permuted(tensor: &Tensor, heads: usize) -> Vec<f32> {
    assert_eq!(tensor.data_type, DataType::F32);
    let (rows, columns) = (tensor.rows(), tensor.columns());
    let (values, half) = (tensor.to_f32(), rows / heads / 2);
    let mut out = Vec::new();
    for head in 0..heads {
        for i in 0..half {
            for side in 0..2 {
                let row = (head * 2 + side) * half + i;
                out.extend(&values[row * columns..(row + 1) * columns]);
            }
        }
    }
    out
}

fn ggml_name(name: &str) -> String {
    let pairs = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("model.layers.", "blk."),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.q_norm", "attn_q_norm"),
        ("self_attn.k_norm", "attn_k_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    pairs.iter().fold(name.to_owned(), |name, (ours, theirs)| name.replace(ours, theirs))
}
