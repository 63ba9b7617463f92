//! What is inside a pass: the residual stream between layers, and what attention weighs.

use super::failure::Answer;
use super::numbers::Numbers;
use super::session::Session;
use super::values::{Options, places};
use crate::error::{Error, Result};
use crate::runtime::{AttentionRow, Looked};
use rhai::plugin::*;
use rhai::{Array, EvalAltResult, FnPtr, INT, Map};
use std::collections::HashMap;

/// Most numbers that are returned at once: a gigabyte. A function that is given row by row has no such limit.
const MOST: usize = 1 << 28;

fn too_many(what: &str, count: usize) -> Error {
    Error::new(format!("{what} are {count} numbers, more than the {MOST} that are returned at once"))
        .remedy("choose fewer of them, or give a function as the last argument: it is called with row after row, and nothing is kept")
}

/// A script's function that is told of rows, and what it failed with.
struct Listener<'a> {
    context: &'a NativeCallContext<'a>,
    function: &'a FnPtr,
    failure: Option<Box<EvalAltResult>>,
}

impl Listener<'_> {
    fn tell(&mut self, row: Map) -> Result<()> {
        match self.function.call_within_context::<Dynamic>(self.context, (row,)) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.failure = Some(error);
                Err(Error::new("the function that is called with each row has failed"))
            }
        }
    }

    fn result(self, result: Result<()>) -> Answer<()> {
        match self.failure {
            Some(error) => Err(error),
            None => Ok(result?),
        }
    }
}

fn row<const N: usize>(places: [(&str, usize); N], name: &str, values: &[f32]) -> Map {
    let mut map: Map = places.into_iter().map(|(name, place)| (name.into(), (place as INT).into())).collect();
    map.insert(name.into(), Dynamic::from(Numbers::from(values.to_vec())));
    map
}

/// A matrix `[rows, width]` as an array of its rows, which share its memory.
fn rows_of(values: Vec<f32>, width: usize) -> Result<Dynamic> {
    let rows = values.len() / width.max(1);
    let values = Numbers::from(values);
    let row = |index: usize| Ok(Dynamic::from(values.slice((index * width) as INT, ((index + 1) * width) as INT)?));
    Ok(Dynamic::from_array((0..rows).map(row).collect::<Result<_>>()?))
}

/// The states that are asked for, in order.
fn states(session: &Session, options: Map) -> Result<Vec<usize>> {
    let mut options = Options::new("hidden_states option", options);
    let last = session.look()?.network().model().architecture.layers.len();
    let layers = options.places("layers", last + 1)?.unwrap_or_else(|| (0..=last).collect());
    options.finish()?;
    Ok(layers)
}

/// What of attention is asked for.
struct Asked {
    layers: Vec<usize>,
    heads: Vec<usize>,
    /// By sequence: places in its list of tokens.
    queries: Vec<Vec<usize>>,
}

impl Asked {
    fn of(session: &Session, lists: &[Vec<u32>], options: Map) -> Result<Asked> {
        let mut options = Options::new("attention_weights option", options);
        let all: Vec<usize> = session.look()?.network().model().architecture.layers.iter().map(|layer| layer.attention.heads).collect();
        let layers = options.places("layers", all.len())?.unwrap_or_else(|| (0..all.len()).collect());
        let fewest = layers.iter().map(|&layer| all[layer]).min().unwrap_or(0);
        let heads = options.places("heads", fewest)?.unwrap_or_else(|| (0..fewest).collect());
        let queries = options.take("queries");
        options.finish()?;
        let of = |list: &Vec<u32>| match &queries {
            Some(given) => places("attention_weights option `queries`", given, list.len()),
            None => Ok((0..list.len()).collect()),
        };
        let queries = lists.iter().map(of).collect::<Result<_>>()?;
        Ok(Asked { layers, heads, queries })
    }

    fn looked(&self) -> Looked<'_> {
        Looked { layers: &self.layers, heads: &self.heads, queries: Some(&self.queries) }
    }
}

#[export_module]
pub(super) mod api {
    /// Appends tokens and returns the residual stream between layers: `states[l][t]` is that of token `t` at the `l`-th of the chosen layers, `d_model`
    /// numbers. Layer `i` stands for its input (0: the embedding), as many as there are layers for the output of the last one, before the final norm.
    ///
    /// | option | default | |
    /// |---|---|---|
    /// | `layers` | all, and the output of the last | a number, a list or a range; -1 is the output of the last layer |
    ///
    /// The tokens of several sequences follow each other.
    ///
    /// # Example
    /// ```rhai
    /// let model = load("models/austen");
    /// let tokens = model.tokenize("She was");
    /// let states = model.session(#{ context: 64 }).hidden_states(tokens, #{ layers: [0, -1] });
    /// assert(states.len == 2 && states[1].len == tokens.len && states[1][0].len == model.d_model, "a state for each token");
    /// ```
    #[rhai_fn(name = "hidden_states", pure, return_raw, volatile)]
    pub fn hidden_states(session: &mut Session, tokens: Dynamic, options: Map) -> Answer<Array> {
        let layers = states(session, options)?;
        let lists = session.lists(&tokens)?;
        let width = session.look()?.network().model().architecture.d_model;
        let numbers = lists.iter().map(Vec::len).sum::<usize>() * width * layers.len();
        if numbers > MOST {
            return Err(too_many("these states", numbers).into());
        }
        let mut found: HashMap<usize, Vec<f32>> = HashMap::new();
        session.open()?.hidden_states(&lists, &layers, |layer, _, _, state| {
            found.entry(layer).or_default().extend_from_slice(state);
            Ok(())
        })?;
        let of = |layer: &usize| rows_of(found.get(layer).cloned().unwrap_or_default(), width);
        Ok(layers.iter().map(of).collect::<Result<_>>()?)
    }

    /// As `hidden_states(tokens, #{})`: all layers.
    #[rhai_fn(name = "hidden_states", pure, return_raw, volatile)]
    pub fn all_hidden_states(session: &mut Session, tokens: Dynamic) -> Answer<Array> {
        hidden_states(session, tokens, Map::new())
    }

    /// As `hidden_states(tokens, options)`, and keeps nothing: `heard` is called with each state as it leaves the device, a map with `layer`, `sequence`,
    /// `position` and `state`.
    ///
    /// # Example
    /// ```rhai
    /// let model = load("models/austen");
    /// let largest = [];
    /// model.session(#{ context: 64 }).hidden_states(model.tokenize("She was"), #{ layers: -1 }, |at| largest.push(at.state.abs().max()));
    /// assert(largest.all(|value| value > 0.0), "a number for each token");
    /// ```
    #[rhai_fn(name = "hidden_states", pure, return_raw, volatile)]
    pub fn hear_hidden_states(
        context: NativeCallContext,
        session: &mut Session,
        tokens: Dynamic,
        options: Map,
        heard: FnPtr,
    ) -> Answer<()> {
        let layers = states(session, options)?;
        let lists = session.lists(&tokens)?;
        let mut listener = Listener { context: &context, function: &heard, failure: None };
        let result = session.open()?.hidden_states(&lists, &layers, |layer, sequence, position, state| {
            listener.tell(row([("layer", layer), ("sequence", sequence), ("position", position)], "state", state))
        });
        listener.result(result)
    }

    /// Appends tokens and returns what attention weighs: `weights[l][h][q][p]` is the weight that the `q`-th of the chosen queries gives to position `p`, in
    /// the `h`-th of the chosen heads of the `l`-th of the chosen layers. They are those of the session: of keys as its cache holds them, with windows, sinks,
    /// null keys and whatever a script has made of the scores. Positions ahead of a query weigh 0; what is missing to a sum of 1 went to a sink or a null key.
    ///
    /// | option | default | |
    /// |---|---|---|
    /// | `layers` | all | a number, a list or a range; -1 is the last |
    /// | `heads` | all | as `layers` |
    /// | `queries` | all | places among `tokens`; -1 is the last token |
    ///
    /// The queries of several sequences follow each other.
    ///
    /// # Example
    /// ```rhai
    /// let model = load("models/austen");
    /// let session = model.session(#{ context: 64 });
    /// let weights = session.attention_weights(model.tokenize("It is a truth"), #{ layers: 0, heads: [0, 1], queries: -1 });
    /// let of_last_token = weights[0][1][0];
    /// assert((of_last_token.sum() - 1.0).abs() < 1e-4, "they sum up to 1");
    /// print(`head 1 looks most at position ${of_last_token.argmax()}`);
    /// ```
    #[rhai_fn(name = "attention_weights", pure, return_raw, volatile)]
    pub fn attention_weights(session: &mut Session, tokens: Dynamic, options: Map) -> Answer<Array> {
        let lists = session.lists(&tokens)?;
        let asked = Asked::of(session, &lists, options)?;
        let starts: Vec<usize> = session.look()?.lengths().to_vec();
        let length = starts.iter().zip(&lists).map(|(start, list)| start + list.len()).max().unwrap_or(0);
        let queries: usize = asked.queries.iter().map(Vec::len).sum();
        let numbers = queries * length * asked.layers.len() * asked.heads.len();
        if numbers > MOST {
            return Err(too_many("these weights", numbers).into());
        }
        // Where each query's row stands in a matrix.
        let places = asked.queries.iter().enumerate().flat_map(|(sequence, queries)| queries.iter().map(move |query| (sequence, *query)));
        let mut rows: HashMap<(usize, usize), Vec<usize>> = HashMap::new();
        places.zip(0..).for_each(|(place, row)| rows.entry(place).or_default().push(row));
        let mut found: HashMap<(usize, usize), Vec<f32>> = HashMap::new();
        session.open()?.attention_weights(&lists, &asked.looked(), |AttentionRow { layer, head, sequence, position, weights }| {
            let matrix = found.entry((layer, head)).or_insert_with(|| vec![0.0; queries * length]);
            for row in rows.get(&(sequence, position - starts[sequence])).into_iter().flatten() {
                matrix[row * length..row * length + weights.len()].copy_from_slice(weights);
            }
            Ok(())
        })?;
        let of_head = |layer: usize, head: usize| rows_of(found.get(&(layer, head)).cloned().unwrap_or_default(), length);
        let of_layer =
            |layer: &usize| Ok(Dynamic::from_array(asked.heads.iter().map(|head| of_head(*layer, *head)).collect::<Result<_>>()?));
        Ok(asked.layers.iter().map(of_layer).collect::<Result<_>>()?)
    }

    /// As `attention_weights(tokens, #{})`: all layers, heads and queries.
    #[rhai_fn(name = "attention_weights", pure, return_raw, volatile)]
    pub fn all_attention_weights(session: &mut Session, tokens: Dynamic) -> Answer<Array> {
        attention_weights(session, tokens, Map::new())
    }

    /// As `attention_weights(tokens, options)`, and keeps nothing: `heard` is called with each query's weights as they leave the device, a map with `layer`,
    /// `head`, `sequence`, `position` (of the query) and `weights` (of positions 0 to `position`). So a long text's weights can be summed up.
    ///
    /// # Example
    /// ```rhai
    /// let model = load("models/austen");
    /// let session = model.session(#{ context: 64 });
    /// let entropies = [];
    /// session.attention_weights(model.tokenize("It is a truth"), #{ layers: 0 }, |at| {
    ///     entropies.push(#{ head: at.head, entropy: -(at.weights * (at.weights + 1e-30).ln()).sum() });
    /// });
    /// assert(entropies.all(|row| row.entropy >= 0.0), "in nats");
    /// ```
    #[rhai_fn(name = "attention_weights", pure, return_raw, volatile)]
    pub fn hear_attention_weights(
        context: NativeCallContext,
        session: &mut Session,
        tokens: Dynamic,
        options: Map,
        heard: FnPtr,
    ) -> Answer<()> {
        let lists = session.lists(&tokens)?;
        let asked = Asked::of(session, &lists, options)?;
        let mut listener = Listener { context: &context, function: &heard, failure: None };
        let result = session.open()?.attention_weights(&lists, &asked.looked(), |found| {
            let AttentionRow { layer, head, sequence, position, weights } = found;
            let places = [("layer", layer), ("head", head), ("sequence", sequence), ("position", position)];
            listener.tell(row(places, "weights", weights))
        });
        listener.result(result)
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
