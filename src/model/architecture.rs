//! The shape of a model: everything the runtime needs to know apart from the weights themselves.
//!
//! A standard attention layer and a decoupled one (decoupled bottleneck attention, DBA) are the same thing with other widths: the key
//! of a head is the concatenation of a *semantic* part (not rotated) and a *geometric* part (rotated by RoPE). A standard layer
//! has a semantic part of width 0.

use super::operations::{self, Activation, Block, Operation};
use super::rope::Rope;
use crate::error::{At, Error, Result};

/// Bounds that no model comes near and that keep products of two sizes far from overflow, whatever a file says.
const MAX_LAYERS: usize = 1 << 12;
pub(super) const MAX_SIZE: usize = 1 << 26;
const MAX_HEADS: usize = 1 << 14;
const MAX_WIDTH: usize = 1 << 16;

/// A decoder-only transformer.
#[derive(Debug, Clone, PartialEq)]
pub struct Architecture {
    /// As the file calls it: `llama`, `mistral`, `qwen2`, `qwen3`, ...
    pub family: String,
    pub d_model: usize,
    pub vocab: usize,
    /// The longest context the model was made for, in tokens.
    pub context: usize,
    pub norm_eps: f32,
    /// Added to the weight of every norm: 1 where a file holds `w` of a norm that multiplies by `1 + w` (Gemma's own files), else 0.
    pub norm_offset: f32,
    /// What an embedding is multiplied by on its way into the residual stream.
    pub embedding_scale: f32,
    /// Logits become `cap tanh(logit / cap)` (Gemma 2).
    pub logit_cap: Option<f32>,
    /// The head's weight is the embedding.
    pub tied_embeddings: bool,
    pub layers: Vec<Layer>,
    /// The token that begins a text, and whether the tokenizer is to add it.
    pub bos: Option<u32>,
    /// Tokens that end a text.
    pub eos: Vec<u32>,
}

/// One layer: what its attention and its MLP are, and how they lie on the residual stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    pub attention: Attention,
    /// Width of the gated MLP.
    pub d_ff: usize,
    pub activation: Activation,
    pub operations: &'static [Operation],
}

impl Layer {
    /// `x += attention(norm(x)); x += mlp(norm(x))` with a SwiGLU: the layer of a Llama.
    pub fn llama(attention: Attention, d_ff: usize) -> Layer {
        Layer { attention, d_ff, activation: Activation::Silu, operations: operations::PRE_NORM }
    }

    /// What its list of operations falls into. [`Architecture::check`] has seen that it does.
    pub fn blocks(&self) -> Vec<Block> {
        operations::blocks(self.operations).unwrap_or_default()
    }
}

/// Widths are per head; `heads` is a multiple of `kv_heads`.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    pub heads: usize,
    pub kv_heads: usize,
    /// Whether the stored tensors are `q_sem`, `k_sem`, `q_geo`, ... (`true`) or `q_proj`, `k_proj`, ... (`false`; then `sem` is 0).
    pub decoupled: bool,
    /// Width of the semantic path, per head; 0: there is none, and no tensors of it.
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
    /// RMSNorm of queries and keys before RoPE, by `q_norm.weight` and `k_norm.weight`.
    pub qk_norm: QkNorm,
    /// What the product of a query and a key is multiplied by; `None`: `1/sqrt(width)` of each path.
    pub scale: Option<f32>,
    /// Scores become `cap tanh(score / cap)` (Gemma 2).
    pub score_cap: Option<f32>,
    pub gate: Gate,
    /// Both query parts times `exp(clamp(logit_scale[h], -8, 8))`.
    pub learned_temp: bool,
    /// `k_sem` is `q_sem`, before the gate.
    pub tie_qk: bool,
    /// A learned extra key and value per head, always visible, not in the cache.
    pub null_attn: bool,
    /// Keys and values are made of one latent vector a token, in the absorbed form: `sem` and `value` are its width (semantic key and value at
    /// once), `geo` that of the one rotated key, and `kv_heads` is 1.
    pub latent: Option<Latent>,
    /// Heads are pairs, whose outputs are subtracted: `geo` and `value` are those of a pair, and a head's query is zero in the half of the other.
    pub differential: Option<Differential>,
    pub output_gate: OutputGate,
    /// Only the latest `window` positions are visible (Mistral's sliding window); `None`: all.
    pub window: Option<usize>,
}

/// What an RMSNorm of queries and keys goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QkNorm {
    None,
    /// Each head by itself; all share a weight of width `geo` (Qwen3, Gemma 3).
    Head,
    /// All heads of a token at once, with a weight as wide as they are together (OLMo 2).
    All,
}

impl QkNorm {
    /// Elements of the weights of queries and of keys.
    pub fn widths(self, attention: &Attention) -> [usize; 2] {
        match self {
            QkNorm::None => [0, 0],
            QkNorm::Head => [attention.geo; 2],
            QkNorm::All => [attention.heads * attention.geo, attention.kv_heads * attention.geo],
        }
    }
}

/// What latent attention (MLA) multiplies queries and outputs by, before and behind attention over the latent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latent {
    /// Width of the latent that queries are made of; `None`: they are made of the token itself.
    pub query_rank: Option<usize>,
    /// Width of a head's query that is not rotated, which the latent is expanded to.
    pub plain: usize,
    /// Width of a head's output.
    pub value: usize,
    /// The two elements of a rotary pair are stored side by side.
    pub interleaved: bool,
}

/// Differential attention: `rms_norm(softmax(q1 k1) v - lambda softmax(q2 k2) v) (1 - lambda_init)` (T. Ye and others, "Differential Transformer", 2024).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Differential {
    /// `lambda` is this and the difference of two exponentials of learned products.
    pub lambda_init: f32,
}

/// What attention's output is multiplied by, element by element: the sigmoid of a projection of the layer's input, `self_attn.gate_proj.weight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputGate {
    None,
    /// One number a head: `[heads, d_model]`.
    Head,
    /// One an element: `[heads * value, d_model]`.
    Elementwise,
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

impl Architecture {
    /// That the sizes fit each other. Readers call this before anything is made from them.
    ///
    /// # Errors
    /// The first size that doesn't fit, with its layer.
    pub fn check(&self) -> Result<()> {
        within("the width of the model (d_model)", self.d_model, MAX_SIZE)?;
        within("the size of the vocabulary", self.vocab, MAX_SIZE)?;
        within("the longest context", self.context, MAX_SIZE)?;
        within("the number of layers", self.layers.len(), MAX_LAYERS)?;
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            return Err(Error::new(format!("the epsilon of the norms is {}, expected a small positive number", self.norm_eps)));
        }
        positive("what embeddings are multiplied by", Some(self.embedding_scale))?;
        positive("the soft cap of the logits", self.logit_cap)?;
        if !self.norm_offset.is_finite() {
            return Err(Error::new(format!("what is added to the weights of norms is {}, expected a number", self.norm_offset)));
        }
        for (index, layer) in self.layers.iter().enumerate() {
            operations::blocks(layer.operations).at(format!("layer {index}"))?;
            within("the width of the MLP (d_ff)", layer.d_ff, MAX_SIZE)
                .and_then(|()| layer.attention.check())
                .at(format!("layer {index}"))?;
        }
        Ok(())
    }
}

/// A size that is at least 1 and at most `most`.
pub(super) fn within(what: &str, size: usize, most: usize) -> Result<()> {
    match size {
        0 => Err(Error::new(format!("{what} is 0 or not given"))),
        _ if size > most => Err(Error::new(format!("{what} is {size}, more than any model has ({most})"))),
        _ => Ok(()),
    }
}

fn positive(what: &str, number: Option<f32>) -> Result<()> {
    match number {
        Some(number) if !(number.is_finite() && number > 0.0) => Err(Error::new(format!("{what} is {number}, expected a positive number"))),
        _ => Ok(()),
    }
}

fn even_when_rotated(what: &str, width: usize) -> Result<()> {
    if width.is_multiple_of(2) {
        return Ok(());
    }
    Err(Error::new(format!("{what} is {width}; RoPE rotates pairs, so it must be even")))
}

impl Attention {
    /// An ordinary layer: heads of one width for keys and values, nothing optional.
    pub fn standard(heads: usize, kv_heads: usize, head_size: usize, rope: Option<Rope>) -> Attention {
        Attention {
            heads,
            kv_heads,
            decoupled: false,
            sem: 0,
            geo: head_size,
            value: head_size,
            rope,
            rope_semantic: false,
            qkv_bias: false,
            out_bias: false,
            qk_norm: QkNorm::None,
            scale: None,
            score_cap: None,
            gate: Gate::None,
            learned_temp: false,
            tie_qk: false,
            null_attn: false,
            latent: None,
            differential: None,
            output_gate: OutputGate::None,
            window: None,
        }
    }

    fn check(&self) -> Result<()> {
        within("the number of heads", self.heads, MAX_HEADS)?;
        within("the number of key/value heads", self.kv_heads, MAX_HEADS)?;
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(Error::new(format!("{} heads can't be shared out to {} key/value heads", self.heads, self.kv_heads))
                .remedy("the number of heads must be a multiple of the number of key/value heads"));
        }
        if let Some(latent) = &self.latent {
            within("the width of a head's query that is not rotated", latent.plain, MAX_WIDTH)?;
            within("the width of a head's output", latent.value, MAX_WIDTH)?;
            if let Some(rank) = latent.query_rank {
                within("the width of the queries' latent", rank, MAX_SIZE)?;
            }
        }
        if self.latent.is_some() || self.sem > MAX_WIDTH {
            within("the semantic width of a head", self.sem, MAX_WIDTH)?;
        }
        let geometric = if self.decoupled { "the geometric width of a head" } else { "the head size" };
        within(geometric, self.geo, MAX_WIDTH)?;
        within("the width of a value", self.value, MAX_WIDTH)?;
        if let Some(rope) = &self.rope {
            even_when_rotated(geometric, self.rope_width())?;
            rope.check(self.rope_width())?;
            if let Some(heads) = rope.heads().filter(|&heads| heads != self.kv_heads) {
                return Err(Error::new(format!(
                    "there are frequencies of RoPE for {heads} heads, expected {} key/value heads",
                    self.kv_heads
                )));
            }
            if self.rope_semantic {
                even_when_rotated("the semantic width of a head", self.sem)?;
                rope.check(self.sem)?;
            }
        }
        positive("what scores are multiplied by", self.scale)?;
        positive("the soft cap of the scores", self.score_cap)?;
        if self.tie_qk && self.kv_heads != self.heads {
            return Err(Error::new(format!("tie_qk needs as many key/value heads as heads, found {} and {}", self.kv_heads, self.heads)));
        }
        match self.window {
            Some(window) => within("the sliding window", window, MAX_SIZE),
            None => Ok(()),
        }
    }

    /// Width of a head's key: `sem + geo`.
    pub fn key(&self) -> usize {
        self.sem + self.geo
    }

    /// Where queries, keys and values end in the rows of a tensor that holds all of them.
    pub(super) fn fused_ends(&self) -> [usize; 3] {
        let (query, key) = (self.heads * self.geo, self.kv_heads * self.geo);
        [query, query + key, query + key + self.kv_heads * self.value]
    }

    /// Rows of the output gate's projection.
    pub fn gate_width(&self) -> usize {
        match self.output_gate {
            OutputGate::None => 0,
            OutputGate::Head => self.heads,
            OutputGate::Elementwise => self.heads * self.value,
        }
    }

    /// The same heads as pairs of differential attention, as layer `index` of a DiffLlama has them: query head `p` and the one half of the heads
    /// further on are a pair, and so are key/value heads.
    ///
    /// # Errors
    /// Heads that are no pairs.
    pub fn differential(&self, index: usize) -> Result<Attention> {
        if !self.kv_heads.is_multiple_of(2) || self.decoupled || self.latent.is_some() || self.qk_norm != QkNorm::None {
            return Err(Error::new(format!("differential attention of {} key/value heads is not supported", self.kv_heads))
                .remedy("it takes a standard layer with an even number of key/value heads and without norms of queries and keys"));
        }
        Ok(Attention {
            kv_heads: self.kv_heads / 2,
            geo: 2 * self.geo,
            value: 2 * self.value,
            scale: Some(self.scale.unwrap_or(1.0 / (self.geo as f32).sqrt())),
            differential: Some(Differential { lambda_init: 0.8 - 0.6 * (-0.3 * index as f32).exp() }),
            ..self.clone()
        })
    }

    /// Elements of a head that RoPE turns together: of a pair, those of one half.
    pub fn rope_width(&self) -> usize {
        if self.differential.is_some() { self.geo / 2 } else { self.geo }
    }

    /// Width of what the output projection reads, of all heads.
    pub fn out_width(&self) -> usize {
        let heads = if self.differential.is_some() { self.heads / 2 } else { self.heads };
        heads * self.latent.map_or(self.value, |latent| latent.value)
    }

    /// Query heads that share a key/value head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}
