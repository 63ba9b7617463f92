{#-
output_gate: o[t, h, i] *= sigmoid(g), g = qkv[t, gate_at + h] of a head or qkv[t, gate_at + h * value + i] of an element (Z. Qiu and others, "Gated Attention
for Large Language Models", 2025).

Grid: (elements, rows, 1).

Parameters: heads, value, stride (of qkv), out_stride, gate_at, by_head, workgroup.
-#}
{% include "call.wgsl" %}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;  // [rows, {{ stride }}]
@group(0) @binding(2) var<storage, read_write> o: array<f32>;  // [rows, {{ out_stride }}]

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < {{ heads * value }}u && id.y < call.rows) {
        let gate = qkv[id.y * {{ stride }}u + {{ gate_at }}u + id.x{{ " / " ~ value ~ "u" if by_head else "" }}];
        o[id.y * {{ out_stride }}u + id.x] *= 1.0 / (1.0 + exp(-gate));
    }
}
