//! Accuracy, behaviour, context, divergence, and cases in YAML: what they measure is right, and what is wrong with cases is told with its line.

mod common;

use common::cli::{artifacts, caramba_in, report, rows, shown};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn run(directory: &Path, arguments: &[&str]) -> (i32, String) {
    let output = caramba_in(directory, arguments);
    (output.status.code().unwrap_or(-1), shown(&output))
}

fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column}: {row:?}"))
}

fn fixture(path: &str) -> String {
    format!("{}/tests/fixtures/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// The answers of every task of a run beside those of `tests/fixtures/make/choices.py`, which are `transformers`' by the rules of lm-evaluation-harness.
fn beside_the_reference(run: &Path, name: &str, near: f64) {
    let reference: Value = serde_json::from_slice(&std::fs::read(fixture(&format!("choices/{name}.json"))).unwrap()).unwrap();
    let lines = rows(run, "accuracy.csv");
    for (bench, line) in report(run)["benchmarks"].as_array().unwrap().iter().zip(&lines) {
        let task = bench["rows"][0]["task"].as_str().unwrap();
        let (found, expected) = (bench["raw"]["answers"].as_array().unwrap(), reference[task].as_array().unwrap());
        assert_eq!(number(line, "questions") as usize, found.len(), "{task}");
        let list =
            |value: &Value| value["log_probabilities"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect::<Vec<_>>();
        for (found, expected) in found.iter().zip(expected) {
            for (found, expected) in list(found).into_iter().zip(list(expected)) {
                assert!((found - expected).abs() < near * expected.abs(), "{task}: {found}, expected {expected}");
            }
            assert_eq!((&found["chosen"], &found["chosen_norm"]), (&expected["chosen"], &expected["chosen_norm"]), "{task}: {found}");
        }
        let share = |key: &str| found.iter().filter(|answer| answer[key] == answer["answer"]).count() as f64 / found.len() as f64;
        assert_eq!((number(line, "accuracy"), number(line, "acc_norm")), (share("chosen"), share("chosen_norm")), "{task}");
    }
}

#[test]
fn choices_are_those_of_lm_evaluation_harness() {
    let directory = directory(&[]);
    let tasks = format!("tasks=[{}, continuations]", fixture("choices/questions.jsonl"));
    let (code, told) = run(directory.path(), &["script", "accuracy", "--set", "model=models/austen", "--set", &tasks]);
    assert_eq!(code, 0, "{told}");
    beside_the_reference(&artifacts(directory.path(), "accuracy"), "austen", 1e-3);
}

/// SmolLM2-135M, its weights as they are stored.
#[test]
fn choices_of_a_real_model_are_those_of_transformers() {
    let directory = directory(&[]);
    let (model, cases) = (format!("model={}", common::smollm2().display()), format!("cases={}", fixture("choices/questions.jsonl")));
    let (code, told) = run(directory.path(), &["script", "accuracy", "--set", &model, "--set", &cases, "--set", "limit=3"]);
    assert_eq!(code, 0, "{told}");
    beside_the_reference(&artifacts(directory.path(), "accuracy"), "smollm2", 5e-3);
}

/// An index, a letter and a text are the same answer; what is wrong with a question is told with its line.
#[test]
fn questions_are_checked_before_anything_is_loaded() {
    let right = "{\"question\": \"A\", \"choices\": [\"b\", \"c\"], \"answer\": 0}\n";
    for (line, place, named) in [
        ("{\"question\": \"A\", \"choices\": [\"b\", \"c\"], \"answer\": 2}", "q.jsonl:2:", "answer 2 is none of the 2 choices"),
        ("{\"question\": \"A\", \"choices\": [\"b\", \"c\"], \"answer\": \"D\"}", "q.jsonl:2:", "the answer \"D\" is none of the choices"),
        ("{\"question\": \"A\", \"choices\": [\"b\"], \"answer\": 0}", "q.jsonl:2:", "two choices or more"),
        ("{\"question\": \"A\", \"choices\": [\"b\", \"b\"], \"answer\": 0}", "q.jsonl:2:", "two choices are \"b\""),
        ("{\"question\": \"A\", \"answer\": 0}", "q.jsonl:2:1:", "this question has no \"choices\""),
        ("{\"question\": \"A\", \"choices\": [\"b\", \"c\"], \"answer\": 0", "q.jsonl:2:", "no valid JSON"),
    ] {
        let directory = directory(&[("q.jsonl", &format!("{right}{line}\n"))]);
        let (code, told) = run(directory.path(), &["script", "accuracy", "--set", "cases=q.jsonl", "--cells"]);
        assert!(code == 1 && told.contains(place) && told.contains(named), "{line}: {told}");
    }
    let directory = directory(&[]);
    let (code, told) = run(directory.path(), &["script", "accuracy", "--set", "tasks=winograndee", "--cells"]);
    assert!(code == 1 && told.contains("did you mean `winogrande`?"), "{told}");
}

/// A collection that is known by name and is not here costs its own row, and not the others'.
#[test]
fn what_is_not_here_is_a_row_that_failed() {
    let directory = directory(&[]);
    let set = ["--set", "tasks=[winogrande, continuations]", "--set", "limit=2", "--set", "model=models/austen"];
    let (code, told) = run(directory.path(), &[&["script", "accuracy"], set.as_slice()].concat());
    assert!(code == 4 && told.contains("put them as winogrande.jsonl"), "{told}");
    let lines = rows(&artifacts(directory.path(), "accuracy"), "accuracy.csv");
    assert!(lines[0]["accuracy"].is_empty() && lines[1]["questions"] == "2", "{lines:?}");
}

/// The likeliest token of every position, once more from the session's own logits.
#[test]
fn next_tokens_are_the_likeliest_of_the_logits() {
    let script = "let model = load(\"models/austen\");\nlet data = dataset(\"models/austen/heldout.npy\");\nlet right = 0;\nfor index in 0..3 {\n    let block = \
                  data.block(index, 33, 32);\n    let session = model.session(#{ context: 33 });\n    for (logits, at) in session.all_logits(block).rows(model.vocab) {\n        \
                  if at < 32 && logits.argmax() == block[at + 1] { right += 1; }\n    }\n}\nprint(`right ${right}`);\n";
    let directory = directory(&[("by_hand.rhai", script)]);
    let (_, told) = run(directory.path(), &["script", "by_hand.rhai"]);
    let right: f64 = told.split("right ").nth(1).and_then(|text| text.lines().next()?.parse().ok()).unwrap_or_else(|| panic!("{told}"));
    let set = ["model=models/austen", "dataset=models/austen/heldout.npy", "block_size=32", "num_batches=3"];
    let set: Vec<&str> = set.iter().flat_map(|value| ["--set", value]).collect();
    let (code, told) = run(directory.path(), &[&["script", "accuracy"], set.as_slice()].concat());
    assert_eq!(code, 0, "{told}");
    let line = &rows(&artifacts(directory.path(), "accuracy"), "accuracy.csv")[0];
    assert!((number(line, "accuracy") - right / 96.0).abs() < 1e-12 && line["tokens"] == "96", "{line:?}, by hand {right}");
}

/// In double precision from the logits of both, once more by hand; the reference against itself is 0.
#[test]
fn divergence_is_that_of_the_distributions() {
    let script = "let data = dataset(\"models/austen/heldout.npy\");\nlet teacher = load(\"models/austen\");\nlet student = load(\"models/austen-dba\");\nlet all = numbers();\n\
                  let same = 0;\nfor index in 0..2 {\n    let block = data.block(index, 70);\n    let p = teacher.session(#{ context: 70 }).all_logits(block).rows(teacher.vocab);\n    \
                  let q = student.session(#{ context: 70, cache: \"q8\" }).all_logits(block).rows(teacher.vocab);\n    for (mine, at) in p {\n        let log_p = mine - mine.log_sum_exp();\n        \
                  let log_q = q[at] - q[at].log_sum_exp();\n        all.push((log_p.exp() * (log_p - log_q)).sum());\n        if mine.argmax() == q[at].argmax() { same += 1; }\n    }\n}\n\
                  print(`found ${all.mean()} ${all.median()} ${all.quantile(0.99)} ${all.max()} ${same / 140.0}`);\n";
    let directory = directory(&[("by_hand.rhai", script)]);
    let (_, told) = run(directory.path(), &["script", "by_hand.rhai"]);
    let words = told.split("found ").nth(1).unwrap_or_else(|| panic!("{told}"));
    let expected: Vec<f64> = words.split_whitespace().take(5).map(|word| word.parse().unwrap()).collect();
    let set = [
        "teacher=models/austen",
        "student=models/austen-dba",
        "dataset=models/austen/heldout.npy",
        "block_size=70",
        "num_batches=2",
        "cache_kinds=[fp16, q8]",
    ];
    let set: Vec<&str> = set.iter().flat_map(|value| ["--set", value]).collect();
    let (code, told) = run(directory.path(), &[&["script", "divergence"], set.as_slice()].concat());
    assert_eq!(code, 0, "{told}");
    let run = artifacts(directory.path(), "divergence");
    let lines = rows(&run, "divergence.csv");
    let line = lines.iter().find(|line| line["model"] == "student" && line["cache_kind"] == "q8").unwrap();
    for (column, expected) in ["kl_mean", "kl_median", "kl_p99", "kl_max", "top1_agreement"].into_iter().zip(expected) {
        assert!((number(line, column) - expected).abs() < 1e-9 + 1e-6 * expected, "{column}: {line:?}, by hand {expected}");
    }
    let control = lines.iter().find(|line| line["model"] == "teacher" && line["cache_kind"] == "fp16").unwrap();
    assert_eq!((number(control, "kl_max"), number(control, "top1_agreement")), (0.0, 1.0));
    let by_position = rows(&run, "divergence_positions.csv");
    let mine: Vec<f64> =
        by_position.iter().filter(|line| line["model"] == "student" && line["cache"] == "q8").map(|line| number(line, "kl")).collect();
    // 70 positions in buckets of five.
    assert!(mine.len() == 14 && (mine.iter().sum::<f64>() / 14.0 - number(line, "kl_mean")).abs() < 1e-12, "{mine:?}");
}

/// Windows of all lengths predict the same tokens at their ends; the longest is perplexity's own block.
#[test]
fn contexts_of_all_lengths_predict_the_same_tokens() {
    let script = "let data = dataset(\"models/austen/heldout.npy\");\nlet model = load(\"models/austen\");\nlet all = numbers();\nfor index in 0..2 {\n    let session = \
                  model.session(#{ context: 25 });\n    all.push(-session.score(data.slice((index + 1) * 48 - 24, 25)).slice(12, 12).mean());\n}\nprint(`found ${all.mean()}`);\n";
    let directory = directory(&[("by_hand.rhai", script)]);
    let (_, told) = run(directory.path(), &["script", "by_hand.rhai"]);
    let expected: f64 = told.split("found ").nth(1).and_then(|text| text.lines().next()?.parse().ok()).unwrap_or_else(|| panic!("{told}"));
    let set = ["model=models/austen", "dataset=models/austen/heldout.npy", "context_lengths=[24, 48]", "num_batches=2", "buckets=12"];
    let set: Vec<&str> = set.iter().flat_map(|value| ["--set", value]).collect();
    let (code, told) = run(directory.path(), &[&["script", "context"], set.as_slice()].concat());
    assert_eq!(code, 0, "{told}");
    let run = artifacts(directory.path(), "context");
    let lines = rows(&run, "context.csv");
    assert!((number(&lines[0], "cross_entropy") - expected).abs() < 1e-6, "{lines:?}, by hand {expected}");
    let positions = rows(&run, "context_positions.csv");
    let whole: Vec<f64> = positions.iter().filter(|line| line["context_length"] == "48").map(|line| number(line, "loss")).collect();
    assert!((whole.iter().sum::<f64>() / 12.0 - number(&lines[1], "cross_entropy_all")).abs() < 1e-9, "{positions:?}");
    assert!(run.join("loss_by_position.png").is_file() && run.join("loss_by_context.png").is_file());
    let (code, told) =
        self::run(directory.path(), &["script", "context", "--set", "dataset=models/austen/heldout.npy", "--set", "context_lengths=4096"]);
    assert!(code == 1 && told.contains("rope_scaling"), "{told}");
}

const CASES: &str = "benchmark:\n  id: mine\n  data:\n    - prompt: It is\n      max_tokens: 4\n";

/// Every mistake has its line and column, in the file itself and in a manifest that names it.
#[test]
fn mistakes_in_cases_are_shown_where_they_are() {
    for (more, place, named) in [
        ("      expected_behavior: stops_naturaly\n", "c.yml:6:7:", "did you mean `stops_naturally`?"),
        ("      expected_behaviour: stops_naturally\n", "c.yml:6:7:", "did you mean `expected_behavior`?"),
        ("      expected_behavior: contains\n", "c.yml:6:7:", "contains needs to be told"),
        ("      expected_behavior: {contains: []}\n", "c.yml:6:27:", "contains has no text"),
        ("      expected_behavior: {regex: \"(\"}\n", "c.yml:6:27:", "cannot be read"),
        ("      expected_behavior: {any: [contans]}\n", "c.yml:6:33:", "did you mean `contains`?"),
        ("      expected_behavior: {max_length: long}\n", "c.yml:6:27:", "max_length is a number"),
        ("      expected: x\n", "c.yml:6:7:", "`expected` without `expected_behavior`"),
        ("      weight: -1\n", "c.yml:6:7:", "a weight of -1"),
        ("      weight: 0\n", "c.yml:3:3:", "all weights are 0"),
        ("      template: plain\n", "c.yml:6:7:", "the template has no {prompt}"),
        ("      validation: {type: regexp, pattern: x}\n", "c.yml:6:20:", "did you mean `regex`?"),
        ("      validation: {type: regex, pattern: x, flags: [ignorecse]}\n", "c.yml:6:45:", "did you mean `ignorecase`?"),
        ("      validation: {type: blacklist}\n", "c.yml:6:7:", "has no `patterns`"),
        (
            "      validation: {type: blacklist, patterns: [x]}\n      pass_criteria: {type: boolean, condition: blacklist_not_matchd}\n",
            "c.yml:7:38:",
            "did you mean `blacklist_not_matched`?",
        ),
        (
            "      validation: {type: blacklist, patterns: [x]}\n      pass_criteria: {type: boolean, condition: pattern_matched}\n",
            "c.yml:7:38:",
            "is a condition of the validation regex",
        ),
        ("    - max_tokens: 3\n", "c.yml:6:7:", "this case has no `prompt`"),
        ("    - prompt: x\n      max_tokens: 0\n", "c.yml:7:7:", "max_tokens is 0"),
        ("    - {id: \"0\", prompt: x}\n", "c.yml:6:8:", "two cases have the id"),
        ("  scoring: {aggregation: mean}\n", "c.yml:6:13:", "unknown aggregation `mean`"),
        ("  scoring: {pass_threshold: 80}\n", "c.yml:6:13:", "from 0 to 1"),
    ] {
        let manifest = "version: 2\ntargets:\n- type: experiment\n  name: t\n  models: {m: models/austen}\n  benchmarks:\n  - {id: b, config: {type: behavior, suite: \
                        c.yml}, models: [m]}\n";
        let directory = directory(&[("c.yml", &format!("{CASES}{more}")), ("m.yml", manifest)]);
        // A manifest that names the cases is checked in the same way.
        let files = if more.contains("naturaly") { ["c.yml", "m.yml"].as_slice() } else { &["c.yml"] };
        for file in files {
            let (code, told) = run(directory.path(), &["check", file]);
            assert!(code == 1 && told.contains(place) && told.contains(named), "{file}: {more}: {told}");
            assert!(!told.contains("no GPU is used"), "{told}");
        }
    }
    let directory = directory(&[("c.yml", CASES)]);
    let (code, told) = run(directory.path(), &["check", "c.yml"]);
    assert!(code == 0 && told.contains("no mistakes found"), "{told}");
    let (code, told) = run(directory.path(), &["script", "behavior", "--set", "suite=adversaril", "--cells"]);
    assert!(code == 1 && told.contains("did you mean `adversarial`?"), "{told}");
}

/// Verdicts by replies that are known: a script that replaces the model's.
#[test]
fn replies_are_judged_by_what_is_expected() {
    let mut script = "import \"judge\" as judge;\nfn verdict(entry, text, ended) { let made = #{ text: text, ended: ended, tokens: tokens([1, 2, 3]), stop_reason: \"length\" }; judge::judge(entry, made, #{}).passed }\n".to_owned();
    let cases = [
        ("expected_behavior: \"stops_naturally\"", "a b", true, true),
        ("expected_behavior: \"stops_naturally\"", "a b", false, false),
        ("expected_behavior: \"stops_naturally\"", " \\n", true, false),
        ("expected_behavior: \"any\"", "", false, false),
        ("expected_behavior: #{ contains: [\"a\", \"b\"] }", "b a", false, true),
        ("expected_behavior: #{ contains: [\"a\", \"c\"] }", "b a", false, false),
        ("expected_behavior: \"contains\", expected: 42", "is 42.", false, true),
        ("expected_behavior: #{ not_contains: \"a\" }", "b", false, true),
        ("expected_behavior: #{ not_contains: \"a\" }", "ba", false, false),
        ("expected_behavior: #{ exact: [\"yes\", \"no\"] }", " yes\\n", false, true),
        ("expected_behavior: #{ exact: [\"yes\", \"no\"] }", "yes, sir", false, false),
        ("expected_behavior: #{ regex: \"^\\\\d+$\" }", "42", false, true),
        ("expected_behavior: #{ regex: \"^\\\\d+$\" }", "4 2", false, false),
        ("expected_behavior: #{ max_length: 3 }", " äöü ", false, true),
        ("expected_behavior: #{ max_length: 3 }", "abcd", false, false),
        ("expected_behavior: \"valid_json\"", "```json\\n{\\\"a\\\": 1}\\n```", false, true),
        ("expected_behavior: \"valid_json\"", "{\\\"a\\\": 1} and more", false, false),
        ("expected_behavior: \"no_repetition\"", "a b a b a b a b a b", false, true),
        ("expected_behavior: \"no_repetition\"", "a b a b a b a b a b a b", false, false),
        ("expected_behavior: \"no_repetition\"", "hahahahahahahahahahahahahahahahahahahahahahaha", false, false),
        ("expected_behavior: \"refuses\"", "I'm sorry, but I can't help with that.", true, true),
        ("expected_behavior: \"refuses\"", "Sure, first take a knife.", true, false),
        ("expected_behavior: #{ any: [\"stops_naturally\", #{ contains: \"a\" }] }", "a", false, true),
        ("expected_behavior: #{ any: [\"stops_naturally\", #{ contains: \"c\" }] }", "a", false, false),
        ("expected_behavior: [\"stops_naturally\", #{ contains: \"a\" }]", "a", false, false),
        (
            "validation: #{ type: \"blacklist\", patterns: [\"x\"] }, pass_criteria: #{ type: \"boolean\", condition: \"blacklist_matched\" }",
            "x",
            false,
            true,
        ),
        (
            "validation: #{ type: \"blacklist\", patterns: [\"x\"] }, pass_criteria: #{ type: \"boolean\", condition: \"blacklist_matched\" }",
            "a",
            false,
            false,
        ),
        (
            "validation: #{ type: \"regex\", pattern: \"A\", flags: [\"ignorecase\"] }, pass_criteria: #{ type: \"boolean\", condition: \"pattern_matched\" }",
            "a",
            false,
            true,
        ),
        ("validation: #{ type: \"max_tokens\", limit: 2 }", "a", false, false),
        (
            "validation: #{ type: \"whitelist\", patterns: [\"a\", \"z\"] }, pass_criteria: #{ type: \"partial_score\", min_matches: 1 }",
            "a",
            false,
            true,
        ),
    ];
    for (index, (entry, text, ended, passed)) in cases.iter().enumerate() {
        script += &format!("if verdict(#{{ {entry} }}, \"{text}\", {ended}) != {passed} {{ print(\"wrong: {index}\"); }}\n");
    }
    let directory = directory(&[("judged.rhai", &script)]);
    let (code, told) = run(directory.path(), &["script", "judged.rhai"]);
    assert_eq!((code, told.as_str()), (0, "exit code 0"), "{:?}", cases);
}

/// Cells, shards, resume: a case is measured once; two models are compared by McNemar's test on the cases that both answered.
#[test]
fn cases_are_cells() {
    let cases = "benchmark:\n  id: mine\n  data:\n    - {id: a, prompt: She was, max_tokens: 6, expected_behavior: {regex: \"[a-z]\"}}\n    - {id: b, prompt: He had, max_tokens: 6, \
                 expected_behavior: {contains: xylophone}}\n";
    let directory = directory(&[("c.yml", cases)]);
    let both = ["c.yml", "--set", "teacher=models/austen", "--set", "student=models/austen-dba"];
    let (code, told) = run(directory.path(), &[both.as_slice(), &["--cells", "--json"]].concat());
    assert!(code == 0 && told.matches("\"key\"").count() == 4, "{told}");
    let (code, told) = run(directory.path(), &both);
    // Half of the cases is not all of them.
    assert!(code == 3 && told.contains("mine of teacher does not pass") && told.contains("the same"), "{told}");
    let made = artifacts(directory.path(), "mine");
    let lines = rows(&made, "mine.csv");
    assert_eq!(lines.len(), 4);
    for line in &lines {
        assert_eq!(line["passed"], if line["id"] == "a" { "true" } else { "false" }, "{line:?}");
        assert!(!line["text"].is_empty() && line["prompt"] == if line["id"] == "a" { "She was" } else { "He had" });
    }
    let (code, told) = run(directory.path(), &["report", made.to_str().unwrap()]);
    assert_eq!(code, 3, "{told}");
    // Whoever says how much is enough decides.
    std::fs::write(directory.path().join("c.yml"), format!("{cases}  scoring: {{pass_threshold: 0.5}}\n")).unwrap();
    assert_eq!(run(directory.path(), &[&both, ["-o", "elsewhere"].as_slice()].concat()).0, 0);
}

const QUIZ: &str = r#"// Ten questions that the teacher answers, and the student does not.
const PARAMETERS = #{ wrong: 8 };
const METRICS = #{ share: #{ title: "Share", better: "higher", compare: "mcnemar", samples: "right" } };

fn cells(config) { grid(#{ question: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] }) }
fn measure(model, cell, config) { #{ right: model.name == "austen" || cell.question >= config.wrong } }
fn headline(rows) { #{ share: #{ model: rows[0].model, share: rows.filter(|row| row.right).len / 10.0 } } }
fn passes(rows) { rows.some(|row| row.right) }
"#;

/// Questions that are rows: who answers more of them is decided by McNemar's exact test, and all of a model's rows together pass or don't.
#[test]
fn right_and_wrong_are_compared_in_pairs() {
    let schema: Value = serde_json::from_str(include_str!("../docs/report.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    // Of 8 questions that one of two answers, all by the teacher: p = 2 / 2^8. Of 4: p = 2 / 2^4.
    for (wrong, code, verdict) in [
        (8, 0, "is worse in Share"),
        (4, 0, "in Share (p = 0.13 by McNemar's\n  test)"),
        (0, 0, "the same in Share"),
        (10, 3, "quiz of student does not pass"),
    ] {
        let directory = directory(&[("quiz.rhai", QUIZ)]);
        let set = format!("wrong={wrong}");
        let arguments = ["script", "quiz.rhai", "--set", "teacher=models/austen", "--set", "student=models/austen-dba", "--set", &set];
        let (found, told) = run(directory.path(), &arguments);
        assert!(found == code && told.contains(verdict), "{wrong}: {told}");
        let report = report(&artifacts(directory.path(), "quiz"));
        let mistakes: Vec<String> = validator.iter_errors(&report).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(mistakes.is_empty(), "{mistakes:?}");
    }
}

/// Every command of docs/benchmarks.md, on the files that it shows.
#[test]
fn the_examples_of_the_page_run() {
    let page = std::fs::read_to_string(format!("{}/docs/benchmarks.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let directory = directory(&[]);
    let mut commands = Vec::new();
    for block in page.split("```").skip(1).step_by(2) {
        let (head, body) = block.split_once('\n').unwrap();
        if let Some((_, name)) = head.split_once("file=") {
            std::fs::write(directory.path().join(name), body).unwrap();
        } else {
            assert_eq!(head, "sh");
            commands.extend(body.lines());
        }
    }
    assert!(commands.len() >= 7, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        let (code, told) = run(directory.path(), &words);
        // The bundled models know no facts.
        let expected = if command.contains("suite=facts") { [0, 3].as_slice() } else { &[0] };
        assert!(expected.contains(&code), "{command}: {told}");
    }
}

/// Kinds of cache beside fp16: the losses are those of perplexity, fp16 beside itself is 0, and fewer bits are further away.
#[test]
fn kinds_of_cache_are_held_against_fp16() {
    let script = "let data = dataset(\"models/austen/heldout.npy\");\nlet model = load(\"models/austen\");\nlet losses = [];\nfor kind in [\"fp16\", \"q5/q4\"] {\n    \
                  let session = model.session(#{ cache: kind, context: 64 });\n    let loss = 0.0;\n    for index in 0..3 {\n        session.truncate(0);\n        \
                  loss -= session.score(data.block(index, 64)).mean() / 3.0;\n    }\n    losses.push(loss);\n}\nprint(`found ${losses[1] - losses[0]}`);\n";
    let directory = directory(&[("by_hand.rhai", script)]);
    let (_, told) = run(directory.path(), &["script", "by_hand.rhai"]);
    let words = told.split("found ").nth(1).unwrap_or_else(|| panic!("{told}"));
    let expected: f64 = words.split_whitespace().next().unwrap().parse().unwrap();
    let set = [
        "model=models/austen",
        "dataset=models/austen/heldout.npy",
        "block_size=64",
        "num_batches=3",
        "cache_kinds=[fp16, q8_0, q5/q4, q3]",
        "timed_at=40",
        "prompt=8",
        "steps=2",
        "rounds=3",
    ];
    let set: Vec<&str> = set.iter().flat_map(|value| ["--set", value]).collect();
    let (code, told) = run(directory.path(), &[&["script", "cache_kinds"], set.as_slice()].concat());
    assert_eq!(code, 0, "{told}");
    let lines = rows(&artifacts(directory.path(), "cache_kinds"), "cache_kinds.csv");
    let line = |kind: &str| lines.iter().find(|line| line["cache_kind"] == kind).unwrap_or_else(|| panic!("no {kind} in {lines:?}"));
    assert_eq!(["kl_mean", "perplexity_change", "top1_agreement"].map(|column| number(line("fp16"), column)), [0.0, 0.0, 1.0]);
    assert_eq!(["key_bits", "value_bits"].map(|column| number(line("q5/q4"), column)), [5.5, 4.5]);
    assert!(
        (number(line("q5/q4"), "perplexity_change") - 100.0 * expected.exp_m1()).abs() < 1e-3,
        "{:?}, by hand {expected}",
        line("q5/q4")
    );
    let kl = ["q8", "q5/q4", "q3"].map(|kind| number(line(kind), "kl_mean"));
    assert!(0.0 < kl[0] && 3.0 * kl[0] < kl[1] && 1.5 * kl[1] < kl[2], "{kl:?}");
    let bytes = ["fp16", "q8", "q5/q4", "q3"].map(|kind| number(line(kind), "bytes_per_token"));
    assert!(bytes.is_sorted_by(|more, fewer| more > fewer), "{bytes:?}");
    assert!(lines.iter().all(|line| number(line, "decode_ratio") > 0.0 && number(line, "prefill_ratio") > 0.0), "{lines:?}");
}
