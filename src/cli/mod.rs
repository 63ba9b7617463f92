//! The command line: one verb a file. Arguments are read in two stages: what was typed (clap), then what it means (each verb's `run`).

mod api;
mod check;
mod columns;
mod compare;
mod describe;
mod devices;
mod generate;
mod inspect;
mod measuring;
mod merge;
mod model;
mod plan;
mod report;
mod run;
mod script;
mod slurm;
mod tokenize;
mod trust;

use crate::error::Result;
use crate::gpu::{DeviceChoice, Tuning};
use crate::quant::CacheKinds;
use crate::{interrupt, manifest, terminal};
use clap::builder::styling::{AnsiColor, Effects, Styles};
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Nothing went wrong, or only the reader of the output has gone.
const SUCCESS: u8 = 0;
const FAILURE: u8 = 1;
const USAGE: u8 = 2;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .usage(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .literal(AnsiColor::Cyan.on_default().effects(Effects::BOLD))
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  caramba script full_paper.rhai                      a paper's tables and charts from the bundled models
  caramba run experiment.yml --dry-run                what an experiment would do
  caramba generate model.gguf \"The sea was\"           text, as it is made
  caramba inspect model.gguf                          what is in a model, and what its cache costs

`caramba MANIFEST.yml` is short for `caramba run MANIFEST.yml`. Results go to standard output, everything else to standard error.

Exit status:
  0    success
  1    a mistake, or a failure
  2    a wrong command line
  3    a threshold or a check failed
  4    not everything could be measured
  130  Ctrl-C (143: a plain kill)";

/// Turns a research idea about attention into a paper's evidence, on any GPU.
#[derive(Debug, Parser)]
#[command(name = "caramba", version, styles = STYLES, max_term_width = 110, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Device")]
struct DeviceOptions {
    /// The adapter to use: a part of its name, or its number in `caramba devices`
    #[arg(long, global = true, value_name = "NAME|NUMBER")]
    device: Option<String>,
    /// The graphics API to reach it by
    #[arg(long, global = true, value_parser = ["vulkan", "metal", "dx12", "gl"])]
    backend: Option<String>,
    /// How kernels are chosen: auto (as measured once), rule, measure (again, now), or a file that says it
    #[arg(long, global = true, value_name = "CHOICE", default_value = "auto", hide_default_value = true)]
    kernels: String,
}

impl DeviceOptions {
    fn choice(self) -> DeviceChoice {
        let tuning = match self.kernels.as_str() {
            "auto" => Tuning::Auto,
            "rule" => Tuning::Rule,
            "measure" => Tuning::Measure,
            path => Tuning::File(path.into()),
        };
        DeviceChoice { device: self.device, backend: self.backend, tuning, ..DeviceChoice::default() }
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    Script(script::Script),
    Run(run::Run),
    Report(report::Report),
    Compare(compare::Compare),
    Merge(merge::Merge),
    Slurm(slurm::Slurm),
    Generate(generate::Generate),
    Devices(devices::Devices),
    Inspect(inspect::Inspect),
    Tokenize(tokenize::Tokenize),
    Check(check::Check),
    Api(api::Api),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    interrupt::install();
    let typed: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(with_verb(typed)) {
        Ok(cli) => cli,
        Err(message) => {
            // `--help` and `--version` are such messages too. Nobody reading them is no error.
            let _ = message.print();
            return ExitCode::from(if message.use_stderr() { USAGE } else { SUCCESS });
        }
    };
    ExitCode::from(match cli.run() {
        _ if terminal::closed() => SUCCESS,
        Ok(status) => status,
        Err(error) => {
            terminal::show_error(&error);
            if interrupt::requested() { interrupt::status() } else { FAILURE }
        }
    })
}

impl Cli {
    /// Returns the exit status: a script may ask for one.
    fn run(self) -> Result<u8> {
        let device = self.device.choice();
        match self.verb {
            Some(Verb::Script(verb)) => return verb.run(device),
            Some(Verb::Run(verb)) => return verb.run(device),
            Some(Verb::Report(verb)) => return verb.run(),
            Some(Verb::Compare(verb)) => return verb.run(),
            Some(Verb::Merge(verb)) => return verb.run(),
            Some(Verb::Slurm(verb)) => verb.run(),
            // With colour where there is a terminal, without elsewhere.
            None => terminal::print_styled(&Cli::command().render_help().ansi().to_string()),
            Some(Verb::Generate(verb)) => verb.run(&device),
            Some(Verb::Devices(verb)) => verb.run(&device),
            Some(Verb::Inspect(verb)) => verb.run(),
            Some(Verb::Tokenize(verb)) => verb.run(),
            Some(Verb::Check(verb)) => verb.run(),
            Some(Verb::Api(verb)) => verb.run(),
        }
        .map(|()| SUCCESS)
    }
}

/// `caramba paper.yml --target paper` means `caramba run paper.yml --target paper`: when the first argument that is no option (nor an
/// option's value) is no verb but a manifest or a preset, `run` is put in.
fn with_verb(mut typed: Vec<OsString>) -> Vec<OsString> {
    let command = Cli::command();
    let takes_value = |option: &str| {
        let verbs = ["run", "script"].into_iter().filter_map(|verb| command.find_subcommand(verb));
        command.get_arguments().chain(verbs.flat_map(clap::Command::get_arguments)).any(|argument| {
            argument.get_long().is_some_and(|long| option.strip_prefix("--") == Some(long)) && argument.get_action().takes_values()
        })
    };
    let mut words = typed.iter().skip(1);
    let first = loop {
        match words.next().map(|word| word.to_string_lossy()) {
            None => return typed,
            Some(word) if word == "--" => return typed,
            Some(word) if takes_value(&word) => _ = words.next(),
            Some(word) if word.starts_with('-') => {}
            Some(word) => break word.into_owned(),
        }
    };
    if command.find_subcommand(&first).is_none() && is_manifest(&first) {
        // The cases of a benchmark are measured as a script is: `--set model=PATH` says by which model.
        typed.insert(1, if crate::script::is_suite(Path::new(&first)) { "script".into() } else { "run".into() });
    }
    typed
}

/// By its name: whether it can be read is said later.
fn is_manifest(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "yml" || extension == "yaml")
        || manifest::PRESETS.iter().any(|(preset, _)| *preset == name)
}

/// Texts as a list in YAML, which is what `args` of a script are read from.
fn list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("'{}'", text.replace('\'', "''"))).collect();
    format!("[{}]", quoted.join(", "))
}

/// A cache kind's name, or those for keys and values.
fn cache_kinds(typed: &str) -> Result<CacheKinds, String> {
    CacheKinds::parse(typed).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_manifest_alone_is_run() {
        let meant = |typed: &str| {
            let words = with_verb(typed.split(' ').map(OsString::from).collect());
            words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(meant("caramba a.yml --target paper"), "caramba run a.yml --target paper");
        assert_eq!(meant("caramba --target paper a.yaml"), "caramba run --target paper a.yaml");
        assert_eq!(meant("caramba --device 0 --dry-run full_paper"), "caramba run --device 0 --dry-run full_paper");
        for untouched in
            ["caramba", "caramba run a.yml", "caramba --device a.yml devices", "caramba x", "caramba -- a.yml", "caramba check a.yml"]
        {
            assert_eq!(meant(untouched), untouched);
        }
    }
}
