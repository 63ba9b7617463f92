//! Every way to stretch RoPE: what is computed from tests/fixtures/rope is what `transformers` computed (tests/fixtures/make/rope.py), within
//! and beyond the original context.

mod common;

use caramba::model::{Model, OpenOptions};
use caramba::runtime::{CacheKind, CacheKinds, Session, SessionOptions, WeightKind};
use common::fixture;
use common::fixtures::{directories, open, relative_error};
use std::sync::Arc;

/// Beyond the original context of all fixtures, which is 16.
const LONG: usize = 48;

struct Expected {
    tokens: Vec<u32>,
    /// Of all tokens at once.
    logits: Vec<f32>,
    /// Of the first few by themselves.
    short: Vec<f32>,
}

fn expected(name: &str) -> Expected {
    let bytes = std::fs::read(fixture(&format!("rope/{name}.reference.safetensors"))).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let words = |name: &str| tensors.tensor(name).unwrap().data().as_chunks().0.to_vec();
    let floats = |name: &str| words(name).into_iter().map(f32::from_le_bytes).collect();
    Expected { tokens: words("tokens").into_iter().map(u32::from_le_bytes).collect(), logits: floats("logits"), short: floats("short") }
}

/// The mean cross-entropy of `tokens` by logits `[rows, vocab]`.
fn cross_entropy(logits: &[f32], tokens: &[u32], vocab: usize) -> f64 {
    let rows = logits.chunks(vocab).zip(&tokens[1..]);
    let scores = rows.map(|(row, &next)| {
        let most = row.iter().copied().fold(f32::MIN, f32::max);
        let total: f64 = row.iter().map(|&logit| f64::from(logit - most).exp()).sum();
        total.ln() - f64::from(row[next as usize] - most)
    });
    scores.sum::<f64>() / (tokens.len() - 1) as f64
}

#[test]
fn both_generations_of_config_say_the_same() {
    for name in directories("rope") {
        let directory = tempfile::tempdir().unwrap();
        std::fs::copy(fixture(&format!("rope/{name}/config.old.json")), directory.path().join("config.json")).unwrap();
        std::fs::copy(fixture(&format!("rope/{name}/model.safetensors")), directory.path().join("model.safetensors")).unwrap();
        let old = Model::open(directory.path(), &OpenOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(old.architecture, open(&format!("rope/{name}")).architecture, "{name}");
    }
}

#[test]
fn the_device_agrees_with_transformers_within_and_beyond_the_original_context() {
    let [(_, gpu), _] = common::runtime::devices();
    let mut wrong = Vec::new();
    for name in directories("rope") {
        let (model, expected) = (Arc::new(open(&format!("rope/{name}"))), expected(&name));
        let vocab = model.architecture.vocab;
        assert!(model.architecture.context >= LONG, "{name}");
        let network = common::runtime::load(&gpu, &model, WeightKind::Stored);
        for (cache, tolerance) in [(CacheKind::None, 1e-3), (CacheKind::F16, 5e-3)] {
            let options = SessionOptions { context: LONG, sequences: 1, cache: CacheKinds::uniform(cache), chunk: None };
            let mut session = Session::new(&network, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
            // The long text first: what it left in the tables must not show in the short one.
            for (what, reference) in [("beyond", &expected.logits), ("within", &expected.short), ("beyond again", &expected.logits)] {
                let tokens = &expected.tokens[..reference.len() / vocab];
                session.truncate(0).unwrap();
                let logits = session.all_logits(&[tokens.to_vec()]).unwrap_or_else(|error| panic!("{name}: {error}"));
                let error = relative_error(&logits, reference);
                let entropies = [cross_entropy(&logits, tokens, vocab), cross_entropy(reference, tokens, vocab)];
                if error.is_nan() || error > tolerance || (entropies[0] - entropies[1]).abs() > 1e-3 {
                    wrong.push(format!("{name}, {cache:?}, {what}: logits differ by {error:.1e}, cross-entropies are {entropies:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
