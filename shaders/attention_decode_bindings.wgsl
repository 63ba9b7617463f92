{#-
attention_decode_bindings: what attention_decode and attention_shared are given.

Before it: cache, seams, most_words (that a lane loads at once), key_width.
-#}
{% include "call.wgsl" %}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> rows: array<vec2<u32>>;  // (sequence, position)
@group(0) @binding(2) var<storage, read> qkv: array<f32>;  // [rows, {{ stride }}]: q_sem, q_geo first
// Final: [rows, {{ out_stride }}]. Partial: [rows, heads, splits, value + 2], the last two the largest score and the sum of weights.
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
{% for name, part in parts | items %}
{{ cache.reader(name, part, cache.unit(part, cache.each(part, most_words) | int) | int, wide, ring) }}
{%- endfor %}
{{ cache.places(ring) }}
{{- seams.declare(seam, heads // kv_heads, tile_heads) }}
{% if seam.null %}
@group(0) @binding({{ seam.null_binding }}) var<storage, read> nulls: array<f32>;  // [heads, sem + geo + value]
{% endif %}

// Element `i` of the queries [tile_heads, sem + geo] of heads `head` and on.
fn query_element(row: u32, head: u32, i: u32) -> f32 {
    let h = head + i / {{ key_width }}u;
    let e = i % {{ key_width }}u;
{% if sem > 0 %}
    if (e < {{ sem }}u) {
        return qkv[row * {{ stride }}u + h * {{ sem }}u + e];
    }
{% endif %}
    return qkv[row * {{ stride }}u + {{ heads * sem }}u + h * {{ geo }}u + e - {{ sem }}u];
}
