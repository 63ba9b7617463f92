{#-
logit_cap: y[t, i] = cap * tanh(y[t, i] / cap), in place.

Grid: (elements, rows, 1).

Parameters: width, stride, cap, workgroup.
-#}
{% include "call.wgsl" %}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [rows, {{ stride }}]

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < {{ width }}u && id.y < call.rows) {
        let at = id.y * {{ stride }}u + id.x;
        // Drivers may compute a tanh by exponentials; beyond 10 it is 1 in f32. What is no number stays none.
        let capped = {{ cap }} * tanh(clamp(y[at] * {{ 1.0 / cap }}, -10.0, 10.0));
        y[at] = select(capped, y[at], (bitcast<u32>(y[at]) & 0x7fffffffu) > 0x7f800000u);
    }
}
