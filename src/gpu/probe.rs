//! What a device can do at best, measured through wgpu like everything else: the roofs of a roofline.

use super::{Buffer, Count, Counts, Gpu, Purpose, Step, Usage};
use crate::error::{Error, Result};
use crate::interrupt;
use serde_json::json;
use std::time::Instant;

/// Something to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Reading a buffer of so many bytes as a stream.
    Read { bytes: u64 },
    /// Multiply-adds of 32-bit floats in registers.
    F32,
    /// Multiply-adds of 16-bit floats in registers.
    F16,
    /// Multiply-adds of cooperative matrices: half floats, added up in f32.
    Matrices,
    /// A dispatch that does nothing, within a submission.
    Dispatch,
    /// A submission that does nothing, until the host knows that it is done.
    Submit,
}

/// Samples of a probe.
#[derive(Debug, Clone)]
pub struct Probed {
    /// Milliseconds of one run (one read of the buffer, one dispatch, ...), a sample each.
    pub ms: Vec<f64>,
    /// What one run does: bytes or multiply-adds; 0 where there is nothing to count.
    pub work: u64,
}

/// A step that leaves nothing else in the device's caches, and what it reads: a buffer is gone when it is dropped.
pub struct Flush {
    pub step: Step,
    _buffers: [Buffer; 2],
}

/// A sample takes at least so long: what submitting it costs is then lost in it.
const SAMPLE_MS: f64 = 20.0;

const DISPATCHES: usize = 256;

/// More than the caches of most devices hold.
const FLUSH_BYTES: u64 = 128 << 20;

/// So much is written at a time.
const FILL_BYTES: usize = 4 << 20;

impl Gpu {
    /// Measures, after a run that does not count.
    ///
    /// # Errors
    /// A probe that the device has no feature for; no room; Ctrl-C; a lost device.
    pub fn probe(&self, probe: Probe, samples: usize) -> Result<Probed> {
        match probe {
            Probe::Read { bytes } => self.probe_read(bytes, samples),
            Probe::F32 => self.probe_arithmetic("f32", samples),
            Probe::F16 if !self.has(wgpu::Features::SHADER_F16) => Err(Error::new("the device has no 16-bit floats in shaders")),
            Probe::F16 => self.probe_arithmetic("f16", samples),
            Probe::Matrices => self.probe_matrices(samples),
            Probe::Dispatch => self.probe_dispatch(samples),
            Probe::Submit => self.probe_submit(samples),
        }
    }

    fn probe_read(&self, bytes: u64, samples: usize) -> Result<Probed> {
        // Lanes of a workgroup, and workgroups: a piece for each core of a CPU; as many as fill a large device several times over.
        let cores = std::thread::available_parallelism().map_or(4, |count| count.get().next_power_of_two());
        let shapes = if self.summary().software { [(8, cores), (16, 64), (64, 64)] } else { [(256, 1024), (256, 4096), (64, 8192)] };
        let piece = shapes.iter().map(|(lanes, groups)| 64 * (lanes * groups) as u64).max().unwrap_or(1);
        let most = self.limits().max_storage_buffer_binding_size.min(self.limits().max_buffer_size);
        let bytes = (bytes.min(most) / piece).max(1) * piece;
        let data = self.buffer("the probe's data", bytes, Purpose::Scratch, Usage::Storage)?;
        // Memory that was never written may not even be there: reading it would be too fast.
        let words: Vec<u32> = (0..FILL_BYTES as u32 / 4).map(|word| word.wrapping_mul(2_654_435_761)).collect();
        for start in (0..bytes).step_by(FILL_BYTES) {
            let count = FILL_BYTES.min((bytes - start) as usize);
            self.write(&data, start, &bytemuck::cast_slice(&words)[..count]);
            self.flush()?;
        }
        let sums = self.buffer("the probe's sums", piece / 16, Purpose::Scratch, Usage::Storage)?;
        let step = |(workgroup, workgroups): (usize, usize)| {
            let kernel =
                self.kernel("probe_read.wgsl", &json!({ "workgroup": workgroup, "workgroups": workgroups, "units": bytes / 16 }))?;
            let grid = [Count::Of(workgroups as u32), Count::Of(1), Count::Of(1)];
            Ok((self.step("probe", &kernel, vec![data.binding(), sums.binding()], grid)?, bytes))
        };
        self.fastest(shapes.into_iter().map(step), samples)
    }

    /// A step that reads so much that nothing else is left in the device's caches.
    ///
    /// # Errors
    /// No room for it on the device.
    pub fn flush_caches(&self) -> Result<Flush> {
        let most = self.limits().max_storage_buffer_binding_size.min(self.limits().max_buffer_size);
        let (workgroup, workgroups, wanted) = if self.summary().software { (16, 64, 32 << 20) } else { (256, 1024, FLUSH_BYTES) };
        let piece = 64 * workgroup * workgroups;
        let bytes = (wanted.min(most) / piece).max(1) * piece;
        let data = self.buffer("what flushes caches", bytes, Purpose::Scratch, Usage::Storage)?;
        let sums = self.buffer("the flush's sums", workgroup * workgroups * 4, Purpose::Scratch, Usage::Storage)?;
        // Memory that was never written may not even be there.
        let zeros = vec![0; FILL_BYTES];
        for start in (0..bytes).step_by(FILL_BYTES) {
            self.write(&data, start, &zeros[..FILL_BYTES.min((bytes - start) as usize)]);
            self.flush()?;
        }
        let kernel = self.kernel("probe_read.wgsl", &json!({ "workgroup": workgroup, "workgroups": workgroups, "units": bytes / 16 }))?;
        let grid = [Count::Of(workgroups as u32), Count::Of(1), Count::Of(1)];
        let step = self.step("flush", &kernel, vec![data.binding(), sums.binding()], grid)?;
        Ok(Flush { step, _buffers: [data, sums] })
    }

    fn probe_arithmetic(&self, kind: &str, samples: usize) -> Result<Probed> {
        let (workgroup, workgroups, turns) = if self.summary().software { (16u64, 64u64, 2048u64) } else { (256, 2048, 256) };
        let results = self.buffer("the probe's results", (workgroup * workgroups + 1) * 4, Purpose::Scratch, Usage::Storage)?;
        // Chains go to a limit of 0.5: neither denormal nor infinite.
        self.write(&results, 0, bytemuck::bytes_of(&0.5f32));
        let step = |width: u64| {
            let parameters = json!({ "type": kind, "width": width, "workgroup": workgroup, "turns": turns });
            let grid = [Count::Of(workgroups as u32), Count::Of(1), Count::Of(1)];
            let step = self.step("probe", &self.kernel("probe_arithmetic.wgsl", &parameters)?, vec![results.binding()], grid)?;
            Ok((step, workgroup * workgroups * turns * 32 * width))
        };
        self.fastest([1, 4].into_iter().map(step), samples)
    }

    fn probe_matrices(&self, samples: usize) -> Result<Probed> {
        let (Some(size), Some(lanes)) = (self.matrix_size(), self.subgroup_size()) else {
            return Err(Error::new("the device has no cooperative matrices of half floats in shaders"));
        };
        let (workgroups, turns) = if self.summary().software { (4u64, 256u64) } else { (2048, 256) };
        let results = self.buffer("the probe's results", (workgroups + 1) * 4, Purpose::Scratch, Usage::Storage)?;
        self.write(&results, 0, bytemuck::bytes_of(&0.5f32));
        let step = |subgroups: u32| {
            let parameters = json!({ "size": size, "lanes": lanes, "workgroup": subgroups * lanes, "turns": turns });
            let grid = [Count::Of(workgroups as u32), Count::Of(1), Count::Of(1)];
            let step = self.step("probe", &self.kernel("probe_matrices.wgsl", &parameters)?, vec![results.binding()], grid)?;
            Ok((step, workgroups * u64::from(subgroups) * turns * 8 * u64::from(size).pow(3)))
        };
        self.fastest([4, 8].into_iter().map(step), samples)
    }

    /// Samples of the one of some steps that does most in a second; each comes with its work.
    fn fastest(&self, steps: impl Iterator<Item = Result<(Step, u64)>>, samples: usize) -> Result<Probed> {
        let mut best: Option<(f64, Step, u64)> = None;
        for step in steps {
            let (step, work) = step?;
            let rate = work as f64 / self.samples(&step, 2)?.into_iter().fold(f64::MAX, f64::min);
            if best.as_ref().is_none_or(|(most, ..)| rate > *most) {
                best = Some((rate, step, work));
            }
        }
        match best {
            Some((_, step, work)) => Ok(Probed { ms: self.samples(&step, samples)?, work }),
            None => Ok(Probed { ms: Vec::new(), work: 0 }),
        }
    }

    fn nothing(&self) -> Result<Step> {
        let count = self.buffer("the probe's count", 4, Purpose::Scratch, Usage::Storage)?;
        self.step("probe", &self.kernel("probe_nothing.wgsl", &json!({}))?, vec![count.binding()], [Count::Of(1); 3])
    }

    /// The difference between many dispatches and one.
    fn probe_dispatch(&self, samples: usize) -> Result<Probed> {
        let step = self.nothing()?;
        let mut ms = Vec::with_capacity(samples);
        self.probe_time(&step, DISPATCHES)?;
        for _ in 0..samples {
            let (one, many) = (self.probe_time(&step, 1)?, self.probe_time(&step, DISPATCHES + 1)?);
            ms.push(((many - one) / DISPATCHES as f64).max(0.0));
        }
        Ok(Probed { ms, work: 0 })
    }

    fn probe_submit(&self, samples: usize) -> Result<Probed> {
        let step = self.nothing()?;
        self.probe_time(&step, 1)?;
        Ok(Probed { ms: (0..samples).map(|_| self.probe_time(&step, 1)).collect::<Result<_>>()?, work: 0 })
    }

    fn samples(&self, step: &Step, samples: usize) -> Result<Vec<f64>> {
        self.probe_time(step, 1)?;
        let once = self.probe_time(step, 1)?;
        let repeats = ((SAMPLE_MS / once.max(1e-3)).ceil() as usize).clamp(1, 256);
        (0..samples).map(|_| Ok(self.probe_time(step, repeats)? / repeats as f64)).collect()
    }

    /// Milliseconds of a submission of so many runs.
    fn probe_time(&self, step: &Step, runs: usize) -> Result<f64> {
        interrupt::check()?;
        let steps = vec![step; runs];
        let begun = Instant::now();
        self.run(&steps, Counts { rows: 1, positions: 1 })?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    }
}
