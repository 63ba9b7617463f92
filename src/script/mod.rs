//! The Rhai host: the engine and its limits, and one module for each thing a script can hold.

mod bundle;
mod catalog;
mod charts;
mod check;
mod clock;
mod dataset;
mod device;
mod directory;
mod documentation;
mod engine;
mod failure;
mod files;
mod host;
mod language;
mod matrix;
mod model;
mod modules;
mod numbers;
mod packed;
mod pairs;
mod parameters;
mod progress;
mod report;
mod session;
mod statistics;
mod text;
mod token_file;
mod tokens;
mod values;
mod weights;

#[cfg(test)]
mod tests;

pub use bundle::{find_model, is_bundled};
pub use documentation::{documentation, write_definitions};

use crate::error::{Error, Result, unknown};
use crate::gpu::DeviceChoice;
use crate::manifest::Experiment;
use crate::{interrupt, terminal};
use host::Host;
pub use host::open_device;
use modules::Script;
use parameters::Parameters;
use rhai::{AST, Dynamic, Engine, EvalAltResult, Map, Stmt};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What the command line knows that a script may ask for.
#[derive(Debug, Clone, Default)]
pub struct HostOptions {
    /// The adapter that `device()` and `load()` open, when they open one.
    pub device: DeviceChoice,
    /// `--set key=value`, in order; a script reads them as `args.key`, typed like YAML scalars.
    pub set: Vec<(String, String)>,
    /// What came after `--`: a script reads it as `args.rest`.
    pub args: Vec<String>,
    /// The target of a manifest, for the script that runs it (`experiment.rhai`).
    pub experiment: Option<Experiment>,
}

/// Runs the script at `path`; where there is no such file, the built-in script of that name. Returns the exit status that it asks for: 0, or
/// what it gave to `exit`.
///
/// # Errors
/// What went wrong, as `file:line:column: message` with the source line below it.
pub fn run_file(path: &Path, options: &HostOptions) -> Result<u8> {
    let script = open(path)?;
    let directory = path.is_file().then(|| path.parent().map(Path::to_path_buf).unwrap_or_default());
    on_script_thread(script, directory, options, Run::run)
}

/// Runs the built-in script `name` (`full_paper`, `experiment`, ...). Returns as [`run_file`].
///
/// # Errors
/// As [`run_file`]; an unknown name.
pub fn run_builtin(name: &str, options: &HostOptions) -> Result<u8> {
    on_script_thread(Script::built_in(name)?, None, options, Run::run)
}

/// Checks the script at `path` without running it: syntax, names of functions and modules, and those of the scripts that it imports.
///
/// # Errors
/// The first mistake, with its place.
pub fn check_file(path: &Path) -> Result<()> {
    let directory = path.parent().map(Path::to_path_buf);
    on_script_thread(open(path)?, directory, &HostOptions::default(), Run::check)
}

/// What a script says of itself: its first comment, and its parameters with their defaults.
///
/// # Errors
/// No such script; a mistake in it.
pub fn describe(path: &Path) -> Result<String> {
    on_script_thread(open(path)?, path.parent().map(Path::to_path_buf), &HostOptions::default(), Run::describe)
}

/// Checks the scripts of an experiment's benchmarks and checks, and their parameters, without running anything.
///
/// # Errors
/// The first mistake, with its place in the manifest (or in the script).
pub fn check_experiment(experiment: &Experiment) -> Result<()> {
    let text = "let target = experiment();\nfor entry in target.benchmarks { experiment_benchmark(entry.id); }\nfor (entry, index) in target.verify { experiment_check(index); }\n";
    let script = Script { name: "experiment".to_owned(), text: text.to_owned() };
    on_script_thread(script, None, &HostOptions { experiment: Some(experiment.clone()), ..HostOptions::default() }, Run::run).map(|_| ())
}

/// The names of the built-in scripts.
pub fn built_in_scripts() -> impl Iterator<Item = &'static str> {
    modules::built_in_names()
}

fn open(path: &Path) -> Result<Script> {
    if !path.exists()
        && let Some(name) = path.file_name().and_then(|name| name.to_str())
        && let Ok(script) = Script::built_in(name.strip_suffix(".rhai").unwrap_or(name))
    {
        return Ok(script);
    }
    if path.is_dir() {
        return Err(Error::new("this is a directory, expected a Rhai script").at(path.display()));
    }
    if !path.exists() {
        let shown = path.display().to_string();
        // A name alone may be a misspelt built-in script, a path is none.
        if path.components().count() == 1 {
            let error = unknown("script", shown.trim_end_matches(".rhai"), modules::built_in_names());
            return Err(Error::new(format!("there is no script `{shown}`"))
                .remedy(error.help().unwrap_or_default().replace("known are", "built in are")));
        }
        return Err(Error::new("there is no such script").at(shown).remedy("check the path; it is relative to the current directory"));
    }
    Script::file(path)
}

/// Deep calls need a deep stack: scripts run on a thread of their own.
fn on_script_thread<T: Send + 'static>(
    script: Script,
    directory: Option<PathBuf>,
    options: &HostOptions,
    work: fn(Run) -> Result<T>,
) -> Result<T> {
    let options = options.clone();
    let thread = std::thread::Builder::new().name("script".to_owned()).stack_size(engine::STACK_BYTES);
    let running = thread.spawn(move || work(Run::new(script, directory, options))).map_err(|error| {
        Error::new(format!("cannot start a thread for the script: {error}")).remedy("free some memory, or raise the limit of threads")
    })?;
    match running.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Whether a script is a benchmark and nothing else: `run(model, config)`, and at its top only declarations.
fn is_benchmark(ast: &AST) -> bool {
    ast.iter_functions().any(|function| function.name == "run" && function.params.len() == 2) && ast.statements().iter().all(is_declaration)
}

fn is_declaration(statement: &Stmt) -> bool {
    matches!(statement, Stmt::Var(..) | Stmt::Import(..) | Stmt::Export(..) | Stmt::Noop(..))
}

/// One script, its engine, and its host.
struct Run {
    script: Script,
    host: Rc<Host>,
    engine: Engine,
}

impl Run {
    fn new(script: Script, directory: Option<PathBuf>, options: HostOptions) -> Run {
        let host = Host::new(options, script.name.clone(), directory);
        let engine = engine::engine(&host);
        Run { script, host, engine }
    }

    #[allow(clippy::boxed_local, reason = "it comes in the box that rhai puts every error in")]
    fn report(&self, error: Box<EvalAltResult>) -> Error {
        report::report(&self.engine, &self.host, &self.script.name, *error)
    }

    fn compile(&self) -> Result<(AST, Option<Parameters>)> {
        let compile = || {
            let ast = self.script.compile(&self.engine, &self.host)?;
            check::check_deeply(&self.engine, &self.host, &ast, &mut BTreeSet::new())?;
            let parameters = Parameters::of(&self.engine, &ast, &self.script.text)?;
            Ok((ast, parameters))
        };
        compile().map_err(|error| self.report(error))
    }

    fn check(self) -> Result<()> {
        self.compile().map(|_| ())
    }

    fn describe(self) -> Result<String> {
        let (_, parameters) = self.compile()?;
        let lines = self.script.text.lines().map(str::trim_start);
        let comment: Vec<&str> = lines.take_while(|line| line.starts_with("//")).map(|line| line.trim_start_matches('/').trim()).collect();
        let listing = match parameters {
            Some(parameters) => format!("parameters, given with --set name=value:\n{}", parameters.listing()),
            None => "It declares no parameters.\n".to_owned(),
        };
        Ok(if comment.is_empty() { listing } else { format!("{}\n\n{listing}", comment.join("\n")) })
    }

    fn run(mut self) -> Result<u8> {
        let (mut ast, parameters) = self.compile()?;
        if !is_benchmark(&ast) && ast.iter_functions().next().is_some() && ast.statements().iter().all(is_declaration) {
            terminal::note(&format!("{} declares functions and does nothing by itself: other scripts import it", self.script.name));
        }
        let mut arguments = if is_benchmark(&ast) {
            let arguments = self.measured(parameters.as_ref())?;
            ast = self.compile()?.0;
            arguments
        } else {
            let set = &self.host.options.set;
            let arguments = match &parameters {
                Some(parameters) => parameters.complete_from_text(set),
                None => parameters::untyped(set),
            };
            arguments.map_err(|error| error.at(&self.script.name))?
        };
        let rest = self.host.options.args.iter().map(|argument| argument.as_str().into()).collect();
        arguments.insert("rest".into(), Dynamic::from_array(rest));
        engine::set_arguments(&mut self.engine, arguments);
        let ended = self.engine.run_ast(&ast);
        self.finish(ended)
    }

    /// A benchmark by itself is run by the built-in script `measure`: takes that script's place, and returns its arguments.
    fn measured(&mut self, parameters: Option<&Parameters>) -> Result<Map> {
        let benchmark = std::mem::replace(&mut self.script, Script::built_in("measure")?);
        let (_, measure) = self.compile()?;
        let declares = |parameters: Option<&Parameters>, name: &str| parameters.is_some_and(|declared| declared.has(name));
        let all = self.host.options.set.iter().cloned();
        // What the benchmark declares is its own; the rest is for `measure`, or is misspelt.
        let (own, others): (Vec<_>, Vec<_>) = all.partition(|(name, _)| {
            declares(parameters, name) || !declares(measure.as_ref(), name) || name == "script" || name == "parameters"
        });
        let place = |error: Error| error.at(&benchmark.name);
        let own = match parameters {
            Some(parameters) => parameters.complete_from_text(&own),
            None => parameters::untyped(&own),
        };
        let mut arguments = match &measure {
            Some(measure) => measure.complete_from_text(&[others, vec![("script".to_owned(), benchmark.name.clone())]].concat()),
            None => Ok(Map::new()),
        }
        .map_err(place)?;
        arguments.insert("parameters".into(), own.map_err(place)?.into());
        Ok(arguments)
    }

    /// Rows of runs that are still open stay, and the error says where.
    fn finish(self, ended: std::result::Result<(), Box<EvalAltResult>>) -> Result<u8> {
        let (ended, reason) = match (ended, self.host.exit.get()) {
            // `exit` ends a script as an error would, from however deep.
            (Err(_), Some(status)) => (Ok(status), Error::new(format!("the script ended itself with exit({status})"))),
            (Err(error), None) => {
                // Where Ctrl-C met the script is of no interest.
                let error = interrupt::check().err().unwrap_or_else(|| self.report(error));
                (Err(error.clone()), error)
            }
            (Ok(()), _) => return self.host.lost_output().map_or(Ok(0), Err),
        };
        for sentence in self.host.fail_runs(&reason) {
            terminal::note(&sentence);
        }
        ended
    }
}
