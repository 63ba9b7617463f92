//! YAML experiment files: variables, targets, and mistakes shown where they are.

use serde::Serialize;
use std::path::PathBuf;

/// One target of a manifest, checked: what a script gets as a map.
#[derive(Debug, Clone, Serialize)]
pub struct Experiment {
    pub manifest: PathBuf,
    pub name: String,
    /// In the order of the manifest.
    pub models: Vec<ModelSource>,
    pub runs: Vec<serde_yaml::Value>,
    pub benchmarks: Vec<Benchmark>,
}

/// What a model's name stands for.
#[derive(Debug, Clone, Serialize)]
pub struct ModelSource {
    pub name: String,
    pub path: String,
    /// `weights`, `model` (the topology section), ...
    pub options: serde_yaml::Value,
}

/// One benchmark of a target.
#[derive(Debug, Clone, Serialize)]
pub struct Benchmark {
    pub id: String,
    /// The name of its script.
    pub kind: String,
    /// Its parameters, without `type`.
    pub config: serde_yaml::Value,
    pub models: Vec<String>,
    pub repeats: usize,
}
