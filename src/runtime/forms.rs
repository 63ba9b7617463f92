//! Which form of each kernel a device gets.

use super::linear::{Form, Shape};
use super::weights::Format;
use crate::gpu::Gpu;

/// What a product is like, as far as the choice of its form goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Job {
    pub format: Format,
    /// Two matrices at once (SwiGLU).
    pub dual: bool,
    /// Token rows of a typical call.
    pub rows: usize,
}

/// The forms that are worth trying for a job on this device, the likeliest first.
pub fn candidates(gpu: &Gpu, job: Job) -> Vec<Form> {
    let lanes = |tokens, lane_rows, workgroup| Form { shape: Shape::Lanes, tokens, lane_rows, workgroup };
    let shared = |tokens, lane_rows, workgroup| Form { shape: Shape::Shared, tokens, lane_rows, workgroup };
    let tokens = job.rows.next_power_of_two().min(8) as u32;
    if gpu.summary().software {
        // Without subgroups every lane loads all activations: a larger tile only takes longer to compile.
        if gpu.subgroup_size().is_none() {
            return vec![lanes(tokens.min(4), 2, 16)];
        }
        // A load costs a gather whatever its address: lanes own rows, and what is loaded serves many products.
        return match (tokens, job.dual, job.format) {
            (1, false, Format::Q4) => vec![lanes(1, 4, 16), lanes(1, 2, 16)],
            (1, false, _) => vec![lanes(1, 2, 16), lanes(1, 4, 16), lanes(1, 1, 16)],
            (1, true, _) => vec![lanes(1, 1, 16), lanes(1, 2, 16)],
            (2 | 4, false, _) => vec![lanes(tokens, 4, 16), lanes(tokens, 2, 16)],
            (2 | 4, true, _) => vec![lanes(tokens, 2, 16), lanes(tokens, 1, 16)],
            (_, false, _) => vec![lanes(8, 4, 16), lanes(16, 4, 16), lanes(8, 2, 16)],
            (_, true, _) => vec![lanes(8, 2, 16), lanes(16, 2, 16)],
        };
    }
    let subgroup = gpu.subgroup_size().unwrap_or(64).max(32);
    match tokens {
        1 => vec![shared(1, 2, 2 * subgroup), shared(1, 1, 4 * subgroup), shared(1, 4, subgroup)],
        2 | 4 => vec![shared(tokens, 2, 2 * subgroup), shared(tokens, 1, 2 * subgroup)],
        _ => vec![shared(8, 2, 2 * subgroup), lanes(8, 2, 64)],
    }
}

/// The form for a job, by what is known of the device without measuring.
pub fn likely(gpu: &Gpu, job: Job) -> Form {
    candidates(gpu, job)[0]
}
