//! A new user's way, as `docs/first_benchmark.md` tells it: every command of the page is run, in its order.

mod common;

use common::cli::{caramba_in, shown};
use std::path::Path;

/// A piece of the page: what stands behind the three backticks, and what is between.
fn pieces(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(head) = line.strip_prefix("```") {
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            found.push((head.to_owned(), body.join("\n") + "\n"));
        }
    }
    found
}

/// `s/from/to/` of every line.
fn edit(path: &Path, edits: &str) {
    let mut text = std::fs::read_to_string(path).unwrap();
    for edit in edits.lines() {
        let edit = edit.replace("\\/", "\0");
        let [_, from, to, _] = edit.split('/').map(|part| part.replace('\0', "/")).collect::<Vec<_>>().try_into().unwrap();
        assert!(text.contains(&from), "{from}");
        text = text.replace(&from, &to);
    }
    std::fs::write(path, text).unwrap();
}

#[test]
fn the_first_benchmark_comes_about_as_the_page_says() {
    let folder = tempfile::tempdir().unwrap();
    let page = include_str!("../docs/first_benchmark.md");
    for (head, body) in pieces(page) {
        let option = |name: &str| head.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        if let Some(file) = option("file") {
            std::fs::write(folder.path().join(file), body).unwrap();
            continue;
        }
        if let Some(file) = option("edit") {
            edit(&folder.path().join(file), &body);
            continue;
        }
        let expected = option("fails").map_or(0, |status| status.parse().unwrap());
        let mut told = String::new();
        for line in body.lines() {
            match line.strip_prefix("$ caramba ") {
                Some(command) => {
                    let output = caramba_in(folder.path(), &command.split(' ').collect::<Vec<_>>());
                    told = shown(&output);
                    assert_eq!(output.status.code(), Some(expected), "{line}: {told}");
                }
                None => assert!(told.contains(line), "`{line}` is not in:\n{told}"),
            }
        }
    }
    for name in ["recall", "variety"] {
        let runs = std::fs::read_dir(folder.path().join("artifacts")).unwrap().map(|entry| entry.unwrap().path());
        let run = runs.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(&format!("{name}_"))).last().unwrap();
        for file in [&format!("{name}.csv"), &format!("{name}.png"), "tables.tex", "report.json", "report.html"] {
            assert!(run.join(file).exists(), "{}: {file}", run.display());
        }
    }
}
