//! What the attention of each layer is given: the residual stream after the layer's norm. It leaves the device layer by layer, so that no more
//! than one layer's rows of one chunk are held beside what the caller keeps.

use super::Session;
use super::look::Place;
use crate::error::Result;
use crate::model::BlockKind;

impl Session {
    /// Appends one list of tokens per sequence and hands over, for each layer of `layers`, the normalised input of its attention, gain included:
    /// `visit(layer, rows)`, rows of `[d_model]` in the order of the sequences' tokens. A long list comes in several calls for a layer.
    ///
    /// # Errors
    /// As [`Session::prefill`]; an input that is no number; what `visit` returns.
    pub fn attention_inputs(
        &mut self,
        tokens: &[Vec<u32>],
        layers: std::ops::Range<usize>,
        mut visit: impl FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let (d_model, eps) = (self.architecture().d_model, self.architecture().norm_eps);
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
        let is_wanted = |place| matches!(place, Place::Layer(layer) if layers.contains(&layer));
        self.stopping(tokens, is_wanted, |session, place, chunk, starts| {
            let Place::Layer(layer) = place else { return Ok(()) };
            let mut kept = Vec::with_capacity(chunk.len() * d_model);
            session.residual(chunk, starts, |_, values| {
                if let Some(gain) = &gains[layer - layers.start] {
                    normalise(values, gain, eps);
                }
                kept.extend_from_slice(values);
                Ok(())
            })?;
            visit(layer, &kept)
        })
    }
}

/// RMSNorm: `x * gain / sqrt(mean(x^2) + eps)`.
fn normalise(x: &mut [f32], gain: &[f32], eps: f32) {
    let squares: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    let inverse = (1.0 / (squares / x.len() as f64 + f64::from(eps)).sqrt()) as f32;
    x.iter_mut().zip(gain).for_each(|(x, gain)| *x *= inverse * gain);
}
