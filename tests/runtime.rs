//! Sessions: what holds for every model, on every backend, however its weights are cut up.

mod common;

use caramba::gpu::{DeviceChoice, Gpu};
use caramba::model::Model;
use caramba::quant::Part;
use caramba::runtime::{CacheKind, CacheKinds, GenerateOptions, LoadOptions, Network, Seam, Session, SessionOptions, WeightKind};
use caramba::script::Reference;
use common::fixtures::{open, relative_error};
use common::lab::{Random, without_everything};
use common::twins::format_parameters;
use serde_json::{Value, json};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

fn gpu(choice: &DeviceChoice) -> Arc<Gpu> {
    Gpu::open(choice).unwrap_or_else(|error| panic!("{error}"))
}

fn network(gpu: &Arc<Gpu>, model: Model, weights: WeightKind) -> Rc<Network> {
    Network::load(gpu, Arc::new(model), &LoadOptions { weights, ..LoadOptions::default() }).unwrap_or_else(|error| panic!("{error}"))
}

fn session(network: &Rc<Network>, kind: CacheKind, sequences: usize, context: usize) -> Session {
    let options = SessionOptions { context, sequences, cache: CacheKinds::uniform(kind), chunk: None };
    Session::new(network, &options).unwrap_or_else(|error| panic!("{error}"))
}

/// The bundled model.
fn austen() -> Model {
    Model::open(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/models/austen")), &Default::default()).unwrap()
}

/// Random tokens below `vocab`.
fn tokens(vocab: usize, count: usize) -> Vec<u32> {
    let mut random = Random(vocab as u64);
    (0..count).map(|_| random.below(vocab) as u32).collect()
}

/// The GL backend has no subgroups, no 16-bit floats and few of everything: it is the portable floor. On Linux Mesa always brings it, so a machine
/// where it isn't found is set up wrongly.
#[cfg(target_os = "linux")]
#[test]
fn the_gl_backend_agrees_with_vulkan() {
    let vulkan = gpu(&DeviceChoice { backend: Some("vulkan".into()), ..DeviceChoice::default() });
    let gl = match Gpu::open(&DeviceChoice { backend: Some("gl".into()), ..DeviceChoice::default() }) {
        Ok(gl) => gl,
        // Mesa's do; a context of OpenGL 3.3, which some drivers give, has no compute shaders that wgpu can write.
        Err(error) if !vulkan.summary().software && error.to_string().contains("compute shaders") => return println!("{error}"),
        Err(error) => panic!("no GL adapter (Debian and Ubuntu: apt install libegl1 libgl1-mesa-dri): {error}"),
    };
    assert_eq!(gl.summary().backend, "gl");
    // One model, with everything in it: GL drivers take long to compile.
    let (path, weights, kind) = ("decoupled/everything_grouped", WeightKind::Q8, CacheKind::Q4);
    {
        let on = |gpu: &Arc<Gpu>| {
            let network = network(gpu, open(path), weights);
            let text = tokens(network.model().architecture.vocab, 21);
            let all = session(&network, kind, 1, 64).all_logits(std::slice::from_ref(&text)).unwrap();
            let mut pair = session(&network, kind, 2, 64);
            pair.prefill(&[text[..9].to_vec(), text.clone()]).unwrap();
            let greedy = pair.decode(6).unwrap().tokens;
            let sampled = pair
                .generate(&GenerateOptions { max_tokens: 6, temperature: 0.8, top_k: 20, seed: 3, ..Default::default() }, &mut |_, _| {});
            let scores = session(&network, kind, 1, 64).score(&[text]).unwrap().log_probabilities.concat();
            (all, greedy, sampled.unwrap().tokens, pair.logits().unwrap(), scores)
        };
        let (expected, found) = (on(&vulkan), on(&gl));
        let near = |what: &str, found: &[f32], expected: &[f32]| {
            let error = relative_error(found, expected);
            assert!(error < 5e-3, "{path}: {what} differ by {error:.1e}");
        };
        near("logits", &found.0, &expected.0);
        assert_eq!(found.1, expected.1, "{path}: greedy tokens");
        assert_eq!(found.2, expected.2, "{path}: sampled tokens");
        near("logits after decoding", &found.3, &expected.3);
        near("scores", &found.4, &expected.4);
    }
}

/// Everything that a device is given, translated for those that this machine hasn't: Metal, DX12, other Vulkan drivers.
#[test]
fn every_shader_translates() {
    let mut variants: Vec<(String, Value)> = Vec::new();
    for without in [Vec::new(), without_everything()] {
        let gpu = gpu(&DeviceChoice { without, ..DeviceChoice::default() });
        for (path, weights, kind) in [
            ("architectures/llama", WeightKind::F32, CacheKind::None),
            ("architectures/qwen3", WeightKind::F16, CacheKind::F16),
            ("architectures/qwen2_window", WeightKind::Q8, CacheKind::Q8),
            ("decoupled/everything_grouped", WeightKind::Q4, CacheKind::Q4),
            ("architectures/gemma2", WeightKind::F16, CacheKind::F16),
            ("architectures/deepseek_v3", WeightKind::F16, CacheKind::Q4),
            ("architectures/diffllama", WeightKind::F16, CacheKind::F16),
        ] {
            let mut model = open(path);
            // Long enough for a cache that is read in several parts.
            model.architecture.context = 300;
            let network = network(&gpu, model, weights);
            session(&network, kind, 2, 300);
        }
        variants.extend(gpu.variants());
    }
    // Sessions make these when they are first asked for what needs them; nothing is run here, since drivers compile at the first run.
    variants.push(("score.wgsl".into(), json!({ "vocab": 97, "stride": 128, "workgroup": 256 })));
    variants.push(("penalty.wgsl".into(), json!({ "vocab": 97, "stride": 128, "workgroup": 256 })));
    for by_head in [false, true] {
        let parameters =
            json!({ "heads": 9, "value": 32, "stride": 512, "out_stride": 288, "gate_at": 96, "by_head": by_head, "workgroup": 256 });
        variants.push(("output_gate.wgsl".into(), parameters));
    }
    variants.push(("sample.wgsl".into(), json!({ "greedy": false, "vocab": 97, "stride": 128, "workgroup": 256, "ways": 7 })));
    for (width, kind) in [(1, "f32"), (4, "f32"), (1, "f16"), (4, "f16")] {
        let size = if kind == "f32" { 8 } else { 16 };
        variants.push(("probe_matrices.wgsl".into(), json!({ "size": size, "lanes": 32, "workgroup": 128, "turns": 64 })));
        variants.push(("probe_arithmetic.wgsl".into(), json!({ "type": kind, "width": width, "workgroup": 256, "turns": 64 })));
    }
    variants.push(("probe_nothing.wgsl".into(), json!({})));
    variants.push(("probe_read.wgsl".into(), json!({ "workgroup": 256, "workgroups": 1024, "units": 4 << 20 })));
    let tiled: Vec<Value> =
        variants.iter().filter(|(template, _)| template == "attention_prefill.wgsl").map(|(_, parameters)| parameters.clone()).collect();
    for mut parameters in tiled {
        parameters["workgroup"] = json!(64);
        variants.push(("attention_weights.wgsl".into(), parameters));
    }
    // Graphics cards get other forms of attention.
    let decoded: Vec<Value> =
        variants.iter().filter(|(template, _)| template == "attention_decode.wgsl").map(|(_, parameters)| parameters.clone()).collect();
    for mut parameters in decoded {
        let form = json!({ "lanes": 8, "neighbours": 32, "workgroup": 128, "keys": 2, "load_words": 4, "wide": false });
        parameters.as_object_mut().unwrap().extend(form.as_object().unwrap().clone());
        variants.push(("attention_shared.wgsl".into(), parameters));
    }
    for (head, sem, kind, window) in
        [(64, 0, CacheKind::F16, 0), (128, 0, CacheKind::Q8, 512), (32, 32, CacheKind::Q4, 0), (96, 13, CacheKind::None, 100)]
    {
        for (workgroup, tile_rows, tile_keys, keep) in [(128, 32, 32, false), (128, 64, 32, false), (256, 64, 32, true)] {
            let names = if sem > 0 { &["semantic", "geometric", "value"][..] } else { &["geometric", "value"] };
            let part = |name: &str, binding: usize| {
                let width = if name == "semantic" { sem } else { head };
                Part::new(kind, 4, width, binding).parameters()
            };
            let parts: serde_json::Map<String, Value> =
                names.iter().zip(4..).map(|(name, at)| (name.to_string(), part(name, at))).collect();
            let parameters = json!({
                "stride": 4096, "out_stride": 2048, "heads": 16, "kv_heads": 4, "sem": sem, "geo": head, "value": head, "ring": null,
                "seam": Seam { window, null: sem > 0, null_binding: 4 + names.len(), ..Seam::default() }, "parts": parts,
                "workgroup": workgroup, "tile_rows": tile_rows, "tile_keys": tile_keys, "keep": keep, "unroll": true,
            });
            variants.push(("attention_tiles.wgsl".into(), parameters));
        }
    }
    // With functions of a script, in one of each kernel.
    let script = Reference::new(
        "let table = [[0.5, 1.0], [2.0, 3.0]];
        fn decay(x) { if x > 4 { return exp(-x / 2.0); } 1.0 / (1 + x) ** 1.5 }
        attention(#{
            score: |score, at| tanh(score) + sigmoid(score) * table[at.head % 2][at.key % 2] - decay(at.query - at.key) + round(log2(at.length)) + sqrt(at.layer + at.sequence),
            mask: |at| at.query / 64 == at.key / 64 || at.head / 2 == 7,
            sink: 0.5,
        })",
    )
    .unwrap();
    for template in ["attention_decode.wgsl", "attention_prefill.wgsl", "attention_shared.wgsl", "attention_tiles.wgsl"] {
        let (_, parameters) = variants.iter().find(|(name, _)| name == template).unwrap();
        let mut parameters = parameters.clone();
        let heads = parameters["heads"].as_u64().unwrap() as usize;
        let binding = 4 + parameters["parts"].as_object().unwrap().len();
        let seam = script.hooks().seam(heads, false, 0, binding);
        let map = script.hooks().map(512, heads, 1, 0).expect("blocks that are far apart");
        parameters["seam"] = serde_json::to_value(map.seam(100, seam)).unwrap();
        variants.push((template.to_owned(), parameters));
    }
    // Graphics cards get other forms of the products than the driver of this test, with other sizes of subgroups.
    for template in ["linear_lanes.wgsl", "linear_matrices.wgsl", "linear_shared.wgsl", "linear_tiles.wgsl"] {
        for (format, epilogue) in [
            ("f32", "store"),
            ("f16", "swiglu"),
            ("q8", "add"),
            ("q4", "swiglu"),
            ("q4", "store"),
            ("q8_16", "geglu"),
            ("q8_min", "store"),
            ("q4_16", "swiglu"),
        ] {
            for (subgroup, subgroups, workgroup, tokens) in [(32, 0, 64, 1), (32, 0, 64, 8), (0, 0, 128, 2), (0, 16, 128, 2)] {
                if template == "linear_matrices.wgsl" && subgroup == 0 {
                    continue;
                }
                let parameters = json!({
                    "format": format_parameters(format), "interleave": 1, "columns": 2048, "rows": 8192, "first": 0, "tokens": tokens, "lane_rows": 2, "workgroup": workgroup,
                    "subgroup": subgroup, "subgroups": subgroups, "wide": template == "linear_lanes.wgsl" && tokens == 8, "lanes": if subgroup > 0 { subgroup } else { workgroup }, "x_stride": 2048, "y_stride": 8192,
                    "size": if tokens == 1 { 16 } else { 8 }, "packed": tokens == 1, "depth": if tokens == 1 { 2 } else { 1 }, "epilogue": epilogue, "bias": epilogue == "store", "norm": epilogue != "add", "norm_width": 2048, "eps": 1e-5, "unroll": true,
                });
                variants.push((template.to_owned(), parameters));
            }
        }
    }
    let mut templates: Vec<&str> = variants.iter().map(|(template, _)| template.as_str()).collect();
    templates.sort_unstable();
    templates.dedup();
    let libraries = [
        "attention_decode_bindings.wgsl",
        "attention_decode_incoming.wgsl",
        "attention_fetch.wgsl",
        "attention_seam.wgsl",
        "cache.wgsl",
        "call.wgsl",
        "gated.wgsl",
        "hadamard.wgsl",
        "linear_bindings.wgsl",
        "linear_incoming.wgsl",
        "loops.wgsl",
        "weights.wgsl",
    ];
    let mut expected: Vec<&str> =
        caramba::gpu::kernel::SHADERS.iter().map(|(name, _)| *name).filter(|name| !libraries.contains(name)).collect();
    expected.sort_unstable();
    assert_eq!(templates, expected, "a shader that no model uses, or that is not in this test");
    for (template, parameters) in &variants {
        let source = caramba::gpu::kernel::render(template, parameters).unwrap();
        translate(&source).unwrap_or_else(|error| panic!("{template} with {parameters}: {error}"));
    }
}

fn translate(source: &str) -> Result<(), String> {
    use naga::back::{hlsl, msl, spv};
    let module = naga::front::wgsl::parse_str(source).map_err(|error| error.emit_to_string(source))?;
    let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all());
    let info = validator.validate(&module).map_err(|error| error.emit_to_string(source))?;
    let entry = |stage| Some((stage, "main".to_owned()));
    let stage = naga::ShaderStage::Compute;

    let options = spv::Options { lang_version: (1, 3), ..spv::Options::default() };
    let words = spv::write_vec(&module, &info, &options, None).map_err(|error| format!("SPIR-V: {error}"))?;
    assert!(!words.is_empty());

    // Cooperative matrices: Metal has those of 8, DX12 has none.
    if source.contains("coop_mat16x16") {
        return Ok(());
    }
    let options = msl::Options { lang_version: (2, 4), ..msl::Options::default() };
    let pipeline = msl::PipelineOptions { entry_point: entry(stage), ..msl::PipelineOptions::default() };
    let (text, translation) = msl::write_string(&module, &info, &options, &pipeline).map_err(|error| format!("MSL: {error}"))?;
    translation.entry_point_names.iter().try_for_each(|name| name.as_ref().map(|_| ()).map_err(|error| format!("MSL: {error}")))?;
    assert!(text.contains("kernel void"));

    if source.contains("coop_mat8x8") {
        return Ok(());
    }
    let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_0, ..hlsl::Options::default() };
    let pipeline = hlsl::PipelineOptions { entry_point: entry(stage) };
    let mut text = String::new();
    hlsl::Writer::new(&mut text, &options, &pipeline).write(&module, &info, None).map_err(|error| format!("HLSL: {error}"))?;
    assert!(text.contains("numthreads"));
    Ok(())
}

/// A model larger than a binding is cut into parts, and nothing else changes.
#[test]
fn a_model_may_be_larger_than_a_binding() {
    let whole = gpu(&DeviceChoice::default());
    // A graphics card's rows come in tiles of 64: there must be room for those.
    let software = whole.summary().software;
    let limit = if software { 64 << 10 } else { 512 << 10 };
    let small = gpu(&DeviceChoice { max_binding_bytes: Some(limit), ..DeviceChoice::default() });
    assert_eq!(small.summary().max_binding_bytes, limit);
    let kinds = [WeightKind::F32, WeightKind::F16, WeightKind::Q8, WeightKind::Q4];
    for weights in if software { &kinds[..] } else { &kinds[..1] }.iter().copied() {
        let on = |gpu: &Arc<Gpu>| {
            let before = gpu.memory().allocations();
            let network = network(gpu, austen(), weights);
            let allocations = gpu.memory().allocations() - before;
            let options = SessionOptions { context: 40, sequences: 2, cache: CacheKinds::uniform(CacheKind::F16), chunk: Some(8) };
            let mut session = Session::new(&network, &options).unwrap();
            let text = tokens(2048, 20);
            let scores = session.score(&[text[..7].to_vec(), text.clone()]).unwrap();
            session.prefill(&[vec![5], vec![]]).unwrap();
            let tokens = session.decode(8).unwrap().tokens;
            (allocations, scores.log_probabilities.concat(), tokens, session.logits().unwrap(), network.weight_bytes())
        };
        let (expected, found) = (on(&whole), on(&small));
        assert!(found.0 > expected.0, "{weights:?}: nothing was split ({} and {} buffers)", expected.0, found.0);
        assert_eq!(found.4, expected.4, "{weights:?}: bytes of weights");
        // Other parts may take other forms of a kernel.
        assert!(relative_error(&found.1, &expected.1) < 1e-4, "{weights:?}: scores");
        assert_eq!(found.2, expected.2, "{weights:?}: tokens");
        assert!(relative_error(&found.3, &expected.3) < 1e-4, "{weights:?}: logits");
    }
    // What can't be split says so.
    let network = network(&small, austen(), WeightKind::F16);
    let options = SessionOptions { context: 128, sequences: 8, cache: CacheKinds::uniform(CacheKind::F16), chunk: Some(8) };
    let error = Session::new(&network, &options).err().unwrap().to_string();
    assert!(error.contains("layer 0: the cache of keys needs") && error.contains("smaller `context`"), "{error}");
}

#[test]
fn every_byte_is_accounted_for() {
    let gpu = gpu(&DeviceChoice::default());
    let memory = gpu.memory();
    assert_eq!(memory.live().total, 0);
    let network = network(&gpu, austen(), WeightKind::F16);
    let [weights, rest @ ..] = memory.live().by_purpose;
    assert_eq!((weights, rest), (network.weight_bytes(), [0; 3]));

    let mut session = session(&network, CacheKind::Q8, 2, 400);
    let [_, cache, activations, _] = memory.live().by_purpose;
    // Four layers, keys and values of 4 heads of 64: eight blocks of 34 bytes each.
    assert_eq!((session.cache_bytes(), cache), (2 * 400 * 4 * 2 * 8 * 34, session.cache_bytes()));
    assert_eq!(caramba::runtime::bytes_per_token(&network.model().architecture, session.options().cache) * 800, cache);
    assert!(activations > 0);

    // Nothing is allocated once every kind of call was made, whether the cache is read whole or in parts.
    let text = tokens(2048, 300);
    let sampled = GenerateOptions { max_tokens: 3, temperature: 0.9, top_k: 7, stop_at_end: false, ..Default::default() };
    session.prefill(&[text[..3].to_vec(), text[..250].to_vec()]).unwrap();
    session.generate(&sampled, &mut |_, _| {}).unwrap();
    let (allocations, live) = (memory.allocations(), memory.live());
    session.decode(8).unwrap();
    session.generate(&sampled, &mut |_, _| {}).unwrap();
    session.truncate(2).unwrap();
    session.prefill(&[text.clone(), text[..5].to_vec()]).unwrap();
    session.decode(2).unwrap();
    session.logits().unwrap();
    assert_eq!((memory.allocations(), memory.live()), (allocations, live));

    session.truncate(0).unwrap();
    session.score(&[text[..9].to_vec(), text[..5].to_vec()]).unwrap();
    session.attention_outputs(&[text[..9].to_vec(), vec![]]).unwrap();
    assert!(memory.peak().total >= memory.live().total && memory.live().total > live.total);
    drop(session);
    assert_eq!(memory.live().by_purpose, [network.weight_bytes(), 0, 0, 0]);
    memory.reset_peak();
    assert_eq!(memory.peak(), memory.live());
    drop(network);
    assert_eq!(memory.live().total, 0);
    assert!(memory.peak().total > 0);
}

#[test]
fn a_sequence_does_not_know_its_neighbours() {
    let gpu = gpu(&DeviceChoice::default());
    let network = network(&gpu, austen(), WeightKind::F16);
    let text = tokens(2048, 300);
    // Of lengths on either side of where a cache is read in parts.
    let lists = [text[..5].to_vec(), text[3..280].to_vec(), text[100..101].to_vec()];
    let more = [text[40..50].to_vec(), Vec::new(), text[7..9].to_vec()];
    for kind in [CacheKind::F16, CacheKind::Q4] {
        let run = |lists: &[Vec<u32>], more: &[Vec<u32>]| {
            let mut session = session(&network, kind, lists.len(), 320);
            session.prefill(lists).unwrap();
            let mut tokens = session.decode(4).unwrap().tokens;
            // A sequence without further tokens keeps its logits, which are those of what it decoded.
            session.prefill(more).unwrap();
            let logits = session.logits().unwrap();
            for (tokens, made) in tokens.iter_mut().zip(session.decode(4).unwrap().tokens) {
                tokens.extend(made);
            }
            (tokens, logits)
        };
        let (tokens, logits) = run(&lists, &more);
        for index in 0..lists.len() {
            let (alone, alone_logits) = run(&lists[index..index + 1], &more[index..index + 1]);
            assert_eq!(tokens[index], alone[0], "sequence {index}, {}", kind.name());
            let error = relative_error(&logits[index * 2048..(index + 1) * 2048], &alone_logits);
            assert!(error < 2e-3, "sequence {index}, {}: {error:.1e}", kind.name());
        }
    }
}

#[test]
fn steps_without_a_cache_are_those_with_one() {
    let gpu = gpu(&DeviceChoice::default());
    for (network, context) in [
        (network(&gpu, open("architectures/mistral"), WeightKind::F32), 40),
        (network(&gpu, open("decoupled/everything"), WeightKind::F32), 40),
        (network(&gpu, austen(), WeightKind::F32), 40),
    ] {
        let vocab = network.model().architecture.vocab;
        let text = tokens(vocab, 20);
        let lists = [text[..3].to_vec(), text.clone()];
        let run = |kind| {
            let mut session = session(&network, kind, 2, context);
            session.prefill(&lists).unwrap();
            let tokens = session.decode(7).unwrap().tokens;
            (tokens, session.logits().unwrap(), session.cache_bytes())
        };
        let (cached, uncached) = (run(CacheKind::F16), run(CacheKind::None));
        assert_eq!(cached.0, uncached.0);
        assert!(relative_error(&cached.1, &uncached.1) < 2e-3);
        assert!(cached.2 > 0 && uncached.2 == 0);
    }
}

#[test]
fn truncating_goes_back() {
    let gpu = gpu(&DeviceChoice::default());
    let network = network(&gpu, austen(), WeightKind::F16);
    let text = tokens(2048, 40);
    let mut session = session(&network, CacheKind::Q8, 1, 64);
    session.prefill(&[text[..30].to_vec()]).unwrap();
    let first = session.decode(5).unwrap().tokens;
    session.decode(10).unwrap();
    assert_eq!(session.lengths(), [45]);
    session.truncate(30).unwrap();
    // The logits of the last position are worked out once more, without being asked for and as nothing more to say.
    assert_eq!(session.decode(5).unwrap().tokens, first);
    session.truncate(30).unwrap();
    session.prefill(&[Vec::new()]).unwrap();
    assert_eq!(session.decode(5).unwrap().tokens, first);
    session.truncate(20).unwrap();
    session.prefill(&[text[20..30].to_vec()]).unwrap();
    assert_eq!(session.decode(5).unwrap().tokens, first);
    session.truncate(100).unwrap();
    assert_eq!(session.lengths(), [35]);
}

#[test]
fn a_seed_makes_the_same_text_again() {
    let gpu = gpu(&DeviceChoice::default());
    let network = network(&gpu, austen(), WeightKind::F16);
    let text = tokens(2048, 12);
    let run = |seed: u64, sequences: usize| {
        let mut session = session(&network, CacheKind::F16, sequences, 64);
        session.prefill(&vec![text.clone(); sequences]).unwrap();
        let options = GenerateOptions { max_tokens: 24, temperature: 1.0, top_p: 0.95, seed, stop_at_end: false, ..Default::default() };
        let mut heard = vec![Vec::new(); sequences];
        let generated = session.generate(&options, &mut |sequence, tokens| heard[sequence].extend_from_slice(tokens)).unwrap();
        assert_eq!(heard, generated.tokens);
        assert_eq!((generated.step_ms.len(), session.lengths()), (24, vec![36; sequences].as_slice()));
        generated.tokens
    };
    let first = run(7, 2);
    assert_eq!(run(7, 2), first);
    assert_eq!(run(7, 1)[0], first[0]);
    assert_ne!(run(8, 1)[0], first[0]);
    assert_ne!(first[1], first[0], "sequences draw their own numbers");
}

#[test]
fn what_does_not_fit_is_refused() {
    let gpu = gpu(&DeviceChoice::default());
    let network = network(&gpu, open("architectures/llama"), WeightKind::F16);
    let refused = |options: SessionOptions| Session::new(&network, &options).err().unwrap().to_string();
    let uniform = CacheKinds::uniform(CacheKind::F16);
    let fits = SessionOptions { context: 16, sequences: 2, cache: uniform, chunk: None };
    insta::assert_snapshot!(refused(SessionOptions { context: 129, ..fits.clone() }), @"
    a context of 129 is beyond the model's 128
      help: choose a smaller `context`
    ");
    insta::assert_snapshot!(refused(SessionOptions { context: 0, ..fits.clone() }), @"
    a session needs a context and at least one sequence
      help: set `context` and `sequences` to 1 or more
    ");
    insta::assert_snapshot!(refused(SessionOptions { chunk: Some(0), ..fits.clone() }), @"
    a chunk of no rows
      help: leave `chunk` out, or set it to 1 or more
    ");
    insta::assert_snapshot!(refused(SessionOptions { cache: CacheKinds { value: CacheKind::None, ..uniform }, ..fits.clone() }), @"
    a cache kind of `none` for some parts and not for others
      help: use `none` for all parts or for none
    ");

    let mut session = Session::new(&network, &fits).unwrap();
    let mut refused = |lists: &[Vec<u32>]| session.prefill(lists).unwrap_err().to_string();
    insta::assert_snapshot!(refused(&[vec![1]]), @"
    1 lists of tokens for a session of 2 sequences
      help: give one list per sequence
    ");
    insta::assert_snapshot!(refused(&[vec![1], vec![]]), @"
    sequence 1: there is no token to begin with
      help: give at least one token, such as the begin-of-text token
    ");
    insta::assert_snapshot!(refused(&[vec![1], vec![3, 97]]), @"
    sequence 1: token 97 (number 1 of the list) is beyond the vocabulary of 97
      help: use tokens made by this model's tokenizer
    ");
    insta::assert_snapshot!(refused(&[vec![1; 17], vec![1]]), @"
    sequence 0: 0 positions are held and 17 more would exceed the session's context of 16
      help: make the session with a larger `context`, or truncate it
    ");
    // What was refused has changed nothing, and what fits exactly is taken.
    assert_eq!(session.lengths(), [0, 0]);
    session.prefill(&[vec![1; 10], vec![2; 3]]).unwrap();
    insta::assert_snapshot!(session.decode(7).unwrap_err().to_string(), @"
    sequence 0: 10 positions are held and 7 steps would exceed the session's context of 16
      help: make the session with a larger `context`, or fewer steps
    ");
    session.decode(6).unwrap();
    assert_eq!(session.lengths(), [16, 9]);
    let error = session.generate(&GenerateOptions { temperature: -1.0, ..Default::default() }, &mut |_, _| {}).unwrap_err().to_string();
    assert_eq!(error, "temperature is -1: expected 0 (greedy) or more");
    let error = session.generate(&GenerateOptions { top_p: 0.0, ..Default::default() }, &mut |_, _| {}).unwrap_err().to_string();
    assert_eq!(error, "top_p is 0: expected a proportion above 0, at most 1");
}
