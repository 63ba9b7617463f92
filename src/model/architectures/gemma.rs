//! Gemma 2 and 3 (text): norms that multiply by `1 + w` before and after each block, GeGLU, embeddings times `sqrt(d_model)`, windows by
//! layer. Gemma 2 caps scores and logits; Gemma 3 has norms of queries and keys, and a RoPE of its own for windowed layers.
//!
//! Sources: `modeling_gemma2.py` and `modeling_gemma3.py` of `transformers`; `load_hparams` of llama.cpp.

use super::super::{Family, GGUF, Gguf, LLAMA, Window};
use crate::error::Result;
use crate::model::architecture::{Architecture, QkNorm};
use crate::model::operations::{Activation, Operation};
use crate::model::rope::{Rope, RopeScaling};
use crate::model::section::Section;

const LAYER: &[Operation] = &[
    Operation::Norm("input_layernorm"),
    Operation::Attention,
    Operation::Norm("post_attention_layernorm"),
    Operation::Add,
    Operation::Norm("pre_feedforward_layernorm"),
    Operation::Mlp,
    Operation::Norm("post_feedforward_layernorm"),
    Operation::Add,
];

const GEMMA: Family = Family {
    operations: LAYER,
    activation: Activation::GeluTanh,
    norm_offset: 1.0,
    head_size: Some(256),
    kv_heads: Some(4),
    tied_embeddings: true,
    default_window: Some(4096),
    ..LLAMA
};

/// llama.cpp's converter adds 1 to the weights of norms, and knows the distance between layers that see everything.
const GEMMA_GGUF: Gguf = Gguf {
    names: &[
        ("post_attention_norm", "post_attention_layernorm"),
        ("ffn_norm", "pre_feedforward_layernorm"),
        ("post_ffw_norm", "post_feedforward_layernorm"),
    ],
    keys: &["attn_logit_softcapping", "final_logit_softcapping"],
    ..GGUF
};

pub const FAMILIES: &[Family] = &[
    Family {
        name: "gemma2",
        models: "Gemma 2 (2B, 9B, 27B)",
        about: "norms before and after each block, GeGLU, a sliding window in every other layer, soft caps of scores and logits",
        window: Window::AllButEvery(2),
        config: |config, architecture| {
            scaled(architecture, config.float("query_pre_attn_scalar")?.unwrap_or(256.0));
            capped(config, architecture, Some(50.0), Some(30.0))
        },
        gguf: Some(Gguf {
            name: "gemma2",
            window: Window::AllButEvery(2),
            read: |keys, architecture| {
                // 27B divides by the width of the model over its heads, the others by the head size.
                by_size(architecture, 46);
                caps(
                    architecture,
                    keys.float("attn_logit_softcapping")?.or(Some(50.0)),
                    keys.float("final_logit_softcapping")?.or(Some(30.0)),
                );
                Ok(())
            },
            ..GEMMA_GGUF
        }),
        ..GEMMA
    },
    Family {
        name: "gemma3_text",
        models: "Gemma 3 (270M, 1B, and the text models of the larger ones)",
        about: "norms before and after each block and of queries and keys, GeGLU, a sliding window with a RoPE of its own in five of six layers",
        qk_norm: QkNorm::Head,
        rope_base: 1_000_000.0,
        window: Window::AllButEvery(6),
        config: |config, architecture| {
            scaled(architecture, config.float("query_pre_attn_scalar")?.unwrap_or(256.0));
            // The older generation of keys has the base of windowed layers beside that of the others, which alone are scaled.
            if let Some(base) = config.float("rope_local_base_freq")?.or((!config.has("rope_parameters")).then_some(LOCAL_BASE)) {
                local_rope(architecture, base);
            }
            capped(config, architecture, None, None)
        },
        gguf: Some(Gguf {
            name: "gemma3",
            window: Window::AllButEvery(6),
            read: |keys, architecture| {
                by_size(architecture, 62);
                caps(architecture, keys.float("attn_logit_softcapping")?, keys.float("final_logit_softcapping")?);
                local_rope(architecture, keys.float("rope.freq_base_swa")?.unwrap_or(LOCAL_BASE));
                Ok(())
            },
            ..GEMMA_GGUF
        }),
        ..GEMMA
    },
];

/// The base of RoPE in windowed layers.
const LOCAL_BASE: f32 = 10_000.0;

/// Scores are divided by the root of `divided_by`; and embeddings are multiplied by that of the width of the model.
fn scaled(architecture: &mut Architecture, divided_by: f32) {
    architecture.embedding_scale = (architecture.d_model as f32).sqrt();
    for layer in &mut architecture.layers {
        layer.attention.scale = (divided_by != layer.attention.geo as f32).then(|| 1.0 / divided_by.sqrt());
    }
}

/// What scores are divided by is not among llama.cpp's keys: it follows from the number of layers.
fn by_size(architecture: &mut Architecture, largest: usize) {
    let attention = architecture.layers.first().map(|layer| (layer.attention.geo, layer.attention.heads));
    let (head_size, heads) = attention.unwrap_or((1, 1));
    let divided_by = if architecture.layers.len() == largest { architecture.d_model as f32 / heads as f32 } else { head_size as f32 };
    scaled(architecture, divided_by);
}

fn local_rope(architecture: &mut Architecture, base: f32) {
    for layer in architecture.layers.iter_mut().filter(|layer| layer.attention.window.is_some()) {
        layer.attention.rope = Some(Rope::new(base, RopeScaling::None));
    }
}

/// An absent key is the family's default; `null` is none.
fn capped(config: Section, architecture: &mut Architecture, scores: Option<f32>, logits: Option<f32>) -> Result<()> {
    let read = |key: &str, default: Option<f32>| if config.has(key) { config.float(key) } else { Ok(default) };
    caps(architecture, read("attn_logit_softcapping", scores)?, read("final_logit_softcapping", logits)?);
    Ok(())
}

fn caps(architecture: &mut Architecture, scores: Option<f32>, logits: Option<f32>) {
    let there = |cap: Option<f32>| cap.filter(|&cap| cap != 0.0);
    architecture.logit_cap = there(logits);
    architecture.layers.iter_mut().for_each(|layer| layer.attention.score_cap = there(scores));
}
