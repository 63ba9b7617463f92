//! Scripts as a user meets them, on the bundled pair: the paper, benchmarks of one's own, checks, runs that fail.

mod common;

use common::cli::{artifacts, caramba_in, in_passing, report, rows, shown};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Short enough for a test, long enough for every artifact.
const SHORT: &[&str] = &[
    "quantization_modes=[fp16, q8]",
    "prompt_lengths=[16, 32]",
    "generation_lengths=[4]",
    "sequence_lengths=[32, 64]",
    "block_size=48",
    "num_batches=3",
    "warmup_runs=0",
    "timed_runs=3",
];

/// A directory with these files in it.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

/// Runs a script with `--set` for each value; the exit code and what it said.
fn script(directory: &Path, name: &str, set: &[&str]) -> (i32, String) {
    let set = set.iter().flat_map(|value| ["--set", value]);
    let output = caramba_in(directory, &["script", name].into_iter().chain(set).collect::<Vec<_>>());
    (output.status.code().unwrap(), shown(&output))
}

fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column}: {row:?}"))
}

#[test]
fn the_paper_leaves_every_artifact() {
    let directory = directory(&[]);
    let set = [SHORT, &["repeats=2", "checks=[compare, fidelity, kvcache]"]].concat();
    let (code, told) = script(directory.path(), "full_paper.rhai", &set);
    // The bundled student is no copy of its teacher, which `compare` asks for: not everything passes, and the status says so.
    assert_eq!(code, 3, "{told}");
    let run = artifacts(directory.path(), "full_paper");
    assert!(told.contains(&format!("Artifacts: artifacts/{}", run.file_name().unwrap().to_string_lossy())), "{told}");

    // The documented columns come first, and both runs of everything are kept.
    for (file, columns, measured) in [
        ("perplexity.csv", "model,perplexity,cross_entropy,num_batches,", 2 * 2),
        ("latency.csv", "model,prompt_len,gen_len,batch_size,tokens_per_sec,prefill_ms,decode_ms,", 2 * 2 * 2),
        ("memory.csv", "model,seq_len,batch_size,quantization,kvcache_mb,peak_mb,", 2 * 2 * 2),
    ] {
        let text = std::fs::read_to_string(run.join(file)).unwrap();
        assert!(text.starts_with(columns), "{file}: {text}");
        let rows = rows(&run, file);
        for repeat in ["1", "2"] {
            assert_eq!(rows.iter().filter(|row| row["repeat"] == repeat).count(), measured, "{file}, {repeat}");
        }
    }
    for chart in ["summary.png", "latency_vs_context.png", "memory_scaling.png"] {
        assert!(std::fs::read(run.join(chart)).unwrap().starts_with(b"\x89PNG"), "{chart}");
    }

    // The same checklist in the report, on the terminal and in the tables.
    let report = report(&run);
    let checklist = report["checklist"].as_array().unwrap();
    let checks: Vec<&str> = checklist.iter().map(|item| item["check"].as_str().unwrap()).collect();
    let wanted = [
        "perplexity below 1.05x the teacher's",
        "throughput above 1.20x the teacher's",
        "cache below 0.333x the teacher's",
        "verification without a failure",
    ];
    assert_eq!(checks, wanted);
    let tables = std::fs::read_to_string(run.join("tables.tex")).unwrap();
    for check in wanted {
        assert!(told.contains(check) && tables.contains(check), "{check}: {told}\n{tables}");
    }
    // The bundled student's cache is less than a third, and the student no copy of its teacher.
    assert_eq!((&checklist[2]["value"], &checklist[2]["passed"]), (&0.3125.into(), &true.into()));
    assert_eq!((&checklist[3]["value"], &checklist[3]["of"], &checklist[3]["passed"]), (&1.into(), &3.into(), &false.into()));
    assert!(told.contains("compare fails: mean difference of attention is 0."), "{told}");
    let verified = report["verification"].as_array().unwrap();
    let verdicts: Vec<bool> = verified.iter().map(|check| check["passed"].as_bool().unwrap()).collect();
    assert_eq!(verdicts, [false, true, true]);
    assert_eq!(rows(&run, "kvcache.csv").len(), 3);

    // Bytes a token are those of the arithmetic, and what is in memory.csv is what the cache of that kind takes.
    for row in rows(&run, "memory.csv") {
        let elements = if row["model"] == "teacher" { 2048.0 } else { 640.0 };
        let bytes = elements * if row["quantization"] == "fp16" { 2.0 } else { 1.0625 };
        assert_eq!(number(&row, "bytes_per_token"), bytes);
        assert!(number(&row, "kvcache_mb") * 1_048_576.0 >= bytes * number(&row, "seq_len"), "{row:?}");
    }
}

#[test]
fn any_models_are_compared() {
    let directory = directory(&[]);
    let models = "models={a: models/austen, b: {path: models/austen, weights: q8}, c: models/austen-dba}";
    let set = [SHORT, &[models, "dataset=models/austen/heldout.npy", "name=three"]].concat();
    let (code, told) = script(directory.path(), "full_paper.rhai", &set);
    assert_eq!(code, 0, "{told}");
    let run = artifacts(directory.path(), "three");
    let names: Vec<String> = rows(&run, "perplexity.csv").iter().map(|row| row["model"].clone()).collect();
    assert_eq!(names, ["a", "b", "c", "a", "b", "c"]);
    // No teacher, no upcycle to accept.
    assert_eq!(report(&run)["checklist"], Value::Array(Vec::new()));
    assert!(told.contains("b beside a") && !told.contains("Acceptance"), "{told}");
}

const OWN: &str = r#"
// How far does a perplexity fall when the model sees more?
import "perplexity" as perplexity;

const PARAMETERS = #{
    dataset: required(""),      // a .npy file of token ids
    lengths: [16, 64],          // tokens that it sees
};

fn run(model, config) {
    let rows = [];
    for length in config.lengths {
        let found = perplexity::new(#{ dataset: config.dataset, block_size: length, num_batches: 4 }).run(model);
        rows.push(#{ length: length, perplexity: found.perplexity });
    }
    #{ benchmark_id: "own", metrics: #{ score: rows[0].perplexity / rows[1].perplexity }, rows: rows }
}
"#;

#[test]
fn a_benchmark_of_ones_own() {
    let directory = directory(&[("own.rhai", OWN)]);
    let (code, told) = script(directory.path(), "own.rhai", &["dataset=models/austen/heldout.npy", "lengths=8,32"]);
    assert_eq!(code, 0, "{told}");
    let run = artifacts(directory.path(), "own");
    let rows = rows(&run, "own.csv");
    assert_eq!(rows.iter().map(|row| row["length"].as_str()).collect::<Vec<_>>(), ["8", "32"]);
    let score = number(&rows[0], "perplexity") / number(&rows[1], "perplexity");
    assert_eq!(report(&run)["benchmarks"][0]["metrics"]["score"], score);

    let (code, told) = script(directory.path(), "own.rhai", &["dataset=models/austen/heldout.npy", "lenghts=8"]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(told, @r"
    exit code 1
    error: own.rhai: unknown parameter `lenghts`
     |
     | --set lenghts=8
     |       ^^^^^^^
      help: did you mean `lengths`? known are: dataset, lengths
    ");
}

#[test]
fn a_script_beside_the_users_own_wins() {
    let theirs = "const PARAMETERS = #{ dataset: \"\" };\nfn run(model, config) { #{ benchmark_id: \"perplexity\", rows: [#{ perplexity: 1.0 }] } }\n";
    let main = "import \"perplexity\" as perplexity;\nprint(perplexity::new(#{ dataset: \"x\" }).run(()).rows[0].perplexity);\n";
    let directory = directory(&[("perplexity.rhai", theirs), ("main.rhai", main)]);
    let (code, told) = script(directory.path(), "main.rhai", &[]);
    assert_eq!((code, told.as_str()), (0, "exit code 0\n1.0\nperplexity.rhai is used in place of the built-in benchmark perplexity"));
}

#[test]
fn checks_compare_a_student_with_its_teacher() {
    let cases = r#"
- {id: quiet, kind: match, prompt: "It is a truth universally acknowledged, that a single man in possession of a good fortune must be in want of a", answer: "wife", max_tokens: 4}
- {id: sum, kind: integer, prompt: "Two and two make", answer: 4}
- {id: who, kind: choice, prompt: "Mr.", choices: [" Darcy", " Xylophone"], answer: " Darcy"}
"#;
    let directory = directory(&[("cases.yml", cases)]);
    let pair = ["teacher=models/austen", "student=models/austen-dba"];
    let data = ["dataset=models/austen/heldout.npy", "block_size=33", "batches=4"];

    // Four blocks of 33 tokens say little: the student's loss is nearer over all of the text.
    let (code, told) = script(directory.path(), "fidelity.rhai", &[&pair[..], &data, &["max_delta_nll=0.2", "max_ppl_ratio=1.2"]].concat());
    assert_eq!(code, 0, "{told}");
    let run = artifacts(directory.path(), "fidelity");
    let found = rows(&run, "fidelity.csv");
    let mean = |column: &str| found.iter().map(|row| number(row, column)).sum::<f64>() / found.len() as f64;
    let metrics = &report(&run)["verification"][0]["metrics"];
    let near = |key: &str, value: f64| assert!((metrics[key].as_f64().unwrap() - value).abs() < 1e-12, "{key}: {metrics} {value}");
    near("teacher_nll", mean("teacher_nll"));
    near("delta_nll", mean("student_nll") - mean("teacher_nll"));
    near("ppl_ratio", (mean("student_nll") - mean("teacher_nll")).exp());
    assert_eq!(found.len(), 4);

    let (code, told) = script(directory.path(), "kvcache.rhai", &[&pair[..], &["min_reduction_ratio=3.5"]].concat());
    assert_eq!(code, 3);
    assert!(told.contains("kvcache fails: the reduction of the fp16 cache is 3.20: expected at least 3.5."), "{told}");
    let found = rows(&artifacts(directory.path(), "kvcache"), "kvcache.csv");
    let bytes = |row: &BTreeMap<String, String>| ["teacher_bytes_per_token", "student_bytes_per_token"].map(|column| number(row, column));
    assert_eq!(found.iter().map(bytes).collect::<Vec<_>>(), [[4096.0, 1280.0], [2176.0, 680.0], [1152.0, 488.0]]);

    let (code, told) = script(directory.path(), "eval.rhai", &[&pair[..], &["cases=cases.yml", "max_accuracy_drop=1.0"]].concat());
    assert_eq!(code, 0, "{told}");
    let run = artifacts(directory.path(), "eval");
    let found = rows(&run, "eval.csv");
    let right = |who: &str| found.iter().filter(|row| row[&format!("{who}_correct")] == "true").count() as f64 / 3.0;
    assert_eq!(report(&run)["verification"][0]["metrics"]["teacher_accuracy"], right("teacher"));
    assert_eq!(report(&run)["verification"][0]["metrics"]["student_accuracy"], right("student"));
    assert_eq!((found[2]["kind"].as_str(), found[2]["teacher_answer"].as_str()), ("choice", " Darcy"));

    // All at once: what fails is said, and the exit status says it too.
    let set = [
        &pair[..],
        &[
            "dataset=models/austen/heldout.npy",
            "cases=cases.yml",
            "compare={block_size: 32, batches: 2}",
            "fidelity={block_size: 32, batches: 2}",
        ],
    ]
    .concat();
    let (code, told) = script(directory.path(), "verify.rhai", &set);
    assert_eq!(code, 3, "{told}");
    let run = artifacts(directory.path(), "verify");
    let report = report(&run);
    let names: Vec<&str> = report["verification"].as_array().unwrap().iter().map(|check| check["benchmark_id"].as_str().unwrap()).collect();
    assert_eq!((names, &report["outcome"]), (vec!["compare", "fidelity", "kvcache", "eval"], &"failed".into()));
    assert!(told.contains("compare fails: ") && told.contains("caramba ends with status 3"), "{told}");
    for name in ["compare.csv", "fidelity.csv", "kvcache.csv", "eval.csv", "tables.tex"] {
        assert!(run.join(name).is_file(), "{name}");
    }

    // A model is its own best student.
    let same = ["teacher=models/austen", "student=models/austen", "dataset=models/austen/heldout.npy", "block_size=16", "batches=2"];
    let (code, told) = script(directory.path(), "compare.rhai", &same);
    assert_eq!(code, 0, "{told}");
    assert!(rows(&artifacts(directory.path(), "compare"), "compare.csv").iter().all(|row| number(row, "mean_l1") == 0.0));
}

#[test]
fn a_run_that_fails_keeps_its_rows() {
    let text = r#"
import "perplexity" as perplexity;
import "artifacts" as artifacts;
let paper = artifacts::begin("broken");
let model = load(bundled("austen"));
paper.add("student", perplexity::new(#{ dataset: "models/austen/heldout.npy", block_size: 16, num_batches: 2 }).run(model));
paper.add("student", perplexity::new(#{ dataset: "nowhere.npy", block_size: 16 }).run(model));
paper.finish();
"#;
    let directory = directory(&[("broken.rhai", text)]);
    let (code, told) = script(directory.path(), "broken.rhai", &[]);
    assert_eq!(code, 1);
    let run = artifacts(directory.path(), "broken");
    let name = run.file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.ends_with(".partial"), "{name}");
    assert_eq!(rows(&run, "perplexity.csv").len(), 1);
    assert!(std::fs::read_to_string(run.join("FAILED.txt")).unwrap().contains("perplexity.csv: 1 rows"));
    let lines: Vec<&str> = told.lines().filter(|line| !in_passing(line)).collect();
    insta::assert_snapshot!(lines.join("\n").replace(&name, "RUN"), @r#"
    exit code 1
    what was measured so far is in artifacts/RUN; go on with: caramba script broken.rhai --resume artifacts/RUN
    error: broken.rhai:7:83: nowhere.npy: No such file or directory (os error 2)
      |
    7 | paper.add("student", perplexity::new(#{ dataset: "nowhere.npy", block_size: 16 }).run(model));
      |                                                                                   ^^^
      help: check the path; it is relative to the current directory
    "#);
}

/// Who looks at a stranger's script or manifest has not run it.
#[test]
fn nothing_of_anybodys_runs_where_it_is_checked() {
    let manifest = "version: 2\ntargets:\n- type: experiment\n  name: t\n  models: {m: models/austen}\n  runs: []\n  benchmarks: [{id: b, config: {type: theirs}, models: [m]}]\n";
    for text in [
        "const PARAMETERS = #{ a: write_text(\"ran\", \"x\") };\nfn run(model, config) { #{} }\n",
        "const PARAMETERS = #{ a: run_command(\"touch ran\", #{}) };\nfn run(model, config) { #{} }\n",
        "run_command(\"touch ran\", #{});\nfn run(model, config) { #{} }\n",
        "fn cells(config) { write_json(\"ran\", 1); [#{}] }\nfn measure(model, cell) { #{ a: 1 } }\n",
        "fn check(model, cell, config) { run_directory(\"ran\", \"ran\"); }\nfn measure(model, cell) { #{ a: 1 } }\n",
    ] {
        let directory = directory(&[("m.yml", manifest), ("theirs.rhai", text)]);
        for arguments in [
            &["check", "theirs.rhai"][..],
            &["script", "theirs.rhai", "--describe"],
            &["check", "m.yml"],
            &["run", "m.yml", "--dry-run"],
            &["run", "m.yml", "--cells"],
        ] {
            let told = shown(&caramba_in(directory.path(), arguments));
            assert!(!directory.path().join("ran").exists(), "{arguments:?}: {told}");
            assert!(
                !arguments.contains(&"m.yml") || told.contains("is not called while a script is only checked"),
                "{arguments:?}: {told}"
            );
        }
    }
}

#[test]
fn a_script_gives_its_exit_status() {
    let run = |text: &str| {
        let directory = directory(&[("a.rhai", text)]);
        shown(&caramba_in(directory.path(), &["script", "a.rhai"]))
    };
    assert_eq!(run("exit();\nfail(\"not reached\");"), "exit code 0");
    assert_eq!(run("print(\"so\");\nexit(3);"), "exit code 3\nso");
    assert_eq!(run("fn f() { try { exit(4) } catch { exit(5) } }\n[1].map(|x| f());\nexit(6);"), "exit code 4");
    assert_eq!(run("if true { exit(0); }\nfail(\"not reached\");"), "exit code 0");
    insta::assert_snapshot!(run("exit(256);"), @r"
    exit code 1
    error: a.rhai:1:1: the exit status is an integer (256): expected an integer from 0 to 255
      |
    1 | exit(256);
      | ^^^^
      help: print(...) shows a value; fail(...) ends a script with a sentence
    ");
    insta::assert_snapshot!(run("exit(\"no\");"), @r#"
    exit code 1
    error: a.rhai:1:1: the exit status is text ("no"): expected an integer from 0 to 255
      |
    1 | exit("no");
      | ^^^^
      help: print(...) shows a value; fail(...) ends a script with a sentence
    "#);
    // From within a benchmark, too; what was begun is said to be unfinished.
    let text = "let run = run_directory(\"gone\");\nrun.csv(\"a.csv\", [\"b\"]);\nlet b = benchmark(\"b\", #{});\nb.run(());\nfail(\"not reached\");";
    let directory = directory(&[("a.rhai", text), ("b.rhai", "fn run(model, config) { exit(7) }\n")]);
    let told = shown(&caramba_in(directory.path(), &["script", "a.rhai"]));
    assert!(told.starts_with("exit code 7\nwhat was measured so far is in artifacts/gone_"), "{told}");
    let failed = std::fs::read_to_string(artifacts(directory.path(), "gone").join("FAILED.txt")).unwrap();
    assert!(failed.contains("the script ended itself with exit(7)"), "{failed}");
}
