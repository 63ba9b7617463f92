//! Attention over the cache: in which form of kernel, and its steps.
//!
//! Prefill has tiles of rows of one sequence, decode one row per sequence, whose cache may be read in splits by several workgroups and merged
//! (T. Dao and others, "Flash-Decoding for long-context inference", 2023). No form ever stores the scores.

use super::attention_forms::{AttentionForm, Way};
use super::hooks::{LayerHooks, LayerMap, Reach, literal};
use super::kv_cache::LayerCache;
use super::plan::{Mode, When, row_workgroup};
use super::seam::Seam;
use crate::error::Result;
use crate::gpu::{Buffer, Count, Gpu, Step};
use crate::model::Attention;
use serde_json::{Value, json};

/// Splits of a long cache: one workgroup merges them all.
const MOST_SPLITS: usize = 64;

/// Fewest positions of a split, on this device and in a cache of so many: what there is room for depends on it.
pub(super) fn least_split(gpu: &Gpu, context: usize) -> usize {
    let least = if gpu.summary().software { 256 } else { 64 };
    (context / MOST_SPLITS).next_power_of_two().max(least)
}

/// Rows of a tile of prefill: they are of one sequence. Larger ones share more of what they load, and leave more of the last one empty.
pub(super) fn prefill_tile(gpu: &Gpu) -> u32 {
    if gpu.summary().software { gpu.subgroup_size().unwrap_or(32) } else { 64 }
}

/// One layer's attention.
pub(super) struct Attend<'a> {
    pub mode: Mode,
    pub attention: &'a Attention,
    pub cache: &'a LayerCache,
    /// `[heads, sem + geo + value]`
    pub nulls: Option<&'a Buffer>,
    /// What a script says.
    pub hooks: Option<&'a LayerHooks>,
    /// Tiles that its mask hides.
    pub map: Option<&'a LayerMap>,
    /// How far queries look back, if not to the beginning.
    pub reach: Option<Reach>,
    pub call: &'a Buffer,
    pub rows: &'a Buffer,
    /// `[rows, stride]`
    pub qkv: &'a Buffer,
    pub stride: usize,
    /// `[rows, out_stride]`
    pub out: &'a Buffer,
    pub out_stride: usize,
    /// Results of splits before they are merged: `[rows, heads, splits, value + 2]`.
    pub partial: Option<&'a Buffer>,
    /// Rows of a typical call.
    pub typical_rows: usize,
    /// Positions of a sequence, and sequences, that there is room for.
    pub context: usize,
    pub sequences: usize,
    /// Whether nothing is in the cache yet that measuring might overwrite.
    pub is_fresh: bool,
}

impl Attend<'_> {
    /// The steps, in the form that is best on this device.
    ///
    /// # Errors
    /// A shader that the device refuses; while forms are measured, a lost device or Ctrl-C.
    pub fn steps(&self, gpu: &Gpu) -> Result<Vec<(When, Step)>> {
        let mut steps = self.steps_as(gpu, self.form(gpu)?)?;
        steps.extend(self.turned_back(gpu)?.map(|step| (When::Always, step)));
        Ok(steps)
    }

    /// A step that stores what keys weigh for the queries in `looked` (see `attention_weights.wgsl`).
    ///
    /// # Errors
    /// A shader that the device refuses.
    pub fn weights(&self, gpu: &Gpu, looked: &Buffer, out: &Buffer) -> Result<Step> {
        let grid = [Count::Rows(1), Count::Of(1), Count::Of(1)];
        Attend { rows: looked, ..*self }.step(gpu, "attention_weights.wgsl", json!({ "workgroup": 64 }), out, grid)
    }

    /// Turns outputs back where values are stored transformed.
    fn turned_back(&self, gpu: &Gpu) -> Result<Option<Step>> {
        if !self.cache.values().is_some_and(|values| values.part.rotated) {
            return Ok(None);
        }
        let Attention { heads, value, .. } = *self.attention;
        let workgroup = row_workgroup(gpu, heads * value / 8);
        let parameters = json!({ "heads": heads, "value": value, "out_stride": self.out_stride, "workgroup": workgroup });
        let kernel = gpu.kernel("attention_output.wgsl", &parameters)?;
        let bindings = vec![self.call.binding(), self.out.binding()];
        gpu.step("values turned back", &kernel, bindings, [Count::Rows(1), Count::Of(1), Count::Of(1)]).map(Some)
    }

    /// The steps in one form.
    ///
    /// # Errors
    /// A shader that the device refuses.
    pub fn steps_as(&self, gpu: &Gpu, form: AttentionForm) -> Result<Vec<(When, Step)>> {
        let subgroup = gpu.subgroup_size().unwrap_or(0);
        let heads = Count::Of(self.attention.heads as u32);
        match form.way {
            Way::Rows => {
                let parameters = json!({
                    "workgroup": form.workgroup, "subgroup": subgroup, "keys": form.keys,
                    "load_words": 2, "wide": super::linear::loads_wide(gpu),
                });
                let grid = [heads, Count::Rows(form.rows), Count::Of(1)];
                Ok(vec![(When::Always, self.step(gpu, "attention_prefill.wgsl", parameters, self.out, grid)?)])
            }
            Way::Tiles => {
                let parameters = json!({
                    "workgroup": form.workgroup, "tile_rows": form.rows, "tile_keys": form.keys,
                    "keep": form.keeps_queries(gpu, self.attention), "unroll": !gpu.summary().software,
                });
                let grid = [heads, Count::Rows(form.rows), Count::Of(1)];
                Ok(vec![(When::Always, self.step(gpu, "attention_tiles.wgsl", parameters, self.out, grid)?)])
            }
            Way::Positions => {
                let wide = super::linear::loads_wide(gpu);
                let parameters = json!({ "workgroup": form.workgroup, "subgroup": subgroup, "load_words": 2, "wide": wide });
                self.decode(gpu, "attention_decode.wgsl", &parameters, form)
            }
            Way::Shared => {
                let parameters = json!({ "workgroup": form.workgroup, "lanes": form.lanes, "neighbours": gpu.least_subgroup().max(form.lanes), "keys": form.keys, "load_words": 4, "wide": false });
                self.decode(gpu, "attention_shared.wgsl", &parameters, form)
            }
        }
    }

    /// One row per sequence, with the cache in one piece as long as that is short, then in splits.
    fn decode(&self, gpu: &Gpu, template: &str, parameters: &Value, form: AttentionForm) -> Result<Vec<(When, Step)>> {
        let tile_heads = form.tile_heads(self.attention);
        let split = form.split as usize;
        let with = |split: usize| merged(parameters.clone(), json!({ "tile_heads": tile_heads, "split": split }));
        let tiles = Count::Of((self.attention.heads / tile_heads) as u32);
        let whole = self.step(gpu, template, with(0), self.out, [tiles, Count::Rows(1), Count::Of(1)])?;
        let Some(partial) = self.partial.filter(|_| self.context > split) else {
            return Ok(vec![(When::Always, whole)]);
        };
        let parts = self.step(gpu, template, with(split), partial, [tiles, Count::Rows(1), Count::Splits(form.split)])?;
        let parameters = json!({
            "heads": self.attention.heads, "value": self.attention.value, "split": split, "out_stride": self.out_stride, "workgroup": 64,
            "seam": self.hooks.map_or_else(Seam::default, |hooks| hooks.hooks().merging_seam(4)),
        });
        let merge = gpu.kernel("attention_merge.wgsl", &parameters)?;
        let mut bindings = vec![self.call.binding(), self.rows.binding(), partial.binding(), self.out.binding()];
        bindings.extend(self.hooks.filter(|hooks| hooks.hooks().has_logits()).map(|hooks| hooks.data.binding()));
        let merge = gpu.step("merge", &merge, bindings, [Count::Of(self.attention.heads as u32), Count::Rows(1), Count::Of(1)])?;
        Ok(vec![(When::UpTo(form.split), whole), (When::Beyond(form.split), parts), (When::Beyond(form.split), merge)])
    }

    /// What the kernels are told, with a null key at `binding`.
    fn seam(&self, binding: usize) -> Seam {
        let null = self.attention.null_attn;
        let seam = match self.hooks {
            Some(hooks) => hooks.seam(null, binding, binding + usize::from(null)),
            None => Seam { null, null_binding: binding, ..Seam::default() },
        };
        let seam = match self.attention.score_cap {
            Some(cap) => Seam { cap: literal(cap), ..seam },
            None => seam,
        };
        let seam = match self.reach {
            Some(Reach { window, first }) => Seam { window, first, ..seam },
            None => seam,
        };
        match self.map {
            Some(map) => map.seam(seam),
            None => seam,
        }
    }

    fn step(&self, gpu: &Gpu, template: &str, form: Value, out: &Buffer, grid: [Count; 3]) -> Result<Step> {
        let attention = self.attention;
        let (parts, buffers) = self.cache.bind_for_reading(4);
        let parameters = json!({
            "stride": self.stride, "out_stride": self.out_stride,
            "heads": attention.heads, "kv_heads": attention.kv_heads,
            "sem": attention.sem, "geo": attention.geo, "value": attention.value,
            "seam": self.seam(4 + buffers.len()), "ring": self.cache.ring, "parts": parts,
        });
        let mut bindings = vec![self.call.binding(), self.rows.binding(), self.qkv.binding(), out.binding()];
        bindings.extend(buffers);
        bindings.extend(self.nulls.map(Buffer::binding));
        // A split leaves the sink to the kernel that merges them.
        let is_split = form["split"].as_u64().is_some_and(|split| split > 0);
        let reads = |hooks: &&LayerHooks| if is_split { hooks.hooks().has_functions() } else { hooks.hooks().needs_data() };
        if let Some(hooks) = self.hooks.filter(reads) {
            bindings.push(self.map.map_or_else(|| hooks.data.binding(), |map| map.data.binding()));
        }
        let parameters = merged(parameters, form);
        let kernel = match self.hooks {
            Some(hooks) if hooks.hooks().has_functions() => gpu.kernel_of_script(template, &parameters)?,
            _ => gpu.kernel(template, &parameters)?,
        };
        gpu.step("attention", &kernel, bindings, grid)
    }
}

fn merged(mut all: Value, more: Value) -> Value {
    if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    all
}
