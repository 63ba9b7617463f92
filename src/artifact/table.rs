//! A table: columns and rows of what was measured, for a terminal here and for a paper in [`super::latex`].

use super::{number, read};
use crate::error::{Error, Result};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, ContentLineStyle, LineStyle, TableStyle};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::io::IsTerminal;

/// Columns and rows; as many cells in each row as there are columns.
///
/// # Example
/// ```
/// let table: caramba::artifact::Table = serde_json::from_str(r#"{
///     "columns": ["Metric", "Teacher", "Student", "Change"],
///     "rows": [
///         ["Loss", { "value": 12.76, "error": 0.21 }, { "value": 13.53, "error": 0.24 }, "1.06x"],
///         ["Throughput (tok/s)", 74.05, 81.95, "1.11x"],
///         ["KV cache (bytes/token)", 180224, 112640, "0.625x"]
///     ]
/// }"#).unwrap();
/// assert_eq!(table.text(None).unwrap(), "
/// Metric                       Teacher       Student  Change
/// ----------------------------------------------------------
/// Loss                    12.76 ± 0.21  13.53 ± 0.24   1.06x
/// Throughput (tok/s)              74.0          82.0   1.11x
/// KV cache (bytes/token)       180,224       112,640  0.625x
/// ".trim_start());
/// ```
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Names, or maps for the columns that need more: see [`Column`].
    #[serde(deserialize_with = "read::columns")]
    pub columns: Vec<Column>,
    #[serde(deserialize_with = "read::rows")]
    pub rows: Vec<Vec<Cell>>,
    /// In a paper: what stands above the table.
    #[serde(default)]
    pub caption: Option<String>,
    /// In a paper: what `\ref` calls it, `tab:summary`.
    #[serde(default)]
    pub label: Option<String>,
    /// Small, below the table.
    #[serde(default)]
    pub note: Option<String>,
    /// In a paper: across both columns of the page.
    #[serde(default)]
    pub wide: bool,
    /// Numbers of rows (from 0) that begin a new group: a line parts them from those above.
    #[serde(default)]
    pub groups: Vec<usize>,
}

/// What all cells of a column share.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Column {
    pub name: String,
    /// Unsaid: numbers to the right, text to the left.
    pub align: Option<Align>,
    /// Significant digits of its numbers that are not whole: 3 if unsaid.
    pub digits: Option<usize>,
}

/// Where the cells of a column stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Align {
    Left,
    Center,
    Right,
}

/// One value of a table: text, a number, nothing, or a map with `value` or `text` and more.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cell {
    pub value: Value,
    /// How far the value may be off, to both sides.
    pub error: Option<f64>,
    /// The ends of the value's interval.
    pub low: Option<f64>,
    pub high: Option<f64>,
    /// Of this cell, rather than its column's.
    pub digits: Option<usize>,
    /// Set off from the others, as the best of a row is.
    pub bold: bool,
}

/// What a cell holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Value {
    /// An empty cell.
    #[default]
    Nothing,
    Text(String),
    Integer(i64),
    /// NaN is shown as `n/a`.
    Float(f64),
}

/// A cell in parts, which a terminal and LaTeX put together in their own ways.
pub(super) enum Shown {
    Text(String),
    Number(String),
    /// value ± error
    PlusMinus(String, String),
    /// value [low, high]
    Interval(String, String, String),
}

impl Cell {
    fn of(value: Value) -> Cell {
        Cell { value, ..Cell::default() }
    }

    fn is_text(&self) -> bool {
        matches!(self.value, Value::Text(_))
    }

    pub(super) fn shown(&self, column: &Column) -> Shown {
        let digits = self.digits.or(column.digits).unwrap_or(3);
        let value = match &self.value {
            Value::Nothing => return Shown::Text(String::new()),
            Value::Text(text) => return Shown::Text(text.clone()),
            Value::Integer(value) if self.error.is_none() && self.low.is_none() && self.high.is_none() => {
                return Shown::Number(number::integer(*value));
            }
            Value::Integer(value) => *value as f64,
            Value::Float(value) => *value,
        };
        if let Some(error) = self.error {
            return match number::plus_minus_parts(value, error) {
                (value, Some(error)) => Shown::PlusMinus(value, error),
                (_, None) => Shown::Number(number::significant(value, digits)),
            };
        }
        let text = number::significant(value, digits);
        match (self.low, self.high) {
            (None, None) => Shown::Number(text),
            (low, high) => {
                let end = |end: Option<f64>| end.map_or_else(|| number::MISSING.to_owned(), |end| number::significant(end, digits));
                Shown::Interval(text, end(low), end(high))
            }
        }
    }

    pub(super) fn text(&self, column: &Column) -> String {
        match self.shown(column) {
            Shown::Text(text) | Shown::Number(text) => text,
            Shown::PlusMinus(value, error) => format!("{value} ± {error}"),
            Shown::Interval(value, low, high) => format!("{value} [{low}, {high}]"),
        }
    }
}

impl Table {
    /// For the terminal that standard output is, as wide as that is; plain where it is none.
    ///
    /// # Errors
    /// See [`Table::text`].
    pub fn show(&self) -> Result<String> {
        let terminal = std::io::stdout().is_terminal();
        // Asked of comfy-table, which asks the terminal.
        self.text(if terminal { comfy_table::Table::new().width() } else { None })
    }

    /// For a terminal `width` characters wide; `None` is no terminal: as wide as it needs to be, and plain.
    ///
    /// Where text has to give way it is broken into lines, numbers never are. Where even that is too wide, each row becomes a block of its
    /// own with a line for each column.
    ///
    /// # Errors
    /// No columns; a row with more or fewer cells than there are columns.
    pub fn text(&self, width: Option<u16>) -> Result<String> {
        self.laid_out(width, if width.is_some() { '─' } else { '-' })
    }

    /// Plain text that is at most so many characters wide, whatever the terminal.
    ///
    /// # Errors
    /// See [`Table::text`].
    pub fn within(&self, width: u16) -> Result<String> {
        self.laid_out(Some(width), '-')
    }

    fn laid_out(&self, width: Option<u16>, line: char) -> Result<String> {
        self.check()?;
        let mut text = match width {
            Some(width) if self.least_width() > usize::from(width) => self.blocks(),
            _ => self.grid(width, line),
        };
        if let Some(note) = &self.note {
            text.push_str(note.trim_end());
            text.push('\n');
        }
        Ok(text)
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.columns.is_empty() {
            return Err(Error::new("a table needs at least one column"));
        }
        let count = self.columns.len();
        match self.rows.iter().position(|row| row.len() != count) {
            None => Ok(()),
            Some(row) => Err(Error::new(format!("{} cells for {count} columns", self.rows[row].len()))
                .remedy("give every column a cell; an empty one is `()` or \"\"")
                .at(format!("rows[{row}]"))),
        }
    }

    pub(super) fn align(&self, column: usize) -> Align {
        let text = || self.rows.iter().any(|row| row.get(column).is_some_and(|cell| cell.is_text() && !numeric(cell)));
        self.columns[column].align.unwrap_or(if self.rows.is_empty() || text() { Align::Left } else { Align::Right })
    }

    /// The width below which a number would be broken.
    fn least_width(&self) -> usize {
        let columns = self.columns.iter().enumerate().map(|(index, column)| {
            let cells = self.rows.iter().map(|row| &row[index]);
            let numbers = cells.clone().filter(|cell| !cell.is_text()).map(|cell| cell.text(column).chars().count());
            // Text may be broken between words, and a very long word anywhere.
            let texts = cells.filter(|cell| cell.is_text()).map(|cell| longest_word(&cell.text(column)).min(12));
            numbers.chain(texts).chain([longest_word(&column.name).min(12)]).max().unwrap_or(0)
        });
        columns.sum::<usize>() + 2 * (self.columns.len() - 1)
    }

    fn grid(&self, width: Option<u16>, line: char) -> String {
        let parted = |style: LineStyle| style.fill(line).junction(line);
        let mut grid = comfy_table::Table::new();
        let lines = || ContentLineStyle::none().junction(' ');
        grid.load_style(TableStyle::new().header_lines(lines()).header_separator(parted(LineStyle::none())).content_lines(lines()));
        grid.set_header(self.columns.iter().map(|column| column.name.as_str()));
        for row in &self.rows {
            grid.add_row(row.iter().zip(&self.columns).map(|(cell, column)| cell.text(column)));
        }
        match width {
            Some(width) => grid.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
            None => grid.set_content_arrangement(ContentArrangement::Disabled),
        };
        grid.force_no_tty();
        let last = self.columns.len() - 1;
        for index in 0..=last {
            let Some(column) = grid.column_mut(index) else { continue };
            column.set_padding((0, if index == last { 0 } else { 1 }));
            column.set_cell_alignment(match self.align(index) {
                Align::Left => CellAlignment::Left,
                Align::Center => CellAlignment::Center,
                Align::Right => CellAlignment::Right,
            });
            if !self.rows.iter().any(|row| row[index].is_text()) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        let mut text = String::new();
        for line in grid.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn blocks(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            for (index, (cell, column)) in row.iter().zip(&self.columns).enumerate() {
                let indent = if index == 0 { "" } else { "  " };
                text.push_str(format!("{indent}{}: {}", column.name, cell.text(column)).trim_end());
                text.push('\n');
            }
        }
        text
    }
}

/// Whether a text reads as a number with a unit (`1.27x`, `-37.5 %`), which stands to the right as numbers do.
fn numeric(cell: &Cell) -> bool {
    match &cell.value {
        Value::Text(text) => {
            let text = text.trim();
            text.is_empty()
                || text == number::MISSING
                || text.trim_start_matches(['+', '-', '−', '±', '<', '>', '~', ' ']).starts_with(|c: char| c.is_ascii_digit())
        }
        _ => true,
    }
}

fn longest_word(text: &str) -> usize {
    text.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0)
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Column, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Map {
            name: String,
            #[serde(default)]
            align: Option<Align>,
            #[serde(default)]
            digits: Option<usize>,
        }
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Column;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column: its name, or a map with name, align and digits")
            }
            fn visit_str<E>(self, name: &str) -> Result<Column, E> {
                Ok(Column { name: name.to_owned(), ..Column::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Column, A::Error> {
                let Map { name, align, digits } = Map::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Column { name, align, digits })
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        let cell = Cell::deserialize(deserializer)?;
        if cell == Cell::of(cell.value.clone()) {
            Ok(cell.value)
        } else {
            Err(de::Error::custom("a cell's value is text or a number, no map"))
        }
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Cell, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Map {
            value: Value,
            #[serde(default, deserialize_with = "read::optional")]
            error: Option<f64>,
            #[serde(default, deserialize_with = "read::optional")]
            low: Option<f64>,
            #[serde(default, deserialize_with = "read::optional")]
            high: Option<f64>,
            #[serde(default)]
            digits: Option<usize>,
            #[serde(default)]
            bold: bool,
        }
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Cell;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a cell: text, a number, nothing, or a map with value and any of error, low, high, digits and bold")
            }
            fn visit_unit<E>(self) -> Result<Cell, E> {
                Ok(Cell::default())
            }
            fn visit_bool<E>(self, value: bool) -> Result<Cell, E> {
                Ok(Cell::of(Value::Text(if value { "yes" } else { "no" }.to_owned())))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Cell, E> {
                Ok(Cell::of(Value::Integer(value)))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Cell, E> {
                Ok(Cell::of(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer)))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Cell, E> {
                Ok(Cell::of(Value::Float(value)))
            }
            fn visit_char<E>(self, value: char) -> Result<Cell, E> {
                Ok(Cell::of(Value::Text(value.to_string())))
            }
            fn visit_str<E>(self, value: &str) -> Result<Cell, E> {
                Ok(Cell::of(Value::Text(value.to_owned())))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Cell, A::Error> {
                let Map { value, error, low, high, digits, bold } = Map::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Cell { value, error, low, high, digits, bold })
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table() -> Table {
        serde_json::from_value(json!({
            "columns": ["model", { "name": "params", "align": "right" }, "tok/s", "interval", "change", "ok"],
            "rows": [
                ["SmolLM2-135M-Instruct, upcycled and distilled", 134_515_008, 81.949, { "value": 13.527, "low": 13.31, "high": 13.74 }, "+11.0 %", true],
                ["naïve 模型", 1024, null, { "value": 2.0, "error": 0.125 }, "n/a", false]
            ],
            "note": "MB are 2^20 bytes."
        }))
        .unwrap()
    }

    #[test]
    fn plain_without_a_terminal() {
        insta::assert_snapshot!(table().text(None).unwrap(), @r"
        model                                               params  tok/s           interval   change  ok
        --------------------------------------------------------------------------------------------------
        SmolLM2-135M-Instruct, upcycled and distilled  134,515,008   81.9  13.5 [13.3, 13.7]  +11.0 %  yes
        naïve 模型                                            1024               2.00 ± 0.12      n/a  no
        MB are 2^20 bytes.
        ");
    }

    #[test]
    fn text_gives_way_to_numbers() {
        insta::assert_snapshot!(table().text(Some(78)).unwrap(), @r"
        model                        params  tok/s           interval   change  ok
        ───────────────────────────────────────────────────────────────────────────
        SmolLM2-135M-Instruct,  134,515,008   81.9  13.5 [13.3, 13.7]  +11.0 %  yes
        upcycled and distilled
        naïve 模型                     1024               2.00 ± 0.12      n/a  no
        MB are 2^20 bytes.
        ");
    }

    #[test]
    fn blocks_where_nothing_else_fits() {
        insta::assert_snapshot!(table().text(Some(40)).unwrap(), @r"
        model: SmolLM2-135M-Instruct, upcycled and distilled
          params: 134,515,008
          tok/s: 81.9
          interval: 13.5 [13.3, 13.7]
          change: +11.0 %
          ok: yes
        model: naïve 模型
          params: 1024
          tok/s:
          interval: 2.00 ± 0.12
          change: n/a
          ok: no
        MB are 2^20 bytes.
        ");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 60..120 {
            let text = table().text(Some(width)).unwrap();
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= usize::from(width), "{widest} in {width}:\n{text}");
        }
    }

    #[test]
    fn numbers_stand_to_the_right() {
        let table = table();
        let aligns: Vec<Align> = (0..6).map(|column| table.align(column)).collect();
        assert_eq!(aligns, [Align::Left, Align::Right, Align::Right, Align::Right, Align::Right, Align::Left]);
    }

    #[test]
    fn mistakes_say_where() {
        let error = |value: serde_json::Value| serde_json::from_value::<Table>(value).unwrap_err().to_string();
        insta::assert_snapshot!(error(json!({ "columns": ["a"], "rows": [["x"], [{ "valu": 1 }]] })), @"rows[1]: cells[0]: unknown field `valu`, expected one of `value`, `error`, `low`, `high`, `digits`, `bold`");
        insta::assert_snapshot!(error(json!({ "columns": [1], "rows": [] })), @"columns[0]: invalid type: integer `1`, expected a column: its name, or a map with name, align and digits");
        insta::assert_snapshot!(error(json!({ "columns": ["a"], "rows": [[[1, 2]]] })), @"rows[0]: cells[0]: invalid type: sequence, expected a cell: text, a number, nothing, or a map with value and any of error, low, high, digits and bold");
        insta::assert_snapshot!(error(json!({ "columns": ["a"], "rows": [[{ "value": { "value": 1, "bold": true } }]] })), @"rows[0]: cells[0]: a cell's value is text or a number, no map");
        let uneven: Table = serde_json::from_value(json!({ "columns": ["a", "b"], "rows": [[1, 2], [3]] })).unwrap();
        insta::assert_snapshot!(uneven.text(None).unwrap_err(), @r#"
        rows[1]: 1 cells for 2 columns
          help: give every column a cell; an empty one is `()` or ""
        "#);
        let none: Table = serde_json::from_value(json!({ "columns": [], "rows": [] })).unwrap();
        assert!(none.text(None).is_err());
    }

    #[test]
    fn empty_tables_have_a_head() {
        let table: Table = serde_json::from_value(json!({ "columns": ["a", "bc"], "rows": [] })).unwrap();
        assert_eq!(table.text(None).unwrap(), "a  bc\n-----\n");
        assert_eq!(table.text(Some(2)).unwrap(), "");
    }
}
