//! caramba as a user meets it: the program, run in a directory of its own, without a terminal.

use assert_cmd::Command;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

/// Runs caramba in `directory`.
pub fn caramba_in(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("caramba").unwrap();
    command.current_dir(directory).args(arguments).env("COLUMNS", "110").env_remove("RUST_BACKTRACE").output().unwrap()
}

/// Exit code, standard output and standard error as one text.
pub fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().trim_end().to_string();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let code = output.status.code().map_or("none".to_string(), |code| code.to_string());
    [format!("exit code {code}"), out, err].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

/// The same of a run in an empty directory.
pub fn caramba(arguments: &[&str]) -> String {
    let empty = tempfile::tempdir().unwrap();
    shown(&caramba_in(empty.path(), arguments))
}

/// The only directory that a run of `name` has left.
pub fn artifacts(directory: &Path, name: &str) -> PathBuf {
    let entries = std::fs::read_dir(directory.join("artifacts")).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<PathBuf> = entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(&format!("{name}_"))).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

/// Its report.
pub fn report(run: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(run.join("report.json")).unwrap()).unwrap()
}

/// The rows of a CSV file: name of the column to its text. Nothing that these tests read is quoted.
pub fn rows(run: &Path, file: &str) -> Vec<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(run.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut lines = text.lines().map(|line| line.split(',').map(String::from).collect::<Vec<_>>());
    let header = lines.next().unwrap();
    lines.map(|line| header.iter().cloned().zip(line).collect()).collect()
}

/// Whether a line depends on the machine: that a software adapter is used, the progress that a slow one shows, how long something may take, and
/// whether another program has disturbed it.
pub fn in_passing(line: &str) -> bool {
    line.starts_with("no GPU is used: ") || line.contains(" %)") || line.contains(" to measure") || line.contains("changed its speed")
}
