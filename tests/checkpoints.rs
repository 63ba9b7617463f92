//! Training checkpoints: files that PyTorch wrote (tests/fixtures/make/checkpoints.py) hold the models of tests/fixtures/decoupled, and bad
//! ones are told what is wrong with them.

mod common;

use caramba::model::{Model, OpenOptions};
use common::fixture;
use common::fixtures::{open, reference};

/// A checkpoint, described by tests/fixtures/checkpoints/`section`.yml.
fn checkpoint(file: &str, section: &str) -> caramba::Result<Model> {
    let yaml = std::fs::read_to_string(fixture(&format!("checkpoints/{section}.yml"))).unwrap();
    let options = OpenOptions { topology: Some(serde_yaml::from_str(&yaml).unwrap()), ..OpenOptions::default() };
    Model::open(&fixture(&format!("checkpoints/{file}.pt")), &options)
}

const CHECKPOINTS: [(&str, &str); 6] = [
    ("everything_grouped.student_state_dict", "everything_grouped"),
    ("mixed.system_state_dict", "mixed"),
    ("gate_null.model_state_dict", "gate_null"),
    ("gate_null.state_dict", "gate_null"),
    ("gate_null.legacy", "gate_null"),
    ("tie_temperature.views", "tie_temperature"),
];

#[test]
fn every_dictionary_shape_holds_the_same_model() {
    for (file, name) in CHECKPOINTS {
        let (found, expected) =
            (checkpoint(file, name).unwrap_or_else(|error| panic!("{file}: {error}")), open(&format!("decoupled/{name}")));
        assert_eq!(found.architecture.layers, expected.architecture.layers, "{file}");
        assert_eq!(found.architecture.norm_eps, expected.architecture.norm_eps, "{file}");
        let names = |model: &Model| model.tensors.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&expected), "{file}");
        for (tensor, expected) in &expected.tensors {
            assert_eq!(found.tensors[tensor].shape, expected.shape, "{file}: {tensor}");
            assert_eq!(found.tensors[tensor].data_type, expected.data_type, "{file}: {tensor}");
            assert_eq!(found.tensors[tensor].to_f32(), expected.to_f32(), "{file}: {tensor}");
        }
        let tokens = reference(&format!("decoupled/{name}")).tokens;
        assert_eq!(common::reference::logits(&found, &tokens), common::reference::logits(&expected, &tokens), "{file}: logits");
    }
}

/// The message about a checkpoint of tests/fixtures/checkpoints, without its path.
fn message(file: &str, section: &str) -> String {
    let error = checkpoint(file, section).err().unwrap_or_else(|| panic!("{file} was opened")).to_string();
    error.replace(&format!("{}/", fixture("checkpoints").display()), "")
}

#[test]
fn a_pickle_that_wants_to_run_code_is_refused() {
    for file in ["malicious", "malicious_hidden"] {
        let message = message(file, "gate_null");
        assert!(message.contains("wants to run code: it calls `posix.system` when it is loaded"), "{message}");
        assert!(message.contains("nothing in it was executed"), "{message}");
    }
    assert!(!std::path::Path::new("/tmp/caramba-pickle-was-executed").exists(), "it was executed");
}

#[test]
fn missing_surplus_and_misshapen_tensors_are_named_together() {
    // One layer with a gate and null attention, read as one with a temperature, and with wider values.
    insta::assert_snapshot!(message("gate_null.state_dict", "tie_temperature"), @r"
    gate_null.state_dict.pt: the tensors are not those that the configuration asks for
      1 missing:
        model.layers.0.self_attn.logit_scale [5]
      2 of another shape:
        model.layers.0.self_attn.v_proj.weight is [40, 40], expected [45, 40]
        model.layers.0.self_attn.out_proj.weight is [40, 40], expected [40, 45]
      3 surplus:
        topology.layers.0.layers.0.layers.1.k_geo_null [5, 6]
        topology.layers.0.layers.0.layers.1.k_sem_null [5, 7]
        topology.layers.0.layers.0.layers.1.v_null [5, 8]
      help: use weights and configuration of the same model, and fetch again what was cut short
    ");
}

#[test]
fn a_checkpoint_needs_a_description() {
    // Gates say how many heads there are; without them, nothing does.
    let told = Model::open(&fixture("checkpoints/gate_null.legacy.pt"), &OpenOptions::default()).unwrap();
    assert_eq!(told.tensors.len(), open("decoupled/gate_null").tensors.len());
    let bare = tempfile::tempdir().unwrap();
    let path = bare.path().join("model.pt");
    std::fs::copy(fixture("cases/pt_bare/model.pt"), &path).unwrap();
    let error = Model::open(&path, &OpenOptions::default()).err().unwrap().to_string();
    assert!(error.contains("neither a model section nor a config.json beside it"), "{error}");

    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("decoupled/gate_null/config.json"), directory.path().join("config.json")).unwrap();
    let path = directory.path().join("step-1200.pt");
    std::fs::copy(fixture("checkpoints/gate_null.legacy.pt"), &path).unwrap();
    let model = Model::open(&path, &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((model.name.as_str(), model.files.len()), ("step-1200", 2));
    assert_eq!(model.tensors.len(), open("decoupled/gate_null").tensors.len());
}

/// A file that ends early anywhere is an error, and never a panic.
#[test]
fn truncated_and_damaged_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let yaml = std::fs::read_to_string(fixture("checkpoints/gate_null.yml")).unwrap();
    let options = OpenOptions { topology: Some(serde_yaml::from_str(&yaml).unwrap()), ..OpenOptions::default() };
    for file in ["gate_null.state_dict", "gate_null.legacy"] {
        let whole = std::fs::read(fixture(&format!("checkpoints/{file}.pt"))).unwrap();
        let path = directory.path().join("damaged.pt");
        for part in 0..24 {
            std::fs::write(&path, &whole[..whole.len() * part / 24]).unwrap();
            assert!(Model::open(&path, &options).is_err(), "{file}: {part}/24 of it was opened");
        }
        // Any byte of the pickle may be anything.
        for at in 0..400 {
            let mut damaged = whole.clone();
            damaged[100 + at] ^= 0x15;
            std::fs::write(&path, &damaged).unwrap();
            let _ = Model::open(&path, &options);
        }
    }
}
