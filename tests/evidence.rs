//! What a run says is what it has measured: sentences, comparisons, checks, statuses.

mod common;

use common::cli::{artifacts, report, rows};
use common::runs::{EMITS, OWN, PERPLEXITY, directory, everything, flat, manifest, number, run};
use serde_json::Value;
use std::path::Path;

#[test]
fn captions_say_what_was_measured() {
    let directory = directory(&[]);
    let short = [
        "quantization_modes=[q8]",
        "prompt_lengths=[16]",
        "generation_lengths=[4]",
        "sequence_lengths=[32]",
        "block_size=48",
        "num_batches=3",
        "warmup_runs=0",
        "timed_runs=3",
        "checks=[]",
    ];
    let set: Vec<&str> = short.iter().flat_map(|value| ["--set", value]).collect();
    let (_, told) = run(directory.path(), &[&["script", "full_paper.rhai"], set.as_slice()].concat());
    let run = artifacts(directory.path(), "full_paper");
    let tables = std::fs::read_to_string(run.join("tables.tex")).unwrap();
    for text in [&told, &tables] {
        assert!(text.contains("q8 cache") && !text.contains("fp16") && !text.contains("q4"), "{text}");
        // 2048 elements a token in blocks of 34 bytes for 32; what an fp16 cache would take was not measured.
        assert!(text.contains("2176") && !text.contains("4096"), "{text}");
    }
}

/// `../shared/cases/evidence/mixed.yml`: three benchmarks, three kinds of cache.
#[test]
fn each_headline_has_its_own_conditions() {
    let text = manifest(&format!(
        "benchmarks:\n- {{id: p, config: {{{PERPLEXITY}, cache_kind: q8}}, models: [teacher, student]}}\n- {{id: l, config: {{type: latency, \
         prompt_lengths: [16, 32], generation_lengths: [4], timed_runs: 3, max_runs: 3, warmup_runs: 1, cache_kind: q4_0}}, models: [teacher, \
         student]}}\n- {{id: m, config: {{type: memory, sequence_lengths: [64], quantization_modes: [f16]}}, models: [teacher, student]}}"
    ));
    let directory = directory(&[("m.yml", &text)]);
    let (code, told) = run(directory.path(), &["m.yml"]);
    // Whether the student is accepted is a matter of speed, too, and of three blocks.
    assert!(code == 0 || code == 3, "{code} {told}");
    for line in [
        "Perplexity: q8 cache, blocks of 64, on heldout.npy.",
        "Throughput (tok/s): prompt of 32, 4 generated, q4 cache.",
        "KV-Cache (MB), Peak memory (MB), KV-Cache (bytes/tok): 64 tokens, fp16 cache.",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let run = artifacts(directory.path(), "m");
    // One name for a kind in every file.
    assert!(rows(&run, "latency.csv").iter().all(|row| row["cache_kind"] == "q4"));
    assert!(rows(&run, "memory.csv").iter().all(|row| row["quantization"] == "fp16"));
    assert!(!told.contains("saves"), "{told}");
}

/// `../shared/cases/evidence/mixed2.yml`: the teacher with another prompt and cache than the student.
#[test]
fn unlike_is_not_compared_with_like() {
    let latency = "type: latency, generation_lengths: [4], timed_runs: 3, max_runs: 3, warmup_runs: 1";
    let text = manifest(&format!(
        "benchmarks:\n- {{id: l, config: {{{latency}, prompt_lengths: [64]}}, models: [teacher]}}\n- {{id: l2, config: {{{latency}, \
         prompt_lengths: [16], cache_kind: q8}}, models: [student]}}"
    ));
    let directory = directory(&[("m.yml", &text)]);
    let (code, told) = run(directory.path(), &["m.yml"]);
    assert_eq!(code, 3, "{told}");
    assert!(flat(&told).contains("not comparable: fp16 against q8 cache, prompt of 64 against 16"), "{told}");
    assert!(!told.contains("pass ") && !told.contains("2.0"), "{told}");
    let report = report(&artifacts(directory.path(), "m"));
    assert_eq!(report["checklist"][0]["passed"], Value::Null);
    assert_eq!(report["summary"]["ratios"]["student"].as_object().unwrap().keys().collect::<Vec<_>>(), ["to"]);
    // A table of nothing is no table.
    assert!(!std::fs::read_to_string(artifacts(directory.path(), "m").join("tables.tex")).unwrap().contains("tab:acceptance"));
}

/// Arms take turns, one is measured twice, and nothing is claimed below what those two differ by.
#[test]
fn arms_are_sampled_in_rounds() {
    let text = manifest(
        "benchmarks:\n- {id: l, config: {type: latency, prompt_lengths: [16], generation_lengths: [4], timed_runs: 4, max_runs: 6, cache_kinds: \
         [fp16, q8]}, models: [teacher, student]}",
    );
    let directory = directory(&[("m.yml", &text)]);
    run(directory.path(), &["m.yml"]);
    let report = report(&artifacts(directory.path(), "m"));
    let record = &report["benchmarks"][0];
    let arms = record["raw"]["arms"].as_array().unwrap();
    let named = |arm: &Value| (arm["model"].clone(), arm["cell"]["cache_kind"].clone(), arm["twin"].clone());
    let expected = [
        ("teacher", "fp16", false),
        ("teacher", "q8", false),
        ("student", "fp16", false),
        ("student", "q8", false),
        ("teacher", "fp16", true),
    ];
    assert_eq!(arms.iter().map(named).collect::<Vec<_>>(), expected.map(|(model, kind, twin)| (model.into(), kind.into(), twin.into())));
    let rounds = record["raw"]["rounds"].as_u64().unwrap() as usize;
    assert!((4..=6).contains(&rounds), "{rounds}");
    for arm in arms {
        assert_eq!(arm["samples"]["tokens_per_sec"].as_array().unwrap().len(), rounds);
        assert!(arm["warmup"].as_u64().unwrap() >= 3, "{arm}");
    }
    // The ratio in the report is the geometric mean of the rounds' own ratios (there are fewer than ten).
    let speeds = |index: usize| arms[index]["samples"]["tokens_per_sec"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap());
    let expected = (speeds(2).zip(speeds(0)).map(|(student, teacher)| (student / teacher).ln()).sum::<f64>() / rounds as f64).exp();
    let found = report["summary"]["ratios"]["student"]["tokens_per_sec"].as_f64().unwrap();
    assert!((found / expected - 1.0).abs() < 1e-9, "{found} is not {expected}");
    assert_eq!(report["summary"]["controls"].as_array().unwrap().iter().filter(|control| control["metric"] == "tokens_per_sec").count(), 1);
    // A row agrees with itself.
    for row in rows(&artifacts(directory.path(), "m"), "latency.csv") {
        let speed = number(&row, "gen_len") * 1000.0 / (number(&row, "prefill_ms") + number(&row, "decode_ms"));
        assert!((speed / number(&row, "tokens_per_sec") - 1.0).abs() < 1e-12, "{row:?}");
    }
}

/// A timing of one's own has all of it without a line: how often is a parameter that it need not declare.
#[test]
fn a_timing_of_ones_own() {
    let text = "const PARAMETERS = #{ tokens: [4, 8] };\nconst ARMS = [\"tokens\"];\nfn cells(config) { grid(#{ tokens: config.tokens }) }\nfn prepare(model, cell) { model.session(#{ context: 32 }) }\nfn sample(session, cell) {\n    session.truncate(0);\n    session.prefill([1, 2, 3]);\n    let clock = timer();\n    session.decode(cell.tokens);\n    #{ ms: clock.ms() }\n}\nfn derive(row) { row.per_token = row.ms / row.tokens; row }\n";
    let directory = directory(&[("own.rhai", text)]);
    let set = ["--set", "timed_runs=3", "--set", "max_runs=3", "--set", "repeats=2", "--set", "thresholds=[austen.ms > 0]"];
    let (code, told) = run(directory.path(), &[&["script", "own.rhai"], &set[..]].concat());
    assert_eq!(code, 0, "{told}");
    assert!(flat(&told).contains("austen, beside its tokens 4"), "{told}");
    let run = artifacts(directory.path(), "own");
    let found = rows(&run, "own.csv");
    assert_eq!(
        found.iter().map(|row| (row["tokens"].as_str(), row["repeat"].as_str(), row["runs"].as_str())).collect::<Vec<_>>(),
        [("4", "1", "3"), ("8", "1", "3"), ("4", "2", "3"), ("8", "2", "3")]
    );
    // Repeats are averaged first, and what follows from them after that.
    let ms = (number(&found[0], "ms") + number(&found[2], "ms")) / 2.0;
    let models = &report(&run)["summary"]["models"]["austen"];
    let near = |key: &str, value: f64| assert!((models[key].as_f64().unwrap() / value - 1.0).abs() < 1e-12, "{key}: {models}");
    near("ms", ms);
    near("per_token", ms / 4.0);
}

/// What runs in a session is compiled when it is made: nothing of it is in anybody's timing.
#[test]
fn a_session_is_ready_when_it_is_there() {
    let text = "let model = load(\"models/austen\");\nfor kind in [\"fp16\", \"q8\", \"q4\"] {\n    let session = model.session(#{ cache: kind, context: 64 });\n    let made = device().kernels.made;\n    session.prefill(model.tokenize(\"It is\"));\n    session.generate(#{ max_tokens: 4 });\n    assert(device().kernels.made == made, kind);\n}\n";
    let directory = directory(&[("a.rhai", text)]);
    let (code, told) = run(directory.path(), &["script", "a.rhai"]);
    assert_eq!(code, 0, "{told}");
}

#[test]
fn samples_are_compared_in_pairs() {
    let text = manifest(&format!(
        "benchmarks:\n- {{id: p, config: {{{PERPLEXITY}, cache_kinds: [fp16, q8]}}, models: [teacher, student], repeats: 2}}\nthresholds: \
         [\"student.perplexity < 100\"]"
    ));
    let text = text.replace("num_batches: 3", "num_batches: 8");
    let directory = directory(&[("m.yml", &text)]);
    let (code, told) = run(directory.path(), &["m.yml"]);
    let run = artifacts(directory.path(), "m");
    let report = report(&run);
    let arm = &report["summary"]["arms"].as_array().unwrap()[0];
    assert_eq!((&arm["model"], &arm["arm"], &arm["against"]), (&"teacher".into(), &"q8 cache".into(), &"fp16 cache".into()));
    let float = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{value}"));
    let width = float(&arm["high"]) - float(&arm["low"]);
    // What the two have in common is most of what each of them varies by.
    let row = &rows(&run, "perplexity.csv")[0];
    let alone = (number(row, "perplexity_high") - number(row, "perplexity_low")) / number(row, "perplexity");
    assert!(width < alone / 20.0, "{width} and {alone}");
    // Two decimals at least, and as many of a ratio as its interval deserves.
    let whole = float(&report["summary"]["models"]["teacher"]["perplexity"]);
    assert!(told.contains(&format!("{whole:.2}")) && code == 0, "{code} {told}");
    assert_eq!(rows(&run, "perplexity.csv").len(), 8);
}

/// Every report is of the published form.
#[test]
fn reports_keep_to_their_schema() {
    let schema: Value = serde_json::from_str(include_str!("../docs/report.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let broken = manifest("benchmarks:\n- {id: emits, config: {type: emits}, models: [student]}");
    for (text, status) in [(everything(), 0), (broken, 4)] {
        let directory = directory(&[("m.yml", &text), ("own.rhai", OWN), ("emits.rhai", EMITS)]);
        let (code, told) = run(directory.path(), &["m.yml"]);
        assert_eq!(code, status, "{told}");
        let report = report(&artifacts(directory.path(), "m"));
        let mistakes: Vec<String> = validator.iter_errors(&report).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(mistakes.is_empty(), "{}", mistakes.join("\n").chars().take(2000).collect::<String>());
    }
}

/// `../shared/cases/evidence/checkpoint.yml`, and a script beside the manifest that stands in for a built-in one.
#[test]
fn results_name_what_measured_them() {
    let latency = "const PARAMETERS = #{};\nfn measure(model, cell, config) { #{ speed: 1.0 } }\n";
    let text = manifest(&format!(
        "benchmarks:\n- {{id: p, config: {{{PERPLEXITY}, checkpoint: models/austen}}, models: [student]}}\n- {{id: l, config: {{type: latency}}, \
         models: [student]}}"
    ));
    let directory = directory(&[("m.yml", &text), ("latency.rhai", latency)]);
    let (_, told) = run(directory.path(), &["m.yml"]);
    assert!(told.contains("latency.rhai is used in place of the built-in benchmark latency"), "{told}");
    // The checkpoint is the teacher's: what was measured is named so.
    assert!(told.lines().any(|line| line.starts_with("Perplexity") && line.contains(" -")), "{told}");
    let report = report(&artifacts(directory.path(), "m"));
    let of = |id: &str| report["benchmarks"].as_array().unwrap().iter().find(|record| record["id"] == id).unwrap().clone();
    let sha256 = |path: &str| {
        caramba::model::Model::open(Path::new(path), &caramba::model::OpenOptions::default()).unwrap().hashes().unwrap()[0].sha256.clone()
    };
    let teacher = concat!(env!("CARGO_MANIFEST_DIR"), "/models/austen");
    let measured = &of("p")["subjects"]["teacher"];
    let files: Vec<&str> = measured["files"].as_array().unwrap().iter().map(|file| file["sha256"].as_str().unwrap()).collect();
    assert!(files.contains(&sha256(teacher).as_str()), "{measured}");
    assert_eq!(measured["bytes_per_token"]["fp16"], 4096);
    // The dataset, too, and the script.
    assert!(of("p")["opened"][0]["path"].as_str().unwrap().ends_with("heldout.npy"), "{}", of("p")["opened"]);
    let script = &of("l")["script"];
    assert_eq!((&script["origin"], &script["replaces"]), (&"file".into(), &true.into()));
    assert_eq!(of("p")["script"]["origin"], "bundled");
    for key in ["began", "ended", "host", "load_before", "load_after", "device", "kernels"] {
        assert!(!of("p")[key].is_null() || key.starts_with("load"), "{key}");
    }
}

#[test]
fn two_benchmarks_of_one_type_are_told_apart() {
    let text = manifest(&format!(
        "benchmarks:\n- {{id: ppl_a, config: {{{PERPLEXITY}}}, models: [teacher, student]}}\n- {{id: ppl_b, config: {{{PERPLEXITY}, stride: 32}}, \
         models: [teacher, student]}}\nthresholds: [\"student.ppl_b.perplexity < 100\", \"student.perplexity < 100\"]"
    ));
    let directory = directory(&[("m.yml", &text)]);
    let (code, told) = run(directory.path(), &["m.yml"]);
    assert_eq!(code, 3, "{told}");
    assert!(told.contains("Perplexity (ppl_a)") && told.contains("Perplexity (ppl_b)"), "{told}");
    assert!(flat(&told).contains("measured by ppl_a and ppl_b: say which"), "{told}");
    let run = artifacts(directory.path(), "m");
    for (file, stride) in [("ppl_a.csv", "64"), ("ppl_b.csv", "32")] {
        let found = rows(&run, file);
        assert!(found.len() == 2 && found.iter().all(|row| row["stride"] == stride), "{found:?}");
    }
    let all: Vec<String> = rows(&run, "perplexity.csv").iter().map(|row| row["benchmark"].clone()).collect();
    assert_eq!(all, ["ppl_a", "ppl_a", "ppl_b", "ppl_b"]);
    let tables = std::fs::read_to_string(run.join("tables.tex")).unwrap();
    assert!(tables.contains("tab:ppl_a") || tables.contains(r"tab:ppl\_a"), "{tables}");
}

/// Everything that would have been found after hours: each with what the message must name.
#[test]
fn mistakes_are_told_before_anything_is_measured() {
    let yaml = |regex: &str, aggregation: &str| {
        format!(
            "benchmark:\n  id: c\n  scoring: {{aggregation: {aggregation}}}\n  data:\n  - {{prompt: a, validation: {{type: regex, pattern: '{regex}'}}}}\n"
        )
    };
    let whole =
        |target: &str| format!("version: 2\ntargets:\n- type: experiment\n  name: t\n  runs: [{{id: r, command: touch ran}}]\n{target}");
    let of = |benchmark: &str| {
        whole(&format!(
            "  models: {{student: models/austen-dba, teacher: models/austen}}\n  benchmarks:\n  - {{id: b, config: {{{benchmark}}}, models: [student]}}\n"
        ))
    };
    let model = |model: &str| {
        whole(&format!(
            "  models: {{student: {model}}}\n  benchmarks:\n  - {{id: b, config: {{type: memory, sequence_lengths: [16]}}, models: [student]}}\n"
        ))
    };
    let data = "dataset: models/austen/heldout.npy";
    for (text, place, named) in [
        (of(&format!("type: perplexity, {data}, block_size: 64, cache_kind: q9")), "m.yml:8:", "unknown cache kind `q9`"),
        (of("type: perplexity, dataset: nowhere.npy, block_size: 64"), "", "nowhere.npy"),
        (of(&format!("type: perplexity, {data}, block_size: 4096")), "m.yml:8:", "longer than the context of austen-dba, 2048"),
        (of("type: latency, prompt_lengths: [2000], generation_lengths: [64]"), "m.yml:8:", "more than the context of austen-dba, 2048"),
        (of("type: latency, prompt_lengths: [], generation_lengths: [64]"), "m.yml:8:", "prompt_lengths is empty"),
        (of("type: memory, sequence_lengths: [0]"), "m.yml:8:", "a text of 0 tokens holds nothing"),
        (of("type: memory, sequence_lengths: [16], quantization_modes: [fp8]"), "m.yml:8:", "unknown cache kind `fp8`"),
        (of("type: custom, file: regex.yml"), "", "regex.yml:"),
        (of("type: custom, file: aggregation.yml"), "", "unknown aggregation `mean`"),
        (of("type: perplexty"), "m.yml:8:", "there is no benchmark of type `perplexty`"),
        (model("{path: models/austen-dba, weights: q9}"), "m.yml:6:", "unknown kind of weights `q9`"),
        (model("{path: models/austen-dba, wieghts: q8}"), "m.yml:6:", "unknown model option `wieghts`"),
        (model("models/austin"), "m.yml:6:", "there is no model at models/austin"),
        (
            of(&format!("type: perplexity, {data}, block_size: 64"))
                + "  verify: {type: compare, dataset: models/austen/heldout.npy, logits: {max_mean: 1}}\n",
            "m.yml:9:",
            "unknown threshold \"max_mean\" of logits",
        ),
        (
            of(&format!("type: perplexity, {data}, block_size: 64")) + "  verify: {type: eval, cases: cases.yml}\n",
            "",
            "case 1 is of the unknown kind \"chioce\"",
        ),
        (
            of(&format!("type: perplexity, {data}, block_size: 64")) + "  thresholds: [\"student.perplexity / teachr.perplexity < 2\"]\n",
            "m.yml:9:",
            "unknown model `teachr`",
        ),
        (
            of(&format!("type: perplexity, {data}, block_size: 64")) + "  thresholds: [\"student.perplexity\"]\n",
            "m.yml:9:",
            "has 0 comparisons",
        ),
        // `../shared/cases/evidence/run_key.yml`
        (
            of(&format!("type: perplexity, {data}, block_size: 64")).replace("command: touch ran", "command: touch ran, checkpiont: out"),
            "m.yml:5:",
            "did you mean `checkpoint`?",
        ),
    ] {
        let files = [
            ("m.yml", text.as_str()),
            ("regex.yml", &yaml("(", "all_pass")),
            ("aggregation.yml", &yaml("a", "mean")),
            ("cases.yml", "- {kind: chioce, prompt: a, answer: b}\n"),
        ];
        let directory = directory(&files);
        for arguments in [&["check", "m.yml"][..], &["run", "m.yml", "--dry-run"], &["run", "m.yml"]] {
            let (code, told) = run(directory.path(), arguments);
            assert_eq!(code, 1, "{arguments:?}: {told}\n{text}");
            assert!(told.contains(named) && told.contains(&format!("error: {place}")), "{arguments:?}: {told}\n{text}");
        }
        assert!(!directory.path().join("ran").exists() && !directory.path().join("artifacts").exists(), "{text}");
    }
}

#[test]
fn the_status_says_how_it_ended() {
    let own = [("own.rhai", OWN)];
    let status = |files: &[(&str, &str)], arguments: &[&str]| run(directory(files).path(), arguments);
    // `../shared/cases/evidence/verify_only.yml`
    let verify = manifest("verify:\n- {type: kvcache, min_reduction_ratio: 1.5}");
    assert_eq!(status(&[("m.yml", &verify)], &["m.yml"]).0, 0);
    assert_eq!(status(&[("m.yml", &verify.replace("1.5", "3.5"))], &["m.yml"]).0, 3);
    let threshold =
        |text: &str| manifest(&format!("benchmarks: [{{id: own, config: {{type: own}}, models: [student]}}]\nthresholds: [\"{text}\"]"));
    assert_eq!(status(&[own[0], ("m.yml", &threshold("student.score < 3.5"))], &["m.yml"]).0, 0);
    assert_eq!(status(&[own[0], ("m.yml", &threshold("student.score < 2.5"))], &["m.yml"]).0, 3);
    // Without samples a threshold is not passed.
    let (code, told) = status(&[own[0], ("m.yml", &threshold("student.spede < 2.5"))], &["m.yml"]);
    assert!(code == 3 && told.contains("not measured: student.spede"), "{told}");
    let (code, told) = status(&own, &["script", "own.rhai", "--set", "steps=[]"]);
    assert!(code == 1 && told.contains("steps is empty: own would measure nothing"), "{told}");
    // Said, and not passed over.
    let (code, told) = status(&own, &["script", "own.rhai"]);
    assert!(code == 0 && told.contains("no model is given: the bundled one, austen, is measured"), "{told}");
    let swallows = OWN.replace("slow: false", "slow: false, model: \"\"");
    let (code, told) = status(&[("own.rhai", &swallows)], &["script", "own.rhai", "--set", "model=models/austen"]);
    assert!(code == 1 && told.contains("its parameter `model` has the name of what is measured"), "{told}");
    let forgets = "import \"artifacts\" as artifacts;\nlet paper = artifacts::begin(\"forgets\");\npaper.add(\"m\", #{ benchmark_id: \"b\", rows: [#{ a: 1 }] });\n";
    let (code, told) = status(&[("a.rhai", forgets)], &["script", "a.rhai"]);
    assert!(code == 1 && told.contains("its run was not finished"), "{told}");
    let yaml = "benchmark:\n  id: c\n  data: [{prompt: It is, max_tokens: 4, validation: {type: whitelist, patterns: [xylophone]}}]\n";
    let (code, told) = status(&[("c.yml", yaml)], &["script", "custom.rhai", "--set", "file=c.yml"]);
    assert!(code == 3 && told.contains("does not pass"), "{told}");
}

/// Of times that scatter, the rate of the mean time is not the mean of the rates: its interval is around what is said.
#[test]
fn what_is_derived_lies_in_its_interval() {
    let directory = tempfile::tempdir().unwrap();
    let script = "const PARAMETERS = #{ lengths: [1, 2] };\nfn cells(config) { grid(#{ length: config.lengths }) }\nfn prepare(model, cell, config) { rng(7) }\n\
        fn sample(state, cell, config) { #{ ms: if state.uniform() < 0.3 { 100.0 } else { 5.0 + state.uniform() } } }\nfn derive(row) { row.rate = 1000.0 / row.ms; row }\n";
    std::fs::write(directory.path().join("noisy.rhai"), script).unwrap();
    let output = common::cli::caramba_in(
        directory.path(),
        &["script", "noisy.rhai", "--set", "model=models/austen", "--set", "timed_runs=10", "--set", "max_runs=12"],
    );
    assert!(output.status.success(), "{}", common::cli::shown(&output));
    let rows = common::cli::rows(&common::cli::artifacts(directory.path(), "noisy"), "noisy.csv");
    assert_eq!(rows.len(), 2);
    for row in rows {
        let value = |name: &str| row[name].parse::<f64>().unwrap_or_else(|_| panic!("{name} is {}", row[name]));
        let (rate, low, high) = (value("rate"), value("rate_low"), value("rate_high"));
        assert!(low < rate && rate < high, "{rate} is not in [{low}, {high}]");
        assert!((rate - 1000.0 / value("ms")).abs() < 1e-9 * rate, "the row does not agree with itself");
    }
}
