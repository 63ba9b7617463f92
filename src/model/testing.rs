//! Small models for tests.

use super::architecture::{Architecture, Attention, Gate, Layer};
use super::rope::{Rope, RopeScaling};
use super::tensor::Tensor;
use std::collections::BTreeMap;

/// A standard model of two layers: 3 heads of 4, sharing one key/value head.
pub(crate) fn standard() -> Architecture {
    let rope = Rope::new(10_000.0, RopeScaling::None);
    let layer = Layer::llama(Attention::standard(3, 1, 4, Some(rope)), 10);
    Architecture {
        family: "llama".into(),
        d_model: 12,
        vocab: 7,
        context: 64,
        norm_eps: 1e-5,
        norm_offset: 0.0,
        embedding_scale: 1.0,
        logit_cap: None,
        tied_embeddings: false,
        layers: vec![layer; 2],
        bos: Some(1),
        eos: vec![2],
    }
}

/// A student with every option on: 4 heads that share 2 key/value heads.
pub(crate) fn student() -> Architecture {
    let rope = Rope::new(500_000.0, RopeScaling::None);
    let attention = Attention {
        decoupled: true,
        sem: 2,
        value: 3,
        rope_semantic: true,
        gate: Gate::Dynamic,
        learned_temp: true,
        null_attn: true,
        ..Attention::standard(4, 2, 6, Some(rope))
    };
    Architecture { layers: vec![Layer::llama(attention, 10); 3], ..standard() }
}

/// The tensors of an architecture, each element another number.
pub(crate) fn tensors(architecture: &Architecture) -> BTreeMap<String, Tensor> {
    let mut next = 0.0f32;
    let mut number = move || {
        next += 1.0;
        (next * 0.37).sin()
    };
    let made = architecture.tensors().into_iter().map(|(name, shape)| {
        let values = (0..shape.iter().product()).map(|_| number()).collect();
        (name, Tensor::from_f32(shape, values).unwrap())
    });
    made.collect()
}
