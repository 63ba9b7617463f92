//! Attention that a script defines: every variant with every kind of cache, in prefill and decode, for one sequence and for several, on a device with all
//! features and on one without any, beside the same functions run as Rhai.

mod common;

use caramba::script::Reference;
use common::attention::{Attention, DECODED, check_decoded, tiled_rows};
use common::lab::Lab;
use common::twins::Layer;
use serde_json::json;
use std::rc::Rc;

/// Name, and a script.
const VARIANTS: &[(&str, &str)] = &[
    ("causal", "attention(#{})"),
    ("window", "attention(#{ mask: |at| at.query - at.key < 7 })"),
    ("window and sinks", "attention(#{ mask: |at| at.query - at.key < 6 || at.key < 3 })"),
    ("prefix", "let n = 9; attention(#{ mask: |at| at.key < n || at.query >= 20 })"),
    ("document", "let ends = [11, 11, 11, 30, 30, 49, 49]; attention(#{ mask: |at| ends[at.query / 8] == ends[at.key / 8] })"),
    ("dilated", "attention(#{ mask: |at| (at.query - at.key) % 3 == 0 })"),
    ("block local", "attention(#{ mask: |at| at.query / 8 - at.key / 8 <= 1 })"),
    (
        "a window for each head",
        "let windows = [2, 5, 9, 30, 3, 50, 4, 6, 8, 10, 12, 1]; attention(#{ mask: |at| at.query - at.key < windows[at.head] })",
    ),
    ("soft cap", "let cap = 0.8; attention(#{ score: |score, at| cap * tanh(score / cap) })"),
    ("ALiBi", "let slopes = alibi_slopes(12); attention(#{ score: |score, at| score + slopes[at.head] * (at.key - at.query) })"),
    (
        "bias table",
        "let bias = []; for h in 0..12 { bias.push([]); for d in 0..5 { bias[h].push((h - d) * 0.125); } }
        attention(#{ score: |score, at| score + bias[at.head][min(at.query - at.key, 4)] })",
    ),
    ("temperature per head", "let t = [0.5, 2.0, 1.0]; attention(#{ score: |score, at| score * t[at.kv_head] })"),
    ("log-n temperature", "attention(#{ score: |score, at| score * log(at.length + 1) / log(16) })"),
    ("learned sink", "attention(#{ sink: [0.5, -1.0, 2.0, 0.0, 1.5, -0.5, 3.0, 0.25, -2.0, 1.0, 0.75, -0.25] })"),
    ("off by one", "attention(#{ normaliser: \"off_by_one\", mask: |at| at.key % 2 == 1 })"),
    ("sigmoid", "attention(#{ normaliser: \"sigmoid\", bias: -1.5 })"),
    ("relu", "attention(#{ normaliser: \"relu\", bias: 0.25, score: |score, at| score / at.length })"),
    (
        "functions, branches and powers",
        "fn decay(distance, rate) { if distance == 0 { return 0.0; } let x = distance ** 0.5; x * rate }
        attention(#{ score: |score, at| {
            let rate = if at.head % 2 == 0 { 0.5 } else { 0.1 * (at.layer - 1) };
            if at.key == 0 { rate += 0.25; }
            if at.sequence == 2 && !(at.query < 4) { return score - rate; }
            score - decay(at.query - at.key, rate).abs() + clamp(floor(score), -1.0, 1.0)
        } })",
    ),
    ("a mask that hides everything", "attention(#{ mask: |at| at.key > at.query })"),
    (
        "a score that is no number",
        "attention(#{ score: |score, at| if at.key % 4 == 1 { sqrt(-1.0 - at.key) } else { score / ((at.key % 3) * 1.0) } })",
    ),
];

const KINDS: [&str; 3] = ["f16", "q8", "q4"];

/// 12 heads on 3, now and then with a semantic path and a null key. Heads of 20, which are no whole units of a quantised cache, take a software driver ten
/// times as long to compile as those of 24 and 16: they have their turn too.
fn layer(index: usize, kind: &'static str) -> Layer {
    match index % 8 {
        4 => Layer { sem: 8, value: 24, null_attn: true, ..Layer::standard(12, 3, 8, [kind; 3]) },
        1 => Layer::standard(12, 3, 20, [if kind == "q4" { "f16" } else { kind }; 3]),
        _ if kind == "f16" => Layer::standard(12, 3, 20, [kind; 3]),
        _ => Layer::standard(12, 3, [16, 24][index % 2], [kind; 3]),
    }
}

fn scripts() -> Vec<Rc<Reference>> {
    let script = |(name, text): &(&str, &str)| Reference::new(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    VARIANTS.iter().map(script).map(Rc::new).collect()
}

/// The variants whose turn it is on a device: a software driver compiles each for seconds.
/// `CARAMBA_ALL_VARIANTS=1` tries each with every kind of cache everywhere.
fn turns(lab: &Lab, mode: &str) -> Vec<(usize, &'static str)> {
    let rotated = |step: usize| (0..VARIANTS.len()).step_by(step).map(|index| (index, KINDS[(index + index / 3) % 3]));
    match (lab.name, mode) {
        _ if std::env::var_os("CARAMBA_ALL_VARIANTS").is_some() => {
            (0..VARIANTS.len()).flat_map(|index| KINDS.map(|kind| (index, kind))).collect()
        }
        ("full", _) => rotated(1).collect(),
        ("bare", "decode") => rotated(5).collect(),
        ("bare", _) => rotated(7).collect(),
        _ => vec![(10, "q8")],
    }
}

/// Masks whose tiles are skipped, so that the comparisons below mean something.
#[test]
fn tiles_that_a_mask_hides_are_known() {
    for ((name, _), script) in VARIANTS.iter().zip(scripts()) {
        let expected = matches!(*name, "document" | "block local" | "a window for each head" | "a mask that hides everything");
        let found = Attention::new(layer(0, "f16"), 1).with(&script).map();
        assert_eq!(found.is_some(), expected, "{name}");
    }
}

#[test]
fn prefill() {
    let scripts = scripts();
    for lab in &Lab::all() {
        let workgroup = if lab.subgroup() > 0 { lab.subgroup() } else { 32 };
        let rows = tiled_rows(workgroup);
        for (index, kind) in turns(lab, "prefill") {
            eprintln!("{} as {kind}", VARIANTS[index].0);
            let parameters =
                json!({ "workgroup": workgroup, "subgroup": lab.subgroup(), "keys": 2, "load_words": 2, "wide": lab.has_wide_loads() });
            let attention = Attention::new(layer(index, kind), rows.len()).with(&scripts[index]);
            attention.check_tiled(lab, "attention_prefill.wgsl", parameters, workgroup, &rows);
        }
    }
}

#[test]
fn decode() {
    let scripts = scripts();
    for lab in &Lab::all() {
        let workgroup = if lab.subgroup() > 0 { lab.subgroup() } else { 32 };
        for (index, kind) in turns(lab, "decode") {
            eprintln!("{} as {kind}", VARIANTS[index].0);
            let form = json!({ "workgroup": workgroup, "subgroup": lab.subgroup(), "load_words": 2, "wide": lab.has_wide_loads() });
            let cuts: &[usize] = if index.is_multiple_of(2) || VARIANTS[index].0 == "learned sink" { &[16] } else { &[0] };
            let attention = Attention::new(layer(index, kind), DECODED.len()).with(&scripts[index]);
            check_decoded(lab, "attention_decode.wgsl", &attention, &DECODED, 4, &form, cuts);
            check_decoded(lab, "attention_decode.wgsl", &attention, &DECODED[1..2], 4, &form, cuts);
        }
    }
}

#[test]
fn tiles_and_shared_positions() {
    let scripts = scripts();
    let lab = &Lab::open("full", caramba::gpu::DeviceChoice::default());
    for (index, script) in scripts.iter().enumerate() {
        let kind = KINDS[index % 3];
        eprintln!("{} as {kind}", VARIANTS[index].0);
        let is_all = std::env::var_os("CARAMBA_ALL_VARIANTS").is_some();
        if is_all || index.is_multiple_of(2) {
            let parameters = json!({ "workgroup": 64, "tile_rows": 16, "tile_keys": 16, "keep": index.is_multiple_of(4), "unroll": false });
            let rows = tiled_rows(16);
            let attention = Attention::new(layer(index, kind), rows.len()).with(script);
            attention.check_tiled(lab, "attention_tiles.wgsl", parameters, 16, &rows);
        }
        if lab.subgroup() > 0 && (is_all || index % 2 == 1) {
            let form =
                json!({ "lanes": 4, "neighbours": lab.subgroup().max(4), "workgroup": 16, "keys": 2, "load_words": 4, "wide": false });
            let cuts: &[usize] = if index % 4 == 1 { &[0] } else { &[16] };
            let attention = Attention::new(layer(index, kind), DECODED.len()).with(script);
            check_decoded(lab, "attention_shared.wgsl", &attention, &DECODED, 2, &form, cuts);
        }
    }
}

/// What a script can read of the weights: by every variant's functions as Rhai computes them.
#[test]
fn weights() {
    let scripts = scripts();
    for lab in &Lab::all() {
        for (index, kind) in turns(lab, "weights") {
            eprintln!("{} as {kind}", VARIANTS[index].0);
            Attention::new(layer(index, kind), DECODED.len()).with(&scripts[index]).check_weights(lab, &DECODED);
        }
    }
}
