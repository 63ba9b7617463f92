{#-
residual_norm: x[t, :] += h[t, :] * w / sqrt(mean(h[t, :]^2) + eps): what a block that is normalised behind itself adds to the residual stream.

Grid: (rows, 1, 1).

Parameters: width, stride (of h and x), eps, workgroup (a power of two).
-#}
{% include "call.wgsl" %}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> h: array<f32>;  // [rows, {{ stride }}]
@group(0) @binding(2) var<storage, read> w: array<f32>;  // [{{ width }}]
@group(0) @binding(3) var<storage, read_write> x: array<f32>;  // [rows, {{ stride }}]
var<workgroup> sums: array<f32, {{ workgroup }}>;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    // The same for all lanes, and rows beyond the call's only repeat the last one.
    let at = min(group.x, call.rows - 1u) * {{ stride }}u;
    var squares = 0.0;
    for (var i = local; i < {{ width }}u; i += {{ workgroup }}u) {
        squares += h[at + i] * h[at + i];
    }
    sums[local] = squares;
    workgroupBarrier();
    for (var half = {{ workgroup // 2 }}u; half > 0u; half /= 2u) {
        if (local < half) {
            sums[local] += sums[local + half];
        }
        workgroupBarrier();
    }
    if (group.x >= call.rows) {
        return;
    }
    let inverse = inverseSqrt(sums[0] / {{ width }}.0 + {{ eps }});
    for (var i = local; i < {{ width }}u; i += {{ workgroup }}u) {
        x[at + i] += h[at + i] * w[i] * inverse;
    }
}
