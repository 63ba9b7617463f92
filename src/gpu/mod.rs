//! The device: adapter choice, limits, buffers, kernels, timestamps, memory accounting.

mod adapter;
pub mod buffer;
pub mod kernel;
pub mod memo;
pub mod memory;
mod pipelines;
pub mod probe;
pub mod pulse;
pub mod timing;

pub use buffer::{Buffer, Usage};
pub use kernel::{Count, Counts, Kernel, Step};
pub use memo::Memo;
pub use memory::{Memory, Purpose};
pub use probe::{Probe, Probed};
pub use pulse::{Beat, Pulse};
pub use timing::{KernelTime, Stopwatch};

use crate::error::{Error, Result};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Which adapter to use: what `--device` and `--backend` say.
#[derive(Debug, Clone, Default)]
pub struct DeviceChoice {
    /// Part of an adapter's name (any case), or its index in `caramba devices`.
    pub device: Option<String>,
    /// `vulkan`, `metal`, `dx12` or `gl`.
    pub backend: Option<String>,
    /// Optional features to do without, by the names in [`AdapterSummary::features`]: for tests and comparisons.
    pub without: Vec<String>,
    /// Shaders keep wgpu's own bounds checks: slow, for tests.
    pub checked: bool,
    /// Take this for the adapter's limit on the bytes of one binding, if it is smaller: for tests of models that are split.
    pub max_binding_bytes: Option<u64>,
    /// How the forms of kernels are chosen.
    pub tuning: Tuning,
}

/// How the forms of kernels are chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Tuning {
    /// As it was measured on this device once; on a graphics card, what wasn't yet is measured now.
    #[default]
    Auto,
    /// By a rule that knows the kind of device only.
    Rule,
    /// Measured again, on a software driver too, and remembered.
    Measure,
    /// As a file has it (of the kind that `caramba devices` shows), by the rule where it has nothing.
    File(PathBuf),
}

/// What an adapter says of itself.
#[derive(Debug, Clone, serde::Serialize)]
pub struct AdapterSummary {
    pub name: String,
    /// `vulkan`, `metal`, `dx12`, `gl`
    pub backend: String,
    pub driver: String,
    pub driver_info: String,
    /// `discrete`, `integrated`, `virtual`, `cpu`, `other`
    pub device_type: String,
    /// A software driver: slow, and said so once.
    pub software: bool,
    /// The optional features that caramba knows how to use and the adapter has: `f16`, `subgroups`, `timestamps`, ...
    pub features: Vec<String>,
    pub max_buffer_bytes: u64,
    pub max_binding_bytes: u64,
    pub max_workgroup_storage_bytes: u32,
    pub max_invocations_per_workgroup: u32,
    pub subgroup_sizes: [u32; 2],
}

/// An open device.
pub struct Gpu {
    summary: AdapterSummary,
    memory: Arc<Memory>,
    device: wgpu::Device,
    queue: wgpu::Queue,
    checked: bool,
    kernels: kernel::Kernels,
    pipelines: pipelines::Pipelines,
    tuning: Tuning,
    memo: Memo,
    matrix_size: Option<u32>,
    /// The first thing that went wrong where wgpu had nobody to tell.
    failure: Arc<Mutex<Option<String>>>,
}

impl Gpu {
    /// Every adapter there is, best first: the order that [`DeviceChoice::device`] indices refer to.
    ///
    /// # Errors
    /// A backend that there isn't.
    pub fn list(choice: &DeviceChoice) -> Result<Vec<AdapterSummary>> {
        Ok(adapter::all(choice)?.iter().map(|adapter| adapter::summarise(adapter, adapter.features())).collect())
    }

    /// Opens the chosen adapter, or the best one.
    ///
    /// # Errors
    /// No such adapter, or one that doesn't open.
    pub fn open(choice: &DeviceChoice) -> Result<Arc<Gpu>> {
        let adapter = adapter::choose(choice)?;
        let mut features = wgpu::Features::empty();
        for (name, feature) in adapter::FEATURES {
            if !choice.without.iter().any(|without| without == name) {
                features |= feature & adapter.features();
            }
        }
        if let Some(name) = choice.without.iter().find(|name| adapter::FEATURES.iter().all(|(known, _)| known != name)) {
            return Err(crate::error::unknown("feature", name, adapter::FEATURES.map(|(name, _)| name)));
        }
        let mut limits = adapter.limits();
        if let Some(most) = choice.max_binding_bytes {
            limits.max_storage_buffer_binding_size = limits.max_storage_buffer_binding_size.min(most);
        }
        let summary =
            AdapterSummary { max_binding_bytes: limits.max_storage_buffer_binding_size, ..adapter::summarise(&adapter, features) };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("caramba"),
            required_features: features,
            required_limits: limits,
            // SAFETY: cooperative matrices are the only experimental feature asked for; the kernels that use them are ours and tested.
            experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            trace: wgpu::Trace::Off,
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|error| Error::new(format!("{} ({}) did not open: {error}", summary.name, summary.backend)))?;
        let failure = Arc::new(Mutex::new(None));
        let keep = |failure: &Arc<Mutex<Option<String>>>, message: String| {
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
        };
        let (on_error, on_loss) = (failure.clone(), failure.clone());
        device.on_uncaptured_error(Arc::new(move |error| keep(&on_error, error.to_string())));
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                keep(&on_loss, message);
            }
        });
        let memory = Arc::new(Memory::default());
        let kernels = kernel::Kernels::new();
        let memo = match &choice.tuning {
            Tuning::Rule => Memo::fleeting(),
            Tuning::Auto => Memo::open(memo::file(&summary, "json")),
            Tuning::Measure => Memo::renewed(memo::file(&summary, "json")),
            Tuning::File(path) => Memo::given(path)?,
        };
        let matrix_size = adapter::matrix_size(&adapter).filter(|_| features.contains(adapter::MATRIX_FEATURES));
        let pipelines = pipelines::Pipelines::open(&device, &adapter.get_info());
        let tuning = choice.tuning.clone();
        let gpu = Gpu { summary, memory, device, queue, checked: choice.checked, kernels, pipelines, tuning, memo, matrix_size, failure };
        // A GL driver may say that it has compute shaders, and open a context of a version in which wgpu cannot write them.
        if gpu.summary.backend == "gl"
            && let Err(error) = gpu.kernel("probe_nothing.wgsl", &serde_json::json!({}))
        {
            let Gpu { summary, .. } = &gpu;
            return Err(Error::new(format!("the OpenGL of {} ({}) takes no compute shaders: {error}", summary.name, summary.driver))
                .remedy("reach the card by --backend vulkan (or metal, dx12), or install a newer driver"));
        }
        Ok(Arc::new(gpu))
    }

    pub fn summary(&self) -> &AdapterSummary {
        &self.summary
    }

    /// How the forms of kernels are chosen.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// What was learnt about this device.
    pub fn memo(&self) -> &Memo {
        &self.memo
    }

    /// Live and peak bytes by purpose.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What wgpu allows on this device.
    pub fn limits(&self) -> wgpu::Limits {
        self.device.limits()
    }

    /// Whether an optional feature is there and not to be done without.
    pub fn has(&self, feature: wgpu::Features) -> bool {
        self.device.features().contains(feature)
    }

    /// Lanes of a subgroup, if there are subgroups and all of one size: only then can code be written for that size.
    pub fn subgroup_size(&self) -> Option<u32> {
        let [low, high] = self.summary.subgroup_sizes;
        (self.has(wgpu::Features::SUBGROUP) && low == high && low.is_power_of_two() && low >= 4).then_some(low)
    }

    /// Lanes of the smallest subgroup that a kernel may get; 0 without subgroups. Neighbouring lanes, as many as that and aligned, are always in one.
    pub fn least_subgroup(&self) -> u32 {
        if self.has(wgpu::Features::SUBGROUP) { self.summary.subgroup_sizes[0] } else { 0 }
    }

    /// Rows and columns of the cooperative matrices that the device multiplies as half floats and adds up in f32, if it does.
    pub fn matrix_size(&self) -> Option<u32> {
        self.matrix_size
    }

    pub(crate) fn device(&self) -> &wgpu::Device {
        &self.device
    }

    pub(crate) fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// Hands what was written to the device, so that wgpu's own copy of it can go.
    ///
    /// # Errors
    /// As [`Gpu::wait`].
    pub fn flush(&self) -> Result<()> {
        let submission = self.queue.submit([]);
        self.wait_for(Some(submission))
    }

    /// Returns when the device has done all that was submitted.
    ///
    /// # Errors
    /// A lost device, or whatever went wrong on it meanwhile.
    pub fn wait(&self) -> Result<()> {
        self.wait_for(None)
    }

    /// Returns when the device has done `submission` (`None`: all).
    ///
    /// # Errors
    /// As [`Gpu::wait`].
    pub fn wait_for(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let poll = wgpu::PollType::Wait { submission_index: submission, timeout: None };
        let polled = self.device.poll(poll);
        // What went wrong before says more than that nothing came of it.
        self.check()?;
        polled.map(|_| ()).map_err(|error| self.lost(&error.to_string()))
    }

    /// Whether something has gone wrong on the device.
    ///
    /// # Errors
    /// What it was.
    pub fn check(&self) -> Result<()> {
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(message) => Err(self.lost(message)),
            None => Ok(()),
        }
    }

    fn lost(&self, message: &str) -> Error {
        let message = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        Error::new(format!("{} failed: {message}", self.summary.name))
            .remedy("if this happens again, try a smaller `chunk`, another --backend or a newer driver")
    }
}
