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

    fn type_line(&mut self, line: &str) {
        self.session.send_line(line).unwrap();
    }

    #[track_caller]
    fn sees(&mut self, text: &str) {
        if let Err(error) = self.session.expect(text) {
            panic!("`{text}` is not to be seen: {error}");
        }
    }
}

#[test]
fn a_session_at_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history.txt");
    let mut repl = Terminal::open(folder);

    // What a line declares stays: variables, functions, imports.
    repl.type_line("let count = 20;");
    repl.type_line("fn twice(x) { x * 2 }");
    repl.type_line("twice(count) + 2");
    repl.sees("42");
    repl.type_line("import \"evidence\" as evidence;");
    repl.type_line("evidence::spoken(\"token_ms\")");
    repl.sees("\"");

    // Several lines, as long as a bracket is open.
    repl.type_line("let rows = [");
    repl.type_line("#{ kind: \"fp16\", ms: 12.5 },");
    repl.type_line("#{ kind: \"q8\", ms: 7.25 }];");
    repl.type_line("rows");
    repl.sees("kind     ms");
    repl.sees("q8     7.25");

    // An error has its place and a remedy, and the session goes on.
    repl.type_line("let b = cuont + 1;");
    repl.sees("there is no variable `cuont`");
    repl.sees("^^^^^");
    repl.sees("did you mean `count`?");

    // Tab completes: a method of a variable whose type is known, and a variable.
    repl.session.send("tokens([1, 2]).detok\t").unwrap();
    repl.session.send(ControlCode::EndOfText).unwrap();
    repl.type_line("let numbers_of_mine = numbers([1.0, 3.0]);");
    repl.session.send("numbers_of_m\t.to_arr\t()\n").unwrap();
    repl.sees("[1.0, 3.0]");

    // ?name shows documentation.
    repl.type_line("?bootstrap");
    repl.sees("resamples");

    // Ctrl-C ends a loop, and the prompt is there again.
    repl.type_line("loop { count += 1; }");
    std::thread::sleep(Duration::from_millis(500));
    repl.session.send(ControlCode::EndOfText).unwrap();
    repl.sees("interrupted");
    repl.type_line("if count > 20 { `still ${twice(4)} here` }");
    repl.sees("\"still 8 here\"");

    // The arrow goes back in history.
    repl.type_line("twice(1000)");
    repl.sees("2000");
    repl.session.send("\x1b[A").unwrap();
    repl.session.send(" + 34\n").unwrap();
    repl.sees("2034");

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
