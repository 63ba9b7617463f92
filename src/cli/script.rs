//! `caramba script`: a Rhai script is run.

use super::device::DeviceOptions;
use super::measuring::Measuring;
use super::trust::Trust;
use crate::error::Result;
use crate::script::{self, Description, HostOptions};
use crate::terminal;
use clap::Args;
use std::path::PathBuf;

/// Run a script: a .rhai file, or a built-in one by its name
#[derive(Debug, Args)]
#[command(after_help = after_help())]
pub struct Script {
    /// The script; a file of a built-in script's name wins over it; `-` reads standard input
    #[arg(required_unless_present = "eval")]
    file: Option<PathBuf>,
    /// Run this code in place of a file
    #[arg(long, short, value_name = "CODE", conflicts_with = "file")]
    eval: Option<String>,
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
    device: DeviceOptions,
    #[command(flatten)]
    trust: Trust,
}

impl Script {
    /// Returns the exit status that the script asks for.
    pub fn run(self) -> Result<u8> {
        let (grants, limits) = (self.trust.grants(), self.trust.limits());
        let options = HostOptions { set: self.set, args: self.args, grants, limits, ..self.measuring.options(self.device.choice()) };
        match (self.eval, self.file) {
            (Some(code), _) => script::run_code(code, &options),
            (None, Some(file)) if self.describe => terminal::print(&script::describe(&file)?.to_string()).map(|()| 0),
            (None, Some(file)) => script::run_file(&file, &options),
            (None, None) => Ok(0),
        }
    }

    /// The help of the script that was named: what it does, its own parameters, and the options of this verb.
    pub fn help(&self) -> Option<Result<String>> {
        let file = self.file.as_ref().filter(|file| file.as_os_str() != "-")?;
        Some(script::describe(file).map(|described| help_of(&file.display().to_string(), &described)))
    }
}

fn help_of(file: &str, described: &Description) -> String {
    let mut command = super::command();
    command.build();
    let Some(verb) = command.find_subcommand("script") else { return described.to_string() };
    verb.clone()
        .mut_arg("file", |argument| argument.hide(true))
        .mut_arg("eval", |argument| argument.hide(true))
        .override_usage(format!("caramba script {file} [--set NAME=VALUE]... [OPTIONS] [-- ARGS...]"))
        .help_template("{before-help}{usage-heading} {usage}\n\n{all-args}")
        .before_help(described.to_string())
        .render_help()
        .ansi()
        .to_string()
}

fn after_help() -> String {
    let examples = "\
Examples:
  caramba script full_paper.rhai
  caramba script mine.rhai --help                     the parameters of that script
  caramba script upcycle.rhai --set teacher=models/Llama-3.2-1B --set sem_dim=128
  caramba script mine.rhai --set lengths='[128, 512]' -- first second
  caramba -e 'print(device().name)'";
    let names = script::built_in_scripts().collect::<Vec<_>>();
    if names.is_empty() { examples.to_string() } else { format!("Built-in scripts: {}\n\n{examples}", names.join(", ")) }
}

pub fn key_and_value(typed: &str) -> Result<(String, String), String> {
    match typed.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_string(), value.to_string())),
        _ => Err("write key=value".to_string()),
    }
}
