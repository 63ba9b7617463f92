//! `caramba schema`: JSON Schemas of what is written by hand and of what a run leaves, for editors and programs.

use crate::error::Result;
use crate::{script, terminal};
use clap::{Args, ValueEnum};

/// Print the JSON Schema of manifests, of benchmarks of prompts, or of reports
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  caramba schema manifest > manifest.schema.json

A manifest whose first line is `# yaml-language-server: $schema=manifest.schema.json` is then checked and completed by editors.")]
pub struct Schema {
    of: Of,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Of {
    /// Experiments (paper.yml)
    Manifest,
    /// Prompts and what is expected of the texts
    Benchmark,
    /// What a run leaves (report.json)
    Report,
}

impl Schema {
    pub fn run(self) -> Result<()> {
        terminal::print(&match self.of {
            Of::Manifest => script::manifest_schema()?,
            Of::Benchmark => script::benchmark_schema()?,
            Of::Report => script::REPORT_SCHEMA.to_owned(),
        })
    }
}
