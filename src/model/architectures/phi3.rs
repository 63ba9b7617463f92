//! Phi-3 and Phi-4-mini. Their fused projections (`qkv_proj`, `gate_up_proj`) are taken apart by the readers.
//!
//! Source: `modeling_phi3.py` of `transformers`.

use super::super::{Family, GGUF, Gguf, LLAMA, Window};

pub const FAMILIES: &[Family] = &[Family {
    name: "phi3",
    models: "Phi-3 mini and medium, Phi-3.5 mini, Phi-4, Phi-4-mini",
    about: "fused projections, LongRoPE, RoPE on a part of each head, a sliding window",
    optional_bias: false,
    window: Window::All,
    default_window: None,
    partial_rotation: true,
    gguf: Some(Gguf { name: "phi3", window: Window::All, ..GGUF }),
    ..LLAMA
}];
