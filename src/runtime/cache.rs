//! The kinds of KV cache: one table that the command line, the script API, the kernels and the tests read.
//!
//! Elements are grouped in blocks of [`BLOCK`] along the feature dimension of one token; a quantised block is symmetric and has an
//! fp16 scale.
//!
//! Keys of q4 are stored as their Hadamard transform (`shaders/cache_write.wgsl` says why), which changes neither the blocks nor the scale's rule. On
//! SmolLM2-135M 4-bit keys alone take the next-token distributions 0.108 nats (KL) from the exact ones without it, 0.035 with it. Keys of q8 gain
//! nothing in perplexity, and values of q4 little: theirs would have to be undone in every output.

use crate::error::{Result, unknown};

/// Elements that share a scale.
pub const BLOCK: usize = 32;

/// How one part of the cache (keys, values, ...) is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheKind {
    /// Half floats.
    F16,
    /// 8-bit codes: scale = max abs / 127.
    Q8,
    /// 4-bit codes: scale = max abs / 7.
    Q4,
    /// No cache: keys and values live in f32 for one call only, and every step recomputes the whole prefix.
    None,
}

/// A line of the table.
pub struct CacheKindEntry {
    pub kind: CacheKind,
    /// The name in tables and manifests.
    pub name: &'static str,
    /// Other names seen in manifests.
    pub aliases: &'static [&'static str],
    /// Bytes of a block of [`BLOCK`] elements, its scale included.
    pub block_bytes: usize,
    pub text: &'static str,
}

/// Every kind.
pub const CACHE_KINDS: &[CacheKindEntry] = &[
    CacheKindEntry { kind: CacheKind::F16, name: "fp16", aliases: &["f16"], block_bytes: 64, text: "half floats, 2 bytes an element" },
    CacheKindEntry { kind: CacheKind::Q8, name: "q8", aliases: &["q8_0"], block_bytes: 34, text: "8-bit codes, 1.0625 bytes an element" },
    CacheKindEntry { kind: CacheKind::Q4, name: "q4", aliases: &["q4_0"], block_bytes: 18, text: "4-bit codes, 0.5625 bytes an element" },
    CacheKindEntry {
        kind: CacheKind::None,
        name: "none",
        aliases: &[],
        block_bytes: 0,
        text: "no cache: the prefix is recomputed at every step",
    },
];

impl CacheKind {
    /// By name or alias.
    ///
    /// # Errors
    /// An unknown name; the known ones are listed.
    pub fn parse(name: &str) -> Result<CacheKind> {
        CACHE_KINDS
            .iter()
            .find(|entry| entry.name == name || entry.aliases.contains(&name))
            .map(|entry| entry.kind)
            .ok_or_else(|| unknown("cache kind", name, CACHE_KINDS.iter().map(|entry| entry.name)))
    }

    fn entry(self) -> &'static CacheKindEntry {
        let index = match self {
            CacheKind::F16 => 0,
            CacheKind::Q8 => 1,
            CacheKind::Q4 => 2,
            CacheKind::None => 3,
        };
        &CACHE_KINDS[index]
    }

    /// The name in tables.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// Bytes that `width` elements of one token take, padded to whole blocks.
    pub fn bytes(self, width: usize) -> u64 {
        (width.div_ceil(BLOCK) * self.entry().block_bytes) as u64
    }
}

/// The kinds of one session's cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKinds {
    /// The semantic keys of decoupled layers.
    pub semantic: CacheKind,
    /// The geometric (rotated) keys of decoupled layers.
    pub geometric: CacheKind,
    /// The keys of standard layers.
    pub key: CacheKind,
    pub value: CacheKind,
}

impl CacheKinds {
    /// The same kind everywhere, but for q4: geometric keys of decoupled layers stay at q8, since rotation makes them the sensitive ones.
    pub fn uniform(kind: CacheKind) -> CacheKinds {
        let geometric = if kind == CacheKind::Q4 { CacheKind::Q8 } else { kind };
        CacheKinds { semantic: kind, geometric, key: kind, value: kind }
    }
}
