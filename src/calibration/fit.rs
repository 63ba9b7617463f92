//! A student's queries and keys against the teacher's scores: `sum_t Var_W (S_tu - Shat_tu)`, with `Shat_tu = (Rhat_t Q x_t).(Rhat_u K x_u)`.
//!
//! The variance removes what a softmax does not see, an offset of all scores of a query. With `W` the teacher's attention weights it is twice the
//! second-order approximation of the Kullback-Leibler divergence between the two attentions.

use super::sample::{Sample, Tile, Window, attended, softmax};
use super::{columns, dot, floats, gemm, rotate, turns};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::linear_algebra::Matrix;
use faer::Par;
use rayon::prelude::*;
use std::sync::Arc;

/// How a student's heads are laid out. A head's rows are its semantic ones, which never turn, then its geometric ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Paths {
    pub kv_heads: usize,
    pub sem: usize,
    pub geo: usize,
    /// `[kv_heads][geo / 2]`, radians a position.
    pub frequencies: Vec<Vec<f32>>,
}

impl Paths {
    /// Rows of a head.
    pub fn width(&self) -> usize {
        self.sem + self.geo
    }

    fn check(&self, heads: usize) -> Result<()> {
        let fits = self.kv_heads > 0
            && heads.is_multiple_of(self.kv_heads)
            && self.frequencies.len() == self.kv_heads
            && self.frequencies.iter().all(|own| own.len() * 2 == self.geo)
            && self.width() > 0;
        match fits {
            true => Ok(()),
            false => Err(Error::new(format!(
                "{} key heads of {} semantic and {} geometric rows with {} lists of frequencies are no student of {heads} query heads",
                self.kv_heads,
                self.sem,
                self.geo,
                self.frequencies.len()
            ))),
        }
    }
}

/// Two matrices that belong together: queries `[heads * width, d_model]` (scale included) and keys `[kv_heads * width, d_model]`.
#[derive(Clone, Copy)]
pub struct Projections<'a> {
    pub queries: &'a Matrix,
    pub keys: &'a Matrix,
}

/// Numbers like a tile's scores, `[window][head][tile]`, each `[keys, queries]`.
type TileValues = Vec<Vec<Vec<Vec<f32>>>>;

/// The least-squares problem.
pub struct Fit {
    pub(super) sample: Arc<Sample>,
    pub(super) paths: Paths,
    /// `None`: the teacher's attention weights.
    weights: Option<TileValues>,
    /// `[kv_heads]`: `[positions, geo / 2]`
    tables: Vec<Vec<[f32; 2]>>,
}

/// What of one window and one key head's group the products need.
pub(super) struct Unit<'a> {
    pub at: usize,
    pub window: &'a Window,
    pub kv_head: usize,
}

impl Fit {
    /// # Errors
    /// Paths that the teacher's heads can't have.
    pub fn new(sample: &Arc<Sample>, paths: Paths) -> Result<Fit> {
        paths.check(sample.teacher().heads)?;
        let longest = sample.windows.iter().map(|window| sample.inputs.tokens(window.index)).max().unwrap_or(0);
        let tables = paths.frequencies.iter().map(|own| turns(own, longest)).collect();
        Ok(Fit { sample: Arc::clone(sample), paths, weights: None, tables })
    }

    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    pub fn heads(&self) -> usize {
        self.sample.teacher().heads
    }

    /// Query heads that share a key head of the student.
    pub(super) fn group(&self) -> usize {
        self.heads() / self.paths.kv_heads
    }

    pub(super) fn units(&self) -> Vec<Unit<'_>> {
        let windows = self.sample.windows.iter().enumerate();
        windows.flat_map(|(at, window)| (0..self.paths.kv_heads).map(move |kv_head| Unit { at, window, kv_head })).collect()
    }

    pub(super) fn weights(&self, window: usize, head: usize, tile: usize) -> &[f32] {
        match &self.weights {
            Some(weights) => &weights[window][head][tile],
            None => &self.sample.windows[window].heads[head][tile].weights,
        }
    }

    pub(super) fn check_projections(&self, Projections { queries, keys }: Projections) -> Result<()> {
        self.check_side("queries", queries, self.heads())?;
        self.check_side("keys", keys, self.paths.kv_heads)
    }

    pub(super) fn check_side(&self, what: &str, side: &Matrix, heads: usize) -> Result<()> {
        let (rows, columns) = (heads * self.paths.width(), self.sample.inputs.width);
        match side.rows() == rows && side.columns() == columns {
            true => Ok(()),
            false => Err(Error::new(format!("the {what} are a {side:?}, expected [{rows}, {columns}]"))),
        }
    }

    /// A head's keys over a whole window, turned: `[width, tokens]`.
    pub(super) fn turned_keys(&self, unit: &Unit, keys: &[f32]) -> Vec<f32> {
        let (width, tokens) = (self.paths.width(), self.sample.inputs.tokens(unit.window.index));
        let mut made = vec![0.0f32; width * tokens];
        gemm(&mut made, width, tokens, false, columns(keys, width), self.sample.inputs.window(unit.window.index), Par::Seq);
        self.turn_keys(unit, &mut made, false);
        made
    }

    pub(super) fn turn_keys(&self, unit: &Unit, keys: &mut [f32], back: bool) {
        rotate(keys, self.paths.width(), self.paths.sem, &self.tables[unit.kv_head], self.paths.geo / 2, |index| index, back);
    }

    /// A head's queries in a window, turned: `[width, queries]`.
    pub(super) fn turned_queries(&self, unit: &Unit, queries: &[f32]) -> Vec<f32> {
        let (width, count) = (self.paths.width(), unit.window.positions.len());
        let mut made = vec![0.0f32; width * count];
        gemm(&mut made, width, count, false, columns(queries, width), columns(&unit.window.inputs, self.sample.inputs.width), Par::Seq);
        self.turn_queries(unit, &mut made, false);
        made
    }

    pub(super) fn turn_queries(&self, unit: &Unit, queries: &mut [f32], back: bool) {
        let positions = &unit.window.positions;
        rotate(queries, self.paths.width(), self.paths.sem, &self.tables[unit.kv_head], self.paths.geo / 2, |index| positions[index], back);
    }

    /// The scores of a tile: `[keys, queries]`.
    pub(super) fn scores(&self, tile: &Tile, keys: &[f32], queries: &[f32]) -> Vec<f32> {
        let width = self.paths.width();
        let mut scores = vec![0.0f32; tile.keys * tile.queries.len()];
        let (keys, queries) =
            (columns(&keys[..tile.keys * width], width), columns(&queries[tile.queries.start * width..tile.queries.end * width], width));
        gemm(&mut scores, tile.keys, tile.queries.len(), false, keys.transpose(), queries, Par::Seq);
        scores
    }

    /// The student's attention weights.
    fn attention(&self, projections: Projections) -> Result<TileValues> {
        self.check_projections(projections)?;
        let (width, group) = (self.paths.width(), self.group());
        let of_unit = |unit: &Unit| -> Vec<Vec<Vec<f32>>> {
            let keys = self.turned_keys(unit, &floats(projections.keys, unit.kv_head * width..(unit.kv_head + 1) * width));
            let head = |head: usize| {
                let queries = self.turned_queries(unit, &floats(projections.queries, head * width..(head + 1) * width));
                let tile = |tile: &Tile| {
                    let mut scores = self.scores(tile, &keys, &queries);
                    softmax(&mut scores, tile.keys, &unit.window.positions[tile.queries.clone()], self.sample.teacher().window);
                    scores
                };
                unit.window.heads[head].iter().map(tile).collect()
            };
            (unit.kv_head * group..(unit.kv_head + 1) * group).map(head).collect()
        };
        interrupt::check()?;
        let mut made: TileValues = self.units().par_iter().map(of_unit).collect();
        let windows = self.sample.windows.len();
        Ok((0..windows).map(|_| made.drain(..self.paths.kv_heads).flatten().collect()).collect())
    }

    /// The same problem with errors weighed by the mean of the teacher's attention and the student's own: what the student attends to by mistake counts
    /// too.
    ///
    /// # Errors
    /// Matrices of another shape; Ctrl-C.
    pub fn weighed_by(&self, projections: Projections) -> Result<Fit> {
        let mut weights = self.attention(projections)?;
        for (window, heads) in self.sample.windows.iter().zip(&mut weights) {
            for (tiles, own) in window.heads.iter().zip(heads) {
                for (tile, own) in tiles.iter().zip(own) {
                    own.iter_mut().zip(&tile.weights).for_each(|(own, p)| *own = 0.5 * (*own + p));
                }
            }
        }
        Ok(Fit { sample: Arc::clone(&self.sample), paths: self.paths.clone(), weights: Some(weights), tables: self.tables.clone() })
    }

    /// How far these projections are from the teacher: `sqrt(sum Var_p(S - Shat) / sum Var_p(S))`, and the mean divergence `KL(p || phat)` in nats of a query's
    /// attention.
    ///
    /// # Errors
    /// As [`Fit::weighed_by`].
    pub fn errors(&self, projections: Projections) -> Result<(f64, f64)> {
        self.check_projections(projections)?;
        let (width, group) = (self.paths.width(), self.group());
        let of_unit = |unit: &Unit| -> [f64; 4] {
            let mut sums = [0.0f64; 4];
            let keys = self.turned_keys(unit, &floats(projections.keys, unit.kv_head * width..(unit.kv_head + 1) * width));
            for head in unit.kv_head * group..(unit.kv_head + 1) * group {
                let queries = self.turned_queries(unit, &floats(projections.queries, head * width..(head + 1) * width));
                for tile in &unit.window.heads[head] {
                    let mut scores = self.scores(tile, &keys, &queries);
                    for ((own, teacher), p) in
                        scores.chunks(tile.keys).zip(tile.scores.chunks(tile.keys)).zip(tile.weights.chunks(tile.keys))
                    {
                        let difference: Vec<f32> = teacher.iter().zip(own).map(|(teacher, own)| teacher - own).collect();
                        sums[0] += variance(&difference, p);
                        sums[1] += variance(teacher, p);
                    }
                    softmax(&mut scores, tile.keys, &unit.window.positions[tile.queries.clone()], self.sample.teacher().window);
                    let divergence = |(p, own): (&f32, &f32)| match *p > 0.0 {
                        true => f64::from(*p) * (f64::from(*p) / f64::from(own.max(f32::MIN_POSITIVE))).ln(),
                        false => 0.0,
                    };
                    sums[2] += tile.weights.iter().zip(&scores).map(divergence).sum::<f64>();
                    sums[3] += tile.queries.len() as f64;
                }
            }
            sums
        };
        interrupt::check()?;
        let parts: Vec<[f64; 4]> = self.units().par_iter().map(of_unit).collect();
        let sum = |index: usize| parts.iter().map(|part| part[index]).sum::<f64>();
        Ok(((sum(0) / sum(1).max(f64::MIN_POSITIVE)).sqrt(), sum(2) / sum(3).max(1.0)))
    }

    /// The error of what the whole attention gives, after its output projection, relative to the teacher's: the root of the ratio of summed squares. Values
    /// `[kv_heads * width, d_model]` and outputs `[d_model, heads * width]` of both.
    ///
    /// # Errors
    /// As [`Fit::weighed_by`]; values and outputs that don't fit.
    pub fn output_error(&self, projections: Projections, own: (&Matrix, &Matrix), teacher: (&Matrix, &Matrix)) -> Result<f64> {
        let (d_model, heads) = (self.sample.inputs.width, self.heads());
        for (values, out) in [own, teacher] {
            let value = out.columns() / heads;
            let fits = value > 0
                && out.columns() == value * heads
                && out.rows() == d_model
                && values.columns() == d_model
                && values.rows().is_multiple_of(value)
                && values.rows() > 0
                && heads.is_multiple_of(values.rows() / value);
            if !fits {
                return Err(Error::new(format!("values {values:?} and an output projection {out:?} are not those of {heads} heads")));
            }
        }
        let attention = self.attention(projections)?;
        let (mut squares, mut differences) = (0.0f64, 0.0f64);
        for (window, weights) in self.sample.windows.iter().zip(&attention) {
            interrupt::check()?;
            let expected = self.sample.outputs(window, teacher.0, teacher.1);
            let of_head = |head: usize| window.heads[head].iter().zip(&weights[head]).map(|(tile, own)| (tile, own.as_slice())).collect();
            let found = attended(&self.sample.inputs, window, own.0, own.1, heads, of_head);
            for (found, expected) in found.iter().zip(&expected) {
                squares += f64::from(*expected).powi(2);
                differences += (f64::from(*found) - f64::from(*expected)).powi(2);
            }
        }
        Ok((differences / squares.max(f64::MIN_POSITIVE)).sqrt())
    }
}

/// `sum p e^2 - (sum p e)^2`, computed about the mean.
fn variance(e: &[f32], p: &[f32]) -> f64 {
    let mean = dot(e, p);
    e.iter().zip(p).map(|(e, p)| f64::from(p * (e - mean) * (e - mean))).sum()
}
