//! `caramba api`: what scripts can call, for readers and for editors.

use crate::error::Result;
use crate::{script, terminal};
use clap::Args;
use std::path::PathBuf;

/// Show everything that scripts can call, as Markdown
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  caramba api | less
  caramba api --definitions .rhai     for an editor that speaks to a Rhai language server")]
pub struct Api {
    /// Write definition files (.d.rhai) into this directory instead
    #[arg(long, value_name = "DIRECTORY")]
    definitions: Option<PathBuf>,
}

impl Api {
    pub fn run(self) -> Result<()> {
        let Some(directory) = self.definitions else { return terminal::print(&script::documentation()?) };
        script::write_definitions(&directory)?;
        terminal::note(&format!("definitions are in {}", directory.display()));
        Ok(())
    }
}
