//! Text in columns, for people and for `awk`.

/// Rows in aligned columns, two spaces between them, without trailing ones. Columns whose index is in `right` are aligned to the right.
pub fn columns(rows: &[Vec<String>], right: &[usize]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows.iter().map(Vec::len).max().unwrap_or(0)).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (index, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[index] - cell.chars().count());
            let cell = if right.contains(&index) { format!("{padding}{cell}") } else { format!("{cell}{padding}") };
            line += &cell;
            line += "  ";
        }
        out += line.trim_end();
        out.push('\n');
    }
    out
}

/// A list of what something is: names left, values right, a little indented.
pub fn facts(facts: &[(&str, String)]) -> String {
    columns(&facts.iter().map(|(name, value)| vec![format!("  {name}"), value.clone()]).collect::<Vec<_>>(), &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |cells: &[&str]| cells.iter().map(ToString::to_string).collect::<Vec<_>>();
        insta::assert_snapshot!(columns(&[row(&["kind", "MB"]), row(&["ä", "1234", "x"]), row(&["long name", ""])], &[1]), @r"
        kind         MB
        ä          1234  x
        long name
        ");
    }
}
