//! Rows of queries and keys in the order of our rotary pairs.
//!
//! Here, element `i` of a head is paired with `i + width / 2`, and in a head of which only a part is rotated the first pairs turn
//! ([`Rope::rotated`](super::Rope)). Files have other orders: llama.cpp keeps the two elements of a pair side by side (`LlamaModel.permute` of its
//! converter); a partial rotation pairs within its part. The same order for queries and keys leaves every product of both as it is.

use super::architecture::{Attention, QkNorm};
use super::tensor::Tensor;
use crate::error::{At, Result};
use std::collections::BTreeMap;

/// Puts the rows of layer `index`'s queries and keys (and their biases and norms), in a file's order so far, in ours.
///
/// # Errors
/// A tensor that isn't as large as the layer says: readers check that before.
pub(super) fn align(attention: &Attention, index: usize, interleaved: bool, tensors: &mut BTreeMap<String, Tensor>) -> Result<()> {
    let (width, rotated) = (attention.geo, attention.rope.as_ref().and_then(|rope| rope.rotated));
    // What is stored of latent attention is taken apart when it is loaded.
    if attention.decoupled || attention.latent.is_some() || attention.differential.is_some() || (rotated.is_none() && !interleaved) {
        return Ok(());
    }
    let stored = |row: usize| row / width * width + stored(row % width, width, rotated.unwrap_or(width), interleaved);
    // Norms of heads are not permuted by llama.cpp's converter, whose families with norms don't interleave.
    let norms = |heads: usize| match attention.qk_norm {
        _ if interleaved => 0,
        QkNorm::All => heads,
        _ => 1,
    };
    for (part, heads) in [
        ("q_proj.weight", attention.heads),
        ("k_proj.weight", attention.kv_heads),
        ("q_proj.bias", attention.heads),
        ("k_proj.bias", attention.kv_heads),
        ("q_norm.weight", norms(attention.heads)),
        ("k_norm.weight", norms(attention.kv_heads)),
    ] {
        let name = format!("model.layers.{index}.self_attn.{part}");
        let Some(tensor) = tensors.get_mut(&name).filter(|_| heads > 0) else { continue };
        *tensor = reordered(tensor, heads * width, stored).at(format!("tensor {name}"))?;
    }
    Ok(())
}

/// Row `r` of the result is row `stored(r)` of the file.
fn reordered(tensor: &Tensor, rows: usize, stored: impl Fn(usize) -> usize) -> Result<Tensor> {
    if tensor.shape.len() == 2 {
        let order: Vec<u32> = (0..rows).map(|row| stored(row) as u32).collect();
        return tensor.reordered(&order);
    }
    // A vector: short enough to be copied.
    let values = tensor.to_f32();
    Tensor::from_f32(tensor.shape.clone(), (0..rows).map(|row| values.get(stored(row)).copied().unwrap_or_default()).collect())
}

/// Where element `element` of our order stands within a head of a file.
fn stored(element: usize, width: usize, rotated: usize, interleaved: bool) -> usize {
    let (side, pair) = (element / (width / 2), element % (width / 2));
    let turning = rotated / 2;
    match pair < turning {
        true if interleaved => 2 * pair + side,
        true => pair + side * turning,
        // What stands still may stand anywhere.
        false => rotated + side * (width / 2 - turning) + (pair - turning),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_has_its_place() {
        let order =
            |width, rotated, interleaved| (0..width).map(|element| stored(element, width, rotated, interleaved)).collect::<Vec<_>>();
        assert_eq!(order(6, 6, false), [0, 1, 2, 3, 4, 5]);
        assert_eq!(order(6, 6, true), [0, 2, 4, 1, 3, 5]);
        // Pairs (0, 2), (1, 3) turn; 4 to 7 stand still.
        assert_eq!(order(8, 4, false), [0, 1, 4, 5, 2, 3, 6, 7]);
        assert_eq!(order(8, 4, true), [0, 2, 4, 5, 1, 3, 6, 7]);
    }
}
