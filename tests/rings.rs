//! Layers that look back a bounded way: their cache is a ring, and says the same as one that holds every position.

mod common;

use caramba::runtime::hooks::Hooks;
use caramba::runtime::{CacheKind, CacheKinds, LoadOptions, Network, Session, SessionOptions};
use caramba::script::Reference;
use common::fixtures::{open, reference, relative_error};
use common::runtime::devices;
use std::rc::Rc;
use std::sync::Arc;

const CONTEXT: usize = 64;
const CHUNK: usize = 16;
const SEQUENCES: usize = 2;

/// A session of a fixture whose every layer has the mask of a script.
fn session(gpu: &Arc<caramba::gpu::Gpu>, mask: &str, kind: CacheKind) -> Session {
    let model = Arc::new(open("architectures/llama"));
    let script = Reference::new(&format!("attention(#{{ mask: |at| {mask} }})")).unwrap_or_else(|error| panic!("{mask}: {error}"));
    let attention: Vec<Option<Rc<Hooks>>> = model.architecture.layers.iter().map(|_| Some(script.hooks())).collect();
    let network = Network::load(gpu, model, &LoadOptions { attention: &attention, ..LoadOptions::default() }).unwrap();
    let options = SessionOptions { context: CONTEXT, sequences: SEQUENCES, cache: CacheKinds::uniform(kind), chunk: Some(CHUNK) };
    Session::new(&network, &options).unwrap_or_else(|error| panic!("{error}"))
}

/// Everything that a session can say of texts from token `first` on, with its cache shorter and longer than it was.
fn all(session: &mut Session, first: usize) -> Vec<(&'static str, Vec<f32>)> {
    let tokens = [reference("architectures/llama").tokens, reference("architectures/qwen2").tokens].concat();
    let vocab = open("architectures/llama").architecture.vocab as u32;
    let tokens: Vec<u32> = tokens.into_iter().map(|token| token % vocab).collect();
    let text = |from: usize, count: usize| tokens.iter().cycle().skip(first + from).take(count).copied().collect::<Vec<u32>>();
    let mut said = Vec::new();
    session.prefill(&[text(0, 50), text(9, 21)]).unwrap();
    said.push(("prefill", session.logits().unwrap()));
    session.decode(10).unwrap();
    said.push(("decode", session.logits().unwrap()));
    // A few positions less are still there, many are computed again.
    session.truncate(55).unwrap();
    session.prefill(&[text(3, 4), text(5, 1)]).unwrap();
    said.push(("a few positions less", session.logits().unwrap()));
    session.truncate(17).unwrap();
    session.prefill(&[text(7, 20), Vec::new()]).unwrap();
    said.push(("many positions less", session.logits().unwrap()));
    session.truncate(12).unwrap();
    said.push(("scores", session.score(&[text(1, 30), text(2, 9)]).unwrap().log_probabilities.concat()));
    session.truncate(0).unwrap();
    said.push(("all logits", session.all_logits(&[text(11, 33), text(4, 40)]).unwrap()));
    said
}

#[test]
fn a_ring_says_the_same_as_a_whole_cache() {
    let [(_, full), _] = devices();
    let window = ("at.query - at.key < 7", "at.query % 1000 - at.key % 1000 < 7", 7 + CHUNK - 1);
    let sinks = ("at.query - at.key < 6 || at.key < 3", "at.query % 1000 - at.key % 1000 < 6 || at.key < 3", 3 + 6 + CHUNK - 1);
    // The same masks; that the second looks back a bounded way is not proven. Tiles that are skipped change the order of sums, and what lies between two codes
    // may then fall to either side: texts are taken in which nothing lies so near.
    for (kind, (ring, whole, held), first) in [
        (CacheKind::F16, window, 0),
        (CacheKind::Q8, sinks, 0),
        (CacheKind::Q6, sinks, 0),
        (CacheKind::Q5, sinks, 0),
        (CacheKind::Q4, sinks, 1),
        (CacheKind::Q3, sinks, 1),
    ] {
        let (mut ring, mut whole) = (session(&full, ring, kind), session(&full, whole, kind));
        let expected = whole.cache_bytes() as f64 * held as f64 / CONTEXT as f64;
        let found = ring.cache_bytes() as f64;
        assert!((found - expected).abs() < 0.02 * expected, "{} bytes, expected {expected}", ring.cache_bytes());
        for ((what, found), (_, expected)) in all(&mut ring, first).into_iter().zip(all(&mut whole, first)) {
            let error = relative_error(&found, &expected);
            assert!(error < 1e-5, "{what} with a {} cache: off by {error:.1e}", kind.name());
        }
    }
}

/// Windows that a model declares: nobody has to ask.
#[test]
fn a_model_with_windows_has_rings() {
    let [(_, full), _] = devices();
    let bytes = |context: usize| {
        let model = Arc::new(open("architectures/qwen2_window"));
        let windows: Vec<Option<usize>> = model.architecture.layers.iter().map(|layer| layer.attention.window).collect();
        assert_eq!(windows, [None, Some(9)]);
        let per_token = caramba::runtime::bytes_per_token(&model.architecture, CacheKinds::uniform(CacheKind::F16)) as usize;
        let network = Network::load(&full, model, &LoadOptions::default()).unwrap();
        let options = SessionOptions { context, sequences: 1, cache: CacheKinds::uniform(CacheKind::F16), chunk: Some(CHUNK) };
        (Session::new(&network, &options).unwrap().cache_bytes() as usize, per_token / 2)
    };
    let (found, layer) = bytes(CONTEXT);
    assert_eq!(found, layer * (CONTEXT + 9 + CHUNK - 1));
    // A context that is no longer than the ring would be has none.
    assert_eq!(bytes(24).0, layer * 48);
}
