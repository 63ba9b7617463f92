//! Which form of attention a device gets: by a rule, or by what was measured on it (tuning.rs).

use super::attend::{Attend, least_split, prefill_tile};
use super::plan::Mode;
use super::tuning::{self, Contest, Measured};
use crate::error::Result;
use crate::gpu::{Counts, Gpu, Memo, Purpose, Step, Usage};
use crate::model::Attention;
use serde::{Deserialize, Serialize};

/// How rows and positions are shared out to lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Prefill: a lane owns a row. `attention_prefill.wgsl`.
    Rows,
    /// Prefill: tiles of positions go through workgroup memory. `attention_tiles.wgsl`.
    Tiles,
    /// Decode: a lane owns a position. `attention_decode.wgsl`.
    Positions,
    /// Decode: lanes share a position. `attention_shared.wgsl`.
    Shared,
}

/// A form of attention: which kernel, and its sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttentionForm {
    pub way: Way,
    pub workgroup: u32,
    /// Query rows of a workgroup, in prefill.
    pub rows: u32,
    /// Lanes that share a position.
    pub lanes: u32,
    /// Positions between two looks at the largest score: of a lane, of those that share them, or of a tile.
    pub keys: u32,
    /// Positions of a workgroup, beyond which decode splits the cache.
    pub split: u32,
}

/// `shared 8x2 of 128 lanes, splits of 256`: lanes and positions.
impl std::fmt::Display for AttentionForm {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let AttentionForm { workgroup, rows, lanes, keys, split, .. } = self;
        match self.way {
            Way::Rows => write!(f, "rows x{keys} of {workgroup}"),
            Way::Tiles => write!(f, "tiles {rows}x{keys} of {workgroup}"),
            Way::Positions => write!(f, "positions of {workgroup}, splits of {split}"),
            Way::Shared => write!(f, "shared {lanes}x{keys} of {workgroup}, splits of {split}"),
        }
    }
}

/// Most positions that forms are measured with: what is fastest for so many is so for more.
const MEASURED_POSITIONS: usize = 2048;

/// Positions below which the choice of a form is lost in what a dispatch costs.
const WORTH: usize = 256;

/// The names of all facts about attention begin so.
const FACT: &str = "attention ";

/// Everything that was measured on a device, by what it is about.
pub fn measured(memo: &Memo) -> Vec<(String, Measured<AttentionForm>)> {
    memo.all(FACT)
}

impl AttentionForm {
    /// Query heads that a workgroup of decode has at once: they share keys and values.
    pub fn tile_heads(self, attention: &Attention) -> usize {
        let group = attention.group();
        (1..=group.min(4)).rev().find(|heads| group.is_multiple_of(*heads)).unwrap_or(1)
    }

    /// Whether tiles of queries stay in workgroup memory: where that leaves room for another workgroup.
    pub fn keeps_queries(self, gpu: &Gpu, attention: &Attention) -> bool {
        self.tile_bytes(attention, true) <= gpu.limits().max_compute_workgroup_storage_size / 2
    }

    /// As `attention_tiles.wgsl` has it.
    fn tile_bytes(self, attention: &Attention, keep: bool) -> u32 {
        let keys = attention.sem.div_ceil(4) + attention.geo.div_ceil(4);
        let tile = if keep {
            self.rows * (keys as u32).next_multiple_of(8) + 16 * self.keys
        } else {
            (8 * (self.rows + self.keys)).max(16 * self.keys)
        };
        16 * (tile + self.rows / 4 * self.keys)
    }

    /// Workgroup memory that it takes.
    fn workgroup_bytes(self, gpu: &Gpu, attention: &Attention) -> u32 {
        match self.way {
            Way::Rows | Way::Positions => 0,
            Way::Tiles => self.tile_bytes(attention, self.keeps_queries(gpu, attention)),
            // A result of the lanes that are certainly in one subgroup.
            Way::Shared => {
                self.workgroup / gpu.least_subgroup().max(self.lanes).min(self.workgroup)
                    * (attention.value + 2 * self.tile_heads(attention)) as u32
                    * 4
            }
        }
    }

    /// Whether this form can be made on this device at all.
    fn is_sound(self, gpu: &Gpu, mode: Mode, attention: &Attention) -> bool {
        let limits = gpu.limits();
        let is_decode = mode == Mode::Decode && self.split as usize >= least_split(gpu, 0) && self.keys <= 8;
        let is_prefill = mode == Mode::Prefill && self.rows > 0 && prefill_tile(gpu).is_multiple_of(self.rows);
        (1..=limits.max_compute_invocations_per_workgroup).contains(&self.workgroup)
            && self.keys > 0
            && match self.way {
                Way::Rows => {
                    is_prefill
                        && self.rows == self.workgroup
                        && self.keys <= 8
                        && gpu.subgroup_size().is_none_or(|size| self.workgroup == size)
                }
                Way::Tiles => {
                    is_prefill
                        && self.workgroup.is_multiple_of(16)
                        && self.rows.is_multiple_of(self.workgroup / 4)
                        && self.keys <= 64
                        && self.keys.is_multiple_of(16)
                }
                Way::Positions => is_decode && gpu.subgroup_size().map_or(self.workgroup <= 64, |size| self.workgroup == size),
                Way::Shared => {
                    is_decode
                        && self.lanes.is_power_of_two()
                        && self.lanes <= gpu.least_subgroup()
                        && self.workgroup.is_multiple_of(self.lanes)
                }
            }
            && self.workgroup_bytes(gpu, attention) <= limits.max_compute_workgroup_storage_size
    }
}

impl Attend<'_> {
    /// The form for this layer: remembered, measured or by the rule, as the user has it.
    ///
    /// Measuring overwrites the queries, the outputs and the cache: it is done while a session is made, and never later.
    pub(super) fn form(&self, gpu: &Gpu) -> Result<AttentionForm> {
        let mut candidates = self.candidates(gpu);
        if !self.is_fresh {
            candidates.truncate(1);
        }
        let is_sound = |form: AttentionForm| form.is_sound(gpu, self.mode, self.attention);
        let form = tuning::choose(gpu, &self.fact(), &candidates, self.positions() >= WORTH, is_sound, || Trial { attend: self, gpu })?;
        // Measured with what is the same for longer caches; those have longer splits.
        Ok(AttentionForm { split: form.split.max(least_split(gpu, self.context) as u32), ..form })
    }

    /// Positions that forms are measured with.
    fn positions(&self) -> usize {
        self.context.min(MEASURED_POSITIONS)
    }

    /// Rows that forms are measured with: in prefill, of one sequence.
    fn measured_rows(&self) -> usize {
        match self.mode {
            Mode::Prefill => self.typical_rows.min(self.positions()),
            Mode::Decode => self.sequences,
        }
    }

    /// The name of what is known about it: `attention decode f16/f16, 9 heads of 64/64 on 3, 2048 positions, 1 row`.
    fn fact(&self) -> String {
        let Attention { heads, kv_heads, sem, geo, value, window, .. } = self.attention;
        let mode = if self.mode == Mode::Decode { "decode" } else { "prefill" };
        let widths = if *sem > 0 { format!("{sem}+{geo}/{value}") } else { format!("{geo}/{value}") };
        let window = window.map(|window| format!(", window {window}")).unwrap_or_default();
        let hooked = if self.hooks.is_some_and(|hooks| hooks.hooks().has_functions()) { ", as a script says" } else { "" };
        let positions = self.positions().next_power_of_two();
        let rows = self.measured_rows().next_power_of_two();
        format!(
            "{FACT}{mode} {}, {heads} heads of {widths} on {kv_heads}{window}{hooked}, {positions} positions, {rows} row{}",
            self.cache.kinds().join("/"),
            if rows == 1 { "" } else { "s" }
        )
    }

    /// The forms that are worth trying on this device, the likeliest first.
    fn candidates(&self, gpu: &Gpu) -> Vec<AttentionForm> {
        let attention = self.attention;
        let software = gpu.summary().software;
        // `team`: lanes that are certainly in one subgroup.
        let (subgroup, team) = (gpu.subgroup_size(), gpu.least_subgroup());
        let mut forms = match self.mode {
            Mode::Prefill => {
                let of = |way, workgroup, rows, keys| AttentionForm { way, workgroup, rows, lanes: 1, keys, split: 0 };
                let tiles = |workgroup, rows, keys| of(Way::Tiles, workgroup, rows, keys);
                let lanes = subgroup.unwrap_or(32);
                // The more keys at a time the faster, and the longer to compile, which wide heads and loads by every lane take long enough for.
                let rows = of(Way::Rows, lanes, lanes, if subgroup.is_some() && attention.key() + attention.value <= 160 { 4 } else { 2 });
                if software {
                    vec![rows, tiles(4 * lanes, lanes, 16)]
                } else {
                    vec![tiles(128, 32, 32), tiles(128, 64, 32), tiles(256, 64, 32), tiles(64, 32, 32), tiles(128, 32, 64), rows]
                }
            }
            Mode::Decode => {
                let of = |way, lanes, keys, workgroup, split| AttentionForm { way, workgroup, rows: 1, lanes, keys, split };
                let positions = |split| of(Way::Positions, 1, 1, subgroup.unwrap_or(32), split);
                let shared = |lanes, keys, workgroup, split| of(Way::Shared, lanes, keys, workgroup, split);
                // As many as have 8 elements of a value each.
                let lanes = (attention.value as u32 / 8).next_power_of_two().clamp(4, team.clamp(4, 32));
                if software {
                    vec![positions(256), positions(512), shared(lanes, 2, lanes, 256)]
                } else {
                    vec![
                        shared(lanes, 2, 128, 128),
                        shared(lanes, 4, 128, 256),
                        shared(lanes, 2, 256, 256),
                        shared(lanes, 2, 64, 64),
                        shared((lanes / 2).max(4), 2, 128, 128),
                        shared(lanes, 4, 256, 512),
                        positions(128),
                        positions(256),
                    ]
                }
            }
        };
        // Positions, and rows or tiles, there are on every device.
        forms.retain(|form| form.is_sound(gpu, self.mode, attention));
        forms
    }
}

/// All forms with the same queries and the same cache.
struct Trial<'a> {
    attend: &'a Attend<'a>,
    gpu: &'a Gpu,
}

impl Contest for Trial<'_> {
    type Form = AttentionForm;

    fn steps(&self, form: AttentionForm) -> Result<Vec<Step>> {
        let steps = self.attend.steps_as(self.gpu, form)?;
        let positions = self.counts().positions;
        Ok(steps.into_iter().filter(|(when, _)| when.is_at(positions)).map(|(_, step)| step).collect())
    }

    fn counts(&self) -> Counts {
        Counts { rows: self.attend.measured_rows() as u32, positions: self.attend.positions() as u32 }
    }

    fn begin(&self) {
        let (attend, gpu) = (self.attend, self.gpu);
        let (rows, positions) = (attend.measured_rows(), attend.positions());
        let call = [rows, attend.context, attend.sequences * attend.context, attend.context.div_ceil(least_split(gpu, attend.context))];
        gpu.write(attend.call, 0, bytemuck::cast_slice(&call.map(|word| word as u32)));
        let places: Vec<[u32; 2]> = (0..rows)
            .map(|row| match attend.mode {
                Mode::Prefill => [0, (positions - rows + row) as u32],
                Mode::Decode => [row as u32, positions as u32 - 1],
            })
            .collect();
        gpu.write(attend.rows, 0, bytemuck::cast_slice(&places));
        let queries: Vec<f32> = (0..rows * attend.stride).map(|index| tuning::noise(index) as f32 / 1024.0 - 1.0).collect();
        gpu.write(attend.qkv, 0, bytemuck::cast_slice(&queries));
        attend.cache.fill(gpu);
    }

    // Nor does a layer's cache stay in one of the device's, while the other layers have their turn.
    fn is_cold(&self) -> bool {
        self.attend.mode == Mode::Decode
    }

    fn clear(&self) {
        let bytes = self.attend.measured_rows() * self.attend.out_stride * 4;
        self.gpu.write(self.attend.out, 0, &vec![0; bytes]);
    }

    fn results(&self) -> Result<Vec<f32>> {
        let count = self.attend.measured_rows() * self.attend.out_stride;
        let staging = self.gpu.buffer("a trial's results", count as u64 * 4, Purpose::Scratch, Usage::Readback)?;
        self.gpu.read(self.attend.out, 0, count, &staging)
    }

    fn end(&self) {
        self.gpu.write(self.attend.qkv, 0, &vec![0; self.attend.measured_rows() * self.attend.stride * 4]);
    }
}
