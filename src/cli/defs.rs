//! `caramba defs`: what an editor needs to know of the script API.

use crate::error::Result;
use crate::{script, terminal};
use clap::Args;
use std::path::PathBuf;

/// Write definition files for editors: completion and documentation of the script API
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  caramba defs                writes .rhai/*.d.rhai and Rhai.toml, the workspace file of rhai-analyzer (rhai-lsp)")]
pub struct Defs {
    /// Where the workspace begins
    #[arg(value_name = "DIRECTORY", default_value = ".", hide_default_value = true)]
    directory: PathBuf,
}

impl Defs {
    pub fn run(self) -> Result<()> {
        for path in script::write_definitions(&self.directory)? {
            terminal::print_line(&path.display().to_string())?;
        }
        Ok(())
    }
}
