//! Files of numbers and rows: CSV, JSON lines, NumPy's arrays; and what lies in a directory.

use super::failure::Answer;
use super::files::text_of;
use super::host::Host;
use super::matrix::Matrix;
use super::npy;
use super::numbers::Numbers;
use super::tokens::Tokens;
use super::values::{Options, described, floats, to_data, to_field};
use crate::artifact::{CsvFile, Field, json, write_atomically};
use crate::error::{At, Error, Result};
use rhai::plugin::*;
use rhai::{Array, INT, Map};
use std::collections::BTreeSet;

/// A cell as the value that it spells: nothing, a truth value, an integer, a float, or text.
fn typed(cell: &str) -> Dynamic {
    let trimmed = cell.trim();
    let is_number =
        trimmed.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) || matches!(trimmed, "NaN" | "nan" | "inf");
    match trimmed {
        "" => Dynamic::UNIT,
        "true" | "True" => true.into(),
        "false" | "False" => false.into(),
        _ => match (trimmed.parse::<INT>(), trimmed.parse::<f64>()) {
            // An id of digits that begins with 0 is text.
            _ if trimmed.len() > 1 && trimmed.starts_with('0') && trimmed.bytes().all(|byte| byte.is_ascii_digit()) => {
                cell.to_owned().into()
            }
            (Ok(integer), _) => integer.into(),
            (_, Ok(float)) if is_number => float.into(),
            _ => cell.to_owned().into(),
        },
    }
}

fn rows_of(text: &str, options: Map) -> Result<Array> {
    let mut options = Options::new("CSV option", options);
    let delimiter = options.text("delimiter")?.unwrap_or_else(|| ",".into());
    let header = options.truth("header")?.unwrap_or(true);
    let types = options.truth("types")?.unwrap_or(true);
    options.finish()?;
    let [delimiter] = *delimiter.as_bytes() else {
        return Err(Error::new(format!("the delimiter is {delimiter:?}: expected one character, such as \",\" or \"\\t\"")));
    };
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).has_headers(header).from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let wrong = |error: csv::Error| {
        let line = error.position().map(|position| format!("line {}: ", position.line())).unwrap_or_default();
        let told = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("{len} fields, expected {expected_len} as in the first line")
            }
            _ => error.to_string(),
        };
        Error::new(format!("{line}{told}"))
    };
    let names: Option<Vec<String>> = match header {
        true => Some(reader.headers().map_err(wrong)?.iter().map(|name| name.trim().to_owned()).collect()),
        false => None,
    };
    let value = |cell: &str| if types { typed(cell) } else { Dynamic::from(cell.to_owned()) };
    let mut rows = Array::new();
    for record in reader.records() {
        let record = record.map_err(wrong)?;
        rows.push(match &names {
            Some(names) => Dynamic::from_map(names.iter().zip(&record).map(|(name, cell)| (name.as_str().into(), value(cell))).collect()),
            None => Dynamic::from_array(record.iter().map(value).collect()),
        });
    }
    Ok(rows)
}

/// The columns of rows: all the names that they have.
fn columns_of(rows: &Array) -> Result<Vec<String>> {
    let mut names = BTreeSet::new();
    for (index, row) in rows.iter().enumerate() {
        let map = row.as_map_ref().map_err(|_| Error::new(format!("row {index} is {}: expected a map", described(row))))?;
        names.extend(map.keys().map(ToString::to_string));
    }
    Ok(names.into_iter().collect())
}

fn write_rows(context: &NativeCallContext, path: &str, columns: &[String], rows: &Array) -> Answer<()> {
    let host = Host::of(context)?;
    host.acts("write_csv")?;
    let place = host.writable(path)?;
    let mut lines = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let map = row.as_map_ref().map_err(|_| Error::new(format!("row {index} is {}: expected a map", described(row))).at(path))?;
        let field = |column: &String| -> Result<(String, Field)> {
            Ok((column.clone(), map.get(column.as_str()).map_or(Ok(Field::Empty), to_field).at(format!("column `{column}`"))?))
        };
        lines.push(columns.iter().map(field).collect::<Result<Vec<_>>>().at(format!("row {index}")).at(path)?);
    }
    CsvFile::replace(&place, columns, lines).at(path)?;
    Ok(())
}

/// What an array of NumPy is written from.
fn array_of(value: &Dynamic) -> Answer<Vec<u8>> {
    if let Some(tokens) = value.read_lock::<Tokens>() {
        return Ok(npy::integers(tokens.as_slice().iter().map(|&token| INT::from(token)), tokens.as_slice().len()));
    }
    if let Some(numbers) = value.read_lock::<Numbers>() {
        return Ok(match &*numbers {
            Numbers::Single(values) => npy::singles(values.as_slice()),
            Numbers::Double(values) => npy::doubles(values.as_slice(), &[values.len()]),
        });
    }
    if let Some(matrix) = value.read_lock::<Matrix>() {
        let rows: Vec<f64> = (0..matrix.0.rows()).map(|row| matrix.0.row(row)).collect::<Result<Vec<_>>>()?.concat();
        return Ok(npy::doubles(&rows, &[matrix.0.rows(), matrix.0.columns()]));
    }
    let Ok(array) = value.as_array_ref() else {
        let remedy = "give tokens, numbers, a matrix, or an array of numbers or of rows";
        return Err(Error::new(format!("{} cannot be written as an array", described(value))).remedy(remedy).into());
    };
    if let Some(integers) = array.iter().map(|value| value.as_int().ok()).collect::<Option<Vec<INT>>>() {
        return Ok(npy::integers(integers.iter().copied(), integers.len()));
    }
    if array.iter().all(|value| value.is_array() || value.is::<Numbers>()) {
        let rows: Vec<Vec<f64>> = array.iter().map(floats).collect::<Answer<_>>()?;
        let width = rows.first().map_or(0, Vec::len);
        if let Some(row) = rows.iter().position(|row| row.len() != width) {
            return Err(Error::new(format!("row {row} has {} numbers: expected {width}, as in row 0", rows[row].len())).into());
        }
        return Ok(npy::doubles(&rows.concat(), &[rows.len(), width]));
    }
    let values = floats(value)?;
    Ok(npy::doubles(&values, &[values.len()]))
}

#[export_module]
pub(super) mod api {
    /// The rows of a CSV file: an array of maps, by the names of its first line. Cells that spell numbers or truth values are such, empty ones `()`.
    ///
    /// # Example
    /// ```rhai
    /// let run = run_directory("example");
    /// run.text("a.csv", "name,ms\nfp16,1.5\nq8,2\n");
    /// let rows = read_csv(run.file("a.csv"));
    /// assert(rows.len == 2 && rows[0].name == "fp16" && rows[1].ms == 2, "typed");
    /// run.finish();
    /// ```
    #[rhai_fn(name = "read_csv", return_raw, volatile)]
    pub fn read_csv(context: NativeCallContext, path: &str) -> Answer<Array> {
        read_csv_with(context, path, Map::new())
    }

    /// As above. Options: `delimiter` (`","`), `header` (true; without, each row is an array), `types` (true; without, all cells are text).
    ///
    /// # Example
    /// ```rhai
    /// let run = run_directory("example");
    /// run.text("a.tsv", "1\t2\n3\t4\n");
    /// assert(read_csv(run.file("a.tsv"), #{ delimiter: "\t", header: false })[1] == [3, 4], "the second row");
    /// run.finish();
    /// ```
    #[rhai_fn(name = "read_csv", return_raw, volatile)]
    pub fn read_csv_with(context: NativeCallContext, path: &str, options: Map) -> Answer<Array> {
        Ok(rows_of(&text_of(&context, path)?, options).at(path)?)
    }

    /// Writes rows, which are maps, as a CSV file: whole or not at all. The columns are all the names that the rows have, in alphabetical order.
    ///
    /// # Example
    /// ```rhai
    /// let run = run_directory("example");
    /// let path = run.file("a.csv");
    /// write_csv(path, [#{ b: 1, a: "x" }, #{ b: 2.5 }]);
    /// assert(read_text(path) == "a,b\nx,1\n,2.5\n", read_text(path));
    /// run.finish();
    /// ```
    #[rhai_fn(name = "write_csv", return_raw, volatile)]
    pub fn write_csv(context: NativeCallContext, path: &str, rows: Array) -> Answer<()> {
        let columns = columns_of(&rows).at(path)?;
        write_rows(&context, path, &columns, &rows)
    }

    /// As above, with these columns in this order.
    ///
    /// # Example
    /// ```rhai
    /// let run = run_directory("example");
    /// let path = run.file("a.csv");
    /// write_csv(path, ["b", "a"], [#{ b: 1, a: "x" }]);
    /// assert(read_lines(path)[0] == "b,a", "in this order");
    /// run.finish();
    /// ```
    #[rhai_fn(name = "write_csv", return_raw, volatile)]
    pub fn write_csv_columns(context: NativeCallContext, path: &str, columns: Array, rows: Array) -> Answer<()> {
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        write_rows(&context, path, &columns, &rows)
    }

    /// Writes an array of values as JSON lines: whole or not at all.
    ///
    /// # Example
    /// ```rhai
    /// let run = run_directory("example");
    /// let path = run.file("a.jsonl");
    /// write_jsonl(path, [#{ a: 1 }, #{ a: 2 }]);
    /// assert(read_jsonl(path)[1].a == 2, "the second line");
    /// run.finish();
    /// ```
    #[rhai_fn(name = "write_jsonl", return_raw, volatile)]
    pub fn write_jsonl(context: NativeCallContext, path: &str, values: Array) -> Answer<()> {
        let host = Host::of(&context)?;
        host.acts("write_jsonl")?;
        let place = host.writable(path)?;
        let line = |(index, value): (usize, &Dynamic)| -> Result<String> {
            Ok(format!("{}\n", json::value(&to_data(value).at(format!("line {}", index + 1))?)?.0))
        };
        let text: String = values.iter().enumerate().map(line).collect::<Result<_>>().at(path)?;
        Ok(write_atomically(&place, text.as_bytes()).at(path)?)
    }

    /// Writes an array of NumPy (`.npy`): tokens and integers as int64 (tokens as int32), numbers as wide as they are, a matrix or an array of rows with two
    /// dimensions. Whole or not at all.
    ///
    /// # Example
    /// ```rhai
    /// let run = run_directory("example");
    /// let path = run.file("a.npy");
    /// write_npy(path, matrix([[1, 2, 3], [4, 5, 6]]));
    /// assert(read_npy(path)[1][2] == 6.0, "the last one");
    /// run.finish();
    /// ```
    #[rhai_fn(name = "write_npy", return_raw, volatile)]
    pub fn write_npy(context: NativeCallContext, path: &str, value: Dynamic) -> Answer<()> {
        let host = Host::of(&context)?;
        host.acts("write_npy")?;
        let place = host.writable(path)?;
        Ok(write_atomically(&place, &array_of(&value)?).at(path)?)
    }

    /// What a `.npy` file of numbers holds: numbers where it has one dimension, a matrix where it has two. Token ids are better read with `dataset`.
    ///
    /// # Example
    /// ```rhai
    /// let run = run_directory("example");
    /// let path = run.file("a.npy");
    /// write_npy(path, numbers([0.5, 1.5]));
    /// assert(read_npy(path).sum() == 2.0, "both");
    /// run.finish();
    /// ```
    #[rhai_fn(name = "read_npy", return_raw, volatile)]
    pub fn read_npy(context: NativeCallContext, path: &str) -> Answer<Dynamic> {
        let host = Host::of(&context)?;
        let found = host.resolve(path)?;
        let length = std::fs::metadata(&found).at(path)?.len();
        crate::limits::room("the array", length.saturating_mul(2)).at(path)?;
        let bytes = std::fs::read(&found).at(path)?;
        host.opened(&found);
        Ok(npy::read(&bytes).at(path)?)
    }

    /// The names of the files and directories in a directory, sorted.
    ///
    /// # Example
    /// ```rhai
    /// let run = run_directory("example");
    /// run.text("a.txt", "");
    /// assert("a.txt" in list_directory(run.path), "it is there");
    /// run.finish();
    /// ```
    #[rhai_fn(name = "list_directory", name = "list_dir", return_raw, volatile)]
    pub fn list_directory(context: NativeCallContext, path: &str) -> Answer<Array> {
        let found = Host::of(&context)?.resolve(path)?;
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&found).at(path)? {
            names.push(entry.at(path)?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names.into_iter().map(Into::into).collect())
    }

    /// The paths that fit a pattern, sorted: `*` stands for any part of a name, `**` for any directories, `?` for one character, `[ab]` for one of these.
    ///
    /// # Example
    /// ```rhai
    /// let run = run_directory("example");
    /// run.text("a.txt", "");
    /// run.text("b.csv", "");
    /// assert(glob(`${run.path}/*.txt`).len == 1, "one of two");
    /// run.finish();
    /// ```
    #[rhai_fn(name = "glob", return_raw, volatile)]
    pub fn glob(context: NativeCallContext, pattern: &str) -> Answer<Array> {
        let host = Host::of(&context)?;
        // Where it begins may be read; what links lead to elsewhere is left out.
        let fixed: std::path::PathBuf = std::path::Path::new(pattern)
            .components()
            .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']))
            .collect();
        host.resolve(&fixed.display().to_string())?;
        let paths = glob::glob(pattern).map_err(|error| Error::new(format!("the pattern `{pattern}` cannot be read: {error}")))?;
        let mut found = Array::new();
        for path in paths.filter_map(std::result::Result::ok) {
            crate::interrupt::check()?;
            if host.resolve(&path.display().to_string()).is_ok() {
                found.push(path.display().to_string().into());
            }
        }
        Ok(found)
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
