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
