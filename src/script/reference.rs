//! Everything that can be asked about by name: functions, methods and properties of caramba and of the language, its words, and built-in scripts.

use super::documentation::{Documented, documented};
use super::engine::SECTIONS;
use super::topics::{TOPICS, Topic};
use super::{describe, modules};
use crate::error::{Error, Result, nearest};
use rhai::Engine;
use std::collections::BTreeMap;
use std::path::Path;

/// One function, method, property or operator.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As it is called.
    pub name: String,
    /// The type that it is a method or property of; empty for functions.
    pub of: String,
    pub signature: String,
    pub text: String,
    /// The heading it stands under.
    pub section: String,
}

/// All of it.
pub struct Manual {
    entries: Vec<Entry>,
    /// Types with their documentation.
    kinds: BTreeMap<String, String>,
    scripts: Vec<&'static str>,
}

/// What the language's own functions stand under, by the type of their first argument.
const LANGUAGE: &[(&str, &str)] = &[
    ("text", "The language: texts"),
    ("array", "The language: arrays"),
    ("map", "The language: maps"),
    ("integer", "The language: numbers"),
    ("float", "The language: numbers"),
    ("Blob", "The language: bytes"),
    ("function", "The language: functions"),
];
const OTHERWISE: &str = "The language: others";

/// Collects it.
///
/// # Errors
/// None that a user can cause: rhai's own metadata cannot be read.
pub fn reference() -> Result<Manual> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut kinds = BTreeMap::new();
    for section in SECTIONS {
        let mut engine = Engine::new_raw();
        engine.register_global_module((section.module)().into());
        let Documented { functions, types } = documented(&engine, false, section.title)?;
        kinds.extend(types);
        entries.extend(functions.into_iter().map(|entry| Entry { section: section.title.to_owned(), ..entry }));
    }
    let own: Vec<(String, String)> = entries.iter().map(|entry| (entry.name.clone(), entry.of.clone())).collect();
    let language = documented(&Engine::new(), true, "the language")?.functions.into_iter().filter(|entry| {
        let plain = entry.name.chars().all(|c| c.is_alphanumeric() || c == '_');
        // What caramba has in its place is documented there.
        let replaced = own.contains(&(entry.name.clone(), entry.of.clone())) && entry.of == "array" || entry.name == "eval";
        plain && !replaced && !entry.text.is_empty() && !NARROW.iter().any(|kind| entry.signature.contains(kind))
    });
    let section = |of: &str| LANGUAGE.iter().find(|(kind, _)| *kind == of).map_or(OTHERWISE, |(_, section)| *section).to_owned();
    entries.extend(language.map(|entry| Entry { section: section(&entry.of), ..entry }));
    Ok(Manual { entries, kinds, scripts: modules::built_in_names().collect() })
}

/// Types of numbers that scripts have not.
const NARROW: &[&str] = &["u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i128", "f32"];

impl Manual {
    /// Every entry.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What there is, by subject.
    pub fn overview(&self) -> String {
        let mut out = "`caramba docs NAME` says more of each: functions, Types, scripts, words of the language.\n".to_owned();
        let mut list = |title: &str, about: &str, mut names: Vec<String>| {
            names.dedup();
            let about = if about.is_empty() { String::new() } else { format!(": {about}") };
            out += &format!("\n{title}{about}\n{}", wrapped(&names.join("  "), 2, 110));
        };
        for section in SECTIONS {
            list(section.title, section.about.trim_end_matches('.'), self.names_of(section.title));
        }
        let mut sections: Vec<&str> = LANGUAGE.iter().map(|(_, section)| *section).chain([OTHERWISE]).collect();
        sections.dedup();
        for section in sections {
            list(section, "", self.names_of(section));
        }
        list("Words of the language", "", TOPICS.iter().map(|topic| topic.names[0].to_owned()).collect());
        list(
            "Built-in scripts",
            "caramba script NAME.rhai, import \"NAME\" as name",
            self.scripts.iter().map(ToString::to_string).collect(),
        );
        out
    }

    fn names_of(&self, section: &str) -> Vec<String> {
        let entries = self.entries.iter().filter(|entry| entry.section == section);
        // A type of caramba's is told with its members.
        let custom = |entry: &Entry| self.kinds.contains_key(&entry.of);
        let mut names: Vec<String> = entries
            .filter(|entry| entry.name.chars().all(|c| c.is_alphanumeric() || c == '_'))
            .map(|entry| if custom(entry) { format!("{}.{}", entry.of, entry.name) } else { entry.name.clone() })
            .collect();
        names.sort();
        names
    }

    /// What is known of a name, or what mentions all of the words.
    ///
    /// # Errors
    /// Nothing does; the nearest name is in the remedy.
    pub fn look_up(&self, words: &[String]) -> Result<String> {
        if let [name] = words
            && let Some(found) = self.named(name)?
        {
            return Ok(found);
        }
        let found = self.search(words);
        if !found.is_empty() {
            return Ok(found);
        }
        let asked = words.join(" ");
        let known = self.entries.iter().map(|entry| entry.name.as_str()).chain(self.kinds.keys().map(String::as_str));
        let known = known.chain(self.scripts.iter().copied()).chain(TOPICS.iter().flat_map(|topic| topic.names.iter().copied()));
        let help = match nearest(&asked, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`caramba docs` lists what there is".to_owned(),
        };
        Err(Error::new(format!("nothing is called `{asked}`, and nothing mentions it")).remedy(help))
    }

    /// Everything of exactly this name: `session`, `Session`, `Session.prefill`, `latency`, `for`, `Statistics`.
    pub fn named(&self, name: &str) -> Result<Option<String>> {
        let plain = name.trim_end_matches("()").trim_end_matches(".rhai");
        let mut parts: Vec<String> = Vec::new();
        if let Some(topic) = TOPICS.iter().find(|topic| topic.names.contains(&plain)) {
            parts.push(topic_text(topic));
        }
        let (of, member) = plain.rsplit_once('.').map_or((None, plain), |(of, member)| (Some(of), member));
        let meant = |entry: &&Entry| entry.name == member && of.is_none_or(|of| entry.of.eq_ignore_ascii_case(of));
        parts.extend(self.entries.iter().filter(meant).map(entry_text));
        if let Some((kind, text)) = self.kinds.iter().find(|(kind, _)| *kind == plain) {
            parts.push(format!("{kind}\n{}", indented(text)));
        }
        if self.kinds.contains_key(plain) || LANGUAGE.iter().any(|(kind, _)| *kind == plain) {
            parts.push(self.listed(|entry| entry.of == plain));
        } else if let Some(section) = SECTIONS.iter().find(|section| section.title.eq_ignore_ascii_case(plain)) {
            parts.push(format!("{}\n  {}\n", section.title, section.about));
            parts.push(self.listed(|entry| entry.section == section.title));
        }
        if let Some(script) = self.scripts.iter().find(|script| **script == plain) {
            let said = describe(Path::new(&format!("{script}.rhai")))?.to_string();
            parts.push(format!("{script}.rhai, a built-in script\n{}  `caramba show {script}.rhai` prints it\n", indented(&said)));
        }
        Ok(if parts.is_empty() { None } else { Some(parts.join("\n")) })
    }

    /// Names and first sentences of what is called like the words; of what mentions all of them where nothing is.
    fn search(&self, words: &[String]) -> String {
        let words: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
        let all = |text: &str| words.iter().all(|word| text.to_lowercase().contains(word.as_str()));
        let called = self.listed(|entry| all(&entry.name));
        if called.is_empty() { self.listed(|entry| all(&format!("{} {} {}", entry.signature, entry.text, entry.section))) } else { called }
    }

    /// A line for each entry: its signature, and the first sentence.
    fn listed(&self, meant: impl Fn(&Entry) -> bool) -> String {
        let lines = self.entries.iter().filter(|entry| meant(entry));
        lines.map(|entry| format!("  {}\n{}", entry.signature, wrapped(&first_sentence(&entry.text), 6, 110))).collect()
    }
}

fn entry_text(entry: &Entry) -> String {
    format!("{}    ({})\n{}", entry.signature, entry.section.to_lowercase(), indented(&entry.text))
}

fn topic_text(topic: &Topic) -> String {
    let about: String =
        topic.about.lines().map(|line| if line.len() > 106 { wrapped(line, 2, 110) } else { format!("  {line}\n") }).collect();
    format!("{}    (the language)\n{about}\n{}", topic.names.join(", "), indented(topic.example))
}

/// Indented, without the marks of code; its lines stand close.
fn indented(text: &str) -> String {
    let mut code = false;
    let mut out = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        } else if !(code && line.trim().is_empty()) {
            out += format!("  {line}").trim_end();
            out.push('\n');
        }
    }
    out
}

/// Up to the first full stop.
fn first_sentence(text: &str) -> String {
    let paragraph: Vec<&str> = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    let paragraph = paragraph.join(" ");
    match paragraph.find(". ") {
        Some(end) => paragraph[..=end].to_owned(),
        None => paragraph,
    }
}

/// A text in lines of at most `width`, each begun with `indent` spaces. Two spaces stay two.
fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let mut out = String::new();
    let mut line = " ".repeat(indent);
    let separator = if text.contains("  ") { "  " } else { " " };
    for word in text.split(separator).filter(|word| !word.is_empty()) {
        let begun = line.len() > indent;
        if begun && line.chars().count() + separator.len() + word.chars().count() > width {
            out += &line;
            out.push('\n');
            line = " ".repeat(indent);
        } else if begun {
            line += separator;
        }
        line += word;
    }
    if line.len() > indent {
        out += &line;
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::modules::Script;
    use crate::script::{HostOptions, Run, on_script_thread};

    #[test]
    fn topics_run() {
        for topic in TOPICS {
            let script = Script { name: format!("example of {}", topic.names[0]), text: topic.example.to_owned() };
            // A benchmark would be measured.
            let benchmark = topic.example.contains("fn measure");
            let work = if benchmark { |run: Run| run.compile().map(|_| ()) } else { |run: Run| run.run().map(|_| ()) };
            on_script_thread(script, None, &HostOptions::default(), work).unwrap_or_else(|error| panic!("{}: {error}", topic.names[0]));
        }
    }

    #[test]
    fn names_are_found() {
        let reference = reference().unwrap();
        let look = |word: &str| reference.look_up(&[word.to_owned()]).unwrap();
        assert!(look("prefill").contains("Session.prefill("));
        assert!(look("Session").contains("Session.generate("));
        assert!(look("split").contains("The language: texts") || look("split").contains("the language: texts"), "{}", look("split"));
        assert!(look("perplexity").contains("block_size"));
        assert!(look("lambda").contains("|x| x + 1"));
        assert!(look("statistics").contains("bootstrap"));
        let error = reference.look_up(&["prefil_".to_owned()]).unwrap_err();
        assert_eq!(error.help(), Some("did you mean `prefill`?"));
        let both = reference.look_up(&["bootstrap".to_owned(), "interval".to_owned()]).unwrap();
        assert!(both.contains("bootstrap("), "{both}");
        let overview = reference.overview();
        assert!(
            overview.contains("Session.prefill") && overview.contains("trim") && overview.lines().all(|line| line.chars().count() <= 110)
        );
    }

    /// The language's functions are there with a sentence each.
    #[test]
    fn the_language_is_documented() {
        let reference = reference().unwrap();
        for name in ["split", "to_upper", "keys", "sqrt", "extract", "parse_int", "contains", "reduce", "floor", "type_of"] {
            let found: Vec<_> =
                reference.entries().iter().filter(|entry| entry.name == name && entry.section.starts_with("The language")).collect();
            assert!(!found.is_empty() || name == "type_of", "{name}");
            assert!(found.iter().all(|entry| !entry.text.is_empty()), "{name}");
        }
    }
}
