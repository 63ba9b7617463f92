//! Manifests of the wider platform: what in them says which models are measured on which tokens, and what is left alone.
//!
//! There a target is a training job: its models stand in the configuration of a trainer, its dataset in a `data` section, and most keys say how
//! to train. Those that would change no benchmark are passed over, and told once.

use super::experiment::{ModelSource, resolve};
use super::node::{self, Entry, Kind, Node, Scalar, Value};
use super::section::{Section, list, text};
use super::target::{Builder, shown};
use crate::error::{Error, Result};

/// Keys of a manifest, and of a target, that change no benchmark.
const UNREAD: [&str; 10] =
    ["defaults", "data", "objective", "trainer", "train", "instrumentation", "backend", "task", "metrics", "compute"];
/// The same, of which a part is read.
const READ_IN_PART: [&str; 2] = ["data", "trainer"];
/// What is read of a trainer's configuration.
const TRAINER: [&str; 3] = ["checkpoints", "teacher_ckpt", "student_ckpt"];
/// What is read of a data section's configuration.
const DATA: [&str; 3] = ["path", "block_size", "val_frac"];

/// Parameters that a script may call otherwise: (the platform's name, ours).
pub const RENAMED: [(&str, &str); 3] = [("max_new_tokens", "max_tokens"), ("num_batches", "batches"), ("context_length", "context")];
/// Parameters that change nothing where a script does not have them: a model brings its tokenizer, and a dataset is one file.
pub const UNREAD_PARAMETERS: [&str; 5] = ["tokenizer", "split", "valid_vocab_size", "device", "dtype"];

impl<'a> Builder<'a> {
    /// The models of a trainer's configuration, and of its runs, that the target's `models` do not name.
    pub(super) fn trained_models(&mut self, target: &Section<'a>, models: &mut Vec<ModelSource>) -> Result<()> {
        let source = self.source();
        if let Some(config) = target.get("trainer").and_then(|trainer| trainer.get("config")) {
            let config = Section::open(source, "trainer's config", config)?;
            for node in config.list("checkpoints")? {
                let checkpoint = Section::open(source, "checkpoint", node)?;
                let name = text(source, checkpoint.require("name", "give it a name: benchmarks name it")?, "name")?;
                let path = checkpoint.require("checkpoint", "say where it is: `checkpoint: runs/student.pt`")?;
                let described =
                    checkpoint.get("model_config").map(|node| Entry { key: "model".into(), place: node.place, node: node.clone() });
                if checkpoint.flag("is_baseline")? == Some(true) {
                    self.reference = Some(name.to_owned());
                }
                self.add_model(name, path, described.as_ref(), models)?;
            }
            self.teacher_and_student(&config, models)?;
        }
        for run in target.list("runs")? {
            if let Some(train) = run.get("train") {
                self.teacher_and_student(&Section::open(source, "`train` section", train)?, models)?;
            }
        }
        Ok(())
    }

    fn teacher_and_student(&mut self, section: &Section<'a>, models: &mut Vec<ModelSource>) -> Result<()> {
        for (key, name) in [("teacher_ckpt", "teacher"), ("student_ckpt", "student")] {
            if let Some(node) = section.get(key) {
                self.add_model(name, node, None, models)?;
            }
        }
        Ok(())
    }

    /// A model that stands at the path that `node` is, if none of this name is known.
    fn add_model(&mut self, name: &str, node: &'a Node, described: Option<&Entry>, models: &mut Vec<ModelSource>) -> Result<()> {
        if models.iter().any(|known| known.name == name) {
            return Ok(());
        }
        let here = format!("models.{name}");
        self.places.insert(here.clone(), node.place);
        self.places.insert(format!("{here}.path"), node.place);
        if let Some(Entry { node, .. }) = described {
            self.remember_node(&format!("{here}.model"), node);
        }
        let path = shown(&resolve(&self.manifest.directory, text(self.source(), node, "checkpoint")?));
        models.push(ModelSource { name: name.to_owned(), path, options: node::plain_map(described, self.source())? });
        Ok(())
    }

    /// What the target's `data` section says for all benchmarks and checks that say nothing themselves.
    pub(super) fn data(&mut self, target: &Section<'a>) -> Result<()> {
        let Some(config) = target.get("data").and_then(|data| data.get("config")) else { return Ok(()) };
        let config = Section::open(self.source(), "data section's config", config)?;
        for (key, parameter) in [("path", "dataset"), ("block_size", "block_size")] {
            if let Some(node) = config.get(key) {
                self.remember_node(&format!("defaults.{parameter}"), node);
                self.defaults.insert(parameter.to_owned(), node.plain(self.source())?);
            }
        }
        let fraction = config.get("val_frac").map(|node| (node, &node.value));
        if let Some((_, Value::Scalar(Scalar { kind, .. }))) = fraction
            && !matches!(kind, Kind::Integer(0))
            && *kind != Kind::Float(0.0)
        {
            let error = Error::new("a dataset is measured whole, so `val_frac` would not choose its last part")
                .remedy("write the held-out tokens into a file of their own (`caramba tokenize --split`), and leave `val_frac` out");
            return Err(self.source().point(config.key_place("val_frac"), error));
        }
        Ok(())
    }

    /// `valid_vocab_size` of the benchmarks: the rows of a model's embedding beyond it are padding.
    pub(super) fn valid_vocabulary(&mut self, target: &Section<'a>, models: &mut [ModelSource]) -> Result<()> {
        let source = self.source();
        let mut sizes: Vec<(String, usize)> = Vec::new();
        for benchmark in target.list("benchmarks")? {
            let benchmark = Section::open(source, "benchmark", benchmark)?;
            let Some(config) = benchmark.get("config").map(|config| Section::open(source, "config", config)).transpose()? else { continue };
            let Some(size) = config.count("valid_vocab_size", 1..=1 << 31)? else { continue };
            for name in benchmark.list("models")? {
                let name = text(source, name, "models")?;
                match sizes.iter().find(|(known, _)| known == name) {
                    Some((_, other)) if *other != size => {
                        let error =
                            Error::new(format!("another benchmark measures `{name}` with {other} valid tokens, this one with {size}"));
                        let remedy = "a model has one vocabulary: make them equal, or name the model twice";
                        return Err(source.point(config.key_place("valid_vocab_size"), error.remedy(remedy)));
                    }
                    Some(_) => {}
                    None => sizes.push((name.to_owned(), size)),
                }
            }
        }
        for (name, size) in sizes {
            let options = models.iter_mut().find(|model| model.name == name).and_then(|model| model.options.as_mapping_mut());
            if let Some(options) = options {
                options.entry("vocab".into()).or_insert((size as u64).into());
            }
        }
        Ok(())
    }

    /// Keys that change no benchmark, for a note.
    pub(super) fn ignored(&self, top: &Section<'a>, target: &Section<'a>) -> Vec<String> {
        let mut ignored: Vec<String> = Vec::new();
        let mut add = |path: String| {
            if !ignored.contains(&path) {
                ignored.push(path);
            }
        };
        for section in [top, target] {
            for entry in section.entries().iter().filter(|entry| UNREAD.contains(&entry.key.as_str())) {
                let in_part = std::ptr::eq(section, target) && READ_IN_PART.contains(&entry.key.as_str());
                match entry.node.get("config").map(|config| &config.value) {
                    Some(Value::Map(entries)) if in_part => {
                        let read = if entry.key == "data" { DATA } else { TRAINER };
                        let unread = entries.iter().filter(|inner| !read.contains(&inner.key.as_str()));
                        unread.for_each(|inner| add(format!("{}.config.{}", entry.key, inner.key)));
                    }
                    _ => add(entry.key.clone()),
                }
            }
        }
        ignored
    }

    /// A benchmark's `checkpoint` is the model that is measured, under its own name: one of the target's that lies there, the benchmark's only
    /// one where that has no path yet, else a new one.
    pub(super) fn checkpoint(&mut self, benchmark: &Section<'a>, models: &mut Vec<ModelSource>) -> Result<Option<String>> {
        let source = self.source();
        let config = benchmark.require("config", "say what is measured: `config: {type: perplexity, ...}`")?;
        let Some(node) = config.get("checkpoint").filter(|node| !matches!(&node.value, Value::Scalar(scalar) if scalar.text.is_empty()))
        else {
            return Ok(None);
        };
        let path = shown(&resolve(&self.manifest.directory, text(source, node, "checkpoint")?));
        if let Some(model) = models.iter().find(|model| model.path == path) {
            return Ok(Some(model.name.clone()));
        }
        let named = match benchmark.get("models").map(|names| list(source, names, "models")).transpose()? {
            Some([only]) => Some(text(source, only, "models")?),
            _ => None,
        };
        let stem =
            || std::path::Path::new(&path).file_stem().map_or_else(|| "checkpoint".to_owned(), |stem| stem.to_string_lossy().into_owned());
        let free = |name: &str| !models.iter().any(|model| model.name == name && !model.path.is_empty());
        let name = named.filter(|name| free(name)).map_or_else(stem, str::to_owned);
        // What describes the model of that name describes its checkpoint.
        let like = named.and_then(|name| models.iter().find(|model| model.name == name));
        let options = like.map_or(serde_yaml::Value::Mapping(serde_yaml::Mapping::new()), |model| model.options.clone());
        if !free(&name) {
            let error = Error::new(format!("the checkpoint would be called `{name}`, as another model of this target"));
            return Err(source.point(node.place, error.remedy("name it under `models`, and the benchmark's `models` by that name")));
        }
        self.places.insert(format!("models.{name}.path"), node.place);
        models.retain(|model| model.name != name);
        models.push(ModelSource { name: name.clone(), path, options });
        Ok(Some(name))
    }
}
