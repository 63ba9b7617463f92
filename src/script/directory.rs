//! Run directories: CSV rows that are on the disk at once, JSON reports, files of text; whole under the final name, or not there.

use super::failure::Answer;
use super::host::Host;
use super::values::{described, from_data, to_data, to_field};
use crate::artifact::{Field, RunDirectory};
use crate::error::{At, Error, Result};
use rhai::plugin::*;
use rhai::{Array, Map};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

/// A run directory that a script writes to.
#[derive(Clone)]
pub struct Run(pub(super) Rc<RefCell<RunDirectory>>);

impl Run {
    /// The path for a file that others write (a chart).
    pub(super) fn file(&self, name: &str) -> Result<std::path::PathBuf> {
        self.0.borrow().file(name)
    }
}

pub(super) fn columns_of(columns: &Array) -> Result<Vec<String>> {
    let name = |column: &Dynamic| match column.clone().into_immutable_string() {
        Ok(name) => Ok(name.to_string()),
        Err(_) => Err(Error::new(format!("a column's name is {}: expected text", described(column)))),
    };
    columns.iter().map(name).collect()
}

fn fields_of(row: &Map) -> Result<Vec<(&str, Field)>> {
    let field = |(name, value): (&'_ rhai::Identifier, &Dynamic)| to_field(value).at(format!("column `{name}`"));
    row.iter().map(|entry| Ok((entry.0.as_str(), field(entry)?))).collect()
}

#[export_module]
pub(super) mod api {
    /// The directory of one run: `<parent>/<experiment>_<YYYYMMDD_HHMMSS>/`, with that name only once `finish` was called. Where the
    /// script fails before, the directory keeps its rows, says why it failed, and is called `....partial`.
    pub type RunDirectory = super::Run;

    /// Begins a run in `artifacts/`.
    #[rhai_fn(name = "run_directory", return_raw, volatile)]
    pub fn begin(context: NativeCallContext, experiment: &str) -> Answer<RunDirectory> {
        begin_in(context, experiment, "artifacts")
    }

    /// Begins a run in `parent`, which is made if need be.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let run = run_directory("needle", "artifacts");
    /// run.csv("needle.csv", ["depth", "found"]);
    /// run.row("needle.csv", #{ depth: 0.5, found: true });     // on the disk when this returns
    /// run.json("report.json", #{ score: 1.0 });
    /// print(run.finish());                                     // artifacts/needle_20261124_171502
    /// ```
    #[rhai_fn(name = "run_directory", return_raw, volatile)]
    pub fn begin_in(context: NativeCallContext, experiment: &str, parent: &str) -> Answer<RunDirectory> {
        let host = Host::of(&context)?;
        host.acts("run_directory")?;
        let parent = host.options.output.as_deref().unwrap_or(Path::new(parent));
        host.permissions.run_parent(parent)?;
        let run = Rc::new(RefCell::new(crate::artifact::RunDirectory::begin(parent, experiment)?));
        host.watch(&run);
        Ok(Run(run))
    }

    /// Opens the directory of a run that has ended, or was ended, to go on with it.
    #[rhai_fn(name = "reopen_run", return_raw, volatile)]
    pub fn reopen(context: NativeCallContext, path: &str) -> Answer<RunDirectory> {
        let host = Host::of(&context)?;
        host.acts("reopen_run")?;
        host.writable(path)?;
        let run = Rc::new(RefCell::new(crate::artifact::RunDirectory::reopen(Path::new(path))?));
        host.watch(&run);
        Ok(Run(run))
    }

    /// The lines of a run's journal: an array of what was added with `add_line`, but for a last line that a kill has cut short.
    #[rhai_fn(name = "read_journal", return_raw, volatile)]
    pub fn read_journal(context: NativeCallContext, path: &str) -> Answer<Array> {
        Host::of(&context)?.resolve(path)?;
        Ok(crate::artifact::journal::read(Path::new(path))?.iter().map(from_data).collect())
    }

    /// Adds a line to a journal of JSON lines; it is on the disk when this returns.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn add_line(run: &mut RunDirectory, name: &str, entry: Dynamic) -> Answer<()> {
        let data = to_data(&entry).at(name)?;
        Ok(run.0.borrow_mut().add_line(name, &data)?)
    }

    /// Writes a CSV file anew: all of it, or nothing. Rows are maps; what one does not have is left empty.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn replace_csv(run: &mut RunDirectory, name: &str, columns: Array, rows: Array) -> Answer<()> {
        let columns = columns_of(&columns)?;
        let mut lines = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            let row = row.as_map_ref().map_err(|kind| Error::new(format!("row {index} is a {kind}: expected a map")).at(name))?;
            let field = |column: &String| -> Result<(String, Field)> {
                let value = row.get(column.as_str()).map_or(Ok(Field::Empty), to_field);
                Ok((column.clone(), value.at(format!("column `{column}`"))?))
            };
            lines.push(columns.iter().map(field).collect::<Result<Vec<_>>>().at(name)?);
        }
        Ok(run.0.borrow_mut().replace_csv(name, &columns, lines)?)
    }

    /// Says how this run can be gone on with, should it be ended before it is finished.
    #[rhai_fn(name = "resumable", pure, return_raw, volatile)]
    pub fn resumable(context: NativeCallContext, run: &mut RunDirectory) -> Answer<()> {
        let host = Host::of(&context)?;
        let path = run.0.borrow().path().display().to_string();
        let command = host.command();
        *host.resumable.borrow_mut() = (!command.is_empty()).then(|| match host.options.resume {
            Some(_) => command,
            None => format!("{command} --resume {path}"),
        });
        Ok(())
    }

    /// Where its files are now: another path after `finish`.
    #[rhai_fn(get = "path", pure)]
    pub fn path(run: &mut RunDirectory) -> String {
        run.0.borrow().path().display().to_string()
    }

    /// When the run began: `2026-11-24T17:15:02Z`.
    #[rhai_fn(get = "started", pure)]
    pub fn started(run: &mut RunDirectory) -> String {
        run.0.borrow().started()
    }

    /// Makes a CSV file with these columns.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn csv(run: &mut RunDirectory, name: &str, columns: Array) -> Answer<()> {
        Ok(run.0.borrow_mut().create_csv(name, &columns_of(&columns)?)?)
    }

    /// Whether the CSV file `name` was made.
    #[rhai_fn(pure)]
    pub fn has_csv(run: &mut RunDirectory, name: &str) -> bool {
        run.0.borrow().has_csv(name)
    }

    /// Appends a row to a CSV file: a map with a value for every column. It is on the disk when this returns.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn row(run: &mut RunDirectory, name: &str, row: Map) -> Answer<()> {
        let fields = fields_of(&row).at(name)?;
        Ok(run.0.borrow_mut().add_row(name, fields)?)
    }

    /// The path of a file in this directory, for a program that writes it.
    #[rhai_fn(name = "file", pure, return_raw)]
    pub fn file(run: &mut RunDirectory, name: &str) -> Answer<String> {
        Ok(run.file(name)?.display().to_string())
    }

    /// Writes a file of text.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn text(run: &mut RunDirectory, name: &str, text: &str) -> Answer<()> {
        Ok(run.0.borrow().write_text(name, text)?)
    }

    /// Writes a JSON file. What JSON has no word for (NaN, infinities) becomes `null` and is listed under `not_finite`.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn json(run: &mut RunDirectory, name: &str, report: Dynamic) -> Answer<()> {
        let data = to_data(&report).at(name)?;
        Ok(run.0.borrow().write_json(name, &data)?)
    }

    /// Gives the directory its final name, and returns its path.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn finish(run: &mut RunDirectory) -> Answer<String> {
        Ok(run.0.borrow_mut().finish()?.display().to_string())
    }

    /// Leaves a run as it is: it can still be gone on with.
    #[rhai_fn(name = "leave", pure, volatile)]
    pub fn leave(run: &mut RunDirectory) {
        run.0.borrow_mut().leave();
    }

    /// Ends the run without success: its rows stay, with a file that says why. Returns a sentence that says where.
    #[rhai_fn(pure, volatile)]
    pub fn fail(run: &mut RunDirectory, reason: &str) -> String {
        run.0.borrow_mut().fail(reason)
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
