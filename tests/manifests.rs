//! Manifests as a user meets them: plans, presets, mistakes, training programs, experiments.

mod common;

use common::cli::{artifacts, caramba, caramba_in, in_passing, report, rows, shown};
use std::path::Path;

#[test]
fn a_plan_is_shown_and_nothing_done() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = r#"
version: 2
name: pair
vars: {runs: runs/7, lengths: [128, 512]}
targets:
- type: experiment
  name: paper
  description: A pair.
  models:
    teacher: teacher.gguf
    student: {path: old.pt, weights: f16, model: {type: TransformerModel}}
  runs:
  - id: distill
    command: python distill.py --out ${runs}/student.pt
    checkpoint: ${runs}/student.pt
    steps: 100
    verify: {type: compare, fail_fast: true, dataset: tokens.npy, attention: {max_mean_l1: 0.05}}
  benchmarks:
  - id: speed
    config: {type: latency, prompt_lengths: "${lengths}", generation_lengths: [64], use_cache: true}
    models: [teacher, student]
    repeats: 3
  verify:
  - {type: kvcache, models: [teacher, student], min_reduction_ratio: 3}
- {type: process, name: writer, team: {writer: writer}}
entrypoints: {default: paper, short: paper}
"#;
    std::fs::write(directory.path().join("m.yml"), manifest).unwrap();
    std::fs::write(directory.path().join("teacher.gguf"), "").unwrap();
    let plan = shown(&caramba_in(directory.path(), &["m.yml", "--dry-run"]));
    insta::assert_snapshot!(plan, @r"
    exit code 1
    paper of m.yml
    A pair.

    models
      teacher  teacher.gguf
      student  runs/7/student.pt  weights f16, with a model section, made by a run

    runs
      distill
        command     python distill.py --out runs/7/student.pt
        checkpoint  runs/7/student.pt, the model student

    benchmark speed: latency of teacher, student, 3 times
      prompt_lengths      [128, 512]
      generation_lengths  [64]
      use_cache           true

    verification: compare of teacher, student, after the run distill, a failure ends the experiment
      dataset    tokens.npy
      attention  {max_mean_l1: 0.05}

    verification: kvcache of teacher, student
      min_reduction_ratio  3
    error: teacher.gguf: the file is empty
      help: fetch or copy it again
    ");
    assert_eq!(plan, shown(&caramba_in(directory.path(), &["run", "--dry-run", "m.yml", "--target", "short"])));
    insta::assert_snapshot!(shown(&caramba_in(directory.path(), &["check", "m.yml"])), @r"
    exit code 1
    error: teacher.gguf: the file is empty
      help: fetch or copy it again
    ");
    insta::assert_snapshot!(shown(&caramba_in(directory.path(), &["run", "m.yml", "--target", "papr"])), @r"
    exit code 1
    error: m.yml: unknown target `papr`
      help: did you mean `paper`? known are: paper, writer, default, short
    ");
    insta::assert_snapshot!(shown(&caramba_in(directory.path(), &["run", "m.yml", "--target", "writer"])), @r"
    exit code 1
    error: m.yml:25:3: the target `writer` is of type `process`
       |
    25 | - {type: process, name: writer, team: {writer: writer}}
       |   ^
      help: caramba runs targets of type `experiment`
    ");
}

#[test]
fn presets_are_known_everywhere() {
    insta::assert_snapshot!(caramba(&["config/presets/llama32_1b_dba.yml", "--target", "quick", "--dry-run"]), @r"
    exit code 1
    quick of config/presets/llama32_1b_dba.yml
    A short look before the long run.

    models
      teacher  models/Llama-3.2-1B  not found
      student  runs/student.pt      with a model section, not found

    runs
      none: the models are measured as they are

    benchmark perplexity: perplexity of teacher, student
      dataset      data/tokens.npy
      block_size   512
      num_batches  10

    benchmark memory: memory of teacher, student
      sequence_lengths    [512]
      quantization_modes  [fp16, q8, q4]
    error: config/presets/llama32_1b_dba.yml:61:3: there is no model at models/Llama-3.2-1B
       |
    61 |   teacher: ${teacher}
       |   ^^^^^^^
      help: check the path: it is relative to the current directory, or to the manifest's
    ");
    insta::assert_snapshot!(caramba(&["check", "full_paper"]), @r"
    exit code 0
    full_paper: no mistakes found in the target paper
    ");
}

/// A manifest with `body` for its target, checked.
fn mistake(body: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let target = body.trim_matches('\n').lines().map(|line| format!("  {line}\n")).collect::<String>();
    let text = format!("version: 2\nvars: {{n: 4}}\ntargets:\n- type: experiment\n  name: t\n  models: {{m: m.gguf}}\n{target}");
    std::fs::write(directory.path().join("m.yml"), text).unwrap();
    let output = caramba_in(directory.path(), &["check", "m.yml"]);
    assert_eq!(output.status.code(), Some(1));
    shown(&output)
}

#[test]
fn mistakes_in_a_manifest_are_shown_where_they_are() {
    insta::assert_snapshot!(mistake("benchmark:\n- id: a"), @r"
    exit code 1
    error: m.yml:7:3: unknown key of a target `benchmark`
      |
    7 |   benchmark:
      |   ^^^^^^^^^
      help: did you mean `benchmarks`? known are: type, name, description, notes, models, runs, benchmarks, verify, thresholds, system, backend, task, data, objective, trainer, train, seed, defaults, compute, metrics, instrumentation
    ");
    insta::assert_snapshot!(mistake("benchmarks:\n- id: a\n  config: {type: x}\n  models: [m]\n  repeat: 3"), @r"
    exit code 1
    error: m.yml:11:5: unknown key of a benchmark `repeat`
       |
    11 |     repeat: 3
       |     ^^^^^^
      help: did you mean `repeats`? known are: id, config, models, repeats, description, notes
    ");
    insta::assert_snapshot!(mistake("benchmarks:\n- id: a\n  config: {type: x}\n  models: [n]"), @r"
    exit code 1
    error: m.yml:10:14: unknown model `n`
       |
    10 |     models: [n]
       |              ^
      help: known are: m
    ");
    insta::assert_snapshot!(mistake("benchmarks:\n- id: a\n  config: {type: x}"), @r"
    exit code 1
    error: m.yml:8:5: this benchmark has no `models`
      |
    8 |   - id: a
      |     ^^
      help: say which models: `models: [student]`
    ");
    insta::assert_snapshot!(mistake("benchmarks:\n- id: a\n  config: {kind: x}\n  models: [m]"), @r"
    exit code 1
    error: m.yml:9:13: this config has no `type`
      |
    9 |     config: {kind: x}
      |             ^
      help: `type` is the name of a script, such as `perplexity`
    ");
    insta::assert_snapshot!(mistake("benchmarks:\n- &b {id: a, config: {type: x}, models: [m]}\n- *b"), @r"
    exit code 1
    error: m.yml:8:13: there are two benchmarks `a`: the first stands in line 8
      |
    8 |   - &b {id: a, config: {type: x}, models: [m]}
      |             ^
      help: give each a name of its own
    ");
    insta::assert_snapshot!(mistake("benchmarks:\n- {id: a, config: {type: x}, models: [m], repeats: '${n}x'}"), @r"
    exit code 1
    error: m.yml:8:54: `repeats` is a whole number from 1 to 10000, found the text `4x`
      |
    8 |   - {id: a, config: {type: x}, models: [m], repeats: '${n}x'}
      |                                                      ^^^^^^^
    ");
    insta::assert_snapshot!(mistake("benchmarks:\n- {id: a, config: {type: x, n: '${m}'}, models: [m]}"), @r"
    exit code 1
    error: m.yml:8:34: unknown variable `m`
      |
    8 |   - {id: a, config: {type: x, n: '${m}'}, models: [m]}
      |                                  ^^^^^^
      help: known are: n
    ");
    insta::assert_snapshot!(mistake("benchmarks: perplexity"), @r"
    exit code 1
    error: m.yml:7:15: `benchmarks` is a list (`[a, b]`), found the text `perplexity`
      |
    7 |   benchmarks: perplexity
      |               ^^^^^^^^^^
    ");
    insta::assert_snapshot!(mistake("runs: []"), @r"
    exit code 1
    error: m.yml:5:9: the target `t` has nothing to do
      |
    5 |   name: t
      |         ^
      help: give it `benchmarks`
    ");
    insta::assert_snapshot!(mistake("runs:\n- {id: r, command: 7}"), @r"
    exit code 1
    error: m.yml:8:22: `command` is a line for the shell, or a list of a program and its arguments, found the number 7
      |
    8 |   - {id: r, command: 7}
      |                      ^
    ");
    insta::assert_snapshot!(mistake("runs:\n- {id: r, command: train, checkpoint: s.pt}"), @r"
    exit code 1
    error: m.yml:8:29: unknown model `student`
      |
    8 |   - {id: r, command: train, checkpoint: s.pt}
      |                             ^^^^^^^^^^
      help: known are: m
    ");
    insta::assert_snapshot!(mistake("system: {ref: system.graph, config: {}}"), @r"
    exit code 1
    error: m.yml:7:17: caramba runs `system.language_model`, found the text `system.graph`
      |
    7 |   system: {ref: system.graph, config: {}}
      |                 ^^^^^^^^^^^^
    ");
    insta::assert_snapshot!(mistake("verify: {type: compare, fail_fast: maybe}"), @r"
    exit code 1
    error: m.yml:7:38: `fail_fast` is `true` or `false`, found the text `maybe`
      |
    7 |   verify: {type: compare, fail_fast: maybe}
      |                                      ^^^^^
    ");
}

/// A directory with a manifest of one target, whose keys are `body`.
fn manifest(body: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let target: String = body.trim_matches('\n').lines().map(|line| format!("  {line}\n")).collect();
    std::fs::write(directory.path().join("m.yml"), format!("version: 2\ntargets:\n- type: experiment\n  name: t\n{target}")).unwrap();
    directory
}

/// Runs it; the exit code, and what was said but for what depends on the machine.
fn run(directory: &Path) -> (i32, String) {
    let output = caramba_in(directory, &["m.yml", "--allow-run"]);
    let told = shown(&output);
    let lines = told.lines().skip(1).filter(|line| !in_passing(line));
    (output.status.code().unwrap(), lines.collect::<Vec<_>>().join("\n"))
}

/// Nobody's programs are started without a word; mistakes are told first.
#[test]
fn programs_are_started_only_where_that_is_permitted() {
    let body = "models: {student: models/austen-dba}\nruns:\n- {id: distill, command: touch ran, checkpoint: out}\nbenchmarks:\n- {id: memory, config: {type: memory, sequence_lengths: [16]}, models: [student]}\n";
    let directory = manifest(body);
    let told = shown(&caramba_in(directory.path(), &["m.yml"]));
    assert!(told.contains("starting programs is not permitted: `touch ran`") && told.contains("--allow-run"), "{told}");
    assert!(!directory.path().join("ran").exists(), "{told}");
}

/// Somebody's training program is executed first, its log is kept, and the checkpoint that it leaves is the student.
#[cfg(unix)]
#[test]
fn a_training_program_makes_the_student() {
    let student = concat!(env!("CARGO_MANIFEST_DIR"), "/models/austen-dba");
    let directory = manifest(&format!(
        r#"
models: {{teacher: models/austen, student: models/austen, packed: {{path: models/austen-dba, weights: q8}}}}
runs:
- id: distill
  directory: training
  command: "echo step 1; cp -r '{student}' out; echo done >&2"
  checkpoint: out
  steps: 1
  verify: {{type: kvcache, min_reduction_ratio: 1.5, fail_fast: true}}
benchmarks:
- {{id: memory, config: {{type: memory, sequence_lengths: [16]}}, models: [teacher, student, packed], repeats: 2}}
verify: {{type: fidelity, dataset: models/austen/heldout.npy, block_size: 16, batches: 2, max_delta_nll: 0.000001}}
"#
    ));
    std::fs::create_dir(directory.path().join("training")).unwrap();
    let (code, told) = run(directory.path());
    // The target's check fails.
    assert_eq!(code, 3, "{told}");
    let run = artifacts(directory.path(), "m");
    assert_eq!(std::fs::read_to_string(run.join("distill.log")).unwrap(), "step 1\ndone\n");
    let measured: Vec<[String; 3]> =
        rows(&run, "memory.csv").iter().map(|row| ["model", "bytes_per_token", "repeat"].map(|column| row[column].clone())).collect();
    let once = |repeat| [["teacher", "4096", repeat], ["student", "1280", repeat], ["packed", "1280", repeat]];
    let expected = [once("1"), once("2")].concat();
    assert_eq!(measured, expected.into_iter().map(|row| row.map(String::from)).collect::<Vec<_>>());
    let report = report(&run);
    let made = &report["metadata"]["runs"][0];
    assert_eq!((&made["id"], &made["log"], &made["settings"]["steps"]), (&"distill".into(), &"distill.log".into(), &1.into()));
    assert!(made["checkpoint"].as_str().unwrap().ends_with("training/out"), "{made}");
    // The run's check comes first; that of the target fails, which is told and ends nothing.
    let checks: Vec<_> =
        report["verification"].as_array().unwrap().iter().map(|check| (&check["benchmark_id"], &check["passed"])).collect();
    assert_eq!(checks, [(&"kvcache".into(), &true.into()), (&"fidelity".into(), &false.into())]);
    assert!(told.contains("warning: fidelity: the student's loss above its teacher's (nats) is "), "{told}");
    assert_eq!((rows(&run, "fidelity.csv").len(), rows(&run, "kvcache.csv").len()), (2, 3));
}

#[cfg(unix)]
#[test]
fn a_training_program_that_fails_is_told() {
    let body = |command: &str, more: &str| {
        format!(
            "models: {{teacher: models/austen, student: models/austen-dba}}\nruns:\n- {{id: distill, command: \"{command}\", checkpoint: \
             out{more}}}\nbenchmarks:\n- {{id: memory, config: {{type: memory, sequence_lengths: [16]}}, models: [student]}}\n"
        )
    };
    let told = |directory: &tempfile::TempDir, status| {
        let (code, told) = run(directory.path());
        assert_eq!(code, status, "{told}");
        let name = artifacts(directory.path(), "m").file_name().unwrap().to_string_lossy().into_owned();
        assert!(name.ends_with(".partial"), "{name}");
        told.replace(&name, "RUN")
    };
    let directory = manifest(&body("seq 1 30; echo out of memory >&2; exit 3", ""));
    insta::assert_snapshot!(told(&directory, 1), @r"
    running distill; its log is artifacts/RUN/distill.log
    what was measured so far is in artifacts/RUN; go on with: caramba m.yml --allow-run --resume artifacts/RUN
    error: `seq 1 30; echo out of memory >&2; exit 3` ended with status 3
      help: its log is artifacts/RUN/distill.log; it ends with
        20
        21
        22
        23
        24
        25
        26
        27
        28
        29
        30
        out of memory
    ");
    let log = std::fs::read_to_string(artifacts(directory.path(), "m").join("distill.log")).unwrap();
    assert!(log.starts_with("1\n2\n") && log.ends_with("30\nout of memory\n"), "{log}");
    insta::assert_snapshot!(told(&manifest(&body("true", "")), 1), @r"
    running distill; its log is artifacts/RUN/distill.log
    what was measured so far is in artifacts/RUN; go on with: caramba m.yml --allow-run --resume artifacts/RUN
    error: the run `distill` ended, and there is no checkpoint at out
      help: its log is artifacts/RUN/distill.log
    ");
    // What fails fast ends the experiment before it measures.
    let student = concat!(env!("CARGO_MANIFEST_DIR"), "/models/austen-dba");
    let directory = manifest(&body(&format!("cp -r {student} out"), ", verify: {type: kvcache, min_reduction_ratio: 4, fail_fast: true}"));
    insta::assert_snapshot!(told(&directory, 3), @r"
    running distill; its log is artifacts/RUN/distill.log
    warning: kvcache: the reduction of the fp16 cache is 3.20: expected at least 4.0
    what was measured so far is in artifacts/RUN; go on with: caramba m.yml --allow-run --resume artifacts/RUN
    error: the check kvcache fails, and the manifest says fail_fast: the reduction of the fp16 cache is 3.20: expected at least 4.0
      help: train the student further, or widen its paths
    ");
    assert_eq!(rows(&artifacts(directory.path(), "m"), "kvcache.csv").len(), 3);
}

#[test]
fn without_a_teacher_the_student_is_measured_alone() {
    let directory = manifest(
        r#"
models: {student: models/austen-dba}
runs: []
benchmarks:
- {id: memory, config: {type: memory, sequence_lengths: [16]}, models: [teacher, student]}
verify: {type: compare, dataset: models/austen/heldout.npy}
"#,
    );
    let (code, told) = run(directory.path());
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("compare is left out: it compares a student with its teacher, and there is no teacher"), "{told}");
    let run = artifacts(directory.path(), "m");
    assert_eq!(rows(&run, "memory.csv").iter().map(|row| row["model"].as_str()).collect::<Vec<_>>(), ["student"]);
    assert_eq!((report(&run)["checklist"].as_array().map(Vec::len), told.contains("Acceptance")), (Some(0), false));
}

#[test]
fn what_is_missing_is_told_before_anything_is_run() {
    let directory = manifest(
        r#"
models: {teacher: {path: models/autsen, weights: q8}, student: models/austen-dba}
runs:
- {id: distill, command: touch ran, checkpoint: out}
benchmarks:
- {id: memory, config: {type: memory, sequence_lengths: [16]}, models: [teacher, student]}
"#,
    );
    let (code, told) = run(directory.path());
    assert_eq!(code, 1);
    insta::assert_snapshot!(told, @r"
    error: m.yml:5:22: there is no model at models/autsen
      |
    5 |   models: {teacher: {path: models/autsen, weights: q8}, student: models/austen-dba}
      |                      ^^^^
      help: check the path: it is relative to the current directory, or to the manifest's
    ");
    assert!(!directory.path().join("ran").exists() && !directory.path().join("artifacts").exists());
}

/// What everybody tries first, from wherever the binary was installed.
#[test]
fn a_preset_needs_nothing_beside_the_binary() {
    let directory = tempfile::tempdir().unwrap();
    let output = caramba_in(directory.path(), &["run", "quick_validation"]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    assert!(artifacts(directory.path(), "quick_validation").join("tables.tex").is_file());
    let plan = caramba(&["run", "quick_validation", "--dry-run"]);
    assert!(plan.contains("  teacher  models/austen      bundled\n  student  models/austen-dba  bundled\n"), "{plan}");
}
