//! Device buffers that are accounted for from their making to their end.

use super::{Gpu, Memory, Purpose};
use crate::error::{Error, Result};
use crate::limits;
use std::sync::Arc;

/// A storage buffer. Its bytes count under its purpose for as long as it lives.
pub struct Buffer {
    raw: wgpu::Buffer,
    bytes: u64,
    purpose: Purpose,
    memory: Arc<Memory>,
}

impl Buffer {
    /// What wgpu calls it.
    pub fn raw(&self) -> &wgpu::Buffer {
        &self.raw
    }

    /// Bytes it holds on the device.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The whole buffer, to be bound.
    pub fn binding(&self) -> wgpu::BindingResource<'_> {
        self.raw.as_entire_binding()
    }

    /// The buffer from byte `offset` on: a multiple of the device's alignment for storage offsets (256 at most).
    pub fn binding_from(&self, offset: u64) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &self.raw, offset, size: None })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.memory.remove(self.purpose, self.bytes);
    }
}

/// What a buffer is used as besides being copied from and to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    Storage,
    Uniform,
    /// Read by the host ([`Gpu::read`]).
    Readback,
}

impl Gpu {
    /// A buffer of `bytes` (rounded up to whole words, at least one), zeroed before its first use.
    ///
    /// # Errors
    /// More than the adapter allows in one buffer or binding; a device that has no room for it.
    pub fn buffer(&self, label: &str, bytes: u64, purpose: Purpose, usage: Usage) -> Result<Buffer> {
        let bytes = bytes.max(4).next_multiple_of(4);
        let limit = match usage {
            Usage::Storage => self.limits().max_storage_buffer_binding_size.min(self.limits().max_buffer_size),
            Usage::Uniform => self.limits().max_uniform_buffer_binding_size,
            Usage::Readback => self.limits().max_buffer_size,
        };
        if bytes > limit {
            return Err(Error::new(format!(
                "{label} needs {} in one buffer, and {} allows {}",
                limits::shown(bytes),
                self.summary().name,
                limits::shown(limit)
            )));
        }
        limits::device_room(label, self.memory().live().total.saturating_add(bytes))?;
        let used_as = match usage {
            Usage::Storage => wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            Usage::Uniform => wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            Usage::Readback => wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        };
        let memory_errors = self.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let other_errors = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let raw = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes,
            usage: used_as,
            mapped_at_creation: false,
        });
        let failure = pollster::block_on(other_errors.pop());
        if let Some(error) = pollster::block_on(memory_errors.pop()).or(failure) {
            let live = self.memory().live();
            return Err(Error::new(format!(
                "no room for {label} ({}) on {}: {}",
                limits::shown(bytes),
                self.summary().name,
                first_line(&error)
            ))
            .remedy(format!(
                "{} MB are in use already; take a smaller model, context or batch, or a smaller cache kind",
                live.total >> 20
            )));
        }
        self.memory.add(purpose, bytes);
        Ok(Buffer { raw, bytes, purpose, memory: self.memory.clone() })
    }

    /// A storage buffer that holds `content` from the start.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub fn buffer_of<T: bytemuck::NoUninit>(&self, label: &str, content: &[T], purpose: Purpose) -> Result<Buffer> {
        let bytes: &[u8] = bytemuck::cast_slice(content);
        let buffer = self.buffer(label, bytes.len() as u64, purpose, Usage::Storage)?;
        self.write(&buffer, 0, bytes);
        Ok(buffer)
    }

    /// Writes before the next submission; `offset` and length are whole words.
    pub fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) {
        if bytes.len().is_multiple_of(4) {
            self.queue().write_buffer(buffer.raw(), offset, bytes);
        } else {
            let mut padded = bytes.to_vec();
            padded.resize(bytes.len().next_multiple_of(4), 0);
            self.queue().write_buffer(buffer.raw(), offset, &padded);
        }
    }

    /// Copies words from the device: `words` of them, from word `first` of `buffer` on, through `staging` (of that size at least).
    ///
    /// # Errors
    /// A lost device.
    pub fn read<T: bytemuck::AnyBitPattern>(&self, buffer: &Buffer, first: usize, words: usize, staging: &Buffer) -> Result<Vec<T>> {
        if words == 0 {
            return Ok(Vec::new());
        }
        let bytes = words as u64 * 4;
        let mut encoder = self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("read") });
        encoder.copy_buffer_to_buffer(buffer.raw(), first as u64 * 4, staging.raw(), 0, Some(bytes));
        self.queue().submit([encoder.finish()]);
        self.map(staging, bytes)
    }

    /// What a readback buffer holds, once all that was submitted is done.
    ///
    /// # Errors
    /// A lost device.
    pub fn map<T: bytemuck::AnyBitPattern>(&self, staging: &Buffer, bytes: u64) -> Result<Vec<T>> {
        let slice = staging.raw().slice(..bytes);
        let (sender, receiver) = std::sync::mpsc::channel();
        slice.map_async(wgpu::MapMode::Read, move |result| {
            // The receiver is gone only when this function has returned with an error.
            let _ = sender.send(result);
        });
        self.wait()?;
        match receiver.try_recv() {
            Ok(Ok(())) => {}
            other => return Err(self.lost(&format!("its memory could not be read back ({other:?})"))),
        }
        let view = slice.get_mapped_range().map_err(|error| self.lost(&error.to_string()))?;
        let values = collect(&view);
        drop(view);
        staging.raw().unmap();
        Ok(values)
    }
}

fn first_line(error: &wgpu::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Bytes as numbers, whatever their alignment.
fn collect<T: bytemuck::AnyBitPattern>(bytes: &[u8]) -> Vec<T> {
    bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect()
}
