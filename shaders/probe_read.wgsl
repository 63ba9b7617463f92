{#-
probe_read: reads a buffer from end to end, as a stream: what a device's memory can deliver to a shader.

Neighbouring lanes read neighbouring vec4<u32>, four of them before any is needed. Each lane leaves its sum, so that nothing can be left out.

Grid: (workgroups, 1, 1).

Parameters: workgroup, workgroups, units (vec4<u32> in the buffer; a multiple of 4 * workgroup * workgroups).
-#}
@group(0) @binding(0) var<storage, read> data: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;
{% set lanes = workgroup * workgroups %}

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
{#- A workgroup has a piece of its own: on a CPU one core streams through it. #}
    let begin = group.x * {{ units // workgroups }}u + local;
    var sum = vec4<u32>(0u);
    for (var i = 0u; i < {{ units // workgroups }}u; i += {{ 4 * workgroup }}u) {
{% for n in range(4) %}
        let v{{ n }} = data[begin + i + {{ n * workgroup }}u];
{% endfor %}
        sum += (v0 ^ v1) + (v2 ^ v3);
    }
    sums[group.x * {{ workgroup }}u + local] = sum.x ^ sum.y ^ sum.z ^ sum.w;
}
