//! A model loaded on a device: sessions (prefill, decode, generate, score), sampling, KV cache.

mod attend;
pub mod attention_forms;
mod differential;
mod finite;
mod fork;
pub mod forms;
mod generate;
pub mod hooks;
mod inputs;
mod kv_cache;
mod latent;
mod linear;
mod look;
mod network;
mod pack;
mod plan;
mod profile;
mod sampler;
mod score;
pub mod seam;
mod session;
mod stop;
mod tuning;
mod turns;
pub mod weights;

pub use crate::quant::{CacheKind, CacheKinds};
pub use attention_forms::{AttentionForm, Way};
pub use generate::{CONTEXT_TOKENS, OnTokens};
pub use kv_cache::{Ring, bytes_per_token};
pub use linear::{Form, Shape};
pub use look::{AttentionRow, Looked};
pub use network::Network;
pub use profile::{Prepared, Profile};
pub use seam::Seam;
pub use session::Session;
pub use stop::StopText;
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
    /// Per sequence: what ended it.
    pub stopped: Vec<Stopped>,
    /// Per sequence and token: the likeliest tokens at its place with their log-probabilities, as many as were asked for.
    pub likeliest: Vec<Vec<Vec<(u32, f32)>>>,
}

/// What ended a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stopped {
    /// It has as many tokens as were asked for.
    #[default]
    Length,
    /// An end-of-text token.
    EndOfText,
    /// Whoever heard of its tokens.
    Asked,
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
    /// Only tokens that are at least so many times as likely as the likeliest; 0: all.
    pub min_p: f32,
    /// Divides the positive logits of tokens that the sequence holds, and multiplies the others; 1: nothing.
    pub repetition_penalty: f32,
    /// How many of the last tokens are penalised; 0: all.
    pub repetition_window: usize,
    pub seed: u64,
    pub stop_at_end: bool,
    /// So many of the likeliest tokens are kept of every step, with their log-probabilities under the model itself. Steps are then submitted one by one.
    pub likeliest: usize,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            max_tokens: 128,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            repetition_window: 0,
            seed: 0,
            stop_at_end: true,
            likeliest: 0,
        }
    }
}

/// What [`Session::score`] returns, per sequence.
#[derive(Debug, Clone, Default)]
pub struct Scores {
    /// The natural log-probability of every token given all before it: `tokens.len()` values, one fewer where the sequence was empty, for nothing is
    /// before its first token.
    pub log_probabilities: Vec<Vec<f32>>,
    /// The most likely token at the same positions.
    pub best: Vec<Vec<u32>>,
}
