{#-
attention_shared: as attention_decode, {{ lanes }} lanes sharing a position: they take the units of its key and value in turn and add up scores by
subgroup operations.

For graphics cards: neighbouring lanes read neighbouring words, queries stay in registers, and every such team of lanes runs a softmax of its own over every
{{ workgroup // lanes }}th position, {{ keys }} at a time, whose keys and values are asked for before any is needed. In the end teams of a subgroup come together by subgroup
operations, and then the workgroup's through its memory.

Grid: (kv_heads * head tiles, rows, splits), with and without attention_merge behind it as attention_decode.

Parameters: as attention_decode; lanes (of a team: a power of two), neighbours (lanes that are certainly in one subgroup: a power of two, `lanes` or more), keys (positions of a team at once). Workgroup memory: workgroup / neighbours * (value + 2 * tile_heads) words.
-#}
{% import "cache.wgsl" as cache %}
{% import "attention_seam.wgsl" as seams %}
{% set tiles = heads // kv_heads // tile_heads %}
{% set key_width = sem + geo %}
{% set most_words = load_words %}
{% set teams = workgroup // lanes %}
{% set shifts = [1, 2, 4, 8, 16, 32] %}
{#- Neighbouring lanes that leave one result. -#}
{% set crowd = [neighbours, workgroup] | min %}
{% set crowds = workgroup // crowd %}
{% include "attention_decode_bindings.wgsl" %}
var<workgroup> crowd_most: array<f32, {{ crowds * tile_heads }}>;  // [crowds, tile_heads]
var<workgroup> crowd_total: array<f32, {{ crowds * tile_heads }}>;
var<workgroup> crowd_sum: array<f32, {{ crowds * value }}>;  // [crowds, value], of one head at a time
{#- Elements of a unit, turns of the lanes over a head's units. -#}
{% macro each(part) %}{{ [cache.each(part, most_words) | int, 1] | max }}{% endmacro %}
{% macro turns(part) %}{{ (part.head // (each(part) | int) + lanes - 1) // lanes }}{% endmacro %}
{#- Elements of a lane that share a scale; 0: there are none. -#}
{% macro run(part) %}{{ [each(part) | int, cache.scale_run(part) | int] | min if part.scaled and cache.each(part, most_words) | int > 0 else 0 }}{% endmacro %}
{#- Loads unit `name`_lane`turn` of token `token`: `to`_0 and on its elements, without the scales `to`_scale0 and on of each `run` of them. -#}
{% macro load(name, part, turn, token, to) %}
{% set each = each(part) | int %}
{% set load = cache.each(part, most_words) | int %}
{{ cache.load(name, part, load, cache.unit(part, load) | int, token, name ~ "_from / " ~ each ~ "u + " ~ name ~ "_lane" ~ turn, to) }}
{%- if run(part) | int > 0 %}
{% for e in range(0, each, run(part) | int) %}
            let {{ to }}_scale{{ e }} = {{ name }}_scale({{ token }}, {{ name }}_from + {{ name }}_lane{{ turn }} * {{ each }}u + {{ e }}u);
{% endfor %}
{% endif %}
{% endmacro %}
{#- Adds q . k for this lane's elements of one part of position `n`. -#}
{% macro add_scores(name, part, n) %}
{% set run = run(part) | int %}
{% for turn in range(turns(part) | int) %}
{% set k = name ~ n ~ "_" ~ turn %}
{% for h in range(tile_heads) %}
{% for first in range(0, each(part) | int, run or (each(part) | int)) %}
            score{{ n }}_{{ h }} += {{ k ~ "_scale" ~ first ~ " * " if run }}({% for e in range(first, first + (run or (each(part) | int))) %}{{ " + " if e > first }}{{ name }}_query{{ h }}_{{ turn }}_{{ e }} * {{ k }}_{{ e }}{% endfor %});
{% endfor %}
{% endfor %}
{% endfor %}
{% endmacro %}
{% set key_parts = [["semantic", 0], ["geometric", sem]] if sem > 0 else [["geometric", 0]] %}
{% set v_each = each(parts.value) | int %}
{% set v_units = value // v_each %}
{% set v_turns = turns(parts.value) | int %}

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let lane = local % {{ lanes }}u;
    let team = local / {{ lanes }}u;
{% include "attention_decode_incoming.wgsl" %}
{#- Lanes that have no unit in the last turn take the last one again, and count it for nothing. -#}
{% for name, part in parts | items %}
{% for turn in range(turns(part) | int) %}
    let {{ name }}_lane{{ turn }} = min({{ turn * lanes }}u + lane, {{ part.head // (each(part) | int) - 1 }}u);
{% endfor %}
{% endfor %}
{% for name, start in key_parts %}{% set part = parts[name] %}
{% for turn in range(turns(part) | int) %}{% for h in range(tile_heads) %}{% for e in range(each(part) | int) %}
    let {{ name }}_query{{ h }}_{{ turn }}_{{ e }} = select(0.0, query_element(row, head, {{ h * key_width + start + e }}u + {{ name }}_lane{{ turn }} * {{ each(part) }}u), {{ turn * lanes }}u + lane < {{ part.head // (each(part) | int) }}u);
{% endfor %}{% endfor %}{% endfor %}
{% endfor %}
{% if seam.null %}
    // The null key and value belong to the first team of the first split.
    let has_null = group.z == 0u && team == 0u;
{% endif %}
{% for h in range(tile_heads) %}
{% if seam.null %}
    let null_at{{ h }} = (head + {{ h }}u) * {{ key_width + value }}u;
    var null_score{{ h }} = 0.0;
{% for name, start in key_parts %}{% set part = parts[name] %}
{% for turn in range(turns(part) | int) %}{% for e in range(each(part) | int) %}
    null_score{{ h }} += {{ name }}_query{{ h }}_{{ turn }}_{{ e }} * nulls[null_at{{ h }} + {{ start + e }}u + {{ name }}_lane{{ turn }} * {{ each(part) }}u];
{% endfor %}{% endfor %}
{% endfor %}
{% for shift in shifts %}{% if shift < lanes %}
    null_score{{ h }} += subgroupShuffleXor(null_score{{ h }}, {{ shift }}u);
{% endif %}{% endfor %}
    var most{{ h }} = select(HIDDEN, null_score{{ h }}, has_null);
    var total{{ h }} = select(0.0, weight_of(null_score{{ h }}, null_score{{ h }}), has_null);
{% else %}
    var most{{ h }} = HIDDEN;
    var total{{ h }} = 0.0;
{% endif %}
{% for turn in range(v_turns) %}{% for e in range(v_each) %}
    var sum{{ h }}_{{ turn }}_{{ e }} = {{ "total" ~ h ~ " * nulls[null_at" ~ h ~ " + " ~ (key_width + e) ~ "u + value_lane" ~ turn ~ " * " ~ v_each ~ "u]" if seam.null else "0.0" }};
{% endfor %}{% endfor %}
{% endfor %}
    {{ seams.loop(seam, "tile", "begin", teams * keys, "position", "position") }} {
{% for n in range(keys) %}
        let key{{ n }} = tile + {{ n * teams }}u + team;
        let token{{ n }} = token_of(sequence, min(key{{ n }}, end - 1u));
{% for name, part in parts | items %}{% for turn in range(turns(part) | int) %}
{{ load(name, part, turn, "token" ~ n, name ~ n ~ "_" ~ turn) }}
{%- endfor %}{% endfor %}
{% endfor %}
{% for n in range(keys) %}
{% for h in range(tile_heads) %}
        var score{{ n }}_{{ h }} = 0.0;
{% endfor %}
{% for name, start in key_parts %}
{{ add_scores(name, parts[name], n) }}
{%- endfor %}
{% endfor %}
{% for h in range(tile_heads) %}
        var peak{{ h }} = most{{ h }};
{% for n in range(keys) %}
{% for shift in shifts %}{% if shift < lanes %}
        score{{ n }}_{{ h }} += subgroupShuffleXor(score{{ n }}_{{ h }}, {{ shift }}u);
{% endif %}{% endfor %}
        score{{ n }}_{{ h }} = score_of(score{{ n }}_{{ h }}, key{{ n }} < end, position, key{{ n }}, head + {{ h }}u, sequence);
        peak{{ h }} = max(peak{{ h }}, score{{ n }}_{{ h }});
{% endfor %}
        let fade{{ h }} = fade_of(most{{ h }}, peak{{ h }});
        most{{ h }} = peak{{ h }};
        total{{ h }} *= fade{{ h }};
{% for turn in range(v_turns) %}{% for e in range(v_each) %}
        sum{{ h }}_{{ turn }}_{{ e }} *= fade{{ h }};
{% endfor %}{% endfor %}
{% endfor %}
{% for n in range(keys) %}
{% for h in range(tile_heads) %}
        let weight{{ n }}_{{ h }} = weight_of(score{{ n }}_{{ h }}, peak{{ h }});
        total{{ h }} += weight{{ n }}_{{ h }};
{% endfor %}
{% for turn in range(v_turns) %}
{% set v = "value" ~ n ~ "_" ~ turn %}
{% set run = run(parts.value) | int %}
{% for h in range(tile_heads) %}{% for e in range(v_each) %}
        sum{{ h }}_{{ turn }}_{{ e }} = fma(weight{{ n }}_{{ h }}{{ " * " ~ v ~ "_scale" ~ e // run * run if run }}, {{ v }}_{{ e }}, sum{{ h }}_{{ turn }}_{{ e }});
{% endfor %}{% endfor %}
{% endfor %}
{% endfor %}
    }
    // Teams of neighbours first: one look for the largest score, then all sums.
    let crowd = local / {{ crowd }}u;
{% for h in range(tile_heads) %}
    var nearby{{ h }} = most{{ h }};
{% for shift in shifts %}{% if shift >= lanes and shift < crowd %}
    nearby{{ h }} = max(nearby{{ h }}, subgroupShuffleXor(nearby{{ h }}, {{ shift }}u));
{% endif %}{% endfor %}
{% if crowd > lanes %}
    {
        let fade = fade_of(most{{ h }}, nearby{{ h }});
        most{{ h }} = nearby{{ h }};
        total{{ h }} *= fade;
{% for turn in range(v_turns) %}{% for e in range(v_each) %}
        sum{{ h }}_{{ turn }}_{{ e }} *= fade;
{% endfor %}{% endfor %}
    }
{% for shift in shifts %}{% if shift >= lanes and shift < crowd %}
    total{{ h }} += subgroupShuffleXor(total{{ h }}, {{ shift }}u);
{% for turn in range(v_turns) %}{% for e in range(v_each) %}
    sum{{ h }}_{{ turn }}_{{ e }} += subgroupShuffleXor(sum{{ h }}_{{ turn }}_{{ e }}, {{ shift }}u);
{% endfor %}{% endfor %}
{% endif %}{% endfor %}
{% endif %}
{% endfor %}
    if (local % {{ crowd }}u == 0u) {
{% for h in range(tile_heads) %}
        crowd_most[crowd * {{ tile_heads }}u + {{ h }}u] = most{{ h }};
        crowd_total[crowd * {{ tile_heads }}u + {{ h }}u] = total{{ h }};
{% endfor %}
    }
{% for h in range(tile_heads) %}
    workgroupBarrier();
    var peak{{ h }} = most{{ h }};
    for (var i = 0u; i < {{ crowds }}u; i++) {
        peak{{ h }} = max(peak{{ h }}, crowd_most[i * {{ tile_heads }}u + {{ h }}u]);
    }
    var all{{ h }} = 0.0;
    for (var i = 0u; i < {{ crowds }}u; i++) {
        all{{ h }} += fade_of(crowd_most[i * {{ tile_heads }}u + {{ h }}u], peak{{ h }}) * crowd_total[i * {{ tile_heads }}u + {{ h }}u];
    }
    let part{{ h }} = fade_of(most{{ h }}, peak{{ h }});{{ "" if split > 0 else "
    let divisor" ~ h ~ " = divisor_of(all" ~ h ~ ", peak" ~ h ~ ", head + " ~ h ~ "u);" }}
{% for turn in range(v_turns) %}
    if (local % {{ crowd }}u < {{ lanes }}u && {{ turn * lanes }}u + lane < {{ v_units }}u) {
{% for e in range(v_each) %}
        crowd_sum[crowd * {{ value }}u + value_lane{{ turn }} * {{ v_each }}u + {{ e }}u] = sum{{ h }}_{{ turn }}_{{ e }} * part{{ h }};
{% endfor %}
    }
{% endfor %}
    workgroupBarrier();
{% set to = "((row * " ~ heads ~ "u + head + " ~ h ~ "u) * call.splits + group.z) * " ~ (value + 2) ~ "u" if split > 0 else "row * " ~ out_stride ~ "u + (head + " ~ h ~ "u) * " ~ value ~ "u" %}
    for (var e = local; e < {{ value }}u; e += {{ workgroup }}u) {
        var sum = 0.0;
        for (var i = 0u; i < {{ crowds }}u; i++) {
            sum += crowd_sum[i * {{ value }}u + e];
        }
        out[{{ to }} + e] = sum{{ "" if split > 0 else " / divisor" ~ h }};
    }
{% if split > 0 %}
    if (local == 0u) {
        out[{{ to }} + {{ value }}u] = peak{{ h }};
        out[{{ to }} + {{ value + 1 }}u] = all{{ h }};
    }
{% endif %}
{% endfor %}
}
