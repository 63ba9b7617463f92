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

/// The schema of a benchmark of prompts, as text.
///
/// # Errors
/// None that a user can cause.
pub fn benchmark_schema() -> Result<String> {
    let text: Value =
        serde_json::from_str(include_str!("../../assets/schema/benchmark.json")).map_err(|error| Error::new(error.to_string()))?;
    printed(&text)
}

fn printed(schema: &Value) -> Result<String> {
    let text = serde_json::to_string_pretty(schema).map_err(|error| Error::new(error.to_string()))?;
    Ok(text + "\n")
}
