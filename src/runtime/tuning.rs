//! Choosing forms by measuring: every candidate runs on the device with the buffers that it is for, and the fastest one whose results are right is remembered.

use crate::error::{Error, Result};
use crate::gpu::{Counts, Gpu, Step, Tuning};
use crate::{interrupt, terminal};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Once;
use std::time::Instant;

/// Time for all repetitions of one candidate in one round.
const ROUND_MS: f64 = 4.0;

const ROUNDS: usize = 5;

const MOST_REPEATS: usize = 64;

/// The share of the largest result by which forms may differ: they add up in different orders, some of them half floats.
const TOLERANCE: f32 = 2e-3;

/// What was measured for a job: the fastest form first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured<Form> {
    pub form: Form,
    pub ms: f64,
    /// The others that were tried.
    pub slower: Vec<(Form, f64)>,
}

/// Something that can be done in several forms, on buffers that are there.
pub(super) trait Contest {
    type Form: Copy + PartialEq + Serialize + DeserializeOwned;

    /// The steps of one form.
    fn steps(&self, form: Self::Form) -> Result<Vec<Step>>;

    /// What the steps are run with.
    fn counts(&self) -> Counts;

    /// Writes the input.
    fn begin(&self);

    /// Whether what is read comes from memory in a run of a model, though a trial that is repeated would find it in the device's caches.
    fn is_cold(&self) -> bool;

    /// Writes zeros over the output.
    fn clear(&self);

    /// The output.
    fn results(&self) -> Result<Vec<f32>>;

    /// Writes zeros where the input was.
    fn end(&self);
}

/// The form for a job called `fact`: remembered, measured or by the rule (the first candidate), as the user has it. `worth`: whether the choice matters.
///
/// # Errors
/// No candidates: a device that no form was made for. A shader that the device refuses; a lost device; Ctrl-C.
pub(super) fn choose<C: Contest>(
    gpu: &Gpu,
    fact: &str,
    candidates: &[C::Form],
    worth: bool,
    is_sound: impl Fn(C::Form) -> bool,
    contest: impl FnOnce() -> C,
) -> Result<C::Form> {
    let Some(&rule) = candidates.first() else {
        return Err(Error::new(format!("{} can do no form of {fact}", gpu.summary().name))
            .remedy("please report it, with the output of `caramba devices`; another --backend may do"));
    };
    if *gpu.tuning() == Tuning::Rule {
        return Ok(rule);
    }
    if let Some(measured) = gpu.memo().recall::<Measured<C::Form>>(fact) {
        // A file may come from elsewhere: only what could have been chosen here is.
        if is_sound(measured.form) {
            return Ok(measured.form);
        }
    }
    let wanted = match gpu.tuning() {
        Tuning::Measure => true,
        // A software driver takes longer to compile the candidates than most runs take in all.
        Tuning::Auto => worth && !gpu.summary().software,
        _ => false,
    };
    if !wanted || candidates.len() == 1 {
        return Ok(rule);
    }
    static SAID: Once = Once::new();
    SAID.call_once(|| terminal::note(&format!("measuring which kernels are fastest on {}: this is done once", gpu.summary().name)));
    // Once per device: not a part of what anybody's run takes.
    let measured = gpu.memory().aside(|| measure(gpu, &contest(), candidates))?;
    gpu.memo().remember(fact, &measured);
    Ok(measured.form)
}

/// Runs every candidate; the first one says what the results should be.
fn measure<C: Contest>(gpu: &Gpu, contest: &C, candidates: &[C::Form]) -> Result<Measured<C::Form>> {
    contest.begin();
    let counts = contest.counts();
    // Without room for it, what is measured is a little less like what will be.
    let flush = if contest.is_cold() { gpu.flush_caches().ok() } else { None };
    let flush = flush.as_ref().map(|flush| &flush.step);
    let flush_ms = match flush {
        Some(_) => time(gpu, flush, &[], 4, counts)?,
        None => 0.0,
    };
    let mut contestants: Vec<(C::Form, Vec<Step>, usize, f64)> = Vec::new();
    let mut right: Option<Vec<f32>> = None;
    for &form in candidates {
        interrupt::check()?;
        let steps = match contest.steps(form) {
            Ok(steps) => steps,
            // The rule's own form has to work; another one that a driver refuses is no loss.
            Err(error) if right.is_none() => return Err(error),
            Err(_) => continue,
        };
        contest.clear();
        gpu.run(&steps.iter().collect::<Vec<_>>(), counts)?;
        let results = contest.results()?;
        match &right {
            None => right = Some(results),
            Some(right) if !agree(right, &results) => continue,
            Some(_) => {}
        }
        let ms = time(gpu, None, &steps, 1, counts)?;
        let repeats = ((ROUND_MS / (ms + flush_ms).max(1e-3)) as usize).clamp(1, MOST_REPEATS);
        contestants.push((form, steps, repeats, f64::MAX));
    }
    // In turns: what disturbs the machine for a while disturbs all of them.
    let mut flushing = f64::MAX;
    for _ in 0..ROUNDS {
        if flush.is_some() {
            flushing = flushing.min(time(gpu, flush, &[], ((ROUND_MS / flush_ms.max(1e-3)) as usize).clamp(1, MOST_REPEATS), counts)?);
        }
        for (_, steps, repeats, best) in &mut contestants {
            interrupt::check()?;
            *best = best.min(time(gpu, flush, steps, *repeats, counts)?);
        }
    }
    if flush.is_some() {
        contestants.iter_mut().for_each(|(.., ms)| *ms = (*ms - flushing).max(0.0));
    }
    contest.clear();
    contest.end();
    contestants.sort_by(|a, b| a.3.total_cmp(&b.3));
    let mut times = contestants.into_iter().map(|(form, _, _, ms)| (form, ms));
    let (form, ms) = times.next().unwrap_or((candidates[0], 0.0));
    Ok(Measured { form, ms, slower: times.collect() })
}

/// Milliseconds of one run, of several in one submission; with `flush` before each of them.
fn time(gpu: &Gpu, flush: Option<&Step>, steps: &[Step], repeats: usize, counts: Counts) -> Result<f64> {
    let all: Vec<&Step> = (0..repeats).flat_map(|_| flush.into_iter().chain(steps)).collect();
    let begun = Instant::now();
    gpu.run(&all, counts)?;
    Ok(begun.elapsed().as_secs_f64() * 1e3 / repeats as f64)
}

fn agree(right: &[f32], found: &[f32]) -> bool {
    let largest = right.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    // Negated, so that a NaN disagrees.
    right.iter().zip(found).all(|(right, found)| (right - found).abs() <= TOLERANCE * largest)
}

/// Numbers below 2048 without a pattern that a kernel could hide behind.
pub(super) fn noise(index: usize) -> u32 {
    (index as u32).wrapping_mul(2_654_435_761) >> 21
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
