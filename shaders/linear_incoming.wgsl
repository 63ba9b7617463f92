{#-
linear_incoming: what lane `local` of a workgroup brings into the tiles of x and of the matrix, the same tokens and rows for every block of columns. Included by
the forms that have such tiles, with their parameters, x_turns, w_turns, tile_tokens, tile_rows, units, block_vecs (vec4 of a token's block), block_units and
quantised.
-#}
{% import "weights.wgsl" as weights %}
{% for i in range(x_turns) %}
    let item{{ i }} = min(local + {{ i * workgroup }}u, {{ tile_tokens * block_vecs - 1 }}u);
    let from{{ i }} = min(first_token + item{{ i }} / {{ block_vecs }}u, call.rows - 1u) * {{ x_stride // 4 }}u + item{{ i }} % {{ block_vecs }}u;
{% if norm %}
    var squares{{ i }} = 0.0;
{% endif %}
{% endfor %}
{% for i in range(w_turns) %}
    let unit{{ i }} = min(local + {{ i * workgroup }}u, {{ tile_rows * block_units - 1 }}u);
    let row{{ i }} = min(first_row + unit{{ i }} / {{ block_units }}u, {{ rows - 1 }}u);
    let at{{ i }} = {{ weights.begin("row" ~ i, units, interleave) }} + (unit{{ i }} % {{ block_units }}u) * {{ interleave }}u;
{% if quantised %}
    let scale_at{{ i }} = {{ weights.begin("row" ~ i, weights.scale_words(format, columns) | int, interleave) }};
{% endif %}
{% endfor %}
