//! `caramba api`: what `caramba docs --all` is called in older notes.

use crate::error::Result;
use crate::{script, terminal};
use clap::Args;
use std::path::PathBuf;

/// Show everything that scripts can call, as Markdown (`caramba docs --all`)
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Api {
    /// Write definition files into this directory instead (`caramba defs`)
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
