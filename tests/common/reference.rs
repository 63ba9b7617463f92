//! The forward pass as the papers have it, in plain f32: the oracle of every test of the runtime. Keys and values can be rounded as a
//! cache would round them.
//!
//! Shapes stand in comments: T tokens, H query heads, K key/value heads (K divides H; query head h reads key/value head h * K / H).

use caramba::model::{Activation, Attention, Gate, Latent, Model, Operation, OutputGate, QkNorm, Rope};
use caramba::runtime::{CacheKind, CacheKinds};
use half::f16;

/// What a pass over some tokens leaves.
pub struct Pass {
    /// [T, vocab]
    pub logits: Vec<f32>,
    /// Per layer, after the output projection and before the residual sum: [T, d_model].
    pub attention: Vec<Vec<f32>>,
    /// Per layer, what each position weighs for each query: [T, H, T]; empty for differential attention.
    pub weights: Vec<Vec<f32>>,
    /// The residual stream before each layer, and behind the last one: [T, d_model].
    pub states: Vec<Vec<f32>>,
}

/// How keys and values are held.
#[derive(Clone, Copy)]
pub struct Cache {
    pub kinds: CacheKinds,
    /// What is added to every element before it is rounded, as a share of the largest of its block. What lies so near to the middle between two codes that
    /// the order of sums decides falls to the one side or to the other by its sign.
    pub nudge: f32,
}

/// Logits of every position: [T, vocab].
pub fn logits(model: &Model, tokens: &[u32]) -> Vec<f32> {
    pass(model, tokens).logits
}

/// Everything that is ever compared, without a cache.
pub fn pass(model: &Model, tokens: &[u32]) -> Pass {
    pass_with(model, tokens, Cache::uniform(CacheKind::None))
}

/// Everything that is ever compared, with keys and values as they come out of a cache.
pub fn pass_with(model: &Model, tokens: &[u32], cache: Cache) -> Pass {
    let architecture = &model.architecture;
    let weights = Weights { model, prefix: "model.".into(), eps: architecture.norm_eps, norm_offset: architecture.norm_offset };

    let embedding = weights.get("embed_tokens.weight"); // [vocab, d_model]
    let mut x: Vec<f32> = tokens.iter().flat_map(|&token| row(&embedding, architecture.d_model, token as usize)).copied().collect(); // [T, d_model]
    scale(&mut x, architecture.embedding_scale);

    let (mut attention_outputs, mut attention_weights, mut states) = (Vec::new(), Vec::new(), Vec::new());
    for (index, layer) in architecture.layers.iter().enumerate() {
        let weights = weights.within(&format!("layers.{index}."));
        states.push(x.clone());
        let mut h = x.clone();
        for operation in layer.operations {
            match operation {
                Operation::Norm(name) => h = weights.rms_norm(name, &h),
                Operation::Attention => {
                    let mut seen = Vec::new();
                    h = attention(&weights.within("self_attn."), &layer.attention, &h, tokens.len(), cache, &mut seen);
                    attention_weights.push(seen);
                    attention_outputs.push(h.clone());
                }
                Operation::Mlp => {
                    let mlp = weights.within("mlp.");
                    let gate = mlp.linear("gate_proj", &h); // [T, d_ff]
                    let up = mlp.linear("up_proj", &h); // [T, d_ff]
                    let hidden: Vec<f32> = gate.iter().zip(&up).map(|(&gate, up)| activated(layer.activation, gate) * up).collect();
                    h = mlp.linear("down_proj", &hidden);
                }
                Operation::Add => {
                    add(&mut x, &h);
                    h.clone_from(&x);
                }
            }
        }
    }

    states.push(x.clone());
    let x = weights.rms_norm("norm", &x);
    let head = if architecture.tied_embeddings { embedding } else { Weights { prefix: String::new(), ..weights }.get("lm_head.weight") };
    let mut logits = product(&x, &head, architecture.d_model);
    logits.iter_mut().for_each(|logit| *logit = capped(*logit, architecture.logit_cap));
    Pass { logits, attention: attention_outputs, weights: attention_weights, states }
}

fn activated(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => 0.5 * x * (1.0 + ((2.0 / std::f32::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh()),
    }
}

fn capped(x: f32, cap: Option<f32>) -> f32 {
    cap.map_or(x, |cap| cap * (x / cap).tanh())
}

/// Attention of one layer; `x` is [T, d_model], and so is the result; its weights go to `seen`, [T, H, T]. A standard layer is a decoupled one without a semantic path.
fn attention(weights: &Weights, a: &Attention, x: &[f32], length: usize, cache: Cache, seen: &mut Vec<f32>) -> Vec<f32> {
    if let Some(latent) = &a.latent {
        return latent_attention(weights, a, latent, x, length, cache, seen);
    }
    if a.differential.is_some() {
        return differential_attention(weights, a, x, length, cache);
    }
    let (q_geo, k_geo, out) = if a.decoupled { ("q_geo", "k_geo", "out_proj") } else { ("q_proj", "k_proj", "o_proj") };
    let mut q_geo = weights.linear(q_geo, x); // [T, H, geo]
    let mut k_geo = weights.linear(k_geo, x); // [T, K, geo]
    let mut q_sem = if a.decoupled && a.sem > 0 { weights.linear("q_sem", x) } else { Vec::new() }; // [T, H, sem]
    let mut k_sem = match (a.decoupled && a.sem > 0, a.tie_qk) {
        (false, _) => Vec::new(),
        (true, true) => q_sem.clone(),
        (true, false) => weights.linear("k_sem", x), // [T, K, sem]
    };
    let mut value = weights.linear("v_proj", x); // [T, K, value]

    // The weight says whether it is of a head or of all.
    if a.qk_norm != QkNorm::None {
        q_geo = weights.rms_norm("q_norm", &q_geo);
        k_geo = weights.rms_norm("k_norm", &k_geo);
    }
    if let Some(rope) = &a.rope {
        rotate(&mut q_geo, a.heads, a.geo, rope);
        rotate(&mut k_geo, a.kv_heads, a.geo, rope);
        if a.rope_semantic {
            rotate(&mut q_sem, a.heads, a.sem, rope);
            rotate(&mut k_sem, a.kv_heads, a.sem, rope);
        }
    }

    cache.hold(&mut k_sem, a.kv_heads, a.sem, cache.kinds.semantic);
    cache.hold(&mut k_geo, a.kv_heads, a.geo, if a.decoupled { cache.kinds.geometric } else { cache.kinds.key });
    cache.hold(&mut value, a.kv_heads, a.value, cache.kinds.value);

    // What each query part is multiplied by: gate, temperature and 1 / sqrt(width). [T, H]
    let gate_logit = if a.gate == Gate::None { vec![0.0; a.heads] } else { weights.get("decoupled_gate_logit") };
    let gate_shift = if a.gate == Gate::Dynamic { weights.linear("decoupled_gate_proj", x) } else { vec![0.0; length * a.heads] };
    let temperature = if a.learned_temp { weights.get("logit_scale") } else { vec![0.0; a.heads] };
    for t in 0..length {
        for h in 0..a.heads {
            let gate = 1.0 / (1.0 + (-(gate_logit[h] + gate_shift[t * a.heads + h])).exp()); // 1/2 when there is none
            let temperature = temperature[h].clamp(-8.0, 8.0).exp();
            scale(row_mut(&mut q_sem, a.sem, t * a.heads + h), 2.0 * gate * temperature * a.scale.unwrap_or(1.0 / (a.sem as f32).sqrt()));
            scale(
                row_mut(&mut q_geo, a.geo, t * a.heads + h),
                (2.0 - 2.0 * gate) * temperature * a.scale.unwrap_or(1.0 / (a.geo as f32).sqrt()),
            );
        }
    }

    let [null_sem, null_geo, null_value] =
        ["k_sem_null", "k_geo_null", "v_null"].map(|name| if a.null_attn { weights.get(name) } else { Vec::new() }); // [H, width]
    let mut mixed = vec![0.0; length * a.heads * a.value]; // [T, H, value]
    for t in 0..length {
        for h in 0..a.heads {
            let (query_sem, query_geo) = (row(&q_sem, a.sem, t * a.heads + h), row(&q_geo, a.geo, t * a.heads + h));
            let first = a.window.map_or(0, |window| (t + 1).saturating_sub(window));
            let at = |s: usize| s * a.kv_heads + h / a.group(); // the key/value row of position s
            let mut scores: Vec<f32> = (first..=t)
                .map(|s| dot(query_sem, row(&k_sem, a.sem, at(s))) + dot(query_geo, row(&k_geo, a.geo, at(s))))
                .map(|score| capped(score, a.score_cap))
                .collect();
            let mut values: Vec<&[f32]> = (first..=t).map(|s| row(&value, a.value, at(s))).collect();
            if a.null_attn {
                scores.push(dot(query_sem, row(&null_sem, a.sem, h)) + dot(query_geo, row(&null_geo, a.geo, h)));
                values.push(row(&null_value, a.value, h));
            }
            softmax(&mut scores);
            note(seen, &scores[..=t - first], first, length);
            let out = row_mut(&mut mixed, a.value, t * a.heads + h);
            for (weight, value) in scores.iter().zip(values) {
                out.iter_mut().zip(value).for_each(|(out, value)| *out += weight * value);
            }
        }
    }
    if a.output_gate != OutputGate::None {
        let gates = weights.linear("gate_proj", x); // [T, H] or [T, H, value]
        let each = mixed.len() / gates.len();
        mixed.iter_mut().enumerate().for_each(|(index, mixed)| *mixed /= 1.0 + (-gates[index / each]).exp());
    }
    weights.linear(out, &mixed)
}

/// Differential attention with heads as a file has them: query head p and the one half of the heads further on are a pair.
fn differential_attention(weights: &Weights, a: &Attention, x: &[f32], length: usize, cache: Cache) -> Vec<f32> {
    let (heads, kv_heads, width, value_width) = (a.heads, 2 * a.kv_heads, a.geo / 2, a.value / 2);
    let mut q = weights.linear("q_proj", x); // [T, H, width]
    let mut k = weights.linear("k_proj", x); // [T, K, width]
    let mut v = weights.linear("v_proj", x); // [T, K, value]
    if let Some(rope) = &a.rope {
        rotate(&mut q, heads, width, rope);
        rotate(&mut k, kv_heads, width, rope);
    }
    // A cache has the key heads of a pair as one head, the lower halves of both first.
    let key_place = |element: usize| (element % width / (width / 2), element / width * (width / 2) + element % (width / 2));
    let value_place = |element: usize| (element / value_width, element % value_width);
    in_pairs(&mut k, kv_heads, width, &key_place, |k| cache.hold(k, kv_heads / 2, 2 * width, cache.kinds.key));
    in_pairs(&mut v, kv_heads, value_width, &value_place, |v| cache.hold(v, kv_heads / 2, 2 * value_width, cache.kinds.value));
    let product = |one: &str, other: &str| dot(&weights.get(one), &weights.get(other)).exp();
    let init = a.differential.unwrap().lambda_init;
    let lambda = product("lambda_q1", "lambda_k1") - product("lambda_q2", "lambda_k2") + init;
    let mut mixed = Vec::new(); // [T, H / 2, 2 value]
    for t in 0..length {
        for pair in 0..heads / 2 {
            let kv = pair / (heads / kv_heads);
            let of = |side: usize| {
                let query = row(&q, width, t * heads + pair + side * heads / 2);
                let key = |s: usize| row(&k, width, s * kv_heads + kv + side * kv_heads / 2);
                let mut scores: Vec<f32> = (0..=t).map(|s| dot(query, key(s)) * a.scale.unwrap()).collect();
                softmax(&mut scores);
                let mut out = vec![0.0; 2 * value_width];
                for (s, weight) in scores.iter().enumerate() {
                    for (index, out) in out.iter_mut().enumerate() {
                        let at = (s * kv_heads + kv + index / value_width * kv_heads / 2) * value_width + index % value_width;
                        *out += weight * v[at];
                    }
                }
                out
            };
            let difference: Vec<f32> = of(0).iter().zip(of(1)).map(|(one, other)| one - lambda * other).collect();
            let mean = difference.iter().map(|x| x * x).sum::<f32>() / difference.len() as f32;
            mixed.extend(difference.iter().map(|x| x / (mean + weights.eps).sqrt() * (1.0 - init)));
        }
    }
    weights.linear("o_proj", &mixed)
}

/// Does something to x [T, heads, width] while head j and the one half of the heads further on are one head; `place`: which of both an element of that
/// is of, and which element.
fn in_pairs(x: &mut [f32], heads: usize, width: usize, place: &dyn Fn(usize) -> (usize, usize), change: impl FnOnce(&mut [f32])) {
    let from = |index: usize| {
        let (token, head, element) = (index / (heads * width), index / (2 * width) % (heads / 2), index % (2 * width));
        let (side, place) = place(element);
        (token * heads + head + side * heads / 2) * width + place
    };
    let mut paired: Vec<f32> = (0..x.len()).map(|index| x[from(index)]).collect();
    change(&mut paired);
    paired.iter().enumerate().for_each(|(index, &value)| x[from(index)] = value);
}

/// Latent attention as it is trained: every head has keys and values of its own, which the latent is expanded to. What a cache keeps is the latent
/// (one vector a token, as keys and values) and the rotated key that all heads share.
fn latent_attention(
    weights: &Weights,
    a: &Attention,
    latent: &Latent,
    x: &[f32],
    length: usize,
    cache: Cache,
    seen: &mut Vec<f32>,
) -> Vec<f32> {
    let (plain, head) = (latent.plain, latent.plain + a.geo);
    let queries = match latent.query_rank {
        Some(_) => weights.linear("q_b_proj", &weights.rms_norm("q_a_layernorm", &weights.linear("q_a_proj", x))),
        None => weights.linear("q_proj", x),
    }; // [T, H, plain + geo]
    let joint = weights.linear("kv_a_proj_with_mqa", x); // [T, sem + geo]
    let mut c: Vec<f32> = joint.chunks(a.sem + a.geo).flat_map(|row| row[..a.sem].to_vec()).collect();
    c = weights.rms_norm("kv_a_layernorm", &c); // [T, sem]
    // Pairs side by side become halves.
    let ordered = |row: &[f32]| -> Vec<f32> {
        if !latent.interleaved {
            return row.to_vec();
        }
        row.iter().step_by(2).chain(row.iter().skip(1).step_by(2)).copied().collect()
    };
    let mut k_rotated: Vec<f32> = joint.chunks(a.sem + a.geo).flat_map(|row| ordered(&row[a.sem..])).collect(); // [T, geo]
    let mut q_rotated: Vec<f32> = queries.chunks(head).flat_map(|row| ordered(&row[plain..])).collect(); // [T, H, geo]
    if let Some(rope) = &a.rope {
        rotate(&mut k_rotated, 1, a.geo, rope);
        rotate(&mut q_rotated, a.heads, a.geo, rope);
        // YaRN's factor of cosines and sines.
        scale(&mut k_rotated, rope.attention_factor);
        scale(&mut q_rotated, rope.attention_factor);
    }
    cache.hold(&mut c, 1, a.sem, cache.kinds.semantic);
    cache.hold(&mut k_rotated, 1, a.geo, cache.kinds.geometric);
    let expanded = weights.linear("kv_b_proj", &c); // [T, H, plain + value]
    let width = plain + latent.value;
    let mut mixed = vec![0.0; length * a.heads * latent.value]; // [T, H, value]
    for t in 0..length {
        for h in 0..a.heads {
            let at = t * a.heads + h;
            let (query, rotated) = (&row(&queries, head, at)[..plain], row(&q_rotated, a.geo, at));
            let first = a.window.map_or(0, |window| (t + 1).saturating_sub(window));
            let key = |s: usize| row(&expanded, width, s * a.heads + h);
            let product = |s: usize| dot(query, &key(s)[..plain]) + dot(rotated, row(&k_rotated, a.geo, s));
            let mut scores: Vec<f32> = (first..=t).map(|s| product(s) * a.scale.unwrap()).collect();
            softmax(&mut scores);
            note(seen, &scores, first, length);
            let out = row_mut(&mut mixed, latent.value, at);
            for (weight, s) in scores.iter().zip(first..) {
                out.iter_mut().zip(&key(s)[plain..]).for_each(|(out, value)| *out += weight * value);
            }
        }
    }
    weights.linear("o_proj", &mixed)
}

/// A row of weights of positions from `first` on, as one of all positions.
fn note(seen: &mut Vec<f32>, weights: &[f32], first: usize, length: usize) {
    let end = seen.len() + length;
    seen.resize(seen.len() + first, 0.0);
    seen.extend_from_slice(weights);
    seen.resize(end, 0.0);
}

/// Rotary embedding of x [T, heads, width]: element i is paired with i + width / 2.
fn rotate(x: &mut [f32], heads: usize, width: usize, rope: &Rope) {
    let group = heads / rope.heads().unwrap_or(1).min(heads); // query heads that turn alike
    for (index, head) in x.chunks_mut(width).enumerate() {
        let frequencies = rope.inverse_frequencies_of(index % heads / group, width, 0); // [width / 2]
        let position = (index / heads) as f64;
        let (low, high) = head.split_at_mut(width / 2);
        for ((low, high), &frequency) in low.iter_mut().zip(high).zip(&frequencies) {
            let (sin, cos) = (position * f64::from(frequency)).sin_cos();
            let (a, b) = (*low, *high);
            *low = a * cos as f32 - b * sin as f32;
            *high = b * cos as f32 + a * sin as f32;
        }
    }
}

impl Cache {
    pub fn uniform(kind: CacheKind) -> Cache {
        Cache { kinds: CacheKinds::uniform(kind), nudge: 0.0 }
    }

    /// x [T, heads, width] as a cache of this kind gives it back: blocks of 32 elements of a token, over all its heads. What rotated kinds hold is the Hadamard
    /// transform of each head; where the device transforms queries alike, or turns outputs back, it is transformed back here.
    fn hold(self, x: &mut [f32], heads: usize, width: usize, kind: CacheKind) {
        let entry = kind.entry();
        let transform = |x: &mut [f32]| {
            if entry.is_rotated && width > 0 {
                x.chunks_mut(width).for_each(super::twins::hadamard);
            }
        };
        match kind {
            CacheKind::None => return,
            CacheKind::F16 => return x.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32()),
            _ => {}
        }
        transform(x);
        for block in x.chunks_mut((heads * width).max(1)).flat_map(|token| token.chunks_mut(32)) {
            let largest = block.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
            block.iter_mut().for_each(|x| *x += self.nudge * largest);
            let stored = caramba::quant::decode(&caramba::quant::encode(entry, block));
            block.copy_from_slice(&stored[..block.len()]);
        }
        transform(x);
    }
}

/// The weights of some part of a model.
struct Weights<'a> {
    model: &'a Model,
    prefix: String,
    eps: f32,
    norm_offset: f32,
}

impl Weights<'_> {
    fn within(&self, part: &str) -> Weights<'_> {
        Weights { prefix: format!("{}{part}", self.prefix), ..*self }
    }

    fn find(&self, name: &str) -> Option<Vec<f32>> {
        self.model.tensors.get(&format!("{}{name}", self.prefix)).map(caramba::model::Tensor::to_f32)
    }

    fn get(&self, name: &str) -> Vec<f32> {
        self.find(name).unwrap_or_else(|| panic!("no tensor {}{name}", self.prefix))
    }

    /// x [rows, in] -> [rows, out], with the bias where there is one.
    fn linear(&self, name: &str, x: &[f32]) -> Vec<f32> {
        let name = format!("{name}.weight");
        let weight = self.get(&name); // [out, in]
        let columns = self.model.tensors[&format!("{}{name}", self.prefix)].columns();
        let mut y = product(x, &weight, columns);
        if let Some(bias) = self.find(&name.replace(".weight", ".bias")) {
            y.chunks_mut(bias.len()).for_each(|row| add(row, &bias));
        }
        y
    }

    /// Every row of x, as long as the weight, divided by its root mean square: [rows, width] -> [rows, width].
    fn rms_norm(&self, name: &str, x: &[f32]) -> Vec<f32> {
        let weight = self.get(&format!("{name}.weight"));
        let normed = |row: &[f32]| -> Vec<f32> {
            let mean = row.iter().map(|x| x * x).sum::<f32>() / row.len() as f32;
            row.iter().zip(&weight).map(|(x, w)| x * (w + self.norm_offset) / (mean + self.eps).sqrt()).collect()
        };
        x.chunks(weight.len()).flat_map(normed).collect()
    }
}

/// x [rows, columns], weight [out, columns] -> [rows, out]
fn product(x: &[f32], weight: &[f32], columns: usize) -> Vec<f32> {
    x.chunks(columns).flat_map(|x| weight.chunks(columns).map(move |w| dot(x, w))).collect()
}

fn softmax(x: &mut [f32]) {
    let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    x.iter_mut().for_each(|x| *x = (*x - largest).exp());
    let sum: f32 = x.iter().sum();
    scale(x, 1.0 / sum);
}

fn row(x: &[f32], width: usize, index: usize) -> &[f32] {
    &x[index * width..(index + 1) * width]
}

fn row_mut(x: &mut [f32], width: usize, index: usize) -> &mut [f32] {
    &mut x[index * width..(index + 1) * width]
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

fn scale(x: &mut [f32], factor: f32) {
    x.iter_mut().for_each(|x| *x *= factor);
}
