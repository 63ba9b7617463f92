//! `caramba merge`: one run is made of its shards.

use super::list;
use crate::error::Result;
use crate::script::{HostOptions, run_builtin};
use clap::Args;

/// Make one run of the shards of it that several machines have measured
#[derive(Debug, Args)]
pub struct Merge {
    /// The directories of the shards
    #[arg(required = true)]
    directories: Vec<String>,
    /// The directory above the new run's
    #[arg(long, short, value_name = "DIR", default_value = "artifacts")]
    output: String,
}

impl Merge {
    /// Returns the exit status: 3 where something fails, 4 where cells are missing.
    pub fn run(self) -> Result<u8> {
        let set = vec![("runs".to_owned(), list(&self.directories)), ("output".to_owned(), self.output)];
        run_builtin("merge", &HostOptions { set, ..HostOptions::default() })
    }
}
