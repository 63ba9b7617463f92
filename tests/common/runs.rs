//! Runs of manifests on the bundled pair, as a user starts and disturbs them.

use super::cli::{caramba_in, rows, shown};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A directory with these files in it.
pub fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

/// A manifest of one target on the bundled pair, whose further keys are `body`.
pub fn manifest(body: &str) -> String {
    let target: String = body.trim_matches('\n').lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "version: 2\nname: m\ntargets:\n- type: experiment\n  name: t\n  models: {{teacher: models/austen, student: models/austen-dba}}\n  \
         runs: []\n{target}"
    )
}

pub fn run(directory: &Path, arguments: &[&str]) -> (i32, String) {
    let output = caramba_in(directory, arguments);
    (output.status.code().unwrap_or(-1), shown(&output))
}

/// A text without the breaks of its lines.
pub fn flat(told: &str) -> String {
    told.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column}: {row:?}"))
}

pub const PERPLEXITY: &str = "type: perplexity, dataset: models/austen/heldout.npy, block_size: 64, num_batches: 3";

pub const OWN: &str = r#"
const PARAMETERS = #{ steps: [1, 2, 3], slow: false };
fn cells(config) { grid(#{ step: config.steps }) }
fn measure(model, cell, config) {
    if cell.step == 2 && exists("broken") { fail("it broke at two", "mend it"); }
    if config.slow { sleep(30); }
    #{ found: cell.step > 1, score: cell.step * 1.5 }
}
"#;

pub const EMITS: &str = r#"
fn run(model, config) {
    for row in 1..=5 {
        if row == 3 { fail("the third one fails"); }
        emit(#{ row: row, value: row * 0.5 });
    }
    #{ benchmark_id: "emits", metrics: #{ score: 1.0 } }
}
"#;

/// A program that was started and is to be disturbed.
pub struct Started(pub Child);

impl Started {
    pub fn new(directory: &Path, arguments: &[&str]) -> Started {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("caramba"));
        command.current_dir(directory).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Started(command.spawn().unwrap())
    }

    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status().unwrap().success());
    }

    pub fn status(&mut self) -> i32 {
        self.0.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Every benchmark, briefly.
pub fn everything() -> String {
    manifest(&format!(
        "benchmarks:\n- {{id: p, config: {{{PERPLEXITY}, cache_kinds: [fp16, q8]}}, models: [teacher, student], repeats: 2}}\n- {{id: l, config: {{type: \
         latency, prompt_lengths: [16, 32], generation_lengths: [4], timed_runs: 3, max_runs: 3, warmup_runs: 1}}, models: [teacher, \
         student]}}\n- {{id: m, config: {{type: memory, sequence_lengths: [32, 64], quantization_modes: [fp16, q4]}}, models: [teacher, \
         student]}}\n- {{id: own, config: {{type: own}}, models: [student]}}\nverify: [{{type: kvcache, min_reduction_ratio: 1.5}}]\nthresholds: \
         [\"student.perplexity < 100\"]"
    ))
}

/// A run's rows without what is timed, in their order.
pub fn untimed(run: &Path) -> BTreeMap<String, Vec<String>> {
    let timed = |column: &str| ["_ms", "per_sec", "runs", "warmup", "disturbed", "token_ms"].iter().any(|part| column.contains(part));
    let files = ["perplexity.csv", "latency.csv", "memory.csv", "own.csv", "kvcache.csv"];
    let kept = |row: BTreeMap<String, String>| {
        let kept: Vec<String> =
            row.into_iter().filter(|(column, _)| !timed(column)).map(|(column, value)| format!("{column}={value}")).collect();
        kept.join(",")
    };
    files.iter().map(|file| ((*file).to_owned(), rows(run, file).into_iter().map(kept).collect())).collect()
}

pub fn partial(directory: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory.join("artifacts")).ok()?;
    entries.map(|entry| entry.unwrap().path()).find(|path| path.to_string_lossy().ends_with(".partial"))
}
