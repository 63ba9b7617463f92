//! Which tiles of keys no query of a tile sees: those are not loaded.

use super::expression::{Expression, Place};
use super::{Reach, reach};
use crate::runtime::seam::Seam;

/// Positions of a side of a tile.
const TILE: usize = 16;

/// Tiles of all heads that are looked at: beyond, a session would take seconds to make.
const MOST_TILES: usize = 1 << 20;

/// The part of the tiles that has to be hidden, beside those that no query reaches anyway: to ask for a tile costs something, too.
const WORTH: f64 = 0.1;

/// A bit for each tile of queries (a row) and of keys, 1 where a key may be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileMap {
    /// `[heads or 1, rows, row_words]`
    pub words: Vec<u32>,
    rows: usize,
    row_words: usize,
    by_head: bool,
}

impl TileMap {
    /// The seam with this map, which begins at word `at` of the data.
    pub fn seam(&self, at: usize, seam: Seam) -> Seam {
        Seam { map_at: at, map_tile: TILE, map_rows: self.rows, map_words: self.row_words, map_by_head: self.by_head, ..seam }
    }
}

/// The map of `mask` over `context` positions. `None` where it leaves out too few tiles, or there are too many of them.
pub(super) fn map(mask: &Expression, known: Option<Reach>, context: usize, heads: usize, kv_heads: usize, layer: usize) -> Option<TileMap> {
    let by_head = mask.depends_on(Place::Head) || mask.depends_on(Place::KvHead);
    let maps = if by_head { heads } else { 1 };
    let rows = context.div_ceil(TILE);
    let row_words = rows.div_ceil(32);
    if rows.checked_mul(rows)?.checked_mul(maps)? > MOST_TILES {
        return None;
    }
    let group = (heads / kv_heads.max(1)).max(1);
    let positions = |tile: usize| [tile * TILE, ((tile + 1) * TILE).min(context) - 1];
    // Tiles that are loaded without a map.
    let is_reached = |query: [usize; 2], key: [usize; 2]| match known {
        Some(Reach { window, first }) => key[0] < first || key[1] + window > query[0],
        None => true,
    };
    let mut words = vec![0; maps * rows * row_words];
    let (mut reached, mut hidden) = (0u32, 0u32);
    for head in 0..maps {
        for row in 0..rows {
            for column in 0..=row {
                let (query, key) = (positions(row), positions(column));
                let is_seen = reach::may_see(mask, query, key, head, head / group, layer);
                if is_seen {
                    words[(head * rows + row) * row_words + column / 32] |= 1 << (column % 32);
                }
                if is_reached(query, key) {
                    reached += 1;
                    hidden += u32::from(!is_seen);
                }
            }
        }
    }
    (f64::from(hidden) >= WORTH * f64::from(reached)).then_some(TileMap { words, rows, row_words, by_head })
}
