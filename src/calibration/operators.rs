//! The two halves of alternating least squares. With the keys fixed, the squared error is a quadratic form of the queries, and the other way round: an
//! operator is that form's matrix, never formed, and `right` is its right side. Query heads (key heads) don't know each other: the matrix is block-diagonal.

use super::fit::{Fit, Unit};
use super::sample::Tile;
use super::{columns, dot, floats, gemm};
use crate::error::Result;
use crate::interrupt;
use crate::linear_algebra::Matrix;
use faer::Par;
use rayon::prelude::*;
use std::sync::Arc;

/// `e -= sum_u W e; G = W e`, column by column, in place.
fn weigh(errors: &mut [f32], weights: &[f32], keys: usize) {
    for (errors, weights) in errors.chunks_mut(keys).zip(weights.chunks(keys)) {
        let mean = dot(errors, weights);
        errors.iter_mut().zip(weights).for_each(|(error, weight)| *error = weight * (*error - mean));
    }
}

/// The sum of what units give, each the rows of `rows` per key head: a matrix of all of them.
fn gathered(fit: &Fit, rows: usize, parts: Vec<(usize, Vec<f32>)>) -> Result<Matrix> {
    let (kv_heads, width) = (fit.paths().kv_heads, fit.sample.inputs.width);
    let mut sums = vec![vec![0.0f64; rows * width]; kv_heads];
    for (kv_head, part) in parts {
        sums[kv_head].iter_mut().zip(part).for_each(|(sum, part)| *sum += f64::from(part));
    }
    Matrix::from_fn(kv_heads * rows, width, |row, column| sums[row / rows][column * rows + row % rows])
}

/// The queries' problem, keys fixed.
pub struct QueryOperator {
    fit: Arc<Fit>,
    /// For each unit: `[width, tokens]`.
    keys: Vec<Vec<f32>>,
}

impl QueryOperator {
    /// # Errors
    /// Keys of another shape; Ctrl-C.
    pub fn new(fit: &Arc<Fit>, keys: &Matrix) -> Result<QueryOperator> {
        fit.check_side("keys", keys, fit.paths().kv_heads)?;
        interrupt::check()?;
        let width = fit.paths().width();
        let make = |unit: &Unit| fit.turned_keys(unit, &floats(keys, unit.kv_head * width..(unit.kv_head + 1) * width));
        Ok(QueryOperator { keys: fit.units().par_iter().map(make).collect(), fit: Arc::clone(fit) })
    }

    /// # Errors
    /// Queries of another shape; Ctrl-C.
    pub fn apply(&self, queries: &Matrix) -> Result<Matrix> {
        self.fit.check_side("queries", queries, self.fit.heads())?;
        self.gradient(Some(queries))
    }

    /// # Errors
    /// Ctrl-C.
    pub fn right(&self) -> Result<Matrix> {
        self.gradient(None)
    }

    /// For the scores that queries give; `None`: for the teacher's.
    fn gradient(&self, queries: Option<&Matrix>) -> Result<Matrix> {
        let fit = &self.fit;
        let (width, group, d_model) = (fit.paths().width(), fit.group(), fit.sample.inputs.width);
        let of_unit = |(unit, keys): (&Unit, &Vec<f32>)| -> (usize, Vec<f32>) {
            let count = unit.window.positions.len();
            let mut stacked = vec![0.0f32; group * width * d_model];
            for member in 0..group {
                let head = unit.kv_head * group + member;
                let own = queries.map(|queries| fit.turned_queries(unit, &floats(queries, head * width..(head + 1) * width)));
                let mut gradient = vec![0.0f32; width * count];
                for (index, tile) in unit.window.heads[head].iter().enumerate() {
                    let mut errors = match &own {
                        Some(own) => fit.scores(tile, keys, own),
                        None => tile.scores.clone(),
                    };
                    weigh(&mut errors, fit.weights(unit.at, head, index), tile.keys);
                    let part = &mut gradient[tile.queries.start * width..tile.queries.end * width];
                    gemm(
                        part,
                        width,
                        tile.queries.len(),
                        false,
                        columns(&keys[..tile.keys * width], width),
                        columns(&errors, tile.keys),
                        Par::Seq,
                    );
                }
                fit.turn_queries(unit, &mut gradient, true);
                let mut product = vec![0.0f32; width * d_model];
                gemm(
                    &mut product,
                    width,
                    d_model,
                    false,
                    columns(&gradient, width),
                    columns(&unit.window.inputs, d_model).transpose(),
                    Par::Seq,
                );
                // Heads below each other, column by column.
                for (column, own) in product.chunks(width).enumerate() {
                    stacked[(column * group + member) * width..][..width].copy_from_slice(own);
                }
            }
            (unit.kv_head, stacked)
        };
        interrupt::check()?;
        let units = fit.units();
        let parts = units.par_iter().zip(&self.keys).map(of_unit).collect();
        gathered(fit, group * width, parts)
    }
}

/// The keys' problem, queries fixed.
pub struct KeyOperator {
    fit: Arc<Fit>,
    /// For each unit and each head of its group: `[width, queries]`.
    queries: Vec<Vec<Vec<f32>>>,
}

impl KeyOperator {
    /// # Errors
    /// Queries of another shape; Ctrl-C.
    pub fn new(fit: &Arc<Fit>, queries: &Matrix) -> Result<KeyOperator> {
        fit.check_side("queries", queries, fit.heads())?;
        interrupt::check()?;
        let (width, group) = (fit.paths().width(), fit.group());
        let make = |unit: &Unit| -> Vec<Vec<f32>> {
            let heads = unit.kv_head * group..(unit.kv_head + 1) * group;
            heads.map(|head| fit.turned_queries(unit, &floats(queries, head * width..(head + 1) * width))).collect()
        };
        Ok(KeyOperator { queries: fit.units().par_iter().map(make).collect(), fit: Arc::clone(fit) })
    }

    /// # Errors
    /// Keys of another shape; Ctrl-C.
    pub fn apply(&self, keys: &Matrix) -> Result<Matrix> {
        self.fit.check_side("keys", keys, self.fit.paths().kv_heads)?;
        self.gradient(Some(keys))
    }

    /// # Errors
    /// Ctrl-C.
    pub fn right(&self) -> Result<Matrix> {
        self.gradient(None)
    }

    fn gradient(&self, keys: Option<&Matrix>) -> Result<Matrix> {
        let fit = &self.fit;
        let (width, group, d_model) = (fit.paths().width(), fit.group(), fit.sample.inputs.width);
        let of_unit = |(unit, queries): (&Unit, &Vec<Vec<f32>>)| -> (usize, Vec<f32>) {
            let own = keys.map(|keys| fit.turned_keys(unit, &floats(keys, unit.kv_head * width..(unit.kv_head + 1) * width)));
            let mut gradient = vec![0.0f32; width * fit.sample.inputs.tokens(unit.window.index)];
            for (member, queries) in queries.iter().enumerate() {
                let head = unit.kv_head * group + member;
                for (index, tile) in unit.window.heads[head].iter().enumerate() {
                    let mut errors = match &own {
                        Some(own) => fit.scores(tile, own, queries),
                        None => tile.scores.clone(),
                    };
                    weigh(&mut errors, fit.weights(unit.at, head, index), tile.keys);
                    add_key_gradient(&mut gradient, width, tile, queries, &errors);
                }
            }
            fit.turn_keys(unit, &mut gradient, true);
            let mut product = vec![0.0f32; width * d_model];
            gemm(
                &mut product,
                width,
                d_model,
                false,
                columns(&gradient, width),
                fit.sample.inputs.window(unit.window.index).transpose(),
                Par::Seq,
            );
            (unit.kv_head, product)
        };
        interrupt::check()?;
        let units = fit.units();
        let parts = units.par_iter().zip(&self.queries).map(of_unit).collect();
        gathered(fit, width, parts)
    }
}

/// `gradient [width, keys] += queries G^T`.
fn add_key_gradient(gradient: &mut [f32], width: usize, tile: &Tile, queries: &[f32], errors: &[f32]) {
    let own = columns(&queries[tile.queries.start * width..tile.queries.end * width], width);
    gemm(&mut gradient[..tile.keys * width], width, tile.keys, true, own, columns(errors, tile.keys).transpose(), Par::Seq);
}
