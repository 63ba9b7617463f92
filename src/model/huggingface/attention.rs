//! The `attention` section of our own students: which layers are decoupled, and how. A manifest's `AttentionLayer` has the same keys.

use crate::error::{At, Error, Result, unknown};
use crate::model::architecture::{Architecture, Attention, Gate, OutputGate, QkNorm};
use crate::model::section::{Section, missing};
use crate::model::{Rope, RopeScaling};
use serde_json::{Map, Value};

const MODES: [&str; 3] = ["standard", "gqa", "decoupled"];

/// Everything that one layer's section may say; `layers` stands beside these in the whole section only.
pub(crate) const KEYS: [&str; 20] = [
    "mode",
    "n_heads",
    "n_kv_heads",
    "sem_dim",
    "geo_dim",
    "attn_dim",
    "decoupled_gate",
    "decoupled_gate_dynamic",
    "learned_temp",
    "tie_qk",
    "null_attn",
    "rope_enabled",
    "rope_semantic",
    "rope_base",
    "rope_frequencies",
    "partial_rotary_factor",
    "window",
    "qk_norm",
    "output_gate",
    "differential",
];

/// Those by which a script changes a layer of a model that is there.
pub(crate) const FORM_KEYS: [&str; 7] =
    ["rope_enabled", "rope_base", "partial_rotary_factor", "window", "qk_norm", "output_gate", "differential"];

const QK_NORMS: [(&str, QkNorm); 3] = [("none", QkNorm::None), ("head", QkNorm::Head), ("all", QkNorm::All)];
const OUTPUT_GATES: [(&str, OutputGate); 3] =
    [("none", OutputGate::None), ("head", OutputGate::Head), ("elementwise", OutputGate::Elementwise)];

/// Those that only a decoupled layer has.
const DECOUPLED_KEYS: [&str; 9] = [
    "sem_dim",
    "geo_dim",
    "decoupled_gate",
    "decoupled_gate_dynamic",
    "learned_temp",
    "tie_qk",
    "null_attn",
    "rope_semantic",
    "rope_frequencies",
];

/// Changes the layers of a configuration, all standard so far, into what its `attention` section says.
///
/// `"layers": {"3": {...}}` overrides key by key what the section says for all.
///
/// # Errors
/// Unknown keys and modes, layers that there aren't, widths that don't divide.
pub(crate) fn apply(section: Section, layers: &mut [Attention], d_model: usize) -> Result<()> {
    let all: Vec<&str> = KEYS.iter().copied().chain(["layers"]).collect();
    section.only("attention option", &all)?;
    let mut overrides = vec![None; layers.len()];
    if let Some(map) = section.section("layers")? {
        for key in map.keys() {
            let place = format!("key `layers`, layer {key}");
            let layer = key.parse::<usize>().ok().and_then(|index| overrides.get_mut(index));
            let layer = layer.ok_or_else(|| Error::new(format!("expected a layer from 0 to {}", layers.len() as i64 - 1)).at(&place))?;
            let own = map.section(key)?.ok_or_else(|| missing(key))?;
            own.only("attention option", &KEYS).at(&place)?;
            *layer = Some(own);
        }
    }
    for (index, (layer, own)) in layers.iter_mut().zip(overrides).enumerate() {
        let options = Options { own, section };
        *layer = options.layer(layer, d_model, index).at(format!("layer {index}"))?;
    }
    Ok(())
}

/// Changes the attention of layers as a script says, with the keys of [`FORM_KEYS`].
///
/// # Errors
/// Unknown keys, values that don't fit, layers that there aren't.
pub(crate) fn change(architecture: &mut Architecture, forms: &[Option<Map<String, Value>>]) -> Result<()> {
    for (index, (layer, form)) in architecture.layers.iter_mut().zip(forms).enumerate() {
        let Some(form) = form else { continue };
        let form = Value::Object(form.clone());
        let section = Section::of(&form)?;
        section.only("attention option", &FORM_KEYS)?;
        layer.attention = Options { own: None, section }.changed(layer.attention.clone(), index).at(format!("layer {index}"))?;
    }
    if forms.iter().any(Option::is_some) { architecture.check() } else { Ok(()) }
}

/// The attention of a single layer that a section describes; `standard` is what it would be without.
///
/// # Errors
/// As [`apply`].
pub(crate) fn layer(section: Section, standard: &Attention, d_model: usize) -> Result<Attention> {
    Options { own: None, section }.layer(standard, d_model, 0)
}

/// A layer's own section before the one for all layers.
struct Options<'a> {
    own: Option<Section<'a>>,
    section: Section<'a>,
}

impl Options<'_> {
    fn get<'a, T>(&'a self, read: impl Fn(&Section<'a>) -> Result<Option<T>>) -> Result<Option<T>> {
        match self.own.as_ref().map(&read).transpose()?.flatten() {
            Some(value) => Ok(Some(value)),
            None => read(&self.section),
        }
    }

    fn flag(&self, key: &str) -> Result<bool> {
        Ok(self.get(|section| section.flag(key))?.unwrap_or(false))
    }

    fn layer(&self, standard: &Attention, d_model: usize, index: usize) -> Result<Attention> {
        let made = match self.get(|section| section.text("mode"))?.unwrap_or("standard") {
            mode @ ("standard" | "gqa") => {
                self.check_standard(mode)?;
                Ok(standard.clone())
            }
            "decoupled" => self.decoupled(standard, d_model),
            other => Err(unknown("attention mode", other, MODES)),
        };
        self.changed(made?, index)
    }

    /// What can be said of a standard layer and of a decoupled one.
    fn changed(&self, attention: Attention, index: usize) -> Result<Attention> {
        let mut attention = attention;
        if self.get(|section| section.flag("rope_enabled"))? == Some(false) {
            attention.rope = None;
        }
        if let (Some(rope), Some(base)) = (&mut attention.rope, self.get(|section| section.float("rope_base"))?) {
            rope.base = base;
        }
        if let Some(factor) = self.get(|section| section.float("partial_rotary_factor"))? {
            if !(factor > 0.0 && factor <= 1.0) {
                let error = Error::new(format!("expected a proportion above 0, at most 1, found {factor}"));
                return Err(error.at("key `partial_rotary_factor`"));
            }
            let Some(rope) = attention.rope.as_mut().filter(|_| !attention.decoupled) else {
                return Err(
                    Error::new("only a standard layer that rotates can rotate a part of each head").at("key `partial_rotary_factor`")
                );
            };
            rope.rotated = (factor < 1.0).then_some((attention.geo as f64 * f64::from(factor)) as usize);
        }
        if let Some(window) = self.get(|section| section.size("window"))? {
            attention.window = Some(window).filter(|&window| window > 0);
        }
        let chosen = |key: &str| self.get(|section| section.text(key).map(|text| text.map(str::to_owned)));
        if let Some(name) = chosen("qk_norm")? {
            let known = QK_NORMS.iter().find(|(known, _)| *known == name);
            attention.qk_norm = known.ok_or_else(|| unknown("norm of queries and keys", &name, QK_NORMS.iter().map(|(name, _)| *name)))?.1;
            if attention.decoupled && attention.qk_norm == QkNorm::All {
                return Err(Error::new("a decoupled layer has no norm of all heads").at("key `qk_norm`"));
            }
        }
        if let Some(name) = chosen("output_gate")? {
            let known = OUTPUT_GATES.iter().find(|(known, _)| *known == name);
            attention.output_gate = known.ok_or_else(|| unknown("output gate", &name, OUTPUT_GATES.iter().map(|(name, _)| *name)))?.1;
        }
        if self.flag("differential")? && attention.differential.is_none() {
            attention = attention.differential(index)?;
        }
        Ok(attention)
    }

    /// That the section which makes a layer standard asks for nothing that a standard layer hasn't.
    fn check_standard(&self, mode: &str) -> Result<()> {
        let section = self.own.unwrap_or(self.section);
        // What is said for all layers may be meant for those that `layers` makes decoupled.
        let asked = |key: &&&str| section.get(key).is_some_and(|value| *value != Value::Bool(false));
        match DECOUPLED_KEYS.iter().find(asked).filter(|_| !section.has("layers")) {
            None => Ok(()),
            Some(key) => Err(Error::new(format!("`{key}` means nothing to an attention of mode `{mode}`"))
                .remedy("leave it out, or set the mode to decoupled")),
        }
    }

    fn decoupled(&self, standard: &Attention, d_model: usize) -> Result<Attention> {
        let size = |key: &str| self.get(|section| section.size(key));
        let heads = size("n_heads")?.unwrap_or(standard.heads);
        let per_head =
            |key: &str, width: usize| match width.checked_rem(heads) {
                Some(0) => Ok(width / heads),
                _ => Err(Error::new(format!("{key} is {width}, which {heads} heads can't share"))
                    .remedy(format!("make it a multiple of {heads}"))),
            };
        let needed = |key: &str| size(key)?.ok_or_else(|| missing(key));
        let gate = match (self.flag("decoupled_gate")?, self.flag("decoupled_gate_dynamic")?) {
            (false, false) => Gate::None,
            (true, false) => Gate::Static,
            (true, true) => Gate::Dynamic,
            (false, true) => {
                return Err(Error::new("decoupled_gate_dynamic is on and decoupled_gate is off").remedy("turn both on, or both off"));
            }
        };
        let rotated = self.get(|section| section.flag("rope_enabled"))?.unwrap_or(true);
        let base = self.get(|section| section.float("rope_base"))?;
        let rope = standard.rope.as_ref().map(|rope| Rope { base: base.unwrap_or(rope.base), ..rope.clone() });
        // As they are: whatever stretches the others does not stretch them again.
        let rope = match (self.get(|section| section.float_lists("rope_frequencies"))?, rope) {
            (Some(heads), Some(rope)) => Some(Rope::new(rope.base, RopeScaling::PerHead(heads))),
            (_, rope) => rope,
        };
        let geo = per_head("geo_dim", needed("geo_dim")?)?;
        if rotated && !geo.is_multiple_of(2) {
            return Err(Error::new(format!(
                "geo_dim gives each of the {heads} heads {geo} elements; RoPE rotates pairs, so it must be even"
            ))
            .remedy(format!("make geo_dim a multiple of {}, or turn rope_enabled off", 2 * heads)));
        }
        Ok(Attention {
            decoupled: true,
            sem: per_head("sem_dim", needed("sem_dim")?)?,
            value: per_head("attn_dim", size("attn_dim")?.unwrap_or(d_model))?,
            rope_semantic: self.flag("rope_semantic")?,
            gate,
            learned_temp: self.flag("learned_temp")?,
            tie_qk: self.flag("tie_qk")?,
            null_attn: self.flag("null_attn")?,
            window: standard.window,
            ..Attention::standard(heads, size("n_kv_heads")?.unwrap_or(heads), geo, rope.filter(|_| rotated))
        })
    }
}
