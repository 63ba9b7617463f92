//! What an experiment would do, for `--dry-run`.

use super::columns::{columns, facts};
use crate::manifest::{Experiment, Run};
use crate::script;
use std::path::Path;

/// The whole plan, as text.
pub fn plan(experiment: &Experiment) -> String {
    let mut out = format!("{} of {}\n", experiment.name, experiment.manifest.display());
    if let Some(description) = &experiment.description {
        out += &format!("{}\n", description.trim());
    }
    out += "\nmodels\n";
    out += &columns(&experiment.models.iter().map(|model| model_row(experiment, model)).collect::<Vec<_>>(), &[]);
    out += "\nruns\n";
    if experiment.runs.is_empty() {
        out += "  none: the models are measured as they are\n";
    }
    for run in &experiment.runs {
        out += &run_text(run);
    }
    for benchmark in &experiment.benchmarks {
        let times = if benchmark.repeats == 1 { String::new() } else { format!(", {} times", benchmark.repeats) };
        out += &format!("\nbenchmark {}: {} of {}{times}\n", benchmark.id, benchmark.kind, benchmark.models.join(", "));
        out += &settings(&benchmark.config);
    }
    for check in &experiment.verify {
        let after = check.run.as_ref().map(|run| format!(", after the run {run}")).unwrap_or_default();
        let fatal = if check.fail_fast { ", a failure ends the experiment" } else { "" };
        if check.models.len() < 2 {
            out += &format!("\nverification: {}{after}, left out: it needs a teacher and a student\n", check.kind);
            continue;
        }
        out += &format!("\nverification: {} of {}{after}{fatal}\n", check.kind, check.models.join(", "));
        out += &settings(&check.config);
    }
    out
}

fn model_row(experiment: &Experiment, model: &crate::manifest::ModelSource) -> Vec<String> {
    let made = experiment.runs.iter().any(|run| run.makes(&model.name));
    let state = match () {
        () if made => "made by a run",
        () if Path::new(&model.path).exists() => "",
        () if script::is_bundled(Path::new(&model.path)) => "bundled",
        () => "not found",
    };
    let options = model.options.as_mapping().into_iter().flatten().map(|(key, value)| match value {
        serde_yaml::Value::Mapping(_) => format!("with a {} section", plain(key)),
        _ => format!("{} {}", plain(key), plain(value)),
    });
    let remarks = options.chain((!state.is_empty()).then(|| state.to_string())).collect::<Vec<_>>().join(", ");
    vec![format!("  {}", model.name), model.path.clone(), remarks]
}

fn run_text(run: &Run) -> String {
    let mut lines = vec![(
        "command",
        run.command
            .as_ref()
            .map_or_else(|| "none: it was done elsewhere, and its model is taken as it lies there".to_string(), ToString::to_string),
    )];
    if !run.directory.as_os_str().is_empty() {
        lines.push(("directory", run.directory.display().to_string()));
    }
    if let Some(checkpoint) = &run.checkpoint {
        lines.push(("checkpoint", format!("{}, the model {}", checkpoint.display(), run.model)));
    }
    let body = facts(&lines);
    format!("  {}\n{}", run.id, body.lines().map(|line| format!("  {line}\n")).collect::<String>())
}

fn settings(config: &serde_yaml::Value) -> String {
    let rows = config.as_mapping().into_iter().flatten().map(|(key, value)| vec![format!("  {}", plain(key)), plain(value)]);
    columns(&rows.collect::<Vec<_>>(), &[])
}

/// A value in one line, as it could stand in the manifest.
fn plain(value: &serde_yaml::Value) -> String {
    match value {
        serde_yaml::Value::String(text) => text.clone(),
        serde_yaml::Value::Sequence(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(", ")),
        serde_yaml::Value::Mapping(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{}: {}", plain(key), plain(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        serde_yaml::Value::Null => "~".to_string(),
        serde_yaml::Value::Bool(value) => value.to_string(),
        serde_yaml::Value::Number(number) => number.to_string(),
        serde_yaml::Value::Tagged(tagged) => plain(&tagged.value),
    }
}
