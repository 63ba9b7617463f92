//! What can be told before a script runs: calls of functions that there are not, with the wrong number of arguments, or of a module
//! that has none of that name. A long run does not end on a misspelt name in its last line.

use super::catalog::{Catalog, nearest};
use super::failure::Answer;
use super::host::Host;
use super::modules::{self, Declared};
use crate::error::Error;
use rhai::{AST, ASTNode, Dynamic, Engine, EvalAltResult, Expr, FnCallExpr, Position, Stmt};
use std::collections::{BTreeMap, BTreeSet};

/// Checks one script; those that it imports are checked when they are loaded (or by [`check_deeply`]).
pub(super) fn check(engine: &Engine, host: &Host, ast: &AST) -> Answer<()> {
    Checker::new(engine, host, ast)?.run()
}

/// Checks a script and all that it imports by a literal name.
pub(super) fn check_deeply(engine: &Engine, host: &Host, ast: &AST, seen: &mut BTreeSet<String>) -> Answer<()> {
    check(engine, host, ast)?;
    for (path, _, position) in imports(ast) {
        let script = modules::find(host, ast.source(), &path).map_err(|error| placed(ast, error, position))?;
        if seen.insert(script.name.clone()) {
            let imported = script.compile(engine, host)?;
            check_deeply(engine, host, &imported, seen)?;
        }
    }
    Ok(())
}

fn placed(ast: &AST, error: Error, position: Position) -> Box<EvalAltResult> {
    let inner = Box::new(EvalAltResult::ErrorRuntime(Dynamic::from(error), position));
    Box::new(EvalAltResult::ErrorInModule(ast.source().unwrap_or_default().to_owned(), inner, Position::NONE))
}

/// The imports whose path is written out: path, alias, place.
fn imports(ast: &AST) -> Vec<(String, String, Position)> {
    let mut found = Vec::new();
    ast.walk(&mut |path| {
        if let Some(ASTNode::Stmt(Stmt::Import(parts, position))) = path.last()
            && let Expr::StringConstant(text, _) = &parts.0
        {
            found.push((text.to_string(), parts.1.name.to_string(), *position));
        }
        true
    });
    found
}

struct Checker<'a> {
    ast: &'a AST,
    catalog: Catalog,
    /// The script's own functions, with how many parameters.
    own: BTreeMap<String, BTreeSet<usize>>,
    /// Names that some map of the script has: one may hold a function, which is then called like a method.
    members: BTreeSet<String>,
    /// Alias of each imported script, with its functions.
    modules: BTreeMap<String, BTreeMap<String, BTreeSet<usize>>>,
}

impl<'a> Checker<'a> {
    fn new(engine: &Engine, host: &Host, ast: &'a AST) -> Answer<Checker<'a>> {
        let mut members = members(ast);
        let mut modules = BTreeMap::new();
        for (path, alias, position) in imports(ast) {
            let script = modules::find(host, ast.source(), &path).map_err(|error| placed(ast, error, position))?;
            let imported = script.compile(engine, host)?;
            members.extend(self::members(&imported));
            let mut functions = functions(&imported);
            if Declared::functions_of(&imported).is_benchmark() {
                functions.entry("new".to_owned()).or_default().extend([0, 1]);
            }
            modules.insert(alias, functions);
        }
        // What `paper(...)` returns has methods that are written there.
        if calls(ast, PAPER) {
            let artifacts = modules::Script::built_in(PAPER_SCRIPT)?;
            members.extend(self::members(&artifacts.compile(engine, host)?));
        }
        Ok(Checker { ast, catalog: Catalog::of(engine), own: functions(ast), members, modules })
    }

    fn run(&self) -> Answer<()> {
        let mut found: Option<Box<EvalAltResult>> = None;
        self.ast.walk(&mut |path| {
            let result = match path.last() {
                Some(ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position))) => {
                    self.function(call, *position)
                }
                Some(ASTNode::Expr(Expr::MethodCall(call, position))) => self.method(call, *position),
                _ => Ok(()),
            };
            found = found.take().or(result.err());
            found.is_none()
        });
        found.map_or(Ok(()), Err)
    }

    fn function(&self, call: &FnCallExpr, position: Position) -> Answer<()> {
        let name = call.name.as_str();
        if call.is_operator_call() || !plain(name) {
            return Ok(());
        }
        if call.is_qualified() {
            return self.qualified(call, position);
        }
        if Catalog::is_keyword(name) {
            return Ok(());
        }
        self.any(name, call.args.len(), position, "function")
    }

    /// A call `value.name(...)`: a function whose first argument is the value, or one of the script that uses `this`.
    fn method(&self, call: &FnCallExpr, position: Position) -> Answer<()> {
        let name = call.name.as_str();
        if call.is_operator_call() || !plain(name) || Catalog::is_keyword(name) || self.members.contains(name) {
            return Ok(());
        }
        let given = call.args.len();
        if self.own.get(name).is_some_and(|arities| arities.contains(&given)) {
            return Ok(());
        }
        self.any(name, given + 1, position, "method")
    }

    fn any(&self, name: &str, given: usize, position: Position, what: &str) -> Answer<()> {
        let forms = self.catalog.forms(name);
        let own = self.own.get(name);
        let takes = forms.iter().map(|form| form.arity).chain(own.into_iter().flatten().copied()).collect::<BTreeSet<_>>();
        if takes.contains(&given) {
            return Ok(());
        }
        if takes.is_empty() {
            let known = self.catalog.names().chain(self.own.keys().map(String::as_str)).chain(self.members.iter().map(String::as_str));
            let help = match nearest(name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`caramba api` lists what there is".to_owned(),
            };
            return Err(placed(self.ast, Error::new(format!("there is no {what} `{name}`")).remedy(help), position));
        }
        // A method's object is its first argument, which nobody counts.
        let shown = |arity: usize| if what == "method" { arity - 1 } else { arity };
        let takes: Vec<usize> = takes.into_iter().filter(|&arity| what != "method" || arity > 0).map(shown).collect();
        let error = wrong_number(what, name, &takes, shown(given));
        let signatures: Vec<&str> = forms.iter().map(|form| form.signature.as_str()).take(4).collect();
        let error = if signatures.is_empty() { error } else { error.remedy(format!("it is {}", signatures.join(" or "))) };
        Err(placed(self.ast, error, position))
    }

    fn qualified(&self, call: &FnCallExpr, position: Position) -> Answer<()> {
        // A path of several names, or an import whose path is computed, is known when it runs only.
        let Some(functions) = self.modules.get(call.namespace.root()).filter(|_| call.namespace.path.len() == 1) else { return Ok(()) };
        let (name, given) = (call.name.as_str(), call.args.len());
        let error = match functions.get(name) {
            Some(takes) if takes.contains(&given) => return Ok(()),
            Some(takes) => wrong_number("function", name, &takes.iter().copied().collect::<Vec<_>>(), given),
            None => {
                let list = functions.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                let guess = nearest(name, functions.keys().map(String::as_str)).map(|near| format!("did you mean `{near}`? "));
                let error = Error::new(format!("`{}` has no function `{name}`", call.namespace.root()));
                error.remedy(format!("{}it has: {list}", guess.unwrap_or_default()))
            }
        };
        Err(placed(self.ast, error, position))
    }
}

fn wrong_number(what: &str, name: &str, takes: &[usize], given: usize) -> Error {
    let takes: Vec<String> = takes.iter().map(ToString::to_string).collect();
    let plural = if takes == ["1"] { "" } else { "s" };
    Error::new(format!("the {what} `{name}` takes {} argument{plural}, and is given {given}", takes.join(" or ")))
}

/// Whether a name is one that a person wrote (operators and the engine's own names have other characters).
fn plain(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// The function that begins a run, and the script whose object it returns.
const PAPER: &str = "paper";
const PAPER_SCRIPT: &str = "artifacts";

/// Whether a script calls a function of this name.
fn calls(ast: &AST, name: &str) -> bool {
    let mut found = false;
    ast.walk(&mut |path| {
        found |= match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) => call.name == name,
            _ => false,
        };
        !found
    });
    found
}

fn functions(ast: &AST) -> BTreeMap<String, BTreeSet<usize>> {
    let mut found: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for function in ast.iter_functions() {
        found.entry(function.name.to_owned()).or_default().insert(function.params.len());
    }
    found
}

fn members(ast: &AST) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    ast.walk(&mut |path| {
        match path.last() {
            Some(ASTNode::Expr(Expr::Map(entries, _))) => found.extend(entries.0.iter().map(|(name, _)| name.name.to_string())),
            Some(ASTNode::Expr(Expr::Property(names, _))) => {
                found.insert(names.2.to_string());
            }
            _ => {}
        }
        true
    });
    found
}
