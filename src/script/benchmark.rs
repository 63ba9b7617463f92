//! A benchmark: a script that says what its cells are and how one is measured (or just `run(model, config)`), with a configuration that was checked.

use super::failure::{self, Answer};
use super::host::Host;
use super::model::Model;
use super::model_file::ModelFile;
use super::modules::{BUILT_IN_PREFIX, Declared, built_in_names, find, is_built_in};
use super::parameters::{Parameters, Wrong, point_at_set};
use super::report;
use super::values::from_data;
use crate::error::{At, Error, Result, unknown};
use crate::manifest::{Experiment, platform};
use crate::terminal;
use rhai::plugin::*;
use rhai::{Engine, INT, Map, Scope};
use std::path::Path;
use std::rc::Rc;

/// The name of the few words that call a benchmark's script: nobody's file, so that no error shows them.
const CALLER: &str = "(benchmark)";

/// The parameter that names token ids.
const DATASET: &str = "dataset";

/// The built-in script that measures benchmarks which say what their cells are.
const RUNNER: &str = "built-in runner.rhai";

/// A benchmark's script, and a configuration that was checked.
#[derive(Debug, Clone)]
pub struct Benchmark {
    /// As errors call it; the resolver knows it under this name.
    script: String,
    config: Map,
    /// Where its entry stands in the manifest that is being run: `benchmarks.perplexity`.
    place: Option<String>,
}

impl Benchmark {
    pub(super) fn new(host: &Host, script: &str, given: Map) -> std::result::Result<Benchmark, Wrong> {
        let config = match host.declared(script).as_ref().and_then(|declared| declared.parameters.as_ref()) {
            Some(parameters) => parameters.complete(given)?,
            None => given,
        };
        Ok(Benchmark { script: script.to_owned(), config, place: None })
    }

    /// The benchmark of a manifest: `place` is that of its entry, `benchmarks.perplexity`, and mistakes are shown in the manifest.
    fn of_manifest(engine: &Engine, host: &Host, place: &str, name: &str, config: &serde_yaml::Value) -> Answer<Benchmark> {
        let experiment = experiment(host)?;
        let script =
            find(host, None, name).map_err(|error| experiment.point(&format!("{place}.config.type"), unknown_kind(name, &error)))?;
        let mut scope = Scope::new();
        scope.push_constant("path", script.name.clone());
        let mut ast = engine.compile_with_scope(&scope, "import path as script;").map_err(EvalAltResult::from)?;
        ast.set_source(CALLER);
        engine.run_ast_with_scope(&mut scope, &ast)?;
        if host.declared(&script.name).is_none() {
            return Err(experiment.point(&format!("{place}.config.type"), no_benchmark(name)).into());
        }
        let given = from_data(config).try_cast::<Map>().unwrap_or_default();
        let given = understood(host, experiment, place, &script.name, given);
        let benchmark = Benchmark::new(host, &script.name, given).map_err(|wrong| {
            let key = wrong.key.map(|key| format!(".{key}")).unwrap_or_default();
            experiment.point(&format!("{place}.config{key}"), wrong.error)
        })?;
        Ok(Benchmark { place: Some(place.to_owned()), ..benchmark })
    }

    fn declared(&self, context: &NativeCallContext) -> Answer<Rc<Declared>> {
        let declared = Host::of(context)?.declared(&self.script);
        declared.ok_or_else(|| Error::new(format!("the script `{}` has ended", self.script)).into())
    }

    /// What `code` gives, with the script imported as `benchmark`.
    fn evaluate(&self, engine: &Engine, code: &str, arguments: &[(&str, Dynamic)]) -> Answer<Dynamic> {
        let mut scope = Scope::new();
        scope.push_constant("path", self.script.clone());
        for (name, value) in arguments {
            scope.push_dynamic(*name, value.clone());
        }
        let mut ast = engine.compile_with_scope(&scope, format!("import path as benchmark; {code}")).map_err(EvalAltResult::from)?;
        ast.set_source(CALLER);
        engine.eval_ast_with_scope(&mut scope, &ast)
    }

    /// Calls one of its functions, which takes as many of the arguments as it has parameters.
    fn call(&self, context: &NativeCallContext, function: &str, arguments: Vec<Dynamic>) -> Answer<Dynamic> {
        const NAMES: [&str; 4] = ["first", "second", "third", "fourth"];
        let Some(arity) = self.declared(context)?.arity(function) else {
            return Err(Error::new(format!("the benchmark `{}` has no function `{function}`", kind(&self.script))).into());
        };
        let given: Vec<(&str, Dynamic)> = NAMES.into_iter().zip(arguments).take(arity).collect();
        let names: Vec<&str> = given.iter().map(|(name, _)| *name).collect();
        let code = format!("benchmark::{function}({})", names.join(", "));
        self.evaluate(context.engine(), &code, &given).map_err(|error| self.placed(context, function, error))
    }

    /// An error of its script: told where the parameter that it is about was given, if that was a manifest.
    fn placed(&self, context: &NativeCallContext, function: &str, error: Box<EvalAltResult>) -> Box<EvalAltResult> {
        if let (Some(place), Ok(host)) = (&self.place, Host::of(context))
            && let EvalAltResult::ErrorRuntime(value, _) = error.unwrap_inner()
            && let Some(told) = value.read_lock::<Error>()
            && let Some(parameter) = told.parameter()
            && let Ok(experiment) = experiment(&host)
        {
            return experiment.point(&format!("{place}.config.{parameter}"), told.clone()).into();
        }
        // Or on the command line.
        if let (None, Ok(host)) = (&self.place, Host::of(context))
            && let EvalAltResult::ErrorRuntime(value, _) = error.unwrap_inner()
            && let Some(told) = value.read_lock::<Error>()
            && let Some(parameter) = told.parameter()
            && host.options.set.iter().any(|(name, _)| name == parameter)
        {
            return point_at_set(told.clone(), &host.options.set, parameter, true).into();
        }
        let kind = kind(&self.script);
        let name = if function == "run" { kind } else { format!("{kind}::{function}") };
        Box::new(EvalAltResult::ErrorInFunctionCall(name, CALLER.to_owned(), error, context.call_position()))
    }
}

/// Says once that a file stands in for a built-in benchmark of the same name.
pub(super) fn tell_replaced(host: &Host, script: &str) {
    let name = kind(script);
    if !is_built_in(script) && built_in_names().any(|known| known == name) && host.first_time(script) {
        terminal::note(&format!("{script} is used in place of the built-in benchmark {name}"));
    }
}

fn no_benchmark(name: &str) -> Error {
    let remedy = "give it `const PARAMETERS = #{ ... }` and `fn measure(model, cell, config)`, or `fn run(model, config)`";
    Error::new(format!("the script `{name}` is no benchmark")).remedy(remedy)
}

/// `perplexity`, of `built-in perplexity.rhai`.
pub(super) fn kind(script: &str) -> String {
    let file = script.strip_prefix(BUILT_IN_PREFIX).unwrap_or(script);
    Path::new(file).file_stem().map_or_else(|| file.to_owned(), |stem| stem.to_string_lossy().into_owned())
}

fn experiment(host: &Host) -> Result<&Experiment> {
    host.options
        .experiment
        .as_ref()
        .ok_or_else(|| Error::new("no manifest is being run").remedy("run one with: caramba run MANIFEST.yml --target NAME"))
}

/// A manifest's parameters as the script calls them: those of the target's `data` section where it has them, the wider platform's names
/// as ours, and without those that change nothing for a script that does not have them.
fn understood(host: &Host, experiment: &Experiment, place: &str, script: &str, mut given: Map) -> Map {
    let declared = host.declared(script);
    let Some(parameters) = declared.as_ref().and_then(|declared| declared.parameters.as_ref()) else { return given };
    for (theirs, ours) in platform::RENAMED {
        let wanted = !parameters.has(theirs) && parameters.has(ours) && !given.contains_key(ours);
        if let Some(value) = wanted.then(|| given.remove(theirs)).flatten() {
            given.insert(ours.into(), value);
        }
    }
    let check = place.starts_with("verify.");
    // A check looks at `batches` blocks, whatever is computed at a time.
    if check && !parameters.has("batch_size") && parameters.has("batches") {
        let size = given.remove("batch_size").and_then(|size| size.as_int().ok());
        if let (Some(size), Some(batches)) = (size.filter(|size| *size > 1), given.get("batches").and_then(|count| count.as_int().ok())) {
            given.insert("batches".into(), batches.saturating_mul(size).into());
        }
    }
    for (name, value) in &experiment.defaults {
        // The blocks of a benchmark are its own: only a check takes those that a student was trained with.
        if parameters.has(name) && !given.contains_key(name.as_str()) && (check || name != "block_size") {
            given.insert(name.as_str().into(), from_data(value));
        }
    }
    let unread: Vec<String> = given
        .keys()
        .filter(|key| platform::UNREAD_PARAMETERS.contains(&key.as_str()) && !parameters.has(key))
        .map(ToString::to_string)
        .collect();
    given.retain(|key, _| !unread.iter().any(|name| name == key.as_str()));
    let told: Vec<&str> = unread.iter().map(String::as_str).filter(|name| *name != "valid_vocab_size").collect();
    if !told.is_empty() && host.first_time(&format!("{script} without {told:?}")) {
        terminal::note(&format!("ignored, for they change nothing in {}: {}", kind(script), told.join(", ")));
    }
    given
}

fn unknown_kind(name: &str, error: &Error) -> Error {
    let known = Error::new(format!("there is no benchmark of type `{name}`"));
    match error.help() {
        Some(help) => known.remedy(help),
        None => known,
    }
}

#[export_module]
pub(super) mod api {
    /// A script with `run(model, config)` and its checked parameters: what `new(parameters)` of an imported script returns, for every
    /// script that declares `const PARAMETERS` and `fn run(model, config)`.
    pub type Benchmark = super::Benchmark;

    /// A benchmark by the name of its script, which need not be imported.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let bench = benchmark("latency", #{ prompt_lengths: [128], generation_lengths: [64] });
    /// print(bench.run(load("model.gguf")).rows);
    /// ```
    #[rhai_fn(name = "benchmark", return_raw, volatile)]
    pub fn benchmark(context: NativeCallContext, name: &str, parameters: Map) -> Answer<Benchmark> {
        let mut scope = Scope::new();
        scope.push_constant("path", name.to_owned()).push_constant("given", parameters);
        let engine = context.engine();
        let mut ast = engine.compile_with_scope(&scope, "import path as script; script::new(given)").map_err(EvalAltResult::from)?;
        if let Some(source) = context.call_source() {
            ast.set_source(source);
        }
        engine.eval_ast_with_scope(&mut scope, &ast).map_err(|error| match *error {
            EvalAltResult::ErrorFunctionNotFound(..) => no_benchmark(name).into(),
            other => Box::new(other),
        })
    }

    /// Begins a run whose benchmarks are all measured by one runner (see the built-in script `artifacts`).
    ///
    /// # Example
    /// ```rhai,no_run
    /// import "perplexity" as perplexity;
    /// let paper = paper("mine", #{ models: #{ teacher: load("models/teacher"), student: load("models/student") } });
    /// paper.measure(perplexity::new(#{ dataset: "held_out.npy", block_size: 512 }));
    /// paper.threshold("student.perplexity / teacher.perplexity < 1.05");
    /// paper.finish();
    /// ```
    #[rhai_fn(name = "paper", return_raw, volatile)]
    pub fn paper(context: NativeCallContext, name: &str, options: Map) -> Answer<Dynamic> {
        let mut scope = Scope::new();
        scope.push_constant("path", "built-in artifacts.rhai").push_constant("name", name.to_owned()).push_constant("options", options);
        let engine = context.engine();
        let mut ast = engine
            .compile_with_scope(&scope, "import path as artifacts; artifacts::begin_with(name, options)")
            .map_err(EvalAltResult::from)?;
        ast.set_source(CALLER);
        engine.eval_ast_with_scope(&mut scope, &ast)
    }

    /// The benchmark `id` of the manifest that is being run: its script, its parameters checked. Mistakes are shown in the manifest.
    #[rhai_fn(return_raw, volatile)]
    pub fn experiment_benchmark(context: NativeCallContext, id: &str) -> Answer<Benchmark> {
        let host = Host::of(&context)?;
        let entry = experiment(&host)?.benchmarks.iter().find(|entry| entry.id == id);
        let entry = entry.ok_or_else(|| Error::new(format!("the manifest has no benchmark `{id}`")))?;
        super::Benchmark::of_manifest(context.engine(), &host, &format!("benchmarks.{id}"), &entry.kind, &entry.config)
    }

    /// Check `index` of the manifest's `verify`, as above. It runs on an array of models, the teacher first.
    #[rhai_fn(return_raw, volatile)]
    pub fn experiment_check(context: NativeCallContext, index: INT) -> Answer<Benchmark> {
        let host = Host::of(&context)?;
        let entry = usize::try_from(index).ok().and_then(|index| experiment(&host).ok()?.verify.get(index));
        let entry = entry.ok_or_else(|| Error::new(format!("the manifest has no check {index}")))?;
        super::Benchmark::of_manifest(context.engine(), &host, &format!("verify.{index}"), &entry.kind, &entry.config)
    }

    /// What `load` needs of a model of the manifest that is being run: its options, with its `path`. That nothing is there, and no run
    /// makes it, is shown in the manifest.
    #[rhai_fn(return_raw, volatile)]
    pub fn experiment_model(context: NativeCallContext, name: &str) -> Answer<Map> {
        let host = Host::of(&context)?;
        let experiment = experiment(&host)?;
        let Some(source) = experiment.models.iter().find(|source| source.name == name) else {
            return Err(unknown("model", name, experiment.models.iter().map(|source| source.name.as_str())).into());
        };
        let made = experiment.runs.iter().any(|run| run.makes(name));
        let hub = crate::model::is_hub_name(Path::new(&source.path));
        if !made && !hub && !host.resolve(&source.path)?.exists() {
            let elsewhere = experiment.runs.iter().find(|run| run.command.is_none());
            let error = Error::new(format!("there is no model at {}", source.path)).remedy(match elsewhere {
                Some(run) => format!(
                    "the run `{}` would make one, and has no `command`: give it the command of your trainer, or say here where the model lies that it left",
                    run.id
                ),
                None => "check the path: it is relative to the current directory, or to the manifest's".to_owned(),
            });
            return Err(experiment.point(&format!("models.{name}.path"), error).into());
        }
        let mut options = from_data(&source.options).try_cast::<Map>().unwrap_or_default();
        options.insert("path".into(), source.path.clone().into());
        // A student speaks its teacher's language.
        let teacher = experiment.models.iter().find(|other| other.name == "teacher" && name == "student");
        if let Some(teacher) = teacher.filter(|_| !options.contains_key("tokenizer")) {
            options.insert("tokenizer".into(), teacher.path.clone().into());
        }
        // A model that is there is read now: what is wrong with it, or with its options, is told before anything else is done.
        if !made {
            let place = |error: Error| match error.parameter() {
                Some(option) => experiment.point(&format!("models.{name}.{option}"), error.clone()),
                None => error,
            };
            ModelFile::open(&context, options.clone()).map_err(|error| failure::changed(error, place))?;
        }
        Ok(options)
    }

    /// Its name: that of its script.
    #[rhai_fn(get = "kind", pure)]
    pub fn kind_of(benchmark: &mut Benchmark) -> String {
        kind(&benchmark.script)
    }

    /// Its parameters, defaults included.
    #[rhai_fn(get = "config", pure)]
    pub fn config(benchmark: &mut Benchmark) -> Map {
        benchmark.config.clone()
    }

    /// The script that measures: `name`, `sha256`, `origin` (`"bundled"` or `"file"`), and `replaces`, whether a bundled one has that name.
    #[rhai_fn(get = "script", pure, return_raw)]
    pub fn script_of(context: NativeCallContext, benchmark: &mut Benchmark) -> Answer<Map> {
        let script = benchmark.script.as_str();
        let bundled = is_built_in(script);
        let replaces = !bundled && built_in_names().any(|name| name == kind(script));
        Ok(Map::from_iter([
            ("name".into(), script.strip_prefix(BUILT_IN_PREFIX).unwrap_or(script).to_owned().into()),
            ("sha256".into(), benchmark.declared(&context)?.sha256.clone().into()),
            ("origin".into(), if bundled { "bundled" } else { "file" }.into()),
            ("replaces".into(), replaces.into()),
        ]))
    }

    /// The files that its parameters name, and those that its `inputs(config)` lists: `parameter`, `path` and `sha256` of each.
    #[rhai_fn(name = "inputs", pure, return_raw, volatile)]
    pub fn inputs(context: NativeCallContext, benchmark: &mut Benchmark) -> Answer<rhai::Array> {
        let host = Host::of(&context)?;
        let mut found = rhai::Array::new();
        // Files that it says it reads although no parameter is their path.
        let mut said = rhai::Array::new();
        if benchmark.declared(&context)?.arity("inputs").is_some() {
            let config = Dynamic::from_map(benchmark.config.clone());
            said = benchmark.call(&context, "inputs", vec![config])?.try_cast().unwrap_or_default();
        }
        let more = ("inputs".into(), Dynamic::from_array(said));
        for (name, value) in benchmark.config.iter().chain([(&more.0, &more.1)]) {
            let texts = value.as_array_ref().map_or_else(|_| vec![value.clone()], |values| values.to_vec());
            for text in texts.into_iter().filter_map(|text| text.into_immutable_string().ok()).filter(|text| !text.is_empty()) {
                let file = host.resolve(&text).ok().filter(|path| path.is_file());
                // A dataset may be several files.
                let shards = || (name.as_str() == DATASET).then(|| host.files_of_dataset(&text).ok()).flatten().map(|(_, files)| files);
                let files = file
                    .map(|path| vec![(text.to_string(), path)])
                    .or_else(|| shards().map(|files| files.into_iter().map(|path| (path.display().to_string(), path)).collect()));
                for (shown, path) in files.into_iter().flatten() {
                    let hash = host.file_hash(&path).at(&shown)?;
                    let entry = [("parameter", name.to_string()), ("path", shown), ("sha256", hash)];
                    found.push(Dynamic::from_map(entry.into_iter().map(|(key, value)| (key.into(), value.into())).collect()));
                }
            }
        }
        Ok(found)
    }

    /// The parameters that were given an empty list where the default has elements.
    #[rhai_fn(pure, return_raw)]
    pub fn emptied(context: NativeCallContext, benchmark: &mut Benchmark) -> Answer<rhai::Array> {
        let declared = benchmark.declared(&context)?;
        let empty = |name: &str| benchmark.config.get(name).is_some_and(|value| value.as_array_ref().is_ok_and(|values| values.is_empty()));
        let names = declared.parameters.iter().flat_map(Parameters::filled_lists).filter(|name| empty(name));
        Ok(names.map(|name| name.to_owned().into()).collect())
    }

    /// Ends the script without success: what is wrong with one of its parameters, shown where that was given.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn refuse(context: NativeCallContext, benchmark: &mut Benchmark, parameter: &str, message: &str, help: &str) -> Answer<()> {
        let error = Error::new(message).remedy(help).about(parameter);
        Err(benchmark.placed(&context, "cells", error.into()))
    }

    /// Whether its script has a function of this name.
    #[rhai_fn(pure, return_raw)]
    pub fn has(context: NativeCallContext, benchmark: &mut Benchmark, function: &str) -> Answer<bool> {
        Ok(benchmark.declared(&context)?.arity(function).is_some())
    }

    /// One of its script's constants, or `()`.
    #[rhai_fn(pure, return_raw)]
    pub fn constant(context: NativeCallContext, benchmark: &mut Benchmark, name: &str) -> Answer<Dynamic> {
        if !benchmark.declared(&context)?.constants.iter().any(|known| known == name) {
            return Ok(Dynamic::UNIT);
        }
        benchmark.evaluate(context.engine(), &format!("benchmark::{name}"), &[])
    }

    /// Calls one of its script's functions; arguments that it has no parameters for are left away.
    #[rhai_fn(name = "call_function", pure, return_raw, volatile)]
    pub fn call_function(context: NativeCallContext, benchmark: &mut Benchmark, function: &str, arguments: rhai::Array) -> Answer<Dynamic> {
        benchmark.call(&context, function, arguments)
    }

    /// As `call_function`, but a failure is no end: `#{ value }`, or `#{ error }` with what went wrong in one line, its place and remedy in it.
    #[rhai_fn(name = "attempt", pure, return_raw, volatile)]
    pub fn attempt(context: NativeCallContext, benchmark: &mut Benchmark, function: &str, arguments: rhai::Array) -> Answer<Map> {
        match benchmark.call(&context, function, arguments) {
            Ok(value) => Ok(Map::from_iter([("value".into(), value)])),
            // Ctrl-C and `exit` end more than a cell.
            Err(error) if matches!(error.unwrap_inner(), EvalAltResult::ErrorTerminated(..)) => Err(error),
            Err(error) => {
                let host = Host::of(&context)?;
                let told = report::report(context.engine(), &host, &benchmark.script, *error);
                let lines = told.without_excerpt().to_string();
                let line = lines.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
                Ok(Map::from_iter([("error".into(), line.into())]))
            }
        }
    }

    /// Runs a check of two models, the teacher first: its `run` gets an array of both.
    #[rhai_fn(name = "run", pure, return_raw, volatile)]
    pub fn run_pair(context: NativeCallContext, benchmark: &mut Benchmark, teacher: Dynamic, student: Dynamic) -> Answer<Dynamic> {
        run(context, benchmark, Dynamic::from_array(vec![teacher, student]))
    }

    /// Runs it on a model. Of a benchmark with cells: a map of its headline's numbers and its `rows`; of one with `run(model, config)` what that
    /// returns, with `kind` (the name of its script), `config` and `model` (its description) added where that is a map without them.
    #[rhai_fn(name = "run", pure, return_raw, volatile)]
    pub fn run(context: NativeCallContext, benchmark: &mut Benchmark, model: Dynamic) -> Answer<Dynamic> {
        let declared = benchmark.declared(&context)?;
        if !declared.has("run", 2) {
            let mut scope = Scope::new();
            scope.push_constant("path", RUNNER).push_dynamic("bench", Dynamic::from(benchmark.clone())).push_dynamic("model", model);
            let code = "import path as runner; runner::alone(bench, model)";
            let mut ast = context.engine().compile_with_scope(&scope, code).map_err(EvalAltResult::from)?;
            ast.set_source(CALLER);
            let name = kind(&benchmark.script);
            return context
                .engine()
                .eval_ast_with_scope(&mut scope, &ast)
                .map_err(|error| Box::new(EvalAltResult::ErrorInFunctionCall(name, CALLER.to_owned(), error, context.call_position())));
        }
        let config = Dynamic::from_map(benchmark.config.clone());
        let result = benchmark.call(&context, "run", vec![model.clone(), config.clone()])?;
        Ok(match result.clone().try_cast::<Map>() {
            Some(mut map) => {
                map.entry("kind".into()).or_insert_with(|| kind(&benchmark.script).into());
                map.entry("config".into()).or_insert(config);
                if let Some(model) = model.try_cast::<Model>() {
                    map.entry("model".into()).or_insert(model.description()?.into());
                }
                map.into()
            }
            None => result,
        })
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
