//! `caramba compare`: runs are set side by side.

use super::list;
use crate::error::Result;
use crate::script::{HostOptions, run_builtin};
use clap::Args;

/// Compare runs: cells of equal values, and what has changed beyond the noise
#[derive(Debug, Args)]
pub struct Compare {
    /// The run that the others are compared with, and the others
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    directories: Vec<String>,
    /// End with status 3 where something has become worse beyond the noise
    #[arg(long)]
    fail_on_regression: bool,
    /// Write the table, a chart and a report there as well
    #[arg(long, short, value_name = "DIR", default_value = "")]
    output: String,
}

impl Compare {
    /// Returns the exit status.
    pub fn run(self) -> Result<u8> {
        let set = vec![
            ("runs".to_owned(), list(&self.directories)),
            ("fail_on_regression".to_owned(), self.fail_on_regression.to_string()),
            ("output".to_owned(), self.output),
        ];
        run_builtin("compare_runs", &HostOptions { set, ..HostOptions::default() })
    }
}
