//! `config.json`: both generations (`rope_theta` and `rope_scaling`; `rope_parameters`), and our own `attention` section.
//!
//! Source of keys and defaults: `configuration_llama.py`, `configuration_mistral.py`, `configuration_qwen2.py`, `configuration_qwen3.py`,
//! `configuration_phi3.py` of `transformers`.

use super::{attention, rope};
use crate::error::{At, Error, Result, unknown};
use crate::model::architecture::{Architecture, Attention, Layer};
use crate::model::section::{Section, missing};
use serde_json::Value;

/// What a `model_type` implies.
struct Family {
    name: &'static str,
    /// `attention_bias` may give all four projections a bias.
    optional_bias: bool,
    /// Q, K and V have a bias, O has none, whatever the configuration says.
    qkv_bias: bool,
    qk_norm: bool,
    /// Values of absent keys (the defaults of `transformers`).
    head_size: Option<usize>,
    kv_heads: Option<usize>,
    window: Window,
    /// `sliding_window` where the key is absent (`null` means none).
    default_window: Option<usize>,
    /// A part of each head may be rotated.
    partial_rotation: bool,
}

/// Which layers `sliding_window` concerns.
#[derive(PartialEq)]
enum Window {
    None,
    All,
    /// Those from `max_window_layers` on, if `use_sliding_window` is true.
    Upper,
}

const PLAIN: Family = Family {
    name: "llama",
    optional_bias: true,
    qkv_bias: false,
    qk_norm: false,
    head_size: None,
    kv_heads: None,
    window: Window::None,
    default_window: Some(4096),
    partial_rotation: false,
};

const FAMILIES: &[Family] = &[
    PLAIN,
    Family { name: "mistral", optional_bias: false, kv_heads: Some(8), window: Window::All, ..PLAIN },
    Family { name: "qwen2", optional_bias: false, qkv_bias: true, window: Window::Upper, ..PLAIN },
    Family { name: "qwen3", qk_norm: true, head_size: Some(128), window: Window::Upper, ..PLAIN },
    Family { name: "phi3", optional_bias: false, window: Window::All, default_window: None, partial_rotation: true, ..PLAIN },
];

/// No model has more, and a layer's description must not be made a billion times because a file says so.
const MAX_LAYERS: usize = 1 << 12;

/// The architecture that a `config.json` describes.
///
/// # Errors
/// Unknown or unsupported families and options; missing and mistyped keys.
pub(crate) fn architecture(config: &Value) -> Result<Architecture> {
    let config = Section::of(config)?;
    let name = config.text("model_type")?.ok_or_else(|| missing("model_type"))?;
    let Some(family) = FAMILIES.iter().find(|family| family.name == name) else { return Err(no_family(config, name)) };
    refuse_unsupported(config)?;

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
        ..Attention::standard(heads, kv_heads, head_size, Some(rope::of(config, head_size, family.partial_rotation)?))
    };
    let windows = windows(config, family, count)?;
    let mut attentions: Vec<Attention> = windows.into_iter().map(|window| Attention { window, ..standard.clone() }).collect();
    if let Some(section) = config.section("attention")? {
        attention::apply(section, &mut attentions, d_model).at("key `attention`")?;
    }

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
    let architecture = Architecture {
        family: name.to_owned(),
        d_model,
        vocab: config.needed_size("vocab_size")?,
        context: rope::context(config)?,
        norm_eps: config.float("rms_norm_eps")?.unwrap_or(1e-6),
        tied_embeddings: config.flag("tie_word_embeddings")?.unwrap_or(false),
        layers: attentions.into_iter().zip(d_ff).map(|(attention, d_ff)| Layer { attention, d_ff }).collect(),
        bos: tokens(config, "bos_token_id")?.first().copied(),
        eos: tokens(config, "eos_token_id")?,
    };
    architecture.check()?;
    Ok(architecture)
}

/// What there is to say of a model type that isn't ours.
fn no_family(config: Section, name: &str) -> Error {
    let known = || FAMILIES.iter().map(|family| family.name);
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
    for key in ["hidden_act", "hidden_activation"] {
        if let Some(activation) = config.text(key)?.filter(|&activation| !matches!(activation, "silu" | "swish")) {
            return Err(Error::new(format!("activation `{activation}` is not supported; silu is")).at(format!("key `{key}`")));
        }
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
        Window::All => true,
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
    let first = match family.window {
        Window::Upper => config.size("max_window_layers")?.unwrap_or(28),
        _ => 0,
    };
    Ok((0..count).map(|layer| (layer >= first).then_some(window)).collect())
}
