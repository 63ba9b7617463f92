//! Long work shows how far it is: a bar on a terminal, now and then a plain line elsewhere, nothing at all when it is done quickly.

use crate::terminal;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Plain lines begin after this long: a log shouldn't be full of what took a second.
const PATIENCE: Duration = Duration::from_secs(3);
/// And come this often.
const INTERVAL: Duration = Duration::from_secs(10);

/// All bars: what is printed meanwhile must not land in the middle of one.
static BARS: LazyLock<MultiProgress> = LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Shown as MB (2^20 bytes).
    Bytes,
    /// Shown with this word: `tokens`, `batches`.
    Of(&'static str),
}

/// One piece of long work. It disappears from the terminal when it is dropped.
///
/// # Example
/// ```
/// use caramba::progress::{Progress, Unit};
/// let progress = Progress::new("scoring", Some(100), Unit::Of("batches"));
/// for batch in 0..100 {
///     progress.set(batch + 1);
/// }
/// ```
pub struct Progress {
    what: String,
    total: Option<u64>,
    unit: Unit,
    begun: Instant,
    display: Display,
}

enum Display {
    Bar(ProgressBar),
    Lines(Mutex<Lines>),
}

struct Lines {
    next: Instant,
    done: u64,
    shown: bool,
}

impl Progress {
    /// Begins `what` ("loading teacher"), of which there is `total`, if that is known.
    pub fn new(what: impl Into<String>, total: Option<u64>, unit: Unit) -> Progress {
        // It may have names from files.
        let (what, begun) = (terminal::visible(&what.into()).into_owned(), Instant::now());
        let display = if terminal::interactive() {
            Display::Bar(bar(&what, total, unit))
        } else {
            Display::Lines(Mutex::new(Lines { next: begun + PATIENCE, done: 0, shown: false }))
        };
        Progress { what, total, unit, begun, display }
    }

    /// So much is done now, of the total.
    pub fn set(&self, done: u64) {
        match &self.display {
            Display::Bar(bar) => bar.set_position(done),
            Display::Lines(lines) => {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.done = done;
                let now = Instant::now();
                // That all is done is said when it ends.
                if now >= lines.next && self.total != Some(done) {
                    lines.next = now + INTERVAL;
                    lines.shown = true;
                    terminal::note(&self.line(done));
                }
            }
        }
    }

    /// So much more is done.
    pub fn add(&self, more: u64) {
        match &self.display {
            Display::Bar(bar) => bar.inc(more),
            Display::Lines(lines) => {
                let done = lines.lock().unwrap_or_else(PoisonError::into_inner).done;
                self.set(done + more);
            }
        }
    }

    /// Adds a word on what is being done just now. Shown on a terminal only.
    pub fn message(&self, message: impl Into<String>) {
        if let Display::Bar(bar) = &self.display {
            bar.set_message(message.into());
        }
    }

    /// `loading teacher: 12.5 of 100.0 MB (12 %)`
    fn line(&self, done: u64) -> String {
        let amount = |count: u64| match self.unit {
            Unit::Bytes => format!("{:.1}", count as f64 / f64::from(1 << 20)),
            Unit::Of(_) => count.to_string(),
        };
        let unit = match self.unit {
            Unit::Bytes => "MB",
            Unit::Of(unit) => unit,
        };
        match self.total {
            Some(total) => {
                let percent = (done.min(total) * 100).checked_div(total).unwrap_or(100);
                format!("{}: {} of {} {unit} ({percent} %)", self.what, amount(done), amount(total))
            }
            None => format!("{}: {} {unit}", self.what, amount(done)),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        match &self.display {
            Display::Bar(bar) => {
                bar.finish_and_clear();
                BARS.remove(bar);
            }
            Display::Lines(lines) => {
                let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                // Who saw it begin sees it end.
                if lines.shown {
                    terminal::note(&format!("{} in {:.0} s", self.line(lines.done), self.begun.elapsed().as_secs_f64()));
                }
            }
        }
    }
}

/// Runs `write`, which writes to the terminal, while no bar is drawn.
pub fn hidden_while<T>(write: impl FnOnce() -> T) -> T {
    // A process without bars (most of them) shouldn't even make the place to draw them.
    if terminal::interactive() { BARS.suspend(write) } else { write() }
}

fn bar(what: &str, total: Option<u64>, unit: Unit) -> ProgressBar {
    let counts = match (unit, total.is_some()) {
        (Unit::Bytes, true) => "{done} of {all} MB, {rate} MB/s".to_string(),
        (Unit::Bytes, false) => "{done} MB, {rate} MB/s".to_string(),
        (Unit::Of(unit), true) => format!("{{human_pos}} of {{human_len}} {unit}, {{eta}} left"),
        (Unit::Of(unit), false) => format!("{{human_pos}} {unit}"),
    };
    let template = match total {
        // The bar takes the width that is left, so that a line never wraps.
        Some(_) => format!("{{prefix}} [{{wide_bar}}] {counts} {{msg}}"),
        None => format!("{{prefix}} {{spinner}} {counts} {{msg}}"),
    };
    let bar = BARS.add(total.map_or_else(ProgressBar::no_length, ProgressBar::new));
    // A template is made of the constants above; should one be wrong, the default style still shows progress.
    if let Ok(style) = ProgressStyle::with_template(&template) {
        // MB are 2^20 bytes, as everywhere.
        let megabytes = |count: f64| format!("{:.1}", count / f64::from(1 << 20));
        let style = style
            .with_key("done", move |state: &ProgressState, out: &mut dyn Write| _ = out.write_str(&megabytes(state.pos() as f64)))
            .with_key("all", move |state: &ProgressState, out: &mut dyn Write| {
                _ = out.write_str(&megabytes(state.len().unwrap_or(0) as f64))
            })
            .with_key("rate", move |state: &ProgressState, out: &mut dyn Write| _ = out.write_str(&megabytes(state.per_sec())));
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(what.to_string());
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_how_far_it_is() {
        let of = |total, unit| Progress::new("work", total, unit);
        assert_eq!(of(Some(4 << 20), Unit::Bytes).line(1 << 20), "work: 1.0 of 4.0 MB (25 %)");
        assert_eq!(of(Some(0), Unit::Of("tokens")).line(0), "work: 0 of 0 tokens (100 %)");
        assert_eq!(of(None, Unit::Of("tokens")).line(7), "work: 7 tokens");
    }
}
