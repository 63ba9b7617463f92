//! What is known of the types of a script's expressions without running it: those of what is written out, of what documented functions return,
//! and of variables that are given a value once. Everything else is unknown, and then nothing is said.

use super::catalog::Catalog;
use rhai::{AST, ASTNode, Expr, FnCallExpr, Stmt};
use std::collections::{BTreeMap, BTreeSet};

/// Types of a script's variables.
pub(super) struct Types {
    variables: BTreeMap<String, String>,
    /// The script's own functions: what they return is not known.
    own: BTreeSet<String>,
}

impl Types {
    pub(super) fn of(ast: &AST, catalog: &Catalog) -> Types {
        let own = ast.iter_functions().map(|function| function.name.to_owned()).collect();
        let mut types = Types { variables: BTreeMap::new(), own };
        // Names that have more than one meaning in the script, or more than one value.
        let mut unsure: BTreeSet<String> = BTreeSet::new();
        for function in ast.iter_fn_def() {
            unsure.extend(function.params.iter().map(ToString::to_string));
        }
        let mut declared: Vec<(String, Expr)> = Vec::new();
        ast.walk(&mut |path| {
            match path.last() {
                Some(ASTNode::Stmt(Stmt::Var(parts, ..))) => {
                    let name = parts.0.name.to_string();
                    if declared.iter().any(|(known, _)| *known == name) {
                        unsure.insert(name.clone());
                    }
                    declared.push((name, parts.1.clone()));
                }
                Some(ASTNode::Stmt(Stmt::For(parts, _))) => {
                    unsure.insert(parts.0.name.to_string());
                    unsure.extend(parts.1.iter().map(|counter| counter.name.to_string()));
                }
                Some(ASTNode::Stmt(Stmt::TryCatch(parts, _))) => unsure.extend(variable(&parts.expr).map(str::to_owned)),
                Some(ASTNode::Stmt(Stmt::Assignment(parts))) => unsure.extend(variable(&parts.1.lhs).map(str::to_owned)),
                _ => {}
            }
            true
        });
        for (name, value) in declared {
            if !unsure.contains(&name)
                && let Some(kind) = types.expression(catalog, &value)
            {
                types.variables.insert(name, kind);
            }
        }
        types
    }

    /// With more variables of known types.
    pub(super) fn and(mut self, known: impl Iterator<Item = (String, String)>) -> Types {
        self.variables.extend(known);
        self
    }

    /// The type of an expression, where that is known.
    pub(super) fn expression(&self, catalog: &Catalog, expression: &Expr) -> Option<String> {
        let plain = match expression {
            Expr::IntegerConstant(..) => "integer",
            Expr::FloatConstant(..) => "float",
            Expr::BoolConstant(..) => "bool",
            Expr::StringConstant(..) | Expr::InterpolatedString(..) => "text",
            Expr::Array(..) => "array",
            Expr::Map(..) => "map",
            Expr::Unit(..) => "()",
            Expr::Variable(..) => return self.variables.get(variable(expression)?).cloned(),
            Expr::FnCall(call, _) if !call.is_qualified() && !call.is_operator_call() => {
                let given: Vec<Option<String>> = call.args.iter().map(|argument| self.expression(catalog, argument)).collect();
                return self.returned(catalog, call, &given);
            }
            Expr::Dot(parts, ..) => {
                let kind = self.expression(catalog, &parts.lhs)?;
                return self.member(catalog, &kind, &parts.rhs);
            }
            _ => return None,
        };
        Some(plain.to_owned())
    }

    /// The type of what stands behind the dot after a value of type `kind`.
    pub(super) fn member(&self, catalog: &Catalog, kind: &str, member: &Expr) -> Option<String> {
        match member {
            Expr::Dot(parts, ..) => {
                let kind = self.member(catalog, kind, &parts.lhs)?;
                self.member(catalog, &kind, &parts.rhs)
            }
            Expr::Property(names, _) => catalog.property(kind, &names.2).filter(|kind| is_sure(kind)).map(str::to_owned),
            Expr::MethodCall(call, _) if kind != "map" => {
                let arguments = call.args.iter().map(|argument| self.expression(catalog, argument));
                let given: Vec<Option<String>> = std::iter::once(Some(kind.to_owned())).chain(arguments).collect();
                self.returned(catalog, call, &given)
            }
            _ => None,
        }
    }

    /// What all forms that take these arguments return, where they agree.
    fn returned(&self, catalog: &Catalog, call: &FnCallExpr, given: &[Option<String>]) -> Option<String> {
        if self.own.contains(call.name.as_str()) {
            return None;
        }
        let kinds: BTreeSet<&str> =
            catalog.forms(&call.name).iter().filter(|form| form.takes(given)).map(|form| form.returns.as_str()).collect();
        let mut kinds = kinds.into_iter();
        let only = kinds.next().filter(|kind| is_sure(kind))?;
        kinds.next().is_none().then(|| only.to_owned())
    }
}

fn is_sure(kind: &str) -> bool {
    !kind.is_empty() && kind != "any" && kind.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// The name of a plain variable.
pub(super) fn variable(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Variable(parts, ..) if parts.2.is_empty() => Some(parts.1.as_str()),
        _ => None,
    }
}
