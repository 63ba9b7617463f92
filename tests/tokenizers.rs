//! Tokens and texts equal those of `transformers` on 1,000 strings (tests/fixtures/make/tokenizer_forms.py), whole and piece by piece.

mod common;

use caramba::model::Tokenizer;
use common::fixture;
use sha2::{Digest, Sha256};

fn digest(tokens: &[u32], text: &str) -> String {
    let words: Vec<String> = tokens.iter().map(ToString::to_string).collect();
    let hash = Sha256::digest(format!("{}\n{text}", words.join(" ")));
    hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn tokens_and_texts_are_those_of_transformers() {
    let read = |name: &str| std::fs::read_to_string(fixture("tokenizers").join(name)).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&read("expected.json")).unwrap();
    let strings: Vec<String> = serde_json::from_value(expected["strings"].clone()).unwrap();
    assert_eq!(strings.len(), 1000);
    for form in ["byte_level", "sentencepiece", "metaspace"] {
        let tokenizer = Tokenizer::from_json(&read(&format!("{form}.json"))).unwrap();
        let digests = expected[form].as_str().unwrap();
        let mut wrong = Vec::new();
        for (index, string) in strings.iter().enumerate() {
            let tokens = tokenizer.encode(string, false).unwrap();
            let whole = tokenizer.decode(&tokens).unwrap();
            if digest(&tokens, &whole) != digests[8 * index..8 * index + 8] {
                wrong.push(format!("{string:?}: {tokens:?} {whole:?}"));
            }
            let mut stream = tokenizer.stream(&[]);
            let mut streamed: String = tokens.iter().filter_map(|&token| stream.push(token)).collect();
            streamed.extend(stream.finish());
            if streamed != whole {
                wrong.push(format!("{string:?}: streamed {streamed:?}, whole {whole:?}"));
            }
        }
        assert!(wrong.is_empty(), "{form}: {} of 1000 differ\n{}", wrong.len(), wrong[..wrong.len().min(10)].join("\n"));
    }
}
