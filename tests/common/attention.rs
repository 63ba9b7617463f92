//! The kernels of attention on caches and queries of a test, beside their twin in plain Rust (twins.rs).

use super::lab::{Lab, Random, assert_near};
use super::twins::{Layer, Rule};
use caramba::runtime::Seam;
use caramba::runtime::hooks::{Sink, TileMap};
use caramba::script::Reference;
use serde_json::{Value, json};
use std::rc::Rc;

pub fn merged(mut a: Value, b: Value) -> Value {
    if let (Value::Object(a), Value::Object(b)) = (&mut a, b) {
        a.extend(b);
    }
    a
}

/// The number of the layer that scripts are told of.
const LAYER: usize = 3;

/// Caches, queries and what is common to the attention kernels' parameters.
pub struct Attention {
    layer: Layer,
    /// What a script says, and its functions as Rhai.
    script: Option<Rc<Reference>>,
    context: usize,
    tokens: usize,
    caches: Vec<Vec<u32>>,
    nulls: Vec<f32>,
    qkv: Vec<f32>,
    stride: usize,
    out_stride: usize,
}

impl Attention {
    pub fn new(layer: Layer, rows: usize) -> Attention {
        let mut random = Random(5);
        let (context, sequences) = (50, 3);
        let tokens = context * sequences;
        let stride = layer.offsets()[5].next_multiple_of(32);
        Attention {
            layer,
            script: None,
            context,
            tokens,
            caches: layer.parts().iter().map(|(_, part)| part.random(&mut random, tokens)).collect(),
            nulls: random.floats(layer.heads * (layer.sem + layer.geo + layer.value)),
            qkv: random.floats(rows * stride).iter().map(|x| 2.0 * x).collect(),
            stride,
            out_stride: (layer.heads * layer.value).next_multiple_of(32),
        }
    }

    /// With what a script says.
    pub fn with(self, script: &Rc<Reference>) -> Attention {
        Attention { script: Some(Rc::clone(script)), ..self }
    }

    /// The logits of the script's sink, one a head.
    fn logits(&self) -> Vec<f32> {
        match self.script.as_ref().map(|script| script.hooks().sink.clone()) {
            Some(Sink::Numbers(numbers)) if numbers.len() == 1 => vec![numbers[0]; self.layer.heads],
            Some(Sink::Numbers(numbers)) => numbers,
            _ => Vec::new(),
        }
    }

    /// What the kernels read for the script's functions.
    fn data(&self) -> Vec<u32> {
        let mut data = self.script.as_ref().map_or_else(|| vec![0], |script| script.hooks().data(LAYER, &self.logits()));
        data.extend(self.map().map(|map| map.words).unwrap_or_default());
        data
    }

    /// The tiles that the script's mask hides.
    pub fn map(&self) -> Option<TileMap> {
        self.script.as_ref()?.hooks().map(self.context, self.layer.heads, self.layer.kv_heads, LAYER)
    }

    /// By how much a kernel and its twin may differ: exponentials and powers of a script's functions are as exact as the device's are.
    fn tolerance(&self) -> f32 {
        if self.script.is_some() { 5e-5 } else { 1e-5 }
    }

    fn parameters(&self) -> Value {
        let layer = &self.layer;
        json!({
            "stride": self.stride, "out_stride": self.out_stride, "heads": layer.heads, "kv_heads": layer.kv_heads, "sem": layer.sem, "geo": layer.geo,
            "value": layer.value, "seam": self.seam(), "ring": null, "parts": layer.part_parameters(4),
        })
    }

    fn seam(&self) -> Seam {
        let (null, binding) = (self.layer.null_attn, 4 + self.caches.len());
        let seam = match &self.script {
            Some(script) => script.hooks().seam(self.layer.heads, null, binding, binding + usize::from(null)),
            None => Seam { null, null_binding: binding, ..Seam::default() },
        };
        let reach =
            self.script.as_ref().and_then(|script| script.hooks().reach(self.context, self.layer.heads, self.layer.kv_heads, LAYER));
        let seam = match reach {
            Some(reach) => Seam { window: reach.window, first: reach.first, ..seam },
            None => Seam { window: self.layer.window, ..seam },
        };
        match self.map() {
            Some(map) => map.seam(self.data().len() - map.words.len(), seam),
            None => seam,
        }
    }

    /// Runs one kernel over `rows` into `out`.
    #[allow(clippy::too_many_arguments, reason = "a kernel is all of these")]
    fn run(
        &self,
        lab: &Lab,
        template: &str,
        parameters: Value,
        call: &caramba::gpu::Buffer,
        rows: &[[u32; 2]],
        out: &caramba::gpu::Buffer,
        grid: [usize; 3],
    ) {
        let (rows, qkv, nulls) = (lab.words(rows.as_flattened()), lab.floats(&self.qkv), lab.floats(&self.nulls));
        let caches: Vec<_> = self.caches.iter().map(|cache| lab.words(cache)).collect();
        let mut bindings = vec![call, &rows, &qkv, out];
        bindings.extend(&caches);
        bindings.extend(self.layer.null_attn.then_some(&nulls));
        let data = lab.words(&self.data());
        let is_split = parameters["split"].as_u64().is_some_and(|split| split > 0);
        let reads = |script: &Rc<Reference>| if is_split { script.hooks().has_functions() } else { script.hooks().needs_data() };
        bindings.extend(Some(&data).filter(|_| self.script.as_ref().is_some_and(reads)));
        lab.run(template, &merged(self.parameters(), parameters), &bindings, grid);
    }

    /// What `out` should hold, where it held `before`.
    fn expected(&self, rows: &[[u32; 2]], before: &[f32]) -> Vec<f32> {
        let mut expected = before.to_vec();
        for (t, [sequence, position]) in rows.iter().enumerate().filter(|(_, [sequence, _])| *sequence != u32::MAX) {
            let (query, first) = (&self.qkv[t * self.stride..(t + 1) * self.stride], *sequence as usize * self.context);
            let logits = self.logits();
            let rule = self.script.as_ref().map(|script| Rule { script, logits: &logits, layer: LAYER, sequence: *sequence as usize });
            let out = self.layer.attend(query, *position as usize, first, self.tokens, &self.caches, &self.nulls, rule);
            expected[t * self.out_stride..t * self.out_stride + out.len()].copy_from_slice(&out);
        }
        expected
    }
}

/// Rows for kernels that take a tile of `tile` rows of one sequence at a time.
pub fn tiled_rows(tile: usize) -> Vec<[u32; 2]> {
    // A sequence continued at position 13, over more than a tile; another from the beginning, in a tile of its own that it does not fill; a tile
    // without any row; and one that ends before its tile does.
    let mut rows: Vec<[u32; 2]> = (13..13 + tile as u32 + 3).map(|position| [2, position]).collect();
    let filler = [u32::MAX, 49];
    let fill = |rows: &mut Vec<[u32; 2]>| rows.resize(rows.len().next_multiple_of(tile), filler);
    fill(&mut rows);
    rows.extend((0..3).map(|position| [1, position]));
    fill(&mut rows);
    rows.resize(rows.len() + tile, filler);
    rows.extend((0..6).map(|position| [0, position]));
    rows
}

impl Attention {
    /// Runs one of the kernels that take tiles of rows, beside the twin.
    pub fn check_tiled(mut self, lab: &Lab, template: &str, parameters: Value, tile: usize, rows: &[[u32; 2]]) {
        // What is behind a sequence's last position may be anything.
        for sequence in 0..self.tokens / self.context {
            let held = rows.iter().filter(|row| row[0] == sequence as u32).map(|row| row[1] as usize + 1).max().unwrap_or(0);
            for ((_, part), cache) in self.layer.parts().iter().zip(&mut self.caches) {
                (held..self.context).for_each(|position| part.spoil(cache, self.tokens, sequence * self.context + position));
            }
        }
        let before = Random(9).floats((rows.len() + 1) * self.out_stride);
        let out = lab.floats(&before);
        let call = lab.call(rows.len(), self.context, self.tokens, 1);
        let place = format!("{template} for {:?} on {} with {parameters}", self.layer, lab.name);
        self.run(lab, template, parameters, &call, rows, &out, [self.layer.heads, rows.len().div_ceil(tile), 1]);
        assert_near(&place, &lab.read::<f32>(&out), &self.expected(rows, &before), self.tolerance());
    }
}

impl Attention {
    /// Runs the kernel that stores weights for every head of every row, beside the twin.
    pub fn check_weights(&self, lab: &Lab, rows: &[[u32; 2]]) {
        let held = || (0..).zip(rows).filter(|(_, [sequence, _])| *sequence != u32::MAX);
        let asked: Vec<[u32; 4]> = (0..self.layer.heads as u32)
            .flat_map(|head| held().map(move |(row, &[sequence, position])| [row, sequence, position, head]))
            .collect();
        let stride = 1 + rows.iter().map(|row| row[1]).max().unwrap_or(0);
        let looked: Vec<[u32; 2]> =
            std::iter::once([stride, 0, 0, 0]).chain(asked.iter().copied()).flat_map(|[a, b, c, d]| [[a, b], [c, d]]).collect();
        let before = vec![f32::NAN; asked.len() * stride as usize];
        let out = lab.floats(&before);
        let call = lab.call(rows.len(), self.context, self.tokens, 1);
        self.run(lab, "attention_weights.wgsl", json!({ "workgroup": 16 }), &call, &looked, &out, [asked.len(), 1, 1]);
        let found = lab.read::<f32>(&out);
        for (at, [row, sequence, position, head]) in asked.iter().map(|asked| asked.map(|word| word as usize)).enumerate() {
            let (query, first, logits) = (&self.qkv[row * self.stride..(row + 1) * self.stride], sequence * self.context, self.logits());
            let rule = self.script.as_ref().map(|script| Rule { script, logits: &logits, layer: LAYER, sequence });
            let expected = &self.layer.weights(query, position, first, self.tokens, &self.caches, &self.nulls, rule)[head];
            let place = format!("weights of head {head} at {position} of {sequence} for {:?} on {}", self.layer, lab.name);
            // Beside a weight of 1: where nothing is seen, there is no largest one to measure by.
            let found = &found[at * stride as usize..][..=position];
            assert_near(&place, &[found, &[1.0]].concat(), &[expected.as_slice(), &[1.0]].concat(), self.tolerance());
        }
    }
}

/// Sequences of very different lengths; the shortest ends long before the last split begins.
pub const DECODED: [[u32; 2]; 3] = [[1, 3], [0, 49], [2, 16]];

/// Decodes one row of each sequence, with the cache in one piece or in splits.
pub fn check_decode(lab: &Lab, template: &str, layer: Layer, tile_heads: usize, form: &Value, cuts: &[usize]) {
    check_decoded(lab, template, &Attention::new(layer, DECODED.len()), &DECODED, tile_heads, form, cuts);
}

/// Decodes these rows.
pub fn check_decoded(
    lab: &Lab,
    template: &str,
    attention: &Attention,
    decoded: &[[u32; 2]],
    tile_heads: usize,
    form: &Value,
    cuts: &[usize],
) {
    let layer = attention.layer;
    let before = Random(9).floats((decoded.len() + 1) * attention.out_stride);
    let expected = attention.expected(decoded, &before);
    let tiles = layer.heads / tile_heads;
    for &split in cuts {
        let parameters = merged(form.clone(), json!({ "tile_heads": tile_heads, "split": split }));
        let splits = if split > 0 { attention.context.div_ceil(split) } else { 1 };
        let call = lab.call(decoded.len(), attention.context, attention.tokens, splits);
        let out = lab.floats(&before);
        if split == 0 {
            attention.run(lab, template, parameters, &call, decoded, &out, [tiles, decoded.len(), 1]);
        } else {
            // What earlier calls left there must not matter.
            let partial = lab.floats(&vec![f32::NAN; decoded.len() * layer.heads * splits * (layer.value + 2)]);
            attention.run(lab, template, parameters, &call, decoded, &partial, [tiles, decoded.len(), splits]);
            let merging = attention.script.as_ref().map_or_else(Seam::default, |script| script.hooks().merging_seam(4));
            let parameters = json!({ "heads": layer.heads, "value": layer.value, "split": split, "out_stride": attention.out_stride, "workgroup": 8, "seam": merging });
            let (rows, data) = (lab.words(decoded.as_flattened()), lab.words(&attention.data()));
            let mut bindings = vec![&call, &rows, &partial, &out];
            bindings.extend(Some(&data).filter(|_| attention.script.as_ref().is_some_and(|script| script.hooks().has_logits())));
            lab.run("attention_merge.wgsl", &parameters, &bindings, [layer.heads, decoded.len(), 1]);
        }
        let what = format!("{template} for {layer:?} as {form} in splits of {split} on {}", lab.name);
        assert_near(&what, &lab.read::<f32>(&out), &expected, attention.tolerance());
    }
}
