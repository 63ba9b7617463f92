//! Weights on the device: what formats there are, and matrices that are split where a binding ends.

use super::WeightKind;
use super::pack;
use crate::error::{At, Result};
use crate::gpu::{Buffer, Gpu, Purpose, Usage};
use crate::interrupt;
use crate::model::{DataType, Tensor};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::cell::Cell;
use std::ops::Range;

/// How a matrix is stored on the device; `shaders/weights.wgsl` has the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    F32,
    F16,
    /// Signed 8-bit codes, an f16 scale per 32 columns.
    Q8,
    /// Signed 8-bit codes, an f16 scale per 16 columns.
    Q8Group16,
    /// 8-bit codes (0 to 127), an f16 scale and an f16 minimum per 32 columns.
    Q8Minimum,
    /// 4-bit codes, an f16 scale and an f16 minimum per 32 columns.
    Q4,
    /// 4-bit codes, an f16 scale and an f16 minimum per 16 columns.
    Q4Group16,
}

/// Columns are padded with zeros to a multiple of this.
pub const BLOCK: usize = 32;

/// What the kernels know of a format.
struct FormatEntry {
    name: &'static str,
    /// Of a code.
    bits: usize,
    /// Columns that share a scale; 0: there are no scales.
    group: usize,
    /// Whether there is a minimum beside each scale.
    minimum: bool,
}

impl Format {
    const fn entry(self) -> FormatEntry {
        let (name, bits, group, minimum) = match self {
            Format::F32 => ("f32", 32, 0, false),
            Format::F16 => ("f16", 16, 0, false),
            Format::Q8 => ("q8", 8, 32, false),
            Format::Q8Group16 => ("q8_16", 8, 16, false),
            Format::Q8Minimum => ("q8_min", 8, 32, true),
            Format::Q4 => ("q4", 4, 32, true),
            Format::Q4Group16 => ("q4_16", 4, 16, true),
        };
        FormatEntry { name, bits, group, minimum }
    }

    /// The name in shaders and tables.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// As the shaders are told of it.
    pub fn parameters(self) -> Value {
        let FormatEntry { name, bits, group, minimum } = self.entry();
        json!({ "name": name, "bits": bits, "group": group, "minimum": minimum })
    }

    /// Bits of a code.
    pub fn bits(self) -> usize {
        self.entry().bits
    }

    /// Whether there is a minimum beside each scale.
    pub fn has_minimum(self) -> bool {
        self.entry().minimum
    }

    /// Columns that a kernel reads at once: a unit of `shaders/weights.wgsl`.
    pub fn unit(self) -> usize {
        128 / self.entry().bits
    }

    /// Bytes of the codes of a row of `columns` (padded) columns.
    pub fn code_bytes(self, columns: usize) -> usize {
        columns * self.entry().bits / 8
    }

    /// Bytes of the scales of a row: whole words.
    pub fn scale_bytes(self, columns: usize) -> usize {
        match self.entry() {
            FormatEntry { group: 0, .. } => 0,
            FormatEntry { group, minimum: true, .. } => columns / group * 4,
            FormatEntry { group, .. } => (columns / group).div_ceil(2) * 4,
        }
    }

    /// What holds the elements of a stored type as they are, but for scales that are rounded to f16 (and bf16, whose range is larger).
    pub fn stored(data_type: DataType) -> Format {
        match data_type {
            DataType::F32 => Format::F32,
            DataType::F16 | DataType::BF16 => Format::F16,
            DataType::Q8_0 | DataType::Q5_0 => Format::Q8,
            DataType::Q6K => Format::Q8Group16,
            DataType::Q5_1 | DataType::Q5K => Format::Q8Minimum,
            DataType::Q4_0 | DataType::Q4_1 | DataType::Q4K => Format::Q4,
            DataType::Q2K | DataType::Q3K => Format::Q4Group16,
        }
    }

    /// What a tensor becomes when the user wants `kind`.
    pub fn of(tensor: &Tensor, kind: WeightKind) -> Format {
        match kind {
            WeightKind::Stored => Format::stored(tensor.data_type),
            WeightKind::F32 => Format::F32,
            WeightKind::F16 => Format::F16,
            WeightKind::Q8 => Format::Q8,
            WeightKind::Q4 => Format::Q4,
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

/// The way of the weights to the device.
pub struct Stream<'a> {
    pub gpu: &'a Gpu,
    /// Told how many more bytes of the file have been dealt with.
    pub report: &'a dyn Fn(u64),
    /// Bytes written since the last submission: wgpu keeps its own copy of them until then.
    written: Cell<usize>,
}

impl<'a> Stream<'a> {
    pub fn new(gpu: &'a Gpu, report: &'a dyn Fn(u64)) -> Stream<'a> {
        Stream { gpu, report, written: Cell::new(0) }
    }

    /// # Errors
    /// A lost device.
    fn write(&self, buffer: &Buffer, offset: usize, bytes: &[u8]) -> Result<()> {
        self.gpu.write(buffer, offset as u64, bytes);
        self.written.set(self.written.get() + bytes.len());
        if self.written.get() >= 8 * TILE_BYTES {
            self.written.set(0);
            self.gpu.flush()?;
        }
        Ok(())
    }
}

impl Matrix {
    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(Part::bytes).sum()
    }

    /// Puts `tensors`, each with the output row where it begins and its format, on the device. Neighbours of the same format share a part.
    ///
    /// # Errors
    /// No room; Ctrl-C.
    pub fn load(stream: &Stream, label: &str, tensors: &[(&Tensor, usize, Format)]) -> Result<Matrix> {
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
            matrix.add_rows(stream, label, &run, first, format)?;
        }
        Ok(matrix)
    }

    /// One tensor by itself.
    ///
    /// # Errors
    /// As [`Matrix::load`].
    pub fn of(stream: &Stream, label: &str, tensor: &Tensor, format: Format) -> Result<Matrix> {
        Matrix::load(stream, label, &[(tensor, 0, format)])
    }

    /// Rows of several tensors, one after the other, in as many parts as it takes.
    fn add_rows(&mut self, stream: &Stream, label: &str, tensors: &[&Tensor], first: usize, format: Format) -> Result<()> {
        let gpu = stream.gpu;
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
            let part = self.part(stream, label, tensors, done..done + rows, format)?;
            self.parts.push(Part { first: first + done, ..part });
            done += rows;
        }
        Ok(())
    }

    /// Some rows of the stacked tensors.
    fn part(&self, stream: &Stream, label: &str, tensors: &[&Tensor], range: Range<usize>, format: Format) -> Result<Part> {
        let (gpu, from, rows) = (stream.gpu, range.start, range.len());
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
        for start in (0..groups).step_by(tile) {
            interrupt::check()?;
            let count = tile.min(groups - start);
            let (code_tile, scale_tile) = (&mut code_tile[..count * code_bytes], &mut scale_tile[..count * scale_bytes]);
            // A plane without bytes still needs one (empty) slice per group.
            let scale_groups: Vec<&mut [u8]> =
                if scale_bytes > 0 { scale_tile.chunks_mut(scale_bytes).collect() } else { (0..count).map(|_| &mut [][..]).collect() };
            code_tile.par_chunks_mut(code_bytes).zip(scale_groups).enumerate().for_each(|(group, (codes, scales))| {
                let first = (start + group) * interleave;
                pack::rows(tensors, from + first..from + rows.min(first + interleave), interleave, format, codes, scales);
            });
            stream.write(&codes, start * code_bytes, code_tile)?;
            if let Some(scales) = &scales {
                stream.write(scales, start * scale_bytes, scale_tile)?;
            }
            let (first, end) = (start * interleave, rows.min((start + count) * interleave));
            let (tensor, _) = pack::locate(tensors, from + first);
            (stream.report)(((end - first) * tensor.stored_row_bytes()) as u64);
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

/// A vector as f32, padded with zeros to whole blocks.
///
/// # Errors
/// No room.
pub fn load_vector(gpu: &Gpu, label: &str, values: &[f32]) -> Result<Buffer> {
    let mut padded = values.to_vec();
    padded.resize(values.len().next_multiple_of(BLOCK), 0.0);
    gpu.buffer_of(label, &padded, Purpose::Weights)
}
