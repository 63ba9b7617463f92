//! Products of activations with a matrix: which form of kernel, and its steps.
//!
//! `y[t, r] = sum_k w[r, k] x[t, k]` is nearly all the work there is. Its input may be normalised (RMSNorm) on the way in, and its output is stored, added to
//! what is there (the residual) or, from two matrices, put through a gated unit (SwiGLU, GeGLU).

use super::weights::{BLOCK, Matrix, Part};
use crate::error::Result;
use crate::gpu::{Buffer, Count, Gpu, Step};
use crate::model::Activation;
use serde_json::json;

/// How a product is shared out to lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A lane owns rows: `linear_lanes.wgsl`.
    Lanes,
    /// Subgroups share rows: `linear_shared.wgsl`.
    Shared,
    /// All lanes of a workgroup share its rows: `linear_shared.wgsl` too. For long rows, of which there are few.
    Together,
    /// Tiles of tokens and rows go through workgroup memory: `linear_tiles.wgsl`.
    Tiles,
    /// As tiles, multiplied as cooperative matrices of half floats: `linear_matrices.wgsl`.
    Matrices,
}

/// A form of the product: which kernel, and its tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Form {
    pub shape: Shape,
    /// Token rows that share a weight once a lane has it; of cooperative matrices, those of a subgroup along the tokens.
    pub tokens: u32,
    /// Matrix rows of a lane, or of the lanes that share them; of cooperative matrices, those of a subgroup along the rows.
    pub lane_rows: u32,
    pub workgroup: u32,
    /// Of cooperative matrices: blocks of 32 columns that a workgroup brings in at once.
    #[serde(default = "Form::one_block")]
    pub depth: u32,
}

/// `tiles 4x4 of 256 lanes`: tokens and rows of a lane.
impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let name = match self.shape {
            Shape::Lanes => "lanes",
            Shape::Shared => "shared",
            Shape::Together => "together",
            Shape::Tiles => "tiles",
            Shape::Matrices => "matrices",
        };
        let deep = if self.depth > 1 { ", deep" } else { "" };
        write!(f, "{name} {}x{} of {}{deep}", self.tokens, self.lane_rows, self.workgroup)
    }
}

impl Form {
    /// What forms have had before there was a choice.
    const fn one_block() -> u32 {
        1
    }

    /// Lanes of the subgroups by whose operations activations or sums go from lane to lane; 0: they don't, or the size isn't known.
    fn subgroup(self, gpu: &Gpu) -> u32 {
        match gpu.subgroup_size() {
            // Lanes that own rows hand a block round: more of them than it has columns cannot.
            Some(_) if self.shape == Shape::Together => 0,
            Some(size) if (self.shape != Shape::Lanes || size as usize <= BLOCK) && self.workgroup.is_multiple_of(size) => size,
            _ => 0,
        }
    }

    /// Subgroups that a workgroup has at most, if they add up though a row is not one subgroup's (or their size isn't known); else 0.
    fn subgroups(self, gpu: &Gpu) -> u32 {
        let [least, _] = gpu.summary().subgroup_sizes;
        let adds_up = matches!(self.shape, Shape::Shared | Shape::Together);
        let any_size = adds_up && self.subgroup(gpu) == 0 && gpu.has(wgpu::Features::SUBGROUP);
        if any_size { self.workgroup.div_ceil(least.max(1)) } else { 0 }
    }

    /// Matrix rows and token rows of a workgroup.
    fn tile(self, gpu: &Gpu) -> [u32; 2] {
        let Form { tokens, lane_rows, workgroup, .. } = self;
        match self.shape {
            Shape::Lanes => [workgroup * lane_rows, tokens],
            Shape::Shared | Shape::Together => [workgroup / self.lanes(gpu) * lane_rows, tokens],
            Shape::Tiles => [16 * lane_rows, workgroup / 16 * tokens],
            Shape::Matrices => {
                let size = gpu.matrix_size().unwrap_or(16);
                [2 * size * lane_rows, workgroup / self.lanes(gpu) / 2 * size * tokens]
            }
        }
    }

    /// Lanes that share rows, or make up a subgroup.
    fn lanes(self, gpu: &Gpu) -> u32 {
        match self.subgroup(gpu) {
            0 => self.workgroup,
            subgroup => subgroup,
        }
    }

    /// Workgroup memory that it takes; `dual`: with two matrices.
    pub fn workgroup_bytes(self, gpu: &Gpu, dual: bool) -> u32 {
        let matrices = if dual { 2 } else { 1 };
        match self.shape {
            Shape::Lanes => 0,
            // A sum of each lane; or all sums of each subgroup, of squares too.
            Shape::Shared | Shape::Together => match self.subgroups(gpu) {
                0 => self.workgroup * 4,
                subgroups => subgroups * self.tokens * (self.lane_rows * matrices + 1) * 4,
            },
            // Blocks of 32 columns in f32.
            Shape::Tiles => (self.tokens * self.workgroup / 16 + self.lane_rows * 16 * matrices) * BLOCK as u32 * 4,
            Shape::Matrices => {
                let [rows, tokens] = self.tile(gpu);
                let (size, subgroups) = (gpu.matrix_size().unwrap_or(16), self.workgroup / self.lanes(gpu));
                // Both tiles in half floats, rows apart; a matrix of sums of each subgroup, and the squares of a norm, in f32.
                let columns = BLOCK as u32 * self.depth;
                (tokens + rows * matrices) * (columns + 8) * 2 + (subgroups * matrices * size * size + tokens * columns / 4) * 4
            }
        }
    }

    /// Whether this form can be made on this device at all, for a matrix of so many rows and columns (`dual`: two of them).
    pub fn is_sound(self, gpu: &Gpu, rows: usize, columns: usize, dual: bool) -> bool {
        let limits = gpu.limits();
        // A vocabulary has hundreds of thousands, and a grid may have 65535 workgroups on a side.
        let has_grid = || (rows as u32).div_ceil(self.tile(gpu)[0].max(1)) <= limits.max_compute_workgroups_per_dimension;
        let sides = [self.tokens, self.lane_rows, self.depth].iter().all(|side| (1..=16).contains(side));
        sides
            && columns.is_multiple_of(BLOCK * self.depth as usize)
            && (1..=limits.max_compute_invocations_per_workgroup).contains(&self.workgroup)
            && self.workgroup_bytes(gpu, dual) <= limits.max_compute_workgroup_storage_size
            && match self.shape {
                Shape::Lanes => true,
                Shape::Shared | Shape::Together => self.workgroup.is_power_of_two(),
                Shape::Tiles => self.workgroup.is_multiple_of(16),
                // Two subgroups lie side by side.
                Shape::Matrices => {
                    gpu.matrix_size().is_some() && gpu.subgroup_size().is_some_and(|lanes| self.workgroup.is_multiple_of(2 * lanes))
                }
            }
            && has_grid()
    }
}

/// Whether weights are loaded as 64-bit words: where every load is a gather, half as many are needed.
pub(super) fn loads_wide(gpu: &Gpu) -> bool {
    gpu.summary().software && gpu.has(wgpu::Features::SHADER_INT64)
}

/// What becomes of the product.
pub enum Epilogue<'a> {
    Store,
    /// Added to what is there.
    Add,
    /// `act(product) * (product with this matrix)`.
    Gated(Activation, &'a Matrix),
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
            Epilogue::Gated(_, matrix) => Some(*matrix),
            _ => None,
        };
        let mut steps = Vec::with_capacity(self.matrix.parts.len());
        for (index, part) in self.matrix.parts.iter().enumerate() {
            let up = second.and_then(|matrix| matrix.parts.get(index));
            let form = self.form(gpu, part, up, typical_rows)?;
            steps.push(self.step(gpu, part, up, form)?);
        }
        Ok(steps)
    }

    /// One part, in one form.
    ///
    /// # Errors
    /// As [`Product::steps`].
    pub fn step(&self, gpu: &Gpu, part: &Part, up: Option<&Part>, form: Form) -> Result<Step> {
        let parameters = json!({
            "format": part.format.parameters(),
            "interleave": part.interleave,
            "columns": self.matrix.columns,
            "rows": part.rows,
            "first": part.first,
            "tokens": form.tokens,
            "lane_rows": form.lane_rows,
            "workgroup": form.workgroup,
            "subgroup": form.subgroup(gpu),
            "subgroups": form.subgroups(gpu),
            "lanes": form.lanes(gpu),
            "wide": form.shape == Shape::Lanes && loads_wide(gpu),
            "unroll": !gpu.summary().software,
            "size": gpu.matrix_size().unwrap_or(0),
            // Metal, which has small ones, loads them from scalars only.
            "packed": gpu.matrix_size() == Some(16),
            "depth": form.depth,
            "x_stride": self.x_stride,
            "y_stride": self.y_stride,
            "epilogue": match self.epilogue { Epilogue::Store => "store", Epilogue::Add => "add", Epilogue::Gated(activation, _) => activation.unit() },
            "bias": self.bias.is_some(),
            "norm": self.norm.is_some(),
            "norm_width": self.norm.map_or(0, |norm| norm.width),
            "eps": self.norm.map_or(0.0, |norm| norm.eps),
        });
        let template = match form.shape {
            Shape::Lanes => "linear_lanes.wgsl",
            Shape::Shared | Shape::Together => "linear_shared.wgsl",
            Shape::Tiles => "linear_tiles.wgsl",
            Shape::Matrices => "linear_matrices.wgsl",
        };
        let [tile_rows, tile_tokens] = form.tile(gpu);
        let kernel = gpu.kernel(template, &parameters)?;
        let mut bindings = vec![self.call.binding(), self.x.binding_from(self.x_offset), self.y.binding()];
        for part in [Some(part), up].into_iter().flatten() {
            bindings.push(part.codes.binding());
            bindings.extend(part.scales.as_ref().map(Buffer::binding));
        }
        bindings.extend(self.norm.map(|norm| norm.weight.binding()));
        bindings.extend(self.bias.map(Buffer::binding));
        let tiles = (part.rows as u32).div_ceil(tile_rows);
        let grid = match form.shape {
            Shape::Matrices => [Count::Rows(tile_tokens), Count::Of(tiles), Count::Of(1)],
            _ => [Count::Of(tiles), Count::Rows(tile_tokens), Count::Of(1)],
        };
        let matrices = if up.is_some() { 2 } else { 1 };
        let step = gpu.step(self.label, &kernel, bindings, grid)?;
        Ok(step.work(part.bytes() + up.map_or(0, Part::bytes), (part.rows * self.matrix.columns * matrices) as u64))
    }
}
