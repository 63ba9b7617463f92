//! What is looked at between two operations of a script: Ctrl-C, and the limits of operations and memory.
//!
//! Rhai's own limits of sizes count every element of an array at every `push`. Here the memory of the whole program is counted as it is allocated, and
//! looked at between operations, which costs nothing.

use crate::error::Error;
use crate::{interrupt, limits};
use std::cell::Cell;

/// Growth that is worth a thought.
const LEAP: u64 = 16 << 20;

/// Watches one script.
pub(super) struct Meter {
    memory: u64,
    operations: u64,
    done: Cell<u64>,
    /// What was allocated when it was last looked at.
    seen: Cell<u64>,
    /// The last leap in what is allocated.
    leap: Cell<u64>,
}

impl Meter {
    pub(super) fn new(operations: Option<u64>) -> Meter {
        Meter {
            memory: limits::host_memory(),
            operations: operations.unwrap_or(u64::MAX),
            done: Cell::new(0),
            seen: Cell::new(limits::allocated()),
            leap: Cell::new(0),
        }
    }

    /// Why the script has to end before its next operation, if it has to.
    pub(super) fn look(&self) -> Option<Error> {
        if interrupt::requested() {
            return interrupt::check().err();
        }
        let done = self.done.get() + 1;
        self.done.set(done);
        if done > self.operations {
            let message = format!("the script has done more than {} operations (--max-operations)", self.operations);
            return Some(Error::new(message).remedy("raise --max-operations, or look for a loop that does not end"));
        }
        let allocated = limits::allocated();
        let grown = allocated.saturating_sub(self.seen.replace(allocated));
        let (mut needed, mut growing) = (allocated, "");
        if grown > LEAP {
            // What doubles each time takes three times as much at the next: it is ended before, not after.
            let before = self.leap.replace(grown);
            if before > 0 && grown >= before + before / 2 {
                needed = allocated.saturating_add(grown.saturating_mul(4));
                growing = " and takes twice as much each time";
            }
        }
        (needed > self.memory).then(|| limits::beyond(format!("the script holds {}{growing}", limits::shown(allocated))))
    }
}
