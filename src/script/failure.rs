//! How an error of caramba travels through a script: whole, so that its remedy is there when it is shown, and so that a script that
//! catches it can ask for its parts.

use crate::error::Error;
use crate::interrupt;
use rhai::{Dynamic, EvalAltResult, Position};

/// What a native function returns when it can fail. The place of the call is added by the engine.
pub(super) type Answer<T> = std::result::Result<T, Box<EvalAltResult>>;

impl From<Error> for Box<EvalAltResult> {
    fn from(error: Error) -> Self {
        // Ctrl-C is no error that a script may catch.
        let kind = if interrupt::requested() { EvalAltResult::ErrorTerminated } else { EvalAltResult::ErrorRuntime };
        Box::new(kind(Dynamic::from(error), Position::NONE))
    }
}

/// The same with its error of caramba changed, if it is one.
#[allow(clippy::boxed_local, reason = "it comes in the box that rhai puts every error in")]
pub(super) fn changed(error: Box<EvalAltResult>, change: impl FnOnce(Error) -> Error) -> Box<EvalAltResult> {
    match *error {
        EvalAltResult::ErrorRuntime(value, position) => {
            let value = match value.read_lock::<Error>().map(|error| (*error).clone()) {
                Some(error) => Dynamic::from(change(error)),
                None => value,
            };
            Box::new(EvalAltResult::ErrorRuntime(value, position))
        }
        other => Box::new(other),
    }
}
