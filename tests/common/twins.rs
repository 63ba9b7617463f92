//! The kernels' twins: the same in plain Rust, for one row at a time and in f64 where sums are long.

use super::lab::Random;
use caramba::quant::{self, CacheKind};
use caramba::runtime::hooks::Sink;
use caramba::runtime::hooks::expression::At;
use caramba::runtime::seam::Normaliser;
use caramba::script::Reference;
use half::f16;
use serde_json::{Value, json};

/// A matrix as `shaders/weights.wgsl` has it.
pub struct Weights {
    pub codes: Vec<u32>,
    pub scales: Vec<u32>,
    /// What it means: [rows, columns]
    pub values: Vec<f32>,
}

impl Weights {
    /// Codes and scales with rows in groups of `interleave`, units (four words) and words of scales in turn; the last group filled with noise.
    pub fn planes(&self, interleave: usize, columns: usize) -> [Vec<u32>; 2] {
        let rows = self.values.len() / columns;
        [(&self.codes, 4), (&self.scales, 1)].map(|(words, unit)| {
            let units = words.len() / rows / unit;
            let mut plane = vec![0x7e00_7e00u32; rows.next_multiple_of(interleave) * units * unit];
            for (index, words) in words.chunks(unit).enumerate() {
                let (row, item) = (index / units, index % units);
                let to = ((row / interleave * units + item) * interleave + row % interleave) * unit;
                plane[to..to + unit].copy_from_slice(words);
            }
            plane
        })
    }
}

/// Formats by name: bits of a code, columns that share a scale (0: no scales), whether there is a minimum beside each scale.
pub const FORMATS: [(&str, usize, usize, bool); 7] = [
    ("f32", 32, 0, false),
    ("f16", 16, 0, false),
    ("q8", 8, 32, false),
    ("q4", 4, 32, true),
    ("q8_16", 8, 16, false),
    ("q8_min", 8, 32, true),
    ("q4_16", 4, 16, true),
];

/// A line of [`FORMATS`].
fn format_entry(name: &str) -> (&str, usize, usize, bool) {
    *FORMATS.iter().find(|entry| entry.0 == name).unwrap()
}

/// A format as shaders are told of it.
pub fn format_parameters(name: &str) -> Value {
    let (name, bits, group, minimum) = format_entry(name);
    json!({ "name": name, "bits": bits, "group": group, "minimum": minimum })
}

/// A random matrix of `rows` rows of `width` elements, padded to whole blocks.
pub fn weights(random: &mut Random, format: &str, rows: usize, width: usize) -> Weights {
    let columns = width.next_multiple_of(32);
    let (_, bits, group, has_minimum) = format_entry(format);
    let (mut codes, mut scales, mut values): (Vec<u8>, Vec<u8>, Vec<f32>) = Default::default();
    for _ in 0..rows {
        if group == 0 {
            for column in 0..columns {
                let value = if column < width { f16::from_f32(random.float()) } else { f16::ZERO };
                values.push(value.to_f32());
                if format == "f32" { codes.extend(value.to_f32().to_le_bytes()) } else { codes.extend(value.to_le_bytes()) }
            }
            continue;
        }
        for first in (0..columns).step_by(group) {
            // Codes without a minimum are signed.
            let (lowest, most) = match (bits, has_minimum) {
                (8, false) => (-127, 127),
                (8, true) => (0, 127),
                _ => (0, 15),
            };
            let scale = f16::from_f32((0.01 + random.float().abs()) / most as f32);
            let minimum = if has_minimum { f16::from_f32(random.float()) } else { f16::ZERO };
            scales.extend(scale.to_le_bytes());
            if has_minimum {
                scales.extend(minimum.to_le_bytes());
            }
            let mut code =
                |column: usize| if has_minimum || column < width { random.below((most - lowest + 1) as usize) as i32 + lowest } else { 0 };
            let group: Vec<i32> = (first..first + group).map(&mut code).collect();
            values.extend(group.iter().map(|&code| code as f32 * scale.to_f32() + minimum.to_f32()));
            if bits == 8 {
                codes.extend(group.iter().map(|&code| code as i8 as u8));
            } else {
                group.chunks(8).for_each(|word| codes.extend((0..4).map(|i| word[i] as u8 | (word[i + 4] as u8) << 4)));
            }
        }
        scales.resize(scales.len().next_multiple_of(4), 0);
    }
    let words = |bytes: Vec<u8>| bytes.as_chunks::<4>().0.iter().map(|&word| u32::from_le_bytes(word)).collect();
    Weights { codes: words(codes), scales: words(scales), values }
}

pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// x / sqrt(mean(x^2) + eps) * weight
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f64) -> Vec<f32> {
    let mean = dot(x, x) / x.len() as f64;
    x.iter().zip(weight).map(|(x, w)| (f64::from(*x) / (mean + eps).sqrt() * f64::from(*w)) as f32).collect()
}

/// The kind of that name; `f32` is what there is without a cache.
fn kind_of(name: &str) -> CacheKind {
    if name == "f32" { CacheKind::None } else { CacheKind::parse(name).unwrap() }
}

/// A part of a cache (keys or values), as `shaders/cache.wgsl` has it.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// `f32`, or a kind's name.
    pub kind: &'static str,
    pub kv_heads: usize,
    /// Elements of a head.
    pub head: usize,
}

impl Part {
    pub fn width(self) -> usize {
        self.kv_heads * self.head
    }

    pub fn blocks(self) -> usize {
        self.width().div_ceil(32)
    }

    fn layout(self) -> quant::Part {
        quant::Part::new(kind_of(self.kind), self.kv_heads, self.head, 0)
    }

    fn bits(self) -> usize {
        self.layout().block_words()
    }

    fn quantised(self) -> bool {
        self.layout().scaled
    }

    pub fn is_rotated(self) -> bool {
        self.layout().rotated
    }

    /// Words of a cache of so many tokens, filled up to a multiple of four.
    pub fn words(self, tokens: usize) -> usize {
        self.layout().words(tokens)
    }

    pub fn parameters(self, binding: usize) -> Value {
        quant::Part { binding, ..self.layout() }.parameters()
    }

    /// The bits of element `e` (padding included) of token `t`.
    fn code(self, cache: &[u32], tokens: usize, t: usize, e: usize) -> u32 {
        self.layout().bits(cache, tokens, t, e)
    }

    fn scale_bits(self, cache: &[u32], tokens: usize, t: usize, e: usize) -> u16 {
        self.layout().scale_bits(cache, tokens, t, e)
    }

    /// All elements of token `t`.
    pub fn token(self, cache: &[u32], tokens: usize, t: usize) -> Vec<f32> {
        (0..self.width()).map(|e| self.layout().value(cache, tokens, t, e)).collect()
    }

    /// A cache full of random elements. Scales are moderate, codes are any.
    pub fn random(self, random: &mut Random, tokens: usize) -> Vec<u32> {
        let code_words = tokens * self.blocks() * self.bits();
        let pair = |random: &mut Random, size: f32| {
            let half = |value: f32| u32::from(f16::from_f32(value).to_bits());
            half(random.float() * size) | half(random.float() * size) << 16
        };
        let mut cache: Vec<u32> = (0..code_words)
            .map(|_| match self.kind {
                "f32" => random.float().to_bits(),
                "f16" => pair(random, 1.0),
                // The code -128 is never written; no test may rely on what it means.
                "q8" => u32::from_le_bytes([0; 4].map(|_| (random.below(255) as i32 - 127) as i8 as u8)),
                _ => random.word(),
            })
            .collect();
        while cache.len() < self.words(tokens) {
            cache.push(pair(random, 1.0 / self.layout().highest as f32));
        }
        cache
    }

    /// Makes token `t` what no kernel may let into a sum: codes that are no numbers, or scales.
    pub fn spoil(self, cache: &mut [u32], tokens: usize, t: usize) {
        let words = self.blocks() * self.bits();
        match self.kind {
            "f32" => cache[t * words..(t + 1) * words].fill(f32::NAN.to_bits()),
            "f16" => cache[t * words..(t + 1) * words].fill(0x7e00_7e00),
            _ => {
                for half_word in (tokens * words * 2 + t * self.blocks()..).take(self.blocks()) {
                    cache[half_word / 2] |= 0x7e00 << (16 * (half_word % 2));
                }
            }
        }
    }

    /// Whether token `t` holds `expected`, as exactly as this kind can, and zeros where it is padded. `noise`: by how much `expected` may be off itself,
    /// relative to the largest value.
    pub fn check(self, cache: &[u32], tokens: usize, t: usize, expected: &[f32], noise: f32) {
        let layout = self.layout();
        for (block, values) in expected.chunks(32).enumerate() {
            let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            let found: Vec<f32> = (0..values.len()).map(|i| layout.value(cache, tokens, t, block * 32 + i)).collect();
            let off = noise * largest;
            let place = format!("token {t}, block {block} of {self:?}: {found:?}, expected {values:?}");
            let squares = |a: &[f32]| a.iter().zip(values).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
            for (&found, &value) in found.iter().zip(values) {
                match self.kind {
                    "f32" => assert!((found - value).abs() <= off, "{place}"),
                    "f16" => assert!((found - value).abs() <= off + value.abs() / 2048.0 + 1e-7, "{place}"),
                    // No element is further off than a step, which is what the largest is clamped by.
                    _ => assert!((found - value).abs() <= off + 1.2 * largest / layout.highest as f32, "{place}"),
                }
            }
            if self.quantised() {
                // As good as the codec's: the device may come to another of two blocks that are equally good.
                let plain = quant::encode(kind_of(self.kind).entry(), values);
                let slack = (noise + 1e-4) * largest * largest;
                assert!(
                    squares(&found) <= 1.001 * squares(&quant::decode(&plain)) + f64::from(slack * slack + 1e-3 * slack),
                    "{place}: the codec has {plain:?}"
                );
            }
        }
        for e in self.width()..self.blocks() * 32 {
            assert_eq!(self.code(cache, tokens, t, e), 0, "token {t}, padding {e} of {self:?}");
        }
    }

    /// Whether token `t` is bit for bit the same in both caches.
    pub fn check_untouched(self, before: &[u32], after: &[u32], tokens: usize, t: usize) {
        for e in 0..self.blocks() * 32 {
            assert_eq!(self.code(before, tokens, t, e), self.code(after, tokens, t, e), "token {t}, element {e} of {self:?} was written");
            if self.quantised() {
                let scale = |cache| self.scale_bits(cache, tokens, t, e);
                assert_eq!(scale(before), scale(after), "token {t}, scale of element {e} of {self:?} was written");
            }
        }
    }
}

/// A layer's attention, as its kernels know it.
#[derive(Debug, Clone, Copy)]
pub struct Layer {
    pub heads: usize,
    pub kv_heads: usize,
    pub sem: usize,
    pub geo: usize,
    pub value: usize,
    pub rope: bool,
    pub rope_semantic: bool,
    /// `none`, `head`, `all`
    pub qk_norm: &'static str,
    /// `none`, `static`, `dynamic`
    pub gate: &'static str,
    pub learned_temp: bool,
    pub tie_qk: bool,
    pub null_attn: bool,
    /// 0: all
    pub window: usize,
    /// Of semantic keys, geometric keys, values.
    pub kinds: [&'static str; 3],
}

impl Layer {
    pub const fn standard(heads: usize, kv_heads: usize, head: usize, kinds: [&'static str; 3]) -> Layer {
        Layer {
            heads,
            kv_heads,
            sem: 0,
            geo: head,
            value: head,
            rope: true,
            rope_semantic: false,
            qk_norm: "none",
            gate: "none",
            learned_temp: false,
            tie_qk: false,
            null_attn: false,
            window: 0,
            kinds,
        }
    }

    /// The cache's parts by name; a layer without a semantic path has no part for it.
    pub fn parts(&self) -> Vec<(&'static str, Part)> {
        let part = |index: usize, head: usize| Part { kind: self.kinds[index], kv_heads: self.kv_heads, head };
        let all = [("semantic", part(0, self.sem)), ("geometric", part(1, self.geo)), ("value", part(2, self.value))];
        all.into_iter().filter(|(_, part)| part.head > 0).collect()
    }

    /// The parts as shaders are told of them, from binding `first` on.
    pub fn part_parameters(&self, first: usize) -> Value {
        let named = self.parts().into_iter().zip(first..).map(|((name, part), binding)| (name.to_owned(), part.parameters(binding)));
        Value::Object(named.collect())
    }

    /// Where q_geo, k_sem, k_geo, value, gate and the end of a row are.
    pub fn offsets(&self) -> [usize; 6] {
        let mut at = self.heads * self.sem;
        let sizes = [self.heads * self.geo, self.kv_heads * self.sem, self.kv_heads * self.geo, self.kv_heads * self.value];
        let mut offsets = [0; 6];
        for (offset, size) in offsets.iter_mut().zip(sizes) {
            *offset = at;
            at += size;
        }
        offsets[4] = at;
        offsets[5] = at + if self.gate == "dynamic" { self.heads } else { 0 };
        offsets
    }

    fn norm_size(&self) -> usize {
        match self.qk_norm {
            "head" => 2 * self.geo,
            "all" => (self.heads + self.kv_heads) * self.geo,
            _ => 0,
        }
    }

    /// What `cache_write` reads beside the row: q_norm, k_norm, gate logits, logit scales.
    pub fn extras(&self, random: &mut Random) -> Vec<f32> {
        let mut count = self.norm_size();
        count += if self.gate == "none" { 0 } else { self.heads };
        count += if self.learned_temp { self.heads } else { 0 };
        random.floats(count)
    }

    /// What `cache_write` makes of one row at `position`. `extras` as above.
    pub fn write(&self, row: &mut [f32], position: usize, extras: &[f32], eps: f64) {
        let [q_geo, k_sem, k_geo, _, gate_at, _] = self.offsets();
        if self.tie_qk {
            row.copy_within(0..self.heads * self.sem, k_sem);
        }
        let (norms, rest) = extras.split_at(self.norm_size());
        let (logits, temperatures) = rest.split_at(if self.gate == "none" { 0 } else { self.heads });
        let heads = |at: usize, count: usize, width: usize| (0..count).map(move |head| at + head * width..at + (head + 1) * width);
        if self.qk_norm == "all" {
            let (queries, keys) = norms.split_at(self.heads * self.geo);
            for (at, weight) in [(q_geo, queries), (k_geo, keys)] {
                let all = &mut row[at..at + weight.len()];
                all.copy_from_slice(&rms_norm(all, weight, eps));
            }
        }
        for (index, at) in heads(q_geo, self.heads, self.geo).chain(heads(k_geo, self.kv_heads, self.geo)).enumerate() {
            let head = &mut row[at];
            if self.qk_norm == "head" {
                let weight = if index < self.heads { &norms[..self.geo] } else { &norms[self.geo..] };
                head.copy_from_slice(&rms_norm(head, weight, eps));
            }
            if self.rope {
                turn(head, position);
            }
        }
        if self.rope_semantic {
            for at in heads(0, self.heads, self.sem).chain(heads(k_sem, self.kv_heads, self.sem)) {
                turn(&mut row[at], position);
            }
        }
        for head in 0..self.heads {
            let (mut semantic, mut geometric) = (1.0 / (self.sem.max(1) as f32).sqrt(), 1.0 / (self.geo as f32).sqrt());
            if self.gate != "none" {
                let logit = logits[head] + if self.gate == "dynamic" { row[gate_at + head] } else { 0.0 };
                let gate = 1.0 / (1.0 + (-logit).exp());
                semantic *= 2.0 * gate;
                geometric *= 2.0 - 2.0 * gate;
            }
            if self.learned_temp {
                semantic *= temperatures[head].clamp(-8.0, 8.0).exp();
                geometric *= temperatures[head].clamp(-8.0, 8.0).exp();
            }
            row[head * self.sem..(head + 1) * self.sem].iter_mut().for_each(|x| *x *= semantic);
            row[q_geo + head * self.geo..q_geo + (head + 1) * self.geo].iter_mut().for_each(|x| *x *= geometric);
        }
        let value_at = self.offsets()[3];
        for (index, width, queries, keys) in
            [(0, self.sem, Some(0), k_sem), (1, self.geo, Some(q_geo), k_geo), (2, self.value, None, value_at)]
        {
            if kind_of(self.kinds[index]).entry().is_rotated && width > 0 {
                if let Some(queries) = queries {
                    row[queries..queries + self.heads * width].chunks_mut(width).for_each(hadamard);
                }
                row[keys..keys + self.kv_heads * width].chunks_mut(width).for_each(hadamard);
            }
        }
    }

    /// What attention makes of one row of queries at `position` of a sequence whose first token is `first` in the caches, by a script's rule or as
    /// usual: [heads, value].
    #[allow(clippy::too_many_arguments, reason = "attention is all of these")]
    pub fn attend(
        &self,
        row: &[f32],
        position: usize,
        first: usize,
        tokens: usize,
        caches: &[Vec<u32>],
        nulls: &[f32],
        rule: Option<Rule>,
    ) -> Vec<f32> {
        let heads = self.seen(row, position, first, tokens, caches, nulls, rule);
        let sum = |seen: &[Seen], e: usize| seen.iter().map(|(_, weight, value)| weight * f64::from(value[e])).sum::<f64>() as f32;
        heads.iter().flat_map(|seen| (0..self.value).map(|e| sum(seen, e))).collect()
    }

    /// What each position weighs for it, up to its own: [heads, position + 1].
    #[allow(clippy::too_many_arguments, reason = "attention is all of these")]
    pub fn weights(
        &self,
        row: &[f32],
        position: usize,
        first: usize,
        tokens: usize,
        caches: &[Vec<u32>],
        nulls: &[f32],
        rule: Option<Rule>,
    ) -> Vec<Vec<f32>> {
        let of_head = |seen: &Vec<Seen>| {
            let mut weights = vec![0.0; position + 1];
            seen.iter().for_each(|(at, weight, _)| at.iter().for_each(|&at| weights[at] = *weight as f32));
            weights
        };
        self.seen(row, position, first, tokens, caches, nulls, rule).iter().map(of_head).collect()
    }

    #[allow(clippy::too_many_arguments, reason = "attention is all of these")]
    fn seen(
        &self,
        row: &[f32],
        position: usize,
        first: usize,
        tokens: usize,
        caches: &[Vec<u32>],
        nulls: &[f32],
        rule: Option<Rule>,
    ) -> Vec<Vec<Seen>> {
        let parts = self.parts();
        let begin = if self.window > 0 { (position + 1).saturating_sub(self.window) } else { 0 };
        let held: Vec<Vec<Vec<f32>>> = (begin..=position)
            .map(|p| parts.iter().zip(caches).map(|((_, part), cache)| part.token(cache, tokens, first + p)).collect())
            .collect();
        let key = self.sem + self.geo;
        let mut heads = Vec::new();
        for head in 0..self.heads {
            let kv_head = head / (self.heads / self.kv_heads);
            let query_sem = &row[head * self.sem..(head + 1) * self.sem];
            let query_geo = &row[self.heads * self.sem + head * self.geo..][..self.geo];
            let of = |values: &[f32], width: usize| values[kv_head * width..(kv_head + 1) * width].to_vec();
            let mut seen: Vec<Seen> = Vec::new();
            for (token, p) in held.iter().zip(begin..) {
                let semantic = if self.sem > 0 { dot(query_sem, &of(&token[0], self.sem)) } else { 0.0 };
                let product = semantic + dot(query_geo, &of(&token[token.len() - 2], self.geo));
                let score = rule.as_ref().map_or(Some(product), |rule| rule.score(product, position, p, head, kv_head));
                seen.extend(score.map(|score| (Some(p), score, of(&token[token.len() - 1], self.value))));
            }
            if self.null_attn {
                let null = &nulls[head * (key + self.value)..(head + 1) * (key + self.value)];
                let score = dot(query_sem, &null[..self.sem]) + dot(query_geo, &null[self.sem..key]);
                seen.push((None, score, null[key..].to_vec()));
            }
            let scores: Vec<f64> = seen.iter().map(|(_, score, _)| *score).collect();
            let weights = match &rule {
                Some(rule) => rule.weights(&scores, head),
                None => softmax(&scores, None),
            };
            seen.iter_mut().zip(weights).for_each(|(seen, weight)| seen.1 = weight);
            heads.push(seen);
        }
        heads
    }
}

/// A position (none: the null key), its score and then its weight, its value.
type Seen = (Option<usize>, f64, Vec<f32>);

/// The softmax of some scores, with a sink beside them.
fn softmax(scores: &[f64], sink: Option<f64>) -> Vec<f64> {
    let most = scores.iter().copied().chain(sink).fold(f64::MIN, f64::max);
    let total: f64 = scores.iter().copied().chain(sink).map(|score| (score - most).exp()).sum();
    scores.iter().map(|score| (score - most).exp() / total).collect()
}

/// What a script says of attention, by its functions as Rhai.
pub struct Rule<'a> {
    pub script: &'a Reference,
    /// Of the sink, one a head; or none.
    pub logits: &'a [f32],
    pub layer: usize,
    pub sequence: usize,
}

impl Rule<'_> {
    /// A key's score; `None` where it is not seen.
    fn score(&self, product: f64, query: usize, key: usize, head: usize, kv_head: usize) -> Option<f64> {
        let [query, key, head, kv_head, layer, sequence] = [query, key, head, kv_head, self.layer, self.sequence].map(|value| value as i32);
        let at = At { query, key, head, kv_head, layer, sequence };
        if !self.script.mask(at).expect("a mask that Rhai can compute") {
            return None;
        }
        let score = self.script.score(product, at).expect("a score that Rhai can compute");
        (!score.is_nan() && score > -1e30).then_some(score.min(1e30))
    }

    fn weights(&self, scores: &[f64], head: usize) -> Vec<f64> {
        let hooks = self.script.hooks();
        let bias = f64::from(hooks.bias);
        match hooks.normaliser {
            Normaliser::Softmax => {
                let sink = self.logits.get(head).copied().map(f64::from);
                softmax(scores, if hooks.sink == Sink::Zero { Some(0.0) } else { sink })
            }
            Normaliser::Sigmoid => scores.iter().map(|score| 1.0 / (1.0 + (-(score + bias)).exp())).collect(),
            Normaliser::Relu => scores.iter().map(|score| (score + bias).max(0.0)).collect(),
        }
    }
}

/// Frequency of pair `i` of a head of `width` elements, in radians a position.
fn frequency(width: usize, i: usize) -> f64 {
    100.0f64.powf(-2.0 * i as f64 / width as f64)
}

/// Cosines and sines of all positions: [context, width / 2]
pub fn turns(width: usize, context: usize) -> Vec<f32> {
    let angle = |position: usize, i: usize| position as f64 * frequency(width, i);
    (0..context)
        .flat_map(|position| (0..width / 2).flat_map(move |i| [angle(position, i).cos() as f32, angle(position, i).sin() as f32]))
        .collect()
}

/// Element `i` is paired with `i + width / 2`.
fn turn(head: &mut [f32], position: usize) {
    let width = head.len();
    let (low, high) = head.split_at_mut(width / 2);
    for (i, (low, high)) in low.iter_mut().zip(high).enumerate() {
        let (sine, cosine) = (position as f64 * frequency(width, i)).sin_cos();
        let (a, b) = (f64::from(*low), f64::from(*high));
        *low = (a * cosine - b * sine) as f32;
        *high = (b * cosine + a * sine) as f32;
    }
}

/// The orthonormal Hadamard transform of one head, by its matrix: element (i, j) is -1 to the number of bits that i and j share. Powers of two
/// up to 32 by themselves, the largest first.
pub fn hadamard(head: &mut [f32]) {
    let mut at = 0;
    while at < head.len() {
        let size = 1 << (head.len() - at).ilog2().min(5);
        let part = &mut head[at..at + size];
        let before = part.to_vec();
        for (i, x) in part.iter_mut().enumerate() {
            let sign = |j: usize| if (i & j).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
            *x = (before.iter().enumerate().map(|(j, x)| sign(j) * f64::from(*x)).sum::<f64>() / (size as f64).sqrt()) as f32;
        }
        at += size;
    }
}

/// PCG (Jarzynski and Olano 2020).
fn pcg(value: u32) -> u32 {
    let state = value.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

/// The random number of a draw, in [0, 1).
pub fn draw(seed: u64, sequence: u32, position: u32) -> f64 {
    let mixed = pcg(pcg(pcg(seed as u32 ^ pcg((seed >> 32) as u32)).wrapping_add(sequence)).wrapping_add(position));
    f64::from(mixed >> 8) / 16_777_216.0
}

/// What each token weighs when one is drawn; 0: it is not kept.
pub fn sampling_weights(logits: &[f32], temperature: f32, top_k: usize, top_p: f32, min_p: f32) -> Vec<f64> {
    let most = logits.iter().copied().fold(f32::MIN, f32::max);
    let weight = |logit: f32| (f64::from(logit - most) / f64::from(temperature)).exp();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    if top_k > 0 && top_k < order.len() {
        let limit = logits[order[top_k - 1]];
        order.retain(|&token| logits[token] >= limit);
    }
    let total: f64 = order.iter().map(|&token| weight(logits[token])).sum();
    let mut sum = 0.0;
    let mut limit = f32::MIN;
    for &token in &order {
        sum += weight(logits[token]);
        if sum >= f64::from(top_p) * total && top_p < 1.0 {
            limit = logits[token];
            break;
        }
    }
    let mut weights = vec![0.0; logits.len()];
    let is_likely = |token: usize| weight(logits[token]) >= f64::from(min_p);
    for token in order.into_iter().filter(|&token| logits[token] >= limit && is_likely(token)) {
        weights[token] = weight(logits[token]);
    }
    weights
}

/// Logits with the tokens of a sequence made less likely.
pub fn penalised(logits: &[f32], tokens: &[u32], penalty: f32) -> Vec<f32> {
    let change = |(token, &logit): (usize, &f32)| match tokens.contains(&(token as u32)) {
        true if logit > 0.0 => logit / penalty,
        true => logit * penalty,
        false => logit,
    };
    logits.iter().enumerate().map(change).collect()
}
