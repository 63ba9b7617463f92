//! A session's keys and values on the device: one buffer for each part of each layer.

use super::hooks::Reach;
use crate::error::{At, Error, Result};
use crate::gpu::{Buffer, Gpu, Purpose, Usage};
use crate::model::{Architecture, Attention, Model};
use crate::quant::{CacheKind, CacheKinds, Part, smaller_kinds, transform};
use serde::Serialize;
use serde_json::Value;

/// Semantic keys, geometric keys or values of one layer.
pub(super) struct CachePart {
    pub buffer: Buffer,
    /// Bound nowhere yet.
    pub part: Part,
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
    /// `None`: the semantic keys are the values too (latent attention).
    pub value: Option<CachePart>,
    /// The layer's null keys and values as its queries need them, where that isn't as the weights have them: `[heads, sem + geo + value]`.
    pub nulls: Option<Buffer>,
}

/// What a layer's parts are: (kind, elements of a head) of semantic keys, geometric keys and values; no elements of values that are semantic keys.
fn parts(attention: &Attention, kinds: CacheKinds) -> [(CacheKind, usize); 3] {
    let keys = if attention.decoupled || attention.latent.is_some() { kinds.geometric } else { kinds.key };
    let value = if attention.latent.is_some() { 0 } else { attention.value };
    [(kinds.semantic, attention.sem), (keys, attention.geo), (kinds.value, value)]
}

/// Bytes of cache that one token takes in all layers, keys and values, scales included.
pub fn bytes_per_token(architecture: &Architecture, kinds: CacheKinds) -> u64 {
    let layer =
        |attention: &Attention| -> u64 { parts(attention, kinds).iter().map(|(kind, head)| kind.bytes(head * attention.kv_heads)).sum() };
    architecture.layers.iter().map(|each| layer(&each.attention)).sum()
}

impl CachePart {
    fn new(gpu: &Gpu, label: &str, part: Part, tokens: usize) -> Result<CachePart> {
        let purpose = if part.kind == CacheKind::None { Purpose::Activations } else { Purpose::Cache };
        let buffer = gpu.buffer(label, part.words(tokens) as u64 * 4, purpose, Usage::Storage).map_err(|error| {
            error.remedy(format!(
                "make the session with a smaller `context`, fewer `sequences` or a smaller cache kind ({})",
                smaller_kinds()
            ))
        })?;
        Ok(CachePart { buffer, part })
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
        let part = |name: &str, (kind, head): (CacheKind, usize)| {
            CachePart::new(gpu, &format!("the cache of {name}"), Part::new(kind, attention.kv_heads, head, 0), tokens)
                .at(format!("layer {index}"))
        };
        let semantic = if attention.sem > 0 { Some(part("semantic keys", semantic)?) } else { None };
        Ok(LayerCache {
            ring,
            semantic,
            geometric: part("keys", geometric)?,
            value: if value.1 > 0 { Some(part("values", value)?) } else { None },
            nulls,
        })
    }

    fn parts(&self) -> impl Iterator<Item = &CachePart> {
        [self.semantic.as_ref(), Some(&self.geometric), self.value.as_ref()].into_iter().flatten()
    }

    /// What holds the values: a part of its own, or the semantic keys.
    pub fn values(&self) -> Option<&CachePart> {
        self.value.as_ref().or(self.semantic.as_ref())
    }

    /// The parts that are written, by name, bound from `binding` on; and their buffers in that order.
    pub fn bind(&self, binding: usize) -> (Value, Vec<wgpu::BindingResource<'_>>) {
        self.bind_parts(binding, self.value.as_ref())
    }

    /// The same for who reads them: values there are always, and they may be the semantic keys.
    pub fn bind_for_reading(&self, binding: usize) -> (Value, Vec<wgpu::BindingResource<'_>>) {
        self.bind_parts(binding, self.values())
    }

    fn bind_parts<'a>(&'a self, binding: usize, value: Option<&'a CachePart>) -> (Value, Vec<wgpu::BindingResource<'a>>) {
        let named = [("semantic", self.semantic.as_ref()), ("geometric", Some(&self.geometric)), ("value", value)];
        let mut parameters = serde_json::Map::new();
        let mut buffers = Vec::new();
        for (name, part) in named.into_iter().filter_map(|(name, part)| Some((name, part?))) {
            parameters.insert(name.to_owned(), Part { binding: binding + buffers.len(), ..part.part }.parameters());
            buffers.push(part.buffer.binding());
        }
        (Value::Object(parameters), buffers)
    }

    /// The buffers of its parts.
    pub fn buffers(&self) -> impl Iterator<Item = &Buffer> {
        self.parts().map(|part| &part.buffer)
    }

    /// The kinds of the parts by name.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.parts().map(|part| part.part.kind.name()).collect()
    }

    /// Fills the parts with something of every kind: halves of 0.125 to 0.25 and either sign, as elements, codes or scales.
    pub fn fill(&self, gpu: &Gpu) {
        let words: Vec<u32> = (0..1u32 << 20).map(|index| 0x3000_3000 | (index.wrapping_mul(2_654_435_761) & 0x83ff_83ff)).collect();
        let bytes: &[u8] = bytemuck::cast_slice(&words);
        for part in self.parts() {
            for at in (0..part.buffer.bytes()).step_by(bytes.len()) {
                gpu.write(&part.buffer, at, &bytes[..bytes.len().min((part.buffer.bytes() - at) as usize)]);
            }
        }
    }

    /// Bytes that are cache, and not merely keys and values of one call.
    pub fn bytes(&self) -> u64 {
        self.parts().filter(|part| part.part.kind != CacheKind::None).map(|part| part.buffer.bytes()).sum()
    }
}

/// The null keys and values of a layer some of whose parts are stored transformed, transformed as those are; `None` where nothing is.
fn transformed_nulls(gpu: &Gpu, model: &Model, index: usize, kinds: [CacheKind; 3]) -> Result<Option<Buffer>> {
    let attention = &model.architecture.layers[index].attention;
    let widths = [attention.sem, attention.geo, attention.value];
    let is_rotated = |(kind, width): (CacheKind, usize)| width > 0 && kind.entry().is_rotated;
    if !attention.null_attn || !kinds.into_iter().zip(widths).any(is_rotated) {
        return Ok(None);
    }
    let mut nulls = super::network::nulls(model, index)?;
    for head in nulls.chunks_exact_mut(widths.iter().sum()) {
        let mut rest = head;
        for (kind, width) in kinds.into_iter().zip(widths) {
            let (part, behind) = rest.split_at_mut(width);
            if is_rotated((kind, width)) {
                transform(part);
            }
            rest = behind;
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
