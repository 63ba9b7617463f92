//! How much a script may take: time, memory of the host and of the device. Kept for the whole process, since native work that knows nothing of
//! scripts allocates and waits too.

use crate::error::{Error, Result};
use crate::interrupt;
use cap::Cap;
use std::alloc::System;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts what is allocated.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const NONE: u64 = u64::MAX;
static HOST: AtomicU64 = AtomicU64::new(NONE);
static DEVICE: AtomicU64 = AtomicU64::new(NONE);

/// Memory of a machine that does not say how much it has.
const UNKNOWN_MEMORY: u64 = 16 << 30;

/// What the command line limits.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    pub time: Option<Duration>,
    /// Bytes of the host, and of the device.
    pub memory: Option<u64>,
    /// Operations of a script.
    pub operations: Option<u64>,
}

impl Limits {
    /// Sets those of the process.
    pub fn apply(self) {
        if let Some(bytes) = self.memory {
            HOST.store(bytes, Ordering::Relaxed);
            DEVICE.store(bytes, Ordering::Relaxed);
        }
        if let Some(time) = self.time {
            interrupt::limit(time);
        }
    }
}

/// Bytes that the program has allocated on the host. Files that are mapped do not count.
pub fn allocated() -> u64 {
    ALLOCATOR.allocated() as u64
}

/// Bytes that may be allocated on the host: what the command line says, or half of the machine's memory.
pub fn host_memory() -> u64 {
    match HOST.load(Ordering::Relaxed) {
        NONE => {
            let half = machine_memory() / 2;
            HOST.store(half, Ordering::Relaxed);
            half
        }
        bytes => bytes,
    }
}

/// An error where so many bytes more are beyond the limit of the host.
///
/// # Errors
/// The limit, by its flag and with its number.
pub fn room(what: &str, bytes: u64) -> Result<()> {
    if allocated().saturating_add(bytes) <= host_memory() {
        return Ok(());
    }
    Err(beyond(format!("{what} would take {}", shown(bytes))))
}

/// The error for more memory than there may be.
pub fn beyond(what: String) -> Error {
    Error::new(format!("{what}, and the limit of memory is {} (--memory-limit)", shown(host_memory())))
        .remedy("is something filled in a loop without end? keep less at a time (tokens and numbers are packed), or raise --memory-limit")
}

/// An error where so many bytes are beyond the limit of the device.
///
/// # Errors
/// The limit, by its flag and with its number.
pub fn device_room(what: &str, bytes: u64) -> Result<()> {
    let limit = DEVICE.load(Ordering::Relaxed);
    if bytes <= limit {
        return Ok(());
    }
    Err(Error::new(format!(
        "with {what} the device would hold {}, and the limit of memory is {} (--memory-limit)",
        shown(bytes),
        shown(limit)
    ))
    .remedy("take a smaller model, context or cache kind, or raise --memory-limit"))
}

/// `200 MB`, `64 KB`
pub fn shown(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 10 << 30 => format!("{:.0} GB", bytes as f64 / f64::from(1 << 30)),
        bytes if bytes >= 1 << 30 => format!("{:.1} GB", bytes as f64 / f64::from(1 << 30)),
        bytes if bytes >= 1 << 20 => format!("{} MB", bytes.div_ceil(1 << 20)),
        bytes => format!("{} KB", bytes.div_ceil(1 << 10)),
    }
}

fn machine_memory() -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").ok();
    let line = told.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("MemTotal:")));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.map_or(UNKNOWN_MEMORY, |kilobytes| kilobytes << 10)
}
