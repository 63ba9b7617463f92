//! What Rhai does silently and nobody means: told as warnings.

use super::{Checker, calls, is_element, placed};
use crate::error::Error;
use crate::script::catalog::nearest;
use crate::script::modules::Declared;
use crate::script::types::variable;
use regex::Regex;
use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The functions of a benchmark that the runner calls.
pub(super) const HOOKS: &[&str] = &[
    "cells", "check", "measure", "prepare", "sample", "derive", "details", "about", "subject", "work", "headline", "charts", "reading",
    "run",
];

/// Methods that change their object and are called for nothing else.
const CHANGING: &[&str] = &["push", "append", "insert", "clear", "truncate", "pad", "set", "mixin"];

static PLACEHOLDER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\$\{\s*[A-Za-z_][\w.]*(\([^)]*\))?[^}]*\}").ok());

impl Checker<'_> {
    fn warning(&self, message: impl Into<String>, help: impl Into<String>, position: Position) {
        self.found.borrow_mut().warnings.push(placed(self.ast, Error::new(message).remedy(help), position));
    }

    /// `"v ${x}"`: only backticks put values in.
    pub(super) fn look_at_text(&self, text: &str, position: Position) {
        let Some(found) = PLACEHOLDER.as_ref().and_then(|regex| regex.find(text)) else { return };
        let source = self.ast.source().and_then(|name| self.host.source(name));
        let begins = source.and_then(|source| {
            let place = source.place(position);
            source.text.lines().nth(place.line()?.checked_sub(1)?)?.chars().nth(place.position()?.checked_sub(1)?)
        });
        if begins == Some('"') {
            self.warning(format!("`{}` stays as it is in plain quotes", found.as_str()), format!("write backticks: `{text}`"), position);
        }
    }

    /// A division that loses its fraction; a closure that remembers a loop's variable.
    pub(super) fn look_at_call(&self, path: &[ASTNode], call: &FnCallExpr, position: Position) {
        if call.is_operator_call() && call.name == "/" && call.args.len() == 2 {
            self.look_at_division(path, call, position);
        }
        if ["push", "insert", "set"].contains(&call.name.as_str()) {
            for argument in &call.args {
                self.look_at_closure(path, argument, position);
            }
        }
    }

    fn look_at_division(&self, path: &[ASTNode], call: &FnCallExpr, position: Position) {
        if let [Expr::IntegerConstant(a, _), Expr::IntegerConstant(b, _)] = call.args[..] {
            if b != 0 && a % b != 0 {
                self.warning(format!("{a} / {b} of integers is {}: the fraction is lost", a / b), format!("write {a}.0 / {b}"), position);
            }
            return;
        }
        // A value of a map may be a metric.
        let parent = path.len().checked_sub(2).map(|at| &path[at]);
        let integer = |expression: &Expr| {
            matches!(last_member(expression), Some("len")) || self.types.expression(self.catalog, expression).as_deref() == Some("integer")
        };
        if matches!(parent, Some(ASTNode::Expr(Expr::Map(..)))) && call.args.iter().all(integer) {
            self.warning("this divides integers: the fraction is lost", "write a.to_float() / b where a share is meant", position);
        }
    }

    fn look_at_closure(&self, path: &[ASTNode], argument: &Expr, position: Position) {
        // A closure that remembers something is a block: what it shares, and the call that makes it.
        let Expr::Stmt(block) = argument else { return };
        let Some(Stmt::Expr(made)) = block.statements().last() else { return };
        let Expr::FnCall(curry, _) = made.as_ref() else { return };
        let captured: BTreeSet<&str> = curry.args.iter().skip(1).filter_map(variable).collect();
        let of_loop = path.iter().find_map(|node| match node {
            ASTNode::Stmt(Stmt::For(parts, _)) if captured.contains(parts.0.name.as_str()) => Some(parts.0.name.as_str()),
            _ => None,
        });
        if let Some(name) = of_loop {
            self.warning(
                format!("every one of these closures sees the same `{name}`: the last one of the loop"),
                format!("give it a name of its own in the loop: let this_{name} = {name};"),
                position,
            );
        }
    }

    /// Functions that change copies; functions of a benchmark that nobody calls; parameters that were not declared.
    pub(super) fn look_at_functions(&self) {
        let benchmark = Declared::functions_of(self.ast).is_benchmark();
        let mut functions: Vec<Seen> = Vec::new();
        for function in self.ast.iter_fn_def().filter(|function| !function.name.starts_with("anon$")) {
            let begin = function.body.start_position();
            functions.push(Seen {
                name: function.name.to_string(),
                parameters: function.params.iter().map(|name| (name.to_string(), Changes::default())).collect(),
                span: (order(begin), order(function.body.end_position())),
            });
            let name = function.name.as_str();
            if benchmark
                && !HOOKS.contains(&name)
                && !calls(self.ast, name)
                && let Some(near) = nearest(name, HOOKS.iter().copied()).filter(|near| self.own.keys().all(|own| own != near))
            {
                self.warning(format!("`{name}` is called by nobody"), format!("a benchmark's function is `{near}`"), begin);
            }
        }
        let mut inside: Option<usize> = None;
        self.ast.walk(&mut |path| {
            // A closure's statements stand in the function around it.
            if let [statement] = path {
                let at = order(statement.position());
                inside = functions.iter().position(|function| function.span.0 <= at && at <= function.span.1);
            }
            if let Some(function) = inside.and_then(|index| functions.get_mut(index)) {
                if benchmark && HOOKS.contains(&function.name.as_str()) && function.parameters.iter().any(|(name, _)| name == "config") {
                    self.look_at_config(path);
                }
                function.parameters.iter_mut().for_each(|(name, changes)| changes.look(name, path));
            }
            true
        });
        // Arguments are copies: what a function does to one is lost unless it returns it.
        for function in &functions {
            for (name, changes) in &function.parameters {
                if let Some(position) = changes.places.first().filter(|_| changes.uses == changes.places.len()) {
                    let called = &function.name;
                    self.warning(
                        format!("`{name}` is a copy here: what `{called}` does to it is lost"),
                        format!("return it, and assign what comes back: {name} = {called}({name}, ...)"),
                        *position,
                    );
                }
            }
        }
    }

    fn look_at_config(&self, path: &[ASTNode]) {
        if let Some(parameters) = self.parameters
            && let Some(ASTNode::Expr(Expr::Dot(parts, ..))) = path.last()
            && !is_element(path)
            && variable(&parts.lhs) == Some("config")
        {
            let same = |lhs: &Expr| matches!(lhs, Expr::Dot(other, ..) if std::ptr::eq(&raw const other.rhs, &raw const parts.rhs));
            let written = path.iter().any(|node| matches!(node, ASTNode::Stmt(Stmt::Assignment(of)) if same(&of.1.lhs)));
            if !written {
                self.declared(parameters, &parts.rhs, "config");
            }
        }
    }
}

/// A function, and what it does to its parameters.
struct Seen {
    name: String,
    parameters: Vec<(String, Changes)>,
    span: ((usize, usize), (usize, usize)),
}

#[derive(Default)]
struct Changes {
    uses: usize,
    /// Statements that only change it.
    places: Vec<Position>,
}

impl Changes {
    fn look(&mut self, name: &str, path: &[ASTNode]) {
        match path.last() {
            Some(ASTNode::Expr(Expr::Variable(parts, ..))) if parts.1 == name => self.uses += 1,
            Some(ASTNode::Expr(Expr::Dot(parts, ..))) if variable(&parts.lhs) == Some(name) && !is_element(path) => {
                let statement = matches!(path.len().checked_sub(2).map(|at| &path[at]), Some(ASTNode::Stmt(Stmt::Expr(_))));
                if let Expr::MethodCall(call, position) = &parts.rhs
                    && statement
                    && CHANGING.contains(&call.name.as_str())
                {
                    self.places.push(*position);
                }
            }
            _ => {}
        }
    }
}

fn order(position: Position) -> (usize, usize) {
    (position.line().unwrap_or(0), position.position().unwrap_or(0))
}

/// The last name of `a.b.len` or `a.b.len()`.
fn last_member(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Dot(parts, ..) => last_member(&parts.rhs),
        Expr::Property(names, _) => Some(names.2.as_str()),
        Expr::MethodCall(call, _) => Some(call.name.as_str()),
        _ => None,
    }
}
