//! `caramba tokenize` as a user meets it: several kinds of files, documents kept apart, shares and shards, and datasets that remember their tokenizer.

mod common;

use assert_cmd::Command;
use common::cli::{caramba_in, shown};
use common::fixture;
use ndarray::Array1;
use ndarray_npy::ReadNpyExt;
use std::path::Path;

/// The bundled model's end-of-text token.
const END: u16 = 0;

fn ids(path: &Path) -> Vec<u16> {
    Array1::<u16>::read_npy(std::fs::File::open(path).unwrap()).unwrap().to_vec()
}

/// Writes files into a directory and tokenizes them; what was said.
fn tokenize(directory: &Path, arguments: &[&str]) -> String {
    shown(&caramba_in(directory, &[&["tokenize", "models/austen"], arguments].concat()))
}

fn write(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// The tokens of one text by itself.
fn tokens(text: &str) -> Vec<u16> {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "a.txt", text);
    let told = tokenize(directory.path(), &["a.txt", "-o", "a.npy"]);
    assert!(told.starts_with("exit code 0"), "{told}");
    ids(&directory.path().join("a.npy"))
}

#[test]
fn documents_of_every_kind_follow_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let texts = ["She opened the door.\n", "Two and two", "A sea of sails", "It is a truth universally acknowledged,"];
    let [first, second, third, fourth] = texts.map(tokens);
    write(here, "corpus/b.txt", texts[0]);
    write(here, "corpus/deep/c.jsonl", &format!("{{\"text\": \"{}\", \"id\": 7}}\n\n{{\"text\": \"{}\"}}\n", texts[1], texts[2]));
    write(here, "corpus/photo.png", "no text");
    std::fs::copy(fixture("parquet/snappy.parquet"), here.join("corpus/d.parquet")).unwrap();
    let told = tokenize(here, &["corpus", "-o", "all.npy"]);
    assert!(told.contains("corpus: 1 files of other kinds are passed over"), "{told}");
    // Two texts of lines, one of a file, and twelve of twenty rows that have one.
    assert!(told.contains("tokens of 15 documents"), "{told}");
    let found = ids(&here.join("all.npy"));
    let expected = [first.as_slice(), &[END], &fourth].concat();
    assert_eq!(found[..expected.len()], expected, "{told}");
    let lines = [&[END][..], &second, &[END], &third].concat();
    assert!(found.ends_with(&lines), "{found:?}");
    assert_eq!(found.iter().filter(|id| **id == END).count(), 14);

    // By name, and without anything between them.
    let told = tokenize(here, &["corpus/deep/c.jsonl", "corpus/b.txt", "--separator", "none", "-o", "two.npy"]);
    assert!(told.starts_with("exit code 0"), "{told}");
    assert_eq!(ids(&here.join("two.npy")), [second.as_slice(), &third, &first].concat());
}

#[test]
fn every_compression_of_parquet_holds_the_same_texts() {
    let directory = tempfile::tempdir().unwrap();
    let made = |name: &str| {
        let told = tokenize(directory.path(), &[fixture("parquet").join(name).to_str().unwrap(), "-o", "p.npy"]);
        (ids_or_none(&directory.path().join("p.npy")), told)
    };
    let (expected, _) = made("none.parquet");
    assert!(expected.as_ref().is_some_and(|ids| ids.len() > 100));
    for name in ["snappy", "gzip", "lz4", "zstd", "brotli"] {
        let (found, told) = made(&format!("{name}.parquet"));
        assert_eq!(found, expected, "{name}: {told}");
    }
    let path = fixture("parquet/none.parquet");
    let told = tokenize(directory.path(), &[path.to_str().unwrap(), "--field", "body", "-o", "p.npy"]);
    assert!(told.contains("there is no column `body`") && told.contains("there are: id, text, tags"), "{told}");
    let told = tokenize(directory.path(), &[path.to_str().unwrap(), "--field", "id", "-o", "p.npy"]);
    assert!(told.contains("the column `id` is no text"), "{told}");
}

fn ids_or_none(path: &Path) -> Option<Vec<u16>> {
    let found = path.is_file().then(|| ids(path));
    let _ = std::fs::remove_file(path);
    found
}

/// Texts that are compressed are read as they are; what the name says before `.gz` says what they are.
#[test]
fn compressed_texts_are_read_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let (text, lines) = ("She opened the door.\n", "{\"text\": \"Two and two\"}\n{\"text\": \"A sea of sails\"}\n");
    let expected = [tokens("Two and two"), vec![END], tokens("A sea of sails"), vec![END], tokens(text)].concat();
    let gz = |name: &str, text: &str| {
        let mut writer = flate2::write::GzEncoder::new(std::fs::File::create(here.join(name)).unwrap(), flate2::Compression::fast());
        std::io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
        writer.finish().unwrap();
    };
    std::fs::create_dir(here.join("corpus")).unwrap();
    gz("corpus/a.jsonl.gz", lines);
    std::fs::write(here.join("corpus/b.txt.zst"), zstd::encode_all(text.as_bytes(), 3).unwrap()).unwrap();
    let told = tokenize(here, &["corpus", "-o", "all.npy"]);
    assert!(told.starts_with("exit code 0"), "{told}");
    assert_eq!(ids(&here.join("all.npy")), expected);
    let whole = std::fs::read(here.join("corpus/a.jsonl.gz")).unwrap();
    std::fs::write(here.join("cut.jsonl.gz"), &whole[..whole.len() - 9]).unwrap();
    let told = tokenize(here, &["cut.jsonl.gz", "-o", "cut.npy"]);
    assert!(told.contains("cut.jsonl.gz: it can't be read") && told.contains("it may be cut off"), "{told}");
    for name in ["l.txt", "l.jsonl", "l.parquet"] {
        write(here, name, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n");
        let told = tokenize(here, &[name, "-o", "l.npy"]);
        assert!(told.contains(&format!("{name}: this is not the file but a pointer to it")) && told.contains("git lfs pull"), "{told}");
    }
    write(here, "a.txt.xz", "x");
    assert!(tokenize(here, &["a.txt.xz", "-o", "x.npy"]).contains("compressed in a way that is not read here"));
}

/// Shards are one dataset: by their directory, by a pattern, in a script, on the command line and in a manifest.
#[test]
fn shards_are_measured_as_one_dataset() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let text = "The sea was calm, and the ship went on. She opened the door, and there was nobody. ".repeat(200);
    write(here, "a.txt", &text);
    std::fs::create_dir(here.join("shards")).unwrap();
    for (output, more) in [("whole.npy", &[][..]), ("shards/d.npy", &["--shard-tokens", "1024"]), ("whole.bin", &[])] {
        let told = tokenize(here, &[&["a.txt", "-o", output], more].concat());
        assert!(told.starts_with("exit code 0"), "{told}");
    }
    let count = std::fs::read_dir(here.join("shards"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "npy"))
        .count();
    assert!(count >= 3, "{count} shards");
    let script = "for path in args.rest { let data = dataset(path); print(`${data.len} ${data.slice(1000, 100).hash()} ${data.files.len} ${dataset_name(path)}`); }";
    write(here, "d.rhai", script);
    let told = shown(&caramba_in(here, &["script", "d.rhai", "--", "whole.npy", "shards", "shards/*.npy", "shards/d.*.npy", "whole.bin"]));
    assert!(told.starts_with("exit code 0"), "{told}");
    let lines: Vec<Vec<&str>> = told.lines().filter(|line| line.matches(' ').count() == 3).map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines.len(), 5, "{told}");
    for (line, (files, name)) in
        lines.iter().zip([(1, "whole.npy"), (count, "shards"), (count, "shards/*.npy"), (count, "shards/d.*.npy"), (1, "whole.bin")])
    {
        assert_eq!((line[..2].to_vec(), line[2], line[3]), (lines[0][..2].to_vec(), files.to_string().as_str(), name), "{told}");
    }
    let told = shown(&caramba_in(here, &["inspect", "shards/*.npy"]));
    assert!(told.contains(&format!("files      {count}\n")) && told.contains("that of austen ("), "{told}");

    // What is measured is the same, and the report names each file.
    let measured = |dataset: &str| {
        write(
            here,
            "m/m.yml",
            &format!(
                "version: 2\ntargets:\n- type: experiment\n  name: t\n  models: {{student: models/austen-dba}}\n  benchmarks:\n  - {{id: p, config: {{type: perplexity, dataset: '{dataset}', block_size: 64, num_batches: 40, batch_size: 1}}, models: [student]}}\n"
            ),
        );
        let _ = std::fs::remove_dir_all(here.join("out"));
        let told = shown(&caramba_in(here, &["run", "m/m.yml", "--output", "out"]));
        assert!(told.starts_with("exit code 0"), "{told}");
        let run = std::fs::read_dir(here.join("out")).unwrap().next().unwrap().unwrap().path();
        let report = std::fs::read_to_string(run.join("report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let csv = std::fs::read_to_string(run.join("perplexity.csv")).unwrap();
        let row: Vec<String> = csv.lines().nth(1).unwrap().split(',').map(str::to_owned).collect();
        (row[1].clone(), report.to_string().matches("d.00000.npy").count())
    };
    let (whole, none) = measured("whole.npy");
    std::fs::create_dir_all(here.join("m")).unwrap();
    std::fs::rename(here.join("shards"), here.join("m/shards")).unwrap();
    // Beside the manifest.
    for dataset in ["shards", "shards/*.npy"] {
        let (found, named) = measured(dataset);
        assert_eq!(found, whole, "{dataset}");
        assert!(none == 0 && named > 0, "{dataset}: the report names {named} shards");
    }
}

/// A text that is read in parts has the tokens that it has as a whole.
#[test]
fn a_long_text_is_read_in_parts() {
    let directory = tempfile::tempdir().unwrap();
    let line =
        "It is a truth universally acknowledged, that a single man in possession of a good fortune\n\n  must be in want of a wife.\n";
    let text = line.repeat(3 * (1 << 20) / line.len());
    write(directory.path(), "long.txt", &text);
    let told = tokenize(directory.path(), &["long.txt", "-o", "long.npy"]);
    assert!(told.starts_with("exit code 0") && !told.contains("documents"), "{told}");
    let found = ids(&directory.path().join("long.npy"));
    let whole =
        caramba::model::Model::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/austen"), &caramba::model::OpenOptions::default());
    let expected = whole.unwrap().tokenizer().unwrap().encode(&text, false).unwrap();
    assert!(found.iter().map(|&id| u32::from(id)).eq(expected), "the parts differ from the whole");
}

#[test]
fn shares_and_shards() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let lines: String = (0..100).map(|n| format!("{{\"body\": \"Document number {n} is about the sea.\"}}\n")).collect();
    write(here, "docs.jsonl", &lines);
    let told = tokenize(here, &["docs.jsonl", "--field", "body", "--split", "train=0.9,val=0.1", "-o", "d.npy"]);
    assert!(told.starts_with("exit code 0") && told.contains("d.train.npy (") && told.contains("d.val.npy ("), "{told}");
    let [train, val] = ["d.train.npy", "d.val.npy"].map(|name| ids(&here.join(name)));
    let share = val.len() as f64 / (train.len() + val.len()) as f64;
    assert!((share - 0.1).abs() < 0.01, "{share}");
    assert_eq!(train.iter().chain(&val).filter(|id| **id == END).count(), 98);
    let told = tokenize(here, &["docs.jsonl", "--field", "body", "--shard-tokens", "1024", "-o", "s.bin"]);
    assert!(told.starts_with("exit code 0"), "{told}");
    let lengths: Vec<u64> = ["s.00000.bin", "s.00001.bin"].iter().map(|name| here.join(name).metadata().unwrap().len()).collect();
    assert!(lengths[0] == 2048 && lengths[1] > 0, "{lengths:?}: {told}");
    let told = tokenize(here, &["docs.jsonl", "--split", "train=0.9", "-o", "d.npy"]);
    assert!(told.contains("the shares add up to 0.9, expected 1"), "{told}");
    let told = tokenize(here, &["docs.jsonl", "-o", "d.npy"]);
    assert!(told.contains("docs.jsonl, line 1: there is no field `text`") && told.contains("there are: body"), "{told}");
}

#[test]
fn standard_input_is_text_or_json_lines() {
    let directory = tempfile::tempdir().unwrap();
    let piped = |arguments: &[&str], text: &str| {
        let mut command = Command::cargo_bin("caramba").unwrap();
        let output = command
            .current_dir(directory.path())
            .args(["tokenize", "models/austen", "-", "-o", "i.npy"])
            .args(arguments)
            .write_stdin(text)
            .output();
        assert!(output.as_ref().unwrap().status.success(), "{}", shown(&output.unwrap()));
        ids(&directory.path().join("i.npy"))
    };
    let expected = tokens("The sea was");
    assert_eq!(piped(&[], "The sea was"), expected);
    assert_eq!(piped(&["--field", "a.b"], "{\"a\": {\"b\": \"The sea was\"}}\n"), expected);
}

#[test]
fn a_dataset_remembers_its_tokenizer() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    write(here, "a.txt", &"The sea was calm, and the ship went on. ".repeat(40));
    let told = tokenize(here, &["a.txt", "-o", "a.npy"]);
    assert!(told.starts_with("exit code 0"), "{told}");
    let sidecar: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(here.join("a.npy.json")).unwrap()).unwrap();
    assert!(sidecar["tokenizer"].as_str().is_some_and(|hash| hash.len() == 64) && sidecar["model"] == "austen", "{sidecar}");
    let measure = || {
        write(
            here,
            "m.yml",
            "version: 2\ntargets:\n- type: experiment\n  name: t\n  models: {student: models/austen-dba}\n  benchmarks:\n  - {id: p, config: {type: perplexity, dataset: a.npy, block_size: 64, num_batches: 1}, models: [student]}\n",
        );
        shown(&caramba_in(here, &["run", "m.yml"]))
    };
    // Another model with the same tokenizer.
    assert!(measure().starts_with("exit code 0"), "{}", measure());
    let other = sidecar["tokenizer"].as_str().unwrap().replace(|c: char| c.is_ascii_digit(), "0");
    write(here, "a.npy.json", &format!("{{\"tokenizer\": \"{other}\", \"model\": \"another\"}}"));
    let told = measure();
    assert!(
        told.starts_with("exit code 1") && told.contains("it was made with another tokenizer (another) than that of austen-dba"),
        "{told}"
    );
    assert!(told.contains("remove a.npy.json") || told.contains("a.npy.json"), "{told}");
    // In every benchmark that measures tokens, not in perplexity alone.
    for benchmark in
        ["accuracy", "context --set context_lengths=64", "divergence --set teacher=models/austen", "cache_kinds --set timed_at=0"]
    {
        let words: Vec<&str> = benchmark.split(' ').collect();
        let sizes = if words[0] == "context" { &[][..] } else { &["--set", "block_size=64"] };
        let told = shown(&caramba_in(
            here,
            &[
                &["script"],
                words.as_slice(),
                &[
                    "--set",
                    &format!("{}=models/austen-dba", if words[0] == "divergence" { "student" } else { "model" }),
                    "--set",
                    "dataset=a.npy",
                ],
                sizes,
            ]
            .concat(),
        ));
        assert!(told.contains("it was made with another tokenizer (another) than that of"), "{benchmark}: {told}");
    }
    std::fs::remove_file(here.join("a.npy.json")).unwrap();
    assert!(measure().starts_with("exit code 0"), "{}", measure());
}
