//! A journal: a line of JSON for each thing that is done, on the disk before the next one begins. Whoever comes after a kill reads what was
//! done; a line that the kill cut short is none.

use super::atomic::sync;
use crate::error::{At, Error, Result};
use serde::Serialize;
use serde_yaml::{Mapping, Value};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A journal that is being written.
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens the journal at `path` to go on with it, making it if need be; a last line that was cut short is taken off.
    ///
    /// # Errors
    /// It cannot be made or written; another run is writing it.
    pub fn open(path: &Path) -> Result<Journal> {
        let attempt = || -> Result<File> {
            let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            match file.try_lock() {
                Err(std::fs::TryLockError::WouldBlock) => {
                    let error = Error::new("another run is writing this journal");
                    return Err(error.remedy("wait for it, or end it first"));
                }
                // A file system without locks is trusted to have one writer.
                Err(std::fs::TryLockError::Error(_)) | Ok(()) => {}
            }
            let whole = whole_lines(&std::fs::read(path)?) as u64;
            file.set_len(whole)?;
            file.seek(SeekFrom::Start(whole))?;
            Ok(file)
        };
        Ok(Journal { path: path.to_owned(), file: attempt().at(path.display())? })
    }

    /// Adds a line; it is on the disk when this returns. A line that could not be written whole is taken back.
    ///
    /// # Errors
    /// A full disk.
    pub fn add(&mut self, entry: &impl Serialize) -> Result<()> {
        let line = format!("{}\n", text(entry).at(self.path.display())?);
        let before = self.file.stream_position().map_err(Error::from).at(self.path.display())?;
        let written = self.file.write_all(line.as_bytes()).and_then(|()| sync(&self.file));
        if written.is_err() {
            let _ = self.file.set_len(before);
            let _ = self.file.seek(SeekFrom::Start(before));
        }
        written.map_err(Error::from).at(self.path.display())
    }
}

/// What the journal at `path` holds; nothing where there is none.
///
/// # Errors
/// It cannot be read; a line that is no JSON (the last one, cut short, is passed over).
pub fn read(path: &Path) -> Result<Vec<Value>> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::from).at(path.display())?,
    };
    let text = String::from_utf8_lossy(&bytes[..whole_lines(&bytes)]);
    let parse = |(index, line): (usize, &str)| {
        let wrong = |error: serde_json::Error| {
            Error::new(format!("not JSON: {error}")).remedy("the journal was changed by hand: put the line back, or take it out")
        };
        serde_json::from_str(line).map(unspelled).map_err(wrong).at(format!("line {}", index + 1)).at(path.display())
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(parse).collect()
}

/// The key of an object that stands for a number that JSON has no word for: `{"float": "NaN"}`.
const FLOAT: &str = "float";

/// One line of JSON from which [`read`] makes the same value again, NaN and infinities included.
fn text(entry: &impl Serialize) -> Result<String> {
    let wrong = |error: &dyn std::fmt::Display| Error::new(format!("cannot be written as JSON: {error}"));
    let value = serde_yaml::to_value(entry).map_err(|error| wrong(&error))?;
    serde_json::to_string(&spelled(value)).map_err(|error| wrong(&error))
}

fn spelled(value: Value) -> Value {
    match value {
        Value::Number(number) if number.as_f64().is_some_and(|number| !number.is_finite()) => {
            let word = number.as_f64().unwrap_or(f64::NAN).to_string();
            Value::Mapping(Mapping::from_iter([(FLOAT.into(), word.into())]))
        }
        other => within(other, spelled),
    }
}

fn unspelled(value: Value) -> Value {
    if let Value::Mapping(map) = &value
        && map.len() == 1
        && let Some(number) = map.get(FLOAT).and_then(Value::as_str).and_then(|word| word.parse::<f64>().ok())
    {
        return number.into();
    }
    within(value, unspelled)
}

/// The same list or mapping, of other values.
fn within(value: Value, change: fn(Value) -> Value) -> Value {
    match value {
        Value::Sequence(values) => Value::Sequence(values.into_iter().map(change).collect()),
        Value::Mapping(map) => Value::Mapping(map.into_iter().map(|(key, value)| (key, change(value))).collect()),
        other => other,
    }
}

/// How many of the bytes are whole lines.
fn whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(path: &Path) -> Vec<i64> {
        read(path).unwrap().iter().map(|entry| entry["n"].as_i64().unwrap()).collect()
    }

    #[test]
    fn a_line_that_was_cut_short_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.jsonl");
        assert_eq!(read(&path).unwrap(), Vec::<Value>::new());
        let mut journal = Journal::open(&path).unwrap();
        for n in 1..=3 {
            journal.add(&serde_json::json!({ "n": n, "text": "a\nb" })).unwrap();
        }
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        // Killed at any byte: the lines that were whole are there, and the next one is whole again.
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let left: Vec<i64> = (1..=whole[..length].iter().filter(|&&byte| byte == b'\n').count() as i64).collect();
            assert_eq!(numbers(&path), left, "{length} bytes");
            Journal::open(&path).unwrap().add(&serde_json::json!({ "n": 9 })).unwrap();
            assert_eq!(numbers(&path), [left, vec![9]].concat(), "{length} bytes");
        }
    }

    #[test]
    fn a_line_in_the_middle_that_is_no_json_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.jsonl");
        std::fs::write(&path, "{\"n\":1}\n{\"n\":\n{\"n\":3}\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("cells.jsonl: line 2: not JSON"), "{error}");
    }

    #[test]
    fn every_number_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.jsonl");
        let row: Value =
            serde_yaml::from_str("{n: 1, whole: 2.0, small: 5e-324, third: 0.3333333333333333, none: ~, list: [.nan, .inf, -.inf]}")
                .unwrap();
        Journal::open(&path).unwrap().add(&row).unwrap();
        assert_eq!(format!("{:?}", read(&path).unwrap()), format!("{:?}", [row]));
    }

    #[test]
    fn two_writers_do_not_mix() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells.jsonl");
        let first = Journal::open(&path).unwrap();
        assert!(Journal::open(&path).err().unwrap().to_string().contains("another run is writing"));
        drop(first);
        assert!(Journal::open(&path).is_ok());
    }
}
