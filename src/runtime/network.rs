//! A model whose weights are on the device.

use super::hooks::LayerHooks;
use super::weights::{Format, Matrix, Stream, load_vector};
use super::{LoadOptions, WeightKind};
use super::{differential, latent};
use crate::error::{At, Error, Result};
use crate::gpu::{Buffer, Gpu};
use crate::model::{Attention, Differential, Gate, Latent, Model, OutputGate, QkNorm, Tensor};
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// A model whose weights are on the device.
pub struct Network {
    gpu: Arc<Gpu>,
    model: Arc<Model>,
    pub(super) weights: WeightKind,
    pub(super) embedding: Matrix,
    pub(super) layers: Vec<LayerWeights>,
    pub(super) final_norm: Buffer,
    /// `None`: the embedding is the head.
    head: Option<Matrix>,
    /// What a script says of each layer's attention.
    hooks: Vec<Option<LayerHooks>>,
}

/// One block's weights.
pub(super) struct LayerWeights {
    /// Those before and after each block of the layer, in the order of [`Layer::blocks`](crate::model::Layer::blocks).
    pub norms: Vec<[Option<Buffer>; 2]>,
    /// Queries, keys, values and dynamic gate, in the order of [`Offsets`].
    pub qkv: Matrix,
    pub qkv_bias: Option<Buffer>,
    /// Of differential attention: lambda, 1 - lambda_init.
    pub lambdas: Option<Buffer>,
    /// What latent attention has beside `qkv`.
    pub latent: Option<LatentWeights>,
    pub out: Matrix,
    pub out_bias: Option<Buffer>,
    /// What `cache_write` needs: q_norm, k_norm, gate logits, logit scales.
    pub extras: Option<Buffer>,
    /// `[heads, sem + geo + value]`
    pub nulls: Option<Buffer>,
    pub gate: Matrix,
    pub up: Matrix,
    pub down: Matrix,
}

/// Latent attention: from tokens to the two parts of queries, and per head from queries to the latent and from the latent to outputs. `qkv` holds the
/// latent and the rotated key.
pub(super) struct LatentWeights {
    /// `[query_rank, d_model]` and the norm of what it gives; `None`: queries are made of the token itself.
    pub query: Option<(Matrix, Buffer)>,
    /// `[heads * plain, ...]`
    pub plain: Matrix,
    /// `[heads * geo, ...]`
    pub rotated: Matrix,
    /// `[heads, sem, plain]`
    pub absorb: HeadMatrix,
    /// `[heads, latent.value, sem]`
    pub expand: HeadMatrix,
}

/// A matrix `[outputs, inputs]` for each head: see `shaders/linear_heads.wgsl`.
pub(super) struct HeadMatrix {
    pub buffer: Buffer,
    pub half: bool,
    pub inputs: usize,
    pub outputs: usize,
}

impl LatentWeights {
    fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        [&self.plain, &self.rotated].into_iter().chain(self.query.as_ref().map(|(matrix, _)| matrix))
    }

    fn bytes(&self) -> u64 {
        let norm = self.query.as_ref().map_or(0, |(_, norm)| norm.bytes());
        self.matrices().map(Matrix::bytes).sum::<u64>() + self.absorb.buffer.bytes() + self.expand.buffer.bytes() + norm
    }
}

impl LayerWeights {
    /// Multiply-adds with weights for one token.
    pub fn multiply_adds(&self) -> u64 {
        let of = |matrix: &Matrix| matrix.parts.iter().map(|part| (part.rows * matrix.columns) as u64).sum::<u64>();
        let latent = self.latent.iter().flat_map(LatentWeights::matrices);
        [&self.qkv, &self.out, &self.gate, &self.up, &self.down].into_iter().chain(latent).map(of).sum()
    }
}

/// Where the parts of a row of `qkv` begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offsets {
    pub q_geo: usize,
    pub k_sem: usize,
    pub k_geo: usize,
    pub value: usize,
    pub gate: usize,
    pub output_gate: usize,
    pub width: usize,
}

impl Offsets {
    pub fn of(attention: &Attention) -> Offsets {
        let Attention { heads, kv_heads, sem, geo, value, .. } = *attention;
        let q_geo = heads * sem;
        let k_sem = q_geo + heads * geo;
        let k_geo = k_sem + kv_heads * sem;
        let at_value = k_geo + kv_heads * geo;
        // Semantic keys that are values too have no place of their own.
        let value = if attention.latent.is_some() { 0 } else { value };
        let gate = at_value + kv_heads * value;
        let output_gate = gate + if attention.gate == Gate::Dynamic { heads } else { 0 };
        let width = output_gate + attention.gate_width();
        Offsets { q_geo, k_sem, k_geo, value: at_value, gate, output_gate, width }
    }
}

impl Network {
    /// Streams the weights to the device.
    ///
    /// # Errors
    /// No room on the device; Ctrl-C; a tensor that the model should have and hasn't.
    pub fn load(gpu: &Arc<Gpu>, model: Arc<Model>, options: &LoadOptions) -> Result<Rc<Network>> {
        let total: u64 = model.tensors.values().map(|tensor| tensor.stored_bytes() as u64).sum();
        let done = Cell::new(0u64);
        let report = |bytes: u64| {
            done.set(done.get() + bytes);
            if let Some(progress) = options.progress {
                progress(done.get().min(total), total);
            }
        };
        let loader = Loader { stream: Stream::new(gpu, &report), model: &model, kind: options.weights };
        let place = model.path.display().to_string();
        let parts = loader.load().at(&place)?;
        let hooks = LayerHooks::of_layers(gpu, &model, options.attention)?;
        gpu.flush()?;
        gpu.wait()?;
        let (embedding, layers, final_norm, head) = parts;
        Ok(Rc::new(Network { gpu: gpu.clone(), weights: options.weights, embedding, layers, final_norm, head, hooks, model }))
    }

    /// What a script says of a layer's attention.
    pub(super) fn hooks(&self, layer: usize) -> Option<&LayerHooks> {
        self.hooks.get(layer)?.as_ref()
    }

    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// How the user wanted the weights.
    pub fn weight_kind(&self) -> WeightKind {
        self.weights
    }

    /// Bytes that the weights hold on the device.
    pub fn weight_bytes(&self) -> u64 {
        let vectors = |layer: &LayerWeights| {
            let optional = [&layer.lambdas, &layer.qkv_bias, &layer.out_bias, &layer.extras, &layer.nulls];
            layer.norms.iter().flatten().chain(optional).flatten().map(Buffer::bytes).sum::<u64>()
        };
        let matrices = |layer: &LayerWeights| {
            [&layer.qkv, &layer.out, &layer.gate, &layer.up, &layer.down].iter().map(|matrix| matrix.bytes()).sum::<u64>()
        };
        let latent = |layer: &LayerWeights| layer.latent.as_ref().map_or(0, LatentWeights::bytes);
        let layers: u64 = self.layers.iter().map(|layer| vectors(layer) + matrices(layer) + latent(layer)).sum();
        layers + self.embedding.bytes() + self.final_norm.bytes() + self.head.as_ref().map_or(0, Matrix::bytes)
    }

    /// The matrix that makes logits.
    pub(super) fn head(&self) -> &Matrix {
        self.head.as_ref().unwrap_or(&self.embedding)
    }
}

struct Loader<'a> {
    stream: Stream<'a>,
    model: &'a Model,
    kind: WeightKind,
}

type Loaded = (Matrix, Vec<LayerWeights>, Buffer, Option<Matrix>);

impl Loader<'_> {
    fn load(&self) -> Result<Loaded> {
        let architecture = &self.model.architecture;
        let embedding = self.matrix("model.embed_tokens.weight")?;
        let layers = (0..architecture.layers.len()).map(|index| self.layer(index)).collect::<Result<_>>()?;
        let final_norm = self.norm("model.norm.weight")?;
        let head = if architecture.tied_embeddings { None } else { Some(self.matrix("lm_head.weight")?) };
        Ok((embedding, layers, final_norm, head))
    }

    fn layer(&self, index: usize) -> Result<LayerWeights> {
        let attention = &self.model.architecture.layers[index].attention;
        let name = |name: &str| format!("model.layers.{index}.{name}");
        let own = |tensor: &str| name(&format!("self_attn.{tensor}"));
        let offsets = Offsets::of(attention);
        let mut stack: Vec<(String, usize)> = Vec::new();
        if attention.latent.is_some() {
            // The latent and the rotated key, whose places are neighbours.
            stack.push((own("kv_a_proj_with_mqa.weight"), offsets.k_sem));
        } else if attention.decoupled {
            if attention.sem > 0 {
                stack.push((own("q_sem.weight"), 0));
            }
            stack.push((own("q_geo.weight"), offsets.q_geo));
            if attention.sem > 0 && !attention.tie_qk {
                stack.push((own("k_sem.weight"), offsets.k_sem));
            }
            stack.push((own("k_geo.weight"), offsets.k_geo));
        } else {
            stack.push((own("q_proj.weight"), 0));
            stack.push((own("k_proj.weight"), offsets.k_geo));
        }
        if attention.latent.is_none() {
            stack.push((own("v_proj.weight"), offsets.value));
        }
        if attention.gate == Gate::Dynamic {
            stack.push((own("decoupled_gate_proj.weight"), offsets.gate));
        }
        if attention.output_gate != OutputGate::None {
            stack.push((own("gate_proj.weight"), offsets.output_gate));
        }
        // Tensors whose rows lie in another order than the kernels'.
        let mut arranged: HashMap<&str, Tensor> = HashMap::new();
        for (name, _) in &stack {
            let tensor = self.tensor(name)?;
            if let Some(latent) = attention.latent.filter(|_| name.ends_with("kv_a_proj_with_mqa.weight")) {
                arranged.insert(name, latent::rotated_key(tensor, attention, latent)?);
            } else if attention.differential.is_some()
                && let Some(tensor) = differential::paired(name, tensor, attention)?
            {
                arranged.insert(name, tensor);
            }
        }
        let stacked: Vec<(&Tensor, usize, Format)> = stack
            .iter()
            .map(|(name, at)| {
                let tensor = arranged.get(name.as_str()).map_or_else(|| self.tensor(name), Ok)?;
                Ok((tensor, *at, Format::of(tensor, self.kind)))
            })
            .collect::<Result<_>>()?;
        let qkv = Matrix::load(&self.stream, &name("self_attn.qkv"), &stacked)?;
        let qkv_bias = if attention.qkv_bias {
            let mut bias = Vec::new();
            for part in ["q_proj.bias", "k_proj.bias", "v_proj.bias"] {
                bias.extend(self.values(&own(part))?);
            }
            Some(load_vector(self.stream.gpu, &own("bias"), &bias)?)
        } else {
            None
        };
        let out = if attention.decoupled { "out_proj" } else { "o_proj" };
        let out_bias = if attention.out_bias { Some(self.vector(&own(&format!("{out}.bias")))?) } else { None };
        let mut extras = Vec::new();
        if attention.latent.is_some() {
            extras.extend(self.norm_values(&own("kv_a_layernorm.weight"))?);
        }
        if attention.qk_norm != QkNorm::None {
            extras.extend(self.norm_values(&own("q_norm.weight"))?);
            extras.extend(self.norm_values(&own("k_norm.weight"))?);
        }
        if attention.gate != Gate::None {
            extras.extend(self.values(&own("decoupled_gate_logit"))?);
        }
        if attention.learned_temp {
            extras.extend(self.values(&own("logit_scale"))?);
        }
        let extras = if extras.is_empty() { None } else { Some(load_vector(self.stream.gpu, &own("extras"), &extras)?) };
        let gate_tensor = self.tensor(&name("mlp.gate_proj.weight"))?;
        let up_tensor = self.tensor(&name("mlp.up_proj.weight"))?;
        // One kernel reads both, so they have one format.
        let (gate_format, up_format) = (Format::of(gate_tensor, self.kind), Format::of(up_tensor, self.kind));
        let mlp_format = if gate_format == up_format { gate_format } else { Format::F16 };
        let norm = |norm: Option<&str>| norm.map(|norm| self.norm(&name(&format!("{norm}.weight")))).transpose();
        let blocks = self.model.architecture.layers[index].blocks();
        Ok(LayerWeights {
            norms: blocks.iter().map(|block| Ok([norm(block.before)?, norm(block.after)?])).collect::<Result<_>>()?,
            qkv,
            lambdas: match attention.differential {
                Some(differential) => Some(self.lambdas(index, differential)?),
                None => None,
            },
            latent: attention.latent.map(|latent| self.latent(index, attention, latent)).transpose()?,
            qkv_bias,
            out: self.matrix(&own(&format!("{out}.weight")))?,
            out_bias,
            extras,
            nulls: if attention.null_attn { Some(load_vector(self.stream.gpu, &own("nulls"), &nulls(self.model, index)?)?) } else { None },
            gate: Matrix::of(&self.stream, &name("mlp.gate_proj"), gate_tensor, mlp_format)?,
            up: Matrix::of(&self.stream, &name("mlp.up_proj"), up_tensor, mlp_format)?,
            down: self.matrix(&name("mlp.down_proj.weight"))?,
        })
    }

    fn lambdas(&self, index: usize, differential: Differential) -> Result<Buffer> {
        let of = |name: &str| self.values(&format!("model.layers.{index}.self_attn.lambda_{name}"));
        let product = |one: &str, other: &str| Ok::<f32, Error>(of(one)?.iter().zip(of(other)?).map(|(a, b)| a * b).sum::<f32>().exp());
        let lambda = product("q1", "k1")? - product("q2", "k2")? + differential.lambda_init;
        load_vector(self.stream.gpu, "lambda", &[lambda, 1.0 - differential.lambda_init])
    }

    fn latent(&self, index: usize, attention: &Attention, latent: Latent) -> Result<LatentWeights> {
        let own = |name: &str| format!("model.layers.{index}.self_attn.{name}.weight");
        let query = match latent.query_rank {
            None => None,
            Some(_) => Some((self.matrix(&own("q_a_proj"))?, self.norm(&own("q_a_layernorm"))?)),
        };
        let queries = own(if query.is_some() { "q_b_proj" } else { "q_proj" });
        let [plain, rotated] = latent::query_parts(self.tensor(&queries)?, attention, latent)?;
        let matrix = |tensor: &Tensor, at: usize| Matrix::load(&self.stream, &queries, &[(tensor, at, Format::of(tensor, self.kind))]);
        let [absorb, expand] = latent::head_matrices(self.stream.gpu, self.tensor(&own("kv_b_proj"))?, attention, latent)?;
        Ok(LatentWeights { query, plain: matrix(&plain, 0)?, rotated: matrix(&rotated, Offsets::of(attention).q_geo)?, absorb, expand })
    }

    fn tensor(&self, name: &str) -> Result<&Tensor> {
        tensor(self.model, name)
    }

    fn values(&self, name: &str) -> Result<Vec<f32>> {
        Ok(self.tensor(name)?.to_f32())
    }

    /// The weight of a norm, with what its file leaves out.
    fn norm_values(&self, name: &str) -> Result<Vec<f32>> {
        let offset = self.model.architecture.norm_offset;
        Ok(self.values(name)?.into_iter().map(|weight| weight + offset).collect())
    }

    fn norm(&self, name: &str) -> Result<Buffer> {
        (self.stream.report)(self.tensor(name)?.stored_bytes() as u64);
        load_vector(self.stream.gpu, name, &self.norm_values(name)?)
    }

    fn vector(&self, name: &str) -> Result<Buffer> {
        let tensor = self.tensor(name)?;
        (self.stream.report)(tensor.stored_bytes() as u64);
        load_vector(self.stream.gpu, name, &tensor.to_f32())
    }

    fn matrix(&self, name: &str) -> Result<Matrix> {
        let tensor = self.tensor(name)?;
        Matrix::of(&self.stream, name, tensor, Format::of(tensor, self.kind))
    }
}

fn tensor<'a>(model: &'a Model, name: &str) -> Result<&'a Tensor> {
    model.tensors.get(name).ok_or_else(|| Error::new("the model has no such tensor").at(name))
}

/// The null keys and values of all heads of a layer: `[heads, sem + geo + value]`.
pub(super) fn nulls(model: &Model, index: usize) -> Result<Vec<f32>> {
    let attention = &model.architecture.layers[index].attention;
    let values = |name: &str| -> Result<Vec<f32>> { Ok(tensor(model, &format!("model.layers.{index}.self_attn.{name}"))?.to_f32()) };
    let sem = if attention.sem > 0 { values("k_sem_null")? } else { Vec::new() };
    let (geo, value) = (values("k_geo_null")?, values("v_null")?);
    let mut all = Vec::with_capacity(sem.len() + geo.len() + value.len());
    for head in 0..attention.heads {
        for (values, width) in [(&sem, attention.sem), (&geo, attention.geo), (&value, attention.value)] {
            all.extend_from_slice(values.get(head * width..(head + 1) * width).unwrap_or_default());
        }
    }
    Ok(all)
}
