//! The kernels of attention beside their twin in plain Rust (common/twins.rs), as kernels.rs has the others.

mod common;

use caramba::gpu::DeviceChoice;
use caramba::runtime::Seam;
use common::lab::{Lab, Random, assert_near, without_everything};
use common::twins::Layer;
use serde_json::{Value, json};

fn merged(mut a: Value, b: Value) -> Value {
    if let (Value::Object(a), Value::Object(b)) = (&mut a, b) {
        a.extend(b);
    }
    a
}

/// Layers for attention, and how many query heads decode takes at once.
const ATTENDED: &[(Layer, usize)] = &[
    (Layer::standard(6, 2, 16, ["f32", "f16", "f16"]), 3),
    (Layer { value: 24, window: 5, ..Layer::standard(3, 3, 16, ["f32", "q8", "q8"]) }, 1),
    (Layer { sem: 8, value: 16, null_attn: true, ..Layer::standard(10, 5, 8, ["q4", "q8", "q4"]) }, 2),
    // Nothing is aligned to anything.
    (Layer { sem: 5, value: 9, null_attn: true, window: 19, ..Layer::standard(3, 1, 7, ["q4", "q8", "q8"]) }, 3),
    (Layer { sem: 3, value: 21, ..Layer::standard(2, 2, 11, ["f16", "q4", "f16"]) }, 1),
    (Layer { window: 12, ..Layer::standard(4, 1, 12, ["f32", "f32", "f32"]) }, 4),
    // Whole units of words; rows of values shorter than a subgroup.
    (Layer { value: 64, ..Layer::standard(2, 1, 32, ["f32", "q8", "q4"]) }, 2),
    (Layer { sem: 32, value: 32, null_attn: true, ..Layer::standard(2, 2, 16, ["q4", "f16", "q4"]) }, 1),
];

/// Attention takes a software driver seconds to compile where there are no subgroups: some layers will do there.
fn is_tried(lab: &Lab, name: &str, index: usize) -> bool {
    match lab.name {
        "full" => true,
        "bare" => matches!(index, 2 | 3),
        _ => index == 3 && name == "decode",
    }
}

/// Caches, queries and what is common to the attention kernels' parameters.
struct Attention {
    layer: Layer,
    context: usize,
    tokens: usize,
    caches: Vec<Vec<u32>>,
    nulls: Vec<f32>,
    qkv: Vec<f32>,
    stride: usize,
    out_stride: usize,
}

impl Attention {
    fn new(layer: Layer, rows: usize) -> Attention {
        let mut random = Random(5);
        let (context, sequences) = (50, 3);
        let tokens = context * sequences;
        let stride = layer.offsets()[5].next_multiple_of(32);
        Attention {
            layer,
            context,
            tokens,
            caches: layer.parts().iter().map(|(_, part)| part.random(&mut random, tokens)).collect(),
            nulls: random.floats(layer.heads * (layer.sem + layer.geo + layer.value)),
            qkv: random.floats(rows * stride).iter().map(|x| 2.0 * x).collect(),
            stride,
            out_stride: (layer.heads * layer.value).next_multiple_of(32),
        }
    }

    fn parameters(&self) -> Value {
        let layer = &self.layer;
        json!({
            "stride": self.stride, "out_stride": self.out_stride, "heads": layer.heads, "kv_heads": layer.kv_heads, "sem": layer.sem, "geo": layer.geo,
            "value": layer.value, "seam": self.seam(), "ring": null, "parts": layer.part_parameters(4),
        })
    }

    fn seam(&self) -> Seam {
        Seam { window: self.layer.window, null: self.layer.null_attn, null_binding: 4 + self.caches.len(), ..Seam::default() }
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
        lab.run(template, &merged(self.parameters(), parameters), &bindings, grid);
    }

    /// What `out` should hold, where it held `before`.
    fn expected(&self, rows: &[[u32; 2]], before: &[f32]) -> Vec<f32> {
        let mut expected = before.to_vec();
        for (t, [sequence, position]) in rows.iter().enumerate().filter(|(_, [sequence, _])| *sequence != u32::MAX) {
            let (query, first) = (&self.qkv[t * self.stride..(t + 1) * self.stride], *sequence as usize * self.context);
            let out = self.layer.attend(query, *position as usize, first, self.tokens, &self.caches, &self.nulls);
            expected[t * self.out_stride..t * self.out_stride + out.len()].copy_from_slice(&out);
        }
        expected
    }
}

/// Rows for kernels that take a tile of `tile` rows of one sequence at a time.
fn tiled_rows(tile: usize) -> Vec<[u32; 2]> {
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
    fn check_tiled(mut self, lab: &Lab, template: &str, parameters: Value, tile: usize, rows: &[[u32; 2]]) {
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
        assert_near(&place, &lab.read::<f32>(&out), &self.expected(rows, &before), 1e-5);
    }
}

#[test]
fn prefill_attends_as_its_twin() {
    for lab in &Lab::all() {
        let workgroup = if lab.subgroup() > 0 { lab.subgroup() } else { 32 };
        let rows = tiled_rows(workgroup);
        for (index, (layer, _)) in ATTENDED.iter().enumerate() {
            if is_tried(lab, "prefill", index) {
                let keys = if lab.subgroup() > 0 { 4 } else { 2 };
                let wide = lab.has_wide_loads() && index != 4;
                let parameters = json!({
                    "workgroup": workgroup, "subgroup": lab.subgroup(), "keys": keys, "load_words": 2, "wide": wide,
                });
                Attention::new(*layer, rows.len()).check_tiled(lab, "attention_prefill.wgsl", parameters, workgroup, &rows);
            }
        }
    }
}

/// Layers with several blocks of keys and of values, the last of each partial.
const WIDE: &[Layer] = &[
    Layer { sem: 36, value: 72, null_attn: true, window: 23, ..Layer::standard(2, 1, 80, ["f16", "q8", "f16"]) },
    Layer { sem: 40, value: 136, ..Layer::standard(2, 2, 72, ["q4", "f32", "q4"]) },
    Layer { sem: 35, value: 67, ..Layer::standard(1, 1, 66, ["q8", "f16", "q8"]) },
];

#[test]
fn tiles_attend_as_their_twin() {
    // For each layer: the workgroup, rows and keys of a tile, whether queries stay.
    let shapes = [
        (64, 16, 16, false),
        (32, 16, 32, true),
        (64, 16, 16, true),
        (128, 32, 32, true),
        (32, 8, 16, false),
        (64, 32, 16, false),
        (64, 16, 16, false),
        (128, 32, 16, false),
        (64, 16, 16, false),
        (128, 32, 32, true),
        (64, 16, 16, false),
    ];
    let layers: Vec<Layer> = ATTENDED.iter().map(|(layer, _)| *layer).chain(WIDE.iter().copied()).collect();
    assert_eq!(layers.len(), shapes.len());
    for lab in &Lab::all() {
        for (index, (layer, (workgroup, tile_rows, tile_keys, keep))) in layers.iter().zip(shapes).enumerate() {
            if matches!((lab.name, index), ("full", _) | ("bare", 6) | ("checked", 8)) {
                // Loops that are unrolled take a software driver long: once.
                let parameters =
                    json!({ "workgroup": workgroup, "tile_rows": tile_rows, "tile_keys": tile_keys, "keep": keep, "unroll": index == 0 });
                let rows = tiled_rows(tile_rows);
                Attention::new(*layer, rows.len()).check_tiled(lab, "attention_tiles.wgsl", parameters, tile_rows, &rows);
            }
        }
    }
}

/// Sequences of very different lengths; the shortest ends long before the last split begins.
const DECODED: [[u32; 2]; 3] = [[1, 3], [0, 49], [2, 16]];

#[test]
fn decode_attends_as_its_twin() {
    for lab in &Lab::all() {
        let workgroup = if lab.subgroup() > 0 { lab.subgroup() } else { 32 };
        for (index, (layer, tile_heads)) in ATTENDED.iter().enumerate().filter(|(index, _)| is_tried(lab, "decode", *index)) {
            let load_words = [2, 4, 1][index % 3];
            let wide = lab.has_wide_loads() && index != 4;
            let parameters = json!({ "workgroup": workgroup, "subgroup": lab.subgroup(), "load_words": load_words, "wide": wide });
            check_decode(lab, "attention_decode.wgsl", *layer, *tile_heads, &parameters, cuts(index));
        }
    }
}

#[test]
fn decode_with_shared_positions_attends_as_its_twin() {
    let full = Lab::open("full", DeviceChoice::default());
    if full.subgroup() == 0 {
        println!("{} has no subgroups of one size", full.gpu.summary().name);
        return;
    }
    for (index, (layer, tile_heads)) in ATTENDED.iter().enumerate() {
        // Teams of a part of a subgroup and of all of it; one position at a time and several; one subgroup and more.
        let [lanes, workgroup, keys] = [[4, 16, 2], [8, 8, 1], [8, 32, 1], [2, 8, 3], [1, 4, 2]][index % 5];
        let load_words = [4, 2, 1, 4][index % 4];
        let parameters = json!({ "lanes": lanes, "workgroup": workgroup, "keys": keys, "load_words": load_words, "wide": false });
        check_decode(&full, "attention_shared.wgsl", *layer, *tile_heads, &parameters, cuts(index));
    }
    let without = without_everything().into_iter().filter(|feature| feature != "subgroups").collect();
    let checked = Lab::open("checked with subgroups", DeviceChoice { without, checked: true, ..DeviceChoice::default() });
    let parameters = json!({ "lanes": 4, "workgroup": 16, "keys": 2, "load_words": 4, "wide": false });
    check_decode(&checked, "attention_shared.wgsl", ATTENDED[3].0, ATTENDED[3].1, &parameters, cuts(3));
}

/// Positions of a split (0: all in one): each takes a software driver seconds to compile, and one of them will do for most layers.
fn cuts(index: usize) -> &'static [usize] {
    match index {
        3 => &[0, 16],
        _ if index.is_multiple_of(2) => &[16],
        _ => &[0],
    }
}

/// Decodes one row of each sequence, with the cache in one piece or in splits.
fn check_decode(lab: &Lab, template: &str, layer: Layer, tile_heads: usize, form: &Value, cuts: &[usize]) {
    let attention = Attention::new(layer, DECODED.len());
    let before = Random(9).floats((DECODED.len() + 1) * attention.out_stride);
    let expected = attention.expected(&DECODED, &before);
    let tiles = layer.heads / tile_heads;
    for &split in cuts {
        let parameters = merged(form.clone(), json!({ "tile_heads": tile_heads, "split": split }));
        let splits = if split > 0 { attention.context.div_ceil(split) } else { 1 };
        let call = lab.call(DECODED.len(), attention.context, attention.tokens, splits);
        let out = lab.floats(&before);
        if split == 0 {
            attention.run(lab, template, parameters, &call, &DECODED, &out, [tiles, DECODED.len(), 1]);
        } else {
            // What earlier calls left there must not matter.
            let partial = lab.floats(&vec![f32::NAN; DECODED.len() * layer.heads * splits * (layer.value + 2)]);
            attention.run(lab, template, parameters, &call, &DECODED, &partial, [tiles, DECODED.len(), splits]);
            let parameters = json!({ "heads": layer.heads, "value": layer.value, "split": split, "out_stride": attention.out_stride, "workgroup": 8, "seam": Seam::default() });
            let bindings = [&call, &lab.words(DECODED.as_flattened()), &partial, &out];
            lab.run("attention_merge.wgsl", &parameters, &bindings, [layer.heads, DECODED.len(), 1]);
        }
        let what = format!("{template} for {layer:?} as {form} in splits of {split} on {}", lab.name);
        assert_near(&what, &lab.read::<f32>(&out), &expected, 1e-5);
    }
}
