//! Rendered as `transformers` renders them: tests/fixtures/make/chat.py has written the cases.

use super::*;
use serde_json::Value as Json;
use std::path::Path;

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn tokens() -> Map<String, Json> {
    json!({ "bos_token": "<s>", "eos_token": "</s>" }).as_object().cloned().unwrap()
}

fn options(mut given: Map<String, Json>) -> ChatOptions {
    let mut truth = |name: &str| given.remove(name).and_then(|value| value.as_bool());
    let continue_final_message = truth("continue_final_message").unwrap_or(false);
    let add_generation_prompt = truth("add_generation_prompt").unwrap_or(!continue_final_message);
    ChatOptions { add_generation_prompt, continue_final_message, others: given }
}

#[test]
fn conversations_are_rendered_as_transformers_renders_them() {
    let cases: Vec<Json> = serde_json::from_str(&fixture("cases.json")).unwrap();
    assert!(cases.len() > 20, "{} cases", cases.len());
    for case in &cases {
        let template = ChatTemplate::new(fixture(case["template"].as_str().unwrap()), tokens());
        let rendered = template.render(&case["messages"], &options(case["options"].as_object().cloned().unwrap()));
        let place = format!("{} {}", case["template"], case["case"]);
        match (rendered, case["text"].as_str(), case["refused"].as_str()) {
            (Ok(text), Some(expected), _) => assert_eq!(text, expected, "{place}"),
            (Err(error), None, Some(words)) => assert!(error.to_string().ends_with(words), "{place}: {error}"),
            (rendered, ..) => panic!("{place}: {rendered:?}, expected {case}"),
        }
    }
}

#[test]
fn mistakes_are_told() {
    let refusal = |template: &str, messages: Json| {
        ChatTemplate::new(template, tokens()).render(&messages, &ChatOptions::default()).unwrap_err().to_string()
    };
    let hello = || json!([{ "role": "user", "content": "Hello" }]);
    insta::assert_snapshot!(refusal("", json!([])), @r#"
    a conversation is a list of one message or more
      help: write [#{ role: "user", content: "..." }]
    "#);
    insta::assert_snapshot!(refusal("", json!([{ "content": "Hello" }])), @r#"
    message 0 has no `role`
      help: write [#{ role: "user", content: "..." }]
    "#);
    insta::assert_snapshot!(refusal("{% for message in messages %}", hello()), @"the chat template cannot be rendered: unexpected end of input, expected end of block (line 1)");
    insta::assert_snapshot!(refusal("{{ messages[0].nothing.more }}", hello()), @"the chat template cannot be rendered: `messages[0].nothing` is undefined (line 1)");
    insta::assert_snapshot!(refusal("{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}", hello()), @"the chat template has not ended after 20000000 steps");
    insta::assert_snapshot!(refusal("{{ 'a' * 10000000000 }}", hello()), @"the chat template has not ended after 20000000 steps");
    let begun = ChatOptions { add_generation_prompt: false, continue_final_message: true, ..ChatOptions::default() };
    let error = ChatTemplate::new("{{ messages[0].role }}", tokens()).render(&hello(), &begun).unwrap_err();
    insta::assert_snapshot!(error, @r"
    the chat template changes the last message, or leaves it out: it cannot be gone on with
      help: leave continue_final_message out
    ");
}

#[test]
fn the_date_is_todays() {
    let rendered = ChatTemplate::new("{{ strftime_now('%Y-%m-%d') }}", tokens())
        .render(&json!([{ "role": "user", "content": "" }]), &ChatOptions::default())
        .unwrap();
    let now = jiff::ZonedDateTime::now().date();
    // Midnight may have passed in between.
    assert!([now, now.yesterday().unwrap()].iter().any(|date| date.to_string() == rendered), "{rendered}");
}
