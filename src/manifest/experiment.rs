//! One target of a manifest, checked: what `experiment.rhai` gets as a map.

use crate::error::Error;
use crate::source::{Place, Source};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One target of a manifest.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Experiment {
    /// As the user gave it.
    pub manifest: PathBuf,
    /// The manifest's `name` (its file's, without one): what artifacts are called after.
    pub experiment: String,
    /// The target's.
    pub name: String,
    pub description: Option<String>,
    /// In the order of the manifest.
    pub models: Vec<ModelSource>,
    /// What is done first; empty: benchmark only.
    pub runs: Vec<Run>,
    pub benchmarks: Vec<Benchmark>,
    /// Those of the runs, then the target's own.
    pub verify: Vec<Verification>,
    /// Comparisons such as `student.perplexity / teacher.perplexity < 1.05`; `None`: those that an upcycled student is accepted by.
    pub thresholds: Option<Vec<String>>,
    /// Keys that change no benchmark.
    pub ignored: Vec<String>,
    /// The directory above the run's; `None`: artifacts.
    pub output: Option<PathBuf>,
    /// The model that the others are compared with; `None`: the teacher, or the first.
    pub reference: Option<String>,
    /// Parameters of benchmarks and checks that do not give them themselves, where their scripts have them.
    pub defaults: BTreeMap<String, serde_yaml::Value>,
    /// Where keys stand: `models.NAME.KEY`, `runs.ID.KEY`, `benchmarks.ID.config.KEY`, `verify.INDEX.config.KEY`, and so on inwards
    /// (`.KEY` of a mapping, `.INDEX` of a list). See [`Experiment::point`].
    pub places: BTreeMap<String, Place>,
    /// Relative paths that lead nowhere from the current directory begin here.
    pub directory: PathBuf,
    #[serde(skip)]
    pub source: Arc<Source>,
}

/// What a model's name stands for.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ModelSource {
    pub name: String,
    /// Resolved (see [`Experiment::resolve`]). When a run has made a checkpoint of this model, that.
    pub path: String,
    /// `weights`, `model` (the topology section), ...: a mapping.
    pub options: serde_yaml::Value,
}

/// One training run: somebody's program, which leaves a checkpoint.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Run {
    pub id: String,
    /// `None`: it was done elsewhere (in manifests made for the wider platform, whose trainer caramba doesn't have).
    pub command: Option<Command>,
    /// Where the command runs.
    pub directory: PathBuf,
    /// What it leaves, seen from the current directory.
    pub checkpoint: Option<PathBuf>,
    /// The model that the checkpoint is.
    pub model: String,
    /// All other keys (`mode`, `seed`, `steps`, `train`, ...), for the report.
    pub settings: serde_yaml::Value,
}

/// What a run executes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Command {
    /// A line for the shell.
    Shell(String),
    /// A program and its arguments, as they are.
    Program(Vec<String>),
}

/// One benchmark of a target.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Benchmark {
    pub id: String,
    /// The name of its script.
    pub kind: String,
    /// Its parameters, without `type`: a mapping.
    pub config: serde_yaml::Value,
    pub models: Vec<String>,
    pub repeats: usize,
}

/// One check of how far a student is from its teacher.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verification {
    /// Its own, or its kind; the second one of a kind has a number.
    pub id: String,
    /// The name of its script: `compare`, `fidelity`, ...
    pub kind: String,
    /// Its parameters and thresholds, without `type`, `models` and `fail_fast`: a mapping.
    pub config: serde_yaml::Value,
    /// Teacher first. Fewer than two when the target has no such model: the check is left out.
    pub models: Vec<String>,
    /// Whether a failure ends the experiment.
    pub fail_fast: bool,
    /// The run that it follows; `None`: it belongs to the target.
    pub run: Option<String>,
}

impl Run {
    /// Whether it is executed here, and leaves a checkpoint.
    pub fn makes(&self, model: &str) -> bool {
        self.command.is_some() && self.checkpoint.is_some() && self.model == model
    }
}

impl Experiment {
    /// Adds the place and source line of the key at `path` (as in [`Experiment::places`]; the nearest known one around it) to `error`.
    pub fn point(&self, path: &str, error: Error) -> Error {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return self.source.point(*place, error);
            }
            match path.rsplit_once('.') {
                Some((outer, _)) => path = outer,
                None => return error.at(self.manifest.display()),
            }
        }
    }

    /// A path of the manifest as the program has to open it: relative to the current directory if something is there, else to the
    /// manifest's directory if something is there, else as it stands.
    pub fn resolve(&self, path: &str) -> PathBuf {
        resolve(&self.directory, path)
    }
}

/// See [`Experiment::resolve`].
pub fn resolve(directory: &Path, path: &str) -> PathBuf {
    let plain = PathBuf::from(path);
    if plain.exists() {
        return plain;
    }
    let beside = directory.join(path);
    if beside.exists() { beside } else { plain }
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Command::Shell(line) => f.write_str(line),
            Command::Program(words) => f.write_str(&words.join(" ")),
        }
    }
}
