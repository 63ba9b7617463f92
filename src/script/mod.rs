//! The Rhai host: the engine and its limits, and one module for each thing a script can hold.

mod arrays;
mod attention;
mod benchmark;
mod bundle;
mod calibration;
mod cases;
mod catalog;
mod caught;
mod cells;
mod charts;
mod check;
mod clock;
mod closure;
mod continuation;
mod dataset;
mod dates;
mod described;
mod device;
mod directory;
mod divergence;
mod document;
mod documentation;
mod engine;
mod failure;
mod files;
mod format;
mod generation;
mod habits;
mod hints;
mod host;
mod interactive;
mod language;
mod layer_store;
mod look;
mod matrix;
mod meter;
mod model;
mod model_file;
mod modules;
mod npy;
mod numbers;
mod packed;
mod pairs;
mod parameters;
mod parquet;
mod permissions;
mod plain;
mod progress;
mod random;
mod reference;
mod report;
mod rewrite;
mod schema;
mod session;
mod share;
mod sidecar;
mod statistics;
mod tables;
mod text;
mod thresholds;
mod token_dataset;
mod token_file;
mod tokens;
mod topics;
mod types;
mod values;
mod weights;

#[cfg(test)]
mod tests;

pub use attention::Reference;
pub use bundle::{find_model, is_bundled};
pub use cases::is_suite;
pub use documentation::{documentation, write_definitions};
pub use interactive::{Interactive, Reply};
pub use permissions::Grants;
pub use reference::{Entry, reference};
pub use schema::{REPORT_SCHEMA, benchmark_schema, manifest_schema};
pub use token_dataset::{Dtype, TokenDataset, is_pattern, token_count};

use crate::error::{Error, Result, unknown};
use crate::gpu::DeviceChoice;
use crate::limits::Limits;
use crate::manifest::{self, Experiment};
use crate::{interrupt, terminal};
use check::Findings;
use host::Host;
pub use host::open_device;
use modules::{Declared, Script};
use parameters::Parameters;
use rhai::{AST, Dynamic, Engine, EvalAltResult, Map, Stmt};
pub use sidecar::Sidecar;
use std::cell::RefCell;
use std::fmt;
use std::io::Read;
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
    /// What the script is run for.
    pub purpose: Purpose,
    /// The directory of a run that is gone on with: its cells are not measured again.
    pub resume: Option<PathBuf>,
    /// Measure only this share of the cells.
    pub shard: Option<Shard>,
    /// How token ids are stored in files that don't say it (`uint16`).
    pub dtype: Option<String>,
    /// The directory above a run's, in place of the one that its script gives.
    pub output: Option<PathBuf>,
    /// What the script may do beyond the usual.
    pub grants: Grants,
    /// How much it may take.
    pub limits: Limits,
    /// The command line, for whoever has to type it again.
    pub command: Vec<String>,
}

/// What a script is run for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Purpose {
    /// To measure.
    #[default]
    Run,
    /// To find mistakes: nothing is measured, written or started.
    Check,
    /// To list its cells, and nothing else; `json` for programs.
    Cells { json: bool },
}

/// The share `index` of `of`, from 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    pub index: usize,
    pub of: usize,
}

impl std::str::FromStr for Shard {
    type Err = String;

    /// `2/3`
    fn from_str(text: &str) -> std::result::Result<Shard, String> {
        let parts = text.split_once('/').map(|(index, of)| (index.trim().parse(), of.trim().parse()));
        match parts {
            Some((Ok(index), Ok(of))) if 1 <= index && index <= of => Ok(Shard { index, of }),
            _ => Err("write i/n with i from 1 to n, such as 2/3".to_owned()),
        }
    }
}

/// Runs the script at `path`; where there is no such file, the built-in script of that name; of a benchmark in YAML its cases. Returns the exit status that it asks for: 0, or
/// what it gave to `exit`.
///
/// # Errors
/// What went wrong, as `file:line:column: message` with the source line below it.
pub fn run_file(path: &Path, options: &HostOptions) -> Result<u8> {
    if is_suite(path) {
        return cases::run(path, options);
    }
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

/// Runs a script that was typed. Returns as [`run_file`].
///
/// # Errors
/// As [`run_file`].
pub fn run_code(code: String, options: &HostOptions) -> Result<u8> {
    on_script_thread(Script { name: "-e".to_owned(), text: code }, Some(PathBuf::new()), options, Run::run)
}

/// What a check has found.
#[derive(Debug, Default)]
pub struct Checked {
    pub errors: Vec<Error>,
    /// What is probably not meant.
    pub warnings: Vec<Error>,
    /// What was looked at, where there is more to say than a file's name.
    pub about: String,
}

impl Checked {
    /// The first mistake, if there is one.
    ///
    /// # Errors
    /// That mistake.
    pub fn first_error(self) -> Result<()> {
        self.errors.into_iter().next().map_or(Ok(()), Err)
    }
}

impl From<Error> for Checked {
    fn from(error: Error) -> Checked {
        Checked { errors: vec![error], ..Checked::default() }
    }
}

/// Checks the script at `path` without running it: syntax; names, arguments and options of functions; parameters; and the scripts that it imports.
pub fn check_file(path: &Path) -> Checked {
    let directory = path.parent().map(Path::to_path_buf);
    let options = HostOptions { purpose: Purpose::Check, ..HostOptions::default() };
    let checked = open(path).and_then(|script| on_script_thread(script, directory, &options, Run::check));
    checked.unwrap_or_else(Checked::from)
}

/// Checks every target of the manifest at `path`, or the cases of a benchmark of prompts. Nothing is run, and no device is opened.
pub fn check_yaml(path: &Path) -> Checked {
    let checked = if is_suite(path) { cases::check(path).map(|()| Checked::default()) } else { check_manifest(path) };
    match checked {
        Ok(checked) => checked,
        Err(error) => error.into(),
    }
}

fn check_manifest(path: &Path) -> Result<Checked> {
    let manifest = manifest::open(path)?;
    let mut checked = Checked::default();
    let mut names = Vec::new();
    for (name, _) in manifest.targets()?.into_iter().filter(|(_, kind)| *kind == "experiment") {
        match manifest.experiment(Some(name)).and_then(|experiment| check_experiment(&experiment, None)) {
            Ok(()) => names.push(name),
            // Targets that share what is wrong say it once.
            Err(error) if checked.errors.contains(&error) => {}
            Err(error) => checked.errors.push(error),
        }
    }
    checked.about = match names.as_slice() {
        [] => ", but no target of type `experiment`".to_owned(),
        [only] => format!(" in the target {only}"),
        several => format!(" in the targets {}", several.join(", ")),
    };
    Ok(checked)
}

/// What a script says of itself.
#[derive(Debug)]
pub struct Description {
    /// Its first comment.
    about: String,
    /// A line for each parameter.
    parameters: Option<String>,
    /// What else may be given, since a benchmark is run by `measure`.
    measured: Option<String>,
}

impl Description {
    /// Without what every benchmark takes.
    fn without_measured(self) -> Description {
        Description { measured: None, ..self }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.about.is_empty() {
            writeln!(f, "{}\n", self.about)?;
        }
        match &self.parameters {
            Some(parameters) => write!(f, "parameters, given with --set name=value:\n{parameters}")?,
            None => writeln!(f, "It declares no parameters.")?,
        }
        match &self.measured {
            Some(measured) => write!(f, "\nof every benchmark that is run by itself:\n{measured}"),
            None => Ok(()),
        }
    }
}

/// What the script at `path` says of itself: its first comment, and its parameters with their defaults.
///
/// # Errors
/// No such script; a mistake in it.
pub fn describe(path: &Path) -> Result<Description> {
    let options = HostOptions { purpose: Purpose::Check, ..HostOptions::default() };
    if is_suite(path) {
        return cases::describe(&options);
    }
    on_script_thread(open(path)?, path.parent().map(Path::to_path_buf), &options, Run::describe)
}

/// Checks all that can be known to be wrong of an experiment: the scripts of its benchmarks and checks, their parameters, cells and datasets, its
/// models and thresholds. Nothing is measured, written or started.
///
/// # Errors
/// The first mistake, with its place in the manifest (or in the script).
pub fn check_experiment(experiment: &Experiment, dtype: Option<&str>) -> Result<()> {
    let dtype = dtype.map(str::to_owned);
    let options = HostOptions { experiment: Some(experiment.clone()), purpose: Purpose::Check, dtype, ..HostOptions::default() };
    run_builtin("experiment", &options).map(|_| ())
}

/// The names of the built-in scripts.
pub fn built_in_scripts() -> impl Iterator<Item = &'static str> {
    modules::built_in_names()
}

fn open(path: &Path) -> Result<Script> {
    if path == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().lock().read_to_string(&mut text);
        return match read {
            Ok(_) => Ok(Script { name: "standard input".to_owned(), text }),
            Err(error) => Err(Error::from(error).at("standard input")),
        };
    }
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
    work: impl FnOnce(Run) -> Result<T> + Send + 'static,
) -> Result<T> {
    let options = options.clone();
    options.limits.apply();
    let thread = std::thread::Builder::new().name("script".to_owned()).stack_size(engine::STACK_BYTES);
    let running = thread.spawn(move || work(Run::new(script, directory, options))).map_err(|error| {
        Error::new(format!("cannot start a thread for the script: {error}")).remedy("free some memory, or raise the limit of threads")
    })?;
    match running.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Whether a script is a benchmark and nothing else: it says how something is measured, and has only declarations at its top.
fn is_benchmark(ast: &AST) -> bool {
    Declared::functions_of(ast).is_benchmark() && ast.statements().iter().all(is_declaration)
}

fn is_declaration(statement: &Stmt) -> bool {
    matches!(statement, Stmt::Var(..) | Stmt::Import(..) | Stmt::Export(..) | Stmt::Noop(..))
}

/// One script, its engine, and its host.
struct Run {
    script: Script,
    host: Rc<Host>,
    engine: Engine,
    /// What the check of the script has found that is probably not meant.
    warnings: RefCell<Vec<Error>>,
}

impl Run {
    fn new(script: Script, directory: Option<PathBuf>, options: HostOptions) -> Run {
        let host = Host::new(options, script.name.clone(), directory);
        let engine = engine::engine(&host);
        Run { script, host, engine, warnings: RefCell::default() }
    }

    #[allow(clippy::boxed_local, reason = "it comes in the box that rhai puts every error in")]
    fn report(&self, error: Box<EvalAltResult>) -> Error {
        report::report(&self.engine, &self.host, &self.script.name, *error)
    }

    /// The script, its parameters, and all that is wrong with it or with what it imports.
    fn look(&self) -> std::result::Result<(AST, Option<Parameters>, Findings), Box<EvalAltResult>> {
        let ast = self.script.compile(&self.engine, &self.host)?;
        let mut found = Findings::default();
        let parameters = modules::parameters_of(&self.engine, &self.host, &ast, &self.script);
        check::check_deeply(&self.engine, &self.host, &ast, parameters.as_ref().ok().and_then(Option::as_ref), &mut found);
        let parameters = parameters.unwrap_or_else(|error| {
            // A name that is wrong in the declaration was found already.
            if found.mistakes.is_empty() {
                found.mistakes.push(error);
            }
            None
        });
        Ok((ast, parameters, found))
    }

    fn compile(&self) -> Result<(AST, Option<Parameters>)> {
        let (ast, parameters, found) = self.look().map_err(|error| self.report(error))?;
        match found.mistakes.into_iter().next() {
            Some(mistake) => Err(self.report(mistake)),
            None => {
                *self.warnings.borrow_mut() = found.warnings.into_iter().map(|warning| self.report(warning)).collect();
                Ok((ast, parameters))
            }
        }
    }

    fn check(self) -> Result<Checked> {
        let (_, _, found) = self.look().map_err(|error| self.report(error))?;
        let told = |mistakes: Vec<Box<EvalAltResult>>| mistakes.into_iter().map(|mistake| self.report(mistake)).collect();
        Ok(Checked { errors: told(found.mistakes), warnings: told(found.warnings), about: String::new() })
    }

    /// The JSON Schemas of a benchmark's or a check's parameters.
    fn schema(self) -> Result<Option<serde_json::Map<String, serde_json::Value>>> {
        let (ast, parameters) = self.compile()?;
        Ok(parameters.filter(|_| is_benchmark(&ast)).map(|declared| declared.schema()))
    }

    /// What the last expression of a script gives, as data.
    fn value(self) -> Result<serde_yaml::Value> {
        let (ast, _) = self.compile()?;
        let value: Dynamic = self.engine.eval_ast(&ast).map_err(|error| self.report(error))?;
        values::to_data(&value)
    }

    fn describe(self) -> Result<Description> {
        let (ast, parameters) = self.compile()?;
        let lines = self.script.text.lines().skip_while(|line| line.starts_with("#!")).map(str::trim_start);
        let comment: Vec<&str> = lines.take_while(|line| line.starts_with("//")).map(|line| line.trim_start_matches('/').trim()).collect();
        let measured = if is_benchmark(&ast) {
            let measure = Run { script: Script::built_in("measure")?, ..self };
            let own =
                |name: &str| parameters.as_ref().is_some_and(|declared| declared.has(name)) || ["script", "parameters"].contains(&name);
            measure.compile()?.1.map(|declared| declared.without(own).listing())
        } else {
            None
        };
        Ok(Description { about: comment.join("\n"), parameters: parameters.map(|declared| declared.listing()), measured })
    }

    fn run(mut self) -> Result<u8> {
        let (mut ast, parameters) = self.compile()?;
        self.warnings.take().iter().for_each(terminal::show_warning);
        let named = ast.iter_functions().any(|function| !function.name.starts_with("anon$"));
        if !is_benchmark(&ast) && named && ast.statements().iter().all(is_declaration) {
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
        // It would take what is meant for the model that is measured.
        if let Some(name) = ["model", "models", "teacher", "student"].into_iter().find(|name| declares(parameters, name)) {
            let error = Error::new(format!(
                "its parameter `{name}` has the name of what is measured: `--set {name}=PATH` could not be told from it"
            ));
            return Err(error.remedy("give the parameter another name").at(&benchmark.name));
        }
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
            (Ok(()), _) => match (self.host.lost_output(), self.host.unfinished()) {
                (Some(lost), _) => return Err(lost),
                (None, None) => return Ok(self.host.status.get()),
                (None, Some(path)) => {
                    let error = Error::new("the script has ended, and its run was not finished").at(path.display());
                    let error = error.remedy("call finish() when all is added");
                    (Err(error.clone()), error)
                }
            },
        };
        for sentence in self.host.fail_runs(&reason) {
            terminal::note(&sentence);
        }
        // A script that has said which status this is has it, and its reason is told here.
        match (ended, self.host.status.get()) {
            (Err(error), status) if status != 0 && !interrupt::requested() => {
                terminal::show_error(&error);
                Ok(status)
            }
            (ended, _) => ended,
        }
    }
}
