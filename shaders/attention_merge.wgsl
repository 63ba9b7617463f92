{#-
attention_merge: puts the splits of attention_decode together: each weighs as much as exp(its largest score) times its sum of weights, or 1 where the
normaliser knows no largest score.

Grid: (heads, rows, 1).

Parameters: heads, value, split, out_stride, workgroup, seam (see attention_seam.wgsl).
-#}
{% import "attention_seam.wgsl" as seams %}
{% set turns = (value + workgroup - 1) // workgroup %}
{% set at_once = 8 if turns == 1 else 4 %}
{% include "call.wgsl" %}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> rows: array<vec2<u32>>;  // (sequence, position)
@group(0) @binding(2) var<storage, read> partial: array<f32>;  // [rows, heads, splits, value + 2]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;  // [rows, {{ out_stride }}]
{{ seams.declare(seam, 1, 1) }}
// One for each of so many splits, or of the workgroup's lanes.
var<workgroup> shared_value: array<f32, {{ workgroup }}>;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let head = group.x;
    let row = group.y;
    let used = min(rows[row].y / {{ split }}u + 1u, call.splits);
    let start = (row * {{ heads }}u + head) * call.splits * {{ value + 2 }}u;
    var mine = HIDDEN;
    for (var s = local; s < used; s += {{ workgroup }}u) {
        mine = max(mine, partial[start + s * {{ value + 2 }}u + {{ value }}u]);
    }
    shared_value[local] = mine;
    workgroupBarrier();
    var most = HIDDEN;
    for (var i = 0u; i < min(used, {{ workgroup }}u); i++) {
        most = max(most, shared_value[i]);
    }
    var total = 0.0;
{% for turn in range(turns) %}
    var sum{{ turn }} = 0.0;
{% endfor %}
    for (var first = 0u; first < used; first += {{ workgroup }}u) {
        let count = min(used - first, {{ workgroup }}u);
        workgroupBarrier();
        if (local < count) {
            let peak = partial[start + (first + local) * {{ value + 2 }}u + {{ value }}u];
{% if seam.normaliser == "softmax" %}
            // Where nothing was seen, not even by the others, nothing weighs anything.
            shared_value[local] = select(fade_of(peak, most), 0.0, peak <= HIDDEN);
{% else %}
            shared_value[local] = fade_of(peak, most);
{% endif %}
        }
        workgroupBarrier();
        // Some at a time: what they load is on its way together. Beyond the last one, that one again, and for nothing. What weighs nothing may be left from
        // an earlier pass: a split whose keys are all too old has no sums.
        for (var i = 0u; i < count; i += {{ at_once }}u) {
{% for n in range(at_once) %}
            let split{{ n }} = min(i + {{ n }}u, count - 1u);
            let at{{ n }} = start + (first + split{{ n }}) * {{ value + 2 }}u;
            let weight{{ n }} = select(0.0, shared_value[split{{ n }}], i + {{ n }}u < count);
            let total{{ n }} = partial[at{{ n }} + {{ value + 1 }}u];
{% for turn in range(turns) %}
            let value{{ n }}_{{ turn }} = partial[at{{ n }} + min({{ turn * workgroup }}u + local, {{ value - 1 }}u)];
{% endfor %}
{% endfor %}
{% for n in range(at_once) %}
            total += select(weight{{ n }} * total{{ n }}, 0.0, weight{{ n }} == 0.0);
{% for turn in range(turns) %}
            sum{{ turn }} += select(weight{{ n }} * value{{ n }}_{{ turn }}, 0.0, weight{{ n }} == 0.0);
{% endfor %}
{% endfor %}
        }
    }
    let divisor = divisor_of(total, most, head);
{% for turn in range(turns) %}
    if ({{ turn * workgroup }}u + local < {{ value }}u) {
        out[row * {{ out_stride }}u + head * {{ value }}u + {{ turn * workgroup }}u + local] = sum{{ turn }} / divisor;
    }
{% endfor %}
}
