//! Which tensors an architecture consists of, under which names and of which shapes: the one list that readers check against, that
//! the writer writes, and that the runtime relies on.

use super::architecture::{Architecture, Gate};
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
        add("input_layernorm.weight", &[d_model]);

        let attention = &layer.attention;
        let (heads, kv_heads) = (attention.heads, attention.kv_heads);
        let (sem, geo, value) = (attention.sem, attention.geo, attention.value);
        if attention.decoupled {
            add("self_attn.q_sem.weight", &[heads * sem, d_model]);
            if !attention.tie_qk {
                add("self_attn.k_sem.weight", &[kv_heads * sem, d_model]);
            }
            add("self_attn.q_geo.weight", &[heads * geo, d_model]);
            add("self_attn.k_geo.weight", &[kv_heads * geo, d_model]);
        } else {
            add("self_attn.q_proj.weight", &[heads * geo, d_model]);
            add("self_attn.k_proj.weight", &[kv_heads * geo, d_model]);
        }
        add("self_attn.v_proj.weight", &[kv_heads * value, d_model]);
        let out = if attention.decoupled { "out_proj" } else { "o_proj" };
        add(&format!("self_attn.{out}.weight"), &[d_model, heads * value]);
        if attention.qkv_bias {
            add("self_attn.q_proj.bias", &[heads * geo]);
            add("self_attn.k_proj.bias", &[kv_heads * geo]);
            add("self_attn.v_proj.bias", &[kv_heads * value]);
        }
        if attention.out_bias {
            add(&format!("self_attn.{out}.bias"), &[d_model]);
        }
        if attention.qk_norm {
            add("self_attn.q_norm.weight", &[geo]);
            add("self_attn.k_norm.weight", &[geo]);
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
            add("self_attn.k_sem_null", &[heads, sem]);
            add("self_attn.k_geo_null", &[heads, geo]);
            add("self_attn.v_null", &[heads, value]);
        }

        add("post_attention_layernorm.weight", &[d_model]);
        add("mlp.gate_proj.weight", &[layer.d_ff, d_model]);
        add("mlp.up_proj.weight", &[layer.d_ff, d_model]);
        add("mlp.down_proj.weight", &[d_model, layer.d_ff]);
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
            .map(|(what, names)| format!("{} {what}:{}", names.len(), shortened(names)))
            .collect();
        Err(Error::new(format!("the tensors are not those that the configuration asks for\n  {}", told.join("\n  ")))
            .remedy("use weights and configuration of the same model, and fetch again what was cut short"))
    }

    /// Tensors that some files hold and nobody needs: the rotary frequencies of old checkpoints (they are recomputed), a head that is
    /// tied to the embedding, and the second name of a semantic key that is tied to its query.
    pub fn is_leftover(&self, name: &str) -> bool {
        let tied_key = || {
            let layer = name.strip_prefix("model.layers.").and_then(|rest| rest.strip_suffix(".self_attn.k_sem.weight"));
            let layer = layer.and_then(|index| self.layers.get(index.parse::<usize>().ok()?));
            layer.is_some_and(|layer| layer.attention.tie_qk)
        };
        name.ends_with("rotary_emb.inv_freq") || (self.tied_embeddings && name == "lm_head.weight") || tied_key()
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

/// All of a short list; the beginning of a long one and how much more there is. (A wrong layer count makes hundreds of names.)
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let mut text: String = names.iter().take(SHOWN).map(|name| format!("\n    {name}")).collect();
    if names.len() > SHOWN {
        text.push_str(&format!("\n    and {} more", names.len() - SHOWN));
    }
    text
}
