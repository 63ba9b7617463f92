use super::*;
use crate::model::architecture::{Attention, Gate, Layer, QkNorm};
use crate::model::testing::{standard, student, tensors};
use crate::model::{Model, OpenOptions};
use crate::model::{Rope, RopeScaling};

/// Writes and opens again: architecture and values are the same.
fn round_trip(architecture: &Architecture) -> (tempfile::TempDir, Model) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("student");
    let tensors = tensors(architecture);
    let options = WriteOptions { data_type: DataType::F32, ..WriteOptions::default() };
    write_directory(&path, architecture, &tensors, &options).unwrap_or_else(|error| panic!("{error}"));
    let model = Model::open(&path, &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(model.architecture, *architecture);
    for (name, tensor) in &tensors {
        assert_eq!(model.tensors[name].to_f32(), tensor.to_f32(), "{name}");
    }
    assert_eq!((model.name.as_str(), model.tensors.len()), ("student", tensors.len()));
    (directory, model)
}

fn changed(architecture: Architecture, change: impl Fn(usize, &mut Attention)) -> Architecture {
    let mut architecture = architecture;
    architecture.layers.iter_mut().enumerate().for_each(|(index, layer)| change(index, &mut layer.attention));
    architecture
}

#[test]
fn every_standard_family_comes_back() {
    let llama3 = RopeScaling::Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 8192 };
    let rope = |scaling: RopeScaling| Some(Rope::new(500_000.0, scaling));
    let cases = [
        standard(),
        Architecture { tied_embeddings: true, bos: None, eos: vec![2, 5], ..standard() },
        changed(standard(), |_, attention| attention.rope = rope(llama3.clone())),
        changed(standard(), |_, attention| attention.rope = rope(RopeScaling::Linear { factor: 2.5 })),
        changed(standard(), |_, attention| attention.rope = rope(RopeScaling::Factors(vec![1.0, 8.1]))),
        changed(standard(), |_, attention| (attention.qkv_bias, attention.out_bias) = (true, true)),
        changed(standard(), |_, attention| (attention.geo, attention.value) = (6, 6)),
        changed(Architecture { family: "mistral".into(), ..standard() }, |_, attention| attention.window = Some(5)),
        Architecture { family: "mistral".into(), ..standard() },
        changed(Architecture { family: "qwen2".into(), ..standard() }, |_, attention| attention.qkv_bias = true),
        changed(Architecture { family: "qwen2".into(), eos: vec![], ..standard() }, |index, attention| {
            (attention.qkv_bias, attention.window) = (true, (index == 1).then_some(9));
        }),
        changed(Architecture { family: "qwen3".into(), ..standard() }, |_, attention| attention.qk_norm = QkNorm::Head),
    ];
    for architecture in &cases {
        round_trip(architecture);
    }
    let mut uneven = standard();
    uneven.layers[1].d_ff = 6;
    round_trip(&uneven);
}

#[test]
fn a_family_is_found_for_what_has_another_name() {
    let windowed = changed(standard(), |_, attention| attention.window = Some(5));
    let written = config::of(&windowed, DataType::F16).unwrap();
    assert_eq!((written["model_type"].as_str(), written["architectures"][0].as_str()), (Some("mistral"), Some("MistralForCausalLM")));
    let error = config::of(&changed(windowed, |_, attention| attention.out_bias = true), DataType::F16).unwrap_err();
    assert!(error.message().contains("config.json can't say what this model is"), "{error}");
}

#[test]
fn every_option_of_a_student_comes_back() {
    round_trip(&student());
    let plain = changed(student(), |_, attention| {
        *attention = Attention { decoupled: true, sem: 1, value: 3, ..Attention::standard(4, 4, 2, attention.rope.clone()) };
    });
    round_trip(&plain);
    type Change = fn(&mut Attention);
    let one_by_one: [Change; 9] = [
        |attention| attention.gate = Gate::Static,
        |attention| attention.gate = Gate::Dynamic,
        |attention| attention.learned_temp = true,
        |attention| attention.tie_qk = true,
        |attention| attention.null_attn = true,
        |attention| attention.rope = None,
        |attention| (attention.kv_heads, attention.value) = (1, 5),
        |attention| attention.sem = 0,
        |attention| {
            let heads = (0..4u8).map(|head| vec![0.1 + f32::from(head)]).collect();
            attention.rope = attention.rope.take().map(|rope| Rope { scaling: RopeScaling::PerHead(heads), ..rope });
        },
    ];
    for change in one_by_one {
        round_trip(&changed(plain.clone(), |_, attention| change(attention)));
        // One layer that differs from the others.
        round_trip(&changed(plain.clone(), |index, attention| {
            if index == 1 {
                change(attention)
            }
        }));
    }
    let rope = plain.layers[0].attention.rope.clone();
    round_trip(&changed(plain, |index, attention| {
        if index == 1 {
            *attention = Attention::standard(4, 2, 8, rope.clone());
        }
    }));
}

#[test]
fn the_written_configuration_is_the_documented_one() {
    let rope = Some(Rope::new(100_000.0, RopeScaling::None));
    let own = Attention { decoupled: true, sem: 8, value: 64, gate: Gate::Static, ..Attention::standard(9, 3, 16, rope.clone()) };
    let mut layers = vec![Layer::llama(own, 1536); 3];
    layers[1].attention = Attention::standard(9, 3, 64, rope);
    let architecture = Architecture { d_model: 576, vocab: 49152, context: 8192, tied_embeddings: true, layers, ..standard() };
    let written = config::of(&architecture, DataType::F16).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&written["attention"]).unwrap(), @r#"
    {
      "mode": "decoupled",
      "sem_dim": 72,
      "geo_dim": 144,
      "n_heads": 9,
      "n_kv_heads": 3,
      "decoupled_gate": true,
      "decoupled_gate_dynamic": false,
      "learned_temp": false,
      "tie_qk": false,
      "null_attn": false,
      "rope_enabled": true,
      "rope_semantic": false,
      "layers": {
        "1": {
          "mode": "standard"
        }
      }
    }
    "#);
}

#[test]
fn half_floats_are_rounded_and_what_does_not_fit_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let architecture = standard();
    let mut tensors = tensors(&architecture);
    let path = directory.path().join("half");
    write_directory(&path, &architecture, &tensors, &WriteOptions::default()).unwrap();
    let model = Model::open(&path, &OpenOptions::default()).unwrap();
    let (stored, norm) = (&model.tensors["lm_head.weight"], &model.tensors["model.norm.weight"]);
    assert_eq!((stored.data_type, norm.data_type), (DataType::F16, DataType::F32));
    let rounded: Vec<f32> = tensors["lm_head.weight"].to_f32().iter().map(|&value| half::f16::from_f32(value).to_f32()).collect();
    assert_eq!(stored.to_f32(), rounded);
    assert_eq!(norm.to_f32(), tensors["model.norm.weight"].to_f32());

    tensors.insert("lm_head.weight".into(), Tensor::from_f32(vec![7, 12], vec![7e4; 84]).unwrap());
    let error = write_directory(&directory.path().join("big"), &architecture, &tensors, &WriteOptions::default()).unwrap_err().to_string();
    assert!(error.contains("tensor lm_head.weight: it holds 70000, more than a half float can"), "{error}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "a failure leaves nothing behind");
}

#[test]
fn a_directory_is_replaced_only_when_asked() {
    let (directory, model) = round_trip(&standard());
    let write = |replace| {
        let options = WriteOptions { replace, tokenizer: Some(&model), ..WriteOptions::default() };
        write_directory(&model.path, &model.architecture, &model.tensors, &options)
    };
    let error = write(false).unwrap_err().to_string();
    assert!(error.contains("the directory is there already\n  help: remove it, or choose another"), "{error}");
    // From its own mapped file, even.
    write(true).unwrap();
    assert_eq!(Model::open(&model.path, &OpenOptions::default()).unwrap().tensors["lm_head.weight"].data_type, DataType::F16);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn wrong_tensors_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let architecture = standard();
    let mut tensors = tensors(&architecture);
    let norm = tensors.remove("model.norm.weight").unwrap();
    tensors.insert("model.extra".into(), norm);
    let error = write_directory(&directory.path().join("x"), &architecture, &tensors, &WriteOptions::default()).unwrap_err().to_string();
    assert!(error.contains("missing:\n    model.norm.weight [12]") && error.contains("surplus:\n    model.extra [12]"), "{error}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
