//! Every device allocation, by purpose: live bytes and their peak.

use std::sync::Mutex;

/// What an allocation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    Weights,
    Cache,
    Activations,
    Scratch,
}

impl Purpose {
    /// Every purpose, in the order of [`Usage::by_purpose`].
    pub const ALL: [Purpose; 4] = [Purpose::Weights, Purpose::Cache, Purpose::Activations, Purpose::Scratch];

    /// `weights`, `cache`, `activations`, `scratch`
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Weights => "weights",
            Purpose::Cache => "cache",
            Purpose::Activations => "activations",
            Purpose::Scratch => "scratch",
        }
    }
}

/// Bytes, and the number of allocations made so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// In the order of [`Purpose::ALL`].
    pub by_purpose: [u64; 4],
    pub total: u64,
}

/// The account book of one device.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    live: Usage,
    peak: Usage,
    allocations: u64,
}

impl Memory {
    /// What is allocated now.
    pub fn live(&self) -> Usage {
        self.book().live
    }

    /// The largest sum since the device was opened or [`reset_peak`](Self::reset_peak): `total` is the peak of the sum, not the sum
    /// of the purposes' own peaks.
    pub fn peak(&self) -> Usage {
        self.book().peak
    }

    /// How many allocations were ever made: unchanged across a loop that allocates nothing.
    pub fn allocations(&self) -> u64 {
        self.book().allocations
    }

    /// Begins a new peak measurement at what is live now.
    pub fn reset_peak(&self) {
        let mut book = self.book();
        book.peak = book.live;
    }

    /// Does something that is no part of what a user measures: the peak stays what it was. What is left of it when it is done counts as ever.
    pub(crate) fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.peak();
        let result = work();
        let mut book = self.book();
        let live = book.live;
        for i in 0..4 {
            book.peak.by_purpose[i] = before.by_purpose[i].max(live.by_purpose[i]);
        }
        book.peak.total = before.total.max(live.total);
        result
    }

    pub(crate) fn add(&self, purpose: Purpose, bytes: u64) {
        let mut book = self.book();
        book.live.by_purpose[purpose as usize] += bytes;
        book.live.total += bytes;
        book.allocations += 1;
        for i in 0..4 {
            book.peak.by_purpose[i] = book.peak.by_purpose[i].max(book.live.by_purpose[i]);
        }
        book.peak.total = book.peak.total.max(book.live.total);
    }

    pub(crate) fn remove(&self, purpose: Purpose, bytes: u64) {
        let mut book = self.book();
        book.live.by_purpose[purpose as usize] -= bytes;
        book.live.total -= bytes;
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        // The book is plain numbers: it is valid even if a thread panicked while holding it.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_aside_leaves_no_peak() {
        let memory = Memory::default();
        memory.add(Purpose::Cache, 10);
        memory.aside(|| {
            memory.add(Purpose::Scratch, 100);
            memory.remove(Purpose::Scratch, 97);
        });
        assert_eq!((memory.peak().total, memory.peak().by_purpose), (13, [0, 10, 0, 3]));
        assert_eq!(memory.allocations(), 2);
    }
}
