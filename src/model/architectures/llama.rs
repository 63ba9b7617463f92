//! Llama: the architecture that the others differ from.
//!
//! Source: `modeling_llama.py` of `transformers`.

use super::super::{Family, GGUF, Gguf, LLAMA};

pub const FAMILIES: &[Family] = &[Family {
    models: "Llama 1 to 3.2, SmolLM, SmolLM2, and students of this project",
    about: "RMSNorm before each block, grouped heads, RoPE, SwiGLU",
    // Mistral, SmolLM and SmolLM2 call themselves `llama` in this format.
    gguf: Some(Gguf { interleaved_pairs: true, ..GGUF }),
    ..LLAMA
}];
