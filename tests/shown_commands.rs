//! The commands that the README and the documentation show, run as a reader would type them after the files that they speak of are there. What measures for
//! long is described or planned instead: its script and manifest are read, and every name that it sets is one that the script declares.

mod common;

use common::cli::{caramba_in, shown};
use std::collections::BTreeSet;
use std::path::Path;

/// The commands of a text: lines that begin with `caramba`, up to a comment or a pipe.
fn commands(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if let Some(command) = line.trim().trim_start_matches("$ ").strip_prefix("caramba ").filter(|_| inside) {
            let end = ["   ", " #", " > ", " | "].iter().filter_map(|mark| command.find(mark)).min().unwrap_or(command.len());
            found.push(command[..end].trim().to_owned());
        }
    }
    found
}

/// As a shell would split it; only single quotes and double quotes are used.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in command.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == ' ' => words.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn is_built_in(script: &str) -> bool {
    caramba::assets::SCRIPTS.iter().any(|(name, _)| *name == script.trim_end_matches(".rhai"))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A word that names a model of the reader's own, as one that is there.
fn at_hand(word: &str) -> String {
    let stand_in = |name: &str| if name.starts_with("models/") { "models/austen" } else { "models/austen-dba" };
    let (key, value) = word.split_once('=').map_or(("", word), |(key, value)| (key, value));
    let value = match value {
        value if value.starts_with("models/") && !value.ends_with(".npy") => stand_in(value).to_owned(),
        value if value.starts_with("runs/") => stand_in(value).to_owned(),
        value => value.to_owned(),
    };
    if key.is_empty() { value } else { format!("{key}={value}") }
}

#[test]
fn what_is_shown_can_be_done() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for model in ["austen", "austen-dba"] {
        copy(&root.join("models").join(model), &here.join("models").join(model));
    }
    copy(&root.join("config/presets"), &here.join("config/presets"));
    let run = |arguments: &[&str]| shown(&caramba_in(here, arguments));
    let shown_preset = run(&["show", "full_paper.yml"]);
    std::fs::write(here.join("paper.yml"), shown_preset.trim_start_matches("exit code 0\n")).unwrap();
    std::fs::write(here.join("mine.rhai"), "const PARAMETERS = #{ lengths: [1] };\nprint(args.lengths);\n").unwrap();

    let mut texts = vec![root.join("README.md"), root.join("models/README.md")];
    texts.extend(std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    texts.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    let all: BTreeSet<String> = texts.iter().flat_map(|path| commands(&std::fs::read_to_string(path).unwrap())).collect();
    // What another one makes comes first.
    let mut all: Vec<&String> = all.iter().collect();
    all.sort_by_key(|command| !command.starts_with("new "));
    let mut done = 0;
    for command in all {
        let typed: Vec<String> = words(command).iter().map(|word| at_hand(word)).collect();
        let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
        let file_is_there =
            |at: usize| typed.get(at).is_some_and(|name| !name.ends_with(".rhai") && !name.ends_with(".yml") || here.join(name).exists());
        let output = match typed[0] {
            "docs" | "new" | "show" | "schema" | "completions" | "devices" | "-e" => run(&typed),
            "check" if typed[1..].iter().all(|name| here.join(name).exists()) => run(&typed),
            "generate" => run(&[&typed[..], &["--max-tokens", "2"]].concat()),
            "script" if is_built_in(typed[1]) || here.join(typed[1]).exists() => {
                let described = run(&["script", typed[1], "--describe"]);
                for set in typed.windows(2).filter(|pair| pair[0] == "--set") {
                    let name = set[1].split('=').next().unwrap();
                    assert!(
                        described.lines().any(|line| line.trim_start().starts_with(name)),
                        "`caramba {command}`: {name} is none of\n{described}"
                    );
                }
                described
            }
            "run" if file_is_there(1) && !typed.contains(&"--resume") => run(&[&typed[..], &["--dry-run"]].concat()),
            name if name.ends_with(".yml") && file_is_there(0) && typed.len() == 1 => run(&["run", name, "--dry-run"]),
            name if name.ends_with(".rhai") && file_is_there(0) => run(&["check", name]),
            _ => continue,
        };
        assert!(output.starts_with("exit code 0"), "`caramba {command}`:\n{output}");
        done += 1;
    }
    assert!(done > 40, "{done} commands");
}
