//! Every kernel beside its twin in plain Rust (common/twins.rs), on odd shapes, with the device's optional features and without.

mod common;

use caramba::gpu::{Count, DeviceChoice, Purpose, Usage};
use caramba::runtime::forms::{Job, candidates};
use caramba::runtime::weights::Format;
use caramba::runtime::{Form, Shape};
use common::lab::{Lab, Random, assert_near};
use common::twins::{self, Layer, dot, rms_norm};
use serde_json::json;

/// Formats whose kernels are all tried, and those that differ from them in their scales only.
const FORMATS: [&str; 4] = ["f32", "f16", "q8", "q4"];
const RELATED: [&str; 3] = ["q8_16", "q8_min", "q4_16"];
const EPS: f64 = 1e-5;

/// A product in one form.
#[derive(Debug, Clone, Copy)]
struct Product {
    template: &'static str,
    /// The tile: token rows, rows of a lane, lanes of a workgroup; of cooperative matrices those of a subgroup, and subgroups.
    tile: [usize; 3],
    epilogue: &'static str,
    bias: bool,
    norm: bool,
    /// Elements of a row, padded to whole blocks on the device.
    width: usize,
    /// Rows of each part of the matrix.
    parts: &'static [usize],
    /// Token rows of the calls.
    calls: &'static [usize],
}

const LANES: &str = "linear_lanes.wgsl";
const SHARED: &str = "linear_shared.wgsl";
const TILES: &str = "linear_tiles.wgsl";
const MATRICES: &str = "linear_matrices.wgsl";

/// Each option at least once in each template, rows that fill no tile, calls of less than a tile and of more.
const PRODUCTS: &[Product] = &[
    Product { template: LANES, tile: [1, 2, 16], epilogue: "store", bias: true, norm: true, width: 100, parts: &[45], calls: &[1, 3] },
    Product {
        template: LANES,
        tile: [8, 1, 16],
        epilogue: "geglu",
        bias: false,
        norm: true,
        width: 64,
        parts: &[50],
        calls: &[1, 2, 3, 4, 5, 6, 7, 8, 13],
    },
    Product { template: LANES, tile: [4, 4, 16], epilogue: "add", bias: true, norm: false, width: 40, parts: &[64, 13], calls: &[3, 6] },
    Product { template: SHARED, tile: [1, 2, 32], epilogue: "store", bias: true, norm: true, width: 100, parts: &[13, 6], calls: &[1, 3] },
    Product { template: SHARED, tile: [2, 1, 16], epilogue: "swiglu", bias: false, norm: true, width: 330, parts: &[7], calls: &[1, 2, 5] },
    Product {
        template: SHARED,
        tile: [8, 1, 16],
        epilogue: "add",
        bias: false,
        norm: false,
        width: 40,
        parts: &[9],
        calls: &[1, 2, 3, 4, 5, 6, 7, 8, 11],
    },
    // Fewer lanes than results, and than a subgroup has.
    Product { template: SHARED, tile: [2, 3, 4], epilogue: "store", bias: false, norm: true, width: 70, parts: &[13], calls: &[1, 3] },
    Product { template: TILES, tile: [2, 1, 32], epilogue: "store", bias: true, norm: true, width: 100, parts: &[13, 18], calls: &[3, 6] },
    Product { template: TILES, tile: [1, 2, 48], epilogue: "geglu", bias: false, norm: true, width: 64, parts: &[37], calls: &[1, 7] },
    Product { template: TILES, tile: [3, 1, 16], epilogue: "add", bias: false, norm: false, width: 40, parts: &[16], calls: &[2, 4] },
    Product {
        template: MATRICES,
        tile: [1, 1, 2],
        epilogue: "store",
        bias: true,
        norm: true,
        width: 100,
        parts: &[13, 18],
        calls: &[3, 19],
    },
    Product { template: MATRICES, tile: [2, 1, 4], epilogue: "swiglu", bias: false, norm: true, width: 64, parts: &[37], calls: &[1, 35] },
    Product { template: MATRICES, tile: [1, 2, 4], epilogue: "add", bias: false, norm: false, width: 40, parts: &[70], calls: &[2, 33] },
];

// A test for each template: a software driver compiles them for long, and one test uses one core for it.

#[test]
fn products_by_lanes_are_those_of_their_twin() {
    check_products(LANES);
}

#[test]
fn products_by_shared_rows_are_those_of_their_twin() {
    check_products(SHARED);
}

#[test]
fn products_by_tiles_are_those_of_their_twin() {
    check_products(TILES);
}

/// Where the device has them: Mesa's software driver does from version 26 on.
#[test]
fn products_by_cooperative_matrices_are_those_of_their_twin() {
    check_products(MATRICES);
}

/// Where a subgroup's size is not one (AMD, Intel, Apple). This device's is, but its kernels need not rely on it.
#[test]
fn products_by_subgroups_of_any_size_are_those_of_their_twin() {
    let lab = Lab::open("full", DeviceChoice::default());
    if !lab.gpu.has(wgpu::Features::SUBGROUP) {
        println!("{} has no subgroups", lab.gpu.summary().name);
        return;
    }
    for (index, product) in PRODUCTS.iter().enumerate().filter(|(_, product)| product.template == SHARED) {
        let least = lab.gpu.summary().subgroup_sizes[0] as usize;
        for format in [FORMATS[index % 4], RELATED[index % 3]] {
            check_product(&lab, *product, format, 1, product.tile[2].div_ceil(least));
        }
    }
}

fn check_products(template: &str) {
    let labs = Lab::all();
    for lab in &labs {
        if template == MATRICES && lab.gpu.matrix_size().is_none() {
            println!("{} has no cooperative matrices of half floats", lab.name);
            continue;
        }
        for (index, product) in PRODUCTS.iter().enumerate().filter(|(_, product)| product.template == template) {
            // Rows in one piece, and in groups that the rows don't fill.
            let interleave = if lab.name == "full" || index % 2 == 0 { [8, 1, 4][index % 3] } else { 8 };
            // What a format does to a product it does everywhere; the checked form differs in nothing but checks.
            let formats = match lab.name {
                "full" => 4,
                "bare" => 2,
                _ if index % 2 == 0 => 1,
                _ => 0,
            };
            for turn in 0..formats {
                check_product(lab, *product, FORMATS[(index + turn) % 4], interleave, 0);
            }
            // Each of these once in each template, with one matrix or two.
            if lab.name != "checked" {
                check_product(lab, *product, RELATED[(index + index / 3) % 3], interleave, 0);
            }
        }
    }
}

/// A vocabulary has more rows than a grid has workgroups on a side: a form for it has several rows in each.
#[test]
fn a_grid_has_room_for_every_row() {
    let gpu = Lab::open("full", DeviceChoice::default()).gpu;
    let most = gpu.limits().max_compute_workgroups_per_dimension as usize;
    let form = |lane_rows| Form { shape: Shape::Together, tokens: 1, lane_rows, workgroup: 64, depth: 1 };
    assert!(
        form(1).is_sound(&gpu, most, 2048, false)
            && !form(1).is_sound(&gpu, most + 1, 2048, false)
            && form(2).is_sound(&gpu, most + 1, 2048, false)
    );
    for format in [Format::F16, Format::Q4] {
        let job = Job { format, dual: false, rows: 4 * most + 4, columns: 2048, tokens: 1 };
        let forms = candidates(&gpu, job);
        assert!(!forms.is_empty() && forms.iter().all(|form| form.is_sound(&gpu, job.rows, job.columns, false)), "{forms:?}");
    }
    // What is larger nevertheless is told before it runs.
    let count = gpu.buffer("a count", 4, Purpose::Scratch, Usage::Storage).unwrap();
    let kernel = gpu.kernel("probe_nothing.wgsl", &json!({})).unwrap();
    let grid = [Count::Of(most as u32 + 1), Count::Of(1), Count::Of(1)];
    let error = gpu.step("too much", &kernel, vec![count.binding()], grid).err().unwrap().to_string();
    assert!(error.contains(&format!("too much has {} workgroups side by side, and the device takes {most}", most + 1)), "{error}");
}

/// With `subgroups`, kernels do not know how large a subgroup is, only that a workgroup has no more of them than that.
fn check_product(lab: &Lab, product: Product, format: &str, interleave: usize, subgroups: usize) {
    let mut random = Random(7);
    let Product { tile: [tokens, lane_rows, mut workgroup], width, .. } = product;
    let size = lab.gpu.matrix_size().unwrap_or(0) as usize;
    if product.template == MATRICES {
        workgroup *= lab.subgroup();
    }
    let (columns, rows) = (width.next_multiple_of(32), product.parts.iter().sum::<usize>());
    let (x_stride, y_stride) = (columns + 32, rows + 3);
    let most_calls = product.calls.iter().copied().max().unwrap();
    let norm = random.floats(width);
    let bias = random.floats(rows);
    let matrices = if matches!(product.epilogue, "swiglu" | "geglu") { 2 } else { 1 };
    // [part][matrix]
    let weights: Vec<Vec<twins::Weights>> =
        product.parts.iter().map(|&rows| (0..matrices).map(|_| twins::weights(&mut random, format, rows, width)).collect()).collect();
    let mut x = vec![0.0; most_calls * x_stride];
    for row in x.chunks_mut(x_stride) {
        row[..width].copy_from_slice(&random.floats(width));
        // Beyond the padded row is another's business.
        row[columns..].fill(f32::NAN);
    }
    // Two more rows than the largest call has: nobody may write there.
    let before = random.floats((most_calls + 2) * y_stride);

    let subgroup = if subgroups == 0 && lab.subgroup() > 0 && workgroup.is_multiple_of(lab.subgroup()) { lab.subgroup() } else { 0 };
    let lanes = if subgroup > 0 { subgroup } else { workgroup };
    let (x_buffer, norm_buffer, bias_buffer) = (lab.floats(&x), lab.floats(&padded(&norm, columns)), lab.floats(&bias));
    for &call_rows in product.calls {
        let y = lab.floats(&before);
        let call = lab.call(call_rows, 0, 0, 0);
        let mut first = 0;
        for (part, weights) in product.parts.iter().zip(&weights) {
            let parameters = json!({
                "format": twins::format_parameters(format), "interleave": interleave, "columns": columns, "rows": part, "first": first, "tokens": tokens, "lane_rows": lane_rows,
                "workgroup": workgroup, "subgroup": subgroup, "subgroups": subgroups, "unroll": product.bias, "wide": product.template == LANES && lab.has_wide_loads(), "lanes": lanes, "size": size, "packed": product.norm, "depth": if product.epilogue == "swiglu" { 1 } else { 2 }, "x_stride": x_stride, "y_stride": y_stride,
                "epilogue": product.epilogue, "bias": product.bias, "norm": product.norm, "norm_width": width, "eps": EPS,
            });
            let buffers: Vec<_> = weights
                .iter()
                .flat_map(|matrix| matrix.planes(interleave, columns))
                .filter(|words| !words.is_empty())
                .map(|words| lab.words(&words))
                .collect();
            let mut bindings = vec![&call, &x_buffer, &y];
            bindings.extend(&buffers);
            bindings.extend(product.norm.then_some(&norm_buffer));
            bindings.extend(product.bias.then_some(&bias_buffer));
            let [tile_rows, tile_tokens] = match product.template {
                LANES => [workgroup * lane_rows, tokens],
                SHARED => [workgroup / lanes * lane_rows, tokens],
                MATRICES => [2 * size * lane_rows, workgroup / lanes / 2 * size * tokens],
                _ => [16 * lane_rows, workgroup / 16 * tokens],
            };
            let [across, along] = [part.div_ceil(tile_rows), call_rows.div_ceil(tile_tokens)];
            lab.run(
                product.template,
                &parameters,
                &bindings,
                if product.template == MATRICES { [along, across, 1] } else { [across, along, 1] },
            );
            first += part;
        }
        let found: Vec<f32> = lab.read(&y);
        let mut expected = before.clone();
        for t in 0..call_rows {
            let x = &x[t * x_stride..t * x_stride + width];
            let x = padded(&if product.norm { rms_norm(x, &norm, EPS) } else { x.to_vec() }, columns);
            let mut row = 0;
            for weights in &weights {
                for r in 0..weights[0].values.len() / columns {
                    let of = |matrix: &twins::Weights| dot(&x, &matrix.values[r * columns..(r + 1) * columns]);
                    let to = &mut expected[t * y_stride + row];
                    let bias = if product.bias { f64::from(bias[row]) } else { 0.0 };
                    *to = match product.epilogue {
                        "store" => of(&weights[0]) + bias,
                        "add" => f64::from(*to) + of(&weights[0]) + bias,
                        "geglu" => gelu(of(&weights[0])) * of(&weights[1]),
                        _ => of(&weights[0]) / (1.0 + (-of(&weights[0])).exp()) * of(&weights[1]),
                    } as f32;
                    row += 1;
                }
            }
        }
        let what = format!(
            "{product:?} of {format}, rows in groups of {interleave}, {subgroups} subgroups of any size, with {call_rows} rows on {}",
            lab.name
        );
        // Cooperative matrices multiply half floats, of 11 bits; their sums are f32.
        assert_near(&what, &found, &expected, if product.template == MATRICES { 1e-3 } else { 2e-5 });
        let is_written = |index: usize| index / y_stride < call_rows && index % y_stride < rows;
        for index in (0..found.len()).filter(|&index| !is_written(index)) {
            assert_eq!(found[index], before[index], "{what}: {index} was written");
        }
    }
}

/// By the hyperbolic tangent.
fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
}

fn padded(values: &[f32], length: usize) -> Vec<f32> {
    let mut values = values.to_vec();
    values.resize(length, 0.0);
    values
}

#[test]
fn embeddings_are_rows() {
    const NONE: u32 = u32::MAX;
    let (width, columns, x_stride, context) = (72, 96, 100, 5);
    for lab in &Lab::all() {
        for (index, (format, interleave)) in FORMATS.into_iter().chain(RELATED).zip([1, 4, 8, 3, 1, 8, 3]).enumerate() {
            let multiplier = [1.0, 2.5f32][index % 2];
            let mut random = Random(3);
            let parts = [twins::weights(&mut random, format, 11, width), twins::weights(&mut random, format, 6, width)];
            // Two sequences; a row that only fills a tile lies between them.
            let tokens: Vec<u32> = (0..2 * (context + 1)).map(|_| random.below(17) as u32).collect();
            let rows = [[0, 0], [0, 4], [NONE, 0], [1, 3], [1, 0]];
            let before = random.floats((rows.len() + 1) * x_stride);
            let x = lab.floats(&before);
            let (call, rows_buffer, history) =
                (lab.call(rows.len(), context, 2 * context, 1), lab.words(rows.as_flattened()), lab.words(&tokens));
            let parameters = twins::format_parameters(format);
            let unit = 128 / parameters["bits"].as_u64().unwrap() as usize;
            for (part, (first, count)) in parts.iter().zip([(0, 11), (11, 6)]) {
                let parameters = json!({ "format": twins::format_parameters(format), "interleave": interleave, "columns": columns, "first": first, "rows": count, "x_stride": x_stride, "multiplier": multiplier, "workgroup": 4 });
                let planes = part.planes(interleave, columns).map(|words| lab.words(&words));
                let mut bindings = vec![&call, &rows_buffer, &history, &x, &planes[0]];
                bindings.extend((!part.scales.is_empty()).then_some(&planes[1]));
                // A row more than there are.
                lab.run("embed.wgsl", &parameters, &bindings, [(columns / unit).div_ceil(4), rows.len() + 1, 1]);
            }
            let values: Vec<f32> = parts.iter().flat_map(|part| &part.values).map(|value| multiplier * value).collect();
            let mut expected = before.clone();
            for (to, [sequence, position]) in expected.chunks_mut(x_stride).zip(rows).filter(|(_, [sequence, _])| *sequence != NONE) {
                let token = tokens[sequence as usize * (context + 1) + position as usize] as usize;
                to[..columns].copy_from_slice(&values[token * columns..(token + 1) * columns]);
            }
            assert_near(&format!("{format} on {}", lab.name), &lab.read::<f32>(&x), &expected, 1e-6);
        }
    }
}

/// Layers for `cache_write`: every option, every kind, heads that straddle blocks, widths that are odd.
const WRITTEN: &[Layer] = &[
    Layer { value: 20, ..Layer::standard(6, 2, 24, ["f32", "q8", "q4"]) },
    Layer { qk_norm: "head", ..Layer::standard(4, 2, 16, ["f32", "f16", "f16"]) },
    Layer { qk_norm: "all", ..Layer::standard(6, 2, 10, ["f16", "f32", "f16"]) },
    Layer { rope: false, ..Layer::standard(2, 1, 38, ["f32", "f32", "f32"]) },
    // 70 heads and more: more than a workgroup has threads.
    Layer { qk_norm: "head", value: 3, ..Layer::standard(70, 35, 6, ["f32", "q4", "q8"]) },
    Layer { sem: 6, value: 11, gate: "dynamic", learned_temp: true, rope_semantic: true, ..Layer::standard(6, 3, 10, ["q4", "q8", "f16"]) },
    Layer { sem: 5, value: 9, rope: false, gate: "static", tie_qk: true, ..Layer::standard(3, 3, 7, ["q8", "q4", "q8"]) },
    // Hadamard transforms in pieces of 32 and less.
    Layer { sem: 40, value: 5, learned_temp: true, ..Layer::standard(4, 2, 64, ["q4", "q4", "q8"]) },
    Layer { sem: 33, value: 1, rope: false, learned_temp: true, ..Layer::standard(2, 1, 1, ["f16", "q8", "f32"]) },
    Layer { value: 40, ..Layer::standard(4, 2, 24, ["f32", "q5", "q6"]) },
    Layer { sem: 7, value: 9, ..Layer::standard(3, 3, 10, ["q6", "q3", "q5"]) },
    Layer { value: 64, ..Layer::standard(2, 1, 32, ["f32", "q6", "q3"]) },
];

#[test]
fn keys_and_values_are_written_as_the_format_says() {
    const NONE: u32 = u32::MAX;
    let (context, sequences) = (7, 3);
    let tokens = context * sequences;
    let rows = [[2, 0], [2, 1], [NONE, 0], [0, 6], [1, 3], [0, 5]];
    for lab in &Lab::all() {
        for layer in WRITTEN {
            let mut random = Random(11);
            let [_, k_sem, k_geo, value_at, _, width] = layer.offsets();
            let stride = width.next_multiple_of(32);
            let extras = layer.extras(&mut random);
            let mut qkv = random.floats(rows.len() * stride);
            // Values that lie between two codes are rounded to the even one; a block of zeros has a scale of zero.
            let top = 127.0;
            let ties = [top, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, -top, 3.5];
            let count = ties.len().min(layer.kv_heads * layer.value);
            qkv[value_at..value_at + layer.kv_heads * layer.value].fill(0.25);
            qkv[value_at..value_at + count].copy_from_slice(&ties[..count]);
            qkv[stride + value_at..stride + value_at + layer.kv_heads * layer.value].fill(0.0);
            // The last row's values hold one that is no number.
            let last = rows.len() - 1;
            let bad = layer.kinds[2].starts_with('q').then_some(last * stride + value_at);
            if let Some(at) = bad {
                qkv[at] = f32::NAN;
            }

            let caches: Vec<Vec<u32>> = layer.parts().iter().map(|(_, part)| part.random(&mut random, tokens)).collect();
            let buffers: Vec<_> = caches.iter().map(|cache| lab.words(cache)).collect();
            let (call, rows_buffer, qkv_buffer) =
                (lab.call(rows.len(), context, tokens, 1), lab.words(rows.as_flattened()), lab.floats(&qkv));
            let optional = [
                (layer.rope, twins::turns(layer.geo, context)),
                (layer.rope_semantic, twins::turns(layer.sem, context)),
                (!extras.is_empty(), extras.clone()),
            ]
            .map(|(is_there, values)| is_there.then(|| lab.floats(&values)));
            let mut bindings = vec![&call, &rows_buffer, &qkv_buffer];
            bindings.extend(&buffers);
            let places = optional.each_ref().map(|buffer| match buffer {
                Some(buffer) => {
                    bindings.push(buffer);
                    bindings.len() - 1
                }
                None => 0,
            });
            let scale = |width: usize| 1.0 / (width.max(1) as f32).sqrt();
            let parameters = json!({
                "stride": stride, "heads": layer.heads, "kv_heads": layer.kv_heads, "sem": layer.sem, "geo": layer.geo, "value": layer.value,
                "sem_scale": scale(layer.sem), "geo_scale": scale(layer.geo), "workgroup": 64,
                "rope": layer.rope, "rope_binding": places[0], "rope_heads": 1, "rope_semantic": layer.rope_semantic, "rope_semantic_binding": places[1],
                "extras_binding": places[2], "qk_norm": layer.qk_norm, "eps": EPS, "gate": layer.gate, "learned_temp": layer.learned_temp,
                "tie_qk": layer.tie_qk, "latent": false, "rope_pairs": layer.geo / 2, "unroll": layer.qk_norm == "head", "ring": null, "parts": layer.part_parameters(3),
            });
            lab.run("cache_write.wgsl", &parameters, &bindings, [rows.len() + 1, 1, 1]);

            let what = format!("{layer:?} on {}", lab.name);
            println!("{what}");
            let mut expected = qkv.clone();
            let mut written = vec![false; tokens];
            for (row, [sequence, position]) in expected.chunks_mut(stride).zip(rows).filter(|(_, [sequence, _])| *sequence != NONE) {
                layer.write(row, position as usize, &extras, EPS);
                written[sequence as usize * context + position as usize] = true;
            }
            let mut found: Vec<f32> = lab.read(&qkv_buffer);
            if bad.is_some() {
                // Its rotation spreads it over its piece of a head.
                for row in [&mut found, &mut expected] {
                    row[last * stride + value_at..][..layer.kv_heads * layer.value].fill(0.0);
                }
            }
            assert_near(&what, &found, &expected, 2e-6);
            for (((_, part), before), buffer) in layer.parts().iter().zip(&caches).zip(&buffers) {
                let after: Vec<u32> = lab.read(buffer);
                for t in (0..tokens).filter(|&t| !written[t]) {
                    part.check_untouched(before, &after, tokens, t);
                }
            }
            // Keys are what they should be but for rounding; values are not computed at all unless they are rotated.
            let rotated = layer.parts().last().is_some_and(|(_, part)| part.is_rotated());
            let places: Vec<(usize, f32)> = [(k_sem, 2e-6), (k_geo, 2e-6), (value_at, if rotated { 2e-6 } else { 0.0 })]
                .into_iter()
                .skip(if layer.sem > 0 { 0 } else { 1 })
                .collect();
            for (((_, part), buffer), (at, noise)) in layer.parts().iter().zip(&buffers).zip(places) {
                let after: Vec<u32> = lab.read(buffer);
                for (row, [sequence, position]) in expected.chunks(stride).zip(rows).filter(|(_, [sequence, _])| *sequence != NONE) {
                    let token = sequence as usize * context + position as usize;
                    if at == value_at && bad.is_some() && [sequence, position] == rows[last] {
                        let block = &part.token(&after, tokens, token)[..part.width().min(32)];
                        assert!(block.iter().all(|x| x.is_nan()), "{what}: {block:?}");
                        continue;
                    }
                    part.check(&after, tokens, token, &row[at..at + part.width()], noise);
                    if at == value_at && row[at] == top && !rotated {
                        let rounded = [top, 0.0, 2.0, 2.0, 0.0, -2.0, -2.0, -top, 4.0];
                        assert_eq!(part.token(&after, tokens, token)[..count], ties_of(part.kind, &rounded, &ties)[..count], "{what}");
                    }
                }
            }
        }
    }
}

/// What a block with a scale of 1 gives back.
fn ties_of(kind: &str, rounded: &[f32; 9], exact: &[f32; 9]) -> [f32; 9] {
    if kind.starts_with('q') { *rounded } else { *exact }
}

/// Logits of two sequences with ties and a wide range: [2, stride]
fn logits(vocab: usize, stride: usize) -> Vec<f32> {
    let mut random = Random(2);
    let mut logits: Vec<f32> = (0..2 * stride).map(|_| 6.0 * random.float()).collect();
    // Equal logits on either side of a limit and at the top; what pads a row is larger than all.
    for row in logits.chunks_mut(stride) {
        row[vocab..].fill(100.0);
        for i in 0..12 {
            row[17 + 71 * i] = 5.25;
        }
        row[500] = 7.5;
        row[311] = 7.5;
    }
    logits
}

#[test]
fn tokens_are_sampled_as_the_twin_samples_them() {
    let (vocab, stride, context, draws) = (1003, 1024, 260, 200);
    let logits = logits(vocab, stride);
    let parameters = |greedy: bool| json!({ "greedy": greedy, "vocab": vocab, "stride": stride, "workgroup": 256, "ways": 7 });
    let starts = [0usize, 41];
    for lab in &Lab::all() {
        let sample = |greedy: bool, options: &[u32], draws: usize| -> (Vec<u32>, Vec<u32>, Vec<u32>) {
            let history = lab.words(&vec![9999; 2 * (context + 1)]);
            let rows = lab.words(&[0; 4]);
            let lengths = lab.words(&starts.map(|start| start as u32));
            let (call, logits, options) = (lab.call(2, context, 2 * context, 1), lab.floats(&logits), lab.words(options));
            let mut bindings = vec![&logits, &history, &rows, &lengths, &call];
            bindings.extend((!greedy).then_some(&options));
            for _ in 0..draws {
                lab.run("sample.wgsl", &parameters(greedy), &bindings, [2, 1, 1]);
            }
            (lab.read(&history), lab.read(&rows), lab.read(&lengths))
        };
        let (history, rows, lengths) = sample(true, &[0; 8], 2);
        // The first of equals, at the positions that come next; then the row of the next step.
        assert_eq!((history[0], history[1], history[2]), (311, 311, 9999), "{}", lab.name);
        assert_eq!((history[context + 1 + 41], history[context + 1 + 42]), (311, 311), "{}", lab.name);
        assert_eq!((rows, lengths), (vec![0, 1, 1, 42], vec![2, 43]), "{}", lab.name);

        let seed = 0x1234_5678_9abc_def0u64;
        for (temperature, top_k, top_p, min_p) in [
            (1.0f32, 0usize, 1.0f32, 0.0f32),
            (0.7, 5, 1.0, 0.0),
            (1.5, 0, 0.9, 0.0),
            (0.9, 40, 0.5, 0.0),
            (0.001, 0, 1.0, 0.0),
            (5.0, 1, 1.0, 0.0),
            (1.3, 0, 1.0, 0.1),
            (2.0, 100, 0.95, 0.02),
            (1.0, 0, 1.0, 1.0),
        ] {
            let options = [temperature.to_bits(), top_p.to_bits(), top_k as u32, seed as u32, (seed >> 32) as u32, min_p.to_bits(), 0, 0];
            let (history, ..) = sample(false, &options, if lab.name == "full" { draws } else { 20 });
            for (sequence, start) in starts.iter().enumerate() {
                let weights =
                    twins::sampling_weights(&logits[sequence * stride..sequence * stride + vocab], temperature, top_k, top_p, min_p);
                let total: f64 = weights.iter().sum();
                for position in *start..*start + if lab.name == "full" { draws } else { 20 } {
                    let token = history[sequence * (context + 1) + position] as usize;
                    let what = format!(
                        "temperature {temperature}, top-k {top_k}, top-p {top_p}, min-p {min_p}, position {position}: token {token} on {}",
                        lab.name
                    );
                    assert!(token < vocab && weights[token] > 0.0, "{what} is not among the kept");
                    // Tokens share out [0, total) in their order; the number drawn falls on this one.
                    let before: f64 = weights[..token].iter().sum();
                    let drawn = twins::draw(seed, sequence as u32, position as u32) * total;
                    let slack = 1e-5 * total;
                    assert!(
                        drawn > before - slack && drawn < before + weights[token] + slack,
                        "{what}: {drawn} is not in {before} + {}",
                        weights[token]
                    );
                }
            }
        }
    }
}

#[test]
fn repeated_tokens_are_penalised_as_the_twin_does() {
    let (vocab, stride, context) = (1003, 1024, 40);
    let logits = logits(vocab, stride);
    // One token several times, the last of the vocabulary, and more of them than there is to see.
    let text: Vec<u32> = (0..context as u32).map(|position| [311, 5, 1002, 5, 999, 7][position as usize % 6]).collect();
    let history: Vec<u32> = [text.as_slice(), &[0], &text, &[0]].concat();
    let lengths = [9usize, 30];
    for lab in &Lab::all() {
        for (penalty, window) in [(1.3f32, 0u32), (0.8, 0), (2.0, 3), (1.5, 1000)] {
            let options = lab.words(&[0, 0, 0, 0, 0, 0, penalty.to_bits(), window]);
            let (x, history) = (lab.floats(&logits), lab.words(&history));
            let (held, call, y) =
                (lab.words(&lengths.map(|length| length as u32)), lab.call(2, context, 2 * context, 1), lab.floats(&vec![0.0; 2 * stride]));
            let parameters = json!({ "vocab": vocab, "stride": stride, "workgroup": 256 });
            lab.run("penalty.wgsl", &parameters, &[&x, &history, &held, &call, &options, &y], [2, 1, 1]);
            let found: Vec<f32> = lab.read(&y);
            for (sequence, length) in lengths.into_iter().enumerate() {
                let first = if window == 0 { 0 } else { length - length.min(window as usize) };
                let row = sequence * stride..sequence * stride + vocab;
                let expected = twins::penalised(&logits[row.clone()], &text[first..length], penalty);
                let differ = found[row].iter().zip(&expected).position(|(a, b)| (a - b).abs() > 1e-5 * b.abs());
                assert_eq!(differ, None, "penalty {penalty}, window {window}, sequence {sequence} on {}", lab.name);
            }
        }
    }
}

#[test]
fn scores_are_log_probabilities() {
    let context = 9;
    for lab in &Lab::all() {
        // Fewer tokens than threads, and more.
        for (vocab, stride) in [(1003, 1024), (40, 64)] {
            let mut random = Random(1);
            let rows = [[0, 0], [0, 8], [1, 4]];
            let mut logits: Vec<f32> = (0..rows.len() * stride).map(|_| 30.0 * random.float()).collect();
            logits.chunks_mut(stride).for_each(|row| {
                row[vocab..].fill(1000.0);
                row[33] = 40.0;
                row[21] = 40.0;
            });
            let history: Vec<u32> = (0..2 * (context + 1)).map(|_| random.below(vocab) as u32).collect();
            let scores = lab.words(&[7; 8]);
            let call = lab.call(rows.len(), context, 2 * context, 1);
            let bindings = [&call, &lab.words(rows.as_flattened()), &lab.words(&history), &lab.floats(&logits), &scores];
            let parameters = json!({ "vocab": vocab, "stride": stride, "workgroup": 256 });
            lab.run("score.wgsl", &parameters, &bindings, [rows.len(), 1, 1]);
            let found: Vec<u32> = lab.read(&scores);
            for (t, [sequence, position]) in rows.into_iter().enumerate() {
                let logits = &logits[t * stride..t * stride + vocab];
                let total: f64 = logits.iter().map(|&logit| f64::from(logit - 40.0).exp()).sum();
                let next = history[sequence as usize * (context + 1) + position as usize + 1] as usize;
                let expected = f64::from(logits[next]) - 40.0 - total.ln();
                let score = f64::from(f32::from_bits(found[2 * t]));
                assert!((score - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{score}, expected {expected} on {}", lab.name);
                assert_eq!(found[2 * t + 1], 21, "the best token on {}", lab.name);
            }
            assert_eq!(found[6..], [7, 7]);
        }
    }
}

#[test]
fn a_normalised_block_is_added_to_the_residual_stream() {
    let (width, stride, rows) = (70usize, 96, 3);
    let mut random = Random(5);
    let (h, weight, before) = (random.floats(rows * stride), random.floats(width), random.floats((rows + 1) * stride));
    for lab in &Lab::all() {
        for workgroup in [16, 128] {
            let x = lab.floats(&before);
            let parameters = json!({ "width": width, "stride": stride, "eps": EPS, "workgroup": workgroup });
            let bindings = [&lab.call(rows, 0, 0, 0), &lab.floats(&h), &lab.floats(&padded(&weight, stride)), &x];
            // A row more than there are.
            lab.run("residual_norm.wgsl", &parameters, &bindings, [rows + 1, 1, 1]);
            let mut expected = before.clone();
            for (to, h) in expected.chunks_mut(stride).zip(h.chunks(stride)) {
                let normed = rms_norm(&h[..width], &weight, EPS);
                to.iter_mut().zip(normed).for_each(|(to, value)| *to += value);
            }
            assert_near(&format!("on {}", lab.name), &lab.read::<f32>(&x), &expected, 2e-6);
        }
    }
}

#[test]
fn logits_are_capped() {
    let (width, stride, cap) = (70usize, 96, 1.5f32);
    let mut before: Vec<f32> = (0..3 * stride).map(|index| (index as f32 - 120.0) * 0.0625).collect();
    (before[3], before[4], before[5]) = (f32::INFINITY, f32::NEG_INFINITY, 3e38);
    for lab in &Lab::all() {
        let y = lab.floats(&before);
        let parameters = json!({ "width": width, "stride": stride, "cap": cap, "workgroup": 64 });
        lab.run("logit_cap.wgsl", &parameters, &[&lab.call(2, 0, 0, 0), &y], [width.div_ceil(64), 3, 1]);
        let is_capped = |index: usize| index < 2 * stride && index % stride < width;
        let capped = |(index, &logit): (usize, &f32)| if is_capped(index) { cap * (logit / cap).tanh() } else { logit };
        let expected: Vec<f32> = before.iter().enumerate().map(capped).collect();
        assert_near(&format!("on {}", lab.name), &lab.read::<f32>(&y), &expected, 2e-6);
    }
}

#[test]
fn rows_are_copied() {
    let (width, x_stride, y_stride) = (70usize, 96, 80);
    let mut random = Random(4);
    let (x, before) = (random.floats(4 * x_stride), random.floats(3 * y_stride));
    for lab in &Lab::all() {
        let y = lab.floats(&before);
        let picked = [3, u32::MAX, 1];
        let parameters = json!({ "width": width, "x_stride": x_stride, "y_stride": y_stride, "workgroup": 64 });
        lab.run("copy_rows.wgsl", &parameters, &[&lab.words(&picked), &lab.floats(&x), &y], [width.div_ceil(64), 3, 1]);
        let mut expected = before.clone();
        expected[..width].copy_from_slice(&x[3 * x_stride..3 * x_stride + width]);
        expected[2 * y_stride..2 * y_stride + width].copy_from_slice(&x[x_stride..x_stride + width]);
        assert_eq!(lab.read::<f32>(&y), expected, "on {}", lab.name);
    }
}
