//! Sessions: sequences of tokens with their cache on the device.

use super::failure::Answer;
use super::model::{Model, cache_kinds};
use super::numbers::Numbers;
use super::tokens::Tokens;
use super::values::{self, Options, token_list};
use crate::error::{Error, Result};
use crate::gpu::{KernelTime, Stopwatch};
use crate::runtime::{self, GenerateOptions, Generated, Profile, SessionOptions};
use crate::terminal;
use rhai::plugin::*;
use rhai::{Array, INT, Map};
use std::cell::RefCell;
use std::rc::Rc;

/// A batch of sequences. Copies are the same session.
#[derive(Clone)]
pub struct Session(pub(super) Rc<RefCell<runtime::Session>>);

/// A default context: long enough for a text, and small enough to be allocated without a thought.
const CONTEXT: usize = 2048;

/// A session of `model`; the options are documented where scripts call it.
pub(super) fn new(model: &Model, options: Map) -> Result<Session> {
    let mut options = Options::new("session option", options);
    let cache = cache_kinds(&mut options)?;
    let longest = model.architecture().context;
    let context = options.count("context")?.unwrap_or_else(|| CONTEXT.min(longest));
    let sequences = options.count("sequences")?.unwrap_or(1);
    let chunk = options.count("chunk")?;
    options.finish()?;
    if context == 0 || sequences == 0 || chunk == Some(0) {
        let message = format!("a session of {sequences} sequences of {context} tokens: expected 1 or more of each");
        return Err(Error::new(message));
    }
    let options = SessionOptions { context, sequences, cache, chunk };
    let gpu = model.network.gpu();
    let known = gpu.kernel_count();
    let mut session = runtime::Session::new(&model.network, &options)?;
    // Drivers translate a kernel when it first runs: that is done here, and not within what a script times.
    if gpu.kernel_count() > known {
        session.prefill(&vec![vec![0]; sequences])?;
        session.decode(usize::from(context > 1))?;
        session.truncate(0)?;
    }
    Ok(Session(Rc::new(RefCell::new(session))))
}

impl Session {
    fn sequences(&self) -> usize {
        self.0.borrow().options().sequences
    }

    /// What a script gives as one list of tokens, or as an array of one for each sequence.
    fn lists(&self, tokens: &Dynamic) -> Result<Vec<Vec<u32>>> {
        let sequences = self.sequences();
        let nested = tokens.as_array_ref().is_ok_and(|array| array.iter().any(|element| element.is::<Tokens>() || element.is_array()));
        let lists: Vec<Vec<u32>> = match tokens.as_array_ref() {
            Ok(array) if nested => array.iter().map(|element| Ok(token_list(element)?.as_slice().to_vec())).collect::<Result<_>>()?,
            _ => vec![token_list(tokens)?.as_slice().to_vec()],
        };
        if lists.len() != sequences {
            let message = format!("the session has {sequences} sequences, and is given {} lists of tokens", lists.len());
            return Err(Error::new(message).remedy("give an array with one list of tokens for each sequence"));
        }
        Ok(lists)
    }

    /// One value where there is one sequence, else an array of them.
    fn per_sequence(&self, mut values: Vec<Dynamic>) -> Dynamic {
        if self.sequences() == 1 && values.len() == 1 { values.remove(0) } else { Dynamic::from_array(values) }
    }

    fn generated(&self, generated: Generated, with_text: bool) -> Map {
        let text = |(before, tokens): (&Vec<u32>, &Vec<u32>)| {
            let session = self.0.borrow();
            session.network().model().tokenizer().ok()?.decode_after(before, tokens).ok()
        };
        let mut map = Map::new();
        if with_text {
            let texts = generated.before.iter().zip(&generated.tokens).map(|pair| text(pair).map_or(Dynamic::UNIT, Into::into)).collect();
            map.insert("text".into(), self.per_sequence(texts));
            map.insert("ended".into(), self.per_sequence(generated.ended.iter().map(|&ended| ended.into()).collect()));
        }
        let tokens = generated.tokens.into_iter().map(|tokens| Dynamic::from(Tokens::from(tokens))).collect();
        map.insert("tokens".into(), self.per_sequence(tokens));
        map.insert("step_ms".into(), Dynamic::from(Numbers::from(generated.step_ms)));
        map.insert("record_ms".into(), generated.record_ms.into());
        map
    }

    fn generate(&self, options: Map) -> Result<Map> {
        let mut options = Options::new("generate option", options);
        let plain = GenerateOptions::default();
        let chosen = GenerateOptions {
            max_tokens: options.count("max_tokens")?.unwrap_or(plain.max_tokens),
            temperature: options.float("temperature")?.map_or(plain.temperature, |value| value as f32),
            top_k: options.count("top_k")?.unwrap_or(plain.top_k),
            top_p: options.float("top_p")?.map_or(plain.top_p, |value| value as f32),
            seed: options.integer("seed")?.map_or(plain.seed, |seed| seed as u64),
            stop_at_end: options.truth("stop_at_end")?.unwrap_or(plain.stop_at_end),
        };
        let stream = options.truth("stream")?.unwrap_or(false);
        options.finish()?;
        if chosen.temperature < 0.0 || !chosen.temperature.is_finite() {
            return Err(Error::new(format!("a temperature of {}: expected 0 (the likeliest token) or more", chosen.temperature)));
        }
        if !(chosen.top_p > 0.0 && chosen.top_p <= 1.0) {
            return Err(Error::new(format!("a top_p of {}: expected more than 0, and 1 at most", chosen.top_p)));
        }
        if stream && self.sequences() > 1 {
            return Err(Error::new("several sequences cannot be streamed").remedy("leave `stream` out, and print their texts"));
        }
        // The model is held apart from the session, which is busy while tokens arrive.
        let model = std::sync::Arc::clone(self.0.borrow().network().model());
        let before = self.0.borrow().last_tokens(0, runtime::CONTEXT_TOKENS).to_vec();
        let mut text = if stream { Some(model.tokenizer()?.stream(&before)) } else { None };
        let mut printed = Ok(());
        let generated = self.0.borrow_mut().generate(&chosen, &mut |_, tokens| {
            if let Some(text) = &mut text {
                for piece in tokens.iter().filter_map(|&token| text.push(token)) {
                    if printed.is_ok() {
                        printed = terminal::print(&piece);
                    }
                }
            }
        });
        if let Some(text) = text {
            terminal::print_line(&text.finish().unwrap_or_default())?;
        }
        printed?;
        Ok(self.generated(generated?, true))
    }
}

/// A profile as a map: how it was timed, and a map for each kernel.
fn profiled(profile: Profile) -> Map {
    let stopwatch = match profile.stopwatch {
        Stopwatch::Timestamps => "timestamps",
        Stopwatch::WallClock => "wall clock",
    };
    let step = |step: KernelTime| {
        Dynamic::from_map(Map::from_iter([
            ("label".into(), step.label.into()),
            ("kernel".into(), step.kernel.into()),
            ("ms".into(), step.ms.into()),
            ("weight_bytes".into(), (step.weight_bytes as INT).into()),
            ("multiply_adds".into(), (step.multiply_adds as INT).into()),
        ]))
    };
    let steps: Array = profile.steps.into_iter().map(step).collect();
    Map::from_iter([("stopwatch".into(), stopwatch.into()), ("steps".into(), steps.into())])
}

#[export_module]
pub(super) mod api {
    /// One or more sequences of tokens with their cache on the device. A copy is the same session; its memory is given back when the last
    /// copy is gone. With one sequence, tokens go in and results come out as single values; with more, as arrays of one for each.
    pub type Session = super::Session;

    /// Appends tokens. Returns when the device is done, with the logits of each sequence's last position there.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn prefill(session: &mut Session, tokens: Dynamic) -> Answer<()> {
        let lists = session.lists(&tokens)?;
        Ok(session.0.borrow_mut().prefill(&lists)?)
    }

    /// So many greedy steps, whatever the tokens: `tokens`, and `step_ms`, the milliseconds of each step (steps of less
    /// than 5 ms are submitted several at a time, and share their time), and `record_ms`, what the host has spent on recording and submitting them all.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn decode(session: &mut Session, steps: INT) -> Answer<Map> {
        let generated = session.0.borrow_mut().decode(values::count("the number of steps", steps)?)?;
        Ok(session.generated(generated, false))
    }

    /// Continues with the defaults of `generate(options)`.
    #[rhai_fn(name = "generate", pure, return_raw, volatile)]
    pub fn generate_plainly(session: &mut Session) -> Answer<Map> {
        generate(session, Map::new())
    }

    /// Continues the text: `text` (`()` without a tokenizer), `tokens`, `step_ms`, `record_ms` and `ended` (whether it stopped at an end-of-text
    /// token). Options:
    ///
    /// | option | default | |
    /// |---|---|---|
    /// | `max_tokens` | 128 | |
    /// | `temperature` | 0 | 0 takes the likeliest token each time |
    /// | `top_k` | 0 | choose among so many likeliest tokens; 0: all |
    /// | `top_p` | 1 | choose among the likeliest tokens that make up this share of the probability |
    /// | `seed` | 0 | the same seed gives the same text |
    /// | `stop_at_end` | true | stop at an end-of-text token |
    /// | `stream` | false | print the text as it is made |
    #[rhai_fn(name = "generate", pure, return_raw, volatile)]
    pub fn generate(session: &mut Session, options: Map) -> Answer<Map> {
        Ok(session.generate(options)?)
    }

    /// Appends tokens and returns the natural log-probability of each but the first, given all before it. Logits stay on the device.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let model = load("models/SmolLM2-135M");
    /// let scores = model.session().score(model.tokenize("The sea was calm."));
    /// print(`perplexity ${(-scores.mean()).exp()}`);
    /// ```
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn score(session: &mut Session, tokens: Dynamic) -> Answer<Dynamic> {
        let lists = session.lists(&tokens)?;
        let scores = session.0.borrow_mut().score(&lists)?;
        Ok(session.per_sequence(scores.log_probabilities.into_iter().map(|list| Dynamic::from(Numbers::from(list))).collect()))
    }

    /// As `score`, with the likeliest token at each position too: a map with `log_probabilities` and `best`.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn predictions(session: &mut Session, tokens: Dynamic) -> Answer<Map> {
        let lists = session.lists(&tokens)?;
        let scores = session.0.borrow_mut().score(&lists)?;
        let probabilities = scores.log_probabilities.into_iter().map(|list| Dynamic::from(Numbers::from(list))).collect();
        let best = scores.best.into_iter().map(|list| Dynamic::from(Tokens::from(list))).collect();
        Ok(Map::from_iter([("log_probabilities".into(), session.per_sequence(probabilities)), ("best".into(), session.per_sequence(best))]))
    }

    /// The logits of the last position: `vocab` numbers.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn logits(session: &mut Session) -> Answer<Dynamic> {
        let logits = Numbers::from(session.0.borrow_mut().logits()?);
        let width = (logits.len() / session.sequences()) as INT;
        let part = |index: usize| Ok(Dynamic::from(logits.slice(index as INT * width, (index as INT + 1) * width)?));
        Ok(session.per_sequence((0..session.sequences()).map(part).collect::<Result<_>>()?))
    }

    /// Appends tokens and returns the logits of every position as a matrix `[positions, vocab]`: `rows(vocab)` parts it. The positions of
    /// all sequences follow each other. This is large: `score` is better where it suffices.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn all_logits(session: &mut Session, tokens: Dynamic) -> Answer<Numbers> {
        let lists = session.lists(&tokens)?;
        Ok(session.0.borrow_mut().all_logits(&lists)?.into())
    }

    /// Appends tokens and returns what the attention of each layer gave (after its output projection, before the residual sum): an array
    /// of one matrix `[positions, d_model]` for each layer.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn attention_outputs(session: &mut Session, tokens: Dynamic) -> Answer<Array> {
        let lists = session.lists(&tokens)?;
        let outputs = session.0.borrow_mut().attention_outputs(&lists)?;
        Ok(outputs.into_iter().map(|layer| Dynamic::from(Numbers::from(layer))).collect())
    }

    /// As `prefill` of at most one chunk, with every kernel timed: `stopwatch` (`timestamps` of the device; or `wall clock`, each kernel submitted by
    /// itself, what that costs included) and `steps`, an array of maps with `label`, `kernel`, `ms`, `weight_bytes` (that it reads) and
    /// `multiply_adds` (with weights).
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn profile_prefill(session: &mut Session, tokens: Dynamic) -> Answer<Map> {
        let lists = session.lists(&tokens)?;
        Ok(profiled(session.0.borrow_mut().profile_prefill(&lists)?))
    }

    /// As one step of `decode`, with every kernel timed; returns what `profile_prefill` does.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn profile_decode(session: &mut Session) -> Answer<Map> {
        Ok(profiled(session.0.borrow_mut().profile_decode()?))
    }

    /// Token rows of one prefill submission: longer prompts go in several.
    #[rhai_fn(get = "chunk", pure)]
    pub fn chunk(session: &mut Session) -> INT {
        session.0.borrow().options().chunk.unwrap_or(0) as INT
    }

    /// Forgets all but the first `length` positions of every sequence: what was measured can be measured again.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn truncate(session: &mut Session, length: INT) -> Answer<()> {
        Ok(session.0.borrow_mut().truncate(values::count("the length", length)?)?)
    }

    /// How many positions are held: of the one sequence, or an array.
    #[rhai_fn(get = "length", pure)]
    pub fn length(session: &mut Session) -> Dynamic {
        let lengths = session.0.borrow().lengths().iter().map(|&length| Dynamic::from(length as INT)).collect();
        session.per_sequence(lengths)
    }

    /// Positions that there is room for, per sequence.
    #[rhai_fn(get = "context", pure)]
    pub fn context_length(session: &mut Session) -> INT {
        session.0.borrow().options().context as INT
    }

    /// How many sequences run side by side.
    #[rhai_fn(get = "sequences", pure)]
    pub fn sequence_count(session: &mut Session) -> INT {
        session.sequences() as INT
    }

    /// Bytes that its cache holds on the device.
    #[rhai_fn(pure)]
    pub fn cache_bytes(session: &mut Session) -> INT {
        session.0.borrow().cache_bytes() as INT
    }

    /// For a person to read.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(session: &mut Session) -> String {
        let session = session.0.borrow();
        let options = session.options();
        format!("session of {} sequences of up to {} tokens", options.sequences, options.context)
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
