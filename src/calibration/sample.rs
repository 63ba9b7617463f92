//! The teacher's attention at some queries of every window, over all the keys that they see.

use super::{LayerInputs, columns, dot, floats, gemm, rotate, turns};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::linear_algebra::Matrix;
use faer::{MatRef, Par};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Queries whose scores lie together, over the keys that the last of them sees.
const TILE: usize = 32;

/// One layer of the teacher's attention: `score = (R_t q_t).(R_u k_u) * scale`, `q = queries x`, `k = keys x`, RoPE over whole heads.
pub struct Teacher {
    pub heads: usize,
    pub kv_heads: usize,
    /// `[heads * size, d_model]`
    pub queries: Matrix,
    /// `[kv_heads * size, d_model]`
    pub keys: Matrix,
    /// Radians a position of the `size / 2` pairs of a head.
    pub frequencies: Vec<f32>,
    pub scale: f64,
    /// Positions that a query sees, itself among them; `None`: all before it.
    pub window: Option<usize>,
}

impl Teacher {
    pub fn size(&self) -> usize {
        self.queries.rows() / self.heads.max(1)
    }

    fn check(&self, width: usize) -> Result<()> {
        let size = self.size();
        let fits = self.heads > 0
            && self.kv_heads > 0
            && self.heads.is_multiple_of(self.kv_heads)
            && self.queries.rows() == self.heads * size
            && self.keys.rows() == self.kv_heads * size
            && self.queries.columns() == width
            && self.keys.columns() == width
            && self.frequencies.len() * 2 == size;
        match fits {
            true => Ok(()),
            false => Err(Error::new(format!(
                "queries {:?} and keys {:?} with {} frequencies are no {} heads on {} key heads over inputs of {width}",
                self.queries,
                self.keys,
                self.frequencies.len(),
                self.heads,
                self.kv_heads
            ))),
        }
    }
}

/// The teacher's scores and attention weights at sampled queries.
pub struct Sample {
    pub(super) inputs: Arc<LayerInputs>,
    pub(super) teacher: Teacher,
    pub(super) windows: Vec<Window>,
}

/// One window's queries.
pub(super) struct Window {
    /// Which window of the inputs.
    pub index: usize,
    /// Where the queries stand, rising.
    pub positions: Vec<usize>,
    /// The queries' inputs: `[d_model, queries]`.
    pub inputs: Vec<f32>,
    /// For each head, tile by tile.
    pub heads: Vec<Vec<Tile>>,
}

/// Some queries of a head over their keys.
#[derive(Clone)]
pub(super) struct Tile {
    /// Which of the window's queries.
    pub queries: Range<usize>,
    /// Keys `0..keys` are seen by the last of them.
    pub keys: usize,
    /// The teacher's scores, `[keys, queries]`; 0 where nothing is seen.
    pub scores: Vec<f32>,
    /// The teacher's attention weights, of the same shape; 0 where nothing is seen.
    pub weights: Vec<f32>,
}

impl Window {
    pub fn tiles(&self) -> Vec<(Range<usize>, usize)> {
        let count = self.positions.len();
        (0..count)
            .step_by(TILE)
            .map(|start| start..(start + TILE).min(count))
            .map(|queries| (queries.clone(), self.positions[queries.end - 1] + 1))
            .collect()
    }
}

/// Turns scores into attention weights, each column a query at its position: a softmax over what it sees, 0 elsewhere.
pub(super) fn softmax(scores: &mut [f32], keys: usize, positions: &[usize], window: Option<usize>) {
    for (column, &position) in scores.chunks_mut(keys).zip(positions) {
        let seen = hide(column, position, window);
        let largest = seen.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        seen.iter_mut().for_each(|score| *score = (*score - largest).exp());
        let inverse = 1.0 / seen.iter().sum::<f32>();
        seen.iter_mut().for_each(|score| *score *= inverse);
    }
}

/// Zeros where the query at `position` sees nothing; the rest is returned.
fn hide(column: &mut [f32], position: usize, window: Option<usize>) -> &mut [f32] {
    let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
    let (before, rest) = column.split_at_mut(first);
    let (seen, after) = rest.split_at_mut(position + 1 - first);
    before.fill(0.0);
    after.fill(0.0);
    seen
}

impl Sample {
    /// The teacher's attention at `count` queries of each window in `windows` (all queries, where a window has fewer), one drawn from each of `count` equal
    /// stretches of the window.
    ///
    /// # Errors
    /// Shapes that don't fit each other; windows that there aren't; Ctrl-C.
    pub fn new(inputs: &Arc<LayerInputs>, teacher: Teacher, windows: Range<usize>, count: usize, seed: u64) -> Result<Sample> {
        teacher.check(inputs.width)?;
        if windows.start >= windows.end || windows.end > inputs.windows.len() || count == 0 {
            let message = format!(
                "windows {}..{} and {count} queries of each: there are {} windows",
                windows.start,
                windows.end,
                inputs.windows.len()
            );
            return Err(Error::new(message));
        }
        let (size, width) = (teacher.size(), inputs.width);
        let scaled = teacher.queries.scaled(teacher.scale);
        let (queries, keys) = (floats(&scaled, 0..scaled.rows()), floats(&teacher.keys, 0..teacher.keys.rows()));
        let longest = windows.clone().map(|window| inputs.tokens(window)).max().unwrap_or(0);
        let table = turns(&teacher.frequencies, longest);
        let pairs = teacher.frequencies.len();
        let group = teacher.heads / teacher.kv_heads;
        let mut made = Vec::new();
        for index in windows {
            interrupt::check()?;
            let tokens = inputs.tokens(index);
            let positions = positions(tokens, count, seed.wrapping_add(index as u64));
            let mut gathered = Vec::with_capacity(positions.len() * width);
            positions.iter().for_each(|&position| gathered.extend_from_slice(&inputs.windows[index][position * width..][..width]));
            let mut window = Window { index, positions, inputs: gathered, heads: Vec::new() };
            let count = window.positions.len();
            let mut projected_keys = vec![0.0; teacher.keys.rows() * tokens];
            gemm(
                &mut projected_keys,
                teacher.keys.rows(),
                tokens,
                false,
                columns(&keys, teacher.keys.rows()),
                inputs.window(index),
                Par::rayon(0),
            );
            let mut projected = vec![0.0; queries.len() / width * count];
            gemm(
                &mut projected,
                teacher.queries.rows(),
                count,
                false,
                columns(&queries, teacher.queries.rows()),
                columns(&window.inputs, width),
                Par::rayon(0),
            );
            for head in 0..teacher.kv_heads {
                rotate(&mut projected_keys, teacher.keys.rows(), head * size, &table, pairs, |index| index, false);
            }
            for head in 0..teacher.heads {
                rotate(&mut projected, teacher.queries.rows(), head * size, &table, pairs, |index| window.positions[index], false);
            }
            let (keys, queries) = (columns(&projected_keys, teacher.keys.rows()), columns(&projected, teacher.queries.rows()));
            let (tiles, places) = (window.tiles(), &window.positions);
            let head = |head: usize| -> Vec<Tile> {
                let (keys, queries) = (keys.subrows(head / group * size, size), queries.subrows(head * size, size));
                let tile = |(range, seen): &(Range<usize>, usize)| {
                    let mut weights = vec![0.0; seen * range.len()];
                    gemm(
                        &mut weights,
                        *seen,
                        range.len(),
                        false,
                        keys.subcols(0, *seen).transpose(),
                        queries.subcols(range.start, range.len()),
                        Par::Seq,
                    );
                    let mut scores = weights.clone();
                    softmax(&mut weights, *seen, &places[range.clone()], teacher.window);
                    for (column, &position) in scores.chunks_mut(*seen).zip(&places[range.clone()]) {
                        hide(column, position, teacher.window);
                    }
                    Tile { queries: range.clone(), keys: *seen, scores, weights }
                };
                tiles.iter().map(tile).collect()
            };
            let heads = (0..teacher.heads).into_par_iter().map(head).collect();
            window.heads = heads;
            made.push(window);
        }
        Ok(Sample { inputs: Arc::clone(inputs), teacher, windows: made })
    }

    pub fn teacher(&self) -> &Teacher {
        &self.teacher
    }

    fn group(&self) -> usize {
        self.teacher.heads / self.teacher.kv_heads
    }

    /// Tiles of the query heads of key head `head`.
    fn tiles<'a>(&self, window: &'a Window, head: usize) -> impl Iterator<Item = &'a Tile> + use<'a> {
        let heads = head * self.group()..(head + 1) * self.group();
        window.heads[heads].iter().flatten()
    }

    /// The second moment of the inputs as key head `head` is asked for them: each weighed by `sum p (1 - p)`, what a change of its score changes.
    ///
    /// # Errors
    /// A head that there isn't; Ctrl-C.
    pub fn key_moment(&self, head: usize) -> Result<Matrix> {
        self.check_head(head)?;
        let mut weights: Vec<Vec<f32>> = (0..self.inputs.windows.len()).map(|window| vec![0.0; self.inputs.tokens(window)]).collect();
        for window in &self.windows {
            for tile in self.tiles(window, head) {
                for column in tile.weights.chunks(tile.keys) {
                    weights[window.index].iter_mut().zip(column).for_each(|(sum, p)| *sum += p * (1.0 - p));
                }
            }
        }
        self.inputs.second_moment(Some(&weights))
    }

    /// The second moment of what key head `head` is asked to fetch: of `z_t = sum_u p_tu x_u`, over the queries of its group.
    ///
    /// # Errors
    /// As [`Sample::key_moment`].
    pub fn value_moment(&self, head: usize) -> Result<Matrix> {
        self.check_head(head)?;
        let width = self.inputs.width;
        let mut fetched = LayerInputs { width, windows: Vec::new() };
        for window in &self.windows {
            let inputs = self.inputs.window(window.index);
            let tile = |tile: &&Tile| {
                let mut z = vec![0.0; width * tile.queries.len()];
                gemm(&mut z, width, tile.queries.len(), false, inputs.subcols(0, tile.keys), columns(&tile.weights, tile.keys), Par::Seq);
                z
            };
            let tiles: Vec<&Tile> = self.tiles(window, head).collect();
            fetched.windows.push(tiles.par_iter().map(tile).collect::<Vec<_>>().concat());
        }
        fetched.second_moment(None)
    }

    /// How rotary pairs of these frequencies stand on average where key head `head` decides: the means of `cos` and `sin` of the angle between query and key,
    /// each distance weighed by `sum p (1 - p)`.
    ///
    /// # Errors
    /// As [`Sample::key_moment`].
    pub fn mean_turns(&self, head: usize, frequencies: &[f32]) -> Result<(Vec<f64>, Vec<f64>)> {
        self.check_head(head)?;
        let longest = self.windows.iter().filter_map(|window| window.positions.last()).max().map_or(0, |last| last + 1);
        let mut distances = vec![0.0f64; longest];
        for window in &self.windows {
            for tile in self.tiles(window, head) {
                for (column, &position) in tile.weights.chunks(tile.keys).zip(&window.positions[tile.queries.clone()]) {
                    column[..=position].iter().enumerate().for_each(|(key, p)| distances[position - key] += f64::from(p * (1.0 - p)));
                }
            }
        }
        let total: f64 = distances.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let mean = |turn: fn(f64) -> f64, frequency: f32| {
            distances.iter().enumerate().map(|(distance, weight)| weight * turn(distance as f64 * f64::from(frequency))).sum::<f64>()
                / total
        };
        Ok((frequencies.iter().map(|&f| mean(f64::cos, f)).collect(), frequencies.iter().map(|&f| mean(f64::sin, f)).collect()))
    }

    /// For each rotary pair of key head `head`: how much of its contribution to the scores an unrotated path can't imitate,
    /// `sum_t Var_p(f_tu - f0_tu)`, where `f0` is the contribution of a key that is not rotated but turned once for all by the given cosine and sine.
    /// With both 0: the variance of the contribution itself. Every `step`-th query counts.
    ///
    /// # Errors
    /// As [`Sample::key_moment`]; not one cosine and sine for each pair.
    pub fn pair_errors(&self, head: usize, cosines: &[f64], sines: &[f64], step: usize) -> Result<Vec<f64>> {
        self.check_head(head)?;
        let (size, pairs, width) = (self.teacher.size(), self.teacher.frequencies.len(), self.inputs.width);
        if cosines.len() != pairs || sines.len() != pairs {
            return Err(Error::new(format!("{} cosines and {} sines for {pairs} rotary pairs", cosines.len(), sines.len())));
        }
        let scaled = self.teacher.queries.scaled(self.teacher.scale);
        let own_keys = floats(&self.teacher.keys, head * size..(head + 1) * size);
        let group = self.group();
        let own_queries = floats(&scaled, head * group * size..(head + 1) * group * size);
        let longest = self.windows.iter().map(|window| self.inputs.tokens(window.index)).max().unwrap_or(0);
        let table = turns(&self.teacher.frequencies, longest);
        let of_window = |window: &Window| -> Vec<f64> {
            let tokens = self.inputs.tokens(window.index);
            // Row by row: [size, tokens], the keys of a pair follow each other.
            let mut plain = vec![0.0f32; size * tokens];
            gemm(
                &mut plain,
                tokens,
                size,
                false,
                self.inputs.window(window.index).transpose(),
                columns(&own_keys, size).transpose(),
                Par::Seq,
            );
            let mut queries = vec![0.0f32; group * size * window.positions.len()];
            gemm(
                &mut queries,
                group * size,
                window.positions.len(),
                false,
                columns(&own_queries, group * size),
                columns(&window.inputs, width),
                Par::Seq,
            );
            let mut errors = vec![0.0f64; pairs];
            let mut error = vec![0.0f32; tokens];
            for pair in 0..pairs {
                let (low, high) = (&plain[pair * tokens..][..tokens], &plain[(pair + pairs) * tokens..][..tokens]);
                let (c, s) = (cosines[pair] as f32, sines[pair] as f32);
                let rotated: Vec<[f32; 2]> = low
                    .iter()
                    .zip(high)
                    .enumerate()
                    .map(|(position, (a, b))| {
                        let [cosine, sine] = table[position * pairs + pair];
                        [a * cosine - b * sine, b * cosine + a * sine]
                    })
                    .collect();
                for member in 0..group {
                    for tile in &window.heads[head * group + member] {
                        for (column, query) in
                            tile.weights.chunks(tile.keys).zip(tile.queries.clone()).filter(|(_, query)| query % step.max(1) == 0)
                        {
                            let position = window.positions[query];
                            let own = &queries[(query * group + member) * size..][..size];
                            let (a, b) = (own[pair], own[pair + pairs]);
                            let [cosine, sine] = table[position * pairs + pair];
                            let (turned_a, turned_b) = (a * cosine - b * sine, b * cosine + a * sine);
                            // q . (c k_a + s k_b, c k_b - s k_a), in terms of the key.
                            let (plain_a, plain_b) = (a * c - b * s, a * s + b * c);
                            let seen = position + 1;
                            for (((error, rotated), low), high) in error[..seen].iter_mut().zip(&rotated).zip(low).zip(high) {
                                *error = turned_a * rotated[0] + turned_b * rotated[1] - plain_a * low - plain_b * high;
                            }
                            let weights = &column[..seen];
                            let mean = dot(weights, &error[..seen]);
                            error[..seen].iter_mut().for_each(|error| *error = (*error - mean) * (*error - mean));
                            errors[pair] += f64::from(dot(weights, &error[..seen]));
                        }
                    }
                }
            }
            errors
        };
        interrupt::check()?;
        let parts: Vec<Vec<f64>> = self.windows.par_iter().map(of_window).collect();
        Ok((0..pairs).map(|pair| parts.iter().map(|part| part[pair]).sum()).collect())
    }

    pub(super) fn check_head(&self, head: usize) -> Result<()> {
        match head < self.teacher.kv_heads {
            true => Ok(()),
            false => Err(Error::new(format!("there is no key head {head}: the teacher has {}", self.teacher.kv_heads))),
        }
    }

    /// What the teacher's attention gives at the queries of a window, after its output projection: `[d_model, queries]`.
    pub(super) fn outputs(&self, window: &Window, values: &Matrix, out: &Matrix) -> Vec<f32> {
        let weights = |head: usize| window.heads[head].iter().map(|tile| (tile, tile.weights.as_slice())).collect();
        attended(&self.inputs, window, values, out, self.teacher.heads, weights)
    }
}

/// `sum_h out_h V_j(h) X p_h` at the queries of a window: values `[kv_heads * width, d_model]`, out `[d_model, heads * width]`.
pub(super) fn attended<'a>(
    inputs: &LayerInputs,
    window: &Window,
    values: &Matrix,
    out: &Matrix,
    heads: usize,
    weights: impl Fn(usize) -> Vec<(&'a Tile, &'a [f32])>,
) -> Vec<f32> {
    let (width, tokens, count) = (inputs.width, inputs.tokens(window.index), window.positions.len());
    let value = out.columns() / heads;
    let kv_heads = values.rows() / value.max(1);
    let (own_values, own_out) = (floats(values, 0..values.rows()), floats(out, 0..out.rows()));
    let mut projected = vec![0.0f32; values.rows() * tokens];
    gemm(&mut projected, values.rows(), tokens, false, columns(&own_values, values.rows()), inputs.window(window.index), Par::rayon(0));
    let projected: MatRef<f32> = columns(&projected, values.rows());
    let mut merged = vec![0.0f32; heads * value * count];
    for head in 0..heads {
        let own = projected.subrows(head * kv_heads / heads * value, value);
        for (tile, weights) in weights(head) {
            let mut part = vec![0.0f32; value * tile.queries.len()];
            gemm(&mut part, value, tile.queries.len(), false, own.subcols(0, tile.keys), columns(weights, tile.keys), Par::Seq);
            for (part, query) in part.chunks(value).zip(tile.queries.clone()) {
                merged[(query * heads + head) * value..][..value].copy_from_slice(part);
            }
        }
    }
    let mut result = vec![0.0f32; width * count];
    gemm(&mut result, width, count, false, columns(&own_out, out.rows()), columns(&merged, heads * value), Par::rayon(0));
    result
}

/// One position of each of `count` equal stretches of a window, drawn by the seed.
fn positions(tokens: usize, count: usize, seed: u64) -> Vec<usize> {
    let count = count.min(tokens);
    let mut state = seed;
    let mut random = move || {
        // SplitMix64 (Steele, Lea and Flood 2014).
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let stretch = |index: usize| index * tokens / count..(index + 1) * tokens / count;
    (0..count).map(stretch).map(|range| range.start + (random() % range.len().max(1) as u64) as usize).collect()
}
