//! Decoupled attention, every option alone and in combinations: what is computed from tests/fixtures/decoupled is what PyTorch computed
//! (tests/fixtures/make/decoupled.py, dba_reference.py).

mod common;

use caramba::model::Gate;
use caramba::runtime::CacheKind;
use common::fixtures::{directories, open, reference, relative_error};
use common::runtime::{ALL, BARE, FP16, FULL, check};

const TOLERANCE: f32 = 1e-4;

#[test]
fn the_oracle_agrees_with_pytorch() {
    for name in directories("decoupled") {
        let path = format!("decoupled/{name}");
        let (model, expected) = (open(&path), reference(&path));
        let pass = common::reference::pass(&model, &expected.tokens);
        let error = relative_error(&pass.logits, &expected.logits);
        assert!(error < TOLERANCE, "{name}: logits differ by {error:e}");
        if !expected.attention.is_empty() {
            let error = relative_error(&pass.attention.concat(), &expected.attention);
            assert!(error < TOLERANCE, "{name}: attention outputs differ by {error:e}");
        }
    }
}

/// Each fixture has the option it is named after, so that the comparison above means something.
#[test]
fn options_are_read() {
    let attention = |name: &str| open(&format!("decoupled/{name}")).architecture.layers[0].attention.clone();
    let plain = attention("plain");
    assert!(plain.decoupled && plain.rope.is_some() && plain.gate == Gate::None);
    assert_eq!((plain.heads, plain.kv_heads, plain.sem, plain.geo, plain.value), (5, 5, 7, 6, 8));
    assert!(!(plain.learned_temp || plain.tie_qk || plain.null_attn || plain.rope_semantic));

    assert_eq!(attention("attn_dim").value, 9);
    assert_eq!(attention("gate").gate, Gate::Static);
    assert_eq!(attention("gate_dynamic").gate, Gate::Dynamic);
    assert!(attention("temperature").learned_temp);
    assert!(attention("tie_qk").tie_qk);
    assert!(attention("null").null_attn);
    assert_eq!((attention("window").window, attention("window").null_attn, plain.window), (Some(9), true, None));
    assert!(attention("rope_semantic").rope_semantic);
    assert_eq!((attention("no_rope").rope, attention("no_rope").geo), (None, 5));
    let grouped = attention("grouped");
    assert_eq!((grouped.heads, grouped.kv_heads, grouped.sem, grouped.geo, grouped.value), (4, 2, 11, 6, 13));

    let mixed = open("decoupled/mixed").architecture;
    assert_eq!(mixed.layers.iter().map(|layer| layer.attention.decoupled).collect::<Vec<_>>(), [true, false, true]);
    let standard = &mixed.layers[1].attention;
    assert_eq!((standard.kv_heads, standard.geo, standard.value, standard.null_attn, standard.gate), (1, 12, 12, false, Gate::None));
}

// Two tests of about the same length: a software driver compiles for minutes, on one core in each.

/// Every option with an fp16 cache; some combinations with every kind.
fn on_the_device(part: usize) {
    let every_other = directories("decoupled").into_iter().skip(part).step_by(2);
    let kinds = |name: &str| if matches!(name, "everything_grouped" | "mixed") { ALL } else { FP16 };
    check(FULL, every_other.map(|name| (format!("decoupled/{name}"), format!("decoupled/{name}"), kinds(&name))));
}

#[test]
fn the_device_agrees() {
    on_the_device(0);
    check(BARE, [("decoupled/no_rope".into(), "decoupled/no_rope".into(), FP16)]);
}

#[test]
fn the_device_agrees_on_the_others() {
    on_the_device(1);
}

/// A device without optional features, in a form that has every option. A q4 cache has geometric keys of q8.
#[test]
fn without_optional_features_too() {
    check(BARE, [("decoupled/everything_grouped".into(), "decoupled/everything_grouped".into(), &[CacheKind::Q4] as &[_])]);
}
