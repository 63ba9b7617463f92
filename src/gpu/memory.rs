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
