//! What is put into a script before it runs: assignments at the begin of blocks, where Rhai gives a variable less than one expects. The variables of
//! `for (name, value) in map` (pairs.rs), and the error of `catch (error)`, which has `message`, `help` and `at` whoever has thrown it (caught.rs).

use super::types::variable;
use rhai::plugin::*;
use rhai::{AST, ASTNode, Stmt};

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

/// The script with assignments at the begin of blocks, and what was inserted.
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
        if let Some(ASTNode::Stmt(Stmt::TryCatch(flow, _))) = path.last()
            && let Some(error) = variable(&flow.expr)
            && let begin = flow.branch.span().start()
            && let (Some(line), Some(column)) = (begin.line(), begin.position())
        {
            places.push((line, column, format!(" {error} = caught_error({error});")));
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
