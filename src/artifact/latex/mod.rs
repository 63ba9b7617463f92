//! Tables for a paper, in LaTeX with booktabs. A file of them can be `\input` where they belong, and compiles by itself to be looked at.
//!
//! Headers are bold, decimal points stand below one another, and no table is wider than its column: one that would be spans both, has its
//! headers in lines, is set smaller, or is parted.

mod decimals;
mod escape;
mod fit;

pub use escape::escape;

use super::table::{Align, Cell, Column, Table};
use crate::error::{At, Error, Result};
use decimals::Piece;
use fit::Fit;
use std::path::Path;

/// What stands before the tables: comments for the reader, and a document around them where there is none.
///
/// LaTeX's own `\@nodocument` is `\relax` from `\begin{document}` on, so that a paper skips what is in between.
const HEAD: &str = r"% In a paper: \usepackage{booktabs} before \begin{document}, and \input of this file where the tables belong.
% It compiles by itself as well, in columns as wide as a paper's.
\expandafter\ifx\csname @nodocument\endcsname\relax\let\tablesend\relax\else
  \documentclass[twocolumn]{article}
  \usepackage{booktabs}
  \setlength\textwidth{516pt}\setlength\columnsep{12pt}\setlength\oddsidemargin{-24pt}
  \def\tablesend{\end{document}}
  \begin{document}
\fi
";

const TAIL: &str = "\n\\tablesend\n";

/// Writes [`document`] as a whole file.
///
/// # Errors
/// As [`document`], and those of [`super::write_atomically`].
pub fn write(path: &Path, tables: &[Table]) -> Result<()> {
    super::write_atomically(path, document(tables).at(path.display())?.as_bytes())
}

/// A file with all of `tables`, each a float with its caption above.
///
/// # Errors
/// See [`Table::text`]; a label that LaTeX would not take.
pub fn document(tables: &[Table]) -> Result<String> {
    let mut text = HEAD.to_owned();
    for (index, table) in tables.iter().enumerate() {
        let typeset = || {
            table.check()?;
            parts(table).iter().map(|(part, fit)| one(part, fit)).collect::<Result<Vec<String>>>()
        };
        for part in typeset().map_err(|error| error.at(format!("tables[{index}]")))? {
            text.push('\n');
            text.push_str(&part);
        }
    }
    text.push_str(TAIL);
    Ok(text)
}

/// The table, and how it fits; where it fits nowhere, tables with a part of its columns each, all with the first.
fn parts(table: &Table) -> Vec<(Table, Fit)> {
    let others = table.columns.len() - 1;
    for count in 1..=others.max(1) {
        let each = others.div_ceil(count).max(1);
        let part = |number: usize| {
            let kept = |column: usize| column == 0 || (column - 1) / each == number;
            let columns = table.columns.iter().enumerate().filter(|(column, _)| kept(*column)).map(|(_, column)| column.clone());
            let cells =
                |row: &Vec<Cell>| row.iter().enumerate().filter(|(column, _)| kept(*column)).map(|(_, cell)| cell.clone()).collect();
            let named = |caption: &String| if number == 0 { caption.clone() } else { format!("{caption} (Continued.)") };
            Table {
                columns: columns.collect(),
                rows: table.rows.iter().map(cells).collect(),
                caption: table.caption.as_ref().map(named),
                label: table.label.clone().filter(|_| number == 0),
                note: table.note.clone().filter(|_| (number + 1) * each >= others),
                ..table.clone()
            }
        };
        let tables: Vec<Table> = (0..others.div_ceil(each).max(1)).map(part).collect();
        if let Some(fits) = tables.iter().map(Fit::of).collect::<Option<Vec<Fit>>>() {
            return tables.into_iter().zip(fits).collect();
        }
    }
    // One column alone is too wide: nothing is left to be done about it.
    let fit = Fit { wide: true, stacked: true, smaller: None, broken: vec![None; table.columns.len()] };
    vec![(table.clone(), fit)]
}

fn one(table: &Table, fit: &Fit) -> Result<String> {
    let environment = if fit.wide { "table*" } else { "table" };
    let mut lines = vec![format!("\\begin{{{environment}}}[t]"), "  \\centering".to_owned()];
    if let Some(caption) = &table.caption {
        lines.push(format!("  \\caption{{{}}}", escape(caption)));
        // Most classes keep their room for a caption below a figure.
        lines.push("  \\vspace{0.5ex}".to_owned());
    }
    if let Some(label) = &table.label {
        lines.push(format!("  \\label{{{}}}", check_label(label)?));
    }
    if let Some((size, space)) = fit.smaller {
        lines.push(format!("  {size}\\setlength\\tabcolsep{{{space}pt}}"));
    }
    let align = |column: usize| match (fit.broken[column], table.align(column)) {
        (Some(width), _) => format!("p{{{width:.0}pt}}"),
        (None, Align::Left) => "l".to_owned(),
        (None, Align::Center) => "c".to_owned(),
        (None, Align::Right) => "r".to_owned(),
    };
    lines.push(format!("  \\begin{{tabular}}{{@{{}}{}@{{}}}}", (0..table.columns.len()).map(align).collect::<String>()));
    lines.push("    \\toprule".to_owned());
    lines.push(row((0..table.columns.len()).map(|column| header(table, column, fit))));
    lines.push("    \\midrule".to_owned());
    let columns: Vec<Vec<String>> = (0..table.columns.len()).map(|column| cells(table, column, fit)).collect();
    for index in 0..table.rows.len() {
        if index > 0 && table.groups.contains(&index) {
            lines.push("    \\midrule".to_owned());
        }
        lines.push(row(columns.iter().map(|column| column[index].clone())));
    }
    lines.push("    \\bottomrule".to_owned());
    lines.push("  \\end{tabular}".to_owned());
    if let Some(note) = table.note.as_deref().filter(|note| !note.trim().is_empty()) {
        lines.push(format!("  \\par\\smallskip{{\\footnotesize {}}}", escape(note)));
    }
    lines.push(format!("\\end{{{environment}}}"));
    Ok(lines.join("\n") + "\n")
}

fn row(cells: impl Iterator<Item = String>) -> String {
    format!("    {} \\\\", cells.collect::<Vec<_>>().join(" & "))
}

fn bold(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("\\textbf{{{text}}}") }
}

/// The name of a column, in lines where the table needs it.
fn header(table: &Table, column: usize, fit: &Fit) -> String {
    let lines = if fit.stacked { fit::header_lines(table, column) } else { vec![table.columns[column].name.trim().to_owned()] };
    let bold: Vec<String> = lines.iter().map(|line| bold(&escape(line))).collect();
    let side = match table.align(column) {
        Align::Left => "l",
        Align::Center => "c",
        Align::Right => "r",
    };
    match &bold[..] {
        [] => String::new(),
        [one] => one.clone(),
        several => format!("\\shortstack[{side}]{{{}}}", several.join("\\\\")),
    }
}

/// The cells of a column, one for each row.
fn cells(table: &Table, column: usize, fit: &Fit) -> Vec<String> {
    let kind: &Column = &table.columns[column];
    let cells = || table.rows.iter().map(|row| &row[column]);
    let pieces: Vec<Piece> = cells().map(|cell| Piece::new(cell.shown(kind))).collect();
    let shown = if table.align(column) == Align::Right { decimals::aligned(&pieces) } else { pieces.iter().map(Piece::latex).collect() };
    let finish = |(text, cell): (String, &Cell)| {
        let text = if fit.broken[column].is_some() { breakable(&text) } else { text };
        if cell.bold { bold(&text) } else { text }
    };
    shown.into_iter().zip(cells()).map(finish).collect()
}

/// Text that may be broken after the signs of which names are made.
fn breakable(text: &str) -> String {
    text.replace('-', "-\\allowbreak{}").replace('/', "/\\allowbreak{}").replace("\\_", "\\_\\allowbreak{}")
}

fn check_label(label: &str) -> Result<&str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '/');
    if !label.is_empty() && label.chars().all(allowed) {
        Ok(label)
    } else {
        Err(Error::new(format!("`{label}` is no label")).remedy("use letters, digits, `:`, `-`, `_`, `.` and `/`: `tab:summary`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn tables() -> Vec<Table> {
        serde_json::from_value(json!([
            {
                "caption": "Teacher & student: 100% of a_b", "label": "tab:summary", "note": "MB = 2²⁰ bytes.",
                "columns": ["Metric", "Teacher", { "name": "Student", "digits": 4 }, "Change"],
                "rows": [
                    ["Loss ↓", { "value": 12.76, "error": 0.214 }, { "value": 13.53, "error": 0.24, "bold": true }, "1.06×"],
                    ["Throughput (tok/s) ↑", 74.05, { "value": 81.951, "low": 80.0, "high": 83.5 }, "-10.7 %"],
                    ["[odd] {\\ name}", 1e-9, -12345, null],
                    ["* lost", null, f64::MAX, "n/a"]
                ],
                "groups": [2]
            },
            { "columns": [{ "name": "only", "align": "center" }], "rows": [], "wide": true }
        ]))
        .unwrap()
    }

    #[test]
    fn a_file_of_tables() {
        insta::assert_snapshot!(document(&tables()).unwrap().strip_prefix(HEAD).unwrap(), @r"
        \begin{table*}[t]
          \centering
          \caption{Teacher \& student: 100\% of a\_b}
          \vspace{0.5ex}
          \label{tab:summary}
          \begin{tabular}{@{}lrrr@{}}
            \toprule
            \textbf{Metric} & \textbf{Teacher} & \textbf{Student} & \textbf{Change} \\
            \midrule
            Loss $\downarrow$ & 12.76 $\pm$ 0.21 & \textbf{13.53 $\pm$ 0.24} & 1.06$\times$ \\
            Throughput (tok/s) $\uparrow$ & 74.0\phantom{0 $\pm$ 0.00} & 81.95 {[}80.00, 83.50{]} & $-$10.7 \%\phantom{0} \\
            \midrule
            {[}odd{]} \{\textbackslash{} name\} & $1.00 \times 10^{-9}$ & $-$12,345\phantom{.00 {[}80.00, 83.50{]}} &  \\
            {*} lost &  & $1.798 \times 10^{308}$ & n/a \\
            \bottomrule
          \end{tabular}
          \par\smallskip{\footnotesize MB = 2$^2$$^0$ bytes.}
        \end{table*}

        \begin{table*}[t]
          \centering
          \begin{tabular}{@{}c@{}}
            \toprule
            \textbf{only} \\
            \midrule
            \bottomrule
          \end{tabular}
        \end{table*}

        \tablesend
        ");
    }

    #[test]
    fn labels_are_checked() {
        let table = Table { columns: vec![Column::default()], label: Some("tab:a b".into()), ..Table::default() };
        let error = document(&[table]).unwrap_err().to_string();
        assert!(error.starts_with("tables[0]: `tab:a b` is no label"), "{error}");
    }

    /// Tables of all widths, as runs have them.
    fn many() -> Vec<Table> {
        let model = "SmolLM2-135M-upcycled-separately-144-distilled";
        let error = |value: f64| json!({ "value": value, "error": value / 40.0 });
        let comparison = json!({
            "caption": "Perplexity, throughput and memory.", "label": "tab:comparison",
            "columns": ["Metric", "Teacher", "Student", "Change"],
            "rows": [
                ["Perplexity ↓", error(12.76), error(13.53), "1.06x"], ["Throughput (tok/s) ↑", error(74.05), error(81.95), "1.11x"],
                ["KV-Cache (bytes/tok) ↓", 23040, 4320, "5.33x"]
            ]
        });
        let latency = json!({
            "caption": "Latency.", "label": "tab:latency",
            "columns": ["Model", "Cache", "Prompt", "Generated", "Batch", "Prefill (ms) ↓", "Decode (ms) ↓", "Throughput (tok/s) ↑"],
            "rows": [["teacher", "fp16", 128, 64, 1, error(12.3), error(864.0), error(74.05)], [model, "q8", 1024, 64, 1, error(112.3), error(9.4), error(7.5)]]
        });
        let names: Vec<String> =
            std::iter::once("Model".to_owned()).chain((0..12).map(|number| format!("Long metric number {number} (tokens/s)"))).collect();
        let cells: Vec<Value> = std::iter::once(json!(model)).chain((0..12).map(|number| error(12.5 * f64::from(number + 1)))).collect();
        let widest = json!({ "caption": "Other benchmarks.", "columns": names, "rows": [cells] });
        let checks = json!({
            "caption": "Acceptance.", "columns": ["Benchmark", "Metric", "Rule", "Found", "Passed"],
            "rows": [["perplexity of the held-out text", "perplexity_ratio", "at most 1.05", "1.06x", "no"], ["latency", "tokens_per_sec_ratio", "at least 1.0", "1.107x [1.09x, 1.12x]", "yes"]]
        });
        [comparison, latency, widest, checks].into_iter().map(|table| serde_json::from_value(table).unwrap()).collect()
    }

    #[test]
    fn wide_tables_span_both_columns_and_the_widest_are_parted() {
        let text = document(&many()).unwrap();
        let count = |part: &str| text.matches(part).count();
        // The one with twelve measurements is in two parts.
        assert_eq!((count("\\begin{table*}"), count("(Continued.)")), (5, 1), "{text}");
        assert!(text.contains(r"Throughput (tok/s) $\uparrow$ &") && text.contains(r"23,040\phantom{.00 $\pm$ 0.00}"), "{text}");
        assert!(text.contains(r"5.33$\times$"), "{text}");
    }

    /// Where `CARAMBA_LATEX_GALLERY` names a directory, the files are left there, to be compiled.
    #[test]
    fn written_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = std::env::var_os("CARAMBA_LATEX_GALLERY").map_or(directory.path().to_owned(), Into::into).join("tables.tex");
        write(&path, &tables()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), document(&tables()).unwrap());
        write(&path.with_file_name("many.tex"), &many()).unwrap();
    }
}
