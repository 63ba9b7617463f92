//! The rows of differential attention's projections as the kernels of attention take them: a pair of key heads is one head twice as wide, and each
//! query head is zero in the half of the key that the other one of its pair meets.

use crate::error::Result;
use crate::model::{Attention, DataType, Tensor};
use half::f16;

/// The projection `name` with its rows in pairs; `None`: it is taken as it is. In a file query head `p` is paired with the one half of the heads
/// further on, and so are key and value heads (`modeling_diffllama.py` of `transformers`).
///
/// # Errors
/// A tensor that is not as large as the layer says: readers check that before.
pub(super) fn paired(name: &str, tensor: &Tensor, attention: &Attention) -> Result<Option<Tensor>> {
    let kv_heads = attention.kv_heads;
    let (width, value) = (attention.geo / 2, attention.value / 2);
    let made = if name.ends_with("q_proj.weight") {
        queries(tensor, attention)?
    } else if name.ends_with("k_proj.weight") {
        let row = |head: usize, element: usize| {
            let (side, place) = place(element, width);
            (head + side * kv_heads) * width + place
        };
        tensor.reordered(&rows(kv_heads, 2 * width, row))?
    } else if name.ends_with("v_proj.weight") {
        tensor.reordered(&rows(kv_heads, 2 * value, |head, element| (head + element / value * kv_heads) * value + element % value))?
    } else {
        return Ok(None);
    };
    Ok(Some(made))
}

fn rows(heads: usize, width: usize, row: impl Fn(usize, usize) -> usize) -> Vec<u32> {
    (0..heads * width).map(|index| row(index / width, index % width) as u32).collect()
}

/// Which of the two heads an element of a pair's key is of, and which element of that: rotary pairs are half of the whole apart, so the lower halves of
/// both heads come first.
fn place(element: usize, width: usize) -> (usize, usize) {
    let (half, upper, rest) = (width / 2, element / width, element % width);
    if width.is_multiple_of(2) { (rest / half, upper * half + rest % half) } else { (upper, rest) }
}

/// Query heads `[heads, geo]`, those of a pair one after the other.
fn queries(tensor: &Tensor, attention: &Attention) -> Result<Tensor> {
    let (heads, width, columns) = (attention.heads, attention.geo / 2, tensor.columns());
    let stored = tensor.to_f32();
    let mut values = vec![0.0f32; heads * attention.geo * columns];
    for (index, row) in values.chunks_exact_mut(columns).enumerate() {
        let (head, element) = (index / attention.geo, index % attention.geo);
        let (pair, own_side) = (head / 2, head % 2);
        let (side, place) = place(element, width);
        if side == own_side {
            let from = ((pair + side * heads / 2) * width + place) * columns;
            if let Some(from) = stored.get(from..from + columns) {
                row.copy_from_slice(from);
            }
        }
    }
    let shape = vec![heads * attention.geo, columns];
    match tensor.data_type {
        DataType::F32 => Tensor::from_f32(shape, values),
        _ => Tensor::from_f16(shape, values.into_iter().map(f16::from_f32).collect()),
    }
}
