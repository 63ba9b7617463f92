//! Importing scripts by name: a file next to the script that asks, then next to the main script, then the built-in ones. And what a script declares at its top,
//! by which it is known for a benchmark.

use super::benchmark::{Benchmark, kind, tell_replaced};
use super::failure::Answer;
use super::host::Host;
use super::parameters::Parameters;
use super::tokens::hex;
use super::{check, engine, rewrite};
use crate::assets::SCRIPTS;
use crate::error::{At, Error, Result, unknown};
use crate::terminal;
use rhai::module_resolvers::ModuleResolver;
use rhai::plugin::*;
use rhai::{AST, ASTFlags, Engine, GlobalRuntimeState, Map, Scope, Stmt};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

type SharedModule = Rc<Module>;

/// What a built-in script is called where errors name files.
pub(super) const BUILT_IN_PREFIX: &str = "built-in ";

/// Whether messages call a built-in script by this name.
pub(super) fn is_built_in(script: &str) -> bool {
    script.starts_with(BUILT_IN_PREFIX)
}

/// The names of the scripts inside the binary.
pub(super) fn built_in_names() -> impl Iterator<Item = &'static str> {
    SCRIPTS.iter().map(|(name, _)| *name)
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
        match SCRIPTS.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Ok(Script { name: format!("{BUILT_IN_PREFIX}{name}.rhai"), text: (*text).to_owned() }),
            None => Err(unknown("built-in script", name, built_in_names())),
        }
    }

    /// The script in the file `path`.
    pub(super) fn file(path: &Path) -> Result<Script> {
        let bytes = std::fs::read(path).at(path.display())?;
        crate::mapped::no_pointer(&bytes).at(path.display())?;
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
        let written = readable(&self.text);
        host.add_source(&self.name, &written, Vec::new());
        let mut ast = parse(&written)?;
        let (text, insertions) = rewrite::rewrite(&ast, &written);
        if !insertions.is_empty() {
            host.add_source(&self.name, &written, insertions);
            ast = parse(&text)?;
        }
        ast.set_source(&self.name);
        Ok(ast)
    }
}

/// A text without what the language does not read: a byte order mark, and `#!` of a file that is a program. Lines stay where they are.
fn readable(text: &str) -> std::borrow::Cow<'_, str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.strip_prefix("#!") {
        Some(rest) => format!("// {rest}").into(),
        None => text.into(),
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
        host.permissions.read(Path::new(path))?;
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
                host.permissions.read(&candidate)?;
                return Script::file(&candidate);
            }
            looked.push(candidate);
        }
    }
    let name = path.strip_suffix(".rhai").unwrap_or(path);
    Script::built_in(name).map_err(|known| {
        let places: Vec<String> = looked.iter().map(|place| place.display().to_string()).collect();
        let looked = if places.is_empty() { String::new() } else { format!("; looked for {}", places.join(", ")) };
        // A guess, if there is one; the list of all is long.
        let guess = known.help().and_then(|help| help.split_once("? ")).map_or(String::new(), |(guess, _)| format!("{guess}? "));
        let error = Error::new(format!("there is no script `{path}` to import"));
        error.remedy(format!("{guess}`caramba show` lists those that are built in{looked}"))
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
        let mut declared = Declared::functions_of(&ast);
        let mut module = Module::eval_ast_as_new_raw(engine, &mut Scope::new(), global, &declared.exported(engine, &ast)?)
            .map_err(|error| Box::new(EvalAltResult::ErrorInModule(script.name.clone(), error, Position::NONE)))?;
        if declared.is_benchmark() && !declared.has("new", 1) {
            declared.complete(engine, &self.host, &ast, script)?;
            self.host.declare(&script.name, Rc::new(declared));
            let (host, name) = (Rc::downgrade(&self.host), script.name.clone());
            let maker = Rc::new(move |given: Map| match host.upgrade() {
                Some(host) => Ok(Benchmark::new(&host, &name, given).map_err(|wrong| wrong.error.at(kind(&name)))?),
                None => Err(Error::new("the script has ended").into()),
            });
            tell_replaced(&self.host, &script.name);
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
        terminal::detail(|| format!("{path} is {}", script.name));
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

/// What a script has at its top.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    /// Names of its functions, with how many parameters.
    functions: Vec<(String, usize)>,
    pub(super) constants: Vec<String>,
    /// `None`: it takes whatever it is given.
    pub(super) parameters: Option<Parameters>,
    pub(super) sha256: String,
}

/// The script whose parameters say how a timing is repeated: every benchmark that is sampled in rounds has them.
const ROUNDS: &str = "rounds";

impl Declared {
    pub(super) fn functions_of(ast: &AST) -> Declared {
        let functions = ast.iter_functions().map(|function| (function.name.to_owned(), function.params.len())).collect();
        let constant = |statement: &Stmt| match statement {
            Stmt::Var(parts, flags, _) if flags.intersects(ASTFlags::CONSTANT) => Some(parts.0.name.to_string()),
            _ => None,
        };
        let constants = ast.statements().iter().filter_map(constant).collect();
        Declared { functions, constants, parameters: None, sha256: String::new() }
    }

    /// The names of its constants.
    pub(super) fn constants(&self) -> impl Iterator<Item = &str> {
        self.constants.iter().map(String::as_str)
    }

    pub(super) fn has(&self, name: &str, arity: usize) -> bool {
        self.functions.iter().any(|function| *function == (name.to_owned(), arity))
    }

    pub(super) fn arity(&self, name: &str) -> Option<usize> {
        self.functions.iter().filter(|(known, _)| known == name).map(|(_, arity)| *arity).max()
    }

    /// Whether it is sampled in rounds.
    fn is_timing(&self) -> bool {
        self.arity("prepare").is_some_and(|arity| (1..=3).contains(&arity))
            && self.arity("sample").is_some_and(|arity| (1..=3).contains(&arity))
    }

    /// Whether it says how something is measured.
    pub(super) fn is_benchmark(&self) -> bool {
        // One that holds models against a reference gets that, too.
        let most = if self.constants.iter().any(|name| name == "REFERENCE") { 4 } else { 3 };
        self.has("run", 2) || self.arity("measure").is_some_and(|arity| (1..=most).contains(&arity)) || self.is_timing()
    }

    /// The same script with all its constants for others to see: `benchmark::COLUMNS`.
    fn exported(&self, engine: &Engine, ast: &AST) -> Answer<AST> {
        let mut scope = engine::known_names();
        self.constants.iter().for_each(|name| _ = scope.push_constant(name.as_str(), ()));
        let exports: String = self.constants.iter().map(|name| format!("export {name};")).collect();
        let exports = engine.compile_with_scope(&scope, exports).map_err(EvalAltResult::from)?;
        let mut all = ast.merge(&exports);
        if let Some(source) = ast.source() {
            all.set_source(source);
        }
        Ok(all)
    }

    fn complete(&mut self, engine: &Engine, host: &Host, ast: &AST, script: &Script) -> Answer<()> {
        self.parameters = parameters_of(engine, host, ast, script)?;
        self.sha256 = hex(&Sha256::digest(script.text.as_bytes()));
        Ok(())
    }
}

/// What a script declares, and how its samples are repeated if it is a timing.
pub(super) fn parameters_of(engine: &Engine, host: &Host, ast: &AST, script: &Script) -> Answer<Option<Parameters>> {
    let parameters = Parameters::of(engine, ast, &script.text)?;
    if !Declared::functions_of(ast).is_timing() {
        return Ok(parameters);
    }
    let rounds = Script::built_in(ROUNDS)?;
    let more = Parameters::of(engine, &rounds.compile(engine, host)?, &rounds.text)?;
    let own = parameters.unwrap_or_else(Parameters::none);
    Ok(Some(more.iter().fold(own, Parameters::and)))
}
