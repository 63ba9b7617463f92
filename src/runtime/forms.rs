//! Which form of each product a device gets: by a rule, or by what was measured on it (tuning.rs).

use super::linear::{Form, Product, Shape};
use super::tuning::{self, Contest, Measured};
use super::weights::{Format, Part};
use crate::error::Result;
use crate::gpu::{Counts, Gpu, Memo, Purpose, Step, Usage};

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

/// Multiply-adds of a product, for one token, below which the choice of a form is lost in what a dispatch costs.
const WORTH: usize = 1 << 18;

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
        self.tokens.next_power_of_two().min(2048)
    }
}

/// Everything that was measured on a device, by what it is about.
pub fn measured(memo: &Memo) -> Vec<(String, Measured<Form>)> {
    memo.all(FACT).into_iter().map(|(name, measured)| (name[FACT.len()..].to_owned(), measured)).collect()
}

/// The forms that are worth trying for a job on this device, the likeliest first.
pub fn candidates(gpu: &Gpu, job: Job) -> Vec<Form> {
    let form = |shape| move |tokens, lane_rows, workgroup| Form { shape, tokens, lane_rows, workgroup, depth: 1 };
    let (lanes, shared, together, tiles) = (form(Shape::Lanes), form(Shape::Shared), form(Shape::Together), form(Shape::Tiles));
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
    // Where subgroups may be of any size, all lanes of a workgroup share a row.
    let subgroup = gpu.subgroup_size().unwrap_or(gpu.least_subgroup()).max(32);
    let mut forms = match (tokens, job.tokens) {
        (1, _) => vec![
            shared(1, 2, 2 * subgroup),
            shared(1, 1, 4 * subgroup),
            shared(1, 4, subgroup),
            shared(1, 2, 4 * subgroup),
            shared(1, 4, 2 * subgroup),
        ],
        (2 | 4, _) => vec![shared(tokens, 2, 2 * subgroup), shared(tokens, 1, 2 * subgroup), shared(tokens, 4, 2 * subgroup)],
        (_, 8..=16) => vec![shared(8, 2, 2 * subgroup), shared(4, 2, 2 * subgroup), tiles(1, 4, 256), tiles(2, 4, 128)],
        _ => vec![tiles(4, 4, 256), tiles(8, 4, 128), tiles(8, 4, 256), tiles(4, 8, 256), tiles(2, 4, 256), shared(8, 2, 2 * subgroup)],
    };
    if let (Some(_), Some(lanes), 9..) = (gpu.matrix_size(), gpu.subgroup_size(), job.tokens) {
        // Behind the others: it is taken where it was measured to be faster, and its results to be right.
        let matrices = form(Shape::Matrices);
        let across = if job.dual { 1 } else { 2 };
        let mut sides = vec![matrices(2, across, 4 * lanes), matrices(1, across, 4 * lanes), matrices(2, 2 * across, 4 * lanes)];
        if job.tokens > 64 {
            sides.extend([matrices(2, across, 8 * lanes), matrices(2, 2 * across, 8 * lanes), matrices(4, across, 4 * lanes)]);
        } else {
            sides.push(matrices(1, 2 * across, 4 * lanes));
        }
        forms.extend(sides.into_iter().flat_map(|form| [form, Form { depth: 2, ..form }]));
    }
    // Of long rows a subgroup alone has too little on its way from memory.
    if tokens <= 8 && job.tokens <= 16 && job.columns >= 1024 {
        forms.extend([together(tokens, 1, 4 * subgroup), together(tokens, 2, 4 * subgroup), together(tokens, 2, 8 * subgroup)]);
        if tokens == 1 {
            forms.extend([together(1, 1, 2 * subgroup), together(1, 4, 2 * subgroup), together(1, 4, 4 * subgroup)]);
        }
    }
    forms.retain(|form| form.is_sound(gpu, job.rows, job.columns, job.dual));
    if forms.is_empty() {
        forms.push(shared(tokens, 8, 32));
    }
    forms
}

impl Product<'_> {
    /// The form for one part of the matrix: remembered, measured or by the rule, as the user has it.
    ///
    /// Measuring overwrites this product's input and output: it is done while a session is made, and leaves zeros.
    ///
    /// # Errors
    /// A shader that the device refuses; a lost device; Ctrl-C.
    pub fn form(&self, gpu: &Gpu, part: &Part, up: Option<&Part>, tokens: usize) -> Result<Form> {
        let job = Job { format: part.format, dual: up.is_some(), rows: part.rows, columns: self.matrix.columns, tokens };
        let worth = part.rows * self.matrix.columns >= WORTH;
        // No more than there is room for.
        let room = (self.x.bytes() - self.x_offset) / (self.x_stride as u64 * 4);
        let tokens = tokens.min(room as usize).min(self.y.bytes() as usize / (self.y_stride * 4));
        let is_sound = |form: Form| form.is_sound(gpu, job.rows, job.columns, job.dual);
        tuning::choose(gpu, &job.fact(), &candidates(gpu, job), worth, is_sound, || Trial { product: self, gpu, part, up, tokens })
    }
}

/// All forms with the matrix itself.
struct Trial<'a> {
    product: &'a Product<'a>,
    gpu: &'a Gpu,
    part: &'a Part,
    up: Option<&'a Part>,
    tokens: usize,
}

impl Trial<'_> {
    fn write_input(&self, value: impl Fn(usize) -> f32) {
        let values: Vec<f32> = (0..self.tokens * self.product.x_stride).map(value).collect();
        self.gpu.write(self.product.x, self.product.x_offset, bytemuck::cast_slice(&values));
    }
}

impl Contest for Trial<'_> {
    type Form = Form;

    fn steps(&self, form: Form) -> Result<Vec<Step>> {
        Ok(vec![self.product.step(self.gpu, self.part, self.up, form)?])
    }

    fn counts(&self) -> Counts {
        Counts { rows: self.tokens as u32, positions: 1 }
    }

    fn begin(&self) {
        let call = [self.tokens as u32, 0, 0, 1];
        self.gpu.write(self.product.call, 0, bytemuck::cast_slice(&call));
        self.write_input(|index| tuning::noise(index) as f32 / 1024.0 - 1.0);
    }

    // The weights of a model do not stay in a cache from one token to the next.
    fn is_cold(&self) -> bool {
        self.tokens <= 16
    }

    fn clear(&self) {
        self.gpu.write(self.product.y, 0, &vec![0; self.tokens * self.product.y_stride * 4]);
    }

    fn results(&self) -> Result<Vec<f32>> {
        let count = self.tokens * self.product.y_stride;
        let staging = self.gpu.buffer("a trial's results", count as u64 * 4, Purpose::Scratch, Usage::Readback)?;
        self.gpu.read(self.product.y, 0, count, &staging)
    }

    fn end(&self) {
        self.write_input(|_| 0.0);
    }
}
