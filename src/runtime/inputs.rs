//! What the attention of each layer is given: the residual stream after the layer's norm. It leaves the device layer by layer, so that no more
//! than one layer's rows of one chunk are held beside what the caller keeps.

use super::Session;
use crate::error::Result;
use crate::gpu::{Counts, Purpose, Usage};
use crate::interrupt;
use crate::model::BlockKind;

impl Session {
    /// Appends one list of tokens per sequence and hands over, for each layer of `layers`, the normalised input of its attention, gain included:
    /// `visit(layer, rows)`, rows of `[d_model]` in the order of the sequences' tokens. A long list comes in several calls for a layer.
    ///
    /// # Errors
    /// As [`Session::prefill`]; what `visit` returns.
    pub fn attention_inputs(
        &mut self,
        tokens: &[Vec<u32>],
        layers: std::ops::Range<usize>,
        mut visit: impl FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        self.append(tokens)?;
        self.has_logits = false;
        let starts = self.starts(tokens);
        let (d_model, stride, eps) = (self.architecture().d_model, self.activations.x_stride, self.architecture().norm_eps);
        let bytes = (self.activations.rows * stride * 4) as u64;
        let staging = self.gpu().buffer("an attention input's read-back", bytes, Purpose::Scratch, Usage::Readback)?;
        // `None`: the attention of this architecture is given the residual stream as it is.
        let gain = |layer: usize| -> Option<Vec<f32>> {
            let blocks = self.architecture().layers.get(layer)?.blocks();
            let norm = blocks.iter().find(|block| block.kind == BlockKind::Attention)?.before?;
            self.network().model().tensors.get(&format!("model.layers.{layer}.{norm}.weight")).map(|weight| {
                let offset = self.architecture().norm_offset;
                weight.to_f32().into_iter().map(|gain| gain + offset).collect()
            })
        };
        let gains: Vec<Option<Vec<f32>>> = layers.clone().map(gain).collect();
        let rows = self.rows_from(if self.is_uncached() { &[] } else { &starts });
        for chunk in self.chunks(&rows) {
            self.write_rows(&self.prefill, chunk);
            let counts = Counts { rows: chunk.len() as u32, positions: 1 };
            let steps: Vec<_> = self.prefill.plan.steps(1).collect();
            // A layer begins with the first of its projections; before that, the residual stream is what it is given.
            let begins = (1..steps.len()).filter(|&at| steps[at].label == "qkv" && steps[at - 1].label != "qkv");
            let mut done = 0;
            for (layer, begin) in begins.enumerate().take(layers.end).skip(layers.start) {
                interrupt::check()?;
                self.submit(|pass| steps[done..begin].iter().for_each(|step| step.record(pass, counts)));
                done = begin;
                let mut values: Vec<f32> = self.gpu().read(&self.activations.x, 0, chunk.len() * stride, &staging)?;
                let mut kept = Vec::with_capacity(chunk.len() * d_model);
                for (row, values) in chunk.iter().zip(values.chunks_mut(stride)) {
                    if starts.get(row.sequence as usize).is_some_and(|&start| row.position as usize >= start) {
                        if let Some(gain) = &gains[layer - layers.start] {
                            normalise(&mut values[..d_model], gain, eps);
                        }
                        kept.extend_from_slice(&values[..d_model]);
                    }
                }
                visit(layer, &kept)?;
            }
            // What comes after the last layer that is asked for writes its own caches only; a later chunk of the text needs them.
            self.submit(|pass| steps[done..].iter().for_each(|step| step.record(pass, counts)));
        }
        self.gpu().wait()
    }
}

/// RMSNorm: `x * gain / sqrt(mean(x^2) + eps)`.
fn normalise(x: &mut [f32], gain: &[f32], eps: f32) {
    let squares: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    let inverse = (1.0 / (squares / x.len() as f64 + f64::from(eps)).sqrt()) as f32;
    x.iter_mut().zip(gain).for_each(|(x, gain)| *x *= inverse * gain);
}
