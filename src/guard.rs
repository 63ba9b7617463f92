//! Runs what a library does with a file that comes from elsewhere: a panic in it becomes an error.

use crate::error::{Error, Result};
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Whether a panic on this thread is caught here, and so not told by the panic hook.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// `work`, with a panic in it as an error; `library` names whose work it is.
///
/// # Errors
/// It panicked.
pub fn caught<T>(library: &str, work: impl FnOnce() -> T) -> Result<T> {
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CAUGHT.get() {
                usual(info);
            }
        }));
    });
    let before = CAUGHT.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(before);
    result.map_err(|_| Error::new(format!("{library} gave up on it: the file describes something that can't be done")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error() {
        assert_eq!(caught("the library", || 7).unwrap(), 7);
        let message = caught::<()>("the library", || panic!("no")).unwrap_err().to_string();
        assert!(message.starts_with("the library gave up on it"), "{message}");
    }
}
