//! Which device a verb opens, and how its kernels are chosen.

use crate::gpu::{DeviceChoice, Tuning};
use clap::Args;

/// The options of every verb that opens a device, and of no other.
#[derive(Debug, Args)]
#[command(next_help_heading = "Device")]
pub struct DeviceOptions {
    /// The adapter to use: a part of its name, or its number in `caramba devices`
    #[arg(long, value_name = "NAME|NUMBER", env = "CARAMBA_DEVICE", hide_env_values = true)]
    device: Option<String>,
    /// The graphics API to reach it by
    #[arg(long, value_parser = ["vulkan", "metal", "dx12", "gl"], env = "CARAMBA_BACKEND", hide_env_values = true)]
    backend: Option<String>,
    /// How kernels are chosen: auto (as measured once), rule, measure (again, now), or a file that says it
    #[arg(long, value_name = "CHOICE", default_value = "auto", hide_default_value = true, env = "CARAMBA_KERNELS", hide_env_values = true)]
    kernels: String,
}

impl DeviceOptions {
    pub fn choice(&self) -> DeviceChoice {
        let tuning = match self.kernels.as_str() {
            "auto" => Tuning::Auto,
            "rule" => Tuning::Rule,
            "measure" => Tuning::Measure,
            path => Tuning::File(path.into()),
        };
        DeviceChoice { device: self.device.clone(), backend: self.backend.clone(), tuning, ..DeviceChoice::default() }
    }
}
