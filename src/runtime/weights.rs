//! Weights on the device: what formats there are, how a file's blocks become them, and matrices that are split where a binding ends.

use super::WeightKind;
use crate::error::{At, Result};
use crate::gpu::{Buffer, Gpu, Purpose, Usage};
use crate::interrupt;
use crate::model::{DataType, Tensor};
use half::f16;
use rayon::prelude::*;

/// How a matrix is stored on the device; `shaders/weights.wgsl` has the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    F32,
    F16,
    /// 8-bit codes, an f16 scale per block of 32.
    Q8,
    /// 4-bit codes, an f16 scale and an f16 minimum per block of 32.
    Q4,
}

/// Columns are padded with zeros to a multiple of this.
pub const BLOCK: usize = 32;

impl Format {
    /// The name in shaders and tables.
    pub fn name(self) -> &'static str {
        match self {
            Format::F32 => "f32",
            Format::F16 => "f16",
            Format::Q8 => "q8",
            Format::Q4 => "q4",
        }
    }

    /// Bytes of the codes of a row of `columns` (padded) columns.
    fn code_bytes(self, columns: usize) -> usize {
        match self {
            Format::F32 => columns * 4,
            Format::F16 => columns * 2,
            Format::Q8 => columns,
            Format::Q4 => columns / 2,
        }
    }

    /// Bytes of the scales of a row: whole words.
    fn scale_bytes(self, columns: usize) -> usize {
        match self {
            Format::F32 | Format::F16 => 0,
            Format::Q8 => (columns / BLOCK).div_ceil(2) * 4,
            Format::Q4 => columns / BLOCK * 4,
        }
    }

    /// What a tensor becomes when the user wants `kind`.
    pub fn of(tensor: &Tensor, kind: WeightKind) -> Format {
        match (kind, tensor.data_type) {
            (WeightKind::F32, _) | (WeightKind::Stored, DataType::F32) => Format::F32,
            (WeightKind::Q8, _) | (WeightKind::Stored, DataType::Q8_0) => Format::Q8,
            (WeightKind::Q4, _) | (WeightKind::Stored, DataType::Q4_0 | DataType::Q4_1) => Format::Q4,
            (WeightKind::F16 | WeightKind::Stored, _) => Format::F16,
        }
    }
}

/// Rows of a matrix that lie in one buffer.
pub struct Part {
    pub format: Format,
    /// Where its rows begin in the output.
    pub first: usize,
    pub rows: usize,
    /// Rows whose units lie in turn.
    pub interleave: usize,
    pub codes: Buffer,
    pub scales: Option<Buffer>,
}

impl Part {
    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.codes.bytes() + self.scales.as_ref().map_or(0, Buffer::bytes)
    }
}

/// A matrix `[rows, columns]` on the device, in parts that each fit a binding.
pub struct Matrix {
    /// Padded to whole blocks.
    pub columns: usize,
    pub parts: Vec<Part>,
}

/// Tells how many bytes of the file have been dealt with.
pub type Report<'a> = &'a dyn Fn(u64);

impl Matrix {
    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(Part::bytes).sum()
    }

    /// Puts `tensors`, each with the output row where it begins and its format, on the device. Neighbours of the same format share a part.
    ///
    /// # Errors
    /// No room; Ctrl-C.
    pub fn load(gpu: &Gpu, label: &str, tensors: &[(&Tensor, usize, Format)], report: Report) -> Result<Matrix> {
        let width = tensors.first().map_or(0, |(tensor, ..)| tensor.columns());
        let columns = width.next_multiple_of(BLOCK);
        let mut matrix = Matrix { columns, parts: Vec::new() };
        let mut index = 0;
        while index < tensors.len() {
            let (first_tensor, first, format) = tensors[index];
            let mut run: Vec<&Tensor> = vec![first_tensor];
            let mut rows = first_tensor.rows();
            while let Some((tensor, at, next_format)) = tensors.get(index + run.len())
                && *next_format == format
                && *at == first + rows
            {
                run.push(tensor);
                rows += tensor.rows();
            }
            index += run.len();
            matrix.add_rows(gpu, label, &run, first, format, report)?;
        }
        Ok(matrix)
    }

    /// One tensor by itself.
    ///
    /// # Errors
    /// As [`Matrix::load`].
    pub fn of(gpu: &Gpu, label: &str, tensor: &Tensor, format: Format, report: Report) -> Result<Matrix> {
        Matrix::load(gpu, label, &[(tensor, 0, format)], report)
    }

    /// Rows of several tensors, one after the other, in as many parts as it takes.
    fn add_rows(&mut self, gpu: &Gpu, label: &str, tensors: &[&Tensor], first: usize, format: Format, report: Report) -> Result<()> {
        let limit = gpu.limits().max_storage_buffer_binding_size.min(gpu.limits().max_buffer_size) as usize;
        let row_bytes = format.code_bytes(self.columns).max(1);
        let interleave = interleave(gpu);
        // Whole tiles of rows, so that the last tile of a part is not a remainder.
        let most = limit / row_bytes;
        let tile = if most > 256 { 256 } else { interleave };
        let most = (most / tile * tile).max(interleave);
        let total: usize = tensors.iter().map(|tensor| tensor.rows()).sum();
        let mut done = 0;
        while done < total {
            let rows = most.min(total - done);
            let part = self.part(gpu, label, tensors, done, rows, format, report)?;
            self.parts.push(Part { first: first + done, ..part });
            done += rows;
        }
        Ok(())
    }

    /// Rows `[from, from + rows)` of the stacked tensors.
    #[allow(clippy::too_many_arguments, reason = "the rows of a stack are no thing of their own")]
    fn part(&self, gpu: &Gpu, label: &str, tensors: &[&Tensor], from: usize, rows: usize, format: Format, report: Report) -> Result<Part> {
        let (code_bytes, scale_bytes) = (format.code_bytes(self.columns), format.scale_bytes(self.columns));
        let interleave = interleave(gpu);
        let groups = rows.div_ceil(interleave);
        let allocate = |bytes: usize| gpu.buffer(label, (groups * interleave * bytes) as u64, Purpose::Weights, Usage::Storage);
        let codes = allocate(code_bytes).at(label)?;
        let scales = if scale_bytes > 0 { Some(allocate(scale_bytes).at(label)?) } else { None };
        let (code_bytes, scale_bytes) = (code_bytes * interleave, scale_bytes * interleave);
        // So much is on the host at a time: the file is mapped, and a second copy of the model would not fit everywhere.
        let tile = (TILE_BYTES / code_bytes.max(1)).clamp(1, groups.max(1));
        let mut code_tile = vec![0u8; tile * code_bytes];
        let mut scale_tile = vec![0u8; tile * scale_bytes];
        let mut written_since_flush = 0;
        for start in (0..groups).step_by(tile) {
            interrupt::check()?;
            let count = tile.min(groups - start);
            let (code_tile, scale_tile) = (&mut code_tile[..count * code_bytes], &mut scale_tile[..count * scale_bytes]);
            // A plane without bytes still needs one (empty) slice per group.
            let scale_groups: Vec<&mut [u8]> =
                if scale_bytes > 0 { scale_tile.chunks_mut(scale_bytes).collect() } else { (0..count).map(|_| &mut [][..]).collect() };
            code_tile.par_chunks_mut(code_bytes).zip(scale_groups).enumerate().for_each(|(group, (codes, scales))| {
                let first = (start + group) * interleave;
                pack_group(tensors, from + first..from + rows.min(first + interleave), interleave, format, codes, scales);
            });
            gpu.write(&codes, (start * code_bytes) as u64, code_tile);
            if let Some(scales) = &scales {
                gpu.write(scales, (start * scale_bytes) as u64, scale_tile);
            }
            let (first, end) = (start * interleave, rows.min((start + count) * interleave));
            let (tensor, _) = locate(tensors, from + first);
            report(((end - first) * tensor.stored_row_bytes()) as u64);
            // wgpu keeps its own copy of what is written until the next submission.
            written_since_flush += count * (code_bytes + scale_bytes);
            if written_since_flush >= 8 * TILE_BYTES {
                gpu.flush()?;
                written_since_flush = 0;
            }
        }
        Ok(Part { format, first: 0, rows, interleave, codes, scales })
    }
}

/// How many rows lie in turn (`shaders/weights.wgsl`): as many as lanes load at once where lanes own rows, one where they share them.
pub fn interleave(gpu: &Gpu) -> usize {
    if gpu.summary().software { gpu.subgroup_size().map_or(8, |size| size as usize) } else { 1 }
}

/// Bytes of codes that are converted at once.
const TILE_BYTES: usize = 4 << 20;

/// The tensor that row `row` of the stack is in, and which of its rows it is.
fn locate<'a>(tensors: &[&'a Tensor], mut row: usize) -> (&'a Tensor, usize) {
    for tensor in tensors {
        if row < tensor.rows() {
            return (tensor, row);
        }
        row -= tensor.rows();
    }
    (tensors[tensors.len() - 1], usize::MAX)
}

/// Some rows of the stack, their units in turn; what is not there is zero.
fn pack_group(tensors: &[&Tensor], rows: std::ops::Range<usize>, interleave: usize, format: Format, codes: &mut [u8], scales: &mut [u8]) {
    if interleave == 1 {
        let (tensor, row) = locate(tensors, rows.start);
        return pack(tensor, row, format, codes, scales);
    }
    let count = rows.len();
    let mut row_codes = vec![0u8; codes.len() / interleave];
    let mut row_scales = vec![0u8; scales.len() / interleave];
    if count < interleave {
        codes.fill(0);
        scales.fill(0);
    }
    for (place, row) in rows.enumerate() {
        let (tensor, row) = locate(tensors, row);
        pack(tensor, row, format, &mut row_codes, &mut row_scales);
        for (from, to) in row_codes.chunks_exact(16).zip(codes.chunks_exact_mut(16 * interleave)) {
            to[place * 16..place * 16 + 16].copy_from_slice(from);
        }
        for (from, to) in row_scales.chunks_exact(4).zip(scales.chunks_exact_mut(4 * interleave)) {
            to[place * 4..place * 4 + 4].copy_from_slice(from);
        }
    }
}

/// One row in its device format; what lies beyond the tensor's columns is zero.
fn pack(tensor: &Tensor, row: usize, format: Format, codes: &mut [u8], scales: &mut [u8]) {
    let columns = tensor.columns();
    match format {
        Format::F32 => {
            let mut values = vec![0.0f32; columns];
            tensor.read_rows(row..row + 1, &mut values);
            codes[..columns * 4].copy_from_slice(bytemuck::cast_slice(&values));
            codes[columns * 4..].fill(0);
        }
        Format::F16 => {
            let mut values = vec![f16::ZERO; columns];
            tensor.read_rows_f16(row..row + 1, &mut values);
            codes[..columns * 2].copy_from_slice(bytemuck::cast_slice(&values));
            codes[columns * 2..].fill(0);
        }
        Format::Q8 if tensor.data_type == DataType::Q8_0 => {
            scales.fill(0);
            for (block, bytes) in tensor.row_bytes(row).chunks_exact(34).enumerate() {
                scales[block * 2..block * 2 + 2].copy_from_slice(&bytes[..2]);
                codes[block * 32..block * 32 + 32].copy_from_slice(&bytes[2..]);
            }
        }
        Format::Q8 => {
            scales.fill(0);
            for_blocks(tensor, row, |block, values| {
                let largest = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
                let scale = f16::from_f32(largest / 127.0);
                scales[block * 2..block * 2 + 2].copy_from_slice(&scale.to_le_bytes());
                let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
                for (code, value) in codes[block * 32..].iter_mut().zip(values) {
                    *code = (value * inverse).round_ties_even().clamp(-127.0, 127.0) as i8 as u8;
                }
            });
        }
        Format::Q4 => {
            if let (DataType::Q4_0 | DataType::Q4_1, bytes) = (tensor.data_type, tensor.row_bytes(row)) {
                let has_minimum = tensor.data_type == DataType::Q4_1;
                let header = if has_minimum { 4 } else { 2 };
                for (block, bytes) in bytes.chunks_exact(header + 16).enumerate() {
                    let scale = [bytes[0], bytes[1]];
                    // Q4_0 is scale * (code - 8); eight times a half float is exact.
                    let minimum = if has_minimum {
                        [bytes[2], bytes[3]]
                    } else {
                        f16::from_f32(-8.0 * f16::from_le_bytes(scale).to_f32()).to_le_bytes()
                    };
                    scales[block * 4..block * 4 + 4].copy_from_slice(&[scale[0], scale[1], minimum[0], minimum[1]]);
                    // ggml's low nibbles are columns 0 to 15, its high ones 16 to 31.
                    let code = |column: usize| (bytes[header + column % 16] >> (4 * (column / 16))) & 15;
                    pack_nibbles(&mut codes[block * 16..block * 16 + 16], code);
                }
                return;
            }
            for_blocks(tensor, row, |block, values| {
                let low = values.iter().fold(f32::MAX, |low, &value| low.min(value));
                let high = values.iter().fold(f32::MIN, |high, &value| high.max(value));
                let (scale, minimum) = if (block + 1) * BLOCK <= columns {
                    (f16::from_f32((high - low) / 15.0), f16::from_f32(low))
                } else {
                    // What pads a row must be exactly zero: eight times a half float is exact.
                    let scale = f16::from_f32(high.max(-low) / 7.0);
                    (scale, f16::from_f32(-8.0 * scale.to_f32()))
                };
                scales[block * 4..block * 4 + 2].copy_from_slice(&scale.to_le_bytes());
                scales[block * 4 + 2..block * 4 + 4].copy_from_slice(&minimum.to_le_bytes());
                // With the stored scale and minimum: the code then makes up for their rounding.
                let (scale, minimum) = (scale.to_f32(), minimum.to_f32());
                let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
                let code = |column: usize| ((values[column] - minimum) * inverse).round_ties_even().clamp(0.0, 15.0) as u8;
                pack_nibbles(&mut codes[block * 16..block * 16 + 16], code);
            });
        }
    }
}

/// Sixteen bytes of a block: word `w` holds columns `8 w` on, four in the low nibbles and four in the high ones.
fn pack_nibbles(bytes: &mut [u8], code: impl Fn(usize) -> u8) {
    for (index, byte) in bytes.iter_mut().enumerate() {
        let column = index / 4 * 8 + index % 4;
        *byte = code(column) | code(column + 4) << 4;
    }
}

/// The blocks of a row as f32, the last one padded with zeros.
fn for_blocks(tensor: &Tensor, row: usize, mut each: impl FnMut(usize, &[f32; BLOCK])) {
    let mut values = vec![0.0f32; tensor.columns().next_multiple_of(BLOCK)];
    let columns = tensor.columns();
    tensor.read_rows(row..row + 1, &mut values[..columns]);
    for (block, values) in values.as_chunks::<BLOCK>().0.iter().enumerate() {
        each(block, values);
    }
}

/// A vector as f32, padded with zeros to whole blocks.
///
/// # Errors
/// No room.
pub fn load_vector(gpu: &Gpu, label: &str, values: &[f32]) -> Result<Buffer> {
    let mut padded = values.to_vec();
    padded.resize(values.len().next_multiple_of(BLOCK), 0.0);
    gpu.buffer_of(label, &padded, Purpose::Weights)
}
