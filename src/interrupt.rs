//! Ctrl-C: one flag that long native work polls, so that a run ends with its rows written and no half-made files.

use crate::error::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Asks all long work to stop at its next convenient point.
pub fn request() {
    REQUESTED.store(true, Ordering::SeqCst);
}

/// Whether [`request`] was called.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Call this once per chunk of long work.
///
/// # Errors
/// "interrupted", after Ctrl-C.
pub fn check() -> Result<()> {
    if requested() { Err(Error::new("interrupted")) } else { Ok(()) }
}

/// Makes Ctrl-C call [`request`]; a second Ctrl-C ends the process at once (exit status 130).
pub fn install() {
    // Only one handler can be installed in a process: a second call changes nothing, and that is what is wanted.
    let _ = ctrlc::set_handler(|| {
        if requested() {
            std::process::exit(130);
        }
        request();
    });
}
