//! What a run leaves behind: a directory of CSV files, charts, LaTeX tables and a report. Everything here knows how to write, and
//! nothing knows what is measured.
//!
//! A file is whole or not there: it is written under another name and renamed. The exceptions are CSV files, which grow by a row at a
//! time so that a run that fails keeps what it has measured.

mod atomic;
pub mod chart;
mod clock;
pub mod csv;
mod directory;
mod font;
pub mod journal;
pub mod json;
pub mod latex;
pub mod number;
mod read;
pub mod table;

pub use atomic::write as write_atomically;
pub use chart::{BarPanels, LineChart};
pub use csv::{CsvFile, Field};
pub use directory::RunDirectory;
pub use journal::Journal;
pub use table::Table;

/// Now, as a report has it: `2026-11-24T17:15:02Z`.
pub fn now() -> String {
    clock::Utc::of(std::time::SystemTime::now()).iso()
}
