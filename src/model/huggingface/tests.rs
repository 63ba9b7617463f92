use super::*;
use crate::model::RopeScaling;
use crate::model::architecture::{Architecture, Attention, Gate, QkNorm};
use crate::model::testing::{standard, student, tensors};
use crate::model::{DataType, OpenOptions, Tensor, WriteOptions, write_directory};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn read(config: Value) -> Result<Architecture> {
    config::architecture(&config)
}

fn architecture(config: Value) -> Architecture {
    read(config).unwrap_or_else(|error| panic!("{error}"))
}

/// A small configuration with some keys changed; `null` takes a key away.
fn with(family: &str, changes: Value) -> Value {
    let mut config = json!({
        "model_type": family, "hidden_size": 12, "intermediate_size": 10, "num_hidden_layers": 3, "num_attention_heads": 3, "num_key_value_heads": 1,
        "vocab_size": 7, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "hidden_act": "silu", "head_dim": 4
    });
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn attention(config: Value, layer: usize) -> Attention {
    architecture(config).layers[layer].attention.clone()
}

#[test]
fn both_generations_of_rope_keys_say_the_same() {
    let scaling = json!({ "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192 });
    let mut parameters = scaling.clone();
    parameters["rope_theta"] = json!(500000.0);
    let old = architecture(with("llama", json!({ "rope_theta": 500000.0, "rope_scaling": scaling })));
    assert_eq!(old, architecture(with("llama", json!({ "rope_parameters": parameters }))));
    let rope = old.layers[0].attention.rope.clone().unwrap();
    assert_eq!(rope.base, 500_000.0);
    let expected = RopeScaling::Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 8192 };
    assert_eq!(rope.scaling, expected);

    let rope = |changes| attention(with("llama", changes), 0).rope.unwrap();
    // Both at once: the one that asks for something.
    let both =
        json!({ "rope_parameters": { "rope_type": "default", "rope_theta": 5e5 }, "rope_scaling": { "type": "linear", "factor": 4 } });
    for family in ["llama", "mistral", "qwen2", "qwen3", "phi3"] {
        let rope = attention(with(family, both.clone()), 0).rope.unwrap();
        assert_eq!((rope.base, rope.scaling), (5e5, RopeScaling::Linear { factor: 4.0 }), "{family}");
    }
    // The name of the type before it was `rope_type`; a factor written as a whole number.
    assert_eq!(rope(json!({ "rope_scaling": { "type": "linear", "factor": 2 } })).scaling, RopeScaling::Linear { factor: 2.0 });
    assert_eq!(rope(json!({ "rope_parameters": { "rope_type": "default", "rope_theta": 10000 } })), rope(json!({ "rope_scaling": null })));
}

#[test]
fn every_family_has_its_own_defaults() {
    let plain = attention(with("llama", json!({ "head_dim": null })), 0);
    assert_eq!((plain.geo, plain.value, plain.kv_heads, plain.qkv_bias, plain.qk_norm, plain.window), (4, 4, 1, false, QkNorm::None, None));
    assert_eq!(attention(with("llama", json!({ "num_key_value_heads": null })), 0).kv_heads, 3);
    let biased = attention(with("llama", json!({ "attention_bias": true })), 0);
    assert_eq!((biased.qkv_bias, biased.out_bias), (true, true));
    // A Llama with a key that only Mistral heeds.
    assert_eq!(attention(with("llama", json!({ "sliding_window": 5 })), 0).window, None);

    assert_eq!(attention(with("mistral", json!({ "sliding_window": 5 })), 2).window, Some(5));
    assert_eq!(attention(with("mistral", json!({ "sliding_window": null })), 2).window, None);
    assert_eq!(attention(with("mistral", json!({})), 2).window, Some(4096));

    let qwen2 = attention(with("qwen2", json!({ "sliding_window": 5 })), 2);
    assert_eq!((qwen2.qkv_bias, qwen2.out_bias, qwen2.window), (true, false, None));
    let windowed = with("qwen2", json!({ "sliding_window": 5, "use_sliding_window": true, "max_window_layers": 2 }));
    assert_eq!((attention(windowed.clone(), 1).window, attention(windowed, 2).window), (None, Some(5)));
    let types = json!({ "sliding_window": 5, "use_sliding_window": true, "layer_types": ["sliding_attention", "full_attention", "full_attention"] });
    assert_eq!((attention(with("qwen2", types.clone()), 0).window, attention(with("qwen2", types), 2).window), (Some(5), None));

    // A layer that doesn't rotate is 0 in the list; a window is for those, and only if asked for.
    let smollm3 = |changes: Value| -> Vec<(bool, Option<usize>)> {
        let layers = architecture(with("smollm3", changes)).layers;
        layers.iter().map(|layer| (layer.attention.rope.is_some(), layer.attention.window)).collect()
    };
    assert_eq!(smollm3(json!({ "num_hidden_layers": 4, "sliding_window": 5 })), [(true, None), (true, None), (true, None), (false, None)]);
    let listed = json!({ "no_rope_layers": [1, 0, 1], "use_sliding_window": true, "sliding_window": 5 });
    assert_eq!(smollm3(listed.clone()), [(true, None), (false, Some(5)), (true, None)]);
    let mut typed = listed;
    typed["layer_types"] = json!(["sliding_attention", "full_attention", "full_attention"]);
    assert_eq!(smollm3(typed), [(true, Some(5)), (false, None), (true, None)]);

    let qwen3 = attention(with("qwen3", json!({ "head_dim": null, "num_attention_heads": 6, "num_key_value_heads": 2 })), 0);
    assert_eq!((qwen3.geo, qwen3.qk_norm, qwen3.qkv_bias), (128, QkNorm::Head, false));
}

#[test]
fn ends_of_a_text_are_gathered() {
    let mut one = architecture(with("llama", json!({ "bos_token_id": 1, "eos_token_id": 2 })));
    assert_eq!((one.bos, one.eos.as_slice()), (Some(1), &[2][..]));
    config::add_generation(&mut one, &json!({ "bos_token_id": 9, "eos_token_id": [2, 5] })).unwrap();
    assert_eq!((one.bos, one.eos.as_slice()), (Some(1), &[2, 5][..]));
    assert!(architecture(with("llama", json!({ "eos_token_id": -1 }))).eos.is_empty());
}

#[test]
fn a_student_is_read() {
    let student = with(
        "llama",
        json!({ "attention": {
            "mode": "decoupled", "sem_dim": 6, "geo_dim": 12, "attn_dim": 9, "n_kv_heads": 1, "decoupled_gate": true,
            "layers": { "1": { "mode": "standard" }, "2": { "geo_dim": 6, "decoupled_gate": false, "rope_enabled": false } }
        } }),
    );
    let layers: Vec<Attention> = (0..3).map(|layer| attention(student.clone(), layer)).collect();
    let first = Attention { decoupled: true, sem: 2, value: 3, gate: Gate::Static, ..Attention::standard(3, 1, 4, layers[1].rope.clone()) };
    assert_eq!(layers[0], first);
    assert_eq!(layers[1], Attention::standard(3, 1, 4, layers[0].rope.clone()));
    assert_eq!(layers[2], Attention { geo: 2, gate: Gate::None, rope: None, ..first });
    // Absent options are off; values are as wide as the model, and no heads are shared.
    let bare = attention(with("llama", json!({ "attention": { "mode": "decoupled", "sem_dim": 6, "geo_dim": 6 } })), 0);
    assert_eq!((bare.value, bare.kv_heads, bare.gate, bare.rope.is_some()), (4, 3, Gate::None, true));
}

#[test]
fn mistakes_in_the_configuration_are_told() {
    let decoupled = |changes: Value| {
        let mut section = json!({ "mode": "decoupled", "sem_dim": 6, "geo_dim": 12 });
        for (key, value) in changes.as_object().unwrap() {
            section[key] = value.clone();
        }
        with("llama", json!({ "attention": section }))
    };
    let cases = [
        (json!([1]), "expected a map of keys and values, found a list of 1"),
        (json!({}), "key `model_type` is missing"),
        (with("mamba", json!({})), "key `model_type`: unknown model type `mamba`\n  help: known are: "),
        (
            with("qwen3_moe", json!({ "num_experts": 128 })),
            "key `model_type`: `qwen3_moe` has mixture-of-experts layers, which are not supported",
        ),
        (with("llama", json!({ "hidden_size": null })), "key `hidden_size` is missing"),
        (with("llama", json!({ "hidden_size": "12" })), "key `hidden_size`: expected a whole number, found \"12\""),
        (with("llama", json!({ "hidden_size": 12.5 })), "key `hidden_size`: expected a whole number, found 12.5"),
        (with("llama", json!({ "hidden_size": -12 })), "key `hidden_size`: expected a whole number, found -12"),
        (
            with("llama", json!({ "hidden_size": 1_000_000_000_000u64 })),
            "the width of the model (d_model) is 1000000000000, more than any model has",
        ),
        (
            with("llama", json!({ "num_hidden_layers": 1_000_000_000 })),
            "key `num_hidden_layers`: expected 1 to 4096 layers, found 1000000000",
        ),
        (with("llama", json!({ "num_attention_heads": 0, "head_dim": null })), "0 heads can't share hidden_size 12"),
        (
            with("llama", json!({ "num_attention_heads": 5, "head_dim": null })),
            "5 heads can't share hidden_size 12, and there is no head_dim",
        ),
        (with("llama", json!({ "num_key_value_heads": 2 })), "layer 0: 3 heads can't be shared out to 2 key/value heads"),
        (with("llama", json!({ "head_dim": 5 })), "layer 0: the head size is 5; RoPE rotates pairs, so it must be even"),
        (
            with("llama", json!({ "intermediate_size": [1, 2] })),
            "key `intermediate_size`: expected one width or one for each of the 3 layers, found 2",
        ),
        (
            with("llama", json!({ "hidden_act": "gelu" })),
            "key `hidden_act`: activation `gelu` is not supported; silu and gelu_pytorch_tanh are",
        ),
        (with("llama", json!({ "mlp_bias": true })), "key `mlp_bias`: biases in the MLP are not supported"),
        (with("llama", json!({ "is_causal": false })), "key `is_causal`: attention that sees the future is not supported"),
        (with("llama", json!({ "rms_norm_eps": 0 })), "the epsilon of the norms is 0"),
        (with("llama", json!({ "eos_token_id": 5_000_000_000u64 })), "key `eos_token_id`: 5000000000 is no token"),
        (
            with("llama", json!({ "rope_scaling": { "rope_type": "yarm", "factor": 4.0 } })),
            "key `rope_scaling`: unknown RoPE scaling `yarm`\n  help: did you mean `yarn`? known are: default, linear, dynamic, yarn, longrope, su, llama3",
        ),
        (
            with(
                "llama",
                json!({ "rope_parameters": { "rope_type": "linear", "factor": 2 }, "rope_scaling": { "type": "linear", "factor": 4 } }),
            ),
            "`rope_parameters` and `rope_scaling` ask for different scalings of RoPE\n  help: take out the one that is not meant",
        ),
        (
            with("phi3", json!({ "rope_scaling": { "type": "su", "short_factor": [1.0], "long_factor": [1.0, 2.0] } })),
            "layer 0: there are 1 factors of RoPE, expected 2: half the elements of a head that are rotated",
        ),
        (
            with("phi3", json!({ "partial_rotary_factor": 1.5 })),
            "key `partial_rotary_factor`: expected a proportion above 0, at most 1, found 1.5",
        ),
        (
            with("gemma3", json!({ "text_config": { "model_type": "gemma3_text" } })),
            "key `model_type`: `gemma3` is a model of several kinds of input; its language model, of type `gemma3_text`, is described in `text_config`",
        ),
        (with("llama", json!({ "rope_scaling": { "rope_type": "linear" } })), "key `rope_scaling`: key `factor` is missing"),
        (
            with("llama", json!({ "rope_scaling": { "rope_type": "linear", "factor": 0 } })),
            "the scaling factor of RoPE is 0, expected a positive number",
        ),
        (
            with("llama", json!({ "partial_rotary_factor": 0.5 })),
            "key `partial_rotary_factor`: rotating a part of each head is not supported",
        ),
        (
            with("llama", json!({ "quantization_config": { "quant_method": "gptq" } })),
            "weights quantised by `gptq` are not supported in safetensors",
        ),
        (with("smollm3", json!({ "no_rope_layers": [1, 0] })), "key `no_rope_layers`: expected one for each of the 3 layers, found 2"),
        (with("smollm3", json!({ "no_rope_layer_interval": 0 })), "key `no_rope_layer_interval`: expected a whole number above 0, found 0"),
        (with("qwen2", json!({ "use_sliding_window": true, "layer_types": ["a", "b", "c"] })), "key `layer_types`: unknown layer type `a`"),
        (
            decoupled(json!({ "mode": "decuopled" })),
            "key `attention`: layer 0: unknown attention mode `decuopled`\n  help: did you mean `decoupled`?",
        ),
        (decoupled(json!({ "sem_dims": 4 })), "key `attention`: unknown attention option `sem_dims`\n  help: did you mean `sem_dim`?"),
        (decoupled(json!({ "sem_dim": null })), "key `attention`: layer 0: key `sem_dim` is missing"),
        (decoupled(json!({ "sem_dim": 7 })), "layer 0: sem_dim is 7, which 3 heads can't share\n  help: make it a multiple of 3"),
        (
            decoupled(json!({ "geo_dim": 9 })),
            "layer 0: geo_dim gives each of the 3 heads 3 elements; RoPE rotates pairs, so it must be even",
        ),
        (decoupled(json!({ "decoupled_gate_dynamic": true })), "decoupled_gate_dynamic is on and decoupled_gate is off"),
        (decoupled(json!({ "tie_qk": true, "n_kv_heads": 1 })), "tie_qk needs as many key/value heads as heads, found 1 and 3"),
        (decoupled(json!({ "layers": { "3": {} } })), "key `layers`, layer 3: expected a layer from 0 to 2"),
        (
            decoupled(json!({ "layers": { "1": { "heads": 3 } } })),
            "key `layers`, layer 1: unknown attention option `heads`\n  help: did you mean `n_heads`?",
        ),
    ];
    for (config, words) in cases {
        let message = read(config).expect_err(words).to_string();
        assert!(message.contains(words), "expected `{words}` in: {message}");
    }
}

/// A directory with a small model in it, to be damaged.
struct Fixture {
    _holder: tempfile::TempDir,
    path: PathBuf,
    architecture: Architecture,
    tensors: BTreeMap<String, Tensor>,
}

impl Fixture {
    fn new() -> Fixture {
        let holder = tempfile::tempdir().unwrap();
        let (path, architecture) = (holder.path().join("tiny"), standard());
        let tensors = tensors(&architecture);
        let options = WriteOptions { data_type: DataType::F32, ..WriteOptions::default() };
        write_directory(&path, &architecture, &tensors, &options).unwrap();
        Fixture { _holder: holder, path, architecture, tensors }
    }

    fn open(&self) -> Result<Model> {
        Model::open(&self.path, &OpenOptions::default())
    }

    fn refusal(&self) -> String {
        self.open().err().expect("expected a refusal").to_string()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path.join(name), bytes).unwrap();
    }
}

#[test]
fn shards_are_put_together() {
    let fixture = Fixture::new();
    std::fs::remove_file(fixture.path.join(WEIGHTS)).unwrap();
    let mut map = serde_json::Map::new();
    for (shard, names) in fixture.tensors.keys().collect::<Vec<_>>().chunks(8).enumerate() {
        let file = format!("model-{shard}.safetensors");
        let views = names.iter().map(|name| {
            let tensor = &fixture.tensors[*name];
            let view =
                ::safetensors::tensor::TensorView::new(::safetensors::Dtype::F32, tensor.shape.clone(), tensor.contiguous().unwrap())
                    .unwrap();
            (name.to_string(), view)
        });
        fixture.write(&file, &::safetensors::serialize(views, None).unwrap());
        names.iter().for_each(|name| _ = map.insert(name.to_string(), json!(file)));
    }
    fixture.write(INDEX, json!({ "metadata": {}, "weight_map": map }).to_string().as_bytes());
    let model = fixture.open().unwrap_or_else(|error| panic!("{error}"));
    for (name, tensor) in &fixture.tensors {
        assert_eq!(model.tensors[name].to_f32(), tensor.to_f32(), "{name}");
    }
    assert_eq!(model.files.len(), 1 + 3 + 1, "configuration, shards, index");

    std::fs::remove_file(fixture.path.join("model-1.safetensors")).unwrap();
    let message = fixture.refusal();
    assert!(message.contains("the index names `model-1.safetensors`, which is not there"), "{message}");
    std::fs::copy(fixture.path.join("model-0.safetensors"), fixture.path.join("model-1.safetensors")).unwrap();
    let message = fixture.refusal();
    assert!(message.contains("it stands in another file of the model too"), "{message}");
    fixture.write(INDEX, json!({ "weight_map": { "a": "../secret" } }).to_string().as_bytes());
    let message = fixture.refusal();
    assert!(message.contains("tensor a: expected the name of a file beside the index, found `../secret`"), "{message}");
}

#[test]
fn weights_are_found_under_other_names_too() {
    let fixture = Fixture::new();
    // Without its prefix, as a model without its head is saved; leftovers of old versions; a file of another name, given by its path.
    let mut renamed: BTreeMap<String, Tensor> =
        fixture.tensors.iter().map(|(name, tensor)| (name.strip_prefix("model.").unwrap_or(name).to_owned(), tensor.clone())).collect();
    renamed.insert("layers.0.self_attn.rotary_emb.inv_freq".into(), Tensor::from_f32(vec![2], vec![1.0, 0.1]).unwrap());
    let views = renamed.iter().map(|(name, tensor)| {
        let view =
            ::safetensors::tensor::TensorView::new(::safetensors::Dtype::F32, tensor.shape.clone(), tensor.contiguous().unwrap()).unwrap();
        (name.clone(), view)
    });
    fixture.write("other.safetensors", &::safetensors::serialize(views, None).unwrap());
    let path = fixture.path.join("other.safetensors");
    let model = Model::open(&path, &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((model.name.as_str(), model.tensors.len()), ("other", fixture.tensors.len()));
    assert_eq!(model.architecture, fixture.architecture);

    std::fs::remove_file(fixture.path.join(WEIGHTS)).unwrap();
    assert_eq!(fixture.open().unwrap().name, "tiny", "the only safetensors file there is");
    fixture.write("third.safetensors", b"");
    let message = fixture.refusal();
    assert!(message.contains("there are 2 safetensors files and neither model.safetensors nor model.safetensors.index.json"), "{message}");
}

#[test]
fn mistakes_in_a_directory_are_told() {
    let fixture = Fixture::new();
    let good = std::fs::read(fixture.path.join(WEIGHTS)).unwrap();
    let config = std::fs::read_to_string(fixture.path.join(CONFIG)).unwrap();
    let header_length = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let with_header = |change: &dyn Fn(&mut Value)| {
        let mut header: Value = serde_json::from_slice(&good[8..8 + header_length]).unwrap();
        change(&mut header);
        let header = header.to_string();
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &good[8 + header_length..]].concat()
    };
    let cases = [
        (Vec::new(), "the file is empty"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n".to_vec(),
            "a pointer to it, as Git leaves it where Git LFS is missing",
        ),
        (good[..5].to_vec(), "the file has 5 bytes; a safetensors file begins with the 8 bytes of its header's length"),
        (good[..200].to_vec(), "the file at byte 200\n  help: the file is truncated or damaged: fetch it again"),
        (good[..good.len() - 4].to_vec(), "needs more than the"),
        ([&good[..], &[0; 16]].concat(), "the tensors end at byte"),
        (b"<!DOCTYPE html><html>".to_vec(), "the header is said to have 5789751444030890300 bytes"),
        ([&9u64.to_le_bytes()[..], b"not json!"].concat(), "the header is not JSON: expected ident at line 1 column 2"),
        (
            with_header(&|header| header["lm_head.weight"]["dtype"] = json!("I8")),
            "tensor lm_head.weight: its elements are of type I8; F32, F16, BF16 are supported",
        ),
        (with_header(&|header| header["lm_head.weight"]["shape"] = json!([7, 11])), "tensor lm_head.weight: its data_offsets"),
        (
            with_header(&|header| header["lm_head.weight"]["shape"] = json!([12, 7])),
            "1 of another shape:\n    lm_head.weight is [12, 7], expected [7, 12]",
        ),
        (with_header(&|header| header["lm_head.weight"] = json!(7)), "expected a map of keys and values, found 7"),
        (with_header(&|header| header["lm_head.weight"]["data_offsets"] = json!([4, 0])), "tensor lm_head.weight: its data_offsets 4 to 0"),
        (
            with_header(&|header| _ = header.as_object_mut().unwrap().shift_remove("model.norm.weight")),
            "1 missing:\n    model.norm.weight [12]",
        ),
    ];
    for (bytes, words) in cases {
        fixture.write(WEIGHTS, &bytes);
        let message = fixture.refusal();
        assert!(message.contains(words), "expected `{words}` in: {message}");
        assert!(message.starts_with(&fixture.path.display().to_string()), "{message}");
    }

    fixture.write(WEIGHTS, &good);
    fixture.write(CONFIG, config.replace("\"vocab_size\": 7,", "\"vocab_size\": 7").as_bytes());
    let message = fixture.refusal();
    assert!(message.contains("config.json:7:3: this is not JSON: expected `,` or `}`"), "{message}");
    fixture.write(CONFIG, &[0xff, 0xfe]);
    assert!(fixture.refusal().contains("config.json: byte 0 is not UTF-8 text"));
    fixture.write(CONFIG, config.as_bytes());
    fixture.write(TOKENIZER, b"{ \"version\": \"1.0\",\n \"decoder\": }");
    let message = fixture.open().unwrap().tokenizer().unwrap_err().to_string();
    assert!(
        message.contains("tokenizer.json: this is not a tokenizer that can be used: ") && message.contains("line 2 column 13"),
        "{message}"
    );

    std::fs::remove_file(fixture.path.join(WEIGHTS)).unwrap();
    assert!(fixture.refusal().contains("there are no weights in this directory"));
    std::fs::remove_file(fixture.path.join(CONFIG)).unwrap();
    let message = fixture.refusal();
    assert!(
        message.contains("there is no config.json here, which says what the weights mean\n  help: give a directory with config.json"),
        "{message}"
    );
}

#[test]
fn no_damage_makes_a_panic() {
    let holder = tempfile::tempdir().unwrap();
    let architecture = student();
    let path = holder.path().join("tiny");
    write_directory(&path, &architecture, &tensors(&architecture), &WriteOptions::default()).unwrap();
    let good = std::fs::read(path.join(WEIGHTS)).unwrap();
    let header = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let mut state = 1u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for round in 0..3000 {
        let mut damaged = good.clone();
        for _ in 0..1 + random(4) {
            damaged[random(header + 8)] = b"0123456789[],:\"{}eE-.\x00\xff"[random(23)];
        }
        if round % 10 == 0 {
            damaged.truncate(random(good.len()));
        }
        if let Ok(found) = safetensors::parse(&(std::sync::Arc::new(damaged) as crate::model::tensor::Bytes)) {
            found.iter().for_each(|(_, stored)| _ = stored.tensor.as_ref().map(Tensor::to_f32));
            let _ = safetensors::canonical(&mut architecture.clone(), found.into_iter().collect(), None);
        }
    }
    let good = std::fs::read_to_string(path.join(CONFIG)).unwrap();
    for _ in 0..3000 {
        let mut damaged = good.clone().into_bytes();
        for _ in 0..1 + random(4) {
            damaged[random(good.len())] = b"0123456789[],:\"{}eE-.x\n"[random(23)];
        }
        if let Ok(config) = serde_json::from_slice(&damaged)
            && let Ok(architecture) = config::architecture(&config)
        {
            assert!(!architecture.tensors().is_empty());
        }
    }
}
