//! The `config.json` of an architecture: the reverse of `huggingface/config.rs`, and checked against it.

use crate::error::{Error, Result};
use crate::model::architecture::{Architecture, Attention, Gate};
use crate::model::huggingface::config;
use crate::model::rope::{Rope, RopeScaling};
use crate::model::tensor::DataType;
use serde_json::{Map, Value, json};

/// A `model_type` and the class of `transformers` that goes with it.
const CLASSES: [(&str, &str); 4] =
    [("llama", "LlamaForCausalLM"), ("mistral", "MistralForCausalLM"), ("qwen2", "Qwen2ForCausalLM"), ("qwen3", "Qwen3ForCausalLM")];

/// The configuration that is read as exactly `architecture`.
///
/// The family's own name is tried first, then the others: which of them has this combination of biases, norms and windows is for the
/// reader to say, and a combination that none has is found out here and not when the model is opened.
///
/// # Errors
/// There is no such configuration.
pub(super) fn of(architecture: &Architecture, data_type: DataType) -> Result<Value> {
    let mut classes = CLASSES.to_vec();
    classes.sort_by_key(|(family, _)| *family != architecture.family);
    for (family, class) in classes {
        let written = compose(architecture, data_type, family, class);
        // Compared without the name: a checkpoint's family may be called anything.
        let expected = Architecture { family: family.to_owned(), ..architecture.clone() };
        if config::architecture(&written).is_ok_and(|read| read == expected) {
            return Ok(written);
        }
    }
    Err(Error::new(
        "config.json can't say what this model is: its layers differ, or combine options, in a way that no supported family does",
    ))
}

fn compose(architecture: &Architecture, data_type: DataType, family: &str, class: &str) -> Value {
    let attentions: Vec<&Attention> = architecture.layers.iter().map(|layer| &layer.attention).collect();
    let decoupled = attentions.iter().find(|attention| attention.decoupled).copied();
    // What the keys of a standard model describe. A student without any standard layer has the head size of its values.
    let standard = attentions.iter().find(|attention| !attention.decoupled).copied();
    let head_size = |attention: &Attention| if attention.decoupled { attention.value } else { attention.geo };
    let Some(base) = standard.or(decoupled) else { return Value::Null };
    // Frequencies of single heads stand with their layer.
    let ropes = || attentions.iter().filter_map(|attention| attention.rope.as_ref());
    let rope = ropes().find(|rope| rope.heads().is_none()).or_else(|| ropes().next());
    let mut widths: Vec<usize> = architecture.layers.iter().map(|layer| layer.d_ff).collect();
    widths.dedup();
    let float_type = match data_type {
        DataType::F16 => "float16",
        DataType::BF16 => "bfloat16",
        _ => "float32",
    };

    let mut written = Map::new();
    let mut put = |key: &str, value: Value| _ = written.insert(key.to_owned(), value);
    put("architectures", json!([class]));
    put("model_type", json!(family));
    put("vocab_size", json!(architecture.vocab));
    put("hidden_size", json!(architecture.d_model));
    put(
        "intermediate_size",
        if let [width] = widths[..] { json!(width) } else { architecture.layers.iter().map(|layer| layer.d_ff).collect() },
    );
    put("num_hidden_layers", json!(architecture.layers.len()));
    put("num_attention_heads", json!(base.heads));
    put("num_key_value_heads", json!(base.kv_heads));
    put("head_dim", json!(head_size(base)));
    put("hidden_act", json!("silu"));
    put("max_position_embeddings", json!(architecture.context));
    put("rms_norm_eps", number(architecture.norm_eps));
    put("tie_word_embeddings", json!(architecture.tied_embeddings));
    put("attention_bias", json!(base.out_bias));
    put("mlp_bias", json!(false));
    // The older generation of keys: both generations of `transformers` read it.
    if let Some(rope) = rope {
        put("rope_theta", number(rope.base));
        put("rope_scaling", scaling(rope));
    }
    put("sliding_window", json!(attentions.iter().find_map(|attention| attention.window)));
    if attentions.iter().any(|attention| attention.window.is_some()) {
        let kind = |attention: &&Attention| if attention.window.is_some() { "sliding_attention" } else { "full_attention" };
        put("use_sliding_window", json!(true));
        put("max_window_layers", json!(0));
        put("layer_types", attentions.iter().map(kind).collect());
    }
    put("bos_token_id", json!(architecture.bos));
    put("eos_token_id", if let [token] = architecture.eos[..] { json!(token) } else { json!(architecture.eos) });
    put("torch_dtype", json!(float_type));
    if let Some(decoupled) = decoupled {
        put("attention", section(&attentions, decoupled, architecture.d_model, rope));
    }
    Value::Object(written)
}

/// The options of the first decoupled layer for all, and of every layer that differs from it for that layer.
fn section(attentions: &[&Attention], decoupled: &Attention, d_model: usize, rope: Option<&Rope>) -> Value {
    let mut all = options(decoupled, rope);
    // Left out where it is the default, as in the platform's own files.
    if decoupled.heads * decoupled.value == d_model {
        all.shift_remove("attn_dim");
    }
    let own = |attention: &Attention| match attention.decoupled {
        true => Value::Object(options(attention, rope)),
        false => json!({ "mode": "standard" }),
    };
    let differ = attentions.iter().enumerate().filter(|(_, attention)| **attention != decoupled);
    let overrides: Map<String, Value> = differ.map(|(index, attention)| (index.to_string(), own(attention))).collect();
    if !overrides.is_empty() {
        all.insert("layers".to_owned(), Value::Object(overrides));
    }
    Value::Object(all)
}

fn options(attention: &Attention, rope: Option<&Rope>) -> Map<String, Value> {
    let heads = attention.heads;
    let mut written = Map::new();
    let mut put = |key: &str, value: Value| _ = written.insert(key.to_owned(), value);
    put("mode", json!("decoupled"));
    put("sem_dim", json!(heads * attention.sem));
    put("geo_dim", json!(heads * attention.geo));
    put("attn_dim", json!(heads * attention.value));
    put("n_heads", json!(heads));
    put("n_kv_heads", json!(attention.kv_heads));
    put("decoupled_gate", json!(attention.gate != Gate::None));
    put("decoupled_gate_dynamic", json!(attention.gate == Gate::Dynamic));
    put("learned_temp", json!(attention.learned_temp));
    put("tie_qk", json!(attention.tie_qk));
    put("null_attn", json!(attention.null_attn));
    put("rope_enabled", json!(attention.rope.is_some()));
    put("rope_semantic", json!(attention.rope_semantic));
    if let (Some(own), Some(rope)) = (&attention.rope, rope)
        && own.base != rope.base
    {
        put("rope_base", number(own.base));
    }
    if let Some(RopeScaling::PerHead(heads)) = attention.rope.as_ref().map(|rope| &rope.scaling) {
        put("rope_frequencies", heads.iter().map(|head| head.iter().map(|&frequency| number(frequency)).collect::<Value>()).collect());
    }
    written
}

fn scaling(rope: &Rope) -> Value {
    let numbers = |factors: &[f32]| factors.iter().map(|&factor| number(factor)).collect::<Vec<_>>();
    let mut written = match &rope.scaling {
        RopeScaling::None | RopeScaling::PerHead(_) if rope.attention_factor == 1.0 => return Value::Null,
        RopeScaling::None | RopeScaling::PerHead(_) => json!({ "rope_type": "default" }),
        RopeScaling::Linear { factor } => json!({ "rope_type": "linear", "factor": number(*factor) }),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => json!({
            "rope_type": "llama3",
            "factor": number(*factor),
            "low_freq_factor": number(*low_freq_factor),
            "high_freq_factor": number(*high_freq_factor),
            "original_max_position_embeddings": original_context,
        }),
        RopeScaling::Factors(factors) => json!({ "rope_type": "factors", "factors": numbers(factors) }),
        RopeScaling::Yarn { factor, beta_fast, beta_slow, original_context, truncate } => json!({
            "rope_type": "yarn",
            "factor": number(*factor),
            "beta_fast": number(*beta_fast),
            "beta_slow": number(*beta_slow),
            "original_max_position_embeddings": original_context,
            "truncate": truncate,
        }),
        RopeScaling::Dynamic { factor, .. } => json!({ "rope_type": "dynamic", "factor": number(*factor) }),
        RopeScaling::LongRope { short, long, original_context } => json!({
            "rope_type": "longrope",
            "short_factor": numbers(short),
            "long_factor": numbers(long),
            "original_max_position_embeddings": original_context,
        }),
    };
    if matches!(rope.scaling, RopeScaling::Yarn { .. } | RopeScaling::LongRope { .. }) || rope.attention_factor != 1.0 {
        written["attention_factor"] = number(rope.attention_factor);
    }
    written
}

/// A float as people write it: `1e-5`, where widening it to 64 bits would give `0.000009999999747378752`.
fn number(value: f32) -> Value {
    json!(value.to_string().parse::<f64>().unwrap_or(f64::from(value)))
}
