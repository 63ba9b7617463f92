//! What people have (tests/fixtures/cases, from public bug reports of tools that do this job): each opens right, or says why it doesn't.
//! A `case.json` says what it is about, and the right value: the mean cross-entropy of three blocks of 200 tokens, or a text.

mod common;

use caramba::model::{Model, OpenOptions};
use caramba::runtime::{CacheKind, CacheKinds, SessionOptions, WeightKind};
use common::cli::caramba;
use common::fixture;
use ndarray_npy::ReadNpyExt;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const BLOCK: usize = 200;
const BLOCKS: usize = 3;

/// The cases in the order of their names, each with what its `case.json` says.
fn cases() -> Vec<(String, Value)> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(fixture("cases")).unwrap() {
        let path = entry.unwrap().path();
        if let Ok(text) = std::fs::read_to_string(path.join("case.json")) {
            cases.push((path.file_name().unwrap().to_str().unwrap().to_owned(), serde_json::from_str(&text).unwrap()));
        }
    }
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    cases
}

/// The model of a case: a file of its own, or its directory.
fn path(case: &str) -> PathBuf {
    let directory = fixture("cases").join(case);
    ["model.pt", "model.gguf"].iter().map(|file| directory.join(file)).find(|file| file.is_file()).unwrap_or(directory)
}

fn open(case: &str) -> caramba::Result<Model> {
    Model::open(&path(case), &OpenOptions::default())
}

fn refusal(case: &str) -> String {
    open(case).err().unwrap_or_else(|| panic!("{case} was opened")).to_string()
}

fn tokens() -> Vec<Vec<u32>> {
    let file = std::fs::File::open(fixture("cases/tokens.npy")).unwrap();
    let tokens: Vec<u32> = match ndarray::Array1::<u16>::read_npy(&file) {
        Ok(tokens) => tokens.iter().map(|&token| u32::from(token)).collect(),
        Err(_) => {
            let file = std::fs::File::open(fixture("cases/tokens.npy")).unwrap();
            ndarray::Array1::<i32>::read_npy(file).unwrap().iter().map(|&token| token as u32).collect()
        }
    };
    tokens.chunks_exact(BLOCK).take(BLOCKS).map(<[u32]>::to_vec).collect()
}

/// Opens, loads and scores a model.
fn cross_entropy(gpu: &Arc<caramba::gpu::Gpu>, model: Model) -> caramba::Result<f64> {
    let network = common::runtime::load(gpu, &Arc::new(model), WeightKind::Stored);
    let options = SessionOptions { context: BLOCK, sequences: 1, cache: CacheKinds::uniform(CacheKind::F16), chunk: None };
    let mut session = caramba::runtime::Session::new(&network, &options)?;
    let (mut sum, mut count) = (0.0, 0);
    for block in tokens() {
        session.truncate(0)?;
        let scores = session.score(&[block])?;
        sum -= scores.log_probabilities[0].iter().map(|&score| f64::from(score)).sum::<f64>();
        count += scores.log_probabilities[0].len();
    }
    Ok(sum / f64::from(count as u32))
}

#[test]
fn what_opens_is_the_right_model() {
    let [(_, gpu), _] = common::runtime::devices();
    let mut wrong = Vec::new();
    let mut tried = 0;
    for (name, case) in cases() {
        let Some(expected) = case["cross_entropy"].as_f64() else { continue };
        tried += 1;
        match open(&name).and_then(|model| cross_entropy(&gpu, model)) {
            Ok(found) if (found - expected).abs() <= 1e-3 * expected => {}
            Ok(found) => wrong.push(format!("{name}: cross-entropy {found:.5}, expected {expected:.5} ({})", case["what"])),
            Err(error) => wrong.push(format!("{name}: {error} ({})", case["what"])),
        }
    }
    assert!(wrong.is_empty() && tried >= 13, "{tried} cases tried\n{}", wrong.join("\n"));
}

#[test]
fn texts_are_told_whole() {
    for (name, count) in [("stream_first_space_llama2_json", "3"), ("stream_newline_then_broken", "11")] {
        let (_, case) = cases().into_iter().find(|(known, _)| known == name).unwrap();
        let path = path(name);
        let told = caramba(&["generate", path.to_str().unwrap(), "The sea", "--max-tokens", count, "--ignore-end"]);
        assert!(told.contains(case["text"].as_str().unwrap()), "{name}: {told}");
    }
}

#[test]
fn what_does_not_open_says_why() {
    let message = refusal("gguf_noncausal");
    assert!(message.contains("key llama.attention.causal is false"), "{message}");
    let message = refusal("st_missing_shard");
    assert!(
        message.contains("model.safetensors.index.json: the index names `model-00002-of-00002.safetensors`, which is not there"),
        "{message}"
    );
    let message = refusal("pt_rezipped");
    assert!(message.contains("its bytes are compressed: the checkpoint was unpacked and zipped again"), "{message}");
}

#[test]
fn choices_are_said() {
    let note = |case: &str| open(case).unwrap_or_else(|error| panic!("{case}: {error}")).notes.join("\n");
    assert!(
        note("st_stale_index_and_single").contains("model.safetensors is used; model.safetensors.index.json beside it names other files")
    );
    let tied = open("st_tied_stored_different").unwrap();
    assert!(!tied.architecture.tied_embeddings && tied.notes[0].contains("a head that differs is stored: lm_head.weight is used"));
    assert!(note("pt_model_and_ema").contains("it holds 2 models that fit (`model`, `ema`); `model` is used"));
    for case in ["pt_bare", "pt_model_optimizer", "pt_with_defaultdict_int", "st_prefix_module", "st_cos_cached", "st_i64_buffer"] {
        assert_eq!(note(case), "", "{case}: nothing needs to be said");
    }
}

#[test]
fn one_of_several_models_is_chosen_by_name() {
    let open =
        |name: &str| Model::open(&path("pt_model_and_ema"), &OpenOptions { state_dict: Some(name.into()), ..OpenOptions::default() });
    let first = |model: Model| model.tensors["model.embed_tokens.weight"].to_f32()[0];
    assert!(first(open("model").unwrap()) != first(open("ema").unwrap()));
    let message = open("emma").err().unwrap().to_string();
    assert!(message.contains("unknown dictionary of tensors `emma`") && message.contains("did you mean `ema`?"), "{message}");
}

/// The links of a cache lead to files that are called by their hashes.
#[cfg(unix)]
#[test]
fn a_model_in_the_cache_of_the_hub_is_called_by_its_name() {
    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    let directory = tempfile::tempdir().unwrap();
    let repository = directory.path().join("models--someone--tiny-llama");
    let snapshot = repository.join("snapshots").join(COMMIT);
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::create_dir_all(repository.join("blobs")).unwrap();
    let blobs = fixture("cases/hf_cache_layout/models--someone--tiny-llama/blobs");
    for (name, letter) in [("config.json", 'a'), ("model.safetensors", 'b'), ("tiny-llama.Q8_0.gguf", 'c')] {
        let blob: String = std::iter::repeat_n(letter, if letter == 'a' { 40 } else { 64 }).collect();
        std::fs::copy(blobs.join(&blob), repository.join("blobs").join(&blob)).unwrap();
        std::os::unix::fs::symlink(Path::new("../../blobs").join(&blob), snapshot.join(name)).unwrap();
    }
    let name = |path: &Path| Model::open(path, &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}")).name;
    assert_eq!(name(&snapshot), "tiny-llama");
    assert_eq!(name(&snapshot.join("model.safetensors")), "tiny-llama");
    assert_eq!(name(&snapshot.join("tiny-llama.Q8_0.gguf")), "tiny-llama.Q8_0");
    assert_eq!(name(&repository), "tiny-llama");
    let linked = directory.path().join("mine");
    std::os::unix::fs::symlink(&snapshot, &linked).unwrap();
    assert_eq!(name(&linked), "mine");
}

/// The directory as it is in the repository: links became files of text.
#[test]
fn links_that_became_text_are_followed() {
    let snapshot = fixture("cases/hf_cache_layout/models--someone--tiny-llama/snapshots/0123456789abcdef0123456789abcdef01234567");
    assert_eq!(Model::open(&snapshot, &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}")).name, "tiny-llama");
}

/// Logits that are no numbers: score and generate name the model, the tensor and a way out.
#[test]
fn a_nan_in_the_weights_is_told() {
    let [(_, gpu), _] = common::runtime::devices();
    let message = open("num_nan_weight").and_then(|model| cross_entropy(&gpu, model)).unwrap_err().to_string();
    assert!(message.contains("model num_nan_weight: the model's logits are NaN or infinite at position"), "{message}");
    assert!(message.contains("the file has NaN or infinity in row") && message.contains("take an earlier checkpoint"), "{message}");

    let network = common::runtime::load(&gpu, &Arc::new(open("num_nan_weight").unwrap()), WeightKind::Stored);
    let mut session = common::runtime::session(&network, CacheKind::Q8, 1, None);
    session.prefill(&[vec![1, 5, 9]]).unwrap();
    let options = caramba::runtime::GenerateOptions { max_tokens: 4, ..Default::default() };
    let message = session.generate(&options, &mut |_, _| ()).unwrap_err().to_string();
    assert!(message.contains("the model's logits are NaN or infinite at position 2"), "{message}");
}

/// Values that an fp16 cache can't hold: the cache is named, and the way out is one.
#[test]
fn a_cache_that_is_too_narrow_is_told() {
    let [(_, gpu), _] = common::runtime::devices();
    let mut model = open("pt_bare").unwrap();
    // Values a million times as large, and an output projection that takes it back.
    for (part, factor) in [("v_proj", 1e6f32), ("o_proj", 1e-6)] {
        let tensor = model.tensors.get_mut(&format!("model.layers.1.self_attn.{part}.weight")).unwrap();
        let values = tensor.to_f32().into_iter().map(|value| value * factor).collect();
        *tensor = caramba::model::Tensor::from_f32(tensor.shape.clone(), values).unwrap();
    }
    let network = common::runtime::load(&gpu, &Arc::new(model), WeightKind::Stored);
    let block = tokens().remove(0)[..40].to_vec();
    let message = common::runtime::session(&network, CacheKind::F16, 1, None).score(std::slice::from_ref(&block)).unwrap_err().to_string();
    assert!(message.contains("keys or values of layer 1 are beyond 65504") && message.contains("use a cache with scales: q8"), "{message}");
    common::runtime::session(&network, CacheKind::Q8, 1, None).score(&[block]).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn another_scaling_of_rope_may_be_asked_for() {
    let [(_, gpu), _] = common::runtime::devices();
    let scaling = serde_yaml::from_str("{rope_type: linear, factor: 4}").unwrap();
    let model = Model::open(&path("pt_bare"), &OpenOptions { rope_scaling: Some(scaling), ..OpenOptions::default() }).unwrap();
    assert_eq!(
        (model.architecture.context, model.notes.join("")),
        (1024, "RoPE is scaled as asked for: the context is 1024 tokens, 256 are the model's own".into())
    );
    // The value of the case that has this scaling in its configuration.
    let found = cross_entropy(&gpu, model).unwrap();
    assert!((found - 5.278_347_7).abs() < 5e-3, "{found}");
    let misspelt = serde_yaml::from_str("{rope_type: yarm}").unwrap();
    let options = OpenOptions { rope_scaling: Some(misspelt), ..OpenOptions::default() };
    let message = Model::open(&path("pt_bare"), &options).err().unwrap().to_string();
    assert!(message.contains("rope_scaling: unknown RoPE scaling `yarm`") && message.contains("did you mean `yarn`?"), "{message}");
}
