//! The shape of a model: everything the runtime needs to know apart from the weights themselves.
//!
//! A standard attention layer and a decoupled one (decoupled bottleneck attention, DBA) are the same thing with other widths: the key
//! of a head is the concatenation of a *semantic* part (not rotated) and a *geometric* part (rotated by RoPE). A standard layer
//! has a semantic part of width 0.

/// A decoder-only transformer of the Llama family.
#[derive(Debug, Clone, PartialEq)]
pub struct Architecture {
    /// As the file calls it: `llama`, `mistral`, `qwen2`, `qwen3`, ...
    pub family: String,
    pub d_model: usize,
    pub vocab: usize,
    /// The longest context the model was made for, in tokens.
    pub context: usize,
    pub norm_eps: f32,
    /// The head's weight is the embedding.
    pub tied_embeddings: bool,
    pub layers: Vec<Layer>,
    /// The token that begins a text, and whether the tokenizer is to add it.
    pub bos: Option<u32>,
    /// Tokens that end a text.
    pub eos: Vec<u32>,
}

/// One block: `x += attention(norm(x)); x += mlp(norm(x))`.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    pub attention: Attention,
    /// Width of the SwiGLU.
    pub d_ff: usize,
}

/// Widths are per head; `heads` is a multiple of `kv_heads`.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    pub heads: usize,
    pub kv_heads: usize,
    /// Whether the stored tensors are `q_sem`, `k_sem`, `q_geo`, ... (`true`) or `q_proj`, `k_proj`, ... (`false`; then `sem` is 0).
    pub decoupled: bool,
    /// Width of the semantic path, per head.
    pub sem: usize,
    /// Width of the geometric (rotated) path, per head: the head size of a standard layer. Even when rotated.
    pub geo: usize,
    /// Width of a value, per head.
    pub value: usize,
    /// Rotation of the geometric path; `None` when the layer does not rotate.
    pub rope: Option<Rope>,
    /// The semantic path is rotated too (with its own width's frequencies).
    pub rope_semantic: bool,
    /// `q_proj.bias`, `k_proj.bias`, `v_proj.bias` exist (Qwen2).
    pub qkv_bias: bool,
    /// `o_proj.bias` exists.
    pub out_bias: bool,
    /// `q_norm.weight`, `k_norm.weight` of width `geo` exist: an RMSNorm of every head before RoPE (Qwen3).
    pub qk_norm: bool,
    pub gate: Gate,
    /// Both query parts times `exp(clamp(logit_scale[h], -8, 8))`.
    pub learned_temp: bool,
    /// `k_sem` is `q_sem`, before the gate.
    pub tie_qk: bool,
    /// A learned extra key and value per head, always visible, not in the cache.
    pub null_attn: bool,
    /// Only the latest `window` positions are visible (Mistral's sliding window); `None`: all.
    pub window: Option<usize>,
}

/// The gate between the two paths of a decoupled layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    None,
    /// `sigmoid(decoupled_gate_logit[h])`
    Static,
    /// `sigmoid(decoupled_gate_logit[h] + (decoupled_gate_proj x)[t, h])`
    Dynamic,
}

/// Rotary position embedding in the Hugging Face convention: element `i` is paired with `i + width / 2`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    pub base: f32,
    pub scaling: RopeScaling,
}

#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    None,
    /// Positions divided by `factor`.
    Linear {
        factor: f32,
    },
    /// Llama 3's: frequencies are scaled by wavelength. Source: `transformers`, `modeling_rope_utils._compute_llama3_parameters`.
    Llama3 {
        factor: f32,
        low_freq_factor: f32,
        high_freq_factor: f32,
        original_context: usize,
    },
    /// Each frequency divided by its own factor (GGUF's `rope_freqs.weight`).
    Factors(Vec<f32>),
}

impl Rope {
    /// The `width / 2` inverse frequencies, in radians per position.
    pub fn inverse_frequencies(&self, width: usize) -> Vec<f32> {
        let plain = (0..width / 2).map(|i| (f64::from(self.base)).powf(-2.0 * i as f64 / width as f64));
        plain
            .enumerate()
            .map(|(i, frequency)| {
                let scaled = match &self.scaling {
                    RopeScaling::None => frequency,
                    RopeScaling::Linear { factor } => frequency / f64::from(*factor),
                    RopeScaling::Factors(factors) => frequency / factors.get(i).map_or(1.0, |&f| f64::from(f)),
                    RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                        let (factor, low, high) = (f64::from(*factor), f64::from(*low_freq_factor), f64::from(*high_freq_factor));
                        let turns = *original_context as f64 * frequency / std::f64::consts::TAU;
                        // Below `low` turns over the original context: slowed by `factor`; above `high`: kept; between: blended.
                        let blend = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                        (1.0 - blend) * frequency / factor + blend * frequency
                    }
                };
                scaled as f32
            })
            .collect()
    }
}

impl Attention {
    /// Width of a head's key: `sem + geo`.
    pub fn key(&self) -> usize {
        self.sem + self.geo
    }

    /// Query heads that share a key/value head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}
