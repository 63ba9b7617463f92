//! Logits that are no numbers: which model they come from, where in it they begin, and what to try.
//!
//! One NaN or infinity makes all that follows from it NaN, and NaN is chosen, averaged and printed like any other number. So whoever reads
//! results checks them; what is wrong is only looked for then, in the weights and by computing the same tokens once more.

use super::{CacheKind, CacheKinds, Session, SessionOptions};
use crate::error::{Error, Result};
use crate::model::Tensor;

impl Session {
    /// That the logits which are there are numbers.
    ///
    /// # Errors
    /// They aren't; a lost device.
    pub(super) fn check_logits(&self) -> Result<()> {
        if !self.has_logits {
            return Ok(());
        }
        self.check_finite(&self.read_logits()?)
    }

    /// That logits `[sequences, vocab]` of the last positions are numbers.
    ///
    /// # Errors
    /// They aren't.
    pub(super) fn check_finite(&self, logits: &[f32]) -> Result<()> {
        match logits.iter().position(|logit| !logit.is_finite()) {
            None => Ok(()),
            Some(index) => {
                let sequence = index / self.architecture().vocab.max(1);
                Err(self.not_finite(sequence, self.lengths().get(sequence).map_or(0, |length| length.saturating_sub(1))))
            }
        }
    }

    /// The error about a sequence whose logits at `position` are no numbers.
    pub(super) fn not_finite(&self, sequence: usize, position: usize) -> Error {
        let model = self.network().model();
        let what = format!("the model's logits are NaN or infinite at position {position}");
        let error = if self.options().sequences > 1 { Error::new(what).at(format!("sequence {sequence}")) } else { Error::new(what) };
        let error = match self.cause(sequence, position) {
            Ok(cause) => cause.told(&error),
            // What went wrong is known; that no more is known about it is no second error.
            Err(_) => error.remedy("load it with weights f32, and use another cache"),
        };
        error.at(format!("model {}", model.name)).at(model.path.display())
    }

    fn cause(&self, sequence: usize, position: usize) -> Result<Cause> {
        let model = self.network().model();
        if let Some((name, row)) = model.tensors.iter().find_map(|(name, tensor)| Some((name.clone(), unfinite_row(tensor)?))) {
            return Ok(Cause::Weights { name, row });
        }
        let tokens = self.last_tokens(sequence, usize::MAX);
        let tokens = tokens.get(..=position).unwrap_or(tokens).to_vec();
        // The same with a cache whose values have scales of their own: if nothing is wrong there, fp16 was too narrow.
        let mut layers = [None, None];
        for (found, cache) in layers.iter_mut().zip([self.options().cache, CacheKinds::uniform(CacheKind::Q8)]) {
            let options = SessionOptions { context: tokens.len(), sequences: 1, cache, chunk: None };
            let mut session = Session::new(self.network(), &options)?;
            let outputs = session.attention_outputs(std::slice::from_ref(&tokens))?;
            let bad = |layer: &Vec<f32>| layer.iter().any(|value| !value.is_finite());
            let layer = outputs.iter().position(bad);
            let head = layer.is_none() && {
                let mut session = Session::new(self.network(), &options)?;
                session.prefill(std::slice::from_ref(&tokens))?;
                session.read_logits()?.iter().any(|logit| !logit.is_finite())
            };
            *found = layer.or(head.then_some(outputs.len()));
        }
        Ok(match layers {
            [Some(layer), None] if self.options().cache != CacheKinds::uniform(CacheKind::Q8) => Cause::Cache { layer },
            [Some(layer), _] => Cause::Activations { layer, layers: self.architecture().layers.len() },
            _ => Cause::Unknown,
        })
    }
}

/// The first row of a tensor with an element that is no number.
fn unfinite_row(tensor: &Tensor) -> Option<usize> {
    let mut values = vec![0.0; tensor.columns()];
    (0..tensor.rows()).find(|&row| {
        tensor.read_rows(row..row + 1, &mut values);
        values.iter().any(|value| !value.is_finite())
    })
}

/// Where it begins.
enum Cause {
    /// In the file.
    Weights {
        name: String,
        row: usize,
    },
    /// In what is kept of the tokens: this is the first layer whose attention shows it.
    Cache {
        layer: usize,
    },
    /// In what is computed: this is the first layer whose attention shows it; one beyond the last where none does.
    Activations {
        layer: usize,
        layers: usize,
    },
    Unknown,
}

impl Cause {
    fn told(&self, error: &Error) -> Error {
        let (why, remedy) = match self {
            Cause::Weights { name, row } => (
                format!("the file has NaN or infinity in row {row} of tensor {name}"),
                "fetch the weights again; if they are your own, the training had diverged: take an earlier checkpoint",
            ),
            Cause::Cache { layer } => (
                format!("keys or values of layer {layer} are beyond 65504, the largest number of an fp16 cache"),
                "use a cache with scales: q8",
            ),
            Cause::Activations { layer, layers } if layer < layers => (
                format!("from the attention of layer {layer} on; the weights are finite"),
                "load it with weights f32; if that doesn't help, its activations overflow in any format",
            ),
            Cause::Activations { .. } => (
                "after the last layer's attention; the weights are finite".to_owned(),
                "load it with weights f32; if that doesn't help, its activations overflow in any format",
            ),
            Cause::Unknown => {
                ("computed once more they are not".to_owned(), "run it again on another device; this one, or its driver, may be at fault")
            }
        };
        error.with_message(format!("{}: {why}", error.message())).remedy(remedy)
    }
}
