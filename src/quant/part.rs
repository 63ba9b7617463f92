//! How a part of a layer's cache lies on the device: what `shaders/cache.wgsl` is told of it, and where its bits are.

use super::{BLOCK, Block, CacheKind, FACTORS, Scale};
use half::f16;
use serde::Serialize;
use serde_json::{Value, json};

/// A part of a layer's cache (semantic keys, geometric keys, values), as templates take it.
///
/// A code is taken apart into planes of 1, 2, 4 or 8 bits (floats are one plane of 16 or 32). A plane of `p` bits has `p` words of each block: a word holds
/// groups of four elements, one in each byte, group `g` of a block in word `g / (8 / p)` from bit `g % (8 / p) * p` of each byte on. So a kernel has four codes,
/// one in each byte, by a shift and a mask for each plane.
///
/// Planes `[tokens, blocks, p]` follow each other, the lowest bits first; then scales, `[tokens, blocks]` half floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Part {
    #[serde(serialize_with = "name")]
    pub kind: CacheKind,
    pub planes: &'static [usize],
    pub scale: Scale,
    /// Whether blocks have a scale.
    pub scaled: bool,
    pub lowest: i32,
    pub highest: i32,
    /// Whether what is stored is the Hadamard transform of each head.
    pub rotated: bool,
    /// Elements of a token over all heads.
    pub width: usize,
    /// Elements of a head.
    pub head: usize,
    /// Blocks of a token.
    pub blocks: usize,
    pub binding: usize,
}

fn name<S: serde::Serializer>(kind: &CacheKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

impl Part {
    /// The part of `kv_heads` heads of `head` elements that is bound at `binding`.
    pub fn new(kind: CacheKind, kv_heads: usize, head: usize, binding: usize) -> Part {
        let entry = kind.entry();
        let width = kv_heads * head;
        Part {
            kind,
            planes: entry.planes,
            scale: entry.scale,
            scaled: entry.has_scale(),
            lowest: entry.range[0],
            highest: entry.range[1],
            rotated: entry.is_rotated,
            width,
            head,
            blocks: width.div_ceil(BLOCK),
            binding,
        }
    }

    /// What templates are told.
    pub fn parameters(&self) -> Value {
        let mut parameters = json!(self);
        if self.scale == Scale::Signed {
            parameters["factors"] = json!(FACTORS.map(|factor| format!("{factor:?}")));
        }
        parameters
    }

    /// Words of a block, without its scale.
    pub fn block_words(&self) -> usize {
        self.planes.iter().sum()
    }

    /// Words for so many tokens, filled up to whole units of four: kernels load as many at once.
    pub fn words(&self, tokens: usize) -> usize {
        let scales = if self.scaled { (tokens * self.blocks).div_ceil(2) } else { 0 };
        (tokens * self.blocks * self.block_words() + scales).next_multiple_of(4)
    }

    /// The bits of element `e` (padding included) of token `t` in the buffer of a cache of `tokens` tokens.
    pub fn bits(&self, cache: &[u32], tokens: usize, t: usize, e: usize) -> u32 {
        let block = t * self.blocks + e / BLOCK;
        if let &[bits @ (16 | 32)] = self.planes {
            let at = (block * BLOCK + e % BLOCK) * bits;
            return cache[at / 32] >> (at % 32) & (u32::MAX >> (32 - bits));
        }
        let (group, byte) = (e % BLOCK / 4, e % 4);
        let (mut code, mut before) = (0, 0);
        for &bits in self.planes {
            let (word, shift) = (group * bits / 8, group * bits % 8 + 8 * byte);
            let plane = cache[tokens * self.blocks * before + block * bits + word];
            code |= (plane >> shift & ((1 << bits) - 1)) << before;
            before += bits;
        }
        code
    }

    /// The bits of the scale of element `e` of token `t`.
    pub fn scale_bits(&self, cache: &[u32], tokens: usize, t: usize, e: usize) -> u16 {
        let half_word = tokens * self.blocks * self.block_words() * 2 + t * self.blocks + e / BLOCK;
        (cache[half_word / 2] >> (16 * (half_word % 2))) as u16
    }

    /// What element `e` of token `t` stands for.
    pub fn value(&self, cache: &[u32], tokens: usize, t: usize, e: usize) -> f32 {
        let bits = self.bits(cache, tokens, t, e);
        match self.planes {
            [32] => f32::from_bits(bits),
            [16] => f16::from_bits(bits as u16).to_f32(),
            _ => {
                let unused = 32 - self.block_words();
                let code = (bits << unused).cast_signed() >> unused;
                code as f32 * f16::from_bits(self.scale_bits(cache, tokens, t, e)).to_f32()
            }
        }
    }

    /// Writes a block of token `t`.
    pub fn write(&self, cache: &mut [u32], tokens: usize, t: usize, block: usize, content: &Block) {
        let at = t * self.blocks + block;
        let mut before = 0;
        for &bits in self.planes {
            let first = tokens * self.blocks * before + at * bits;
            cache[first..first + bits].fill(0);
            for (e, &code) in content.codes.iter().enumerate() {
                let field = i32::from(code).cast_unsigned() >> before & ((1 << bits) - 1);
                let (group, byte) = (e / 4, e % 4);
                cache[first + group * bits / 8] |= field << (group * bits % 8 + 8 * byte);
            }
            before += bits;
        }
        let half_word = tokens * self.blocks * self.block_words() * 2 + at;
        let shift = 16 * (half_word % 2);
        cache[half_word / 2] = cache[half_word / 2] & !(0xffff << shift) | u32::from(content.scale.to_bits()) << shift;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CACHE_KINDS, decode, encode};
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for entry in CACHE_KINDS.iter().filter(|entry| entry.has_scale()) {
            let (part, tokens) = (Part::new(entry.kind, 3, 24, 0), 5);
            let mut cache = vec![0xdead_beef; part.words(tokens)];
            let values = |seed: usize| -> Vec<f32> { (0..BLOCK).map(|i| ((i * 37 + seed * 11) % 101) as f32 - 50.0).collect() };
            for t in 0..tokens {
                for block in 0..part.blocks {
                    part.write(&mut cache, tokens, t, block, &encode(entry, &values(t + 7 * block)));
                }
            }
            for t in 0..tokens {
                for e in 0..part.blocks * BLOCK {
                    let expected = decode(&encode(entry, &values(t + 7 * (e / BLOCK))))[e % BLOCK];
                    assert_eq!(part.value(&cache, tokens, t, e), expected, "{} of token {t}, element {e}", entry.name);
                }
            }
            let bytes = part.words(tokens) * 4;
            assert!((bytes - tokens * part.blocks * entry.block_bytes()) < 16, "{}: {bytes} bytes", entry.name);
        }
    }
}
