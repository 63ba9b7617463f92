//! The steps that choose a token from logits, by the options of a generation.

use super::plan::logits_stride;
use super::{GenerateOptions, Session};
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Count, Purpose, Step, Usage};
use serde_json::json;
use std::cell::OnceCell;

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    greedy: bool,
    penalised: bool,
}

impl Choice {
    pub const GREEDY: Choice = Choice { greedy: true, penalised: false };

    pub fn of(options: &GenerateOptions) -> Choice {
        Choice { greedy: options.temperature == 0.0, penalised: options.repetition_penalty != 1.0 }
    }
}

/// What choosing by options needs: made at its first use.
pub(super) struct Sampler {
    /// Where the steps read the options.
    options: Buffer,
    sampled: Step,
    penalised: OnceCell<Penalised>,
}

/// The steps that choose from penalised logits.
struct Penalised {
    penalty: Step,
    greedy: Step,
    sampled: Step,
    #[expect(dead_code, reason = "steps are bound to it; the accounting needs it alive")]
    logits: Buffer,
}

impl Session {
    /// The steps of a choice, in their order; [`Session::prepare_sampler`] has made them.
    pub(super) fn choosers(&self, choice: Choice) -> Vec<&Step> {
        let sampler = self.sampler.get();
        let penalised = sampler.and_then(|sampler| sampler.penalised.get()).filter(|_| choice.penalised);
        match (penalised, sampler) {
            (Some(steps), _) => vec![&steps.penalty, if choice.greedy { &steps.greedy } else { &steps.sampled }],
            (None, Some(sampler)) if !choice.greedy => vec![&sampler.sampled],
            _ => vec![&self.greedy],
        }
    }

    /// Writes the options where the steps read them, making those at their first use.
    pub(super) fn prepare_sampler(&self, options: &GenerateOptions) -> Result<()> {
        let choice = Choice::of(options);
        if choice == Choice::GREEDY {
            return Ok(());
        }
        if self.sampler.get().is_none() {
            let buffer = self.gpu().buffer("the sampling options", 32, Purpose::Scratch, Usage::Storage)?;
            let sampled = self.chooser(&self.logits, Some(&buffer))?;
            // Nobody else can have set it meanwhile: sessions are not shared.
            let _ = self.sampler.set(Sampler { options: buffer, sampled, penalised: OnceCell::new() });
        }
        let Some(sampler) = self.sampler.get() else { return Ok(()) };
        if choice.penalised && sampler.penalised.get().is_none() {
            let _ = sampler.penalised.set(self.penalised(&sampler.options)?);
        }
        let words = [
            options.temperature.to_bits(),
            options.top_p.to_bits(),
            u32::try_from(options.top_k).unwrap_or(u32::MAX),
            options.seed as u32,
            (options.seed >> 32) as u32,
            options.min_p.to_bits(),
            options.repetition_penalty.to_bits(),
            u32::try_from(options.repetition_window).unwrap_or(0),
        ];
        self.gpu().write(&sampler.options, 0, bytemuck::cast_slice(&words));
        Ok(())
    }

    /// A step that chooses from `logits`: the largest one where there are no options.
    pub(super) fn chooser(&self, logits: &Buffer, options: Option<&Buffer>) -> Result<Step> {
        let gpu = self.gpu();
        // The largest of many thousands: as many lanes as there are, on a graphics card. What sampling keeps of each lane has less room.
        let most = gpu.limits().max_compute_invocations_per_workgroup.min(1024);
        let workgroup = match options {
            Some(_) => 256,
            // Its lanes are one core's: the fewer, the fewer wait at a barrier.
            None if gpu.summary().software => 64,
            None => 1 << most.ilog2(),
        };
        let parameters = json!({
            "greedy": options.is_none(), "vocab": self.architecture().vocab, "stride": logits_stride(self.network()), "workgroup": workgroup, "ways": 7,
        });
        let pass = self.decode.as_ref().unwrap_or(&self.prefill);
        let mut bindings =
            vec![logits.binding(), self.history.binding(), pass.rows.binding(), self.lengths_buffer().binding(), pass.call.binding()];
        bindings.extend(options.map(Buffer::binding));
        let label = if options.is_none() { "greedy choice" } else { "sampling" };
        gpu.step(label, &gpu.kernel("sample.wgsl", &parameters)?, bindings, self.one_for_each_sequence())
    }

    fn penalised(&self, options: &Buffer) -> Result<Penalised> {
        let gpu = self.gpu();
        let stride = logits_stride(self.network());
        let bytes = (self.options().sequences * stride * 4) as u64;
        let logits = gpu.buffer("the penalised logits", bytes, Purpose::Activations, Usage::Storage)?;
        let pass = self.decode.as_ref().unwrap_or(&self.prefill);
        let kernel = gpu.kernel("penalty.wgsl", &json!({ "vocab": self.architecture().vocab, "stride": stride, "workgroup": 256 }))?;
        let bindings = vec![
            self.logits.binding(),
            self.history.binding(),
            self.lengths_buffer().binding(),
            pass.call.binding(),
            options.binding(),
            logits.binding(),
        ];
        let penalty = gpu.step("repetition penalty", &kernel, bindings, self.one_for_each_sequence())?;
        Ok(Penalised { penalty, greedy: self.chooser(&logits, None)?, sampled: self.chooser(&logits, Some(options))?, logits })
    }

    fn one_for_each_sequence(&self) -> [Count; 3] {
        [Count::Of(self.options().sequences as u32), Count::Of(1), Count::Of(1)]
    }
}

impl GenerateOptions {
    /// # Errors
    /// An option that is out of its range.
    pub fn check(&self) -> Result<()> {
        let check = |name: &str, value: f32, is_right: bool, expected: &str| match is_right {
            true => Ok(()),
            false => Err(Error::new(format!("{name} is {value}: expected {expected}"))),
        };
        let GenerateOptions { temperature, top_p, min_p, repetition_penalty, .. } = *self;
        check("temperature", temperature, temperature >= 0.0 && temperature.is_finite(), "0 (greedy) or more")?;
        check("top_p", top_p, top_p > 0.0 && top_p <= 1.0, "a proportion above 0, at most 1")?;
        check("min_p", min_p, (0.0..=1.0).contains(&min_p), "a proportion from 0 (all tokens) to 1")?;
        let is_penalty = repetition_penalty > 0.0 && repetition_penalty.is_finite();
        check("repetition_penalty", repetition_penalty, is_penalty, "more than 0; 1 changes nothing, 1.1 is mild")
    }
}
