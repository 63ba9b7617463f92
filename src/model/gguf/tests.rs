use super::build::{Builder, model};
use super::*;
use crate::model::testing;
use crate::model::tokenizer::Tokenizer;
use serde_json::Value;

/// As [`open`], of a file in memory.
fn opened(builder: &Builder) -> Result<Model> {
    let (architecture, tensors, tokenizer) = read(builder.mapped(), &OpenOptions::default())?;
    Model::new(Path::new("x.gguf"), Vec::new(), architecture, tensors, tokenizer)
}

fn refusal(builder: &Builder) -> String {
    opened(builder).err().expect("expected a refusal").to_string()
}

#[test]
fn every_family_comes_out_as_it_went_in() {
    for family in ["llama", "qwen2", "qwen3"] {
        for version in [2, 3] {
            let opened = opened(&Builder { version, ..model(family) }).unwrap_or_else(|error| panic!("{family}: {error}"));
            let mut expected = Architecture { family: family.into(), ..testing::standard() };
            for layer in &mut expected.layers {
                layer.attention.qkv_bias = family == "qwen2";
                layer.attention.qk_norm = if family == "qwen3" { QkNorm::Head } else { QkNorm::None };
            }
            assert_eq!(opened.architecture, expected);
            for (name, tensor) in testing::tensors(&expected) {
                assert_eq!(opened.tensors[&name].to_f32(), tensor.to_f32(), "{family}: {name}");
            }
            assert!(opened.tokenizer().unwrap_err().to_string().contains("the model has no tokenizer"));
        }
    }
}

#[test]
fn optional_keys_change_the_architecture() {
    let attention = |builder: Builder| opened(&builder).unwrap_or_else(|error| panic!("{error}")).architecture.layers[1].attention.clone();
    let rope = |builder: Builder| attention(builder).rope.unwrap();
    // llama.cpp reads it for other architectures only.
    assert_eq!(attention(model("llama").integer("llama.attention.sliding_window", 5)).window, None);
    assert_eq!(rope(model("llama").float("llama.rope.freq_base", 5e5)).base, 5e5);
    let linear = model("llama").string("llama.rope.scaling.type", "linear").float("llama.rope.scaling.factor", 4.0);
    assert_eq!(rope(linear).scaling, RopeScaling::Linear { factor: 4.0 });
    let yarn = model("llama").string("llama.rope.scaling.type", "yarn").float("llama.rope.scaling.factor", 4.0);
    let yarn = yarn.integer("llama.rope.scaling.original_context_length", 16).float("llama.rope.scaling.attn_factor", 2.0);
    let scaling = RopeScaling::Yarn { factor: 4.0, beta_fast: 32.0, beta_slow: 1.0, original_context: 16, truncate: true };
    assert_eq!(rope(yarn), Rope { attention_factor: 2.0 * (1.0 + 0.1 * 4f32.ln()), ..Rope::new(1e4, scaling) });
    assert_eq!(rope(model("llama").float("llama.rope.scaling.attn_factor", 1.5)).attention_factor, 1.5);
    let long = model("llama").string("llama.rope.scaling.type", "longrope").integer("llama.rope.scaling.original_context_length", 16);
    let long = long.tensor("rope_factors_short.weight", &[2], &[1.0, 2.0]).tensor("rope_factors_long.weight", &[2], &[3.0, 4.0]);
    let scaling = RopeScaling::LongRope { short: vec![1.0, 2.0], long: vec![3.0, 4.0], original_context: 16 };
    assert_eq!(rope(long).scaling, scaling);
    assert_eq!(rope(model("llama").integer("llama.rope.dimension_count", 2)).rotated, Some(2));
    assert_eq!(rope(model("llama").tensor("rope_freqs.weight", &[2], &[1.0, 8.0])).scaling, RopeScaling::Factors(vec![1.0, 8.0]));

    let mut tied = model("llama");
    tied.tensors.retain(|(name, ..)| name != "output.weight");
    assert!(opened(&tied).unwrap().architecture.tied_embeddings);

    let wide = model("llama").integer("llama.attention.key_length", 6).integer("llama.attention.value_length", 2);
    let message = refusal(&wide);
    assert!(message.contains("self_attn.k_proj.weight is [4, 12], expected [6, 12]"), "{message}");
    assert!(message.contains("self_attn.v_proj.weight is [4, 12], expected [2, 12]"), "{message}");

    let per_layer = model("llama").integers("llama.feed_forward_length", &[10, 10]).integers("llama.attention.head_count_kv", &[1, 1]);
    assert_eq!(opened(&per_layer).unwrap().architecture, testing::standard());
}

#[test]
fn a_bias_of_a_llama_is_put_back_in_order_too() {
    // Stored as pairs: head of 4, elements (0, 2), (1, 3).
    let mut biased = model("llama");
    for layer in 0..2 {
        biased = biased
            .tensor(&format!("blk.{layer}.attn_q.bias"), &[12], &[0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0, 8.0, 10.0, 9.0, 11.0])
            .tensor(&format!("blk.{layer}.attn_k.bias"), &[4], &[0.0, 2.0, 1.0, 3.0])
            .tensor(&format!("blk.{layer}.attn_v.bias"), &[4], &[0.0, 1.0, 2.0, 3.0]);
    }
    let opened = opened(&biased).unwrap();
    assert_eq!(opened.tensors["model.layers.1.self_attn.q_proj.bias"].to_f32(), (0..12u8).map(f32::from).collect::<Vec<_>>());
    assert_eq!(opened.tensors["model.layers.1.self_attn.k_proj.bias"].to_f32(), [0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn mistakes_in_the_keys_are_told() {
    let nested = {
        // Arrays in arrays, deeper than anybody needs.
        let mut value = [&9u32.to_le_bytes()[..], &0u32.to_le_bytes(), &0u64.to_le_bytes()].concat();
        for _ in 0..6 {
            value = [&9u32.to_le_bytes()[..], &9u32.to_le_bytes(), &1u64.to_le_bytes(), &value[4..]].concat();
        }
        value
    };
    let huge_array = [&9u32.to_le_bytes()[..], &10u32.to_le_bytes(), &(u64::MAX / 8).to_le_bytes()].concat();
    let huge_text = [&8u32.to_le_bytes()[..], &(1u64 << 40).to_le_bytes()].concat();
    let cases = [
        (model("llama").string("general.architecture", "mamba"), "unknown architecture `mamba`\n  help: known are: "),
        (model("llama").without("general.architecture"), "key general.architecture is missing"),
        (model("llama").without("llama.block_count"), "key llama.block_count is missing"),
        (
            model("llama").integer("llama.block_count", 4_000_000_000),
            "key llama.block_count is 4000000000, but the file has only 21 tensors",
        ),
        (model("llama").string("llama.block_count", "two"), "key llama.block_count: expected a whole number, found \"two\""),
        (model("llama").integer("llama.attention.head_count", 0), "the number of heads is 0 or not given"),
        (model("llama").integer("llama.attention.head_count_kv", 2), "3 heads can't be shared out to 2 key/value heads"),
        (model("llama").integers("llama.attention.head_count_kv", &[1]), "has 1 values, expected one for each of the 2 layers"),
        (model("llama").integer("llama.expert_count", 8), "key llama.expert_count is 8; a model that needs it is not supported"),
        (model("llama").integer("llama.rope.dimension_count", 3), "RoPE rotates 3 elements of a head: expected an even number"),
        (
            model("llama").bool("llama.attention.causal", false),
            "key llama.attention.causal is false; a model that needs it is not supported",
        ),
        (model("llama").string("llama.rope.scaling.type", "yarn"), "key llama.rope.scaling.factor is missing"),
        (
            model("llama").string("llama.rope.scaling.type", "yarm"),
            "key llama.rope.scaling.type: unknown RoPE scaling `yarm`\n  help: did you mean `yarn`? known are: none, linear, yarn, longrope",
        ),
        (model("llama").tensor("rope_freqs.weight", &[3], &[1.0; 3]), "there are 3 factors of RoPE, expected 2"),
        (model("llama").integer("split.count", 3), "this is one of several files that a model was split into"),
        (model("llama").integer("general.alignment", 24), "general.alignment is 24, expected a power of two"),
        (model("llama").raw("x", nested), "key x: arrays are nested more than 4 deep"),
        (model("llama").raw("x", huge_array), "array elements follow; that can't be"),
        (model("llama").raw("x", huge_text), "1099511627776 bytes of a string follow; that can't be"),
        (model("llama").raw("x", 77u32.to_le_bytes().to_vec()), "key x: value type 77 is unknown"),
        (Builder { version: 1, ..model("llama") }, "GGUF version 1 is not supported; versions 2 and 3 are"),
        (Builder { version: 3 << 24, ..model("llama") }, "the file is big-endian GGUF"),
    ];
    for (builder, words) in cases {
        let message = refusal(&builder);
        assert!(message.contains(words), "expected `{words}` in: {message}");
    }
}

#[test]
fn mistakes_in_the_tensors_are_told() {
    let changed = |change: &dyn Fn(&mut Builder)| {
        let mut builder = model("llama");
        change(&mut builder);
        refusal(&builder)
    };
    let message = changed(&|builder| {
        builder.tensors.retain(|(name, ..)| name != "blk.1.ffn_up.weight");
        builder.tensors[0].0 = "blk.0.attn_sinks.weight".into();
    });
    insta::assert_snapshot!(message, @"
    the tensors are not those that the configuration asks for
      1 missing:
        model.layers.1.mlp.up_proj.weight [10, 12]
      1 surplus:
        blk.0.attn_sinks.weight [7, 12]
      help: use weights and configuration of the same model, and fetch again what was cut short
    ");
    let message = changed(&|builder| builder.tensors[3].2 = 20);
    assert!(
        message.contains("ggml's element type IQ4_NL (20) is not supported\n  help: use a file with these types: F32, F16, BF16, Q8_0"),
        "{message}"
    );
    let message = changed(&|builder| builder.tensors[3].2 = 2);
    assert!(message.contains("is not a whole number of Q4_0 blocks of 32"), "{message}");
    let message = changed(&|builder| builder.tensors[3].1 = vec![1; 5]);
    assert!(message.contains("it has 5 dimensions, expected 1 to 4"), "{message}");
    let message = changed(&|builder| builder.tensors[3].1 = vec![usize::MAX, usize::MAX]);
    assert!(message.contains("needs more than the"), "{message}");
    let message = changed(&|builder| builder.tensors[3].0 = builder.tensors[4].0.clone());
    assert!(message.contains("stands in the file twice"), "{message}");
}

#[test]
fn no_damage_makes_a_panic() {
    let vocabulary = fixture()["sentence_pieces"].clone();
    let whole = with_vocabulary(model("llama"), &vocabulary).string("tokenizer.ggml.model", "llama").bytes();
    let try_it = |bytes: Vec<u8>| {
        if let Ok((architecture, tensors, tokenizer)) = read(std::sync::Arc::new(bytes), &OpenOptions::default())
            && let Ok(model) = Model::new(Path::new("x"), Vec::new(), architecture, tensors, tokenizer)
        {
            // What is accepted can be read.
            model.tensors.values().for_each(|tensor| _ = tensor.to_f32());
            _ = model.tokenizer();
        }
    };
    for length in (0..whole.len()).step_by(41) {
        try_it(whole[..length].to_vec());
    }
    // The keys before the vocabulary and the descriptions of the tensors are the interesting parts; a small generator picks bytes in them.
    let mut state = 1u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    let plain = model("llama").bytes();
    let header = plain.len() - 6 * 1024;
    for _ in 0..4000 {
        let mut damaged = plain.clone();
        for _ in 0..1 + random(3) {
            damaged[random(header)] = [0, 1, 0x7f, 0x80, 0xff, 2, 9, 8][random(8)];
        }
        try_it(damaged);
    }
    for _ in 0..100 {
        let mut damaged = whole.clone();
        damaged[random(whole.len())] ^= 1 << random(8);
        try_it(damaged);
    }
}

fn fixture() -> Value {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vocabularies.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn with_vocabulary(builder: Builder, vocabulary: &Value) -> Builder {
    let texts = |key: &str| serde_json::from_value::<Vec<String>>(vocabulary[key].clone()).unwrap();
    let builder = builder
        .strings("tokenizer.ggml.tokens", &texts("tokens"))
        .integers("tokenizer.ggml.token_type", &serde_json::from_value::<Vec<i32>>(vocabulary["types"].clone()).unwrap());
    match vocabulary.get("scores") {
        Some(scores) => builder.floats("tokenizer.ggml.scores", &serde_json::from_value::<Vec<f32>>(scores.clone()).unwrap()),
        None => builder.strings("tokenizer.ggml.merges", &texts("merges")),
    }
}

fn tokenizer_of(builder: &Builder) -> Result<Tokenizer> {
    let container = Container::parse(builder.mapped())?;
    vocabulary::tokenizer(&container).map(|tokenizer| tokenizer.expect("it has a vocabulary"))
}

/// Tokens are as expected, text comes back, and piece by piece too.
fn assert_cases(tokenizer: &Tokenizer, cases: &Value, text_after: impl Fn(&str) -> String) {
    for (text, expected) in cases.as_object().unwrap() {
        let expected: Vec<u32> = serde_json::from_value(expected.clone()).unwrap();
        assert_eq!(tokenizer.encode(text, false).unwrap(), expected, "{text:?}");
        assert_eq!(tokenizer.decode(&expected).unwrap(), text_after(text), "{text:?}");
        let mut stream = tokenizer.stream(&[]);
        let mut pieces: Vec<String> = expected.iter().filter_map(|&token| stream.push(token)).collect();
        assert!(pieces.iter().all(|piece| !piece.contains('\u{fffd}')), "{pieces:?}");
        pieces.extend(stream.finish());
        assert_eq!(pieces.concat(), text_after(text), "{text:?}");
    }
}

#[test]
fn sentence_pieces_are_merged_as_sentencepiece_does() {
    let vocabulary = &fixture()["sentence_pieces"];
    let builder = with_vocabulary(model("llama"), vocabulary).string("tokenizer.ggml.model", "llama");
    let tokenizer = tokenizer_of(&builder).unwrap();
    // A text that spells the mark for a space itself gets spaces for it: so it is in sentencepiece.
    assert_cases(&tokenizer, &vocabulary["cases"], |text| text.replace('▁', " "));
    // As llama.cpp: after a token found in the text, a new piece of text begins, with its own space.
    let apart = [tokenizer.encode("so ", false).unwrap(), vec![3], tokenizer.encode("it is", false).unwrap()].concat();
    assert_eq!(tokenizer.encode("so <think>it is", false).unwrap(), apart);
    assert_eq!(tokenizer.encode("a", true).unwrap(), [1, 261], "a begin-of-text token, unless the file says otherwise");
    assert_eq!(tokenizer_of(&builder.clone().bool("tokenizer.ggml.add_bos_token", false)).unwrap().encode("a", true).unwrap(), [261]);
    let ended = tokenizer_of(&builder.clone().bool("tokenizer.ggml.add_eos_token", true)).unwrap();
    assert_eq!(ended.encode("a", true).unwrap(), [1, 261, 2]);
    assert_eq!(ended.decode(&[1, 261, 2]).unwrap(), "a");
    let bare = tokenizer_of(&builder.bool("tokenizer.ggml.add_space_prefix", false)).unwrap();
    assert_eq!(bare.encode(" a", false).unwrap(), [261]);
    assert_eq!(bare.decode(&[261]).unwrap(), " a");
}

#[test]
fn byte_pairs_are_cut_as_each_model_wants() {
    let vocabulary = &fixture()["byte_pairs"];
    let builder =
        with_vocabulary(model("llama"), vocabulary).string("tokenizer.ggml.model", "gpt2").integer("tokenizer.ggml.bos_token_id", 420);
    for (pre, cases) in vocabulary["cases"].as_object().unwrap() {
        let tokenizer = tokenizer_of(&builder.clone().string("tokenizer.ggml.pre", pre)).unwrap();
        let composed = |text: &str| if pre == "qwen2" { text.replace("e\u{301}", "é") } else { text.to_owned() };
        assert_cases(&tokenizer, cases, |text| composed(text).replace("<|end|>", ""));
        let first = tokenizer.encode("a", true).unwrap()[0];
        assert_eq!(first == 420, pre == "llama-bpe" || pre == "tekken", "{pre}");
        // Written as a tokenizer.json, it does the same.
        assert_cases(&Tokenizer::from_json(&tokenizer.to_json().unwrap()).unwrap(), cases, |text| composed(text).replace("<|end|>", ""));
    }
    assert!(tokenizer_of(&builder).is_ok(), "without a name: GPT-2's");
}

#[test]
fn a_vocabulary_that_can_not_be_used_leaves_a_model_without_text() {
    let vocabulary = &fixture()["byte_pairs"];
    let builder = with_vocabulary(model("llama"), vocabulary).string("tokenizer.ggml.model", "gpt2");
    let told = |builder: Builder| opened(&builder).unwrap().tokenizer().unwrap_err().to_string();
    let message = told(builder.clone().string("tokenizer.ggml.pre", "klingon"));
    assert!(message.contains("x.gguf: key tokenizer.ggml.pre: unknown pre-tokenizer `klingon`\n  help: known are: gpt-2, "), "{message}");
    let message = told(builder.clone().string("tokenizer.ggml.model", "rwkv"));
    assert!(message.contains("unknown vocabulary `rwkv`"), "{message}");
    let message = told(builder.clone().integers("tokenizer.ggml.token_type", &[1, 2]));
    assert!(message.contains("key tokenizer.ggml.token_type has 2 values, expected one for each of the 422 tokens"), "{message}");
    let message = told(builder.clone().strings("tokenizer.ggml.merges", &["ab".into()]));
    assert!(message.contains("`ab` is not a pair"), "{message}");
    let message = told(builder.clone().strings("tokenizer.ggml.merges", &["zzz zzz".into()]));
    assert!(message.contains("this is not a tokenizer that can be used"), "{message}");
    let message = told(builder.bool("tokenizer.ggml.add_bos_token", true).integer("tokenizer.ggml.bos_token_id", 9999));
    assert!(message.contains("key tokenizer.ggml.bos_token_id is 9999, beyond the vocabulary of 422 tokens"), "{message}");
}
