//! The bundled models: what the runtime makes of them is what PyTorch made of them when they were measured (recipes/measure.py), and they
//! are what models/README.md says.

mod common;

use caramba::gpu::{DeviceChoice, Gpu, Tuning};
use caramba::model::{Model, OpenOptions};
use caramba::runtime::{
    AttentionForm, CacheKind, CacheKinds, Form, LoadOptions, Measured, Network, Session, SessionOptions, Shape, Way, WeightKind,
};
use common::fixture;
use common::fixtures::relative_error;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

const PAIR: [(&str, &str); 2] = [("austen", "bundled_reference.json"), ("austen-dba", "bundled_student_reference.json")];
/// Blocks that are scored here: every test run can afford two, far enough into a block that a fault in the positions shows.
const BLOCKS: usize = 2;

fn models() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/models"))
}

fn open(name: &str) -> Model {
    Model::open(&models().join(name), &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn expected(file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(file)).unwrap()).unwrap()
}

/// The held-out tokens: a NumPy file of 16-bit numbers, whose header's length stands in its bytes 8 and 9.
fn held_out() -> Vec<u32> {
    let bytes = std::fs::read(models().join("austen/heldout.npy")).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert!(String::from_utf8_lossy(&bytes[..header]).contains("'descr': '<u2'"));
    bytes[header..].as_chunks::<2>().0.iter().map(|&pair| u32::from(u16::from_le_bytes(pair))).collect()
}

fn session(network: &Rc<Network>, sequences: usize) -> Session {
    let options = SessionOptions { context: 512, sequences, cache: CacheKinds::uniform(CacheKind::F16), chunk: None };
    Session::new(network, &options).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn they_compute_what_pytorch_computed() {
    let gpu = Gpu::open(&DeviceChoice::default()).unwrap_or_else(|error| panic!("{error}"));
    let tokens = held_out();
    for (name, file) in PAIR {
        let expected = expected(file);
        let number = |key: &str| expected[key].as_u64().unwrap() as usize;
        let options = LoadOptions { weights: WeightKind::Stored, ..LoadOptions::default() };
        let network = Network::load(&gpu, Arc::new(open(name)), &options).unwrap_or_else(|error| panic!("{error}"));
        let mut session = session(&network, 1);

        let block = number("block");
        for index in 0..BLOCKS {
            session.truncate(0).unwrap();
            let scores = session.score(&[tokens[index * block..][..block].to_vec()]).unwrap();
            let scores = &scores.log_probabilities[0];
            assert_eq!(scores.len(), block - 1);
            let nll = -scores.iter().copied().map(f64::from).sum::<f64>() / scores.len() as f64;
            let reference = expected["block_mean_nll"][index].as_f64().unwrap();
            assert!((nll / reference - 1.0).abs() < 5e-4, "{name}, block {index}: {nll} nats, {reference} expected");
        }

        // A block as long as the context, by quarters: what is far away is where it was.
        let context = number("context");
        let options = SessionOptions { context, sequences: 1, cache: CacheKinds::uniform(CacheKind::F16), chunk: None };
        let mut long = Session::new(&network, &options).unwrap_or_else(|error| panic!("{error}"));
        let scores = long.score(&[tokens[..context].to_vec()]).unwrap();
        let quarters = expected["context_block_quarters"].as_array().unwrap();
        assert_eq!(quarters.len(), 4);
        for (index, (part, reference)) in scores.log_probabilities[0].chunks(context / 4).zip(quarters).enumerate() {
            let nll = -part.iter().copied().map(f64::from).sum::<f64>() / part.len() as f64;
            let reference = reference.as_f64().unwrap();
            assert!((nll / reference - 1.0).abs() < 5e-4, "{name}, quarter {index}: {nll} nats, {reference} expected");
        }

        // Greedy tokens, given the reference's own up to there: the same wherever its choice was a clear one.
        let prompt = number("prompt_tokens");
        let chosen = expected["greedy"].as_array().unwrap();
        let greedy: Vec<u32> = chosen.iter().map(|choice| choice["token"].as_u64().unwrap() as u32).collect();
        let clear: Vec<bool> = chosen.iter().map(|choice| choice["gap"].as_f64().unwrap() > 0.1).collect();
        session.truncate(0).unwrap();
        let scores = session.score(&[[&tokens[..prompt], &greedy].concat()]).unwrap();
        let best = &scores.best[0][prompt - 1..];
        for (step, ((found, wanted), clear)) in best.iter().zip(&greedy).zip(&clear).enumerate() {
            assert!(found == wanted || !clear, "{name}: greedy token {step} is {found}, {wanted} expected");
        }
        // And by itself, as far as every choice was clear.
        let sure = clear.iter().take_while(|&&clear| clear).count();
        session.truncate(0).unwrap();
        session.prefill(&[tokens[..prompt].to_vec()]).unwrap();
        assert_eq!(session.decode(sure).unwrap().tokens[0], greedy[..sure], "{name}");
    }
}

/// What a quantised cache may cost in perplexity: 0.2 % (q8) and 5 % (q4). Measured over these blocks: +0.00 % and +1.10 % (teacher), +0.03 % and
/// +1.04 % (student).
#[test]
fn a_quantised_cache_costs_little() {
    let gpu = Gpu::open(&DeviceChoice::default()).unwrap_or_else(|error| panic!("{error}"));
    let tokens = held_out();
    for (name, _) in PAIR {
        let options = LoadOptions { weights: WeightKind::Stored, ..LoadOptions::default() };
        let network = Network::load(&gpu, Arc::new(open(name)), &options).unwrap_or_else(|error| panic!("{error}"));
        let loss = |kind: CacheKind| -> f64 {
            let options = SessionOptions { context: 512, sequences: 1, cache: CacheKinds::uniform(kind), chunk: None };
            let mut session = Session::new(&network, &options).unwrap_or_else(|error| panic!("{error}"));
            let mut scores: Vec<f32> = Vec::new();
            for index in 0..BLOCKS {
                session.truncate(0).unwrap();
                scores.extend(&session.score(&[tokens[index * 512..][..512].to_vec()]).unwrap().log_probabilities[0]);
            }
            -scores.iter().copied().map(f64::from).sum::<f64>() / scores.len() as f64
        };
        let exact = loss(CacheKind::F16);
        for (kind, most) in [(CacheKind::Q8, 0.2), (CacheKind::Q4, 5.0)] {
            let change = ((loss(kind) - exact).exp() - 1.0) * 100.0;
            println!("{name}, {}: {change:+.2} %", kind.name());
            assert!(change.abs() < most, "{name}, {}: perplexity changes by {change} %", kind.name());
        }
    }
}

const MATRICES: &str = "linear_matrices.wgsl";

/// The products of many tokens that a device has made kernels for: the beginning of what is known of each (`product f16 224x128 gate and up, `), and the kernel's
/// file.
fn products(gpu: &Gpu) -> BTreeSet<(String, String)> {
    let of = |(template, parameters): (String, Value)| {
        // Of cooperative matrices, a form counts those.
        let is_product = template == MATRICES || template.starts_with("linear_") && parameters["tokens"].as_u64()? > 1;
        let dual = if parameters["epilogue"] == "swiglu" { " gate and up" } else { "" };
        let [rows, columns] = ["rows", "columns"].map(|key| &parameters[key]);
        let name = format!("product {} {rows}x{columns}{dual}, ", parameters["format"]["name"].as_str()?);
        is_product.then_some((name, template))
    };
    gpu.variants().into_iter().filter_map(of).collect()
}

/// Every product of many tokens by cooperative matrices, as a file of kernel forms asks for it. Half floats have 11 bits: what that costs is far below what
/// weights of half floats do. Mesa's software driver has such matrices from version 26 on (tools/newest_mesa.sh).
#[test]
fn on_cooperative_matrices_they_say_the_same() {
    let open_gpu = |tuning| Gpu::open(&DeviceChoice { tuning, ..DeviceChoice::default() }).unwrap_or_else(|error| panic!("{error}"));
    let device = open_gpu(Tuning::Rule);
    let (Some(_), Some(lanes)) = (device.matrix_size(), device.subgroup_size()) else {
        println!("{} has no cooperative matrices of half floats", device.summary().name);
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let text = held_out()[..200].to_vec();
    // Chunks of 64 and a last one of 8: a tile that isn't full. Every form that a graphics card may be given once.
    for (index, (name, weights, [tokens, lane_rows, subgroups])) in [
        ("austen", WeightKind::Stored, [2, 2, 4]),
        ("austen", WeightKind::F32, [1, 2, 4]),
        ("austen", WeightKind::Q8, [2, 4, 4]),
        ("austen", WeightKind::Q4, [1, 2, 8]),
        ("austen-dba", WeightKind::Stored, [1, 1, 4]),
    ]
    .into_iter()
    .enumerate()
    {
        let run = |gpu: &Arc<Gpu>| {
            let options = LoadOptions { weights, ..LoadOptions::default() };
            let network = Network::load(gpu, Arc::new(open(name)), &options).unwrap_or_else(|error| panic!("{error}"));
            let options = SessionOptions { context: 256, sequences: 1, cache: CacheKinds::uniform(CacheKind::F16), chunk: Some(64) };
            let mut session = Session::new(&network, &options).unwrap_or_else(|error| panic!("{error}"));
            let scores = session.score(std::slice::from_ref(&text)).unwrap().log_probabilities.remove(0);
            session.truncate(0).unwrap();
            session.prefill(std::slice::from_ref(&text)).unwrap();
            (scores, session.logits().unwrap(), session.decode(8).unwrap().tokens)
        };
        let device = open_gpu(Tuning::Rule);
        let expected = run(&device);
        let by_rule = products(&device);
        assert!(by_rule.len() >= 5 && by_rule.iter().all(|(_, file)| file != MATRICES), "{by_rule:?}");

        let mut facts = serde_json::Map::new();
        for (product, _) in &by_rule {
            // Two matrices at once take twice the room.
            let lane_rows = if product.contains("gate and up") { (lane_rows / 2).max(1) } else { lane_rows };
            // `product f32 128x224, `: blocks of 64 columns, where they come out even.
            let columns: String = product.rsplit('x').next().unwrap().chars().take_while(char::is_ascii_digit).collect();
            let depth = if index % 2 == 1 && columns.parse::<usize>().unwrap().is_multiple_of(64) { 2 } else { 1 };
            let form = Form { shape: Shape::Matrices, tokens, lane_rows, workgroup: subgroups * lanes, depth };
            for class in [16, 32, 64, 128] {
                let measured = Measured { form, ms: 1.0, slower: Vec::new() };
                facts.insert(format!("{product}{class} tokens"), serde_json::to_value(measured).unwrap());
            }
        }
        let file = folder.path().join(format!("{index}.json"));
        std::fs::write(&file, Value::from(facts).to_string()).unwrap();
        let device = open_gpu(Tuning::File(file));
        let found = run(&device);
        let asked: BTreeSet<(String, String)> = by_rule.into_iter().map(|(name, _)| (name, MATRICES.to_owned())).collect();
        assert_eq!(products(&device), asked, "{name}, {weights:?}");

        let mean = |scores: &[f32]| scores.iter().copied().map(f64::from).sum::<f64>() / scores.len() as f64;
        let change = ((mean(&expected.0) - mean(&found.0)).exp() - 1.0) * 100.0;
        let worst = found.0.iter().zip(&expected.0).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max);
        let logits = relative_error(&found.1, &expected.1);
        println!(
            "{name}, {weights:?}: perplexity {:.4}, {change:+.4} %; log-probabilities within {worst:.1e}, logits within {logits:.1e}",
            (-mean(&found.0)).exp()
        );
        assert!(change.abs() < 0.1, "{name}, {weights:?}: perplexity changes by {change} %");
        assert!(worst < 1e-2, "{name}, {weights:?}: a log-probability is off by {worst}");
        assert!(logits < 5e-3, "{name}, {weights:?}: logits are off by {logits:.1e}");
        assert_eq!(found.2, expected.2, "{name}, {weights:?}: greedy tokens");
    }
}

/// Attention as graphics cards are given it, as a file of kernel forms asks for it: the cache in one piece and in splits, standard and decoupled.
#[test]
fn attending_in_other_forms_they_say_the_same() {
    let open_gpu = |tuning| Gpu::open(&DeviceChoice { tuning, ..DeviceChoice::default() }).unwrap_or_else(|error| panic!("{error}"));
    let Some(lanes) = open_gpu(Tuning::Rule).subgroup_size() else {
        println!("without subgroups there is one form of decode's attention only");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let text = held_out()[..300].to_vec();
    for (index, (name, kind)) in
        [("austen", CacheKind::Q8), ("austen-dba", CacheKind::F16), ("austen-dba", CacheKind::Q4)].into_iter().enumerate()
    {
        let run = |gpu: &Arc<Gpu>| {
            let options = LoadOptions { weights: WeightKind::Stored, ..LoadOptions::default() };
            let network = Network::load(gpu, Arc::new(open(name)), &options).unwrap_or_else(|error| panic!("{error}"));
            let options = SessionOptions { context: 512, sequences: 1, cache: CacheKinds::uniform(kind), chunk: Some(64) };
            let mut session = Session::new(&network, &options).unwrap_or_else(|error| panic!("{error}"));
            session.prefill(std::slice::from_ref(&text[..100].to_vec())).unwrap();
            let short = session.decode(4).unwrap().tokens;
            session.truncate(0).unwrap();
            let scores = session.score(std::slice::from_ref(&text)).unwrap().log_probabilities.remove(0);
            session.truncate(0).unwrap();
            session.prefill(std::slice::from_ref(&text)).unwrap();
            (scores, [short, session.decode(8).unwrap().tokens], session.logits().unwrap())
        };
        let device = open_gpu(Tuning::Rule);
        let expected = run(&device);
        let mut facts = serde_json::Map::new();
        for (template, parameters) in device.variants() {
            let (mode, rows, form) = match template.as_str() {
                "attention_prefill.wgsl" => {
                    let form = AttentionForm { way: Way::Tiles, workgroup: 4 * lanes, rows: lanes, lanes: 1, keys: 32, split: 0 };
                    ("prefill", "64 rows", form)
                }
                "attention_decode.wgsl" => {
                    let form = AttentionForm { way: Way::Shared, workgroup: 4 * lanes, rows: 1, lanes: 4, keys: 2, split: 256 };
                    ("decode", "1 row", form)
                }
                _ => continue,
            };
            let [heads, on, sem, geo, value] = ["heads", "kv_heads", "sem", "geo", "value"].map(|key| parameters[key].as_u64().unwrap());
            let kinds = ["semantic", "geometric", "value"].map(|part| parameters["parts"][part]["kind"].as_str());
            let kinds: Vec<&str> = kinds.into_iter().flatten().collect();
            let widths = if sem > 0 { format!("{sem}+{geo}/{value}") } else { format!("{geo}/{value}") };
            let fact = format!("attention {mode} {}, {heads} heads of {widths} on {on}, 512 positions, {rows}", kinds.join("/"));
            facts.insert(fact, serde_json::to_value(Measured { form, ms: 1.0, slower: Vec::new() }).unwrap());
        }
        let file = folder.path().join(format!("{index}.json"));
        std::fs::write(&file, Value::from(facts).to_string()).unwrap();
        let device = open_gpu(Tuning::File(file));
        let found = run(&device);
        let used: BTreeSet<String> =
            device.variants().into_iter().map(|(template, _)| template).filter(|name| name.starts_with("attention_")).collect();
        let mut asked = BTreeSet::from(["attention_merge.wgsl", "attention_shared.wgsl", "attention_tiles.wgsl"].map(str::to_owned));
        // Values that lie rotated in the cache are turned back.
        if kind == CacheKind::Q4 {
            asked.insert("attention_output.wgsl".to_owned());
        }
        assert_eq!(used, asked, "{name}, {kind:?}");

        // Sums in another order round another way, and what is rounded to 4 bits for the cache passes that on.
        let most = if kind == CacheKind::Q4 { 2e-2 } else { 2e-3 };
        let worst = found.0.iter().zip(&expected.0).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max);
        let logits = relative_error(&found.2, &expected.2);
        println!("{name}, {kind:?}: log-probabilities within {worst:.1e}, logits within {logits:.1e}");
        assert!(worst < most, "{name}, {kind:?}: a log-probability is off by {worst}");
        assert!(logits < most, "{name}, {kind:?}: logits are off by {logits:.1e}");
        assert_eq!(found.1, expected.1, "{name}, {kind:?}: greedy tokens");
    }
}

/// What models/README.md promises of the pair.
#[test]
fn the_pair_is_what_it_is_said_to_be() {
    let [teacher, student] = PAIR.map(|(name, file)| (open(name), expected(file)));
    let perplexity = |reference: &Value, key: &str| reference[key].as_f64().unwrap().exp();
    let trained = perplexity(&teacher.1, "heldout_mean_nll");
    assert!(trained < perplexity(&teacher.1, "unigram_mean_nll") / 10.0, "far below a unigram model's");
    for of in ["heldout_mean_nll", "heldout_context_mean_nll"] {
        assert!(perplexity(&student.1, of) < 1.05 * perplexity(&teacher.1, of), "{of}: within 5 % of the teacher's");
    }
    assert!([&teacher, &student].iter().all(|(model, _)| model.architecture.context == 2048));

    let cached = |model: &Model| -> Vec<usize> {
        let layers = model.architecture.layers.iter().map(|layer| &layer.attention);
        layers.map(|a| a.kv_heads * (a.key() + a.value)).collect()
    };
    assert_eq!(cached(&teacher.0), [512; 4]);
    assert_eq!(cached(&student.0), [160; 4]);

    fn bytes(path: &Path) -> u64 {
        let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { bytes(&path) } else { path.metadata().unwrap().len() }).sum()
    }
    let size = bytes(&models());
    assert!(size < 4_000_000, "all of it is under 4 MB: {size} bytes");
}
