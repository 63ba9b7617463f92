//! Where the time of a prefill and of a decode step goes, kernel by kernel.

use super::Session;
use crate::error::{Error, Result};
use crate::gpu::{Counts, KernelTime, Step, Stopwatch};

/// The steps of one call, each with its time.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Profile {
    pub stopwatch: Stopwatch,
    pub steps: Vec<KernelTime>,
}

/// A step, and how much of it there is to do in the call that was prepared.
pub type Prepared<'a> = (&'a Step, Counts);

impl Session {
    /// As [`Session::prefill`] of at most one chunk, with every kernel timed.
    ///
    /// # Errors
    /// As [`Session::prefill`]; more rows than one chunk takes.
    pub fn profile_prefill(&mut self, tokens: &[Vec<u32>]) -> Result<Profile> {
        let (counts, steps) = (self.begin_prefill(tokens)?, self.prefill.plan.steps(1).chain([self.pick_step()]).collect::<Vec<_>>());
        let (stopwatch, mut times) = self.gpu().profile(&steps, counts)?;
        self.write_call(&self.prefill, self.options().sequences);
        let counts = Counts { rows: self.options().sequences as u32, positions: 1 };
        times.extend(self.gpu().profile(&self.prefill.head.iter().collect::<Vec<_>>(), counts)?.1);
        self.has_logits = true;
        Ok(Profile { stopwatch, steps: times })
    }

    /// As one step of [`Session::decode`], with every kernel timed.
    ///
    /// # Errors
    /// As [`Session::decode`]; a session without a cache.
    pub fn profile_decode(&mut self) -> Result<Profile> {
        let prepared = self.prepare_decode()?;
        let counts = prepared.first().map_or(Counts { rows: 0, positions: 1 }, |(_, counts)| *counts);
        let steps: Vec<&Step> = prepared.into_iter().map(|(step, _)| step).collect();
        let (stopwatch, times) = self.gpu().profile(&steps, counts)?;
        self.note_lengths(self.lengths().iter().map(|length| length + 1).collect());
        Ok(Profile { stopwatch, steps: times })
    }

    /// Takes tokens as [`Session::prefill`] does, and returns its steps (but for the head's) instead of running them: for benchmarks, which run them
    /// as often as they like.
    ///
    /// # Errors
    /// As [`Session::profile_prefill`].
    pub fn prepare_prefill(&mut self, tokens: &[Vec<u32>]) -> Result<Vec<Prepared<'_>>> {
        let counts = self.begin_prefill(tokens)?;
        Ok(self.prefill.plan.steps(1).chain([self.pick_step()]).map(|step| (step, counts)).collect())
    }

    /// Writes tokens and their rows where the steps find them.
    fn begin_prefill(&mut self, tokens: &[Vec<u32>]) -> Result<Counts> {
        let rows: usize = tokens.iter().map(Vec::len).sum();
        if rows > self.activations.rows {
            return Err(Error::new(format!("{rows} tokens are more than the {} of one chunk", self.activations.rows))
                .remedy("profile fewer tokens, or make the session with a larger `chunk`"));
        }
        self.append(tokens)?;
        let starts = if self.is_uncached() { Vec::new() } else { self.starts(tokens) };
        let rows = self.rows_from(&starts);
        self.write_rows(&self.prefill, &rows);
        Ok(Counts { rows: rows.len() as u32, positions: 1 })
    }

    /// The steps of one decode step, head included, not run.
    ///
    /// # Errors
    /// As [`Session::profile_decode`].
    pub fn prepare_decode(&self) -> Result<Vec<Prepared<'_>>> {
        self.check_room(1)?;
        let Some(decode) = &self.decode else {
            return Err(Error::new("without a cache there is no decode step to profile").remedy("make the session with a cache"));
        };
        let lengths: Vec<usize> = self.lengths().iter().map(|length| length + 1).collect();
        let counts = self.decode_counts(&lengths);
        let steps = [&self.greedy].into_iter().chain(decode.plan.steps(counts.positions)).chain(&decode.head);
        Ok(steps.map(|step| (step, counts)).collect())
    }
}
