//! The engine: its limits, and the one table of everything a script can call.

use super::host::{Host, HostTag};
use super::meter::Meter;
use super::modules::Resolver;
use super::{
    arrays, attention, benchmark, bundle, calibration, caught, cells, charts, clock, continuation, dataset, dates, device, directory,
    divergence, document, files, format, language, layer_store, look, matrix, model, model_file, numbers, pairs, parameters, parquet,
    plain, progress, random, session, share, statistics, tables, text, thresholds, tokens, weights,
};
use crate::terminal;
use rhai::{Dynamic, Engine, Map, Module, OptimizationLevel, Scope, Token};
use std::rc::Rc;

/// A part of what scripts can call.
pub(super) struct Section {
    /// Its heading in the documentation.
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) module: fn() -> Module,
}

/// Everything a script can call beyond the language itself: one line a module. The documentation follows this order.
pub(super) const SECTIONS: &[Section] = &[
    Section { title: "Models", about: "Loaded on the device, with their tokenizer.", module: model::module },
    Section {
        title: "Model files",
        about: "A model that is read but not on the device yet: enough to see what is wrong.",
        module: model_file::module,
    },
    Section { title: "Attention", about: "Defined by a script: docs/attention.md.", module: attention::module },
    Section { title: "Bundled models", about: "Inside the binary.", module: bundle::module },
    Section { title: "Sessions", about: "Sequences of tokens with their cache.", module: session::module },
    Section { title: "Inside a pass", about: "What layers compute: hidden states and attention weights.", module: look::module },
    Section { title: "Continuations", about: "What may follow a context, as tokens.", module: continuation::module },
    Section { title: "Divergence", about: "How far two predictions are apart.", module: divergence::module },
    Section { title: "The device", about: "What it is, and what is allocated on it.", module: device::module },
    Section { title: "Tokens", about: "Packed lists of token ids.", module: tokens::module },
    Section { title: "Numbers", about: "Packed lists of floats.", module: numbers::module },
    Section { title: "Datasets", about: "Token ids in files.", module: dataset::module },
    Section {
        title: "Statistics",
        about: "Of packed numbers and of arrays: `summary(times)` and `times.summary()` are the same.",
        module: statistics::module,
    },
    Section { title: "Shares", about: "How often something holds.", module: share::module },
    Section { title: "Matrices", about: "Linear algebra on weights.", module: matrix::module },
    Section { title: "Weights and students", about: "A model's weights on the host, and a student made of them.", module: weights::module },
    Section {
        title: "Calibration",
        about: "What a layer's attention is given and does with it, and a student's projections fitted to that.",
        module: calibration::module,
    },
    Section { title: "Layers that are done", about: "Kept on the disk while the others are worked on.", module: layer_store::module },
    Section { title: "Clocks", about: "Time on the host, and repeated runs.", module: clock::module },
    Section { title: "Parameters", about: "What `--set` and manifests give to a script.", module: parameters::module },
    Section { title: "Benchmarks", about: "Scripts that measure.", module: benchmark::module },
    Section { title: "Cells", about: "What a run consists of, and what is known of one.", module: cells::module },
    Section { title: "Thresholds", about: "What results are held against.", module: thresholds::module },
    Section { title: "Run directories", about: "What a run leaves behind.", module: directory::module },
    Section { title: "Charts and tables", about: "Drawn, typeset and printed.", module: charts::module },
    Section { title: "Files", about: "Text, JSON, JSON lines, YAML.", module: files::module },
    Section { title: "Tables and directories", about: "CSV, JSON lines, arrays of NumPy; what lies where.", module: tables::module },
    Section { title: "Parquet files", about: "Tables as data sets are published.", module: parquet::module },
    Section { title: "Documents", about: "Cases that somebody wrote, and their mistakes shown where they are.", module: document::module },
    Section { title: "Text", about: "Patterns and words.", module: text::module },
    Section { title: "Formats", about: "Numbers and tables as text.", module: format::module },
    Section { title: "Arrays", about: "Sums, extremes, parts of an array.", module: arrays::module },
    Section { title: "Random numbers", about: "From a seed.", module: random::module },
    Section { title: "Dates and the environment", about: "What day it is, and what the program was started with.", module: dates::module },
    Section { title: "Progress and other programs", about: "Long work.", module: progress::module },
    Section { title: "Lists and texts", about: "In place of the language's own, which fail silently.", module: plain::module },
    Section { title: "Maps", about: "Going through them.", module: pairs::module },
    Section { title: "Messages and values", about: "Telling, failing, objects with methods.", module: language::module },
];

/// Calls inside calls, of a script. Rhai's own default is 8 in debug builds and 64 in release builds: a script must not depend on that.
const CALL_LEVELS: usize = 100;
/// Expressions inside expressions, for the same reason.
const EXPRESSION_DEPTH: usize = 200;
/// A script's thread: what [`CALL_LEVELS`] need in a debug build, several times over. Pages that aren't touched cost nothing.
pub(super) const STACK_BYTES: usize = 512 << 20;

/// An engine whose scripts belong to `host`.
pub(super) fn engine(host: &Rc<Host>) -> Engine {
    let mut engine = Engine::new();
    #[allow(deprecated)] // `on_parse_token` is new, not going: rhai's words. Cargo.lock pins the version.
    engine
        .set_max_call_levels(CALL_LEVELS)
        .set_max_expr_depths(EXPRESSION_DEPTH, EXPRESSION_DEPTH)
        .set_max_modules(1000)
        // Nothing is guessed: a misspelt name or property is a mistake that is told.
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        // The static check sees what was written.
        .set_optimization_level(OptimizationLevel::None)
        .disable_symbol("eval")
        .set_default_tag(Dynamic::from(HostTag(Rc::clone(host))))
        .set_module_resolver(Resolver::new(host))
        // `new` is no word of the language yet, and `perplexity::new(...)` is what people write.
        .on_parse_token(|token, _, _| match token {
            Token::Reserved(word) if word.as_str() == "new" => Token::Identifier(word),
            other => other,
        })
        .on_print({
            let host = Rc::clone(host);
            move |text| host.print(&format!("{text}\n"))
        })
        .on_debug(|text, source, position| {
            let place = source.map(|source| format!("{source}:{position:?}: ")).unwrap_or_default();
            terminal::note(&format!("{place}{text}"));
        })
        .on_progress({
            let meter = Meter::new(host.options.limits.operations);
            move |_| meter.look().map(Dynamic::from)
        });
    engine.register_global_module(pairs::hidden_module().into());
    engine.register_global_module(caught::hidden_module().into());
    for section in SECTIONS {
        engine.register_global_module((section.module)().into());
    }
    engine
}

/// Makes `args` visible everywhere, in functions too.
pub(super) fn set_arguments(engine: &mut Engine, arguments: Map) {
    let mut module = Module::new();
    module.set_var("args", arguments);
    module.build_index();
    engine.register_global_module(module.into());
}

/// Names that the parser must take for known although no script declares them.
pub(super) fn known_names() -> Scope<'static> {
    let mut scope = Scope::new();
    scope.push("args", ());
    scope
}
