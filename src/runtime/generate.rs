//! Decode and generate: tokens are chosen on the device and fed to the next step there.

use super::plan::{SPLIT, logits_stride};
use super::{GenerateOptions, Generated, Session};
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Count, Counts, Purpose, Step, Usage};
use crate::interrupt;
use serde_json::json;
use std::time::Instant;

impl Session {
    /// `steps` greedy tokens for every sequence; end-of-text is ignored. A step chooses a token from the logits that are there and
    /// computes the next ones, so that prefill and decode together are all the work there is.
    ///
    /// # Errors
    /// Nothing was prefilled; steps beyond the context; Ctrl-C.
    pub fn decode(&mut self, steps: usize) -> Result<Generated> {
        let starts = self.lengths().to_vec();
        self.check_room(steps)?;
        let step_ms = self.run_steps(steps, Choice::Greedy)?;
        let tokens = self.read_tokens(&starts)?;
        let ended = vec![false; tokens.len()];
        Ok(Generated { tokens, step_ms, ended })
    }

    /// Tokens chosen by `options`; `on_tokens(sequence, tokens)` hears of them as they arrive.
    ///
    /// Sequences that have ended are cut off after their end-of-text token while the others go on.
    ///
    /// # Errors
    /// As [`Session::decode`]; options that are out of range.
    pub fn generate(&mut self, options: &GenerateOptions, on_tokens: &mut dyn FnMut(usize, &[u32])) -> Result<Generated> {
        check_options(options)?;
        self.need_logits()?;
        let starts = self.lengths().to_vec();
        self.check_room(options.max_tokens)?;
        let choice = if options.temperature == 0.0 { Choice::Greedy } else { Choice::Sampled };
        if choice == Choice::Sampled {
            self.write_sampling(options)?;
        }
        let ends = if options.stop_at_end { self.architecture().eos.clone() } else { Vec::new() };
        let sequences = starts.len();
        let mut generated = Generated { tokens: vec![Vec::new(); sequences], step_ms: Vec::new(), ended: vec![false; sequences] };
        let mut lengths = starts.clone();
        let mut made = 0;
        let mut batch = 1;
        while made < options.max_tokens && !generated.ended.iter().all(|&ended| ended) {
            let count = batch.min(options.max_tokens - made);
            let before = self.lengths().to_vec();
            let times = self.run_steps(count, choice)?;
            // As many steps between two looks as take about a twentieth of a second: soon enough to read along.
            let mean = times.iter().sum::<f64>() / times.len().max(1) as f64;
            batch = ((50.0 / mean.max(0.01)) as usize).clamp(1, 32);
            generated.step_ms.extend(times);
            made += count;
            for (sequence, tokens) in self.read_tokens(&before)?.into_iter().enumerate() {
                if generated.ended[sequence] {
                    continue;
                }
                let end = tokens.iter().position(|token| ends.contains(token));
                let kept = &tokens[..end.unwrap_or(tokens.len())];
                generated.tokens[sequence].extend_from_slice(kept);
                generated.ended[sequence] = end.is_some();
                // The end-of-text token itself is part of the sequence, but not of its text.
                lengths[sequence] = before[sequence] + kept.len() + usize::from(end.is_some());
                if !kept.is_empty() {
                    on_tokens(sequence, kept);
                }
            }
        }
        if self.lengths() != lengths {
            self.has_logits = false;
            self.set_lengths(lengths);
        }
        Ok(generated)
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

    /// Runs steps one submission each, the next one recorded while the device works; returns the wall time of each in milliseconds.
    fn run_steps(&mut self, steps: usize, choice: Choice) -> Result<Vec<f64>> {
        let mut times = Vec::with_capacity(steps);
        let mut finished = Instant::now();
        let mut earlier: Option<wgpu::SubmissionIndex> = None;
        let mut observe = |session: &Session, submission: Option<wgpu::SubmissionIndex>| -> Result<()> {
            if let Some(submission) = submission {
                session.gpu().wait_for(Some(submission))?;
                let now = Instant::now();
                times.push((now - finished).as_secs_f64() * 1e3);
                finished = now;
            }
            Ok(())
        };
        for _ in 0..steps {
            interrupt::check()?;
            let submission = self.step(choice)?;
            observe(self, earlier.replace(submission))?;
        }
        observe(self, earlier)?;
        Ok(times)
    }

    /// Chooses a token for every sequence and computes the logits that follow.
    fn step(&mut self, choice: Choice) -> Result<wgpu::SubmissionIndex> {
        let lengths: Vec<usize> = self.lengths().iter().map(|length| length + 1).collect();
        let sequences = lengths.len() as u32;
        let sampler = match choice {
            Choice::Greedy => &self.greedy,
            Choice::Sampled => self.sampled.get().map(|(step, _)| step).unwrap_or(&self.greedy),
        };
        let one = Counts { rows: sequences, splits: 1 };
        let Some(decode) = &self.decode else {
            self.submit(|pass| sampler.record(pass, one));
            self.note_lengths(lengths);
            let rows = self.rows_from(&[]);
            self.run_chunk(&rows, |_, _| Ok(()))?;
            self.write_call(&self.prefill, sequences as usize);
            return Ok(self.submit(|pass| self.prefill.head.iter().for_each(|step| step.record(pass, one))));
        };
        let counts = self.decode_counts(&lengths);
        let submission = self.submit(|pass| {
            sampler.record(pass, counts);
            decode.plan.record(pass, counts);
            decode.head.iter().for_each(|step| step.record(pass, counts));
        });
        self.note_lengths(lengths);
        Ok(submission)
    }

    /// How a decode step that leaves `lengths` positions is shared out.
    pub(super) fn decode_counts(&self, lengths: &[usize]) -> Counts {
        let longest = lengths.iter().copied().max().unwrap_or(1);
        let splits = if self.options().context > SPLIT { longest.div_ceil(SPLIT) as u32 } else { 1 };
        Counts { rows: lengths.len() as u32, splits }
    }

    /// Tokens from position `starts` on, per sequence.
    fn read_tokens(&self, starts: &[usize]) -> Result<Vec<Vec<u32>>> {
        let stride = self.options().context + 1;
        let range = |(sequence, (&start, &length)): (usize, (&usize, &usize))| {
            self.gpu().read::<u32>(&self.history, sequence * stride + start, length - start, &self.staging)
        };
        starts.iter().zip(self.lengths()).enumerate().map(range).collect()
    }

    /// Writes the options where the sampler reads them, making it at its first use.
    fn write_sampling(&mut self, options: &GenerateOptions) -> Result<()> {
        if self.sampled.get().is_none() {
            let sampler = self.sampler()?;
            // Nobody else can have set it meanwhile: sessions are not shared.
            let _ = self.sampled.set(sampler);
        }
        if let Some((_, buffer)) = self.sampled.get() {
            let words = [
                options.temperature.to_bits(),
                options.top_p.to_bits(),
                u32::try_from(options.top_k).unwrap_or(u32::MAX),
                options.seed as u32,
                (options.seed >> 32) as u32,
                0,
                0,
                0,
            ];
            self.gpu().write(buffer, 0, bytemuck::cast_slice(&words));
        }
        Ok(())
    }

    fn sampler(&self) -> Result<(Step, Buffer)> {
        let gpu = self.gpu();
        let buffer = gpu.buffer("the sampling options", 32, Purpose::Scratch, Usage::Storage)?;
        let parameters = json!({
            "greedy": false, "vocab": self.architecture().vocab, "stride": logits_stride(self.network()), "workgroup": 256, "ways": 7,
        });
        let pass = self.decode.as_ref().unwrap_or(&self.prefill);
        let bindings = vec![
            self.logits.binding(),
            self.history.binding(),
            pass.rows.binding(),
            self.lengths_buffer().binding(),
            pass.call.binding(),
            buffer.binding(),
        ];
        let grid = [Count::Of(self.options().sequences as u32), Count::Of(1), Count::Of(1)];
        Ok((gpu.step("sampling", &gpu.kernel("sample.wgsl", &parameters)?, bindings, grid)?, buffer))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Greedy,
    Sampled,
}

fn check_options(options: &GenerateOptions) -> Result<()> {
    let bad = |name: &str, value: f32, expected: &str| Err(Error::new(format!("{name} is {value}: expected {expected}")));
    if !(options.temperature >= 0.0 && options.temperature.is_finite()) {
        return bad("temperature", options.temperature, "0 (greedy) or more");
    }
    if !(options.top_p > 0.0 && options.top_p <= 1.0) {
        return bad("top_p", options.top_p, "a proportion above 0, at most 1");
    }
    Ok(())
}
