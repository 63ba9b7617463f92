//! What `run` and `script` share: which of the cells are measured, and where.

use crate::gpu::DeviceChoice;
use crate::script::{HostOptions, Purpose, Shard};
use clap::Args;
use std::path::PathBuf;

/// Which cells are measured.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cells")]
pub struct Measuring {
    /// Go on with a run that was ended: measure what is missing in its directory, and nothing twice
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// Measure only the i-th of n shares of the cells; `caramba merge` makes one run of all
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// The directory above the run's [default: artifacts]
    #[arg(long, short, value_name = "DIR", env = "CARAMBA_OUTPUT", hide_env_values = true)]
    output: Option<PathBuf>,
    /// How token ids are stored in files that don't say it themselves (.bin): uint16, uint32
    #[arg(long, value_name = "TYPE", help_heading = "Data")]
    dtype: Option<String>,
    /// List the cells that would be measured, but measure none
    #[arg(long)]
    cells: bool,
    /// With --cells: a line of JSON for each
    #[arg(long, requires = "cells")]
    json: bool,
}

impl Measuring {
    pub fn dtype(&self) -> Option<&str> {
        self.dtype.as_deref()
    }

    /// What a script's host is told of it.
    pub fn options(self, device: DeviceChoice) -> HostOptions {
        let purpose = if self.cells { Purpose::Cells { json: self.json } } else { Purpose::Run };
        HostOptions {
            device,
            purpose,
            resume: self.resume,
            shard: self.shard,
            output: self.output,
            dtype: self.dtype,
            command: typed(),
            ..HostOptions::default()
        }
    }
}

/// The command line of this process, without what is said anew each time.
fn typed() -> Vec<String> {
    let mut words = std::env::args();
    let program = words.next().map(|path| std::path::Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned());
    program.into_iter().chain(words).collect()
}
