//! Kernels run by themselves, on buffers that a test fills.

use super::fixtures::relative_error;
use caramba::gpu::{Buffer, Count, Counts, DeviceChoice, Gpu, Purpose, Usage};
use serde_json::Value;
use std::sync::Arc;

/// A device, and what to call it in messages.
pub struct Lab {
    pub name: &'static str,
    pub gpu: Arc<Gpu>,
}

impl Lab {
    pub fn open(name: &'static str, choice: DeviceChoice) -> Lab {
        Lab { name, gpu: Gpu::open(&choice).unwrap_or_else(|error| panic!("{name}: {error}")) }
    }

    /// Everything that the adapter has; nothing optional; nothing optional and wgpu's own bounds checks.
    pub fn all() -> [Lab; 3] {
        let without = without_everything();
        [
            Lab::open("full", DeviceChoice::default()),
            Lab::open("bare", DeviceChoice { without: without.clone(), ..DeviceChoice::default() }),
            Lab::open("checked", DeviceChoice { without, checked: true, ..DeviceChoice::default() }),
        ]
    }

    /// Lanes of a subgroup; 0: none to rely on.
    pub fn subgroup(&self) -> usize {
        self.gpu.subgroup_size().unwrap_or(0) as usize
    }

    /// Whether kernels that can may load 64-bit words.
    pub fn has_wide_loads(&self) -> bool {
        self.gpu.summary().features.iter().any(|feature| feature == "64-bit integers")
    }

    pub fn words(&self, content: &[u32]) -> Buffer {
        self.gpu.buffer_of("words", content, Purpose::Scratch).unwrap()
    }

    pub fn floats(&self, content: &[f32]) -> Buffer {
        self.gpu.buffer_of("floats", content, Purpose::Scratch).unwrap()
    }

    /// What every kernel is told about a call: rows, positions of a sequence, sequences times context, room for splits.
    pub fn call(&self, rows: usize, context: usize, tokens: usize, splits: usize) -> Buffer {
        let call = self.gpu.buffer("the call", 16, Purpose::Scratch, Usage::Uniform).unwrap();
        self.gpu.write(&call, 0, bytemuck::cast_slice(&[rows, context, tokens, splits].map(|word| word as u32)));
        call
    }

    /// Runs one kernel once. Buffers are in the order of its bindings.
    pub fn run(&self, template: &str, parameters: &Value, buffers: &[&Buffer], grid: [usize; 3]) {
        let place = format!("{} on {} with {parameters}", template, self.name);
        let holds_script = parameters["seam"]["functions"].as_str().is_some_and(|functions| !functions.is_empty());
        let kernel = if holds_script { self.gpu.kernel_of_script(template, parameters) } else { self.gpu.kernel(template, parameters) };
        let kernel = kernel.unwrap_or_else(|error| panic!("{place}: {error}"));
        let bindings = buffers.iter().map(|buffer| buffer.binding()).collect();
        let step = self
            .gpu
            .step("test", &kernel, bindings, grid.map(|side| Count::Of(side as u32)))
            .unwrap_or_else(|error| panic!("{place}: {error}"));
        let begun = std::time::Instant::now();
        self.gpu.run(&[&step], Counts { rows: 0, positions: 0 }).unwrap_or_else(|error| panic!("{place}: {error}"));
        eprintln!("TIMED {:.3} {place}", begun.elapsed().as_secs_f64());
    }

    pub fn read<T: bytemuck::AnyBitPattern>(&self, buffer: &Buffer) -> Vec<T> {
        let staging = self.gpu.buffer("the read-back", buffer.bytes(), Purpose::Scratch, Usage::Readback).unwrap();
        self.gpu.read(buffer, 0, buffer.bytes() as usize / 4, &staging).unwrap()
    }
}

/// Every optional feature by name.
pub fn without_everything() -> Vec<String> {
    ["f16", "subgroups", "timestamps", "cooperative matrices", "64-bit integers", "pipeline cache"].map(str::to_owned).to_vec()
}

/// Whether two ways of adding up the same agree; `largest` sets the scale.
pub fn assert_near(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    let error = relative_error(found, expected);
    assert!(error < tolerance, "{what}: off by {error:.1e}");
}

/// Numbers that are the same at every run (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn word(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }

    /// Between -1 and 1.
    pub fn float(&mut self) -> f32 {
        (self.word() >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.word() as usize % bound
    }
}
