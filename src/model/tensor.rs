//! A weight where it lies: bytes in a mapped file, their element type, and the rows that are meant.
//!
//! A tensor whose bytes don't fit its file is refused when it is made ([`Tensor::new`]); everything after that is free of errors, so
//! that weights can be streamed to a device in tiles of rows from several threads.

use super::blocks;
use crate::error::{Error, Result};
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::ops::Range;
use std::sync::Arc;

/// How the elements of a tensor are stored. Block types are those of GGUF (ggml's `ggml-common.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    F32,
    F16,
    BF16,
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

/// A line of the table of types.
pub struct DataTypeEntry {
    pub data_type: DataType,
    /// ggml's name.
    pub name: &'static str,
    /// ggml's number, as a GGUF has it.
    pub ggml: u32,
    /// Elements of a block; 1 for plain floats.
    pub block: usize,
    /// Bytes of a block.
    pub block_bytes: usize,
}

/// Every type, in the order of [`DataType`]. Numbers and sizes are those of `gguf.constants.GGML_QUANT_SIZES`.
pub const DATA_TYPES: &[DataTypeEntry] = &[
    DataTypeEntry { data_type: DataType::F32, name: "F32", ggml: 0, block: 1, block_bytes: 4 },
    DataTypeEntry { data_type: DataType::F16, name: "F16", ggml: 1, block: 1, block_bytes: 2 },
    DataTypeEntry { data_type: DataType::BF16, name: "BF16", ggml: 30, block: 1, block_bytes: 2 },
    DataTypeEntry { data_type: DataType::Q8_0, name: "Q8_0", ggml: 8, block: 32, block_bytes: 34 },
    DataTypeEntry { data_type: DataType::Q4_0, name: "Q4_0", ggml: 2, block: 32, block_bytes: 18 },
    DataTypeEntry { data_type: DataType::Q4_1, name: "Q4_1", ggml: 3, block: 32, block_bytes: 20 },
    DataTypeEntry { data_type: DataType::Q5_0, name: "Q5_0", ggml: 6, block: 32, block_bytes: 22 },
    DataTypeEntry { data_type: DataType::Q5_1, name: "Q5_1", ggml: 7, block: 32, block_bytes: 24 },
    DataTypeEntry { data_type: DataType::Q2K, name: "Q2_K", ggml: 10, block: 256, block_bytes: 84 },
    DataTypeEntry { data_type: DataType::Q3K, name: "Q3_K", ggml: 11, block: 256, block_bytes: 110 },
    DataTypeEntry { data_type: DataType::Q4K, name: "Q4_K", ggml: 12, block: 256, block_bytes: 144 },
    DataTypeEntry { data_type: DataType::Q5K, name: "Q5_K", ggml: 13, block: 256, block_bytes: 176 },
    DataTypeEntry { data_type: DataType::Q6K, name: "Q6_K", ggml: 14, block: 256, block_bytes: 210 },
];

impl DataType {
    /// This type's line of [`DATA_TYPES`].
    pub fn entry(self) -> &'static DataTypeEntry {
        &DATA_TYPES[self as usize]
    }

    /// ggml's name: `F16`, `Q4_K`, ...
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// Elements of a block; 1 for plain floats.
    pub fn block(self) -> usize {
        self.entry().block
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        self.entry().block_bytes
    }

    /// Bytes of a row of `columns` elements, which is a whole number of blocks.
    pub fn row_bytes(self, columns: usize) -> usize {
        columns / self.block() * self.block_bytes()
    }

    /// By ggml's number; `None` if it isn't one of ours.
    pub fn from_ggml(number: u32) -> Option<DataType> {
        DATA_TYPES.iter().find(|entry| entry.ggml == number).map(|entry| entry.data_type)
    }
}

/// Bytes that a tensor lies in: a mapped file, or memory.
pub type Bytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A weight `[rows, columns]`, or a vector `[n]` (then `rows` is 1). Row-major; a block never crosses a row.
#[derive(Clone)]
pub struct Tensor {
    pub data_type: DataType,
    /// As stored: `[out, in]` for a linear layer, `[n]` for a vector.
    pub shape: Vec<usize>,
    pub(crate) bytes: Bytes,
    /// Where row 0 begins in `bytes`.
    pub(crate) offset: usize,
    /// Row `r` of this tensor is stored row `order[r]`: how a fused or permuted stored tensor becomes a canonical one. `None`: as stored.
    pub(crate) order: Option<Arc<[u32]>>,
}

impl Tensor {
    /// A tensor of `shape` (`[rows, columns]` or `[n]`) whose first row begins at `offset` in `bytes`.
    ///
    /// # Errors
    /// Another rank than 1 or 2, a row that isn't a whole number of blocks, or bytes that end before the tensor does.
    pub fn new(data_type: DataType, shape: Vec<usize>, bytes: Bytes, offset: usize) -> Result<Tensor> {
        if !(1..=2).contains(&shape.len()) {
            return Err(Error::new(format!("expected a matrix or a vector, found shape {shape:?}")));
        }
        let tensor = Tensor { data_type, shape, bytes, offset, order: None };
        let (columns, block) = (tensor.columns(), data_type.block());
        if columns % block != 0 {
            return Err(Error::new(format!("a row of {columns} elements is not a whole number of {} blocks of {block}", data_type.name())));
        }
        let end = (columns / block)
            .checked_mul(data_type.block_bytes())
            .and_then(|row| row.checked_mul(tensor.rows()))
            .and_then(|size| size.checked_add(offset));
        let held = tensor.bytes.as_ref().as_ref().len();
        match end {
            Some(end) if end <= held => Ok(tensor),
            _ => Err(Error::new(format!(
                "shape {:?} of {} from byte {offset} on needs more than the {held} bytes that there are",
                tensor.shape,
                data_type.name()
            ))
            .remedy("the file is truncated or damaged: fetch it again")),
        }
    }

    /// A tensor in memory; `values` are `shape`'s elements, row by row.
    ///
    /// # Errors
    /// As [`Tensor::new`]: too few values for the shape.
    pub fn from_f32(shape: Vec<usize>, values: Vec<f32>) -> Result<Tensor> {
        Tensor::new(DataType::F32, shape, Arc::new(Floats(values)), 0)
    }

    /// As [`Tensor::from_f32`], of half floats.
    ///
    /// # Errors
    /// As [`Tensor::new`]: too few values for the shape.
    pub fn from_f16(shape: Vec<usize>, values: Vec<f16>) -> Result<Tensor> {
        Tensor::new(DataType::F16, shape, Arc::new(Floats(values)), 0)
    }

    /// Number of rows; 1 for a vector.
    pub fn rows(&self) -> usize {
        if self.shape.len() > 1 { self.shape[0] } else { 1 }
    }

    /// Elements of a row.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(0)
    }

    /// Elements in all.
    pub fn elements(&self) -> usize {
        self.rows() * self.columns()
    }

    /// Bytes of one stored row.
    pub fn stored_row_bytes(&self) -> usize {
        self.data_type.row_bytes(self.columns())
    }

    /// Bytes of all rows as stored.
    pub fn stored_bytes(&self) -> usize {
        self.rows() * self.stored_row_bytes()
    }

    /// All rows as stored, when they lie one after the other in their order.
    pub fn contiguous(&self) -> Option<&[u8]> {
        match self.order {
            None => self.all().get(self.offset..self.offset + self.stored_bytes()),
            Some(_) => None,
        }
    }

    /// Whether both have the same elements.
    pub fn equals(&self, other: &Tensor) -> bool {
        if self.shape != other.shape {
            return false;
        }
        if self.data_type == other.data_type {
            return (0..self.rows()).all(|row| self.row_bytes(row) == other.row_bytes(row));
        }
        let mut rows = [vec![0.0; self.columns()], vec![0.0; self.columns()]];
        (0..self.rows()).all(|row| {
            let [one, two] = &mut rows;
            self.read_rows(row..row + 1, one);
            other.read_rows(row..row + 1, two);
            one == two
        })
    }

    /// The stored bytes of one row: for a reader that keeps the blocks packed. Empty for a row that there isn't.
    pub fn row_bytes(&self, row: usize) -> &[u8] {
        if row >= self.rows() {
            return &[];
        }
        let stored = self.order.as_ref().map_or(row, |order| order[row] as usize);
        let width = self.stored_row_bytes();
        let start = self.offset + stored * width;
        self.all().get(start..start + width).unwrap_or(&[])
    }

    /// The groups of elements of one row that share a scale, for a reader that keeps them packed: `each` gets their codes, the scale, and the
    /// minimum of types that have one. An element is `scale * code + minimum`. Nothing is called for floats.
    pub fn each_group(&self, row: usize, each: impl FnMut(&[i8], f32, Option<f32>)) {
        blocks::each_group(self.data_type, self.row_bytes(row), each);
    }

    /// Rows as f32, dequantised: `out` is `[rows.len(), columns]`. What lies beyond the last row is zero, so that a tile may stick out.
    pub fn read_rows(&self, rows: Range<usize>, out: &mut [f32]) {
        let columns = self.columns().max(1);
        let mut outs = out.chunks_mut(columns);
        for (row, out) in rows.zip(&mut outs) {
            let bytes = self.row_bytes(row);
            if bytes.is_empty() || out.len() < columns {
                out.fill(0.0);
            } else {
                blocks::dequantise(self.data_type, bytes, out);
            }
        }
        outs.for_each(|rest| rest.fill(0.0));
    }

    /// Rows as half floats, rounded to nearest: `out` is `[rows.len(), columns]`. What lies beyond the last row is zero.
    pub fn read_rows_f16(&self, rows: Range<usize>, out: &mut [f16]) {
        let columns = self.columns().max(1);
        let mut wide = vec![0.0; if self.data_type == DataType::F16 { 0 } else { columns }];
        let mut outs = out.chunks_mut(columns);
        for (row, out) in rows.zip(&mut outs) {
            let bytes = self.row_bytes(row);
            if bytes.is_empty() || out.len() < columns {
                out.fill(f16::ZERO);
            } else if self.data_type == DataType::F16 {
                blocks::copy_f16(bytes, out);
            } else {
                blocks::dequantise(self.data_type, bytes, &mut wide);
                out.convert_from_f32_slice(&wide);
            }
        }
        outs.for_each(|rest| rest.fill(f16::ZERO));
    }

    /// Everything as f32: for vectors, tests and small matrices.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.elements()];
        self.read_rows(0..self.rows(), &mut out);
        out
    }

    /// The same bytes with rows in another order, or only some of them: row `r` is this tensor's row `order[r]`.
    ///
    /// # Errors
    /// A row that there isn't, or a vector.
    pub fn reordered(&self, order: &[u32]) -> Result<Tensor> {
        if self.shape.len() != 2 || order.iter().any(|&row| row as usize >= self.rows()) {
            return Err(Error::new(format!("shape {:?} has not all the rows that are to be reordered", self.shape)));
        }
        let order: Arc<[u32]> = match &self.order {
            None => order.into(),
            Some(earlier) => order.iter().map(|&row| earlier[row as usize]).collect(),
        };
        Ok(Tensor { shape: vec![order.len(), self.columns()], order: Some(order), ..self.clone() })
    }

    /// Some rows of a matrix that follow each other.
    ///
    /// # Errors
    /// Rows that there aren't, or a vector.
    pub fn rows_of(&self, rows: Range<usize>) -> Result<Tensor> {
        if self.shape.len() != 2 || rows.start > rows.end || rows.end > self.rows() {
            return Err(Error::new(format!("shape {:?} has no rows {} to {}", self.shape, rows.start, rows.end)));
        }
        let shape = vec![rows.len(), self.columns()];
        Ok(match &self.order {
            None => Tensor { shape, offset: self.offset + rows.start * self.stored_row_bytes(), ..self.clone() },
            Some(order) => Tensor { shape, order: Some(order[rows].into()), ..self.clone() },
        })
    }

    /// Some rows of a matrix, or some elements of a vector, that follow each other.
    ///
    /// # Errors
    /// As [`Tensor::rows_of`].
    pub(crate) fn part(&self, rows: Range<usize>) -> Result<Tensor> {
        if self.shape.len() != 1 {
            return self.rows_of(rows);
        }
        let offset = self.offset + rows.start * self.data_type.block_bytes();
        Tensor::new(self.data_type, vec![rows.len()], self.bytes.clone(), offset)
    }

    fn all(&self) -> &[u8] {
        self.bytes.as_ref().as_ref()
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}{}", self.data_type.name(), self.shape, if self.order.is_some() { " reordered" } else { "" })
    }
}

/// Numbers seen as bytes. Every target of wgpu is little-endian, as all the files are.
struct Floats<T>(Vec<T>);

impl<T: bytemuck::Pod> AsRef<[u8]> for Floats<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_type() {
        for (index, entry) in DATA_TYPES.iter().enumerate() {
            assert_eq!(entry.data_type as usize, index, "{}", entry.name);
            assert_eq!(DataType::from_ggml(entry.ggml), Some(entry.data_type));
        }
    }

    #[test]
    fn rows_are_reordered_sliced_and_padded() {
        let tensor = Tensor::from_f32(vec![4, 2], (0..8u8).map(f32::from).collect()).unwrap();
        let swapped = tensor.reordered(&[3, 2, 1, 0]).unwrap().rows_of(1..3).unwrap();
        assert_eq!(swapped.to_f32(), [4.0, 5.0, 2.0, 3.0]);
        assert_eq!(tensor.rows_of(2..4).unwrap().to_f32(), [4.0, 5.0, 6.0, 7.0]);
        assert!(tensor.contiguous().is_some() && swapped.contiguous().is_none());
        let mut out = [9.0; 6];
        tensor.read_rows(3..5, &mut out);
        assert_eq!(out, [6.0, 7.0, 0.0, 0.0, 0.0, 0.0], "rows and room beyond the tensor are zero");
        let mut halves = [f16::ONE; 4];
        swapped.read_rows_f16(0..2, &mut halves);
        assert_eq!(halves.map(f32::from), [4.0, 5.0, 2.0, 3.0]);
        assert!(tensor.row_bytes(4).is_empty());
    }

    #[test]
    fn a_tensor_that_does_not_fit_is_refused() {
        let bytes: Bytes = Arc::new(vec![0u8; 34]);
        let open = |shape: &[usize], offset| Tensor::new(DataType::Q8_0, shape.to_vec(), bytes.clone(), offset);
        assert!(open(&[1, 32], 0).is_ok());
        for (shape, offset, words) in [
            (&[2, 32][..], 0, "more than the 34 bytes"),
            (&[1, 32], 1, "more than the 34 bytes"),
            (&[1, 33], 0, "whole number of Q8_0 blocks"),
            (&[usize::MAX, 1 << 40], 0, "more than the 34 bytes"),
            (&[1, 32], usize::MAX, "more than the 34 bytes"),
            (&[1, 1, 32], 0, "a matrix or a vector"),
        ] {
            let error = open(shape, offset).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
