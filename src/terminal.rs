//! What a person reads while caramba works: standard output that survives a closed pipe, notes on standard error, colour where
//! there is a terminal for it.
//!
//! Results go to standard output and everything else (notes, warnings, progress) to standard error, so that `caramba ... > file`
//! and `caramba ... | program` get results only.

use crate::error::{Error, Result};
use crate::{interrupt, progress};
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Writes `text` to standard output, as it is, at once.
///
/// When the reader has gone (`caramba ... | head`), nothing more is written and all long work is asked to stop, as by Ctrl-C.
///
/// # Errors
/// Standard output can't be written for another reason (a full disk).
pub fn print(text: &str) -> Result<()> {
    if closed() {
        return Ok(());
    }
    let written = progress::hidden_while(|| {
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    });
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            CLOSED.store(true, Ordering::SeqCst);
            interrupt::request();
            Ok(())
        }
        other => other.map_err(|error| Error::from(error).at("standard output")),
    }
}

/// As [`print`], with a line end.
///
/// # Errors
/// As [`print`].
pub fn print_line(text: &str) -> Result<()> {
    print(&format!("{text}\n"))
}

/// Whether the reader of standard output has gone.
pub fn closed() -> bool {
    CLOSED.load(Ordering::SeqCst)
}

/// Says something in passing, on standard error: what was chosen, what takes long.
pub fn note(text: &str) {
    progress::hidden_while(|| {
        // Nobody listening is no reason to stop the work.
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    });
}

/// Says on standard error that something is not as the user may think it is.
pub fn warn(text: &str) {
    note(&format!("{YELLOW}warning{PLAIN}: {text}"));
}

/// Shows an error as the last thing a user sees: `error: place: message`, and `help: ...` below it.
pub fn show_error(error: &Error) {
    let text = error.to_string();
    let mark = "\n  help: ";
    let (sentence, help) = match error.help().and_then(|_| text.rsplit_once(mark)) {
        Some((sentence, help)) => (sentence, format!("\n  {CYAN}help{PLAIN}: {help}")),
        None => (text.as_str(), String::new()),
    };
    note(&format!("{RED}error{PLAIN}: {sentence}{help}"));
}

/// Whether standard error is a terminal, where a line can be drawn over.
pub fn interactive() -> bool {
    std::io::stderr().is_terminal()
}

// `anstream` takes these out where they aren't wanted.
const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[1;36m";
const PLAIN: &str = "\x1b[0m";
