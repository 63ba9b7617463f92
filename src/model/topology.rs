//! The `model` section of a manifest: nested topologies of layers, as the wider platform describes a model, turned into an
//! [`Architecture`].
//!
//! The nesting is only a way to write a list down, so it is flattened into its parts, and the list must then be that of a transformer
//! of the Llama family: attention and MLP blocks in turn, a norm, a head. What the section says and this runtime can't compute is
//! refused by name and place; nothing is ignored in silence but what has no meaning outside of training ([`TRAINING_KEYS`]).
//!
//! Two keys are ours, for what the platform leaves to its training programs: the model's `context` (its longest, in tokens) and, beside an
//! attention's `rope_base`, `rope_scaling` with the keys that it has in a Hugging Face configuration:
//! `rope_scaling: {rope_type: llama3, factor: 32, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192}`.

use super::architecture::{Architecture, Attention, Layer};
use super::huggingface::{attention, rope};
use super::rope::{Rope, RopeScaling};
use super::section::{Section, missing};
use crate::error::{At, Error, Result, unknown};
use serde_json::Value;

/// The section says nothing of a longest context; with RoPE only memory ends it. Llama 3's length stands in.
const CONTEXT: usize = 1 << 17;
/// A few `repeat`s inside each other make any number of layers: no model has more than this.
const MAX_PARTS: usize = 1 << 14;
const MAX_NESTING: usize = 64;

const STACKS: [&str; 3] = ["StackedTopology", "NestedTopology", "SequentialTopology"];
const RESIDUAL: &str = "ResidualTopology";
const NORM: &str = "RMSNormLayer";
const ATTENTION: &str = "AttentionLayer";
const MLP: &str = "SwiGLULayer";
const HEAD: &str = "LinearLayer";

/// Keys that change training only.
const TRAINING_KEYS: [&str; 3] = ["dropout", "dropout_p", "name"];

/// A part of the flattened topology: what it is and where it stands.
struct Part<'a> {
    kind: Kind<'a>,
    place: String,
}

enum Kind<'a> {
    /// `x + f(norm(x))`
    Residual {
        norm: Section<'a>,
        layer: Section<'a>,
    },
    Layer(Section<'a>),
}

/// The architecture that a manifest's `model` section describes. The section may still be wrapped as it stands in a target
/// (`system: {ref: ..., config: {model: ...}}`).
///
/// # Errors
/// Unsupported or unknown types and keys, a list of layers that is no transformer, sizes that don't fit each other; each with the path of
/// its key.
pub fn architecture(section: &serde_yaml::Value) -> Result<Architecture> {
    let value = serde_json::to_value(section).map_err(|error| Error::new(format!("this is not a map of names to values: {error}")))?;
    let (value, place) = unwrapped(&value);
    read(Section::of(value).at(place)?, place)
}

/// The section itself and its path.
fn unwrapped(value: &Value) -> (&Value, &'static str) {
    const WRAPPERS: [(&str, &[&str]); 3] =
        [("system.config.model", &["system", "config", "model"]), ("config.model", &["config", "model"]), ("model", &["model"])];
    if value.get("topology").is_none() {
        for (place, path) in WRAPPERS {
            if let Some(inner) = path.iter().try_fold(value, |value, key| value.get(key)) {
                return (inner, place);
            }
        }
    }
    (value, "model")
}

fn read(model: Section, top: &str) -> Result<Architecture> {
    model.only("key of a model", &["type", "embedder", "topology", "tied_embeddings", "context", "name"]).at(top)?;
    if let Some(kind) = model.text("type").at(top)?.filter(|&kind| kind != "TransformerModel") {
        return Err(unknown("model type", kind, ["TransformerModel"]).at(format!("{top}.type")));
    }
    let embeds = model.section("embedder").and_then(|section| section.ok_or_else(|| missing("embedder"))).at(top)?;
    let (vocab, d_model) = embedder(embeds).at(format!("{top}.embedder"))?;
    let tied_embeddings = model.flag("tied_embeddings").at(top)?.unwrap_or(false);

    let mut parts = Vec::new();
    let topology = format!("{top}.topology");
    flatten(model.get("topology").ok_or_else(|| missing("topology").at(top))?, topology.clone(), 0, &mut parts)?;
    let mut parts = parts.iter().peekable();
    let mut eps = Epsilon(None);
    let mut layers = Vec::new();
    while let Some(Part { kind: Kind::Residual { norm, layer }, place }) = parts.peek() {
        eps.norm(norm, d_model).at(format!("{place}.layers[0]"))?;
        let attention = expect(layer, ATTENTION).and_then(|()| attention_layer(layer, d_model)).at(format!("{place}.layers[1]"))?;
        parts.next();
        let Some(Part { kind: Kind::Residual { norm, layer }, place }) = parts.next() else {
            return Err(Error::new("expected an MLP (a ResidualTopology of RMSNormLayer and SwiGLULayer) after this attention").at(place));
        };
        eps.norm(norm, d_model).at(format!("{place}.layers[0]"))?;
        let d_ff = expect(layer, MLP).and_then(|()| mlp(layer, d_model)).at(format!("{place}.layers[1]"))?;
        layers.push(Layer::llama(attention, d_ff));
    }
    if layers.is_empty() {
        return Err(Error::new("there is no attention block")
            .at(topology)
            .remedy("a block is a ResidualTopology of RMSNormLayer and AttentionLayer, followed by one of RMSNormLayer and SwiGLULayer"));
    }

    let Some(Part { kind: Kind::Layer(norm), place }) = parts.next() else {
        return Err(Error::new("expected the final RMSNormLayer after the blocks").at(topology));
    };
    expect(norm, NORM).and_then(|()| eps.norm(norm, d_model)).at(place)?;
    match parts.next() {
        Some(Part { kind: Kind::Layer(layer), place }) => expect(layer, HEAD).and_then(|()| head(layer, d_model, vocab)).at(place)?,
        Some(Part { place, .. }) => return Err(Error::new("expected the head (a LinearLayer), found a ResidualTopology").at(place)),
        None if tied_embeddings => {}
        None => {
            return Err(Error::new("expected the head (a LinearLayer) at the end")
                .at(topology)
                .remedy("add it, or set tied_embeddings to true if the head is the embedding"));
        }
    }
    if let Some(Part { place, .. }) = parts.next() {
        return Err(Error::new("expected nothing after the head").at(place));
    }

    let architecture = Architecture {
        family: "llama".to_owned(),
        d_model,
        vocab,
        context: model.size("context").at(top)?.unwrap_or(CONTEXT),
        norm_eps: eps.0.unwrap_or_default(),
        norm_offset: 0.0,
        embedding_scale: 1.0,
        logit_cap: None,
        tied_embeddings,
        layers,
        bos: None,
        eos: Vec::new(),
    };
    architecture.check().at(top)?;
    Ok(architecture)
}

/// (size of the vocabulary, d_model)
fn embedder(section: Section) -> Result<(usize, usize)> {
    if let Some(kind) = section.text("type")?.filter(|&kind| kind != "token") {
        return Err(Error::new(format!("embedder `{kind}` is not supported; `token` is")).at("type"));
    }
    section.only("key of an embedder", &["type", "vocab_size", "d_model"])?;
    Ok((section.needed_size("vocab_size")?, section.needed_size("d_model")?))
}

/// Appends the parts of `node`, which stands at `place`.
fn flatten<'a>(node: &'a Value, place: String, depth: usize, parts: &mut Vec<Part<'a>>) -> Result<()> {
    if depth > MAX_NESTING {
        return Err(Error::new(format!("topologies are nested more than {MAX_NESTING} deep")).at(place));
    }
    let section = Section::of(node).at(&place)?;
    let kind = section.text("type").at(&place)?.ok_or_else(|| missing("type").at(&place))?;
    if kind == RESIDUAL {
        let [norm, layer] = residual(section, &place)?;
        return push(Part { kind: Kind::Residual { norm, layer }, place }, parts);
    }
    if !STACKS.contains(&kind) {
        known(kind).at(&place)?;
        return push(Part { kind: Kind::Layer(section), place }, parts);
    }
    section.only("key of a topology", &["type", "layers", "repeat", "name"]).at(&place)?;
    let children = children(section).at(&place)?;
    for _ in 0..section.size("repeat").at(&place)?.unwrap_or(1) {
        let before = parts.len();
        for (index, child) in children.iter().enumerate() {
            flatten(child, format!("{place}.layers[{index}]"), depth + 1, parts)?;
        }
        if parts.len() == before {
            break; // however often nothing is repeated
        }
    }
    Ok(())
}

fn push<'a>(part: Part<'a>, parts: &mut Vec<Part<'a>>) -> Result<()> {
    if parts.len() == MAX_PARTS {
        return Err(Error::new(format!("the topology has more than {MAX_PARTS} layers")).at(part.place).remedy("check `repeat`"));
    }
    parts.push(part);
    Ok(())
}

fn children(section: Section<'_>) -> Result<&Vec<Value>> {
    match section.get("layers") {
        Some(Value::Array(children)) => Ok(children),
        Some(_) => Err(Error::new("expected a list of layers").at("layers")),
        None => Err(missing("layers")),
    }
}

/// The norm and the layer of a residual block.
fn residual<'a>(section: Section<'a>, place: &str) -> Result<[Section<'a>; 2]> {
    section.only("key of a topology", &["type", "layers", "name"]).at(place)?;
    let children = children(section).at(place)?;
    for (index, child) in children.iter().enumerate() {
        let place = format!("{place}.layers[{index}]");
        let kind = Section::of(child).and_then(|child| child.text("type")).at(&place)?;
        known(kind.ok_or_else(|| missing("type").at(&place))?).at(&place)?;
    }
    let [norm, layer] = children.as_slice() else {
        return Err(Error::new(format!("expected a {NORM} and an {ATTENTION} or {MLP}, found {} layers", children.len()))
            .at(format!("{place}.layers")));
    };
    let (norm, layer) = (Section::of(norm)?, Section::of(layer)?);
    expect(&norm, NORM).at(format!("{place}.layers[0]"))?;
    Ok([norm, layer])
}

/// That the type is one of ours; the others of the platform are refused by name.
fn known(kind: &str) -> Result<()> {
    let types = [STACKS.as_slice(), &[RESIDUAL, NORM, ATTENTION, MLP, HEAD]].concat();
    if types.contains(&kind) {
        return Ok(());
    }
    let what = if kind.ends_with("Topology") { "topology" } else { "layer" };
    Err(Error::new(format!("{what} `{kind}` is not supported")).remedy(format!("supported are: {}", types.join(", "))))
}

fn expect(section: &Section, kind: &str) -> Result<()> {
    match section.text("type")? {
        Some(found) if found == kind => Ok(()),
        found => Err(Error::new(format!("expected {kind} here, found {}", found.unwrap_or("nothing")))),
    }
}

/// That the keys are known and the layer is as wide as the model.
fn layer(section: &Section, keys: &[&str], width: &str, d_model: usize) -> Result<()> {
    section.only("key of this layer", &[&["type", width], keys, &TRAINING_KEYS].concat())?;
    match section.size(width)? {
        Some(size) if size != d_model => Err(Error::new(format!("expected the embedder's d_model {d_model}, found {size}")).at(width)),
        _ => Ok(()),
    }
}

fn no_bias(section: &Section) -> Result<()> {
    match section.flag("bias")? {
        Some(true) => Err(Error::new("biases are not supported here").at("bias")),
        _ => Ok(()),
    }
}

/// All norms of a model share one epsilon.
struct Epsilon(Option<f32>);

impl Epsilon {
    fn norm(&mut self, section: &Section, d_model: usize) -> Result<()> {
        layer(section, &["eps"], "d_model", d_model)?;
        let eps = section.float("eps")?.unwrap_or(1e-5);
        match self.0.replace(eps) {
            Some(before) if before != eps => {
                Err(Error::new(format!("expected the same epsilon in every norm, found {before:e} before and {eps:e} here")).at("eps"))
            }
            _ => Ok(()),
        }
    }
}

fn attention_layer(section: &Section, d_model: usize) -> Result<Attention> {
    let keys: Vec<&str> = attention::KEYS.into_iter().chain(["bias", "is_causal", "rope_scaling"]).collect();
    layer(section, &keys, "d_model", d_model)?;
    no_bias(section)?;
    if section.flag("is_causal")? == Some(false) {
        return Err(Error::new("attention that sees the future is not supported").at("is_causal"));
    }
    let heads = section.needed_size("n_heads")?;
    let kv_heads = section.size("n_kv_heads")?.unwrap_or(heads);
    let plain = Rope::new(section.float("rope_base")?.unwrap_or(10_000.0), RopeScaling::None);
    let rope = match section.section("rope_scaling")? {
        None => plain,
        Some(scaling) => {
            let known = scaling.only("key of RoPE's scaling", &rope::SCALING_KEYS);
            let scaled = known.and_then(|()| rope::scaling(scaling, &rope::Contexts::default())).at("rope_scaling")?;
            Rope { scaling: scaled.scaling, attention_factor: scaled.attention_factor, ..plain }
        }
    };
    if section.text("mode")? == Some("decoupled") {
        // The widths of a head follow from sem_dim and geo_dim.
        return attention::layer(*section, &Attention::standard(heads, kv_heads, 0, Some(rope)), d_model);
    }
    let (key, width) = match section.size("attn_dim")? {
        Some(width) => ("attn_dim", width),
        None => ("d_model", d_model),
    };
    let Some(0) = width.checked_rem(heads) else {
        return Err(
            Error::new(format!("{key} is {width}, which {heads} heads can't share")).remedy(format!("make it a multiple of {heads}"))
        );
    };
    let rope = section.flag("rope_enabled")?.unwrap_or(true).then_some(rope);
    attention::layer(*section, &Attention::standard(heads, kv_heads, width / heads, rope), d_model)
}

fn mlp(section: &Section, d_model: usize) -> Result<usize> {
    layer(section, &["d_ff", "bias"], "d_model", d_model)?;
    no_bias(section)?;
    section.needed_size("d_ff")
}

fn head(section: &Section, d_model: usize, vocab: usize) -> Result<()> {
    layer(section, &["d_out", "bias"], "d_in", d_model)?;
    no_bias(section)?;
    match section.size("d_out")? {
        Some(size) if size != vocab => Err(Error::new(format!("expected the embedder's vocab_size {vocab}, found {size}")).at("d_out")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Gate;

    /// A model of two equal layers, with the first `from` of the text replaced by `to`.
    fn with(from: &str, to: &str) -> Result<Architecture> {
        const SECTION: &str = "
type: TransformerModel
embedder: {type: token, vocab_size: 97, d_model: 40}
tied_embeddings: false
topology:
  type: StackedTopology
  layers:
    - type: NestedTopology
      repeat: 2
      layers:
        - type: ResidualTopology
          layers: [{type: RMSNormLayer, d_model: 40, eps: 1e-5},
                   {type: AttentionLayer, d_model: 40, n_heads: 4, n_kv_heads: 2, mode: decoupled, sem_dim: 12, geo_dim: 24, decoupled_gate: true, rope_base: 500000.0}]
        - type: ResidualTopology
          layers: [{type: RMSNormLayer, d_model: 40, eps: 1e-5}, {type: SwiGLULayer, d_model: 40, d_ff: 72, bias: false}]
    - {type: RMSNormLayer, d_model: 40, eps: 1e-5}
    - {type: LinearLayer, d_in: 40, d_out: 97, bias: false}
";
        assert!(SECTION.contains(from), "{from}");
        architecture(&serde_yaml::from_str(&SECTION.replacen(from, to, 1)).unwrap())
    }

    #[test]
    fn a_section_is_read() {
        let model = with("", "").unwrap();
        assert_eq!((model.d_model, model.vocab, model.layers.len(), model.norm_eps, model.tied_embeddings), (40, 97, 2, 1e-5, false));
        let Layer { attention, d_ff, .. } = &model.layers[1];
        assert_eq!((attention.heads, attention.kv_heads, attention.sem, attention.geo, attention.value, *d_ff), (4, 2, 3, 6, 10, 72));
        assert!(attention.decoupled && attention.gate == Gate::Static && attention.rope.as_ref().unwrap().base == 500_000.0);

        let standard = with("mode: decoupled, sem_dim: 12, geo_dim: 24, decoupled_gate: true", "mode: gqa").unwrap();
        let attention = &standard.layers[0].attention;
        assert_eq!((attention.decoupled, attention.sem, attention.geo, attention.value), (false, 0, 10, 10));
        assert!(with("    - {type: LinearLayer, d_in: 40, d_out: 97, bias: false}\n", "").is_err());
        let tied = with("tied_embeddings: false", "tied_embeddings: true").unwrap();
        assert!(tied.tied_embeddings, "a head that is the embedding may be written down or not");
    }

    #[test]
    fn context_and_scaling_are_given() {
        assert_eq!(with("", "").unwrap().context, CONTEXT);
        let model = with("tied_embeddings: false", "context: 4096").unwrap();
        assert_eq!(model.context, 4096);
        let llama3 = "rope_type: llama3, factor: 32, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192";
        let expected = RopeScaling::Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 8192 };
        for mode in ["mode: decoupled", "mode: standard"] {
            let mode = if mode.ends_with("standard") { "mode: standard, rope_base: 500000.0" } else { "mode: decoupled" };
            let from = if mode.starts_with("mode: standard") {
                "mode: decoupled, sem_dim: 12, geo_dim: 24, decoupled_gate: true, rope_base: 500000.0"
            } else {
                "mode: decoupled"
            };
            let model = with(from, &format!("{mode}, rope_scaling: {{{llama3}}}")).unwrap();
            let rope = model.layers[1].attention.rope.as_ref().unwrap();
            assert_eq!((rope.base, &rope.scaling), (500_000.0, &expected), "{mode}");
        }
    }

    #[test]
    fn a_section_may_be_wrapped() {
        let section: serde_yaml::Value = serde_yaml::from_str(
            "{ref: system.language_model, config: {model: {embedder: {vocab_size: 7, d_model: 4}, topology: {type: BranchTopology}}}}",
        )
        .unwrap();
        assert!(
            architecture(&section)
                .unwrap_err()
                .to_string()
                .starts_with("config.model.topology: topology `BranchTopology` is not supported")
        );
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let told = |from: &str, to: &str| with(from, to).unwrap_err().to_string();
        for (from, to, expected) in [
            ("geo_dim: 24", "geo_dim: 20", "layers[0].layers[0].layers[1]: geo_dim gives each of the 4 heads 5 elements"),
            ("sem_dim: 12", "sem_dim: 13", "layers[0].layers[0].layers[1]: sem_dim is 13, which 4 heads can't share"),
            ("n_kv_heads: 2", "n_kv_heads: 3", "model: layer 0: 4 heads can't be shared out to 3 key/value heads"),
            ("sem_dim: 12,", "", "layers[0].layers[0].layers[1]: key `sem_dim` is missing"),
            ("SwiGLULayer", "MoELayer", "layers[0].layers[1].layers[1]: layer `MoELayer` is not supported"),
            ("type: NestedTopology", "type: ParallelTopology", "layers[0]: topology `ParallelTopology` is not supported"),
            ("geo_dim", "geo_dims", "unknown key of this layer `geo_dims`\n  help: did you mean `geo_dim`?"),
            ("d_ff: 72", "d_ff: 72.5", "layers[1].layers[1]: key `d_ff`: expected a whole number, found 72.5"),
            ("bias: false", "bias: true", "layers[1].layers[1]: bias: biases are not supported here"),
            ("d_out: 97", "d_out: 96", "layers[2]: d_out: expected the embedder's vocab_size 97, found 96"),
            (
                "- {type: RMSNormLayer, d_model: 40, eps: 1e-5}",
                "- {type: RMSNormLayer, d_model: 40, eps: 1e-6}",
                "expected the same epsilon",
            ),
            ("repeat: 2", "repeat: 0", "model.topology: there is no attention block"),
            ("repeat: 2", "repeat: 1000000", "more than 16384 layers"),
            ("mode: decoupled", "mode: sparse", "unknown attention mode `sparse`"),
            ("mode: decoupled", "mode: gqa", "`sem_dim` means nothing to an attention of mode `gqa`"),
            ("decoupled_gate: true", "rope_scaling: {rope_type: yan}", "rope_scaling: unknown RoPE scaling `yan`"),
            ("decoupled_gate: true", "rope_scaling: {rope_type: linear, facto: 2}", "did you mean `factor`?"),
            (
                "decoupled_gate: true",
                "rope_scaling: {rope_type: llama3, factor: 8, low_freq_factor: 1, high_freq_factor: 4}",
                "rope_scaling: key `original_max_position_embeddings` is missing",
            ),
            (
                "{type: SwiGLULayer",
                "{type: AttentionLayer",
                "layers[0].layers[1].layers[1]: expected SwiGLULayer here, found AttentionLayer",
            ),
            ("type: token", "type: patch", "model.embedder: type: embedder `patch` is not supported"),
        ] {
            let message = told(from, to);
            assert!(message.starts_with("model") && message.contains(expected), "{message}\nexpected {expected}");
        }
    }
}
