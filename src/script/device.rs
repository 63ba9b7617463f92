//! The device: what it is, and what is allocated on it.

use super::failure::Answer;
use super::host::Host;
use super::numbers::Numbers;
use super::tokens::hex;
use super::values::{Options, from_data};
use crate::error::{Error, Result, unknown};
use crate::gpu::memory::Usage;
use crate::gpu::{AdapterSummary, Gpu, Probe, Pulse, Purpose, Tuning};
use rhai::plugin::*;
use rhai::{Array, INT, Map};
use sha2::{Digest, Sha256};
use std::rc::Rc;
use std::sync::Arc;

/// The device that models are on.
#[derive(Clone)]
pub struct Device(Arc<Gpu>);

fn bytes(count: u64) -> Dynamic {
    INT::try_from(count).unwrap_or(INT::MAX).into()
}

fn usage(usage: &Usage) -> Map {
    let mut map: Map = Purpose::ALL.iter().zip(usage.by_purpose).map(|(purpose, count)| (purpose.name().into(), bytes(count))).collect();
    map.insert("total".into(), bytes(usage.total));
    map
}

/// Everything that an adapter says of itself.
pub(super) fn described(summary: &AdapterSummary) -> Answer<Map> {
    let data = serde_yaml::to_value(summary).map_err(|error| Error::new(format!("the adapter's description: {error}")))?;
    Ok(from_data(&data).cast::<Map>())
}

/// Probes by the names that scripts have for them.
const PROBES: [&str; 6] = ["read", "f32", "f16", "matrices", "dispatch", "submit"];

/// Bytes read by a probe: more than the caches of most devices hold.
const PROBE_BYTES: usize = 256 << 20;

fn probe(device: &Device, what: &str, options: Map) -> Result<Map> {
    let mut options = Options::new("probe option", options);
    let samples = options.count("samples")?.unwrap_or(11).max(1);
    let read_bytes = if what == "read" { options.count("bytes")?.unwrap_or(PROBE_BYTES) } else { 0 };
    options.finish()?;
    let probe = match what {
        "read" => Probe::Read { bytes: read_bytes as u64 },
        "f32" => Probe::F32,
        "f16" => Probe::F16,
        "matrices" => Probe::Matrices,
        "dispatch" => Probe::Dispatch,
        "submit" => Probe::Submit,
        other => return Err(unknown("probe", other, PROBES)),
    };
    let probed = device.0.probe(probe, samples)?;
    Ok(Map::from_iter([("ms".into(), Dynamic::from(Numbers::from(probed.ms))), ("work".into(), bytes(probed.work))]))
}

/// A prepared pulse; copies are the same one.
#[derive(Clone)]
pub struct PulseOfDevice(Rc<Pulse>);

#[export_module]
pub(super) mod api {
    /// The device that models are on: a GPU, or a software adapter where there is none.
    pub type Device = super::Device;

    /// The device that `--device` and `--backend` chose, or the best one. It is opened when it is first needed.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let gpu = device();
    /// print(`${gpu.name} through ${gpu.backend}: ${gpu.features}`);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn device(context: NativeCallContext) -> Answer<Device> {
        Ok(Device(Arc::clone(Host::of(&context)?.gpu()?)))
    }

    /// Its name, as its driver gives it.
    #[rhai_fn(get = "name", pure)]
    pub fn name(device: &mut Device) -> String {
        device.0.summary().name.clone()
    }

    /// `vulkan`, `metal`, `dx12` or `gl`.
    #[rhai_fn(get = "backend", pure)]
    pub fn backend(device: &mut Device) -> String {
        device.0.summary().backend.clone()
    }

    /// The driver's name and version.
    #[rhai_fn(get = "driver", pure)]
    pub fn driver(device: &mut Device) -> String {
        let summary = device.0.summary();
        format!("{} {}", summary.driver, summary.driver_info).trim().to_owned()
    }

    /// Whether it computes on the CPU.
    #[rhai_fn(get = "software", pure)]
    pub fn software(device: &mut Device) -> bool {
        device.0.summary().software
    }

    /// The optional features that it has and caramba uses: `f16`, `subgroups`, ...
    #[rhai_fn(get = "features", pure)]
    pub fn features(device: &mut Device) -> Array {
        device.0.summary().features.iter().map(|feature| feature.clone().into()).collect()
    }

    /// Everything it says of itself, limits included: what a report says of it.
    #[rhai_fn(get = "description", pure, return_raw)]
    pub fn description(device: &mut Device) -> Answer<Map> {
        described(device.0.summary())
    }

    /// How its kernels were chosen (`auto`, `rule`, `measure`, a file), how many it has made, and the `sha256` of all their parameters.
    #[rhai_fn(get = "kernels", pure, return_raw)]
    pub fn kernels(device: &mut Device) -> Answer<Map> {
        let choice = match device.0.tuning() {
            Tuning::Auto => "auto".to_owned(),
            Tuning::Rule => "rule".to_owned(),
            Tuning::Measure => "measure".to_owned(),
            Tuning::File(path) => path.display().to_string(),
        };
        let mut made: Vec<String> =
            device.0.variants().into_iter().map(|(template, parameters)| format!("{template} {parameters}")).collect();
        made.sort();
        Ok(Map::from_iter([
            ("choice".into(), choice.into()),
            ("made".into(), bytes(made.len() as u64)),
            ("sha256".into(), hex(&Sha256::digest(made.join("\n").as_bytes())).into()),
        ]))
    }

    /// Bytes allocated on it: `live` and `peak`, each a map with `weights`, `cache`, `activations`, `scratch` and `total`; and
    /// `allocations`, how many were ever made. The peak's `total` is the largest sum, not the sum of the largest.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let gpu = device();
    /// gpu.reset_peak();
    /// // ... work ...
    /// print(`${megabytes(gpu.memory().peak.total)} MB at most`);
    /// ```
    #[rhai_fn(pure, volatile)]
    pub fn memory(device: &mut Device) -> Map {
        let memory = device.0.memory();
        Map::from_iter([
            ("live".into(), usage(&memory.live()).into()),
            ("peak".into(), usage(&memory.peak()).into()),
            ("allocations".into(), bytes(memory.allocations())),
        ])
    }

    /// What the device can do at best, measured now: `probe("read")` reads memory as a stream, `"f32"` and `"f16"` do multiply-adds in registers,
    /// `"matrices"` does those of half floats in the units for cooperative matrices (where `gpu.features` has them), `"dispatch"` and `"submit"` do nothing. Returns `ms` (numbers: a sample each, of one run) and `work` (bytes or multiply-adds of a run).
    ///
    /// # Example
    /// ```rhai,no_run
    /// let found = device().probe("read");
    /// print(`${digits(found.work / found.ms.median() / 1e6, 3)} GB/s`);
    /// ```
    #[rhai_fn(name = "probe", pure, return_raw, volatile)]
    pub fn probe_plainly(device: &mut Device, what: &str) -> Answer<Map> {
        Ok(super::probe(device, what, Map::new())?)
    }

    /// As `probe(what)`, with options: `samples` (11), and for `"read"` the `bytes` of the buffer (256 MB, or what fits one binding).
    #[rhai_fn(name = "probe", pure, return_raw, volatile)]
    pub fn probe(device: &mut Device, what: &str, options: Map) -> Answer<Map> {
        Ok(super::probe(device, what, options)?)
    }

    /// A prepared pulse of a device.
    pub type PulseOfDevice = super::PulseOfDevice;

    /// A pulse: a fixed piece of arithmetic and a fixed read, a few milliseconds each, that tell whether the machine itself has changed its speed
    /// (heat, another program). It holds some memory while it is there.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let pulse = device().pulse();
    /// let beat = pulse.beat();
    /// print(`${beat.arithmetic_ms} ms and ${beat.read_ms} ms`);
    /// ```
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn pulse(device: &mut Device) -> Answer<PulseOfDevice> {
        Ok(PulseOfDevice(Rc::new(Pulse::new(&device.0)?)))
    }

    /// Runs both parts of a pulse: `arithmetic_ms` and `read_ms`.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn beat(pulse: &mut PulseOfDevice) -> Answer<Map> {
        let beat = pulse.0.beat()?;
        Ok(Map::from_iter([("arithmetic_ms".into(), beat.arithmetic_ms.into()), ("read_ms".into(), beat.read_ms.into())]))
    }

    /// Begins a new measurement of the peak, at what is live now.
    #[rhai_fn(pure, volatile)]
    pub fn reset_peak(device: &mut Device) {
        device.0.memory().reset_peak();
    }

    /// For a person to read.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(device: &mut Device) -> String {
        let summary = device.0.summary();
        format!("{} ({})", summary.name, summary.backend)
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
