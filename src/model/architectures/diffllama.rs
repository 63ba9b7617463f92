//! DiffLlama: a Llama whose attention is the difference of two softmaxes.
//!
//! Source: `modeling_diffllama.py` of `transformers`; T. Ye and others, "Differential Transformer", 2024.

use super::super::{Family, LLAMA};
use crate::error::{At, Result};
use crate::model::architecture::Attention;

pub const FAMILIES: &[Family] = &[Family {
    name: "diffllama",
    models: "DiffLlama",
    about: "differential attention: two softmaxes, a learned lambda, a norm of their difference",
    norm_eps: 1e-5,
    optional_bias: false,
    config: |_, architecture| differential(&mut architecture.layers.iter_mut().map(|layer| &mut layer.attention)),
    ..LLAMA
}];

fn differential(attentions: &mut dyn Iterator<Item = &mut Attention>) -> Result<()> {
    for (index, attention) in attentions.enumerate() {
        *attention = attention.differential(index).at(format!("layer {index}"))?;
    }
    Ok(())
}
