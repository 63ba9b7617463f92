//! Ctrl-C and its kin: one flag that long native work polls, so that a run ends with its rows written and no half-made files.

use crate::error::{Error, Result};
use crate::terminal;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

static REQUESTED: AtomicBool = AtomicBool::new(false);
/// The number of the signal that asked, 0 where none did.
static SIGNAL: AtomicU8 = AtomicU8::new(0);

/// How long everything may take, once that has passed.
static PASSED: OnceLock<Duration> = OnceLock::new();

/// What native work that does not look is given to end by itself, once the time has passed.
const GRACE: Duration = Duration::from_secs(5);

/// Ctrl-C's signal, on every platform: what a shell adds 128 to for the status of a program that it ended.
const SIGINT: u8 = 2;

/// How long a sleep goes on before it looks again.
const GLANCE: Duration = Duration::from_millis(50);

/// Asks all long work to stop at its next convenient point.
pub fn request() {
    REQUESTED.store(true, Ordering::SeqCst);
}

/// Whether [`request`] was called.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Whether [`request`] was called; it is then forgotten, so that the next work can begin.
pub fn take() -> bool {
    SIGNAL.store(0, Ordering::SeqCst);
    REQUESTED.swap(false, Ordering::SeqCst)
}

/// Call this once per chunk of long work.
///
/// # Errors
/// "interrupted", after Ctrl-C.
pub fn check() -> Result<()> {
    match (requested(), PASSED.get()) {
        (false, _) => Ok(()),
        (true, None) => Err(Error::new("interrupted")),
        (true, Some(time)) => Err(Error::new(format!("the time limit of {} s has passed (--time-limit)", time.as_secs_f64()))
            .remedy("raise --time-limit, or measure less at a time")),
    }
}

/// Asks all long work to stop when this time has passed, and ends the program if it does not.
pub fn limit(time: Duration) {
    let watch = move || {
        std::thread::sleep(time);
        let _ = PASSED.set(time);
        request();
        std::thread::sleep(GRACE);
        if let Err(error) = check() {
            terminal::show_error(&error);
        }
        std::process::exit(i32::from(status()));
    };
    // Without the thread there is no limit, and no thread for the script either: that is told.
    let _ = std::thread::Builder::new().name("time limit".to_owned()).spawn(watch);
}

/// Sleeps, unless it is interrupted.
///
/// # Errors
/// As [`check`].
pub fn sleep(duration: Duration) -> Result<()> {
    let begun = Instant::now();
    while let Some(left) = duration.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        check()?;
        std::thread::sleep(left.min(GLANCE));
    }
    check()
}

/// What a shell reports for a program that the signal ended: 130 after Ctrl-C, 143 after a plain `kill`.
pub fn status() -> u8 {
    if PASSED.get().is_some() {
        return 1;
    }
    let signal = SIGNAL.load(Ordering::SeqCst);
    128 + if signal == 0 { SIGINT } else { signal }
}

/// Makes Ctrl-C (and TERM and HUP, where there are signals) call [`request`]; the second one ends the process at once.
pub fn install() {
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        // Without the thread Ctrl-C ends the process as it does any other: nothing is lost but the last words.
        if let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) {
            let listen = move || signals.forever().for_each(|signal| heard(u8::try_from(signal).unwrap_or(self::SIGINT)));
            let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(listen);
        }
    }
    #[cfg(not(unix))]
    {
        // Only one handler can be installed in a process: a second call changes nothing, and that is what is wanted.
        let _ = ctrlc::set_handler(|| heard(SIGINT));
    }
}

fn heard(signal: u8) {
    if SIGNAL.swap(signal, Ordering::SeqCst) != 0 {
        std::process::exit(i32::from(status()));
    }
    request();
    terminal::note("stopping: what is being measured ends first; once more ends it at once");
}
