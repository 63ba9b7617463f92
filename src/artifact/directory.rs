//! The directory of one run: there under its final name only when everything in it is.

use super::clock::Utc;
use super::csv::{CsvFile, Field};
use super::journal::Journal;
use super::{json, write_atomically};
use crate::error::{At, Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a run in progress, or one that failed, is called: its final name and this.
const PARTIAL: &str = ".partial";

/// Where a failed run says why.
const FAILED: &str = "FAILED.txt";

/// Runs of one name that may begin in one second.
const SAME_SECOND: usize = 1_000;

/// `artifacts/<experiment>_<YYYYMMDD_HHMMSS>/`, its time being the start of the run in UTC; `..._2` and so on for others that began in that
/// second.
///
/// Until [`RunDirectory::finish`] it is called `... .partial`. A run that fails (or is dropped) keeps that name and its rows, and holds a
/// file that says what happened.
pub struct RunDirectory {
    path: PathBuf,
    target: PathBuf,
    started: Utc,
    csvs: BTreeMap<String, CsvFile>,
    journals: BTreeMap<String, Journal>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Finished,
    Failed,
}

impl RunDirectory {
    /// Makes the directory of a run of `experiment` that starts now, in `parent` (made if need be).
    ///
    /// # Errors
    /// An experiment whose name is no file name; a parent that cannot be made or written to.
    pub fn begin(parent: &Path, experiment: &str) -> Result<RunDirectory> {
        RunDirectory::begin_at(parent, experiment, SystemTime::now())
    }

    fn begin_at(parent: &Path, experiment: &str, time: SystemTime) -> Result<RunDirectory> {
        check_name("experiment", experiment)?;
        let started = Utc::of(time);
        let unwritable = |error: std::io::Error, place: &Path| {
            let remedy = "choose a directory that you may write to";
            Error::new(format!("cannot make the run directory: {error}")).remedy(remedy).at(place.display())
        };
        std::fs::create_dir_all(parent).map_err(|error| unwritable(error, parent))?;
        for turn in 1..=SAME_SECOND {
            let suffix = if turn == 1 { String::new() } else { format!("_{turn}") };
            let name = format!("{experiment}_{}{suffix}", started.stamp());
            let (target, path) = (parent.join(&name), parent.join(format!("{name}{PARTIAL}")));
            match std::fs::create_dir(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                other => other.map_err(|error| unwritable(error, &path))?,
            }
            // Looked at after the partial directory is ours: no other run can take the final name from here on.
            if !target.exists() {
                return Ok(RunDirectory::at(path, target, started));
            }
            let _ = std::fs::remove_dir(&path);
        }
        Err(Error::new(format!("{SAME_SECOND} runs of this name started in the same second")).remedy("start it again").at(parent.display()))
    }

    fn at(path: PathBuf, target: PathBuf, started: Utc) -> RunDirectory {
        RunDirectory { path, target, started, csvs: BTreeMap::new(), journals: BTreeMap::new(), state: State::Open }
    }

    /// Opens the directory of a run that has ended, or was ended, to go on with it. `path` may be given with or without `.partial`.
    ///
    /// # Errors
    /// There is no such directory.
    pub fn reopen(path: &Path) -> Result<RunDirectory> {
        let given = path.components().as_path().to_path_buf();
        let with_partial = PathBuf::from(format!("{}{PARTIAL}", given.display()));
        let path = if given.is_dir() { given } else { with_partial };
        if !path.is_dir() {
            let remedy = "give the directory of a run: artifacts/NAME_TIME.partial";
            return Err(Error::new("there is no such run directory").remedy(remedy).at(path.with_extension("").display()));
        }
        let target = path.to_string_lossy().strip_suffix(PARTIAL).map_or_else(|| path.clone(), PathBuf::from);
        let told = path.join(FAILED);
        if told.exists() {
            std::fs::remove_file(&told).map_err(Error::from).at(told.display())?;
        }
        let started =
            std::fs::metadata(&path).and_then(|data| data.created().or_else(|_| data.modified())).unwrap_or_else(|_| SystemTime::now());
        Ok(RunDirectory::at(path, target, Utc::of(started)))
    }

    /// Where the files are now: another path after [`RunDirectory::finish`].
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether something can still be added: the run has neither finished nor failed.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// When the run began, as a report has it: `2026-11-24T17:15:02Z`.
    pub fn started(&self) -> String {
        self.started.iso()
    }

    /// The path of a file called `name` in this directory, for whoever writes it (a chart, say).
    ///
    /// # Errors
    /// A name with a directory in it, or one that is no file name; a run that has ended.
    pub fn file(&self, name: &str) -> Result<PathBuf> {
        self.open()?;
        check_name("file", name)?;
        Ok(self.path.join(name))
    }

    /// Makes a CSV file with a fixed header.
    ///
    /// # Errors
    /// See [`CsvFile::create`].
    pub fn create_csv(&mut self, name: &str, columns: &[impl AsRef<str>]) -> Result<()> {
        let csv = CsvFile::create(&self.file(name)?, columns)?;
        self.csvs.insert(name.to_owned(), csv);
        Ok(())
    }

    /// Appends a row to the CSV file `name`; it is on the disk when this returns.
    ///
    /// # Errors
    /// No such CSV file; see [`CsvFile::add`].
    pub fn add_row(&mut self, name: &str, row: impl IntoIterator<Item = (impl AsRef<str>, impl Into<Field>)>) -> Result<()> {
        self.open()?;
        let is_first = self.csvs.is_empty();
        match self.csvs.get_mut(name) {
            Some(csv) => csv.add(row),
            None if is_first => Err(Error::new(format!("the CSV file `{name}` was not begun"))
                .remedy(format!("its columns begin it: run.csv(\"{name}\", [\"x\", \"y\"])"))),
            None => Err(crate::error::unknown("CSV file", name, self.csvs.keys().map(String::as_str)).at(self.path.display())),
        }
    }

    /// Appends a row to the CSV file `name`, which is made with these columns if there is none of this run; see [`CsvFile::extend`].
    ///
    /// # Errors
    /// See [`CsvFile::extend`] and [`CsvFile::replace`].
    pub fn extend_csv(&mut self, name: &str, columns: &[String], row: Vec<(String, Field)>, last: &[&str]) -> Result<()> {
        let path = self.file(name)?;
        let csv = match self.csvs.remove(name) {
            Some(csv) => csv,
            // One that is left of an interrupted run has rows that are measured again.
            None => CsvFile::replace(&path, columns, [])?,
        };
        self.csvs.insert(name.to_owned(), csv.extend(row, last)?);
        Ok(())
    }

    /// Writes a CSV file anew, with other columns or rows than it had; rows can be added to it afterwards.
    ///
    /// # Errors
    /// See [`CsvFile::replace`].
    pub fn replace_csv(
        &mut self,
        name: &str,
        columns: &[impl AsRef<str>],
        rows: impl IntoIterator<Item = Vec<(String, Field)>>,
    ) -> Result<()> {
        let path = self.file(name)?;
        // Some systems do not replace an open file.
        self.csvs.remove(name);
        let csv = CsvFile::replace(&path, columns, rows)?;
        self.csvs.insert(name.to_owned(), csv);
        Ok(())
    }

    /// Adds a line to the journal `name`; it is on the disk when this returns.
    ///
    /// # Errors
    /// See [`Journal::open`] and [`Journal::add`].
    pub fn add_line(&mut self, name: &str, entry: &impl Serialize) -> Result<()> {
        let path = self.file(name)?;
        if !self.journals.contains_key(name) {
            self.journals.insert(name.to_owned(), Journal::open(&path)?);
        }
        self.journals.get_mut(name).map_or(Ok(()), |journal| journal.add(entry))
    }

    /// Whether there is a CSV file `name` to add rows to.
    pub fn has_csv(&self, name: &str) -> bool {
        self.csvs.contains_key(name)
    }

    /// Writes a whole file of text, replacing what was there.
    ///
    /// # Errors
    /// See [`RunDirectory::file`] and [`write_atomically`].
    pub fn write_text(&self, name: &str, text: &str) -> Result<()> {
        write_atomically(&self.file(name)?, text.as_bytes())
    }

    /// Writes a whole JSON file, replacing what was there; see [`json::write`] for NaN.
    ///
    /// # Errors
    /// See [`RunDirectory::file`] and [`json::write`].
    pub fn write_json(&self, name: &str, report: &impl Serialize) -> Result<()> {
        json::write(&self.file(name)?, report)
    }

    /// Gives the directory its final name, and returns its path.
    ///
    /// # Errors
    /// The run has ended already; something of the final name has appeared. The directory then stays as it is.
    pub fn finish(&mut self) -> Result<PathBuf> {
        self.open()?;
        if self.target != self.path && self.target.exists() {
            let message = format!("{} exists already; this run's files are complete in {}", self.target.display(), self.path.display());
            return Err(Error::new(message).remedy("move one of them"));
        }
        // Some systems do not rename a directory that holds an open file.
        self.csvs.clear();
        self.journals.clear();
        std::fs::rename(&self.path, &self.target).map_err(Error::from).at(self.target.display())?;
        self.path.clone_from(&self.target);
        self.state = State::Finished;
        Ok(self.path.clone())
    }

    /// Ends the run without success: everything written stays, with a file that says why. Returns a sentence that says where.
    ///
    /// Nothing can go wrong here that matters more than `reason`, so nothing is returned as an error.
    pub fn fail(&mut self, reason: impl fmt::Display) -> String {
        if self.state != State::Open {
            return format!("the files of this run are in {}", self.path.display());
        }
        self.state = State::Failed;
        let rows: String = self.csvs.values().map(|csv| format!("{}: {} rows\n", file_name(csv.path()), csv.rows())).collect();
        let kept = if rows.is_empty() { "No rows were measured.\n".to_owned() } else { format!("Rows kept:\n{rows}") };
        let text = format!(
            "This run did not finish.\n\n{reason}\n\nstarted: {}\nended:   {}\n\n{kept}",
            self.started(),
            Utc::of(SystemTime::now()).iso()
        );
        self.csvs.clear();
        self.journals.clear();
        let place = self.path.display();
        match write_atomically(&self.path.join(FAILED), text.as_bytes()) {
            Ok(()) => format!("what was measured so far is in {place}"),
            Err(error) => format!("what was measured so far is in {place} ({FAILED} could not be written: {})", error.message()),
        }
    }

    /// Leaves the directory as it is, neither finished nor failed: the run can be gone on with.
    pub fn leave(&mut self) {
        self.csvs.clear();
        self.journals.clear();
        self.state = State::Failed;
    }

    /// Takes the directory away if nothing was written into it. Returns whether it is gone: the run has then ended.
    pub fn discard_if_empty(&mut self) -> bool {
        // Only an empty directory can be removed like this.
        if self.state == State::Open && std::fs::remove_dir(&self.path).is_ok() {
            self.state = State::Failed;
        }
        !self.path.exists()
    }

    fn open(&self) -> Result<()> {
        match self.state {
            State::Open => Ok(()),
            State::Finished => Err(Error::new("this run is finished: nothing can be added to it").at(self.path.display())),
            State::Failed => Err(Error::new("this run has failed: nothing can be added to it").at(self.path.display())),
        }
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if self.state == State::Open {
            self.fail("It ended before its artifacts were finished.");
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A name that is one file name on every system.
fn check_name(what: &str, name: &str) -> Result<()> {
    let strange = |c: char| c.is_control() || r#"/\:*?"<>|"#.contains(c);
    if name.is_empty() || name.starts_with('.') || name.len() > 200 || name.contains(strange) || name.trim() != name {
        return Err(Error::new(format!("{name:?} cannot be the name of {} {what}", if what.starts_with('e') { "an" } else { "a" }))
            .remedy("use letters, digits, `_` and `-`; no directories"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn begin(parent: &Path) -> Result<RunDirectory> {
        RunDirectory::begin_at(parent, "paper", UNIX_EPOCH + Duration::from_secs(1_709_251_199))
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_final_name_appears_when_all_is_done() {
        let temporary = tempfile::tempdir().unwrap();
        let parent = temporary.path().join("artifacts");
        let mut run = begin(&parent).unwrap();
        run.create_csv("memory.csv", &["model", "kvcache_mb"]).unwrap();
        run.add_row("memory.csv", [("model", Field::from("a")), ("kvcache_mb", 1.5.into())]).unwrap();
        run.write_text("tables.tex", "%\n").unwrap();
        run.write_json("report.json", &serde_json::json!({ "a": 1 })).unwrap();
        assert_eq!(names(&parent), ["paper_20240229_235959.partial"]);
        let path = run.finish().unwrap();
        assert_eq!(path, parent.join("paper_20240229_235959"));
        assert_eq!((run.path(), run.started().as_str()), (path.as_path(), "2024-02-29T23:59:59Z"));
        assert_eq!(names(&parent), ["paper_20240229_235959"]);
        assert_eq!(names(&path), ["memory.csv", "report.json", "tables.tex"]);
        assert!(run.write_text("late.txt", "").unwrap_err().to_string().contains("is finished"));
        drop(run);
        assert_eq!(names(&path).len(), 3);
    }

    #[test]
    fn a_failed_run_keeps_its_rows_and_says_why() {
        let temporary = tempfile::tempdir().unwrap();
        let mut run = begin(temporary.path()).unwrap();
        run.create_csv("latency.csv", &["ms"]).unwrap();
        run.add_row("latency.csv", [("ms", 1.0)]).unwrap();
        let sentence = run.fail(Error::new("out of device memory").at("session"));
        let path = temporary.path().join("paper_20240229_235959.partial");
        assert_eq!(sentence, format!("what was measured so far is in {}", path.display()));
        assert_eq!(std::fs::read_to_string(path.join("latency.csv")).unwrap(), "ms\n1.0\n");
        let text = std::fs::read_to_string(path.join(FAILED)).unwrap();
        assert!(text.contains("session: out of device memory") && text.contains("latency.csv: 1 rows"), "{text}");
        assert!(run.finish().is_err() && run.add_row("latency.csv", [("ms", 2.0)]).is_err());
    }

    #[test]
    fn a_dropped_run_is_a_failed_one() {
        let temporary = tempfile::tempdir().unwrap();
        drop(begin(temporary.path()).unwrap());
        assert_eq!(names(&temporary.path().join("paper_20240229_235959.partial")), [FAILED]);
    }

    #[test]
    fn a_run_without_rows_leaves_nothing() {
        let temporary = tempfile::tempdir().unwrap();
        let mut run = begin(temporary.path()).unwrap();
        assert!(run.discard_if_empty() && !run.is_open());
        drop(run);
        assert_eq!(names(temporary.path()), [""; 0]);
        let mut run = begin(temporary.path()).unwrap();
        run.write_text("note.txt", "kept").unwrap();
        assert!(!run.discard_if_empty() && run.is_open());
    }

    #[test]
    fn runs_in_the_same_second() {
        let temporary = tempfile::tempdir().unwrap();
        let mut first = begin(temporary.path()).unwrap();
        let _second = begin(temporary.path()).unwrap();
        first.finish().unwrap();
        let mut third = begin(temporary.path()).unwrap();
        third.finish().unwrap();
        let expected = ["paper_20240229_235959", "paper_20240229_235959_2.partial", "paper_20240229_235959_3"];
        assert_eq!(names(temporary.path()), expected);
        // Many at once, as a script of the shell starts them.
        let parent = temporary.path().join("many");
        let begun: Vec<PathBuf> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| begin(&parent).unwrap().finish().unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(begun.iter().collect::<std::collections::BTreeSet<_>>().len(), 8, "{begun:?}");
    }

    #[test]
    fn a_run_is_gone_on_with() {
        let temporary = tempfile::tempdir().unwrap();
        let mut run = begin(temporary.path()).unwrap();
        run.add_line("cells.jsonl", &1).unwrap();
        run.create_csv("a.csv", &["n"]).unwrap();
        run.add_row("a.csv", [("n", 1)]).unwrap();
        run.fail("killed");
        drop(run);
        let path = temporary.path().join("paper_20240229_235959");
        let mut run = RunDirectory::reopen(&path).unwrap();
        run.add_line("cells.jsonl", &2).unwrap();
        run.replace_csv("a.csv", &["n", "m"], [vec![("n".to_owned(), Field::from(1)), ("m".to_owned(), Field::from(2))]]).unwrap();
        run.add_row("a.csv", [("n", 3), ("m", 4)]).unwrap();
        assert_eq!(run.finish().unwrap(), path);
        assert_eq!(std::fs::read_to_string(path.join("cells.jsonl")).unwrap(), "1\n2\n");
        assert_eq!(std::fs::read_to_string(path.join("a.csv")).unwrap(), "n,m\n1,2\n3,4\n");
        assert_eq!(names(&path), ["a.csv", "cells.jsonl"]);
        // A run that is finished keeps its name.
        assert_eq!(RunDirectory::reopen(&path).unwrap().finish().unwrap(), path);
        assert!(RunDirectory::reopen(&temporary.path().join("nothing")).is_err());
    }

    #[test]
    fn a_final_name_taken_meanwhile_loses_nothing() {
        let temporary = tempfile::tempdir().unwrap();
        let mut run = begin(temporary.path()).unwrap();
        std::fs::create_dir(temporary.path().join("paper_20240229_235959")).unwrap();
        let error = run.finish().unwrap_err().to_string();
        assert!(error.contains("exists already") && run.path().exists(), "{error}");
    }

    #[test]
    fn a_parent_that_cannot_be_written_to() {
        let temporary = tempfile::tempdir().unwrap();
        let file = temporary.path().join("artifacts");
        std::fs::write(&file, "not a directory").unwrap();
        let error = begin(&file).err().unwrap().to_string();
        assert!(error.contains("cannot make the run directory") && error.contains("help: choose a directory"), "{error}");
    }

    #[test]
    fn names_stay_inside() {
        let temporary = tempfile::tempdir().unwrap();
        for name in ["", "../up", "a/b", ".hidden", "a\nb", "c:d"] {
            assert!(RunDirectory::begin(temporary.path(), name).is_err(), "{name:?}");
            assert!(begin(&temporary.path().join("ok")).unwrap().file(name).is_err(), "{name:?}");
            std::fs::remove_dir_all(temporary.path().join("ok")).unwrap();
        }
        let mut run = begin(temporary.path()).unwrap();
        run.create_csv("memory.csv", &["a"]).unwrap();
        assert!(run.add_row("memry.csv", [("a", 1.0)]).unwrap_err().to_string().contains("did you mean `memory.csv`?"));
        assert!(run.has_csv("memory.csv") && !run.has_csv("memry.csv"));
    }
}
