{#-
cache: how keys and values lie on the device, for every kernel that reads or writes them.

A part of a layer's cache (semantic keys, geometric keys, values) is one buffer. Token `t` of it (sequence * context + position) has `width` elements over
all its heads, padded to blocks of 32. A part is described by src/quant/part.rs: kind, planes, scale, scaled, lowest, highest, rotated, width, head, blocks,
binding. Floats are one plane of 16 or 32 bits. A code is taken apart into planes of 8, 4, 2 and 1 bits, the lowest bits first; a plane of p bits has p words of
each block:

  word of a plane      4 bytes; each has 8 / p fields of p bits, the first one in its lowest bits
  group g of a block   elements 4 g to 4 g + 3: field g % (8 / p) of the 4 bytes of word g / (8 / p)

So four codes, a byte each, are a shift and a mask of a word of each plane. Planes [tokens, blocks, p words] follow each other for all tokens that there is room
for; behind them are the scales [tokens, blocks], half floats.

A layer whose queries look back a bounded way keeps the latest positions in a ring, described by {first (positions that stay), length (of the ring), tokens
(that there is room for in all)}; `ring` is null where every position has its place.
-#}
{#- Words of a block, without its scale: as many as an element has bits. -#}
{% macro block_words(part) %}{{ part.planes | sum }}{% endmacro %}
{#-
Elements that a lane loads at once, with at most `most` (1, 2 or 4) words of the first plane, and of codes no more than 8 a word: a head is whole units of them, and
no unit has two scales. 0: a head isn't, and is read element by element.
-#}
{% macro each(part, most) %}
{%- set found = namespace(each=0) -%}
{%- for e in [32, 16, 8, 4, 2, 1] -%}
{%- set bits = e * part.planes[0] -%}
{%- set fits = e <= 8 * most and part.head % 8 == 0 and (bits % 32 == 0 or e == 8) if part.scaled else bits % 32 == 0 -%}
{%- if not found.each and fits and part.head % e == 0 and bits <= 32 * most -%}{%- set found.each = e -%}{%- endif -%}
{%- endfor -%}
{{ found.each }}
{%- endmacro %}
{#- Words that `each` elements take of the first plane, which a kernel loads at once. -#}
{% macro unit(part, each) %}{{ [each * part.planes[0] // 32, 1] | max }}{% endmacro %}
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
{#- Functions to read part `name`, in units of `unit` (1, 2 or 4) words of the first plane, with `wide` as 64-bit words. -#}
{% macro reader(name, part, unit, wide, ring) %}
{% set first = part.planes[0] %}
{% set words = part.blocks * first %}
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
// Unit `u` of the first plane of token `t`.
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
{% if part.scaled %}
// The scale of the block that holds element `e` of token `t`.
fn {{ name }}_scale(t: u32, e: u32) -> f32 {
    let half_word = {{ tokens(ring) }} * {{ part.blocks * (block_words(part) | int) * 2 }}u + t * {{ part.blocks }}u + e / 32u;
    return unpack2x16float({{ name }}_at(half_word / 2u) >> (16u * (half_word & 1u))).x;
}
{% endif %}
{% set before = namespace(bits=first) %}
{% for bits in part.planes[1:] %}
// Word `w` of token `t` in the plane of bits {{ before.bits }} and on.
fn {{ name }}_plane{{ loop.index }}(t: u32, w: u32) -> u32 {
    return {{ name }}_at({{ tokens(ring) }} * {{ part.blocks * before.bits }}u + t * {{ part.blocks * bits }}u + w);
}
{% set before.bits = before.bits + bits %}
{% endfor %}
// Element `e` of token `t`, wherever it lies.
fn {{ name }}_element(t: u32, e: u32) -> f32 {
{% if first == 32 %}
    return bitcast<f32>({{ name }}_at(t * {{ words }}u + e));
{% elif first == 16 %}
    return unpack2x16float({{ name }}_at(t * {{ words }}u + e / 2u) >> (16u * (e & 1u))).x;
{% else %}
    let group = e / 4u;
    let byte = 8u * (e & 3u);
    var code = 0u;
{% set before = namespace(bits=0) %}
{% for bits in part.planes %}
    {
        let word = {{ name ~ "_at(t * " ~ words ~ "u + " if loop.first else name ~ "_plane" ~ loop.index0 ~ "(t, " }}group / {{ 8 // bits }}u);
        code |= (word >> (group % {{ 8 // bits }}u * {{ bits }}u + byte) & {{ 2 ** bits - 1 }}u) << {{ before.bits }}u;
    }
{% set before.bits = before.bits + bits %}
{% endfor %}
    return f32(i32(code << {{ 32 - before.bits }}u) >> {{ 32 - before.bits }}u) * {{ name }}_scale(t, e);
{% endif %}
}
{% endmacro %}
{#-
Loads unit `u` of `each` elements of token `token` into f32 {{to}}_0, {{to}}_1, ...: of codes without their scale. `each` is 0 for a single element with its scale,
`unit` what the part's reader has.
-#}
{% macro load(name, part, each, unit, token, u, to) %}
{% set first = part.planes[0] %}
{% if each == 0 %}
        let {{ to }}_0 = {{ name }}_element({{ token }}, {{ u }});
{% else %}
{% set words = each * first // 32 %}
        let {{ to }}_u = {{ u }};
{#- The words of each plane, so that the first field that is wanted is the first of its bytes. -#}
{% if words == 0 %}
        let {{ to }}_p0_0 = {{ name }}_unit({{ token }}, {{ to }}_u / {{ 32 // (each * first) }}u) >> ({{ to }}_u % {{ 32 // (each * first) }}u * {{ each // 4 * first }}u);
{% else %}
{% for n in range(words // unit) %}
        let {{ to }}_w{{ n }} = {{ name }}_unit({{ token }}, {{ to }}_u{{ " * " ~ words // unit ~ "u + " ~ n ~ "u" if words > unit }});
{% for w in range(unit) %}
        let {{ to }}_p0_{{ n * unit + w }} = {{ to }}_w{{ n }}{{ "[" ~ w ~ "]" if unit > 1 }};
{% endfor %}
{% endfor %}
{% endif %}
{% for bits in part.planes[1:] %}
{% set plane = loop.index %}
{% set words = each * bits // 32 %}
{% if words == 0 %}
        let {{ to }}_p{{ plane }}_0 = {{ name }}_plane{{ plane }}({{ token }}, {{ to }}_u / {{ 32 // (each * bits) }}u) >> ({{ to }}_u % {{ 32 // (each * bits) }}u * {{ each // 4 * bits }}u);
{% else %}
{% for w in range(words) %}
        let {{ to }}_p{{ plane }}_{{ w }} = {{ name }}_plane{{ plane }}({{ token }}, {{ to }}_u * {{ words }}u + {{ w }}u);
{% endfor %}
{% endif %}
{% endfor %}
{% if first == 32 %}
{% for e in range(each) %}
        let {{ to }}_{{ e }} = bitcast<f32>({{ to }}_p0_{{ e }});
{% endfor %}
{% elif first == 16 %}
{% for w in range(each // 2) %}
        let {{ to }}_pair{{ w }} = unpack2x16float({{ to }}_p0_{{ w }});
        let {{ to }}_{{ 2 * w }} = {{ to }}_pair{{ w }}.x;
        let {{ to }}_{{ 2 * w + 1 }} = {{ to }}_pair{{ w }}.y;
{% endfor %}
{% elif first == 8 %}
{% for g in range(each // 4) %}
        let {{ to }}_four{{ g }} = vec4<f32>(unpack4xI8({{ to }}_p0_{{ g }}));
{% for j in range(4) %}
        let {{ to }}_{{ 4 * g + j }} = {{ to }}_four{{ g }}[{{ j }}];
{% endfor %}
{% endfor %}
{% else %}
{% set all = block_words(part) | int %}
{% for g in range(each // 4) %}
{% set field = namespace(shift=0, bits=0) %}
{% if part.planes | length == 1 %}
{% set field.shift = g % (8 // first) * first %}
{% set bytes = to ~ "_p0_" ~ (g // (8 // first)) %}
{% else %}
        let {{ to }}_bytes{{ g }} = {% for bits in part.planes %}
{%- set shift = g % (8 // bits) * bits - field.bits -%}
{{ " | " if not loop.first }}({{ to }}_p{{ loop.index0 }}_{{ g // (8 // bits) }}{{ " >> " ~ shift ~ "u" if shift > 0 else " << " ~ -shift ~ "u" if shift < 0 }}) & {{ (2 ** bits - 1) * 2 ** field.bits * 16843009 }}u
{%- set field.bits = field.bits + bits %}{% endfor %};
{% set bytes = to ~ "_bytes" ~ g %}
{% endif %}
{% for j in range(4) %}
        let {{ to }}_{{ 4 * g + j }} = f32(i32({{ bytes }} << {{ 32 - all - 8 * j - field.shift }}u) >> {{ 32 - all }}u);
{% endfor %}
{% endfor %}
{% endif %}
{% endif %}
{% endmacro %}
