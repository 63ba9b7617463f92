//! `caramba slurm`: a manifest as a job array. Slurm is the engine: which task runs where and when, what is queued again, and what waits for what,
//! it decides; here its two batch scripts are written and submitted.

use crate::artifact::{now, write_atomically};
use crate::error::{Error, Result};
use crate::manifest;
use crate::terminal;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Submit an experiment to Slurm: a job array of its shards, and a merge that waits for it
#[derive(Debug, Args)]
#[command(after_help = "Options after `--` go to sbatch: caramba slurm paper.yml --array 8 -- --partition gpu --gres gpu:1 --time 4:00:00")]
pub struct Slurm {
    /// The manifest, or the name of a preset
    manifest: PathBuf,
    /// The target to run
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Tasks of the array: into so many shards the cells are parted
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    array: u32,
    /// Where the scripts, their logs and the shards go: a directory that all nodes see
    #[arg(long, short, value_name = "DIR", default_value = "artifacts")]
    output: PathBuf,
    /// Write the scripts, but do not submit them
    #[arg(long)]
    dry_run: bool,
    /// Options of sbatch
    #[arg(last = true, value_name = "SBATCH OPTIONS")]
    sbatch: Vec<String>,
}

impl Slurm {
    /// # Errors
    /// What is wrong with the manifest; no sbatch; what Slurm says.
    pub fn run(self) -> Result<()> {
        let experiment = manifest::open(&self.manifest)?.experiment(self.target.as_deref())?;
        if let Some(run) = experiment.runs.first() {
            let error = Error::new(format!("the target runs `{}` first, which every task of the array would do", run.id));
            return Err(experiment.point(&format!("runs.{}", run.id), error.remedy("train first, and submit a target with `runs: []`")));
        }
        crate::script::check_experiment(&experiment, None)?;
        let stamp: String = now().chars().filter(char::is_ascii_alphanumeric).collect();
        let folder = absolute(&self.output)?.join(format!("{}_slurm_{stamp}_{}", experiment.experiment, std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| Error::from(error).at(folder.display()))?;
        let (task, merge) = (folder.join("task.sh"), folder.join("merge.sh"));
        write_atomically(&task, self.task(&folder)?.as_bytes())?;
        write_atomically(&merge, self.merge(&folder)?.as_bytes())?;
        terminal::note(&format!("the batch scripts are in {}", folder.display()));
        if self.dry_run {
            return Ok(());
        }
        let array = self.submit(&task, &[], None)?;
        // It waits until all tasks have ended, however: a shard that is missing is told by the merge.
        let merged = self.submit(&merge, &[format!("--dependency=afterany:{array}")], Some(&array))?;
        terminal::print_line(&format!(
            "job array {array} of {} tasks; {merged} merges them when all have ended. Logs and shards: {}",
            self.array,
            folder.display()
        ))
    }

    fn task(&self, folder: &Path) -> Result<String> {
        let target = self.target.as_ref().map(|name| format!(" --target {}", quoted(name))).unwrap_or_default();
        Ok(format!(
            "#!/bin/sh\n\
             #SBATCH --job-name=caramba\n\
             #SBATCH --array=1-{n}\n\
             #SBATCH --requeue\n\
             #SBATCH --open-mode=append\n\
             #SBATCH --output={log}\n\
             # One share of the cells. A task that is queued again goes on with the run that it has begun.\n\
             shard={shards}/$SLURM_ARRAY_TASK_ID\n\
             mkdir -p \"$shard\"\n\
             cd {here} || exit 1\n\
             begun=$(find \"$shard\" -mindepth 1 -maxdepth 1 -type d | sort | tail -n 1)\n\
             exec {caramba} run {manifest}{target} --shard \"$SLURM_ARRAY_TASK_ID/{n}\" --output \"$shard\" ${{begun:+--resume \"$begun\"}}\n",
            n = self.array,
            log = quoted(&folder.join("task_%a.log").display().to_string()),
            shards = quoted(&folder.join("shards").display().to_string()),
            here = quoted(&absolute(Path::new("."))?.display().to_string()),
            caramba = quoted(&program()?),
            manifest = quoted(&self.manifest.display().to_string()),
        ))
    }

    fn merge(&self, folder: &Path) -> Result<String> {
        Ok(format!(
            "#!/bin/sh\n\
             #SBATCH --job-name=caramba-merge\n\
             #SBATCH --output={log}\n\
             cd {here} || exit 1\n\
             # A task that is queued again counts as ended for a moment: its merge waits for it.\n\
             sleep 5\n\
             while [ -n \"$(squeue --noheader --jobs \"$1\" 2>/dev/null)\" ]; do sleep 5; done\n\
             exec {caramba} merge {shards}/*/* --output {output}\n",
            log = quoted(&folder.join("merge.log").display().to_string()),
            here = quoted(&absolute(Path::new("."))?.display().to_string()),
            caramba = quoted(&program()?),
            shards = quoted(&folder.join("shards").display().to_string()),
            output = quoted(&absolute(&self.output)?.display().to_string()),
        ))
    }

    /// Submits a batch script with its argument, and returns the number of its job.
    fn submit(&self, script: &Path, more: &[String], argument: Option<&str>) -> Result<String> {
        let mut command = Command::new("sbatch");
        command.arg("--parsable").args(more).args(&self.sbatch).arg(script).args(argument).stdin(Stdio::null());
        let output = command.output().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                let remedy = "run this where jobs are submitted from, or write the scripts only, with --dry-run";
                Error::new("there is no program `sbatch`").remedy(remedy)
            }
            _ => Error::from(error).at("sbatch"),
        })?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            return Err(Error::new(format!("sbatch does not take it: {}", String::from_utf8_lossy(&output.stderr).trim())));
        }
        // `--parsable`: the number, and the cluster's name after a semicolon.
        Ok(said.trim().split(';').next().unwrap_or_default().to_owned())
    }
}

fn program() -> Result<String> {
    Ok(std::env::current_exe().map_err(|error| Error::from(error).at("this program"))?.display().to_string())
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Error::from(error).at(path.display()))
}

/// A word as the shell takes it whole.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
