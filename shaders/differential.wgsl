{#-
differential: y[t, p, :] = rms_norm(o[t, 2p, :] - lambda o[t, 2p + 1, :]) (1 - lambda_init), the difference of two softmaxes' outputs (T. Ye and others,
"Differential Transformer", 2024, section 2).

Grid: (pairs, rows, 1).

Parameters: pairs, value, x_stride, y_stride, eps, workgroup (a power of two).
-#}
{% include "call.wgsl" %}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> o: array<f32>;  // [rows, {{ x_stride }}]: [pairs, 2, value]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [rows, {{ y_stride }}]: [pairs, value]
@group(0) @binding(3) var<storage, read> factors: array<f32>;  // lambda, 1 - lambda_init
var<workgroup> sums: array<f32, {{ workgroup }}>;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    // The same for all lanes, and rows beyond the call's only repeat the last one.
    let row = min(group.y, call.rows - 1u);
    let begin = row * {{ x_stride }}u + group.x * {{ 2 * value }}u;
    var squares = 0.0;
    for (var i = local; i < {{ value }}u; i += {{ workgroup }}u) {
        let difference = o[begin + i] - factors[0] * o[begin + {{ value }}u + i];
        squares += difference * difference;
    }
    sums[local] = squares;
    workgroupBarrier();
    for (var half = {{ workgroup // 2 }}u; half > 0u; half /= 2u) {
        if (local < half) {
            sums[local] += sums[local + half];
        }
        workgroupBarrier();
    }
    if (group.y >= call.rows) {
        return;
    }
    let scale = factors[1] * inverseSqrt(sums[0] / {{ value }}.0 + {{ eps }});
    for (var i = local; i < {{ value }}u; i += {{ workgroup }}u) {
        let difference = o[begin + i] - factors[0] * o[begin + {{ value }}u + i];
        y[row * {{ y_stride }}u + group.x * {{ value }}u + i] = difference * scale;
    }
}
