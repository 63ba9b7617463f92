{#-
attention_weights: y[i, p] = what the key at position p weighs for query i: softmax_p(q[i] . k[p]), or what the seam makes of it.

For looking at, not for speed: scores are stored, then weights in their place. What is missing to a sum of 1 went to a sink or to a null key.

Grid: (queries, 1, 1): one workgroup for each.

Parameters: stride (of qkv), heads, kv_heads, sem, geo, value, workgroup, seam (see attention_seam.wgsl), ring (see cache.wgsl), parts.
-#}
{% import "cache.wgsl" as cache %}
{% import "attention_seam.wgsl" as seams %}
{% set group_size = heads // kv_heads %}
{% include "call.wgsl" %}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> looked: array<vec4<u32>>;  // (stride of y, ...), then (row of qkv, sequence, position, head) of each query
@group(0) @binding(2) var<storage, read> qkv: array<f32>;  // [rows, {{ stride }}]: q_sem, q_geo first
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [queries, stride of y]
{% for name, part in parts | items %}
{{ cache.reader(name, part, 1, false, ring) }}
{%- endfor %}
{{ cache.places(ring) }}
{{- seams.declare(seam, group_size, 1) }}
{% if seam.null %}
@group(0) @binding({{ seam.null_binding }}) var<storage, read> nulls: array<f32>;  // [heads, sem + geo + value]
{% endif %}
var<workgroup> lanes: array<f32, {{ workgroup }}>;
{% for name, combined in [("largest_of", "max(all, lanes[i])"), ("sum_of", "all + lanes[i]")] %}

// Over all lanes.
fn {{ name }}(local: u32, mine: f32) -> f32 {
    workgroupBarrier();
    lanes[local] = mine;
    workgroupBarrier();
    var all = lanes[0];
    for (var i = 1u; i < {{ workgroup }}u; i++) {
        all = {{ combined }};
    }
    return all;
}
{% endfor %}

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let query = looked[group.x + 1u];
    let row = query.x;
    let sequence = query.y;
    let position = query.z;
    let head = query.w;
    let kv_head = head / {{ group_size }}u;
    let start = group.x * looked[0].x;
{% if sem > 0 %}
    let semantic_at = row * {{ stride }}u + head * {{ sem }}u;
{% endif %}
    let geometric_at = row * {{ stride }}u + {{ heads * sem }}u + head * {{ geo }}u;
    // Never so: a binding that no statement names would be missing from the layout.
    if (call.rows == 0u) {
        y[0] = value_element(0u, 0u);
    }
    let oldest = oldest_seen(position);
    var row_max = HIDDEN;
    for (var p = local; p <= position; p += {{ workgroup }}u) {
        var score = HIDDEN;
        // Keys that no mask keeps may have left a ring.
        if (next_key(p, oldest) == p) {
            let token = token_of(sequence, p);
            var product = 0.0;
{% if sem > 0 %}
            for (var i = 0u; i < {{ sem }}u; i++) {
                product += qkv[semantic_at + i] * semantic_element(token, kv_head * {{ sem }}u + i);
            }
{% endif %}
            for (var i = 0u; i < {{ geo }}u; i++) {
                product += qkv[geometric_at + i] * geometric_element(token, kv_head * {{ geo }}u + i);
            }
            score = score_of(product, is_seen(position, p), position, p, head, sequence);
        }
        y[start + p] = score;
        row_max = max(row_max, score);
    }
{% if seam.null %}
    let null_at = head * {{ sem + geo + value }}u;
    var null_score = 0.0;
{% if sem > 0 %}
    for (var i = 0u; i < {{ sem }}u; i++) {
        null_score += qkv[semantic_at + i] * nulls[null_at + i];
    }
{% endif %}
    for (var i = 0u; i < {{ geo }}u; i++) {
        null_score += qkv[geometric_at + i] * nulls[null_at + {{ sem }}u + i];
    }
    row_max = max(row_max, null_score);
{% endif %}
    row_max = largest_of(local, row_max);
    var total = 0.0;
    for (var p = local; p <= position; p += {{ workgroup }}u) {
        let weight = weight_of(y[start + p], row_max);
        y[start + p] = weight;
        total += weight;
    }
    total = sum_of(local, total){{ " + weight_of(null_score, row_max)" if seam.null }};
    let divisor = divisor_of(total, row_max, head);
    for (var p = local; p <= position; p += {{ workgroup }}u) {
        y[start + p] /= divisor;
    }
}
