//! `caramba repl` as a person meets it, on a pseudo-terminal.

#![cfg(unix)]

use expectrl::session::Session;
use expectrl::{ControlCode, Eof, Expect};
use std::process::Command;
use std::time::Duration;

struct Terminal {
    session: expectrl::session::OsSession,
    _folder: tempfile::TempDir,
}

impl Terminal {
    fn open(folder: tempfile::TempDir) -> Terminal {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("caramba"));
        command.arg("repl").current_dir(folder.path()).env("CARAMBA_CACHE", folder.path()).env("TERM", "xterm").env("NO_COLOR", "1");
        let mut session = Session::spawn(command).unwrap();
        session.set_expect_timeout(Some(Duration::from_secs(60)));
        session.expect("Ctrl-D leaves").unwrap();
        Terminal { session, _folder: folder }
    }

    /// Types keys and waits for the next prompt; what was shown until then.
    #[track_caller]
    fn enter(&mut self, keys: &str) -> String {
        self.session.send(format!("{keys}\n")).unwrap();
        self.prompt()
    }

    /// What is shown up to the next prompt: the line editor asks the terminal to mark what is pasted.
    #[track_caller]
    fn prompt(&mut self) -> String {
        match self.session.expect("\x1b[?2004h") {
            Ok(found) => String::from_utf8_lossy(found.before()).into_owned(),
            Err(error) => panic!("no prompt: {error}"),
        }
    }
}

#[test]
fn a_session_at_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history.txt");
    let mut repl = Terminal::open(folder);
    repl.prompt();
    let has = |shown: &str, part: &str| assert!(shown.contains(part), "`{part}` is not in {shown}");

    // What a line declares stays: variables, functions, imports.
    repl.enter("let count = 20;");
    repl.enter("fn twice(x) { x * 2 }");
    has(&repl.enter("twice(count) + 2"), "42");
    repl.enter("import \"words\" as words;");
    has(&repl.enter("words::spoken(\"token_ms\")"), "\r\n\"");

    // Several lines, as long as a bracket is open; rows are a table.
    repl.enter("let rows = [\n#{ kind: \"fp16\", ms: 12.5 },\n#{ kind: \"q8\", ms: 7.25 }];");
    let table = repl.enter("rows");
    has(&table, "kind    ms\r\nfp16  12.5\r\nq8    7.25");

    // An error has its place and a remedy, and the session goes on.
    let error = repl.enter("let b = cuont + 1;");
    ["there is no variable `cuont`", "^^^^^", "did you mean `count`?"].into_iter().for_each(|part| has(&error, part));

    // Tab completes: variables, and methods of a variable whose type is known.
    repl.enter("let numbers_of_mine = numbers([1.0, 3.0]);");
    has(&repl.enter("numbers_of_m\t.quant\t(0.5)"), "2.0");

    // ?name shows documentation.
    has(&repl.enter("?bootstrap"), "resamples");

    // Ctrl-C ends a loop, and the prompt is there again.
    repl.session.send("loop { count += 1; }\n").unwrap();
    std::thread::sleep(Duration::from_millis(1000));
    repl.session.send(ControlCode::EndOfText).unwrap();
    has(&repl.prompt(), "interrupted");
    has(&repl.enter("if count > 20 { `still ${twice(4)} here` }"), "\"still 8 here\"");

    // The arrow goes back in history.
    has(&repl.enter("twice(1000)"), "2000");
    has(&repl.enter("\x1b[A + 34"), "2034");

    repl.session.send(ControlCode::EndOfTransmission).unwrap();
    repl.session.expect(Eof).unwrap();
    let kept = std::fs::read_to_string(history).unwrap();
    assert!(kept.contains("fn twice(x)") && kept.contains("rows"), "{kept}");
}

/// Without a terminal, lines are read as they come.
#[test]
fn lines_from_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = assert_cmd::Command::cargo_bin("caramba").unwrap();
    let output = command.arg("repl").current_dir(folder.path()).env("CARAMBA_CACHE", folder.path());
    let output = output.write_stdin("let a = 3;\na * 2\nexit(5);\n").output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(out.contains('6'), "{out}");
    assert_eq!(output.status.code(), Some(5));
}
