//! CSV files whose rows are on the disk as soon as they are measured.

use super::atomic::sync;
use crate::error::{At, Error, Result};
use serde::Deserialize;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

/// One value of a row.
///
/// Floats are written with the fewest digits that read back to the same number; `NaN`, `inf` and `-inf` as those words, which pandas and R read.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Field {
    Empty,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

impl Field {
    fn text(&self) -> String {
        match self {
            Field::Empty => String::new(),
            Field::Bool(value) => value.to_string(),
            Field::Integer(value) => value.to_string(),
            // `{:?}` keeps the `.0` of a whole float, so that a column is of one type, and writes 1e300 as such.
            Field::Float(value) => format!("{value:?}"),
            Field::Text(value) => value.clone(),
        }
    }
}

impl From<f64> for Field {
    fn from(value: f64) -> Field {
        Field::Float(value)
    }
}

impl From<i64> for Field {
    fn from(value: i64) -> Field {
        Field::Integer(value)
    }
}

impl From<bool> for Field {
    fn from(value: bool) -> Field {
        Field::Bool(value)
    }
}

impl From<&str> for Field {
    fn from(value: &str) -> Field {
        Field::Text(value.to_owned())
    }
}

impl From<String> for Field {
    fn from(value: String) -> Field {
        Field::Text(value)
    }
}

/// A growing CSV file (RFC 4180, with `\n` line ends) with a fixed header.
pub struct CsvFile {
    path: PathBuf,
    columns: Vec<String>,
    writer: csv::Writer<File>,
    rows: usize,
}

impl CsvFile {
    /// Makes the file with its header.
    ///
    /// # Errors
    /// The file exists already or cannot be made; no columns, or one twice.
    pub fn create(path: &Path, columns: &[impl AsRef<str>]) -> Result<CsvFile> {
        let columns: Vec<String> = columns.iter().map(|column| column.as_ref().to_owned()).collect();
        if columns.is_empty() {
            return Err(Error::new("a CSV file needs at least one column").at(path.display()));
        }
        if let Some((_, column)) = columns.iter().enumerate().find(|(index, column)| columns[..*index].contains(column)) {
            return Err(Error::new(format!("column `{column}` is there twice")).at(path.display()));
        }
        let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Error::new("the file exists already, and rows of another run stay as they are")
                .remedy("create each CSV file once, and add rows to it"),
            _ => error.into(),
        });
        CsvFile::on(file.at(path.display())?, path, columns)
    }

    /// Writes the file anew with these rows, whole or not at all; a file that is there is replaced.
    ///
    /// # Errors
    /// As [`CsvFile::create`] and [`CsvFile::add`].
    pub fn replace(path: &Path, columns: &[impl AsRef<str>], rows: impl IntoIterator<Item = Vec<(String, Field)>>) -> Result<CsvFile> {
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let beside = path.with_file_name(format!(".{file_name}.new"));
        if beside.exists() {
            std::fs::remove_file(&beside).map_err(Error::from).at(beside.display())?;
        }
        let mut csv = CsvFile::create(&beside, columns)?;
        for row in rows {
            let ordered = csv.order(row).map_err(|error| error.at(format!("row {}", csv.rows + 1)).at(path.display()))?;
            csv.writer.write_record(&ordered).map_err(|error| Error::new(error.to_string())).at(path.display())?;
            csv.rows += 1;
        }
        csv.writer.flush().and_then(|()| sync(csv.writer.get_ref())).map_err(Error::from).at(path.display())?;
        std::fs::rename(&beside, path).map_err(Error::from).at(path.display())?;
        path.clone_into(&mut csv.path);
        Ok(csv)
    }

    fn on(file: File, path: &Path, columns: Vec<String>) -> Result<CsvFile> {
        let mut csv = CsvFile { path: path.to_owned(), columns, writer: csv::Writer::from_writer(file), rows: 0 };
        let header = csv.columns.clone();
        csv.write(&header)?;
        Ok(csv)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Rows written so far, the header not counted.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Appends a row of named values, in any order; it is on the disk when this returns.
    ///
    /// # Errors
    /// A column that is missing, unknown or given twice (nothing is written then); a full disk.
    pub fn add(&mut self, row: impl IntoIterator<Item = (impl AsRef<str>, impl Into<Field>)>) -> Result<()> {
        let ordered = self.order(row).map_err(|error| error.at(format!("row {}", self.rows + 1)).at(self.path.display()))?;
        self.write(&ordered)?;
        self.rows += 1;
        Ok(())
    }

    /// Appends a row that may lack columns, which stay empty, or bring new ones: the file is then written again with a wider header, in which the
    /// new columns stand before those of `last`. It is on the disk when this returns.
    ///
    /// # Errors
    /// As [`CsvFile::add`]; the file cannot be read again.
    pub fn extend(self, row: Vec<(String, Field)>, last: &[&str]) -> Result<CsvFile> {
        let new: Vec<String> = row.iter().map(|(name, _)| name.clone()).filter(|name| !self.columns.contains(name)).collect();
        let mut csv = if new.is_empty() { self } else { self.widened(&new, last)? };
        let given: Vec<&String> = row.iter().map(|(name, _)| name).collect();
        let missing: Vec<(String, Field)> =
            csv.columns.iter().filter(|column| !given.contains(column)).map(|column| (column.clone(), Field::Empty)).collect();
        csv.add(row.into_iter().chain(missing))?;
        Ok(csv)
    }

    fn widened(self, new: &[String], last: &[&str]) -> Result<CsvFile> {
        let CsvFile { path, mut columns, writer, .. } = self;
        // Some systems do not replace an open file.
        drop(writer);
        let before = columns.clone();
        let place = columns.iter().position(|column| last.contains(&column.as_str())).unwrap_or(columns.len());
        columns.splice(place..place, new.iter().cloned());
        let unreadable = |error: csv::Error| Error::new(error.to_string()).at(path.display());
        let mut rows = Vec::new();
        for record in csv::Reader::from_path(&path).map_err(unreadable)?.records() {
            let record = record.map_err(unreadable)?;
            let old = before.iter().cloned().zip(record.iter().map(Field::from));
            rows.push(old.chain(new.iter().map(|name| (name.clone(), Field::Empty))).collect());
        }
        CsvFile::replace(&path, &columns, rows)
    }

    fn order(&self, row: impl IntoIterator<Item = (impl AsRef<str>, impl Into<Field>)>) -> Result<Vec<String>> {
        let mut ordered: Vec<Option<String>> = vec![None; self.columns.len()];
        for (name, value) in row {
            let name = name.as_ref();
            let Some(index) = self.columns.iter().position(|column| column == name) else {
                return Err(crate::error::unknown("column", name, self.columns.iter().map(String::as_str)));
            };
            if ordered[index].replace(value.into().text()).is_some() {
                return Err(Error::new(format!("column `{name}` is given twice")));
            }
        }
        let missing: Vec<&str> =
            self.columns.iter().zip(&ordered).filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str()).collect();
        if !missing.is_empty() {
            return Err(Error::new(format!("no value for {}", missing.join(", ")))
                .remedy("give every column a value; an empty one, `()` in a script, leaves the field empty"));
        }
        Ok(ordered.into_iter().flatten().collect())
    }

    fn write(&mut self, fields: &[String]) -> Result<()> {
        let attempt = |writer: &mut csv::Writer<File>| -> Result<()> {
            writer.write_record(fields).map_err(|error| match error.into_kind() {
                csv::ErrorKind::Io(error) => Error::from(error),
                // Every row has as many fields as the header, so nothing else is left to go wrong.
                other => Error::new(format!("{other:?}")),
            })?;
            writer.flush()?;
            sync(writer.get_ref())?;
            Ok(())
        };
        attempt(&mut self.writer).at(self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(columns: &[&str]) -> (tempfile::TempDir, CsvFile) {
        let directory = tempfile::tempdir().unwrap();
        let csv = CsvFile::create(&directory.path().join("latency.csv"), columns).unwrap();
        (directory, csv)
    }

    fn content(csv: &CsvFile) -> String {
        std::fs::read_to_string(csv.path()).unwrap()
    }

    #[test]
    fn rows_are_on_disk_when_add_returns() {
        let (_directory, mut csv) = file(&["model", "prompt_len", "tokens_per_sec", "cached", "note"]);
        assert_eq!(content(&csv), "model,prompt_len,tokens_per_sec,cached,note\n");
        csv.add([
            ("tokens_per_sec", Field::Float(0.1 + 0.2)),
            ("model", "a, \"quoted\"\nname".into()),
            ("prompt_len", 128.into()),
            ("note", Field::Empty),
            ("cached", true.into()),
        ])
        .unwrap();
        assert_eq!(
            content(&csv),
            "model,prompt_len,tokens_per_sec,cached,note\n\"a, \"\"quoted\"\"\nname\",128,0.30000000000000004,true,\n"
        );
        assert_eq!(csv.rows(), 1);
    }

    #[test]
    fn floats_read_back_to_the_same_bits() {
        let (_directory, mut csv) = file(&["x"]);
        let values = [1.0, -0.0, 0.1, 1.0 / 3.0, 1e300, 5e-324, f64::MAX, f64::INFINITY, f64::NAN];
        for value in values {
            csv.add([("x", value)]).unwrap();
        }
        let text = content(&csv);
        let read: Vec<f64> = text.lines().skip(1).map(|line| line.parse().unwrap()).collect();
        assert!(values.iter().zip(&read).all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())), "{text}");
        insta::assert_snapshot!(text, @r"
        x
        1.0
        -0.0
        0.1
        0.3333333333333333
        1e300
        5e-324
        1.7976931348623157e308
        inf
        NaN
        ");
    }

    #[test]
    fn a_wrong_row_is_told_and_not_written() {
        let (_directory, mut csv) = file(&["model", "prompt_len", "gen_len"]);
        let before = content(&csv);
        let error = |result: Result<()>| result.unwrap_err().to_string().split_once("latency.csv: ").unwrap().1.to_owned();
        let misspelt = error(csv.add([("model", Field::Empty), ("promt_len", 1.into()), ("gen_len", 2.into())]));
        insta::assert_snapshot!(misspelt, @r"
        row 1: unknown column `promt_len`
          help: did you mean `prompt_len`? known are: model, prompt_len, gen_len
        ");
        insta::assert_snapshot!(error(csv.add([("model", "a")])), @r"
        row 1: no value for prompt_len, gen_len
          help: give every column a value; an empty one, `()` in a script, leaves the field empty
        ");
        insta::assert_snapshot!(error(csv.add([("model", "a"), ("model", "b")])), @"row 1: column `model` is given twice");
        assert_eq!(content(&csv), before);
    }

    #[test]
    fn headers_are_checked_and_files_are_kept() {
        let (directory, csv) = file(&["a"]);
        assert!(CsvFile::create(csv.path(), &["a"]).err().unwrap().to_string().contains("exists already"));
        let path = directory.path().join("b.csv");
        assert!(CsvFile::create(&path, &["a", "b", "a"]).err().unwrap().to_string().contains("`a` is there twice"));
        assert!(CsvFile::create(&path, &[] as &[&str]).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn a_row_may_bring_columns_and_lack_some() {
        let (_directory, csv) = file(&["model", "depth", "error"]);
        let row = |fields: &[(&str, Field)]| fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<Vec<_>>();
        let csv = csv.extend(row(&[("model", "a,b".into()), ("depth", 0.5.into()), ("error", Field::Empty)]), &["error"]).unwrap();
        let csv = csv.extend(row(&[("model", "c".into()), ("found", true.into())]), &["error"]).unwrap();
        assert_eq!(content(&csv), "model,depth,found,error\n\"a,b\",0.5,,\nc,,true,\n");
        assert_eq!((csv.rows(), csv.columns().len()), (2, 4));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = CsvFile::on(full, Path::new("memory.csv"), vec!["a".into()]).err().unwrap().to_string();
        assert!(error.starts_with("memory.csv: ") && error.contains("help: free some space"), "{error}");
    }

    #[test]
    fn fields_deserialise_from_what_scripts_hold() {
        let fields: Vec<Field> = serde_json::from_str(r#"[null, true, 3, 2.0, "x"]"#).unwrap();
        assert_eq!(fields, [Field::Empty, Field::Bool(true), Field::Integer(3), Field::Float(2.0), Field::Text("x".into())]);
    }
}
