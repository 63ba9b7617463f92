//! Choosing forms by measuring: every candidate runs on the device with the matrix that it is for, and the fastest one whose results are right is remembered.

use super::forms::{self, Job, Measured};
use super::linear::{Form, Product};
use super::weights::Part;
use crate::error::Result;
use crate::gpu::{Counts, Gpu, Purpose, Step, Tuning, Usage};
use crate::interrupt;
use std::time::Instant;

/// Multiply-adds of a product, for one token, below which the choice of a form is lost in what a dispatch costs.
const WORTH: usize = 1 << 18;

/// Time for all repetitions of one candidate in one round.
const ROUND_MS: f64 = 4.0;

const ROUNDS: usize = 5;

/// The share of the largest result by which forms may differ: they add up in different orders, some of them half floats.
const TOLERANCE: f32 = 2e-3;

impl Product<'_> {
    /// The form for one part of the matrix: remembered, measured or by the rule, as the user has it.
    ///
    /// Measuring overwrites this product's input and output: it is done while a session is made, and leaves zeros.
    ///
    /// # Errors
    /// A shader that the device refuses; a lost device; Ctrl-C.
    pub fn form(&self, gpu: &Gpu, part: &Part, up: Option<&Part>, tokens: usize) -> Result<Form> {
        let job = Job { format: part.format, dual: up.is_some(), rows: part.rows, columns: self.matrix.columns, tokens };
        let rule = forms::likely(gpu, job);
        if *gpu.tuning() == Tuning::Rule {
            return Ok(rule);
        }
        if let Some(measured) = gpu.memo().recall::<Measured>(&job.fact()) {
            // A file may come from elsewhere: only what could have been chosen here is.
            if measured.form.is_sound(gpu, job.dual) {
                return Ok(measured.form);
            }
        }
        let candidates = forms::candidates(gpu, job);
        let wanted = match gpu.tuning() {
            Tuning::Measure => true,
            // A software driver takes longer to compile the candidates than most runs take in all.
            Tuning::Auto => !gpu.summary().software && part.rows * self.matrix.columns >= WORTH,
            _ => false,
        };
        if !wanted || candidates.len() == 1 {
            return Ok(rule);
        }
        // No more than there is room for.
        let room = (self.x.bytes() - self.x_offset) / (self.x_stride as u64 * 4);
        let tokens = tokens.min(room as usize).min(self.y.bytes() as usize / (self.y_stride * 4));
        let trial = Trial { product: self, gpu, part, up, tokens };
        // Once per device: not a part of what anybody's run takes.
        let measured = gpu.memory().aside(|| trial.measure(&candidates))?;
        gpu.memo().remember(&job.fact(), &measured);
        Ok(measured.form)
    }
}

struct Trial<'a> {
    product: &'a Product<'a>,
    gpu: &'a Gpu,
    part: &'a Part,
    up: Option<&'a Part>,
    tokens: usize,
}

impl Trial<'_> {
    /// Runs every candidate; the first one says what the results should be.
    fn measure(&self, candidates: &[Form]) -> Result<Measured> {
        self.write_input(|index| ((index * 2_654_435_761) % 2048) as f32 / 1024.0 - 1.0);
        let counts = Counts { rows: self.tokens as u32, splits: 1 };
        let mut contestants: Vec<(Form, Step, usize, f64)> = Vec::new();
        let mut right: Option<Vec<f32>> = None;
        for &form in candidates {
            interrupt::check()?;
            let step = match self.product.step(self.gpu, self.part, self.up, form) {
                Ok(step) => step,
                // The rule's own form has to work; another one that a driver refuses is no loss.
                Err(error) if right.is_none() => return Err(error),
                Err(_) => continue,
            };
            self.clear_output();
            self.gpu.run(&[&step], counts)?;
            let results = self.results()?;
            match &right {
                None => right = Some(results),
                Some(right) if !agree(right, &results) => continue,
                Some(_) => {}
            }
            let ms = self.time(&step, 1, counts)?;
            let repeats = ((ROUND_MS / ms.max(1e-3)) as usize).clamp(1, 64);
            contestants.push((form, step, repeats, f64::MAX));
        }
        // In turns: what disturbs the machine for a while disturbs all of them.
        for _ in 0..ROUNDS {
            for (_, step, repeats, best) in &mut contestants {
                interrupt::check()?;
                *best = best.min(self.time(step, *repeats, counts)?);
            }
        }
        self.clear_output();
        self.write_input(|_| 0.0);
        contestants.sort_by(|a, b| a.3.total_cmp(&b.3));
        let mut times = contestants.into_iter().map(|(form, _, _, ms)| (form, ms));
        let (form, ms) = times.next().unwrap_or((candidates[0], 0.0));
        Ok(Measured { form, ms, slower: times.collect() })
    }

    /// Milliseconds of one run, of several in one submission.
    fn time(&self, step: &Step, repeats: usize, counts: Counts) -> Result<f64> {
        let begun = Instant::now();
        self.gpu.run(&vec![step; repeats], counts)?;
        Ok(begun.elapsed().as_secs_f64() * 1e3 / repeats as f64)
    }

    fn write_input(&self, value: impl Fn(usize) -> f32) {
        let call = [self.tokens as u32, 0, 0, 1];
        self.gpu.write(self.product.call, 0, bytemuck::cast_slice(&call));
        let values: Vec<f32> = (0..self.tokens * self.product.x_stride).map(value).collect();
        self.gpu.write(self.product.x, self.product.x_offset, bytemuck::cast_slice(&values));
    }

    fn clear_output(&self) {
        self.gpu.write(self.product.y, 0, &vec![0; self.tokens * self.product.y_stride * 4]);
    }

    fn results(&self) -> Result<Vec<f32>> {
        let count = self.tokens * self.product.y_stride;
        let staging = self.gpu.buffer("a trial's results", count as u64 * 4, Purpose::Scratch, Usage::Readback)?;
        self.gpu.read(self.product.y, 0, count, &staging)
    }
}

fn agree(right: &[f32], found: &[f32]) -> bool {
    let largest = right.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    // Negated, so that a NaN disagrees.
    right.iter().zip(found).all(|(right, found)| (right - found).abs() <= TOLERANCE * largest)
}

#[cfg(test)]
mod tests {
    use super::agree;

    #[test]
    fn what_is_wrong_is_seen() {
        assert!(agree(&[1.0, -50.0], &[1.05, -50.0]));
        assert!(!agree(&[1.0, -50.0], &[1.2, -50.0]));
        assert!(!agree(&[1.0, -50.0], &[f32::NAN, -50.0]));
    }
}
