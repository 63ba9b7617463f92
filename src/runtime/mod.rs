//! A model loaded on a device: sessions (prefill, decode, generate, score), sampling, KV cache.

pub mod cache;

pub use cache::{CacheKind, CacheKinds};

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::model::Model;
use std::rc::Rc;
use std::sync::Arc;

/// How weights are stored on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WeightKind {
    /// As in the file where there are kernels for that type (quantised blocks stay packed), else half floats.
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
    /// Called with (bytes done, bytes in all) as weights arrive on the device.
    pub progress: Option<&'a dyn Fn(u64, u64)>,
}

/// A model whose weights are on the device.
pub struct Network {
    gpu: Arc<Gpu>,
    model: Arc<Model>,
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
    /// Per sequence, without the end-of-text token.
    pub tokens: Vec<Vec<u32>>,
    /// Wall time of each step in milliseconds, as the host saw it finish on the device.
    pub step_ms: Vec<f64>,
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

/// A batch of sequences with their cache.
pub struct Session {
    network: Rc<Network>,
}

fn later<T>() -> Result<T> {
    Err(Error::new("the runtime is being written"))
}

impl Network {
    /// Streams the weights to the device.
    pub fn load(gpu: &Arc<Gpu>, model: Arc<Model>, options: &LoadOptions) -> Result<Rc<Network>> {
        let _ = (gpu, model, options);
        later()
    }

    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Bytes that the weights hold on the device.
    pub fn weight_bytes(&self) -> u64 {
        0
    }
}

/// Bytes of cache that one token takes in all layers, keys and values, scales included.
pub fn bytes_per_token(architecture: &crate::model::Architecture, kinds: CacheKinds) -> u64 {
    let _ = (architecture, kinds);
    0
}

impl Session {
    /// Allocates the cache and everything else the session needs: nothing is allocated later.
    pub fn new(network: &Rc<Network>, options: &SessionOptions) -> Result<Session> {
        let _ = (network, options);
        later()
    }

    pub fn network(&self) -> &Rc<Network> {
        &self.network
    }

    /// Appends one list of tokens per sequence (lengths may differ) and leaves the logits of each sequence's last position on the device.
    /// Returns when the device is idle.
    pub fn prefill(&mut self, tokens: &[Vec<u32>]) -> Result<()> {
        let _ = tokens;
        later()
    }

    /// `steps` greedy tokens for every sequence; end-of-text is ignored. A step chooses a token from the logits that are there and
    /// computes the next ones, so that prefill and decode together are all the work there is.
    pub fn decode(&mut self, steps: usize) -> Result<Generated> {
        let _ = steps;
        later()
    }

    /// Tokens chosen by `options`; `on_tokens(sequence, tokens)` hears of them as they arrive.
    pub fn generate(&mut self, options: &GenerateOptions, on_tokens: &mut dyn FnMut(usize, &[u32])) -> Result<Generated> {
        let _ = (options, on_tokens);
        later()
    }

    /// Appends one list of tokens per sequence and scores each token given all before it. Logits never leave the device.
    pub fn score(&mut self, tokens: &[Vec<u32>]) -> Result<Scores> {
        let _ = tokens;
        later()
    }

    /// Logits of the last position, `[sequences, vocab]`.
    pub fn logits(&mut self) -> Result<Vec<f32>> {
        later()
    }

    /// Appends one list of tokens per sequence and returns every layer's attention output (after the output projection, before the
    /// residual sum): `[layers][rows, d_model]`, rows being all sequences' tokens in order.
    pub fn attention_outputs(&mut self, tokens: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        let _ = tokens;
        later()
    }

    /// Appends one list of tokens per sequence and returns the logits of all positions: `[rows, vocab]`.
    pub fn all_logits(&mut self, tokens: &[Vec<u32>]) -> Result<Vec<f32>> {
        let _ = tokens;
        later()
    }

    /// Positions held, per sequence.
    pub fn lengths(&self) -> &[usize] {
        &[]
    }

    /// Forgets all but the first `length` positions of every sequence.
    pub fn truncate(&mut self, length: usize) -> Result<()> {
        let _ = length;
        later()
    }

    /// Bytes that the cache holds on the device.
    pub fn cache_bytes(&self) -> u64 {
        0
    }

    pub fn options(&self) -> &SessionOptions {
        unreachable!("being written")
    }
}
