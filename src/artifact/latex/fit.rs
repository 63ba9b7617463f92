//! How a table is made to fit its column, or the page.
//!
//! Widths are those of Helvetica at ten points, which no text font of a class for papers exceeds by much; a table of a width that is close is
//! set smaller rather than too wide.

use super::decimals::{self, Piece};
use crate::artifact::font;
use crate::artifact::table::{Align, Table};

/// A column of a paper in two columns, in points: the narrowest of IEEEtran (252), acmart (241) and article.
const COLUMN: f64 = 238.0;
/// Both of them.
const PAGE: f64 = 500.0;
const SIZE: f64 = 10.0;
/// A text column is never narrower than this, in points.
const NARROWEST: f64 = 60.0;

/// How a table is set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fit {
    /// Across both columns of the page.
    pub(super) wide: bool,
    /// Headers are broken into lines.
    pub(super) stacked: bool,
    /// A command for a smaller size, and half the space between columns in points.
    pub(super) smaller: Option<(&'static str, f64)>,
    /// The widths of columns whose text is broken into lines, in points.
    pub(super) broken: Vec<Option<f64>>,
}

/// A way of setting a table: what is tried in turn.
struct Step {
    wide: bool,
    stacked: bool,
    /// A command for a size, half the space between columns in points, and how wide text is, as a share of that at ten points.
    size: (&'static str, f64, f64),
    /// Columns of text may be broken down to so many points.
    narrowest: Option<f64>,
}

const NORMAL: (&str, f64, f64) = ("", 6.0, 1.0);
// Smaller sizes of Computer Modern are wider for their height: a digit of 7 points is 0.57 em wide, one of 10 points 0.5.
const SMALL: (&str, f64, f64) = ("\\footnotesize", 4.0, 0.85);
const SMALLEST: (&str, f64, f64) = ("\\scriptsize", 2.5, 0.8);

const STEPS: [Step; 9] = {
    const fn step(wide: bool, stacked: bool, size: (&'static str, f64, f64), narrowest: Option<f64>) -> Step {
        Step { wide, stacked, size, narrowest }
    }
    [
        step(false, false, NORMAL, None),
        step(false, true, NORMAL, None),
        step(false, true, SMALL, None),
        step(true, false, NORMAL, None),
        step(true, true, NORMAL, None),
        step(true, true, SMALL, None),
        // Long text is broken before everything is set in the smallest size.
        step(true, true, SMALL, Some(110.0)),
        step(true, true, SMALLEST, None),
        step(true, true, SMALLEST, Some(NARROWEST)),
    ]
};

impl Fit {
    /// The first way in which the table fits. `None` where there is none.
    pub(super) fn of(table: &Table) -> Option<Fit> {
        let natural = |stacked: bool| -> Vec<f64> { (0..table.columns.len()).map(|column| column_width(table, column, stacked)).collect() };
        let (plain, stacked) = (natural(false), natural(true));
        STEPS.iter().filter(|step| step.wide || !table.wide).find_map(|step| {
            let natural = if step.stacked { &stacked } else { &plain };
            let (size, space, scale) = step.size;
            let room = if step.wide { PAGE } else { COLUMN };
            let excess = natural.iter().sum::<f64>() * scale + 2.0 * space * (natural.len() - 1) as f64 - room;
            let smaller = (!size.is_empty()).then_some((size, space));
            Some(Fit { wide: step.wide, stacked: step.stacked, smaller, broken: broken(table, natural, scale, excess, step.narrowest)? })
        })
    }
}

/// Takes what is too much from the columns of text, from the widest first. `None` where that is not enough.
fn broken(table: &Table, natural: &[f64], scale: f64, mut excess: f64, narrowest: Option<f64>) -> Option<Vec<Option<f64>>> {
    let mut broken = vec![None; natural.len()];
    let mut texts: Vec<usize> = (0..natural.len()).filter(|column| table.align(*column) == Align::Left).collect();
    texts.sort_by(|a, b| natural[*b].total_cmp(&natural[*a]));
    for (column, narrowest) in texts.into_iter().filter_map(|column| Some((column, narrowest?))) {
        let width = natural[column] * scale;
        let taken = excess.min(width - narrowest);
        if taken > 0.0 {
            broken[column] = Some(width - taken);
            excess -= taken;
        }
    }
    (excess <= 1e-9).then_some(broken)
}

/// How wide a column is at ten points.
fn column_width(table: &Table, column: usize, stacked: bool) -> f64 {
    let name = table.columns[column].name.trim();
    let header = if stacked { header_lines(table, column).iter().map(|line| bold(line)).fold(0.0, f64::max) } else { bold(name) };
    header.max(cells_width(table, column))
}

fn cells_width(table: &Table, column: usize) -> f64 {
    let kind = &table.columns[column];
    let cells = table.rows.iter().map(|row| &row[column]);
    if table.align(column) == Align::Right {
        // What is not seen, but aligns, has its width too.
        let aligned = decimals::aligned(&cells.map(|cell| Piece::new(cell.shown(kind))).collect::<Vec<_>>());
        aligned.iter().map(|text| wide(&printed(text))).fold(0.0, f64::max)
    } else {
        cells.map(|cell| wide(&cell.text(kind))).fold(0.0, f64::max)
    }
}

/// What LaTeX prints for a number of ours, seen or not.
fn printed(latex: &str) -> String {
    // A sign between numbers has more room around it than as text.
    let signs = [(r"\phantom", ""), (r"\pm", " ± "), (r"\times", "×"), (r"\infty", "∞"), (r"\%", "%")];
    let text = signs.iter().fold(latex.to_owned(), |text, (command, sign)| text.replace(command, sign));
    text.replace(['$', '{', '}', '\\', '^'], "")
}

/// A header in lines that are no wider than the cells below, as far as its words allow. A sign alone (an arrow) stays with its word.
pub(super) fn header_lines(table: &Table, column: usize) -> Vec<String> {
    let room = cells_width(table, column);
    let mut words: Vec<String> = Vec::new();
    for word in table.columns[column].name.split_whitespace() {
        match words.last_mut().filter(|_| word.chars().count() == 1) {
            Some(before) => *before = format!("{before} {word}"),
            None => words.push(word.to_owned()),
        }
    }
    let room = words.iter().map(|word| bold(word)).fold(room, f64::max);
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut().filter(|line| bold(&format!("{line} {word}")) <= room) {
            Some(line) => *line = format!("{line} {word}"),
            None => lines.push(word),
        }
    }
    lines
}

/// How wide bold text is: a tenth more than plain, in the fonts that papers are set in.
fn bold(text: &str) -> f64 {
    wide(text) * 1.12
}

fn wide(text: &str) -> f64 {
    font::width(text, SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::table::{Cell, Column, Value};

    fn table(columns: &[&str], cell: &str) -> Table {
        let cell = Cell { value: Value::Text(cell.to_owned()), ..Cell::default() };
        let named = |name: &&str| Column { name: (*name).to_owned(), ..Column::default() };
        Table { columns: columns.iter().map(named).collect(), rows: vec![vec![cell; columns.len()]], ..Table::default() }
    }

    #[test]
    fn the_first_way_that_fits() {
        let small = Fit::of(&table(&["Metric", "Teacher", "Student"], "12.76")).unwrap();
        assert_eq!(small, Fit { wide: false, stacked: false, smaller: None, broken: vec![None; 3] });
        let headers = Fit::of(&table(&["Throughput (tokens/s)", "KV cache (bytes/token)", "Perplexity"], "12.76")).unwrap();
        assert_eq!((headers.wide, headers.stacked, headers.smaller), (false, true, None));
        let many = Fit::of(&table(&["Latency (ms)"; 8], "12.76 ± 0.21")).unwrap();
        assert!(many.wide && many.stacked, "{many:?}");
    }

    #[test]
    fn text_gives_way_where_nothing_else_fits() {
        let long = "SmolLM2-135M-upcycled-separately-144-distilled-for-a-hundred-thousand-steps";
        let fit = Fit::of(&table(&["a", "b", "c", "d", "e"], long)).unwrap();
        let widths: f64 = fit.broken.iter().flatten().sum();
        assert!(fit.broken.iter().all(Option::is_some) && widths <= PAGE, "{fit:?}");
    }

    #[test]
    fn too_many_numbers_fit_nowhere() {
        assert_eq!(Fit::of(&table(&["Latency"; 30], "12.76")), None);
    }

    #[test]
    fn headers_are_no_wider_than_their_cells() {
        let lines = |name: &str, cell: &str| header_lines(&table(&[name], cell), 0);
        assert_eq!(lines("Throughput (tok/s) ↑", "74.0"), ["Throughput", "(tok/s) ↑"]);
        assert_eq!(lines("Perplexity ↓", "12.76"), ["Perplexity ↓"]);
        assert_eq!(lines("Decode (ms) ↓", "1864.00 ± 22.00"), ["Decode (ms) ↓"]);
        assert_eq!(lines("Mean of all (MB)", "1"), ["Mean", "of all", "(MB)"]);
    }
}
