//! Qwen 2 and 3, dense.
//!
//! Source: `modeling_qwen2.py` and `modeling_qwen3.py` of `transformers`.

use super::super::{Family, GGUF, Gguf, LLAMA, Window};
use crate::model::architecture::QkNorm;

pub const FAMILIES: &[Family] = &[
    Family {
        name: "qwen2",
        models: "Qwen 2 and 2.5",
        about: "biases on queries, keys and values; a sliding window in the upper layers if asked for",
        optional_bias: false,
        qkv_bias: true,
        window: Window::Upper,
        gguf: Some(Gguf { name: "qwen2", ..GGUF }),
        ..LLAMA
    },
    Family {
        name: "qwen3",
        models: "Qwen 3, dense",
        about: "norms of queries and keys over each head; a sliding window in the upper layers if asked for",
        qk_norm: QkNorm::Head,
        head_size: Some(128),
        window: Window::Upper,
        gguf: Some(Gguf { name: "qwen3", ..GGUF }),
        ..LLAMA
    },
];
