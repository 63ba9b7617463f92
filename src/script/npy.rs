//! Arrays of NumPy (`.npy`), of floats too: read as numbers and matrices, and written.
//!
//! Format: `numpy/lib/format.py`. Headers are read by hand, since a general reader of Python's literals can be kept busy for hours by a short one.

use super::matrix::Matrix;
use super::numbers::Numbers;
use super::token_file::{header, unequal_order};
use crate::error::{Error, Result};
use crate::linear_algebra;
use half::f16;
use rhai::{Dynamic, INT};

/// `data` behind the header of an array of this type and shape.
fn file(descriptor: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let sizes = if shape.len() == 1 { sizes.trim_end().to_owned() } else { sizes.trim_end_matches(", ").to_owned() };
    let mut text = format!("{{'descr': '{descriptor}', 'fortran_order': False, 'shape': ({sizes}), }}");
    // The data begins at a multiple of 64 bytes.
    while !(10 + text.len() + 1).is_multiple_of(64) {
        text.push(' ');
    }
    text.push('\n');
    [b"\x93NUMPY\x01\x00", (text.len() as u16).to_le_bytes().as_slice(), text.as_bytes(), data].concat()
}

pub(super) fn integers(values: impl Iterator<Item = INT>, len: usize) -> Vec<u8> {
    file("<i8", &[len], &values.flat_map(INT::to_le_bytes).collect::<Vec<u8>>())
}

pub(super) fn singles(values: &[f32]) -> Vec<u8> {
    file("<f4", &[values.len()], &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

pub(super) fn doubles(values: &[f64], shape: &[usize]) -> Vec<u8> {
    file("<f8", shape, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

/// Numbers of one dimension, a matrix of two.
///
/// # Errors
/// Another kind of file or of array.
pub(super) fn read(bytes: &[u8]) -> Result<Dynamic> {
    let header = header(bytes)?;
    let (order, code) = header.descriptor.split_at_checked(1).unwrap_or(("", ""));
    let (size, value): (usize, fn(&[u8]) -> f64) = match code {
        "f2" => (2, |bytes| f64::from(f16::from_le_bytes([bytes[0], bytes[1]]))),
        "f4" => (4, |bytes| f64::from(f32::from_le_bytes(all(bytes)))),
        "f8" => (8, |bytes| f64::from_le_bytes(all(bytes))),
        "b1" => (1, |bytes| f64::from(bytes[0] != 0)),
        "u1" => (1, |bytes| f64::from(bytes[0])),
        "i1" => (1, |bytes| f64::from(bytes[0] as i8)),
        "u2" => (2, |bytes| f64::from(u16::from_le_bytes(all(bytes)))),
        "i2" => (2, |bytes| f64::from(i16::from_le_bytes(all(bytes)))),
        "u4" => (4, |bytes| f64::from(u32::from_le_bytes(all(bytes)))),
        "i4" => (4, |bytes| f64::from(i32::from_le_bytes(all(bytes)))),
        "u8" => (8, |bytes| u64::from_le_bytes(all(bytes)) as f64),
        "i8" => (8, |bytes| i64::from_le_bytes(all(bytes)) as f64),
        _ => {
            return Err(Error::new(format!("the array holds {}, expected numbers", header.descriptor))
                .remedy("save it as floats: np.save(path, array.astype(np.float32))"));
        }
    };
    if order == ">" && size > 1 {
        return Err(unequal_order("np.float32"));
    }
    let count = header.shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
    let needed = count.and_then(|count| count.checked_mul(size));
    let held = &bytes[header.offset..];
    let Some(data) = needed.and_then(|needed| held.get(..needed)) else {
        return Err(Error::new("the file is cut off: its array is longer than it is").remedy("copy or make it again"));
    };
    let values: Vec<f64> = data.chunks_exact(size).map(value).collect();
    match header.shape.as_slice() {
        [] | [_] if code == "f4" => Ok(Dynamic::from(Numbers::from(values.iter().map(|&value| value as f32).collect::<Vec<f32>>()))),
        [] | [_] => Ok(Dynamic::from(Numbers::from(values))),
        &[rows, columns] => {
            let at = |row: usize, column: usize| if header.fortran { values[column * rows + row] } else { values[row * columns + column] };
            Ok(Dynamic::from(Matrix::from(linear_algebra::Matrix::from_fn(rows, columns, at)?)))
        }
        more => Err(Error::new(format!("the array has {} dimensions, expected one or two", more.len()))
            .remedy("reshape it before it is saved: np.save(path, array.reshape(array.shape[0], -1))")),
    }
}

fn all<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut all = [0; N];
    all.copy_from_slice(&bytes[..N]);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let numbers = |bytes: Vec<u8>| read(&bytes).unwrap().cast::<Numbers>().to_vec();
        assert_eq!(numbers(doubles(&[1.5, -2.0], &[2])), [1.5, -2.0]);
        assert_eq!(numbers(singles(&[0.1])), [f64::from(0.1f32)]);
        assert_eq!(numbers(integers([3, -4].into_iter(), 2)), [3.0, -4.0]);
        let matrix = read(&doubles(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3])).unwrap().cast::<Matrix>();
        assert_eq!(matrix.0.row(1).unwrap(), [4.0, 5.0, 6.0]);
        // As np.save writes it.
        assert_eq!(doubles(&[], &[0]).len() % 64, 0);
        assert!(
            doubles(&[0.0; 6], &[2, 3])
                .starts_with(b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }")
        );
    }

    #[test]
    fn columns_first_is_read_too_and_the_rest_is_told() {
        let with = |header: &str, data: &[u8]| {
            read(&[b"\x93NUMPY\x01\x00", (header.len() as u16).to_le_bytes().as_slice(), header.as_bytes(), data].concat())
        };
        let data: Vec<u8> = [1u16, 2, 3, 4].iter().flat_map(|value| value.to_le_bytes()).collect();
        let matrix = with("{'descr': '<u2', 'fortran_order': True, 'shape': (2, 2)}", &data).unwrap().cast::<Matrix>();
        assert_eq!(matrix.0.row(0).unwrap(), [1.0, 3.0]);
        let half = with("{'descr': '<f2', 'fortran_order': False, 'shape': (1,)}", &[0x00, 0x3c]).unwrap().cast::<Numbers>();
        assert_eq!(half.to_vec(), [1.0]);
        for (header, expected) in [
            ("{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", "holds <c8, expected numbers"),
            ("{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}", "byte order"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (99,)}", "cut off"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1, 1)}", "3 dimensions"),
            ("[[[[[[", "header"),
        ] {
            let error = with(header, &[0; 8]).unwrap_err().to_string();
            assert!(error.contains(expected), "{header}: {error}");
        }
    }
}
