//! The page of a run, and what else is made of its rows.

mod common;

use common::cli::{artifacts, caramba_in, in_passing, rows, shown};
use common::runs::{Started, directory, manifest, partial, run, until};
use std::path::Path;

const OWN: &str = "const PARAMETERS = #{ steps: [1, 2] };\nfn cells(config) { grid(#{ step: config.steps }) }\nfn measure(model, cell, config) { #{ found: cell.step * 0.5 } }\n";

/// Rows that are handed over one after the other, and a moment to be killed in.
const SLOWLY: &str = r#"
const COLUMNS = ["depth", "found"];
fn run(model, config) {
    emit(#{ depth: 0.1, found: true });
    emit(#{ depth: 0.5, found: false, note: "a, b" });
    if exists("slow") { write_text("reached", ""); sleep(60); }
    #{ benchmark_id: "slowly", metrics: #{ score: 0.5 } }
}
"#;

#[test]
fn rows_that_were_handed_over_are_in_the_csv_at_once() {
    let directory = directory(&[("slowly.rhai", SLOWLY), ("slow", "")]);
    let mut started = Started::new(directory.path(), &["script", "slowly.rhai", "--allow-write", "."]);
    until("two rows", || directory.path().join("reached").exists());
    started.0.kill().unwrap();
    started.status();
    let path = partial(directory.path()).unwrap();
    let lines = std::fs::read_to_string(path.join("slowly.csv")).unwrap();
    let expected = "model,depth,found,note,repeat,benchmark,error\nausten,0.1,true,,1,slowly,\nausten,0.5,false,\"a, b\",1,slowly,\n";
    assert_eq!(lines, expected);
    // Gone on with, they are measured again, and are there once.
    std::fs::remove_file(directory.path().join("slow")).unwrap();
    let (code, told) = run(directory.path(), &["script", "slowly.rhai", "--resume", &path.display().to_string()]);
    assert_eq!(code, 0, "{told}");
    assert_eq!(std::fs::read_to_string(artifacts(directory.path(), "slowly").join("slowly.csv")).unwrap(), expected);
}

/// `--open` gives the page to the platform's opener, of a run that is finished as well; without one it says where the page is.
#[cfg(target_os = "linux")]
#[test]
fn the_page_is_opened() {
    use std::os::unix::fs::PermissionsExt;
    let directory = directory(&[("own.rhai", OWN)]);
    let (code, told) = run(directory.path(), &["script", "own.rhai"]);
    assert_eq!(code, 0, "{told}");
    let finished = artifacts(directory.path(), "own");
    let programs = directory.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let open = |path: &Path| {
        let mut command = assert_cmd::Command::cargo_bin("caramba").unwrap();
        let output = command.current_dir(directory.path()).arg("report").arg(path).arg("--open").env("PATH", &programs).output().unwrap();
        assert!(output.status.success(), "{}", shown(&output));
        shown(&output)
    };
    let page = finished.join("report.html");
    let told = open(&finished);
    assert!(told.contains(&format!("nothing here opens pages: look at {}", page.display())), "{told}");
    let opener = programs.join("xdg-open");
    std::fs::write(&opener, "#!/bin/sh\necho \"$1\" > opened\n").unwrap();
    std::fs::set_permissions(&opener, PermissionsExt::from_mode(0o755)).unwrap();
    let unfinished = finished.with_file_name(format!("{}.partial", finished.file_name().unwrap().to_string_lossy()));
    std::fs::rename(&finished, &unfinished).unwrap();
    // An unfinished run that has everything is finished by this, and the page is where it is then.
    for path in [&unfinished, &finished] {
        let told = open(path);
        assert!(!told.contains("nothing here opens pages"), "{told}");
        let opened = std::fs::read_to_string(directory.path().join("opened")).unwrap();
        assert_eq!(opened.trim(), page.display().to_string());
        std::fs::remove_file(directory.path().join("opened")).unwrap();
    }
}

/// A benchmark without rows has its metrics in a CSV file, a table and the page.
#[test]
fn metrics_alone_are_kept() {
    let text = "fn run(model, config) { #{ benchmark_id: \"alone\", metrics: #{ score: 0.25, passed: true } } }\n";
    let directory = directory(&[("alone.rhai", text)]);
    let output = caramba_in(directory.path(), &["script", "alone.rhai"]);
    assert!(output.status.success(), "{}", shown(&output));
    let found = artifacts(directory.path(), "alone");
    let metrics: Vec<(String, String)> =
        rows(&found, "alone.csv").iter().map(|row| (row["metric"].clone(), row["value"].clone())).collect();
    assert_eq!(metrics, [("passed".to_owned(), "true".to_owned()), ("score".to_owned(), "0.25".to_owned())]);
    assert!(std::fs::read_to_string(found.join("tables.tex")).unwrap().contains("Score & 0.250"));
    assert!(std::fs::read_to_string(found.join("report.html")).unwrap().contains("Score"));
}

/// The benchmark that README shows, as it stands there.
fn needle() -> String {
    let readme = include_str!("../README.md");
    let start = readme.find("// needle.rhai").unwrap();
    readme[start..start + readme[start..].find("```").unwrap()].to_owned()
}

/// What README promises of two lines: CSV, chart, LaTeX, a section of the page, headline and threshold.
#[test]
fn a_benchmark_of_ones_own_has_all_of_it() {
    let directory = directory(&[("needle.rhai", &needle())]);
    let command =
        ["script", "needle.rhai", "--set", "model=models/austen", "--set", "context=128", "--set", "thresholds=[model.found > 0.9]"];
    let (code, told) = run(directory.path(), &command);
    // The bundled model is too small to find it.
    assert_eq!(code, 3, "{told}");
    assert!(told.contains("model.found > 0.9: 0") && told.contains("Found"), "{told}");
    let found = artifacts(directory.path(), "needle");
    let csv = rows(&found, "needle.csv");
    assert_eq!(csv.len(), 6);
    assert!(csv.iter().all(|row| row["found"] == "false" && row["error"].is_empty()), "{csv:?}");
    for file in ["needle.png", "needle.pdf", "needle.svg", "summary.png", "report.json"] {
        assert!(found.join(file).is_file(), "{file}");
    }
    let text = |file: &str| std::fs::read_to_string(found.join(file)).unwrap();
    assert!(text("tables.tex").contains("\\label{tab:needle}") && text("tables.tex").contains("Found & 0"), "{}", text("tables.tex"));
    let page = text("report.html");
    for part in ["model.found &gt; 0.9: 0", "data-series=\"austen, q8\"", "<a href=\"needle.csv\">", "caramba script needle.rhai", "Depth"]
    {
        assert!(page.contains(part), "{part} is not on the page");
    }
}

/// Two of one type keep their files, tables and charts apart, in a manifest, beside a benchmark made of prompts.
#[test]
fn two_of_one_type_are_kept_apart() {
    let prompts = "benchmark:\n  id: prompts\n  data:\n  - {id: a, prompt: \"It is a truth\", max_tokens: 4, validation: {type: max_tokens, limit: 4}}\n  - {id: b, prompt: \"She was\", max_tokens: 4, validation: {type: max_tokens, limit: 4}}\n";
    let text = manifest(
        "benchmarks:\n- {id: early, config: {type: needle, depths: [0.1, 0.2], context: 96}, models: [teacher, student]}\n- {id: late, config: {type: needle, \
         depths: [0.8, 0.9], context: 96}, models: [teacher, student]}\n- {id: prompts, config: {type: custom, file: prompts.yml}, models: [teacher, \
         student]}\nthresholds: [\"student.late.found <= 1\"]",
    );
    let directory = directory(&[("m.yml", &text), ("needle.rhai", &needle()), ("prompts.yml", prompts)]);
    let (code, told) = run(directory.path(), &["m.yml"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("Found (early)") && told.contains("Found (late)"), "{told}");
    assert!(told.lines().all(|line| line.chars().count() <= 80 || in_passing(line) || line.contains("artifacts/")), "{told}");
    let found = artifacts(directory.path(), "m");
    let depths = |file: &str| rows(&found, file).iter().map(|row| row["depth"].clone()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(depths("early.csv").into_iter().collect::<Vec<_>>(), ["0.1", "0.2"]);
    assert_eq!(depths("late.csv").into_iter().collect::<Vec<_>>(), ["0.8", "0.9"]);
    assert_eq!((rows(&found, "needle.csv").len(), rows(&found, "prompts.csv").len()), (16, 4));
    let text = |file: &str| std::fs::read_to_string(found.join(file)).unwrap();
    assert!(text("early.svg").contains("data-x=\"0.1\"") && !text("early.svg").contains("data-x=\"0.9\""));
    assert!(text("late.svg").contains("data-x=\"0.9\"") && !text("late.svg").contains("data-x=\"0.1\""));
    for label in ["tab:early", "tab:late", "tab:prompts"] {
        assert!(text("tables.tex").contains(&format!("\\label{{{label}}}")), "{label}");
    }
    // Teacher before student in every file.
    for file in ["needle.csv", "prompts.csv"] {
        let models: Vec<String> = rows(&found, file).iter().map(|row| row["model"].clone()).collect();
        assert_eq!((models.first(), models.last()), (Some(&"teacher".to_owned()), Some(&"student".to_owned())), "{file}");
    }
}

/// What one machine has timed does not stand beside what another has: a merge keeps tables, headlines and charts of each.
#[test]
fn timings_of_unlike_devices_are_kept_apart() {
    let text = manifest(
        "benchmarks:\n- {id: l, config: {type: latency, prompt_lengths: [8, 16], generation_lengths: [4], timed_runs: 3, max_runs: 3, warmup_runs: 1}, \
         models: [teacher, student]}\n- {id: m, config: {type: memory, sequence_lengths: [32, 64]}, models: [teacher, student]}",
    );
    let directory = directory(&[("m.yml", &text)]);
    let mut shards = Vec::new();
    for shard in ["1/2", "2/2"] {
        let output = format!("shard{}", &shard[..1]);
        let (_, told) = run(directory.path(), &["run", "m.yml", "--shard", shard, "--output", &output]);
        let path = std::fs::read_dir(directory.path().join(&output)).unwrap_or_else(|_| panic!("{told}")).next().unwrap().unwrap().path();
        shards.push(path);
    }
    // As a second machine would have written it: another host, another device. Each has one of the two lengths.
    let (mut here, mut there) = (String::new(), String::new());
    for path in &shards {
        for line in std::fs::read_to_string(path.join("cells.jsonl")).unwrap().lines() {
            let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
            if record["form"] == "rounds" && record["rows"][0]["prompt_len"] == 8 {
                record["host"] = "other".into();
                record["device"]["name"] = "Other GPU".into();
                there += &format!("{record}\n");
            } else {
                here += &format!("{record}\n");
            }
        }
    }
    assert!(there.lines().count() == 1 && here.lines().count() == 5, "{here}\n{there}");
    std::fs::write(shards[0].join("cells.jsonl"), here).unwrap();
    std::fs::write(shards[1].join("cells.jsonl"), there).unwrap();
    let paths: Vec<String> = shards.iter().map(|path| path.display().to_string()).collect();
    let (code, told) = run(directory.path(), &["merge", &paths[0], &paths[1], "--output", "merged"]);
    assert!(code == 0 || code == 3, "{told}");
    assert!(
        told.contains("Other GPU") && told.contains("Throughput (tok/s) (l_place_1)") && told.contains("Throughput (tok/s) (l_place_2)"),
        "{told}"
    );
    let merged = std::fs::read_dir(directory.path().join("merged")).unwrap().next().unwrap().unwrap().path();
    let tables = std::fs::read_to_string(merged.join("tables.tex")).unwrap();
    for (label, length, other) in [("tab:l_place_1", " & 16 & ", " & 8 & "), ("tab:l_place_2", " & 8 & ", " & 16 & ")] {
        let table = tables
            .split(&format!("\\label{{{label}}}"))
            .nth(1)
            .unwrap_or_else(|| panic!("{label}: {tables}"))
            .split("\\end{")
            .next()
            .unwrap();
        let (mine, theirs) = if table.contains(length) { (length, other) } else { (other, length) };
        assert!(table.contains(mine) && !table.contains(theirs), "{table}");
    }
    // What does not depend on the device is one table.
    assert_eq!(tables.matches("\\label{tab:m}").count(), 1);
    assert!(merged.join("latency_vs_context.svg").is_file() && merged.join("latency_vs_context_l_place_2.svg").is_file());
    let page = std::fs::read_to_string(merged.join("report.html")).unwrap();
    assert!(page.contains("Other GPU") && page.contains("l_place_2"));
}
