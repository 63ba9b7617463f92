//! A model loaded on a device: sessions (prefill, decode, generate, score), sampling, KV cache.

mod attend;
pub mod attention_forms;
pub mod cache;
mod finite;
pub mod forms;
mod generate;
mod hadamard;
pub mod hooks;
mod inputs;
mod kv_cache;
mod linear;
mod network;
mod pack;
mod plan;
mod profile;
mod score;
pub mod seam;
mod session;
mod tuning;
mod weights;

pub use attention_forms::{AttentionForm, Way};
pub use cache::{CacheKind, CacheKinds};
pub use generate::CONTEXT_TOKENS;
pub use kv_cache::{Ring, bytes_per_token};
pub use linear::{Form, Shape};
pub use network::Network;
pub use profile::{Prepared, Profile};
pub use seam::Seam;
pub use session::Session;
pub use tuning::Measured;

use std::rc::Rc;

/// How weights are stored on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WeightKind {
    /// As in the file: quantised blocks stay packed; bf16 becomes half floats.
    #[default]
    Stored,
    F32,
    F16,
    /// Blocks of 32 with an f16 scale: quantised at load if the file isn't.
    Q8,
    Q4,
}

/// How to put a model on the device.
#[derive(Default)]
pub struct LoadOptions<'a> {
    pub weights: WeightKind,
    /// What a script says of each layer's attention; empty: nothing of any.
    pub attention: &'a [Option<Rc<hooks::Hooks>>],
    /// Called with (bytes done, bytes in all) as weights arrive on the device.
    pub progress: Option<&'a dyn Fn(u64, u64)>,
}

/// What a session is made for.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Positions per sequence that the cache has room for.
    pub context: usize,
    /// Sequences that run side by side.
    pub sequences: usize,
    pub cache: CacheKinds,
    /// Most token rows in one prefill submission; `None`: chosen for the adapter.
    pub chunk: Option<usize>,
}

/// Tokens made, and when.
#[derive(Debug, Clone, Default)]
pub struct Generated {
    /// Per sequence, the last tokens before those that were made: the text of a token depends on what it follows.
    pub before: Vec<Vec<u32>>,
    /// Per sequence, without the end-of-text token.
    pub tokens: Vec<Vec<u32>>,
    /// Wall time of each step in milliseconds, as the host saw it finish on the device. Steps of less than 5 ms are submitted several at a time, and
    /// share their time.
    pub step_ms: Vec<f64>,
    /// Milliseconds that the host has spent on recording and submitting all steps, most of it while the device was busy.
    pub record_ms: f64,
    /// Per sequence: whether it stopped at an end-of-text token.
    pub ended: Vec<bool>,
}

/// How to choose tokens.
#[derive(Debug, Clone)]
pub struct GenerateOptions {
    pub max_tokens: usize,
    /// 0: greedy.
    pub temperature: f32,
    /// 0: all.
    pub top_k: usize,
    /// 1: all.
    pub top_p: f32,
    pub seed: u64,
    pub stop_at_end: bool,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self { max_tokens: 128, temperature: 0.0, top_k: 0, top_p: 1.0, seed: 0, stop_at_end: true }
    }
}

/// What [`Session::score`] returns, per sequence.
#[derive(Debug, Clone, Default)]
pub struct Scores {
    /// The natural log-probability of every token but the list's first, given all before it: `tokens.len() - 1` values.
    pub log_probabilities: Vec<Vec<f32>>,
    /// The most likely token at the same positions.
    pub best: Vec<Vec<u32>>,
}
