{#-
probe_matrices: multiply-adds of cooperative matrices of half floats that stay where they are, added up in f32, four independent chains in each subgroup: what a
device's matrix units can do.

Grid: (workgroups, 1, 1).

Parameters: size (of a matrix: 8 or 16), lanes (of a subgroup), workgroup, turns (of the loop; 8 * size^3 multiply-adds of each subgroup).
-#}
{% set matrix = "coop_mat" ~ size ~ "x" ~ size %}
enable f16;
enable wgpu_cooperative_matrix;
@group(0) @binding(0) var<storage, read_write> results: array<f32>;
var<workgroup> factors: array<f16, {{ size * size }}>;
var<workgroup> sums: array<f32, {{ workgroup // lanes * size * size }}>;

@compute @workgroup_size({{ workgroup }})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    // Factors come from a buffer: a compiler cannot know where the chains end. They are small: no sum becomes infinite.
    for (var i = local; i < {{ size * size }}u; i += {{ workgroup }}u) {
        factors[i] = f16(results[0] * 0.001 * f32(i % 7u));
    }
    for (var i = local; i < {{ workgroup // lanes * size * size }}u; i += {{ workgroup }}u) {
        sums[i] = f32(i % 5u);
    }
    workgroupBarrier();
    let a0 = coopLoadT<{{ matrix }}<f16, A>>(&factors[0], {{ size }}u);
    let a1 = coopLoad<{{ matrix }}<f16, A>>(&factors[0], {{ size }}u);
    let b0 = coopLoadT<{{ matrix }}<f16, B>>(&factors[0], {{ size }}u);
    let b1 = coopLoad<{{ matrix }}<f16, B>>(&factors[0], {{ size }}u);
    let at = subgroup * {{ size * size }}u;
{% for n in range(4) %}
    var sum{{ n }} = coopLoadT<{{ matrix }}<f32, C>>(&sums[at], {{ size }}u);
{% endfor %}
    for (var i = 0u; i < {{ turns }}u; i++) {
{% for a, b in [(0, 0), (1, 1)] %}{% for n in range(4) %}
        sum{{ n }} = coopMultiplyAdd(a{{ a }}, b{{ (b + n) % 2 }}, sum{{ n }});
{% endfor %}{% endfor %}
    }
    let all = (sum0 + sum1) + (sum2 + sum3);
    coopStoreT(all, &sums[at], {{ size }}u);
    workgroupBarrier();
    if (local == 0u) {
        results[group.x + 1u] = sums[0];
    }
}
