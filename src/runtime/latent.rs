//! Latent attention's weights, taken apart: queries into what is rotated and what isn't, the expansion of the latent into a matrix a head for
//! queries and one for outputs.

use super::network::HeadMatrix;
use crate::error::Result;
use crate::gpu::{Gpu, Purpose};
use crate::model::{Attention, DataType, Latent, Tensor};
use half::f16;

/// Where element `element` of a rotated head of `width` stands in a file, whose pairs may be side by side.
fn stored(element: usize, width: usize, latent: Latent) -> usize {
    match latent.interleaved {
        true => element % (width / 2) * 2 + element / (width / 2),
        false => element,
    }
}

/// The rows of `kv_a_proj_with_mqa` `[sem + geo, d_model]` with the rotary pairs in our order.
pub(super) fn rotated_key(tensor: &Tensor, attention: &Attention, latent: Latent) -> Result<Tensor> {
    let (sem, geo) = (attention.sem, attention.geo);
    let order: Vec<u32> = (0..sem).chain((0..geo).map(|element| sem + stored(element, geo, latent))).map(|row| row as u32).collect();
    tensor.reordered(&order)
}

/// Of the queries' rows `[heads * (plain + geo), ...]` those that are not rotated, `[heads * plain, ...]`, and those that are, `[heads * geo, ...]`.
pub(super) fn query_parts(tensor: &Tensor, attention: &Attention, latent: Latent) -> Result<[Tensor; 2]> {
    let (plain, geo) = (latent.plain, attention.geo);
    let of_heads = |count: usize, place: &dyn Fn(usize) -> usize| -> Vec<u32> {
        let rows = (0..attention.heads).flat_map(|head| (0..count).map(move |row| (head, row)));
        rows.map(|(head, row)| (head * (plain + geo) + place(row)) as u32).collect()
    };
    let unrotated = tensor.reordered(&of_heads(plain, &|row| row))?;
    let rotated = tensor.reordered(&of_heads(geo, &|row| plain + stored(row, geo, latent)))?;
    Ok([unrotated, rotated])
}

/// From `kv_b_proj` `[heads * (plain + value), sem]`: what takes a query to the latent, `[heads, sem, plain]`, and what takes attention's sum of
/// latents to an output, `[heads, value, sem]`.
pub(super) fn head_matrices(gpu: &Gpu, tensor: &Tensor, attention: &Attention, latent: Latent) -> Result<[HeadMatrix; 2]> {
    let (sem, plain, value) = (attention.sem, latent.plain, latent.value);
    let all = tensor.to_f32();
    let element =
        |head: usize, row: usize, column: usize| all.get((head * (plain + value) + row) * sem + column).copied().unwrap_or_default();
    let half = tensor.data_type != DataType::F32;
    let make = |inputs: usize, outputs: usize, at: &dyn Fn(usize, usize, usize) -> f32| -> Result<HeadMatrix> {
        let padded = inputs.next_multiple_of(2);
        let mut values = vec![0.0f32; attention.heads * outputs * padded];
        for (index, row) in values.chunks_exact_mut(padded).enumerate() {
            for (input, to) in row.iter_mut().take(inputs).enumerate() {
                *to = at(index / outputs, index % outputs, input);
            }
        }
        let label = "a matrix a head of latent attention";
        let buffer = if half {
            gpu.buffer_of(label, &values.iter().map(|&value| f16::from_f32(value)).collect::<Vec<_>>(), Purpose::Weights)?
        } else {
            gpu.buffer_of(label, &values, Purpose::Weights)?
        };
        Ok(HeadMatrix { buffer, half, inputs, outputs })
    };
    let absorb = make(plain, sem, &|head, output, input| element(head, input, output))?;
    let expand = make(sem, value, &|head, output, input| element(head, plain + output, input))?;
    Ok([absorb, expand])
}
