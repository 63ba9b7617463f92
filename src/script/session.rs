//! Sessions: sequences of tokens with their cache on the device.

use super::failure::Answer;
use super::generation;
use super::model::{Model, cache_kinds};
use super::numbers::Numbers;
use super::tokens::Tokens;
use super::values::{self, Options, token_list};
use crate::error::{Error, Result};
use crate::gpu::{KernelTime, Stopwatch};
use crate::runtime::{self, Profile, SessionOptions};
use rhai::plugin::*;
use rhai::{Array, FnPtr, INT, Map};
use std::cell::{Ref, RefCell, RefMut};
use std::rc::Rc;

/// A batch of sequences. Copies are the same session.
#[derive(Clone)]
pub struct Session(pub(super) Rc<RefCell<runtime::Session>>, usize);

/// A default context: long enough for a text, and small enough to be allocated without a thought.
const CONTEXT: usize = 2048;

/// A session of `model`; the options are documented where scripts call it.
pub(super) fn new(model: &Model, options: Map) -> Result<Session> {
    let mut options = Options::new("session option", options);
    let cache = cache_kinds(&mut options)?;
    let longest = model.architecture().context;
    let context = options.count("context")?.unwrap_or_else(|| CONTEXT.min(longest));
    options.renamed("sequences", "batch_size");
    options.renamed("chunk", "prefill_chunk");
    let sequences = options.count("batch_size")?.unwrap_or(1);
    let chunk = options.count("prefill_chunk")?;
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
    Ok(Session::of(session))
}

impl Session {
    fn of(session: runtime::Session) -> Session {
        let sequences = session.options().sequences;
        Session(Rc::new(RefCell::new(session)), sequences)
    }

    pub(super) fn sequences(&self) -> usize {
        self.1
    }

    /// What a script gives as one list of tokens, or as an array of one for each sequence.
    pub(super) fn lists(&self, tokens: &Dynamic) -> Result<Vec<Vec<u32>>> {
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
    pub(super) fn per_sequence(&self, mut values: Vec<Dynamic>) -> Dynamic {
        if self.sequences() == 1 && values.len() == 1 { values.remove(0) } else { Dynamic::from_array(values) }
    }

    /// The runtime's session, unless it is busy: a function that hears of its tokens cannot change it.
    pub(super) fn open(&self) -> Result<RefMut<'_, runtime::Session>> {
        self.0.try_borrow_mut().map_err(|_| busy())
    }

    /// As [`Session::open`], to look at it.
    pub(super) fn look(&self) -> Result<Ref<'_, runtime::Session>> {
        self.0.try_borrow().map_err(|_| busy())
    }
}

fn busy() -> Error {
    Error::new("the session is at work: nothing else can be done with it until it has called this function for the last time").remedy(
        "use it when that call has returned (a function that `generate` calls stops it by returning false), or take a fork() before",
    )
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
        Ok(session.open()?.prefill(&lists)?)
    }

    /// So many greedy steps, whatever the tokens: `tokens`, and `step_ms`, the milliseconds of each step (steps of less
    /// than 5 ms are submitted several at a time, and share their time), and `record_ms`, what the host has spent on recording and submitting them all.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn decode(session: &mut Session, steps: INT) -> Answer<Map> {
        let generated = session.open()?.decode(values::count("the number of steps", steps)?)?;
        Ok(generation::map_of(session, generated))
    }

    /// Continues with the defaults of `generate(options)`.
    #[rhai_fn(name = "generate", pure, return_raw, volatile)]
    pub fn generate_plainly(session: &mut Session) -> Answer<Map> {
        generate(session, Map::new())
    }

    /// Continues the text: `text` (`()` without a tokenizer), `tokens`, `step_ms`, `record_ms`, `stop_reason` (`"length"`, `"eos"`, `"stop"`, `"callback"`)
    /// and `ended` (whether it stopped at an end-of-text token). Options:
    ///
    /// | option | default | |
    /// |---|---|---|
    /// | `max_tokens` | 128 | |
    /// | `temperature` | 0 | 0 takes the likeliest token each time |
    /// | `top_k` | 0 | choose among so many likeliest tokens; 0: all |
    /// | `top_p` | 1 | choose among the likeliest tokens that make up this share of the probability |
    /// | `min_p` | 0 | choose among tokens that are at least so many times as likely as the likeliest |
    /// | `repetition_penalty` | 1 | tokens that the sequence holds have positive logits divided by it, and others multiplied |
    /// | `repetition_window` | 0 | only the last so many tokens are penalised; 0: all |
    /// | `seed` | 0 | the same seed gives the same text |
    /// | `stop` | `[]` | a text, or several: the first of them in what is generated ends it, and is not part of `text` |
    /// | `stop_at_end` | true | stop at an end-of-text token |
    /// | `top_logprobs` | 0 | for each token, so many of the likeliest in its place, as `top_k(count)` gives them, in `top_logprobs` |
    /// | `stream` | false | print the text as it is made |
    ///
    /// # Example
    /// ```rhai
    /// let model = load("models/austen");
    /// let session = model.session(#{ context: 64 });
    /// session.prefill(model.tokenize("It is a truth"));
    /// let made = session.generate(#{ max_tokens: 20, temperature: 0.8, min_p: 0.05, repetition_penalty: 1.1, stop: ["\n", "."] });
    /// assert(!made.text.contains(".") && made.stop_reason in ["stop", "length", "eos"], made.stop_reason);
    /// ```
    #[rhai_fn(name = "generate", pure, return_raw, volatile)]
    pub fn generate(session: &mut Session, options: Map) -> Answer<Map> {
        Ok(generation::Generation::of(session, options)?.run(session, &mut |_| Ok(true))?)
    }

    /// As `generate(options)`, and calls `heard` with each token as it arrives: a map with `token`, `text` (what is certain of its text by now), `index`
    /// and `sequence`. Where `heard` returns `false`, the sequence stops with that token.
    ///
    /// # Example
    /// ```rhai
    /// let model = load("models/austen");
    /// let session = model.session(#{ context: 64 });
    /// session.prefill(model.tokenize("She was"));
    /// let made = session.generate(#{ max_tokens: 20 }, |heard| heard.index < 2);
    /// assert(made.tokens.len == 3 && made.stop_reason == "callback", "the third token is the last");
    /// ```
    #[rhai_fn(name = "generate", pure, return_raw, volatile)]
    pub fn generate_heard(context: NativeCallContext, session: &mut Session, options: Map, heard: FnPtr) -> Answer<Map> {
        let generation = generation::Generation::of(session, options)?;
        let mut failure = None;
        let made = generation.run(session, &mut |token| match heard.call_within_context::<Dynamic>(&context, (token,)) {
            Ok(answer) => Ok(answer.as_bool().unwrap_or(true)),
            Err(error) => {
                failure = Some(error);
                Err(Error::new("the function that hears of tokens has failed"))
            }
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(made?),
        }
    }

    /// The likeliest tokens after what the session holds: an array of maps with `token`, `text`, `probability` and `logprob` (its natural logarithm), the
    /// likeliest first.
    ///
    /// # Example
    /// ```rhai
    /// let model = load("models/austen");
    /// let session = model.session(#{ context: 64 });
    /// session.prefill(model.tokenize("It is a truth universally"));
    /// for next in session.top_k(3) { assert(next.probability <= 1.0 && next.logprob <= 0.0, next.text); }
    /// ```
    #[rhai_fn(name = "top_k", pure, return_raw, volatile)]
    pub fn top_k(session: &mut Session, count: INT) -> Answer<Dynamic> {
        let likeliest = session.open()?.likeliest(values::count("the count of the likeliest", count)?)?;
        let listed = likeliest.iter().map(|tokens| generation::listed(session, tokens)).collect::<Result<_>>()?;
        Ok(session.per_sequence(listed))
    }

    /// A session of its own that holds the same: to go on from here in two ways.
    ///
    /// # Example
    /// ```rhai
    /// let model = load("models/austen");
    /// let session = model.session(#{ context: 64 });
    /// session.prefill(model.tokenize("She was"));
    /// let other = session.fork();
    /// other.generate(#{ max_tokens: 5 });
    /// assert(other.length == session.length + 5, "the first one is as it was");
    /// ```
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn fork(session: &mut Session) -> Answer<Session> {
        Ok(super::Session::of(session.look()?.fork()?))
    }

    /// Forgets everything: as `truncate(0)`.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn reset(session: &mut Session) -> Answer<()> {
        truncate(session, 0)
    }

    /// Appends tokens and returns the natural log-probability of each, given all before it; the first one has none in a session that holds nothing.
    /// Logits stay on the device.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let model = load("models/SmolLM2-135M");
    /// let scores = model.session().score(model.tokenize("The sea was calm."));
    /// print(`perplexity ${(-scores.mean()).exp()}`);
    ///
    /// let session = model.session();                         // how likely an answer is
    /// session.prefill(model.tokenize("The capital of France is"));
    /// print(session.score(model.tokenize(" Paris", false)).sum());
    /// ```
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn score(session: &mut Session, tokens: Dynamic) -> Answer<Dynamic> {
        let lists = session.lists(&tokens)?;
        let scores = session.open()?.score(&lists)?;
        Ok(session.per_sequence(scores.log_probabilities.into_iter().map(|list| Dynamic::from(Numbers::from(list))).collect()))
    }

    /// As `score`, with the likeliest token at each position too: a map with `log_probabilities` and `best`.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn predictions(session: &mut Session, tokens: Dynamic) -> Answer<Map> {
        let lists = session.lists(&tokens)?;
        let scores = session.open()?.score(&lists)?;
        let probabilities = scores.log_probabilities.into_iter().map(|list| Dynamic::from(Numbers::from(list))).collect();
        let best = scores.best.into_iter().map(|list| Dynamic::from(Tokens::from(list))).collect();
        Ok(Map::from_iter([("log_probabilities".into(), session.per_sequence(probabilities)), ("best".into(), session.per_sequence(best))]))
    }

    /// The logits of the last position: `vocab` numbers.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn logits(session: &mut Session) -> Answer<Dynamic> {
        let logits = Numbers::from(session.open()?.logits()?);
        let width = (logits.len() / session.sequences()) as INT;
        let part = |index: usize| Ok(Dynamic::from(logits.slice(index as INT * width, (index as INT + 1) * width)?));
        Ok(session.per_sequence((0..session.sequences()).map(part).collect::<Result<_>>()?))
    }

    /// Appends tokens and returns the logits of every position as a matrix `[positions, vocab]`: `rows(vocab)` parts it. The positions of
    /// all sequences follow each other. This is large: `score` is better where it suffices.
    #[rhai_fn(name = "all_logits", name = "logits", pure, return_raw, volatile)]
    pub fn all_logits(session: &mut Session, tokens: Dynamic) -> Answer<Numbers> {
        let lists = session.lists(&tokens)?;
        Ok(session.open()?.all_logits(&lists)?.into())
    }

    /// Appends tokens and returns what the attention of each layer gave (after its output projection, before the residual sum): an array
    /// of one matrix `[positions, d_model]` for each layer.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn attention_outputs(session: &mut Session, tokens: Dynamic) -> Answer<Array> {
        let lists = session.lists(&tokens)?;
        let outputs = session.open()?.attention_outputs(&lists)?;
        Ok(outputs.into_iter().map(|layer| Dynamic::from(Numbers::from(layer))).collect())
    }

    /// As `prefill` of at most one chunk, with every kernel timed: `stopwatch` (`timestamps` of the device; or `wall clock`, each kernel submitted by
    /// itself, what that costs included) and `steps`, an array of maps with `label`, `kernel`, `ms`, `weight_bytes` (that it reads) and
    /// `multiply_adds` (with weights).
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn profile_prefill(session: &mut Session, tokens: Dynamic) -> Answer<Map> {
        let lists = session.lists(&tokens)?;
        Ok(profiled(session.open()?.profile_prefill(&lists)?))
    }

    /// As one step of `decode`, with every kernel timed; returns what `profile_prefill` does.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn profile_decode(session: &mut Session) -> Answer<Map> {
        Ok(profiled(session.open()?.profile_decode()?))
    }

    /// Token rows of one prefill submission: longer prompts go in several.
    #[rhai_fn(get = "prefill_chunk", pure, return_raw)]
    pub fn prefill_chunk(session: &mut Session) -> Answer<INT> {
        Ok(session.look()?.options().chunk.unwrap_or(0) as INT)
    }

    /// As `prefill_chunk`, which it is called now.
    #[rhai_fn(get = "chunk", pure, return_raw)]
    pub fn chunk(session: &mut Session) -> Answer<INT> {
        prefill_chunk(session)
    }

    /// As `batch_size`, which it is called now.
    #[rhai_fn(get = "sequences", pure)]
    pub fn sequences(session: &mut Session) -> INT {
        batch_size(session)
    }

    /// Forgets all but the first `length` positions of every sequence: what was measured can be measured again. What needs the logits of the last position
    /// that is left (`generate`, `logits`) computes it again.
    #[rhai_fn(pure, return_raw, volatile)]
    pub fn truncate(session: &mut Session, length: INT) -> Answer<()> {
        Ok(session.open()?.truncate(values::count("the length", length)?)?)
    }

    /// How many positions are held: of the one sequence, or an array.
    #[rhai_fn(get = "length", pure, return_raw)]
    pub fn length(session: &mut Session) -> Answer<Dynamic> {
        let lengths = session.look()?.lengths().iter().map(|&length| Dynamic::from(length as INT)).collect();
        Ok(session.per_sequence(lengths))
    }

    /// Positions that there is room for, per sequence.
    #[rhai_fn(get = "context", pure, return_raw)]
    pub fn context_length(session: &mut Session) -> Answer<INT> {
        Ok(session.look()?.options().context as INT)
    }

    /// How many sequences run side by side.
    #[rhai_fn(get = "batch_size", pure)]
    pub fn batch_size(session: &mut Session) -> INT {
        session.sequences() as INT
    }

    /// Bytes that its cache holds on the device.
    #[rhai_fn(pure, return_raw)]
    pub fn cache_bytes(session: &mut Session) -> Answer<INT> {
        Ok(session.look()?.cache_bytes() as INT)
    }

    /// For a person to read.
    #[rhai_fn(name = "to_string", name = "to_debug", pure, return_raw)]
    pub fn to_string(session: &mut Session) -> Answer<String> {
        let session = session.look()?;
        let options = session.options();
        Ok(format!("session of {} sequences of up to {} tokens", options.sequences, options.context))
    }
}

pub(super) fn module() -> rhai::Module {
    exported_module!(api)
}
