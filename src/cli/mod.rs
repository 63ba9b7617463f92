//! The command line: one verb a file. Arguments are read in two stages: what was typed (clap), then what it means (each verb's `run`).

mod api;
mod check;
mod columns;
mod compare;
mod completions;
mod dataset;
mod defs;
mod describe;
mod device;
mod devices;
mod docs;
#[cfg(test)]
mod examples;
mod generate;
mod inspect;
mod man;
mod measuring;
mod merge;
mod model;
mod new;
mod plan;
mod repl;
mod report;
mod run;
mod schema;
mod script;
mod short;
mod show;
mod slurm;
pub mod tokenize;
mod trust;

use crate::error::Result;
use crate::quant::CacheKinds;
use crate::terminal::Verbosity;
use crate::{interrupt, manifest, terminal};
use clap::builder::styling::{AnsiColor, Effects, Styles};
use clap::{CommandFactory, Parser, Subcommand};
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
  caramba new mine                                    a benchmark of your own: mine.rhai, mine.yml
  caramba docs prefill                                what a function does, or what there is
  caramba run experiment.yml --dry-run                what an experiment would do
  caramba generate model.gguf \"The sea was\"           text, as it is made
  caramba inspect model.gguf                          what is in a model, and what its cache costs

`caramba MANIFEST.yml` is short for `caramba run MANIFEST.yml`, `caramba SCRIPT.rhai` for `caramba script SCRIPT.rhai`.
`caramba -` runs a script from standard input, `caramba -e CODE` one from the command line.
Results go to standard output, everything else to standard error.

Exit status:
  0    success
  1    a mistake, or a failure
  2    a wrong command line
  3    a threshold or a check failed
  4    not everything could be measured
  130  Ctrl-C (143: a plain kill)

Environment:
  CARAMBA_DEVICE, CARAMBA_BACKEND, CARAMBA_KERNELS, CARAMBA_OUTPUT
                 the options of these names, where they are not given
  CARAMBA_CACHE  where bundled models, measured kernels and the history of `caramba repl` are kept
  NO_COLOR       text without colours";

/// Turns a research idea about attention into a paper's evidence, on any GPU.
#[derive(Debug, Parser)]
#[command(name = "caramba", version, styles = STYLES, max_term_width = 110, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Cli {
    /// Say nothing in passing: no notes, no progress; warnings and errors stay
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more in passing: files that are read, the device that is opened, times
    #[arg(long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Script(script::Script),
    Run(run::Run),
    New(new::New),
    Check(check::Check),
    Docs(docs::Docs),
    Show(show::Show),
    Repl(repl::Repl),
    Report(report::Report),
    Compare(compare::Compare),
    Merge(merge::Merge),
    Slurm(slurm::Slurm),
    Generate(generate::Generate),
    Devices(devices::Devices),
    Inspect(inspect::Inspect),
    Tokenize(tokenize::Tokenize),
    Defs(defs::Defs),
    Schema(schema::Schema),
    Completions(completions::Completions),
    Man(man::Man),
    Api(api::Api),
}

/// Everything that can be typed.
fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    interrupt::install();
    let typed = short::with_verb(std::env::args_os().collect(), &command());
    let cli = match Cli::try_parse_from(&typed) {
        Ok(cli) => cli,
        Err(message) => return told(&message, &typed),
    };
    ExitCode::from(status(cli.run()))
}

/// `--help` and `--version` are such messages too. Nobody reading them is no error.
fn told(message: &clap::Error, typed: &[OsString]) -> ExitCode {
    if message.kind() == clap::error::ErrorKind::DisplayHelp
        && let Some(help) = help_of_script(typed)
    {
        return ExitCode::from(status(help.and_then(|text| terminal::print_styled(&text)).map(|()| SUCCESS)));
    }
    let _ = message.print();
    ExitCode::from(if message.use_stderr() { USAGE } else { SUCCESS })
}

/// `caramba script mine.rhai --help` is about that script.
fn help_of_script(typed: &[OsString]) -> Option<Result<String>> {
    let end = typed.iter().position(|word| word == "--").unwrap_or(typed.len());
    let others = typed[..end].iter().filter(|word| *word != "--help" && *word != "-h");
    match Cli::try_parse_from(others).ok()?.verb? {
        Verb::Script(verb) => verb.help(),
        _ => None,
    }
}

fn status(result: Result<u8>) -> u8 {
    match result {
        _ if terminal::closed() => SUCCESS,
        Ok(status) => status,
        Err(error) => {
            terminal::show_error(&error);
            if interrupt::requested() { interrupt::status() } else { FAILURE }
        }
    }
}

impl Cli {
    /// Returns the exit status: a script may ask for one.
    fn run(self) -> Result<u8> {
        terminal::set_verbosity(match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        });
        match self.verb {
            Some(Verb::Script(verb)) => return verb.run(),
            Some(Verb::Run(verb)) => return verb.run(),
            Some(Verb::Check(verb)) => return verb.run(),
            Some(Verb::Repl(verb)) => return verb.run(),
            Some(Verb::Report(verb)) => return verb.run(),
            Some(Verb::Compare(verb)) => return verb.run(),
            Some(Verb::Merge(verb)) => return verb.run(),
            Some(Verb::Slurm(verb)) => verb.run(),
            // With colour where there is a terminal, without elsewhere.
            None => terminal::print_styled(&command().render_help().ansi().to_string()),
            Some(Verb::New(verb)) => verb.run(),
            Some(Verb::Docs(verb)) => verb.run(),
            Some(Verb::Show(verb)) => verb.run(),
            Some(Verb::Generate(verb)) => verb.run(),
            Some(Verb::Devices(verb)) => verb.run(),
            Some(Verb::Inspect(verb)) => verb.run(),
            Some(Verb::Tokenize(verb)) => verb.run(),
            Some(Verb::Defs(verb)) => verb.run(),
            Some(Verb::Schema(verb)) => verb.run(),
            Some(Verb::Completions(verb)) => verb.run(),
            Some(Verb::Man(verb)) => verb.run(),
            Some(Verb::Api(verb)) => verb.run(),
        }
        .map(|()| SUCCESS)
    }
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
        command().debug_assert();
    }
}
