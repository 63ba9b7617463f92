//! Decode and generate: tokens are chosen on the device and fed to the next step there.

use super::sampler::Choice;
use super::{GenerateOptions, Generated, Session, Stopped};
use crate::error::{Error, Result};
use crate::gpu::Counts;
use crate::interrupt;
use std::time::Instant;

/// Steps that are submitted together take about so long: a small part of what a desktop's watchdog allows, and soon enough for Ctrl-C.
const SUBMISSION_MS: f64 = 10.0;

/// What a token's text is depends on those before it: on the last few, for a character takes at most four.
pub const CONTEXT_TOKENS: usize = 16;

/// Hears of the tokens of a sequence as they arrive: how many of them to keep where the sequence is to stop with them, `None` where it goes on.
pub type OnTokens<'a> = dyn FnMut(usize, &[u32]) -> Result<Option<usize>> + 'a;

/// What steps took.
#[derive(Default)]
struct Times {
    step_ms: Vec<f64>,
    /// The host's part in them: recording and submitting.
    record_ms: f64,
}

impl Session {
    /// `steps` greedy tokens for every sequence; end-of-text is ignored. A step chooses a token from the logits that are there and
    /// computes the next ones, so that prefill and decode together are all the work there is.
    ///
    /// # Errors
    /// Nothing was prefilled; steps beyond the context; Ctrl-C.
    pub fn decode(&mut self, steps: usize) -> Result<Generated> {
        self.make_logits()?;
        let starts = self.lengths().to_vec();
        self.check_room(steps)?;
        let before = self.contexts();
        let Times { step_ms, record_ms } = self.run_steps(steps, Choice::GREEDY)?;
        let tokens = self.read_tokens(&starts)?;
        self.check_logits()?;
        let ended = vec![false; tokens.len()];
        let stopped = vec![Stopped::Length; tokens.len()];
        Ok(Generated { before, tokens, step_ms, record_ms, ended, stopped, ..Generated::default() })
    }

    /// Tokens chosen by `options`; `on_tokens(sequence, tokens)` hears of them as they arrive.
    ///
    /// Sequences that have ended are cut off after their end-of-text token while the others go on.
    ///
    /// # Errors
    /// As [`Session::decode`]; options that are out of range.
    pub fn generate(&mut self, options: &GenerateOptions, on_tokens: &mut dyn FnMut(usize, &[u32])) -> Result<Generated> {
        self.generate_until(options, &mut |sequence, tokens| {
            on_tokens(sequence, tokens);
            Ok(None)
        })
    }

    /// As [`Session::generate`], with an `on_tokens` that may stop a sequence (at a stop string, say).
    ///
    /// # Errors
    /// As [`Session::generate`]; those of `on_tokens`.
    pub fn generate_until(&mut self, options: &GenerateOptions, on_tokens: &mut OnTokens) -> Result<Generated> {
        options.check()?;
        self.make_logits()?;
        let starts = self.lengths().to_vec();
        self.check_room(options.max_tokens)?;
        let choice = Choice::of(options);
        self.prepare_sampler(options)?;
        let ends = if options.stop_at_end { self.architecture().eos.clone() } else { Vec::new() };
        let sequences = starts.len();
        let before = self.contexts();
        self.check_logits()?;
        let mut generated = Generated {
            before,
            tokens: vec![Vec::new(); sequences],
            ended: vec![false; sequences],
            stopped: vec![Stopped::Length; sequences],
            likeliest: vec![Vec::new(); sequences],
            ..Generated::default()
        };
        let is_done = |generated: &Generated| (0..sequences).all(|at| generated.ended[at] || generated.stopped[at] != Stopped::Length);
        let mut lengths = starts.clone();
        let mut made = 0;
        let mut batch = 1;
        while made < options.max_tokens && !is_done(&generated) {
            let count = if options.likeliest > 0 { 1 } else { batch.min(options.max_tokens - made) };
            let likeliest = if options.likeliest > 0 { self.likeliest(options.likeliest)? } else { Vec::new() };
            let before = self.lengths().to_vec();
            let times = self.run_steps(count, choice)?;
            // As many steps between two looks as take about a twentieth of a second: soon enough to read along.
            let mean = times.step_ms.iter().sum::<f64>() / times.step_ms.len().max(1) as f64;
            batch = ((50.0 / mean.max(0.01)) as usize).clamp(1, 32);
            generated.step_ms.extend(times.step_ms);
            generated.record_ms += times.record_ms;
            made += count;
            for (sequence, tokens) in self.read_tokens(&before)?.into_iter().enumerate() {
                if generated.stopped[sequence] != Stopped::Length {
                    continue;
                }
                let end = tokens.iter().position(|token| ends.contains(token));
                let text = &tokens[..end.unwrap_or(tokens.len())];
                let asked = if text.is_empty() { None } else { on_tokens(sequence, text)? };
                let kept = &text[..asked.unwrap_or(text.len()).min(text.len())];
                generated.tokens[sequence].extend_from_slice(kept);
                generated.likeliest[sequence].extend(likeliest.get(sequence).filter(|_| !kept.is_empty()).cloned());
                generated.ended[sequence] = asked.is_none() && end.is_some();
                generated.stopped[sequence] = match (asked, end) {
                    (Some(_), _) => Stopped::Asked,
                    (None, Some(_)) => Stopped::EndOfText,
                    (None, None) => Stopped::Length,
                };
                // The end-of-text token itself is part of the sequence, but not of its text.
                lengths[sequence] = before[sequence] + kept.len() + usize::from(generated.ended[sequence]);
            }
        }
        self.check_logits()?;
        if self.lengths() != lengths {
            self.has_logits = false;
            self.set_lengths(lengths);
        }
        Ok(generated)
    }

    /// The likeliest tokens after every sequence with their natural log-probabilities, the likeliest first.
    ///
    /// # Errors
    /// Nothing was prefilled; logits that are no numbers; a lost device.
    pub fn likeliest(&mut self, count: usize) -> Result<Vec<Vec<(u32, f32)>>> {
        let logits = self.logits()?;
        Ok(logits.chunks(self.architecture().vocab).map(|logits| likeliest_of(logits, count)).collect())
    }

    pub(super) fn check_room(&self, steps: usize) -> Result<()> {
        self.need_logits()?;
        let context = self.options().context;
        match self.lengths().iter().enumerate().find(|(_, length)| *length + steps > context) {
            Some((sequence, length)) => {
                Err(Error::new(format!("{length} positions are held and {steps} steps would exceed the session's context of {context}"))
                    .remedy("make the session with a larger `context`, or fewer steps")
                    .at(format!("sequence {sequence}")))
            }
            None => Ok(()),
        }
    }

    /// The last tokens of every sequence: enough for the text of those that follow.
    fn contexts(&self) -> Vec<Vec<u32>> {
        (0..self.lengths().len()).map(|sequence| self.last_tokens(sequence, CONTEXT_TOKENS).to_vec()).collect()
    }

    /// Runs steps, the next ones recorded while the device works.
    fn run_steps(&mut self, steps: usize, choice: Choice) -> Result<Times> {
        let mut times = Times::default();
        let mut finished = Instant::now();
        let mut earlier: Option<(wgpu::SubmissionIndex, usize)> = None;
        let mut observe = |session: &Session, times: &mut Times, submission: Option<(wgpu::SubmissionIndex, usize)>| -> Result<()> {
            if let Some((submission, steps)) = submission {
                session.gpu().wait_for(Some(submission))?;
                let now = Instant::now();
                let ms = (now - finished).as_secs_f64() * 1e3 / steps as f64;
                times.step_ms.extend(std::iter::repeat_n(ms, steps));
                finished = now;
            }
            Ok(())
        };
        self.turn_ahead(steps);
        let mut left = steps;
        while left > 0 {
            interrupt::check()?;
            let together = self.together(&times.step_ms).min(left);
            let begun = Instant::now();
            let submission = self.submit_steps(together, choice)?;
            times.record_ms += begun.elapsed().as_secs_f64() * 1e3;
            observe(self, &mut times, earlier.replace((submission, together)))?;
            left -= together;
        }
        observe(self, &mut times, earlier)?;
        Ok(times)
    }

    /// How many steps to submit at once, by what they have taken: submitting costs a fast device a good part of a step, and a slow one nothing.
    fn together(&self, step_ms: &[f64]) -> usize {
        match step_ms.last() {
            // Without a cache, a step's rows are written by the host.
            Some(ms) if self.decode.is_some() => ((SUBMISSION_MS / ms.max(0.01)) as usize).clamp(1, 16),
            _ => 1,
        }
    }

    /// Chooses a token for every sequence and computes the logits that follow, so many times.
    fn submit_steps(&mut self, steps: usize, choice: Choice) -> Result<wgpu::SubmissionIndex> {
        let mut lengths = self.lengths().to_vec();
        let sequences = lengths.len() as u32;
        let choosers = self.choosers(choice);
        let one = Counts { rows: sequences, positions: 1 };
        let Some(decode) = &self.decode else {
            lengths.iter_mut().for_each(|length| *length += 1);
            self.submit(|pass| choosers.iter().for_each(|step| step.record(pass, one)));
            self.note_lengths(lengths);
            self.turn_ahead(0);
            let rows = self.rows_from(&[]);
            self.run_chunk(&rows, |_, _| Ok(()))?;
            self.write_call(&self.prefill, sequences as usize);
            return Ok(self.submit(|pass| self.prefill.head.iter().for_each(|step| step.record(pass, one))));
        };
        let submission = self.submit(|pass| {
            for _ in 0..steps {
                lengths.iter_mut().for_each(|length| *length += 1);
                let counts = self.decode_counts(&lengths);
                choosers.iter().for_each(|step| step.record(pass, counts));
                decode.plan.record(pass, counts);
                decode.head.iter().for_each(|step| step.record(pass, counts));
            }
        });
        self.note_lengths(lengths);
        Ok(submission)
    }

    /// How a decode step that leaves `lengths` positions is shared out.
    pub(super) fn decode_counts(&self, lengths: &[usize]) -> Counts {
        let longest = lengths.iter().copied().max().unwrap_or(1);
        Counts { rows: lengths.len() as u32, positions: longest as u32 }
    }

    /// Tokens from position `starts` on, per sequence.
    fn read_tokens(&mut self, starts: &[usize]) -> Result<Vec<Vec<u32>>> {
        let stride = self.options().context + 1;
        let range = |(sequence, (&start, &length)): (usize, (&usize, &usize))| {
            self.gpu().read::<u32>(&self.history, sequence * stride + start, length - start, &self.staging)
        };
        let read: Vec<Vec<u32>> = starts.iter().zip(self.lengths()).enumerate().map(range).collect::<Result<_>>()?;
        for (sequence, (start, tokens)) in starts.iter().zip(&read).enumerate() {
            self.note_tokens(sequence, *start, tokens);
        }
        Ok(read)
    }
}

/// The `count` largest of a row of logits, as log-probabilities; of equal ones the first.
fn likeliest_of(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|&logit| f64::from(logit - most).exp()).sum();
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let larger = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
    let count = count.min(order.len());
    if (1..order.len()).contains(&count) {
        order.select_nth_unstable_by(count - 1, larger);
    }
    order.truncate(count);
    order.sort_unstable_by(larger);
    order.into_iter().map(|token| (token, (f64::from(logits[token as usize] - most) - total.ln()) as f32)).collect()
}
