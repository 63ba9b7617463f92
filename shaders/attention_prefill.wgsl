{#-
attention_prefill: out[t, h] = sum_p softmax_p(q[t, h] . k[p]) v[p] over the visible positions p of row t's sequence, each lane owning one row t.

A key or value is fetched once for all rows of a tile: by the lanes of a subgroup, a unit of words each, and handed on by broadcasts; without subgroups every
lane loads it (all from one address). The softmax runs along, so no score is ever stored; keys are taken {{ keys }} at a time, which makes rescaling rare.

All rows of a tile of {{ workgroup }} are of one sequence (the host sees to it).

Grid: (heads, row tiles, 1).

Parameters: stride (of qkv), out_stride, heads, kv_heads, sem, geo, value, workgroup, subgroup, keys, seam (see attention_seam.wgsl), load_words (that a lane of a
subgroup loads at once, at most), wide (load 64-bit words), ring (see cache.wgsl), parts.
-#}
{% import "cache.wgsl" as cache %}
{% import "attention_seam.wgsl" as seams %}
{% set group_size = heads // kv_heads %}
{% set most_words = load_words if subgroup else 1 %}
{#- Sums that a score is made of: one alone would wait for itself. -#}
{% set chains = 4 %}
{% include "call.wgsl" %}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> rows: array<vec2<u32>>;  // (sequence, position)
@group(0) @binding(2) var<storage, read> qkv: array<f32>;  // [rows, {{ stride }}]: q_sem, q_geo first
@group(0) @binding(3) var<storage, read_write> out: array<f32>;  // [rows, {{ out_stride }}]
{% for name, part in parts | items %}
{{ cache.reader(name, part, cache.unit(part, cache.each(part, most_words) | int) | int, wide, ring) }}
{%- endfor %}
{{ cache.places(ring) }}
{{- seams.declare(seam, group_size, 1) }}
{% if seam.null %}
@group(0) @binding({{ seam.null_binding }}) var<storage, read> nulls: array<f32>;  // [heads, sem + geo + value]
{% endif %}
{#- Fetches elements [0, width) of a head of a part of token `t` and gives each to `use(i, f32 expression)`. -#}
{% macro each_element(name, part, t, tag) %}
{% set each = cache.each(part, most_words) | int %}
{% set unit = cache.unit(part, each) | int %}
{% if each > 0 and subgroup %}
{#- Lanes take the head's units in turn. -#}
{% set run = [each, cache.scale_run(part) | int] | min %}
{% set units = part.head // each %}
{% for first in range(0, units, subgroup) %}
{{ cache.load(name, part, each, unit, t, name ~ "_from / " ~ each ~ "u + min(" ~ first ~ "u + lane, " ~ (units - 1) ~ "u)", tag ~ "_raw" ~ first) }}
{%- if part.scaled %}
{% for e in range(0, each, run) %}
        let {{ tag }}_scale{{ first }}_{{ e }} = {{ name }}_scale({{ t }}, {{ name }}_from + min({{ first }}u + lane, {{ units - 1 }}u) * {{ each }}u + {{ e }}u);
{% endfor %}
{% endif %}
{% for j in range(each) %}
        let {{ tag }}_mine{{ first }}_{{ j }} = {{ tag }}_raw{{ first }}_{{ j }}{{ " * " ~ tag ~ "_scale" ~ first ~ "_" ~ j // run * run if part.scaled else "" }};
{% endfor %}
{% for u in range(first, [first + subgroup, units] | min) %}{% for j in range(each) %}
        let {{ tag }}{{ u * each + j }} = subgroupBroadcast({{ tag }}_mine{{ first }}_{{ j }}, {{ u - first }}u);
{% endfor %}{% endfor %}
{% endfor %}
{% elif each > 0 %}
{% for u in range(part.head // each) %}
{{ cache.load(name, part, each, unit, t, name ~ "_from / " ~ each ~ "u + " ~ u ~ "u", tag ~ "_raw" ~ u) }}
{%- if part.scaled and (u * each) % 8 == 0 %}
        let {{ tag }}_scale{{ u * each // 8 }} = {{ name }}_scale({{ t }}, {{ name }}_from + {{ u * each }}u);
{% endif %}
{% for j in range(each) %}
        let {{ tag }}{{ u * each + j }} = {{ tag }}_raw{{ u }}_{{ j }}{{ " * " ~ tag ~ "_scale" ~ (u * each // 8) if part.scaled else "" }};
{% endfor %}
{% endfor %}
{% else %}
{% for i in range(part.head) %}
        let {{ tag }}{{ i }} = {{ name }}_element({{ t }}, {{ name }}_from + {{ i }}u);
{% endfor %}
{% endif %}
{% endmacro %}

@compute @workgroup_size({{ workgroup }})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
{% if subgroup %}
    @builtin(subgroup_invocation_id) lane: u32,
{% endif %}
) {
    let head = group.x;
    let kv_head = head / {{ group_size }}u;
    let first = group.y * {{ workgroup }}u;
    let row = min(first + local, call.rows - 1u);
    let sequence = rows[first].x;
    let is_row = first + local < call.rows && rows[row].x != 0xffffffffu;
    let position = select(0u, rows[row].y, is_row);
{% for name, part in parts | items %}
    let {{ name }}_from = kv_head * {{ part.head }}u;
{% endfor %}
{% if sem > 0 %}
    let semantic_at = row * {{ stride }}u + head * {{ sem }}u;
{% endif %}
    let geometric_at = row * {{ stride }}u + {{ heads * sem }}u + head * {{ geo }}u;
{#- Through arrays and loops: drivers take long over code that loads in many places. -#}
{% if sem > 0 %}
    var semantic_query: array<f32, {{ sem }}>;
    for (var i = 0u; i < {{ sem }}u; i++) {
        semantic_query[i] = qkv[semantic_at + i];
    }
{% endif %}
    var geometric_query: array<f32, {{ geo }}>;
    for (var i = 0u; i < {{ geo }}u; i++) {
        geometric_query[i] = qkv[geometric_at + i];
    }
{% for i in range(sem) %}
    let qs{{ i }} = semantic_query[{{ i }}];
{% endfor %}
{% for i in range(geo) %}
    let qg{{ i }} = geometric_query[{{ i }}];
{% endfor %}
{% if seam.null %}
    let null_at = head * {{ sem + geo + value }}u;
    var most = 0.0{% for i in range(sem) %} + qs{{ i }} * nulls[null_at + {{ i }}u]{% endfor %}{% for i in range(geo) %} + qg{{ i }} * nulls[null_at + {{ sem + i }}u]{% endfor %};
    var total = weight_of(most, most);
{% for i in range(value) %}
    var sum{{ i }} = total * nulls[null_at + {{ sem + geo + i }}u];
{% endfor %}
{% else %}
    var most = HIDDEN;
    var total = 0.0;
{% for i in range(value) %}
    var sum{{ i }} = 0.0;
{% endfor %}
{% endif %}
    // The tile's rows see positions [begin, end): the first row's window to the last row's own position.
    let last_row = min(first + {{ workgroup }}u, call.rows) - 1u;
    var end = rows[first].y + 1u;
    for (var r = first + 1u; r <= last_row; r++) {
        end = max(end, select(0u, rows[r].y + 1u, rows[r].x == sequence));
    }
    let oldest = oldest_seen(rows[first].y);
    if (sequence == 0xffffffffu) {
        end = 0u;
    }
    {{ seams.loop(seam, "key", "next_key(0u, oldest)", keys, "rows[first].y", "end - 1u") }} {
{% for j in range(keys) %}
        let token{{ j }} = token_of(sequence, min(key + {{ j }}u, end - 1u));
{% for c in range(chains) %}
        var score{{ j }}_{{ c }} = 0.0;
{% endfor %}
{% endfor %}
{% for j in range(keys) %}
{% if sem > 0 %}
{{ each_element("semantic", parts.semantic, "token" ~ j, "s" ~ j ~ "_") }}
{%- for i in range(sem) %}
        score{{ j }}_{{ i % chains }} = fma(qs{{ i }}, s{{ j }}_{{ i }}, score{{ j }}_{{ i % chains }});
{% endfor %}
{% endif %}
{{ each_element("geometric", parts.geometric, "token" ~ j, "g" ~ j ~ "_") }}
{%- for i in range(geo) %}
        score{{ j }}_{{ i % chains }} = fma(qg{{ i }}, g{{ j }}_{{ i }}, score{{ j }}_{{ i % chains }});
{% endfor %}
        let seen{{ j }} = is_seen(position, key + {{ j }}u) && key + {{ j }}u < end;
        let score{{ j }} = score_of({% for c in range(chains) %}{{ " + " if c }}score{{ j }}_{{ c }}{% endfor %}, seen{{ j }}, position, key + {{ j }}u, head, sequence);
{% endfor %}
        var peak = most;
{% for j in range(keys) %}
        peak = max(peak, score{{ j }});
{% endfor %}
        let fade = fade_of(most, peak);
        most = peak;
        total *= fade;
{% for i in range(value) %}
        sum{{ i }} *= fade;
{% endfor %}
{% for j in range(keys) %}
        let weight{{ j }} = weight_of(score{{ j }}, peak);
        total += weight{{ j }};
{{ each_element("value", parts.value, "token" ~ j, "v" ~ j ~ "_") }}
{%- for i in range(value) %}
        sum{{ i }} = fma(weight{{ j }}, v{{ j }}_{{ i }}, sum{{ i }});
{% endfor %}
{% endfor %}
    }
    if (is_row) {
        let to = row * {{ out_stride }}u + head * {{ value }}u;
        let divisor = divisor_of(total, most, head);
        var results: array<f32, {{ value }}>;
{% for i in range(value) %}
        results[{{ i }}] = sum{{ i }} / divisor;
{% endfor %}
        for (var i = 0u; i < {{ value }}u; i++) {
            out[to + i] = results[i];
        }
    }
}
