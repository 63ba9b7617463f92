//! Products of activations with a matrix: which form of kernel, and its steps.
//!
//! `y[t, r] = sum_k w[r, k] x[t, k]` is nearly all the work there is. Its input may be normalised (RMSNorm) on the way in, and its output is stored, added to
//! what is there (the residual) or, from two matrices, put through a SwiGLU.

use super::forms::{self, Job};
use super::weights::{BLOCK, Matrix, Part};
use crate::error::Result;
use crate::gpu::{Buffer, Count, Gpu, Step};
use serde_json::json;

/// How a product is shared out to lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A lane owns rows: `linear_lanes.wgsl`.
    Lanes,
    /// Lanes share rows: `linear_shared.wgsl`.
    Shared,
}

/// A form of the product: which kernel, and its tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Form {
    pub shape: Shape,
    /// Token rows that share a weight once it is loaded.
    pub tokens: u32,
    /// Matrix rows of a lane, or of the lanes that share them.
    pub lane_rows: u32,
    pub workgroup: u32,
}

impl Form {
    /// Whether activations go from lane to lane, or sums do, by subgroup operations.
    fn subgroup(self, gpu: &Gpu) -> u32 {
        match gpu.subgroup_size() {
            // More lanes than columns of a block cannot hand one round.
            Some(size) if size as usize <= BLOCK && self.workgroup.is_multiple_of(size) => size,
            _ => 0,
        }
    }
}

/// What becomes of the product.
pub enum Epilogue<'a> {
    Store,
    /// Added to what is there.
    Add,
    /// `silu(product) * (product with this matrix)`.
    SwiGlu(&'a Matrix),
}

/// RMSNorm of the input: `x / sqrt(mean(x^2) + eps) * weight`.
#[derive(Clone, Copy)]
pub struct Norm<'a> {
    pub weight: &'a Buffer,
    pub width: usize,
    pub eps: f32,
}

/// One product.
pub struct Product<'a> {
    pub label: &'static str,
    pub call: &'a Buffer,
    /// `[rows, x_stride]`, and where its first row begins in bytes.
    pub x: &'a Buffer,
    pub x_offset: u64,
    pub x_stride: usize,
    pub matrix: &'a Matrix,
    pub y: &'a Buffer,
    pub y_stride: usize,
    pub epilogue: Epilogue<'a>,
    pub norm: Option<Norm<'a>>,
    pub bias: Option<&'a Buffer>,
}

impl Product<'_> {
    /// The steps of this product, one for each part of its matrix, in forms for calls of `typical_rows` token rows.
    ///
    /// # Errors
    /// A shader that the device refuses.
    pub fn steps(&self, gpu: &Gpu, typical_rows: usize) -> Result<Vec<Step>> {
        let second = match &self.epilogue {
            Epilogue::SwiGlu(matrix) => Some(*matrix),
            _ => None,
        };
        let mut steps = Vec::with_capacity(self.matrix.parts.len());
        for (index, part) in self.matrix.parts.iter().enumerate() {
            let up = second.and_then(|matrix| matrix.parts.get(index));
            let form = forms::likely(gpu, Job { format: part.format, dual: up.is_some(), rows: typical_rows });
            steps.push(self.step(gpu, part, up, form)?);
        }
        Ok(steps)
    }

    /// One part, in one form.
    ///
    /// # Errors
    /// As [`Product::steps`].
    pub fn step(&self, gpu: &Gpu, part: &Part, up: Option<&Part>, form: Form) -> Result<Step> {
        let subgroup = form.subgroup(gpu);
        let lanes = if subgroup > 0 { subgroup } else { form.workgroup };
        let parameters = json!({
            "format": part.format.name(),
            "interleave": part.interleave,
            "columns": self.matrix.columns,
            "rows": part.rows,
            "first": part.first,
            "tokens": form.tokens,
            "lane_rows": form.lane_rows,
            "workgroup": form.workgroup,
            "subgroup": subgroup,
            "lanes": lanes,
            "x_stride": self.x_stride,
            "y_stride": self.y_stride,
            "epilogue": match self.epilogue { Epilogue::Store => "store", Epilogue::Add => "add", Epilogue::SwiGlu(_) => "swiglu" },
            "bias": self.bias.is_some(),
            "norm": self.norm.is_some(),
            "norm_width": self.norm.map_or(0, |norm| norm.width),
            "eps": self.norm.map_or(0.0, |norm| norm.eps),
        });
        let (template, rows_of_workgroup) = match form.shape {
            Shape::Lanes => ("linear_lanes.wgsl", form.workgroup * form.lane_rows),
            Shape::Shared => ("linear_shared.wgsl", form.workgroup / lanes * form.lane_rows),
        };
        let kernel = gpu.kernel(template, &parameters)?;
        let mut bindings = vec![self.call.binding(), self.x.binding_from(self.x_offset), self.y.binding()];
        for part in [Some(part), up].into_iter().flatten() {
            bindings.push(part.codes.binding());
            bindings.extend(part.scales.as_ref().map(Buffer::binding));
        }
        bindings.extend(self.norm.map(|norm| norm.weight.binding()));
        bindings.extend(self.bias.map(Buffer::binding));
        let tiles = (part.rows as u32).div_ceil(rows_of_workgroup);
        let grid = [Count::Of(tiles), Count::Rows(form.tokens), Count::Of(1)];
        let matrices = if up.is_some() { 2 } else { 1 };
        let step = gpu.step(self.label, &kernel, bindings, grid)?;
        Ok(step.work(part.bytes() + up.map_or(0, Part::bytes), (part.rows * self.matrix.columns * matrices) as u64))
    }
}
