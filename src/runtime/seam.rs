//! What the kernels of attention are told about scores, masks and normalisers: the parameters of `shaders/attention_seam.wgsl`.

use serde::Serialize;

/// How scores become weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Normaliser {
    /// `exp(s) / sum(exp(s))`
    #[default]
    Softmax,
    /// `1 / (1 + exp(-(s + bias)))`, each key by itself.
    Sigmoid,
    /// `max(s + bias, 0)`, each key by itself.
    Relu,
}

/// A term of the softmax's divisor whose value is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum SinkKind {
    #[default]
    None,
    /// `exp(0)`: the off-by-one softmax.
    Zero,
    /// The exponential of a logit per head, from the hooks' data.
    Heads,
}

/// One layer's scores, masks and normaliser, as its kernels know them. The default is causal attention with a softmax.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Seam {
    /// Positions that a query sees, its own included; 0: all.
    pub window: usize,
    /// First positions that are seen beyond the window.
    pub first: usize,
    /// WGSL of the model's own soft cap of scores; empty: there is none.
    pub cap: String,
    /// Whether there is a null key and value, and where they are bound.
    pub null: bool,
    pub null_binding: usize,
    pub normaliser: Normaliser,
    /// WGSL of the number that sigmoid and ReLU add to every score.
    pub bias: String,
    pub sink: SinkKind,
    /// Where the hooks' data is bound; 0: there is none.
    pub data_binding: usize,
    /// WGSL of `score_hook` and `mask_hook`.
    pub functions: String,
    /// Whether there is a `score_hook`.
    pub score: bool,
    /// Whether there is a `mask_hook`.
    pub mask: bool,
    /// Whether a query may see nothing at all.
    pub hides: bool,
    /// Word of the data where the map of tiles begins; 0: there is none.
    pub map_at: usize,
    /// Positions of a tile.
    pub map_tile: usize,
    /// Tiles of queries, and words that those of keys take.
    pub map_rows: usize,
    pub map_words: usize,
    /// Whether every head has a map of its own.
    pub map_by_head: bool,
}

impl Default for Seam {
    fn default() -> Seam {
        Seam {
            window: 0,
            first: 0,
            cap: String::new(),
            null: false,
            null_binding: 0,
            normaliser: Normaliser::Softmax,
            bias: "0.0".to_owned(),
            sink: SinkKind::None,
            data_binding: 0,
            functions: String::new(),
            score: false,
            mask: false,
            hides: false,
            map_at: 0,
            map_tile: 0,
            map_rows: 0,
            map_words: 0,
            map_by_head: false,
        }
    }
}
