//! Scripts line by line: what a line declares stays, and its value is shown. See `caramba repl`.

use super::catalog::{Catalog, plain_type};
use super::check::{self, Findings};
use super::hints;
use super::modules::{self, Script};
use super::rewrite::{self, Insertion};
use super::types::Types;
use super::{HostOptions, Run, engine, on_script_thread, parameters, reference};
use crate::artifact::number;
use crate::error::{Error, Result, nearest};
use crate::{interrupt, terminal};
use rhai::{AST, Dynamic, EvalAltResult, Map, ParseErrorType, Scope, Stmt};
use std::collections::BTreeSet;

/// Rows of a table that are shown.
const ROWS: usize = 40;
/// Characters of a value that are shown in one line.
const SHORT: usize = 96;

/// What a line has led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing to show.
    Nothing,
    /// The value, as text.
    Shown(String),
    /// `exit` was called with this status.
    Ended(u8),
}

/// An engine that keeps what lines declare.
pub struct Interactive {
    run: Run,
    scope: Scope<'static>,
    /// All functions so far.
    functions: AST,
    /// All imports so far: path and name.
    imports: Vec<(String, String)>,
    lines: usize,
}

impl Interactive {
    /// Calls `work` with an engine, on a thread of scripts (their calls may be deep).
    ///
    /// # Errors
    /// Those of `work`.
    pub fn with(options: &HostOptions, work: impl FnOnce(Interactive) -> Result<u8> + Send + 'static) -> Result<u8> {
        let script = Script { name: NAME.to_owned(), text: String::new() };
        on_script_thread(script, Some(std::path::PathBuf::new()), options, move |run| work(Interactive::new(run)?))
    }

    fn new(mut run: Run) -> Result<Interactive> {
        let mut arguments = parameters::untyped(&run.host.options.set)?;
        arguments.insert("rest".into(), Dynamic::from_array(Vec::new()));
        engine::set_arguments(&mut run.engine, arguments);
        Ok(Interactive { run, scope: Scope::new(), functions: AST::empty(), imports: Vec::new(), lines: 0 })
    }

    /// Runs one input, of one or several lines.
    ///
    /// # Errors
    /// A mistake in it, or what it failed with; whatever was declared before stays.
    pub fn evaluate(&mut self, text: &str) -> Result<Reply> {
        let before = self.scope.len();
        let evaluated = self.try_evaluate(text);
        if interrupt::take() {
            self.scope.rewind(before.min(self.scope.len()));
            return Err(Error::new("interrupted"));
        }
        match evaluated {
            Ok(value) => Ok(self.shown(&value).map_or(Reply::Nothing, Reply::Shown)),
            Err(error) => match self.run.host.exit.take() {
                Some(status) => Ok(Reply::Ended(status)),
                None => Err(self.with_known_names(self.run.report(error))),
            },
        }
    }

    /// What was misspelt may have been declared by an earlier line.
    fn with_known_names(&self, error: Error) -> Error {
        let missing = error.message().strip_prefix("there is no variable `").and_then(|rest| rest.strip_suffix('`'));
        let known = self.scope.iter_raw().map(|(name, ..)| name);
        match missing.and_then(|name| nearest(name, known)) {
            Some(near) => error.clone().without_help().remedy(format!("did you mean `{near}`?")),
            None => error,
        }
    }

    fn try_evaluate(&mut self, text: &str) -> std::result::Result<Dynamic, Box<EvalAltResult>> {
        self.lines += 1;
        let name = format!("{NAME}[{}]", self.lines);
        let ast = self.compile(&name, text)?;
        // Functions of earlier lines are known to this one.
        let mut all = self.functions.merge(&ast);
        all.set_source(&name);
        let mut found = Findings::default();
        check::check_deeply(&self.run.engine, &self.run.host, &all, None, &mut found);
        if let Some(mistake) = found.mistakes.into_iter().next() {
            return Err(mistake);
        }
        for warning in found.warnings {
            let warning = self.run.report(warning);
            if warning.position().is_some_and(|(source, _)| source == name) {
                terminal::show_warning(&warning);
            }
        }
        let value = self.run.engine.eval_ast_with_scope::<Dynamic>(&mut self.scope, &all)?;
        for statement in ast.statements() {
            if let Stmt::Import(parts, _) = statement
                && let rhai::Expr::StringConstant(path, _) = &parts.0
                && !self.imports.iter().any(|(_, known)| *known == parts.1.name.as_str())
            {
                self.imports.push((path.to_string(), parts.1.name.to_string()));
            }
        }
        self.functions = all.clone_functions_only();
        Ok(value)
    }

    /// A line with the imports of earlier ones in front of it.
    fn compile(&self, name: &str, text: &str) -> std::result::Result<AST, Box<EvalAltResult>> {
        let imports: String = self.imports.iter().map(|(path, alias)| format!("import {} as {alias}; ", serde_json::json!(path))).collect();
        let inside = |error: rhai::ParseError| {
            let inner = Box::new(EvalAltResult::from(error));
            Box::new(EvalAltResult::ErrorInModule(name.to_owned(), inner, rhai::Position::NONE))
        };
        let mut scope = engine::known_names();
        self.scope.iter_raw().for_each(|(name, constant, value)| {
            // Constants are no variables, to the parser either.
            if constant {
                scope.push_constant_dynamic(name.to_owned(), value.clone());
            } else {
                scope.push_dynamic(name.to_owned(), value.clone());
            }
        });
        let full = format!("{imports}{text}");
        let mut insertions = vec![Insertion::before_first_line(imports.chars().count())];
        self.run.host.add_source(name, text, insertions.clone());
        let mut ast = self.run.engine.compile_with_scope(&scope, &full).map_err(inside)?;
        let (rewritten, more) = rewrite::rewrite(&ast, &full);
        if !more.is_empty() {
            insertions.extend(more);
            self.run.host.add_source(name, text, insertions);
            ast = self.run.engine.compile_with_scope(&scope, &rewritten).map_err(inside)?;
        }
        ast.set_source(name);
        Ok(ast)
    }

    /// Whether more lines must follow before this means something.
    pub fn is_incomplete(&self, text: &str) -> bool {
        let Err(error) = self.compile(NAME, text) else { return false };
        let EvalAltResult::ErrorParsing(kind, _) = error.unwrap_inner() else { return false };
        match kind {
            ParseErrorType::BadInput(rhai::LexError::UnterminatedString) => text.matches('`').count() % 2 == 1,
            _ => hints::has_open_bracket(text),
        }
    }

    /// The documentation of a name.
    ///
    /// # Errors
    /// Nothing is called so.
    pub fn documentation(&self, words: &str) -> Result<String> {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        // A variable stands for its type.
        let named = words.first().and_then(|word| Some(vec![self.type_of(word)?]));
        reference()?.look_up(&named.unwrap_or(words))
    }

    fn type_of(&self, name: &str) -> Option<String> {
        self.scope.get(name).map(|value| plain_type(value.type_name()))
    }

    /// What may stand at the end of `line`: where the begun word begins, and what it may become.
    pub fn complete(&self, line: &str) -> (usize, Vec<String>) {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let start = line.char_indices().rev().take_while(|(_, c)| word(*c)).last().map_or(line.len(), |(at, _)| at);
        let (before, begun) = line.split_at(start);
        let mut found: BTreeSet<String> = BTreeSet::new();
        if let Some(path) = before.strip_suffix("::") {
            found.extend(self.of_module(path));
        } else if let Some(object) = before.strip_suffix('.') {
            found.extend(self.of_object(object, !begun.is_empty()));
        } else if before.trim_end().ends_with('"') {
            if before.trim_start().starts_with("import") {
                found.extend(modules::built_in_names().map(str::to_owned));
            }
        } else {
            found.extend(self.everything());
        }
        (start, found.into_iter().filter(|name| name.starts_with(begun) && name != begun).collect())
    }

    fn everything(&self) -> Vec<String> {
        let catalog = Catalog::of(&self.run.engine);
        let words = [
            "let", "const", "fn", "if", "else", "for", "in", "while", "loop", "return", "import", "try", "catch", "true", "false", "switch",
        ];
        let own =
            self.functions.iter_functions().filter(|function| !function.name.starts_with("anon$")).map(|function| function.name.to_owned());
        let names = catalog.functions().map(str::to_owned).chain(own);
        let variables = self.scope.iter_raw().map(|(name, ..)| name.to_owned());
        let aliases = self.imports.iter().map(|(_, alias)| alias.clone());
        names.chain(variables).chain(aliases).chain(words.map(str::to_owned)).chain(["args".to_owned()]).collect()
    }

    /// Functions and constants of an imported script.
    fn of_module(&self, before: &str) -> Vec<String> {
        let alias: String = last_word(before);
        let Some((path, _)) = self.imports.iter().find(|(_, known)| *known == alias) else { return Vec::new() };
        let imported =
            modules::find(&self.run.host, None, path).ok().and_then(|script| script.compile(&self.run.engine, &self.run.host).ok());
        let Some(ast) = imported else { return Vec::new() };
        let declared = modules::Declared::functions_of(&ast);
        let functions =
            ast.iter_functions().filter(|function| !function.name.starts_with("anon$") && function.access == rhai::FnAccess::Public);
        let mut names: Vec<String> =
            functions.map(|function| function.name.to_owned()).chain(declared.constants().map(str::to_owned)).collect();
        if declared.is_benchmark() {
            names.push("new".to_owned());
        }
        names
    }

    /// Methods and properties of what stands before the dot; `any`: functions of any value, too.
    fn of_object(&self, before: &str, any: bool) -> Vec<String> {
        let catalog = Catalog::of(&self.run.engine);
        let object = last_expression(before);
        let value = self.scope.get(object);
        let kind = match value {
            Some(value) => Some(plain_type(value.type_name())),
            None => self.kind_of(object, catalog),
        };
        let Some(kind) = kind else { return Vec::new() };
        let mut names: Vec<String> = catalog.methods(&kind).chain(catalog.properties(&kind)).map(str::to_owned).collect();
        if any {
            names.extend(catalog.methods("any").map(str::to_owned));
        }
        if let Some(map) = value.and_then(|value| value.as_map_ref().ok()) {
            names.extend(map.keys().map(ToString::to_string));
        }
        names
    }

    /// The type of an expression, without running it.
    fn kind_of(&self, expression: &str, catalog: &Catalog) -> Option<String> {
        let ast = self.compile(NAME, expression).ok()?;
        let known = self.scope.iter_raw().map(|(name, _, value)| (name.to_owned(), plain_type(value.type_name())));
        let types = Types::of(&ast, catalog).and(known);
        match ast.statements().last()? {
            Stmt::Expr(expression) => types.expression(catalog, expression),
            Stmt::FnCall(call, position) => types.expression(catalog, &rhai::Expr::FnCall(call.clone(), *position)),
            _ => None,
        }
    }

    /// A value as a person wants to see it; `None` for `()`.
    fn shown(&self, value: &Dynamic) -> Option<String> {
        if value.is_unit() {
            return None;
        }
        if let Some(rows) = value.as_array_ref().ok().filter(|rows| !rows.is_empty()) {
            let maps: Option<Vec<Map>> = rows.iter().map(|row| row.as_map_ref().ok().map(|map| map.clone())).collect();
            if let Some(maps) = maps {
                return Some(table(&maps));
            }
        }
        if let Ok(map) = value.as_map_ref() {
            let short = format!("{value}");
            if short.chars().count() > SHORT || map.len() > 6 {
                let rows: Vec<Vec<String>> = map.iter().map(|(name, value)| vec![format!("  {name}"), self.short(value)]).collect();
                return Some(aligned(&rows, false));
            }
        }
        Some(self.text(value))
    }

    /// As `debug` would print it: texts in quotes.
    fn text(&self, value: &Dynamic) -> String {
        if value.is_string() {
            return format!("{:?}", value.to_string());
        }
        let mut scope = Scope::new();
        scope.push_dynamic("value", value.clone());
        self.run.engine.eval_with_scope::<String>(&mut scope, "value.to_string()").unwrap_or_else(|_| plain_type(value.type_name()))
    }

    fn short(&self, value: &Dynamic) -> String {
        let text = self.text(value);
        if text.chars().count() <= SHORT { text } else { text.chars().take(SHORT - 4).collect::<String>() + " ..." }
    }
}

/// What inputs are called in messages.
const NAME: &str = "repl";

fn last_word(text: &str) -> String {
    let word: Vec<char> = text.chars().rev().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    word.into_iter().rev().collect()
}

/// The expression that ends at the end of a text: names, dots, and whole brackets.
fn last_expression(text: &str) -> &str {
    let mut depth = 0;
    let mut start = text.len();
    for (at, c) in text.char_indices().rev() {
        match c {
            ')' | ']' | '}' => depth += 1,
            '(' | '[' | '{' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            c if c.is_alphanumeric() || "_.\"'#".contains(c) => {}
            _ => break,
        }
        start = at;
    }
    &text[start..]
}

/// Rows of maps in columns, as `print_table` shows them.
fn table(rows: &[Map]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in rows.iter().flat_map(Map::keys) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let cell = |value: Option<&Dynamic>| match value {
        None => String::new(),
        Some(value) if value.is_unit() => String::new(),
        Some(value) => match value.as_float() {
            Ok(float) => {
                let text = float.to_string();
                if text.len() <= 10 { text } else { number::significant(float, 6) }
            }
            Err(_) => {
                let text = value.to_string();
                if text.chars().count() <= 40 { text } else { text.chars().take(36).collect::<String>() + " ..." }
            }
        },
    };
    let mut lines: Vec<Vec<String>> = vec![names.iter().map(ToString::to_string).collect()];
    lines.extend(rows.iter().take(ROWS).map(|row| names.iter().map(|name| cell(row.get(*name))).collect()));
    let mut out = aligned(&lines, true);
    if rows.len() > ROWS {
        out += &format!("... and {} rows more", rows.len() - ROWS);
    }
    out
}

/// Columns with two spaces between them; `headed`: below a line of names, numbers to the right.
fn aligned(rows: &[Vec<String>], headed: bool) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let number = |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let right: Vec<bool> = (0..columns)
        .map(|column| rows.iter().skip(1).filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty()).all(number))
        .collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let padding = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            if headed && right[column] && rows.len() > 1 { format!("{padding}{cell}") } else { format!("{cell}{padding}") }
        });
        out += cells.collect::<Vec<_>>().join("  ").trim_end();
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out
}
