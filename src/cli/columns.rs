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

/// Bytes as people read them: `12.3 MB`, with MB = 2^20 bytes as everywhere in caramba.
pub fn bytes(count: u64) -> String {
    let units = [("GB", 30), ("MB", 20), ("KB", 10)];
    match units.into_iter().find(|(_, shift)| count >= 1 << shift) {
        Some((unit, shift)) => format!("{:.1} {unit}", count as f64 / f64::from(1u32 << shift)),
        None => format!("{count} bytes"),
    }
}

/// `134,515,008`
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
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

    #[test]
    fn numbers_are_readable() {
        assert_eq!([grouped(0), grouped(999), grouped(1000), grouped(134_515_008)], ["0", "999", "1,000", "134,515,008"]);
        assert_eq!([bytes(1023), bytes(1536), bytes(89 << 20), bytes(5 << 30)], ["1023 bytes", "1.5 KB", "89.0 MB", "5.0 GB"]);
    }
}
