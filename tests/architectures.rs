//! Every architecture and every form of file: what is computed from tests/fixtures/architectures and tests/fixtures/gguf is what
//! `transformers` computed (tests/fixtures/make/architectures.py and gguf_models.py).

mod common;

use caramba::model::{Architecture, DataType, Model, OpenOptions, QkNorm, RopeScaling};
use caramba::runtime::{CacheKind, CacheKinds, WeightKind, bytes_per_token};
use common::fixture;
use common::fixtures::{directories, open, reference, relative_error};
use common::runtime::{ALL, BARE, FP16, FULL, PLAIN, ROTATED, check};
use std::sync::Arc;

/// The oracle computes in f32 as `transformers` does, in another order of sums.
const TOLERANCE: f32 = 1e-4;

#[test]
fn the_oracle_agrees_with_transformers() {
    for name in directories("architectures") {
        let path = format!("architectures/{name}");
        let (model, expected) = (open(&path), reference(&path));
        let pass = common::reference::pass(&model, &expected.tokens);
        let error = relative_error(&pass.logits, &expected.logits);
        assert!(error < TOLERANCE, "{name}: logits differ by {error:e}");
        if !expected.attention.is_empty() {
            let error = relative_error(&pass.attention.concat(), &expected.attention);
            assert!(error < TOLERANCE, "{name}: attention outputs differ by {error:e}");
        }
    }
}

/// A GGUF of the llama family has the rows of Q and K in another order; llama3's scaling is a tensor of factors in it.
#[test]
fn the_oracle_agrees_on_gguf_files() {
    for (name, expected) in [
        ("llama", "architectures/llama"),
        ("llama3_rope", "architectures/llama3_rope"),
        ("qwen2", "architectures/qwen2"),
        ("qwen3", "architectures/qwen3"),
        ("gemma3", "architectures/gemma3"),
        ("olmo2", "architectures/olmo2"),
        ("blocks", "gguf/blocks"),
    ] {
        let (model, expected) = (open(&format!("gguf/{name}.gguf")), reference(expected));
        let error = relative_error(&common::reference::logits(&model, &expected.tokens), &expected.logits);
        assert!(error < TOLERANCE, "{name}: logits differ by {error:e}");
    }
}

#[test]
fn a_gguf_may_mix_all_block_types() {
    let model = open("gguf/blocks.gguf");
    let mut types: Vec<DataType> = model.tensors.values().map(|tensor| tensor.data_type).collect();
    types.sort_by_key(|&data_type| data_type as usize);
    types.dedup();
    use DataType::*;
    assert_eq!(types, [F32, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2K, Q3K, Q4K, Q5K, Q6K]);
}

/// The architecture of a directory with config.old.json in the place of config.json.
fn old_generation(name: &str) -> Architecture {
    let source = fixture(&format!("architectures/{name}"));
    let directory = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&source).unwrap() {
        let entry = entry.unwrap().path();
        let file = entry.file_name().unwrap().to_str().unwrap();
        let target = match file {
            "config.json" => continue,
            "config.old.json" => directory.path().join("config.json"),
            other => directory.path().join(other),
        };
        std::fs::copy(&entry, target).unwrap();
    }
    Model::open(directory.path(), &OpenOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}")).architecture
}

#[test]
fn both_generations_of_config_say_the_same() {
    for name in directories("architectures") {
        assert_eq!(old_generation(&name), open(&format!("architectures/{name}")).architecture, "{name}");
    }
}

#[test]
fn configurations_are_understood() {
    let architecture = |name: &str| open(&format!("architectures/{name}")).architecture;
    let windows = |name: &str| -> Vec<Option<usize>> { architecture(name).layers.iter().map(|layer| layer.attention.window).collect() };
    assert_eq!(windows("mistral"), [Some(11), Some(11)]);
    assert_eq!(windows("mistral_full"), [None]);
    assert_eq!(windows("qwen2"), [None]);
    assert_eq!(windows("qwen2_window"), [None, Some(9)]);
    assert_eq!(windows("gemma2"), [Some(9), None, Some(9)]);
    assert_eq!(windows("gemma3"), [Some(7), Some(7), Some(7), Some(7), Some(7), None]);

    let llama = architecture("llama");
    let attention = &llama.layers[0].attention;
    assert_eq!((attention.heads, attention.kv_heads, attention.geo, attention.value, attention.sem), (3, 1, 24, 24, 0));
    assert_eq!((llama.bos, llama.eos.as_slice(), llama.context), (Some(1), [2].as_slice(), 128));
    assert!(!llama.tied_embeddings && architecture("llama_tied").tied_embeddings);

    // One latent of 36 and one rotated key of 8, in blocks of 32 elements of 2 bytes; keys and values of 3 heads would be 3 (20 + 16) wide.
    let latent = architecture("deepseek_v3");
    let attention = &latent.layers[1].attention;
    assert_eq!((attention.kv_heads, attention.sem, attention.geo, attention.value, attention.out_width()), (1, 36, 8, 36, 48));
    assert_eq!(bytes_per_token(&latent, CacheKinds::uniform(CacheKind::F16)), 2 * 3 * 64);

    let scaling = |name: &str| architecture(name).layers[0].attention.rope.clone().unwrap().scaling;
    assert_eq!(scaling("llama_linear_rope"), RopeScaling::Linear { factor: 2.0 });
    let [first, last] = [0, 5].map(|layer| architecture("gemma3").layers[layer].attention.rope.clone().unwrap());
    assert_eq!((first.base, first.scaling), (100.0, RopeScaling::None));
    assert_eq!((last.base, last.scaling), (5000.0, RopeScaling::Linear { factor: 4.0 }));
    let llama3 = RopeScaling::Llama3 { factor: 4.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 32 };
    assert_eq!(scaling("llama3_rope"), llama3);

    let attention = |name: &str| architecture(name).layers[0].attention.clone();
    let bias = |name: &str| (attention(name).qkv_bias, attention(name).out_bias, attention(name).qk_norm);
    assert_eq!(bias("llama"), (false, false, QkNorm::None));
    assert_eq!(bias("llama_bias"), (true, true, QkNorm::None));
    assert_eq!(bias("qwen2"), (true, false, QkNorm::None));
    assert_eq!(bias("qwen3"), (false, false, QkNorm::Head));
    assert_eq!(bias("olmo2"), (false, false, QkNorm::All));
    assert_eq!(bias("qwen3_untied"), (true, true, QkNorm::Head));
}

#[test]
fn all_files_of_a_sharded_model_are_listed() {
    let files = open("architectures/llama_tied").files;
    let names: Vec<&str> = files.iter().filter_map(|file| file.path.file_name()?.to_str()).collect();
    for part in 1..=3 {
        assert!(names.contains(&format!("model-{part:05}-of-00003.safetensors").as_str()), "{names:?}");
    }
}

// Two tests of about the same length: a software driver compiles for minutes, on one core in each.

/// Every architecture with an fp16 cache, those that hold something of their own in it with another kind too. What the codes of a kind are is no matter of
/// the architecture: every kind is held against the oracle with a Llama here, a Qwen below, and by `tests/kernels.rs`.
fn on_the_device(part: usize) {
    let every_other = directories("architectures").into_iter().skip(part).step_by(2);
    let kinds = |name: &str| match name {
        "llama" => ALL,
        // Latents and halves of pairs; rings of windows.
        "deepseek_v3" | "diffllama" => ROTATED,
        "gemma3" => PLAIN,
        _ => FP16,
    };
    check(FULL, every_other.map(|name| (format!("architectures/{name}"), format!("architectures/{name}"), kinds(&name))));
}

#[test]
fn the_device_agrees() {
    on_the_device(0);
    check(BARE, [("architectures/llama".into(), "architectures/llama".into(), FP16)]);
}

#[test]
fn the_device_agrees_on_the_others() {
    on_the_device(1);
    check(FULL, [("gguf/blocks.gguf".into(), "gguf/blocks".into(), FP16)]);
}

#[test]
fn without_optional_features_too() {
    check(BARE, [("architectures/qwen3".into(), "architectures/qwen3".into(), ALL)]);
}

/// Weights of another kind than the file's: exact as f32, near as blocks of 8 bits.
#[test]
fn weights_may_be_of_another_kind() {
    let [(_, full), _] = common::runtime::devices();
    let expected = reference("architectures/qwen2");
    for (weights, tolerance) in [(WeightKind::F32, 1e-4), (WeightKind::Q8, 2e-2)] {
        let network = common::runtime::load(&full, &Arc::new(open("architectures/qwen2")), weights);
        let mut session = common::runtime::session(&network, CacheKind::None, 1, None);
        let error = relative_error(&session.all_logits(std::slice::from_ref(&expected.tokens)).unwrap(), &expected.logits);
        assert!(error < tolerance, "{weights:?}: logits differ by {error:e}");
    }
}

#[test]
fn the_page_of_architectures_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/architectures.md");
    let page = caramba::model::architectures_page();
    if std::env::var_os("CARAMBA_UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == page, "docs/architectures.md is out of date: CARAMBA_UPDATE_DOCS=1 cargo test --test architectures makes it again");
}
