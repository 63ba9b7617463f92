//! `caramba check`: a script or manifest is read, not run.

use crate::error::Result;
use crate::{manifest, script, terminal};
use clap::Args;
use std::path::PathBuf;

/// Check a script or a manifest without running it
#[derive(Debug, Args)]
pub struct Check {
    /// A .rhai file, a .yml file, or the name of a preset
    #[arg(value_name = "SCRIPT|MANIFEST")]
    file: PathBuf,
}

impl Check {
    pub fn run(self) -> Result<()> {
        let shown = self.file.display();
        if !super::is_manifest(&self.file.to_string_lossy()) || script::is_suite(&self.file) {
            script::check_file(&self.file)?;
            return terminal::print_line(&format!("{shown}: no mistakes found"));
        }
        let manifest = manifest::open(&self.file)?;
        let targets = manifest.targets()?;
        let mut checked = Vec::new();
        for (name, kind) in targets {
            if kind == "experiment" {
                script::check_experiment(&manifest.experiment(Some(name))?)?;
                checked.push(name);
            }
        }
        terminal::print_line(&match checked.as_slice() {
            [] => format!("{shown}: no mistakes found, but no target of type `experiment`"),
            [only] => format!("{shown}: no mistakes found in the target {only}"),
            several => format!("{shown}: no mistakes found in the targets {}", several.join(", ")),
        })
    }
}
