//! `caramba report`: files, charts, tables and a report are made of the rows that a run has.

use crate::error::Result;
use crate::script::{HostOptions, run_builtin};
use clap::Args;

/// Make the artifacts of a run again, finished or not, from the rows that it has
#[derive(Debug, Args)]
pub struct Report {
    /// The directory of the run
    directory: String,
}

impl Report {
    /// Returns the exit status: 3 where something fails, 4 where something was not measured.
    pub fn run(self) -> Result<u8> {
        run_builtin("report", &HostOptions { set: vec![("run".to_owned(), self.directory)], ..HostOptions::default() })
    }
}
