//! Which tensors an architecture consists of, under which names and of which shapes: the one list that readers check against, that
//! the writer writes, and that the runtime relies on.

use super::architecture::{Architecture, Attention, Gate, Layer, OutputGate, QkNorm};
use super::operations::BlockKind;
use super::tensor::Tensor;
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// A canonical name and the shape stored under it: `[out, in]` for a linear layer, `[n]` for a vector.
pub type Item = (String, Vec<usize>);

impl Architecture {
    /// Every tensor of the model, from the embedding to the head.
    ///
    /// Names are those of a Hugging Face Llama (`model.layers.3.self_attn.q_proj.weight`); a decoupled layer has `q_sem`, `k_sem`, `q_geo`,
    /// `k_geo`, `v_proj`, `out_proj` and what its options ask for. `lm_head.weight` exists unless it is the embedding.
    pub fn tensors(&self) -> Vec<Item> {
        let mut items = vec![("model.embed_tokens.weight".to_owned(), vec![self.vocab, self.d_model])];
        for index in 0..self.layers.len() {
            items.extend(self.layer_tensors(index));
        }
        items.push(("model.norm.weight".to_owned(), vec![self.d_model]));
        if !self.tied_embeddings {
            items.push(("lm_head.weight".to_owned(), vec![self.vocab, self.d_model]));
        }
        items
    }

    /// The tensors of layer `index`, in the order in which they are used.
    fn layer_tensors(&self, index: usize) -> Vec<Item> {
        let (layer, d_model) = (&self.layers[index], self.d_model);
        let mut items = Vec::new();
        let mut add = |name: &str, shape: &[usize]| items.push((format!("model.layers.{index}.{name}"), shape.to_vec()));
        for block in layer.blocks() {
            if let Some(norm) = block.before {
                add(&format!("{norm}.weight"), &[d_model]);
            }
            match block.kind {
                BlockKind::Attention => attention_tensors(&layer.attention, d_model, &mut add),
                BlockKind::Mlp => mlp_tensors(layer, d_model, &mut add),
            }
            if let Some(norm) = block.after {
                add(&format!("{norm}.weight"), &[d_model]);
            }
        }
        items
    }

    /// Compares what a file holds with [`Architecture::tensors`], and names everything that is missing, surplus or mis-shaped in one message.
    ///
    /// # Errors
    /// As above. Known leftovers that no computation needs are no error (see [`Architecture::is_leftover`]).
    pub fn check_tensors<'a>(&self, found: impl IntoIterator<Item = (&'a str, &'a [usize])>) -> Result<()> {
        let mut found: BTreeMap<&str, &[usize]> = found.into_iter().collect();
        let (mut missing, mut shapes) = (Vec::new(), Vec::new());
        for (name, expected) in self.tensors() {
            match found.remove(name.as_str()) {
                None => missing.push(format!("{name} {expected:?}")),
                Some(shape) if shape != expected => shapes.push(format!("{name} is {shape:?}, expected {expected:?}")),
                Some(_) => {}
            }
        }
        let surplus: Vec<String> =
            found.iter().filter(|(name, _)| !self.is_leftover(name)).map(|(name, shape)| format!("{name} {shape:?}")).collect();
        let lists = [("missing", missing), ("of another shape", shapes), ("surplus", surplus)];
        if lists.iter().all(|(_, names)| names.is_empty()) {
            return Ok(());
        }
        let told: Vec<String> = lists
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{} {what}:{}", names.len(), listed(names)))
            .collect();
        Err(Error::new(format!("the tensors are not those that the configuration asks for\n  {}", told.join("\n  ")))
            .remedy("use weights and configuration of the same model, and fetch again what was cut short"))
    }

    /// Tensors that some files hold and nobody needs: buffers of attention and rotation that are computed anew, a head that is tied to the
    /// embedding, and the second name of a semantic key that is tied to its query.
    pub fn is_leftover(&self, name: &str) -> bool {
        let tied_key = || {
            let layer = name.strip_prefix("model.layers.").and_then(|rest| rest.strip_suffix(".self_attn.k_sem.weight"));
            let layer = layer.and_then(|index| self.layers.get(index.parse::<usize>().ok()?));
            layer.is_some_and(|layer| layer.attention.tie_qk)
        };
        is_buffer(name) || (self.tied_embeddings && name == "lm_head.weight") || tied_key()
    }

    /// Takes out of `found` the tensors of this architecture, checked; leftovers are dropped.
    ///
    /// # Errors
    /// As [`Architecture::check_tensors`].
    pub(crate) fn take_tensors(&self, mut found: BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
        self.check_tensors(found.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice())))?;
        found.retain(|name, _| !self.is_leftover(name));
        Ok(found)
    }
}

fn mlp_tensors(layer: &Layer, d_model: usize, add: &mut impl FnMut(&str, &[usize])) {
    add("mlp.gate_proj.weight", &[layer.d_ff, d_model]);
    add("mlp.up_proj.weight", &[layer.d_ff, d_model]);
    add("mlp.down_proj.weight", &[d_model, layer.d_ff]);
}

fn attention_tensors(attention: &Attention, d_model: usize, add: &mut impl FnMut(&str, &[usize])) {
    let (heads, kv_heads) = (attention.heads, attention.kv_heads);
    let (sem, geo, value) = (attention.sem, attention.geo, attention.value);
    if let Some(latent) = &attention.latent {
        let queries = heads * (latent.plain + geo);
        match latent.query_rank {
            None => add("self_attn.q_proj.weight", &[queries, d_model]),
            Some(rank) => {
                add("self_attn.q_a_proj.weight", &[rank, d_model]);
                add("self_attn.q_a_layernorm.weight", &[rank]);
                add("self_attn.q_b_proj.weight", &[queries, rank]);
            }
        }
        add("self_attn.kv_a_proj_with_mqa.weight", &[sem + geo, d_model]);
        add("self_attn.kv_a_layernorm.weight", &[sem]);
        add("self_attn.kv_b_proj.weight", &[heads * (latent.plain + latent.value), sem]);
        return add("self_attn.o_proj.weight", &[d_model, attention.out_width()]);
    }
    if attention.decoupled {
        if sem > 0 {
            add("self_attn.q_sem.weight", &[heads * sem, d_model]);
        }
        if sem > 0 && !attention.tie_qk {
            add("self_attn.k_sem.weight", &[kv_heads * sem, d_model]);
        }
        add("self_attn.q_geo.weight", &[heads * geo, d_model]);
        add("self_attn.k_geo.weight", &[kv_heads * geo, d_model]);
    } else {
        add("self_attn.q_proj.weight", &[heads * attention.rope_width(), d_model]);
        add("self_attn.k_proj.weight", &[kv_heads * geo, d_model]);
    }
    add("self_attn.v_proj.weight", &[kv_heads * value, d_model]);
    let out = if attention.decoupled { "out_proj" } else { "o_proj" };
    add(&format!("self_attn.{out}.weight"), &[d_model, attention.out_width()]);
    if attention.output_gate != OutputGate::None {
        add("self_attn.gate_proj.weight", &[attention.gate_width(), d_model]);
    }
    if attention.differential.is_some() {
        for name in ["lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"] {
            add(&format!("self_attn.{name}"), &[attention.rope_width()]);
        }
    }
    if attention.qkv_bias {
        add("self_attn.q_proj.bias", &[heads * geo]);
        add("self_attn.k_proj.bias", &[kv_heads * geo]);
        add("self_attn.v_proj.bias", &[kv_heads * value]);
    }
    if attention.out_bias {
        add(&format!("self_attn.{out}.bias"), &[d_model]);
    }
    if attention.qk_norm != QkNorm::None {
        let [queries, keys] = attention.qk_norm.widths(attention);
        add("self_attn.q_norm.weight", &[queries]);
        add("self_attn.k_norm.weight", &[keys]);
    }
    if attention.gate != Gate::None {
        add("self_attn.decoupled_gate_logit", &[heads]);
    }
    if attention.gate == Gate::Dynamic {
        add("self_attn.decoupled_gate_proj.weight", &[heads, d_model]);
    }
    if attention.learned_temp {
        add("self_attn.logit_scale", &[heads]);
    }
    if attention.null_attn {
        if sem > 0 {
            add("self_attn.k_sem_null", &[heads, sem]);
        }
        add("self_attn.k_geo_null", &[heads, geo]);
        add("self_attn.v_null", &[heads, value]);
    }
}

/// Whether a name is that of a table which modules keep beside their weights, and which follows from the configuration: rotary
/// frequencies, cosines and sines, masks, positions.
fn is_buffer(name: &str) -> bool {
    const LAST: [&str; 15] = [
        "inv_freq",
        "original_inv_freq",
        "cos",
        "sin",
        "freqs",
        "freqs_cis",
        "freqs_cos",
        "freqs_sin",
        "mask",
        "tril",
        "position_ids",
        "_extra_state",
        "num_batches_tracked",
        "rope_cache",
        "masked_bias",
    ];
    const ENDS: [&str; 6] = ["_cached", "_cache", "_mask", "cos_sin", "_inv_freq", "_position_ids"];
    let (path, last) = name.rsplit_once('.').unwrap_or(("", name));
    // A rotation has no weights, whatever its buffers are called.
    let rotation =
        |part: &str| matches!(part, "rotary_emb" | "rotary" | "rope" | "rotary_embedding" | "rotary_pos_emb" | "rotary_embeddings");
    LAST.contains(&last) || ENDS.iter().any(|end| last.ends_with(end)) || path.split('.').any(rotation)
}

/// A line for each; what several layers have in common stands once, with their numbers: `model.layers.{0-3, 7}.mlp.up_proj.weight [10, 12]`.
/// (A wrong number of layers makes hundreds of names.)
fn listed(names: &[String]) -> String {
    let of_layer = |name: &'_ str| -> Option<(usize, String)> {
        let (layer, rest) = name.strip_prefix(LAYERS)?.split_once('.')?;
        Some((layer.parse().ok()?, rest.to_owned()))
    };
    let mut lines: Vec<(String, Vec<usize>)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        match of_layer(name) {
            None => lines.push((name.clone(), Vec::new())),
            Some((layer, rest)) => {
                let place = *places.entry(rest.clone()).or_insert(lines.len());
                if place == lines.len() {
                    lines.push((rest, Vec::new()));
                }
                lines[place].1.push(layer);
            }
        }
    }
    let line = |(text, layers): (String, Vec<usize>)| match layers[..] {
        [] => format!("\n    {text}"),
        [layer] => format!("\n    {LAYERS}{layer}.{text}"),
        _ => format!("\n    {LAYERS}{{{}}}.{text}", ranges(layers)),
    };
    lines.into_iter().map(line).collect()
}

const LAYERS: &str = "model.layers.";

/// `0-3, 7`
fn ranges(mut numbers: Vec<usize>) -> String {
    numbers.sort_unstable();
    let runs = numbers.chunk_by(|a, b| a + 1 == *b);
    let shown = runs.map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        _ => run.first().map(usize::to_string).unwrap_or_default(),
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use crate::model::Layer;

    #[test]
    fn everything_that_is_wrong_is_named() {
        let wanted = testing::standard();
        let mut held = wanted.clone();
        held.layers = vec![Layer { d_ff: 14, ..wanted.layers[0].clone() }; 13];
        held.layers[5].attention.qkv_bias = true;
        let mut tensors = testing::tensors(&held);
        tensors.remove("model.norm.weight");
        tensors.remove("model.layers.1.self_attn.v_proj.weight");
        let shapes = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice()));
        insta::assert_snapshot!(wanted.check_tensors(shapes).unwrap_err(), @r"
        the tensors are not those that the configuration asks for
          2 missing:
            model.layers.1.self_attn.v_proj.weight [4, 12]
            model.norm.weight [12]
          6 of another shape:
            model.layers.{0-1}.mlp.gate_proj.weight is [14, 12], expected [10, 12]
            model.layers.{0-1}.mlp.up_proj.weight is [14, 12], expected [10, 12]
            model.layers.{0-1}.mlp.down_proj.weight is [12, 14], expected [12, 10]
          102 surplus:
            model.layers.{2-12}.input_layernorm.weight [12]
            model.layers.{2-12}.mlp.down_proj.weight [12, 14]
            model.layers.{2-12}.mlp.gate_proj.weight [14, 12]
            model.layers.{2-12}.mlp.up_proj.weight [14, 12]
            model.layers.{2-12}.post_attention_layernorm.weight [12]
            model.layers.{2-12}.self_attn.k_proj.weight [4, 12]
            model.layers.{2-12}.self_attn.o_proj.weight [12, 12]
            model.layers.{2-12}.self_attn.q_proj.weight [12, 12]
            model.layers.{2-12}.self_attn.v_proj.weight [4, 12]
            model.layers.5.self_attn.k_proj.bias [4]
            model.layers.5.self_attn.q_proj.bias [12]
            model.layers.5.self_attn.v_proj.bias [4]
          help: use weights and configuration of the same model, and fetch again what was cut short
        ");
    }
}
