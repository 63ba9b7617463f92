use super::*;
use crate::model::testing;

fn held(names: &BTreeMap<String, Vec<usize>>) -> BTreeMap<String, Held> {
    names.iter().map(|(name, shape)| (name.clone(), Held { shape: shape.clone(), integer: false })).collect()
}

/// The tensors of a small model under names that `rename` makes of the canonical ones.
fn renamed(rename: impl Fn(&str) -> String) -> BTreeMap<String, Held> {
    held(&testing::standard().tensors().into_iter().map(|(name, shape)| (rename(&name), shape)).collect())
}

fn found(names: &BTreeMap<String, Held>, scopes: &[&str], wanted: Option<&str>) -> Result<Found> {
    let scopes = scopes.iter().map(|&scope| scope.to_owned()).chain([String::new()]).collect();
    find(&testing::standard(), names, &scopes, wanted)
}

/// That all tensors are found, without a word.
fn complete(names: &BTreeMap<String, Held>, scopes: &[&str], what: &str) {
    let found = found(names, scopes, None).unwrap_or_else(|error| panic!("{what}: {error}"));
    let expected: Vec<String> = testing::standard().tensors().into_iter().map(|(name, _)| name).collect();
    assert!(
        expected.iter().all(|name| found.sources.contains_key(name)) && found.sources.len() == expected.len(),
        "{what}: {:?}",
        found.sources
    );
    assert_eq!(found.notes, [""; 0], "{what}");
}

#[test]
fn names_are_found_in_every_wrapping() {
    complete(&renamed(|name| name.into()), &[], "as they are");
    complete(&renamed(|name| name.strip_prefix("model.").unwrap_or(name).into()), &[], "without the model's prefix");
    for wrapper in WRAPPERS {
        complete(&renamed(|name| format!("{wrapper}.{name}")), &[], wrapper);
        complete(&renamed(|name| name.replace("model.layers.1.", &format!("model.layers.1.{wrapper}."))), &[], wrapper);
        complete(&renamed(|name| name.replace("self_attn", &format!("{wrapper}.self_attn.{wrapper}"))), &[], wrapper);
    }
    complete(&renamed(|name| format!("student.net.{name}")), &[], "in another module");
    complete(&renamed(|name| format!("state_dict._orig_mod.module.{name}")), &["state_dict."], "in a dictionary");
    complete(
        &renamed(|name| format!("model.{}", name.strip_prefix("model.").unwrap_or(name))),
        &["model."],
        "in a dictionary called as its prefix",
    );
    complete(
        &renamed(|name| if name.starts_with("lm_head") { name.into() } else { format!("transformer.{}", &name[6..]) }),
        &[],
        "another prefix",
    );
}

#[test]
fn what_stands_beside_a_model_is_none_of_it() {
    let mut names = renamed(|name| format!("model.{name}"));
    for name in ["optimizer.state.0.exp_avg", "optimizer.state.0.step", "ema.decay", "rng_state"] {
        names.insert(name.into(), Held { shape: vec![3], integer: false });
    }
    complete(&names, &["model.", "optimizer.", "optimizer.state.", "optimizer.state.0.", "ema."], "an optimiser");
    // Buffers, wherever they lie.
    let mut names = renamed(|name| name.into());
    for buffer in
        ["model.rotary_emb.cos_cached", "model.layers.0.self_attn.rotary_emb.inv_freq", "model.causal_mask", "model.layers.1.rope.table"]
    {
        names.insert(buffer.into(), Held { shape: vec![1, 1, 8, 8], integer: false });
    }
    names.insert("model.seen_tokens".into(), Held { shape: vec![], integer: true });
    complete(&names, &[], "buffers");
    // A weight is not a buffer.
    names.insert("model.layers.0.self_attn.sinks".into(), Held { shape: vec![3], integer: false });
    assert!(found(&names, &[], None).unwrap_err().to_string().contains("1 surplus:\n    model.layers.0.self_attn.sinks [3]"));
}

fn two(first: &str, second: &str) -> BTreeMap<String, Held> {
    let mut names = renamed(|name| format!("{first}.{name}"));
    names.extend(renamed(|name| format!("{second}.{name}")));
    names
}

#[test]
fn of_several_models_the_likeliest_is_taken_and_said() {
    let scopes = ["model.", "ema.", "a.", "b."];
    let both = two("model", "ema");
    let taken = found(&both, &scopes, None).unwrap();
    assert_eq!(taken.sources["lm_head.weight"].name, "model.lm_head.weight");
    assert!(taken.notes[0].starts_with("it holds 2 models that fit (`model`, `ema`); `model` is used"), "{:?}", taken.notes);
    let taken = found(&both, &scopes, Some("ema")).unwrap();
    assert_eq!((taken.sources["lm_head.weight"].name.as_str(), taken.notes.len()), ("ema.lm_head.weight", 0));
    // The same in one dictionary.
    let taken = found(&two("student", "teacher"), &[], None).unwrap();
    assert_eq!(taken.sources["lm_head.weight"].name, "student.lm_head.weight");
    let message = found(&two("a", "b"), &scopes, None).unwrap_err().to_string();
    assert!(message.contains("it holds 2 models that fit: `a`, `b`") && message.contains("--state-dict NAME"), "{message}");
}

#[test]
fn twins_are_told() {
    let mut names = renamed(|name| name.into());
    names.extend(renamed(|name| format!("module.{name}")));
    let message = found(&names, &[], None).unwrap_err().to_string();
    assert!(message.contains("are the same tensor of the model"), "{message}");
}

#[test]
fn fused_tensors_are_taken_apart() {
    let mut names = renamed(|name| name.into());
    for layer in 0..2 {
        let of = |name: &str| format!("model.layers.{layer}.{name}.weight");
        for gone in ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj"] {
            names.remove(&of(gone)).unwrap();
        }
        names.insert(of("self_attn.qkv_proj"), Held { shape: vec![20, 12], integer: false });
        names.insert(of("mlp.gate_up_proj"), Held { shape: vec![20, 12], integer: false });
    }
    complete(&names, &[], "Phi-3");
    let found = found(&names, &[], None).unwrap();
    assert_eq!(found.sources["model.layers.1.self_attn.v_proj.weight"].rows, Some(16..20));
    assert_eq!(found.sources["model.layers.1.mlp.up_proj.weight"].rows, Some(10..20));
}
