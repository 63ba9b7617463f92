//! A model on the device, held against what is expected of it in every way of running it.

use super::fixtures::{Reference, open, reference, relative_error};
use super::reference::{Cache, Pass, pass_with};
use caramba::gpu::{DeviceChoice, Gpu};
use caramba::model::Model;
use caramba::runtime::{AttentionRow, CacheKind, CacheKinds, LoadOptions, Looked, Network, Session, SessionOptions, WeightKind};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// The device with all its features, and with none of the optional ones.
pub fn devices() -> [(&'static str, Arc<Gpu>); 2] {
    let without =
        ["f16", "subgroups", "timestamps", "cooperative matrices", "64-bit integers", "pipeline cache"].map(str::to_owned).to_vec();
    let open = |choice: DeviceChoice| Gpu::open(&choice).unwrap_or_else(|error| panic!("{error}"));
    [("full", open(DeviceChoice::default())), ("bare", open(DeviceChoice { without, ..DeviceChoice::default() }))]
}

pub fn load(gpu: &Arc<Gpu>, model: &Arc<Model>, weights: WeightKind) -> Rc<Network> {
    Network::load(gpu, model.clone(), &LoadOptions { weights, ..LoadOptions::default() }).unwrap_or_else(|error| panic!("{error}"))
}

pub fn session(network: &Rc<Network>, kind: CacheKind, sequences: usize, chunk: Option<usize>) -> Session {
    let options = SessionOptions { context: 64, sequences, cache: CacheKinds::uniform(kind), chunk };
    Session::new(network, &options).unwrap_or_else(|error| panic!("{error}"))
}

/// How far two ways of computing the same may be apart, as a share of the largest value.
///
/// Without a cache everything is f32, and only the order of sums differs. With one, keys and values are rounded, and a key that lies
/// between two codes may fall to either side: the oracle rounds too, and what its own rounding leaves open is allowed beside this ([`Held`]).
fn tolerance(kind: CacheKind) -> f32 {
    match kind {
        CacheKind::None => 1e-3,
        CacheKind::F16 => 2e-3,
        CacheKind::Q8 | CacheKind::Q6 => 5e-3,
        _ => 2e-2,
    }
}

/// The oracle with a cache, and how far its results move (as a share of the largest) when elements that lie between two codes fall to the other side.
struct Held {
    pass: Pass,
    logits: f32,
    attention: f32,
}

/// By how much keys and values on the device may differ before they are rounded, as a share of the largest of a block: what the order of sums leaves of f32,
/// some units in the last place. In `architectures/llama` with q8 a single key or value decides by less than 2.5e-7, and moves logits by 4.2e-3.
const NUDGE: f32 = 1e-6;

impl Held {
    fn new(model: &Model, tokens: &[u32], kind: CacheKind) -> Held {
        let pass = |nudge| pass_with(model, tokens, Cache { nudge, ..Cache::uniform(kind) });
        let mut held = Held { pass: pass(0.0), logits: 0.0, attention: 0.0 };
        for nudge in [NUDGE, -NUDGE].into_iter().filter(|_| kind.entry().has_scale()) {
            let other = pass(nudge);
            held.logits += relative_error(&other.logits, &held.pass.logits);
            let layers = other.attention.iter().zip(&held.pass.attention);
            held.attention += layers.map(|(other, one)| relative_error(other, one)).fold(0.0, f32::max);
        }
        held
    }
}

/// One row of [rows, width].
fn row(values: &[f32], width: usize, index: usize) -> &[f32] {
    &values[index * width..(index + 1) * width]
}

pub const FP16: &[CacheKind] = &[CacheKind::F16];
/// Codes of keys and values as they are, and of their Hadamard transform.
pub const PLAIN: &[CacheKind] = &[CacheKind::Q8];
pub const ROTATED: &[CacheKind] = &[CacheKind::Q4];
pub const ALL: &[CacheKind] = &[CacheKind::F16, CacheKind::Q8, CacheKind::Q4, CacheKind::Q5];

/// Which of [`devices`].
pub const FULL: usize = 0;
pub const BARE: usize = 1;

/// Checks fixtures on a device, each a model, the reference it is held against, and kinds of cache; all that differs fails the test.
pub fn check(device: usize, checks: impl IntoIterator<Item = (String, String, &'static [CacheKind])>) {
    let (device, gpu) = &devices()[device];
    let one = |(path, expected, kinds): (String, String, &[CacheKind])| {
        differences(&format!("{path} ({device})"), gpu, open(&path), &reference(&expected), kinds)
    };
    let found: Vec<String> = checks.into_iter().flat_map(one).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Compares what was found with what is expected, within a tolerance; `what` names it.
type Near<'a> = dyn Fn(&str, &[f32], &[f32], f32) + 'a;

/// Looks into the second pieces of two texts: hidden states and attention weights beside those of the oracle.
fn look(
    what: &str,
    session: &mut Session,
    texts: &[Vec<u32>; 2],
    passes: &[super::reference::Pass; 2],
    near: &Near,
    (on_states, on_weights): (f32, f32),
) {
    let architecture = session.network().model().architecture.clone();
    let (layers, d_model) = (architecture.layers.len(), architecture.d_model);
    let cuts = [21, 3];
    let begin = |session: &mut Session| {
        session.truncate(0).unwrap();
        session.prefill(&[texts[0][..cuts[0]].to_vec(), texts[1][..cuts[1]].to_vec()]).unwrap();
        [texts[0][cuts[0]..].to_vec(), texts[1][cuts[1]..].to_vec()]
    };
    let rest = begin(session);
    let all: Vec<usize> = (0..=layers).collect();
    let mut seen = 0;
    let visit = |layer: usize, sequence: usize, position: usize, state: &[f32]| {
        near(&format!("the state at layer {layer}{what}"), state, row(&passes[sequence].states[layer], d_model, position), on_states);
        seen += 1;
        Ok(())
    };
    session.hidden_states(&rest, &all, visit).unwrap();
    assert_eq!(seen, (layers + 1) * (rest[0].len() + rest[1].len()), "a state of each token at each layer");

    let rest = begin(session);
    let heads: Vec<usize> = (0..architecture.layers.iter().map(|layer| layer.attention.heads).min().unwrap()).rev().collect();
    // Not all of them, and in no order.
    let queries = [vec![rest[0].len() - 1, 2, 5], vec![0]];
    let looked = Looked { layers: &all[..layers], heads: &heads, queries: Some(&queries) };
    let mut seen = 0;
    let visit = |found: AttentionRow| {
        let AttentionRow { layer, head, sequence, position, weights } = found;
        assert!(queries[sequence].contains(&(position - cuts[sequence])) && weights.len() == position + 1);
        let (of_layer, length) = (&passes[sequence].weights[layer], texts[sequence].len());
        if !of_layer.is_empty() {
            let at = (position * architecture.layers[layer].attention.heads + head) * length;
            near(&format!("the weights of head {head} in layer {layer}{what}"), weights, &of_layer[at..=at + position], on_weights);
        }
        seen += 1;
        Ok(())
    };
    session.attention_weights(&rest, &looked, visit).unwrap();
    assert_eq!(seen, layers * heads.len() * 4, "a row of each query");
    // A session that was looked into goes on as any other.
    assert_eq!(session.lengths(), [texts[0].len(), texts[1].len()]);
}

/// Checks a model that a test made, against the oracle only.
pub fn check_made(device: usize, name: &str, model: Model, kinds: &[CacheKind]) {
    let (device, gpu) = &devices()[device];
    let tokens: Vec<u32> = (0..37u32).map(|index| (index * 29 + index * index * 7) % model.architecture.vocab as u32).collect();
    let pass = super::reference::pass(&model, &tokens);
    let expected = Reference { tokens, logits: pass.logits, attention: pass.attention.concat() };
    let found = differences(&format!("{name} ({device})"), gpu, model, &expected, kinds);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Runs `model` in every way, with caches of these kinds, and compares with `expected` and with the oracle. Returns what differs.
///
/// Few sessions are made and used again: a software driver takes longer to compile the kernels of one than to run them.
fn differences(name: &str, gpu: &Arc<Gpu>, model: Model, expected: &Reference, kinds: &[CacheKind]) -> Vec<String> {
    let model = Arc::new(model);
    let (tokens, vocab, d_model) = (&expected.tokens, model.architecture.vocab, model.architecture.d_model);
    let found = RefCell::new(Vec::new());
    let near = |what: &str, values: &[f32], expected: &[f32], tolerance: f32| {
        let error = relative_error(values, expected);
        if error.is_nan() || error >= tolerance {
            found.borrow_mut().push(format!("{name}: {what} differs by {error:.1e}, at most {tolerance:.1e} is expected"));
        }
    };
    let get = |result: caramba::Result<Vec<f32>>| result.unwrap_or_else(|error| panic!("{name}: {error}"));

    // Without a cache: PyTorch's own numbers. Weights are half floats as they are stored (f32 where they are that).
    let network = load(gpu, &model, WeightKind::Stored);
    let mut uncached = session(&network, CacheKind::None, 1, None);
    let logits = get(uncached.all_logits(std::slice::from_ref(tokens)));
    near("uncached", &logits, &expected.logits, tolerance(CacheKind::None));
    if !expected.attention.is_empty() {
        uncached.truncate(0).unwrap();
        let outputs = uncached.attention_outputs(std::slice::from_ref(tokens)).unwrap().concat();
        near("the attention output", &outputs, &expected.attention, tolerance(CacheKind::None));
    }

    for &kind in kinds {
        let tolerance = tolerance(kind);
        let what = |form: &str| format!("{form} with a {} cache", kind.name());
        let oracle = |tokens: &[u32]| Held::new(&model, tokens, kind);
        let mut session = session(&network, kind, 2, Some(16));

        // Two sequences of different lengths, in chunks that end within them.
        let texts = [tokens.clone(), tokens[4..23].to_vec()];
        let held = [oracle(&texts[0]), oracle(&texts[1])];
        let most = |of: fn(&Held) -> f32| tolerance + held.iter().map(of).fold(0.0, f32::max);
        let (on_logits, on_attention) = (most(|held| held.logits), most(|held| held.attention));
        let passes = held.map(|held| held.pass);
        let logits = [passes[0].logits.as_slice(), &passes[1].logits].concat();
        near(&what("prefill"), &get(session.all_logits(&texts)), &logits, on_logits);

        // In pieces, the second of which is read out of the attention.
        session.truncate(0).unwrap();
        session.prefill(&[texts[0][..21].to_vec(), texts[1][..3].to_vec()]).unwrap();
        let last = [row(&passes[0].logits, vocab, 20), row(&passes[1].logits, vocab, 2)].concat();
        near(&what("a prefill"), &get(session.logits()), &last, on_logits);
        let outputs = session.attention_outputs(&[texts[0][21..].to_vec(), texts[1][3..].to_vec()]).unwrap();
        for (layer, output) in outputs.iter().enumerate() {
            let expected = [&passes[0].attention[layer][21 * d_model..], &passes[1].attention[layer][3 * d_model..]].concat();
            near(&what("the attention output"), output, &expected, on_attention);
        }
        if kind == kinds[0] {
            // Weights are exponentials of scores: what rounding leaves open of those is larger here.
            look(&what(""), &mut session, &texts, &passes, &near, (on_logits, 5.0 * on_attention));
        }

        // Tokens that the device chooses.
        session.truncate(0).unwrap();
        let starts = [tokens[..17].to_vec(), tokens[4..9].to_vec()];
        session.prefill(&starts).unwrap();
        let generated = session.decode(12).unwrap();
        let logits = get(session.logits());
        for (index, (start, made)) in starts.iter().zip(&generated.tokens).enumerate() {
            assert_eq!(made.len(), 12, "{name}");
            let text = [start.as_slice(), made].concat();
            let Held { pass, logits: moved, .. } = oracle(&text);
            near(&what("decoding"), row(&logits, vocab, index), row(&pass.logits, vocab, text.len() - 1), tolerance + moved);
            let largest = pass.logits.iter().fold(0.0f32, |largest, logit| largest.max(logit.abs()));
            for (position, &token) in made.iter().enumerate() {
                let logits = row(&pass.logits, vocab, start.len() + position - 1);
                let best = logits.iter().copied().fold(f32::MIN, f32::max);
                near(&what("the choice of a token"), &[best, largest], &[logits[token as usize], largest], 2.0 * (tolerance + moved));
            }
        }

        // Scores are logits seen through a softmax.
        session.truncate(0).unwrap();
        let scores = session.score(&texts).unwrap();
        for (index, (text, pass)) in texts.iter().zip(&passes).enumerate() {
            let log_probability = |position: usize| {
                let logits = row(&pass.logits, vocab, position);
                let largest = logits.iter().copied().fold(f32::MIN, f32::max);
                let sum: f32 = logits.iter().map(|logit| (logit - largest).exp()).sum();
                logits[text[position + 1] as usize] - largest - sum.ln()
            };
            let expected: Vec<f32> = (0..text.len() - 1).map(log_probability).collect();
            near(&what("scoring"), &scores.log_probabilities[index], &expected, 2.0 * on_logits);
        }
    }
    found.into_inner()
}
