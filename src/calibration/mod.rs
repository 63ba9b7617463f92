//! What a student's projections are fitted to: the inputs of a layer's attention over windows of text, and what the teacher's attention does with them.
//!
//! - [`LayerInputs`]: the normalised inputs, window by window, and their second moments.
//! - [`Sample`]: the teacher's scores and attention weights of some queries over all their keys, and the statistics that follow from them.
//! - [`Fit`]: the least-squares problem of a student's queries and keys against those scores, as linear operators for conjugate gradients.
//!
//! Everything heavy is a matrix product in f32 (faer), shared out by window and key head; sums that decide are in f64. Matrices are held column by
//! column, a token or a query to a column: `[width, tokens]`.

mod fit;
mod operators;
mod sample;
#[cfg(test)]
mod tests;

pub use fit::{Fit, Paths, Projections};
pub use operators::{KeyOperator, QueryOperator};
pub use sample::{Sample, Teacher};

use crate::error::{Error, Result};
use crate::interrupt;
use crate::linear_algebra::Matrix;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use half::f16;

/// The inputs of some layers' attention, `[layer][window][tokens * d_model]`, in half precision: 8,192 tokens of a model of 16 layers and width 2048
/// are half a gigabyte.
pub struct Captured {
    pub width: usize,
    /// The first layer that is held.
    pub first: usize,
    pub layers: Vec<Vec<Vec<f16>>>,
}

impl Captured {
    /// One layer's inputs as floats.
    ///
    /// # Errors
    /// A layer that isn't held.
    pub fn layer(&self, layer: usize) -> Result<LayerInputs> {
        let held = layer.checked_sub(self.first).and_then(|index| self.layers.get(index));
        let held = held.ok_or_else(|| {
            Error::new(format!("the inputs of layer {layer} are not held: layers {} to {} are", self.first, self.first + self.layers.len()))
        })?;
        let windows = held.iter().map(|window| window.iter().map(|value| value.to_f32()).collect()).collect();
        Ok(LayerInputs { width: self.width, windows })
    }
}

/// The normalised inputs of one layer's attention, window by window: `[width, tokens]` each.
#[derive(Debug, Clone)]
pub struct LayerInputs {
    pub width: usize,
    pub windows: Vec<Vec<f32>>,
}

impl LayerInputs {
    pub fn tokens(&self, window: usize) -> usize {
        self.windows[window].len() / self.width
    }

    fn window(&self, window: usize) -> MatRef<'_, f32> {
        MatRef::from_column_major_slice(&self.windows[window], self.width, self.tokens(window))
    }

    /// `E w x x^T / E w` over all tokens, each with its weight; without weights, all count alike.
    ///
    /// # Errors
    /// Not one weight for every token; Ctrl-C.
    pub fn second_moment(&self, weights: Option<&[Vec<f32>]>) -> Result<Matrix> {
        let width = self.width;
        let (mut sum, mut total) = (vec![0.0f64; width * width], 0.0f64);
        for (index, values) in self.windows.iter().enumerate() {
            interrupt::check()?;
            let tokens = self.tokens(index);
            let mut scaled = values.clone();
            match weights {
                None => total += tokens as f64,
                Some(weights) => {
                    let own = weights.get(index).filter(|own| own.len() == tokens);
                    let own = own.ok_or_else(|| Error::new(format!("window {index} has {tokens} tokens, and not as many weights")))?;
                    total += own.iter().map(|&weight| f64::from(weight)).sum::<f64>();
                    scaled.chunks_mut(width).zip(own).for_each(|(x, weight)| x.iter_mut().for_each(|x| *x *= weight));
                }
            }
            let mut part = vec![0.0f32; width * width];
            let scaled = MatRef::from_column_major_slice(&scaled, width, tokens);
            gemm(&mut part, width, width, false, scaled, self.window(index).transpose(), Par::rayon(0));
            sum.iter_mut().zip(&part).for_each(|(sum, part)| *sum += f64::from(*part));
        }
        let total = total.max(f64::MIN_POSITIVE);
        Matrix::from_fn(width, width, |row, column| (sum[row * width + column] + sum[column * width + row]) / (2.0 * total))
    }
}

/// `c [rows, columns] (+)= a b`.
fn gemm(c: &mut [f32], rows: usize, columns: usize, add: bool, a: MatRef<f32>, b: MatRef<f32>, par: Par) {
    let accumulate = if add { Accum::Add } else { Accum::Replace };
    matmul(MatMut::from_column_major_slice_mut(c, rows, columns), accumulate, a, b, 1.0f32, par);
}

/// Columns as they lie.
fn columns(values: &[f32], rows: usize) -> MatRef<'_, f32> {
    MatRef::from_column_major_slice(values, rows, values.len().checked_div(rows).unwrap_or(0))
}

/// Rows of a matrix of doubles as floats, `[rows, columns]` column by column.
fn floats(matrix: &Matrix, rows: std::ops::Range<usize>) -> Vec<f32> {
    matrix.to_f32(rows)
}

/// Turns pairs `(i, i + pairs)` of the rows from `first` on of every column by the angle of its position: as RoPE does, or back.
fn rotate(values: &mut [f32], rows: usize, first: usize, turns: &[[f32; 2]], pairs: usize, positions: impl Fn(usize) -> usize, back: bool) {
    if pairs == 0 {
        return;
    }
    for (index, column) in values.chunks_mut(rows).enumerate() {
        let turns = &turns[positions(index) * pairs..][..pairs];
        let (low, high) = column[first..first + 2 * pairs].split_at_mut(pairs);
        for ((low, high), &[cosine, sine]) in low.iter_mut().zip(high).zip(turns) {
            let sine = if back { -sine } else { sine };
            (*low, *high) = (*low * cosine - *high * sine, *high * cosine + *low * sine);
        }
    }
}

/// Cosines and sines, `[positions, frequencies]`.
fn turns(frequencies: &[f32], positions: usize) -> Vec<[f32; 2]> {
    let turn = |position: usize, frequency: f32| {
        let (sine, cosine) = (position as f64 * f64::from(frequency)).sin_cos();
        [cosine as f32, sine as f32]
    };
    (0..positions).flat_map(|position| frequencies.iter().map(move |&frequency| turn(position, frequency))).collect()
}

/// `sum a b`, in lanes that the compiler makes vectors of.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (mut lanes, whole) = ([0.0f32; LANES], a.len() / LANES * LANES);
    for (a, b) in a[..whole].chunks_exact(LANES).zip(b[..whole].chunks_exact(LANES)) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f32>() + a[whole..].iter().zip(&b[whole..]).map(|(a, b)| a * b).sum::<f32>()
}
