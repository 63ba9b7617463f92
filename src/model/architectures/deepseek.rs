//! DeepSeek-V3 with dense layers: multi-head latent attention in its absorbed form. Keys and values of all heads are one latent vector and one
//! rotated key a token, which is all that is cached; each head's own part of them is multiplied into its queries and outputs.
//!
//! Source: `modeling_deepseek_v3.py` of `transformers`; DeepSeek-AI, "DeepSeek-V2: A Strong, Economical, and Efficient Mixture-of-Experts
//! Language Model", 2024, section 2.1 and appendix C.

use super::super::{Family, LLAMA};
use crate::error::{At, Error, Result};
use crate::model::architecture::{Architecture, Attention, Latent};
use crate::model::rope::RopeScaling;
use crate::model::section::{Section, missing};

pub const FAMILIES: &[Family] = &[Family {
    name: "deepseek_v3",
    models: "models of DeepSeek-V3's shape without mixtures of experts",
    about: "latent attention (MLA) in absorbed form: a cache of one latent and one rotated key a token; layers with mixtures of experts are refused",
    config: latent_attention,
    ..LLAMA
}];

fn latent_attention(config: Section, architecture: &mut Architecture) -> Result<()> {
    dense_only(config, architecture.layers.len())?;
    if config.flag("attention_bias")? == Some(true) {
        return Err(Error::new("biases of latent attention are not supported").at("key `attention_bias`"));
    }
    let size = |key: &str, default: usize| Ok::<_, Error>(config.size(key)?.unwrap_or(default));
    // Absent is the default of `transformers`, null is none.
    let query_rank = if config.has("q_lora_rank") { config.size("q_lora_rank")? } else { Some(1536) };
    let latent = Latent {
        query_rank,
        plain: size("qk_nope_head_dim", 128)?,
        value: size("v_head_dim", 128)?,
        interleaved: config.flag("rope_interleave")?.unwrap_or(true),
    };
    let (rank, rotated) = (size("kv_lora_rank", 512)?, size("qk_rope_head_dim", 64)?);
    let mut scale = 1.0 / ((latent.plain + rotated) as f32).sqrt();
    for key in ["rope_parameters", "rope_scaling"] {
        if let Some(section) = config.section(key)?
            && let Some(all) = section.float("mscale_all_dim").at(format!("key `{key}`"))?.filter(|&all| all != 0.0)
            && section.text("rope_type")?.or(section.text("type")?).is_some_and(|kind| kind != "default")
        {
            let factor = section.float("factor")?.ok_or_else(|| missing("factor").at(format!("key `{key}`")))?;
            let stretched = if factor <= 1.0 { 1.0 } else { 0.1 * all * factor.ln() + 1.0 };
            scale *= stretched * stretched;
            break;
        }
    }
    for layer in &mut architecture.layers {
        let Attention { heads, window, .. } = layer.attention;
        let rope = layer.attention.rope.take();
        if rope.as_ref().is_some_and(|rope| matches!(rope.scaling, RopeScaling::LongRope { .. })) {
            return Err(Error::new("LongRoPE is not supported with latent attention").at("key `rope_scaling`"));
        }
        layer.attention = Attention {
            sem: rank,
            value: rank,
            scale: Some(scale),
            latent: Some(latent),
            window,
            ..Attention::standard(heads, 1, rotated, rope)
        };
    }
    Ok(())
}

/// That no layer is a mixture of experts.
fn dense_only(config: Section, layers: usize) -> Result<()> {
    let dense = config.size("first_k_dense_replace")?.unwrap_or(3);
    if dense >= layers || (config.has("n_routed_experts") && config.size("n_routed_experts")?.is_none()) {
        return Ok(());
    }
    Err(Error::new(format!("layers {dense} to {} are mixtures of experts, which are not supported", layers - 1))
        .remedy("choose a model of dense layers")
        .at("key `first_k_dense_replace`"))
}
