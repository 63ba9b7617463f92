//! How long each step takes on the device: timestamps at the edges of passes, where the adapter has them.

use super::kernel::{Counts, Step};
use super::{Buffer, Gpu, Purpose, Usage};
use crate::error::Result;
use std::time::Instant;

/// What one step took.
#[derive(Debug, Clone, serde::Serialize)]
pub struct KernelTime {
    pub label: &'static str,
    pub kernel: String,
    pub ms: f64,
    pub weight_bytes: u64,
    pub multiply_adds: u64,
}

/// How the times of a profile were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopwatch {
    /// By the device itself. Each step is in a pass of its own, which costs a little between the steps but not in them.
    Timestamps,
    /// By the host, each step in a submission of its own: what submitting costs is in every time.
    WallClock,
}

impl Gpu {
    /// Runs `steps` one by one and times each.
    ///
    /// # Errors
    /// A lost device; no room for the timestamps.
    pub fn profile(&self, steps: &[&Step], counts: Counts) -> Result<(Stopwatch, Vec<KernelTime>)> {
        let time = |step: &Step, ms: f64| KernelTime {
            label: step.label,
            kernel: step.kernel_name().to_owned(),
            ms,
            weight_bytes: step.work.weight_bytes,
            multiply_adds: step.work.multiply_adds_per_row * u64::from(counts.rows),
        };
        if self.has(wgpu::Features::TIMESTAMP_QUERY) {
            let ticks = self.timestamps(steps, counts)?;
            // Some drivers have the feature and answer zero: then only the host's clock is left.
            if ticks.iter().any(|pair| pair[1] > pair[0]) {
                let period = f64::from(self.queue().get_timestamp_period()) / 1e6;
                let times = steps.iter().zip(&ticks).map(|(step, pair)| time(step, pair[1].saturating_sub(pair[0]) as f64 * period));
                return Ok((Stopwatch::Timestamps, times.collect()));
            }
        }
        self.wait()?;
        let mut times = Vec::with_capacity(steps.len());
        for step in steps {
            let begun = Instant::now();
            let mut encoder = self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("profile") });
            step.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()), counts);
            self.queue().submit([encoder.finish()]);
            self.wait()?;
            times.push(time(step, begun.elapsed().as_secs_f64() * 1e3));
        }
        Ok((Stopwatch::WallClock, times))
    }

    /// Begin and end of each step, in ticks of the device.
    fn timestamps(&self, steps: &[&Step], counts: Counts) -> Result<Vec<[u64; 2]>> {
        let mut all = Vec::with_capacity(steps.len());
        // A query set holds 4096 queries at most (WebGPU).
        for steps in steps.chunks(2048) {
            let queries = self.device().create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("profile"),
                ty: wgpu::QueryType::Timestamp,
                count: steps.len() as u32 * 2,
            });
            let bytes = steps.len() as u64 * 16;
            let resolved = self.query_buffer(bytes);
            let staging: Buffer = self.buffer("timestamps", bytes, Purpose::Scratch, Usage::Readback)?;
            let mut encoder = self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("profile") });
            for (step, index) in steps.iter().zip(0..) {
                let writes = wgpu::ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index: Some(2 * index),
                    end_of_pass_write_index: Some(2 * index + 1),
                };
                let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes: Some(writes) };
                step.record(&mut encoder.begin_compute_pass(&descriptor), counts);
            }
            encoder.resolve_query_set(&queries, 0..steps.len() as u32 * 2, &resolved, 0);
            encoder.copy_buffer_to_buffer(&resolved, 0, staging.raw(), 0, Some(bytes));
            self.queue().submit([encoder.finish()]);
            all.extend(self.map::<[u64; 2]>(&staging, bytes)?);
        }
        Ok(all)
    }

    fn query_buffer(&self, bytes: u64) -> wgpu::Buffer {
        self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size: bytes,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        })
    }
}
