//! Models are opened: the real one, and what the readers make of it.

mod common;

use caramba::model::{
    Architecture, Attention, DataType, Layer, Model, OpenOptions, Rope, RopeScaling, Tensor, WriteOptions, write_directory,
};
use std::path::Path;

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
        let mut stream = tokenizer.stream(&[]);
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

fn refusal(path: &Path) -> String {
    Model::open(path, &OpenOptions::default()).err().expect("expected a refusal").to_string()
}

#[test]
fn what_is_no_model_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let told = |name: &str, bytes: &[u8]| {
        std::fs::write(path(name), bytes).unwrap();
        refusal(&path(name)).replace(&directory.path().display().to_string(), "DIR")
    };
    insta::assert_snapshot!(
        [
            told("notes.txt", b"hello"),
            told("empty.gguf", b""),
            told("page.gguf", b"<!DOCTYPE html>"),
            told("short.gguf", b"GGUF\x03\0\0\0"),
            told("lost.safetensors", b"\x10\0\0\0\0\0\0\0{}"),
            told("model.onnx", b"\x08\x07\x12\x07pytorch"),
        ]
        .join("\n"),
        @"
    DIR/notes.txt: this is not a model
      help: give a directory with config.json and *.safetensors, a .gguf file, or a PyTorch checkpoint
    DIR/empty.gguf: the file is empty
      help: fetch or copy it again
    DIR/page.gguf: expected a GGUF file, which begins with `GGUF`; this one begins with `<!DO`
    DIR/short.gguf: the file ends at byte 8, 8 more were expected from byte 8 on
      help: the file is truncated or damaged: fetch it again
    DIR: there is no config.json here, which says what the weights mean
      help: give a directory with config.json and *.safetensors, a .gguf file, or a PyTorch checkpoint
    DIR/model.onnx: this is not a model
      help: give a directory with config.json and *.safetensors, a .gguf file, or a PyTorch checkpoint
    "
    );
    assert!(refusal(&path("nowhere")).contains("nowhere: No such file or directory"));
    let empty = path("empty");
    std::fs::create_dir(&empty).unwrap();
    assert!(refusal(&empty).contains("empty: there is no config.json here"), "{}", refusal(&empty));
}

#[test]
fn a_directory_may_hold_a_gguf_alone() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(common::fixture("gguf/qwen2.gguf"), directory.path().join("tiny.gguf")).unwrap();
    assert_eq!(Model::open(directory.path(), &OpenOptions::default()).unwrap().name, "tiny");
}

/// The tokenizer that a student gets from a teacher in a GGUF: a tokenizer.json that makes the same tokens.
#[test]
fn a_tokenizer_is_written_with_a_model() {
    let teacher = smollm2();
    let directory = tempfile::tempdir().unwrap();
    let rope = Rope::new(1e4, RopeScaling::None);
    let layers = vec![Layer::llama(Attention::standard(2, 1, 4, Some(rope)), 4)];
    let architecture = Architecture { d_model: 8, layers, ..teacher.architecture.clone() };
    let zeros = |shape: Vec<usize>| Tensor::from_f32(shape.clone(), vec![0.0; shape.iter().product()]).unwrap();
    let tensors = architecture.tensors().into_iter().map(|(name, shape)| (name, zeros(shape))).collect();
    let write = |path: &Path, tokenizer: &Model| {
        let options = WriteOptions { tokenizer: Some(tokenizer), ..WriteOptions::default() };
        write_directory(path, &architecture, &tensors, &options).unwrap();
        Model::open(path, &OpenOptions::default()).unwrap()
    };
    let first = write(&directory.path().join("first"), &teacher);
    // From a directory its files are copied as they are.
    let second = write(&directory.path().join("second"), &first);
    assert_eq!((&first.architecture, &second.architecture), (&architecture, &architecture));
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        let read = |model: &Model| std::fs::read_to_string(model.path.join(name)).unwrap();
        assert_eq!(read(&first), read(&second));
    }
    let text = std::fs::read_to_string(common::fixture("smollm2_tokens.json")).unwrap();
    let tokens = |model: &Model| model.tokenizer().unwrap().encode(&text, true).unwrap();
    assert_eq!(tokens(&teacher), tokens(&first));
    assert_eq!(tokens(&teacher), tokens(&second));
    assert_eq!(second.hashes().unwrap().len(), 3, "configuration, tokenizer, weights");
}
