//! Attention that a script defines: what it gave, and what a layer's kernels make of it.

pub mod expression;
mod map;
mod reach;
mod wgsl;

pub use expression::{Constant, Expression, Kind, Operation, Place, Table, TableValues};
pub use map::TileMap;
pub use wgsl::literal;

use super::seam::{Normaliser, Seam, SinkKind};
use crate::error::{At, Error, Result};
use crate::gpu::{Buffer, Gpu, Purpose};
use crate::model::{Attention, Model};
use std::rc::Rc;

/// A term of the softmax's divisor.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Sink {
    #[default]
    None,
    /// A logit of zero: off-by-one.
    Zero,
    /// A logit for each head, or one for all of them.
    Numbers(Vec<f32>),
    /// The name of a tensor `[heads]` of the checkpoint; `{layer}` stands for the layer's number.
    Tensor(String),
}

/// What a script says of attention.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hooks {
    /// A float made of the score and of `at`.
    pub score: Option<Expression>,
    /// Whether a query sees a key that isn't behind it.
    pub mask: Option<Expression>,
    pub sink: Sink,
    pub normaliser: Normaliser,
    /// Added to every score by the sigmoid and the ReLU.
    pub bias: f32,
}

/// How far queries look back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Positions, the query's own included ...
    pub window: usize,
    /// ... and so many from the beginning of the sequence.
    pub first: usize,
}

impl Reach {
    /// Where no key is seen that either of the two hides.
    fn and(self, other: Reach) -> Reach {
        let window = self.window.min(other.window);
        let first = if self.window <= other.window { self.first } else { other.first };
        Reach { window, first }
    }
}

/// The hooks of one layer, with their data on the device.
pub(super) struct LayerHooks {
    hooks: Rc<Hooks>,
    words: Vec<u32>,
    layer: usize,
    heads: usize,
    kv_heads: usize,
    /// As [`Hooks::data`] has it.
    pub data: Rc<Buffer>,
}

impl Hooks {
    /// The seam of a layer's kernels, with a null key and the data at these bindings.
    pub fn seam(&self, heads: usize, null: bool, null_binding: usize, data_binding: usize) -> Seam {
        // The layer's number and the logits lie before the tables.
        let tables_at = 1 + if self.has_logits() { heads } else { 0 };
        let functions =
            if self.has_functions() { wgsl::functions(self.score.as_ref(), self.mask.as_ref(), tables_at) } else { String::new() };
        Seam {
            null,
            null_binding,
            normaliser: self.normaliser,
            bias: wgsl::literal(self.bias),
            sink: self.sink_kind(),
            data_binding: if self.needs_data() { data_binding } else { 0 },
            functions,
            score: self.score.is_some(),
            mask: self.mask.is_some(),
            hides: self.has_functions(),
            ..Seam::default()
        }
    }

    /// The seam of the kernel that merges splits, with the data at this binding.
    pub fn merging_seam(&self, data_binding: usize) -> Seam {
        Seam {
            normaliser: self.normaliser,
            sink: self.sink_kind(),
            data_binding: if self.has_logits() { data_binding } else { 0 },
            hides: self.has_functions(),
            ..Seam::default()
        }
    }

    fn sink_kind(&self) -> SinkKind {
        match self.sink {
            Sink::None => SinkKind::None,
            Sink::Zero => SinkKind::Zero,
            Sink::Numbers(_) | Sink::Tensor(_) => SinkKind::Heads,
        }
    }

    /// Whether the kernels hold expressions of a script.
    pub fn has_functions(&self) -> bool {
        self.score.is_some() || self.mask.is_some()
    }

    /// Whether there are logits of sinks in the data: the kernel that merges splits reads nothing else.
    pub fn has_logits(&self) -> bool {
        matches!(self.sink, Sink::Numbers(_) | Sink::Tensor(_))
    }

    /// Whether the kernels read the data.
    pub fn needs_data(&self) -> bool {
        self.has_functions() || self.has_logits()
    }

    /// The data of one layer, whose sink has these logits: the layer's number, the logits, the tables of the score, those of the mask.
    pub fn data(&self, layer: usize, logits: &[f32]) -> Vec<u32> {
        let expressions = || [&self.score, &self.mask].into_iter().flatten();
        // Layers whose data is the same share it.
        let depends = expressions().any(|expression| expression.depends_on(Place::Layer));
        let mut words = vec![if depends { layer as u32 } else { 0 }];
        words.extend(logits.iter().map(|logit| logit.to_bits()));
        words.extend(expressions().flat_map(|expression| &expression.tables).flat_map(Table::words));
        words
    }

    /// Which tiles of keys the mask hides over a context of so many positions; `None` where it hides too few to ask.
    pub fn map(&self, context: usize, heads: usize, kv_heads: usize, layer: usize) -> Option<TileMap> {
        map::map(self.mask.as_ref()?, self.reach(context, heads, kv_heads, layer), context, heads, kv_heads, layer)
    }

    /// How far the mask looks back over a context of so many positions, where that is proven to be less than all of them.
    pub fn reach(&self, context: usize, heads: usize, kv_heads: usize, layer: usize) -> Option<Reach> {
        reach::reach(self.mask.as_ref()?, context, heads, kv_heads, layer)
    }
}

impl LayerHooks {
    /// The hooks of each of a model's layers that has some. Layers with the same data share it.
    ///
    /// # Errors
    /// A sink whose tensor is not there or not one number a head; no room on the device.
    pub fn of_layers(gpu: &Gpu, model: &Model, layers: &[Option<Rc<Hooks>>]) -> Result<Vec<Option<LayerHooks>>> {
        let mut made: Vec<(Vec<u32>, Rc<Buffer>)> = Vec::new();
        let mut one = |(layer, hooks): (usize, &Option<Rc<Hooks>>)| {
            let Some(hooks) = hooks else { return Ok(None) };
            let attention = &model.architecture.layers[layer].attention;
            let words = hooks.data(layer, &logits(hooks, model, layer).at(format!("the attention of layer {layer}"))?);
            let data = match made.iter().find(|(known, _)| *known == words) {
                Some((_, buffer)) => Rc::clone(buffer),
                None => {
                    let buffer = Rc::new(gpu.buffer_of("the data of a script's attention", &words, Purpose::Weights)?);
                    made.push((words.clone(), Rc::clone(&buffer)));
                    buffer
                }
            };
            Ok(Some(LayerHooks { hooks: Rc::clone(hooks), words, layer, heads: attention.heads, kv_heads: attention.kv_heads, data }))
        };
        layers.iter().enumerate().map(&mut one).collect()
    }

    /// The seam of the layer's kernels, with a null key and the data at these bindings.
    pub fn seam(&self, null: bool, null_binding: usize, data_binding: usize) -> Seam {
        self.hooks.seam(self.heads, null, null_binding, data_binding)
    }

    /// The layer's map of tiles over a context of so many positions, with the other data before it; `None` where no tile is left out.
    ///
    /// # Errors
    /// No room on the device.
    pub fn map(&self, gpu: &Gpu, context: usize) -> Result<Option<LayerMap>> {
        let Some(map) = self.hooks.map(context, self.heads, self.kv_heads, self.layer) else { return Ok(None) };
        let words = [self.words.as_slice(), &map.words].concat();
        let data = gpu.buffer_of("the map of a script's mask", &words, Purpose::Scratch)?;
        Ok(Some(LayerMap { at: self.words.len(), map, data }))
    }

    /// What the script gave.
    pub fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    fn reach(&self, context: usize) -> Option<Reach> {
        self.hooks.reach(context, self.heads, self.kv_heads, self.layer)
    }
}

/// A layer's map of tiles, on the device.
pub(super) struct LayerMap {
    map: TileMap,
    /// Words of other data before it.
    at: usize,
    /// In place of the hooks' own data.
    pub data: Buffer,
}

impl LayerMap {
    /// The seam with the map.
    pub fn seam(&self, seam: Seam) -> Seam {
        self.map.seam(self.at, seam)
    }
}

/// How far a layer's queries look back over a context of so many positions: by its own window and by what a script says. `None`: to the beginning.
pub(super) fn reach(attention: &Attention, hooks: Option<&LayerHooks>, context: usize) -> Option<Reach> {
    let window = attention.window.filter(|window| *window < context).map(|window| Reach { window, first: 0 });
    match (window, hooks.and_then(|hooks| hooks.reach(context))) {
        (Some(window), Some(reach)) => Some(window.and(reach)),
        (window, reach) => window.or(reach),
    }
}

/// The logits of a layer's sink: one a head, or nothing.
fn logits(hooks: &Hooks, model: &Model, layer: usize) -> Result<Vec<f32>> {
    let heads = model.architecture.layers[layer].attention.heads;
    let logits = match &hooks.sink {
        Sink::None | Sink::Zero => return Ok(Vec::new()),
        Sink::Numbers(numbers) if numbers.len() == 1 => vec![numbers[0]; heads],
        Sink::Numbers(numbers) => numbers.clone(),
        Sink::Tensor(name) => {
            let name = name.replace("{layer}", &layer.to_string());
            let tensor = model.tensors.get(&name).ok_or_else(|| {
                Error::new(format!("the sink's tensor `{name}` is not in the checkpoint"))
                    .remedy("`caramba inspect` lists the tensors; {layer} in the name stands for the layer's number")
            })?;
            tensor.to_f32()
        }
    };
    if logits.len() != heads {
        return Err(Error::new(format!(
            "the sink has {} logits, expected {heads}: one for each head, or one number for all",
            logits.len()
        )));
    }
    match logits.iter().find(|logit| !logit.is_finite()) {
        Some(logit) => Err(Error::new(format!("a logit of the sink is {logit}, expected a number"))),
        None => Ok(logits),
    }
}
