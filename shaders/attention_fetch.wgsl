{#-
attention_fetch: functions that fetch neighbouring elements of a query, a key or a value, for kernels that put them into workgroup memory as vec4.

Of keys and values it is a vec4 at once, or a word where that holds more: mat2x4 of aligned q4. Heads that are not whole units of this are read element
by element.
-#}
{% import "cache.wgsl" as cache %}
{#- Elements that are fetched at once. -#}
{% macro size(part) %}{{ 8 if part.kind == "q4" and part.head % 8 == 0 else 4 }}{% endmacro %}
{#- Words of them; 0: they do not begin with a word. -#}
{% macro words(part) %}{{ (size(part) | int) // (cache.per_word(part.kind) | int) if part.head % (size(part) | int) == 0 else 0 }}{% endmacro %}
{#- `NAME_fetch(t, at, e)` of a part. -#}
{% macro elements(name, part, ring) %}
{% set per = cache.per_word(part.kind) | int %}
{% set size = size(part) | int %}
{% set words = words(part) | int %}
{% set result = "mat2x4<f32>" if size == 8 else "vec4<f32>" %}
{{ cache.reader(name, part, [words, 1] | max, false, ring) }}
// Elements `e` to `e + {{ size - 1 }}` of the head that begins at element `at` of token `t`, the last one again behind it.
fn {{ name }}_fetch(t: u32, at: u32, e: u32) -> {{ result }} {
{% if words > 0 %}
    let found = {{ name }}_unit(t, (at + e) / {{ size }}u);
{% for w in range(words) %}
    {{ cache.unpack(part.kind, cache.word_of("found", words, w), "c" ~ w ~ "_") }}
{%- endfor %}
    return {{ result }}({% for i in range(size) %}{{ ", " if i else "" }}c{{ i // per }}_{{ i % per }}{% endfor %}){{ " * " ~ name ~ "_scale(t, at + e)" if part.kind in ["q8", "q4"] else "" }};
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
