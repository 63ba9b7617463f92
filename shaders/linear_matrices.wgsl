{#-
linear_matrices: y[t, r] = sum_k w[r, k] * x[t, k] by cooperative matrices: a subgroup multiplies small matrices of half floats in units made for it, and adds
up in f32.

For graphics cards that have them, and many tokens. A workgroup brings in a tile of tokens and one of rows, block of 32 or 64 columns by block, as half floats;
each of its subgroups multiplies a part of both: two subgroups side by side along the rows, the others along the tokens. While they multiply one block, the
next one is on its way into registers. What is beyond a half float's range is kept at its ends: no sum becomes infinite.

A row of a tile has 8 half floats more than a block: rows that are read together then lie in different banks of workgroup memory. Sums go through a place of
their subgroup in workgroup memory, matrix by matrix, to lanes that know what becomes of them.

Grid: (token tiles, row tiles, 1): what runs together shares rows of the matrix.

Parameters: as linear_lanes; size (of a matrix: 8 or 16), lanes (of a subgroup), packed (tiles are of vec4<f16>), depth (of a block, in 32 columns); tokens and lane_rows count the matrices of one
subgroup.
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
{% set subgroups = workgroup // lanes %}
{% set tile_tokens = tokens * size * (subgroups // 2) %}
{% set tile_rows = lane_rows * size * 2 %}
{% set block = 32 * depth %}
{% set block_vecs = block // 4 %}
{% set x_turns = (tile_tokens * block_vecs + workgroup - 1) // workgroup %}
{% set block_units = block // unit %}
{% set w_turns = (tile_rows * block_units + workgroup - 1) // workgroup %}
{% set matrix = "coop_mat" ~ size ~ "x" ~ size %}
{% set area = size * size %}
{#- Metal loads matrices from scalars only; elsewhere four half floats are stored at once. Elements of a tile's row, in those. -#}
{% set tile_type = "vec4<f16>" if packed else "f16" %}
{% set row_items = (block + 8) // (4 if packed else 1) %}
{% set x_type = "vec4<f32>" %}
{% include "linear_bindings.wgsl" %}
var<workgroup> tile_x: array<{{ tile_type }}, {{ tile_tokens * row_items }}>;  // [tokens, {{ block + 8 }}]
{% for m in range(matrices) %}
var<workgroup> tile_w{{ m }}: array<{{ tile_type }}, {{ tile_rows * row_items }}>;  // [rows, {{ block + 8 }}]
{% endfor %}
var<workgroup> stage: array<f32, {{ subgroups * matrices * area }}>;  // [subgroups, matrices, size, size]
{% if norm %}
var<workgroup> squares: array<f32, {{ tile_tokens * block_vecs }}>;
{% endif %}
{#- The index of four elements from column `c` of row `r` of a tile on, and that of the matrix there. -#}
{% macro place(r, c) %}({{ r }}) * {{ row_items }}u + {{ c }}{{ " / 4u" if packed }}{% endmacro %}
{#- Stores a vec4<f16> there. -#}
{% macro keep(tile, r, c, value) %}
{% if packed %}
            {{ tile }}[{{ place(r, c) }}] = {{ value }};
{% else %}
{% for e in range(4) %}
            {{ tile }}[{{ place(r, c) }} + {{ e }}u] = {{ value }}[{{ e }}];
{% endfor %}
{% endif %}
{% endmacro %}

fn half(v: vec4<f32>) -> vec4<f16> {
    return vec4<f16>(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}

@compute @workgroup_size({{ workgroup }})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let first_token = group.x * {{ tile_tokens }}u;
    let first_row = group.y * {{ tile_rows }}u;
    let my_row = subgroup % 2u * {{ lane_rows * size }}u;
    let my_token = subgroup / 2u * {{ tokens * size }}u;
    let my_stage = subgroup * {{ matrices * area }}u;
{#- Sums begin at zero. #}
    for (var i = lane; i < {{ area }}u; i += {{ lanes }}u) {
        stage[my_stage + i] = 0.0;
    }
    workgroupBarrier();
{% for m in range(matrices) %}{% for t in range(tokens) %}{% for r in range(lane_rows) %}
    var sum{{ m }}_{{ t }}_{{ r }} = coopLoadT<{{ matrix }}<f32, C>>(&stage[my_stage], {{ size }}u);
{% endfor %}{% endfor %}{% endfor %}
{% include "linear_incoming.wgsl" %}
{#- Loads block `at`, as it is stored, into registers. -#}
{% macro fetch(at, is_new) %}
{% set var = "var " if is_new %}
{% for i in range(x_turns) %}
    {{ var }}x_raw{{ i }} = x[from{{ i }} + {{ at }} * {{ block_vecs }}u];
{% endfor %}
{% for i in range(w_turns) %}{% for m in range(matrices) %}
    {{ var }}w_raw{{ m }}_{{ i }} = codes{{ m }}[at{{ i }} + {{ at }} * {{ block_units * interleave }}u];
{% endfor %}{% endfor %}
{% endmacro %}
{{ fetch("0u", true) }}
    for (var at = 0u; at < {{ columns // block }}u; at++) {
{% for i in range(x_turns) %}
        {
{% if norm %}
            squares{{ i }} += dot(x_raw{{ i }}, x_raw{{ i }});
            let v = half(x_raw{{ i }} * norm[at * {{ block_vecs }}u + item{{ i }} % {{ block_vecs }}u]);
{% else %}
            let v = half(x_raw{{ i }});
{% endif %}
{{ keep("tile_x", "item" ~ i ~ " / " ~ block_vecs ~ "u", "item" ~ i ~ " % " ~ block_vecs ~ "u * 4u", "v") }}
        }
{% endfor %}
{% for i in range(w_turns) %}{% for m in range(matrices) %}
        {
            let v = w_raw{{ m }}_{{ i }};
            let tile_row = unit{{ i }} / {{ block_units }}u;
            let column = unit{{ i }} % {{ block_units }}u * {{ unit }}u;
{% if quantised and format.bits == 8 and format.group == 16 %}
            let u = at * {{ block_units }}u + unit{{ i }} % {{ block_units }}u;
            {{ weights.unit_scales(format, m, "scale_at" ~ i, "u", interleave, "scale") }}
{%- elif quantised %}
            let of_scales = at{{ " * " ~ depth ~ "u + column / 32u" if depth > 1 }};
            {{ weights.block_scales(format, m, "scale_at" ~ i, "of_scales", interleave, "scale") }}
{%- endif %}
{% for c in range(4) %}
            {{ weights.unpack(format, "v", c, "w" ~ c) }}
{%- endfor %}
{% for each in range(unit // 4) %}
{% set scale = "scale_" ~ (each * 4 // format.group if quantised else 0) %}
{% set elements %}vec4<f32>({% for j in range(4) %}{% set k = each * 4 + j %}{{ ", " if j else "" }}{{ weights.element(format, "w" ~ (k // per_word), k % per_word) }}{% endfor %}){% endset %}
{#- What is stored as half floats, or has scales that are, is within their range: but for a scale times a code. -#}
            let h{{ each }} = {{ "vec4<f16>" if format.bits == 16 else "half" }}({{ elements }}{{ (" * " ~ scale ~ ".x + " ~ scale ~ ".y" if format.minimum else " * " ~ scale) if quantised else "" }});
{{ keep("tile_w" ~ m, "tile_row", "(column + " ~ each * 4 ~ "u)", "h" ~ each) }}
{% endfor %}
        }
{% endfor %}{% endfor %}
        workgroupBarrier();
        let next = min(at + 1u, {{ columns // block - 1 }}u);
{{ fetch("next", false) }}
{% for k in range(0, block, size) %}
{% for t in range(tokens) %}
        let x{{ k }}_{{ t }} = coopLoadT<{{ matrix }}<f16, A>>(&tile_x[{{ place("my_token + " ~ t * size ~ "u", k ~ "u") }}], {{ row_items }}u);
{% endfor %}
{% for m in range(matrices) %}{% for r in range(lane_rows) %}
        let w{{ k }}_{{ m }}_{{ r }} = coopLoad<{{ matrix }}<f16, B>>(&tile_w{{ m }}[{{ place("my_row + " ~ r * size ~ "u", k ~ "u") }}], {{ row_items }}u);
{% for t in range(tokens) %}
        sum{{ m }}_{{ t }}_{{ r }} = coopMultiplyAdd(x{{ k }}_{{ t }}, w{{ k }}_{{ m }}_{{ r }}, sum{{ m }}_{{ t }}_{{ r }});
{% endfor %}
{% endfor %}{% endfor %}
{% endfor %}
        workgroupBarrier();
    }
{% if norm %}
{#- Some lanes have brought in each token. -#}
{% for i in range(x_turns) %}
    if (local + {{ i * workgroup }}u < {{ tile_tokens * block_vecs }}u) {
        squares[item{{ i }}] = squares{{ i }};
    }
{% endfor %}
    workgroupBarrier();
    for (var token = local; token < {{ tile_tokens }}u; token += {{ workgroup }}u) {
        var all = 0.0;
        for (var n = 0u; n < {{ block_vecs }}u; n++) {
            all += squares[token * {{ block_vecs }}u + n];
        }
        squares[token * {{ block_vecs }}u] = inverseSqrt(all / {{ norm_width }}.0 + {{ eps }});
    }
{% endif %}
{% for t in range(tokens) %}{% for r in range(lane_rows) %}
    workgroupBarrier();
{% for m in range(matrices) %}
    coopStoreT(sum{{ m }}_{{ t }}_{{ r }}, &stage[my_stage + {{ m * area }}u], {{ size }}u);
{% endfor %}
    workgroupBarrier();
    for (var i = lane; i < {{ area }}u; i += {{ lanes }}u) {
        let tile_token = my_token + {{ t * size }}u + i / {{ size }}u;
        let token = first_token + tile_token;
        let row = first_row + my_row + {{ r * size }}u + i % {{ size }}u;
        if (row < {{ rows }}u && token < call.rows) {
            let to = token * {{ y_stride }}u + {{ first }}u + row;
{% set scale = " * squares[tile_token * " ~ block_vecs ~ "u]" if norm else "" %}
{% if epilogue in gated.UNITS %}
            let gate = stage[my_stage + i]{{ scale }};
            y[to] = {{ gated.of(epilogue, "gate") }} * (stage[my_stage + {{ area }}u + i]{{ scale }});
{% else %}
            y[to] = {{ "y[to] + " if epilogue == "add" else "" }}stage[my_stage + i]{{ scale }}{{ " + bias[" ~ first ~ "u + row]" if bias else "" }};
{% endif %}
        }
    }
{% endfor %}{% endfor %}
}
