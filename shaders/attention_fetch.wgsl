{#-
attention_fetch: functions that fetch neighbouring elements of a query, a key or a value, for kernels that put them into workgroup memory as vec4.

Of keys and values it is a vec4 at once, or mat2x4 of codes that have 8 in a word. Heads that are not whole units of this are read element by element.
-#}
{% import "cache.wgsl" as cache %}
{#- Elements that are fetched at once. -#}
{% macro size(part) %}{{ 8 if part.scaled and part.planes[0] < 8 and part.head % 8 == 0 else 4 }}{% endmacro %}
{#- `NAME_fetch(t, at, e)` of a part. -#}
{% macro elements(name, part, ring) %}
{% set count = size(part) | int %}
{% set aligned = part.head % (8 if part.scaled else count) == 0 %}
{% set unit = cache.unit(part, count) | int if aligned else 1 %}
{% set result = "mat2x4<f32>" if count == 8 else "vec4<f32>" %}
{{ cache.reader(name, part, unit, false, ring) }}
// Elements `e` to `e + {{ count - 1 }}` of the head that begins at element `at` of token `t`, the last one again behind it.
fn {{ name }}_fetch(t: u32, at: u32, e: u32) -> {{ result }} {
{% if aligned %}
{{ cache.load(name, part, count, unit, "t", "(at + e) / " ~ count ~ "u", "c") }}
{%- if count == 4 %}
    return vec4<f32>(c_0, c_1, c_2, c_3){{ " * " ~ name ~ "_scale(t, at + e)" if part.scaled }};
{% else %}
    return mat2x4<f32>(c_0, c_1, c_2, c_3, c_4, c_5, c_6, c_7) * {{ name }}_scale(t, at + e);
{% endif %}
{% else %}
    var elements = vec4<f32>();
    for (var j = 0u; j < 4u; j++) {
        elements[j] = {{ name }}_element(t, at + min(e + j, {{ part.head - 1 }}u));
    }
    return elements;
{% endif %}
}

{% endmacro %}
{#- `NAME_query(row, head, v)` of queries of `width` elements, from element `first` of a row of `stride` on; `wide`: qkv is made of vec4. -#}
{% macro queries(name, width, first, stride, wide) %}
// Elements 4 v to 4 v + 3 of a row's query, zeros behind the last.
fn {{ name }}_query(row: u32, head: u32, v: u32) -> vec4<f32> {
    let at = min(row, call.rows - 1u) * {{ stride }}u + {{ first }}u + head * {{ width }}u;
{% if wide %}
    return qkv[at / 4u + v];
{% else %}
    var elements = vec4<f32>();
    for (var j = 0u; j < 4u; j++) {
        elements[j] = select(0.0, qkv[at + min(v * 4u + j, {{ width - 1 }}u)], v * 4u + j < {{ width }}u);
    }
    return elements;
{% endif %}
}

{% endmacro %}
