//! From the tree of a manifest to a checked [`Experiment`].

use super::experiment::{Benchmark, Command, Experiment, ModelSource, Run, Verification, resolve};
use super::node::{self, Entry, Node, Value};
use super::section::{Section, list, mismatch, text};
use super::variables::Variables;
use crate::error::{Error, Result, unknown};
use crate::source::{Place, Source};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Keys at the top of a manifest. Those after `entrypoints` belong to the wider platform (training, its logs) and change no benchmark.
pub const TOP: &str =
    "version name notes description vars targets entrypoints defaults data system objective trainer train instrumentation";
/// Keys of an experiment target; from `backend` on the wider platform's.
pub const TARGET: &str =
    "type name description notes models runs benchmarks verify thresholds system backend task data objective trainer train seed defaults";
/// Keys of a run that are read, and those of the wider platform's trainer that could be taken for misspelt ones.
const RUN: &str = "id command directory checkpoint model verify";
const TRAINER: &str = "mode models";
pub const BENCHMARK: &str = "id config models repeats description notes";
/// Top-level keys that nobody here reads: variables are left alone in them.
const UNREAD: &[&str] = &["instrumentation"];
const VERSION: i64 = 2;
const MAX_REPEATS: i64 = 10_000;

/// A manifest: several targets.
#[derive(Debug)]
pub struct Manifest {
    source: Arc<Source>,
    directory: PathBuf,
    /// Variables filled in.
    root: Node,
}

impl Manifest {
    /// Reads `source`; relative paths that lead nowhere from the current directory are taken from `directory`.
    ///
    /// # Errors
    /// What is wrong, with its place. Of a target only its type and name are checked here.
    pub fn parse(source: Source, directory: &Path) -> Result<Manifest> {
        let mut root = node::parse(&source)?;
        let top = Section::of(&source, "manifest", &root, TOP)?;
        match top.get("version").map(|node| (node, &node.value)) {
            Some((_, Value::Scalar(scalar))) if scalar.kind == node::Kind::Integer(VERSION) => {}
            Some((node, _)) => {
                let error = Error::new(format!("`version` is {VERSION}, found {}", node.describe()));
                return Err(source.point(node.place, error.remedy("this caramba reads manifests of version 2")));
            }
            None => {
                let error = Error::new("this manifest has no `version`").remedy("begin it with `version: 2`");
                return Err(source.point(root.place, error));
            }
        }
        let vars = root.get("vars").cloned();
        let variables = Variables::new(vars.as_ref(), &source)?;
        if let Value::Map(entries) = &mut root.value {
            for Entry { key, node, .. } in entries.iter_mut() {
                // An `x-` anchor's variables are filled where it is used.
                if !UNREAD.contains(&key.as_str()) && !key.starts_with("x-") {
                    *node = variables.fill(node)?;
                }
            }
        }
        let manifest = Manifest { source: Arc::new(source), directory: directory.to_path_buf(), root };
        manifest.named_targets()?;
        Ok(manifest)
    }

    /// The path as the user gave it.
    pub fn name(&self) -> &str {
        self.source.name()
    }

    /// Name and type of every target.
    ///
    /// # Errors
    /// There is none, one has no name or type, two have the same name.
    pub fn targets(&self) -> Result<Vec<(&str, &str)>> {
        Ok(self.named_targets()?.into_iter().map(|target| (target.name, target.kind)).collect())
    }

    fn named_targets(&self) -> Result<Vec<Target<'_>>> {
        let source = &*self.source;
        let top = Section::open(source, "manifest", &self.root)?;
        let nodes = list(source, top.require("targets", "list what there is to run: `targets: [{type: experiment, ...}]`")?, "targets")?;
        let mut targets: Vec<Target<'_>> = Vec::new();
        for node in nodes {
            let section = Section::open(source, "target", node)?;
            let kind = text(source, section.require("type", "write `type: experiment`")?, "type")?;
            let name_node = section.require("name", "give it a name: `--target` takes it")?;
            let name = text(source, name_node, "name")?;
            if let Some(first) = targets.iter().find(|target| target.name == name) {
                return Err(self.twice("target", name, name_node.place, first.place));
            }
            targets.push(Target { name, kind, node, place: name_node.place });
        }
        if targets.is_empty() {
            return Err(source.point(top.key_place("targets"), Error::new("`targets` is empty: there is nothing to run")));
        }
        Ok(targets)
    }

    /// The target `wanted` (a target's name, or that of an entry point); without one, the entry point `default`, or the only target.
    ///
    /// # Errors
    /// No such target, several and no default, or a mistake in it: with the place.
    pub fn experiment(&self, wanted: Option<&str>) -> Result<Experiment> {
        let targets = self.named_targets()?;
        let target = self.choose(&targets, wanted)?;
        if target.kind != "experiment" {
            let error = Error::new(format!("the target `{}` is of type `{}`", target.name, target.kind));
            return Err(self.source.point(target.node.place, error.remedy("caramba runs targets of type `experiment`")));
        }
        Builder { manifest: self, places: BTreeMap::new() }.experiment(target)
    }

    fn choose<'t, 'a>(&'a self, targets: &'t [Target<'a>], wanted: Option<&str>) -> Result<&'t Target<'a>> {
        let source = &*self.source;
        let names = || targets.iter().map(|target| target.name);
        let find = |name: &str| targets.iter().find(|target| target.name == name);
        let entrypoints = match self.root.get("entrypoints") {
            Some(node) => Section::open(source, "`entrypoints` section", node)?.entries(),
            None => &[],
        };
        let entry = |name: &str| entrypoints.iter().find(|entry| entry.key == name);
        if let Some(target) = wanted.and_then(find) {
            return Ok(target);
        }
        if let Some(entry) = entry(wanted.unwrap_or("default")) {
            let name = text(source, &entry.node, "an entry point")?;
            return find(name).ok_or_else(|| source.point(entry.node.place, unknown("target", name, names())));
        }
        match (wanted, targets) {
            (Some(name), _) => {
                let known = names().chain(entrypoints.iter().map(|entry| entry.key.as_str()));
                Err(unknown("target", name, known).at(source.name()))
            }
            (None, [only]) => Ok(only),
            (None, _) => {
                let error = Error::new("this manifest has several targets and no default");
                let choice = names().collect::<Vec<_>>().join(", ");
                Err(error.remedy(format!("say `--target NAME` with one of: {choice}")).at(source.name()))
            }
        }
    }

    fn twice(&self, what: &str, name: &str, second: Place, first: Place) -> Error {
        let error = Error::new(format!("there are two {what}s `{name}`: the first stands in line {}", first.line));
        self.source.point(second, error.remedy("give each a name of its own"))
    }
}

#[derive(Debug)]
struct Target<'a> {
    name: &'a str,
    kind: &'a str,
    node: &'a Node,
    place: Place,
}

struct Builder<'a> {
    manifest: &'a Manifest,
    places: BTreeMap<String, Place>,
}

impl<'a> Builder<'a> {
    fn source(&self) -> &'a Source {
        &self.manifest.source
    }

    fn experiment(mut self, target: &Target<'a>) -> Result<Experiment> {
        let (manifest, source) = (self.manifest, self.source());
        let section = Section::of(source, "target", target.node, TARGET)?;
        let top = Section::open(source, "manifest", &manifest.root)?;
        let stem = || Path::new(source.name()).file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let mut models = self.models(&section)?;
        let (runs, mut verify) = self.runs(&section, &mut models)?;
        if let Some(model) = models.iter().find(|model| model.path.is_empty()) {
            let error = Error::new(format!("the model `{}` has no `path`", model.name));
            let place = self.places.get(&format!("models.{}", model.name)).copied().unwrap_or(section.place());
            return Err(source.point(place, error.remedy("say where it is: a directory, a .gguf, .safetensors or .pt file")));
        }
        let benchmarks = self.benchmarks(&section, &models)?;
        if let Some(node) = section.get("verify") {
            self.verifications(node, None, &models, &mut verify)?;
        }
        let thresholds = match section.get("thresholds") {
            Some(node) => Some(self.thresholds(node, &models)?),
            None => None,
        };
        if runs.is_empty() && benchmarks.is_empty() && verify.is_empty() {
            let error = Error::new(format!("the target `{}` has nothing to do", target.name));
            return Err(source.point(target.place, error.remedy("give it `benchmarks`")));
        }
        Ok(Experiment {
            manifest: PathBuf::from(source.name()),
            experiment: top.text("name")?.map_or_else(stem, String::from),
            name: target.name.to_string(),
            description: section.text("description")?.map(String::from),
            models,
            runs,
            benchmarks,
            verify,
            thresholds,
            places: self.places,
            directory: manifest.directory.clone(),
            source: Arc::clone(&manifest.source),
        })
    }

    fn models(&mut self, target: &Section<'a>) -> Result<Vec<ModelSource>> {
        let source = self.source();
        let entries = match target.get("models") {
            Some(node) => Section::open(source, "`models` section", node)?.entries(),
            None => &[],
        };
        let mut models = Vec::new();
        for entry in entries {
            let here = format!("models.{}", entry.key);
            self.places.insert(here.clone(), entry.place);
            let (path, options) = match &entry.node.value {
                Value::Map(options) => {
                    self.remember(&here, options);
                    let path = Section::open(source, "model", &entry.node)?.text("path")?;
                    (path.unwrap_or_default(), node::plain_map(options.iter().filter(|option| option.key != "path"), source)?)
                }
                _ => {
                    let path = text(source, &entry.node, &entry.key).map_err(|_| {
                        mismatch(source, &entry.node, &format!("the model `{}`", entry.key), "a path, or a mapping with `path`")
                    })?;
                    (path, node::plain_map([], source)?)
                }
            };
            let path = if path.is_empty() { String::new() } else { shown(&resolve(&self.manifest.directory, path)) };
            models.push(ModelSource { name: entry.key.clone(), path, options });
        }
        if let Some(topology) = self.system_model(target)? {
            give_topology(&mut models, topology);
        }
        Ok(models)
    }

    /// The `model` section under `system`, if the target has one.
    fn system_model(&mut self, target: &Section<'a>) -> Result<Option<serde_yaml::Value>> {
        let source = self.source();
        let Some(node) = target.get("system") else { return Ok(None) };
        let Some(config) = node.get("config") else { return Ok(None) };
        if let Some(reference) = node.get("ref").filter(|reference| text(source, reference, "ref").ok() != Some("system.language_model")) {
            let error = Error::new(format!("caramba runs `system.language_model`, found {}", reference.describe()));
            return Err(source.point(reference.place, error));
        }
        let Some(model) = config.get("model") else { return Ok(None) };
        self.remember_node("system.config.model", model);
        model.plain(source).map(Some)
    }

    fn runs(&mut self, target: &Section<'a>, models: &mut [ModelSource]) -> Result<(Vec<Run>, Vec<Verification>)> {
        let source = self.source();
        let mut runs: Vec<(Run, Place)> = Vec::new();
        let mut verifications: Vec<(&Node, String)> = Vec::new();
        for node in target.list("runs")? {
            let section = Section::open(source, "run", node)?;
            let id_node = section.require("id", "give it a name")?;
            let id = text(source, id_node, "id")?;
            if let Some((_, first)) = runs.iter().find(|(run, _)| run.id == id) {
                return Err(self.manifest.twice("run", id, id_node.place, *first));
            }
            let here = format!("runs.{id}");
            known_run_keys(source, &section)?;
            self.places.insert(here.clone(), node.place);
            self.remember(&here, section.entries());
            let directory = section.text("directory")?.map_or_else(PathBuf::new, |path| resolve(&self.manifest.directory, path));
            let model = section.text("model")?.unwrap_or("student");
            let checkpoint = section.text("checkpoint")?.map(|path| directory.join(path));
            if let Some(checkpoint) = &checkpoint {
                let Some(made) = models.iter_mut().find(|known| known.name == model) else {
                    let error = unknown("model", model, models.iter().map(|known| known.name.as_str()));
                    return Err(source.point(section.key_place("checkpoint"), error));
                };
                made.path = shown(checkpoint);
            }
            let ours = ["id", "command", "directory", "checkpoint", "model", "verify"];
            let settings = node::plain_map(section.entries().iter().filter(|entry| !ours.contains(&entry.key.as_str())), source)?;
            let command = section.get("command").map(|node| command(source, node)).transpose()?;
            if let Some(node) = section.get("verify") {
                verifications.push((node, id.to_string()));
            }
            runs.push((Run { id: id.to_string(), command, directory, checkpoint, model: model.to_string(), settings }, id_node.place));
        }
        let mut verify = Vec::new();
        for (node, run) in verifications {
            self.verifications(node, Some(&run), models, &mut verify)?;
        }
        Ok((runs.into_iter().map(|(run, _)| run).collect(), verify))
    }

    fn benchmarks(&mut self, target: &Section<'a>, models: &[ModelSource]) -> Result<Vec<Benchmark>> {
        let source = self.source();
        let mut benchmarks: Vec<(Benchmark, Place)> = Vec::new();
        for node in target.list("benchmarks")? {
            let section = Section::of(source, "benchmark", node, BENCHMARK)?;
            let id_node = section.require("id", "give it a name of its own, such as `id: perplexity`")?;
            let id = text(source, id_node, "id")?;
            if let Some((_, first)) = benchmarks.iter().find(|(benchmark, _)| benchmark.id == id) {
                return Err(self.manifest.twice("benchmark", id, id_node.place, *first));
            }
            let here = format!("benchmarks.{id}");
            self.places.insert(here.clone(), node.place);
            self.remember(&here, section.entries());
            let config = section.require("config", "say what is measured: `config: {type: perplexity, ...}`")?;
            let (kind, config) = typed(source, "config", config, &[])?;
            let names = section.require("models", "say which models: `models: [student]`")?;
            let selected = self.selected(names, models)?;
            let repeats = section.count("repeats", 1..=MAX_REPEATS)?.unwrap_or(1);
            benchmarks.push((Benchmark { id: id.to_string(), kind, config, models: selected, repeats }, id_node.place));
        }
        Ok(benchmarks.into_iter().map(|(benchmark, _)| benchmark).collect())
    }

    /// The target's thresholds, each a text that compares metrics of its models.
    fn thresholds(&self, node: &'a Node, models: &[ModelSource]) -> Result<Vec<String>> {
        let source = self.source();
        let check = |node: &Node| {
            let written = text(source, node, "a threshold")?;
            let wrong = |error: Error| source.point(node.place, error);
            for name in crate::thresholds::names(written).map_err(wrong)? {
                if !models.iter().any(|model| model.name == name[0]) {
                    return Err(wrong(unknown("model", &name[0], models.iter().map(|model| model.name.as_str()))));
                }
            }
            Ok(written.to_owned())
        };
        list(source, node, "thresholds")?.iter().map(check).collect()
    }

    /// The models that a list names. A teacher that the target doesn't have is left out: then only the student is measured.
    fn selected(&self, names: &Node, models: &[ModelSource]) -> Result<Vec<String>> {
        let source = self.source();
        let mut selected: Vec<String> = Vec::new();
        for node in list(source, names, "models")? {
            let name = text(source, node, "models")?;
            if selected.iter().any(|known| known == name) {
                return Err(source.point(node.place, Error::new(format!("the model `{name}` is named twice"))));
            }
            if models.iter().any(|model| model.name == name) {
                selected.push(name.to_string());
            } else if models.is_empty() {
                let remedy = format!("say what the names stand for, in the target: `models: {{{name}: PATH}}`");
                return Err(source.point(node.place, Error::new(format!("the model `{name}` has no path")).remedy(remedy)));
            } else if name != "teacher" {
                return Err(source.point(node.place, unknown("model", name, models.iter().map(|model| model.name.as_str()))));
            }
        }
        if selected.is_empty() {
            return Err(source.point(names.place, Error::new("no model is selected").remedy("name at least one of the target's models")));
        }
        Ok(selected)
    }

    /// One check, or a list of them.
    fn verifications(&mut self, node: &'a Node, run: Option<&str>, models: &[ModelSource], into: &mut Vec<Verification>) -> Result<()> {
        let source = self.source();
        let nodes = match &node.value {
            Value::List(nodes) => nodes.as_slice(),
            _ => std::slice::from_ref(node),
        };
        for node in nodes {
            let section = Section::open(source, "verification", node)?;
            let (kind, config) = typed(source, "verification", node, &["id", "models", "fail_fast"])?;
            let same = into.iter().filter(|other| other.kind == kind).count();
            let counted = if same == 0 { kind.clone() } else { format!("{kind}_{}", same + 1) };
            let id = section.text("id")?.map_or(counted, String::from);
            let models = match section.get("models") {
                Some(names) => self.selected(names, models)?,
                // Without a teacher the list is short, and the check has nothing to compare with.
                None => ["teacher", "student"]
                    .into_iter()
                    .filter(|name| models.iter().any(|model| model.name == *name))
                    .map(String::from)
                    .collect(),
            };
            let fail_fast = section.flag("fail_fast")?.unwrap_or(false);
            let here = format!("verify.{}", into.len());
            self.places.insert(here.clone(), node.place);
            self.remember(&format!("{here}.config"), section.entries());
            into.push(Verification { id, kind, config, models, fail_fast, run: run.map(String::from) });
        }
        Ok(())
    }

    /// Notes where the keys of a mapping stand, and those within.
    fn remember(&mut self, outer: &str, entries: &[Entry]) {
        for entry in entries {
            let path = format!("{outer}.{}", entry.key);
            self.places.insert(path.clone(), entry.place);
            self.remember_within(&path, &entry.node);
        }
    }

    fn remember_node(&mut self, path: &str, node: &Node) {
        self.places.insert(path.to_string(), node.place);
        self.remember_within(path, node);
    }

    fn remember_within(&mut self, path: &str, node: &Node) {
        match &node.value {
            Value::Scalar(_) => {}
            Value::Map(entries) => self.remember(path, entries),
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.remember_node(&format!("{path}.{index}"), item);
                }
            }
        }
    }
}

/// Refuses a key of a run that is nearly one of ours: `checkpiont` would measure the model that was there before. All others are settings of a
/// trainer, which the report shows.
fn known_run_keys(source: &Source, section: &Section) -> Result<()> {
    for entry in section.entries() {
        let near = |key: &&str| {
            let distance = strsim::damerau_levenshtein(&entry.key, key);
            (1..=1 + key.len() / 5).contains(&distance)
        };
        let ours = RUN.split(' ').any(|key| key == entry.key) || TRAINER.split(' ').any(|key| key == entry.key);
        if !ours && let Some(meant) = RUN.split(' ').find(near) {
            let error = Error::new(format!("unknown key of a run `{}`", entry.key));
            let remedy = format!("did you mean `{meant}`? a setting of your trainer that is called like this goes under `train`");
            return Err(source.point(entry.place, error.remedy(remedy)));
        }
    }
    Ok(())
}

/// The `type` of a section, and all its other keys but `without`.
fn typed(source: &Source, what: &str, node: &Node, without: &[&str]) -> Result<(String, serde_yaml::Value)> {
    let section = Section::open(source, what, node)?;
    let kind = text(source, section.require("type", "`type` is the name of a script, such as `perplexity`")?, "type")?;
    let rest = section.entries().iter().filter(|entry| entry.key != "type" && !without.contains(&entry.key.as_str()));
    Ok((kind.to_string(), node::plain_map(rest, source)?))
}

fn command(source: &Source, node: &Node) -> Result<Command> {
    let wanted = "a line for the shell, or a list of a program and its arguments";
    match &node.value {
        Value::List(words) if !words.is_empty() => {
            let words = words.iter().map(|word| text(source, word, "command").map(String::from));
            words.collect::<Result<_>>().map(Command::Program)
        }
        Value::Scalar(scalar) if scalar.kind == node::Kind::Text => Ok(Command::Shell(scalar.text.clone())),
        _ => Err(mismatch(source, node, "`command`", wanted)),
    }
}

/// The `system` section describes the student; where there is no model of that name, the only one.
fn give_topology(models: &mut [ModelSource], topology: serde_yaml::Value) {
    let index = models.iter().position(|model| model.name == "student").or((models.len() == 1).then_some(0));
    let options = index.and_then(|index| models[index].options.as_mapping_mut());
    if let Some(options) = options {
        options.entry("model".into()).or_insert(topology);
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
