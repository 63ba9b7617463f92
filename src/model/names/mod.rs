//! Which of a file's tensors are the model's, under which names they stand.
//!
//! What a training program leaves has names in layers of its own: the key of a dictionary (`model`, `state_dict`), wrappers that a
//! library put around modules (`_orig_mod.`), a prefix of the class that held the model (`student.`); and beside the model there may be
//! an optimiser's state, an average of the weights, buffers. So every place that may hold a model is looked at as a [`Candidate`], and the
//! one whose names and shapes are those of the architecture is taken. Only names and shapes are looked at here.

mod platform;
pub mod shape;

use super::Architecture;
use crate::error::{Error, Result, unknown};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What a file holds under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    pub shape: Vec<usize>,
    /// Its elements are whole numbers or truth values, which no weight of a model consists of.
    pub integer: bool,
}

/// Where a canonical tensor is found: the file's name of it, and which rows, if it is a part of a fused one.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    pub name: String,
    pub rows: Option<Range<usize>>,
}

impl Source {
    fn whole(name: &str) -> Source {
        Source { name: name.to_owned(), rows: None }
    }

    /// The shape of what is taken, given those of the file's tensors.
    pub fn shape(&self, held: &BTreeMap<String, Held>) -> Vec<usize> {
        let mut shape = held.get(&self.name).map(|held| held.shape.clone()).unwrap_or_default();
        if let (Some(rows), Some(height)) = (&self.rows, shape.first_mut()) {
            *height = rows.len();
        }
        shape
    }
}

/// The model that was found in a file.
#[derive(Debug)]
pub struct Found {
    /// Canonical name -> where it is.
    pub sources: BTreeMap<String, Source>,
    /// What the user should know of the choice.
    pub notes: Vec<String>,
}

/// Keys under which training programs keep a model, the likeliest to be meant first.
const DICTIONARIES: [&str; 10] = [
    "student_state_dict",
    "system_state_dict",
    "model_state_dict",
    "state_dict",
    "model",
    "module",
    "net",
    "network",
    "student",
    "weights",
];

/// Models in one file that are looked at, at most: beyond these it is no checkpoint.
const MAX_CANDIDATES: usize = 64;

/// The names that libraries put around modules, anywhere in a path: `torch.compile`, fully sharded and plain data parallelism, activation
/// checkpointing, DeepSpeed, Lightning.
const WRAPPERS: [&str; 6] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "module", "_forward_module", "_flat_param"];

/// A tensor's name without wrappers.
fn unwrapped(name: &str) -> String {
    name.split('.').filter(|part| !WRAPPERS.contains(part)).collect::<Vec<_>>().join(".")
}

/// A place that may hold the model.
struct Candidate {
    /// What to call it: the keys that lead to it. Empty: the file itself.
    label: String,
    sources: BTreeMap<String, Source>,
    /// How many tensors are missing, of another shape, or surplus.
    faults: usize,
    /// Two tensors of the file with one name, but for wrappers.
    twins: Option<[String; 2]>,
    /// Tensors of the same dictionary that belong to something else.
    beside: Vec<String>,
}

/// Finds the model of `architecture` among the tensors of a file. `scopes` are the paths (with a dot at their end, or empty) of the
/// dictionaries that they lie in; `wanted` is the one that the user asked for.
///
/// # Errors
/// Tensors that are missing, surplus or mis-shaped; several models, none of which is likelier than the others.
pub fn find(architecture: &Architecture, held: &BTreeMap<String, Held>, scopes: &BTreeSet<String>, wanted: Option<&str>) -> Result<Found> {
    let anchors: Vec<&String> = held.keys().filter(|name| is_anchor(&unwrapped(name))).collect();
    let mut candidates = Vec::new();
    for scope in scopes.iter().filter(|scope| anchors.iter().any(|name| name.starts_with(scope.as_str()))) {
        candidates_of(architecture, held, scope, &mut candidates);
        if candidates.len() > MAX_CANDIDATES {
            return Err(Error::new(format!("it holds more than {MAX_CANDIDATES} models"))
                .remedy("save the one that is meant by itself: torch.save(model.state_dict(), path)"));
        }
    }
    if candidates.is_empty() {
        let all = held.keys().map(|name| (name.clone(), Source::whole(name))).collect();
        candidates.push(Candidate::new(architecture, held, String::new(), all, None, Vec::new()));
    }
    // A dictionary and the one around it may lead to the same tensors: the innermost says best where they are.
    candidates.sort_by_key(|candidate| {
        // Of those that don't fit, the innermost names its tensors shortest.
        let rank = if candidate.faults == 0 { candidate.rank() } else { Vec::new() };
        (candidate.faults, rank, candidate.beside.len(), std::cmp::Reverse(candidate.label.len()), candidate.label.clone())
    });
    if let Some(wanted) = wanted {
        let labels: Vec<String> = candidates.iter().map(|candidate| candidate.label.clone()).filter(|label| !label.is_empty()).collect();
        candidates.retain(|candidate| candidate.label == wanted || candidate.label.starts_with(&format!("{wanted}.")));
        if candidates.is_empty() {
            return Err(unknown("dictionary of tensors", wanted, labels.iter().map(String::as_str)));
        }
    }
    let mut complete: Vec<&Candidate> = Vec::new();
    for candidate in candidates.iter().filter(|candidate| candidate.faults == 0) {
        if !complete.iter().any(|other| other.sources == candidate.sources) {
            complete.push(candidate);
        }
    }
    let Some(best) = complete.first().copied().or(candidates.first()) else {
        return Err(Error::new("there are no tensors in it"));
    };
    if let (Some(other), None) = (complete.get(1), wanted)
        && other.rank() == best.rank()
    {
        return Err(Error::new(format!("it holds {} models that fit: {}", complete.len(), labels(&complete)))
            .remedy("say which one is meant: `state_dict: NAME` among the options of the model, or --state-dict NAME"));
    }
    best.check(architecture, held)?;
    let mut notes = Vec::new();
    if complete.len() > 1 && wanted.is_none() {
        notes.push(format!(
            "it holds {} models that fit ({}); `{}` is used (`state_dict: NAME` or --state-dict NAME chooses another)",
            complete.len(),
            labels(&complete),
            best.label
        ));
    }
    if !best.beside.is_empty() {
        // Most often what training kept beside the model: a loss's weights, another model.
        let shown = best.beside.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let dots = if best.beside.len() > 3 { ", ..." } else { "" };
        notes.push(format!("{} tensors that lie outside of `{}` are not used: {shown}{dots}", best.beside.len(), best.label));
    }
    Ok(Found { sources: best.sources.clone(), notes })
}

/// As [`find`]. Where a file holds keys and values for every head of its decoupled layers, though the description shares them out (the wider
/// platform ignores `n_kv_heads` there), the architecture becomes that of the file.
///
/// # Errors
/// As [`find`].
pub fn find_or_widen(
    architecture: &mut Architecture,
    held: &BTreeMap<String, Held>,
    scopes: &BTreeSet<String>,
    wanted: Option<&str>,
) -> Result<Found> {
    let error = match find(architecture, held, scopes, wanted) {
        Ok(found) => return Ok(found),
        Err(error) => error,
    };
    let mut wide = architecture.clone();
    let mut shared = 0;
    for layer in wide.layers.iter_mut().filter(|layer| layer.attention.decoupled && layer.attention.kv_heads < layer.attention.heads) {
        shared = layer.attention.kv_heads;
        layer.attention.kv_heads = layer.attention.heads;
    }
    if shared == 0 || wide.check().is_err() {
        return Err(error);
    }
    let mut found = find(&wide, held, scopes, wanted).map_err(|_| error)?;
    found.notes.push(format!("its decoupled layers have keys and values for every head, and not the {shared} key/value heads that n_kv_heads says: so they are used"));
    *architecture = wide;
    Ok(found)
}

fn labels(candidates: &[&Candidate]) -> String {
    let name =
        |candidate: &&Candidate| if candidate.label.is_empty() { "the file itself".to_owned() } else { format!("`{}`", candidate.label) };
    candidates.iter().map(name).collect::<Vec<_>>().join(", ")
}

impl Candidate {
    fn new(
        architecture: &Architecture,
        held: &BTreeMap<String, Held>,
        label: String,
        mut sources: BTreeMap<String, Source>,
        twins: Option<[String; 2]>,
        beside: Vec<String>,
    ) -> Candidate {
        let wanted: BTreeMap<String, Vec<usize>> = architecture.tensors().into_iter().collect();
        // Of one matrix under two names some programs keep the second only.
        const EMBEDDING: &str = "model.embed_tokens.weight";
        if architecture.tied_embeddings
            && !sources.contains_key(EMBEDDING)
            && let Some(head) = sources.remove("lm_head.weight")
        {
            sources.insert(EMBEDDING.to_owned(), head);
        }
        sources.retain(|name, source| {
            let buffer = !wanted.contains_key(name) && held.get(&source.name).is_some_and(|held| held.integer);
            // What stands in the file twice is compared before one of both is dropped.
            !buffer && (!architecture.is_leftover(name) || name == "lm_head.weight" || name.ends_with("k_sem.weight"))
        });
        let optional = |name: &str| architecture.is_leftover(name);
        let fit = |(name, shape): (&String, &Vec<usize>)| sources.get(name).is_some_and(|source| source.shape(held) == *shape);
        let missing = wanted.iter().filter(|&item| !fit(item)).count();
        let surplus = sources.keys().filter(|name| !wanted.contains_key(*name) && !optional(name)).count();
        let faults = missing + surplus + usize::from(twins.is_some());
        Candidate { label, sources, faults, twins, beside }
    }

    /// Its place among those that are likely to be meant, the likeliest first: that of each key on its path.
    fn rank(&self) -> Vec<usize> {
        let place = |key: &str| DICTIONARIES.iter().position(|known| *known == key).unwrap_or(DICTIONARIES.len());
        self.label.split('.').filter(|key| !key.is_empty()).map(place).collect()
    }

    fn check(&self, architecture: &Architecture, held: &BTreeMap<String, Held>) -> Result<()> {
        if let Some([one, other]) = &self.twins {
            return Err(Error::new(format!("`{one}` and `{other}` are the same tensor of the model"))
                .remedy("save the model once, without the wrapper or with it"));
        }
        let shaped: Vec<(&str, Vec<usize>)> = self.sources.iter().map(|(name, source)| (name.as_str(), source.shape(held))).collect();
        architecture.check_tensors(shaped.iter().map(|(name, shape)| (*name, shape.as_slice())))
    }
}

/// Names that a model has once, by which one is found.
const HUGGINGFACE_ANCHORS: [&str; 2] = ["embed_tokens.weight", "layers.0.input_layernorm.weight"];
const PLATFORM_ANCHOR: &str = "token_embedding.weight";

/// What stands before `part`, with its dot, if `name` ends with it.
fn before<'n>(name: &'n str, part: &str) -> Option<&'n str> {
    name.strip_suffix(part).filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
}

fn is_anchor(name: &str) -> bool {
    HUGGINGFACE_ANCHORS.iter().chain([&PLATFORM_ANCHOR]).any(|anchor| before(name, anchor).is_some())
}

/// Appends the candidates of one dictionary.
fn candidates_of(architecture: &Architecture, held: &BTreeMap<String, Held>, scope: &str, candidates: &mut Vec<Candidate>) {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut twins = Vec::new();
    for full in held.keys().filter(|name| name.starts_with(scope)) {
        let name = unwrapped(&full[scope.len()..]);
        if let Some(other) = names.get(&name) {
            twins.push((name, [other.clone(), full.clone()]));
        } else {
            names.insert(name, full.clone());
        }
    }
    let anchored = |anchor: &str| -> BTreeSet<String> { names.keys().filter_map(|name| before(name, anchor)).map(str::to_owned).collect() };
    let embeddings = anchored(HUGGINGFACE_ANCHORS[0]);
    let prefixes = if embeddings.is_empty() { anchored(HUGGINGFACE_ANCHORS[1]) } else { embeddings };
    let platform = prefixes.is_empty();
    // What is around the model: the prefix without the `model.` that is its own.
    let outer = |prefix: &str| match prefix.strip_suffix("model.") {
        Some(outer) if outer.is_empty() || outer.ends_with('.') => outer.to_owned(),
        _ => prefix.to_owned(),
    };
    let outers: Vec<(String, String)> = match platform {
        false => prefixes.iter().map(|prefix| (prefix.clone(), outer(prefix))).collect(),
        true => apart(&anchored(PLATFORM_ANCHOR)).into_iter().map(|prefix| (prefix.clone(), prefix)).collect(),
    };
    for (prefix, outer) in outers.iter().take(MAX_CANDIDATES) {
        // What belongs to another model of the same dictionary, or to none.
        let others = || outers.iter().filter(|(_, other)| other != outer && other.len() > outer.len() && other.starts_with(outer.as_str()));
        let head_outside = format!("{}lm_head.", parent(outer));
        let own = |name: &str| {
            (name.starts_with(outer.as_str()) || name.starts_with(&head_outside))
                && !others().any(|(_, other)| name.starts_with(other.as_str()))
        };
        let mut sources = BTreeMap::new();
        let mut beside = Vec::new();
        let mut of_platform = BTreeMap::new();
        for (name, full) in &names {
            if !own(name) {
                if !outers.iter().any(|(_, other)| other != outer && !other.is_empty() && name.starts_with(other.as_str())) {
                    beside.push(full.clone());
                }
            } else if platform {
                of_platform.insert(name[outer.len()..].to_owned(), full.clone());
            } else {
                let canonical = huggingface(name, prefix, outer);
                match fused(architecture, &canonical, &held[full].shape) {
                    parts if parts.is_empty() => _ = sources.insert(canonical, Source::whole(full)),
                    parts => sources.extend(parts.into_iter().map(|(name, rows)| (name, Source { name: full.clone(), rows: Some(rows) }))),
                }
            }
        }
        if platform {
            // Buffers take no part in the order of modules.
            let weights = of_platform.iter().filter(|(_, full)| !held[*full].integer);
            let shapes = weights.map(|(name, full)| (name.clone(), held[full].shape.clone())).collect();
            let restored = |source: Source| Source { name: of_platform[&source.name].clone(), ..source };
            let named = platform::canonical(architecture, &shapes);
            sources = named.into_iter().map(|(name, source)| (name, restored(source))).collect();
        }
        let twins = twins.iter().find(|(name, _)| own(name)).map(|(_, twins)| twins.clone());
        let label = format!("{scope}{outer}").trim_end_matches('.').to_owned();
        candidates.push(Candidate::new(architecture, held, label, sources, twins, beside));
    }
}

/// `a.b.` for `a.b.c.`; nothing for `a.`.
fn parent(prefix: &str) -> &str {
    let path = prefix.strip_suffix('.').unwrap_or(prefix);
    path.rfind('.').map_or("", |dot| &prefix[..=dot])
}

/// A tensor's name as a Hugging Face Llama has it, of one that stands as `prefix` + `layers.0...`.
fn huggingface(name: &str, prefix: &str, outer: &str) -> String {
    let head =
        [prefix, outer, parent(outer)].into_iter().find_map(|around| name.strip_prefix(around).filter(|rest| rest.starts_with("lm_head.")));
    match (head, name.strip_prefix(prefix)) {
        (Some(head), _) => head.to_owned(),
        (None, Some(rest)) => format!("model.{rest}"),
        (None, None) => name[outer.len()..].to_owned(),
    }
}

/// The parts of a tensor that holds several of the architecture's (Phi-3 has `qkv_proj` and `gate_up_proj`); nothing for any other.
fn fused(architecture: &Architecture, name: &str, shape: &[usize]) -> Vec<(String, Range<usize>)> {
    let of_layer = || {
        let (index, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
        Some((architecture.layers.get(index.parse::<usize>().ok()?)?, index, rest))
    };
    let (Some((layer, index, rest)), Some(&rows)) = (of_layer(), shape.first()) else { return Vec::new() };
    let named = |part: &str| format!("model.layers.{index}.{part}");
    if let Some(kind) = rest.strip_prefix("self_attn.qkv_proj.") {
        let ends = layer.attention.fused_ends();
        if rows == ends[2] && !layer.attention.decoupled {
            let parts = [("q_proj", 0..ends[0]), ("k_proj", ends[0]..ends[1]), ("v_proj", ends[1]..ends[2])];
            return parts.map(|(part, rows)| (named(&format!("self_attn.{part}.{kind}")), rows)).into();
        }
    } else if rest == "mlp.gate_up_proj.weight" && rows == 2 * layer.d_ff {
        return vec![(named("mlp.gate_proj.weight"), 0..layer.d_ff), (named("mlp.up_proj.weight"), layer.d_ff..rows)];
    }
    Vec::new()
}

/// The prefixes by which the models of several anchors are told apart: nothing for one, `student.` and `teacher.` for
/// `student.embedder.` and `teacher.embedder.`.
fn apart(anchors: &BTreeSet<String>) -> Vec<String> {
    if anchors.len() < 2 {
        return vec![String::new()];
    }
    let cut = |anchor: &String| {
        let mut end = 0;
        for part in anchor.split_inclusive('.') {
            end += part.len();
            if anchors.iter().filter(|other| other.starts_with(&anchor[..end])).count() == 1 {
                break;
            }
        }
        anchor[..end].to_owned()
    };
    anchors.iter().map(cut).collect()
}

#[cfg(test)]
mod tests;
