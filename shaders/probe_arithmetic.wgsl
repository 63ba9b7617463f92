{#-
probe_arithmetic: multiply-adds in registers, eight independent chains in each lane: what a device's arithmetic units can do.

A chain is a scalar or a vec4: which is faster differs (graphics cards do f16 in pairs, a CPU has few registers).

Grid: (workgroups, 1, 1).

Parameters: type (f32 or f16), width (1 or 4), workgroup, turns (of the loop; 32 * width multiply-adds each).
-#}
{% set chain = "vec4<" ~ type ~ ">" if width == 4 else type %}
{% if type == "f16" %}
enable f16;
{% endif %}
@group(0) @binding(0) var<storage, read_write> results: array<f32>;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    // The factor comes from a buffer: a compiler cannot know where the chains end.
    let factor = {{ chain }}({{ type }}(results[0]));
    let start = {{ type }}(id.x & 63u) * {{ type }}(0.01);
{% for n in range(8) %}
    var a{{ n }} = {{ chain }}(start + {{ type }}({{ n }}.0));
{% endfor %}
    for (var i = 0u; i < {{ turns }}u; i++) {
{% for step in range(4) %}{% for n in range(8) %}
        a{{ n }} = fma(a{{ n }}, factor, {{ chain }}({{ type }}(0.25)));
{% endfor %}{% endfor %}
    }
    let all = (a0 + a1 + a2 + a3) + (a4 + a5 + a6 + a7);
    results[id.x + 1u] = {{ "f32(all.x + all.y + all.z + all.w)" if width == 4 else "f32(all)" }};
}
