{#-
linear_tiles: y[t, r] = sum_k w[r, k] * x[t, k] for a tile of tokens and rows, block of columns by block of columns through workgroup memory.

For graphics cards and many tokens: what a workgroup loads is used by a whole side of the tile, and each lane keeps a small tile of sums in registers. A block
of 32 columns is eight vec4 of a token or row; their order is turned by the row's number, so that lanes that read neighbouring rows meet different banks.

Lane `local` is lane local % 16 across the rows and local / 16 along the tokens; it has every 16th row and every (workgroup / 16)th token of the tile.

Grid: (row tiles, token tiles, 1).

Parameters: as linear_lanes; tokens and lane_rows are those of one lane.
-#}
{% import "weights.wgsl" as weights %}
{% import "loops.wgsl" as loops %}
{% import "gated.wgsl" as gated %}
{% set matrices = 2 if epilogue in gated.UNITS else 1 %}
{% set quantised = format.bits <= 8 %}
{% set unit = weights.unit(format) | int %}
{% set per_word = weights.per_word(format) | int %}
{% set units = columns // unit %}
{% set along = workgroup // 16 %}
{% set tile_tokens = tokens * along %}
{% set tile_rows = lane_rows * 16 %}
{% set x_turns = (tile_tokens * 8 + workgroup - 1) // workgroup %}
{% set block_vecs = 8 %}
{% set block_units = 32 // unit %}
{% set w_turns = (tile_rows * block_units + workgroup - 1) // workgroup %}
{% set x_type = "vec4<f32>" %}
{% include "linear_bindings.wgsl" %}
var<workgroup> tile_x: array<vec4<f32>, {{ tile_tokens * 8 }}>;
{% for m in range(matrices) %}
var<workgroup> tile_w{{ m }}: array<vec4<f32>, {{ tile_rows * 8 }}>;
{% endfor %}

// Where vec4 `v` (0 to 7) of row or token `i` of a tile is.
fn place(i: u32, v: u32) -> u32 {
    return i * 8u + (v ^ (i & 7u));
}

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let across = local % 16u;
    let along = local / 16u;
    let first_row = group.x * {{ tile_rows }}u;
    let first_token = group.y * {{ tile_tokens }}u;
{% for m in range(matrices) %}{% for t in range(tokens) %}{% for r in range(lane_rows) %}
    var sum{{ m }}_{{ t }}_{{ r }} = 0.0;
{% endfor %}{% endfor %}{% endfor %}
{% include "linear_incoming.wgsl" %}
    for (var block = 0u; block < {{ loops.bound(columns // 32, unroll) }}; block++) {
{% for i in range(x_turns) %}
{% if norm %}
        let raw{{ i }} = x[from{{ i }} + block * 8u];
        squares{{ i }} += dot(raw{{ i }}, raw{{ i }});
        tile_x[place(item{{ i }} / 8u, item{{ i }} % 8u)] = raw{{ i }} * norm[block * 8u + item{{ i }} % 8u];
{% else %}
        tile_x[place(item{{ i }} / 8u, item{{ i }} % 8u)] = x[from{{ i }} + block * 8u];
{% endif %}
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
            let i = unit{{ i }} / {{ block_units }}u;
            let first = unit{{ i }} % {{ block_units }}u * {{ unit // 4 }}u;
{% for four in range(unit // 4) %}
{% set scale = "scale_" ~ (four * 4 // format.group if quantised else 0) %}
            tile_w{{ m }}[place(i, first + {{ four }}u)] = vec4<f32>({% for j in range(4) %}{% set k = four * 4 + j %}{{ ", " if j else "" }}{{ weights.element(format, "w" ~ (k // per_word), k % per_word) }}{% endfor %}){{ (" * " ~ scale ~ ".x + " ~ scale ~ ".y" if format.minimum else " * " ~ scale) if quantised else "" }};
{% endfor %}
        }
{% endfor %}{% endfor %}
        workgroupBarrier();
        for (var v = 0u; v < {{ loops.bound(8, unroll) }}; v++) {
{% for r in range(lane_rows) %}{% for m in range(matrices) %}
            let w{{ m }}_{{ r }} = tile_w{{ m }}[place(across + {{ r * 16 }}u, v)];
{% endfor %}{% endfor %}
{% for t in range(tokens) %}
            let x{{ t }} = tile_x[place(along + {{ t * along }}u, v)];
{% for r in range(lane_rows) %}{% for m in range(matrices) %}
            sum{{ m }}_{{ t }}_{{ r }} += dot(w{{ m }}_{{ r }}, x{{ t }});
{% endfor %}{% endfor %}
{% endfor %}
        }
        workgroupBarrier();
    }
{% if norm %}
{#- Eight lanes have brought in each token: their squares come together where the tile of x was. -#}
{% for i in range(x_turns) %}
    if (local + {{ i * workgroup }}u < {{ tile_tokens * 8 }}u) {
        tile_x[item{{ i }}].x = squares{{ i }};
    }
{% endfor %}
    workgroupBarrier();
{% endif %}
{% for t in range(tokens) %}
    {
        let token = along + {{ t * along }}u;
{% if norm %}
        var squares = 0.0;
        for (var i = 0u; i < {{ loops.bound(8, unroll) }}; i++) {
            squares += tile_x[token * 8u + i].x;
        }
        let inverse = inverseSqrt(squares / {{ norm_width }}.0 + {{ eps }});
{% endif %}
{% set scale = " * inverse" if norm else "" %}
{% for r in range(lane_rows) %}
        {
            let row = first_row + across + {{ r * 16 }}u;
            if (row < {{ rows }}u && first_token + token < call.rows) {
                let to = (first_token + token) * {{ y_stride }}u + {{ first }}u + row;
{% if epilogue in gated.UNITS %}
                let gate = sum0_{{ t }}_{{ r }}{{ scale }};
                y[to] = {{ gated.of(epilogue, "gate") }} * (sum1_{{ t }}_{{ r }}{{ scale }});
{% else %}
                y[to] = {{ "y[to] + " if epilogue == "add" else "" }}sum0_{{ t }}_{{ r }}{{ scale }}{{ " + bias[" ~ first ~ "u + row]" if bias else "" }};
{% endif %}
            }
        }
{% endfor %}
    }
{% endfor %}
}
