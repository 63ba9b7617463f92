//! The Rhai host: the engine and its limits, and one module for each thing a script can hold.

use crate::error::{Error, Result};
use crate::gpu::DeviceChoice;
use crate::manifest::Experiment;
use std::path::Path;

/// What the command line knows that a script may ask for.
#[derive(Debug, Clone, Default)]
pub struct HostOptions {
    /// The adapter that `device()` and `load()` open, when they open one.
    pub device: DeviceChoice,
    /// `--set key=value`, in order; a script reads them as `args.key`, typed like YAML scalars.
    pub set: Vec<(String, String)>,
    /// What came after `--`: a script reads it as `args.rest`.
    pub args: Vec<String>,
    /// The target of a manifest, for the script that runs it (`experiment.rhai`).
    pub experiment: Option<Experiment>,
}

/// Runs the script at `path`.
///
/// # Errors
/// What went wrong, as `file:line:column: message` with the source line below it.
pub fn run_file(path: &Path, options: &HostOptions) -> Result<()> {
    let _ = options;
    Err(Error::new("the script host is being written").at(path.display()))
}

/// Runs the built-in script `name` (`full_paper`, `experiment`, ...).
///
/// # Errors
/// As [`run_file`]; an unknown name.
pub fn run_builtin(name: &str, options: &HostOptions) -> Result<()> {
    let _ = options;
    Err(Error::new("the script host is being written").at(name))
}

/// Checks the script at `path` without running it: syntax, names of functions and modules.
///
/// # Errors
/// The first mistake, with its place.
pub fn check_file(path: &Path) -> Result<()> {
    Err(Error::new("the script host is being written").at(path.display()))
}
