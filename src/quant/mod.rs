//! Blocks of numbers: one table of the kinds of KV cache, and one codec, from which kernels, sizes, documentation and tests are made.
//!
//! Elements are grouped in blocks of [`BLOCK`] along the feature dimension of one token; a quantised block is symmetric (it has no zero point) and has an fp16
//! scale. To add a kind is to add a variant and a line here: nothing else lists them, and `docs/cache.md` is made from it.

mod codec;
mod hadamard;
mod kinds;
mod part;

pub use codec::{Block, decode, encode};
pub use hadamard::transform;
pub use kinds::CacheKinds;
pub use part::Part;

use crate::error::{Result, unknown};
use serde::Serialize;

/// Elements that share a scale.
pub const BLOCK: usize = 32;

/// How one part of the cache (keys, values, ...) is stored: a line of [`CACHE_KINDS`], in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheKind {
    F16,
    Q8,
    Q6,
    Q5,
    Q4,
    Q3,
    /// No cache: keys and values live in f32 for one call only, and every step recomputes the whole prefix.
    None,
}

/// How the scale of a block is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// There is none: elements are floats.
    None,
    /// The largest magnitude becomes the largest code.
    MaxAbs,
    /// The element of largest magnitude becomes the lowest code, whatever its sign, so that every code is used: by a scale of its own, or by one a little larger
    /// or smaller ([`FACTORS`]), each then refined to what has the least squared error with its codes, `sum(code * x) / sum(code^2)`. The best of them stays.
    Signed,
}

/// What the code of the largest element is multiplied by before codes are rounded and clamped, for scales that are tried. Of Gaussian blocks of 32, one alone
/// has 24 % less squared error at 4 bits than the largest magnitude / 7, these five 29 %, nine 30 %. On SmolLM2-135M q4 costs 2.2 % of perplexity with one and
/// 1.8 % with five.
pub const FACTORS: [f32; 5] = [0.85, 0.925, 1.0, 1.075, 1.15];

/// A line of the table.
#[derive(Debug)]
pub struct CacheKindEntry {
    pub kind: CacheKind,
    /// The name in tables and manifests.
    pub name: &'static str,
    /// Other names seen in manifests.
    pub aliases: &'static [&'static str],
    /// Bits of the planes that a code is taken apart into, the lowest first: see [`Part`].
    pub planes: &'static [usize],
    pub scale: Scale,
    /// Lowest and highest code.
    pub range: [i32; 2],
    /// Whether what is stored is the Hadamard transform of each head. Keys have a few channels that are far larger than the rest, and alone would set the scale
    /// of their block and leave two or three codes to the others; spread over a block they do little harm. Values gain less, but something.
    pub is_rotated: bool,
}

const fn quantised(
    kind: CacheKind,
    name: &'static str,
    aliases: &'static [&'static str],
    planes: &'static [usize],
    range: [i32; 2],
) -> CacheKindEntry {
    CacheKindEntry { kind, name, aliases, planes, scale: Scale::Signed, range, is_rotated: true }
}

/// Every kind.
pub const CACHE_KINDS: &[CacheKindEntry] = &[
    CacheKindEntry {
        kind: CacheKind::F16,
        name: "fp16",
        aliases: &["f16"],
        planes: &[16],
        scale: Scale::None,
        range: [0, 0],
        is_rotated: false,
    },
    CacheKindEntry {
        kind: CacheKind::Q8,
        name: "q8",
        aliases: &["q8_0"],
        planes: &[8],
        scale: Scale::MaxAbs,
        range: [-127, 127],
        is_rotated: false,
    },
    quantised(CacheKind::Q6, "q6", &["q6_0"], &[4, 2], [-32, 31]),
    quantised(CacheKind::Q5, "q5", &["q5_0"], &[4, 1], [-16, 15]),
    quantised(CacheKind::Q4, "q4", &["q4_0"], &[4], [-8, 7]),
    quantised(CacheKind::Q3, "q3", &["q3_0"], &[2, 1], [-4, 3]),
    CacheKindEntry {
        kind: CacheKind::None,
        name: "none",
        aliases: &[],
        planes: &[32],
        scale: Scale::None,
        range: [0, 0],
        is_rotated: false,
    },
];

impl CacheKindEntry {
    /// Bits of an element, without its share of a scale.
    pub fn bits(&self) -> usize {
        self.planes.iter().sum()
    }

    pub fn has_scale(&self) -> bool {
        self.scale != Scale::None
    }

    /// Bits of an element with its share of a scale; 0 where nothing is kept.
    pub fn stored_bits(&self) -> f64 {
        8.0 * self.block_bytes() as f64 / BLOCK as f64
    }

    /// Bytes of a block of [`BLOCK`] elements, its scale included; 0 where nothing is kept.
    pub fn block_bytes(&self) -> usize {
        if self.kind == CacheKind::None { 0 } else { BLOCK * self.bits() / 8 + if self.has_scale() { 2 } else { 0 } }
    }

    /// A line about it for people.
    pub fn text(&self) -> String {
        match (self.kind, self.scale) {
            (CacheKind::None, _) => "no cache: the prefix is recomputed at every step".to_owned(),
            (_, Scale::None) => format!("half floats, {} bits an element", self.stored_bits()),
            _ => format!("{}-bit codes, {} bits an element", self.bits(), self.stored_bits()),
        }
    }
}

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

    /// Its line of the table.
    pub fn entry(self) -> &'static CacheKindEntry {
        &CACHE_KINDS[self as usize]
    }

    /// The name in tables.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// Bytes that `width` elements of one token take, padded to whole blocks.
    pub fn bytes(self, width: usize) -> u64 {
        (width.div_ceil(BLOCK) * self.entry().block_bytes()) as u64
    }
}

/// The names of the kinds that have a scale, smallest last: what to try where memory is short.
pub fn smaller_kinds() -> String {
    let names: Vec<&str> = CACHE_KINDS.iter().filter(|entry| entry.has_scale()).map(|entry| entry.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    #[test]
    fn kinds_are_the_lines_of_the_table() {
        for (index, entry) in CACHE_KINDS.iter().enumerate() {
            assert_eq!(entry.kind as usize, index, "{}", entry.name);
            for name in entry.aliases.iter().chain([&entry.name]) {
                assert_eq!(CacheKind::parse(name).unwrap(), entry.kind);
            }
            // Kernels take groups of four elements out of words.
            assert!(entry.planes.iter().all(|bits| [1, 2, 4, 8, 16, 32].contains(bits)), "{}", entry.name);
            if entry.has_scale() {
                let most = 1 << (entry.bits() - 1);
                assert!(entry.range[0] >= -most && entry.range[1] < most, "{}", entry.name);
            }
        }
        let error = CacheKind::parse("q9").unwrap_err().to_string();
        assert_eq!(error, "unknown cache kind `q9`\n  help: known are: fp16, q8, q6, q5, q4, q3, none");
    }

    /// The table of `docs/cache.md`; `CARAMBA_UPDATE_DOCS=1` writes it there.
    #[test]
    fn the_documentation_has_the_table() {
        let mut table =
            "| kind | also | bits an element | bytes of 32 | codes | scale | rotated |\n|---|---|---|---|---|---|---|\n".to_owned();
        for entry in CACHE_KINDS.iter().filter(|entry| entry.kind != CacheKind::None) {
            let [low, high] = entry.range;
            let (codes, scale) = match entry.scale {
                Scale::None => ("half floats".to_owned(), "-"),
                Scale::MaxAbs => (format!("{low} to {high}"), "largest magnitude / highest code"),
                Scale::Signed => {
                    (format!("{low} to {high}"), "best of five about the largest element / lowest code, each by least squares")
                }
            };
            let (aliases, rotated) = (entry.aliases.join(", "), if entry.is_rotated { "yes" } else { "no" });
            let (name, bits, bytes) = (entry.name, entry.stored_bits(), entry.block_bytes());
            writeln!(table, "| `{name}` | {aliases} | {bits} | {bytes} | {codes} | {scale} | {rotated} |").unwrap();
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cache.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once("<!-- kinds -->\n").unwrap();
        let (found, after) = rest.split_once("<!-- end -->").unwrap();
        if std::env::var_os("CARAMBA_UPDATE_DOCS").is_some() {
            std::fs::write(path, format!("{before}<!-- kinds -->\n{table}<!-- end -->{after}")).unwrap();
        } else {
            assert_eq!(found, table, "docs/cache.md: CARAMBA_UPDATE_DOCS=1 cargo test --lib quant writes the table");
        }
    }
}
