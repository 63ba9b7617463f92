//! The kernels of attention beside their twin in plain Rust (common/twins.rs), as kernels.rs has the others.

mod common;

use caramba::gpu::DeviceChoice;
use common::attention::{Attention, DECODED, check_decode, tiled_rows};
use common::lab::{Lab, without_everything};
use common::twins::Layer;
use serde_json::json;

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
    // Codes of two planes: heads of whole blocks, of parts of one, and of no whole word.
    (Layer { value: 32, ..Layer::standard(4, 2, 64, ["f32", "q5", "q3"]) }, 2),
    (Layer { sem: 16, value: 24, null_attn: true, ..Layer::standard(3, 1, 8, ["q6", "q3", "q5"]) }, 3),
    (Layer { sem: 9, value: 21, ..Layer::standard(2, 2, 11, ["q3", "q6", "q5"]) }, 1),
];

/// Attention takes a software driver seconds to compile where there are no subgroups: some layers will do there.
fn is_tried(lab: &Lab, name: &str, index: usize) -> bool {
    match lab.name {
        "full" => true,
        "bare" => matches!(index, 2 | 3 | 8 | 9),
        _ => index == 3 && name == "decode",
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
        (64, 16, 16, true),
        (64, 16, 16, false),
        (32, 8, 16, false),
        (64, 16, 16, false),
        (128, 32, 32, true),
        (64, 16, 16, false),
    ];
    let layers: Vec<Layer> = ATTENDED.iter().map(|(layer, _)| *layer).chain(WIDE.iter().copied()).collect();
    assert_eq!(layers.len(), shapes.len());
    for lab in &Lab::all() {
        for (index, (layer, (workgroup, tile_rows, tile_keys, keep))) in layers.iter().zip(shapes).enumerate() {
            if matches!((lab.name, index), ("full", _) | ("bare", 6 | 9) | ("checked", 11)) {
                // Loops that are unrolled take a software driver long: once.
                let parameters =
                    json!({ "workgroup": workgroup, "tile_rows": tile_rows, "tile_keys": tile_keys, "keep": keep, "unroll": index == 0 });
                let rows = tiled_rows(tile_rows);
                Attention::new(*layer, rows.len()).check_tiled(lab, "attention_tiles.wgsl", parameters, tile_rows, &rows);
            }
        }
    }
}

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
        // Teams of a subgroup come together by its operations, or all through workgroup memory.
        let neighbours = if index % 2 == 0 { full.subgroup().max(lanes) } else { lanes };
        let parameters = json!({ "lanes": lanes, "neighbours": neighbours, "workgroup": workgroup, "keys": keys, "load_words": load_words, "wide": false });
        check_decode(&full, "attention_shared.wgsl", *layer, *tile_heads, &parameters, cuts(index));
    }
    let without = without_everything().into_iter().filter(|feature| feature != "subgroups").collect();
    let checked = Lab::open("checked with subgroups", DeviceChoice { without, checked: true, ..DeviceChoice::default() });
    let parameters =
        json!({ "lanes": 4, "neighbours": checked.subgroup().max(4), "workgroup": 16, "keys": 2, "load_words": 4, "wide": false });
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

#[test]
fn weights_are_those_of_their_twin() {
    for lab in &Lab::all() {
        for (layer, _) in ATTENDED.iter().filter(|(layer, _)| lab.name == "full" || layer.null_attn) {
            Attention::new(*layer, DECODED.len()).check_weights(lab, &DECODED);
        }
    }
}
