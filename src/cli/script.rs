//! `caramba script`: a Rhai script is run.

use super::measuring::Measuring;
use super::trust::Trust;
use crate::error::Result;
use crate::gpu::DeviceChoice;
use crate::script::{self, HostOptions};
use crate::terminal;
use clap::Args;
use std::path::PathBuf;

/// Run a script: a .rhai file, or a built-in one by its name
#[derive(Debug, Args)]
#[command(after_help = after_help())]
pub struct Script {
    /// The script; a file of a built-in script's name wins over it
    file: PathBuf,
    /// A value for the script's `args.KEY`, read like a value in YAML
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
    /// Say what the script does and which values it takes, but don't run it
    #[arg(long)]
    describe: bool,
    /// What the script finds in `args.rest`
    #[arg(last = true)]
    args: Vec<String>,
    #[command(flatten)]
    measuring: Measuring,
    #[command(flatten)]
    trust: Trust,
}

impl Script {
    /// Returns the exit status that the script asks for.
    pub fn run(self, device: DeviceChoice) -> Result<u8> {
        if self.describe {
            return terminal::print_line(script::describe(&self.file)?.trim_end()).map(|()| 0);
        }
        let (grants, limits) = (self.trust.grants(), self.trust.limits());
        let options = HostOptions { set: self.set, args: self.args, grants, limits, ..self.measuring.options(device) };
        script::run_file(&self.file, &options)
    }
}

fn after_help() -> String {
    let examples = "\
Examples:
  caramba script full_paper.rhai
  caramba script upcycle.rhai --set teacher=models/Llama-3.2-1B --set sem_dim=128
  caramba script mine.rhai --set lengths='[128, 512]' -- first second";
    let names = script::built_in_scripts().collect::<Vec<_>>();
    if names.is_empty() { examples.to_string() } else { format!("Built-in scripts: {}\n\n{examples}", names.join(", ")) }
}

fn key_and_value(typed: &str) -> Result<(String, String), String> {
    match typed.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_string(), value.to_string())),
        _ => Err("write key=value".to_string()),
    }
}
