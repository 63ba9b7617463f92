//! Manifests of the wider platform run as they are (tests/fixtures/manifests), on checkpoints in its form.

mod common;

use caramba::model::{Model, OpenOptions};
use common::checkpoint::{platform, save};
use common::cli::{artifacts, caramba_in, report, rows, shown};
use common::fixture;
use std::path::Path;

fn bundled(name: &str) -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name);
    Model::open(&path, &OpenOptions::default()).unwrap()
}

/// A directory with the checkpoints that the manifests name: the bundled teacher, and a student that is made of its weights alone. The bundled student's
/// layers turn by lists of their own, which a layer that is repeated can't say.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let set = ["teacher=models/austen", "student=upcycled", "sem_dim=64", "geo_dim=64"].into_iter().flat_map(|value| ["--set", value]);
    let made = caramba_in(directory.path(), &["script", "upcycle.rhai"].into_iter().chain(set).collect::<Vec<_>>());
    assert!(made.status.success(), "{}", shown(&made));
    save(&directory.path().join("runs/baseline.pt"), "system_state_dict", &platform(&bundled("austen")));
    save(&directory.path().join("runs/student.pt"), "student_state_dict", &platform(&upcycled(directory.path())));
    directory
}

fn upcycled(directory: &Path) -> Model {
    Model::open(&directory.join("upcycled"), &OpenOptions::default()).unwrap()
}

fn manifest(name: &str) -> String {
    std::fs::read_to_string(fixture("manifests").join(name)).unwrap()
}

/// The manifest without the benchmark of this name.
fn without(text: &str, id: &str) -> String {
    let start = text.find(&format!("  - id: {id}\n")).unwrap();
    let rest = &text[start + 4..];
    let end = rest.find("  - id: ").or(rest.find("targets:")).unwrap();
    format!("{}{}", &text[..start], &rest[end..])
}

/// Runs the manifest `text` in `directory`: its exit status and what it says.
fn run(directory: &Path, text: &str) -> (i32, String) {
    std::fs::write(directory.join("m.yml"), text).unwrap();
    let output = caramba_in(directory, &["run", "m.yml"]);
    (output.status.code().unwrap(), shown(&output))
}

fn perplexities(run: &Path, file: &str) -> Vec<(String, f64)> {
    rows(run, file).iter().map(|row| (row["model"].clone(), row["perplexity"].parse().unwrap())).collect()
}

#[test]
fn several_checkpoints_are_compared() {
    let directory = directory();
    let text = manifest("multi_checkpoint.yml");
    let (status, told) = run(directory.path(), &text);
    // All but the questions, which are not here: rows that say why.
    assert_eq!(status, 4, "{told}");
    assert!(told.contains("the run eval has no command: the models are measured as they lie there"), "{told}");
    let ignored: Vec<&str> = told.lines().filter(|line| line.contains("ignored, for they change no benchmark")).collect();
    assert_eq!(
        ignored,
        ["ignored, for they change no benchmark: defaults, backend, task, objective, trainer.config.device, trainer.config.dtype, \
          trainer.config.strict, trainer.config.unsafe_pickle_load, metrics, compute"]
    );
    let made: Vec<_> = std::fs::read_dir(directory.path().join("research/small")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [made] = made.as_slice() else { panic!("{made:?}") };
    // Of all models, the one that the manifest calls the baseline.
    assert_eq!(report(made)["summary"]["reference"].as_str().or(report(made)["reference"].as_str()).unwrap_or("baseline"), "baseline");
    let found = perplexities(made, "perplexity.csv");
    // Those of the models that the checkpoints were made of, on the first four blocks of 64 tokens.
    assert!(found[0].0 == "baseline" && (found[0].1 - 25.25).abs() < 0.02, "{found:?}");
    assert!(found[1].0 == "sem8" && (found[1].1 - 31.25).abs() < 0.02, "{found:?}");
    assert_eq!((rows(made, "latency.csv").len(), rows(made, "memory.csv").len(), rows(made, "context.csv").len()), (6, 4, 2));
    assert!(told.contains("downstream_accuracy of sem8 was not measured: the questions of winogrande are"), "{told}");
}

#[test]
fn an_upcycle_is_verified_and_measured() {
    let directory = directory();
    let (status, told) = run(directory.path(), &manifest("upcycle.yml"));
    // Its thresholds are passed or not; it is complete.
    assert!(status == 0 || status == 3, "{told}");
    assert!(told.contains("the runs blockwise, finetune have no command"), "{told}");
    assert!(told.contains("student.pt has no tokenizer of its own: that of austen is used"), "{told}");
    assert_eq!(told.matches("has no tokenizer of its own").count(), 1, "{told}");
    let made = std::fs::read_dir(directory.path().join("research/upcycle")).unwrap().next().unwrap().unwrap().path();
    let found = perplexities(&made, "perplexity.csv");
    assert!(found.len() == 2 && found[1].0 == "student" && (found[1].1 - 31.25).abs() < 0.02, "{found:?}");
    let report = report(&made);
    let checks: Vec<_> = report["verification"].as_array().unwrap().iter().map(|check| check["benchmark_id"].as_str().unwrap()).collect();
    assert_eq!(checks, ["compare", "eval"]);
    let compared = rows(&made, "compare.csv");
    // Two batches of the data section's blocks, four layers and the logits each.
    assert_eq!(compared.len(), 2 * 5, "{compared:?}");
    assert_eq!(rows(&made, "eval.csv").len(), 2);
}

/// A decoupled layer of the platform has keys and values for every head, whatever `n_kv_heads` says.
#[test]
fn decoupled_checkpoints_with_all_heads_load() {
    let directory = directory();
    let text = without(&without(&manifest("multi_checkpoint.yml"), "downstream_accuracy"), "context_sweep");
    // Of the student alone: it says two, and has four.
    let (teacher, student) = text.split_at(text.find("x-sem8").unwrap());
    let text = format!("{teacher}{}", student.replacen("n_kv_heads: ${n_kv_heads}", "n_kv_heads: 2", 1));
    let text = without(&text, "latency_cached");
    let (status, told) = run(directory.path(), &text);
    assert_eq!(status, 0, "{told}");
    assert!(told.contains("keys and values for every head, and not the 2 key/value heads that n_kv_heads says"), "{told}");
    let made = std::fs::read_dir(directory.path().join("research/small")).unwrap().next().unwrap().unwrap().path();
    let found = perplexities(&made, "perplexity.csv");
    assert!((found[1].1 - 31.25).abs() < 0.02, "{found:?}");
    // The keys and values of all heads are in the cache.
    let bytes: Vec<String> = rows(&made, "memory.csv").iter().map(|row| row["bytes_per_token"].clone()).collect();
    assert_eq!(bytes, ["4096", "4096", "3072", "3072"]);
}

#[test]
fn a_bare_checkpoint_says_its_shape_where_its_tensors_do() {
    let directory = directory();
    let path = |name: &str| directory.path().join("runs").join(name);
    let found = Model::open(&path("student.pt"), &OpenOptions::default()).unwrap();
    let expected = upcycled(directory.path());
    assert_eq!(found.architecture.layers, expected.architecture.layers);
    assert!(found.notes[0].contains("a RoPE base of 10000 and an epsilon of 1e-5 are assumed"), "{:?}", found.notes);
    let error = Model::open(&path("baseline.pt"), &OpenOptions::default()).err().unwrap().to_string();
    assert!(error.contains("how many heads its layer 0 has, none of its tensors says"), "{error}");
}

#[test]
fn files_are_included() {
    let directory = directory();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let text = without(&without(&manifest("multi_checkpoint.yml"), "downstream_accuracy"), "context_sweep");
    let (start, end) = (text.find("x-suite: &suite\n").unwrap() + 16, text.find("targets:").unwrap());
    write("parts/suite.yml", &text[start..end].replace("\n  ", "\n")[2..]);
    write("parts/vars.yml", &text[text.find("  baseline_ckpt").unwrap()..text.find("x-baseline").unwrap()].replace("\n  ", "\n")[2..]);
    let rest = format!("{}x-suite: &suite !include parts/suite.yml\n{}", &text[..start - 16], &text[end..]);
    let (vars, after) = (rest.find("vars:").unwrap(), rest.find("x-baseline").unwrap());
    let rest = format!("{}vars: !include parts/vars.yml\n{}", &rest[..vars], &rest[after..]);
    std::fs::write(directory.path().join("m.yml"), &rest).unwrap();
    let plan = shown(&caramba_in(directory.path(), &["run", "m.yml", "--dry-run"]));
    assert!(plan.starts_with("exit code 0") && plan.contains("benchmark memory_kv: memory of baseline, sem8"), "{plan}");

    // A mistake is shown in the file that has it.
    let wrong = std::fs::read_to_string(directory.path().join("parts/suite.yml")).unwrap().replace("num_batches", "num_batchs");
    write("parts/suite.yml", &wrong);
    let told = shown(&caramba_in(directory.path(), &["run", "m.yml", "--dry-run"]));
    assert!(
        told.contains("parts/suite.yml:2:102: unknown parameter `num_batchs`\n  |\n2 | ...") && told.contains(" ^^^^^^^^^^\n"),
        "{told}"
    );
    write("parts/suite.yml", "!include suite.yml\n");
    let told = shown(&caramba_in(directory.path(), &["run", "m.yml", "--dry-run"]));
    assert!(told.contains("parts/suite.yml:1:1: `suite.yml` is included by itself"), "{told}");
    write("m.yml", "version: 2\ntargets: !include nowhere.yml\n");
    let told = shown(&caramba_in(directory.path(), &["run", "m.yml"]));
    assert!(told.contains("m.yml:2:10: there is no file `nowhere.yml` to include"), "{told}");
}

/// As a guide shows one, with a model's path and a dataset added.
#[test]
fn a_snippet_is_a_manifest() {
    let directory = directory();
    let snippet = "
models: {student: runs/student.pt}
benchmarks:
  - id: perplexity
    config: {type: perplexity, dataset: models/austen/heldout.npy, block_size: 64, num_batches: 2}
    models: [teacher, student]
  - id: other
    config: {type: perplexity, dataset: models/austen/heldout.npy, block_size: 64, num_batches: 2, checkpoint: models/austen}
    models: [student]
";
    let (status, told) = run(directory.path(), snippet);
    assert_eq!(status, 0, "{told}");
    let run = artifacts(directory.path(), "m");
    let measured: Vec<_> = rows(&run, "perplexity.csv").iter().map(|row| [row["benchmark"].clone(), row["model"].clone()]).collect();
    // A benchmark's `checkpoint` is the model that is measured, by its own name.
    assert_eq!(measured, [["perplexity", "student"], ["other", "austen"]]);
}

#[test]
fn what_would_change_a_benchmark_is_an_error_with_its_place() {
    let directory = directory();
    let text = manifest("upcycle.yml");
    let told = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        let (status, told) = run(directory.path(), &text.replace(from, to));
        assert_eq!(status, 1, "{told}");
        told
    };
    let message = told("q_chunk: 1024", "mem_block: 64");
    assert!(message.contains("m.yml:32:25: ") && message.contains("unknown key of this layer `mem_block`"), "{message}");
    let message = told("block_size: \"${block_size}\"}}\n    system", "block_size: 64, val_frac: 0.1}}\n    system");
    assert!(message.contains("m.yml:15:91: a dataset is measured whole"), "{message}");
    let message = told("student_ckpt: runs/student.pt", "student_ckpt: runs/studnet.pt");
    assert!(
        message.contains("there is no model at runs/studnet.pt") && message.contains("the run `blockwise` would make one"),
        "{message}"
    );
    let message = told("max_new_tokens: 8", "max_new_token: 8");
    assert!(message.contains("m.yml:") && message.contains("unknown parameter `max_new_token`"), "{message}");
}

/// Rows of the embedding beyond the valid vocabulary are padding, which no softmax may count.
#[test]
fn padding_of_a_vocabulary_is_left_out() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/austen");
    let whole = bundled("austen");
    let cut = Model::open(&path, &OpenOptions { vocab: Some(2000), ..OpenOptions::default() }).unwrap();
    assert_eq!((cut.architecture.vocab, cut.tensors["model.embed_tokens.weight"].shape.as_slice()), (2000, [2000, 128].as_slice()));
    let tokens = [5, 17, 1999];
    let (all, valid) = (common::reference::logits(&whole, &tokens), common::reference::logits(&cut, &tokens));
    assert_eq!((valid.len(), &all[..2000]), (3 * 2000, &valid[..2000]));
    let tokenizer = cut.tokenizer().unwrap();
    assert!(tokenizer.encode(" gentleman", true).is_ok() || tokenizer.vocab() > 2000);
    let same = Model::open(&path, &OpenOptions { vocab: Some(50_257), ..OpenOptions::default() }).unwrap();
    assert_eq!(same.architecture, whole.architecture);
}
