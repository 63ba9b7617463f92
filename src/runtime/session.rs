//! A batch of sequences with their cache: prefill and what it leaves on the device.

use super::SessionOptions;
use super::attend::{least_split, prefill_tile};
use super::hooks::{self, LayerMap, Reach};
use super::kv_cache::{LayerCache, Ring, uncached};
use super::network::Network;
use super::plan::{Activations, HeadCall, Mode, Plan, Planner, logits_stride};
use super::turns::TurnTables;
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Count, Counts, Gpu, Purpose, Step, Usage};
use crate::interrupt;
use crate::model::{Architecture, Layer, Model};
use serde_json::json;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// A row that only fills a tile.
const NO_ROW: u32 = u32::MAX;

/// A batch of sequences with their cache.
pub struct Session {
    network: Rc<Network>,
    options: SessionOptions,
    uncached: bool,
    pub(super) activations: Activations,
    caches: Vec<Rc<LayerCache>>,
    /// How far each layer's queries look back, if not to the beginning.
    reaches: Vec<Option<Reach>>,
    /// Tiles that each layer's mask hides.
    maps: Vec<Option<LayerMap>>,
    turns: TurnTables,
    /// Tokens of every sequence: `[sequences, context + 1]`.
    pub(super) history: Buffer,
    /// Positions held, `[sequences]`: on the device for the sampler, and here.
    lengths_buffer: Buffer,
    lengths: Vec<usize>,
    /// Positions written since a sequence was empty: what rings have lost depends on it.
    written: Vec<usize>,
    /// The tokens of every sequence, as far as the host has seen them.
    held: Vec<Vec<u32>>,
    /// The last position's residual stream of every sequence, `[sequences, x_stride]`, picked from a chunk's rows.
    #[expect(dead_code, reason = "steps are bound to it; the accounting needs it alive")]
    picked: Buffer,
    /// Which rows those are, `[sequences]`.
    picked_rows: Buffer,
    pick: Step,
    pub(super) logits: Buffer,
    /// Whether `logits` are those of the last position held.
    pub(super) has_logits: bool,
    pub(super) prefill: Pass,
    /// `None` where every step is a prefill of everything.
    pub(super) decode: Option<Pass>,
    pub(super) greedy: Step,
    pub(super) sampler: OnceCell<super::sampler::Sampler>,
    pub(super) scoring: OnceCell<super::score::Scoring>,
    pub(super) capturing: OnceCell<super::score::Capturing>,
    pub(super) staging: Buffer,
}

/// The steps over one set of rows, and the buffers that say which rows those are.
pub(super) struct Pass {
    pub call: Buffer,
    pub rows: Buffer,
    pub plan: Plan,
    /// From the last position of every sequence to its logits.
    pub head: Vec<Step>,
    /// Results of a split cache before they are merged.
    #[expect(dead_code, reason = "steps are bound to it; the accounting needs it alive")]
    pub partial: Option<Buffer>,
}

/// One row of a pass: the sequence that a token is in, and its position there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub sequence: u32,
    pub position: u32,
}

impl Session {
    /// Allocates the cache and everything else the session needs: nothing is allocated later, but for what [`Session::score`] and
    /// [`Session::attention_outputs`] need at their first use.
    ///
    /// # Errors
    /// No sequences, a context beyond the model's, no room on the device.
    pub fn new(network: &Rc<Network>, options: &SessionOptions) -> Result<Session> {
        let architecture = &network.model().architecture;
        let gpu = network.gpu();
        check_options(architecture, options)?;
        let uncached = uncached(options.cache)?;
        let (sequences, context) = (options.sequences, options.context);

        let mut turns = TurnTables::default();
        for layer in &architecture.layers {
            if let Some(rope) = &layer.attention.rope {
                turns.add(gpu, rope, layer.attention.rope_width(), context)?;
                if layer.attention.rope_semantic && layer.attention.sem > 0 {
                    turns.add(gpu, rope, layer.attention.sem, context)?;
                }
            }
        }
        let reach = |(index, layer): (usize, &Layer)| hooks::reach(&layer.attention, network.hooks(index), context);
        let reaches: Vec<Option<Reach>> = architecture.layers.iter().enumerate().map(reach).collect();
        let map = |index: usize| network.hooks(index).map_or(Ok(None), |hooks| hooks.map(gpu, context));
        let maps = (0..architecture.layers.len()).map(map).collect::<Result<Vec<Option<LayerMap>>>>()?;
        let tile = prefill_tile(gpu) as usize;
        let chunk = if uncached {
            sequences * context.next_multiple_of(tile)
        } else {
            // Each sequence's rows begin a tile of their own.
            options.chunk.unwrap_or_else(|| likely_chunk(gpu, network)).min(sequences * context.next_multiple_of(tile))
        };
        let chunk = chunk.max(sequences).next_multiple_of(tile);
        if chunk > gpu.limits().max_compute_workgroups_per_dimension as usize {
            return Err(Error::new(format!("{chunk} token rows at once are more than the device takes"))
                .remedy("use a cache, or fewer sequences or a smaller context without one"));
        }
        let caches = layer_caches(gpu, network.model(), options, (!uncached).then_some(&reaches), chunk)?;
        let activations = Activations::new(network, chunk)?;
        let buffer = |label: &str, words: usize, purpose| gpu.buffer(label, words as u64 * 4, purpose, Usage::Storage);
        let history = buffer("the tokens", sequences * (context + 1), Purpose::Scratch)?;
        let lengths_buffer = buffer("the lengths", sequences, Purpose::Scratch)?;
        let picked_rows = buffer("the picked rows", sequences, Purpose::Scratch)?;
        let picked = buffer("the last positions", sequences * activations.x_stride, Purpose::Activations)?;
        let logits = buffer("the logits", sequences * logits_stride(network), Purpose::Activations)?;
        let d_model = architecture.d_model;
        let pick = gpu.step(
            "last positions",
            &gpu.kernel(
                "copy_rows.wgsl",
                &json!({ "width": d_model, "x_stride": activations.x_stride, "y_stride": activations.x_stride, "workgroup": 64 }),
            )?,
            vec![picked_rows.binding(), activations.x.binding(), picked.binding()],
            [Count::Of((d_model as u32).div_ceil(64)), Count::Of(sequences as u32), Count::Of(1)],
        )?;

        let pass = |mode: Mode, rows: usize, head_x: &Buffer| -> Result<Pass> {
            let call = gpu.buffer("the call", 16, Purpose::Scratch, Usage::Uniform)?;
            let rows_buffer = buffer("the rows", rows * 2, Purpose::Scratch)?;
            let heads = architecture.layers.iter().map(|layer| layer.attention.heads * (layer.attention.value + 2)).max().unwrap_or(1);
            let splits = context.div_ceil(least_split(gpu, context));
            // A cache of one split is never split.
            let partial = if mode == Mode::Decode && splits > 1 {
                Some(buffer("the parts of attention", sequences * heads * splits, Purpose::Activations)?)
            } else {
                None
            };
            let planner = Planner {
                network,
                mode,
                typical_rows: if mode == Mode::Decode { sequences } else { rows },
                context,
                sequences,
                is_fresh: true,
                call: &call,
                rows: &rows_buffer,
                history: &history,
                activations: &activations,
                caches: &caches,
                reaches: &reaches,
                maps: &maps,
                turns: &turns,
                partial: partial.as_ref(),
                captures: None,
            };
            let plan = planner.forward()?;
            let head = HeadCall {
                network,
                typical_rows: sequences,
                call: &call,
                x: head_x,
                x_offset: 0,
                x_stride: activations.x_stride,
                logits: &logits,
            };
            Ok(Pass { head: head.steps()?, plan, call, rows: rows_buffer, partial })
        };
        let prefill = pass(Mode::Prefill, chunk, &picked)?;
        let decode = if uncached { None } else { Some(pass(Mode::Decode, sequences, &activations.x)?) };
        let sampler_pass = decode.as_ref().unwrap_or(&prefill);
        let greedy = gpu.step(
            "greedy choice",
            &gpu.kernel(
                "sample.wgsl",
                &json!({ "greedy": true, "vocab": architecture.vocab, "stride": logits_stride(network), "workgroup": 256, "ways": 7 }),
            )?,
            vec![logits.binding(), history.binding(), sampler_pass.rows.binding(), lengths_buffer.binding(), sampler_pass.call.binding()],
            [Count::Of(sequences as u32), Count::Of(1), Count::Of(1)],
        )?;
        let staging =
            gpu.buffer("the read-back", (sequences * architecture.vocab.max(context) * 4) as u64, Purpose::Scratch, Usage::Readback)?;
        let mut session = Session {
            network: network.clone(),
            options: options.clone(),
            uncached,
            activations,
            caches,
            reaches,
            maps,
            turns,
            history,
            lengths_buffer,
            lengths: vec![0; sequences],
            written: vec![0; sequences],
            held: vec![Vec::new(); sequences],
            picked,
            picked_rows,
            pick,
            logits,
            has_logits: false,
            prefill,
            decode,
            greedy,
            sampler: OnceCell::new(),
            scoring: OnceCell::new(),
            capturing: OnceCell::new(),
            staging,
        };
        session.options.chunk = Some(chunk);
        if let Some(decode) = &session.decode {
            session.write_call(decode, sequences);
        }
        Ok(session)
    }

    pub fn network(&self) -> &Rc<Network> {
        &self.network
    }

    /// What the session was made for; `chunk` as it was chosen.
    pub fn options(&self) -> &SessionOptions {
        &self.options
    }

    pub(super) fn gpu(&self) -> &Arc<Gpu> {
        self.network.gpu()
    }

    pub(super) fn architecture(&self) -> &Architecture {
        &self.network.model().architecture
    }

    pub(super) fn caches(&self) -> &[Rc<LayerCache>] {
        &self.caches
    }

    /// What the host knows of another session over the same model becomes what it knows of this one, whose buffers hold the same.
    pub(super) fn take_state(&mut self, other: &Session) {
        self.set_lengths(other.lengths.clone());
        self.written.clone_from(&other.written);
        self.held.clone_from(&other.held);
        self.has_logits = other.has_logits;
        self.turns.set(self.gpu(), self.longest(), 0..self.longest());
    }

    /// Positions held, per sequence.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Bytes that the cache holds on the device.
    pub fn cache_bytes(&self) -> u64 {
        self.caches.iter().map(|cache| cache.bytes()).sum()
    }

    /// Appends one list of tokens per sequence (lengths may differ) and leaves the logits of each sequence's last position on the device.
    /// Returns when the device is idle.
    ///
    /// # Errors
    /// Lists that are not one per sequence, a token beyond the vocabulary, more tokens than the context has room for; Ctrl-C.
    pub fn prefill(&mut self, tokens: &[Vec<u32>]) -> Result<()> {
        self.append(tokens)?;
        let mut starts = if self.uncached { Vec::new() } else { self.starts(tokens) };
        // A sequence that got no tokens has its last position computed again: its logits are wanted too.
        for (start, length) in starts.iter_mut().zip(&self.lengths) {
            *start = (*start).min(length.saturating_sub(1));
        }
        let rows = self.rows_from(&starts);
        self.has_logits = false;
        let mut earlier = None;
        for chunk in self.chunks(&rows) {
            interrupt::check()?;
            let submission = self.run_chunk(chunk, |_, _| Ok(()))?;
            if let Some(earlier) = earlier.replace(submission) {
                self.gpu().wait_for(Some(earlier))?;
            }
        }
        let counts = Counts { rows: self.options.sequences as u32, positions: 1 };
        self.write_call(&self.prefill, self.options.sequences);
        self.submit(|pass| self.prefill.head.iter().for_each(|step| step.record(pass, counts)));
        self.gpu().wait()?;
        self.has_logits = true;
        Ok(())
    }

    /// Runs the rows of one chunk; `after` may record more steps in the same pass. The last positions among them are picked out.
    pub(super) fn run_chunk(
        &self,
        chunk: &[Row],
        after: impl FnOnce(&mut wgpu::ComputePass, Counts) -> Result<()>,
    ) -> Result<wgpu::SubmissionIndex> {
        self.run_chunk_with(&self.prefill, chunk, after)
    }

    /// As [`Session::run_chunk`], with the steps of another pass.
    pub(super) fn run_chunk_with(
        &self,
        pass: &Pass,
        chunk: &[Row],
        after: impl FnOnce(&mut wgpu::ComputePass, Counts) -> Result<()>,
    ) -> Result<wgpu::SubmissionIndex> {
        self.write_rows(pass, chunk);
        let counts = Counts { rows: chunk.len() as u32, positions: 1 };
        let mut result = Ok(());
        let submission = self.submit(|recorder| {
            pass.plan.record(recorder, counts);
            self.pick.record(recorder, counts);
            result = after(recorder, counts);
        });
        result.map(|()| submission)
    }

    /// Tells a pass its rows, and which of them are the last of their sequence.
    pub(super) fn write_rows(&self, pass: &Pass, chunk: &[Row]) {
        let words: Vec<[u32; 2]> = chunk.iter().map(|row| [row.sequence, row.position]).collect();
        self.gpu().write(&pass.rows, 0, bytemuck::cast_slice(&words));
        self.write_call(pass, chunk.len());
        let mut picked = vec![NO_ROW; self.options.sequences];
        for (row, index) in chunk.iter().zip(0..) {
            if row.sequence != NO_ROW && row.position as usize + 1 == self.lengths[row.sequence as usize] {
                picked[row.sequence as usize] = index;
            }
        }
        self.gpu().write(&self.picked_rows, 0, bytemuck::cast_slice(&picked));
    }

    pub(super) fn pick_step(&self) -> &Step {
        &self.pick
    }

    /// Records one pass and submits it.
    pub(super) fn submit(&self, record: impl FnOnce(&mut wgpu::ComputePass)) -> wgpu::SubmissionIndex {
        let mut encoder = self.gpu().device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        self.gpu().queue().submit([encoder.finish()])
    }

    pub(super) fn write_call(&self, pass: &Pass, rows: usize) {
        self.write_call_to(&pass.call, rows);
    }

    /// Tells steps that read `call` how many rows there are.
    pub(super) fn write_call_to(&self, call: &Buffer, rows: usize) {
        let (sequences, context) = (self.options.sequences, self.options.context);
        let words = [rows, context, sequences * context, context.div_ceil(least_split(self.gpu(), context))].map(|word| word as u32);
        self.gpu().write(call, 0, bytemuck::cast_slice(&words));
    }

    /// Checks `tokens`, writes them behind those that are there, and counts them.
    pub(super) fn append(&mut self, tokens: &[Vec<u32>]) -> Result<()> {
        let (sequences, context, vocab) = (self.options.sequences, self.options.context, self.architecture().vocab);
        if tokens.len() != sequences {
            return Err(Error::new(format!("{} lists of tokens for a session of {sequences} sequences", tokens.len()))
                .remedy("give one list per sequence"));
        }
        for (sequence, list) in tokens.iter().enumerate() {
            let held = self.lengths[sequence];
            if held + list.len() > context {
                return Err(Error::new(format!(
                    "{held} positions are held and {} more would exceed the session's context of {context}",
                    list.len()
                ))
                .remedy("make the session with a larger `context`, or truncate it")
                .at(format!("sequence {sequence}")));
            }
            if let Some((index, token)) = list.iter().enumerate().find(|(_, token)| **token as usize >= vocab) {
                return Err(Error::new(format!("token {token} (number {index} of the list) is beyond the vocabulary of {vocab}"))
                    .remedy("use tokens made by this model's tokenizer")
                    .at(format!("sequence {sequence}")));
            }
            if held + list.len() == 0 {
                return Err(Error::new("there is no token to begin with")
                    .remedy("give at least one token, such as the begin-of-text token")
                    .at(format!("sequence {sequence}")));
            }
        }
        self.restore()?;
        for (sequence, list) in tokens.iter().enumerate() {
            let at = sequence * (context + 1) + self.lengths[sequence];
            if !list.is_empty() {
                self.gpu().write(&self.history, at as u64 * 4, bytemuck::cast_slice(list));
            }
            let length = self.lengths[sequence];
            self.held[sequence].truncate(length);
            // Tokens that were chosen on the device and not read yet.
            self.held[sequence].resize(length, 0);
            self.held[sequence].extend_from_slice(list);
            self.lengths[sequence] += list.len();
        }
        self.note_written();
        self.write_lengths();
        let start = if self.uncached { 0 } else { self.starts(tokens).into_iter().min().unwrap_or(0) };
        let longest = self.longest();
        self.turns.set(self.gpu(), longest, start..longest);
        Ok(())
    }

    /// Computes sequences again whose rings have lost what the next query looks back to: they were longer once.
    fn restore(&mut self) -> Result<()> {
        let holds = |sequence: usize| {
            let rings = self.caches.iter().zip(&self.reaches).filter_map(|(cache, reach)| Some((cache.ring?, (*reach)?)));
            rings.into_iter().all(|(ring, reach)| ring.holds(reach, self.lengths[sequence], self.written[sequence]))
        };
        let lost: Vec<usize> = (0..self.lengths.len()).filter(|&sequence| !holds(sequence)).collect();
        if lost.is_empty() {
            return Ok(());
        }
        let starts: Vec<usize> = self.lengths.iter().enumerate().map(|(at, &length)| if lost.contains(&at) { 0 } else { length }).collect();
        for chunk in self.chunks(&self.rows_from(&starts)) {
            interrupt::check()?;
            self.run_chunk(chunk, |_, _| Ok(()))?;
        }
        self.gpu().wait()?;
        for sequence in lost {
            self.written[sequence] = self.lengths[sequence];
        }
        Ok(())
    }

    fn note_written(&mut self) {
        for (written, &length) in self.written.iter_mut().zip(&self.lengths) {
            *written = if length == 0 { 0 } else { length.max(*written) };
        }
    }

    pub(super) fn write_lengths(&self) {
        let lengths: Vec<u32> = self.lengths.iter().map(|&length| length as u32).collect();
        self.gpu().write(&self.lengths_buffer, 0, bytemuck::cast_slice(&lengths));
    }

    /// Positions of the longest sequence.
    pub(super) fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(0)
    }

    /// Prepares the rotations of `steps` tokens that are to come one by one.
    pub(super) fn turn_ahead(&self, steps: usize) {
        let first = self.lengths.iter().copied().min().unwrap_or(0);
        match self.uncached {
            true => self.turns.set(self.gpu(), self.longest(), 0..self.longest()),
            false => self.turns.set_each(self.gpu(), first..(self.longest() + steps).min(self.options.context)),
        }
    }

    /// The last tokens of a sequence, `count` at most.
    pub fn last_tokens(&self, sequence: usize, count: usize) -> &[u32] {
        let held = self.held.get(sequence).map_or(&[][..], Vec::as_slice);
        let length = self.lengths.get(sequence).copied().unwrap_or(0).min(held.len());
        &held[length.saturating_sub(count)..length]
    }

    /// Remembers tokens that were read back: those of a sequence from position `start` on.
    pub(super) fn note_tokens(&mut self, sequence: usize, start: usize, tokens: &[u32]) {
        if let Some(held) = self.held.get_mut(sequence) {
            held.resize(start, 0);
            held.extend_from_slice(tokens);
        }
    }

    /// What the device's sampler has counted already.
    pub(super) fn note_lengths(&mut self, lengths: Vec<usize>) {
        self.lengths = lengths;
        self.note_written();
    }

    pub(super) fn lengths_buffer(&self) -> &Buffer {
        &self.lengths_buffer
    }

    pub(super) fn set_lengths(&mut self, lengths: Vec<usize>) {
        self.lengths = lengths;
        self.note_written();
        self.write_lengths();
    }

    /// Where lists that were just appended begin.
    pub(super) fn starts(&self, tokens: &[Vec<u32>]) -> Vec<usize> {
        self.lengths.iter().zip(tokens).map(|(length, list)| length - list.len()).collect()
    }

    pub(super) fn is_uncached(&self) -> bool {
        self.uncached
    }

    /// The rows of all positions from `starts` (nothing: from 0) on; each sequence begins a tile.
    pub(super) fn rows_from(&self, starts: &[usize]) -> Vec<Row> {
        let tile = prefill_tile(self.gpu()) as usize;
        let mut rows = Vec::new();
        for (sequence, &length) in self.lengths.iter().enumerate() {
            let start = starts.get(sequence).copied().unwrap_or(0);
            while !rows.len().is_multiple_of(tile) && start < length {
                rows.push(Row { sequence: NO_ROW, position: 0 });
            }
            rows.extend((start..length).map(|position| Row { sequence: sequence as u32, position: position as u32 }));
        }
        rows
    }

    /// Rows cut into what one pass takes: whole tiles.
    pub(super) fn chunks<'a>(&self, rows: &'a [Row]) -> impl Iterator<Item = &'a [Row]> + use<'a> {
        rows.chunks(self.activations.rows)
    }

    /// Logits of the last position, `[sequences, vocab]`.
    ///
    /// # Errors
    /// Nothing was prefilled; logits that are no numbers; a lost device.
    pub fn logits(&mut self) -> Result<Vec<f32>> {
        self.make_logits()?;
        let all = self.read_logits()?;
        self.check_finite(&all)?;
        Ok(all)
    }

    pub(super) fn read_logits(&self) -> Result<Vec<f32>> {
        let (vocab, stride) = (self.architecture().vocab, logits_stride(&self.network));
        let mut all = Vec::with_capacity(vocab * self.options.sequences);
        for sequence in 0..self.options.sequences {
            all.extend(self.gpu().read::<f32>(&self.logits, sequence * stride, vocab, &self.staging)?);
        }
        Ok(all)
    }

    pub(super) fn need_logits(&self) -> Result<()> {
        if self.has_logits {
            return Ok(());
        }
        Err(Error::new("there are no logits to choose a token from").remedy("prefill the session first"))
    }

    /// Computes the last position of every sequence again where its logits are gone: after [`Session::truncate`] and after scoring.
    ///
    /// # Errors
    /// As [`Session::need_logits`], of a sequence that holds nothing.
    pub(super) fn make_logits(&mut self) -> Result<()> {
        if !self.has_logits && self.lengths.iter().all(|&length| length > 0) {
            self.prefill(&vec![Vec::new(); self.lengths.len()])?;
        }
        self.need_logits()
    }

    /// Forgets all but the first `length` positions of every sequence. What needs the logits of the last one computes it again.
    ///
    /// # Errors
    /// None; a length beyond what is held changes nothing.
    pub fn truncate(&mut self, length: usize) -> Result<()> {
        let lengths = self.lengths.iter().map(|&held| held.min(length)).collect();
        self.has_logits &= self.lengths == lengths;
        self.set_lengths(lengths);
        Ok(())
    }

    /// A planner for another pass over this session's buffers.
    pub(super) fn planner<'a>(&'a self, call: &'a Buffer, rows: &'a Buffer, captures: Option<&'a [Buffer]>) -> Planner<'a> {
        Planner {
            network: &self.network,
            mode: Mode::Prefill,
            typical_rows: self.activations.rows,
            context: self.options.context,
            sequences: self.options.sequences,
            is_fresh: false,
            call,
            rows,
            history: &self.history,
            activations: &self.activations,
            caches: &self.caches,
            reaches: &self.reaches,
            maps: &self.maps,
            turns: &self.turns,
            partial: None,
            captures,
        }
    }
}

fn check_options(architecture: &Architecture, options: &SessionOptions) -> Result<()> {
    if options.context == 0 || options.sequences == 0 {
        return Err(Error::new("a session needs a context and at least one sequence").remedy("set `context` and `sequences` to 1 or more"));
    }
    if options.context > architecture.context {
        return Err(Error::new(format!("a context of {} is beyond the model's {}", options.context, architecture.context))
            .remedy("choose a smaller `context`"));
    }
    if options.chunk == Some(0) {
        return Err(Error::new("a chunk of no rows").remedy("leave `chunk` out, or set it to 1 or more"));
    }
    Ok(())
}

/// One cache per layer; without a cache, keys and values live for one layer of one call, and layers of the same shape share them.
/// `reaches`: how far each layer's queries look back where there is a cache; those that look back a bounded way get a ring.
fn layer_caches(
    gpu: &Gpu,
    model: &Model,
    options: &SessionOptions,
    reaches: Option<&Vec<Option<Reach>>>,
    chunk: usize,
) -> Result<Vec<Rc<LayerCache>>> {
    let architecture = &model.architecture;
    let tokens = options.sequences * options.context;
    let mut shared: HashMap<[usize; 4], Rc<LayerCache>> = HashMap::new();
    let mut caches = Vec::with_capacity(architecture.layers.len());
    for (index, layer) in architecture.layers.iter().enumerate() {
        let attention = &layer.attention;
        let shape = [attention.kv_heads, attention.sem, attention.geo, attention.value];
        if let Some(cache) = shared.get(&shape) {
            caches.push(cache.clone());
            continue;
        }
        let reach = reaches.and_then(|reaches| reaches[index]);
        let ring = reach.and_then(|reach| Ring::new(reach, chunk, options.sequences, options.context));
        let cache = Rc::new(LayerCache::new(gpu, model, index, options.cache, tokens, ring)?);
        if reaches.is_none() {
            shared.insert(shape, cache.clone());
        }
        caches.push(cache);
    }
    Ok(caches)
}

/// Token rows of a prefill submission. Drivers of desktops end a submission that takes seconds, so a weak device gets fewer; beyond a few
/// hundred nothing is gained on a strong one. On a software driver the only bound is how soon Ctrl-C is heard.
fn likely_chunk(gpu: &Gpu, network: &Network) -> usize {
    let summary = gpu.summary();
    let multiply_adds = network.layers.iter().map(|layer| layer.multiply_adds()).sum::<u64>().max(1);
    let (budget, most) = match summary.device_type.as_str() {
        _ if summary.software => (30_000_000_000, 128),
        "discrete" => (1_000_000_000_000, 512),
        _ => (60_000_000_000, 256),
    };
    ((budget / multiply_adds) as usize).clamp(16, most)
}
