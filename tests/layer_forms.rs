//! Layers whose form a script or a configuration changes: without RoPE, a part of each head rotated, norms of queries and keys, gates of the output, windows,
//! each against the oracle in prefill and decode, with every kind of cache, for one sequence and for two.

mod common;

use caramba::model::{Model, OpenOptions, Tensor, WriteOptions, write_directory};
use common::fixtures::{open, reference, relative_error};
use common::lab::Random;
use common::runtime::{ALL, BARE, FP16, FULL, check_made};
use serde_json::{Map, Value, json};

/// What a script gives one layer.
fn form(value: Value) -> Option<Map<String, Value>> {
    value.as_object().cloned()
}

/// tests/fixtures/architectures/`base`, its layers changed, with the tensors that it then needs: its own and random ones.
fn changed(base: &str, forms: &[Value]) -> Model {
    let path = common::fixture(&format!("architectures/{base}"));
    let directory = tempfile::tempdir().unwrap();
    let config: Value = serde_json::from_str(&std::fs::read_to_string(path.join("config.json")).unwrap()).unwrap();
    // The model's own configuration says the same as a script would.
    let layers: Map<String, Value> = forms.iter().enumerate().map(|(index, form)| (index.to_string(), form.clone())).collect();
    let mut written = config.clone();
    written["attention"] = json!({ "layers": layers });
    std::fs::write(directory.path().join("config.json"), written.to_string()).unwrap();
    let own = Model::open(&path, &OpenOptions::default()).unwrap();
    let mut random = Random(11);
    // What is missing says the error; the architecture that asks for it is read from the configuration alone.
    let architecture = caramba::model::read_configuration(&written).unwrap_or_else(|error| panic!("{error}"));
    let tensors = architecture.tensors().into_iter().map(|(name, shape)| {
        let kept = own.tensors.get(&name).filter(|tensor| tensor.shape == shape);
        let made = || {
            let columns = if shape.len() == 2 { shape[1] as f32 } else { 1.0 };
            let values = random.floats(shape.iter().product()).into_iter().map(|x| 2.0 * x / columns.sqrt()).collect();
            Tensor::from_f32(shape.clone(), values).unwrap()
        };
        let tensor = kept.cloned().unwrap_or_else(made);
        (name, tensor)
    });
    let tensors = tensors.collect();
    Model::new(directory.path(), Vec::new(), architecture, tensors, Box::new(|| Ok(None))).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn layers_without_rope_and_gates_by_head() {
    let forms = [json!({ "rope_enabled": false, "output_gate": "head" }), json!({ "rope_base": 100.0, "window": 6, "qk_norm": "all" })];
    check_made(FULL, "no RoPE, gates by head, a norm of all heads", changed("llama_tied", &forms), ALL);
}

#[test]
fn parts_of_heads_and_gates_by_element() {
    let forms =
        [json!({ "partial_rotary_factor": 0.5, "output_gate": "elementwise", "qk_norm": "head" }), json!({ "output_gate": "head" })];
    check_made(BARE, "half of each head, gates by element", changed("llama", &forms), FP16);
}

/// A script's change of a model that is there is the change of its configuration.
#[test]
fn scripts_change_what_is_opened() {
    let path = common::fixture("architectures/llama_tied");
    let forms = vec![form(json!({ "rope_enabled": false })), None];
    let model = Model::open(&path, &OpenOptions { forms, ..OpenOptions::default() }).unwrap();
    let roped: Vec<bool> = model.architecture.layers.iter().map(|layer| layer.attention.rope.is_some()).collect();
    assert_eq!(roped, [false, true]);
    let tokens = reference("architectures/llama_tied").tokens;
    let logits = |model: &Model| common::reference::logits(model, &tokens);
    assert!(relative_error(&logits(&model), &logits(&open("architectures/llama_tied"))) > 0.01, "nothing changed");

    let refused = |value: Value| {
        let options = OpenOptions { forms: vec![form(value)], ..OpenOptions::default() };
        Model::open(&path, &options).err().unwrap().to_string()
    };
    assert!(refused(json!({ "output_gate": "heads" })).contains("layer 0: unknown output gate `heads`\n  help: did you mean `head`?"));
    assert!(refused(json!({ "qk_norm": "head" })).contains("self_attn.q_norm.weight"), "a checkpoint without it");
    assert!(refused(json!({ "partial_rotary_factor": 1.5 })).contains("at most 1, found 1.5"));
    assert!(refused(json!({ "rope_bases": 1 })).contains("did you mean `rope_base`?"));
}

/// The same by a script, for the layers that it names.
#[test]
fn a_script_says_so() {
    let script = "let plain = attention(#{ rope_enabled: false, layers: |layer| layer % 2 == 1 }); print(`${plain}`);";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("forms.rhai");
    std::fs::write(&path, script).unwrap();
    let output = assert_cmd::Command::cargo_bin("caramba").unwrap().arg("script").arg(&path).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("attention (rope_enabled false, for some layers)"), "{printed}{}", String::from_utf8_lossy(&output.stderr));
}

/// What is written is what was read: a form that config.json of a family can't say is told.
#[test]
fn a_changed_layer_is_not_written_as_another() {
    let model = changed("llama_tied", &[json!({ "rope_enabled": false }), json!({})]);
    let directory = tempfile::tempdir().unwrap();
    let error = write_directory(directory.path(), &model.architecture, &model.tensors, &WriteOptions::default()).unwrap_err();
    assert!(error.to_string().contains("config.json can't say what this model is"), "{error}");
}
