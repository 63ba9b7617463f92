//! JSON Schemas: of manifests, made from the keys that are read and from the parameters of the built-in benchmarks; of benchmarks of prompts; of
//! reports.

use super::{HostOptions, Purpose, Run, modules, on_script_thread};
use crate::error::{Error, Result};
use crate::manifest::keys;
use serde_json::{Map, Value, json};

/// Of `report.json`.
pub const REPORT_SCHEMA: &str = include_str!("../../docs/report.schema.json");

const DIALECT: &str = "http://json-schema.org/draft-07/schema#";

/// The schema of a manifest, as text.
///
/// # Errors
/// A mistake in a built-in script.
pub fn manifest_schema() -> Result<String> {
    let mut kinds = Vec::new();
    let mut cases = Vec::new();
    for name in modules::built_in_names() {
        let options = HostOptions { purpose: Purpose::Check, ..HostOptions::default() };
        let Some(properties) = on_script_thread(modules::Script::built_in(name)?, None, &options, Run::schema)? else { continue };
        let required: Vec<&String> =
            properties.iter().filter(|(_, schema)| schema.get("default").is_none()).map(|(name, _)| name).collect();
        kinds.push(name);
        cases.push((name, properties.clone(), json!(required)));
    }
    // One's own benchmarks have types of their own: what is not built in has any keys.
    let typed = |extra: &[&str]| {
        let cases: Vec<Value> = cases
            .iter()
            .map(|(name, properties, required)| {
                let mut properties = properties.clone();
                properties.insert("type".to_owned(), json!({}));
                extra.iter().for_each(|key| _ = properties.insert((*key).to_owned(), json!({})));
                let then = json!({ "properties": properties, "required": required, "additionalProperties": false });
                json!({ "if": { "properties": { "type": { "const": name } }, "required": ["type"] }, "then": then })
            })
            .collect();
        json!({ "type": "object", "required": ["type"], "properties": { "type": { "anyOf": [{ "enum": kinds }, { "type": "string" }] } }, "allOf": cases })
    };
    let text = json!({ "type": "string" });
    let names = json!({ "type": "array", "items": text, "minItems": 1 });
    let models = json!({ "type": "object", "additionalProperties": { "anyOf": [text, { "type": "object", "required": ["path"], "properties": { "path": text } }] } });
    let benchmark = object(
        keys::BENCHMARK,
        &[
            ("id", text.clone()),
            ("config", typed(&[])),
            ("models", names.clone()),
            ("repeats", json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, text] })),
            ("description", text.clone()),
        ],
        &["id", "config", "models"],
    );
    let verify = json!({ "type": "array", "items": typed(&["id", "models", "fail_fast"]) });
    let run = json!({ "type": "object", "required": ["id"], "properties": {
        "id": text, "command": { "anyOf": [text, { "type": "array", "items": text }] }, "directory": text, "checkpoint": text, "model": text, "verify": verify,
    } });
    let target = object(
        keys::TARGET,
        &[
            ("type", json!({ "type": "string", "description": "`experiment`, or what the wider platform knows" })),
            ("name", text.clone()),
            ("description", text.clone()),
            ("models", models),
            ("runs", json!({ "type": "array", "items": run })),
            ("benchmarks", json!({ "type": "array", "items": benchmark })),
            ("verify", verify),
            (
                "thresholds",
                json!({ "type": "array", "items": { "type": "string", "examples": ["student.perplexity / teacher.perplexity < 1.05"] } }),
            ),
        ],
        &["type", "name"],
    );
    let mut manifest = object(
        keys::TOP,
        &[
            ("version", json!({ "const": 2 })),
            ("name", text.clone()),
            ("notes", text),
            ("vars", json!({ "type": "object", "description": "`${name}` anywhere below" })),
            ("targets", json!({ "type": "array", "minItems": 1, "items": target })),
            ("entrypoints", json!({ "type": "object", "additionalProperties": { "type": "string" } })),
        ],
        &["version", "targets"],
    );
    manifest["$schema"] = json!(DIALECT);
    manifest["title"] = json!("caramba manifest");
    printed(&manifest)
}

/// A mapping with these keys (and `x-...`, which are everybody's own); what is known of some of them.
fn object(known: &str, schemas: &[(&str, Value)], required: &[&str]) -> Value {
    let schema = |key: &str| schemas.iter().find(|(name, _)| *name == key).map_or(json!({}), |(_, schema)| schema.clone());
    let properties: Map<String, Value> = known.split(' ').map(|key| (key.to_owned(), schema(key))).collect();
    json!({
        "type": "object", "properties": properties, "required": required,
        "patternProperties": { "^x-": {} }, "additionalProperties": false,
    })
}

/// The schema of a benchmark of prompts, as text: made by the script that finds mistakes in one, from the same lists.
///
/// # Errors
/// A mistake in a built-in script.
pub fn benchmark_schema() -> Result<String> {
    let script = modules::Script { name: "(schema)".to_owned(), text: "import \"suite\" as suite;\nsuite::schema()\n".to_owned() };
    let options = HostOptions { purpose: Purpose::Check, ..HostOptions::default() };
    let schema = on_script_thread(script, None, &options, Run::value)?;
    printed(&serde_json::to_value(schema).map_err(|error| Error::new(error.to_string()))?)
}

fn printed(schema: &Value) -> Result<String> {
    let text = serde_json::to_string_pretty(schema).map_err(|error| Error::new(error.to_string()))?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::{Kind, texts};

    fn schema(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    /// The files that the presets' first lines name: `CARAMBA_UPDATE_DOCS=1 cargo test --lib script` writes them again.
    #[test]
    fn the_files_are_up_to_date() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        for (name, made) in [("manifest.schema.json", manifest_schema().unwrap()), ("benchmark.schema.json", benchmark_schema().unwrap())] {
            let path = folder.join(name);
            if std::env::var_os("CARAMBA_UPDATE_DOCS").is_some() {
                std::fs::write(&path, &made).unwrap();
            }
            assert!(
                std::fs::read_to_string(&path).unwrap_or_default() == made,
                "docs/{name} is out of date: CARAMBA_UPDATE_DOCS=1 writes it again"
            );
        }
    }

    #[test]
    fn what_is_bundled_fits() {
        let (manifest, benchmark) = (schema(&manifest_schema().unwrap()), schema(&benchmark_schema().unwrap()));
        for asset in texts().filter(|asset| asset.kind != Kind::Script) {
            let (schema, name) = match asset.kind {
                Kind::Preset => (&manifest, "manifest"),
                _ => (&benchmark, "benchmark"),
            };
            let value: Value = serde_yaml::from_str(asset.text).unwrap();
            let validator = jsonschema::validator_for(schema).unwrap();
            let wrong: Vec<String> = validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
            assert!(wrong.is_empty(), "{}: {wrong:?}", asset.file());
            assert!(asset.text.starts_with(&format!("# yaml-language-server: $schema=../../docs/{name}.schema.json")), "{}", asset.file());
        }
    }

    #[test]
    fn mistakes_do_not_fit() {
        let validator = jsonschema::validator_for(&schema(&manifest_schema().unwrap())).unwrap();
        let fits = |config: &str| {
            let text = format!(
                "version: 2\ntargets: [{{type: experiment, name: a, models: {{m: x}}, benchmarks: [{{id: b, models: [m], config: {config}}}]}}]"
            );
            validator.is_valid(&serde_yaml::from_str::<Value>(&text).unwrap())
        };
        assert!(fits("{type: latency, prompt_lengths: [1], generation_lengths: [1]}"));
        assert!(fits("{type: mine, whatever: 1}"));
        assert!(!fits("{type: latency, promt_lengths: [1], generation_lengths: [1]}"), "a misspelt parameter");
        assert!(!fits("{type: latency, prompt_lengths: [long], generation_lengths: [1]}"), "a wrong type");
        assert!(!fits("{prompt_lengths: [1]}"), "no type");
    }

    /// The schema of benchmarks and the script that checks them say the same of a case.
    #[test]
    fn cases_fit_as_they_are_checked() {
        let validator = jsonschema::validator_for(&schema(&benchmark_schema().unwrap())).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cases.yml");
        let agree = |case: &str, fits: bool| {
            let text = format!("benchmark: {{id: b, data: [{{prompt: a, {case}}}]}}");
            assert_eq!(validator.is_valid(&serde_yaml::from_str::<Value>(&text).unwrap()), fits, "the schema, of {case}");
            std::fs::write(&path, text).unwrap();
            assert_eq!(crate::script::check_yaml(&path).first_error().is_ok(), fits, "the check, of {case}");
        };
        agree("max_tokens: 5, weight: 0.5, stop: [x], expected_behavior: {contains: b}", true);
        agree("expected_behavior: [stops_naturally, {regex: [b, c]}], tags: [x]", true);
        agree("validation: {type: max_tokens, limit: 5}, pass_criteria: {type: boolean, condition: within_limit}", true);
        agree("max_token: 5", false);
        agree("max_tokens: 0", false);
        agree("weight: -1", false);
        agree("expected_behavior: contain", false);
        agree("expected_behavior: {max_length: long}", false);
        agree("validation: {type: max_tokens}", false);
        agree("validation: {type: max_tokens, limits: 5}", false);
        agree("pass_criteria: {type: boolean, condition: within_limits}, validation: {type: max_tokens, limit: 5}", false);
    }
}
