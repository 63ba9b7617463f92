{#-
attention_output: turns the attention's outputs back where values are stored as their Hadamard transform (src/quant/mod.rs says which and why): a sum of
transformed values is the transform of the sum.

One workgroup per row.

Parameters: heads, value, out_stride, workgroup.
-#}
{% import "hadamard.wgsl" as hadamard %}
{% include "call.wgsl" %}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;  // [rows, {{ out_stride }}]

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    if (group.x >= call.rows) {
        return;
    }
    let row_at = group.x * {{ out_stride }}u;
{{ hadamard.heads("out", 0, 0, 0, heads, value, workgroup) -}}
}
