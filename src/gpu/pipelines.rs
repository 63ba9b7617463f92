//! Compiled pipelines that outlive the process, where the backend can keep them (Vulkan; Metal and DX12 have caches of their own).

use super::memo;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// wgpu's pipeline cache and the file that it came from.
pub(super) struct Pipelines {
    cache: Option<wgpu::PipelineCache>,
    path: Option<PathBuf>,
    /// Something was compiled since.
    changed: AtomicBool,
}

impl Pipelines {
    /// What an earlier process has compiled for this adapter, if it can be used.
    pub fn open(device: &wgpu::Device, info: &wgpu::AdapterInfo) -> Pipelines {
        // Named for adapter and driver by wgpu; `None` where the backend has no such caches.
        let name = wgpu::util::pipeline_cache_key(info);
        let has_cache = device.features().contains(wgpu::Features::PIPELINE_CACHE);
        let path = name.filter(|_| has_cache).and_then(|name| Some(memo::folder()?.join(name)));
        let data = path.as_ref().and_then(|path| std::fs::read(path).ok());
        let cache = path.is_some().then(|| {
            let descriptor = wgpu::PipelineCacheDescriptor { label: Some("caramba"), data: data.as_deref(), fallback: true };
            // SAFETY: the data was written when an earlier one was dropped, from this adapter and driver as far as their names tell; wgpu checks its header, and the
            // driver its own. Anything else begins an empty cache (`fallback`).
            unsafe { device.create_pipeline_cache(&descriptor) }
        });
        Pipelines { cache, path, changed: AtomicBool::new(false) }
    }

    pub fn cache(&self) -> Option<&wgpu::PipelineCache> {
        self.cache.as_ref()
    }

    /// Something was compiled.
    pub fn note(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }
}

impl Drop for Pipelines {
    fn drop(&mut self) {
        if let (true, Some(path), Some(cache)) = (self.changed.load(Ordering::Relaxed), &self.path, &self.cache)
            && let Some(data) = cache.get_data()
            // What came from the file is not written again; another process may have added to it, which is only lost time.
            && std::fs::metadata(path).map_or(true, |file| file.len() != data.len() as u64)
        {
            memo::write(path, &data);
        }
    }
}
