{#- attention_decode_incoming: which heads, row and positions [begin, end) of its sequence a workgroup has. -#}
    let kv_head = group.x / {{ tiles }}u;
    let head = group.x * {{ tile_heads }}u;
    let row = group.y;
    let sequence = rows[row].x;
    let position = rows[row].y;
{% for name, part in parts | items %}
    let {{ name }}_from = kv_head * {{ part.head }}u;
{% endfor %}
{% if window > 0 %}
    let oldest = select(0u, position - {{ window - 1 }}u, position >= {{ window }}u);
{% else %}
    let oldest = 0u;
{% endif %}
{% if split > 0 %}
    let begin = max(oldest, group.z * {{ split }}u);
    let end = min(position + 1u, (group.z + 1u) * {{ split }}u);
{% else %}
    let begin = oldest;
    let end = position + 1u;
{% endif %}
