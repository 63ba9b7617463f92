//! Mistral: a Llama whose queries look back a bounded way.
//!
//! Source: `modeling_mistral.py` of `transformers`.

use super::super::{Family, LLAMA, Window};

pub const FAMILIES: &[Family] = &[Family {
    name: "mistral",
    models: "Mistral 7B, Mistral Nemo, Mistral Small (text)",
    about: "a sliding window in every layer",
    optional_bias: false,
    kv_heads: Some(8),
    window: Window::All,
    ..LLAMA
}];
