//! The shape of a model from its tensors alone, where they say all of it: widths are the sizes of matrices, but how many heads share them is
//! only said by tensors that have one element a head (a gate, a temperature, a null key) or one a dimension of a head (norms of queries).

use super::{DICTIONARIES, Held, platform, unwrapped};
use crate::error::{Error, Result};
use crate::model::architecture::{Architecture, Attention, Gate, Layer, QkNorm};
use crate::model::rope::{Rope, RopeScaling};
use std::collections::{BTreeMap, BTreeSet};

/// What no tensor says, as the wider platform has it by default.
const ROPE_BASE: f32 = 10_000.0;
const NORM_EPS: f32 = 1e-5;
/// See `topology::CONTEXT`.
const CONTEXT: usize = 1 << 17;

const EMBEDDINGS: [&str; 2] = ["token_embedding.weight", "embed_tokens.weight"];

/// The architecture of the likeliest model among the tensors of a file, and what was assumed of it.
///
/// # Errors
/// What the tensors do not say.
pub fn architecture(held: &BTreeMap<String, Held>, scopes: &BTreeSet<String>) -> Result<(Architecture, String)> {
    let rank = |scope: &&String| {
        let key = scope.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
        DICTIONARIES.iter().position(|known| *known == key).unwrap_or(DICTIONARIES.len())
    };
    let mut scopes: Vec<&String> = scopes.iter().collect();
    scopes.sort_by_key(rank);
    let mut first = None;
    for scope in scopes {
        let names = held.iter().filter_map(|(name, held)| Some((unwrapped(name.strip_prefix(scope.as_str())?), held.shape.as_slice())));
        match of(&names.collect()) {
            Ok(found) => return Ok(found),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or_else(|| Error::new("there are no tensors in it")))
}

fn of(shapes: &BTreeMap<String, &[usize]>) -> Result<(Architecture, String)> {
    let ending = |part: &str| -> Vec<&str> {
        let mut paths: Vec<&str> = shapes.keys().filter_map(|name| super::before(name, part)).collect();
        paths.sort_by(|a, b| platform::by_numbers(a, b));
        paths
    };
    let embeddings: Vec<&[usize]> =
        EMBEDDINGS.iter().flat_map(|part| ending(part).into_iter().map(move |path| shapes[&format!("{path}{part}")])).collect();
    let &[&[vocab, d_model]] = embeddings.as_slice() else {
        return Err(Error::new("its tensors have no embedding, or several"));
    };
    let mlps = [ending("w_down.weight"), ending("down_proj.weight")].concat();
    let attentions = [ending("q_sem.weight"), ending("q_proj.weight")].concat();
    if attentions.is_empty() || attentions.len() != mlps.len() {
        return Err(Error::new(format!("its tensors are those of {} attentions and {} MLPs", attentions.len(), mlps.len())));
    }
    let mut paths: Vec<(&str, &str)> = attentions.into_iter().zip(mlps).collect();
    paths.sort_by(|a, b| platform::by_numbers(a.0, b.0));
    let mut layers = Vec::new();
    for (index, (attention, mlp)) in paths.into_iter().enumerate() {
        let width = |part: &str| shapes.get(&format!("{mlp}{part}")).and_then(|shape| shape.get(1).copied());
        let d_ff = width("w_down.weight").or(width("down_proj.weight")).unwrap_or_default();
        let attention = layer(|part| shapes.get(&format!("{attention}{part}")).copied())
            .ok_or_else(|| Error::new(format!("how many heads its layer {index} has, none of its tensors says")))?;
        layers.push(Layer::llama(attention, d_ff));
    }
    let tied_embeddings =
        !shapes.keys().any(|name| ["linear.weight", "lm_head.weight"].iter().any(|part| super::before(name, part).is_some()));
    let family = "llama".to_owned();
    let architecture = Architecture {
        family,
        d_model,
        vocab,
        context: CONTEXT,
        norm_eps: NORM_EPS,
        norm_offset: 0.0,
        embedding_scale: 1.0,
        logit_cap: None,
        tied_embeddings,
        layers,
        bos: None,
        eos: Vec::new(),
    };
    architecture.check()?;
    let assumed = format!(
        "its shape was read from its tensors, which do not say how it rotates: a RoPE base of {ROPE_BASE} and an epsilon of {NORM_EPS:e} are assumed. A \
         `model` section or a config.json beside it says otherwise"
    );
    Ok((architecture, assumed))
}

/// `None`: its tensors leave the number of heads open.
fn layer<'s>(shape: impl Fn(&str) -> Option<&'s [usize]>) -> Option<Attention> {
    let rows = |part: &str| shape(part).and_then(|shape| shape.first().copied());
    let even = |width: usize, heads: usize| (heads > 0 && width.is_multiple_of(heads)).then(|| width / heads);
    let rope = Some(Rope::new(ROPE_BASE, RopeScaling::None));
    let per_head = ["decoupled_gate_logit", "logit_scale", "k_geo_null", "v_null"].iter().find_map(|part| rows(part));
    if rows("q_sem.weight").is_none() {
        let (queries, keys) = (rows("q_proj.weight")?, rows("k_proj.weight")?);
        // A norm as wide as all heads together says nothing of one.
        let norm = rows("q_norm.weight");
        let width = norm.filter(|width| *width < queries).or(per_head.and_then(|heads| even(queries, heads)))?;
        let mut attention = Attention::standard(even(queries, width)?, even(keys, width)?, width, rope);
        attention.qk_norm = match norm {
            None => QkNorm::None,
            Some(norm) if norm == width => QkNorm::Head,
            Some(_) => QkNorm::All,
        };
        attention.qkv_bias = rows("q_proj.bias").is_some();
        attention.out_bias = rows("o_proj.bias").or(rows("out_proj.bias")).is_some();
        return Some(attention);
    }
    let heads = per_head?;
    let geo = even(rows("q_geo.weight")?, heads)?;
    let kv_heads = even(rows("k_geo.weight")?, geo)?;
    let gate = match (rows("decoupled_gate_logit"), rows("decoupled_gate_proj.weight")) {
        (None, _) => Gate::None,
        (Some(_), None) => Gate::Static,
        (Some(_), Some(_)) => Gate::Dynamic,
    };
    Some(Attention {
        decoupled: true,
        sem: even(rows("q_sem.weight")?, heads)?,
        value: even(rows("v_proj.weight")?, kv_heads)?,
        gate,
        learned_temp: rows("logit_scale").is_some(),
        tie_qk: rows("k_sem.weight").is_none(),
        null_attn: rows("v_null").is_some(),
        ..Attention::standard(heads, kv_heads, geo, rope)
    })
}
