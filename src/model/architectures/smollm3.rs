//! SmolLM3: a Llama some of whose layers don't rotate (B. Yang and others, "RoPE to NoPE and Back Again", 2025).
//!
//! Source: `modeling_smollm3.py` of `transformers`; `llama_model_smollm3` of llama.cpp.

use super::super::{Family, GGUF, Gguf, LLAMA};
use crate::error::{Error, Result, unknown};
use crate::model::architecture::Architecture;
use crate::model::section::Section;

/// Every fourth layer, unless a configuration says otherwise; llama.cpp knows no other distance.
const INTERVAL: usize = 4;

pub const FAMILIES: &[Family] = &[Family {
    name: "smollm3",
    models: "SmolLM3 3B",
    about: "no RoPE in every fourth layer; a sliding window in those if asked for",
    tied_embeddings: true,
    rope_base: 2_000_000.0,
    kv_heads: Some(4),
    config,
    gguf: Some(Gguf {
        name: "smollm3",
        // Its converter is that of Llama, in layers that don't rotate too.
        interleaved_pairs: true,
        read: |_, architecture| {
            let rotates = all_but_every(INTERVAL, architecture.layers.len());
            set(architecture, &rotates, |_| None);
            Ok(())
        },
        ..GGUF
    }),
    ..LLAMA
}];

fn all_but_every(interval: usize, count: usize) -> Vec<bool> {
    (1..=count).map(|layer| !layer.is_multiple_of(interval)).collect()
}

fn set(architecture: &mut Architecture, rotates: &[bool], window: impl Fn(usize) -> Option<usize>) {
    for (index, (layer, rotates)) in architecture.layers.iter_mut().zip(rotates).enumerate() {
        layer.attention.window = window(index);
        if !rotates {
            layer.attention.rope = None;
        }
    }
}

fn config(config: Section, architecture: &mut Architecture) -> Result<()> {
    let count = architecture.layers.len();
    let each = |key: &str, found: usize| match found == count {
        true => Ok(()),
        false => Err(Error::new(format!("expected one for each of the {count} layers, found {found}")).at(format!("key `{key}`"))),
    };
    let rotates = match config.sizes("no_rope_layers")? {
        // 1 where a layer rotates, whatever the key's name suggests.
        Some(list) => {
            each("no_rope_layers", list.len())?;
            list.into_iter().map(|rotates| rotates != 0).collect()
        }
        None => match config.size("no_rope_layer_interval")?.unwrap_or(INTERVAL) {
            0 => return Err(Error::new("expected a whole number above 0, found 0").at("key `no_rope_layer_interval`")),
            interval => all_but_every(interval, count),
        },
    };
    let window = if config.flag("use_sliding_window")? == Some(true) { config.size("sliding_window")? } else { None };
    // Those that don't rotate, unless the types are listed.
    let mut slides: Vec<bool> = rotates.iter().map(|rotates| !rotates).collect();
    if let Some(types) = config.texts("layer_types")? {
        each("layer_types", types.len())?;
        for (slides, kind) in slides.iter_mut().zip(types) {
            *slides = match kind {
                "full_attention" => false,
                "sliding_attention" => true,
                other => return Err(unknown("layer type", other, ["full_attention", "sliding_attention"]).at("key `layer_types`")),
            };
        }
    }
    set(architecture, &rotates, |layer| window.filter(|_| slides[layer]));
    Ok(())
}
