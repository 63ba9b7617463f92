//! What can be told before a script runs: functions, methods and properties that there are not, wrong numbers and types of arguments, options and
//! parameters that nobody knows. A long run does not end on a misspelt name in its last line. All mistakes are found, not the first one.

mod options;
mod traps;

use super::catalog::{Catalog, nearest};
use super::failure::Answer;
use super::hints;
use super::host::Host;
use super::modules::{self, Declared};
use super::parameters::Parameters;
use super::types::{Types, variable};
use crate::error::Error;
use rhai::{AST, ASTNode, Dynamic, Engine, EvalAltResult, Expr, FnCallExpr, Position, Stmt};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

type Mistake = Box<EvalAltResult>;

/// What was found: mistakes, and what is probably not meant.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) mistakes: Vec<Mistake>,
    pub(super) warnings: Vec<Mistake>,
}

/// Checks one script; those that it imports are checked when they are loaded (or by [`check_deeply`]).
pub(super) fn check(engine: &Engine, host: &Host, ast: &AST) -> Answer<()> {
    let found = Checker::new(engine, host, ast, None)?.run();
    found.mistakes.into_iter().next().map_or(Ok(()), Err)
}

/// Checks a script and all that it imports by a literal name. `parameters` are those that it declares.
pub(super) fn check_deeply(engine: &Engine, host: &Host, ast: &AST, parameters: Option<&Parameters>, found: &mut Findings) {
    walk_imports(engine, host, ast, parameters, found, &mut BTreeSet::new());
}

fn walk_imports(
    engine: &Engine,
    host: &Host,
    ast: &AST,
    parameters: Option<&Parameters>,
    found: &mut Findings,
    seen: &mut BTreeSet<String>,
) {
    let mut missing = false;
    for (path, _, position) in imports(ast) {
        match modules::find(host, ast.source(), &path) {
            Err(error) => {
                found.mistakes.push(placed(ast, error, position));
                missing = true;
            }
            Ok(script) if seen.insert(script.name.clone()) => match script.compile(engine, host) {
                Ok(imported) => walk_imports(engine, host, &imported, None, found, seen),
                Err(error) => {
                    found.mistakes.push(error);
                    missing = true;
                }
            },
            Ok(_) => {}
        }
    }
    // What an import would have brought is not known to be missing.
    if missing {
        return;
    }
    match Checker::new(engine, host, ast, parameters) {
        Ok(checker) => {
            let mut own = checker.run();
            found.mistakes.append(&mut own.mistakes);
            found.warnings.append(&mut own.warnings);
        }
        Err(error) => found.mistakes.push(error),
    }
}

fn placed(ast: &AST, error: Error, position: Position) -> Mistake {
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

/// What an imported script has.
struct Imported {
    functions: BTreeMap<String, BTreeSet<usize>>,
    /// Of a benchmark.
    parameters: Option<Parameters>,
}

struct Checker<'a> {
    host: &'a Host,
    ast: &'a AST,
    catalog: &'static Catalog,
    types: Types,
    /// The script's own functions, with how many parameters.
    own: BTreeMap<String, BTreeSet<usize>>,
    /// Names that some map of the script has: one may hold a function, which is then called like a method.
    members: BTreeSet<String>,
    /// Alias of each imported script.
    modules: BTreeMap<String, Imported>,
    /// What the script itself declares, where that is known.
    parameters: Option<&'a Parameters>,
    found: RefCell<Findings>,
    /// Calls whose object is known: they were looked at with it.
    handled: RefCell<BTreeSet<(usize, usize)>>,
}

impl<'a> Checker<'a> {
    fn new(engine: &Engine, host: &'a Host, ast: &'a AST, parameters: Option<&'a Parameters>) -> Answer<Checker<'a>> {
        let mut members = members(ast);
        let mut modules = BTreeMap::new();
        for (path, alias, position) in imports(ast) {
            let script = modules::find(host, ast.source(), &path).map_err(|error| placed(ast, error, position))?;
            let imported = script.compile(engine, host)?;
            members.extend(self::members(&imported));
            let mut functions = functions(&imported);
            let mut parameters = None;
            if Declared::functions_of(&imported).is_benchmark() {
                functions.entry("new".to_owned()).or_default().extend([0, 1]);
                // What is wrong with its declaration is told when it is imported.
                parameters = modules::parameters_of(engine, host, &imported, &script).ok().flatten();
            }
            modules.insert(alias, Imported { functions, parameters });
        }
        // What `paper(...)` returns has methods that are written there.
        if calls(ast, PAPER) {
            let artifacts = modules::Script::built_in(PAPER_SCRIPT)?;
            members.extend(self::members(&artifacts.compile(engine, host)?));
        }
        let catalog = Catalog::of(engine);
        let types = Types::of(ast, catalog);
        let own = functions(ast);
        let (found, handled) = (RefCell::default(), RefCell::default());
        Ok(Checker { host, ast, catalog, types, own, members, modules, parameters, found, handled })
    }

    fn run(self) -> Findings {
        self.ast.walk(&mut |path| {
            let parent = path.len().checked_sub(2).map(|at| &path[at]);
            match path.last() {
                Some(ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position))) => {
                    self.function(call, *position);
                    self.look_at_call(path, call, *position);
                }
                Some(ASTNode::Expr(expression @ Expr::Dot(parts, ..))) => {
                    let parent = parent.copied();
                    let inner =
                        matches!(parent, Some(ASTNode::Expr(Expr::Dot(outer, ..))) if std::ptr::eq(&raw const outer.rhs, *expression));
                    let written =
                        matches!(parent, Some(ASTNode::Stmt(Stmt::Assignment(of))) if std::ptr::eq(&raw const of.1.lhs, *expression));
                    if is_element(path) {
                        // `rows[0].name`: the parser puts `0.name` behind `rows`.
                        self.chain(None, &parts.rhs, written);
                    } else if !inner {
                        self.arguments(&parts.lhs, &parts.rhs);
                        let kind = self.types.expression(self.catalog, &parts.lhs);
                        self.chain(kind, &parts.rhs, written);
                    }
                }
                Some(ASTNode::Expr(Expr::MethodCall(call, position))) => {
                    self.method(call, *position);
                    self.look_at_call(path, call, *position);
                }
                Some(ASTNode::Expr(Expr::StringConstant(text, position))) => self.look_at_text(text, *position),
                _ => {}
            }
            true
        });
        self.look_at_functions();
        let mut found = self.found.into_inner();
        found.mistakes.sort_by_key(place_of);
        found.warnings.sort_by_key(place_of);
        found
    }

    fn mistake(&self, error: Error, position: Position) {
        self.found.borrow_mut().mistakes.push(placed(self.ast, error, position));
    }

    fn function(&self, call: &FnCallExpr, position: Position) {
        let name = call.name.as_str();
        if call.is_operator_call() || !plain(name) {
            return;
        }
        if call.is_qualified() {
            return self.qualified(call, position);
        }
        if Catalog::is_keyword(name) {
            return;
        }
        let error = self.any(name, call.args.len(), "function");
        let known = error.is_none() && !self.own.contains_key(name);
        error.into_iter().for_each(|error| self.mistake(error, position));
        if known {
            let given: Vec<Option<String>> = call.args.iter().map(|argument| self.types.expression(self.catalog, argument)).collect();
            self.typed(call, &given, position);
        }
    }

    /// A call `value.name(...)` of a value whose type is not known: a function whose first argument is the value, or one of the script that uses `this`.
    fn method(&self, call: &FnCallExpr, position: Position) {
        let name = call.name.as_str();
        let handled = self.handled.borrow().contains(&(position.line().unwrap_or(0), position.position().unwrap_or(0)));
        if handled || call.is_operator_call() || !plain(name) || Catalog::is_keyword(name) || self.members.contains(name) {
            return;
        }
        let given = call.args.len();
        if self.own.get(name).is_some_and(|arities| arities.contains(&given)) {
            return;
        }
        match self.any(name, given + 1, "method") {
            Some(error) => self.mistake(error, position),
            None => {
                let arguments = call.args.iter().map(|argument| self.types.expression(self.catalog, argument));
                let given: Vec<Option<String>> = std::iter::once(None).chain(arguments).collect();
                self.typed(call, &given, position);
            }
        }
    }

    /// What stands behind the dots after a value of type `kind`. `written`: a value is assigned to the last of it.
    fn chain(&self, kind: Option<String>, member: &Expr, written: bool) {
        match member {
            Expr::Dot(parts, ..) => {
                self.chain(kind.clone(), &parts.lhs, false);
                self.chain(kind.and_then(|kind| self.types.member(self.catalog, &kind, &parts.lhs)), &parts.rhs, written);
            }
            Expr::MethodCall(call, position) => {
                if let Some(kind) = kind.filter(|kind| kind != "map" && kind != "any") {
                    self.handled.borrow_mut().insert((position.line().unwrap_or(0), position.position().unwrap_or(0)));
                    self.method_of(&kind, call, *position);
                }
            }
            Expr::Property(names, position) => {
                if let Some(kind) = kind.filter(|kind| self.catalog.is_closed(kind)) {
                    let missing =
                        if written { !self.catalog.has_setter(&kind, &names.2) } else { self.catalog.property(&kind, &names.2).is_none() };
                    if missing {
                        self.mistake(hints::no_property(self.catalog, &kind, &names.2, written), *position);
                    }
                }
            }
            _ => {}
        }
    }

    fn method_of(&self, kind: &str, call: &FnCallExpr, position: Position) {
        let name = call.name.as_str();
        let given = call.args.len();
        if call.is_operator_call() || !plain(name) || Catalog::is_keyword(name) {
            return;
        }
        if self.own.get(name).is_some_and(|arities| arities.contains(&given)) {
            return;
        }
        let forms: Vec<_> = self.catalog.forms(name).iter().filter(|form| form.is_method_of(kind)).collect();
        if forms.iter().any(|form| form.arity == given + 1) {
            let arguments = call.args.iter().map(|argument| self.types.expression(self.catalog, argument));
            let all: Vec<Option<String>> = std::iter::once(Some(kind.to_owned())).chain(arguments).collect();
            return self.typed(call, &all, position);
        }
        if forms.is_empty() && given == 0 && self.catalog.property(kind, name).is_some() {
            let error = Error::new(format!("`{name}` of {} is a property", hints::a(kind)));
            return self.mistake(error.remedy(format!("leave the brackets out: write {name}")), position);
        }
        self.mistake(
            if forms.is_empty() {
                let known = self.catalog.methods(kind).chain(self.catalog.properties(kind));
                hints::no_function(
                    &format!("{} has no method `{name}`", hints::a(kind)),
                    name,
                    known,
                    &format!("`caramba docs {kind}` lists what it has"),
                )
            } else {
                let takes: BTreeSet<usize> = forms.iter().map(|form| form.arity - 1).collect();
                let error = wrong_number("method", name, &takes.into_iter().collect::<Vec<_>>(), given);
                match hints::signatures(forms.into_iter()) {
                    Some(signatures) => error.remedy(format!("it is {signatures}")),
                    None => error,
                }
            },
            position,
        );
    }

    /// Whether some form of a documented function takes arguments of these types, and knows the options that are written out.
    fn typed(&self, call: &FnCallExpr, given: &[Option<String>], position: Position) {
        let forms = self.catalog.forms(&call.name);
        let same_number: Vec<_> = forms.iter().filter(|form| form.arity == given.len()).collect();
        if same_number.is_empty() || self.own.contains_key(call.name.as_str()) {
            return;
        }
        let is_text = |at: &usize| given[*at].as_deref() == Some("text");
        let of_tokens = |at: &usize| same_number.iter().all(|form| form.parameter(*at) == Some("tokens"));
        if (0..given.len()).filter(is_text).any(|at| of_tokens(&at)) {
            let error = Error::new(format!("`{}` takes tokens, and is given text", call.name));
            return self.mistake(error.remedy("model.tokenize(text) makes tokens of text"), position);
        }
        if !same_number.iter().any(|form| form.takes(given)) && given.iter().all(Option::is_some) {
            let kinds: Vec<String> = given.iter().flatten().cloned().collect();
            return self.mistake(hints::wrong_types(self.catalog, &call.name, &kinds), position);
        }
        self.options(call, &same_number, given.len(), position);
    }

    fn any(&self, name: &str, given: usize, what: &str) -> Option<Error> {
        let forms = self.catalog.forms(name);
        let own = self.own.get(name);
        let takes = forms.iter().map(|form| form.arity).chain(own.into_iter().flatten().copied()).collect::<BTreeSet<_>>();
        if takes.contains(&given) {
            return None;
        }
        if takes.is_empty() && what == "function" && self.declares(name) {
            let error = Error::new(format!("`{name}` is a variable, and is called as a function"));
            return Some(
                error.remedy(format!(
                    "a function that it holds is called as {name}.call(...); what it can do itself, as {name}.method(...)"
                )),
            );
        }
        if takes.is_empty() {
            let known = self.catalog.names().chain(self.own.keys().map(String::as_str)).chain(self.members.iter().map(String::as_str));
            return Some(hints::no_function(&format!("there is no {what} `{name}`"), name, known, "`caramba docs` lists what there is"));
        }
        // A method's object is its first argument, which nobody counts.
        let shown = |arity: usize| if what == "method" { arity - 1 } else { arity };
        let takes: Vec<usize> = takes.into_iter().filter(|&arity| what != "method" || arity > 0).map(shown).collect();
        let error = wrong_number(what, name, &takes, shown(given));
        if name == "print" {
            return Some(error.remedy("print takes one value: print(`${a} ${b}`)"));
        }
        Some(match hints::signatures(forms.iter()) {
            Some(signatures) => error.remedy(format!("it is {signatures}")),
            None => error,
        })
    }

    /// Whether the script declares a variable of this name.
    fn declares(&self, name: &str) -> bool {
        let mut found = false;
        self.ast.walk(&mut |path| {
            found |= matches!(path.last(), Some(ASTNode::Stmt(Stmt::Var(parts, ..))) if parts.0.name == name);
            !found
        });
        found
    }

    fn qualified(&self, call: &FnCallExpr, position: Position) {
        // A path of several names, or an import whose path is computed, is known when it runs only.
        let root = call.namespace.root();
        let Some(module) = self.modules.get(root).filter(|_| call.namespace.path.len() == 1) else { return };
        let (name, given) = (call.name.as_str(), call.args.len());
        let functions = &module.functions;
        let error = match functions.get(name) {
            Some(takes) if takes.contains(&given) => {
                if let (Some(parameters), "new", Some(Expr::Map(entries, _))) = (&module.parameters, name, call.args.first()) {
                    self.parameters(root, parameters, &entries.0, position);
                }
                return;
            }
            Some(takes) => wrong_number("function", name, &takes.iter().copied().collect::<Vec<_>>(), given),
            None => {
                let known = || functions.keys().map(String::as_str).filter(|name| !name.starts_with("anon$"));
                let list = known().collect::<Vec<_>>().join(", ");
                let guess = nearest(name, known()).map(|near| format!("did you mean `{near}`? "));
                let error = Error::new(format!("`{root}` has no function `{name}`"));
                error.remedy(format!("{}it has: {list}", guess.unwrap_or_default()))
            }
        };
        self.mistake(error, position);
    }

    /// `args.name`, of a script that declares its parameters.
    fn arguments(&self, object: &Expr, member: &Expr) {
        let (Some("args"), Some(parameters)) = (variable(object), self.parameters) else { return };
        self.declared(parameters, member, "args");
    }

    /// That what is read of `args` or `config` was declared.
    fn declared(&self, parameters: &Parameters, member: &Expr, object: &str) {
        let property = match member {
            Expr::Dot(parts, ..) | Expr::Index(parts, ..) => &parts.lhs,
            other => other,
        };
        if let Expr::Property(names, position) = property
            && !parameters.has(&names.2)
            && !(object == "args" && names.2 == "rest")
        {
            let known: Vec<&str> = parameters.names().collect();
            let near = nearest(&names.2, known.iter().copied()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            let error = Error::new(format!("PARAMETERS declares no `{}`", names.2));
            self.mistake(error.remedy(format!("{near}declared are: {}", known.join(", "))), *position);
        }
    }
}

/// Whether the last node is what follows an index: of `rows[0].name`, the parser makes `rows` and `0.name`.
fn is_element(path: &[ASTNode]) -> bool {
    match path {
        [.., ASTNode::Expr(Expr::Index(outer, ..)), ASTNode::Expr(expression)] => std::ptr::eq(&raw const outer.rhs, *expression),
        _ => false,
    }
}

fn place_of(mistake: &Mistake) -> (usize, usize) {
    let position = mistake.unwrap_inner().position();
    (position.line().unwrap_or(0), position.position().unwrap_or(0))
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
            Some(ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) => {
                call.name == name
            }
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
