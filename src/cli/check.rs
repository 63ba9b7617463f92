//! `caramba check`: scripts, manifests and benchmarks of prompts are read, not run.

use crate::error::{Error, Result};
use crate::script::{self, Checked};
use crate::terminal;
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Check scripts, manifests and benchmarks without running them: all mistakes of all files
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caramba check mine.rhai paper.yml
  caramba check scripts/*.rhai --json                 for programs: a line of JSON for each mistake

Nothing is run, written or measured, and no device is opened. The exit status is 1 where there is a mistake.")]
pub struct Check {
    /// .rhai files, .yml files (manifests, benchmarks of prompts), names of presets or built-in scripts
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// A line of JSON for each mistake: file, line, column, message, help
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Returns the exit status.
    pub fn run(self) -> Result<u8> {
        let (mut mistakes, mut wrong) = (0, 0);
        for file in &self.files {
            let Checked { errors, warnings, about } = checked(file);
            if self.json {
                let lines = errors.iter().map(|error| (error, "error")).chain(warnings.iter().map(|warning| (warning, "warning")));
                for (error, level) in lines {
                    terminal::print_line(&line(file, error, level).to_string())?;
                }
            } else {
                warnings.iter().for_each(terminal::show_warning);
                errors.iter().for_each(terminal::show_error);
                if errors.is_empty() {
                    terminal::print_line(&format!("{}: no mistakes found{about}", file.display()))?;
                }
            }
            mistakes += errors.len();
            wrong += usize::from(!errors.is_empty());
        }
        if wrong > 0 && !self.json && (mistakes > 1 || self.files.len() > 1) {
            let many = |count: usize, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
            terminal::note(&format!("{} in {} of {}", many(mistakes, "mistake"), wrong, many(self.files.len(), "file")));
        }
        Ok(u8::from(mistakes > 0))
    }
}

fn checked(file: &Path) -> Checked {
    if super::is_manifest(&file.to_string_lossy()) { script::check_yaml(file) } else { script::check_file(file) }
}

/// One mistake for a program.
fn line(file: &Path, error: &Error, level: &str) -> Value {
    let place = error.position();
    json!({
        "file": place.as_ref().map_or_else(|| file.display().to_string(), |(name, _)| name.clone()),
        "line": place.as_ref().map(|(_, place)| place.line),
        "column": place.as_ref().map(|(_, place)| place.column),
        "level": level,
        "message": error.message(),
        "help": error.help(),
    })
}
