//! What the native functions of one script run share: what the command line asked for, the device (opened when it is first
//! needed), the texts of all scripts (errors show their lines), and the run directories that are still open.

use super::HostOptions;
use super::bundle;
use super::failure::Answer;
use super::pairs::{self, Insertion};
use super::parameters::Parameters;
use crate::artifact::RunDirectory;
use crate::error::{Error, Result};
use crate::gpu::{DeviceChoice, Gpu};
use crate::terminal;
use rhai::{NativeCallContext, Position};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

/// One script run.
pub(super) struct Host {
    pub(super) options: HostOptions,
    /// The main script's name, as errors give it.
    pub(super) main: String,
    /// The main script's directory: modules are looked for there too. `None` for a built-in script.
    pub(super) directory: Option<PathBuf>,
    /// What the script gave to `exit`, if it has called it.
    pub(super) exit: Cell<Option<u8>>,
    gpu: OnceCell<Arc<Gpu>>,
    /// Why standard output could not be written, if that has happened.
    lost: RefCell<Option<Error>>,
    sources: RefCell<BTreeMap<String, Source>>,
    /// What the scripts that were loaded declare.
    declared: RefCell<BTreeMap<String, Rc<Parameters>>>,
    runs: RefCell<Vec<Rc<RefCell<RunDirectory>>>>,
}

/// Opens the chosen adapter, and says so when it is a software one: it is slow, and one should know why.
///
/// # Errors
/// There is no such adapter, or it has not what is needed.
pub fn open_device(choice: &DeviceChoice) -> Result<Arc<Gpu>> {
    let gpu = Gpu::open(choice)?;
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
        pairs::original(position, &self.insertions)
    }
}

/// How the engine carries a [`Host`] to native functions.
#[derive(Clone)]
pub(super) struct HostTag(pub(super) Rc<Host>);

impl Host {
    pub(super) fn new(options: HostOptions, main: String, directory: Option<PathBuf>) -> Rc<Host> {
        Rc::new(Host {
            options,
            main,
            directory,
            exit: Cell::new(None),
            gpu: OnceCell::new(),
            lost: RefCell::default(),
            sources: RefCell::default(),
            declared: RefCell::default(),
            runs: RefCell::default(),
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

    pub(super) fn declare(&self, script: &str, parameters: Rc<Parameters>) {
        self.declared.borrow_mut().insert(script.to_owned(), parameters);
    }

    pub(super) fn declared(&self, script: &str) -> Option<Rc<Parameters>> {
        self.declared.borrow().get(script).cloned()
    }

    /// A path that a script was given: relative to the current directory; to the manifest's where nothing is there; a bundled file where
    /// nothing is there either.
    pub(super) fn resolve(&self, path: &str) -> Result<PathBuf> {
        let resolved = match &self.options.experiment {
            Some(experiment) => experiment.resolve(path),
            None => PathBuf::from(path),
        };
        bundle::find_model(&resolved)
    }

    /// A run directory to be told if the script fails. It is held here, since the script's own variables are gone by then.
    pub(super) fn watch(&self, run: &Rc<RefCell<RunDirectory>>) {
        self.runs.borrow_mut().push(Rc::clone(run));
    }

    /// Ends every open run without success; says where their rows are. Runs without any leave nothing behind.
    pub(super) fn fail_runs(&self, reason: &Error) -> Vec<String> {
        let runs = std::mem::take(&mut *self.runs.borrow_mut());
        let open = runs.into_iter().filter(|run| run.borrow().is_open() && !run.borrow_mut().discard_if_empty());
        open.map(|run| run.borrow_mut().fail(reason)).collect()
    }
}
