//! Progress of long work, and other programs that are run.

use super::failure::Answer;
use super::host::Host;
use super::values::{Options, described};
use crate::error::{At, Error, Result};
use crate::progress::{Progress as Bar, Unit};
use crate::{interrupt, manifest};
use rhai::plugin::*;
use rhai::{INT, Map};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One piece of long work, until its last copy is gone or it is done.
#[derive(Clone)]
pub struct Progress(Rc<RefCell<Option<Bar>>>);

/// Units that scripts have used: each word is kept once, for as long as the program runs.
static UNITS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

fn unit(word: &str) -> &'static str {
    let mut units = UNITS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = units.get(word) {
        return known;
    }
    let kept: &'static str = Box::leak(word.to_owned().into_boxed_str());
    units.insert(kept);
    kept
}

/// The last lines of a log that an error shows.
const LOG_LINES: usize = 12;

fn command_of(command: &Dynamic) -> Result<Command> {
    if let Ok(words) = command.as_array_ref() {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let Some((program, arguments)) = words.split_first() else { return Err(Error::new("an empty command")) };
        let mut made = Command::new(program);
        made.args(arguments);
        return Ok(made);
    }
    if let Ok(line) = command.as_immutable_string_ref() {
        let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
        let mut made = Command::new(shell);
        made.args([flag, line.as_str()]);
        return Ok(made);
    }
    Err(Error::new(format!("a command is {}: expected a line of text, or a list of a program and its arguments", described(command))))
}

/// Waits for the program; Ctrl-C ends it.
fn wait(mut child: Child) -> Result<std::process::ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if let Err(interrupted) = interrupt::check() {
            // It had the same Ctrl-C from the terminal; who does not listen is ended.
            let patience = Instant::now();
            while patience.elapsed() < Duration::from_secs(5) {
                if child.try_wait()?.is_some() {
                    return Err(interrupted);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            child.kill()?;
            child.wait()?;
            return Err(interrupted);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[export_module]
pub(super) mod api {
    /// A piece of long work that shows how far it is: a bar on a terminal, now and then a line elsewhere.
    pub type Progress = super::Progress;

    /// Begins to show `what`, of which there are `total` `unit`s.
    ///
    /// # Example
    /// ```rhai
    /// let shown = progress("scoring", 3, "blocks");
    /// for block in 0..3 { shown.add(1); }
    /// shown.done();
    /// ```
    #[rhai_fn(name = "progress", volatile)]
    pub fn progress(what: &str, total: INT, unit: &str) -> Progress {
        let unit = Unit::Of(super::unit(unit));
        super::Progress(Rc::new(RefCell::new(Some(Bar::new(what, Some(total.max(0) as u64), unit)))))
    }

    /// So much more is done.
    #[rhai_fn(name = "add", pure, volatile)]
    pub fn add(progress: &mut Progress, more: INT) {
        if let Some(bar) = progress.0.borrow().as_ref() {
            bar.add(more.max(0) as u64);
        }
    }

    /// A word on what is done just now.
    #[rhai_fn(name = "message", pure, volatile)]
    pub fn message(progress: &mut Progress, text: &str) {
        if let Some(bar) = progress.0.borrow().as_ref() {
            bar.message(text);
        }
    }

    /// It is done.
    #[rhai_fn(pure, volatile)]
    pub fn done(progress: &mut Progress) {
        progress.0.borrow_mut().take();
    }

    /// Runs another program and waits for it: a line for the shell, or a list of a program and its arguments. Options: `directory` (where
    /// it runs) and `log` (the file for what it says, its directory must be there; without one it says it on standard error). A program
    /// that fails is an error that shows the end of its log. Returns `seconds` and `log`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// run_command("python train.py --steps 1000", #{ directory: "training", log: "training.log" });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn run_command(context: NativeCallContext, command: Dynamic, options: Map) -> Answer<Map> {
        let host = Host::of(&context)?;
        host.acts("run_command")?;
        let mut options = Options::new("command option", options);
        let directory = options.text("directory")?.filter(|path| !path.is_empty()).map(|path| PathBuf::from(path.as_str()));
        let log = options.text("log")?;
        options.finish()?;
        let shown = match command.as_array_ref() {
            Ok(words) => words.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(_) => command.to_string(),
        };
        let mut made = command_of(&command)?;
        host.permissions.run(&match command.as_array_ref() {
            Ok(words) => manifest::Command::Program(words.iter().map(ToString::to_string).collect()),
            Err(_) => manifest::Command::Shell(shown.clone()),
        })?;
        if let Some(directory) = &directory {
            if !directory.is_dir() {
                let error = Error::new(format!("there is no directory {} to run `{shown}` in", directory.display()));
                return Err(error.remedy("make it first, or correct the path").into());
            }
            made.current_dir(directory);
        }
        if let Some(log) = &log {
            let file = File::create(log.as_str()).at(log)?;
            let both = file.try_clone().at(log)?;
            made.stdout(file).stderr(both);
        } else {
            // Standard output is for the script's own results.
            made.stdout(std::io::stderr());
        }
        let begun = Instant::now();
        let place = directory.map(|path| format!(" in {}", path.display())).unwrap_or_default();
        let child = made.stdin(Stdio::null()).spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                let program = made.get_program().to_string_lossy().into_owned();
                Error::new(format!("there is no program `{program}`")).remedy("check its name, and that it is in a directory of PATH")
            }
            _ => Error::from(error).at(format!("`{shown}`{place}")),
        })?;
        let status = wait(child)?;
        if !status.success() {
            let how = status.code().map_or_else(|| "was ended by a signal".to_owned(), |code| format!("ended with status {code}"));
            let error = Error::new(format!("`{shown}`{place} {how}"));
            return Err(match &log {
                None => error,
                Some(log) => {
                    let text = std::fs::read(log.as_str()).unwrap_or_default();
                    let text = String::from_utf8_lossy(&text);
                    let lines: Vec<&str> = text.trim_end().lines().collect();
                    error.remedy(if lines.is_empty() {
                        format!("it said nothing: its log {log} is empty")
                    } else {
                        format!("its log is {log}; it ends with\n    {}", lines[lines.len().saturating_sub(LOG_LINES)..].join("\n    "))
                    })
                }
            }
            .into());
        }
        Ok(Map::from_iter([
            ("seconds".into(), begun.elapsed().as_secs_f64().into()),
            ("log".into(), log.map_or(Dynamic::UNIT, Into::into)),
        ]))
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
