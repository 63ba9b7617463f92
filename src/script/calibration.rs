//! Calibration: what a layer's attention is given, what the teacher does with it, and the least-squares problem of a student's projections.

use super::failure::Answer;
use super::matrix::Matrix;
use super::numbers::Numbers;
use super::session::Session;
use super::values::{Options, count, floats, token_list};
use crate::calibration::{self, Captured, Fit, KeyOperator, Paths, Projections, QueryOperator, Sample, Teacher};
use crate::error::{At, Error, Result};
use crate::progress::{Progress, Unit};
use half::f16;
use rhai::plugin::*;
use rhai::{Array, INT, Map};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// The inputs of the attention of some layers.
#[derive(Clone)]
pub struct AttentionInputs(Rc<Captured>);

/// The inputs of one layer's attention.
#[derive(Clone)]
pub struct LayerInputs(Arc<calibration::LayerInputs>);

/// The teacher's attention of one layer at sampled queries.
#[derive(Clone)]
pub struct AttentionSample(Arc<Sample>);

/// A student's projections of one layer against a sample.
#[derive(Clone)]
pub struct ScoreFit(Arc<Fit>);

/// One half of a fit as a linear operator.
#[derive(Clone)]
pub struct ScoreOperator(Rc<Half>);

enum Half {
    Queries(QueryOperator),
    Keys(KeyOperator),
}

/// Runs windows of tokens through a session, each from an empty cache, and keeps what the attention of the layers is given.
fn capture(session: &Session, windows: &Array, layers: Range<usize>) -> Result<Captured> {
    let mut session = session.0.borrow_mut();
    let (width, known) = {
        let architecture = &session.network().model().architecture;
        (architecture.d_model, architecture.layers.len())
    };
    if layers.start >= layers.end || layers.end > known {
        return Err(Error::new(format!("layers {}..{} of a model of {known}", layers.start, layers.end)));
    }
    if session.options().sequences != 1 {
        return Err(Error::new("inputs are captured window by window").remedy("make the session with one sequence"));
    }
    let lists: Vec<Vec<u32>> = windows.iter().map(|window| Ok(token_list(window)?.as_slice().to_vec())).collect::<Result<_>>()?;
    let shown = Progress::new("the inputs of each attention", Some(lists.iter().map(Vec::len).sum::<usize>() as u64), Unit::Of("tokens"));
    let mut captured = Captured { width, first: layers.start, layers: vec![Vec::new(); layers.len()] };
    for (index, list) in lists.into_iter().enumerate() {
        let tokens = list.len();
        session.truncate(0)?;
        captured.layers.iter_mut().for_each(|layer| layer.push(Vec::with_capacity(tokens * width)));
        let visit = |layer: usize, rows: &[f32]| {
            let window = captured.layers[layer - layers.start].last_mut();
            window.into_iter().for_each(|window| window.extend(rows.iter().map(|&value| f16::from_f32(value))));
            match rows.iter().all(|value| value.is_finite()) {
                true => Ok(()),
                false => Err(Error::new(format!("the inputs of layer {layer} are no finite numbers"))),
            }
        };
        session.attention_inputs(&[list], layers.clone(), visit).at(format!("window {index}"))?;
        shown.add(tokens as u64);
    }
    session.truncate(0)?;
    Ok(captured)
}

fn range(what: &str, range: &Range<INT>) -> Result<Range<usize>> {
    Ok(count(what, range.start)?..count(what, range.end)?)
}

fn needed<T>(value: Option<T>, name: &str) -> Result<T> {
    value.ok_or_else(|| Error::new(format!("`{name}` is missing")))
}

fn matrix(options: &mut Options, name: &'static str) -> Result<Matrix> {
    let value = needed(options.take(name), name)?;
    value.try_cast::<Matrix>().ok_or_else(|| Error::new(format!("`{name}` is no matrix")))
}

fn list(options: &mut Options, name: &'static str) -> Answer<Vec<f64>> {
    floats(&needed(options.take(name), name)?)
}

fn values(list: Vec<f64>) -> Dynamic {
    Dynamic::from(Numbers::from(list))
}

#[export_module]
pub(super) mod api {
    /// What the attention of some layers is given over windows of text, kept in half precision.
    pub type AttentionInputs = super::AttentionInputs;

    /// What the attention of one layer is given.
    pub type LayerInputs = super::LayerInputs;

    /// The teacher's scores and attention weights of one layer, at sampled queries over all their keys.
    pub type AttentionSample = super::AttentionSample;

    /// The least-squares problem of a student's queries and keys of one layer.
    pub type ScoreFit = super::ScoreFit;

    /// One half of that problem as a linear operator: queries with the keys fixed, or the other way round.
    pub type ScoreOperator = super::ScoreOperator;

    /// Runs windows (lists of tokens) one by one from an empty cache, and keeps the normalised input of the attention of `layers`: 2 bytes for each
    /// token, layer and element of the width. They leave the device layer by layer.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let session = load("models/SmolLM2-135M").session(#{ context: 512 });
    /// let inputs = session.attention_inputs([random_tokens(49152, 512, 1)], 0..30);
    /// print(inputs.layer(7).second_moment().trace());
    /// ```
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn attention_inputs(session: &mut Session, windows: Array, layers: Range<INT>) -> Answer<AttentionInputs> {
        Ok(AttentionInputs(Rc::new(capture(session, &windows, range("a layer", &layers)?)?)))
    }

    /// The inputs of one layer.
    #[rhai_fn(pure, return_raw)]
    pub fn layer(inputs: &mut AttentionInputs, layer: INT) -> Answer<LayerInputs> {
        Ok(LayerInputs(Arc::new(inputs.0.layer(count("a layer", layer)?)?)))
    }

    /// How many windows there are.
    #[rhai_fn(get = "windows", pure)]
    pub fn windows(inputs: &mut LayerInputs) -> INT {
        inputs.0.windows.len() as INT
    }

    /// `E x x^T` over all tokens, `[d_model, d_model]`.
    #[rhai_fn(pure, return_raw)]
    pub fn second_moment(inputs: &mut LayerInputs) -> Answer<Matrix> {
        Ok(inputs.0.second_moment(None)?.into())
    }

    /// `E w x x^T / E w`, with an array of numbers for each window: a weight for every token.
    #[rhai_fn(name = "second_moment", pure, return_raw)]
    pub fn weighted_second_moment(inputs: &mut LayerInputs, weights: Array) -> Answer<Matrix> {
        let window = |window: &Dynamic| -> Answer<Vec<f32>> { Ok(floats(window)?.into_iter().map(|weight| weight as f32).collect()) };
        let weights: Vec<Vec<f32>> = weights.iter().map(window).collect::<Answer<_>>()?;
        Ok(inputs.0.second_moment(Some(&weights))?.into())
    }

    /// The teacher's attention at sampled queries. Options: `queries` `[heads * size, d_model]` and `keys` `[kv_heads * size, d_model]` (matrices), `heads`, `kv_heads`,
    /// `frequencies` (radians a position, of the `size / 2` rotary pairs), `scale` (default: 1 over the root of the size), `window` (a sliding window; default: none),
    /// `windows` (a range of the inputs' windows; default: all), `sample` (queries of each window, drawn evenly; default: 192) and `seed`.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn attention(inputs: &mut LayerInputs, options: Map) -> Answer<AttentionSample> {
        let mut options = Options::new("option of a sample of attention", options);
        let (queries, keys) = (matrix(&mut options, "queries")?, matrix(&mut options, "keys")?);
        let heads = needed(options.count("heads")?, "heads")?;
        let kv_heads = needed(options.count("kv_heads")?, "kv_heads")?;
        let frequencies: Vec<f32> = list(&mut options, "frequencies")?.into_iter().map(|frequency| frequency as f32).collect();
        let scale = options.float("scale")?;
        let window = options.count("window")?;
        let windows = options.take("windows");
        let sample = options.count("sample")?.unwrap_or(192);
        let seed = options.integer("seed")?.unwrap_or(0) as u64;
        options.finish()?;
        let windows = match windows {
            None => 0..inputs.0.windows.len(),
            Some(value) => match value.try_cast::<Range<INT>>() {
                Some(given) => range("a window", &given)?,
                None => return Err(Error::new("`windows` is no range such as 0..12").into()),
            },
        };
        let size = queries.0.rows() / heads.max(1);
        let scale = scale.unwrap_or(1.0 / (size.max(1) as f64).sqrt());
        let (queries, keys) = ((*queries.0).clone(), (*keys.0).clone());
        let teacher = Teacher { heads, kv_heads, queries, keys, frequencies, scale, window };
        Ok(AttentionSample(Arc::new(Sample::new(&inputs.0, teacher, windows, sample, seed)?)))
    }

    /// The second moment of the inputs as key head `head` is asked for them: each weighed by `sum p (1 - p)` of its attention weights.
    #[rhai_fn(pure, return_raw)]
    pub fn key_moment(sample: &mut AttentionSample, head: INT) -> Answer<Matrix> {
        Ok(sample.0.key_moment(count("a head", head)?)?.into())
    }

    /// The second moment of what key head `head` fetches: of `z_t = sum_u p_tu x_u`.
    #[rhai_fn(pure, return_raw)]
    pub fn value_moment(sample: &mut AttentionSample, head: INT) -> Answer<Matrix> {
        Ok(sample.0.value_moment(count("a head", head)?)?.into())
    }

    /// The mean `cosines` and `sines` of the angles between query and key, for each of the teacher's rotary pairs, distances weighed by `sum p (1 - p)` of key head
    /// `head`.
    #[rhai_fn(pure, return_raw)]
    pub fn mean_turns(sample: &mut AttentionSample, head: INT) -> Answer<Map> {
        let frequencies = sample.0.teacher().frequencies.clone();
        let (cosines, sines) = sample.0.mean_turns(count("a head", head)?, &frequencies)?;
        Ok(Map::from_iter([("cosines".into(), values(cosines)), ("sines".into(), values(sines))]))
    }

    /// For each rotary pair of key head `head`: what of its contribution `f` to the scores a path without rotation can't imitate, `sum_t Var_p(f - f0)`, where `f0` is
    /// that of keys turned once for all by `turns` (as `mean_turns` gives them; without: `Var_p(f)`). `step`: every so-manieth query counts.
    #[rhai_fn(pure, return_raw)]
    pub fn pair_errors(sample: &mut AttentionSample, head: INT, turns: Map, step: INT) -> Answer<Numbers> {
        let pairs = sample.0.teacher().frequencies.len();
        let mut options = Options::new("part of turns", turns);
        let part = |value: Option<Dynamic>| value.map_or(Ok(vec![0.0; pairs]), |value| floats(&value));
        let (cosines, sines) = (part(options.take("cosines"))?, part(options.take("sines"))?);
        options.finish()?;
        Ok(sample.0.pair_errors(count("a head", head)?, &cosines, &sines, count("the step", step)?)?.into())
    }

    /// The problem `minimise sum_t Var_p (S_tu - (R_t Q x_t).(R_u K x_u))` for a student of `kv_heads` key heads, each of `sem` rows that never turn and `geo` rows that
    /// turn by its own list in `frequencies` (an array of `geo / 2` numbers for each head). `Q` is `[heads * (sem + geo), d_model]`, scale included, and `K`
    /// `[kv_heads * (sem + geo), d_model]`.
    #[rhai_fn(pure, return_raw)]
    pub fn fit(sample: &mut AttentionSample, options: Map) -> Answer<ScoreFit> {
        let mut options = Options::new("option of a fit", options);
        let kv_heads = needed(options.count("kv_heads")?, "kv_heads")?;
        let sem = needed(options.count("sem")?, "sem")?;
        let geo = needed(options.count("geo")?, "geo")?;
        let lists = needed(options.take("frequencies"), "frequencies")?;
        options.finish()?;
        let lists = lists.try_cast::<Array>().ok_or_else(|| Error::new("`frequencies` is no array of one list for each key head"))?;
        let list = |list: &Dynamic| -> Answer<Vec<f32>> { Ok(floats(list)?.into_iter().map(|value| value as f32).collect()) };
        let frequencies = lists.iter().map(list).collect::<Answer<_>>()?;
        Ok(ScoreFit(Arc::new(Fit::new(&sample.0, Paths { kv_heads, sem, geo, frequencies })?)))
    }

    /// The same problem with errors weighed by the mean of the teacher's attention and that of these queries and keys.
    #[rhai_fn(pure, return_raw)]
    pub fn weighed_by(fit: &mut ScoreFit, queries: Matrix, keys: Matrix) -> Answer<ScoreFit> {
        Ok(ScoreFit(Arc::new(fit.0.weighed_by(Projections { queries: &queries.0, keys: &keys.0 })?)))
    }

    /// The queries' problem with these keys.
    #[rhai_fn(pure, return_raw)]
    pub fn queries_given(fit: &mut ScoreFit, keys: Matrix) -> Answer<ScoreOperator> {
        Ok(ScoreOperator(Rc::new(Half::Queries(QueryOperator::new(&fit.0, &keys.0)?))))
    }

    /// The keys' problem with these queries.
    #[rhai_fn(pure, return_raw)]
    pub fn keys_given(fit: &mut ScoreFit, queries: Matrix) -> Answer<ScoreOperator> {
        Ok(ScoreOperator(Rc::new(Half::Keys(KeyOperator::new(&fit.0, &queries.0)?))))
    }

    /// The operator's image of a matrix: half the gradient of the squared error at `x`, but for `right`.
    #[rhai_fn(pure, return_raw)]
    pub fn apply(operator: &mut ScoreOperator, x: Matrix) -> Answer<Matrix> {
        let image = match &*operator.0 {
            Half::Queries(half) => half.apply(&x.0)?,
            Half::Keys(half) => half.apply(&x.0)?,
        };
        Ok(image.into())
    }

    /// The right side: the error is least where `apply(x)` is this.
    #[rhai_fn(pure, return_raw)]
    pub fn right(operator: &mut ScoreOperator) -> Answer<Matrix> {
        let right = match &*operator.0 {
            Half::Queries(half) => half.right()?,
            Half::Keys(half) => half.right()?,
        };
        Ok(right.into())
    }

    /// How far queries and keys are from the teacher's attention: `score_error`, `sqrt(sum Var_p(S - Shat) / sum Var_p(S))`, and `attention_kl`, the mean of `KL(p || phat)`
    /// in nats.
    #[rhai_fn(pure, return_raw)]
    pub fn errors(fit: &mut ScoreFit, queries: Matrix, keys: Matrix) -> Answer<Map> {
        let (score, divergence) = fit.0.errors(Projections { queries: &queries.0, keys: &keys.0 })?;
        Ok(Map::from_iter([("score_error".into(), score.into()), ("attention_kl".into(), divergence.into())]))
    }

    /// The error of what the whole attention gives, relative to the teacher's: a map with `queries`, `keys`, `values` and `out` of the student, and
    /// `teacher_values` and `teacher_out`.
    #[rhai_fn(pure, return_raw)]
    pub fn output_error(fit: &mut ScoreFit, parts: Map) -> Answer<f64> {
        let mut options = Options::new("part of an attention", parts);
        let [queries, keys, values, out, teacher_values, teacher_out] =
            ["queries", "keys", "values", "out", "teacher_values", "teacher_out"].map(|name| matrix(&mut options, name));
        options.finish()?;
        let (queries, keys, values, out) = (queries?, keys?, values?, out?);
        let (teacher_values, teacher_out) = (teacher_values?, teacher_out?);
        let projections = Projections { queries: &queries.0, keys: &keys.0 };
        Ok(fit.0.output_error(projections, (&values.0, &out.0), (&teacher_values.0, &teacher_out.0))?)
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
