{#-
linear_lanes: y[t, r] = sum_k w[r, k] * x[t, k], each lane owning some rows r for a tile of tokens t.

For devices where a load costs much more than arithmetic (software drivers): a weight is loaded once for all tokens of the tile, and an activation once
per subgroup, each lane taking one column and handing it to the others by a broadcast. Without subgroups every lane loads it.

Grid: (row tiles, token tiles, 1).

Parameters: format, interleave, columns (padded to 32), rows, first (of the output), tokens (of a tile), lane_rows, workgroup, subgroup (0: none), wide (load 64-bit words),
unroll (see loops.wgsl), x_stride, y_stride, epilogue (`store`, `add` to what is there, or a unit of gated.wgsl with two matrices), bias, norm (RMSNorm of x first:
`norm_width`, `eps`).
-#}
{% import "weights.wgsl" as weights %}
{% import "loops.wgsl" as loops %}
{% import "gated.wgsl" as gated %}
{% set matrices = 2 if epilogue in gated.UNITS else 1 %}
{% set quantised = format.bits <= 8 %}
{#- Columns in one turn of the loop: whole units and whole subgroups; fewer compile faster, and with many tokens the loop costs nothing. -#}
{% set span = 32 if quantised or tokens * lane_rows < 8 else [8, subgroup] | max %}
{#- Groups of columns in a block of 32, each with a scale of its own. -#}
{% set groups = 32 // format.group if quantised else 0 %}
{% set unit = weights.unit(format) | int %}
{% set per_word = weights.per_word(format) | int %}
{% set x_type = "f32" if subgroup else "vec4<f32>" %}
{% include "linear_bindings.wgsl" %}

@compute @workgroup_size({{ workgroup }})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
{% if subgroup %}
    @builtin(subgroup_invocation_id) lane: u32,
{% endif %}
) {
{% for r in range(lane_rows) %}
    let row{{ r }} = group.x * {{ workgroup * lane_rows }}u + {{ r * workgroup }}u + local;
    let safe{{ r }} = min(row{{ r }}, {{ rows - 1 }}u);
    let at{{ r }} = {{ weights.begin("safe" ~ r, columns // unit, interleave) }};
{% if quantised %}
    let scale_at{{ r }} = {{ weights.begin("safe" ~ r, weights.scale_words(format, columns) | int, interleave) }};
{% endif %}
{% endfor %}
{% for t in range(tokens) %}
    let token{{ t }} = group.y * {{ tokens }}u + {{ t }}u;
    let start{{ t }} = min(token{{ t }}, call.rows - 1u) * {{ x_stride if subgroup else x_stride // 4 }}u;
{% if norm %}
    var squares{{ t }} = 0.0;
{% endif %}
{% for m in range(matrices) %}{% for r in range(lane_rows) %}
    var sum{{ m }}_{{ t }}_{{ r }} = 0.0;
{% endfor %}{% endfor %}
{% endfor %}
    for (var block = 0u; block < {{ loops.bound(columns // span, unroll) }}; block++) {
{% if quantised %}
{% for m in range(matrices) %}{% for r in range(lane_rows) %}
        {{ weights.block_scales(format, m, "scale_at" ~ r, "block", interleave, "scale" ~ m ~ "_" ~ r) }}
{%- endfor %}{% endfor %}
{% for t in range(tokens) %}{% for g in range(groups) %}
{% if format.minimum %}
        var total{{ t }}_{{ g }} = 0.0;
{% endif %}
{% for m in range(matrices) %}{% for r in range(lane_rows) %}
        var part{{ m }}_{{ t }}_{{ r }}_{{ g }} = 0.0;
{% endfor %}{% endfor %}
{% endfor %}{% endfor %}
{% endif %}
{% for k in range(0, span, per_word) %}
{#- Weights: one vec4<u32> is loaded when its first word is due, and unpacked word by word. -#}
{% if k % unit == 0 %}
{% for m in range(matrices) %}{% for r in range(lane_rows) %}
{% set v = m ~ "_" ~ r ~ "_" ~ (k // unit) %}
{% set loaded = "codes" ~ m ~ "[at" ~ r ~ " + block * " ~ (span // unit * interleave) ~ "u + " ~ (k // unit * interleave) ~ "u]" %}
{% if wide %}
        let pair{{ v }} = {{ loaded }};
        let v{{ v }} = vec4<u32>(u32(pair{{ v }}.x), u32(pair{{ v }}.x >> 32u), u32(pair{{ v }}.y), u32(pair{{ v }}.y >> 32u));
{% else %}
        let v{{ v }} = {{ loaded }};
{% endif %}
{% endfor %}{% endfor %}
{% endif %}
{% for m in range(matrices) %}{% for r in range(lane_rows) %}
        {{ weights.unpack(format, "v" ~ m ~ "_" ~ r ~ "_" ~ (k // unit), (k % unit) // per_word, "w" ~ m ~ "_" ~ r ~ "_" ~ k) }}
{%- endfor %}{% endfor %}
{% for j in range(per_word) %}
{% set column = k + j %}
{#- Activations: a column for each lane. -#}
{% if subgroup and column % subgroup == 0 %}
{% if norm %}
        let n{{ column }} = norm[block * {{ span }}u + {{ column }}u + lane];
{% endif %}
{% for t in range(tokens) %}
        let x{{ t }}_{{ column // subgroup }}{{ "_raw" if norm else "" }} = x[start{{ t }} + block * {{ span }}u + {{ column }}u + lane];
{% if norm %}
        squares{{ t }} += x{{ t }}_{{ column // subgroup }}_raw * x{{ t }}_{{ column // subgroup }}_raw;
        let x{{ t }}_{{ column // subgroup }} = x{{ t }}_{{ column // subgroup }}_raw * n{{ column }};
{% endif %}
{% if format.minimum and subgroup <= format.group %}
        total{{ t }}_{{ column // format.group }} += x{{ t }}_{{ column // subgroup }};
{% elif format.minimum %}
        total{{ t }}_0 += select(0.0, x{{ t }}_{{ column // subgroup }}, lane < {{ format.group }}u);
        total{{ t }}_1 += select(x{{ t }}_{{ column // subgroup }}, 0.0, lane < {{ format.group }}u);
{% endif %}
{% endfor %}
{% elif not subgroup and column % 4 == 0 %}
{% if norm %}
        let n{{ column }} = norm[block * {{ span // 4 }}u + {{ column // 4 }}u];
{% endif %}
{% for t in range(tokens) %}
        let x{{ t }}_{{ column // 4 }}{{ "_raw" if norm else "" }} = x[start{{ t }} + block * {{ span // 4 }}u + {{ column // 4 }}u];
{% if norm %}
        squares{{ t }} += dot(x{{ t }}_{{ column // 4 }}_raw, x{{ t }}_{{ column // 4 }}_raw);
        let x{{ t }}_{{ column // 4 }} = x{{ t }}_{{ column // 4 }}_raw * n{{ column }};
{% endif %}
{% if format.minimum %}
        total{{ t }}_{{ column // format.group }} += dot(x{{ t }}_{{ column // 4 }}, vec4<f32>(1.0));
{% endif %}
{% endfor %}
{% endif %}
{% for t in range(tokens) %}
{% if subgroup %}
        let b{{ t }}_{{ column }} = subgroupBroadcast(x{{ t }}_{{ column // subgroup }}, {{ column % subgroup }}u);
{% else %}
        let b{{ t }}_{{ column }} = x{{ t }}_{{ column // 4 }}[{{ column % 4 }}];
{% endif %}
{% for m in range(matrices) %}{% for r in range(lane_rows) %}
{% set sum = ("part" if quantised else "sum") ~ m ~ "_" ~ t ~ "_" ~ r ~ ("_" ~ column // format.group if quantised else "") %}
        {{ sum }} = fma({{ weights.element(format, "w" ~ m ~ "_" ~ r ~ "_" ~ k, j) }}, b{{ t }}_{{ column }}, {{ sum }});
{% endfor %}{% endfor %}
{% endfor %}
{% endfor %}
{% if quantised and (k + per_word) % format.group == 0 %}
{% set g = k // format.group %}
{% for t in range(tokens) %}
{% if format.minimum %}
        let all{{ t }}_{{ g }} = {{ "subgroupAdd(total" ~ t ~ "_" ~ g ~ ")" if subgroup else "total" ~ t ~ "_" ~ g }};
{% endif %}
{% for m in range(matrices) %}{% for r in range(lane_rows) %}
{% set scale = "scale" ~ m ~ "_" ~ r ~ "_" ~ g %}
{% set part = "part" ~ m ~ "_" ~ t ~ "_" ~ r ~ "_" ~ g %}
{% if format.minimum %}
        sum{{ m }}_{{ t }}_{{ r }} += {{ part }} * {{ scale }}.x + all{{ t }}_{{ g }} * {{ scale }}.y;
{% else %}
        sum{{ m }}_{{ t }}_{{ r }} = fma({{ part }}, {{ scale }}, sum{{ m }}_{{ t }}_{{ r }});
{% endif %}
{% endfor %}{% endfor %}
{% endfor %}
{% endif %}
{% endfor %}
    }
{#- Results go through an array and a loop: drivers take long over code that stores in many places. -#}
    var results: array<f32, {{ tokens * lane_rows }}>;
{% for t in range(tokens) %}
{% if norm %}
    let inverse{{ t }} = inverseSqrt({{ "subgroupAdd(squares" ~ t ~ ")" if subgroup else "squares" ~ t }} / {{ norm_width }}.0 + {{ eps }});
{% endif %}
{% set scale = " * inverse" ~ t if norm else "" %}
{% for r in range(lane_rows) %}
{% if epilogue in gated.UNITS %}
    let gate{{ t }}_{{ r }} = sum0_{{ t }}_{{ r }}{{ scale }};
    results[{{ t * lane_rows + r }}] = {{ gated.of(epilogue, "gate" ~ t ~ "_" ~ r) }} * (sum1_{{ t }}_{{ r }}{{ scale }});
{% else %}
    results[{{ t * lane_rows + r }}] = sum0_{{ t }}_{{ r }}{{ scale }};
{% endif %}
{% endfor %}
{% endfor %}
    for (var i = 0u; i < {{ tokens * lane_rows }}u; i++) {
        let row = group.x * {{ workgroup * lane_rows }}u + (i % {{ lane_rows }}u) * {{ workgroup }}u + local;
        let token = group.y * {{ tokens }}u + i / {{ lane_rows }}u;
        if (row < {{ rows }}u && token < call.rows) {
            let to = token * {{ y_stride }}u + {{ first }}u + row;
            y[to] = {{ "y[to] + " if epilogue == "add" else "" }}results[i]{{ " + bias[" ~ first ~ "u + row]" if bias else "" }};
        }
    }
}
