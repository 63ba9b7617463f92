//! The architectures: a file each, from what a configuration or a GGUF says to layers as lists of operations with named tensors.
//!
//! What nearly all of them have in common (sizes, RoPE, windows, tied heads) is read by [`huggingface::config`](super::huggingface) and
//! [`gguf`](super::gguf) with the defaults of a [`Family`]; its functions add what is its own. A new architecture is a new file here, with
//! a list `FAMILIES`: `build.rs` finds it.

use super::architecture::{Architecture, QkNorm};
use super::gguf::Keys;
use super::operations::{Activation, Operation, PRE_NORM};
use super::section::Section;
use crate::error::Result;

mod files {
    include!(concat!(env!("OUT_DIR"), "/architectures.rs"));
}

/// What a `model_type` implies.
pub struct Family {
    /// `model_type` in a config.json.
    pub name: &'static str,
    /// Models that are of it, for the documentation.
    pub models: &'static str,
    /// What it has beside the layer of a Llama, for the documentation.
    pub about: &'static str,
    pub operations: &'static [Operation],
    /// Where the configuration doesn't say.
    pub activation: Activation,
    pub norm_offset: f32,
    /// `attention_bias` may give all four projections a bias.
    pub optional_bias: bool,
    /// Q, K and V have a bias, O has none, whatever the configuration says.
    pub qkv_bias: bool,
    pub qk_norm: QkNorm,
    /// Values of absent keys (the defaults of `transformers`).
    pub head_size: Option<usize>,
    pub kv_heads: Option<usize>,
    pub norm_eps: f32,
    pub tied_embeddings: bool,
    pub rope_base: f32,
    pub window: Window,
    /// `sliding_window` where the key is absent (`null` means none).
    pub default_window: Option<usize>,
    /// A part of each head may be rotated.
    pub partial_rotation: bool,
    /// Sets what the configuration says beyond that.
    pub config: fn(Section, &mut Architecture) -> Result<()>,
    /// How llama.cpp keeps it; `None`: only directories are read.
    pub gguf: Option<Gguf>,
}

/// What llama.cpp does with a family's weights when it converts them, and which of its keys count.
pub struct Gguf {
    /// `general.architecture`.
    pub name: &'static str,
    /// Rows of Q and K are stored so that the two elements of a rotary pair are neighbours (`LlamaModel.permute`).
    pub interleaved_pairs: bool,
    /// `attention.sliding_window` is heeded.
    pub window: Window,
    /// Names of blocks that differ from those of a Llama: theirs, ours.
    pub names: &'static [(&'static str, &'static str)],
    /// Keys that change the computation, and that the family's own function reads.
    pub keys: &'static [&'static str],
    /// Sets what the keys say beyond those of a Llama.
    pub read: fn(&Keys, &mut Architecture) -> Result<()>,
}

/// Which layers the sliding window concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    None,
    All,
    /// Those from `max_window_layers` on, if `use_sliding_window` is true.
    Upper,
    /// All but every n-th one; `sliding_window_pattern` or `layer_types` may say otherwise.
    AllButEvery(usize),
}

/// A Llama: what the others differ from.
pub const LLAMA: Family = Family {
    name: "llama",
    models: "",
    about: "",
    operations: PRE_NORM,
    activation: Activation::Silu,
    norm_offset: 0.0,
    optional_bias: true,
    qkv_bias: false,
    qk_norm: QkNorm::None,
    head_size: None,
    kv_heads: None,
    norm_eps: 1e-6,
    tied_embeddings: false,
    rope_base: 10_000.0,
    window: Window::None,
    default_window: Some(4096),
    partial_rotation: false,
    config: |_, _| Ok(()),
    gguf: None,
};

/// The keys and names of a Llama's GGUF, rows of queries and keys as they are in other files.
pub const GGUF: Gguf = Gguf { name: "llama", interleaved_pairs: false, window: Window::None, names: &[], keys: &[], read: |_, _| Ok(()) };

/// Every family, in the order of their files.
pub fn families() -> impl Iterator<Item = &'static Family> {
    files::FILES.iter().copied().flatten()
}

/// The page that lists the architectures and what of each is supported: made from the table, so that it can't say anything else.
pub fn documentation() -> String {
    let mut page = String::from(PAGE);
    for family in families() {
        let gguf = family.gguf.as_ref().map_or_else(|| "-".to_owned(), |gguf| format!("`{}`", gguf.name));
        page += &format!("| `{}` | {gguf} | {} | {} |\n", family.name, family.models, family.about);
    }
    page + REFUSED
}

const PAGE: &str = "# Architectures

This page is made from the table in `src/model/architectures` (`CARAMBA_UPDATE_DOCS=1 cargo test --test architectures` makes it again). A file there is an
architecture: from its configuration to its layers, each a list of operations with named tensors. Every one is held against `transformers`: logits of a tiny
random model within 1e-3 of the largest (`tests/architectures.rs`), on the device; then with an fp16 cache, and with quantised ones the plain Llama and those
that keep something of their own in the cache, against the same sums with keys and values rounded.

What all of them share: RMSNorm, a gated MLP, grouped heads, RoPE with every scaling of `transformers` (linear, dynamic, YaRN, LongRoPE, Llama 3), tied or own
heads. Directories of `config.json` and safetensors are opened by `model_type`, GGUF files by `general.architecture`.

| `model_type` | GGUF | models | what it has beside the layer of a Llama |
|---|---|---|---|
";

const REFUSED: &str = "
Refused by name: mixtures of experts, biases in MLPs, recurrent layers, encoders, and any configuration key that would change what is computed in a way that
the runtime doesn't have.
";
