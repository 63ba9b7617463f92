//! `caramba report`: files, charts, tables and a report are made of the rows that a run has.

use crate::error::Result;
use crate::script::{HostOptions, run_builtin};
use crate::terminal;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Make the artifacts of a run again, finished or not, from the rows that it has
#[derive(Debug, Args)]
pub struct Report {
    /// The directory of the run
    directory: String,
    /// Show its page, report.html, in the browser
    #[arg(long)]
    open: bool,
}

/// A program that opens pages and has not given up by then has opened it, or is the browser itself.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(2);

impl Report {
    /// Returns the exit status: 3 where something fails, 4 where something was not measured.
    pub fn run(self) -> Result<u8> {
        let status =
            run_builtin("report", &HostOptions { set: vec![("run".to_owned(), self.directory.clone())], ..HostOptions::default() })?;
        if self.open {
            let page = page_of(&self.directory);
            if !shown(&page) {
                terminal::note(&format!("nothing here opens pages: look at {}", page.display()));
            }
        }
        Ok(status)
    }
}

/// The page of a run, whose directory has another name once it is finished.
fn page_of(directory: &str) -> PathBuf {
    let given = directory.trim_end_matches(['/', '\\']);
    let finished = given.strip_suffix(".partial").unwrap_or(given);
    let places = [given.to_owned(), finished.to_owned(), format!("{finished}.partial")].map(|place| Path::new(&place).join("report.html"));
    let page = places.iter().find(|place| place.is_file()).unwrap_or(&places[0]);
    std::path::absolute(page).unwrap_or_else(|_| page.clone())
}

/// Whether one of the platform's programs that open files has taken the page.
fn shown(page: &Path) -> bool {
    open::commands(page).into_iter().any(|mut command| takes(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())))
}

fn takes(command: &mut Command) -> bool {
    let Ok(mut opener) = command.spawn() else { return false };
    let begun = Instant::now();
    while begun.elapsed() < GIVES_UP_WITHIN {
        match opener.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            Err(_) => return false,
        }
    }
    true
}
