//! Tables for a paper, in LaTeX with booktabs. A file of them can be `\input` where they belong, and compiles by itself to be looked at.

use super::number::MISSING;
use super::table::{Align, Cell, Column, Shown, Table};
use crate::error::{At, Error, Result};
use std::fmt::Write;
use std::path::Path;

/// What stands before the tables: comments for the reader, and a document around them where there is none.
///
/// LaTeX's own `\@nodocument` is `\relax` from `\begin{document}` on, so that a paper skips what is in between.
const HEAD: &str = r"% In a paper: \usepackage{booktabs} before \begin{document}, and \input of this file where the tables belong.
% It compiles by itself as well.
\expandafter\ifx\csname @nodocument\endcsname\relax\let\tablesend\relax\else
  \documentclass{article}
  \usepackage{booktabs}
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
        text.push('\n');
        text.push_str(&one(table).map_err(|error| error.at(format!("tables[{index}]")))?);
    }
    text.push_str(TAIL);
    Ok(text)
}

fn one(table: &Table) -> Result<String> {
    table.check()?;
    let environment = if table.wide { "table*" } else { "table" };
    let mut lines = vec![format!("\\begin{{{environment}}}[t]"), "  \\centering".to_owned()];
    if let Some(caption) = &table.caption {
        lines.push(format!("  \\caption{{{}}}", escape(caption)));
        // Most classes keep their room for a caption below a figure.
        lines.push("  \\vspace{0.5ex}".to_owned());
    }
    if let Some(label) = &table.label {
        lines.push(format!("  \\label{{{}}}", check_label(label)?));
    }
    let align = |column: usize| match table.align(column) {
        Align::Left => 'l',
        Align::Center => 'c',
        Align::Right => 'r',
    };
    lines.push(format!("  \\begin{{tabular}}{{@{{}}{}@{{}}}}", (0..table.columns.len()).map(align).collect::<String>()));
    lines.push("    \\toprule".to_owned());
    lines.push(row(table.columns.iter().map(|column| escape(&column.name))));
    lines.push("    \\midrule".to_owned());
    for (index, cells) in table.rows.iter().enumerate() {
        if index > 0 && table.groups.contains(&index) {
            lines.push("    \\midrule".to_owned());
        }
        lines.push(row(cells.iter().zip(&table.columns).map(|(cell, column)| show(cell, column))));
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

fn show(cell: &Cell, column: &Column) -> String {
    let text = match cell.shown(column) {
        // A change such as `-37.5 %` is text, and its minus is one all the same.
        Shown::Text(text) => match text.strip_prefix('-').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
            Some(rest) => format!("$-${}", escape(rest)),
            None => escape(&text),
        },
        Shown::Number(value) => numeral(&value),
        Shown::PlusMinus(value, error) => format!("{} $\\pm$ {}", numeral(&value), numeral(&error)),
        Shown::Interval(value, low, high) => format!("{} {{[}}{}, {}{{]}}", numeral(&value), numeral(&low), numeral(&high)),
    };
    if cell.bold && !text.is_empty() { format!("\\textbf{{{text}}}") } else { text }
}

/// A number as `number` writes it: with a minus sign, and powers of ten raised.
fn numeral(text: &str) -> String {
    if text == MISSING {
        return "--".to_owned();
    }
    let (sign, size) = text.strip_prefix('-').map_or(("", text), |size| ("$-$", size));
    match size.split_once('e') {
        _ if size == "inf" => format!("{sign}$\\infty$"),
        Some((digits, power)) => format!("{sign}${digits} \\times 10^{{{power}}}$"),
        None => format!("{sign}{size}"),
    }
}

fn check_label(label: &str) -> Result<&str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '/');
    if !label.is_empty() && label.chars().all(allowed) {
        Ok(label)
    } else {
        Err(Error::new(format!("`{label}` is no label")).remedy("use letters, digits, `:`, `-`, `_`, `.` and `/`: `tab:summary`"))
    }
}

/// Any text, so that LaTeX prints it as it is. Letters of all scripts are kept; signs that LaTeX knows only in formulas become formulas.
///
/// # Example
/// ```
/// assert_eq!(caramba::artifact::latex::escape("50 % of a_b & c"), r"50 \% of a\_b \& c");
/// ```
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    let mut before = None;
    for character in text.chars() {
        // `--`, ``` `` ``` and the like would join into other signs.
        if before == Some(character) && matches!(character, '-' | '\'' | ',' | '<' | '>') {
            escaped.push_str("{}");
        }
        match character {
            '\\' => escaped.push_str(r"\textbackslash{}"),
            '{' | '}' | '$' | '&' | '#' | '_' | '%' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '^' => escaped.push_str(r"\textasciicircum{}"),
            '~' => escaped.push_str(r"\textasciitilde{}"),
            '<' => escaped.push_str(r"\textless{}"),
            '>' => escaped.push_str(r"\textgreater{}"),
            '|' => escaped.push_str(r"\textbar{}"),
            '"' => escaped.push_str(r"\textquotedblright{}"),
            '`' => escaped.push_str(r"\`{}"),
            // At the start of a row, `[` would be an argument of the row before, and so would `*`.
            '[' | ']' | '*' => {
                let _ = write!(escaped, "{{{character}}}");
            }
            '\u{a0}' => escaped.push('~'),
            _ if character.is_whitespace() => escaped.push(' '),
            _ if character.is_control() => {}
            _ => match formula(character) {
                Some(formula) => {
                    let _ = write!(escaped, "${formula}$");
                }
                None => escaped.push(character),
            },
        }
        before = Some(character);
    }
    escaped
}

/// The name of a sign that stands in formulas only.
fn formula(character: char) -> Option<&'static str> {
    Some(match character {
        '±' => r"\pm",
        '×' => r"\times",
        '÷' => r"\div",
        '·' => r"\cdot",
        '−' => "-",
        '≤' => r"\leq",
        '≥' => r"\geq",
        '≠' => r"\neq",
        '≈' => r"\approx",
        '∞' => r"\infty",
        '√' => r"\surd",
        '∆' | 'Δ' => r"\Delta",
        '∑' | 'Σ' => r"\Sigma",
        '→' => r"\rightarrow",
        '←' => r"\leftarrow",
        '↑' => r"\uparrow",
        '↓' => r"\downarrow",
        '↔' => r"\leftrightarrow",
        '✓' | '✔' => r"\surd",
        'µ' | 'μ' => r"\mu",
        'α' => r"\alpha",
        'β' => r"\beta",
        'γ' => r"\gamma",
        'δ' => r"\delta",
        'ε' => r"\varepsilon",
        'η' => r"\eta",
        'θ' => r"\theta",
        'κ' => r"\kappa",
        'λ' => r"\lambda",
        'π' => r"\pi",
        'ρ' => r"\rho",
        'σ' => r"\sigma",
        'τ' => r"\tau",
        'φ' => r"\varphi",
        'ψ' => r"\psi",
        'ω' => r"\omega",
        'Ω' => r"\Omega",
        '⁰' => "^0",
        '¹' => "^1",
        '²' => "^2",
        '³' => "^3",
        '⁴' => "^4",
        '⁵' => "^5",
        '⁶' => "^6",
        '⁷' => "^7",
        '⁸' => "^8",
        '⁹' => "^9",
        '⁻' => "^-",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
        \begin{table}[t]
          \centering
          \caption{Teacher \& student: 100\% of a\_b}
          \vspace{0.5ex}
          \label{tab:summary}
          \begin{tabular}{@{}lrrr@{}}
            \toprule
            Metric & Teacher & Student & Change \\
            \midrule
            Loss $\downarrow$ & 12.76 $\pm$ 0.21 & \textbf{13.53 $\pm$ 0.24} & 1.06$\times$ \\
            Throughput (tok/s) $\uparrow$ & 74.0 & 81.95 {[}80.00, 83.50{]} & $-$10.7 \% \\
            \midrule
            {[}odd{]} \{\textbackslash{} name\} & $1.00 \times 10^{-9}$ & $-$12,345 &  \\
            {*} lost &  & $1.798 \times 10^{308}$ & n/a \\
            \bottomrule
          \end{tabular}
          \par\smallskip{\footnotesize MB = 2$^2$$^0$ bytes.}
        \end{table}

        \begin{table*}[t]
          \centering
          \begin{tabular}{@{}c@{}}
            \toprule
            only \\
            \midrule
            \bottomrule
          \end{tabular}
        \end{table*}

        \tablesend
        ");
    }

    #[test]
    fn every_special_sign_is_escaped() {
        insta::assert_snapshot!(escape("\\ { } $ & # ^ _ ~ % < > | \" ` [x]* -- ''\n\tα é 模型 \u{7}Δ ± 5 µs"), @r"\textbackslash{} \{ \} \$ \& \# \textasciicircum{} \_ \textasciitilde{} \% \textless{} \textgreater{} \textbar{} \textquotedblright{} \`{} {[}x{]}{*} -{}- '{}'  $\alpha$ é 模型 $\Delta$ $\pm$ 5 $\mu$s");
    }

    #[test]
    fn labels_are_checked() {
        let table = Table { columns: vec![Column::default()], label: Some("tab:a b".into()), ..Table::default() };
        let error = document(&[table]).unwrap_err().to_string();
        assert!(error.starts_with("tables[0]: `tab:a b` is no label"), "{error}");
    }

    /// Where `CARAMBA_LATEX_GALLERY` names a directory, the file is left there, to be compiled.
    #[test]
    fn written_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = std::env::var_os("CARAMBA_LATEX_GALLERY").map_or(directory.path().to_owned(), Into::into).join("tables.tex");
        write(&path, &tables()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), document(&tables()).unwrap());
    }
}
