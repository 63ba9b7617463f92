//! `caramba run`: a target of a manifest is run.

use super::device::DeviceOptions;
use super::measuring::Measuring;
use super::plan::plan;
use super::trust::Trust;
use crate::error::Result;
use crate::manifest;
use crate::script::{self, HostOptions, check_experiment, run_builtin};
use crate::terminal;
use clap::Args;
use std::path::PathBuf;

/// The built-in script that does what an experiment asks for.
const SCRIPT: &str = "experiment";

/// Run an experiment: a target of a YAML manifest
#[derive(Debug, Args)]
#[command(after_help = presets())]
pub struct Run {
    /// The manifest, or the name of a preset
    manifest: PathBuf,
    /// The target to run [default: the manifest's default, or its only target]
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Check the manifest and say what would be done, but do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    measuring: Measuring,
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    trust: Trust,
}

fn presets() -> String {
    let names = manifest::PRESETS.iter().map(|(name, _)| format!("  {name}\n")).collect::<String>();
    format!("Presets:\n{names}\n`caramba check MANIFEST` checks every target.")
}

impl Run {
    /// Returns the exit status: a benchmark's script may ask for one.
    pub fn run(self) -> Result<u8> {
        if script::is_suite(&self.manifest) {
            if self.dry_run {
                return script::check_yaml(&self.manifest).first_error().map(|()| 0);
            }
            return script::run_file(&self.manifest, &self.measuring.options(self.device.choice()));
        }
        let experiment = manifest::open(&self.manifest)?.experiment(self.target.as_deref())?;
        if !experiment.ignored.is_empty() {
            terminal::note(&format!("ignored, for they change no benchmark: {}", experiment.ignored.join(", ")));
        }
        if self.dry_run {
            terminal::print(&plan(&experiment))?;
            return check_experiment(&experiment, self.measuring.dtype()).map(|()| 0);
        }
        let (grants, limits) = (self.trust.grants(), self.trust.limits());
        run_builtin(SCRIPT, &HostOptions { experiment: Some(experiment), grants, limits, ..self.measuring.options(self.device.choice()) })
    }
}
