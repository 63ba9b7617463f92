{#-
attention_merge: puts the splits of attention_decode together: each weighs as much as exp(its largest score) times its sum of weights, or 1 where the
normaliser knows no largest score.

Grid: (heads, rows, 1).

Parameters: heads, value, split, out_stride, workgroup, seam (see attention_seam.wgsl).
-#}
{% import "attention_seam.wgsl" as seams %}
{% set turns = (value + workgroup - 1) // workgroup %}
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
            shared_value[local] = fade_of(partial[start + (first + local) * {{ value + 2 }}u + {{ value }}u], most);
        }
        workgroupBarrier();
        for (var i = 0u; i < count; i++) {
            let weight = shared_value[i];
            let at = start + (first + i) * {{ value + 2 }}u;
            total += weight * partial[at + {{ value + 1 }}u];
{% for turn in range(turns) %}
            sum{{ turn }} += weight * partial[at + min({{ turn * workgroup }}u + local, {{ value - 1 }}u)];
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
