//! Which form of each kernel a device gets.

use super::linear::{Form, Shape};
use crate::gpu::Gpu;

/// The forms that are worth trying for `rows` token rows at once on this device, the likeliest first.
pub fn candidates(gpu: &Gpu, rows: usize) -> Vec<Form> {
    let lanes = |tokens, lane_rows, workgroup| Form { shape: Shape::Lanes, tokens, lane_rows, workgroup };
    let shared = |tokens, lane_rows, workgroup| Form { shape: Shape::Shared, tokens, lane_rows, workgroup };
    let tokens = rows.next_power_of_two().min(8) as u32;
    if gpu.summary().software {
        // A load costs a gather whatever its address: lanes own rows, and what is loaded serves many products.
        return match tokens {
            1 => vec![lanes(1, 2, 16), lanes(1, 4, 16), lanes(1, 2, 32), lanes(1, 4, 32)],
            2 | 4 => vec![lanes(tokens, 4, 16), lanes(tokens, 2, 16)],
            _ => vec![lanes(8, 4, 16), lanes(16, 4, 16), lanes(8, 2, 32)],
        };
    }
    let subgroup = gpu.subgroup_size().unwrap_or(64).max(32);
    match tokens {
        1 => vec![shared(1, 2, 2 * subgroup), shared(1, 1, 4 * subgroup), shared(1, 4, subgroup)],
        2 | 4 => vec![shared(tokens, 2, 2 * subgroup), shared(tokens, 1, 2 * subgroup)],
        _ => vec![shared(8, 2, 2 * subgroup), lanes(8, 2, 64)],
    }
}

/// The form for a product, by what is known of the device without measuring.
pub fn likely(gpu: &Gpu, rows: usize) -> Form {
    candidates(gpu, rows)[0]
}
