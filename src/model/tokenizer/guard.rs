//! Runs what the tokenizer library does with a file that comes from elsewhere: a panic in it, or a regular expression that never comes to an
//! end, becomes an error.

use crate::error::{Error, Result};
use crate::guard;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// As the main thread has on most systems: expressions are compiled recursively.
const STACK: usize = 8 << 20;
const LIBRARY: &str = "the tokenizer library";

/// `work`, with a panic in it as an error.
///
/// # Errors
/// It panicked.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T> {
    guard::caught(LIBRARY, work)
}

/// As [`caught`], and ended after `limit`. A thread can't be stopped: one that takes longer is left to itself, and its result to nobody.
///
/// # Errors
/// It panicked, took longer than `limit`, or no thread could be started.
pub(super) fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (sender, receiver) = mpsc::channel();
    let run = move || {
        // Nobody listening any more is no matter.
        let _ = sender.send(caught(work));
    };
    thread::Builder::new().name("tokenizer".to_owned()).stack_size(STACK).spawn(run)?;
    match receiver.recv_timeout(limit) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(Error::new(format!(
            "it was not done with the text after {:.0} s: one of its patterns may have no end",
            limit.as_secs_f64()
        ))),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(Error::new(format!("{LIBRARY} gave up on it"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_and_endless_work_are_errors() {
        assert_eq!(within(Duration::from_secs(60), || 7).unwrap(), 7);
        let message = within::<()>(Duration::from_secs(60), || panic!("no")).unwrap_err().to_string();
        assert!(message.contains("gave up on it"), "{message}");
        let message = within(Duration::from_millis(10), || thread::sleep(Duration::from_secs(2))).unwrap_err().to_string();
        assert!(message.contains("not done with the text after 0 s"), "{message}");
    }
}
