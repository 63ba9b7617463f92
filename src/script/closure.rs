//! A script's function as an expression that kernels can hold: its syntax tree, with what it has captured put in.
//!
//! Values of a script that are known when this is done (captured numbers, lists, maps) go in as constants and tables; calls of the script's own functions
//! are put in where they are called. Both branches of an `if` are computed and one is selected, so that there is no control flow on the device.

use super::numbers::Numbers;
use super::values::described;
use crate::error::{Error, Result};
use crate::runtime::hooks::expression::{Binary, PLACES, Place, Unary};
use crate::runtime::hooks::{Constant, Expression, Kind, Operation, Table, TableValues};
use rhai::{AST, ASTNode, INT, Shared};
use rhai::{ASTFlags, Dynamic, Expr, FnCallExpr, FnPtr, Module, Position, ScriptFuncDef, Stmt};

/// What a mistake in a function can be answered with.
const POSSIBLE: &str = "what runs on the device can hold: let, if, return, assignments to its own variables, + - * / % **, comparisons, && || !, min max abs exp log log2 \
    sqrt tanh sigmoid floor ceiling round pow clamp to_float to_int, calls of functions of this script, captured numbers and lists of numbers by index, and \
    at.query, at.key, at.head, at.kv_head, at.layer, at.sequence, at.length";

/// Steps of one translation: functions that call functions grow fast.
const MOST_STEPS: usize = 100_000;

/// Parameters, captured variables among them, that a function is looked for with.
const MOST_PARAMETERS: usize = 64;

/// A mistake, and where it is in which script.
pub(super) struct Mistake {
    pub error: Error,
    pub position: Position,
    pub source: Option<String>,
}

/// What a function of attention is called with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    Score,
    At,
    Layer,
}

/// The expression of `function`, whose functions are found in `modules`, and whose result is of this kind.
pub(super) fn translate(
    modules: &[&Module],
    function: &FnPtr,
    parameters: &[Parameter],
    kind: Kind,
) -> std::result::Result<Expression, Box<Mistake>> {
    let mut translator = Translator { modules, expression: Expression::default(), calls: Vec::new(), steps: 0, source: None };
    match translator.function(function, parameters, kind) {
        Ok(result) => {
            translator.expression.set_result(result);
            Ok(translator.expression)
        }
        Err((error, position)) => Err(Box::new(Mistake { error, position, source: translator.source })),
    }
}

type Found<T> = std::result::Result<T, (Error, Position)>;

/// A value as the translation knows it.
#[derive(Debug, Clone)]
enum Term {
    Value(usize),
    At,
    /// A value of the script: a number, a list, a map.
    Given(Dynamic),
    /// A list, some of whose dimensions were indexed: elements of what is left, and where they begin.
    Part {
        table: usize,
        sizes: Vec<usize>,
        offset: usize,
    },
}

/// Variables, the latest last. The first `fixed` of them were captured.
#[derive(Debug, Clone, Default)]
struct Scope {
    variables: Vec<(String, Term)>,
    fixed: usize,
}

impl Scope {
    fn get(&self, name: &str) -> Option<&Term> {
        self.variables.iter().rev().find(|(known, _)| known == name).map(|(_, term)| term)
    }
}

/// What is done when a block has ended: the statements behind it.
struct After<'a> {
    statements: &'a [Stmt],
    /// How many variables are seen there.
    depth: usize,
    end: Position,
    next: Option<&'a After<'a>>,
}

#[derive(Clone, Copy)]
enum Link {
    Dot,
    Index,
}

struct Translator<'a> {
    modules: &'a [&'a Module],
    expression: Expression,
    /// Functions that are being put in.
    calls: Vec<String>,
    steps: usize,
    /// The script that the mistake is in.
    source: Option<String>,
}

fn refused<T>(what: impl Into<String>, position: Position) -> Found<T> {
    Err((Error::new(what).remedy(POSSIBLE), position))
}

/// Where a result is an error, it is at `position`.
fn placed<T>(result: Result<T>, position: Position) -> Found<T> {
    result.map_err(|error| (error, position))
}

impl Translator<'_> {
    fn find(&self, name: &str, arity: usize) -> Option<(Shared<ScriptFuncDef>, Option<String>)> {
        self.modules.iter().find_map(|module| Some((module.get_script_fn(name, arity)?.clone(), module.id().map(str::to_owned))))
    }

    /// How many arguments a function of the script takes.
    fn arity(&self, name: &str) -> Option<usize> {
        (0..MOST_PARAMETERS).find(|&arity| self.find(name, arity).is_some())
    }

    fn function(&mut self, function: &FnPtr, parameters: &[Parameter], kind: Kind) -> Found<usize> {
        let (captured, count) = (function.curry(), parameters.len());
        let Some((definition, source)) = self.find(function.fn_name(), captured.len() + count) else {
            let error = match self.arity(function.fn_name()).map(|arity| arity.saturating_sub(captured.len())) {
                Some(arity) => {
                    Error::new(format!("the function takes {arity} argument{}, expected {count}", if arity == 1 { "" } else { "s" }))
                        .remedy(shape(parameters))
                }
                None => Error::new(format!("the function `{}` is not one of this script", function.fn_name()))
                    .remedy(format!("write it where attention(...) is called: {}", shape(parameters))),
            };
            return Err((error, Position::NONE));
        };
        self.source = source;
        let mut scope = Scope::default();
        for (name, value) in definition.params.iter().zip(captured) {
            scope.variables.push((name.to_string(), Term::Given(value.flatten_clone())));
        }
        scope.fixed = captured.len();
        for (name, parameter) in definition.params.iter().skip(captured.len()).zip(parameters) {
            let term = match parameter {
                Parameter::Score => Term::Value(placed(self.expression.add(Operation::Score), Position::NONE)?),
                Parameter::At => Term::At,
                Parameter::Layer => Term::Value(placed(self.expression.add(Operation::Place(Place::Layer)), Position::NONE)?),
            };
            scope.variables.push((name.to_string(), term));
        }
        self.calls.push(function.fn_name().to_owned());
        let end = definition.body.start_position();
        let result = self.statements(&body(&definition), scope, None, end)?;
        let id = self.value(result, end)?;
        match (self.expression.kind(id), kind) {
            (found, expected) if found == expected => Ok(id),
            (Kind::Int, Kind::Float) => placed(self.expression.add(Operation::Unary(Unary::ToFloat, id)), end),
            (found, expected) => {
                let error = Error::new(format!("the function gives {}, expected {}", found.name(), expected.name()));
                Err((error.remedy(shape(parameters)), end))
            }
        }
    }

    fn step(&mut self, position: Position) -> Found<()> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Err((
                Error::new("the function is too long with all the functions that it calls")
                    .remedy("compute outside of it what doesn't depend on `at` or the score"),
                position,
            ));
        }
        Ok(())
    }

    /// Statements in order, then those behind the block.
    fn statements(&mut self, list: &[Stmt], mut scope: Scope, after: Option<&After>, end: Position) -> Found<Term> {
        for (index, statement) in list.iter().enumerate() {
            self.step(statement.position())?;
            let rest = &list[index + 1..];
            let is_result = after.is_none() && rest.iter().all(|statement| matches!(statement, Stmt::Noop(_)));
            let next = After { statements: rest, depth: scope.variables.len(), end, next: after };
            let next = if is_result { None } else { Some(&next) };
            match statement {
                Stmt::Noop(_) => {}
                Stmt::Var(parts, _, _) => {
                    let value = self.expression(&parts.1, &scope)?;
                    scope.variables.push((parts.0.name.to_string(), value));
                }
                Stmt::Assignment(parts) => self.assign(&parts.0, &parts.1, &mut scope)?,
                Stmt::Return(Some(value), flags, _) if !flags.contains(ASTFlags::BREAK) => return self.expression(value, &scope),
                Stmt::Block(block) => return self.statements(block.statements(), scope, next, block.end_position()),
                Stmt::If(parts, position) => {
                    let condition = self.truth(&parts.expr, &scope)?;
                    if is_result && parts.branch.is_empty() {
                        let error = Error::new("this `if` gives nothing where its condition doesn't hold");
                        return Err((error.remedy("give it an else branch, or return a value behind it"), *position));
                    }
                    // Where the condition is known, the other branch need not even be possible.
                    if let Some(Constant::Bool(known)) = self.expression.constant(condition) {
                        let branch = if known { &parts.body } else { &parts.branch };
                        return self.statements(branch.statements(), scope, next, branch.end_position());
                    }
                    let yes = self.statements(parts.body.statements(), scope.clone(), next, parts.body.end_position())?;
                    let no = self.statements(parts.branch.statements(), scope, next, parts.branch.end_position())?;
                    return self.select(condition, yes, no, *position);
                }
                Stmt::Expr(value) => {
                    let value = self.expression(value, &scope)?;
                    if is_result {
                        return Ok(value);
                    }
                }
                Stmt::FnCall(call, position) => {
                    let value = self.call(call, *position, &scope)?;
                    if is_result {
                        return Ok(value);
                    }
                }
                Stmt::While(_, position) | Stmt::Do(_, _, position) | Stmt::For(_, position) | Stmt::BreakLoop(_, _, position) => {
                    return refused("a function of attention cannot hold a loop", *position);
                }
                Stmt::Return(_, _, position) => return refused("a function of attention has to return a value", *position),
                Stmt::Switch(_, position) => return refused("a function of attention cannot hold a switch: write if and else", *position),
                other => return refused("a function of attention cannot hold this", other.position()),
            }
        }
        match after {
            Some(after) => {
                scope.variables.truncate(after.depth);
                self.statements(after.statements, scope, after.next, after.end)
            }
            None => refused("the function ends without a value", end),
        }
    }

    fn assign(&mut self, operator: &rhai::OpAssignment, parts: &rhai::BinaryExpr, scope: &mut Scope) -> Found<()> {
        let position = operator.position();
        let Expr::Variable(name, ..) = &parts.lhs else {
            return refused("only a variable can be assigned to", parts.lhs.position());
        };
        let Some(at) = scope.variables.iter().rposition(|(known, _)| *known == name.1.as_str()) else {
            return refused(format!("there is no variable `{}`", name.1), parts.lhs.position());
        };
        if at < scope.fixed {
            return refused(format!("`{}` is captured: it is a constant here", name.1), parts.lhs.position());
        }
        let mut value = self.expression(&parts.rhs, scope)?;
        if let Some((.., symbol)) = operator.get_op_assignment_info() {
            let before = scope.variables[at].1.clone();
            value = self.operator(symbol, vec![before, value], position)?;
        }
        scope.variables[at].1 = value;
        Ok(())
    }

    fn select(&mut self, condition: usize, yes: Term, no: Term, position: Position) -> Found<Term> {
        let (yes, no) = (self.value(yes, position)?, self.value(no, position)?);
        let (yes, no) = self.alike(yes, no, position)?;
        Ok(Term::Value(placed(self.expression.add(Operation::Select { condition, yes, no }), position)?))
    }

    /// Two values of one kind: an integer beside a float is made one.
    fn alike(&mut self, a: usize, b: usize, position: Position) -> Found<(usize, usize)> {
        let (a_kind, b_kind) = (self.expression.kind(a), self.expression.kind(b));
        let mut float = |id| placed(self.expression.add(Operation::Unary(Unary::ToFloat, id)), position);
        match (a_kind, b_kind) {
            (a_kind, b_kind) if a_kind == b_kind => Ok((a, b)),
            (Kind::Int, Kind::Float) => Ok((float(a)?, b)),
            (Kind::Float, Kind::Int) => Ok((a, float(b)?)),
            (a_kind, b_kind) => {
                Err((Error::new(format!("{} meets {}: expected both to be of one kind", a_kind.name(), b_kind.name())), position))
            }
        }
    }

    fn truth(&mut self, expression: &Expr, scope: &Scope) -> Found<usize> {
        let position = expression.start_position();
        let term = self.expression(expression, scope)?;
        let id = self.value(term, position)?;
        match self.expression.kind(id) {
            Kind::Bool => Ok(id),
            kind => Err((Error::new(format!("this is {}: expected true or false", kind.name())), position)),
        }
    }

    /// The value of a term; a number of the script becomes a constant.
    fn value(&mut self, term: Term, position: Position) -> Found<usize> {
        match term {
            Term::Value(id) => Ok(id),
            Term::At => refused("`at` is a place, not a number: ask for one of its properties", position),
            Term::Part { .. } => refused("this is a list: ask for one of its elements by its index", position),
            Term::Given(value) => {
                let operation = if let Ok(value) = value.as_float() {
                    if value.is_nan() {
                        return refused("this number is not a number (NaN)", position);
                    }
                    Operation::Float((value as f32).clamp(f32::MIN, f32::MAX))
                } else if let Ok(value) = value.as_int() {
                    Operation::Int(placed(integer(value), position)?)
                } else if let Ok(value) = value.as_bool() {
                    Operation::Bool(value)
                } else {
                    return refused(format!("{} cannot be used on the device", described(&value)), position);
                };
                placed(self.expression.add(operation), position)
            }
        }
    }

    fn expression(&mut self, expression: &Expr, scope: &Scope) -> Found<Term> {
        let position = expression.position();
        self.step(position)?;
        match expression {
            Expr::BoolConstant(value, _) => Ok(Term::Given((*value).into())),
            Expr::IntegerConstant(value, _) => Ok(Term::Given((*value).into())),
            Expr::FloatConstant(value, _) => Ok(Term::Given((**value).into())),
            Expr::DynamicConstant(value, _) => Ok(Term::Given((**value).clone())),
            Expr::Array(..) => match expression.get_literal_value(None) {
                Some(value) => Ok(Term::Given(value)),
                None => refused("a list that is made here can hold numbers that are written out only", position),
            },
            Expr::Variable(name, ..) if name.2.is_empty() => match scope.get(&name.1) {
                Some(term) => Ok(term.clone()),
                None => refused(format!("`{}` is not known on the device", name.1), position),
            },
            Expr::Stmt(block) => self.statements(block.statements(), scope.clone(), None, block.end_position()),
            Expr::FnCall(call, position) => self.call(call, *position, scope),
            Expr::Dot(parts, flags, _) => self.chain(&parts.lhs, Link::Dot, &parts.rhs, *flags, scope),
            Expr::Index(parts, flags, _) => self.chain(&parts.lhs, Link::Index, &parts.rhs, *flags, scope),
            Expr::And(all, _) | Expr::Or(all, _) => {
                let binary = if matches!(expression, Expr::And(..)) { Binary::And } else { Binary::Or };
                let mut result = None;
                for one in all.iter() {
                    let value = self.truth(one, scope)?;
                    result = Some(match result {
                        None => value,
                        Some(before) => placed(self.expression.add(Operation::Binary(binary, before, value)), position)?,
                    });
                }
                match result {
                    Some(id) => Ok(Term::Value(id)),
                    None => refused("there is nothing here", position),
                }
            }
            // The key of a map; as a value it is refused.
            Expr::StringConstant(text, _) => Ok(Term::Given(text.clone().into())),
            Expr::InterpolatedString(..) | Expr::CharConstant(..) => refused("there is no text on the device", position),
            _ => refused("a function of attention cannot hold this", position),
        }
    }

    /// `root.a.b`, `root[a][b]` and mixtures.
    fn chain(&mut self, root: &Expr, link: Link, rest: &Expr, flags: ASTFlags, scope: &Scope) -> Found<Term> {
        let mut term = self.expression(root, scope)?;
        let (mut link, mut rest, mut flags) = (link, rest, flags);
        loop {
            let (this, next) = match rest {
                Expr::Dot(parts, flags, _) => (&parts.lhs, Some((Link::Dot, &parts.rhs, *flags))),
                Expr::Index(parts, flags, _) => (&parts.lhs, Some((Link::Index, &parts.rhs, *flags))),
                other => (other, None),
            };
            let (this, next) = if flags.contains(ASTFlags::BREAK) { (rest, None) } else { (this, next) };
            term = match link {
                Link::Dot => self.member(term, this, scope)?,
                Link::Index => {
                    let index = self.expression(this, scope)?;
                    self.element(term, index, this.start_position())?
                }
            };
            match next {
                None => return Ok(term),
                Some(next) => (link, rest, flags) = next,
            }
        }
    }

    fn member(&mut self, of: Term, member: &Expr, scope: &Scope) -> Found<Term> {
        match (of, member) {
            (Term::At, Expr::Property(name, position)) => match PLACES.iter().find(|(known, _)| *known == name.2.as_str()) {
                Some((_, place)) => Ok(Term::Value(placed(self.expression.add(Operation::Place(*place)), *position)?)),
                None => Err((crate::error::unknown("property of `at`", &name.2, PLACES.iter().map(|(name, _)| *name)), *position)),
            },
            (Term::Given(value), Expr::Property(name, position)) => {
                let found = value.as_map_ref().ok().and_then(|map| map.get(name.2.as_str()).cloned());
                match found {
                    Some(value) => Ok(Term::Given(value.flatten_clone())),
                    None => refused(format!("{} has no `{}` on the device", described(&value), name.2), *position),
                }
            }
            (of, Expr::MethodCall(call, position)) => {
                // A captured function, with what it has captured itself.
                if let Term::Given(value) = &of
                    && let Some(function) = value.clone().try_cast::<FnPtr>()
                    && call.name == "call"
                {
                    let mut arguments: Vec<Term> = function.curry().iter().map(|value| Term::Given(value.flatten_clone())).collect();
                    for argument in &call.args {
                        arguments.push(self.expression(argument, scope)?);
                    }
                    return self.named(function.fn_name(), arguments, *position);
                }
                let mut arguments = vec![of];
                for argument in &call.args {
                    arguments.push(self.expression(argument, scope)?);
                }
                self.named(&call.name, arguments, *position)
            }
            (_, other) => refused("a number has no properties on the device", other.position()),
        }
    }

    fn element(&mut self, of: Term, index: Term, position: Position) -> Found<Term> {
        if let (Term::Given(value), Term::Given(key)) = (&of, &index)
            && let (Ok(map), Ok(key)) = (value.as_map_ref(), key.as_immutable_string_ref())
        {
            return match map.get(key.as_str()) {
                Some(value) => Ok(Term::Given(value.flatten_clone())),
                None => refused(format!("the map has no `{}`", key.as_str()), position),
            };
        }
        let (table, sizes, offset) = match of {
            Term::Part { table, sizes, offset } => (table, sizes, Some(offset)),
            Term::Given(value) => {
                let (table, sizes) = placed(list(&value), position)?;
                (self.expression.add_table(table), sizes, None)
            }
            Term::Value(_) | Term::At => return refused("this is no list: it has no elements", position),
        };
        let index = self.value(index, position)?;
        if self.expression.kind(index) != Kind::Int {
            return refused(format!("the index is {}, expected an integer", self.expression.kind(index).name()), position);
        }
        if let Some(Constant::Int(index)) = self.expression.constant(index)
            && !(0..sizes[0] as i64).contains(&i64::from(index))
        {
            return Err((Error::new(format!("the index is {index}, and the list has {} elements, counted from 0", sizes[0])), position));
        }
        let mut add = |operation| placed(self.expression.add(operation), position);
        // The last dimension is clamped where the element is read.
        let mut at = index;
        if sizes.len() > 1 || offset.is_some() {
            let (least, most) = (add(Operation::Int(0))?, add(Operation::Int(sizes[0] as i32 - 1))?);
            at = add(Operation::Binary(Binary::Max, at, least))?;
            at = add(Operation::Binary(Binary::Min, at, most))?;
        }
        let stride = add(Operation::Int(sizes[1..].iter().product::<usize>() as i32))?;
        at = add(Operation::Binary(Binary::Multiply, at, stride))?;
        if let Some(offset) = offset {
            at = add(Operation::Binary(Binary::Add, at, offset))?;
        }
        if sizes.len() > 1 {
            return Ok(Term::Part { table, sizes: sizes[1..].to_vec(), offset: at });
        }
        Ok(Term::Value(add(Operation::Element { table, index: at })?))
    }

    fn call(&mut self, call: &FnCallExpr, position: Position, scope: &Scope) -> Found<Term> {
        if call.is_qualified() {
            return refused("functions of imported scripts cannot be called on the device: write it in this script", position);
        }
        let mut arguments = Vec::new();
        for argument in &call.args {
            arguments.push(self.expression(argument, scope)?);
        }
        if call.is_operator_call() {
            return self.operator(&call.name, arguments, position);
        }
        self.named(&call.name, arguments, position)
    }

    /// A function by its name: the script's own first, as Rhai has it.
    fn named(&mut self, name: &str, mut arguments: Vec<Term>, position: Position) -> Found<Term> {
        if let Some((definition, source)) = self.find(name, arguments.len()) {
            if self.calls.iter().any(|call| call == name) {
                return refused(format!("`{name}` calls itself: there is no recursion on the device"), position);
            }
            let scope = Scope { variables: definition.params.iter().map(ToString::to_string).zip(arguments).collect(), fixed: 0 };
            self.calls.push(name.to_owned());
            let caller = std::mem::replace(&mut self.source, source);
            let result = self.statements(&body(&definition), scope, None, definition.body.start_position())?;
            self.source = caller;
            self.calls.pop();
            return Ok(result);
        }
        let unary = match (name, arguments.len()) {
            ("abs", 1) => Some((Unary::Abs, false)),
            ("exp", 1) => Some((Unary::Exp, true)),
            ("log" | "ln", 1) => Some((Unary::Log, true)),
            ("log2", 1) => Some((Unary::Log2, true)),
            ("sqrt", 1) => Some((Unary::Sqrt, true)),
            ("tanh", 1) => Some((Unary::Tanh, true)),
            ("sigmoid", 1) => Some((Unary::Sigmoid, true)),
            ("floor", 1) => Some((Unary::Floor, true)),
            ("ceiling", 1) => Some((Unary::Ceiling, true)),
            ("round", 1) => Some((Unary::Round, true)),
            ("to_float", 1) => Some((Unary::ToFloat, false)),
            ("to_int", 1) => Some((Unary::ToInt, false)),
            _ => None,
        };
        if let Some((unary, of_float)) = unary
            && let Some(argument) = arguments.pop()
        {
            return self.unary(unary, argument, of_float, position);
        }
        let binary = match (name, arguments.len()) {
            ("min", 2) => Some("min"),
            ("max", 2) => Some("max"),
            ("pow", 2) => Some("**"),
            _ => None,
        };
        if let Some(symbol) = binary {
            return self.operator(symbol, arguments, position);
        }
        match (name, <[Term; 3]>::try_from(arguments)) {
            ("clamp", Ok([value, least, most])) => {
                let least = self.operator("max", vec![value, least], position)?;
                self.operator("min", vec![least, most], position)
            }
            _ => refused(format!("`{name}` is not known on the device"), position),
        }
    }

    fn unary(&mut self, unary: Unary, argument: Term, of_float: bool, position: Position) -> Found<Term> {
        let mut id = self.value(argument, position)?;
        let kind = self.expression.kind(id);
        if (kind == Kind::Bool) != (unary == Unary::Not) {
            let expected = if unary == Unary::Not { "true or false" } else { "a number" };
            return Err((Error::new(format!("this is {}: expected {expected}", kind.name())), position));
        }
        if of_float && kind == Kind::Int {
            id = placed(self.expression.add(Operation::Unary(Unary::ToFloat, id)), position)?;
        }
        let is_done = matches!((unary, kind), (Unary::ToFloat, Kind::Float) | (Unary::ToInt, Kind::Int));
        Ok(Term::Value(if is_done { id } else { placed(self.expression.add(Operation::Unary(unary, id)), position)? }))
    }

    fn operator(&mut self, symbol: &str, mut arguments: Vec<Term>, position: Position) -> Found<Term> {
        if arguments.len() == 1
            && let Some(argument) = arguments.pop()
        {
            return match symbol {
                "-" => self.unary(Unary::Negate, argument, false, position),
                "!" => self.unary(Unary::Not, argument, false, position),
                "+" => Ok(argument),
                _ => refused(format!("there is no `{symbol}` on the device"), position),
            };
        }
        let Ok([a, b]) = <[Term; 2]>::try_from(arguments) else {
            return refused(format!("there is no `{symbol}` of so many values on the device"), position);
        };
        let (a, b) = (self.value(a, position)?, self.value(b, position)?);
        let (mut a, mut b) = self.alike(a, b, position)?;
        // Greater is less the other way round; not equal is the contrary of equal.
        let (binary, is_turned, is_negated) = match symbol {
            "+" => (Binary::Add, false, false),
            "-" => (Binary::Subtract, false, false),
            "*" => (Binary::Multiply, false, false),
            "/" => (Binary::Divide, false, false),
            "%" => (Binary::Remainder, false, false),
            "**" => (Binary::Power, false, false),
            "min" => (Binary::Min, false, false),
            "max" => (Binary::Max, false, false),
            "<" => (Binary::Less, false, false),
            "<=" => (Binary::LessOrEqual, false, false),
            ">" => (Binary::Less, true, false),
            ">=" => (Binary::LessOrEqual, true, false),
            "==" => (Binary::Equal, false, false),
            "!=" => (Binary::Equal, false, true),
            "&" => (Binary::And, false, false),
            "|" => (Binary::Or, false, false),
            _ => return refused(format!("there is no `{symbol}` on the device"), position),
        };
        let kind = self.expression.kind(a);
        let fits = match binary {
            Binary::And | Binary::Or => kind == Kind::Bool,
            Binary::Equal => true,
            _ => kind != Kind::Bool,
        };
        if !fits {
            return refused(format!("there is no `{symbol}` of {} on the device", kind.name()), position);
        }
        if binary == Binary::Power && kind == Kind::Int {
            let mut float = |id| placed(self.expression.add(Operation::Unary(Unary::ToFloat, id)), position);
            (a, b) = (float(a)?, float(b)?);
        }
        if matches!(binary, Binary::Divide | Binary::Remainder) && matches!(self.expression.constant(b), Some(Constant::Int(0))) {
            return Err((Error::new("a division by zero"), position));
        }
        if is_turned {
            (a, b) = (b, a);
        }
        let mut id = placed(self.expression.add(Operation::Binary(binary, a, b)), position)?;
        if is_negated {
            id = placed(self.expression.add(Operation::Unary(Unary::Not, id)), position)?;
        }
        Ok(Term::Value(id))
    }
}

/// The statements of a function. Rhai shows them to those that walk a tree.
fn body(definition: &Shared<ScriptFuncDef>) -> Vec<Stmt> {
    let mut alone = Module::new();
    alone.set_script_fn(Shared::clone(definition));
    let mut statements = Vec::new();
    AST::new([], alone).walk(&mut |path| {
        if let [ASTNode::Stmt(statement)] = path {
            statements.push((*statement).clone());
        }
        true
    });
    statements
}

fn shape(parameters: &[Parameter]) -> &'static str {
    match parameters {
        [Parameter::Score, _] => "a score is |score, at| and gives a number",
        [Parameter::At] => "a mask is |at| and gives true where the query sees the key",
        _ => "layers is |layer| and gives true for the layers that are meant",
    }
}

fn integer(value: INT) -> Result<i32> {
    i32::try_from(value).map_err(|_| Error::new(format!("{value} does not fit into the 32 bits that integers have on the device")))
}

/// A list of numbers, or of lists of one length, and so on: its elements in order, and how many there are in each dimension.
fn list(value: &Dynamic) -> Result<(Table, Vec<usize>)> {
    if let Some(numbers) = value.read_lock::<Numbers>() {
        let values: Vec<f32> = numbers.iter().map(|value| value as f32).collect();
        let size = values.len();
        return checked(TableValues::Floats(values), vec![size]);
    }
    let mut sizes: Vec<usize> = Vec::new();
    let mut leaves: Vec<Dynamic> = vec![value.clone()];
    while leaves.first().is_some_and(|first| first.is_array()) {
        let mut inner = Vec::new();
        let mut size = None;
        for one in &leaves {
            let Ok(array) = one.as_array_ref() else {
                return Err(Error::new("the list holds lists and numbers side by side"));
            };
            if *size.get_or_insert(array.len()) != array.len() {
                return Err(Error::new("the lists in the list differ in length").remedy("fill them up to one length"));
            }
            inner.extend(array.iter().map(Dynamic::flatten_clone));
        }
        sizes.push(size.unwrap_or(0));
        leaves = inner;
    }
    if sizes.is_empty() {
        return Err(Error::new(format!("{} is no list: it has no elements", described(value))));
    }
    if leaves.iter().all(Dynamic::is_int) && !leaves.is_empty() {
        let values = leaves.iter().map(|value| integer(value.as_int().unwrap_or(0))).collect::<Result<Vec<i32>>>()?;
        return checked(TableValues::Ints(values), sizes);
    }
    let float = |(index, value): (usize, &Dynamic)| {
        let float = value.as_float().ok().or_else(|| value.as_int().ok().map(|value| value as f64));
        float
            .map(|value| value as f32)
            .ok_or_else(|| Error::new(format!("element {index} of the list is {}: expected a number", described(value))))
    };
    checked(TableValues::Floats(leaves.iter().enumerate().map(float).collect::<Result<_>>()?), sizes)
}

fn checked(values: TableValues, sizes: Vec<usize>) -> Result<(Table, Vec<usize>)> {
    let values = match values {
        TableValues::Floats(values) => {
            if values.iter().any(|value| value.is_nan()) {
                return Err(Error::new("the list holds what is not a number (NaN)"));
            }
            TableValues::Floats(values.into_iter().map(|value| value.clamp(f32::MIN, f32::MAX)).collect())
        }
        ints => ints,
    };
    let table = Table { values };
    if table.is_empty() {
        return Err(Error::new("the list is empty"));
    }
    if table.len() > 1 << 26 {
        return Err(Error::new(format!("the list has {} elements, more than a table can have ({})", table.len(), 1 << 26)));
    }
    Ok((table, sizes))
}
