//! Looking into a pass: it is stopped where something of interest is on the device, and that is read. No more than one batch of it is held beside what the
//! caller keeps, however long the text.

use super::Session;
use super::score::is_asked_for;
use super::session::Row;
use crate::error::{Error, Result};
use crate::gpu::{Counts, Purpose, Usage};
use crate::interrupt;

/// Where a pass is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Before a layer: the residual stream is its input.
    Layer(usize),
    /// In a layer: its queries are rotated and scaled, its keys are in the cache.
    Attention(usize),
    /// Behind the last layer.
    End,
}

/// One query's attention weights.
#[derive(Debug, Clone, Copy)]
pub struct AttentionRow<'a> {
    pub layer: usize,
    pub head: usize,
    pub sequence: usize,
    /// Of the query in its sequence.
    pub position: usize,
    /// By position of the key, from 0 to the query's own.
    pub weights: &'a [f32],
}

/// Which attention weights are of interest.
#[derive(Debug, Clone, Copy)]
pub struct Looked<'a> {
    pub layers: &'a [usize],
    pub heads: &'a [usize],
    /// By sequence: places in the list of tokens that is appended. `None`: all.
    pub queries: Option<&'a [Vec<usize>]>,
}

/// What is done where a pass has been stopped: the place, the rows of the pass, where each list begins.
type Visit<'a> = dyn FnMut(&Session, Place, &[Row], &[usize]) -> Result<()> + 'a;

/// Bytes of weights that are on the device at once.
const BATCH_BYTES: usize = 16 << 20;

impl Session {
    /// Appends one list of tokens per sequence and hands over the residual stream of every token at each of `layers`: `i` stands for the input of layer `i`
    /// (0: the embedding), the number of layers for the output of the last one, before the final norm. `visit(layer, sequence, position, state)`, where
    /// `state` is `[d_model]`. If something fails, the session holds what it held before.
    ///
    /// # Errors
    /// As [`Session::prefill`]; a layer that there isn't; a state that is no number; what `visit` returns.
    pub fn hidden_states(
        &mut self,
        tokens: &[Vec<u32>],
        layers: &[usize],
        mut visit: impl FnMut(usize, usize, usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let last = self.architecture().layers.len();
        if let Some(layer) = layers.iter().find(|layer| **layer > last) {
            return Err(Error::new(format!("there is no state {layer}: they go from 0 to {last}, the output of the last layer")));
        }
        let layer_of = |place: Place| match place {
            Place::Layer(layer) => Some(layer),
            Place::End => Some(last),
            Place::Attention(_) => None,
        };
        let is_wanted = |place| layer_of(place).is_some_and(|layer| layers.contains(&layer));
        self.stopping(tokens, is_wanted, |session, place, chunk, starts| {
            session.residual(chunk, starts, |row, state| {
                visit(layer_of(place).unwrap_or(last), row.sequence as usize, row.position as usize, state)
            })
        })
    }

    /// Appends one list of tokens per sequence and hands over what attention weighs: softmax (or what a script put in its place) of the scores that the
    /// kernels compute from queries and from keys as the cache holds them. Batches go chunk by chunk and layer by layer; in a batch, the rows of a head
    /// follow each other. If something fails, the session holds what it held before.
    ///
    /// # Errors
    /// As [`Session::prefill`]; layers, heads or queries that there aren't; weights that are no numbers; what `visit` returns.
    pub fn attention_weights(
        &mut self,
        tokens: &[Vec<u32>],
        looked: &Looked,
        mut visit: impl FnMut(AttentionRow) -> Result<()>,
    ) -> Result<()> {
        let &Looked { layers, heads, queries } = looked;
        for &layer in layers {
            let Some(found) = self.architecture().layers.get(layer) else {
                let last = self.architecture().layers.len().saturating_sub(1);
                return Err(Error::new(format!("there is no layer {layer}: they go from 0 to {last}")));
            };
            if let Some(head) = heads.iter().find(|head| **head >= found.attention.heads) {
                return Err(Error::new(format!(
                    "there is no head {head} in layer {layer}: they go from 0 to {}",
                    found.attention.heads - 1
                )));
            }
        }
        for (list, queries) in tokens.iter().zip(queries.unwrap_or_default()) {
            if let Some(query) = queries.iter().find(|query| **query >= list.len()) {
                return Err(Error::new(format!("there is no query {query} among {} tokens", list.len())));
            }
        }
        let gpu = std::sync::Arc::clone(self.gpu());
        let limit = BATCH_BYTES.min(gpu.limits().max_storage_buffer_binding_size as usize);
        let most = (limit / (self.options().context * 4)).clamp(1, gpu.limits().max_compute_workgroups_per_dimension as usize);
        let most = most.min(self.activations.rows * heads.len().max(1));
        let bytes = (most * self.options().context * 4) as u64;
        let weights = gpu.buffer("attention weights", bytes, Purpose::Activations, Usage::Storage)?;
        let staging = gpu.buffer("the attention weights' read-back", bytes, Purpose::Scratch, Usage::Readback)?;
        let looked_at = gpu.buffer("the rows that are looked at", (most as u64 + 1) * 16, Purpose::Scratch, Usage::Storage)?;
        let step = |layer: &usize| {
            let planner = self.planner(&self.prefill.call, &self.prefill.rows, None);
            Ok((*layer, planner.attend(*layer).weights(&gpu, &looked_at, &weights)?))
        };
        let steps = layers.iter().map(step).collect::<Result<Vec<_>>>()?;

        let is_wanted = |place| matches!(place, Place::Attention(layer) if layers.contains(&layer));
        self.stopping(tokens, is_wanted, |session, place, chunk, starts| {
            let Some((layer, step)) = steps.iter().find(|(layer, _)| Place::Attention(*layer) == place) else { return Ok(()) };
            let is_chosen = |row: &Row| {
                let (sequence, position) = (row.sequence as usize, row.position as usize);
                is_asked_for(row, starts) && queries.is_none_or(|queries| queries[sequence].contains(&(position - starts[sequence])))
            };
            let rows: Vec<(u32, &Row)> = (0..).zip(chunk).filter(|(_, row)| is_chosen(row)).collect();
            let wanted: Vec<[u32; 4]> =
                heads.iter().flat_map(|&head| rows.iter().map(move |(at, row)| [*at, row.sequence, row.position, head as u32])).collect();
            for batch in wanted.chunks(most) {
                interrupt::check()?;
                // The first entry says how long a row of weights is.
                let stride = batch.iter().map(|[_, _, position, _]| position + 1).max().unwrap_or(1);
                let words: Vec<[u32; 4]> = std::iter::once([stride, 0, 0, 0]).chain(batch.iter().copied()).collect();
                gpu.write(&looked_at, 0, bytemuck::cast_slice(&words));
                session.submit(|pass| step.record(pass, Counts { rows: batch.len() as u32, positions: 1 }));
                let values: Vec<f32> = gpu.read(&weights, 0, batch.len() * stride as usize, &staging)?;
                for ([_, sequence, position, head], values) in batch.iter().zip(values.chunks(stride as usize)) {
                    let (sequence, position, head) = (*sequence as usize, *position as usize, *head as usize);
                    let weights = &values[..=position];
                    if !weights.iter().all(|weight| weight.is_finite()) {
                        return Err(session.not_finite(sequence, position));
                    }
                    visit(AttentionRow { layer: *layer, head, sequence, position, weights })?;
                }
            }
            Ok(())
        })
    }

    /// Appends tokens and runs their rows through the layers, stopping at the places that are wanted: `visit(session, place, rows of the pass, where each
    /// list begins)`.
    pub(super) fn stopping(
        &mut self,
        tokens: &[Vec<u32>],
        is_wanted: impl Fn(Place) -> bool,
        mut visit: impl FnMut(&Session, Place, &[Row], &[usize]) -> Result<()>,
    ) -> Result<()> {
        self.append(tokens)?;
        self.has_logits = false;
        let starts = self.starts(tokens);
        let result = self.stopping_at(&starts, is_wanted, &mut visit);
        if result.is_err() {
            self.set_lengths(starts);
        }
        result
    }

    fn stopping_at(&self, starts: &[usize], is_wanted: impl Fn(Place) -> bool, visit: &mut Visit) -> Result<()> {
        let steps: Vec<_> = self.prefill.plan.steps(1).collect();
        let mut places = Vec::new();
        let mut layers = 0;
        for at in 1..steps.len() {
            // A layer begins with the first of its projections.
            if steps[at].label == "qkv" && steps[at - 1].label != "qkv" {
                places.push((at, Place::Layer(layers)));
                layers += 1;
            }
            if steps[at - 1].label == "rope and cache" {
                places.push((at, Place::Attention(layers - 1)));
            }
        }
        places.push((steps.len(), Place::End));
        places.retain(|(_, place)| is_wanted(*place));
        let rows = self.rows_from(if self.is_uncached() { &[] } else { starts });
        for chunk in self.chunks(&rows) {
            self.write_rows(&self.prefill, chunk);
            let counts = Counts { rows: chunk.len() as u32, positions: 1 };
            let mut done = 0;
            for &(at, place) in &places {
                interrupt::check()?;
                self.submit(|pass| steps[done..at].iter().for_each(|step| step.record(pass, counts)));
                done = at;
                visit(self, place, chunk, starts)?;
            }
            // What comes after the last place writes its own caches only; a later chunk of the text needs them.
            self.submit(|pass| steps[done..].iter().for_each(|step| step.record(pass, counts)));
        }
        self.gpu().wait()
    }

    /// Reads the residual stream where a pass has been stopped: of the rows that were asked for, `[d_model]` each.
    pub(super) fn residual(&self, chunk: &[Row], starts: &[usize], mut visit: impl FnMut(&Row, &mut [f32]) -> Result<()>) -> Result<()> {
        let (d_model, stride) = (self.architecture().d_model, self.activations.x_stride);
        let bytes = (chunk.len() * stride * 4) as u64;
        let staging = self.gpu().buffer("the residual stream's read-back", bytes, Purpose::Scratch, Usage::Readback)?;
        let mut values: Vec<f32> = self.gpu().read(&self.activations.x, 0, chunk.len() * stride, &staging)?;
        for (row, values) in chunk.iter().zip(values.chunks_mut(stride)).filter(|(row, _)| is_asked_for(row, starts)) {
            if !values[..d_model].iter().all(|value| value.is_finite()) {
                return Err(self.not_finite(row.sequence as usize, row.position as usize));
            }
            visit(row, &mut values[..d_model])?;
        }
        Ok(())
    }
}
