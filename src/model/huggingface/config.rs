//! `config.json`: both generations (`rope_theta` and `rope_scaling`; `rope_parameters`), and our own `attention` section.
//!
//! What a `model_type` implies stands in the files of [`architectures`](crate::model::architectures).

use super::{attention, rope};
use crate::error::{At, Error, Result, unknown};
use crate::model::architecture::{Architecture, Attention, Layer};
use crate::model::architectures::{Family, Window, families};
use crate::model::operations::Activation;
use crate::model::section::{Section, missing};
use serde_json::Value;

/// No model has more, and a layer's description must not be made a billion times because a file says so.
const MAX_LAYERS: usize = 1 << 12;

/// The architecture that a `config.json` describes.
///
/// # Errors
/// Unknown or unsupported families and options; missing and mistyped keys.
pub fn architecture(config: &Value) -> Result<Architecture> {
    let config = Section::of(config)?;
    let name = config.text("model_type")?.ok_or_else(|| missing("model_type"))?;
    let Some(family) = families().find(|family| family.name == name) else { return Err(no_family(config, name)) };
    refuse_unsupported(config)?;
    let activation = activation(config, family)?;

    let d_model = config.needed_size("hidden_size")?;
    let count = config.needed_size("num_hidden_layers")?;
    if !(1..=MAX_LAYERS).contains(&count) {
        return Err(Error::new(format!("expected 1 to {MAX_LAYERS} layers, found {count}")).at("key `num_hidden_layers`"));
    }
    let heads = config.needed_size("num_attention_heads")?;
    let kv_heads = config.size("num_key_value_heads")?.or(family.kv_heads).unwrap_or(heads);
    let head_size = match config.size("head_dim")?.or(family.head_size) {
        Some(size) => size,
        None if d_model.checked_rem(heads) == Some(0) => d_model / heads,
        None => return Err(Error::new(format!("{heads} heads can't share hidden_size {d_model}, and there is no head_dim"))),
    };
    let bias = family.optional_bias && config.flag("attention_bias")?.unwrap_or(false);
    let standard = Attention {
        qkv_bias: bias || family.qkv_bias,
        out_bias: bias,
        qk_norm: family.qk_norm,
        ..Attention::standard(heads, kv_heads, head_size, None)
    };
    let ropes = rope::Ropes::of(config, head_size, family)?;
    let windowed = |window: Option<usize>| Attention { window, rope: Some(ropes.of_layer(window.is_some()).clone()), ..standard.clone() };
    let attentions = windows(config, family, count)?.into_iter().map(windowed);

    let d_ff = config.sizes("intermediate_size")?.ok_or_else(|| missing("intermediate_size"))?;
    // A list is ours: a GGUF may have layers of different widths.
    let d_ff = match d_ff.len() {
        1 => vec![d_ff[0]; count],
        n if n == count => d_ff,
        n => {
            return Err(
                Error::new(format!("expected one width or one for each of the {count} layers, found {n}")).at("key `intermediate_size`")
            );
        }
    };
    let layer =
        |(attention, d_ff): (Attention, usize)| Layer { activation, operations: family.operations, ..Layer::llama(attention, d_ff) };
    let mut architecture = Architecture {
        family: name.to_owned(),
        d_model,
        vocab: config.needed_size("vocab_size")?,
        context: rope::context(config)?,
        norm_eps: config.float("rms_norm_eps")?.unwrap_or(family.norm_eps),
        norm_offset: family.norm_offset,
        embedding_scale: 1.0,
        logit_cap: None,
        tied_embeddings: config.flag("tie_word_embeddings")?.unwrap_or(family.tied_embeddings),
        layers: attentions.zip(d_ff).map(layer).collect(),
        bos: tokens(config, "bos_token_id")?.first().copied(),
        eos: tokens(config, "eos_token_id")?,
    };
    (family.config)(config, &mut architecture)?;
    if let Some(section) = config.section("attention")? {
        let mut attentions: Vec<Attention> = architecture.layers.iter().map(|layer| layer.attention.clone()).collect();
        attention::apply(section, &mut attentions, d_model).at("key `attention`")?;
        architecture.layers.iter_mut().zip(attentions).for_each(|(layer, attention)| layer.attention = attention);
    }
    architecture.check()?;
    Ok(architecture)
}

/// The activation of the MLPs. Where both keys are there, the newer one counts.
fn activation(config: Section, family: &Family) -> Result<Activation> {
    for key in ["hidden_activation", "hidden_act"] {
        match config.text(key)? {
            None => {}
            Some("silu" | "swish") => return Ok(Activation::Silu),
            Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_fast") => return Ok(Activation::GeluTanh),
            Some(other) => {
                return Err(
                    Error::new(format!("activation `{other}` is not supported; silu and gelu_pytorch_tanh are")).at(format!("key `{key}`"))
                );
            }
        }
    }
    Ok(family.activation)
}

/// What there is to say of a model type that isn't ours.
fn no_family(config: Section, name: &str) -> Error {
    let known = || families().map(|family| family.name);
    if ["num_experts", "num_local_experts", "n_routed_experts"].into_iter().any(|key| config.get(key).is_some()) {
        return Error::new(format!("`{name}` has mixture-of-experts layers, which are not supported"))
            .remedy("choose a dense model")
            .at("key `model_type`");
    }
    // A model of texts and images has its language model's configuration inside its own.
    let inner = ["text_config", "language_config", "llm_config"].into_iter().find_map(|key| {
        let inner = config.section(key).ok().flatten()?;
        Some((key, inner.text("model_type").ok().flatten().unwrap_or("unknown")))
    });
    let error = match inner {
        Some((key, family)) => Error::new(format!(
            "`{name}` is a model of several kinds of input; its language model, of type `{family}`, is described in `{key}`"
        ))
        .remedy(match known().any(|known| known == family) {
            true => format!(
                "save the language model by itself: model.language_model.save_pretrained(path); its config.json is then what `{key}` holds"
            ),
            false => format!("supported language models are: {}", known().collect::<Vec<_>>().join(", ")),
        }),
        None => unknown("model type", name, known()),
    };
    error.at("key `model_type`")
}

/// `generation_config.json` knows more ends of a text than `config.json` does (the end of a turn, of a message).
pub(crate) fn add_generation(architecture: &mut Architecture, config: &Value) -> Result<()> {
    let config = Section::of(config)?;
    for token in tokens(config, "eos_token_id")? {
        if !architecture.eos.contains(&token) {
            architecture.eos.push(token);
        }
    }
    architecture.bos = architecture.bos.or(tokens(config, "bos_token_id")?.first().copied());
    Ok(())
}

/// Options that would change the computation, and that the runtime doesn't have.
fn refuse_unsupported(config: Section) -> Result<()> {
    if config.flag("use_bidirectional_attention")? == Some(true) {
        return Err(Error::new("attention that sees the future is not supported").at("key `use_bidirectional_attention`"));
    }
    // `transformers` makes masks of any decoder bidirectional where this is said.
    if config.flag("is_causal")? == Some(false) {
        return Err(Error::new("attention that sees the future is not supported").at("key `is_causal`"));
    }
    if config.flag("mlp_bias")? == Some(true) {
        return Err(Error::new("biases in the MLP are not supported").at("key `mlp_bias`"));
    }
    if let Some(quantised) = config.section("quantization_config")? {
        let method = quantised.text("quant_method")?.unwrap_or("unknown");
        return Err(Error::new(format!("weights quantised by `{method}` are not supported in safetensors"))
            .at("key `quantization_config`")
            .remedy("use the unquantised weights, or a GGUF file"));
    }
    Ok(())
}

/// One token or a list of them. Some configurations say -1 for none.
fn tokens(config: Section, key: &str) -> Result<Vec<u32>> {
    if config.get(key).and_then(Value::as_i64).is_some_and(|token| token < 0) {
        return Ok(Vec::new());
    }
    let tokens = config.sizes(key)?.unwrap_or_default();
    let narrow = |token: usize| u32::try_from(token).map_err(|_| Error::new(format!("{token} is no token")).at(format!("key `{key}`")));
    tokens.into_iter().map(narrow).collect()
}

/// The visible positions of each layer.
fn windows(config: Section, family: &Family, count: usize) -> Result<Vec<Option<usize>>> {
    // Absent and null are two things here: `transformers` has a default.
    let window = if config.has("sliding_window") { config.size("sliding_window")? } else { family.default_window };
    let on = match family.window {
        Window::None => false,
        Window::All | Window::AllButEvery(_) => true,
        Window::Upper => config.flag("use_sliding_window")?.unwrap_or(false),
    };
    let Some(window) = window.filter(|_| on) else { return Ok(vec![None; count]) };
    if let Some(types) = config.texts("layer_types")? {
        if types.len() != count {
            return Err(
                Error::new(format!("expected one type for each of the {count} layers, found {}", types.len())).at("key `layer_types`")
            );
        }
        let one = |kind: &str| match kind {
            "full_attention" => Ok(None),
            "sliding_attention" => Ok(Some(window)),
            other => Err(unknown("layer type", other, ["full_attention", "sliding_attention"]).at("key `layer_types`")),
        };
        return types.into_iter().map(one).collect();
    }
    let (mut first, mut every) = (0, None);
    match family.window {
        Window::Upper => first = config.size("max_window_layers")?.unwrap_or(28),
        Window::AllButEvery(n) => {
            every = Some(config.size("sliding_window_pattern")?.or(config.size("_sliding_window_pattern")?).unwrap_or(n));
        }
        Window::None | Window::All => {}
    }
    let has = |layer: usize| layer >= first && every.is_none_or(|every| !(layer + 1).is_multiple_of(every));
    Ok((0..count).map(|layer| has(layer).then_some(window)).collect())
}
