//! Importing scripts by name: a file next to the script that asks, then next to the main script, then the built-in ones. And what makes
//! a script a benchmark: it declares `PARAMETERS` and `run(model, config)`, and gets a `new(parameters)` for it.

use super::failure::Answer;
use super::host::Host;
use super::model::Model;
use super::parameters::{Parameters, Wrong};
use super::values::from_data;
use super::{check, engine, pairs};
use crate::error::{At, Error, Result, unknown};
use crate::manifest::Experiment;
use rhai::module_resolvers::ModuleResolver;
use rhai::plugin::*;
use rhai::{AST, Engine, GlobalRuntimeState, INT, Map, Scope};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

type SharedModule = Rc<Module>;

/// The scripts inside the binary.
const BUILT_IN: &[(&str, &str)] = &[
    ("artifacts", include_str!("../../scripts/artifacts.rhai")),
    ("compare", include_str!("../../scripts/compare.rhai")),
    ("custom", include_str!("../../scripts/custom.rhai")),
    ("eval", include_str!("../../scripts/eval.rhai")),
    ("experiment", include_str!("../../scripts/experiment.rhai")),
    ("fidelity", include_str!("../../scripts/fidelity.rhai")),
    ("figures", include_str!("../../scripts/figures.rhai")),
    ("full_paper", include_str!("../../scripts/full_paper.rhai")),
    ("kvcache", include_str!("../../scripts/kvcache.rhai")),
    ("latency", include_str!("../../scripts/latency.rhai")),
    ("measure", include_str!("../../scripts/measure.rhai")),
    ("memory", include_str!("../../scripts/memory.rhai")),
    ("pair", include_str!("../../scripts/pair.rhai")),
    ("perplexity", include_str!("../../scripts/perplexity.rhai")),
    ("roofline", include_str!("../../scripts/roofline.rhai")),
    ("summary", include_str!("../../scripts/summary.rhai")),
    ("sweep", include_str!("../../scripts/sweep.rhai")),
    ("upcycle", include_str!("../../scripts/upcycle.rhai")),
    ("verify", include_str!("../../scripts/verify.rhai")),
];

/// What a built-in script is called where errors name files.
const BUILT_IN_PREFIX: &str = "built-in ";

/// Whether messages call a built-in script by this name.
pub(super) fn is_built_in(script: &str) -> bool {
    script.starts_with(BUILT_IN_PREFIX)
}

/// The names of the scripts inside the binary.
pub(super) fn built_in_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// A script's text, and its name in messages.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) name: String,
    pub(super) text: String,
}

impl Script {
    /// The built-in script called `name`.
    pub(super) fn built_in(name: &str) -> Result<Script> {
        match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Ok(Script { name: format!("{BUILT_IN_PREFIX}{name}.rhai"), text: (*text).to_owned() }),
            None => Err(unknown("built-in script", name, built_in_names())),
        }
    }

    /// The script in the file `path`.
    pub(super) fn file(path: &Path) -> Result<Script> {
        let bytes = std::fs::read(path).at(path.display())?;
        let text = String::from_utf8(bytes).map_err(|_| Error::new("not a text in UTF-8: a Rhai script is").at(path.display()))?;
        Ok(Script { name: path.display().to_string(), text })
    }

    /// Compiled, and its text known to `host` for its errors.
    pub(super) fn compile(&self, engine: &Engine, host: &Host) -> Answer<AST> {
        let parse = |text: &str| {
            engine.compile_with_scope(&engine::known_names(), text).map_err(|error| {
                let inner = Box::new(EvalAltResult::from(error));
                Box::new(EvalAltResult::ErrorInModule(self.name.clone(), inner, Position::NONE))
            })
        };
        host.add_source(&self.name, &self.text, Vec::new());
        let mut ast = parse(&self.text)?;
        let (text, insertions) = pairs::rewrite(&ast, &self.text);
        if !insertions.is_empty() {
            host.add_source(&self.name, &self.text, insertions);
            ast = parse(&text)?;
        }
        ast.set_source(&self.name);
        Ok(ast)
    }
}

/// Finds what `import "path"` in the script called `importer` means.
///
/// # Errors
/// There is no such script, and where it was looked for.
pub(super) fn find(host: &Host, importer: Option<&str>, path: &str) -> Result<Script> {
    // By the name that messages give a built-in script, nothing but that one is meant.
    if let Some(name) = path.strip_prefix(BUILT_IN_PREFIX) {
        return Script::built_in(name.trim_end_matches(".rhai"));
    }
    // And a file by its path.
    if path.ends_with(".rhai") && Path::new(path).is_file() {
        return Script::file(Path::new(path));
    }
    let file_name = if path.ends_with(".rhai") { path.to_owned() } else { format!("{path}.rhai") };
    let beside = importer.filter(|name| !is_built_in(name)).map(Path::new).and_then(Path::parent);
    let places = [beside, host.directory.as_deref(), host.options.experiment.as_ref().and_then(|found| found.manifest.parent())];
    let mut looked: Vec<PathBuf> = Vec::new();
    for place in places.into_iter().flatten() {
        let candidate = place.join(&file_name);
        // A script that is called as a built-in one may import that one: it does not mean itself.
        let itself = importer.is_some_and(|name| Path::new(name) == candidate);
        if !looked.contains(&candidate) && !itself {
            if candidate.is_file() {
                return Script::file(&candidate);
            }
            looked.push(candidate);
        }
    }
    let name = path.strip_suffix(".rhai").unwrap_or(path);
    Script::built_in(name).map_err(|known| {
        let places: Vec<String> = looked.iter().map(|place| place.display().to_string()).collect();
        let looked = if places.is_empty() { String::new() } else { format!("; looked for {}", places.join(", ")) };
        let help = known.help().unwrap_or("check the name").replace("known are", "built in are");
        Error::new(format!("there is no script `{path}` to import")).remedy(format!("{help}{looked}"))
    })
}

/// Resolves imports for one engine; each script is run once.
pub(super) struct Resolver {
    host: Rc<Host>,
    loaded: RefCell<BTreeMap<String, SharedModule>>,
    /// Scripts whose import has begun and not ended.
    loading: RefCell<Vec<String>>,
}

impl Resolver {
    pub(super) fn new(host: &Rc<Host>) -> Resolver {
        Resolver { host: Rc::clone(host), loaded: RefCell::default(), loading: RefCell::default() }
    }

    fn load(&self, engine: &Engine, global: &mut GlobalRuntimeState, script: &Script) -> Answer<SharedModule> {
        let ast = script.compile(engine, &self.host)?;
        check::check(engine, &self.host, &ast)?;
        let mut module = Module::eval_ast_as_new_raw(engine, &mut Scope::new(), global, &ast)
            .map_err(|error| Box::new(EvalAltResult::ErrorInModule(script.name.clone(), error, Position::NONE)))?;
        let functions: Vec<(String, usize)> =
            ast.iter_functions().map(|function| (function.name.to_owned(), function.params.len())).collect();
        let has = |name: &str, arity: usize| functions.iter().any(|function| *function == (name.to_owned(), arity));
        if has("run", 2) && !has("new", 1) {
            let parameters = Parameters::of(engine, &ast, &script.text)?;
            if let Some(parameters) = parameters {
                self.host.declare(&script.name, Rc::new(parameters));
            }
            let (host, name) = (Rc::downgrade(&self.host), script.name.clone());
            let maker = Rc::new(move |given: Map| match host.upgrade() {
                Some(host) => Ok(Benchmark::new(&host, &name, given).map_err(|wrong| wrong.error.at(kind(&name)))?),
                None => Err(Error::new("the script has ended").into()),
            });
            let plain = Rc::clone(&maker);
            module.set_native_fn("new", move |given: Map| -> Answer<Benchmark> { maker(given) });
            module.set_native_fn("new", move || -> Answer<Benchmark> { plain(Map::new()) });
        }
        module.build_index();
        Ok(module.into())
    }
}

impl ModuleResolver for Resolver {
    fn resolve_raw(
        &self,
        engine: &Engine,
        global: &mut GlobalRuntimeState,
        _scope: &mut Scope,
        path: &str,
        position: Position,
    ) -> Answer<SharedModule> {
        if let Some(module) = self.loaded.borrow().get(path) {
            return Ok(Rc::clone(module));
        }
        let placed = |error: Error| Box::new(EvalAltResult::ErrorRuntime(Dynamic::from(error), position));
        let script = find(&self.host, global.source(), path).map_err(placed)?;
        if let Some(module) = self.loaded.borrow().get(&script.name) {
            return Ok(Rc::clone(module));
        }
        if self.loading.borrow().contains(&script.name) {
            let mut chain = self.loading.borrow().join(" imports ");
            chain = format!("{chain} imports {}", script.name);
            return Err(placed(Error::new(format!("scripts import each other in a circle: {chain}"))));
        }
        self.loading.borrow_mut().push(script.name.clone());
        let module = self.load(engine, global, &script);
        self.loading.borrow_mut().pop();
        let module = module?;
        self.loaded.borrow_mut().insert(script.name.clone(), Rc::clone(&module));
        Ok(module)
    }

    fn resolve(&self, engine: &Engine, source: Option<&str>, path: &str, position: Position) -> Answer<SharedModule> {
        let mut global = engine.new_global_runtime_state();
        global.source = source.map(Into::into);
        self.resolve_raw(engine, &mut global, &mut Scope::new(), path, position)
    }
}

/// The name of the few words that call a benchmark's script: nobody's file, so that no error shows them.
const CALLER: &str = "(benchmark)";

/// A script with `run(model, config)`, and a configuration that was checked.
#[derive(Debug, Clone)]
pub struct Benchmark {
    /// As errors call it; the resolver knows it under this name.
    script: String,
    config: Map,
}

impl Benchmark {
    fn new(host: &Host, script: &str, given: Map) -> std::result::Result<Benchmark, Wrong> {
        let config = match host.declared(script) {
            Some(parameters) => parameters.complete(given)?,
            None => given,
        };
        Ok(Benchmark { script: script.to_owned(), config })
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
        let given = from_data(config).try_cast::<Map>().unwrap_or_default();
        Ok(Benchmark::new(host, &script.name, given).map_err(|wrong| {
            let key = wrong.key.map(|key| format!(".{key}")).unwrap_or_default();
            experiment.point(&format!("{place}.config{key}"), wrong.error)
        })?)
    }

    fn run(&self, engine: &Engine, arguments: &[(&str, Dynamic)]) -> Answer<Dynamic> {
        let mut scope = Scope::new();
        scope.push_constant("path", self.script.clone());
        for (name, value) in arguments {
            scope.push_dynamic(*name, value.clone());
        }
        let names: Vec<&str> = arguments.iter().map(|(name, _)| *name).collect();
        let call = format!("import path as benchmark; benchmark::run({})", names.join(", "));
        let mut ast = engine.compile_with_scope(&scope, call).map_err(EvalAltResult::from)?;
        ast.set_source(CALLER);
        engine.eval_ast_with_scope(&mut scope, &ast)
    }
}

/// `perplexity`, of `built-in perplexity.rhai`.
fn kind(script: &str) -> String {
    let file = script.strip_prefix(BUILT_IN_PREFIX).unwrap_or(script);
    Path::new(file).file_stem().map_or_else(|| file.to_owned(), |stem| stem.to_string_lossy().into_owned())
}

fn experiment(host: &Host) -> Result<&Experiment> {
    host.options
        .experiment
        .as_ref()
        .ok_or_else(|| Error::new("no manifest is being run").remedy("run one with: caramba run MANIFEST.yml --target NAME"))
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
            EvalAltResult::ErrorFunctionNotFound(..) => {
                let remedy = "declare `const PARAMETERS = #{ ... }` and `fn run(model, config)` in it";
                Error::new(format!("the script `{name}` is no benchmark")).remedy(remedy).into()
            }
            other => Box::new(other),
        })
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
        let made = experiment.runs.iter().any(|run| run.model == name && run.checkpoint.is_some());
        if !made && !host.resolve(&source.path)?.exists() {
            let error = Error::new(format!("there is no model at {}", source.path))
                .remedy("check the path: it is relative to the current directory, or to the manifest's");
            return Err(experiment.point(&format!("models.{name}.path"), error).into());
        }
        let mut options = from_data(&source.options).try_cast::<Map>().unwrap_or_default();
        options.insert("path".into(), source.path.clone().into());
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

    /// Runs a check of two models, the teacher first: its `run` gets an array of both.
    #[rhai_fn(name = "run", pure, return_raw, volatile)]
    pub fn run_pair(context: NativeCallContext, benchmark: &mut Benchmark, teacher: Dynamic, student: Dynamic) -> Answer<Dynamic> {
        run(context, benchmark, Dynamic::from_array(vec![teacher, student]))
    }

    /// Runs it: what its `run(model, config)` returns, with `kind` (the name of its script), `config` and `model` (its description) added where
    /// that is a map without them.
    #[rhai_fn(name = "run", pure, return_raw, volatile)]
    pub fn run(context: NativeCallContext, benchmark: &mut Benchmark, model: Dynamic) -> Answer<Dynamic> {
        let config = Dynamic::from_map(benchmark.config.clone());
        let result = benchmark.run(context.engine(), &[("model", model.clone()), ("config", config.clone())]).map_err(|error| {
            let name = kind(&benchmark.script);
            Box::new(EvalAltResult::ErrorInFunctionCall(name, CALLER.to_owned(), error, context.call_position()))
        })?;
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
