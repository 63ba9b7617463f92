//! RoPE in a `config.json`: `rope_theta` and `rope_scaling` of the older generation, `rope_parameters` of the newer, or both at once.
//!
//! Source of keys and defaults: `modeling_rope_utils.py` of `transformers` (`RotaryEmbeddingConfigMixin`, `_compute_*_parameters`).

use crate::error::{At, Error, Result, unknown};
use crate::model::Architecture;
use crate::model::architectures::Family;
use crate::model::rope::{Rope, RopeScaling};
use crate::model::section::{Section, missing};
use serde_json::Value;

/// The context that a scaling of RoPE starts from.
pub(crate) const ORIGINAL_CONTEXT: &str = "original_max_position_embeddings";
const CONTEXT: &str = "max_position_embeddings";
/// What a scaling of RoPE may say; `type` is the older name of `rope_type`.
pub(crate) const SCALING_KEYS: [&str; 16] = [
    "rope_type",
    "type",
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    ORIGINAL_CONTEXT,
    "factors",
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "mscale",
    "mscale_all_dim",
    "truncate",
    "short_factor",
    "long_factor",
    "finetuned",
];

/// The scalings, as they are named.
const KINDS: [&str; 7] = ["default", "linear", "dynamic", "yarn", "longrope", "su", "llama3"];

/// The rotations of a model's layers: those with a sliding window may have their own.
pub(super) struct Ropes {
    full: Rope,
    windowed: Rope,
}

/// The types of layers, as configurations name them.
const FULL: &str = "full_attention";
const WINDOWED: &str = "sliding_attention";

impl Ropes {
    /// # Errors
    /// Unknown scalings; missing and mistyped keys; two sections that differ.
    pub fn of(config: Section, head_size: usize, family: &Family) -> Result<Ropes> {
        let of = |kind| of_kind(config, head_size, family, kind);
        Ok(Ropes { full: of(FULL)?, windowed: of(WINDOWED)? })
    }

    pub fn of_layer(&self, windowed: bool) -> &Rope {
        if windowed { &self.windowed } else { &self.full }
    }
}

fn of_kind(config: Section, head_size: usize, family: &Family, kind: &str) -> Result<Rope> {
    let partial = family.partial_rotation;
    let sections = sections(config, kind)?;
    let own = |read: &dyn Fn(Section) -> Result<Option<f32>>| -> Result<Option<f32>> {
        for (key, section) in sections.iter().rev() {
            if let Some(value) = read(*section).at(format!("key `{key}`"))? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    };
    let base = own(&|section| section.float("rope_theta"))?.or(config.float("rope_theta")?).unwrap_or(family.rope_base);
    let mut scaled: Option<(&str, Scaled)> = None;
    for (key, section) in &sections {
        let found = scaling(*section, &Contexts::of(config)).at(format!("key `{key}`"))?;
        match &scaled {
            // A section that asks for nothing stands beside one that does, when somebody has added the latter.
            Some((_, other)) if found == *other || found.scaling == RopeScaling::None => {}
            Some((other_key, other)) if other.scaling != RopeScaling::None => {
                return Err(Error::new(format!("`{other_key}` and `{key}` ask for different scalings of RoPE"))
                    .remedy("take out the one that is not meant"));
            }
            _ => scaled = Some((key, found)),
        }
    }
    let scaled = scaled.map_or(Scaled { scaling: RopeScaling::None, attention_factor: 1.0 }, |(_, scaled)| scaled);
    let factor = own(&|section| section.float("partial_rotary_factor"))?.or(config.float("partial_rotary_factor")?);
    let rotated = match factor {
        None | Some(1.0) => None,
        Some(factor) if partial && factor > 0.0 && factor < 1.0 => Some((head_size as f64 * f64::from(factor)) as usize),
        Some(factor) => {
            let error = match partial {
                true => Error::new(format!("expected a proportion above 0, at most 1, found {factor}")),
                false => Error::new("rotating a part of each head is not supported"),
            };
            return Err(error.at("key `partial_rotary_factor`"));
        }
    };
    Ok(Rope { base, scaling: scaled.scaling, rotated, attention_factor: scaled.attention_factor })
}

/// The longest context: a scaling reaches beyond the one that the model began with.
///
/// # Errors
/// A missing or mistyped key.
pub(super) fn context(config: Section) -> Result<usize> {
    let given = config.needed_size(CONTEXT)?;
    let mut longest = given;
    let kinds = [sections(config, FULL)?, sections(config, WINDOWED)?];
    for (key, section) in kinds.into_iter().flatten() {
        let stretched = |context: usize, factor: f32| (context as f64 * f64::from(factor)) as usize;
        let reaches = match scaling(section, &Contexts::of(config)).at(format!("key `{key}`"))?.scaling {
            RopeScaling::Dynamic { factor, original_context } | RopeScaling::Yarn { factor, original_context, .. } => {
                stretched(original_context, factor)
            }
            _ => given,
        };
        longest = longest.max(reaches);
    }
    Ok(longest)
}

/// Gives every layer that rotates the scaling of `section`; returns the longest context that it reaches.
///
/// # Errors
/// As [`scaling`]; unknown keys; no layer that rotates.
pub(crate) fn stretch(architecture: &mut Architecture, section: &Value) -> Result<usize> {
    let section = Section::of(section)?;
    section.only("key of RoPE's scaling", &SCALING_KEYS)?;
    let own = architecture.context;
    let Scaled { scaling, attention_factor } = scaling(section, &Contexts { original: None, longest: Some(own), phi3: false })?;
    let factor = match &scaling {
        RopeScaling::Linear { factor } | RopeScaling::Dynamic { factor, .. } => *factor,
        RopeScaling::Yarn { factor, original_context, .. } | RopeScaling::Llama3 { factor, original_context, .. } => {
            *factor * *original_context as f32 / own as f32
        }
        RopeScaling::LongRope { .. } => section.float("factor")?.unwrap_or(1.0),
        RopeScaling::None | RopeScaling::Factors(_) | RopeScaling::PerHead(_) => 1.0,
    };
    let mut rotated = false;
    for rope in architecture.layers.iter_mut().filter_map(|layer| layer.attention.rope.as_mut()) {
        (rope.scaling, rope.attention_factor, rotated) = (scaling.clone(), attention_factor, true);
    }
    match rotated {
        true => Ok(own.max((own as f64 * f64::from(factor)) as usize)),
        false => Err(Error::new("no layer of this model rotates")),
    }
}

/// The sections that speak of the RoPE of layers of one type, the newer first: each with its key.
fn sections<'a>(config: Section<'a>, kind: &str) -> Result<Vec<(&'static str, Section<'a>)>> {
    let mut found = Vec::new();
    for key in ["rope_parameters", "rope_scaling"] {
        let Some(section) = config.section(key)? else { continue };
        // Families whose layers differ have a section for each type of layer here.
        match section.keys().find(|kind| kind.ends_with("_attention")) {
            None => found.push((key, section)),
            Some(other) if ![FULL, WINDOWED].contains(&other) => {
                return Err(unknown("layer type", other, [FULL, WINDOWED]).at(format!("key `{key}`")));
            }
            Some(_) => found.extend(section.section(kind).at(format!("key `{key}`"))?.map(|section| (key, section))),
        }
    }
    Ok(found)
}

/// What stands around a scaling's section.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    /// The model's own original context, which some configurations have outside of the section, and which then counts.
    original: Option<usize>,
    /// The longest context.
    longest: Option<usize>,
    /// Phi-3 called LongRoPE `yarn` before it was called `su`.
    phi3: bool,
}

impl Contexts {
    fn of(config: Section) -> Contexts {
        let size = |key| config.size(key).ok().flatten();
        let phi3 = config.text("model_type").ok().flatten() == Some("phi3");
        Contexts { original: size(ORIGINAL_CONTEXT), longest: size(CONTEXT), phi3 }
    }
}

/// A scaling and what it multiplies cosines and sines by.
#[derive(Debug, PartialEq)]
pub(crate) struct Scaled {
    pub scaling: RopeScaling,
    pub attention_factor: f32,
}

/// The scaling that a section describes.
///
/// # Errors
/// An unknown scaling; missing and mistyped keys.
pub(crate) fn scaling(section: Section, contexts: &Contexts) -> Result<Scaled> {
    let kind = section.text("rope_type")?.or(section.text("type")?).unwrap_or("default");
    let original = || -> Result<usize> {
        let own = section.size(ORIGINAL_CONTEXT)?;
        contexts.original.or(own).or(contexts.longest).ok_or_else(|| missing(ORIGINAL_CONTEXT))
    };
    // How far the longest context lies beyond the original one: what a missing factor is.
    let ratio = |original: usize| contexts.longest.map(|longest| longest as f32 / original as f32).ok_or_else(|| missing("factor"));
    let given = section.float("attention_factor")?;
    let (scaling, implied) = match kind {
        "default" => (RopeScaling::None, 1.0),
        "linear" => (RopeScaling::Linear { factor: section.needed_float("factor")? }, 1.0),
        "llama3" => (
            RopeScaling::Llama3 {
                factor: section.needed_float("factor")?,
                low_freq_factor: section.needed_float("low_freq_factor")?,
                high_freq_factor: section.needed_float("high_freq_factor")?,
                original_context: original()?,
            },
            1.0,
        ),
        "dynamic" => {
            let original_context = match contexts.longest {
                Some(longest) => longest,
                None => original()?,
            };
            (RopeScaling::Dynamic { factor: section.needed_float("factor")?, original_context }, 1.0)
        }
        "longrope" | "su" => long_rope(section, original()?, ratio)?,
        "yarn" if contexts.phi3 => long_rope(section, original()?, ratio)?,
        "yarn" => {
            let original_context = original()?;
            let factor = section.float("factor")?.map_or_else(|| ratio(original_context), Ok)?;
            let setting = |key: &str, default: f32| Ok::<_, Error>(section.float(key)?.filter(|&value| value != 0.0).unwrap_or(default));
            let scaling = RopeScaling::Yarn {
                factor,
                beta_fast: setting("beta_fast", 32.0)?,
                beta_slow: setting("beta_slow", 1.0)?,
                original_context,
                truncate: section.flag("truncate")?.unwrap_or(true),
            };
            let scale = |by: f32| if factor <= 1.0 { 1.0 } else { 0.1 * by * factor.ln() + 1.0 };
            let (own, all) = (setting("mscale", 0.0)?, setting("mscale_all_dim", 0.0)?);
            (scaling, if own != 0.0 && all != 0.0 { scale(own) / scale(all) } else { scale(1.0) })
        }
        // Ours: what a GGUF keeps as `rope_freqs.weight`.
        "factors" => (RopeScaling::Factors(section.floats("factors")?.ok_or_else(|| missing("factors"))?), 1.0),
        other => return Err(unknown("RoPE scaling", other, KINDS)),
    };
    Ok(Scaled { scaling, attention_factor: given.unwrap_or(implied) })
}

fn long_rope(section: Section, original_context: usize, ratio: impl Fn(usize) -> Result<f32>) -> Result<(RopeScaling, f32)> {
    let list = |key: &str| section.floats(key)?.ok_or_else(|| missing(key));
    let factor = section.float("factor")?.map_or_else(|| ratio(original_context), Ok)?;
    let implied = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / (original_context as f32).ln()).sqrt() };
    Ok((RopeScaling::LongRope { short: list("short_factor")?, long: list("long_factor")?, original_context }, implied))
}
