//! Every command that the helps, the README and the documentation show can be typed: a test of all of them.

use super::{Cli, command, short};
use clap::Parser;
use std::ffi::OsString;

/// The commands of a text: lines that begin with `caramba`, up to a comment, a pipe or the columns beside them.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.trim_start().trim_start_matches(['$', '#', '/', ' ', '|', '`']);
        if line.starts_with("caramba ") {
            let end = ["   ", " #", " > ", " < ", " | ", "; ", "` "].iter().filter_map(|mark| line.find(mark)).min().unwrap_or(line.len());
            found.push(line[..end].trim_end_matches('`').to_owned());
        }
    }
    found
}

/// As a shell would split it.
fn words(command: &str) -> Vec<OsString> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            (None, c) if c.is_whitespace() => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word).into());
                }
                begun = false;
            }
            (None, c) => word.push(c),
        }
    }
    if begun || !word.is_empty() {
        words.push(word.into());
    }
    words
}

#[test]
fn every_command_that_is_shown_can_be_typed() {
    let mut texts = vec![("the help".to_owned(), command().render_long_help().to_string())];
    for verb in command().get_subcommands_mut() {
        texts.push((format!("the help of {}", verb.get_name()), verb.render_long_help().to_string()));
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md")];
    for folder in ["docs", "scripts", "config/presets", "config/benchmarks", "assets/new"] {
        files.extend(std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()));
    }
    for file in
        files.iter().filter(|file| file.extension().is_some_and(|ending| ["md", "rhai", "yml"].iter().any(|known| ending == *known)))
    {
        texts.push((file.display().to_string(), std::fs::read_to_string(file).unwrap()));
    }
    let mut seen = 0;
    for (place, text) in texts {
        for shown in commands(&text) {
            // Words in capitals stand for the reader's own, and are words all the same; dots stand for more.
            let typed = shown.replace(" DIR...", " a b").replace("...", "");
            let mut typed = short::with_verb(words(&typed), &command());
            // Cases of a benchmark that are not there: by its name, a file could be a manifest.
            if typed.iter().any(|word| word == "--set") && typed.get(1).is_some_and(|verb| verb == "run") {
                typed[1] = "script".into();
            }
            if let Err(error) = Cli::try_parse_from(&typed)
                && error.use_stderr()
            {
                panic!("{place}: `{shown}`: {error}");
            }
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen} commands");
}
