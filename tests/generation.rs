//! Sessions that generate: what stops them, what they are penalised for, and how they are copied, taken back and asked about.

use caramba::gpu::{DeviceChoice, Gpu};
use caramba::model::{Model, OpenOptions};
use caramba::runtime::{CacheKind, CacheKinds, GenerateOptions, LoadOptions, Network, Session, SessionOptions, StopText, Stopped};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

fn network() -> Rc<Network> {
    let model = Model::open(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/models/austen")), &OpenOptions::default()).unwrap();
    let gpu = Gpu::open(&DeviceChoice::default()).unwrap_or_else(|error| panic!("{error}"));
    Network::load(&gpu, Arc::new(model), &LoadOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn session(network: &Rc<Network>, kind: CacheKind, sequences: usize) -> Session {
    let options = SessionOptions { context: 128, sequences, cache: CacheKinds::uniform(kind), chunk: None };
    Session::new(network, &options).unwrap_or_else(|error| panic!("{error}"))
}

fn text(network: &Network, words: &str) -> Vec<u32> {
    network.model().tokenizer().unwrap().encode(words, true).unwrap()
}

fn near(what: &str, found: &[f32], expected: &[f32], slack: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < slack, "{what}: {worst}\n{found:?}\n{expected:?}");
}

fn greedy(tokens: usize) -> GenerateOptions {
    GenerateOptions { max_tokens: tokens, stop_at_end: false, ..GenerateOptions::default() }
}

/// The first token of a continuation is scored too, whatever came before it: a prefill, decode steps, another score, a truncation.
#[test]
fn a_continuation_is_scored_from_its_first_token_on() {
    let network = network();
    let tokens = text(&network, "It is a truth universally acknowledged, that a single man in possession of a good fortune");
    let (prefix, rest) = tokens.split_at(7);
    for kind in [CacheKind::F16, CacheKind::Q8, CacheKind::None] {
        let mut whole = session(&network, kind, 1);
        let all = whole.score(std::slice::from_ref(&tokens)).unwrap().log_probabilities.remove(0);
        assert_eq!(all.len(), tokens.len() - 1, "nothing is before the first token of all");

        let mut scored = session(&network, kind, 1);
        scored.prefill(&[prefix.to_vec()]).unwrap();
        let found = scored.score(&[rest.to_vec()]).unwrap();
        near("after a prefill", &found.log_probabilities[0], &all[prefix.len() - 1..], 0.02);
        assert_eq!(found.best[0].len(), rest.len());

        scored.truncate(prefix.len()).unwrap();
        let [first, second] = [&rest[..3], &rest[3..]].map(|part| scored.score(&[part.to_vec()]).unwrap().log_probabilities.remove(0));
        near("in two parts", &[first, second].concat(), &all[prefix.len() - 1..], 0.02);
    }
}

/// What is generated after a truncation is what was generated before it: the last token is computed again by itself.
#[test]
fn a_session_that_was_cut_back_goes_on() {
    let network = network();
    let mut session = session(&network, CacheKind::F16, 2);
    let prompts = [text(&network, "She was"), text(&network, "It is a truth universally")];
    session.prefill(&prompts).unwrap();
    let first = session.generate(&greedy(8), &mut |_, _| {}).unwrap().tokens;
    session.truncate(prompts[0].len() + 3).unwrap();
    let length = session.lengths().to_vec();
    let again = session.decode(4).unwrap().tokens;
    assert_eq!(again[0], first[0][3..7], "of the shorter sequence, which was cut back by five");
    assert_eq!(length, [prompts[0].len() + 3, (prompts[0].len() + 3).min(prompts[1].len() + 8)]);
    assert!(session.logits().is_ok());
    session.truncate(0).unwrap();
    let error = session.decode(1).unwrap_err().to_string();
    assert!(error.contains("there are no logits") && error.contains("prefill the session first"), "{error}");
}

#[test]
fn a_fork_goes_its_own_way() {
    let network = network();
    for kind in [CacheKind::F16, CacheKind::Q4, CacheKind::None] {
        let mut first = session(&network, kind, 1);
        first.prefill(&[text(&network, "She was not")]).unwrap();
        let mut second = first.fork().unwrap();
        assert_eq!(second.lengths(), first.lengths());
        let expected = first.decode(6).unwrap().tokens;
        assert_eq!(second.decode(6).unwrap().tokens, expected, "{kind:?}: the same from the same place");
        let third = first.fork().unwrap();
        second.prefill(&[text(&network, "A different")]).unwrap();
        assert_eq!(first.decode(3).unwrap().tokens, { third }.decode(3).unwrap().tokens, "{kind:?}: untouched by the other's tokens");
    }
}

#[test]
fn a_stop_string_ends_a_text() {
    let network = network();
    let tokenizer = network.model().tokenizer().unwrap();
    let prompt = text(&network, "It is a truth");
    let mut session = session(&network, CacheKind::F16, 1);
    session.prefill(std::slice::from_ref(&prompt)).unwrap();
    let whole = session.generate(&greedy(40), &mut |_, _| {}).unwrap();
    let whole = tokenizer.decode_after(&prompt, &whole.tokens[0]).unwrap();
    // Something in the middle, across a token's border.
    let at = whole.char_indices().map(|(at, _)| at).nth(20).unwrap();
    let stops = vec!["nowhere to be found".to_owned(), whole[at..at + 5].to_owned()];
    let expected = &whole[..whole.find(&stops[1]).unwrap()];

    session.truncate(prompt.len()).unwrap();
    let mut watch = StopText::new(tokenizer, &prompt, &stops);
    let mut told = String::new();
    let generated = session
        .generate_until(&greedy(40), &mut |_, tokens| {
            for (at, &token) in tokens.iter().enumerate() {
                told.push_str(&watch.push(token));
                if watch.stopped_by().is_some() {
                    return Ok(Some(at + 1));
                }
            }
            Ok(None)
        })
        .unwrap();
    assert_eq!((watch.text(), told.as_str(), watch.stopped_by()), (expected, expected, Some(stops[1].as_str())));
    assert_eq!((generated.stopped[0], generated.ended[0]), (Stopped::Asked, false));
    assert_eq!(session.lengths()[0], prompt.len() + generated.tokens[0].len(), "what came after it is forgotten");
    assert!(generated.tokens[0].len() < 40);
}

#[test]
fn options_of_sampling_do_what_they_say() {
    let network = network();
    let mut session = session(&network, CacheKind::F16, 1);
    let prompt = text(&network, "said Elizabeth said Elizabeth said Elizabeth said");
    let mut made = |options: &GenerateOptions| {
        session.truncate(0).unwrap();
        session.prefill(std::slice::from_ref(&prompt)).unwrap();
        session.generate(options, &mut |_, _| {}).unwrap()
    };
    let plain = made(&greedy(12)).tokens.remove(0);
    // The likeliest of all is all that is left.
    let narrow = GenerateOptions { temperature: 1.5, min_p: 1.0, ..greedy(12) };
    assert_eq!(made(&narrow).tokens[0], plain);
    // Whoever is penalised enough doesn't come again; nobody else does either.
    let penalised = made(&GenerateOptions { repetition_penalty: 1e6, ..greedy(12) }).tokens.remove(0);
    let all: Vec<u32> = prompt.iter().chain(&penalised).copied().collect();
    assert!(penalised.iter().enumerate().all(|(at, token)| !all[..prompt.len() + at].contains(token)), "{penalised:?}");
    let windowed = GenerateOptions { repetition_penalty: 1e6, repetition_window: 1, ..greedy(12) };
    assert!(made(&windowed).tokens[0].windows(2).all(|pair| pair[0] != pair[1]));

    let likeliest = made(&GenerateOptions { likeliest: 3, ..greedy(5) });
    for (token, listed) in likeliest.tokens[0].iter().zip(&likeliest.likeliest[0]) {
        assert_eq!((listed.len(), listed[0].0), (3, *token), "the likeliest is what greedy takes");
        assert!(listed[0].1 >= listed[1].1 && listed[1].1 >= listed[2].1 && listed[0].1 < 0.0);
    }
    let scores = {
        session.truncate(prompt.len()).unwrap();
        session.score(std::slice::from_ref(&likeliest.tokens[0])).unwrap().log_probabilities.remove(0)
    };
    let told: Vec<f32> = likeliest.likeliest[0].iter().map(|listed| listed[0].1).collect();
    near("log-probabilities of what was generated, and its scores", &told, &scores, 0.02);

    for (options, expected) in [
        (GenerateOptions { min_p: 1.5, ..greedy(1) }, "min_p is 1.5: expected a proportion from 0 (all tokens) to 1"),
        (
            GenerateOptions { repetition_penalty: 0.0, ..greedy(1) },
            "repetition_penalty is 0: expected more than 0; 1 changes nothing, 1.1 is mild",
        ),
    ] {
        assert_eq!(session.generate(&options, &mut |_, _| {}).unwrap_err().to_string(), expected);
    }
}
