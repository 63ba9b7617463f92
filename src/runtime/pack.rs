//! Rows of a file in their device format (`shaders/weights.wgsl`): blocks that are repacked as they are, and floats that are quantised.

use super::weights::{BLOCK, Format};
use crate::model::Tensor;
use half::f16;
use std::ops::Range;

/// The tensor that row `row` of the stack is in, and which of its rows it is.
pub fn locate<'a>(tensors: &[&'a Tensor], mut row: usize) -> (&'a Tensor, usize) {
    for tensor in tensors {
        if row < tensor.rows() {
            return (tensor, row);
        }
        row -= tensor.rows();
    }
    (tensors[tensors.len() - 1], usize::MAX)
}

/// Some rows of the stack, their units in turn; what is not there is zero.
pub fn rows(tensors: &[&Tensor], rows: Range<usize>, interleave: usize, format: Format, codes: &mut [u8], scales: &mut [u8]) {
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
        _ if format == Format::stored(tensor.data_type) => repack(tensor, row, format, codes, scales),
        Format::Q4 | Format::Q4Group16 => quantise_to_4(tensor, row, codes, scales),
        Format::Q8 | Format::Q8Group16 | Format::Q8Minimum => quantise_to_8(tensor, row, codes, scales),
    }
}

/// Stored blocks, whose rows are whole blocks, in the format that holds them as they are.
fn repack(tensor: &Tensor, row: usize, format: Format, codes: &mut [u8], scales: &mut [u8]) {
    let bits = format.bits();
    let (mut columns, mut group) = (0, 0);
    // The last word may hold one scale of two.
    scales.fill(0);
    tensor.each_group(row, |stored, scale, minimum| {
        let scale = f16::from_f32(scale);
        let (offset, minimum) = match minimum {
            Some(minimum) => (0, f16::from_f32(minimum)),
            // Where there is a minimum codes have no sign: scale * (code - 8), and eight times a half float is exact.
            None if format.has_minimum() => (8, f16::from_f32(-8.0 * scale.to_f32())),
            None => (0, f16::ZERO),
        };
        let bytes = &mut codes[columns * bits / 8..(columns + stored.len()) * bits / 8];
        match bits {
            4 => pack_nibbles(bytes, |column| (stored[column] + offset) as u8),
            _ => bytes.copy_from_slice(bytemuck::cast_slice(stored)),
        }
        if format.has_minimum() {
            scales[group * 4..group * 4 + 2].copy_from_slice(&scale.to_le_bytes());
            scales[group * 4 + 2..group * 4 + 4].copy_from_slice(&minimum.to_le_bytes());
        } else {
            scales[group * 2..group * 2 + 2].copy_from_slice(&scale.to_le_bytes());
        }
        columns += stored.len();
        group += 1;
    });
}

/// A row as [`Format::Q8`]: the largest of a block becomes 127.
fn quantise_to_8(tensor: &Tensor, row: usize, codes: &mut [u8], scales: &mut [u8]) {
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

/// A row as [`Format::Q4`]: a block's codes go from its least to its largest element.
fn quantise_to_4(tensor: &Tensor, row: usize, codes: &mut [u8], scales: &mut [u8]) {
    for_blocks(tensor, row, |block, values| {
        let low = values.iter().fold(f32::MAX, |low, &value| low.min(value));
        let high = values.iter().fold(f32::MIN, |high, &value| high.max(value));
        let (scale, minimum) = if (block + 1) * BLOCK <= tensor.columns() {
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

/// The bytes of a group: word `w` holds columns `8 w` on, four in the low nibbles and four in the high ones.
fn pack_nibbles(bytes: &mut [u8], code: impl Fn(usize) -> u8) {
    for (index, byte) in bytes.iter_mut().enumerate() {
        let column = index / 4 * 8 + index % 4;
        *byte = code(column) | code(column + 4) << 4;
    }
}

/// The blocks of a row as f32, the last one padded with zeros.
fn for_blocks(tensor: &Tensor, row: usize, mut each: impl FnMut(usize, &[f32; BLOCK])) {
    let columns = tensor.columns();
    let mut values = vec![0.0f32; columns.next_multiple_of(BLOCK)];
    tensor.read_rows(row..row + 1, &mut values[..columns]);
    for (block, values) in values.as_chunks::<BLOCK>().0.iter().enumerate() {
        each(block, values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tensor::DATA_TYPES;
    use safetensors::SafeTensors;
    use std::sync::Arc;

    /// A row as `shaders/weights.wgsl` describes it: scale and minimum of every column, and its value.
    fn unpack(format: Format, codes: &[u8], scales: &[u8], column: usize) -> (f32, f32, f32) {
        let half = |at: usize| f16::from_le_bytes([scales[at], scales[at + 1]]).to_f32();
        let group = column / format.parameters()["group"].as_u64().unwrap() as usize;
        let code = match format.bits() {
            8 => f32::from(codes[column] as i8),
            _ => f32::from(codes[column / 8 * 4 + column % 4] >> (column / 4 % 2 * 4) & 15),
        };
        let (scale, minimum) = if format.has_minimum() { (half(group * 4), half(group * 4 + 2)) } else { (half(group * 2), 0.0) };
        (scale, minimum, scale * code + minimum)
    }

    #[test]
    fn stored_blocks_lose_nothing_but_bits_of_their_scales() {
        let fixture: &'static [u8] = include_bytes!("../../tests/fixtures/quants.safetensors");
        let fixture = SafeTensors::deserialize(fixture).unwrap();
        for entry in DATA_TYPES.iter().filter(|entry| entry.block > 1) {
            let stored = fixture.tensor(entry.name).unwrap();
            let shape = fixture.tensor(&format!("{}.f32", entry.name)).unwrap().shape().to_vec();
            let tensor = Tensor::new(entry.data_type, shape, Arc::new(stored.data().to_vec()), 0).unwrap();
            let (format, columns) = (Format::stored(entry.data_type), tensor.columns());
            assert!(format.bits() < 16, "{} stays packed", entry.name);
            let (mut codes, mut scales) = (vec![0x55; format.code_bytes(columns)], vec![0x55; format.scale_bytes(columns)]);
            for row in 0..tensor.rows() {
                let mut expected = vec![0.0; columns];
                tensor.read_rows(row..row + 1, &mut expected);
                pack(&tensor, row, format, &mut codes, &mut scales);
                for (column, expected) in expected.into_iter().enumerate() {
                    let (scale, minimum, found) = unpack(format, &codes, &scales, column);
                    // Half a unit in the last place of an f16, of scale * code and of the minimum; types of 32 elements have f16 scales already.
                    let is_rounded = entry.block > 32;
                    let most = ((expected - minimum).abs() + minimum.abs()) / 2048.0 + scale.abs() / 256.0 * 2f32.powi(-11);
                    let most = if is_rounded { most } else { 1e-6 * (expected.abs() + minimum.abs()) };
                    assert!((found - expected).abs() <= most, "{} [{row}, {column}]: {found}, expected {expected}", entry.name);
                }
            }
        }
    }
}
