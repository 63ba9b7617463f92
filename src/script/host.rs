//! What the native functions of one script run share: what the command line asked for, the device (opened when it is first
//! needed), the texts of all scripts (errors show their lines), and the run directories that are still open.

use super::failure::Answer;
use super::modules::{self, Declared};
use super::permissions::Permissions;
use super::rewrite::{self, Insertion};
use super::{HostOptions, Purpose, bundle, files, token_dataset, values};
use crate::artifact::{Field, RunDirectory};
use crate::error::{At, Error, Result};
use crate::gpu::{DeviceChoice, Gpu};
use crate::model::would_fetch;
use crate::terminal;
use rhai::{Map, NativeCallContext, Position};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

/// One script run.
pub(super) struct Host {
    pub(super) options: HostOptions,
    /// The main script's name, as errors give it.
    pub(super) main: String,
    /// The main script's directory: modules are looked for there too. `None` for a built-in script.
    pub(super) directory: Option<PathBuf>,
    /// What the script gave to `exit`, if it has called it.
    pub(super) exit: Cell<Option<u8>>,
    /// The status that caramba is to end with when the script has ended by itself.
    pub(super) status: Cell<u8>,
    /// Where it may read and write, and what else it may do.
    pub(super) permissions: Permissions,
    gpu: OnceCell<Arc<Gpu>>,
    /// Why standard output could not be written, if that has happened.
    lost: RefCell<Option<Error>>,
    sources: RefCell<BTreeMap<String, Source>>,
    /// What the scripts that were loaded declare.
    declared: RefCell<BTreeMap<String, Rc<Declared>>>,
    runs: RefCell<Vec<Rc<RefCell<RunDirectory>>>>,
    /// Hashes of files, by path, with the length and time of the file that was read.
    hashes: RefCell<BTreeMap<PathBuf, (FileState, String)>>,
    /// The command that goes on with the run that is open, where it can be gone on with.
    pub(super) resumable: RefCell<Option<String>>,
    sink: RefCell<Option<Sink>>,
    /// What was said once, and need not be said again.
    told: RefCell<BTreeSet<String>>,
    /// Datasets and files that were opened since somebody last asked.
    opened: RefCell<BTreeSet<PathBuf>>,
}

/// Where rows go that a script emits.
pub(super) struct Sink {
    pub(super) run: Rc<RefCell<RunDirectory>>,
    /// The cell whose rows they are.
    pub(super) key: String,
    /// More values of each: the model's name, the number of the repetition.
    pub(super) about: Map,
    /// The CSV file that they are added to, too, and the columns that it has at first.
    pub(super) file: String,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Map>,
}

/// The columns that every row of a benchmark has at its end.
const LAST: [&str; 3] = ["repeat", "benchmark", "error"];

/// The journal that emitted rows go to.
pub(super) const JOURNAL: &str = "cells.jsonl";

/// What tells that a file has changed.
type FileState = (u64, Option<SystemTime>);

/// Opens the chosen adapter, and says so when it is a software one: it is slow, and one should know why.
///
/// # Errors
/// There is no such adapter, or it has not what is needed.
pub fn open_device(choice: &DeviceChoice) -> Result<Arc<Gpu>> {
    let begun = std::time::Instant::now();
    let gpu = Gpu::open(choice)?;
    terminal::detail(|| {
        let summary = gpu.summary();
        format!("opened {} by {} in {} ms", summary.name, summary.backend, begun.elapsed().as_millis())
    });
    if gpu.summary().software {
        terminal::note(&format!("no GPU is used: {} computes on the CPU, which is slow", gpu.summary().name));
    }
    Ok(gpu)
}

/// The text of a script, as its author wrote it.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) text: Rc<str>,
    insertions: Rc<[Insertion]>,
}

impl Source {
    /// Where the author finds what the engine places at `position`.
    pub(super) fn place(&self, position: Position) -> Position {
        rewrite::original(position, &self.insertions)
    }
}

/// How the engine carries a [`Host`] to native functions.
#[derive(Clone)]
pub(super) struct HostTag(pub(super) Rc<Host>);

impl Host {
    pub(super) fn new(options: HostOptions, main: String, directory: Option<PathBuf>) -> Rc<Host> {
        let permissions = Permissions::of(&options, directory.as_deref(), modules::is_built_in(&main));
        Rc::new(Host {
            permissions,
            options,
            main,
            directory,
            exit: Cell::new(None),
            status: Cell::new(0),
            gpu: OnceCell::new(),
            lost: RefCell::default(),
            sources: RefCell::default(),
            declared: RefCell::default(),
            runs: RefCell::default(),
            hashes: RefCell::default(),
            resumable: RefCell::default(),
            told: RefCell::default(),
            sink: RefCell::default(),
            opened: RefCell::default(),
        })
    }

    /// The host of the script that makes a native call.
    pub(super) fn of(context: &NativeCallContext) -> Answer<Rc<Host>> {
        let host = context.tag().and_then(|tag| tag.read_lock::<HostTag>().map(|tag| Rc::clone(&tag.0)));
        host.ok_or_else(|| Error::new(format!("`{}` works in a script run by caramba only", context.fn_name())).into())
    }

    /// The device that the command line chose, or the best one.
    pub(super) fn gpu(&self) -> Result<&Arc<Gpu>> {
        if let Some(gpu) = self.gpu.get() {
            return Ok(gpu);
        }
        let gpu = open_device(&self.options.device)?;
        Ok(self.gpu.get_or_init(|| gpu))
    }

    /// Prints for a script. Its rows matter more than a full disk behind its output: that ends it without success only when it has done all else.
    pub(super) fn print(&self, text: &str) {
        if self.lost.borrow().is_some() {
            return;
        }
        if let Err(error) = terminal::print(text) {
            terminal::warn(&format!("{}; nothing more is printed, and the work goes on", error.clone().without_help()));
            *self.lost.borrow_mut() = Some(error);
        }
    }

    /// Why something that was printed is lost.
    pub(super) fn lost_output(&self) -> Option<Error> {
        self.lost.borrow().clone()
    }

    /// Remembers a script's text under the name that its errors give.
    pub(super) fn add_source(&self, name: &str, text: &str, insertions: Vec<Insertion>) {
        self.sources.borrow_mut().insert(name.to_owned(), Source { text: text.into(), insertions: insertions.into() });
    }

    pub(super) fn source(&self, name: &str) -> Option<Source> {
        self.sources.borrow().get(name).cloned()
    }

    pub(super) fn declare(&self, script: &str, declared: Rc<Declared>) {
        self.declared.borrow_mut().insert(script.to_owned(), declared);
    }

    pub(super) fn declared(&self, script: &str) -> Option<Rc<Declared>> {
        self.declared.borrow().get(script).cloned()
    }

    /// Refuses what has effects where nothing of anybody's is to run: while a script or a manifest is only checked.
    ///
    /// # Errors
    /// `what` (`run_command`) is not done while checking.
    pub(super) fn acts(&self, what: &str) -> Result<()> {
        if self.options.purpose == Purpose::Run {
            return Ok(());
        }
        let remedy = "call it in a function that measures, not at the top of the script, in PARAMETERS, cells or check";
        Err(Error::new(format!("`{what}` is not called while a script is only checked")).remedy(remedy))
    }

    /// The SHA-256 of a file, in hexadecimal. It is read again only where its length or time has changed.
    pub(super) fn file_hash(&self, path: &Path) -> Result<String> {
        let data = std::fs::metadata(path)?;
        let state = (data.len(), data.modified().ok());
        if let Some((known, hash)) = self.hashes.borrow().get(path)
            && *known == state
        {
            return Ok(hash.clone());
        }
        let hash = files::hash(path)?;
        self.hashes.borrow_mut().insert(path.to_owned(), (state, hash.clone()));
        Ok(hash)
    }

    /// Emitted rows go to `sink` from here on; returns those that have gone to the one before.
    pub(super) fn receive(&self, sink: Option<Sink>) -> Vec<Map> {
        self.sink.replace(sink).map_or_else(Vec::new, |before| before.rows)
    }

    /// Takes a row of the cell that is being measured: it is in the journal and in its CSV file when this returns.
    ///
    /// # Errors
    /// A full disk; a value that is no data.
    pub(super) fn emit(&self, row: Map) -> Result<()> {
        let mut sink = self.sink.borrow_mut();
        // A benchmark that is run by hand has nobody who takes its rows.
        let Some(sink) = sink.as_mut() else { return Ok(()) };
        let mut line = sink.about.clone();
        line.insert("key".into(), sink.key.clone().into());
        line.insert("partial".into(), true.into());
        line.insert("row".into(), row.clone().into());
        let mut run = sink.run.borrow_mut();
        run.add_line(JOURNAL, &values::to_data(&line.into()).at("emit")?)?;
        let about = |name: &str| sink.about.get(name).map_or(Ok(Field::Empty), values::to_field);
        let mut fields = vec![("model".to_owned(), about("model")?)];
        // What is no single value stands in the journal alone.
        fields.extend(row.iter().filter_map(|(name, value)| Some((name.to_string(), values::to_field(value).ok()?))));
        fields.retain({
            let mut seen = BTreeSet::new();
            move |(name, _)| !LAST.contains(&name.as_str()) && seen.insert(name.clone())
        });
        let error = row.get("error").map_or(Ok(Field::Empty), values::to_field)?;
        fields.extend(
            [("repeat", about("repeat")?), ("benchmark", about("id")?), ("error", error)].map(|(name, value)| (name.to_owned(), value)),
        );
        run.extend_csv(&sink.file, &sink.columns, fields, &LAST)?;
        drop(run);
        sink.rows.push(row);
        Ok(())
    }

    /// The command line, as it can be typed again.
    pub(super) fn command(&self) -> String {
        let quoted = |word: &String| {
            let plain = !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_./=:,@%+".contains(c));
            if plain { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) }
        };
        self.options.command.iter().map(quoted).collect::<Vec<_>>().join(" ")
    }

    /// Whether this is asked for the first time of `what`.
    pub(super) fn first_time(&self, what: &str) -> bool {
        self.told.borrow_mut().insert(what.to_owned())
    }

    /// Remembers that a file was opened: whoever reports a result names it.
    pub(super) fn opened(&self, path: &Path) {
        self.opened.borrow_mut().insert(path.to_owned());
    }

    /// The files that were opened since this was last asked.
    pub(super) fn take_opened(&self) -> BTreeSet<PathBuf> {
        std::mem::take(&mut *self.opened.borrow_mut())
    }

    /// Where a script's file is to be written, if it may be: below a run directory that is open, or where the command line permits it.
    ///
    /// # Errors
    /// It may not be.
    pub(super) fn writable(&self, path: &str) -> Result<PathBuf> {
        let runs: Vec<PathBuf> =
            self.runs.borrow().iter().filter(|run| run.borrow().is_open()).map(|run| run.borrow().path().to_owned()).collect();
        self.permissions.write(Path::new(path), &runs)
    }

    /// A path that a script was given: relative to the current directory; to the manifest's where nothing is there; a bundled file where
    /// nothing is there either.
    ///
    /// # Errors
    /// It may not be read.
    pub(super) fn resolve(&self, path: &str) -> Result<PathBuf> {
        let resolved = match &self.options.experiment {
            Some(experiment) => experiment.resolve(path),
            None => PathBuf::from(path),
        };
        let found = bundle::find_model(&resolved)?;
        let runs = self.runs.borrow();
        // What a run has written it may read.
        if !runs.iter().any(|run| found.starts_with(run.borrow().path()) && !path.contains("..")) {
            self.permissions.read(&found)?;
        }
        Ok(found)
    }

    /// The place of a model, as [`Host::resolve`]; one that would be fetched from the hub for this must be permitted.
    ///
    /// # Errors
    /// It may not be read, or not be fetched.
    pub(super) fn resolve_model(&self, path: &str) -> Result<PathBuf> {
        let found = self.resolve(path)?;
        if would_fetch(&found) {
            self.permissions.fetch(path)?;
        }
        Ok(found)
    }

    /// The files of the dataset at a path that a script was given: a file, a directory, or a pattern, looked for as [`Host::resolve`] does.
    ///
    /// # Errors
    /// One of them may not be read; there are none.
    pub(super) fn files_of_dataset(&self, path: &str) -> Result<(PathBuf, Vec<PathBuf>)> {
        let given = Path::new(path);
        let place = if token_dataset::is_pattern(given) {
            // Where it begins is looked for; what fits must be readable, too, wherever links lead.
            let (fixed, rest) = token_dataset::parts_of_pattern(given);
            match &self.options.experiment {
                _ if !fixed.as_os_str().is_empty() => self.resolve(&fixed.display().to_string())?.join(rest),
                // In the manifest's directory where nothing fits here.
                Some(experiment) if glob::glob(path).is_ok_and(|mut found| found.next().is_none()) => experiment.directory.join(given),
                _ => given.to_owned(),
            }
        } else {
            self.resolve(path)?
        };
        let files = token_dataset::files(&place)?;
        for file in &files {
            self.resolve(&file.display().to_string())?;
        }
        Ok((place, files))
    }

    /// A run directory to be told if the script fails. It is held here, since the script's own variables are gone by then.
    pub(super) fn watch(&self, run: &Rc<RefCell<RunDirectory>>) {
        self.runs.borrow_mut().push(Rc::clone(run));
    }

    /// A run that was begun and neither finished nor given up.
    pub(super) fn unfinished(&self) -> Option<PathBuf> {
        self.runs.borrow().iter().map(|run| run.borrow()).find(|run| run.is_open()).map(|run| run.path().to_owned())
    }

    /// Ends every open run without success; says where their rows are. Runs without any leave nothing behind.
    pub(super) fn fail_runs(&self, reason: &Error) -> Vec<String> {
        let runs = std::mem::take(&mut *self.runs.borrow_mut());
        let open = runs.into_iter().filter(|run| run.borrow().is_open() && !run.borrow_mut().discard_if_empty());
        let said = open.map(|run| run.borrow_mut().fail(reason));
        let resumed = |sentence: String| match self.resumable.borrow().as_ref() {
            Some(command) => format!("{sentence}; go on with: {command}"),
            None => sentence,
        };
        said.map(resumed).collect()
    }
}
