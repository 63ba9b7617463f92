//! A weight where it lies: bytes in a mapped file, their element type, and the rows that are meant.

use std::ops::Range;
use std::sync::Arc;

/// How the elements of a tensor are stored. Block types are those of GGUF.
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
    /// Number of rows; 1 for a vector.
    pub fn rows(&self) -> usize {
        if self.shape.len() > 1 { self.shape[0] } else { 1 }
    }

    /// Elements of a row.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(0)
    }

    /// The stored bytes of one row: for a reader that keeps the blocks packed.
    pub fn row_bytes(&self, row: usize) -> &[u8] {
        let _ = row;
        unreachable!("written with the readers")
    }

    /// Rows as f32, dequantised: `out` is `[rows.len(), columns]`.
    pub fn read_rows(&self, rows: Range<usize>, out: &mut [f32]) {
        let _ = (rows, out);
        unreachable!("written with the readers")
    }
}
