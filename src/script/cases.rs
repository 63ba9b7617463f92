//! Benchmarks in YAML by themselves: `caramba mine.yml` is `caramba script custom --set file=mine.yml`, and `caramba check mine.yml` finds what is wrong
//! with its cases.

use super::modules::Script;
use super::{Description, HostOptions, Purpose, Run, on_script_thread};
use crate::error::Result;
use std::path::Path;

/// A benchmark's cases are written by hand; what is larger is something else.
const MAX_BYTES: u64 = 16 << 20;

/// Whether there is a YAML file at `path` that holds the cases of a benchmark: it begins a `benchmark`, and no `targets`.
pub fn is_suite(path: &Path) -> bool {
    let yaml = path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
    let Ok(path) = super::find_model(path) else { return false };
    if !yaml || !std::fs::metadata(&path).is_ok_and(|data| data.is_file() && data.len() <= MAX_BYTES) {
        return false;
    }
    let Ok(text) = std::fs::read_to_string(&path) else { return false };
    let begins =
        |key: &str| text.trim_start_matches('\u{feff}').lines().any(|line| line.starts_with(key) || line.starts_with(&format!("{{{key}")));
    begins("benchmark:") && !begins("targets:")
}

/// The benchmark `custom` with these cases; as [`run_file`](super::run_file).
pub(super) fn run(path: &Path, options: &HostOptions) -> Result<u8> {
    on_script_thread(Script::built_in("custom")?, directory(path), &given(path, options), Run::run)
}

/// What `custom` says of itself.
pub(super) fn describe(options: &HostOptions) -> Result<Description> {
    on_script_thread(Script::built_in("custom")?, None, options, Run::describe)
}

/// Finds the first mistake in the cases.
pub(super) fn check(path: &Path) -> Result<()> {
    let text = "import \"suite\" as suite;\nsuite::checked(args.file);\n".to_owned();
    let options = given(path, &HostOptions { purpose: Purpose::Check, ..HostOptions::default() });
    on_script_thread(Script { name: "(check)".to_owned(), text }, directory(path), &options, Run::run).map(|_| ())
}

fn given(path: &Path, options: &HostOptions) -> HostOptions {
    let mut options = options.clone();
    options.set.push(("file".to_owned(), path.display().to_string()));
    options
}

/// Scripts beside the cases win over built-in ones.
fn directory(path: &Path) -> Option<std::path::PathBuf> {
    path.parent().map(Path::to_path_buf)
}
