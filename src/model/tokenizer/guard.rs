//! Runs what the tokenizer library does with a file that comes from elsewhere: a panic in it, or a regular expression that never comes to an
//! end, becomes an error.

use crate::error::{Error, Result};
use crate::guard;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// As the main thread has on most systems: expressions are compiled recursively.
const STACK: usize = 8 << 20;
const LIBRARY: &str = "the tokenizer library";

/// How much more time may pass than is spent on computing, where only the former can be told.
const PATIENCE: u32 = 10;

/// `work`, with a panic in it as an error.
///
/// # Errors
/// It panicked.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T> {
    guard::caught(LIBRARY, work)
}

/// As [`caught`], and given up after `limit` of computing. A thread can't be stopped: one that takes longer is left to itself, and its result to nobody.
///
/// What counts is the thread's own time on a processor, where the system tells it (Linux): that a machine is busy is no fault of the text. Elsewhere it is
/// time that passes, [`PATIENCE`] times as much.
///
/// # Errors
/// It panicked, took longer than `limit`, or no thread could be started.
pub(super) fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (sender, receiver) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let run = move || {
        // Nobody listening any more is no matter.
        let _ = tell.send(statistics());
        let _ = sender.send(caught(work));
    };
    let begun = Instant::now();
    thread::Builder::new().name("tokenizer".to_owned()).stack_size(STACK).spawn(run)?;
    let statistics = told.recv().ok().flatten();
    loop {
        let spent = statistics.as_deref().and_then(time_on_processor).unwrap_or_else(|| begun.elapsed() / PATIENCE);
        let Some(left) = limit.checked_sub(spent).filter(|left| !left.is_zero()) else {
            let seconds = limit.as_secs_f64();
            return Err(Error::new(format!(
                "it was not done with the text after computing for {seconds:.0} s: one of its patterns may have no end"
            )));
        };
        match receiver.recv_timeout(left.max(Duration::from_millis(1))) {
            Ok(result) => return result,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(Error::new(format!("{LIBRARY} gave up on it"))),
        }
    }
}

/// The file in which the system keeps what time this thread had. `None` where there is no such file.
fn statistics() -> Option<PathBuf> {
    let path = Path::new("/proc").join(fs::read_link("/proc/thread-self").ok()?).join("schedstat");
    time_on_processor(&path)?;
    Some(path)
}

/// The first number of a thread's `schedstat`, in nanoseconds.
fn time_on_processor(statistics: &Path) -> Option<Duration> {
    fs::read_to_string(statistics).ok()?.split_ascii_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_and_endless_work_are_errors() {
        assert_eq!(within(Duration::from_secs(60), || 7).unwrap(), 7);
        let message = within::<()>(Duration::from_secs(60), || panic!("no")).unwrap_err().to_string();
        assert!(message.contains("gave up on it"), "{message}");
        // It computes without end until nobody cares about the answer.
        let (answer, nobody) = mpsc::channel();
        let endless = move || while answer.send(()).is_ok() {};
        let message = within(Duration::from_millis(10), endless).unwrap_err().to_string();
        drop(nobody);
        assert!(message.contains("not done with the text after computing for 0 s"), "{message}");
    }

    /// As on a machine that has no time for it.
    #[test]
    #[cfg(target_os = "linux")]
    fn waiting_is_not_computing() {
        let begun = Instant::now();
        assert_eq!(within(Duration::from_millis(100), || thread::sleep(Duration::from_millis(400))).map(|()| 7).unwrap(), 7);
        assert!(begun.elapsed() >= Duration::from_millis(400));
    }
}
