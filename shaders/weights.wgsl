{#-
weights: how a row of a matrix is stored, for every kernel that reads one.

A row is padded with zeros to a multiple of 32 columns and read in units of one vec4<u32>:

  format  columns in a unit   codes                                         scales (one word each)
  f32     4                   floats                                        -
  f16     8                   half floats, two in a word                    -
  q8      16                  signed bytes, four in a word                  per two blocks of 32: two f16 scales
  q4      32                  low and high nibbles, eight in a word         per block of 32: f16 scale, f16 minimum

Rows lie in groups of `interleave`: unit u of each row of a group, then unit u + 1 of each. With 1, a row is in one piece, for kernels whose lanes
share a row; where lanes own neighbouring rows, a group as large as a subgroup makes what they load together one piece of memory. Words of scales
lie likewise. The last group is filled up.

q8: w = scale * code. q4: w = scale * code + minimum, code 0 to 15. In a word of q4, the low nibbles of its four bytes are columns 0 to 3
and the high ones 4 to 7.
-#}
{% macro unit(format) %}{{ {"f32": 4, "f16": 8, "q8": 16, "q4": 32}[format] }}{% endmacro %}
{#- Words of scales of a row. -#}
{% macro scale_words(format, columns) %}{{ {"q8": (columns // 32 + 1) // 2, "q4": columns // 32}[format] }}{% endmacro %}
{#- Where item 0 of row `row` is, of rows that have `items` units or words; item i is `interleave * i` further. -#}
{% macro begin(row, items, interleave) %}
{%- if interleave == 1 -%}({{ row }}) * {{ items }}u
{%- else -%}(({{ row }}) / {{ interleave }}u) * {{ items * interleave }}u + ({{ row }}) % {{ interleave }}u
{%- endif -%}
{% endmacro %}
{#- Bindings of matrix `m`, from binding `at` on: codes and, if there are any, scales. -#}
{% macro bindings(format, m, at) %}
@group(0) @binding({{ at }}) var<storage, read> codes{{ m }}: array<vec4<u32>>;  // [groups, units, rows of a group]
{% if format in ["q8", "q4"] %}
@group(0) @binding({{ at + 1 }}) var<storage, read> scales{{ m }}: array<u32>;  // [groups, words, rows of a group]
{% endif %}
{% endmacro %}
{#- Unpacks component `c` (0 to 3) of the vec4<u32> `v` into f32 vectors called `name`. -#}
{% macro unpack(format, v, c, name) %}
{% set word = v ~ "[" ~ c ~ "]" %}
{% if format == "f32" %}
let {{ name }}_0 = bitcast<f32>({{ word }});
{% elif format == "f16" %}
let {{ name }}_0 = unpack2x16float({{ word }});
{% elif format == "q8" %}
let {{ name }}_0 = vec4<f32>(unpack4xI8({{ word }}));
{% elif format == "q4" %}
let {{ name }}_0 = vec4<f32>(unpack4xU8({{ word }} & 0x0f0f0f0fu));
let {{ name }}_1 = vec4<f32>(unpack4xU8(({{ word }} >> 4u) & 0x0f0f0f0fu));
{% endif %}
{% endmacro %}
{#- Element `i` of what `unpack` made of one word. -#}
{% macro element(format, name, i) %}
{%- if format == "f32" -%}{{ name }}_0
{%- elif format == "f16" -%}{{ name }}_0[{{ i }}]
{%- else -%}{{ name }}_{{ i // 4 }}[{{ i % 4 }}]
{%- endif -%}
{% endmacro %}
{#- Columns in one word. -#}
{% macro per_word(format) %}{{ {"f32": 1, "f16": 2, "q8": 4, "q4": 8}[format] }}{% endmacro %}
