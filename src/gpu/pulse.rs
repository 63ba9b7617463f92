//! A pulse: a fixed piece of arithmetic and a fixed read, a few milliseconds each, whose times tell whether the machine is still the one that it
//! was. Heat, a power limit and other programs slow both a benchmark and its pulse.

use super::{Buffer, Count, Counts, Gpu, Purpose, Step, Usage};
use crate::error::Result;
use crate::interrupt;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

/// A beat's two parts take about so long each: long beside what a submission costs, short beside what is measured.
const PART_MS: f64 = 2.0;

/// Submissions of one part in a beat, at most.
const MOST_RUNS: usize = 4096;

/// What is read: more than a CPU's second-level cache holds, little enough to be there on any device.
const READ_BYTES: u64 = 16 << 20;

/// The prepared pulse of a device.
pub struct Pulse {
    gpu: Arc<Gpu>,
    arithmetic: Part,
    read: Part,
}

/// One of its two kernels, with the memory that it holds.
struct Part {
    step: Step,
    runs: usize,
    _buffers: Vec<Buffer>,
}

/// How long the parts of one beat took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beat {
    pub arithmetic_ms: f64,
    pub read_ms: f64,
}

impl Pulse {
    /// Compiles both kernels and finds out how many runs of each make a part.
    ///
    /// # Errors
    /// No room; Ctrl-C; a lost device.
    pub fn new(gpu: &Arc<Gpu>) -> Result<Pulse> {
        let (workgroup, workgroups) = if gpu.summary().software { (8u64, 16u64) } else { (256, 256) };
        let grid = [Count::Of(workgroups as u32), Count::Of(1), Count::Of(1)];
        let results = gpu.buffer("the pulse's results", (workgroup * workgroups + 1) * 4, Purpose::Scratch, Usage::Storage)?;
        // Chains go to a limit of 0.5: neither denormal nor infinite.
        gpu.write(&results, 0, bytemuck::bytes_of(&0.5f32));
        let parameters = json!({ "type": "f32", "width": 4, "workgroup": workgroup, "turns": 256 });
        let kernel = gpu.kernel("probe_arithmetic.wgsl", &parameters)?;
        let arithmetic = gpu.step("pulse", &kernel, vec![results.binding()], grid)?;

        let piece = 64 * workgroup * workgroups;
        let bytes = READ_BYTES.min(gpu.limits().max_storage_buffer_binding_size) / piece * piece;
        let data = gpu.buffer("the pulse's data", bytes, Purpose::Scratch, Usage::Storage)?;
        // Memory that was never written may not even be there: reading it would be too fast.
        let words: Vec<u32> = (0..bytes as u32 / 4).map(|word| word.wrapping_mul(2_654_435_761)).collect();
        gpu.write(&data, 0, bytemuck::cast_slice(&words));
        gpu.flush()?;
        let sums = gpu.buffer("the pulse's sums", piece / 16, Purpose::Scratch, Usage::Storage)?;
        let parameters = json!({ "workgroup": workgroup, "workgroups": workgroups, "units": bytes / 16 });
        let kernel = gpu.kernel("probe_read.wgsl", &parameters)?;
        let read = gpu.step("pulse", &kernel, vec![data.binding(), sums.binding()], grid)?;

        let mut pulse = Pulse {
            gpu: Arc::clone(gpu),
            arithmetic: Part { step: arithmetic, runs: 1, _buffers: vec![results] },
            read: Part { step: read, runs: 1, _buffers: vec![data, sums] },
        };
        for _ in 0..3 {
            let beat = pulse.beat()?;
            let longer = |runs: usize, ms: f64| ((runs as f64 * PART_MS / ms.max(1e-3)).ceil() as usize).clamp(1, MOST_RUNS);
            pulse.arithmetic.runs = longer(pulse.arithmetic.runs, beat.arithmetic_ms);
            pulse.read.runs = longer(pulse.read.runs, beat.read_ms);
        }
        Ok(pulse)
    }

    /// Runs both parts once.
    ///
    /// # Errors
    /// Ctrl-C; a lost device.
    pub fn beat(&self) -> Result<Beat> {
        let time = |part: &Part| -> Result<f64> {
            interrupt::check()?;
            let steps = vec![&part.step; part.runs];
            let begun = Instant::now();
            self.gpu.run(&steps, Counts { rows: 1, positions: 1 })?;
            Ok(begun.elapsed().as_secs_f64() * 1e3)
        };
        Ok(Beat { arithmetic_ms: time(&self.arithmetic)?, read_ms: time(&self.read)? })
    }
}
