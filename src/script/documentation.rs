//! The page that lists everything a script can call, made from the doc comments of the functions themselves.

use super::catalog::plain_type;
use super::engine::{SECTIONS, Section};
use super::reference::Entry;
use super::{HostOptions, Run, modules, on_script_thread};
use crate::artifact::write_atomically;
use crate::error::{At, Error, Result};
use rhai::Engine;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What rhai says of a module, in its own words.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Module {
    #[serde(default)]
    custom_types: Vec<Type>,
    #[serde(default)]
    functions: Vec<Function>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Type {
    display_name: String,
    #[serde(default)]
    doc_comments: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Function {
    name: String,
    #[serde(default)]
    params: Vec<Parameter>,
    #[serde(default)]
    return_type: String,
    #[serde(default)]
    doc_comments: Vec<String>,
}

#[derive(Deserialize)]
struct Parameter {
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

const PREFACE: &str = "\
# The script API

This page is made from the functions' own documentation (`CARAMBA_UPDATE_DOCS=1 cargo test --lib script` makes it again).

Scripts are [Rhai](https://rhai.rs/book): its language and its standard functions are all there. What is added:

- `args.name`: what `--set name=value` gave; `args.rest`: what stood after `--`. Visible everywhere, in functions too.
- `const PARAMETERS = #{ name: default }` at the top declares what may be given: misspelt names and wrong types are errors. A comment at the
  end of its line describes a parameter.
- `import \"name\" as name;` finds a script next to the one that asks, next to the main one, then inside the binary.
- A script that declares `PARAMETERS` and `fn run(model, config)` is a benchmark: who imports it calls `name::new(#{ ... })` and runs what that
  returns.
- `for (name, value) in map` goes through maps.
- A missing property of a map is an error; `map.get(\"name\")` gives `()` instead. `eval` is switched off.
- All names of functions are checked before anything runs.
";

/// The page, in Markdown.
///
/// # Errors
/// A mistake in a built-in script.
pub fn documentation() -> Result<String> {
    let mut page = PREFACE.to_owned();
    for section in SECTIONS {
        let module = metadata(section)?;
        let _ = write!(page, "\n## {}\n\n{}\n", section.title, section.about);
        for kind in &module.custom_types {
            let text = comment(&kind.doc_comments);
            if !text.is_empty() {
                let _ = write!(page, "\n### {}\n\n{text}\n", kind.display_name);
            }
        }
        let mut named: BTreeMap<(String, &str), Vec<&Function>> = BTreeMap::new();
        for function in &module.functions {
            let shown = shown(function);
            named.entry((shown.group, &function.name)).or_default().push(function);
        }
        for functions in named.values_mut() {
            // Overloads can share a signature (both kinds of range are `any`): their texts then keep the order the same on every run.
            functions.sort_by_key(|function| (function.params.len(), shown(function).signature, comment(&function.doc_comments)));
            for function in functions {
                let _ = write!(page, "\n#### `{}`\n\n{}\n", shown(function).signature, comment(&function.doc_comments));
            }
        }
    }
    page.push_str("\n## Built-in scripts\n\nThey are imported by name, and run by `caramba script NAME.rhai`.\n");
    for name in modules::built_in_names() {
        let script = modules::Script::built_in(name)?;
        let said = on_script_thread(script, None, &HostOptions::default(), Run::describe)?.without_measured().to_string();
        let _ = write!(page, "\n### {name}\n\n```text\n{}\n```\n", said.trim_end());
    }
    Ok(page)
}

/// Writes definition files (`.d.rhai`) below a directory, and the workspace file that makes editors read them. Returns what was written.
///
/// # Errors
/// The directory cannot be written.
pub fn write_definitions(directory: &Path) -> Result<Vec<PathBuf>> {
    let folder = directory.join(".rhai");
    std::fs::create_dir_all(&folder).at(folder.display())?;
    let mut written = Vec::new();
    let mut write = |path: PathBuf, text: &str| -> Result<()> {
        write_atomically(&path, text.as_bytes())?;
        written.push(path);
        Ok(())
    };
    write(folder.join("caramba.d.rhai"), &definitions()?)?;
    let workspace = directory.join("Rhai.toml");
    // One of the user's own is left as it is.
    if !workspace.exists() {
        write(workspace, WORKSPACE)?;
    }
    Ok(written)
}

const WORKSPACE: &str = "\
# Read by the language server of Rhai (rhai-analyzer, rhai-lsp): the script API is defined in .rhai/caramba.d.rhai.
[source]
include = [\"**/*.rhai\", \".rhai/*.d.rhai\"]
";

/// The script API as definitions: each function with its parameters' types as a script's author would say them.
fn definitions() -> Result<String> {
    let mut text = "module static;\n\n/// What `--set name=value` gave; `args.rest`: what stood after `--`.\nconst args: Map;\n".to_owned();
    for section in SECTIONS {
        let module = metadata(section)?;
        let _ = write!(text, "\n// {}: {}\n", section.title, section.about);
        for kind in module.custom_types.iter().filter(|kind| !kind.doc_comments.is_empty()) {
            let _ = write!(text, "\n{}type {};\n", commented(&kind.doc_comments), kind.display_name);
        }
        let mut functions: Vec<&Function> = module.functions.iter().filter(|function| !function.name.starts_with("index$")).collect();
        functions
            .sort_by_key(|function| (&function.name, function.params.len(), shown(function).signature, comment(&function.doc_comments)));
        for function in functions {
            let _ = write!(text, "\n{}{};\n", commented(&function.doc_comments), definition(function));
        }
    }
    Ok(text)
}

fn commented(comments: &[String]) -> String {
    comment(comments).lines().map(|line| format!("/// {line}").trim_end().to_owned() + "\n").collect()
}

/// `fn slice(tokens: Tokens, start: int, count: int) -> Tokens`
fn definition(function: &Function) -> String {
    let plain = |kind: &str| match plain_type(kind).as_str() {
        "integer" => "int".to_owned(),
        "text" => "String".to_owned(),
        "any" => "?".to_owned(),
        "array" => "Array".to_owned(),
        "map" => "Map".to_owned(),
        "function" => "Fn".to_owned(),
        "range" => "Range".to_owned(),
        other => other.to_owned(),
    };
    let parameters = function.params.iter().enumerate().map(|(index, parameter)| {
        let name = parameter.name.clone().filter(|name| name != "_").unwrap_or_else(|| format!("arg{index}"));
        format!("{name}: {}", parameter.kind.as_deref().map_or_else(|| "?".to_owned(), plain))
    });
    let parameters = parameters.collect::<Vec<_>>().join(", ");
    let returned = plain(&function.return_type);
    let arrow = if returned.is_empty() || returned == "()" { String::new() } else { format!(" -> {returned}") };
    let operator = |name: &str| !name.starts_with(|first: char| first.is_alphabetic() || first == '_');
    match function.name.split_once('$') {
        Some((access, property)) => format!("fn {access} {property}({parameters}){arrow}"),
        None if operator(&function.name) => {
            let kinds = function.params.iter().map(|parameter| parameter.kind.as_deref().map_or_else(|| "?".to_owned(), plain));
            format!("op {}({}){arrow}", function.name, kinds.collect::<Vec<_>>().join(", "))
        }
        None => format!("fn {}({parameters}){arrow}", function.name),
    }
}

fn metadata(section: &Section) -> Result<Module> {
    let mut engine = Engine::new_raw();
    engine.register_global_module((section.module)().into());
    said(&engine, false, section.title)
}

fn said(engine: &Engine, standard: bool, what: &str) -> Result<Module> {
    let json = engine.gen_fn_metadata_to_json(standard).and_then(|text| serde_json::from_str(&text));
    json.map_err(|error| Error::new(error.to_string()).at(what))
}

/// What an engine has, for whoever asks by name.
pub(super) struct Documented {
    pub(super) functions: Vec<Entry>,
    /// Name and documentation.
    pub(super) types: Vec<(String, String)>,
}

/// What an engine says of its functions and types; `standard`: with those of the language.
pub(super) fn documented(engine: &Engine, standard: bool, what: &str) -> Result<Documented> {
    let module = said(engine, standard, what)?;
    let mut functions: Vec<Entry> = module
        .functions
        .iter()
        .filter(|function| !function.name.starts_with("set$") && !function.name.starts_with("index$set"))
        .map(|function| {
            let Shown { group, signature } = shown(function);
            let name = function.name.trim_start_matches("get$").to_owned();
            Entry { name, of: group, signature, text: comment(&function.doc_comments), section: String::new() }
        })
        .collect();
    functions.sort_by(|a, b| (&a.of, &a.name, a.signature.len(), &a.signature).cmp(&(&b.of, &b.name, b.signature.len(), &b.signature)));
    functions.dedup_by(|a, b| a.signature == b.signature);
    let types = module.custom_types.iter().map(|kind| (kind.display_name.clone(), comment(&kind.doc_comments)));
    Ok(Documented { functions, types: types.filter(|(_, text)| !text.is_empty()).collect() })
}

/// How a function is written down.
struct Shown {
    /// What comes first: functions, then the properties and methods of each type.
    group: String,
    signature: String,
}

fn shown(function: &Function) -> Shown {
    let kind = |parameter: &Parameter| parameter.kind.as_deref().map_or_else(|| "any".to_owned(), plain_type);
    let parameter = |parameter: &Parameter| match &parameter.name {
        Some(name) => format!("{name}: {}", kind(parameter)),
        None => kind(parameter),
    };
    let list = |parameters: &[Parameter]| parameters.iter().map(parameter).collect::<Vec<_>>().join(", ");
    let returned = plain_type(&function.return_type);
    let arrow = if returned.is_empty() || returned == "()" { String::new() } else { format!(" -> {returned}") };
    let method = function.params.first().filter(|first| first.kind.as_deref().is_some_and(|kind| kind.starts_with("&mut")));
    match (method, function.name.strip_prefix("get$")) {
        (Some(first), Some(property)) => {
            Shown { group: kind(first), signature: format!("{}.{property}{}", kind(first), arrow.replace(" -> ", ": ")) }
        }
        (Some(first), None) if function.name.starts_with("index$get") => {
            Shown { group: kind(first), signature: format!("{}[{}]{arrow}", kind(first), list(&function.params[1..])) }
        }
        (Some(first), None) => {
            Shown { group: kind(first), signature: format!("{}.{}({}){arrow}", kind(first), function.name, list(&function.params[1..])) }
        }
        (None, _) if !function.name.starts_with(|first: char| first.is_alphabetic()) => {
            let sides: Vec<String> = function.params.iter().map(kind).collect();
            Shown { group: "~".to_owned(), signature: format!("{}{arrow}", sides.join(&format!(" {} ", function.name))) }
        }
        (None, _) => Shown { group: String::new(), signature: format!("{}({}){arrow}", function.name, list(&function.params)) },
    }
}

/// The text of doc comments, without their marks.
pub(super) fn comment(comments: &[String]) -> String {
    let lines = comments.iter().flat_map(|comment| comment.lines());
    let plain = lines.map(|line| {
        let line = line.trim_start().trim_start_matches("///");
        line.strip_prefix(' ').unwrap_or(line).trim_end()
    });
    let text = plain.collect::<Vec<_>>().join("\n");
    // The page has headings of its own.
    text.replace("# Example\n", "").replace("```rhai,no_run", "```rhai").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Grants;
    use crate::script::modules::Script;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/script-api.md");

    #[test]
    fn the_page_is_up_to_date() {
        let made = documentation().unwrap();
        if std::env::var_os("CARAMBA_UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(Path::new(PAGE).parent().unwrap()).unwrap();
            std::fs::write(PAGE, &made).unwrap();
        }
        let written = std::fs::read_to_string(PAGE).unwrap_or_default();
        let differs = written.lines().zip(made.lines()).find(|(written, made)| written != made);
        assert!(
            written == made,
            "docs/script-api.md is out of date ({differs:?}): CARAMBA_UPDATE_DOCS=1 cargo test --lib script makes it again"
        );
    }

    #[test]
    fn everything_is_documented() {
        for section in SECTIONS {
            let module = metadata(section).unwrap();
            for function in &module.functions {
                assert!(!comment(&function.doc_comments).is_empty(), "{}: {} has no documentation", section.title, function.name);
            }
            for kind in &module.custom_types {
                assert!(!comment(&kind.doc_comments).is_empty(), "{}: {} has no documentation", section.title, kind.display_name);
            }
        }
    }

    /// Every example compiles, and runs unless it needs a model or leaves something behind.
    #[test]
    fn examples_run() {
        let mut run = 0;
        let output = tempfile::tempdir().unwrap();
        for section in SECTIONS {
            let module = metadata(section).unwrap();
            let documented = module.functions.iter().map(|function| (&function.name, &function.doc_comments));
            for (name, comments) in documented.chain(module.custom_types.iter().map(|kind| (&kind.display_name, &kind.doc_comments))) {
                let text: String = comments
                    .iter()
                    .flat_map(|comment| comment.lines())
                    .fold(String::new(), |text, line| text + line.trim_start().trim_start_matches("///") + "\n");
                for example in text.split("```rhai").skip(1) {
                    let (head, body) = example.split_once('\n').unwrap();
                    let body = body.split("\n ```").next().unwrap().to_owned();
                    let script = Script { name: format!("example of {name}"), text: body };
                    let check = |run: Run| run.compile().map(|_| ());
                    let work = if head.contains("no_run") { check } else { |run: Run| run.run().map(|_| ()) };
                    let grants = Grants { all: true, ..Grants::default() };
                    on_script_thread(
                        script,
                        None,
                        &HostOptions { grants, output: Some(output.path().to_owned()), ..HostOptions::default() },
                        work,
                    )
                    .unwrap();
                    run += 1;
                }
            }
        }
        assert!(run > 20, "{run} examples");
    }

    #[test]
    fn definitions_have_no_types_of_rust() {
        let text = definitions().unwrap();
        assert!(text.contains("fn prefill(session: Session, tokens: ?)"), "sessions are there");
        for line in text.lines().filter(|line| !line.starts_with("//")) {
            for foreign in ["&", "::", "INT", "FLOAT", "ImmutableString", "Dynamic", "i64", "f64", "Answer", "Result", "NativeCallContext"]
            {
                assert!(!line.contains(foreign), "{line}");
            }
        }
    }
}
