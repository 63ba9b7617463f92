//! `for (name, value) in map`: Rhai goes through no maps, and gives a loop's second variable the number of the turn. Here a map is gone
//! through as entries, and a loop with two variables over entries gets their names and values; over anything else it keeps the
//! number. It is done by two assignments at the begin of such a loop's body.

use rhai::plugin::*;
use rhai::{AST, ASTNode, INT, Map, Stmt};

/// One entry of a map.
#[derive(Debug, Clone)]
pub struct Entry {
    name: String,
    value: Dynamic,
}

#[export_module]
pub(super) mod api {
    /// One entry of a map: what `for entry in map` goes through, in the order of the names. `for (name, value) in map` takes it apart.
    ///
    /// # Example
    /// ```rhai
    /// let models = #{ student: 1, teacher: 2 };
    /// let seen = "";
    /// for (name, value) in models { seen += `${name}=${value} `; }
    /// assert(seen == "student=1 teacher=2 ", seen);
    /// ```
    pub type Entry = super::Entry;

    /// Its name.
    #[rhai_fn(get = "name", pure)]
    pub fn name(entry: &mut Entry) -> String {
        entry.name.clone()
    }

    /// Its value.
    #[rhai_fn(get = "value", pure)]
    pub fn value(entry: &mut Entry) -> Dynamic {
        entry.value.clone()
    }
}

/// The two functions of the assignments: in no documentation, since nobody calls them by name.
#[export_module]
mod hidden {
    pub fn loop_counter(item: Dynamic, turn: INT) -> Dynamic {
        match item.read_lock::<Entry>() {
            Some(entry) => entry.value.clone(),
            None => turn.into(),
        }
    }

    pub fn loop_item(item: Dynamic) -> Dynamic {
        match item.read_lock::<Entry>() {
            Some(entry) => entry.name.clone().into(),
            None => item.clone(),
        }
    }
}

pub(super) fn module() -> rhai::Module {
    let mut module = exported_module!(api);
    module.set_iter(std::any::TypeId::of::<Map>(), |value| {
        let entry = |(name, value): (rhai::Identifier, Dynamic)| Dynamic::from(Entry { name: name.into(), value });
        let map = value.cast::<Map>();
        // What a benchmark's `run` returns is gone through row by row.
        match map.get("rows").filter(|_| map.contains_key("benchmark_id")).and_then(|rows| rows.clone().into_array().ok()) {
            Some(rows) => Box::new(rows.into_iter()) as Box<dyn Iterator<Item = Dynamic>>,
            None => Box::new(map.into_iter().map(entry)),
        }
    });
    module
}

pub(super) fn hidden_module() -> rhai::Module {
    exported_module!(hidden)
}

/// Text that was put into a script's line, so that errors can give the columns that its author sees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Insertion {
    line: usize,
    /// Characters of the line before it.
    column: usize,
    length: usize,
}

impl Insertion {
    /// Text in front of the whole script.
    pub(super) fn before_first_line(length: usize) -> Insertion {
        Insertion { line: 1, column: 0, length }
    }
}

/// The script with such loops made to work, and what was inserted.
pub(super) fn rewrite(ast: &AST, text: &str) -> (String, Vec<Insertion>) {
    // Where each body begins, and what is to stand there.
    let mut places: Vec<(usize, usize, String)> = Vec::new();
    ast.walk(&mut |path| {
        if let Some(ASTNode::Stmt(Stmt::For(parts, _))) = path.last()
            && let (item, Some(counter), flow) = &**parts
            && let begin = flow.body.span().start()
            && let (Some(line), Some(column)) = (begin.line(), begin.position())
        {
            let (item, counter) = (&item.name, &counter.name);
            places.push((line, column, format!(" {counter} = loop_counter({item}, {counter}); {item} = loop_item({item});")));
        }
        true
    });
    places.sort();
    let mut insertions: Vec<Insertion> = Vec::new();
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    for (line, column, inserted) in places {
        let Some(target) = lines.get_mut(line - 1) else { continue };
        let before: usize = insertions.iter().filter(|other| other.line == line).map(|other| other.length).sum();
        let Some((at, '{')) = target.char_indices().nth(column + before - 1) else { continue };
        target.insert_str(at + 1, &inserted);
        insertions.push(Insertion { line, column: column + before, length: inserted.chars().count() });
    }
    (lines.join("\n"), insertions)
}

/// A place in the rewritten script as one in the original.
pub(super) fn original(position: Position, insertions: &[Insertion]) -> Position {
    let (Some(line), Some(mut column)) = (position.line(), position.position()) else { return position };
    for insertion in insertions.iter().rev().filter(|insertion| insertion.line == line) {
        if insertion.column < column {
            column = column.saturating_sub(insertion.length).max(insertion.column);
        }
    }
    match (u16::try_from(line), u16::try_from(column)) {
        (Ok(line), Ok(column)) => Position::new(line, column),
        _ => position,
    }
}
