//! What a run has measured is not lost: failures, kills, shards, full disks; and two runs can be compared.

mod common;

use common::cli::{artifacts, report, rows};
use common::runs::{EMITS, OWN, Started, directory, everything, manifest, partial, run, until, untimed};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_failure_is_a_row_and_the_others_go_on() {
    let text = manifest(
        "benchmarks:\n- {id: emits, config: {type: emits}, models: [student]}\n- {id: own, config: {type: own}, models: [teacher, student], \
         repeats: 2}\nthresholds: [\"student.score > 1\"]",
    );
    let directory = directory(&[("m.yml", &text), ("own.rhai", OWN), ("emits.rhai", EMITS), ("broken", "")]);
    let (code, told) = run(directory.path(), &["m.yml"]);
    assert_eq!(code, 4, "{told}");
    let first = artifacts(directory.path(), "m");
    let own = rows(&first, "own.csv");
    assert_eq!(own.len(), 12);
    for row in &own {
        assert_eq!(row["error"].contains("it broke at two"), row["step"] == "2", "{row:?}");
    }
    // What was handed over before the failure is kept, and the failure is a row.
    let emitted = rows(&first, "emits.csv");
    assert_eq!(emitted.iter().map(|row| row["row"].as_str()).collect::<Vec<_>>(), ["1", "2", ""]);
    assert!(emitted[2]["error"].contains("the third one fails"), "{emitted:?}");

    // What has failed is measured again, and nothing else.
    std::fs::remove_file(directory.path().join("broken")).unwrap();
    let journal = std::fs::read_to_string(first.join("cells.jsonl")).unwrap();
    let (code, told) = run(directory.path(), &["m.yml", "--resume", &first.display().to_string()]);
    assert_eq!(code, 4, "emits still fails: {told}");
    let now = std::fs::read_to_string(first.join("cells.jsonl")).unwrap();
    let cells = |text: &str| text.lines().filter(|line| line.contains("\"id\":\"own\"")).count();
    assert_eq!((cells(&journal), cells(&now)), (12, 16));
    assert!(rows(&first, "own.csv").iter().all(|row| row["error"].is_empty()));
    assert_eq!(rows(&first, "own.csv").len(), 12);
    // Chart, table, headline and threshold of a benchmark that says nothing of them.
    assert!(first.join("own.png").is_file() && std::fs::read_to_string(first.join("tables.tex")).unwrap().contains("tab:own"));
    let report = report(&first);
    assert_eq!((&report["checklist"][0]["value"], &report["checklist"][0]["passed"]), (&3.0.into(), &true.into()));
}

#[test]
fn what_has_changed_is_not_mixed() {
    let text = manifest("benchmarks:\n- {id: own, config: {type: own}, models: [student]}\n");
    let directory = directory(&[("m.yml", &text), ("own.rhai", OWN), ("broken", "")]);
    let (code, _) = run(directory.path(), &["m.yml"]);
    assert_eq!(code, 4);
    let first = artifacts(directory.path(), "m").display().to_string();
    std::fs::write(directory.path().join("own.rhai"), format!("{OWN}\n// changed\n")).unwrap();
    let (code, told) = run(directory.path(), &["m.yml", "--resume", &first]);
    assert_eq!(code, 1);
    assert!(told.contains("something has changed: the script") && told.contains("0 of its 3 units would be the same"), "{told}");
    std::fs::write(directory.path().join("own.rhai"), OWN).unwrap();
    std::fs::write(directory.path().join("m.yml"), text.replace("{type: own}", "{type: own, steps: [1, 2]}")).unwrap();
    let (code, told) = run(directory.path(), &["m.yml", "--resume", &first]);
    assert!(code == 1 && told.contains("the manifest; the parameters of own"), "{told}");
}

#[cfg(unix)]
#[test]
fn signals_are_heard_and_have_their_status() {
    let bootstrap = "let values = numbers();\nfor index in 0..200 { values.push(index * 1.0); }\nwrite_text(\"begun\", \"\");\nloop { values.bootstrap(#{ of: \"median\", resamples: 10000000 }); }";
    for (name, text) in [
        ("sleep", "write_text(\"begun\", \"\");\nsleep(60);".to_owned()),
        ("loop", "write_text(\"begun\", \"\");\nloop { }".to_owned()),
        ("bootstrap", bootstrap.to_owned()),
    ] {
        for (signal, status) in [("INT", 130), ("TERM", 143)] {
            let directory = directory(&[("a.rhai", &text)]);
            let mut started = Started::new(directory.path(), &["script", "a.rhai", "--allow-write", "."]);
            until(name, || directory.path().join("begun").exists());
            let asked = Instant::now();
            started.signal(signal);
            assert_eq!(started.status(), status, "{name}, {signal}");
            assert!(asked.elapsed() < Duration::from_millis(1500), "{name}, {signal}: {:?}", asked.elapsed());
        }
    }
}

#[test]
fn many_at_once_have_directories_of_their_own() {
    let directory = directory(&[("own.rhai", OWN)]);
    let mut all: Vec<Started> = (0..8).map(|_| Started::new(directory.path(), &["script", "own.rhai"])).collect();
    assert!(all.iter_mut().all(|started| started.status() == 0));
    let finished = std::fs::read_dir(directory.path().join("artifacts")).unwrap().map(|entry| entry.unwrap().path());
    let complete = finished.filter(|path| rows(path, "own.csv").len() == 3 && path.join("report.json").is_file());
    assert_eq!(complete.count(), 8);
}

/// Killed at random moments and gone on with, a run has the rows that it has undisturbed: none lost, none doubled. `CARAMBA_KILLS=20` kills more often.
#[cfg(unix)]
#[test]
fn a_killed_run_is_gone_on_with() {
    let kills: u64 = std::env::var("CARAMBA_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let files = [("m.yml", everything()), ("own.rhai", OWN.to_owned())];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let quiet = directory(&files);
    let (code, told) = run(quiet.path(), &["m.yml"]);
    assert_eq!(code, 0, "{told}");
    let expected = untimed(&artifacts(quiet.path(), "m"));

    let disturbed = directory(&files);
    let mut done = 0;
    for kill in 0..kills {
        let resume = partial(disturbed.path()).map(|path| path.display().to_string());
        let mut arguments = vec!["run", "m.yml"];
        arguments.extend(resume.iter().flat_map(|path| ["--resume", path.as_str()]));
        let mut started = Started::new(disturbed.path(), &arguments);
        // A little later each time, at moments that nobody has chosen.
        let lines = || {
            partial(disturbed.path())
                .map_or(0, |path| std::fs::read_to_string(path.join("cells.jsonl")).unwrap_or_default().lines().count())
        };
        until("a unit is measured", || lines() > done || started.0.try_wait().unwrap().is_some());
        std::thread::sleep(Duration::from_millis(37 * (kill * 7 % 11)));
        let _ = started.0.kill();
        let _ = started.status();
        done = lines();
        if partial(disturbed.path()).is_none() {
            break;
        }
    }
    if let Some(path) = partial(disturbed.path()) {
        // Whatever rows there are make a report: a whole one where the last kill came after the last unit.
        let (code, told) = run(disturbed.path(), &["report", &path.display().to_string()]);
        if code != 0 {
            assert!(code == 4 && told.contains("units are not measured yet"), "{code}: {told}");
            let (code, told) = run(disturbed.path(), &["run", "m.yml", "--resume", &path.display().to_string()]);
            assert_eq!(code, 0, "{told}");
        }
    }
    assert_eq!(untimed(&artifacts(disturbed.path(), "m")), expected);
}

#[cfg(unix)]
#[test]
fn ctrl_c_says_how_to_go_on() {
    let text = manifest("benchmarks: [{id: own, config: {type: own, slow: true}, models: [student]}]");
    let directory = directory(&[("m.yml", &text), ("own.rhai", &OWN.replace("if config.slow", "if config.slow && cell.step > 1"))]);
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("caramba"));
    let child = command.current_dir(directory.path()).args(["run", "m.yml"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Started(child);
    until("the first cell", || partial(directory.path()).is_some_and(|path| path.join("own.csv").is_file()));
    started.signal("INT");
    let mut started = started;
    let output = {
        let mut text = String::new();
        std::io::Read::read_to_string(started.0.stderr.as_mut().unwrap(), &mut text).unwrap();
        text
    };
    assert_eq!(started.status(), 130);
    let path = partial(directory.path()).unwrap();
    assert!(output.contains("go on with: caramba run m.yml --resume artifacts/m_"), "{output}");
    assert_eq!(rows(&path, "own.csv").len(), 1);
}

#[test]
fn shards_make_one_run() {
    let files = [("m.yml", everything()), ("own.rhai", OWN.to_owned())];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let directory = directory(&files);
    let (code, listed) = run(directory.path(), &["run", "m.yml", "--cells", "--json"]);
    assert_eq!(code, 0, "{listed}");
    let cells: Vec<Value> = listed.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!directory.path().join("artifacts").exists());
    let (code, told) = run(directory.path(), &["m.yml"]);
    assert_eq!(code, 0, "{told}");
    let expected = untimed(&artifacts(directory.path(), "m"));
    let mut shards = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let output = format!("shards/{}", &shard[..1]);
        let (code, told) = run(directory.path(), &["run", "m.yml", "--shard", shard, "--output", &output]);
        assert_eq!(code, 0, "{told}");
        let path = std::fs::read_dir(directory.path().join(&output)).unwrap().next().unwrap().unwrap().path();
        shards.push(path.display().to_string());
    }
    let measured: usize =
        shards.iter().map(|path| std::fs::read_to_string(Path::new(path).join("cells.jsonl")).unwrap().lines().count()).sum();
    assert_eq!(measured, cells.len());
    let merge = |shards: &[&str], output: &str| run(directory.path(), &[&["merge"], shards, &["--output", output]].concat());
    let all: Vec<&str> = shards.iter().map(String::as_str).collect();
    let (code, told) = merge(&all, "merged");
    assert_eq!(code, 0, "{told}");
    let merged = std::fs::read_dir(directory.path().join("merged")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(untimed(&merged), expected);
    // One missing, one doubled, one of another plan.
    let (code, told) = merge(&all[..2], "missing");
    assert!(code == 4 && told.contains("warning: missing: ") && told.contains("units are not measured yet"), "{told}");
    let (code, told) = merge(&[all[0], all[1], all[0]], "doubled");
    assert!(code == 1 && told.contains("a unit is there twice"), "{told}");
    std::fs::write(directory.path().join("m.yml"), everything().replace("num_batches: 3", "num_batches: 4")).unwrap();
    run(directory.path(), &["run", "m.yml", "--shard", "3/3", "--output", "shards/other"]);
    let other = std::fs::read_dir(directory.path().join("shards/other")).unwrap().next().unwrap().unwrap().path();
    let (code, told) = merge(&[all[0], all[1], &other.display().to_string()], "unlike");
    assert!(code == 1 && told.contains("is no shard of the same run") && told.contains("the parameters of p"), "{told}");

    // Two runs side by side: the same samples, and timings within their noise.
    let first = artifacts(directory.path(), "m").display().to_string();
    let (code, told) = run(directory.path(), &["compare", &first, &merged.display().to_string(), "--output", "compared"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.lines().any(|line| line.starts_with("p ") && line.ends_with("the same")), "{told}");
    assert!(told.contains(" numbers compared; "), "{told}");
    let compared = std::fs::read_dir(directory.path().join("compared")).unwrap().next().unwrap().unwrap().path();
    assert!(compared.join("compare.csv").is_file() && compared.join("compare.png").is_file());
}

/// A regression is found, and ends without success where that was asked for.
#[test]
fn a_regression_is_found() {
    let own = "const PARAMETERS = #{};\nconst METRICS = #{ loss: #{ better: \"lower\", compare: \"log\", samples: \"losses\" } };\nfn measure(model, cell, config) {\n    let worse = if exists(\"worse\") { 0.01 } else { 0.0 };\n    let losses = numbers([3.0 + worse, 3.5 + worse * 1.1, 2.5 + worse * 0.9, 4.0 + worse]);\n    #{ loss: losses.mean().exp(), raw: #{ losses: losses } }\n}\n";
    let directory = directory(&[("own.rhai", own)]);
    run(directory.path(), &["script", "own.rhai", "--output", "a"]);
    std::fs::write(directory.path().join("worse"), "").unwrap();
    run(directory.path(), &["script", "own.rhai", "--output", "b"]);
    let only =
        |parent: &str| std::fs::read_dir(directory.path().join(parent)).unwrap().next().unwrap().unwrap().path().display().to_string();
    let (a, b) = (only("a"), only("b"));
    let (code, told) = run(directory.path(), &["compare", &a, &b, "--fail-on-regression"]);
    assert!(code == 3 && told.contains("worse") && told.contains("1 have become worse"), "{told}");
    assert_eq!(run(directory.path(), &["compare", &a, &b]).0, 0);
    assert_eq!(run(directory.path(), &["compare", &b, &a, "--fail-on-regression"]).0, 0);
    // A file of one name with another content is another measurement.
    let set = ["script", "own.rhai", "--set", "data=words.txt", "--output"];
    std::fs::write(directory.path().join("own.rhai"), own.replace("PARAMETERS = #{}", "PARAMETERS = #{ data: \"\" }")).unwrap();
    for (text, parent) in [("one", "c"), ("two", "d")] {
        std::fs::write(directory.path().join("words.txt"), text).unwrap();
        run(directory.path(), &[&set[..], &[parent]].concat());
    }
    let (code, told) = run(directory.path(), &["compare", &only("c"), &only("d")]);
    assert!(code == 1 && told.contains("own: the runs had other files, so it is not compared"), "{told}");
}

/// A full disk ends a run with a sentence, and once there is room the run is gone on with.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing() {
    let files = [("m.yml", everything()), ("own.rhai", OWN.to_owned())];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let directory = directory(&files);
    let small = directory.path().join("artifacts");
    std::fs::create_dir(&small).unwrap();
    let mounted =
        |options: &str| Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&small).stderr(Stdio::null()).status();
    if !mounted("size=64k").is_ok_and(|status| status.success()) {
        println!("a small disk can be made by root only");
        return;
    }
    let (code, told) = run(directory.path(), &["m.yml"]);
    let again = mounted("remount,size=16m").unwrap().success();
    let path = partial(directory.path());
    let resumed = path.as_ref().map(|path| run(directory.path(), &["m.yml", "--resume", &path.display().to_string()]));
    let found = path.as_ref().map(|_| untimed(&artifacts(directory.path(), "m")));
    let _ = Command::new("umount").arg(&small).status();
    assert!(code == 1 && told.contains("free some space"), "{code}: {told}");
    assert!(again && resumed.as_ref().is_some_and(|(code, _)| *code == 0), "{resumed:?}");
    let quiet = undisturbed(&files);
    assert_eq!(found.unwrap(), quiet);
}

#[cfg(target_os = "linux")]
fn undisturbed(files: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
    let quiet = directory(files);
    run(quiet.path(), &["m.yml"]);
    untimed(&artifacts(quiet.path(), "m"))
}
