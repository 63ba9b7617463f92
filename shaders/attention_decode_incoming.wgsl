{#- attention_decode_incoming: which heads, row and positions [begin, end) of its sequence a workgroup has. -#}
    let kv_head = group.x / {{ tiles }}u;
    let head = group.x * {{ tile_heads }}u;
    let row = group.y;
    let sequence = rows[row].x;
    let position = rows[row].y;
{% for name, part in parts | items %}
    let {{ name }}_from = kv_head * {{ part.head }}u;
{% endfor %}
    let oldest = oldest_seen(position);
{% if split > 0 %}
    let begin = next_key(group.z * {{ split }}u, oldest);
    let end = min(position + 1u, (group.z + 1u) * {{ split }}u);
{% if seam.window > 0 and seam.normaliser == "softmax" %}
    if (begin >= end && group.z > 0u) {
        // None of these keys is seen. The first split may have a null key.
        if (local < {{ tile_heads }}u) {
            let none_at = ((row * {{ heads }}u + head + local) * call.splits + group.z) * {{ value + 2 }}u + {{ value }}u;
            out[none_at] = HIDDEN;
            out[none_at + 1u] = 0.0;
        }
        return;
    }
{% endif %}
{% else %}
    let begin = next_key(0u, oldest);
    let end = position + 1u;
{% endif %}
