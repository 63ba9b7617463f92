//! What a training checkpoint's tensors are: names in nested module lists, told apart by their last part and their order.
//!
//! A checkpoint of the wider platform has names such as `topology.layers.0.layers.6.layers.1.q_sem.weight`, under whatever prefix the
//! program that wrote it had around its model. What the numbers mean depends on how the topology was nested, so they only give the
//! order: the first attention in the file is that of layer 0, and the norm before it is its norm.

use super::Source;
use crate::model::Architecture;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

/// Canonical name -> where it is. Tensors that nothing is made of keep their own name, so that a check against the architecture tells them
/// as surplus.
pub(super) fn canonical(architecture: &Architecture, found: &BTreeMap<String, Vec<usize>>) -> BTreeMap<String, Source> {
    let names = found.keys().map(String::as_str).filter(|name| !name.ends_with("inv_freq"));
    let mut namer =
        Namer { found, known: architecture.tensors().into_iter().map(|(name, _)| name).collect(), architecture, named: BTreeMap::new() };
    namer.name_all(names);
    namer.named
}

/// The modules that a checkpoint consists of, by the last parts of their tensors' names.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Module {
    Embedding,
    Norm,
    Attention,
    Mlp,
    Head,
}

const ATTENTION_PARTS: &[&str] = &[
    "q_sem.weight",
    "k_sem.weight",
    "q_geo.weight",
    "k_geo.weight",
    "q_proj.weight",
    "k_proj.weight",
    "v_proj.weight",
    "qkv_proj.weight",
    "out_proj.weight",
    "o_proj.weight",
    "q_proj.bias",
    "k_proj.bias",
    "v_proj.bias",
    "qkv_proj.bias",
    "out_proj.bias",
    "o_proj.bias",
    "q_norm.weight",
    "k_norm.weight",
    "decoupled_gate_logit",
    "decoupled_gate_proj.weight",
    "k_sem_null",
    "k_geo_null",
    "v_null",
    "logit_scale",
];
const MLP_PARTS: &[&str] = &["w_gate_up.weight", "w_gate.weight", "w_up.weight", "w_down.weight"];
const PARTS: &[(Module, &[&str])] = &[
    (Module::Embedding, &["token_embedding.weight"]),
    (Module::Attention, ATTENTION_PARTS),
    (Module::Mlp, MLP_PARTS),
    (Module::Head, &["linear.weight", "lm_head.weight"]),
    (Module::Norm, &["weight"]),
];

/// The module that a tensor belongs to, its path, and its name within it.
fn split(name: &str) -> Option<(Module, &str, &str)> {
    PARTS.iter().find_map(|(module, parts)| {
        parts.iter().find_map(|part| {
            let path = name.strip_suffix(part)?;
            let path = if path.is_empty() { path } else { path.strip_suffix('.')? };
            // A norm is known by nothing but its place in a list, or by being called one.
            let last = path.rsplit('.').next().unwrap_or_default();
            if *module == Module::Norm && !last.contains("norm") && last.parse::<u64>().is_err() {
                return None;
            }
            Some((*module, path, &name[name.len() - part.len()..]))
        })
    })
}

/// Paths in the order of their numbers: `layers.2` before `layers.10`.
fn by_numbers(a: &str, b: &str) -> Ordering {
    let part = |a: &str, b: &str| match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => a.cmp(b),
    };
    let mut parts = (a.split('.'), b.split('.'));
    loop {
        match (parts.0.next(), parts.1.next()) {
            (Some(a), Some(b)) if part(a, b).is_eq() => {}
            (Some(a), Some(b)) => return part(a, b),
            (a, b) => return a.is_some().cmp(&b.is_some()),
        }
    }
}

/// A module of the file.
struct Found<'n> {
    path: &'n str,
    module: Module,
    /// The last part of each tensor's name, and all of it.
    parts: Vec<(&'n str, &'n str)>,
}

struct Namer<'a> {
    found: &'a BTreeMap<String, Vec<usize>>,
    architecture: &'a Architecture,
    known: HashSet<String>,
    named: BTreeMap<String, Source>,
}

impl Namer<'_> {
    fn name_all<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        let mut modules: Vec<Found> = Vec::new();
        let mut places: BTreeMap<(&str, u8), usize> = BTreeMap::new();
        for name in names {
            let Some((module, path, part)) = split(name) else {
                self.whole(name.to_owned(), name);
                continue;
            };
            let place = *places.entry((path, module as u8)).or_insert_with(|| {
                modules.push(Found { path, module, parts: Vec::new() });
                modules.len() - 1
            });
            modules[place].parts.push((part, name));
        }
        modules.sort_by(|a, b| by_numbers(a.path, b.path));

        // The norm that waits for its block, and the layer that is being filled: a second attention, or an attention after an MLP, begins
        // the next one. So a block that is missing shifts no other.
        let mut norm: Option<&str> = None;
        let (mut layer, mut attention, mut mlp) = (0, false, false);
        for Found { module, parts, .. } in &modules {
            match module {
                Module::Embedding => self.whole("model.embed_tokens.weight".into(), parts[0].1),
                Module::Head => self.whole("lm_head.weight".into(), parts[0].1),
                Module::Norm => {
                    if let Some(surplus) = norm.replace(parts[0].1) {
                        self.whole(surplus.to_owned(), surplus);
                    }
                }
                Module::Attention => {
                    if attention || mlp {
                        (layer, mlp) = (layer + 1, false);
                    }
                    attention = true;
                    self.block(layer, "input_layernorm", norm.take());
                    parts.iter().for_each(|(part, name)| self.attention(layer, part, name));
                }
                Module::Mlp => {
                    if mlp {
                        (layer, attention) = (layer + 1, false);
                    }
                    mlp = true;
                    self.block(layer, "post_attention_layernorm", norm.take());
                    parts.iter().for_each(|(part, name)| self.mlp(layer, part, name));
                }
            }
        }
        if let Some(name) = norm {
            self.whole("model.norm.weight".into(), name);
        }
    }

    /// The tensor under its canonical name, if the architecture has it and it is the first to claim it; under its own name otherwise.
    fn insert(&mut self, canonical: String, name: &str, rows: Option<Range<usize>>) {
        let wanted = self.known.contains(&canonical) || self.architecture.is_leftover(&canonical);
        let free = !self.named.contains_key(&canonical);
        let canonical = if wanted && free { canonical } else { name.to_owned() };
        self.named.insert(canonical, Source { name: name.to_owned(), rows });
    }

    fn whole(&mut self, canonical: String, name: &str) {
        self.insert(canonical, name, None);
    }

    fn block(&mut self, layer: usize, norm: &str, name: Option<&str>) {
        if let Some(name) = name {
            self.whole(format!("model.layers.{layer}.{norm}.weight"), name);
        }
    }

    fn attention(&mut self, layer: usize, part: &str, name: &str) {
        let ours = |part: &str| format!("model.layers.{layer}.self_attn.{part}");
        let Some(attention) = self.architecture.layers.get(layer).map(|layer| &layer.attention) else {
            return self.whole(name.to_owned(), name);
        };
        if let Some(kind) = part.strip_prefix("qkv_proj.") {
            let ends = attention.fused_ends();
            // A part of the wrong height can't be taken apart: it is told as surplus, its parts as missing.
            if attention.decoupled || self.found[name].first() != Some(&ends[2]) {
                return self.whole(name.to_owned(), name);
            }
            for (projection, rows) in [("q_proj", 0..ends[0]), ("k_proj", ends[0]..ends[1]), ("v_proj", ends[1]..ends[2])] {
                self.insert(ours(&format!("{projection}.{kind}")), name, Some(rows));
            }
            return;
        }
        // The platform calls it `out_proj` in every layer; Hugging Face's name is `o_proj`.
        let part = match part.split_once('.') {
            Some(("out_proj" | "o_proj", kind)) => format!("{}.{kind}", if attention.decoupled { "out_proj" } else { "o_proj" }),
            _ => part.to_owned(),
        };
        self.whole(ours(&part), name);
    }

    fn mlp(&mut self, layer: usize, part: &str, name: &str) {
        let ours = |part: &str| format!("model.layers.{layer}.mlp.{part}.weight");
        match part {
            "w_gate_up.weight" => {
                let rows = self.found[name].first().copied().unwrap_or(0);
                if layer >= self.architecture.layers.len() || !rows.is_multiple_of(2) {
                    return self.whole(name.to_owned(), name);
                }
                self.insert(ours("gate_proj"), name, Some(0..rows / 2));
                self.insert(ours("up_proj"), name, Some(rows / 2..rows));
            }
            "w_gate.weight" => self.whole(ours("gate_proj"), name),
            "w_up.weight" => self.whole(ours("up_proj"), name),
            _ => self.whole(ours("down_proj"), name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Held;
    use super::*;
    use crate::model::{Attention, Layer};

    /// Two standard layers of 3 heads of 4 on d_model 5.
    fn architecture() -> Architecture {
        let layer = Layer::llama(Attention::standard(3, 1, 4, None), 6);
        Architecture {
            family: "llama".into(),
            d_model: 5,
            vocab: 7,
            context: 8,
            norm_eps: 1e-5,
            norm_offset: 0.0,
            embedding_scale: 1.0,
            logit_cap: None,
            tied_embeddings: false,
            layers: vec![layer.clone(), layer],
            bos: None,
            eos: Vec::new(),
        }
    }

    /// Its tensors as the platform stores them.
    fn stored() -> BTreeMap<String, Vec<usize>> {
        let mut tensors = BTreeMap::from([
            ("m.embedder.token_embedding.weight".to_owned(), vec![7, 5]),
            ("m.topology.layers.1.weight".to_owned(), vec![5]),
            ("m.topology.layers.2.linear.weight".to_owned(), vec![7, 5]),
        ]);
        for (attention, mlp) in [(0, 1), (2, 3)] {
            for (name, shape) in [
                (format!("{attention}.layers.0.weight"), vec![5]),
                (format!("{attention}.layers.1.qkv_proj.weight"), vec![20, 5]),
                (format!("{attention}.layers.1.out_proj.weight"), vec![5, 12]),
                (format!("{mlp}.layers.0.weight"), vec![5]),
                (format!("{mlp}.layers.1.w_gate_up.weight"), vec![12, 5]),
                (format!("{mlp}.layers.1.w_down.weight"), vec![5, 6]),
            ] {
                tensors.insert(format!("m.topology.layers.0.layers.{name}"), shape);
            }
        }
        tensors
    }

    fn shape(source: &Source, shapes: &BTreeMap<String, Vec<usize>>) -> Vec<usize> {
        let held = shapes.iter().map(|(name, shape)| (name.clone(), Held { shape: shape.clone(), integer: false })).collect();
        source.shape(&held)
    }

    /// What the check says of them.
    fn told(tensors: &BTreeMap<String, Vec<usize>>) -> String {
        let named = canonical(&architecture(), tensors);
        let shaped: Vec<(&str, Vec<usize>)> = named.iter().map(|(name, source)| (name.as_str(), shape(source, tensors))).collect();
        match architecture().check_tensors(shaped.iter().map(|(name, shape)| (*name, shape.as_slice()))) {
            Ok(()) => String::new(),
            Err(error) => error.message().split_once("asks for\n  ").unwrap().1.replace("\n ", ""),
        }
    }

    #[test]
    fn fused_tensors_are_taken_apart() {
        assert_eq!(told(&stored()), "");
        let named = canonical(&architecture(), &stored());
        let part = |name: &str| named[&format!("model.layers.1.{name}.weight")].rows.clone();
        assert_eq!(
            [part("self_attn.q_proj"), part("self_attn.k_proj"), part("self_attn.v_proj")],
            [Some(0..12), Some(12..16), Some(16..20)]
        );
        assert_eq!([part("mlp.gate_proj"), part("mlp.up_proj"), part("self_attn.o_proj")], [Some(0..6), Some(6..12), None]);
    }

    /// Whatever is missing, everything else is still found in its place.
    #[test]
    fn what_is_missing_is_named() {
        for (gone, missing) in [
            ("layers.0.layers.0.layers.0.weight", "1 missing:   model.layers.0.input_layernorm.weight [5]"),
            ("layers.0.layers.3.layers.0.weight", "1 missing:   model.layers.1.post_attention_layernorm.weight [5]"),
            ("layers.0.layers.1.layers.1.w_down.weight", "1 missing:   model.layers.0.mlp.down_proj.weight [5, 6]"),
            ("layers.1.weight", "1 missing:   model.norm.weight [5]"),
            ("layers.2.linear.weight", "1 missing:   lm_head.weight [7, 5]"),
        ] {
            let mut tensors = stored();
            tensors.remove(&format!("m.topology.{gone}")).unwrap();
            assert_eq!(told(&tensors), missing, "{gone}");
        }
        // A whole block.
        let mut tensors = stored();
        tensors.retain(|name, _| !name.contains("topology.layers.0.layers.1."));
        let message = told(&tensors);
        assert!(message.starts_with("4 missing:") && !message.contains("surplus") && !message.contains("layers.1"), "{message}");
    }

    #[test]
    fn what_is_surplus_keeps_its_name() {
        for (name, shape) in
            [("m.topology.layers.0.layers.4.layers.0.weight", vec![5]), ("ema.decay", vec![1]), ("m.topology.layers.1.bias", vec![5])]
        {
            let mut tensors = stored();
            tensors.insert(name.to_owned(), shape.clone());
            assert_eq!(told(&tensors), format!("1 surplus:   {name} {shape:?}"));
        }
    }

    #[test]
    fn numbers_are_ordered_as_numbers() {
        assert_eq!(by_numbers("a.layers.2.x", "a.layers.10"), Ordering::Less);
        assert_eq!(by_numbers("a.1", "a.1.0"), Ordering::Less);
        assert_eq!(by_numbers("a.b", "a.b"), Ordering::Equal);
    }
}
