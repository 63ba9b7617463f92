//! Files that were made to hurt (tests/fixtures/hostile), and others of their kinds made here: each is a clear error within two seconds and
//! 64 MB plus four times its size.
#![cfg(unix)]

mod common;

use common::cli::{caramba_in, shown};
use common::fixture;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs caramba in `directory`; its output, and the megabytes that it has taken at most.
fn measured(directory: &Path, arguments: &[&str]) -> (Output, f64) {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("caramba"));
    command.current_dir(directory).args(arguments).env("COLUMNS", "110").env_remove("RUST_BACKTRACE");
    let mut files = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
    command.stdin(Stdio::null()).stdout(files[0].try_clone().unwrap()).stderr(files[1].try_clone().unwrap());
    let pid = command.spawn().unwrap().id() as libc::pid_t;
    // SAFETY: an all-zero `rusage` is a valid one, and the call fills both; nobody else waits for this child.
    let (status, usage) = unsafe {
        let (mut status, mut usage): (libc::c_int, libc::rusage) = (0, std::mem::zeroed());
        assert_eq!(libc::wait4(pid, &mut status, 0, &mut usage), pid);
        (std::process::ExitStatus::from_raw(status), usage)
    };
    let [stdout, stderr] = files.each_mut().map(|file| {
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut text).unwrap();
        text
    });
    let unit = if cfg!(target_os = "macos") { 1.0 } else { 1024.0 };
    (Output { status, stdout, stderr }, usage.ru_maxrss as f64 * unit / 1e6)
}

/// Runs caramba and checks that it fails with these words, soon, and in little memory.
fn refused(directory: &Path, arguments: &[&str], file_bytes: usize, words: &str) {
    let clock = Instant::now();
    let (output, taken) = measured(directory, arguments);
    let took = clock.elapsed();
    let told = shown(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(words), "expected `{words}` in: {told}");
    assert!(!told.contains('\x1b') && !told.contains("panicked"), "{told:?}");
    // Two seconds on a machine of its own; tests share theirs.
    assert!(took < Duration::from_secs(6), "{words}: {took:?}");
    let most = 64.0 + 4.0 * file_bytes as f64 / 1e6;
    assert!(taken < most, "{words}: {taken} MB, at most {most} are expected");
}

fn hostile(name: &str) -> PathBuf {
    fixture("hostile").join(name)
}

/// A directory with the configuration of a small model, and its weights.
fn model() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("cases/st_config_bom").join(file), directory.path().join(file)).unwrap();
    }
    directory
}

#[test]
fn hostile_files_are_refused_soon_and_in_little_memory() {
    let model = model();
    let here = model.path();
    for (name, words) in [
        ("ordereddict_clone_bomb.pt", "it describes far more than its size can hold"),
        ("path_bomb.pt", "it describes far more than its size can hold"),
        ("zero_column_rows.gguf", "one of its dimensions is 0"),
        ("escapes.gguf", "unknown architecture `\\u{1b}[2J\\u{1b}]52;c;ZXZpbA==\\u{7}evil`"),
    ] {
        let path = here.join(name);
        std::fs::copy(hostile(name), &path).unwrap();
        refused(here, &["inspect", name], 0, words);
        std::fs::remove_file(path).unwrap();
    }
    std::fs::write(here.join("text.txt"), "aaaa b").unwrap();
    for (name, words) in [
        ("tok_precompiled_8GB.json", "its trie is said to have 4294967295 bytes"),
        ("tok_precompiled_panic.json", "it has no length"),
        ("tok_replace_grows.json", "its replacements make a text 100 times as long"),
        ("tok_replace_empty.json", "it replaces the empty text, which is everywhere"),
    ] {
        std::fs::copy(hostile(name), here.join("tokenizer.json")).unwrap();
        refused(here, &["tokenize", ".", "text.txt", "-o", "out.npy"], 0, words);
        // The model is still of use.
        let output = shown(&caramba_in(here, &["inspect", "."]));
        assert!(output.starts_with("exit code 0") && output.contains("tokenizer   none: "), "{output}");
    }
    std::fs::remove_file(here.join("tokenizer.json")).unwrap();

    std::fs::copy(hostile("nested_header.npy"), here.join("a.npy")).unwrap();
    std::fs::write(here.join("open.rhai"), "let data = dataset(\"a.npy\");").unwrap();
    refused(here, &["script", "open.rhai"], 0, "a.npy: its header is not that of an array of NumPy");

    // A configuration of 20 MB, and an index.
    let long = format!("{{\"a\": [{}0]}}", "0,".repeat(10 << 20));
    std::fs::create_dir(here.join("long")).unwrap();
    std::fs::write(here.join("long/config.json"), &long).unwrap();
    refused(here, &["inspect", "long"], long.len(), "config.json: expected at most 1048576 bytes of text");
    std::fs::copy(here.join("config.json"), here.join("long/config.json")).unwrap();
    std::fs::write(here.join("long/model.safetensors.index.json"), &long).unwrap();
    refused(here, &["inspect", "long"], long.len(), "model.safetensors.index.json: key `weight_map` is missing");
    // A safetensors header of many small numbers.
    let header = format!("{{\"a\": [{}0]}}", "0,".repeat(5 << 20));
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    std::fs::write(here.join("b.safetensors"), &file).unwrap();
    refused(here, &["inspect", "b.safetensors"], file.len(), "tensor a: the header says more than 4096 bytes of it");
    // An archive with many entries.
    let mut zip = vec![b'P', b'K', 3, 4];
    zip.extend([b'P', b'K', 1, 2].repeat(1000));
    zip.extend([&b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff"[..], &[0; 10]].concat());
    std::fs::write(here.join("c.pt"), &zip).unwrap();
    let output = shown(&caramba_in(here, &["inspect", "c.pt"]));
    assert!(output.starts_with("exit code 1"), "{output}");

    // YAML: a long text behind many aliases, many keys, in data and in a manifest.
    let bomb = format!("- &t {}\n{}", "x".repeat(400_000), "- *t\n".repeat(10_000));
    std::fs::write(here.join("bomb.yml"), &bomb).unwrap();
    std::fs::write(here.join("read.rhai"), "let data = read_yaml(\"bomb.yml\");").unwrap();
    refused(here, &["script", "read.rhai"], bomb.len(), "bytes of text, its aliases expanded");
    refused(here, &["check", "bomb.yml"], bomb.len(), "bytes of text, its aliases expanded");
    let keys: String = (0..50_000).map(|key| format!("key{key}: 1\n")).collect();
    std::fs::write(here.join("keys.yml"), format!("version: 2\n{keys}")).unwrap();
    refused(here, &["check", "keys.yml"], keys.len(), "key0");
}

/// A regular expression whose time doubles with every letter elsewhere, and one that is too large: in what a reply is held against, and in scripts.
#[test]
fn a_pattern_of_the_user_takes_no_time_without_end() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let bombs = ["(a+)+$", "^(a|aa)+$", "(a|a?)+b", "(.*.*.*.*.*.*.*.*)x", "((a{0,200}){0,200}){0,200}$"];
    for pattern in bombs {
        let script = format!(
            "let text = \"a\".repeat(60000) + \"!\"; try {{ print(text.matches(\"{pattern}\")); }} catch (error) {{ print(error); }}"
        );
        std::fs::write(here.join("r.rhai"), script).unwrap();
        let clock = Instant::now();
        let (output, taken) = measured(here, &["script", "r.rhai"]);
        let told = shown(&output);
        assert!(clock.elapsed() < Duration::from_secs(15) && taken < 300.0, "{pattern}: {:?}, {taken} MB: {told}", clock.elapsed());
        assert!(
            told.contains("false") || told.contains("true") || told.contains("regular expression") || told.contains("size limit"),
            "{pattern}: {told}"
        );
        let cases = format!(
            "benchmark:\n  id: b\n  data:\n  - {{prompt: The sea, max_tokens: 8, expected_behavior: matches, validation: {{type: regex, pattern: '{pattern}'}}}}\n"
        );
        std::fs::write(here.join("b.yml"), cases).unwrap();
        let clock = Instant::now();
        let told = shown(&caramba_in(here, &["check", "b.yml"]));
        assert!(clock.elapsed() < Duration::from_secs(15) && !told.contains("panicked"), "{pattern}: {:?}: {told}", clock.elapsed());
    }
}

/// A text of a million letters for a pattern that tries every way to take it apart.
#[test]
fn a_pattern_without_end_is_given_up() {
    let model = model();
    let here = model.path();
    let mut tokenizer: serde_json::Value = serde_json::from_slice(&std::fs::read(hostile("tok_replace_empty.json")).unwrap()).unwrap();
    tokenizer["normalizer"] = serde_json::Value::Null;
    tokenizer["pre_tokenizer"] = serde_json::json!({ "type": "Split", "pattern": { "Regex": "(?=(a+)+b\\1)a|(a|aa)+$(?!a)|." }, "behavior": "Isolated", "invert": false });
    std::fs::write(here.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(here.join("text.txt"), "a".repeat(200_000)).unwrap();
    let clock = Instant::now();
    let output = shown(&caramba_in(here, &["tokenize", ".", "text.txt", "-o", "out.npy"]));
    assert!(clock.elapsed() < Duration::from_secs(20), "{:?}: {output}", clock.elapsed());
}

/// A file that is shortened while it is mapped: a message, and not a signal.
#[test]
fn a_file_that_shrinks_ends_with_a_message() {
    let directory = tempfile::tempdir().unwrap();
    let mut data = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    let header = "{'descr': '<u2', 'fortran_order': False, 'shape': (100000,), }";
    data.extend(format!("{header:<117}\n").as_bytes());
    data.resize(data.len() + 200_000, 0);
    std::fs::File::create(directory.path().join("data.npy")).unwrap().write_all(&data).unwrap();
    let script = "let data = dataset(\"data.npy\");\nrun_command(\"truncate -s 100 data.npy\", #{});\nprint(data.slice(90000, 10));";
    std::fs::write(directory.path().join("shrink.rhai"), script).unwrap();
    let output = caramba_in(directory.path(), &["script", "shrink.rhai", "--allow-run"]);
    let told = shown(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("data.npy: the file was shortened while it was being read"), "{told}");
}
