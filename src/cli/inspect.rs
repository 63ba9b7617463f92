//! `caramba inspect`: what is in a model, and what its cache costs; what is in a dataset of token ids.

use super::columns::{columns, facts};
use super::dataset;
use super::describe::layers;
use super::model::ModelArgument;
use crate::artifact::number;
use crate::error::Result;
use crate::model::Model;
use crate::quant::{CACHE_KINDS, CacheKind};
use crate::runtime::{CacheKinds, bytes_per_token};
use crate::terminal;
use clap::Args;
use serde_json::{Value, json};

/// Show a model's architecture, tensors and bytes per token of each cache kind, or what a dataset holds
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caramba inspect models/SmolLM2-135M.gguf
  caramba inspect runs/student.pt --manifest experiment.yml --target paper
  caramba inspect data/held_out.npy
  caramba inspect 'shards/*.npy'")]
pub struct Inspect {
    #[command(flatten)]
    model: ModelArgument,
    /// List every tensor
    #[arg(long)]
    tensors: bool,
    /// One JSON object in place of the text
    #[arg(long)]
    json: bool,
    /// How the ids of a dataset are stored that doesn't say it itself (.bin): uint16, uint32
    #[arg(long, value_name = "TYPE")]
    dtype: Option<String>,
}

impl Inspect {
    pub fn run(self) -> Result<()> {
        if self.dtype.is_some() || dataset::is_dataset(self.model.path()) {
            return terminal::print(&dataset::described(self.model.path(), self.dtype.as_deref(), self.json)?);
        }
        let model = self.model.open()?;
        if self.json {
            return terminal::print_line(&described(&model, self.tensors).to_string());
        }
        let mut out = summary(&model)?;
        out += "\nLayers\n";
        out += &layers(&model.architecture);
        out += "\nTensors\n";
        out += &types(&model);
        out += "\nCache\n";
        out += &cache(&model);
        if self.tensors {
            out += "\nAll tensors\n";
            out += &all(&model);
        }
        terminal::print(&out)
    }
}

/// The same for programs.
fn described(model: &Model, tensors: bool) -> Value {
    let architecture = &model.architecture;
    let caches = CACHE_KINDS.iter().filter(|entry| entry.kind != CacheKind::None);
    let caches = caches.map(|entry| (entry.name.to_owned(), bytes_per_token(architecture, CacheKinds::uniform(entry.kind)).into()));
    let types = model.summary().types;
    let types = types.iter().map(
        |entry| json!({ "type": entry.data_type.name(), "tensors": entry.tensors, "parameters": entry.parameters, "bytes": entry.bytes }),
    );
    let mut out = json!({
        "name": model.name,
        "family": architecture.family,
        "parameters": model.summary().parameters,
        "width": architecture.d_model,
        "layers": architecture.layers.len(),
        "vocabulary": architecture.vocab,
        "context": architecture.context,
        "tied_embeddings": architecture.tied_embeddings,
        "bos": architecture.bos,
        "eos": architecture.eos,
        "types": types.collect::<Vec<_>>(),
        "cache_bytes_per_token": caches.collect::<serde_json::Map<_, _>>(),
    });
    if tensors {
        let named = architecture.tensors().into_iter().filter_map(|(name, _)| model.tensors.get_key_value(&name));
        let listed = named.map(|(name, tensor)| json!({ "name": name, "type": tensor.data_type.name(), "shape": tensor.shape }));
        out["tensors"] = listed.collect();
    }
    out
}

fn summary(model: &Model) -> Result<String> {
    let architecture = &model.architecture;
    let size = model.files.iter().map(|file| file.length() as u64).sum();
    let head = if architecture.tied_embeddings { "the head is the embedding" } else { "a head of its own" };
    let tokenizer = match model.tokenizer() {
        Ok(tokenizer) => format!("{} tokens", grouped(tokenizer.vocab() as u64)),
        Err(reason) => format!("none: {}", reason.message()),
    };
    let list = |tokens: &[u32]| tokens.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let ends = match architecture.eos.as_slice() {
        [] => "no end-of-text token".to_string(),
        tokens => format!("texts end with {}", list(tokens)),
    };
    let begins = architecture.bos.map_or_else(|| "no begin-of-text token".to_string(), |token| format!("texts begin with {token}"));
    let facts = facts(&[
        ("family", architecture.family.clone()),
        ("files", format!("{}, {}", model.files.len(), bytes(size))),
        ("parameters", grouped(model.summary().parameters)),
        ("width", format!("{}, {} layers", architecture.d_model, architecture.layers.len())),
        ("vocabulary", format!("{} tokens, {head}", grouped(architecture.vocab as u64))),
        ("context", format!("{} tokens", grouped(architecture.context as u64))),
        ("tokenizer", tokenizer),
        ("special", format!("{begins}, {ends}")),
    ]);
    Ok(format!("{}\n{facts}", model.name))
}

/// Number, parameters and bytes of each stored type.
fn types(model: &Model) -> String {
    let mut rows = vec![["  type", "tensors", "parameters", "size"].map(String::from).to_vec()];
    rows.extend(model.summary().types.iter().map(|entry| {
        vec![format!("  {}", entry.data_type.name()), entry.tensors.to_string(), grouped(entry.parameters), bytes(entry.bytes)]
    }));
    columns(&rows, &[1, 2, 3])
}

/// What each cache kind takes.
fn cache(model: &Model) -> String {
    let longest = model.architecture.context as u64;
    let mut rows = vec![vec!["  kind".into(), "bytes/token".into(), format!("{} tokens", grouped(longest))]];
    for entry in CACHE_KINDS.iter().filter(|entry| entry.kind != CacheKind::None) {
        let per_token = bytes_per_token(&model.architecture, CacheKinds::uniform(entry.kind));
        rows.push(vec![format!("  {}", entry.name), grouped(per_token), bytes(per_token * longest)]);
    }
    let mixed = model.architecture.layers.iter().any(|layer| layer.attention.decoupled);
    let remark = if mixed { "  kinds of 4 bits and less keep the geometric keys of decoupled layers at q8\n" } else { "" };
    columns(&rows, &[1, 2]) + remark
}

fn bytes(count: u64) -> String {
    number::bytes(count as f64)
}

fn grouped(count: u64) -> String {
    number::integer(count as i64)
}

fn all(model: &Model) -> String {
    let shape = |shape: &[usize]| format!("[{}]", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    // In the order in which they are used.
    let items = model.architecture.tensors().into_iter().filter_map(|(name, _)| model.tensors.get_key_value(&name));
    let rows = items.map(|(name, tensor)| vec![format!("  {name}"), tensor.data_type.name().into(), shape(&tensor.shape)]);
    columns(&rows.collect::<Vec<_>>(), &[])
}
