//! A job array on a real Slurm (tools/slurm.sh starts one on loopback; without one there is nothing to test here).

mod common;

use common::cli::{artifacts, caramba_in, rows, shown};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const MANIFEST: &str = "\
version: 2
name: array
targets:
- type: experiment
  name: t
  models: {teacher: models/austen, student: models/austen-dba}
  runs: []
  thresholds: [\"student.perplexity < 100\"]
  benchmarks:
  - {id: p, config: {type: perplexity, dataset: models/austen/heldout.npy, block_size: 64, num_batches: 3, cache_kinds: [fp16, q8]}, models: [teacher, student]}
  - {id: m, config: {type: memory, sequence_lengths: [32, 64], quantization_modes: [fp16, q4]}, models: [teacher, student]}
  - {id: slow, config: {type: slow}, models: [student]}
";

/// Six cells that take a second each: time to be killed in.
const SLOW: &str = "const PARAMETERS = #{};\nfn cells(config) { grid(#{ step: [1, 2, 3, 4, 5, 6] }) }\nfn measure(model, cell, config) { sleep(1); #{ found: cell.step } }\n";

fn is_there() -> bool {
    Command::new("sinfo").output().is_ok_and(|output| output.status.success() && !output.stdout.is_empty())
}

fn told(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{what}: {}", told("squeue", &[]));
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("m.yml"), MANIFEST).unwrap();
    std::fs::write(directory.path().join("slow.rhai"), SLOW).unwrap();
    directory
}

/// Rows without their order: shards come together in that of the plan.
fn measured(run: &Path) -> BTreeMap<&'static str, Vec<BTreeMap<String, String>>> {
    ["perplexity.csv", "memory.csv", "slow.csv"].into_iter().map(|file| (file, rows(run, file))).collect()
}

#[test]
fn an_array_and_its_merge_are_one_run() {
    if !is_there() {
        println!("there is no Slurm: tools/slurm.sh starts one");
        return;
    }
    let whole = directory();
    let output = caramba_in(whole.path(), &["m.yml"]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let expected = measured(&artifacts(whole.path(), "array"));

    let parted = directory();
    let submit = || {
        let output = caramba_in(parted.path(), &["slurm", "m.yml", "--array", "3", "--", "--cpus-per-task", "1"]);
        let told = shown(&output);
        assert_eq!(output.status.code(), Some(0), "{told}");
        assert!(told.contains(" of 3 tasks; "), "{told}");
        told.split_whitespace().skip_while(|word| *word != "array").nth(1).unwrap().to_owned()
    };
    let merged = || {
        let found = std::fs::read_dir(parted.path().join("artifacts")).unwrap().map(|entry| entry.unwrap().path());
        let found: Vec<PathBuf> = found.filter(|path| path.join("report.json").is_file()).collect();
        found.first().cloned()
    };
    let array = submit();
    // One task is killed in the middle and queued again: it goes on with what it has.
    let journals = || {
        let pattern = |path: &Path| path.join("cells.jsonl");
        let folders =
            std::fs::read_dir(parted.path().join("artifacts")).into_iter().flatten().flatten().map(|entry| entry.path().join("shards"));
        let shards = folders
            .flat_map(|shards| std::fs::read_dir(shards).into_iter().flatten().flatten().map(|entry| (entry.file_name(), entry.path())));
        shards
            .flat_map(|(name, path)| {
                std::fs::read_dir(path).into_iter().flatten().flatten().map(move |entry| (name.clone(), pattern(&entry.path())))
            })
            .collect::<Vec<_>>()
    };
    let mut task = String::new();
    until("a task has measured something slow", || {
        let begun =
            journals().into_iter().find(|(_, path)| std::fs::read_to_string(path).is_ok_and(|text| text.contains("\"id\":\"slow\"")));
        task = begun.map(|(name, _)| name.to_string_lossy().into_owned()).unwrap_or_default();
        !task.is_empty()
    });
    let task = format!("{array}_{task}");
    told("scontrol", &["requeue", &task]);
    until("the merge", || {
        // Slurm lets a requeued task wait for two minutes.
        told("scontrol", &["update", &format!("JobId={task}"), "StartTime=now"]);
        let shards = journals();
        let finished = shards.len() == 3 && shards.iter().all(|(_, path)| !path.to_string_lossy().contains(".partial"));
        // Now and then a task that is queued again this quickly is lost: then it is submitted again, which is the same to it.
        if !finished && told("squeue", &["--noheader"]).trim().is_empty() {
            let script = shards[0].1.ancestors().nth(4).unwrap().join("task.sh");
            told("sbatch", &["--parsable", "--array", task.split_once('_').unwrap().1, &script.display().to_string()]);
        }
        finished
            && merged().is_some_and(|path| !path.to_string_lossy().ends_with(".partial"))
            && told("squeue", &["--noheader"]).trim().is_empty()
    });
    // Slurm may take a task that is queued again for one that has ended, and merge without what it still had to do: told then, and merged again.
    let shards: Vec<String> = journals().iter().filter_map(|(_, path)| Some(path.parent()?.display().to_string())).collect();
    let arguments: Vec<&str> = ["merge", "--output", "whole"].into_iter().chain(shards.iter().map(String::as_str)).collect();
    let output = caramba_in(parted.path(), &arguments);
    let logs = || {
        let folder = journals()[0].1.ancestors().nth(4).map(Path::to_owned).unwrap_or_default();
        let log = |task| std::fs::read_to_string(folder.join(format!("task_{task}.log"))).unwrap_or_default();
        (1..=3).map(|task| format!("task {task}: {}", log(task))).collect::<String>()
    };
    assert_eq!(output.status.code(), Some(0), "{}\n{}", shown(&output), logs());
    let whole = std::fs::read_dir(parted.path().join("whole")).unwrap().next().unwrap().unwrap().path();
    for (file, found) in measured(&whole) {
        assert_eq!(found.len(), expected[file].len(), "{file}");
        for (found, expected) in found.iter().zip(&expected[file]) {
            assert_eq!(found, expected, "{file}");
        }
    }
    // Nothing was measured twice, the requeued task's included.
    let lines: usize = journals().iter().map(|(_, path)| std::fs::read_to_string(path).unwrap().lines().count()).sum();
    assert_eq!(lines, 4 + 8 + 6);
}

#[test]
fn what_an_array_cannot_do_is_told() {
    let directory = directory();
    let with_run = MANIFEST.replace("runs: []", "runs: [{id: train, command: \"true\"}]");
    std::fs::write(directory.path().join("m.yml"), with_run).unwrap();
    let told = shown(&caramba_in(directory.path(), &["slurm", "m.yml", "--array", "2"]));
    assert!(told.starts_with("exit code 1") && told.contains("the target runs `train` first"), "{told}");
    // The scripts by themselves, for whoever wants to change them.
    std::fs::write(directory.path().join("m.yml"), MANIFEST).unwrap();
    let output = caramba_in(directory.path(), &["slurm", "m.yml", "--array", "2", "--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let folder = std::fs::read_dir(directory.path().join("artifacts")).unwrap().next().unwrap().unwrap().path();
    let script = std::fs::read_to_string(folder.join("task.sh")).unwrap();
    assert!(script.contains("#SBATCH --array=1-2\n") && script.contains("--shard \"$SLURM_ARRAY_TASK_ID/2\""), "{script}");
}
