//! Which adapters there are, and which one is meant.

use super::{AdapterSummary, DeviceChoice};
use crate::error::{Error, Result, unknown};
use crate::terminal;
use std::sync::Once;

const BACKENDS: [(&str, wgpu::Backends); 4] =
    [("vulkan", wgpu::Backends::VULKAN), ("metal", wgpu::Backends::METAL), ("dx12", wgpu::Backends::DX12), ("gl", wgpu::Backends::GL)];

/// All adapters that the choice's backend allows, best first: discrete before integrated before software, Vulkan, Metal and DX12 before GL.
pub(super) fn all(choice: &DeviceChoice) -> Result<Vec<wgpu::Adapter>> {
    let backends = match &choice.backend {
        None => wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12 | wgpu::Backends::GL,
        Some(name) => BACKENDS
            .iter()
            .find(|(known, _)| *known == name.to_lowercase())
            .map(|(_, backends)| *backends)
            .ok_or_else(|| unknown("backend", name, BACKENDS.map(|(name, _)| name)))?,
    };
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    // Validation layers, if someone asks for them by wgpu's own variables; never by themselves, since they cost a lot.
    descriptor.flags = wgpu::InstanceFlags::empty().with_env();
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = pollster::block_on(instance.enumerate_adapters(backends));
    adapters.retain(|adapter| adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS));
    adapters.sort_by_key(|adapter| rank(&adapter.get_info()));
    // With the driver that somebody names, another one would be measured in its place.
    if let Some(missing) = missing_driver() {
        let used = adapters.first().map_or_else(String::new, |adapter| {
            let info = adapter.get_info();
            format!("; what is left is {} ({})", info.name, backend_name(info.backend))
        });
        MISSING.call_once(|| terminal::warn(&format!("{missing}{used}")));
    }
    Ok(adapters)
}

static MISSING: Once = Once::new();

/// Where Vulkan's loader is told to find drivers (its documentation, "Driver Discovery").
const DRIVER_VARIABLES: [&str; 3] = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES"];

/// In words, a driver that the environment names and that isn't there.
fn missing_driver() -> Option<String> {
    DRIVER_VARIABLES.into_iter().find_map(|name| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
        let missing = std::env::split_paths(&value).find(|path| !path.exists())?;
        Some(format!("{name} names the driver {}, and nothing is there", missing.display()))
    })
}

fn rank(info: &wgpu::AdapterInfo) -> (u8, u8) {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    (if is_software(info) { 4 } else { kind }, u8::from(info.backend == wgpu::Backend::Gl))
}

/// Software drivers: lavapipe and llvmpipe, SwiftShader, WARP. Over GL they do not say that they are one.
fn is_software(info: &wgpu::AdapterInfo) -> bool {
    let name = info.name.to_lowercase();
    info.device_type == wgpu::DeviceType::Cpu
        || ["llvmpipe", "lavapipe", "swiftshader", "softpipe", "basic render"].iter().any(|word| name.contains(word))
}

/// The adapter that is meant.
pub(super) fn choose(choice: &DeviceChoice) -> Result<wgpu::Adapter> {
    let adapters = all(choice)?;
    if adapters.is_empty() {
        let wanted = choice.backend.as_ref().map(|name| format!(" for {name}")).unwrap_or_default();
        let error = Error::new(format!("no graphics adapter was found{wanted}"));
        if let Some(missing) = missing_driver() {
            return Err(error.remedy(format!("{missing}: correct the path, or unset it")));
        }
        return Err(error.remedy(
            "install the driver of your graphics card, or Mesa's software driver (Debian and Ubuntu: apt install mesa-vulkan-drivers)",
        ));
    }
    let Some(wanted) = &choice.device else {
        return adapters.into_iter().next().ok_or_else(|| Error::new("no graphics adapter was found"));
    };
    let names: Vec<String> = adapters
        .iter()
        .enumerate()
        .map(|(index, adapter)| format!("{index}: {} ({})", adapter.get_info().name, backend_name(adapter.get_info().backend)))
        .collect();
    if wanted.trim().is_empty() {
        return Err(Error::new("the name of the adapter is empty").at("--device").remedy(format!("there are {}", names.join("; "))));
    }
    let found = match wanted.parse::<usize>() {
        Ok(index) => adapters.into_iter().nth(index),
        Err(_) => adapters.into_iter().find(|adapter| adapter.get_info().name.to_lowercase().contains(&wanted.to_lowercase())),
    };
    found.ok_or_else(|| Error::new(format!("no adapter `{wanted}`")).remedy(format!("there are {}", names.join("; "))))
}

fn backend_name(backend: wgpu::Backend) -> &'static str {
    match backend {
        wgpu::Backend::Vulkan => "vulkan",
        wgpu::Backend::Metal => "metal",
        wgpu::Backend::Dx12 => "dx12",
        wgpu::Backend::Gl => "gl",
        _ => "other",
    }
}

/// The optional features that caramba uses, by the names it shows.
pub(super) const FEATURES: [(&str, wgpu::Features); 6] = [
    ("f16", wgpu::Features::SHADER_F16),
    ("subgroups", wgpu::Features::SUBGROUP),
    ("timestamps", wgpu::Features::TIMESTAMP_QUERY),
    ("cooperative matrices", wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
    ("64-bit integers", wgpu::Features::SHADER_INT64),
    ("pipeline cache", wgpu::Features::PIPELINE_CACHE),
];

/// What kernels with cooperative matrices need.
pub(super) const MATRIX_FEATURES: wgpu::Features =
    wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(wgpu::Features::SHADER_F16).union(wgpu::Features::SUBGROUP);

/// The largest square matrices of half floats that the adapter multiplies and adds up in f32, of the sizes that WGSL has.
pub(super) fn matrix_size(adapter: &wgpu::Adapter) -> Option<u32> {
    use wgpu::CooperativeScalarType::{F16, F32};
    let all = adapter.cooperative_matrix_properties();
    let has = |size: &u32| {
        all.iter().any(|found| [found.m_size, found.n_size, found.k_size] == [*size; 3] && found.ab_type == F16 && found.cr_type == F32)
    };
    [16, 8].into_iter().find(has)
}

/// What the adapter says of itself; features are those of the device's, if it is open.
pub(super) fn summarise(adapter: &wgpu::Adapter, features: wgpu::Features) -> AdapterSummary {
    let info = adapter.get_info();
    let limits = adapter.limits();
    AdapterSummary {
        software: is_software(&info),
        backend: backend_name(info.backend).to_owned(),
        device_type: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete",
            wgpu::DeviceType::IntegratedGpu => "integrated",
            wgpu::DeviceType::VirtualGpu => "virtual",
            wgpu::DeviceType::Cpu => "cpu",
            wgpu::DeviceType::Other => "other",
        }
        .to_owned(),
        features: FEATURES.iter().filter(|(_, feature)| features.contains(*feature)).map(|(name, _)| (*name).to_owned()).collect(),
        max_buffer_bytes: limits.max_buffer_size,
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_workgroup_storage_bytes: limits.max_compute_workgroup_storage_size,
        max_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
        subgroup_sizes: subgroup_sizes(&info),
        name: info.name,
        driver: info.driver,
        driver_info: info.driver_info,
    }
}

/// Lanes of the smallest and the largest subgroup that a kernel may get.
fn subgroup_sizes(info: &wgpu::AdapterInfo) -> [u32; 2] {
    // wgpu has 4 to 64 for all of Metal, which does not say. Apple's own run SIMD-groups of 32.
    if info.backend == wgpu::Backend::Metal && info.name.starts_with("Apple") {
        return [32, 32];
    }
    [info.subgroup_min_size, info.subgroup_max_size]
}
