//! Which form of each product a device gets: by a rule, or by what was measured on it (tuning.rs).

use super::linear::{Form, Shape};
use super::weights::Format;
use crate::gpu::{Gpu, Memo};
use serde::{Deserialize, Serialize};

/// Elements of a matrix below which a software driver gets small tiles.
const SMALL: usize = 1 << 14;

/// What a product is like, as far as the choice of its form goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Job {
    pub format: Format,
    /// Two matrices at once (SwiGLU).
    pub dual: bool,
    /// Rows and columns of the matrix.
    pub rows: usize,
    pub columns: usize,
    /// Token rows of a typical call.
    pub tokens: usize,
}

/// What was measured for a job: the fastest form first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    pub form: Form,
    pub ms: f64,
    /// The others that were tried.
    pub slower: Vec<(Form, f64)>,
}

/// The names of all facts about products begin so.
const FACT: &str = "product ";

impl Job {
    /// The name of what is known about it: `product f16 1536x576 gate and up, 1 token`. Calls of about the same size share one.
    pub fn fact(self) -> String {
        let tokens = self.tokens_class();
        let (dual, plural) = (if self.dual { " gate and up" } else { "" }, if tokens == 1 { "" } else { "s" });
        format!("{FACT}{} {}x{}{dual}, {tokens} token{plural}", self.format.name(), self.rows, self.columns)
    }

    fn tokens_class(self) -> usize {
        self.tokens.next_power_of_two().min(128)
    }
}

/// Everything that was measured on a device, by what it is about.
pub fn measured(memo: &Memo) -> Vec<(String, Measured)> {
    memo.all(FACT).into_iter().map(|(name, measured)| (name[FACT.len()..].to_owned(), measured)).collect()
}

/// The forms that are worth trying for a job on this device, the likeliest first.
pub fn candidates(gpu: &Gpu, job: Job) -> Vec<Form> {
    let form = |shape| move |tokens, lane_rows, workgroup| Form { shape, tokens, lane_rows, workgroup };
    let (lanes, shared, tiles) = (form(Shape::Lanes), form(Shape::Shared), form(Shape::Tiles));
    let tokens = job.tokens.next_power_of_two().min(8) as u32;
    if gpu.summary().software {
        // Without subgroups every lane loads all activations: a larger tile only takes longer to compile.
        if gpu.subgroup_size().is_none() {
            return vec![lanes(tokens.min(4), 2, 16)];
        }
        // What is small takes longer to compile than to run, the longer the larger the tile.
        if tokens > 4 && job.rows * job.columns < SMALL {
            return vec![lanes(4, if job.dual { 1 } else { 2 }, 16)];
        }
        // A load costs a gather whatever its address: lanes own rows, and what is loaded serves many products.
        return match (tokens, job.dual, job.format) {
            (1, false, format) if format.bits() == 4 => vec![lanes(1, 4, 16), lanes(1, 2, 16)],
            (1, false, _) => vec![lanes(1, 2, 16), lanes(1, 4, 16), lanes(1, 1, 16)],
            (1, true, format) if format.bits() == 4 => vec![lanes(1, 2, 16), lanes(1, 1, 16)],
            (1, true, _) => vec![lanes(1, 1, 16), lanes(1, 2, 16)],
            (2 | 4, false, _) => vec![lanes(tokens, 4, 16), lanes(tokens, 2, 16)],
            (2 | 4, true, _) => vec![lanes(tokens, 2, 16), lanes(tokens, 1, 16)],
            (_, false, _) => vec![lanes(8, 4, 16), lanes(16, 4, 16), lanes(8, 2, 16)],
            (_, true, _) => vec![lanes(8, 2, 16), lanes(16, 2, 16)],
        };
    }
    let subgroup = gpu.subgroup_size().unwrap_or(64).max(32);
    let mut forms = match (tokens, job.tokens) {
        (1, _) => vec![shared(1, 2, 2 * subgroup), shared(1, 1, 4 * subgroup), shared(1, 4, subgroup), shared(1, 2, 4 * subgroup)],
        (2 | 4, _) => vec![shared(tokens, 2, 2 * subgroup), shared(tokens, 1, 2 * subgroup), shared(tokens, 4, 2 * subgroup)],
        (_, 8..=16) => vec![shared(8, 2, 2 * subgroup), shared(4, 2, 2 * subgroup), tiles(1, 4, 256), tiles(2, 4, 128)],
        _ => vec![tiles(4, 4, 256), tiles(8, 4, 128), tiles(8, 4, 256), tiles(4, 8, 256), tiles(2, 4, 256), shared(8, 2, 2 * subgroup)],
    };
    if let (Some(_), Some(lanes), 9..) = (gpu.matrix_size(), gpu.subgroup_size(), job.tokens) {
        // Behind the others: it is taken where it was measured to be faster, and its results to be right.
        let matrices = form(Shape::Matrices);
        let across = if job.dual { 1 } else { 2 };
        forms.extend([
            matrices(2, across, 4 * lanes),
            matrices(1, across, 4 * lanes),
            matrices(2, 2 * across, 4 * lanes),
            matrices(1, across, 8 * lanes),
        ]);
    }
    let limits = gpu.limits();
    let fits = |form: &Form| {
        form.workgroup <= limits.max_compute_invocations_per_workgroup
            && form.workgroup_bytes(gpu, job.dual) <= limits.max_compute_workgroup_storage_size
    };
    forms.retain(fits);
    if forms.is_empty() {
        forms.push(shared(tokens, 1, 32));
    }
    forms
}

/// The form for a job, by what is known of the device without measuring.
pub fn likely(gpu: &Gpu, job: Job) -> Form {
    candidates(gpu, job)[0]
}
