//! Conversations as the text that a model was trained on: its chat template, in Jinja, as `transformers` renders it.
//!
//! Where it stands: `chat_template.jinja`, or `chat_template` of `tokenizer_config.json`, beside the weights; `tokenizer.chat_template` of a GGUF.
//! What templates may use is what `transformers.utils.chat_template_utils` gives them: blocks trimmed, `raise_exception`, `strftime_now`, `tojson`
//! of Python, loop controls, the methods of Python's strings and maps.

mod python;
mod source;

use super::Model;
use crate::error::{Error, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{AutoEscape, Environment, ErrorKind};
use regex::Regex;
use serde_json::{Map, json};

/// Steps of a template: those of a long conversation with tools take a thousandth.
const FUEL: u64 = 20_000_000;
/// A template is a few kilobytes; the longest known has forty.
const MAX_TEMPLATE: usize = 1 << 20;

/// A model's chat template, with the special tokens that it may name.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    /// By name; `default` where there is only one.
    templates: Vec<(String, String)>,
    /// `bos_token`, `eos_token`, ...
    tokens: Map<String, serde_json::Value>,
}

/// How a conversation is rendered.
#[derive(Debug, Clone)]
pub struct ChatOptions {
    /// Ends with what comes before an answer of the model.
    pub add_generation_prompt: bool,
    /// Ends within the last message, for the model to go on with it.
    pub continue_final_message: bool,
    /// Whatever else the template reads: `tools`, `enable_thinking`, ...
    pub others: Map<String, serde_json::Value>,
}

impl Default for ChatOptions {
    fn default() -> Self {
        Self { add_generation_prompt: true, continue_final_message: false, others: Map::new() }
    }
}

impl Model {
    /// Its chat template.
    ///
    /// # Errors
    /// It has none; files that can't be read.
    pub fn chat_template(&self) -> Result<ChatTemplate> {
        source::of(self)?.ok_or_else(|| {
            Error::new("the model has no chat template")
                .at(self.path.display())
                .remedy("give plain text, or put the template beside its weights as chat_template.jinja; base models have none")
        })
    }
}

impl ChatTemplate {
    /// One template, and the special tokens by the names that it knows them by.
    pub fn new(template: impl Into<String>, tokens: Map<String, serde_json::Value>) -> ChatTemplate {
        ChatTemplate { templates: vec![("default".to_owned(), template.into())], tokens }
    }

    /// The text of a conversation: an array of maps with `role` and `content`.
    ///
    /// # Errors
    /// Messages without a role; what the template itself refuses (roles that don't alternate), or cannot do.
    pub fn render(&self, messages: &serde_json::Value, options: &ChatOptions) -> Result<String> {
        check(messages)?;
        if options.add_generation_prompt && options.continue_final_message {
            let error = Error::new("a conversation cannot both go on with its last message and begin an answer");
            return Err(error.remedy("set add_generation_prompt to false"));
        }
        let mut context = self.tokens.clone();
        context.insert("messages".into(), messages.clone());
        context.insert("add_generation_prompt".into(), options.add_generation_prompt.into());
        context.insert("tools".into(), serde_json::Value::Null);
        context.insert("documents".into(), serde_json::Value::Null);
        context.extend(options.others.clone());
        let rendered = environment()
            .template_from_str(&plain(self.chosen(&context)?)?)
            .and_then(|template| template.render(Serde(&context)))
            .map_err(|error| refused(&error))?;
        if options.continue_final_message { continued(rendered, messages) } else { Ok(rendered) }
    }

    /// The template for tools where there are tools and a template for them.
    fn chosen(&self, context: &Map<String, serde_json::Value>) -> Result<&str> {
        let named = |name: &str| self.templates.iter().find(|(known, _)| known == name).map(|(_, template)| template.as_str());
        let tools = named("tool_use").filter(|_| context.get("tools").is_some_and(|tools| !tools.is_null()));
        let chosen = tools.or_else(|| named("default")).or_else(|| self.templates.first().map(|(_, template)| template.as_str()));
        match chosen {
            Some(template) if template.len() <= MAX_TEMPLATE => Ok(template),
            Some(template) => Err(Error::new(format!("the chat template has {} bytes: expected {MAX_TEMPLATE} at most", template.len()))),
            None => Err(Error::new("the chat template is empty")),
        }
    }
}

fn check(messages: &serde_json::Value) -> Result<()> {
    let remedy = "write [#{ role: \"user\", content: \"...\" }]";
    let Some(messages) = messages.as_array().filter(|messages| !messages.is_empty()) else {
        return Err(Error::new("a conversation is a list of one message or more").remedy(remedy));
    };
    match messages.iter().position(|message| !message["role"].is_string()) {
        Some(index) => Err(Error::new(format!("message {index} has no `role`")).remedy(remedy)),
        None => Ok(()),
    }
}

/// The template without the marks around what a trainer learns from: they print nothing, and this Jinja has no such tags.
fn plain(template: &str) -> Result<String> {
    let marks = Regex::new(r"\{%(-?)\s*(?:end)?generation\s*(-?)%\}").map_err(|error| Error::new(error.to_string()))?;
    // Jinja makes one of every line end.
    Ok(marks.replace_all(&template.replace("\r\n", "\n"), "{%${1} if false ${2}%}{%${1} endif ${2}%}").into_owned())
}

fn refused(error: &minijinja::Error) -> Error {
    match error.kind() {
        // The template's own words.
        ErrorKind::InvalidOperation if error.detail().is_some_and(|detail| detail.starts_with(python::RAISED)) => {
            let words = error.detail().unwrap_or_default().trim_start_matches(python::RAISED).to_owned();
            Error::new(format!("the chat template refuses this conversation: {words}"))
        }
        ErrorKind::OutOfFuel => Error::new(format!("the chat template has not ended after {FUEL} steps")),
        _ => {
            let line = error.line().map(|line| format!(" (line {line})")).unwrap_or_default();
            let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            Error::new(format!("the chat template cannot be rendered: {detail}{line}"))
        }
    }
}

/// A rendered conversation without what follows its last message.
fn continued(mut rendered: String, messages: &serde_json::Value) -> Result<String> {
    let last = messages.as_array().and_then(|messages| messages.last());
    let text = last.and_then(|message| message["content"].as_str()).unwrap_or_default();
    let Some(at) = rendered.rfind(text.trim()).filter(|_| !text.trim().is_empty()) else {
        return Err(Error::new("the chat template changes the last message, or leaves it out: it cannot be gone on with")
            .remedy("leave continue_final_message out"));
    };
    // Spaces at its end stay where the template keeps them.
    let kept = [text.trim_start(), text.trim()].into_iter().find(|text| rendered[at..].starts_with(text)).map_or(0, str::len);
    rendered.truncate(at + kept);
    Ok(rendered)
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().unwrap_or_default());
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(|output, state, value| match python::word(value) {
        Some(word) => output.write_str(word).map_err(minijinja::Error::from),
        None => minijinja::escape_formatter(output, state, value),
    });
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> std::result::Result<String, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, format!("{}{message}", python::RAISED)))
    });
    environment.add_function("strftime_now", |format: String| jiff::ZonedDateTime::now().strftime(&format).to_string());
    environment.add_filter("tojson", |value: Value, arguments: Kwargs| -> std::result::Result<Value, minijinja::Error> {
        let indent = arguments.get::<Option<usize>>("indent")?;
        let _ = (arguments.get::<Option<bool>>("ensure_ascii")?, arguments.get::<Option<Value>>("separators")?);
        let _ = arguments.get::<Option<bool>>("sort_keys")?;
        arguments.assert_all_used()?;
        let data = serde_json::to_value(&value).unwrap_or_else(|_| json!(null));
        Ok(Value::from_safe_string(python::dumps(&data, indent)))
    });
    environment
}

#[cfg(test)]
mod tests;
