//! Choosing kernels by measuring, and the scripts that measure the device, as a user meets them.

use assert_cmd::Command;
use std::path::Path;

/// The program, with a folder of its own for what it learns.
fn caramba(cache: &Path) -> Command {
    let mut command = Command::cargo_bin("caramba").unwrap();
    command.env("CARAMBA_CACHE", cache).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

fn output(command: &mut Command) -> String {
    let output = command.assert().success().get_output().stdout.clone();
    String::from_utf8(output).unwrap()
}

#[test]
fn measured_kernels_say_the_same_and_are_remembered() {
    let cache = tempfile::tempdir().unwrap();
    let text = |kernels: &str| {
        let arguments = ["generate", "models/austen", "It was a truth", "--max-tokens", "12", "--kernels", kernels];
        output(caramba(cache.path()).args(arguments))
    };
    let by_rule = text("rule");
    assert!(!output(caramba(cache.path()).arg("devices")).contains("measured, in"), "nothing was measured yet");
    assert_eq!(text("measure"), by_rule);
    let arguments = ["generate", "models/austen", "It was a truth", "--max-tokens", "2", "--kernels", "measure"];
    let said = caramba(cache.path()).args(arguments).assert().success().get_output().stderr.clone();
    assert!(String::from_utf8(said).unwrap().contains("measuring which kernels are fastest on "));

    let files = || std::fs::read_dir(cache.path()).unwrap().map(|entry| entry.unwrap().path());
    let file = files().find(|path| path.extension().is_some_and(|extension| extension == "json")).expect("a file of forms");
    let shown = output(caramba(cache.path()).arg("devices"));
    assert!(
        shown.contains(&format!("measured, in {}", file.display()))
            && shown.contains(", 1 token ")
            && shown.contains("attention decode fp16/fp16, "),
        "{shown}"
    );
    // What was measured is taken, from any place.
    let elsewhere = cache.path().join("elsewhere.json");
    std::fs::copy(&file, &elsewhere).unwrap();
    assert_eq!(text(elsewhere.to_str().unwrap()), by_rule);
    // Forms that cannot be made here, and what is no form at all, are passed over.
    let mut facts: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for (index, fact) in facts.as_object_mut().unwrap().values_mut().enumerate() {
        match index % 3 {
            0 => fact["form"] = serde_json::json!({ "shape": "tiles", "tokens": 4, "lane_rows": 4, "workgroup": 7 }),
            1 => fact["form"]["workgroup"] = 1_000_000.into(),
            _ => *fact = "fast".into(),
        }
    }
    std::fs::write(&elsewhere, facts.to_string()).unwrap();
    assert_eq!(text(elsewhere.to_str().unwrap()), by_rule);
}

#[test]
fn a_file_of_forms_has_to_be_one() {
    let cache = tempfile::tempdir().unwrap();
    let broken = cache.path().join("broken.json");
    std::fs::write(&broken, "{\"product\": ").unwrap();
    for (file, expected) in [
        ("measured", "measured: there is no such file of kernel forms"),
        (broken.to_str().unwrap(), "broken.json: this is no file of kernel forms: EOF"),
    ] {
        let arguments = ["generate", "models/austen", "It", "--kernels", file];
        let output = caramba(cache.path()).args(arguments).assert().failure().get_output().clone();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn the_roofline_has_a_row_for_each_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let set = [format!("output={}", folder.path().display()), "samples=1".into(), "prompt_len=16".into(), "read_bytes=4194304".into()];
    let shown = output(caramba(folder.path()).args(["script", "roofline.rhai"]).args(set.iter().flat_map(|set| ["--set", set])));
    assert!(shown.contains("Reading memory") && shown.contains("A token takes"), "{shown}");
    let run = only_run(folder.path(), "roofline_");
    let mut rows = csv::Reader::from_path(run.join("roofline.csv")).unwrap();
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    for (phase, kernel) in [("prefill", "qkv"), ("prefill", "attention"), ("decode", "down"), ("decode", "head")] {
        let row = rows.iter().find(|row| &row[0] == phase && &row[1] == kernel).expect(kernel);
        assert!(row[3].parse::<f64>().unwrap() > 0.0, "{row:?}");
        // What is a product has a rate; attention has none.
        assert_eq!(row[5].is_empty(), kernel == "attention", "{row:?}");
    }
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(run.join("roofline.json")).unwrap()).unwrap();
    assert!(report["roofs"]["read_bytes_per_s"].as_f64().unwrap() > 1e6);
    assert!(report["roofs"]["f32_madds_per_s"].as_f64().unwrap() > 1e6);
    assert!(run.join("roofline.png").is_file() && run.join("roofline.tex").is_file());
}

#[test]
fn a_sweep_has_a_row_for_each_combination() {
    let folder = tempfile::tempdir().unwrap();
    let set = [
        format!("output={}", folder.path().display()),
        "samples=1".into(),
        "gen_len=2".into(),
        "weights=[stored]".into(),
        "cache_kinds=[fp16, q4]".into(),
        "contexts=[8, 24]".into(),
        "batch_sizes=[1, 2]".into(),
    ];
    let shown = output(caramba(folder.path()).args(["script", "sweep.rhai"]).args(set.iter().flat_map(|set| ["--set", set])));
    let mut rows = csv::Reader::from_path(only_run(folder.path(), "sweep_").join("sweep.csv")).unwrap();
    let combinations: Vec<String> = rows.records().map(|row| row.unwrap().iter().skip(1).take(3).collect::<Vec<_>>().join(" ")).collect();
    let expected = ["fp16 8 1", "fp16 8 2", "fp16 24 1", "fp16 24 2", "q4 8 1", "q4 8 2", "q4 24 1", "q4 24 2"];
    assert_eq!(combinations, expected, "{shown}");
}

fn only_run(folder: &Path, start: &str) -> std::path::PathBuf {
    let named = |path: &std::path::PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
    let mut runs = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(named);
    let run = runs.next().expect("a run directory");
    assert!(runs.next().is_none(), "one run, one directory");
    run
}
