{#-
linear_heads: y[t, h, i] = sum_j w[h, i, j] * x[t, h, j]: each head by itself, what latent attention does with queries before and with values behind it
(the absorbed form of DeepSeek-AI, "DeepSeek-V2", 2024, section 2.1). A lane has an output of some tokens.

Grid: (outputs of all heads, token tiles, 1).

Parameters: heads, inputs, outputs (of a head), x_stride, y_stride, y_first (where the heads begin in a row of y), half (w is half floats, two in a word; else f32),
tokens (of a tile), workgroup.
-#}
{% include "call.wgsl" %}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> x: array<f32>;  // [rows, {{ x_stride }}]: [heads, inputs] first
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [rows, {{ y_stride }}]: [heads, outputs] from {{ y_first }} on
@group(0) @binding(3) var<storage, read> w: array<{{ "u32" if half else "f32" }}>;  // [heads, outputs, inputs], rows padded to an even number of inputs

{% set padded = (inputs + 1) // 2 * 2 %}
@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let output = id.x;
    if (output >= {{ heads * outputs }}u) {
        return;
    }
    let head = output / {{ outputs }}u;
{% for t in range(tokens) %}
    let token{{ t }} = id.y * {{ tokens }}u + {{ t }}u;
    let from{{ t }} = min(token{{ t }}, call.rows - 1u) * {{ x_stride }}u + head * {{ inputs }}u;
    var sum{{ t }} = 0.0;
{% endfor %}
    // Of the last pair there may be one element only: the other weight is zero.
    for (var pair = 0u; pair < {{ padded // 2 }}u; pair++) {
        let second = min(2u * pair + 1u, {{ inputs - 1 }}u);
{% if half %}
        let weights = unpack2x16float(w[output * {{ padded // 2 }}u + pair]);
{% else %}
        let weights = vec2<f32>(w[output * {{ padded }}u + 2u * pair], w[output * {{ padded }}u + 2u * pair + 1u]);
{% endif %}
{% for t in range(tokens) %}
        sum{{ t }} += weights.x * x[from{{ t }} + 2u * pair] + weights.y * x[from{{ t }} + second];
{% endfor %}
    }
{% for t in range(tokens) %}
    if (token{{ t }} < call.rows) {
        y[token{{ t }} * {{ y_stride }}u + {{ y_first }}u + output] = sum{{ t }};
    }
{% endfor %}
}
