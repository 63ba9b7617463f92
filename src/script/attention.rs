//! Attention that a script defines: `attention(#{...})`, and the `attention` option of `load`.

use super::closure::{self, Mistake, Parameter};
use super::failure::Answer;
use super::modules::Script;
use super::numbers::Numbers;
use super::values::{Options, described, floats, to_data};
use super::{HostOptions, Run, engine};
use crate::error::{At as _, Error, Result, unknown};
use crate::model::FORM_KEYS;
use crate::runtime::hooks::expression::At;
use crate::runtime::hooks::{Constant, Expression, Hooks, Kind, Sink};
use crate::runtime::seam::Normaliser;
use crate::source::Source;
use rhai::plugin::*;
use rhai::{AST, Array, Engine, EvalAltResult, FLOAT, FnPtr, INT, ImmutableString, Map, Scope};
use std::rc::Rc;

/// What `attention(...)` makes.
#[derive(Clone)]
pub struct Attention {
    pub(super) hooks: Rc<Hooks>,
    layers: Layers,
    score: Option<FnPtr>,
    mask: Option<FnPtr>,
    /// What is changed of the layers themselves: see `FORM_KEYS`.
    form: serde_json::Map<String, serde_json::Value>,
}

/// Which layers are meant.
#[derive(Debug, Clone)]
enum Layers {
    All,
    Listed(Vec<INT>),
    /// True for those that are meant.
    By(Rc<Expression>),
}

/// Words for normalisers; off-by-one is a softmax with a sink of 0.
const NORMALISERS: [(&str, Normaliser); 4] =
    [("softmax", Normaliser::Softmax), ("off_by_one", Normaliser::Softmax), ("sigmoid", Normaliser::Sigmoid), ("relu", Normaliser::Relu)];

/// What functions can be found in, and who is told of mistakes.
struct Place<'a> {
    engine: &'a Engine,
    modules: Vec<&'a Module>,
}

impl Attention {
    fn new(place: &Place, map: Map) -> Answer<Attention> {
        let mut options = Options::new("attention option", map);
        let tables = options.take("tables");
        let (score, mask, layers) = (options.take("score"), options.take("mask"), options.take("layers"));
        let (sink, bias) = (options.take("sink"), options.float("bias")?);
        let normaliser = options.text("normaliser")?.unwrap_or_else(|| "softmax".into());
        let mut form = serde_json::Map::new();
        for key in FORM_KEYS {
            if let Some(value) = options.take(key) {
                let value = to_data(&value).and_then(|value| serde_json::to_value(value).map_err(|error| Error::new(error.to_string())));
                form.insert(key.to_owned(), value.at(format!("attention option `{key}`"))?);
            }
        }
        options.finish()?;

        let Some(&(_, kind)) = NORMALISERS.iter().find(|(name, _)| *name == normaliser.as_str()) else {
            return Err(unknown("normaliser", &normaliser, NORMALISERS.iter().map(|(name, _)| *name)).into());
        };
        let sink = match (sink, normaliser.as_str()) {
            (None, "off_by_one") => Sink::Zero,
            (None, _) => Sink::None,
            (Some(sink), "softmax") => sink_of(&sink)?,
            (Some(_), "off_by_one") => {
                return Err(Error::new("`off_by_one` is a sink of 0 by itself, and a `sink` is given beside it")
                    .remedy("leave one of them out")
                    .into());
            }
            (Some(_), _) => {
                return Err(Error::new(format!("a `sink` is given beside the normaliser `{normaliser}`, which divides by nothing"))
                    .remedy("sinks go with the normaliser \"softmax\"")
                    .into());
            }
        };
        if bias.is_some() && kind == Normaliser::Softmax {
            return Err(Error::new(format!(
                "a `bias` is given beside the normaliser `{normaliser}`, which nothing added to all scores changes"
            ))
            .remedy("a bias goes with \"sigmoid\" and \"relu\"")
            .into());
        }
        let bias = bias.unwrap_or(0.0) as f32;
        if !bias.is_finite() {
            return Err(Error::new(format!("the attention option `bias` is {bias}: expected a number")).into());
        }
        let tables = tables_of(tables)?;
        let function = |name: &'static str, value: Option<Dynamic>, parameters: &[Parameter], kind: Kind| {
            value.map(|value| place.function(name, value, &tables, parameters, kind)).transpose()
        };
        let score = function("score", score, &[Parameter::Score, Parameter::At], Kind::Float)?;
        let mask = function("mask", mask, &[Parameter::At], Kind::Bool)?;
        let layers = match layers {
            None => Layers::All,
            Some(list) if list.is_array() => Layers::Listed(listed(&list)?),
            Some(given) => Layers::By(Rc::new(place.function("layers", given, &tables, &[Parameter::Layer], Kind::Bool)?.1)),
        };
        let (score, score_expression) = score.map_or((None, None), |(function, expression)| (Some(function), Some(expression)));
        let (mask, mask_expression) = mask.map_or((None, None), |(function, expression)| (Some(function), Some(expression)));
        let hooks = Hooks { score: score_expression, mask: mask_expression, sink, normaliser: kind, bias };
        Ok(Attention { hooks: Rc::new(hooks), layers, score, mask, form })
    }

    /// Whether a layer is meant.
    fn is_for(&self, layer: usize) -> bool {
        match &self.layers {
            Layers::All => true,
            Layers::Listed(list) => list.contains(&(layer as INT)),
            Layers::By(expression) => expression.evaluate(0.0, At { layer: layer as i32, ..At::default() }) == Constant::Bool(true),
        }
    }

    /// For a person to read: what it says.
    fn description(&self) -> String {
        let Hooks { score, mask, sink, normaliser, bias } = &*self.hooks;
        let mut parts = Vec::new();
        if score.is_some() {
            parts.push("a score".to_owned());
        }
        if mask.is_some() {
            parts.push("a mask".to_owned());
        }
        match sink {
            Sink::None => {}
            Sink::Zero => parts.push("off-by-one".to_owned()),
            Sink::Numbers(_) => parts.push("a sink".to_owned()),
            Sink::Tensor(name) => parts.push(format!("the sink {name}")),
        }
        match normaliser {
            Normaliser::Softmax => {}
            Normaliser::Sigmoid => parts.push(format!("a sigmoid with bias {bias}")),
            Normaliser::Relu => parts.push(format!("a ReLU with bias {bias}")),
        }
        parts.extend(self.form.iter().map(|(key, value)| format!("{key} {}", value.to_string().trim_matches('"'))));
        if parts.is_empty() {
            parts.push("nothing".to_owned());
        }
        let which = match &self.layers {
            Layers::All => "",
            Layers::Listed(_) | Layers::By(_) => ", for some layers",
        };
        format!("{}{which}", parts.join(", "))
    }
}

impl Place<'_> {
    /// A function of the script, or one that a text holds; and its expression.
    fn function(
        &self,
        name: &'static str,
        value: Dynamic,
        tables: &Map,
        parameters: &[Parameter],
        kind: Kind,
    ) -> Answer<(FnPtr, Expression)> {
        if let Some(text) = value.read_lock::<ImmutableString>() {
            return self.written(name, &text, tables, parameters, kind);
        }
        let Some(function) = value.clone().try_cast::<FnPtr>() else {
            return Err(Error::new(format!("the attention option `{name}` is {}: expected a function", described(&value))).into());
        };
        if !tables.is_empty() {
            return Err(Error::new("`tables` are for functions that are written as text")
                .remedy("a function captures the script's own variables: use the list by its name")
                .into());
        }
        let expression = closure::translate(&self.modules, &function, parameters, kind).map_err(|mistake| told(name, mistake))?;
        Ok((function, expression))
    }

    /// A function that a text holds, as in a manifest. It sees the tables by their names.
    fn written(&self, name: &'static str, text: &str, tables: &Map, parameters: &[Parameter], kind: Kind) -> Answer<(FnPtr, Expression)> {
        let mut scope = Scope::new();
        for (table, value) in tables {
            scope.push_dynamic(table.as_str(), value.clone());
        }
        let at = |error: Error, position: Position| {
            let source = Source::new(name, text);
            let error = match (position.line(), position.position()) {
                (Some(line), Some(column)) => source.point(crate::source::Place { line, column }, error),
                _ => error.at(name),
            };
            Box::<EvalAltResult>::from(error)
        };
        let ast =
            self.engine.compile_with_scope(&scope, text).map_err(|error| at(Error::new(error.err_type().to_string()), error.position()))?;
        let is_function = |value: &Dynamic| value.is_fnptr();
        let value = self.engine.eval_ast_with_scope::<Dynamic>(&mut scope, &ast).ok().filter(is_function);
        let Some(function) = value.and_then(Dynamic::try_cast::<FnPtr>) else {
            return Err(at(
                Error::new("this is not a function")
                    .remedy("write |score, at| ... for a score, |at| ... for a mask, |layer| ... for layers"),
                Position::new(1, 1),
            ));
        };
        let expression =
            closure::translate(&[ast.shared_lib()], &function, parameters, kind).map_err(|mistake| at(mistake.error, mistake.position))?;
        Ok((function, expression))
    }
}

/// A mistake where it is in its script.
#[allow(clippy::boxed_local, reason = "it comes in the box that keeps results small")]
fn told(name: &str, mistake: Box<Mistake>) -> Box<EvalAltResult> {
    let Mistake { error, position, source } = *mistake;
    let error = if position.is_none() { error.at(name) } else { error };
    let inner = Box::new(EvalAltResult::ErrorRuntime(Dynamic::from(error), position));
    match source {
        Some(source) if !position.is_none() => Box::new(EvalAltResult::ErrorInModule(source, inner, Position::NONE)),
        _ => inner,
    }
}

fn sink_of(sink: &Dynamic) -> Answer<Sink> {
    if let Some(name) = sink.read_lock::<ImmutableString>() {
        return Ok(Sink::Tensor(name.to_string()));
    }
    if let Some(number) = sink.as_float().ok().or_else(|| sink.as_int().ok().map(|value| value as f64)) {
        return Ok(Sink::Numbers(vec![number as f32]));
    }
    if sink.is_array() || sink.is::<Numbers>() {
        return Ok(Sink::Numbers(floats(sink)?.into_iter().map(|value| value as f32).collect()));
    }
    let error =
        format!("the attention option `sink` is {}: expected a number, a list of one for each head, or a tensor's name", described(sink));
    Err(Error::new(error).into())
}

fn tables_of(tables: Option<Dynamic>) -> Result<Map> {
    match tables {
        None => Ok(Map::new()),
        Some(tables) => {
            let kind = described(&tables);
            let error = || {
                Error::new(format!("the attention option `tables` is {kind}: expected a map"))
                    .remedy("write tables: #{ slopes: [0.5, 0.25] }")
            };
            tables.try_cast::<Map>().ok_or_else(error)
        }
    }
}

fn listed(list: &Dynamic) -> Result<Vec<INT>> {
    let array = list.clone().into_array().unwrap_or_default();
    let number = |value: Dynamic| {
        value.as_int().map_err(|_| Error::new(format!("`layers` holds {}: expected the numbers of layers, from 0 on", described(&value))))
    };
    array.into_iter().map(number).collect()
}

/// The `attention` option of `load`: a value of `attention(...)`, a map that makes one, or a list of them, the first of which that is for a layer counts.
pub(super) fn of_option(context: &NativeCallContext, value: Option<Dynamic>) -> Answer<Vec<Attention>> {
    let place = Place { engine: context.engine(), modules: context.iter_namespaces().collect() };
    let one = |value: Dynamic| -> Answer<Attention> {
        if let Some(attention) = value.read_lock::<Attention>() {
            return Ok(attention.clone());
        }
        let what = described(&value);
        match value.try_cast::<Map>() {
            Some(map) => Attention::new(&place, map),
            None => Err(Error::new(format!("the model option `attention` is {what}: expected a map, or what attention(...) makes")).into()),
        }
    };
    match value {
        None => Ok(Vec::new()),
        Some(list) if list.is_array() => list.into_array().unwrap_or_default().into_iter().map(one).collect(),
        Some(value) => Ok(vec![one(value)?]),
    }
}

/// What each of so many layers gets.
///
/// # Errors
/// Attention that is for none of them.
pub(super) fn of_layers(attention: &[Attention], layers: usize) -> Result<Vec<Option<Rc<Hooks>>>> {
    if let Some(unused) = attention.iter().find(|attention| !(0..layers).any(|layer| attention.is_for(layer))) {
        return Err(Error::new(format!("{} is for none of the model's {layers} layers", unused.description()))
            .remedy("`layers` counts them from 0"));
    }
    let of = |layer: usize| attention.iter().find(|attention| attention.is_for(layer)).map(|attention| Rc::clone(&attention.hooks));
    Ok((0..layers).map(of).collect())
}

/// What is changed of each layer, before a model is read: as many layers as models have at most.
pub(super) fn forms(attention: &[Attention]) -> Vec<Option<serde_json::Map<String, serde_json::Value>>> {
    if attention.iter().all(|attention| attention.form.is_empty()) {
        return Vec::new();
    }
    const MOST_LAYERS: usize = 1 << 10;
    let of = |layer: usize| {
        let found = attention.iter().find(|attention| attention.is_for(layer));
        found.map(|attention| attention.form.clone()).filter(|form| !form.is_empty())
    };
    (0..MOST_LAYERS).map(of).collect()
}

/// What all of it says, for reports.
pub(super) fn description(attention: &[Attention]) -> String {
    attention.iter().map(Attention::description).collect::<Vec<_>>().join("; ")
}

/// Attention that a text defines, and its functions as Rhai: what kernels are held against.
pub struct Reference {
    engine: Engine,
    ast: AST,
    attention: Attention,
}

impl Reference {
    /// The value of a script that ends with `attention(#{...})`.
    ///
    /// # Errors
    /// A mistake in it, with its place; another value.
    pub fn new(text: &str) -> Result<Reference> {
        let script = Script { name: "attention".to_owned(), text: text.to_owned() };
        let run = Run::new(script, None, HostOptions::default());
        let (ast, _) = run.compile()?;
        let attention = run.engine.eval_ast::<Attention>(&ast).map_err(|error| run.report(error))?;
        Ok(Reference { engine: engine::engine(&run.host), ast, attention })
    }

    /// What the runtime is given.
    pub fn hooks(&self) -> Rc<Hooks> {
        Rc::clone(&self.attention.hooks)
    }

    /// The score, as Rhai computes it; the product itself where there is no function. `None`: Rhai refuses (an index outside a list).
    pub fn score(&self, product: f64, at: At) -> Option<f64> {
        let Some(function) = &self.attention.score else { return Some(product) };
        let value = function.call::<Dynamic>(&self.engine, &self.ast, (product, place(at))).ok()?;
        value.as_float().ok().or_else(|| value.as_int().ok().map(|value| value as f64))
    }

    /// Whether the key is seen, as Rhai computes it.
    pub fn mask(&self, at: At) -> Option<bool> {
        match &self.attention.mask {
            Some(function) => function.call::<bool>(&self.engine, &self.ast, (place(at),)).ok(),
            None => Some(true),
        }
    }
}

/// `at` as a script sees it.
fn place(at: At) -> Map {
    let entry = |(name, value): (&str, i32)| (name.into(), Dynamic::from(INT::from(value)));
    let entries = [
        ("query", at.query),
        ("key", at.key),
        ("head", at.head),
        ("kv_head", at.kv_head),
        ("layer", at.layer),
        ("sequence", at.sequence),
        ("length", at.query.wrapping_add(1)),
    ];
    entries.map(entry).into_iter().collect()
}

#[export_module]
pub(super) mod api {
    /// What attention does to scores, and how they become weights.
    pub type Attention = super::Attention;

    /// Attention as a script defines it, for the option `attention` of `load`. Every entry of the map may be left out:
    ///
    /// | entry | |
    /// |---|---|
    /// | `score` | `|score, at|`: what the scaled product of query and key becomes |
    /// | `mask` | `|at|`: whether the query sees the key; keys behind the query are never seen |
    /// | `sink` | a logit whose value is zero: a number, a list of one for each head, or the name of a tensor with `{layer}` in it |
    /// | `normaliser` | `"softmax"`, `"off_by_one"` (a sink of 0), `"sigmoid"`, `"relu"` (both weigh every value by itself) |
    /// | `bias` | added to every score by `"sigmoid"` and `"relu"` |
    /// | `layers` | `|layer|`, or a list: the layers that are meant, counted from 0 |
    /// | `rope_enabled` | `false`: no RoPE in these layers |
    /// | `rope_base` | the base of RoPE |
    /// | `partial_rotary_factor` | the proportion of each head that RoPE rotates, the first elements |
    /// | `window` | positions that a query looks back, its own included; 0: all |
    /// | `qk_norm` | `"head"`, `"all"`: RMSNorm of queries and keys by `q_norm.weight` and `k_norm.weight` of the checkpoint |
    /// | `output_gate` | `"head"`, `"elementwise"`: outputs times the sigmoid of `gate_proj.weight` of the checkpoint |
    /// | `differential` | pairs of heads, whose outputs are subtracted, by `lambda_q1` ... of the checkpoint as DiffLlama has them |
    /// | `tables` | lists that functions see by their names, where those are written as text |
    ///
    /// `at` has `query` and `key` (positions), `head`, `kv_head`, `layer`, `sequence`, `length` (positions up to the query's). The functions run on the
    /// device: docs/attention.md says what they can hold.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let cap = 30.0;
    /// let capped = attention(#{ score: |score, at| cap * tanh(score / cap) });
    /// let model = load("models/SmolLM2-135M", #{ attention: capped });
    /// ```
    #[rhai_fn(name = "attention", return_raw, volatile)]
    pub fn attention(context: NativeCallContext, map: Map) -> Answer<Attention> {
        let place = super::Place { engine: context.engine(), modules: context.iter_namespaces().collect() };
        super::Attention::new(&place, map)
    }

    /// The slopes of ALiBi for so many heads (O. Press and others, "Train Short, Test Long", 2022): head `h` of `n` has 2^(-8 (h + 1) / n).
    ///
    /// # Example
    /// ```rhai
    /// let slopes = alibi_slopes(8);
    /// let alibi = attention(#{ score: |score, at| score + slopes[at.head] * (at.key - at.query) });
    /// assert(slopes[0] == 0.5, "the first of eight");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn alibi_slopes(heads: INT) -> Answer<Array> {
        let heads = super::super::values::count("the number of heads", heads)?;
        // As the authors' code has it for powers of two; those between take every second slope of the next power from its first on.
        let power = |count: usize| (0..count).map(move |head| 2f64.powf(-8.0 * (head + 1) as f64 / count as f64));
        let below = if heads == 0 { 0 } else { 1 << heads.ilog2() };
        Ok(power(below).chain(power(2 * below).step_by(2).take(heads - below)).map(Dynamic::from).collect())
    }

    /// 1 / (1 + exp(-x))
    pub fn sigmoid(x: FLOAT) -> FLOAT {
        1.0 / (1.0 + (-x).exp())
    }

    /// The natural logarithm.
    #[rhai_fn(name = "log")]
    pub fn log(x: FLOAT) -> FLOAT {
        x.ln()
    }

    /// The natural logarithm of an integer.
    #[rhai_fn(name = "log")]
    pub fn log_of_integer(x: INT) -> FLOAT {
        (x as FLOAT).ln()
    }

    /// The logarithm to base 2.
    #[rhai_fn(name = "log2")]
    pub fn log2(x: FLOAT) -> FLOAT {
        x.log2()
    }

    /// The logarithm of an integer to base 2.
    #[rhai_fn(name = "log2")]
    pub fn log2_of_integer(x: INT) -> FLOAT {
        (x as FLOAT).log2()
    }

    /// The square root of an integer.
    #[rhai_fn(name = "sqrt")]
    pub fn sqrt_of_integer(x: INT) -> FLOAT {
        (x as FLOAT).sqrt()
    }

    /// `base` to the power of `exponent`.
    #[rhai_fn(name = "pow")]
    pub fn pow(base: FLOAT, exponent: FLOAT) -> FLOAT {
        base.powf(exponent)
    }

    /// `value`, but `least` at least and `most` at most.
    ///
    /// # Example
    /// ```rhai
    /// assert(clamp(7, 0, 3) == 3 && clamp(-0.5, 0.0, 1.0) == 0.0, "within");
    /// ```
    #[rhai_fn(name = "clamp")]
    pub fn clamp(value: FLOAT, least: FLOAT, most: FLOAT) -> FLOAT {
        value.max(least).min(most)
    }

    /// As above, of integers.
    #[rhai_fn(name = "clamp")]
    pub fn clamp_integer(value: INT, least: INT, most: INT) -> INT {
        value.max(least).min(most)
    }

    /// For a person to read.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(attention: &mut Attention) -> String {
        format!("attention ({})", attention.description())
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
