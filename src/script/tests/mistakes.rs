//! What people type who are new, and what they are told: `mistakes.txt` beside this file is the table, one snippet and its message after the other.
//! `CARAMBA_UPDATE_MISTAKES=1 cargo test --lib script::tests::mistakes` writes the messages anew, to be read before they are believed.

use super::{HostOptions, Script, on_script_thread};
use crate::script::{Purpose, Run};
use std::fmt::Write;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/script/tests/mistakes.txt");

/// What a script is told: warnings, and the error that ends it. `// checked` in its first line: it is only checked, and all mistakes are told.
fn told(text: &str) -> String {
    let script = Script { name: "x.rhai".to_owned(), text: text.to_owned() };
    let mut out = String::new();
    if text.starts_with("// checked") {
        let options = HostOptions { purpose: Purpose::Check, ..HostOptions::default() };
        match on_script_thread(script, None, &options, Run::check) {
            Ok(checked) => {
                checked.warnings.iter().for_each(|warning| _ = writeln!(out, "warning: {warning}"));
                checked.errors.iter().for_each(|error| _ = writeln!(out, "error: {error}"));
            }
            Err(error) => _ = writeln!(out, "error: {error}"),
        }
    } else {
        match on_script_thread(script, None, &HostOptions::default(), |run| run.run().map(|_| ())) {
            Ok(()) => out.push_str("nothing\n"),
            Err(error) => _ = writeln!(out, "error: {error}"),
        }
    }
    out
}

#[test]
fn every_mistake_is_told_where_it_is_and_what_to_do() {
    let table = std::fs::read_to_string(TABLE).unwrap();
    let mut made = String::new();
    let mut different = Vec::new();
    for row in table.split("\n====\n").filter(|row| !row.trim().is_empty()) {
        let (snippet, expected) = row.split_once("\n--\n").unwrap_or((row, ""));
        let snippet = snippet.trim_start_matches("====\n");
        let message = told(snippet);
        if message.trim_end() != expected.trim_end() {
            different.push(format!("{snippet}\n--\n{message}\nwhere this was expected:\n{expected}"));
        }
        let _ = write!(made, "{snippet}\n--\n{}\n====\n", message.trim_end());
    }
    if std::env::var_os("CARAMBA_UPDATE_MISTAKES").is_some() {
        std::fs::write(TABLE, made).unwrap();
        return;
    }
    assert!(different.is_empty(), "{}", different.join("\n\n"));
}
