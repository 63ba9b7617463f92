//! Models are opened: the real one, and what the readers make of it.

mod common;

use caramba::model::{DataType, Model, OpenOptions, RopeScaling};

fn smollm2() -> Model {
    Model::open(&common::smollm2(), &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_real_gguf_is_opened() {
    let model = smollm2();
    assert_eq!(model.name, "SmolLM2-135M-Instruct.Q4_1");
    let architecture = &model.architecture;
    assert_eq!((architecture.d_model, architecture.vocab, architecture.context), (576, 49152, 8192));
    assert_eq!((architecture.layers.len(), architecture.tied_embeddings, architecture.norm_eps), (30, true, 1e-5));
    assert_eq!((architecture.bos, architecture.eos.as_slice()), (Some(1), &[2][..]));
    let layer = &architecture.layers[29];
    assert_eq!(
        (layer.d_ff, layer.attention.heads, layer.attention.kv_heads, layer.attention.geo, layer.attention.value),
        (1536, 9, 3, 64, 64)
    );
    let rope = layer.attention.rope.as_ref().unwrap();
    assert_eq!((rope.base, &rope.scaling), (100_000.0, &RopeScaling::None));
    assert_eq!(model.tensors.len(), architecture.tensors().len());
    assert_eq!(model.tensors["model.embed_tokens.weight"].data_type, DataType::Q8_0);
    assert_eq!(model.tensors["model.layers.0.mlp.down_proj.weight"].data_type, DataType::Q4_1);
    assert_eq!(model.tensors["model.norm.weight"].data_type, DataType::F32);

    let hashes = model.hashes().unwrap();
    assert_eq!((hashes.len(), hashes[0].file.as_str(), hashes[0].bytes), (1, "SmolLM2-135M-Instruct.Q4_1.gguf", 98_362_432));
    assert_eq!(hashes[0].sha256.len(), 64);
}

#[test]
fn its_tokenizer_is_that_of_transformers() {
    let model = smollm2();
    let tokenizer = model.tokenizer().unwrap();
    let cases: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(common::fixture("smollm2_tokens.json")).unwrap()).unwrap();
    for (text, tokens) in &cases {
        let expected: Vec<u32> = serde_json::from_value(tokens.clone()).unwrap();
        assert_eq!(tokenizer.encode(text, false).unwrap(), expected, "{text}");
        assert_eq!(tokenizer.encode(text, true).unwrap(), expected, "this model's texts begin with nothing special: {text}");
        // Special tokens are not text.
        assert_eq!(tokenizer.decode(&expected).unwrap(), text.replace("<|im_start|>", ""));
        let mut stream = tokenizer.stream();
        let mut pieces: Vec<String> = expected.iter().filter_map(|&token| stream.push(token)).collect();
        assert!(pieces.iter().all(|piece| !piece.contains('\u{fffd}')), "{pieces:?}");
        pieces.extend(stream.finish());
        assert_eq!(pieces.concat(), text.replace("<|im_start|>", ""));
    }
    assert_eq!(
        (tokenizer.vocab(), tokenizer.token_text(1).as_deref(), tokenizer.token("<|im_end|>")),
        (49152, Some("<|im_start|>"), Some(2))
    );
    let error = tokenizer.decode(&[49152]).unwrap_err().to_string();
    assert!(error.contains("token 49152 is beyond the vocabulary of 49152 tokens"), "{error}");
}
