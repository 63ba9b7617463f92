//! What a session tells about given tokens: log-probabilities, all logits, attention outputs.

use super::plan::{HeadCall, logits_stride};
use super::session::{Pass, Row};
use super::{Scores, Session};
use crate::error::Result;
use crate::gpu::{Buffer, Count, Counts, Purpose, Step, Usage};
use crate::interrupt;
use serde_json::json;

/// Bytes of logits that are there at once while tokens are scored.
const LOGITS_BYTES: usize = 32 << 20;

/// What scoring needs: made at its first use. Rows are scored tile by tile, so that the logits of all rows are never there.
pub(super) struct Scoring {
    /// Token rows of a tile.
    tile: usize,
    /// `[tile, logits_stride]`
    logits: Buffer,
    /// `[rows]`: log-probability, and the bits of the best token.
    scores: Buffer,
    tiles: Vec<Tile>,
    staging: Buffer,
}

struct Tile {
    /// Of its own: how many of its rows there are.
    call: Buffer,
    head: Vec<Step>,
    score: Step,
}

/// What reading out attention needs: a pass whose steps also store every layer's attention output.
pub(super) struct Capturing {
    pass: Pass,
    /// A buffer per layer: `[rows, x_stride]`.
    outputs: Vec<Buffer>,
    staging: Buffer,
}

impl Session {
    /// Appends one list of tokens per sequence and scores each token given all before it, the first one too where the sequence holds something. Logits never
    /// leave the device.
    ///
    /// # Errors
    /// As [`Session::prefill`].
    pub fn score(&mut self, tokens: &[Vec<u32>]) -> Result<Scores> {
        self.append(tokens)?;
        self.has_logits = false;
        // The row before a list's first token predicts that one.
        let starts: Vec<usize> = self.starts(tokens).into_iter().map(|start| start.saturating_sub(1)).collect();
        let ends: Vec<usize> = self.lengths().iter().map(|length| length.saturating_sub(1)).collect();
        let scoring = self.scoring()?;
        let mut result = Scores { log_probabilities: vec![Vec::new(); tokens.len()], best: vec![Vec::new(); tokens.len()] };
        let rows = self.rows_from(if self.is_uncached() { &[] } else { &starts });
        for chunk in self.chunks(&rows) {
            interrupt::check()?;
            let tiles = || scoring.tiles.iter().zip(chunk.chunks(scoring.tile));
            tiles().for_each(|(tile, rows)| self.write_call_to(&tile.call, rows.len()));
            self.run_chunk(chunk, |pass, counts| {
                for (tile, rows) in tiles() {
                    let counts = Counts { rows: rows.len() as u32, ..counts };
                    tile.head.iter().for_each(|step| step.record(pass, counts));
                    tile.score.record(pass, counts);
                }
                Ok(())
            })?;
            let found: Vec<[f32; 2]> = self.gpu().read(&scoring.scores, 0, chunk.len() * 2, &scoring.staging)?;
            for (row, [log_probability, best]) in chunk.iter().zip(found) {
                let sequence = row.sequence as usize;
                // Rows that fill a tile belong to no sequence; the last token of a list has nothing after it to be scored.
                if let (Some(&start), Some(&end)) = (starts.get(sequence), ends.get(sequence))
                    && (start..end).contains(&(row.position as usize))
                {
                    if !log_probability.is_finite() {
                        return Err(self.not_finite(sequence, row.position as usize));
                    }
                    result.log_probabilities[sequence].push(log_probability);
                    result.best[sequence].push(best.to_bits());
                }
            }
        }
        Ok(result)
    }

    /// Appends one list of tokens per sequence and returns the logits of all positions: `[rows, vocab]`, all sequences' tokens in order.
    ///
    /// # Errors
    /// As [`Session::prefill`].
    pub fn all_logits(&mut self, tokens: &[Vec<u32>]) -> Result<Vec<f32>> {
        self.append(tokens)?;
        self.has_logits = false;
        let starts = self.starts(tokens);
        let scoring = self.scoring()?;
        let (vocab, stride) = (self.architecture().vocab, logits_stride(self.network()));
        let staging = self.gpu().buffer("the logits' read-back", (scoring.tile * stride * 4) as u64, Purpose::Scratch, Usage::Readback)?;
        let rows = self.rows_from(if self.is_uncached() { &[] } else { &starts });
        let mut all = Vec::new();
        for chunk in self.chunks(&rows) {
            interrupt::check()?;
            self.run_chunk(chunk, |_, _| Ok(()))?;
            for (tile, rows) in scoring.tiles.iter().zip(chunk.chunks(scoring.tile)) {
                let counts = Counts { rows: rows.len() as u32, positions: 1 };
                self.write_call_to(&tile.call, rows.len());
                self.submit(|pass| tile.head.iter().for_each(|step| step.record(pass, counts)));
                let logits: Vec<f32> = self.gpu().read(&scoring.logits, 0, rows.len() * stride, &staging)?;
                for (row, logits) in rows.iter().zip(logits.chunks(stride)) {
                    if is_asked_for(row, &starts) {
                        if logits[..vocab].iter().any(|logit| !logit.is_finite()) {
                            return Err(self.not_finite(row.sequence as usize, row.position as usize));
                        }
                        all.extend_from_slice(&logits[..vocab]);
                    }
                }
            }
        }
        Ok(all)
    }

    /// Appends one list of tokens per sequence and returns every layer's attention output (after the output projection, before the
    /// residual sum): `[layers][rows, d_model]`, rows being all sequences' tokens in order.
    ///
    /// # Errors
    /// As [`Session::prefill`].
    pub fn attention_outputs(&mut self, tokens: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        self.append(tokens)?;
        self.has_logits = false;
        let starts = self.starts(tokens);
        let capturing = self.capturing()?;
        let (d_model, stride) = (self.architecture().d_model, self.activations.x_stride);
        let mut all = vec![Vec::new(); capturing.outputs.len()];
        let rows = self.rows_from(if self.is_uncached() { &[] } else { &starts });
        for chunk in self.chunks(&rows) {
            interrupt::check()?;
            self.run_chunk_with(&capturing.pass, chunk, |_, _| Ok(()))?;
            for (output, all) in capturing.outputs.iter().zip(&mut all) {
                let values: Vec<f32> = self.gpu().read(output, 0, chunk.len() * stride, &capturing.staging)?;
                for (row, values) in chunk.iter().zip(values.chunks(stride)) {
                    if is_asked_for(row, &starts) {
                        all.extend_from_slice(&values[..d_model]);
                    }
                }
            }
        }
        Ok(all)
    }

    fn scoring(&self) -> Result<&Scoring> {
        if let Some(scoring) = self.scoring.get() {
            return Ok(scoring);
        }
        let made = self.make_scoring()?;
        Ok(self.scoring.get_or_init(|| made))
    }

    fn make_scoring(&self) -> Result<Scoring> {
        let gpu = self.gpu();
        let (rows, stride) = (self.activations.rows, logits_stride(self.network()));
        // A tile begins at a multiple of the alignment of storage offsets: 256 bytes, 64 rows of any width are.
        let limit = LOGITS_BYTES.min(gpu.limits().max_storage_buffer_binding_size as usize);
        let tile = if rows * stride * 4 <= limit { rows } else { (limit / (stride * 4) / 64 * 64).max(64).min(rows) };
        let logits = gpu.buffer("the logits of a tile", (tile * stride * 4) as u64, Purpose::Activations, Usage::Storage)?;
        let scores = gpu.buffer("the scores", rows as u64 * 8, Purpose::Activations, Usage::Storage)?;
        let staging = gpu.buffer("the scores' read-back", rows as u64 * 8, Purpose::Scratch, Usage::Readback)?;
        let workgroup = 256;
        let kernel = gpu.kernel("score.wgsl", &json!({ "vocab": self.architecture().vocab, "stride": stride, "workgroup": workgroup }))?;
        let mut tiles = Vec::new();
        for start in (0..rows).step_by(tile) {
            let x_stride = self.activations.x_stride;
            let call = gpu.buffer("the call", 16, Purpose::Scratch, Usage::Uniform)?;
            let head = HeadCall {
                network: self.network(),
                typical_rows: tile.min(rows - start),
                call: &call,
                x: &self.activations.x,
                x_offset: (start * x_stride * 4) as u64,
                x_stride,
                logits: &logits,
            };
            let bindings = vec![
                call.binding(),
                self.prefill.rows.binding_from(start as u64 * 8),
                self.history.binding(),
                logits.binding(),
                scores.binding_from(start as u64 * 8),
            ];
            let score = gpu.step("score", &kernel, bindings, [Count::Rows(1), Count::Of(1), Count::Of(1)])?;
            tiles.push(Tile { head: head.steps()?, call, score });
        }
        Ok(Scoring { tile, logits, scores, tiles, staging })
    }

    fn capturing(&self) -> Result<&Capturing> {
        if let Some(capturing) = self.capturing.get() {
            return Ok(capturing);
        }
        let made = self.make_capturing()?;
        Ok(self.capturing.get_or_init(|| made))
    }

    fn make_capturing(&self) -> Result<Capturing> {
        let gpu = self.gpu();
        let (rows, bytes) = (self.activations.rows, (self.activations.rows * self.activations.x_stride * 4) as u64);
        let layers = 0..self.architecture().layers.len();
        let outputs: Vec<Buffer> =
            layers.map(|_| gpu.buffer("an attention output", bytes, Purpose::Activations, Usage::Storage)).collect::<Result<_>>()?;
        let call = gpu.buffer("the call", 16, Purpose::Scratch, Usage::Uniform)?;
        let row_buffer = gpu.buffer("the rows", rows as u64 * 8, Purpose::Scratch, Usage::Storage)?;
        let staging = gpu.buffer("an attention output's read-back", bytes, Purpose::Scratch, Usage::Readback)?;
        let plan = self.planner(&call, &row_buffer, Some(&outputs)).forward()?;
        Ok(Capturing { pass: Pass { call, rows: row_buffer, plan, head: Vec::new(), partial: None }, outputs, staging })
    }
}

/// Whether a row is one of those that were appended, and not an earlier one that is computed again.
pub(super) fn is_asked_for(row: &Row, starts: &[usize]) -> bool {
    starts.get(row.sequence as usize).is_some_and(|&start| row.position as usize >= start)
}
