//! Stored elements to f32, block by block.
//!
//! The layouts are ggml's: the structs `block_*` in `ggml-common.h` and the functions `dequantize_row_*` in `ggml-quants.c` (MIT);
//! their twin in the tests is the Python package `gguf` (`gguf.quants`). `d` is a block's scale, `m` its minimum, `q` a code.

use super::tensor::DataType;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// One row, or any whole number of blocks: `out` has as many elements as `bytes` hold.
pub(crate) fn dequantise(data_type: DataType, bytes: &[u8], out: &mut [f32]) {
    match data_type {
        DataType::F32 => f32_row(bytes, out),
        DataType::F16 => f16_row(bytes, out),
        DataType::BF16 => bf16_row(bytes, out),
        DataType::Q8_0 => each_block(bytes, out, q8_0),
        DataType::Q4_0 => each_block(bytes, out, q4_0),
        DataType::Q4_1 => each_block(bytes, out, q4_1),
        DataType::Q5_0 => each_block(bytes, out, q5_0),
        DataType::Q5_1 => each_block(bytes, out, q5_1),
        DataType::Q2K => each_block(bytes, out, q2_k),
        DataType::Q3K => each_block(bytes, out, q3_k),
        DataType::Q4K => each_block(bytes, out, q4_k),
        DataType::Q5K => each_block(bytes, out, q5_k),
        DataType::Q6K => each_block(bytes, out, q6_k),
    }
}

/// Half floats as they are.
pub(crate) fn copy_f16(bytes: &[u8], out: &mut [f16]) {
    let n = bytes.len().min(out.len() * 2);
    bytemuck::cast_slice_mut::<f16, u8>(out)[..n].copy_from_slice(&bytes[..n]);
}

fn f32_row(bytes: &[u8], out: &mut [f32]) {
    let n = bytes.len().min(out.len() * 4);
    bytemuck::cast_slice_mut::<f32, u8>(out)[..n].copy_from_slice(&bytes[..n]);
}

fn f16_row(bytes: &[u8], out: &mut [f32]) {
    // `half` converts slices with the processor's own instructions; a row at an odd address goes one by one.
    match bytemuck::try_cast_slice::<u8, f16>(bytes) {
        Ok(halves) if halves.len() == out.len() => halves.convert_to_f32_slice(out),
        _ => out.iter_mut().zip(bytes.as_chunks().0).for_each(|(y, pair)| *y = f16::from_le_bytes(*pair).to_f32()),
    }
}

fn bf16_row(bytes: &[u8], out: &mut [f32]) {
    out.iter_mut().zip(bytes.as_chunks().0).for_each(|(y, pair)| *y = bf16::from_le_bytes(*pair).to_f32());
}

fn each_block<const BYTES: usize, const N: usize>(bytes: &[u8], out: &mut [f32], block: impl Fn(&[u8; BYTES], &mut [f32; N])) {
    for (bytes, out) in bytes.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
        block(bytes, out);
    }
}

/// The half float at `at`.
fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// `[d, q x 32]`: `y = d q`
fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    for i in 0..32 {
        out[i] = d * f32::from(block[2 + i] as i8);
    }
}

/// `[d, q x 16]`, element `i` in the low half of byte `i`, element `16 + i` in the high half: `y = d (q - 8)`
fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    for i in 0..16 {
        let byte = block[2 + i];
        out[i] = d * f32::from((byte & 15) as i8 - 8);
        out[16 + i] = d * f32::from((byte >> 4) as i8 - 8);
    }
}

/// `[d, m, q x 16]`: `y = d q + m`
fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    for i in 0..16 {
        let byte = block[4 + i];
        out[i] = d * f32::from(byte & 15) + m;
        out[16 + i] = d * f32::from(byte >> 4) + m;
    }
}

/// `[d, fifth bits (u32), q x 16]`: `y = d (q - 16)`
fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    for i in 0..16 {
        let byte = block[6 + i];
        out[i] = d * f32::from(((byte & 15) | fifth(high, i)) as i8 - 16);
        out[16 + i] = d * f32::from(((byte >> 4) | fifth(high, 16 + i)) as i8 - 16);
    }
}

/// `[d, m, fifth bits (u32), q x 16]`: `y = d q + m`
fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let high = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    for i in 0..16 {
        let byte = block[8 + i];
        out[i] = d * f32::from((byte & 15) | fifth(high, i)) + m;
        out[16 + i] = d * f32::from((byte >> 4) | fifth(high, 16 + i)) + m;
    }
}

/// Bit `i` of `high`, as the fifth bit of a code.
fn fifth(high: u32, i: usize) -> u8 {
    ((high >> i & 1) as u8) << 4
}

/// `[scales x 16, q x 64, d, dmin]`: 16 groups of 16, each `y = d (scale & 15) q - dmin (scale >> 4)`
fn q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
    let (d, dmin) = (half_at(block, 80), half_at(block, 82));
    for group in 0..16 {
        let (half, shift, side) = (group / 8, group % 8 / 2 * 2, group % 2);
        let (scale, min) = (d * f32::from(block[group] & 15), dmin * f32::from(block[group] >> 4));
        for i in 0..16 {
            let q = block[16 + 32 * half + 16 * side + i] >> shift & 3;
            out[16 * group + i] = scale * f32::from(q) - min;
        }
    }
}

/// `[third bits x 32, q x 64, scales of 6 bits x 12, d]`: 16 groups of 16, each `y = d (scale - 32) (q - 4)`
fn q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
    let d = half_at(block, 108);
    let packed = &block[96..108];
    for group in 0..16 {
        let low = if group < 8 { packed[group] & 15 } else { packed[group - 8] >> 4 };
        let high = packed[8 + group % 4] >> (2 * (group / 4)) & 3;
        let scale = d * f32::from((low | high << 4) as i8 - 32);
        let (half, plane, side) = (group / 8, group % 8 / 2, group % 2);
        for i in 0..16 {
            let q = (block[32 + 32 * half + 16 * side + i] >> (2 * plane) & 3) as i8;
            let third = block[16 * side + i] >> (4 * half + plane) & 1;
            out[16 * group + i] = scale * f32::from(q - if third == 1 { 0 } else { 4 });
        }
    }
}

/// Scale and minimum number `j` of the eight that are packed, 6 bits each, in 12 bytes.
fn scale_and_min(packed: &[u8], j: usize) -> (f32, f32) {
    let (scale, min) = if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (packed[j + 4] & 15 | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4)
    };
    (f32::from(scale), f32::from(min))
}

/// `[d, dmin, scales and minima x 12, q x 128]`: 8 groups of 32, each `y = d scale q - dmin min`
fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    for group in 0..8 {
        let (scale, min) = scale_and_min(&block[4..16], group);
        let (scale, min) = (d * scale, dmin * min);
        let shift = group % 2 * 4;
        for i in 0..32 {
            let q = block[16 + group / 2 * 32 + i] >> shift & 15;
            out[32 * group + i] = scale * f32::from(q) - min;
        }
    }
}

/// `[d, dmin, scales and minima x 12, fifth bits x 32, q x 128]`: 8 groups of 32, each `y = d scale q - dmin min`
fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    for group in 0..8 {
        let (scale, min) = scale_and_min(&block[4..16], group);
        let (scale, min) = (d * scale, dmin * min);
        let shift = group % 2 * 4;
        for i in 0..32 {
            let q = block[48 + group / 2 * 32 + i] >> shift & 15 | (block[16 + i] >> group & 1) << 4;
            out[32 * group + i] = scale * f32::from(q) - min;
        }
    }
}

/// `[low 4 bits x 128, high 2 bits x 64, scales (i8) x 16, d]`: 16 groups of 16, each `y = d scale (q - 32)`
fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let d = half_at(block, 208);
    for group in 0..16 {
        let scale = d * f32::from(block[192 + group] as i8);
        let (half, quarter, side) = (group / 8, group % 8 / 2, group % 2);
        for i in 0..16 {
            let low = block[64 * half + 32 * (quarter % 2) + 16 * side + i] >> (quarter / 2 * 4) & 15;
            let high = block[128 + 32 * half + 16 * side + i] >> (2 * quarter) & 3;
            out[16 * group + i] = scale * f32::from((low | high << 4) as i8 - 32);
        }
    }
}
