{#-
linear_shared: y[t, r] = sum_k w[r, k] * x[t, k], {{ lanes }} lanes sharing some rows r, whose units they take in turn, and adding up at the end.

For graphics cards and few tokens: neighbouring lanes read neighbouring words, so a row streams at the memory's speed, and the activations come from the cache.
Lanes add up by subgroup operations where a subgroup is what shares a row. Where subgroups are of a size that isn't known, a workgroup shares its rows: each of
its subgroups adds up what it has, and what they leave in workgroup memory is added after a single barrier. Without subgroups all goes through workgroup memory.

Grid: (row tiles, token tiles, 1).

Parameters: as linear_lanes, and lanes (that share rows; a power of two that divides workgroup) and subgroups. With a subgroup, lanes is its size; with
subgroups (of unknown size: so many of them a workgroup has at most; else 0), lanes is workgroup.
-#}
{% import "weights.wgsl" as weights %}
{% import "gated.wgsl" as gated %}
{% set matrices = 2 if epilogue in gated.UNITS else 1 %}
{% set quantised = format.bits <= 8 %}
{% set unit = weights.unit(format) | int %}
{% set per_word = weights.per_word(format) | int %}
{% set units = columns // unit %}
{#- Groups of columns in a unit, each with a scale of its own. -#}
{% set groups = [1, unit // format.group] | max if quantised else 0 %}
{% set teams = workgroup // lanes %}
{#- Sums that a lane keeps: of every token, row and matrix, and then of each token's squares. -#}
{% set outputs = tokens * lane_rows %}
{% set sums = outputs * matrices + (tokens if norm else 0) %}
{% set x_type = "vec4<f32>" %}
{% include "linear_bindings.wgsl" %}
{% if subgroups %}
var<workgroup> parts: array<f32, {{ subgroups * sums }}>;  // [subgroups, sums]
{% elif not subgroup %}
var<workgroup> shared_sum: array<f32, {{ workgroup }}>;

// The sum of `value` over the lanes of this lane's team.
fn team_sum(value: f32, local: u32) -> f32 {
    workgroupBarrier();
    shared_sum[local] = value;
    workgroupBarrier();
    for (var half = {{ lanes // 2 }}u; half > 0u; half /= 2u) {
        if (local % {{ lanes }}u < half) {
            shared_sum[local] += shared_sum[local + half];
        }
        workgroupBarrier();
    }
    return shared_sum[local - local % {{ lanes }}u];
}
{% endif %}

@compute @workgroup_size({{ workgroup }})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
{% if subgroups %}
    @builtin(num_subgroups) subgroups: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
{% endif %}
) {
    let lane = local % {{ lanes }}u;
    let team = group.x * {{ teams }}u + local / {{ lanes }}u;
{% for r in range(lane_rows) %}
    let row{{ r }} = team * {{ lane_rows }}u + {{ r }}u;
    let safe{{ r }} = min(row{{ r }}, {{ rows - 1 }}u);
    let at{{ r }} = {{ weights.begin("safe" ~ r, units, interleave) }};
{% if quantised %}
    let scale_at{{ r }} = {{ weights.begin("safe" ~ r, weights.scale_words(format, columns) | int, interleave) }};
{% endif %}
{% endfor %}
{% for t in range(tokens) %}
    let token{{ t }} = group.y * {{ tokens }}u + {{ t }}u;
    let start{{ t }} = min(token{{ t }}, call.rows - 1u) * {{ x_stride // 4 }}u;
{% if norm %}
    var squares{{ t }} = 0.0;
{% endif %}
{% for m in range(matrices) %}{% for r in range(lane_rows) %}
    var sum{{ m }}_{{ t }}_{{ r }} = 0.0;
{% endfor %}{% endfor %}
{% endfor %}
{% if units % lanes == 0 %}
    // As often for every lane: drivers that know it have the loads of several turns under way.
    for (var turn = 0u; turn < {{ units // lanes }}u; turn++) {
        let u = turn * {{ lanes }}u + lane;
{% else %}
    for (var u = lane; u < {{ units }}u; u += {{ lanes }}u) {
{% endif %}
{% for m in range(matrices) %}{% for r in range(lane_rows) %}
        let v{{ m }}_{{ r }} = codes{{ m }}[at{{ r }} + u * {{ interleave }}u];
{% if quantised %}
        {{ weights.unit_scales(format, m, "scale_at" ~ r, "u", interleave, "scale" ~ m ~ "_" ~ r) }}
{%- for t in range(tokens) %}{% for g in range(groups) %}
        var part{{ m }}_{{ t }}_{{ r }}_{{ g }} = 0.0;
{% endfor %}{% endfor %}
{% endif %}
{% endfor %}{% endfor %}
{% if format.minimum %}
{% for t in range(tokens) %}{% for g in range(groups) %}
        var total{{ t }}_{{ g }} = 0.0;
{% endfor %}{% endfor %}
{% endif %}
{% for c in range(4) %}
{% for m in range(matrices) %}{% for r in range(lane_rows) %}
        {{ weights.unpack(format, "v" ~ m ~ "_" ~ r, c, "w" ~ m ~ "_" ~ r ~ "_" ~ c) }}
{%- endfor %}{% endfor %}
{% for j in range(per_word) %}
{% set column = c * per_word + j %}
{% if column % 4 == 0 %}
{% if norm %}
        let n{{ column }} = norm[u * {{ unit // 4 }}u + {{ column // 4 }}u];
{% endif %}
{% for t in range(tokens) %}
        let x{{ t }}_{{ column // 4 }}{{ "_raw" if norm else "" }} = x[start{{ t }} + u * {{ unit // 4 }}u + {{ column // 4 }}u];
{% if norm %}
        squares{{ t }} += dot(x{{ t }}_{{ column // 4 }}_raw, x{{ t }}_{{ column // 4 }}_raw);
        let x{{ t }}_{{ column // 4 }} = x{{ t }}_{{ column // 4 }}_raw * n{{ column }};
{% endif %}
{% if format.minimum %}
        total{{ t }}_{{ column // format.group }} += dot(x{{ t }}_{{ column // 4 }}, vec4<f32>(1.0));
{% endif %}
{% endfor %}
{% endif %}
{% for t in range(tokens) %}{% for m in range(matrices) %}{% for r in range(lane_rows) %}
{% set sum = ("part" if quantised else "sum") ~ m ~ "_" ~ t ~ "_" ~ r ~ ("_" ~ column // format.group if quantised else "") %}
        {{ sum }} = fma({{ weights.element(format, "w" ~ m ~ "_" ~ r ~ "_" ~ c, j) }}, x{{ t }}_{{ column // 4 }}[{{ column % 4 }}], {{ sum }});
{% endfor %}{% endfor %}{% endfor %}
{% endfor %}
{% endfor %}
{% if quantised %}
{% for t in range(tokens) %}{% for m in range(matrices) %}{% for r in range(lane_rows) %}{% for g in range(groups) %}
{% set scale = "scale" ~ m ~ "_" ~ r ~ "_" ~ g %}
{% set part = "part" ~ m ~ "_" ~ t ~ "_" ~ r ~ "_" ~ g %}
{% if format.minimum %}
        sum{{ m }}_{{ t }}_{{ r }} += {{ part }} * {{ scale }}.x + total{{ t }}_{{ g }} * {{ scale }}.y;
{% else %}
        sum{{ m }}_{{ t }}_{{ r }} = fma({{ part }}, {{ scale }}, sum{{ m }}_{{ t }}_{{ r }});
{% endif %}
{% endfor %}{% endfor %}{% endfor %}{% endfor %}
{% endif %}
    }
{% macro write(token, row, all0, all1) %}
if ({{ row }} < {{ rows }}u && {{ token }} < call.rows) {
        let to = {{ token }} * {{ y_stride }}u + {{ first }}u + {{ row }};
{% if epilogue in gated.UNITS %}
        y[to] = {{ gated.of(epilogue, all0) }} * {{ all1 }};
{% else %}
        y[to] = {{ "y[to] + " if epilogue == "add" else "" }}{{ all0 }}{{ " + bias[" ~ first ~ "u + " ~ row ~ "]" if bias else "" }};
{% endif %}
    }
{% endmacro %}
{% if subgroups %}
{% for t in range(tokens) %}
{% for r in range(lane_rows) %}{% for m in range(matrices) %}
    let added{{ m }}_{{ t }}_{{ r }} = subgroupAdd(sum{{ m }}_{{ t }}_{{ r }});
{% endfor %}{% endfor %}
{% if norm %}
    let added_squares{{ t }} = subgroupAdd(squares{{ t }});
{% endif %}
{% endfor %}
    if (subgroup_lane == 0u) {
        let to = subgroup * {{ sums }}u;
{% for t in range(tokens) %}
{% for r in range(lane_rows) %}{% for m in range(matrices) %}
        parts[to + {{ (t * lane_rows + r) * matrices + m }}u] = added{{ m }}_{{ t }}_{{ r }};
{% endfor %}{% endfor %}
{% if norm %}
        parts[to + {{ outputs * matrices + t }}u] = added_squares{{ t }};
{% endif %}
{% endfor %}
    }
    workgroupBarrier();
    for (var i = local; i < {{ outputs }}u; i += {{ workgroup }}u) {
        let token = group.y * {{ tokens }}u + i / {{ lane_rows }}u;
        let row = group.x * {{ lane_rows }}u + i % {{ lane_rows }}u;
{% for m in range(matrices) %}
        var all{{ m }} = 0.0;
{% endfor %}
{% if norm %}
        var squares = 0.0;
{% endif %}
        for (var s = 0u; s < subgroups; s++) {
            let begin = s * {{ sums }}u;
{% for m in range(matrices) %}
            all{{ m }} += parts[begin + i * {{ matrices }}u + {{ m }}u];
{% endfor %}
{% if norm %}
            squares += parts[begin + {{ outputs * matrices }}u + i / {{ lane_rows }}u];
{% endif %}
        }
{% if norm %}
        let inverse = inverseSqrt(squares / {{ norm_width }}.0 + {{ eps }});
{% for m in range(matrices) %}
        all{{ m }} *= inverse;
{% endfor %}
{% endif %}
        {{ write("token", "row", "all0", "all1") }}
    }
{% else %}
{% macro all(name) %}{{ "subgroupAdd(" ~ name ~ ")" if subgroup else "team_sum(" ~ name ~ ", local)" }}{% endmacro %}
{% for t in range(tokens) %}
{% if norm %}
    let inverse{{ t }} = inverseSqrt({{ all("squares" ~ t) }} / {{ norm_width }}.0 + {{ eps }});
{% endif %}
{% for r in range(lane_rows) %}
{% for m in range(matrices) %}
    let all{{ m }}_{{ t }}_{{ r }} = {{ all("sum" ~ m ~ "_" ~ t ~ "_" ~ r) }}{{ " * inverse" ~ t if norm else "" }};
{% endfor %}
    if (lane == 0u) {
        {{ write("token" ~ t, "row" ~ r, "all0_" ~ t ~ "_" ~ r, "all1_" ~ t ~ "_" ~ r) }}
    }
{% endfor %}
{% endfor %}
{% endif %}
}
