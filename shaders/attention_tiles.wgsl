{#-
attention_tiles: what attention_prefill computes, for graphics cards: keys and values go through workgroup memory a tile at a time, for all rows of a tile of
rows, and a lane keeps a small tile of scores and of sums in registers, however wide the head. Scores never leave the chip (T. Dao and others,
"FlashAttention: Fast and memory-efficient exact attention with IO-awareness", 2022). It needs no subgroups and no 16-bit floats.

Lane `local` is lane across = local % 16 across the keys or the value's elements, and along = local / 16 along the rows. Rows go in fours, the parts of a vec4:
a lane has every (workgroup / 16)th four of the tile, every 16th key of it, and four elements of each 64 of the value. For each tile of keys:

  scores    keys by blocks of 32 elements (64 where queries stay) into `tile`, beside the queries' block; a lane multiplies its rows by its keys
  softmax   the largest score of a row from its 16 lanes through `weights`, then what the keys weigh into `weights`
  values    by blocks of 64 elements into `tile`; a lane adds up its elements for its rows

All rows of a tile are of one sequence, with rising positions (the host sees to it).

Grid: (heads, row tiles, 1).

Parameters: as attention_prefill without subgroup and keys; workgroup (a multiple of 16), tile_rows (a multiple of workgroup / 4), tile_keys (a multiple
of 16), keep (whether queries stay in workgroup memory, rather than being fetched again for each tile of keys), unroll (see
loops.wgsl: software drivers take a minute over it).

Bytes of workgroup memory, with fours(n) = ceil(n / 4) and eights(n) = n rounded up to a multiple of 8:

  keep       16 * (tile_rows * eights(fours(sem) + fours(geo)) + 16 * tile_keys + tile_rows / 4 * tile_keys)
  not keep   16 * (max(8 * (tile_rows + tile_keys), 16 * tile_keys) + tile_rows / 4 * tile_keys)
-#}
{% import "attention_fetch.wgsl" as fetch %}
{% import "attention_seam.wgsl" as seams %}
{% import "cache.wgsl" as cache %}
{% import "loops.wgsl" as loops %}
{% set group_size = heads // kv_heads %}
{% set lanes_along = workgroup // 16 %}
{% set fours = range(tile_rows // 4 // lanes_along) %}
{% set lane_keys = range(tile_keys // 16) %}
{% set four_rows = range(4) %}
{#- Name, width, vec4s; first vec4 of a row of `tile`, first element of a row of qkv and of a head of nulls. -#}
{% set geometric = ("geometric", geo, (geo + 3) // 4, (sem + 3) // 4, heads * sem, sem) %}
{% set key_parts = [("semantic", sem, (sem + 3) // 4, 0, 0, 0), geometric] if sem > 0 else [geometric] %}
{% set key_fours = (sem + 3) // 4 + (geo + 3) // 4 %}
{% set value_fours = (value + 3) // 4 %}
{% set value_blocks = range((value_fours + 15) // 16) %}
{% set block_fours = 16 if keep else 8 %}
{% set query_fours = (key_fours + 7) // 8 * 8 if keep else 8 %}
{% set keys_at = tile_rows * query_fours %}
{% set values_at = keys_at if keep else 0 %}
{% set wide = sem % 4 == 0 and geo % 4 == 0 and stride % 4 == 0 %}
{% include "call.wgsl" %}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> rows: array<vec2<u32>>;  // (sequence, position)
@group(0) @binding(2) var<storage, read> qkv: array<{{ "vec4<f32>" if wide else "f32" }}>;  // [rows, {{ stride }}]: q_sem, q_geo first
@group(0) @binding(3) var<storage, read_write> out: array<f32>;  // [rows, {{ out_stride }}]
{% for name, part in parts | items %}
{{ fetch.elements(name, part, ring) }}
{%- endfor %}
{% for name, width, _, _, first, _ in key_parts %}
{{ fetch.queries(name, width, first, stride, wide) }}
{%- endfor %}
{{ cache.places(ring) }}
{{- seams.declare(seam, group_size, 1) }}
{% if seam.null %}
@group(0) @binding({{ seam.null_binding }}) var<storage, read> nulls: array<f32>;  // [heads, sem + geo + value]
{% endif %}
// Queries [{{ tile_rows }}, {{ query_fours }}], then keys [{{ tile_keys }}, {{ block_fours }}]; values [{{ tile_keys }}, 16] from {{ values_at }} on. The order of a key's vec4s is turned by
// its number, that of a query's by its four's: so lanes that read the same of different rows meet different banks.
var<workgroup> tile: array<vec4<f32>, {{ [keys_at + tile_keys * block_fours, values_at + tile_keys * 16] | max }}>;
// What a key weighs for four rows: [{{ tile_rows // 4 }}, {{ tile_keys }}]. Between times, what the 16 lanes of four rows tell each other.
var<workgroup> weights: array<vec4<f32>, {{ tile_rows // 4 * tile_keys }}>;

// 0xffffffff where there is no row.
fn position_of(row: u32) -> u32 {
    let entry = rows[min(row, call.rows - 1u)];
    return select(0xffffffffu, entry.y, row < call.rows && entry.x != 0xffffffffu);
}

// The sum of what the 16 lanes of four rows have put into `weights` from `at` on.
fn sum_of_lanes(at: u32) -> vec4<f32> {
    var sum = vec4<f32>();
    for (var i = 0u; i < {{ loops.bound(16, unroll) }}; i++) {
        sum += weights[at + i];
    }
    return sum;
}

{#- Brings `count` vec4 of the `all` of a head, from vec4 `from` on, of every token of the tile of keys to where it belongs. -#}
{% macro bring(name, part, count, from, all) %}
{% set each = fetch.size(part) | int // 4 %}
{% set row_items = count // each %}
            for (var item = local; item < {{ tile_keys * row_items }}u; item += {{ workgroup }}u) {
                let i = item / {{ row_items }}u;
                let v = item % {{ row_items }}u * {{ each }}u;
                let e = min({{ from }} + v, {{ all - each }}u) * 4u;
                let elements = {{ name }}_fetch(token_of(sequence, min(key + i, end - 1u)), kv_head * {{ part.head }}u, e);
{% for x in range(each) %}
                tile[{{ values_at ~ "u + i * 16u + v + " ~ x ~ "u" if name == "value" else keys_at ~ "u + i * " ~ block_fours ~ "u + ((v + " ~ x ~ "u) ^ (i & 7u))" }}] = elements{{ "[" ~ x ~ "]" if each > 1 else "" }};
{% endfor %}
            }
{% endmacro %}
@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let across = local % 16u;
    let along = local / 16u;
    let head = group.x;
    let kv_head = head / {{ group_size }}u;
    let first = group.y * {{ tile_rows }}u;
    let sequence = rows[first].x;
{% for n in fours %}
    let four{{ n }} = along + {{ n * lanes_along }}u;
    let row{{ n }} = first + four{{ n }} * 4u;
    let weights{{ n }} = four{{ n }} * {{ tile_keys }}u;
    let position{{ n }} = vec4<u32>({% for r in four_rows %}{{ ", " if r else "" }}position_of(row{{ n }} + {{ r }}u){% endfor %});
    var most{{ n }} = vec4<f32>(HIDDEN);
    var total{{ n }} = vec4<f32>();  // of this lane's own keys
{% for b in value_blocks %}{% for r in four_rows %}
    var sum{{ n }}_{{ b }}_{{ r }} = vec4<f32>();
{% endfor %}{% endfor %}
{% endfor %}
{% if seam.null %}
    // As if the null key had been the only one so far: each of the 16 lanes of a row scores some of its elements.
    let null_at = head * {{ sem + geo + value }}u;
{% for n in fours %}
    var null_score{{ n }} = vec4<f32>();
{% endfor %}
{% for name, width, all, _, _, start in key_parts %}
    for (var v = across; v < {{ all }}u; v += 16u) {
        let null_key = vec4<f32>({% for j in range(4) %}{{ ", " if j else "" }}nulls[null_at + {{ start }}u + min(v * 4u + {{ j }}u, {{ width - 1 }}u)]{% endfor %});
{% for n in fours %}
        null_score{{ n }} += vec4<f32>({% for r in four_rows %}{{ ", " if r else "" }}dot({{ name }}_query(row{{ n }} + {{ r }}u, head, v), null_key){% endfor %});
{% endfor %}
    }
{% endfor %}
{% for n in fours %}
    weights[weights{{ n }} + across] = null_score{{ n }};
{% endfor %}
    workgroupBarrier();
{% for n in fours %}
    most{{ n }} = sum_of_lanes(weights{{ n }});
    let null_weight{{ n }} = weight_of4(most{{ n }}, most{{ n }});
    total{{ n }} = select(vec4<f32>(), null_weight{{ n }}, across == 0u);
{% endfor %}
{% for b in value_blocks %}
    let null_value{{ b }} = vec4<f32>({% for j in range(4) %}{{ ", " if j else "" }}nulls[null_at + {{ sem + geo }}u + min(across * 4u + {{ b * 64 + j }}u, {{ value - 1 }}u)]{% endfor %});
{% for n in fours %}{% for r in four_rows %}
    sum{{ n }}_{{ b }}_{{ r }} = null_weight{{ n }}[{{ r }}] * null_value{{ b }};
{% endfor %}{% endfor %}
{% endfor %}
{% endif %}
    // The tile's rows see positions [begin, end): the first row's window to the last row's own position.
    var end = rows[first].y + 1u;
    for (var r = first + 1u; r < min(first + {{ tile_rows }}u, call.rows); r++) {
        end = max(end, select(0u, rows[r].y + 1u, rows[r].x == sequence));
    }
    let oldest = oldest_seen(rows[first].y);
    if (sequence == 0xffffffffu) {
        end = 0u;
    }
{% if keep %}
{% for name, _, all, at, _, _ in key_parts %}
    for (var item = local; item < {{ tile_rows * all }}u; item += {{ workgroup }}u) {
        let i = item / {{ all }}u;
        let v = item % {{ all }}u;
        tile[i * {{ query_fours }}u + (({{ at }}u + v) ^ (i / 4u & 7u))] = {{ name }}_query(first + i, head, v);
    }
{% endfor %}
{% endif %}
    {{ seams.loop(seam, "key", "next_key(0u, oldest)", tile_keys, "rows[first].y", "end - 1u") }} {
{% for n in fours %}{% for j in lane_keys %}
        var score{{ n }}_{{ j }} = vec4<f32>();
{% endfor %}{% endfor %}
{% for name, _, all, at, _, _ in key_parts %}
{% set count = [all, block_fours] | min %}
        for (var block = 0u; block < {{ loops.bound(all, unroll) }}; block += {{ count }}u) {
            workgroupBarrier();
{{ bring(name, parts[name], count, "block", all) }}
{%- if not keep %}
            for (var item = local; item < {{ tile_rows * count }}u; item += {{ workgroup }}u) {
                let i = item / {{ count }}u;
                let v = item % {{ count }}u;
                tile[i * {{ query_fours }}u + (v ^ (i / 4u & 7u))] = {{ name }}_query(first + i, head, min(block + v, {{ all - 1 }}u));
            }
{% endif %}
            workgroupBarrier();
            // The last block may have fewer.
            for (var v = 0u; v < {{ loops.bound(count, unroll) if all % count == 0 else "min(" ~ loops.bound(count, unroll) ~ ", " ~ all ~ "u - block)" }}; v++) {
{% for j in lane_keys %}
                let k{{ j }} = tile[across * {{ block_fours }}u + {{ keys_at + j * 16 * block_fours }}u + (v ^ (across & 7u))];
{% endfor %}
{% for n in fours %}
                let queries{{ n }} = four{{ n }} * {{ 4 * query_fours }}u + ({{ "(" ~ at ~ "u + block + v)" if keep else "v" }} ^ (four{{ n }} & 7u));
{% for r in four_rows %}
                let q{{ n }}_{{ r }} = tile[queries{{ n }} + {{ r * query_fours }}u];
{% endfor %}
{% for j in lane_keys %}
                score{{ n }}_{{ j }} += vec4<f32>({% for r in four_rows %}{{ ", " if r else "" }}dot(q{{ n }}_{{ r }}, k{{ j }}){% endfor %});
{% endfor %}
{% endfor %}
            }
        }
{% endfor %}
{% for n in fours %}
        var peak{{ n }} = most{{ n }};
{% for j in lane_keys %}
        score{{ n }}_{{ j }} = score_of4(score{{ n }}_{{ j }}, is_seen4(position{{ n }}, vec4<u32>(key + across + {{ j * 16 }}u)), position{{ n }}, key + across + {{ j * 16 }}u, head, sequence);
        peak{{ n }} = max(peak{{ n }}, score{{ n }}_{{ j }});
{% endfor %}
        weights[weights{{ n }} + across] = peak{{ n }};
{% endfor %}
        workgroupBarrier();
        for (var i = 0u; i < {{ loops.bound(16, unroll) }}; i++) {
{% for n in fours %}
            peak{{ n }} = max(peak{{ n }}, weights[weights{{ n }} + i]);
{% endfor %}
        }
        workgroupBarrier();
{% for n in fours %}
        let fade{{ n }} = fade_of4(most{{ n }}, peak{{ n }});
        most{{ n }} = peak{{ n }};
        total{{ n }} *= fade{{ n }};
{% for j in lane_keys %}
        let weight{{ n }}_{{ j }} = weight_of4(score{{ n }}_{{ j }}, peak{{ n }});
        total{{ n }} += weight{{ n }}_{{ j }};
        weights[weights{{ n }} + across + {{ j * 16 }}u] = weight{{ n }}_{{ j }};
{% endfor %}
{% for b in value_blocks %}{% for r in four_rows %}
        sum{{ n }}_{{ b }}_{{ r }} *= fade{{ n }}[{{ r }}];
{% endfor %}{% endfor %}
{% endfor %}
{% for b in value_blocks %}
        {
{% if b > 0 %}
            workgroupBarrier();
{% endif %}
{{ bring("value", parts.value, [value_fours - b * 16, 16] | min, b * 16 ~ "u", value_fours) }}
            workgroupBarrier();
            for (var i = 0u; i < {{ loops.bound(tile_keys, unroll) }}; i++) {
                let v = tile[{{ values_at }}u + i * 16u + across];
{% for n in fours %}
                let w{{ n }} = weights[weights{{ n }} + i];
{% for r in four_rows %}
                sum{{ n }}_{{ b }}_{{ r }} += w{{ n }}[{{ r }}] * v;
{% endfor %}
{% endfor %}
            }
        }
{% endfor %}
    }
    workgroupBarrier();
{% for n in fours %}
    weights[weights{{ n }} + across] = total{{ n }};
{% endfor %}
    workgroupBarrier();
    // Lanes behind the last element have added up what was left in the tile.
{% for n in fours %}
    total{{ n }} = sum_of_lanes(weights{{ n }});
    let divisor{{ n }} = divisor_of4(total{{ n }}, most{{ n }}, head);
{% for r in four_rows %}
    if (position{{ n }}[{{ r }}] != 0xffffffffu) {
        let to = (row{{ n }} + {{ r }}u) * {{ out_stride }}u + head * {{ value }}u + across * 4u;
{% for b in value_blocks %}{% for j in range(4) %}
        if (across * 4u + {{ b * 64 + j }}u < {{ value }}u) {
            out[to + {{ b * 64 + j }}u] = sum{{ n }}_{{ b }}_{{ r }}[{{ j }}] / divisor{{ n }}[{{ r }}];
        }
{% endfor %}{% endfor %}
    }
{% endfor %}
{% endfor %}
}
