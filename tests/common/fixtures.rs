//! The fixtures under tests/fixtures, and how results are compared with them.

use super::fixture;
use caramba::model::{Model, OpenOptions};

/// A model of the fixtures, opened without options.
pub fn open(path: &str) -> Model {
    Model::open(&fixture(path), &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Names of the directories in tests/fixtures/`path`, sorted.
pub fn directories(path: &str) -> Vec<String> {
    let entries = std::fs::read_dir(fixture(path)).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no fixtures in {path}");
    names
}

/// What PyTorch computed.
pub struct Reference {
    pub tokens: Vec<u32>,
    /// [tokens, vocab]
    pub logits: Vec<f32>,
    /// [layers, tokens, d_model]; empty where it wasn't kept
    pub attention: Vec<f32>,
}

/// tests/fixtures/`path`.reference.safetensors
pub fn reference(path: &str) -> Reference {
    let bytes = std::fs::read(fixture(&format!("{path}.reference.safetensors"))).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let words = |name: &str| -> Vec<u32> {
        let data = file.tensor(name).map(|tensor| tensor.data().to_vec()).unwrap_or_default();
        data.as_chunks::<4>().0.iter().map(|&word| u32::from_le_bytes(word)).collect()
    };
    let floats = |name: &str| words(name).into_iter().map(f32::from_bits).collect();
    Reference { tokens: words("tokens"), logits: floats("logits"), attention: floats("attention") }
}

/// The largest difference, as a share of the largest magnitude expected.
pub fn relative_error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len(), "lengths differ");
    assert!(found.iter().all(|value| value.is_finite()), "not a finite number");
    let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let difference = found.iter().zip(expected).fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs()));
    difference / largest
}
