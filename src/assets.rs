//! The texts inside the binary that a user may want to read and copy: scripts, manifests, benchmarks of prompts.

use crate::manifest::PRESETS;
use std::sync::LazyLock;

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Script,
    Preset,
    Benchmark,
}

/// In the order of a listing, with their headings.
pub const KINDS: &[(Kind, &str)] =
    &[(Kind::Script, "Scripts"), (Kind::Preset, "Manifests (presets)"), (Kind::Benchmark, "Benchmarks of prompts")];

/// The files of `scripts/`, sorted by name.
pub const SCRIPTS: &[(&str, &str)] = &[
    ("accuracy", include_str!("../scripts/accuracy.rhai")),
    ("answers", include_str!("../scripts/answers.rhai")),
    ("artifacts", include_str!("../scripts/artifacts.rhai")),
    ("behavior", include_str!("../scripts/behavior.rhai")),
    ("budget", include_str!("../scripts/budget.rhai")),
    ("cache_kinds", include_str!("../scripts/cache_kinds.rhai")),
    ("calibrated", include_str!("../scripts/calibrated.rhai")),
    ("choices", include_str!("../scripts/choices.rhai")),
    ("compare", include_str!("../scripts/compare.rhai")),
    ("compare_runs", include_str!("../scripts/compare_runs.rhai")),
    ("comparisons", include_str!("../scripts/comparisons.rhai")),
    ("context", include_str!("../scripts/context.rhai")),
    ("conversion", include_str!("../scripts/conversion.rhai")),
    ("custom", include_str!("../scripts/custom.rhai")),
    ("data_free", include_str!("../scripts/data_free.rhai")),
    ("divergence", include_str!("../scripts/divergence.rhai")),
    ("eval", include_str!("../scripts/eval.rhai")),
    ("evidence", include_str!("../scripts/evidence.rhai")),
    ("experiment", include_str!("../scripts/experiment.rhai")),
    ("fidelity", include_str!("../scripts/fidelity.rhai")),
    ("figures", include_str!("../scripts/figures.rhai")),
    ("full_paper", include_str!("../scripts/full_paper.rhai")),
    ("judge", include_str!("../scripts/judge.rhai")),
    ("kvcache", include_str!("../scripts/kvcache.rhai")),
    ("latency", include_str!("../scripts/latency.rhai")),
    ("measure", include_str!("../scripts/measure.rhai")),
    ("memory", include_str!("../scripts/memory.rhai")),
    ("merge", include_str!("../scripts/merge.rhai")),
    ("page", include_str!("../scripts/page.rhai")),
    ("pair", include_str!("../scripts/pair.rhai")),
    ("perplexity", include_str!("../scripts/perplexity.rhai")),
    ("report", include_str!("../scripts/report.rhai")),
    ("roofline", include_str!("../scripts/roofline.rhai")),
    ("rounds", include_str!("../scripts/rounds.rhai")),
    ("runner", include_str!("../scripts/runner.rhai")),
    ("suite", include_str!("../scripts/suite.rhai")),
    ("summary", include_str!("../scripts/summary.rhai")),
    ("sweep", include_str!("../scripts/sweep.rhai")),
    ("thresholds", include_str!("../scripts/thresholds.rhai")),
    ("timing", include_str!("../scripts/timing.rhai")),
    ("upcycle", include_str!("../scripts/upcycle.rhai")),
    ("upcycling", include_str!("../scripts/upcycling.rhai")),
    ("verify", include_str!("../scripts/verify.rhai")),
    ("words", include_str!("../scripts/words.rhai")),
];

/// The files of `config/benchmarks/`.
pub const BENCHMARKS: &[(&str, &str)] = &[
    ("adversarial", include_str!("../config/benchmarks/adversarial.yml")),
    ("facts", include_str!("../config/benchmarks/facts.yml")),
    ("prose", include_str!("../config/benchmarks/prose.yml")),
];

/// Characters of what is said of a text.
const WIDTH: usize = 86;

/// One text.
#[derive(Debug)]
pub struct Asset {
    pub name: &'static str,
    pub kind: Kind,
    pub text: &'static str,
}

static TEXTS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let of = |kind: Kind, files: &'static [(&'static str, &'static str)]| files.iter().map(move |&(name, text)| Asset { name, kind, text });
    of(Kind::Script, SCRIPTS).chain(of(Kind::Preset, PRESETS)).chain(of(Kind::Benchmark, BENCHMARKS)).collect()
});

/// All of them, by kind.
pub fn texts() -> impl Iterator<Item = &'static Asset> {
    TEXTS.iter()
}

impl Asset {
    /// Its name as a file.
    pub fn file(&self) -> String {
        let ending = if self.kind == Kind::Script { "rhai" } else { "yml" };
        format!("{}.{ending}", self.name)
    }

    /// The first sentence of the comment that it begins with, or its description.
    pub fn about(&self) -> String {
        let comment = self.text.lines().map_while(|line| line.strip_prefix("//").or_else(|| line.strip_prefix('#')));
        let comment = comment.skip_while(|line| line.contains("yaml-language-server"));
        let text = comment.map(str::trim).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let text = if text.is_empty() {
            self.text.lines().find_map(|line| line.trim().strip_prefix("description:")).unwrap_or_default().trim().to_owned()
        } else {
            text
        };
        let sentence = text[..text.find(". ").unwrap_or(text.len())].trim_end_matches('.');
        if sentence.chars().count() <= WIDTH { sentence.to_owned() } else { sentence.chars().take(WIDTH - 4).collect::<String>() + " ..." }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file of the repository is in the binary, and each says what it is.
    #[test]
    fn the_lists_are_whole() {
        for (folder, kind) in [("scripts", Kind::Script), ("config/presets", Kind::Preset), ("config/benchmarks", Kind::Benchmark)] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            let mut files: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| !name.ends_with(".jsonl"))
                .collect();
            let mut known: Vec<String> = texts().filter(|asset| asset.kind == kind).map(Asset::file).collect();
            files.sort();
            known.sort();
            assert_eq!(files, known);
        }
        for asset in texts() {
            assert!(asset.about().len() > 10, "{} does not say what it is", asset.file());
        }
    }
}
