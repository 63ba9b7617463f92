//! What a person reads while caramba works: standard output that survives a closed pipe, notes on standard error, colour where
//! there is a terminal for it.
//!
//! Results go to standard output and everything else (notes, warnings, progress) to standard error, so that `caramba ... > file`
//! and `caramba ... | program` get results only.

use crate::error::{Error, Result};
use crate::{interrupt, progress};
use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);
static VERBOSITY: AtomicU8 = AtomicU8::new(Verbosity::Normal as u8);

/// How much is said in passing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Warnings and errors only.
    Quiet = 0,
    /// Notes and progress too.
    Normal = 1,
    /// What is opened and read, and how long it takes.
    Verbose = 2,
}

/// Sets how much is said in passing, for the whole process.
pub fn set_verbosity(verbosity: Verbosity) {
    VERBOSITY.store(verbosity as u8, Ordering::Relaxed);
}

fn says(least: Verbosity) -> bool {
    VERBOSITY.load(Ordering::Relaxed) >= least as u8
}

/// The text with every character that a terminal would obey, or that reorders what is read, spelt out: names in files may hold any.
/// Ends of lines and tabs stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    // Besides C0, DEL and C1: the marks of Unicode's bidirectional algorithm.
    let obeyed = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    // A carriage return before the end of a line is how Windows ends it.
    let stays = |at: usize, c: char| c == '\r' && text[at + 1..].starts_with('\n');
    if !text.chars().any(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match obeyed(c) && !stays(at, c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Writes `text` to standard output at once, characters that a terminal would obey spelt out (see [`visible`]).
///
/// When the reader has gone (`caramba ... | head`), nothing more is written and all long work is asked to stop, as by Ctrl-C.
///
/// # Errors
/// Standard output can't be written for another reason (a full disk).
pub fn print(text: &str) -> Result<()> {
    print_styled(&visible(text))
}

/// As [`print`], of a text of our own that has colours in it.
///
/// # Errors
/// As [`print`].
pub fn print_styled(text: &str) -> Result<()> {
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
    if says(Verbosity::Normal) {
        write(&visible(text));
    }
}

/// Says on standard error what only `--verbose` asks for.
pub fn detail(text: impl FnOnce() -> String) {
    if says(Verbosity::Verbose) {
        write(&visible(&text()));
    }
}

/// On standard error, as it is: with our own colours.
fn write(text: &str) {
    progress::hidden_while(|| {
        // Nobody listening is no reason to stop the work.
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    });
}

/// Says on standard error that something is not as the user may think it is.
pub fn warn(text: &str) {
    write(&format!("{YELLOW}warning{PLAIN}: {}", visible(text)));
}

/// Shows an error as the last thing a user sees: `error: place: message`, and `help: ...` below it.
pub fn show_error(error: &Error) {
    show(error, &format!("{RED}error{PLAIN}"));
}

/// Shows what is probably not meant, in the same form.
pub fn show_warning(error: &Error) {
    show(error, &format!("{YELLOW}warning{PLAIN}"));
}

fn show(error: &Error, level: &str) {
    let text = visible(&error.to_string()).into_owned();
    let mark = "\n  help: ";
    let (sentence, help) = match error.help().and_then(|_| text.rsplit_once(mark)) {
        Some((sentence, help)) => (sentence, format!("\n  {CYAN}help{PLAIN}: {help}")),
        None => (text.as_str(), String::new()),
    };
    write(&format!("{level}: {sentence}{help}"));
}

/// Whether standard error is a terminal, where a line can be drawn over, and somebody wants to see it.
pub fn interactive() -> bool {
    says(Verbosity::Normal) && std::io::stderr().is_terminal()
}

// `anstream` takes these out where they aren't wanted.
const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[1;36m";
const PLAIN: &str = "\x1b[0m";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_spelt_out() {
        assert_eq!(visible("a\tb\r\nc é 🦀\n"), "a\tb\r\nc é 🦀\n");
        assert_eq!(visible("\x1b[2Jx\u{9b}1m\r\u{7f}\0"), "\\u{1b}[2Jx\\u{9b}1m\\r\\u{7f}\\u{0}");
        assert_eq!(visible("a\u{202e}b"), "a\\u{202e}b");
    }
}
