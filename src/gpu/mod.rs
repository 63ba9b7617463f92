//! The device: adapter choice, limits, buffers, pipelines, timestamps, memory accounting.

pub mod memory;

pub use memory::{Memory, Purpose};

use crate::error::Result;
use std::sync::Arc;

/// Which adapter to use: what `--device` and `--backend` say.
#[derive(Debug, Clone, Default)]
pub struct DeviceChoice {
    /// Part of an adapter's name (any case), or its index in `caramba devices`.
    pub device: Option<String>,
    /// `vulkan`, `metal`, `dx12` or `gl`.
    pub backend: Option<String>,
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
}

impl Gpu {
    /// Every adapter there is, best first: the order that [`DeviceChoice::device`] indices refer to.
    pub fn list(choice: &DeviceChoice) -> Result<Vec<AdapterSummary>> {
        let _ = choice;
        Ok(Vec::new())
    }

    /// Opens the chosen adapter, or the best one.
    pub fn open(choice: &DeviceChoice) -> Result<Arc<Gpu>> {
        let _ = choice;
        Err(crate::Error::new("the device floor is being written"))
    }

    pub fn summary(&self) -> &AdapterSummary {
        &self.summary
    }

    /// Live and peak bytes by purpose.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }
}
