{#-
embed: x[t, :] = multiplier * w[token of row t, :], for the tokens that lie in this part of the embedding.

Grid: (units of a row, rows, 1).

Parameters: format, interleave, columns, first, rows (of this part), x_stride, multiplier, workgroup.
-#}
{% import "weights.wgsl" as weights %}
{% set unit = weights.unit(format) | int %}
{% set per_word = weights.per_word(format) | int %}
{% include "call.wgsl" %}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> rows: array<vec2<u32>>;  // (sequence, position)
@group(0) @binding(2) var<storage, read> history: array<u32>;  // [sequences, context + 1]: tokens
@group(0) @binding(3) var<storage, read_write> x: array<f32>;  // [rows, {{ x_stride }}]
{{ weights.bindings(format, 0, 4) }}
@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let u = id.x;
    let row = id.y;
    if (u >= {{ columns // unit }}u || row >= call.rows || rows[row].x == 0xffffffffu) {
        return;
    }
    let token = history[rows[row].x * (call.context + 1u) + rows[row].y];
    if (token < {{ first }}u || token >= {{ first + rows }}u) {
        return;
    }
    let place = token - {{ first }}u;
    let v = codes0[{{ weights.begin("place", columns // unit, interleave) }} + u * {{ interleave }}u];
    let to = row * {{ x_stride }}u + u * {{ unit }}u;
{% if format.group %}
    let scale_at = {{ weights.begin("place", weights.scale_words(format, columns) | int, interleave) }};
    {{ weights.unit_scales(format, 0, "scale_at", "u", interleave, "scale") }}
{%- endif %}
{% for c in range(4) %}
    {{ weights.unpack(format, "v", c, "w" ~ c) }}
{%- for i in range(per_word) %}
{% set column = c * per_word + i %}
{% set scale = "scale_" ~ (column // format.group if format.group else 0) %}
    x[to + {{ column }}u] = {{ multiplier ~ " * (" if multiplier != 1 else "" }}{{ weights.element(format, "w" ~ c, i) }}{{ (" * " ~ scale ~ ".x + " ~ scale ~ ".y" if format.minimum else " * " ~ scale) if format.group else "" }}{{ ")" if multiplier != 1 else "" }};
{% endfor %}
{% endfor %}
}
