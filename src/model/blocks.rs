//! Stored blocks: their codes, scales and minima; and stored elements as f32.
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
        _ => {
            let mut rest = out;
            each_group(data_type, bytes, |codes, scale, minimum| {
                let Some((group, later)) = std::mem::take(&mut rest).split_at_mut_checked(codes.len()) else { return };
                rest = later;
                let minimum = minimum.unwrap_or(0.0);
                group.iter_mut().zip(codes).for_each(|(y, &q)| *y = scale * f32::from(q) + minimum);
            });
        }
    }
}

/// Calls `each` for every group of elements (16 or 32) that share a scale: with their codes, the scale, and the minimum of types that have
/// one. An element is `scale * code + minimum`; without a minimum codes are signed, with one they are not. Nothing is called for floats.
pub(crate) fn each_group(data_type: DataType, bytes: &[u8], mut each: impl FnMut(&[i8], f32, Option<f32>)) {
    let each = &mut each;
    match data_type {
        DataType::F32 | DataType::F16 | DataType::BF16 => {}
        DataType::Q8_0 => blocks(bytes).for_each(|block| q8_0(block, each)),
        DataType::Q4_0 => blocks(bytes).for_each(|block| q4_0(block, each)),
        DataType::Q4_1 => blocks(bytes).for_each(|block| q4_1(block, each)),
        DataType::Q5_0 => blocks(bytes).for_each(|block| q5_0(block, each)),
        DataType::Q5_1 => blocks(bytes).for_each(|block| q5_1(block, each)),
        DataType::Q2K => blocks(bytes).for_each(|block| q2_k(block, each)),
        DataType::Q3K => blocks(bytes).for_each(|block| q3_k(block, each)),
        DataType::Q4K => blocks(bytes).for_each(|block| q4_k(block, each)),
        DataType::Q5K => blocks(bytes).for_each(|block| q5_k(block, each)),
        DataType::Q6K => blocks(bytes).for_each(|block| q6_k(block, each)),
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

fn blocks<const BYTES: usize>(bytes: &[u8]) -> impl Iterator<Item = &[u8; BYTES]> {
    bytes.as_chunks().0.iter()
}

/// The half float at `at`.
fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// `[d, q x 32]`: `y = d q`
fn q8_0(block: &[u8; 34], each: &mut impl FnMut(&[i8], f32, Option<f32>)) {
    each(bytemuck::cast_slice(&block[2..]), half_at(block, 0), None);
}

/// `[d, q x 16]`, element `i` in the low half of byte `i`, element `16 + i` in the high half: `y = d (q - 8)`
fn q4_0(block: &[u8; 18], each: &mut impl FnMut(&[i8], f32, Option<f32>)) {
    let mut codes = [0; 32];
    for i in 0..16 {
        let byte = block[2 + i];
        codes[i] = (byte & 15) as i8 - 8;
        codes[16 + i] = (byte >> 4) as i8 - 8;
    }
    each(&codes, half_at(block, 0), None);
}

/// `[d, m, q x 16]`: `y = d q + m`
fn q4_1(block: &[u8; 20], each: &mut impl FnMut(&[i8], f32, Option<f32>)) {
    let mut codes = [0; 32];
    for i in 0..16 {
        let byte = block[4 + i];
        codes[i] = (byte & 15) as i8;
        codes[16 + i] = (byte >> 4) as i8;
    }
    each(&codes, half_at(block, 0), Some(half_at(block, 2)));
}

/// `[d, fifth bits (u32), q x 16]`: `y = d (q - 16)`
fn q5_0(block: &[u8; 22], each: &mut impl FnMut(&[i8], f32, Option<f32>)) {
    let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    let mut codes = [0; 32];
    for i in 0..16 {
        let byte = block[6 + i];
        codes[i] = ((byte & 15) | fifth(high, i)) as i8 - 16;
        codes[16 + i] = ((byte >> 4) | fifth(high, 16 + i)) as i8 - 16;
    }
    each(&codes, half_at(block, 0), None);
}

/// `[d, m, fifth bits (u32), q x 16]`: `y = d q + m`
fn q5_1(block: &[u8; 24], each: &mut impl FnMut(&[i8], f32, Option<f32>)) {
    let high = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    let mut codes = [0; 32];
    for i in 0..16 {
        let byte = block[8 + i];
        codes[i] = ((byte & 15) | fifth(high, i)) as i8;
        codes[16 + i] = ((byte >> 4) | fifth(high, 16 + i)) as i8;
    }
    each(&codes, half_at(block, 0), Some(half_at(block, 2)));
}

/// Bit `i` of `high`, as the fifth bit of a code.
fn fifth(high: u32, i: usize) -> u8 {
    ((high >> i & 1) as u8) << 4
}

/// `[scales x 16, q x 64, d, dmin]`: 16 groups of 16, each `y = d (scale & 15) q - dmin (scale >> 4)`
fn q2_k(block: &[u8; 84], each: &mut impl FnMut(&[i8], f32, Option<f32>)) {
    let (d, dmin) = (half_at(block, 80), half_at(block, 82));
    for group in 0..16 {
        let (half, shift, side) = (group / 8, group % 8 / 2 * 2, group % 2);
        let codes: [i8; 16] = std::array::from_fn(|i| (block[16 + 32 * half + 16 * side + i] >> shift & 3) as i8);
        each(&codes, d * f32::from(block[group] & 15), Some(-dmin * f32::from(block[group] >> 4)));
    }
}

/// `[third bits x 32, q x 64, scales of 6 bits x 12, d]`: 16 groups of 16, each `y = d (scale - 32) (q - 4)`
fn q3_k(block: &[u8; 110], each: &mut impl FnMut(&[i8], f32, Option<f32>)) {
    let d = half_at(block, 108);
    let packed = &block[96..108];
    for group in 0..16 {
        let low = if group < 8 { packed[group] & 15 } else { packed[group - 8] >> 4 };
        let high = packed[8 + group % 4] >> (2 * (group / 4)) & 3;
        let (half, plane, side) = (group / 8, group % 8 / 2, group % 2);
        let codes: [i8; 16] = std::array::from_fn(|i| {
            let q = (block[32 + 32 * half + 16 * side + i] >> (2 * plane) & 3) as i8;
            let third = block[16 * side + i] >> (4 * half + plane) & 1;
            q - if third == 1 { 0 } else { 4 }
        });
        each(&codes, d * f32::from((low | high << 4) as i8 - 32), None);
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
fn q4_k(block: &[u8; 144], each: &mut impl FnMut(&[i8], f32, Option<f32>)) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    for group in 0..8 {
        let (scale, min) = scale_and_min(&block[4..16], group);
        let (bytes, shift) = (&block[16 + group / 2 * 32..][..32], group % 2 * 4);
        let codes: [i8; 32] = std::array::from_fn(|i| (bytes[i] >> shift & 15) as i8);
        each(&codes, d * scale, Some(-dmin * min));
    }
}

/// `[d, dmin, scales and minima x 12, fifth bits x 32, q x 128]`: 8 groups of 32, each `y = d scale q - dmin min`
fn q5_k(block: &[u8; 176], each: &mut impl FnMut(&[i8], f32, Option<f32>)) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    for group in 0..8 {
        let (scale, min) = scale_and_min(&block[4..16], group);
        let (bytes, shift) = (&block[48 + group / 2 * 32..][..32], group % 2 * 4);
        let codes: [i8; 32] = std::array::from_fn(|i| (bytes[i] >> shift & 15 | (block[16 + i] >> group & 1) << 4) as i8);
        each(&codes, d * scale, Some(-dmin * min));
    }
}

/// `[low 4 bits x 128, high 2 bits x 64, scales (i8) x 16, d]`: 16 groups of 16, each `y = d scale (q - 32)`
fn q6_k(block: &[u8; 210], each: &mut impl FnMut(&[i8], f32, Option<f32>)) {
    let d = half_at(block, 208);
    for group in 0..16 {
        let (half, quarter, side) = (group / 8, group % 8 / 2, group % 2);
        let (lows, highs) = (&block[64 * half + 32 * (quarter % 2) + 16 * side..][..16], &block[128 + 32 * half + 16 * side..][..16]);
        let codes: [i8; 16] = std::array::from_fn(|i| {
            let (low, high) = (lows[i] >> (quarter / 2 * 4) & 15, highs[i] >> (2 * quarter) & 3);
            (low | high << 4) as i8 - 32
        });
        each(&codes, d * f32::from(block[192 + group] as i8), None);
    }
}
