//! OLMo 2: norms after the blocks instead of before them, and norms of queries and keys over all heads at once.
//!
//! Source: `modeling_olmo2.py` of `transformers`.

use super::super::{Family, GGUF, Gguf, LLAMA};
use crate::model::architecture::QkNorm;
use crate::model::operations::Operation;

const LAYER: &[Operation] = &[
    Operation::Attention,
    Operation::Norm("post_attention_layernorm"),
    Operation::Add,
    Operation::Mlp,
    Operation::Norm("post_feedforward_layernorm"),
    Operation::Add,
];

pub const FAMILIES: &[Family] = &[Family {
    name: "olmo2",
    models: "OLMo 2 (1B, 7B, 13B, 32B)",
    about: "norms after each block, norms of queries and keys over all heads",
    operations: LAYER,
    qk_norm: QkNorm::All,
    norm_eps: 1e-5,
    gguf: Some(Gguf {
        name: "olmo2",
        names: &[("post_attention_norm", "post_attention_layernorm"), ("post_ffw_norm", "post_feedforward_layernorm")],
        ..GGUF
    }),
    ..LLAMA
}];
