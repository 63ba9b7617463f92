//! Clocks: the time that passes on the host, and runs that are repeated.

use super::failure::Answer;
use super::numbers::Numbers;
use super::values::{self, Options};
use crate::error::Error;
use crate::interrupt;
use rhai::plugin::*;
use rhai::{FLOAT, FnPtr, INT, Map};
use std::time::Instant;

/// A running clock.
#[derive(Debug, Clone)]
pub struct Timer(Instant);

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

#[export_module]
pub(super) mod api {
    /// A running clock. Calls that use the device return when the device is done, so that this clock measures their work.
    pub type Timer = super::Timer;

    /// Starts a clock.
    ///
    /// # Example
    /// ```rhai
    /// let clock = timer();
    /// assert(clock.ms() >= 0.0, "time passes");
    /// ```
    #[rhai_fn(volatile)]
    pub fn timer() -> Timer {
        super::Timer(Instant::now())
    }

    /// Waits for so many seconds; Ctrl-C ends it.
    #[rhai_fn(name = "sleep", return_raw, volatile)]
    pub fn sleep(seconds: FLOAT) -> Answer<()> {
        let wait = std::time::Duration::try_from_secs_f64(seconds.max(0.0));
        Ok(interrupt::sleep(wait.map_err(|error| Error::new(format!("cannot sleep for {seconds} seconds: {error}")))?)?)
    }

    /// Waits for so many seconds; Ctrl-C ends it.
    #[rhai_fn(name = "sleep", return_raw, volatile)]
    pub fn sleep_integer(seconds: INT) -> Answer<()> {
        sleep(seconds as FLOAT)
    }

    /// Milliseconds since it was started.
    #[rhai_fn(pure)]
    pub fn ms(timer: &mut Timer) -> FLOAT {
        milliseconds(timer.0)
    }

    /// Seconds since it was started.
    #[rhai_fn(pure)]
    pub fn seconds(timer: &mut Timer) -> FLOAT {
        timer.0.elapsed().as_secs_f64()
    }

    /// Milliseconds since it was started or last asked for a lap, and starts it again.
    pub fn lap(timer: &mut Timer) -> FLOAT {
        let lap = milliseconds(timer.0);
        timer.0 = Instant::now();
        lap
    }

    /// Calls `work` so many times and returns the milliseconds that each call took.
    ///
    /// # Example
    /// ```rhai
    /// let times = measure(3, || random_tokens(100, 50, 1));
    /// assert(times.len == 3, "three runs");
    /// ```
    #[rhai_fn(name = "measure", name = "time_runs", return_raw, volatile)]
    pub fn measure(context: NativeCallContext, runs: INT, work: FnPtr) -> Answer<Numbers> {
        let mut times = Vec::new();
        for _ in 0..values::count("the number of runs", runs)? {
            interrupt::check()?;
            let begun = Instant::now();
            let _ = work.call_within_context::<Dynamic>(&context, ())?;
            times.push(milliseconds(begun));
        }
        Ok(times.into())
    }

    /// As `settle(#{}, work)`.
    #[rhai_fn(name = "settle", name = "warm_up", return_raw, volatile)]
    pub fn settle_plainly(context: NativeCallContext, work: FnPtr) -> Answer<Map> {
        settle(context, Map::new(), work)
    }

    /// Warms up: calls `work` until its time no longer falls, that is until the best of the latest `window` (3) calls is within
    /// `tolerance` (0.05) of the best before them; `least` (3) times at least and `most` (20) times at most. Returns `runs`, `settled`
    /// and `ms` (the times).
    ///
    /// # Example
    /// ```rhai
    /// let warm = settle(#{ most: 5, window: 1 }, || random_tokens(1000, 50, 1));
    /// assert(warm.runs >= 1 && warm.runs <= 5, "a few runs");
    /// ```
    #[rhai_fn(name = "settle", name = "warm_up", return_raw, volatile)]
    pub fn settle(context: NativeCallContext, options: Map, work: FnPtr) -> Answer<Map> {
        let mut options = Options::new("settle option", options);
        let window = options.count("window")?.unwrap_or(3).max(1);
        let tolerance = options.float("tolerance")?.unwrap_or(0.05);
        let most = options.count("most")?.unwrap_or(20);
        let least = options.count("least")?.unwrap_or(3).min(most);
        options.finish()?;
        if !(0.0..1.0).contains(&tolerance) {
            return Err(Error::new(format!("a tolerance of {tolerance}: expected 0 to 1, as 0.05 for 5 %")).into());
        }
        let mut times: Vec<f64> = Vec::new();
        let best = |times: &[f64]| times.iter().copied().fold(f64::INFINITY, f64::min);
        let settled = |times: &[f64]| {
            let before = times.len().saturating_sub(window);
            before > 0 && best(&times[before..]) >= best(&times[..before]) * (1.0 - tolerance)
        };
        while times.len() < most && (times.len() < least || !settled(&times)) {
            interrupt::check()?;
            let begun = Instant::now();
            let _ = work.call_within_context::<Dynamic>(&context, ())?;
            times.push(milliseconds(begun));
        }
        let settled = settled(&times);
        Ok(Map::from_iter([
            ("runs".into(), (times.len() as INT).into()),
            ("settled".into(), settled.into()),
            ("ms".into(), Dynamic::from(Numbers::from(times))),
        ]))
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
