{#-
attention_decode: one query row against a part of the cache, for all query heads of one key/value head at once, so that a key is fetched once for its group.

Scores: each lane takes a position. Values: each lane takes a unit of words of the row and adds up the positions of the tile, whose weights come from the
other lanes by broadcasts (through workgroup memory where there are no subgroups); if a row has fewer units than there are lanes, lanes share out the positions.

Grid: (kv_heads * head tiles, rows, splits). With one split the result is final; otherwise attention_merge puts the splits together
(T. Dao and others, "Flash-Decoding for long-context inference", 2023).

Parameters: as attention_prefill; tile_heads (query heads at once), split (positions of a split; 0: all), load_words (that a lane loads at once, at most), wide (load
64-bit words).
-#}
{% import "cache.wgsl" as cache %}
{% import "attention_seam.wgsl" as seams %}
{% set tiles = heads // kv_heads // tile_heads %}
{% set key_width = sem + geo %}
{% set most_words = load_words if subgroup else 1 %}
{% include "attention_decode_bindings.wgsl" %}
{#- The queries [tile_heads, sem + geo] lie in the lanes' registers, one element each in turn, or in workgroup memory. -#}
{% if not subgroup %}
var<workgroup> queries: array<f32, {{ tile_heads * key_width }}>;
var<workgroup> shared_score: array<f32, {{ workgroup * tile_heads }}>;
{% endif %}
{% set v_load = cache.each(parts.value, most_words) | int %}
{% set v_each = [v_load, 1] | max %}
{% set v_quantised = v_load > 0 and parts.value.scaled %}
{#- Elements of a lane that share a scale. -#}
{% set v_run = [v_each, cache.scale_run(parts.value) | int] | min %}
{% set v_units = value // v_each %}
{% set v_turns = (v_units + workgroup - 1) // workgroup %}
{% set slots = workgroup // v_units if subgroup and v_units < workgroup and workgroup % v_units == 0 else 1 %}
{#- Adds q . k for the elements of one part of token `token`. -#}
{% macro add_scores(name, part, start) %}
{% set load = cache.each(part, most_words) | int %}
{% set unit = cache.unit(part, load) | int %}
{% set quantised = load > 0 and part.scaled %}
{% set step = 8 if quantised else [load, 2] | max %}
{% if subgroup %}
{#- A word that several units share is loaded once. -#}
{% set load = 32 if quantised and part.planes | length > 1 and part.head % 32 == 0 else load %}
{% set each = [load, 1] | max %}
{#- Products with codes are added up by themselves as long as they share a scale. -#}
{% set run = cache.scale_run(part) | int if quantised else 0 %}
{% for e in range(part.head) %}
{% if e % each == 0 %}
{{ cache.load(name, part, load, unit, "token", name ~ "_from / " ~ each ~ "u + " ~ e // each ~ "u", name ~ "_k" ~ e) -}}
{% endif %}
{% if run and e % run == 0 %}
        let {{ name }}_scale{{ e }} = {{ name }}_scale(token, {{ name }}_from + {{ e }}u);
{% for h in range(tile_heads) %}
        var {{ name }}_run{{ e }}_{{ h }} = 0.0;
{% endfor %}
{% endif %}
{% set k = name ~ "_k" ~ e // each * each ~ "_" ~ e % each %}
{% for h in range(tile_heads) %}
{% set q = h * key_width + start + e %}
{% set to = name ~ "_run" ~ (e // run * run) ~ "_" ~ h if run else "score" ~ h %}
        {{ to }} = fma(subgroupBroadcast(query{{ q // workgroup }}, {{ q % workgroup }}u), {{ k }}, {{ to }});
{% endfor %}
{% if run and e % run == run - 1 %}
{% for h in range(tile_heads) %}
        score{{ h }} = fma({{ name }}_scale{{ e - run + 1 }}, {{ name }}_run{{ e - run + 1 }}_{{ h }}, score{{ h }});
{% endfor %}
{% endif %}
{% endfor %}
{% elif load > 0 and part.head % step == 0 %}
        for (var e = 0u; e < {{ part.head }}u; e += {{ step }}u) {
{% if quantised %}
            let scale = {{ name }}_scale(token, {{ name }}_from + e);
{% endif %}
{{ cache.load(name, part, step, unit, "token", "(" ~ name ~ "_from + e) / " ~ step ~ "u", "k") }}
{%- for h in range(tile_heads) %}
            score{{ h }} += {{ "scale * " if quantised else "" }}({% for i in range(step) %}{{ " + " if i else "" }}queries[{{ h * key_width + start }}u + e + {{ i }}u] * k_{{ i }}{% endfor %});
{% endfor %}
        }
{% else %}
        for (var e = 0u; e < {{ part.head }}u; e++) {
            let k = {{ name }}_element(token, {{ name }}_from + e);
{% for h in range(tile_heads) %}
            score{{ h }} += queries[{{ h * key_width + start }}u + e] * k;
{% endfor %}
        }
{% endif %}
{% endmacro %}

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    // The unit of a row of values that this lane takes, and the slot among the positions if several are taken at once.
    let lane = local{{ " % " ~ v_units ~ "u" if slots > 1 }};
{% if slots > 1 %}
    let slot = local / {{ v_units }}u;
{% endif %}
{% include "attention_decode_incoming.wgsl" %}
{% if subgroup %}
{% for n in range((tile_heads * key_width + workgroup - 1) // workgroup) %}
    let query{{ n }} = query_element(row, head, min({{ n * workgroup }}u + local, {{ tile_heads * key_width - 1 }}u));
{% endfor %}
{% else %}
    for (var i = local; i < {{ tile_heads * key_width }}u; i += {{ workgroup }}u) {
        queries[i] = query_element(row, head, i);
    }
    workgroupBarrier();
{% endif %}
{% for h in range(tile_heads) %}
    var most{{ h }} = HIDDEN;
    var total{{ h }} = 0.0;  // of this lane's own positions
{% for turn in range(v_turns) %}{% for j in range(v_each) %}
    var sum{{ h }}_{{ turn }}_{{ j }} = 0.0;
{% endfor %}{% endfor %}
{% endfor %}
    {{ seams.loop(seam, "tile", "begin", workgroup, "position", "position") }} {
        let mine = tile + local;
        let token = token_of(sequence, min(mine, end - 1u));
{% for h in range(tile_heads) %}
        var score{{ h }} = 0.0;
{% endfor %}
{% if sem > 0 %}
{{ add_scores("semantic", parts.semantic, 0) }}
{%- endif %}
{{ add_scores("geometric", parts.geometric, sem) }}
{%- for h in range(tile_heads) %}
        score{{ h }} = score_of(score{{ h }}, mine < end, position, mine, head + {{ h }}u, sequence);
{% endfor %}
{% if subgroup %}
{% for h in range(tile_heads) %}
        let peak{{ h }} = max(most{{ h }}, subgroupMax(score{{ h }}));
{% endfor %}
{% else %}
        workgroupBarrier();
{% for h in range(tile_heads) %}
        shared_score[{{ h * workgroup }}u + local] = score{{ h }};
{% endfor %}
        workgroupBarrier();
{% for h in range(tile_heads) %}
        var peak{{ h }} = most{{ h }};
        for (var i = 0u; i < {{ workgroup }}u; i++) {
            peak{{ h }} = max(peak{{ h }}, shared_score[{{ h * workgroup }}u + i]);
        }
{% endfor %}
{% endif %}
{% for h in range(tile_heads) %}
        let fade{{ h }} = fade_of(most{{ h }}, peak{{ h }});
        most{{ h }} = peak{{ h }};
        let weight{{ h }} = weight_of(score{{ h }}, peak{{ h }});
        total{{ h }} = total{{ h }} * fade{{ h }} + weight{{ h }};
{% for turn in range(v_turns) %}{% for j in range(v_each) %}
        sum{{ h }}_{{ turn }}_{{ j }} *= fade{{ h }};
{% endfor %}{% endfor %}
{% endfor %}
{#- Adds w0, w1, ... times the values of `value_token`. -#}
{% macro add_values() %}
{% for turn in range(v_turns) %}
            {
                let at = value_from / {{ v_each }}u + min({{ turn * workgroup }}u + lane, {{ v_units - 1 }}u);
{{ cache.load("value", parts.value, v_load, cache.unit(parts.value, v_load) | int, "value_token", "at", "v") }}
{%- if v_quantised %}
{% for run in range(v_each // v_run) %}
                let scale{{ run }} = value_scale(value_token, at * {{ v_each }}u + {{ run * v_run }}u);
{% for h in range(tile_heads) %}
                let scaled{{ h }}_{{ run }} = w{{ h }} * scale{{ run }};
{% endfor %}
{% endfor %}
{% endif %}
{% for h in range(tile_heads) %}{% for j in range(v_each) %}
                sum{{ h }}_{{ turn }}_{{ j }} = fma({{ "scaled" ~ h ~ "_" ~ j // v_run if v_quantised else "w" ~ h }}, v_{{ j }}, sum{{ h }}_{{ turn }}_{{ j }});
{% endfor %}{% endfor %}
            }
{% endfor %}
{% endmacro %}
{% if subgroup %}
{% for j in range(0, workgroup, slots) %}
        {
            let value_token = token_of(sequence, min(tile + {{ j }}u{{ " + slot" if slots > 1 }}, end - 1u));
{% for h in range(tile_heads) %}
{% if slots == 1 %}
            let w{{ h }} = subgroupBroadcast(weight{{ h }}, {{ j }}u);
{% elif slots == 2 %}
            let w{{ h }} = select(subgroupBroadcast(weight{{ h }}, {{ j }}u), subgroupBroadcast(weight{{ h }}, {{ j + 1 }}u), slot == 1u);
{% else %}
            let w{{ h }} = subgroupShuffle(weight{{ h }}, {{ j }}u + slot);
{% endif %}
{% endfor %}
{{ add_values() }}
        }
{% endfor %}
{% else %}
        workgroupBarrier();
{% for h in range(tile_heads) %}
        shared_score[{{ h * workgroup }}u + local] = weight{{ h }};
{% endfor %}
        workgroupBarrier();
        for (var j = 0u; j < min({{ workgroup }}u, end - tile); j++) {
            let value_token = token_of(sequence, tile + j);
{% for h in range(tile_heads) %}
            let w{{ h }} = shared_score[{{ h * workgroup }}u + j];
{% endfor %}
{{ add_values() }}
        }
{% endif %}
    }
{% if subgroup %}
{% for h in range(tile_heads) %}
    total{{ h }} = subgroupAdd(total{{ h }});
{% for shift in range(1, 6) %}{% set step = v_units * 2 ** (shift - 1) %}{% if slots > 1 and step < workgroup %}{% for j in range(v_each) %}
    sum{{ h }}_0_{{ j }} += subgroupShuffleXor(sum{{ h }}_0_{{ j }}, {{ step }}u);
{% endfor %}{% endif %}{% endfor %}
{% endfor %}
{% else %}
    workgroupBarrier();
{% for h in range(tile_heads) %}
    shared_score[{{ h * workgroup }}u + local] = total{{ h }};
{% endfor %}
    workgroupBarrier();
{% for h in range(tile_heads) %}
    total{{ h }} = 0.0;
    for (var i = 0u; i < {{ workgroup }}u; i++) {
        total{{ h }} += shared_score[{{ h * workgroup }}u + i];
    }
{% endfor %}
{% endif %}
{% if seam.null %}
    // The null key and value belong to the first split.
    if (group.z == 0u) {
{% for h in range(tile_heads) %}
        {
            let null_at = (head + {{ h }}u) * {{ key_width + value }}u;
            var score = 0.0;
            for (var e = 0u; e < {{ key_width }}u; e++) {
                score += query_element(row, head, {{ h * key_width }}u + e) * nulls[null_at + e];
            }
            let peak = max(most{{ h }}, score);
            let fade = fade_of(most{{ h }}, peak);
            let weight = weight_of(score, peak);
            most{{ h }} = peak;
            total{{ h }} = total{{ h }} * fade + weight;
{% for turn in range(v_turns) %}{% for j in range(v_each) %}
            sum{{ h }}_{{ turn }}_{{ j }} = sum{{ h }}_{{ turn }}_{{ j }} * fade + weight * nulls[null_at + {{ key_width }}u + min({{ turn * workgroup }}u + lane, {{ v_units - 1 }}u) * {{ v_each }}u + {{ j }}u];
{% endfor %}{% endfor %}
        }
{% endfor %}
    }
{% endif %}
{% for turn in range(v_turns) %}
    if ({{ turn * workgroup }}u + local < {{ v_units }}u) {
        let e = ({{ turn * workgroup }}u + local) * {{ v_each }}u;
{% for h in range(tile_heads) %}
{% if split > 0 %}
        let to{{ h }} = ((row * {{ heads }}u + head + {{ h }}u) * call.splits + group.z) * {{ value + 2 }}u + e;
{% for j in range(v_each) %}
        out[to{{ h }} + {{ j }}u] = sum{{ h }}_{{ turn }}_{{ j }};
{% endfor %}
{% else %}
        let to{{ h }} = row * {{ out_stride }}u + (head + {{ h }}u) * {{ value }}u + e;
        let divisor{{ h }} = divisor_of(total{{ h }}, most{{ h }}, head + {{ h }}u);
{% for j in range(v_each) %}
        out[to{{ h }} + {{ j }}u] = sum{{ h }}_{{ turn }}_{{ j }} / divisor{{ h }};
{% endfor %}
{% endif %}
{% endfor %}
    }
{% endfor %}
{% if split > 0 %}
    if (local == 0u) {
{% for h in range(tile_heads) %}
        let at{{ h }} = ((row * {{ heads }}u + head + {{ h }}u) * call.splits + group.z) * {{ value + 2 }}u + {{ value }}u;
        out[at{{ h }}] = most{{ h }};
        out[at{{ h }} + 1u] = total{{ h }};
{% endfor %}
    }
{% endif %}
}
