//! Layers in words: what a reader of the paper's table of architectures would want to know.

use super::columns::columns;
use crate::model::{Activation, Architecture, Attention, Block, Gate, Layer, OutputGate, QkNorm, Rope, RopeScaling};

/// One line for each stretch of equal layers.
pub fn layers(architecture: &Architecture) -> String {
    let mut rows: Vec<(usize, usize, &Layer)> = Vec::new();
    for (index, layer) in architecture.layers.iter().enumerate() {
        match rows.last_mut() {
            Some((_, last, known)) if *known == layer => *last = index,
            _ => rows.push((index, index, layer)),
        }
    }
    let range = |first, last| if first == last { format!("  {first}") } else { format!("  {first} to {last}") };
    let rows = rows.into_iter().map(|(first, last, layer)| vec![range(first, last), describe(layer)]);
    columns(&rows.collect::<Vec<_>>(), &[])
}

fn describe(layer: &Layer) -> String {
    let attention = &layer.attention;
    let mut parts = vec![heads(attention)];
    if let Some(latent) = &attention.latent {
        parts.push(format!(
            "keys and values of a latent {} wide + a rotated key {} wide, outputs {}",
            attention.sem, attention.geo, latent.value
        ));
    } else if attention.decoupled {
        parts.push(format!("keys {} semantic + {} geometric wide, values {}", attention.sem, attention.geo, attention.value));
    } else if attention.value == attention.geo {
        parts.push(format!("{} wide", attention.geo));
    } else {
        parts.push(format!("keys {} wide, values {}", attention.geo, attention.value));
    }
    parts.push(attention.rope.as_ref().map_or_else(|| "not rotated".to_string(), rope));
    let options = [
        (attention.rope_semantic, "semantic path rotated too"),
        (attention.gate == Gate::Static, "gate"),
        (attention.gate == Gate::Dynamic, "dynamic gate"),
        (attention.learned_temp, "learned temperature"),
        (attention.tie_qk, "tied semantic keys"),
        (attention.null_attn, "null attention"),
        (attention.qkv_bias, "biases"),
        (attention.out_bias, "output bias"),
        (attention.differential.is_some(), "differential (pairs of heads)"),
        (attention.output_gate == OutputGate::Head, "outputs gated by head"),
        (attention.output_gate == OutputGate::Elementwise, "outputs gated by element"),
        (attention.qk_norm == QkNorm::Head, "norms of queries and keys"),
        (attention.qk_norm == QkNorm::All, "norms of queries and keys over all heads"),
    ];
    parts.extend(options.into_iter().filter(|(on, _)| *on).map(|(_, name)| name.to_string()));
    parts.extend(attention.window.map(|window| format!("window of {window} tokens")));
    parts.extend(attention.score_cap.map(|cap| format!("scores capped at {cap}")));
    parts.push(format!("MLP {} wide", layer.d_ff));
    if layer.activation == Activation::GeluTanh {
        parts.push("GELU".to_owned());
    }
    let norms = |place: fn(&Block) -> Option<&'static str>| layer.blocks().iter().filter_map(place).count();
    match (norms(|block| block.before), norms(|block| block.after)) {
        (_, 0) => {}
        (0, _) => parts.push("norms after blocks".to_owned()),
        _ => parts.push("norms before and after blocks".to_owned()),
    }
    parts.join(", ")
}

fn heads(attention: &Attention) -> String {
    let kind = match (attention.decoupled, attention.latent) {
        (true, _) => "decoupled",
        (_, Some(_)) => return format!("latent: {} query heads", attention.heads),
        _ => "standard",
    };
    if attention.kv_heads == attention.heads {
        format!("{kind}: {} heads", attention.heads)
    } else {
        format!("{kind}: {} query heads share {} key heads", attention.heads, attention.kv_heads)
    }
}

fn rope(rope: &Rope) -> String {
    let base = format!("RoPE base {}", rope.base);
    match &rope.scaling {
        RopeScaling::None => base,
        RopeScaling::Linear { factor } => format!("{base} stretched {factor} times"),
        RopeScaling::Llama3 { factor, .. } => format!("{base} stretched {factor} times as Llama 3"),
        RopeScaling::Factors(_) => format!("{base} with stored factors"),
        RopeScaling::Yarn { factor, .. } => format!("{base} stretched {factor} times by YaRN"),
        RopeScaling::Dynamic { factor, .. } => format!("{base} stretched up to {factor} times with the length (dynamic NTK)"),
        RopeScaling::PerHead(heads) => {
            format!("RoPE of {} frequencies for each of {} key heads", heads.first().map_or(0, Vec::len), heads.len())
        }
        RopeScaling::LongRope { original_context, .. } => format!("{base} by LongRoPE beyond {original_context} tokens"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_layers_share_a_line() {
        let rope = || Some(Rope::new(10000.0, RopeScaling::None));
        let standard = Attention::standard(9, 3, 64, rope());
        let decoupled = Attention {
            decoupled: true,
            kv_heads: 9,
            sem: 8,
            geo: 16,
            gate: Gate::Dynamic,
            learned_temp: true,
            null_attn: true,
            rope: Some(Rope::new(5e5, RopeScaling::Linear { factor: 4.0 })),
            ..standard.clone()
        };
        let layer = |attention: &Attention| Layer::llama(attention.clone(), 1536);
        let architecture = Architecture {
            family: "llama".into(),
            d_model: 576,
            vocab: 49152,
            context: 8192,
            norm_eps: 1e-5,
            norm_offset: 0.0,
            embedding_scale: 1.0,
            logit_cap: None,
            tied_embeddings: true,
            layers: vec![layer(&standard), layer(&standard), layer(&decoupled)],
            bos: None,
            eos: vec![2],
        };
        insta::assert_snapshot!(layers(&architecture), @r"
        0 to 1  standard: 9 query heads share 3 key heads, 64 wide, RoPE base 10000, MLP 1536 wide
        2       decoupled: 9 heads, keys 8 semantic + 16 geometric wide, values 64, RoPE base 500000 stretched 4 times, dynamic gate, learned temperature, null attention, MLP 1536 wide
        ");
    }
}
