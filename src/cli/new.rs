//! `caramba new`: a benchmark of one's own that runs at once, to be changed.

use crate::artifact::write_atomically;
use crate::assets;
use crate::error::{At, Error, Result};
use crate::terminal;
use clap::Args;
use std::path::{Path, PathBuf};

const SCRIPT: &str = include_str!("../../assets/new/benchmark.rhai");
const MANIFEST: &str = include_str!("../../assets/new/manifest.yml");

/// Begin a benchmark of your own: a commented script and a manifest that run at once
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  caramba new recall          writes recall.rhai and recall.yml
  caramba recall.yml          measures the bundled teacher and student: CSV, chart, tables, report")]
pub struct New {
    /// The benchmark's name: that of its files, and its `type` in manifests
    name: String,
    /// Write the files into this directory
    #[arg(long, short, value_name = "DIR", default_value = ".", hide_default_value = true)]
    output: PathBuf,
}

impl New {
    pub fn run(self) -> Result<()> {
        let name = self.name.strip_suffix(".rhai").unwrap_or(&self.name);
        check(name)?;
        let files = [("rhai", SCRIPT), ("yml", MANIFEST)].map(|(ending, text)| (self.output.join(format!("{name}.{ending}")), text));
        // Both or none.
        for (path, _) in &files {
            if path.exists() {
                return Err(Error::new("there is such a file already").at(path.display()).remedy("take another name, or move it away"));
            }
        }
        std::fs::create_dir_all(&self.output).at(self.output.display())?;
        for (path, text) in &files {
            write_atomically(path, text.replace("NAME", name).as_bytes())?;
        }
        let [script, manifest] = files.map(|(path, _)| shown(&path));
        terminal::print(&format!(
            "{script} says what is measured, {manifest} on which models. They run as they are:\n\n  caramba {manifest}\n  caramba check {script} {manifest}\n  caramba docs benchmark\n"
        ))
    }
}

/// `mine.rhai` rather than `./mine.rhai`.
fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

/// A name that a file, a `type` of a manifest and a module in a script can have.
fn check(name: &str) -> Result<()> {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !plain {
        let error = Error::new(format!("`{name}` can't be a benchmark's name"));
        return Err(error.remedy("take letters, digits and `_`, a letter first: a script imports it by this name"));
    }
    if assets::SCRIPTS.iter().any(|(known, _)| *known == name) {
        let error = Error::new(format!("there is a built-in script called `{name}`, and yours would stand in for it"));
        return Err(error.remedy(format!("take another name; to change that one: caramba show {name}.rhai > {name}.rhai")));
    }
    Ok(())
}
