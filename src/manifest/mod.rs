//! YAML experiment files: variables, targets, and mistakes shown where they are.
//!
//! ```yaml
//! version: 2
//! name: paper
//! vars: {d_model: 2048}              # ${d_model} anywhere below
//! targets:
//!   - type: experiment
//!     name: paper
//!     models:                         # what the names below stand for: a path, or a mapping with `path` and options
//!       teacher: models/Llama-3.2-1B
//!       student: {path: runs/student.pt, weights: f16}
//!     runs: []                        # training runs; [] = benchmark only
//!     benchmarks:
//!       - id: perplexity              # `config` is checked by the script that `type` names
//!         config: {type: perplexity, dataset: data.npy, num_batches: 100}
//!         models: [teacher, student]
//!         repeats: 3                  # default 1
//!     verify:                         # or under a run, which it then follows
//!       - {type: fidelity, max_delta_nll: 0.05}
//! entrypoints: {default: paper}       # what runs without --target
//! ```
//!
//! A run is `{id, command, directory, checkpoint, model}`: `command` (a line for the shell, or a list) is executed in `directory`, and
//! `checkpoint`, relative to it, becomes the path of `model` (`student`). Relative paths are looked for in the current directory, then in
//! the manifest's. Keys of the wider platform's trainer are accepted and left alone; a key that would change a benchmark and is
//! unknown is an error.

mod experiment;
pub mod node;
mod presets;
mod section;
mod target;
pub mod variables;

pub use experiment::{Benchmark, Command, Experiment, ModelSource, Run, Verification};
pub use presets::{PRESETS, open};
pub use target::Manifest;

/// The keys that manifests may have, for schemas.
pub mod keys {
    pub use super::target::{BENCHMARK, TARGET, TOP};
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;
    use std::path::Path;

    #[test]
    fn presets_are_sound() {
        for (name, _) in PRESETS {
            let manifest = open(Path::new(name)).unwrap();
            for (target, _) in manifest.targets().unwrap() {
                let experiment = manifest.experiment(Some(target)).unwrap();
                assert!(!experiment.benchmarks.is_empty(), "{name}, {target}");
                assert_eq!(&experiment.experiment, name);
            }
            assert!(manifest.experiment(None).is_ok(), "{name} has a default");
            let elsewhere = format!("/nowhere/config/presets/{name}.yml");
            assert_eq!(open(Path::new(&elsewhere)).unwrap().name(), format!("config/presets/{name}.yml"));
        }
    }

    #[test]
    fn the_llama_preset_describes_its_student() {
        let experiment = open(Path::new("llama32_1b_dba")).unwrap().experiment(Some("paper")).unwrap();
        let student = &experiment.models[1];
        assert_eq!((student.name.as_str(), student.path.as_str()), ("student", "runs/student.pt"));
        let block = &student.options["model"]["topology"]["layers"][0];
        assert_eq!(block["repeat"], 16);
        let attention = &block["layers"][0]["layers"][1];
        assert_eq!((&attention["sem_dim"], &attention["geo_dim"], &attention["n_kv_heads"]), (&128.into(), &256.into(), &8.into()));
        let architecture = crate::model::topology::architecture(&student.options["model"]).unwrap();
        let attention = &architecture.layers[15].attention;
        assert_eq!((architecture.layers.len(), architecture.d_model, architecture.vocab), (16, 2048, 128_256));
        assert_eq!((attention.sem, attention.geo, attention.value, attention.heads, attention.kv_heads), (4, 8, 64, 32, 8));
        assert_eq!(experiment.verify[0].config["attention"]["max_max_l1"], 0.25);
        // It asks for no more than its widths can give: the teacher caches 2 * 8 heads of 64 elements a layer and token.
        let elements = attention.kv_heads * (attention.sem + attention.geo + attention.value);
        let reduction = (2 * 8 * 64) as f64 / elements as f64;
        let asked = experiment.verify[2].config["min_reduction_ratio"].as_f64().unwrap();
        assert!((1.0..=reduction).contains(&asked), "{asked} of {reduction}");
    }

    fn experiment(text: &str) -> crate::Result<Experiment> {
        Manifest::parse(Source::new("m.yml", text), Path::new("")).and_then(|manifest| manifest.experiment(None))
    }

    #[test]
    fn keys_of_a_config_have_places() {
        let text = "version: 2\ntargets:\n- type: experiment\n  name: t\n  models: {m: a.gguf}\n  benchmarks:\n  - id: b.1\n    models: [m]\n    \
                    config: {type: latency, promt_lengths: [1, 2]}\n";
        let experiment = experiment(text).unwrap();
        let shown = |path| experiment.point(path, crate::error::unknown("parameter", "promt_lengths", ["prompt_lengths"])).to_string();
        insta::assert_snapshot!(shown("benchmarks.b.1.config.promt_lengths"), @r"
        m.yml:9:29: unknown parameter `promt_lengths`
          |
        9 |     config: {type: latency, promt_lengths: [1, 2]}
          |                             ^^^^^^^^^^^^^
          help: did you mean `prompt_lengths`? known are: prompt_lengths
        ");
        assert!(shown("benchmarks.b.1.config.promt_lengths.1").starts_with("m.yml:9:48: "));
        assert!(shown("benchmarks.b.1.config.nothing").starts_with("m.yml:9:5: "));
        assert!(shown("elsewhere").starts_with("m.yml: unknown parameter"));
    }
}
