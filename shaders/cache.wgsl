{#-
cache: how keys and values lie on the device, for every kernel that reads or writes them.

A part of a layer's cache (semantic keys, geometric keys, values) is one buffer. Token `t` of it (sequence * context + position) has `width` elements over
all its heads, padded to blocks of 32:

  kind  words of a block  codes                              scales, behind all codes
  f32   32                floats                             -
  f16   16                half floats, two in a word         -
  q8    8                 signed bytes, four in a word       f16 per block: max abs / 127
  q4    4                 signed nibbles, eight in a word    f16 per block: max abs / 7

The scales begin behind the codes of all tokens that there is room for. A part is described by {kind, width (all heads), head (width of one), blocks (of a
token), binding}.

A layer whose queries look back a bounded way keeps the latest positions in a ring, described by {first (positions that stay), length (of the ring), tokens
(that there is room for in all)}; `ring` is null where every position has its place.
-#}
{% macro per_word(kind) %}{{ {"f32": 1, "f16": 2, "q8": 4, "q4": 8}[kind] }}{% endmacro %}
{% macro block_words(kind) %}{{ {"f32": 32, "f16": 16, "q8": 8, "q4": 4}[kind] }}{% endmacro %}
{#- Whether a head begins and ends with a whole word, and has no word that two scales share. -#}
{% macro is_aligned(part) %}{{ "yes" if part.head % (per_word(part.kind) | int) == 0 and (part.kind in ["f32", "f16"] or part.head % 8 == 0) }}{% endmacro %}
{#- Words that a lane loads at once, at most `most` (1, 2 or 4): a head is whole units of them. -#}
{% macro unit(part, most) %}
{%- set words = part.head // (per_word(part.kind) | int) -%}
{%- if not is_aligned(part) or most == 1 or words % 2 == 1 -%}1
{%- elif most == 2 or words % 4 > 0 -%}2
{%- else -%}4
{%- endif -%}
{% endmacro %}
{#- Neighbouring elements of a head that certainly share a scale. -#}
{% macro scale_run(part) %}{{ 32 if part.head % 32 == 0 else (16 if part.head % 16 == 0 else 8) }}{% endmacro %}
{#- Tokens that there is room for. -#}
{% macro tokens(ring) %}{{ ring.tokens ~ "u" if ring else "call.tokens" }}{% endmacro %}
{#- `token_of`: where a position of a sequence lies. -#}
{% macro places(ring) %}
// The token of a part that holds a position of a sequence.
fn token_of(sequence: u32, position: u32) -> u32 {
{% if ring %}
    // Nothing else of the call may be read here, and its binding would be left out.
    _ = call.rows;
{% endif %}
{% if ring and ring.first > 0 %}
    let place = select({{ ring.first }}u + (position - {{ ring.first }}u) % {{ ring.length }}u, position, position < {{ ring.first }}u);
    return sequence * {{ ring.first + ring.length }}u + place;
{% elif ring %}
    return sequence * {{ ring.length }}u + position % {{ ring.length }}u;
{% else %}
    return sequence * call.context + position;
{% endif %}
}
{% endmacro %}
{#- Functions to read part `name` in units of 1, 2 or 4 words, with `wide` as 64-bit words. -#}
{% macro reader(name, part, unit, wide, ring) %}
{% set per = per_word(part.kind) | int %}
{% set words = part.blocks * (block_words(part.kind) | int) %}
{% set is_wide = wide and unit > 1 %}
@group(0) @binding({{ part.binding }}) var<storage, read> {{ name }}_cache: array<{{ ["u32", "u64" if wide else "vec2<u32>", "", "vec2<u64>" if wide else "vec4<u32>"][unit - 1] }}>;
// Word `i` of all.
fn {{ name }}_at(i: u32) -> u32 {
{% if unit == 1 %}
    return {{ name }}_cache[i];
{% elif is_wide and unit == 2 %}
    return u32({{ name }}_cache[i / 2u] >> (32u * (i % 2u)));
{% elif is_wide %}
    return u32({{ name }}_cache[i / 4u][i / 2u % 2u] >> (32u * (i % 2u)));
{% else %}
    return {{ name }}_cache[i / {{ unit }}u][i % {{ unit }}u];
{% endif %}
}
// Unit `u` of token `t`.
fn {{ name }}_unit(t: u32, u: u32) -> {{ "u32" if unit == 1 else "vec" ~ unit ~ "<u32>" }} {
    let found = {{ name }}_cache[t * {{ words // unit }}u + u];
{% if is_wide and unit == 2 %}
    return vec2<u32>(u32(found), u32(found >> 32u));
{% elif is_wide %}
    return vec4<u32>(u32(found.x), u32(found.x >> 32u), u32(found.y), u32(found.y >> 32u));
{% else %}
    return found;
{% endif %}
}
{% if part.kind in ["q8", "q4"] %}
// The scale of the block that holds element `e` of token `t`.
fn {{ name }}_scale(t: u32, e: u32) -> f32 {
    let half_word = {{ tokens(ring) }} * {{ words * 2 }}u + t * {{ part.blocks }}u + e / 32u;
    return unpack2x16float({{ name }}_at(half_word / 2u) >> (16u * (half_word & 1u))).x;
}
{% endif %}
// Word `w` of token `t`.
fn {{ name }}_word(t: u32, w: u32) -> u32 {
    return {{ name }}_at(t * {{ words }}u + w);
}
// Element `e` of token `t`, wherever it lies in its word.
fn {{ name }}_element(t: u32, e: u32) -> f32 {
    let word = {{ name }}_word(t, e / {{ per }}u);
{% if part.kind == "f32" %}
    return bitcast<f32>(word);
{% elif part.kind == "f16" %}
    return unpack2x16float(word >> (16u * (e & 1u))).x;
{% elif part.kind == "q8" %}
    return f32(extractBits(i32(word), 8u * (e & 3u), 8u)) * {{ name }}_scale(t, e);
{% else %}
    return f32(extractBits(i32(word), 4u * (e & 7u), 4u)) * {{ name }}_scale(t, e);
{% endif %}
}
{% endmacro %}
{#- Word `w` of the unit `v` of `unit` words. -#}
{% macro word_of(v, unit, w) %}{{ v if unit == 1 else v ~ "[" ~ w ~ "]" }}{% endmacro %}
{#- Unpacks the word `word` into f32 elements {{prefix}}0, {{prefix}}1, ... (codes without their scale for q8 and q4). -#}
{% macro unpack(kind, word, prefix) %}
{% if kind == "f32" %}
let {{ prefix }}0 = bitcast<f32>({{ word }});
{% elif kind == "f16" %}
let {{ prefix }}_pair = unpack2x16float({{ word }});
let {{ prefix }}0 = {{ prefix }}_pair.x;
let {{ prefix }}1 = {{ prefix }}_pair.y;
{% elif kind == "q8" %}
let {{ prefix }}_four = vec4<f32>(unpack4xI8({{ word }}));
{% for i in range(4) %}
let {{ prefix }}{{ i }} = {{ prefix }}_four[{{ i }}];
{% endfor %}
{% else %}
{% for i in range(8) %}
let {{ prefix }}{{ i }} = f32(i32({{ word }} << {{ 28 - 4 * i }}u) >> 28u);
{% endfor %}
{% endif %}
{% endmacro %}
