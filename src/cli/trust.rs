//! What `run` and `script` share: what a script may do, and how much it may take.

use crate::limits::Limits;
use crate::script::Grants;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// What the script may do besides reading where you work and writing into its run directory.
#[derive(Debug, Args)]
#[command(next_help_heading = "Permissions and limits")]
pub struct Trust {
    /// Let the script read this file, or below this folder (it reads below its own, the working folder, and what it is given)
    #[arg(long, value_name = "PATH")]
    allow_read: Vec<PathBuf>,
    /// Let the script write this file, or below this folder (it writes into its run directory)
    #[arg(long, value_name = "PATH")]
    allow_write: Vec<PathBuf>,
    /// Let the script, or the manifest's `runs`, start other programs
    #[arg(long)]
    allow_run: bool,
    /// Let the script read environment variables
    #[arg(long)]
    allow_env: bool,
    /// Let the script fetch models from the hub that neither you nor your manifest have named
    #[arg(long)]
    allow_net: bool,
    /// Let the script do everything: for work that you trust
    #[arg(long)]
    allow_all: bool,
    /// End the script after this time: 90s, 10m, 2h
    #[arg(long, value_name = "TIME", value_parser = time)]
    time_limit: Option<Duration>,
    /// Let it take so much memory on the host, and as much on the device: 500M, 8G [default: half of the host's]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory_limit: Option<u64>,
    /// End the script after so many operations
    #[arg(long, value_name = "N")]
    max_operations: Option<u64>,
}

impl Trust {
    pub fn grants(&self) -> Grants {
        Grants {
            all: self.allow_all,
            read: self.allow_read.clone(),
            write: self.allow_write.clone(),
            run: self.allow_run,
            env: self.allow_env,
            net: self.allow_net,
        }
    }

    pub fn limits(&self) -> Limits {
        Limits { time: self.time_limit, memory: self.memory_limit, operations: self.max_operations }
    }
}

fn time(typed: &str) -> Result<Duration, String> {
    let (number, unit) = parts(typed);
    let seconds = match unit {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => f64::NAN,
    };
    let time = number.parse::<f64>().ok().map(|number| number * seconds).filter(|seconds| *seconds > 0.0);
    time.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).ok_or_else(|| "write a time such as 90s, 10m or 2h".into())
}

fn size(typed: &str) -> Result<u64, String> {
    let (number, unit) = parts(typed);
    let factor = match unit.to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b') {
        "k" => 1u64 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        "" if unit.is_empty() => 1,
        _ => 0,
    };
    let bytes = number.parse::<f64>().ok().map(|number| number * factor as f64).filter(|bytes| *bytes >= 1.0);
    bytes.map(|bytes| bytes as u64).ok_or_else(|| "write a size such as 500M or 8G".into())
}

fn parts(typed: &str) -> (&str, &str) {
    let typed = typed.trim();
    let at = typed.find(|letter: char| letter.is_alphabetic()).unwrap_or(typed.len());
    (typed[..at].trim(), typed[at..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read() {
        assert_eq!(
            (time("90"), time("1.5m"), time("250ms")),
            (Ok(Duration::from_secs(90)), Ok(Duration::from_secs(90)), Ok(Duration::from_millis(250)))
        );
        assert_eq!((size("500M"), size("8G"), size("1.5GiB"), size("100")), (Ok(500 << 20), Ok(8 << 30), Ok(3 << 29), Ok(100)));
        assert!(["", "x", "-3s", "0", "3 weeks", "inf"].iter().all(|typed| time(typed).is_err()));
        assert!(["", "M", "-3M", "0", "3 apples", "3X"].iter().all(|typed| size(typed).is_err()));
    }
}
