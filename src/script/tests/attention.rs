//! Attention that a script defines: what is said of mistakes, what functions mean, how far masks look back.

use super::{error, error_of, run};
use crate::runtime::hooks::expression::At;
use crate::runtime::hooks::{Constant, Reach};
use crate::script::Reference;

#[test]
fn what_cannot_be_translated_is_told_at_its_place() {
    insta::assert_snapshot!(error("let l = [1, 2];\nattention(#{ score: |score, at| {\n    let x = 0.0;\n    while x < 1.0 { x += 0.1; }\n    x\n} });"), @r"
    test.rhai:4:5: a function of attention cannot hold a loop
      |
    4 |     while x < 1.0 { x += 0.1; }
      |     ^^^^^
      help: what runs on the device can hold: let, if, return, assignments to its own variables, + - * / % **, comparisons, && || !, min max abs exp log log2 sqrt tanh sigmoid floor ceiling round pow clamp to_float to_int, calls of functions of this script, captured numbers and lists of numbers by index, and at.query, at.key, at.head, at.kv_head, at.layer, at.sequence, at.length
    ");
    insta::assert_snapshot!(error("fn f(x) {\n    x.sort()\n}\nattention(#{ score: |score, at| f(score) });"), @r"
    test.rhai:2:7: `sort` is not known on the device
      |
    2 |     x.sort()
      |       ^^^^
      help: what runs on the device can hold: let, if, return, assignments to its own variables, + - * / % **, comparisons, && || !, min max abs exp log log2 sqrt tanh sigmoid floor ceiling round pow clamp to_float to_int, calls of functions of this script, captured numbers and lists of numbers by index, and at.query, at.key, at.head, at.kv_head, at.layer, at.sequence, at.length
    ");
    insta::assert_snapshot!(error("attention(#{ score: |score, at| score + at.position });"), @r"
    test.rhai:1:44: unknown property of `at` `position`
      |
    1 | attention(#{ score: |score, at| score + at.position });
      |                                            ^^^^^^^^
      help: known are: query, key, head, kv_head, layer, sequence, length
    ");
    insta::assert_snapshot!(error("attention(#{ mask: |at| at.query - at.key });"), @r"
    test.rhai:1:34: the function gives an integer, expected a truth value
      |
    1 | attention(#{ mask: |at| at.query - at.key });
      |                                  ^
      help: a mask is |at| and gives true where the query sees the key
    ");
    insta::assert_snapshot!(error("attention(#{ score: |score| score });"), @r"
    test.rhai:1:1: score: the function takes 1 argument, expected 2
      |
    1 | attention(#{ score: |score| score });
      | ^^^^^^^^^
      help: a score is |score, at| and gives a number
    ");
    insta::assert_snapshot!(error("let l = [1, 2];\nattention(#{ score: |score, at| score + l[2] });"), @r"
    test.rhai:2:43: the index is 2, and the list has 2 elements, counted from 0
      |
    2 | attention(#{ score: |score, at| score + l[2] });
      |                                           ^
    ");
    insta::assert_snapshot!(error("fn f(x) { f(x - 1) + 1 }\nattention(#{ score: |score, at| f(score) });"), @r"
    test.rhai:1:11: `f` calls itself: there is no recursion on the device
      |
    1 | fn f(x) { f(x - 1) + 1 }
      |           ^
      help: what runs on the device can hold: let, if, return, assignments to its own variables, + - * / % **, comparisons, && || !, min max abs exp log log2 sqrt tanh sigmoid floor ceiling round pow clamp to_float to_int, calls of functions of this script, captured numbers and lists of numbers by index, and at.query, at.key, at.head, at.kv_head, at.layer, at.sequence, at.length
    ");
    insta::assert_snapshot!(error("attention(#{ score: |score, at| if score > 0.0 { score } });"), @r"
    test.rhai:1:33: this `if` gives nothing where its condition doesn't hold
      |
    1 | attention(#{ score: |score, at| if score > 0.0 { score } });
      |                                 ^^
      help: give it an else branch, or return a value behind it
    ");
    insta::assert_snapshot!(error("attention(#{ score: |score, at| score + at.key / 0 });"), @r"
    test.rhai:1:48: a division by zero
      |
    1 | attention(#{ score: |score, at| score + at.key / 0 });
      |                                                ^
    ");
    insta::assert_snapshot!(error("attention(#{ score: \"|score, at| 30.0 * tan(score / 30.0)\" });"), @r"
    score:1:20: `tan` is not known on the device
      |
    1 | |score, at| 30.0 * tan(score / 30.0)
      |                    ^^^
      help: what runs on the device can hold: let, if, return, assignments to its own variables, + - * / % **, comparisons, && || !, min max abs exp log log2 sqrt tanh sigmoid floor ceiling round pow clamp to_float to_int, calls of functions of this script, captured numbers and lists of numbers by index, and at.query, at.key, at.head, at.kv_head, at.layer, at.sequence, at.length
    ");
    insta::assert_snapshot!(error("attention(#{ score: \"|score, at| 30.0 * tanh(score\" });"), @r"
    score:1:30: Expecting ')' to close the arguments list of this function call 'tanh'
      |
    1 | |score, at| 30.0 * tanh(score
      |                              ^
    ");
    insta::assert_snapshot!(error("attention(#{ score: \"3\" });"), @r"
    score:1:1: this is not a function
      |
    1 | 3
      | ^
      help: write |score, at| ... for a score, |at| ... for a mask, |layer| ... for layers
    ");
    insta::assert_snapshot!(error("attention(#{ normaliser: \"sigmoid\", sink: 1.0 });"), @r#"
    test.rhai:1:1: a `sink` is given beside the normaliser `sigmoid`, which divides by nothing
      |
    1 | attention(#{ normaliser: "sigmoid", sink: 1.0 });
      | ^^^^^^^^^
      help: sinks go with the normaliser "softmax"
    "#);
    // A mistake in the function of a script that is imported is shown there.
    let lib = "fn local(n) {\n    attention(#{ mask: |at| at.query - at.key < n.len() })\n}";
    insta::assert_snapshot!(error_of(&[("main.rhai", "import \"lib\" as lib;\nlib::local(3);"), ("lib.rhai", lib)]), @r"
    lib.rhai:2:51: `len` is not known on the device
      |
    2 |     attention(#{ mask: |at| at.query - at.key < n.len() })
      |                                                   ^^^
      in `local`, called from main.rhai:2:6
      help: what runs on the device can hold: let, if, return, assignments to its own variables, + - * / % **, comparisons, && || !, min max abs exp log log2 sqrt tanh sigmoid floor ceiling round pow clamp to_float to_int, calls of functions of this script, captured numbers and lists of numbers by index, and at.query, at.key, at.head, at.kv_head, at.layer, at.sequence, at.length
    ");
}

/// The value of an expression on the host, as the device computes it.
fn score(text: &str, score: f32, at: At) -> f32 {
    let reference = Reference::new(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let hooks = reference.hooks();
    let value = hooks.score.as_ref().map(|expression| expression.evaluate(score, at));
    let Some(Constant::Float(value)) = value else { panic!("{text}: {value:?}") };
    let by_rhai = reference.score(f64::from(score), at);
    assert!(by_rhai.is_some_and(|exact| (exact as f32 - value).abs() < 1e-5), "{text}: {value}, and {by_rhai:?} by Rhai");
    value
}

#[test]
fn functions_mean_what_they_mean_in_a_script() {
    let at = At { query: 9, key: 4, head: 2, kv_head: 1, layer: 3, sequence: 1 };
    let of = |text: &str| score(text, 0.5, at);
    assert_eq!(
        of("attention(#{ score: |s, at| s + at.query - at.key + at.head * at.kv_head + at.layer + at.sequence + at.length })"),
        21.5
    );
    assert_eq!(of("let m = #{ a: #{ b: [[1, 2], [3, 4]] } }; attention(#{ score: |s, at| s + m.a.b[at.kv_head][at.head - 1] })"), 4.5);
    assert_eq!(of("let m = #{ a: 2.0 }; attention(#{ score: |s, at| s * m[\"a\"] })"), 1.0);
    assert_eq!(of("attention(#{ score: |s, at| { let x = s; if at.key > 2 { x += 1.0; if at.key > 3 { return x * 2; } } x } })"), 3.0);
    assert_eq!(
        of("attention(#{ score: |s, at| { let x = s; { let x = 3.0; } if at.key > 20 { x = 0.0 } else { x -= 1 } x.abs() } })"),
        0.5
    );
    assert_eq!(of("fn f(a, b) { if a { return b; } -b } attention(#{ score: |s, at| f(at.key % 2 == 0, s) + f(false, 2.0) })"), -1.5);
    assert_eq!(of("attention(#{ score: |s, at| (7 / 2) + (-7 / 2) + (-7 % 3) + 2 ** 3 + clamp(at.key, 0, 3) })"), 10.0);
    assert_eq!(
        of("attention(#{ score: |s, at| min(s, 1) + max(at.key, 4.5) + floor(2.7) + round(-2.5) + 3.9.to_int() + to_float(2) })"),
        9.0
    );
    assert_eq!(of("let n = numbers([1.5, 2.5]); attention(#{ score: |s, at| s + n[at.kv_head] })"), 3.0);
    assert_eq!(of("attention(#{ score: |s, at| s + [1, 2, 3][at.head] })"), 3.5);
    assert_eq!(of("attention(#{ score: |s, at| if s >= 0.5 && s != 1.0 || at.key == 0 { 1 } else { 2.0 } })"), 1.0);
    of("attention(#{ score: |s, at| exp(s) + log(at.length) + log2(s) + sqrt(at.key) + tanh(s) + sigmoid(s) + pow(s, 3.0) + s ** -2 })");
    assert_eq!(of("let k = 2.0; let f = |x| x * k; attention(#{ score: |s, at| f.call(s) + f.call(1.5) })"), 4.0);
    // A variable's value is the one that it had.
    run("let n = 1; let a = attention(#{ score: |s, at| s * n }); n = 2;").unwrap();
}

/// How far the mask of a script looks back over 1000 positions, with four heads on two.
fn reach(mask: &str) -> Option<(usize, usize)> {
    let reference = Reference::new(&format!("attention(#{{ mask: |at| {mask} }})")).unwrap_or_else(|error| panic!("{mask}: {error}"));
    let reach = reference.hooks().reach(1000, 4, 2, 0);
    // No key beyond it is seen by any head.
    if let Some(Reach { window, first }) = reach {
        let mut last = 0;
        for (query, head) in (0..1000).step_by(7).flat_map(|query| (0..4).map(move |head| (query, head))) {
            for key in (first as i32..=query).step_by(3) {
                let at = At { query, key, head, kv_head: head / 2, ..At::default() };
                let seen = reference.hooks().mask.as_ref().unwrap().evaluate(0.0, at) == Constant::Bool(true);
                assert!(!seen || ((query - key) as usize) < window, "{mask}: {at:?} is seen beyond {window}");
                last = last.max(if seen { query - key } else { 0 });
            }
        }
        assert!(window as i32 <= last + 64 + 3, "{mask}: {window} is proven, and {last} is the furthest that is seen");
    }
    reach.map(|Reach { window, first }| (window, first))
}

#[test]
fn how_far_masks_look_back_is_proven() {
    assert_eq!(reach("at.query - at.key < 100"), Some((100, 0)));
    assert_eq!(reach("at.key > at.query - 100"), Some((100, 0)));
    assert_eq!(reach("at.length - at.key <= 100 && at.key % 2 == 0"), Some((100, 0)));
    assert_eq!(reach("at.query - at.key < 100 || at.key < 4"), Some((100, 4)));
    assert_eq!(reach("if at.head == 3 { at.query - at.key < 50 } else { (at.query - at.key) * 2 < 60 }"), Some((50, 0)));
    assert_eq!(reach("at.query - at.key < [10, 20, 30, 40][at.head]"), Some((40, 0)));
    assert_eq!(reach("abs(at.key - at.query) < 32.5"), Some((33, 0)));
    assert_eq!(reach("!(at.query - at.key >= 64)"), Some((64, 0)));
    assert_eq!(reach("at.query / 64 - at.key / 64 <= 1").map(|(_, first)| first), None);
    assert_eq!(reach("at.key % 2 == 0"), None);
    assert_eq!(reach("true"), None);
    assert_eq!(reach("at.query - at.key < 100 || at.head == 0"), None);
    assert_eq!(reach("false"), Some((1, 0)));
}

/// Every example of docs/attention.md.
#[test]
fn the_page_of_examples_runs() {
    let page = include_str!("../../../docs/attention.md");
    let mut count = 0;
    for (index, example) in page.split("```rhai\n").skip(1).enumerate() {
        let code = example.split("```").next().unwrap();
        assert!(code.lines().count() <= 10, "example {index} of docs/attention.md is longer than ten lines");
        run(code).unwrap_or_else(|error| panic!("example {index} of docs/attention.md: {error}"));
        count += 1;
    }
    assert!(count > 10, "{count} examples");
}

/// Mistakes that only a model can tell.
#[test]
fn what_does_not_fit_a_model_is_told_when_it_is_loaded() {
    let loaded = |attention: &str| error(&format!("load(bundled(\"austen\"), #{{ attention: {attention} }});"));
    let missing = loaded("#{ sink: \"model.layers.{layer}.self_attn.sinks\" }");
    assert!(missing.contains("layer 0: the sink's tensor `model.layers.0.self_attn.sinks` is not in the checkpoint"), "{missing}");
    let few = loaded("attention(#{ sink: [0.5, 1.0, 2.0] })");
    assert!(few.contains("the sink has 3 logits, expected 4"), "{few}");
    let none = loaded("#{ normaliser: \"off_by_one\", layers: |layer| layer > 7 }");
    assert!(none.contains("off-by-one, for some layers is for none of the model's 4 layers"), "{none}");
    let number = loaded("3");
    assert!(number.contains("the model option `attention` is an integer (3): expected a map, or what attention(...) makes"), "{number}");
    run("let model = load(bundled(\"austen\"), #{ attention: #{ sink: [0.0, 0.5, 1.0, 1.5], layers: [1, 3] } });
        assert(model.description.attention == \"a sink, for some layers\", model.description.attention);")
    .unwrap();
}
