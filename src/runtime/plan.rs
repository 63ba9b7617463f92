//! The steps of a forward pass over rows of tokens: made once per session, recorded at every call.

use super::attend::Attend;
use super::hooks::{LayerMap, Reach};
use super::kv_cache::LayerCache;
use super::linear::{Epilogue, Norm, Product};
use super::network::{HeadMatrix, LatentWeights, LayerWeights, Network, Offsets};
use super::turns::TurnTables;
use super::weights::{BLOCK, Matrix};
use crate::error::Result;
use crate::gpu::{Buffer, Count, Counts, Gpu, Purpose, Step, Usage};
use crate::model::{Architecture, Attention, BlockKind, Gate, Latent, Layer, OutputGate, QkNorm, Rope};
use serde_json::json;
use std::rc::Rc;
use std::sync::Arc;

/// When a step is part of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Always,
    /// As long as the cache has so many positions at most: one workgroup reads all of a head.
    UpTo(u32),
    /// Beyond that: several do, and their results are merged.
    Beyond(u32),
}

impl When {
    /// Whether the step is part of a pass over so many positions.
    pub fn is_at(self, positions: u32) -> bool {
        match self {
            When::Always => true,
            When::UpTo(most) => positions <= most,
            When::Beyond(most) => positions > most,
        }
    }
}

/// Steps in the order in which they run.
pub(super) struct Plan {
    steps: Vec<(When, Step)>,
}

impl Plan {
    /// The steps of a pass over a cache of so many positions.
    pub fn steps(&self, positions: u32) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |(when, _)| when.is_at(positions)).map(|(_, step)| step)
    }

    pub fn record(&self, pass: &mut wgpu::ComputePass, counts: Counts) {
        self.steps(counts.positions).for_each(|step| step.record(pass, counts));
    }
}

/// What every pass of a session works on. Strides are in elements; rows are padded to whole blocks, and what pads them stays zero or is
/// multiplied by weights that are zero.
pub(super) struct Activations {
    /// Token rows there is room for.
    pub rows: usize,
    /// The residual stream: `[rows, x_stride]`.
    pub x: Buffer,
    pub x_stride: usize,
    qkv: Buffer,
    attention: Buffer,
    hidden: Buffer,
    /// Per head, latent attention's queries that are not rotated, then its outputs; the differences of differential attention: `[rows, heads_stride]`.
    /// `None`: no layer is either.
    heads: Option<Buffer>,
    heads_stride: usize,
    /// The latent that queries are made of: `[rows, query_stride]`.
    query: Option<Buffer>,
    query_stride: usize,
    /// What blocks give whose output is normalised: `[rows, x_stride]`. `None`: no block's is.
    block: Option<Buffer>,
}

fn padded(width: usize) -> usize {
    width.next_multiple_of(BLOCK)
}

impl Activations {
    /// Room for `rows` token rows of the widest layer.
    ///
    /// # Errors
    /// No room on the device.
    pub fn new(network: &Network, rows: usize) -> Result<Activations> {
        let architecture = &network.model().architecture;
        let widest = |width: &dyn Fn(usize) -> usize| (0..architecture.layers.len()).map(width).max().unwrap_or(BLOCK);
        let attention = |index: usize| &architecture.layers[index].attention;
        let buffer =
            |label: &str, stride: usize| network.gpu().buffer(label, (rows * stride * 4) as u64, Purpose::Activations, Usage::Storage);
        let x_stride = padded(architecture.d_model);
        let has_norms_after = architecture.layers.iter().flat_map(Layer::blocks).any(|block| block.after.is_some());
        let differentials = architecture.layers.iter().filter(|layer| layer.attention.differential.is_some());
        let pairs = differentials.map(|layer| layer.attention.out_width()).max().unwrap_or(0);
        let latents = || architecture.layers.iter().filter_map(|layer| Some((layer.attention.heads, layer.attention.latent?)));
        let heads_stride = padded(latents().map(|(heads, latent)| heads * latent.plain.max(latent.value)).max().unwrap_or(0).max(pairs));
        let query_stride = padded(latents().filter_map(|(_, latent)| latent.query_rank).max().unwrap_or(0));
        let optional = |label: &str, stride: usize| if stride > 0 { buffer(label, stride).map(Some) } else { Ok(None) };
        Ok(Activations {
            rows,
            heads: optional("the heads of latent attention", heads_stride)?,
            heads_stride,
            query: optional("the latent of queries", query_stride)?,
            query_stride,
            x_stride,
            x: buffer("the residual stream", x_stride)?,
            qkv: buffer("queries, keys and values", widest(&|index| padded(Offsets::of(attention(index)).width)))?,
            attention: buffer("the attention's outputs", widest(&|index| padded(attention(index).heads * attention(index).value)))?,
            block: if has_norms_after { Some(buffer("the blocks' outputs", x_stride)?) } else { None },
            hidden: buffer("the gated units' outputs", widest(&|index| padded(architecture.layers[index].d_ff)))?,
        })
    }
}

/// How rows attend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Tiles of rows of one sequence.
    Prefill,
    /// One row per sequence.
    Decode,
}

/// Everything that the steps of one kind of pass are made from.
pub(super) struct Planner<'a> {
    pub network: &'a Network,
    pub mode: Mode,
    /// Rows of a typical call: chooses the forms of kernels.
    pub typical_rows: usize,
    /// Positions of a sequence, and sequences, that there is room for.
    pub context: usize,
    pub sequences: usize,
    /// Whether nothing is in the cache yet that measuring might overwrite.
    pub is_fresh: bool,
    pub call: &'a Buffer,
    /// `[rows]` pairs (sequence, position)
    pub rows: &'a Buffer,
    pub history: &'a Buffer,
    pub activations: &'a Activations,
    pub caches: &'a [Rc<LayerCache>],
    /// How far each layer's queries look back, if not to the beginning.
    pub reaches: &'a [Option<Reach>],
    /// Tiles that each layer's mask hides.
    pub maps: &'a [Option<LayerMap>],
    pub turns: &'a TurnTables,
    /// Partial results of a split cache; decode only.
    pub partial: Option<&'a Buffer>,
    /// Where each layer's attention output goes when somebody wants to see it: a buffer per layer, `[rows, x_stride]`.
    pub captures: Option<&'a [Buffer]>,
}

impl Planner<'_> {
    fn gpu(&self) -> &Arc<Gpu> {
        self.network.gpu()
    }

    /// Tokens to the last layer's output in `activations.x`.
    ///
    /// # Errors
    /// A shader that the device refuses.
    pub fn forward(&self) -> Result<Plan> {
        let mut steps = self.embed()?;
        for index in 0..self.network.layers.len() {
            self.layer(index, &mut steps)?;
        }
        Ok(Plan { steps })
    }

    fn embed(&self) -> Result<Vec<(When, Step)>> {
        let matrix = &self.network.embedding;
        let mut steps = Vec::new();
        for part in &matrix.parts {
            let unit = part.format.unit() as u32;
            let workgroup = 64u32;
            let parameters = json!({
                "format": part.format.parameters(), "interleave": part.interleave, "columns": matrix.columns, "first": part.first, "rows": part.rows,
                "x_stride": self.activations.x_stride, "multiplier": self.network.model().architecture.embedding_scale, "workgroup": workgroup,
            });
            let kernel = self.gpu().kernel("embed.wgsl", &parameters)?;
            let mut bindings = vec![self.call.binding(), self.rows.binding(), self.history.binding(), self.activations.x.binding()];
            bindings.push(part.codes.binding());
            bindings.extend(part.scales.as_ref().map(Buffer::binding));
            let grid = [Count::Of((matrix.columns as u32 / unit).div_ceil(workgroup)), Count::Rows(1), Count::Of(1)];
            steps.push((When::Always, self.gpu().step("embedding", &kernel, bindings, grid)?));
        }
        Ok(steps)
    }

    fn layer(&self, index: usize, steps: &mut Vec<(When, Step)>) -> Result<()> {
        let layer = &self.network.model().architecture.layers[index];
        for (block, norms) in layer.blocks().iter().zip(&self.network.layers[index].norms) {
            let norms = norms.each_ref().map(Option::as_ref);
            match block.kind {
                BlockKind::Attention => self.attention(index, norms, steps)?,
                BlockKind::Mlp => self.mlp(index, norms, steps)?,
            }
        }
        Ok(())
    }

    fn norm<'a>(&self, weight: &'a Buffer) -> Norm<'a> {
        let Architecture { d_model, norm_eps, .. } = self.network.model().architecture;
        Norm { weight, width: d_model, eps: norm_eps }
    }

    fn attention(&self, index: usize, [before, after]: [Option<&Buffer>; 2], steps: &mut Vec<(When, Step)>) -> Result<()> {
        let (layer, weights) = (&self.network.model().architecture.layers[index], &self.network.layers[index]);
        let attention = &layer.attention;
        let Activations { x, x_stride, qkv, attention: attended, .. } = self.activations;
        let qkv_stride = padded(Offsets::of(attention).width);
        let attended_stride = padded(attention.heads * attention.value);

        self.product(
            steps,
            Product {
                label: "qkv",
                call: self.call,
                x,
                x_offset: 0,
                x_stride: *x_stride,
                matrix: &weights.qkv,
                y: qkv,
                y_stride: qkv_stride,
                epilogue: Epilogue::Store,
                norm: before.map(|weight| self.norm(weight)),
                bias: weights.qkv_bias.as_ref(),
            },
        )?;
        if let (Some(latent), Some(weights)) = (&attention.latent, &weights.latent) {
            self.latent_queries(attention, latent, weights, before, steps)?;
        }
        steps.push((When::Always, self.cache_write(index, attention, weights, qkv_stride)?));
        steps.extend(self.attend(index).steps(self.gpu())?);
        if attention.output_gate != OutputGate::None {
            steps.push(self.output_gate(attention, qkv_stride, attended_stride)?);
        }
        let (mut outputs, mut outputs_stride) = (attended, attended_stride);
        if let (Some(lambdas), Some(heads)) = (&weights.lambdas, &self.activations.heads) {
            (outputs, outputs_stride) = (heads, self.activations.heads_stride);
            let (pairs, value, workgroup) = (attention.heads / 2, attention.value, 64u32);
            let parameters = json!({
                "pairs": pairs, "value": value, "x_stride": attended_stride, "y_stride": outputs_stride,
                "eps": self.network.model().architecture.norm_eps, "workgroup": workgroup,
            });
            let kernel = self.gpu().kernel("differential.wgsl", &parameters)?;
            let bindings = vec![self.call.binding(), attended.binding(), heads.binding(), lambdas.binding()];
            let grid = [Count::Of(pairs as u32), Count::Rows(1), Count::Of(1)];
            steps.push((When::Always, self.gpu().step("difference", &kernel, bindings, grid)?));
        }
        if let (Some(latent), Some(heads)) = (&weights.latent, &self.activations.heads) {
            steps.push(self.head_product(
                attention.heads,
                &latent.expand,
                (attended, attended_stride),
                (heads, self.activations.heads_stride),
            )?);
            (outputs, outputs_stride) = (heads, self.activations.heads_stride);
        }
        let out = |y, epilogue| Product {
            label: "out",
            call: self.call,
            x: outputs,
            x_offset: 0,
            x_stride: outputs_stride,
            matrix: &weights.out,
            y,
            y_stride: *x_stride,
            epilogue,
            norm: None,
            bias: weights.out_bias.as_ref(),
        };
        if let Some(captures) = self.captures {
            self.product(steps, out(&captures[index], Epilogue::Store))?;
        }
        self.residual(steps, after, out)
    }

    /// The attention of a layer, over queries, keys and values that are there.
    pub fn attend(&self, index: usize) -> Attend<'_> {
        let attention = &self.network.model().architecture.layers[index].attention;
        let cache = &self.caches[index];
        Attend {
            mode: self.mode,
            attention,
            cache,
            nulls: cache.nulls.as_ref().or(self.network.layers[index].nulls.as_ref()),
            hooks: self.network.hooks(index),
            map: self.maps[index].as_ref(),
            reach: self.reaches[index],
            call: self.call,
            rows: self.rows,
            qkv: &self.activations.qkv,
            stride: padded(Offsets::of(attention).width),
            out: &self.activations.attention,
            out_stride: padded(attention.heads * attention.value),
            partial: self.partial,
            typical_rows: self.typical_rows,
            context: self.context,
            sequences: self.sequences,
            is_fresh: self.is_fresh,
        }
    }

    /// The queries of latent attention in a row of `qkv`: what is rotated as it is, what isn't through each head's own matrix to the latent.
    fn latent_queries(
        &self,
        attention: &Attention,
        latent: &Latent,
        weights: &LatentWeights,
        before: Option<&Buffer>,
        steps: &mut Vec<(When, Step)>,
    ) -> Result<()> {
        let Activations { x, x_stride, qkv, heads: Some(heads), heads_stride, query, query_stride, .. } = self.activations else {
            return Ok(());
        };
        let offsets = Offsets::of(attention);
        let qkv_stride = padded(offsets.width);
        let product = |label, matrix, x, x_stride, norm, y, y_stride| Product {
            label,
            call: self.call,
            x,
            x_offset: 0,
            x_stride,
            matrix,
            y,
            y_stride,
            epilogue: Epilogue::Store,
            norm,
            bias: None,
        };
        let mut from = (x, *x_stride, before.map(|weight| self.norm(weight)));
        if let (Some((matrix, norm)), Some(query), Some(rank)) = (&weights.query, query, latent.query_rank) {
            self.product(steps, product("latent of queries", matrix, from.0, from.1, from.2, query, *query_stride))?;
            from = (query, *query_stride, Some(Norm { weight: norm, width: rank, ..self.norm(norm) }));
        }
        self.product(steps, product("rotated queries", &weights.rotated, from.0, from.1, from.2, qkv, qkv_stride))?;
        self.product(steps, product("queries", &weights.plain, from.0, from.1, from.2, heads, *heads_stride))?;
        steps.push(self.head_product(attention.heads, &weights.absorb, (heads, *heads_stride), (qkv, qkv_stride))?);
        Ok(())
    }

    fn output_gate(&self, attention: &Attention, stride: usize, out_stride: usize) -> Result<(When, Step)> {
        let (heads, value, workgroup) = (attention.heads, attention.value, 64u32);
        let parameters = json!({
            "heads": heads, "value": value, "stride": stride, "out_stride": out_stride, "gate_at": Offsets::of(attention).output_gate,
            "by_head": attention.output_gate == OutputGate::Head, "workgroup": workgroup,
        });
        let kernel = self.gpu().kernel("output_gate.wgsl", &parameters)?;
        let Activations { qkv, attention: attended, .. } = self.activations;
        let bindings = vec![self.call.binding(), qkv.binding(), attended.binding()];
        let grid = [Count::Of(((heads * value) as u32).div_ceil(workgroup)), Count::Rows(1), Count::Of(1)];
        Ok((When::Always, self.gpu().step("output gate", &kernel, bindings, grid)?))
    }

    /// Each head by itself, to the beginning of a row of `y`.
    fn head_product(
        &self,
        heads: usize,
        matrix: &HeadMatrix,
        (x, x_stride): (&Buffer, usize),
        (y, y_stride): (&Buffer, usize),
    ) -> Result<(When, Step)> {
        let HeadMatrix { buffer, half, inputs, outputs } = matrix;
        let (tokens, workgroup) = (if self.mode == Mode::Decode { 1 } else { 4 }, 64u32);
        let parameters = json!({
            "heads": heads, "inputs": inputs, "outputs": outputs, "x_stride": x_stride, "y_stride": y_stride, "y_first": 0, "half": half, "tokens": tokens, "workgroup": workgroup,
        });
        let kernel = self.gpu().kernel("linear_heads.wgsl", &parameters)?;
        let bindings = vec![self.call.binding(), x.binding(), y.binding(), buffer.binding()];
        let grid = [Count::Of(((heads * outputs) as u32).div_ceil(workgroup)), Count::Rows(tokens), Count::Of(1)];
        Ok((When::Always, self.gpu().step("heads", &kernel, bindings, grid)?))
    }

    fn mlp(&self, index: usize, [before, after]: [Option<&Buffer>; 2], steps: &mut Vec<(When, Step)>) -> Result<()> {
        let (layer, weights) = (&self.network.model().architecture.layers[index], &self.network.layers[index]);
        let Activations { x, x_stride, hidden, .. } = self.activations;
        self.product(
            steps,
            Product {
                label: "gate and up",
                call: self.call,
                x,
                x_offset: 0,
                x_stride: *x_stride,
                matrix: &weights.gate,
                y: hidden,
                y_stride: padded(layer.d_ff),
                epilogue: Epilogue::Gated(layer.activation, &weights.up),
                norm: before.map(|weight| self.norm(weight)),
                bias: None,
            },
        )?;
        self.residual(steps, after, |y, epilogue| Product {
            label: "down",
            call: self.call,
            x: hidden,
            x_offset: 0,
            x_stride: padded(layer.d_ff),
            matrix: &weights.down,
            y,
            y_stride: *x_stride,
            epilogue,
            norm: None,
            bias: None,
        })
    }

    /// Adds a block's last product to the residual stream, normalised first if there is a norm for it.
    fn residual<'p>(
        &'p self,
        steps: &mut Vec<(When, Step)>,
        after: Option<&Buffer>,
        last: impl Fn(&'p Buffer, Epilogue<'p>) -> Product<'p>,
    ) -> Result<()> {
        let Activations { x, x_stride, block, .. } = self.activations;
        let (Some(weight), Some(block)) = (after, block) else {
            return self.product(steps, last(x, Epilogue::Add));
        };
        self.product(steps, last(block, Epilogue::Store))?;
        let Norm { width, eps, .. } = self.norm(weight);
        let workgroup = if self.gpu().summary().software { 64 } else { 256 };
        let parameters = json!({ "width": width, "stride": x_stride, "eps": eps, "workgroup": workgroup });
        let kernel = self.gpu().kernel("residual_norm.wgsl", &parameters)?;
        let bindings = vec![self.call.binding(), block.binding(), weight.binding(), x.binding()];
        let step = self.gpu().step("norm and residual", &kernel, bindings, [Count::Rows(1), Count::Of(1), Count::Of(1)])?;
        steps.push((When::Always, step));
        Ok(())
    }

    fn product(&self, steps: &mut Vec<(When, Step)>, product: Product) -> Result<()> {
        steps.extend(product.steps(self.gpu(), self.typical_rows)?.into_iter().map(|step| (When::Always, step)));
        Ok(())
    }

    fn cache_write(&self, index: usize, attention: &Attention, weights: &LayerWeights, qkv_stride: usize) -> Result<Step> {
        let (parts, buffers) = self.caches[index].bind(3);
        let mut bindings = vec![self.call.binding(), self.rows.binding(), self.activations.qkv.binding()];
        bindings.extend(buffers);
        let turns = attention.rope.as_ref().and_then(|rope| self.turns.get(rope, attention.rope_width()));
        let semantic_turns = match &attention.rope {
            Some(rope) if attention.rope_semantic && attention.sem > 0 => self.turns.get(rope, attention.sem),
            _ => None,
        };
        // 0 is the call's own binding: it stands for what isn't there.
        let optional = [turns, semantic_turns, weights.extras.as_ref()].map(|buffer| match buffer {
            Some(buffer) => {
                bindings.push(buffer.binding());
                bindings.len() - 1
            }
            None => 0,
        });
        let workgroup = row_workgroup(self.gpu(), (attention.heads + attention.kv_heads) * attention.key() / 2);
        let parameters = json!({
            "stride": qkv_stride,
            "heads": attention.heads, "kv_heads": attention.kv_heads,
            "sem": attention.sem, "geo": attention.geo, "value": attention.value,
            "sem_scale": attention.scale.unwrap_or_else(|| scale(attention.sem)), "geo_scale": attention.scale.unwrap_or_else(|| scale(attention.geo)),
            "workgroup": workgroup,
            "rope": turns.is_some(), "rope_binding": optional[0], "rope_heads": attention.rope.as_ref().and_then(Rope::heads).unwrap_or(1),
            "rope_semantic": semantic_turns.is_some(), "rope_semantic_binding": optional[1],
            "extras_binding": optional[2],
            "qk_norm": match attention.qk_norm { QkNorm::None => "none", QkNorm::Head => "head", QkNorm::All => "all" }, "eps": self.network.model().architecture.norm_eps,
            "gate": match attention.gate { Gate::None => "none", Gate::Static => "static", Gate::Dynamic => "dynamic" },
            "learned_temp": attention.learned_temp, "tie_qk": attention.tie_qk, "latent": attention.latent.is_some(), "rope_pairs": attention.rope_width() / 2, "unroll": !self.gpu().summary().software, "ring": self.caches[index].ring,
            "parts": parts,
        });
        let kernel = self.gpu().kernel("cache_write.wgsl", &parameters)?;
        self.gpu().step("rope and cache", &kernel, bindings, [Count::Rows(1), Count::Of(1), Count::Of(1)])
    }
}

/// Lanes of a workgroup that does so many pieces of work for a row. A graphics card's lanes wait for memory: the fewer turns each of them takes, the better.
pub(super) fn row_workgroup(gpu: &Gpu, pieces: usize) -> u32 {
    let most = gpu.limits().max_compute_invocations_per_workgroup.min(512);
    if gpu.summary().software { 64 } else { (pieces as u32).next_power_of_two().max(64).min(most) }
}

fn scale(width: usize) -> f32 {
    if width > 0 { 1.0 / (width as f32).sqrt() } else { 1.0 }
}

/// The steps from the residual stream to logits: final norm and head.
pub(super) struct HeadCall<'a> {
    pub network: &'a Network,
    pub typical_rows: usize,
    pub call: &'a Buffer,
    /// `[rows, x_stride]`, from byte `x_offset` on.
    pub x: &'a Buffer,
    pub x_offset: u64,
    pub x_stride: usize,
    /// `[rows, logits_stride]`
    pub logits: &'a Buffer,
}

/// Elements of a row of logits, padding included.
pub(super) fn logits_stride(network: &Network) -> usize {
    padded(network.model().architecture.vocab)
}

impl HeadCall<'_> {
    /// # Errors
    /// A shader that the device refuses.
    pub fn steps(&self) -> Result<Vec<Step>> {
        let architecture = &self.network.model().architecture;
        let gpu = self.network.gpu();
        let head: &Matrix = self.network.head();
        let product = Product {
            label: "head",
            call: self.call,
            x: self.x,
            x_offset: self.x_offset,
            x_stride: self.x_stride,
            matrix: head,
            y: self.logits,
            y_stride: logits_stride(self.network),
            epilogue: Epilogue::Store,
            norm: Some(Norm { weight: &self.network.final_norm, width: architecture.d_model, eps: architecture.norm_eps }),
            bias: None,
        };
        let mut steps = product.steps(gpu, self.typical_rows)?;
        if let Some(cap) = architecture.logit_cap {
            let (width, workgroup) = (architecture.vocab, 64u32);
            let parameters = json!({ "width": width, "stride": logits_stride(self.network), "cap": cap, "workgroup": workgroup });
            let kernel = gpu.kernel("logit_cap.wgsl", &parameters)?;
            let grid = [Count::Of((width as u32).div_ceil(workgroup)), Count::Rows(1), Count::Of(1)];
            steps.push(gpu.step("soft cap", &kernel, vec![self.call.binding(), self.logits.binding()], grid)?);
        }
        Ok(steps)
    }
}
