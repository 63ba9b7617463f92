//! A session's keys and values on the device: one buffer for each part of each layer.

use super::hooks::Reach;
use super::{CacheKind, CacheKinds, hadamard};
use crate::error::{At, Error, Result};
use crate::gpu::{Buffer, Gpu, Purpose, Usage};
use crate::model::{Architecture, Attention, Model};
use serde::Serialize;
use serde_json::{Value, json};

/// Semantic keys, geometric keys or values of one layer; `shaders/cache.wgsl` has the layout.
pub(super) struct CachePart {
    pub buffer: Buffer,
    pub kind: CacheKind,
    /// Elements of a token over all heads.
    width: usize,
    /// Elements of a head.
    head: usize,
    /// Blocks of a token.
    blocks: usize,
}

/// Where positions lie that are not all kept: the first ones at their places, the latest in a ring. `shaders/cache.wgsl` has the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Ring {
    /// Positions that stay.
    pub first: usize,
    /// Positions of the ring.
    pub length: usize,
    /// Tokens of all sequences that there is room for.
    pub tokens: usize,
}

impl Ring {
    /// The ring for queries that look back so far, and come in chunks of so many: a chunk's keys are written before its first query looks back.
    /// `None` where all positions take no more room.
    pub fn new(reach: Reach, chunk: usize, sequences: usize, context: usize) -> Option<Ring> {
        let length = reach.window + chunk.max(1) - 1;
        (reach.first + length < context).then(|| Ring { first: reach.first, length, tokens: sequences * (reach.first + length) })
    }

    /// Whether everything that a query at position `length` or the one before it looks back to is still there when so many positions were written.
    pub fn holds(self, reach: Reach, length: usize, written: usize) -> bool {
        written <= self.first + self.length || length + self.length >= written + reach.window
    }
}

/// The cache of one layer.
pub(super) struct LayerCache {
    /// `None`: every position has a place of its own.
    pub ring: Option<Ring>,
    /// `None` in a standard layer.
    pub semantic: Option<CachePart>,
    pub geometric: CachePart,
    pub value: CachePart,
    /// The layer's null keys and values as its queries need them, where that isn't as the weights have them: `[heads, sem + geo + value]`.
    pub nulls: Option<Buffer>,
}

/// What a layer's parts are: (kind, elements of a head) of semantic keys, geometric keys and values.
fn parts(attention: &Attention, kinds: CacheKinds) -> [(CacheKind, usize); 3] {
    let keys = if attention.decoupled { kinds.geometric } else { kinds.key };
    [(kinds.semantic, attention.sem), (keys, attention.geo), (kinds.value, attention.value)]
}

/// Bytes of cache that one token takes in all layers, keys and values, scales included.
pub fn bytes_per_token(architecture: &Architecture, kinds: CacheKinds) -> u64 {
    let layer =
        |attention: &Attention| -> u64 { parts(attention, kinds).iter().map(|(kind, head)| kind.bytes(head * attention.kv_heads)).sum() };
    architecture.layers.iter().map(|each| layer(&each.attention)).sum()
}

impl CachePart {
    fn new(gpu: &Gpu, label: &str, kind: CacheKind, kv_heads: usize, head: usize, tokens: usize, purpose: Purpose) -> Result<CachePart> {
        let width = kv_heads * head;
        let blocks = width.div_ceil(super::cache::BLOCK);
        let (block_words, scaled) = match kind {
            CacheKind::None => (32, false),
            CacheKind::F16 => (16, false),
            CacheKind::Q8 => (8, true),
            CacheKind::Q4 => (4, true),
        };
        let code_words = tokens * blocks * block_words;
        let bytes = code_words * 4 + if scaled { tokens * blocks * 2 } else { 0 };
        // Whole units of four words: kernels load as many at once.
        let buffer = gpu.buffer(label, bytes.next_multiple_of(16) as u64, purpose, Usage::Storage).map_err(|error| {
            error.remedy("make the session with a smaller `context`, fewer `sequences` or a smaller cache kind (q8, q4)")
        })?;
        Ok(CachePart { buffer, kind, width, head, blocks })
    }

    fn kind_name(&self) -> &'static str {
        match self.kind {
            CacheKind::None => "f32",
            CacheKind::F16 => "f16",
            CacheKind::Q8 => "q8",
            CacheKind::Q4 => "q4",
        }
    }

    /// What the shaders know of it.
    fn parameters(&self, binding: usize) -> Value {
        json!({ "kind": self.kind_name(), "width": self.width, "head": self.head, "blocks": self.blocks, "binding": binding })
    }
}

impl LayerCache {
    /// Room for `tokens` (sequences times context) tokens, or for those of a ring.
    ///
    /// # Errors
    /// More than the device has, or allows in one buffer.
    pub fn new(gpu: &Gpu, model: &Model, index: usize, kinds: CacheKinds, tokens: usize, ring: Option<Ring>) -> Result<LayerCache> {
        let tokens = ring.map_or(tokens, |ring| ring.tokens);
        let attention = &model.architecture.layers[index].attention;
        let nulls = transformed_nulls(gpu, model, index, parts(attention, kinds).map(|(kind, _)| kind))?;
        let [semantic, geometric, value] = parts(attention, kinds);
        let purpose = |kind| if kind == CacheKind::None { Purpose::Activations } else { Purpose::Cache };
        let part = |name: &str, (kind, head): (CacheKind, usize)| {
            CachePart::new(gpu, &format!("the cache of {name}"), kind, attention.kv_heads, head, tokens, purpose(kind))
                .at(format!("layer {index}"))
        };
        let semantic = if attention.sem > 0 { Some(part("semantic keys", semantic)?) } else { None };
        Ok(LayerCache { ring, semantic, geometric: part("keys", geometric)?, value: part("values", value)?, nulls })
    }

    /// The parts by name, bound from `binding` on; and their buffers in that order.
    pub fn bind(&self, binding: usize) -> (Value, Vec<wgpu::BindingResource<'_>>) {
        let named = [("semantic", self.semantic.as_ref()), ("geometric", Some(&self.geometric)), ("value", Some(&self.value))];
        let mut parameters = serde_json::Map::new();
        let mut buffers = Vec::new();
        for (name, part) in named.into_iter().filter_map(|(name, part)| Some((name, part?))) {
            parameters.insert(name.to_owned(), part.parameters(binding + buffers.len()));
            buffers.push(part.buffer.binding());
        }
        (Value::Object(parameters), buffers)
    }

    /// The buffers of its parts.
    pub fn buffers(&self) -> impl Iterator<Item = &Buffer> {
        [self.semantic.as_ref(), Some(&self.geometric), Some(&self.value)].into_iter().flatten().map(|part| &part.buffer)
    }

    /// The kinds of the parts, as shaders call them.
    pub fn kinds(&self) -> Vec<&'static str> {
        [self.semantic.as_ref(), Some(&self.geometric), Some(&self.value)].into_iter().flatten().map(CachePart::kind_name).collect()
    }

    /// Fills the parts with something of every kind: halves of 0.125 to 0.25 and either sign, as elements, codes or scales.
    pub fn fill(&self, gpu: &Gpu) {
        let words: Vec<u32> = (0..1u32 << 20).map(|index| 0x3000_3000 | (index.wrapping_mul(2_654_435_761) & 0x83ff_83ff)).collect();
        let bytes: &[u8] = bytemuck::cast_slice(&words);
        for part in [self.semantic.as_ref(), Some(&self.geometric), Some(&self.value)].into_iter().flatten() {
            for at in (0..part.buffer.bytes()).step_by(bytes.len()) {
                gpu.write(&part.buffer, at, &bytes[..bytes.len().min((part.buffer.bytes() - at) as usize)]);
            }
        }
    }

    /// Bytes that are cache, and not merely keys and values of one call.
    pub fn bytes(&self) -> u64 {
        let parts = [self.semantic.as_ref(), Some(&self.geometric), Some(&self.value)];
        parts.into_iter().flatten().filter(|part| part.kind != CacheKind::None).map(|part| part.buffer.bytes()).sum()
    }
}

/// The null keys of a layer whose queries meet keys of 4 bits, transformed as those are; `None` where nothing is transformed.
fn transformed_nulls(gpu: &Gpu, model: &Model, index: usize, [semantic, geometric, _]: [CacheKind; 3]) -> Result<Option<Buffer>> {
    let attention = &model.architecture.layers[index].attention;
    let (sem, geo) = (attention.sem, attention.geo);
    if !attention.null_attn || !((sem > 0 && semantic == CacheKind::Q4) || geometric == CacheKind::Q4) {
        return Ok(None);
    }
    let mut nulls = super::network::nulls(model, index)?;
    for head in nulls.chunks_exact_mut(sem + geo + attention.value) {
        let (semantic_key, rest) = head.split_at_mut(sem);
        if semantic == CacheKind::Q4 {
            hadamard::transform(semantic_key);
        }
        if geometric == CacheKind::Q4 {
            hadamard::transform(&mut rest[..geo]);
        }
    }
    Ok(Some(gpu.buffer_of("the null keys and values", &nulls, Purpose::Activations)?))
}

/// Whether nothing is cached at all.
///
/// # Errors
/// Some parts with a cache and some without: neither form of a session could run it.
pub(super) fn uncached(kinds: CacheKinds) -> Result<bool> {
    let all = [kinds.semantic, kinds.geometric, kinds.key, kinds.value];
    let none = all.iter().filter(|kind| **kind == CacheKind::None).count();
    match none {
        0 => Ok(false),
        4 => Ok(true),
        _ => Err(Error::new("a cache kind of `none` for some parts and not for others").remedy("use `none` for all parts or for none")),
    }
}
