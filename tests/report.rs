//! The page of a run, and what else is made of its rows.

mod common;

use common::cli::{artifacts, caramba_in, rows, shown};
use common::runs::{Started, directory, partial, run, until};
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
    let mut started = Started::new(directory.path(), &["script", "slowly.rhai"]);
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
    assert!(std::fs::read_to_string(found.join("tables.tex")).unwrap().contains("score & 0.250"));
    assert!(std::fs::read_to_string(found.join("report.html")).unwrap().contains("score"));
}
