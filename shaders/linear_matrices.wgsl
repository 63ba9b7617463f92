{#-
linear_matrices: y[t, r] = sum_k w[r, k] * x[t, k] by cooperative matrices: a subgroup multiplies small matrices of half floats in units made for it, and adds
up in f32.

For graphics cards that have them, and many tokens. A workgroup brings in a tile of tokens and one of rows, block of 32 columns by block, as half floats;
each of its subgroups multiplies a part of both: two subgroups side by side along the rows, the others along the tokens. Sums go through workgroup
memory to lanes that know what becomes of them. What is beyond a half float's range is kept at its ends: no sum becomes infinite.

Grid: (row tiles, token tiles, 1).

Parameters: as linear_lanes; size (of a matrix: 8 or 16), lanes (of a subgroup); tokens and lane_rows count the matrices of one subgroup.
-#}
{% import "weights.wgsl" as weights %}
enable f16;
enable wgpu_cooperative_matrix;
{% import "gated.wgsl" as gated %}
{% set matrices = 2 if epilogue in gated.UNITS else 1 %}
{% set quantised = format.bits <= 8 %}
{% set unit = weights.unit(format) | int %}
{% set per_word = weights.per_word(format) | int %}
{% set units = columns // unit %}
{% set tile_tokens = tokens * size * (workgroup // lanes // 2) %}
{% set tile_rows = lane_rows * size * 2 %}
{% set x_turns = (tile_tokens * 8 + workgroup - 1) // workgroup %}
{% set block_units = 32 // unit %}
{% set w_turns = (tile_rows * block_units + workgroup - 1) // workgroup %}
{% set matrix = "coop_mat" ~ size ~ "x" ~ size %}
{% set x_type = "vec4<f32>" %}
{% include "linear_bindings.wgsl" %}
var<workgroup> tile_x: array<f16, {{ tile_tokens * 32 }}>;  // [tokens, 32]
{% for m in range(matrices) %}
var<workgroup> tile_w{{ m }}: array<f16, {{ tile_rows * 32 }}>;  // [rows, 32]
var<workgroup> tile_y{{ m }}: array<f32, {{ tile_tokens * tile_rows }}>;  // [tokens, rows]
{% endfor %}
{% if norm %}
var<workgroup> squares: array<f32, {{ tile_tokens * 8 }}>;
{% endif %}

fn half(v: vec4<f32>) -> vec4<f16> {
    return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}

@compute @workgroup_size({{ workgroup }})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let first_row = group.x * {{ tile_rows }}u;
    let first_token = group.y * {{ tile_tokens }}u;
    let my_row = subgroup % 2u * {{ lane_rows * size }}u;
    let my_token = subgroup / 2u * {{ tokens * size }}u;
{#- Sums begin at zero. #}
    for (var i = local; i < {{ tile_tokens * tile_rows }}u; i += {{ workgroup }}u) {
{% for m in range(matrices) %}
        tile_y{{ m }}[i] = 0.0;
{% endfor %}
    }
    workgroupBarrier();
{% for m in range(matrices) %}{% for t in range(tokens) %}{% for r in range(lane_rows) %}
    var sum{{ m }}_{{ t }}_{{ r }} = coopLoadT<{{ matrix }}<f32, C>>(&tile_y{{ m }}[(my_token + {{ t * size }}u) * {{ tile_rows }}u + my_row + {{ r * size }}u], {{ tile_rows }}u);
{% endfor %}{% endfor %}{% endfor %}
{% include "linear_incoming.wgsl" %}
    for (var block = 0u; block < {{ columns // 32 }}u; block++) {
{% for i in range(x_turns) %}
        {
            let raw = x[from{{ i }} + block * 8u];
{% if norm %}
            squares{{ i }} += dot(raw, raw);
            let v = half(raw * norm[block * 8u + item{{ i }} % 8u]);
{% else %}
            let v = half(raw);
{% endif %}
{% for c in range(4) %}
            tile_x[item{{ i }} * 4u + {{ c }}u] = v[{{ c }}];
{% endfor %}
        }
{% endfor %}
{% for i in range(w_turns) %}{% for m in range(matrices) %}
        {
            let v = codes{{ m }}[at{{ i }} + block * {{ block_units * interleave }}u];
{% if quantised and format.bits == 8 and format.group == 16 %}
            let u = block * {{ block_units }}u + unit{{ i }} % {{ block_units }}u;
            {{ weights.unit_scales(format, m, "scale_at" ~ i, "u", interleave, "scale") }}
{%- elif quantised %}
            {{ weights.block_scales(format, m, "scale_at" ~ i, "block", interleave, "scale") }}
{%- endif %}
{% for c in range(4) %}
            {{ weights.unpack(format, "v", c, "w" ~ c) }}
{%- endfor %}
{% for four in range(unit // 4) %}
{% set scale = "scale_" ~ (four * 4 // format.group if quantised else 0) %}
            let h{{ four }} = half(vec4<f32>({% for j in range(4) %}{% set k = four * 4 + j %}{{ ", " if j else "" }}{{ weights.element(format, "w" ~ (k // per_word), k % per_word) }}{% endfor %}){{ (" * " ~ scale ~ ".x + " ~ scale ~ ".y" if format.minimum else " * " ~ scale) if quantised else "" }});
{% for c in range(4) %}
            tile_w{{ m }}[unit{{ i }} * {{ unit }}u + {{ four * 4 + c }}u] = h{{ four }}[{{ c }}];
{% endfor %}
{% endfor %}
        }
{% endfor %}{% endfor %}
        workgroupBarrier();
{% for k in range(0, 32, size) %}
{% for t in range(tokens) %}
        let x{{ k }}_{{ t }} = coopLoadT<{{ matrix }}<f16, A>>(&tile_x[(my_token + {{ t * size }}u) * 32u + {{ k }}u], 32u);
{% endfor %}
{% for m in range(matrices) %}{% for r in range(lane_rows) %}
        let w{{ k }}_{{ m }}_{{ r }} = coopLoad<{{ matrix }}<f16, B>>(&tile_w{{ m }}[(my_row + {{ r * size }}u) * 32u + {{ k }}u], 32u);
{% for t in range(tokens) %}
        sum{{ m }}_{{ t }}_{{ r }} = coopMultiplyAdd(x{{ k }}_{{ t }}, w{{ k }}_{{ m }}_{{ r }}, sum{{ m }}_{{ t }}_{{ r }});
{% endfor %}
{% endfor %}{% endfor %}
{% endfor %}
        workgroupBarrier();
    }
{% for m in range(matrices) %}{% for t in range(tokens) %}{% for r in range(lane_rows) %}
    coopStoreT(sum{{ m }}_{{ t }}_{{ r }}, &tile_y{{ m }}[(my_token + {{ t * size }}u) * {{ tile_rows }}u + my_row + {{ r * size }}u], {{ tile_rows }}u);
{% endfor %}{% endfor %}{% endfor %}
{% if norm %}
{% for i in range(x_turns) %}
    squares[item{{ i }}] = squares{{ i }};
{% endfor %}
{% endif %}
    workgroupBarrier();
    for (var i = local; i < {{ tile_tokens * tile_rows }}u; i += {{ workgroup }}u) {
        let token = i / {{ tile_rows }}u;
        let row = first_row + i % {{ tile_rows }}u;
        if (row < {{ rows }}u && first_token + token < call.rows) {
{% if norm %}
            var all = 0.0;
            for (var n = 0u; n < 8u; n++) {
                all += squares[token * 8u + n];
            }
            let inverse = inverseSqrt(all / {{ norm_width }}.0 + {{ eps }});
{% endif %}
{% set scale = " * inverse" if norm else "" %}
            let to = (first_token + token) * {{ y_stride }}u + {{ first }}u + row;
{% if epilogue in gated.UNITS %}
            let gate = tile_y0[i]{{ scale }};
            y[to] = {{ gated.of(epilogue, "gate") }} * (tile_y1[i]{{ scale }});
{% else %}
            y[to] = {{ "y[to] + " if epilogue == "add" else "" }}tile_y0[i]{{ scale }}{{ " + bias[" ~ first ~ "u + row]" if bias else "" }};
{% endif %}
        }
    }
}
