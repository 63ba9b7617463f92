{#-
weights: how a row of a matrix is stored, for every kernel that reads one.

A row is padded with zeros to a multiple of 32 columns and read in units of one vec4<u32>. A format is `bits` of a code, `group` (columns that share a
scale, none of floats) and `minimum` (whether there is one beside each scale):

  format  bits  group  minimum  columns of a unit  codes                                  a word of scales
  f32     32                    4                  floats
  f16     16                    8                  half floats, two in a word
  q8      8     32     no       16                 signed bytes, four in a word           two f16 scales, of 64 columns
  q8_16   8     16     no       16                 as q8                                  two f16 scales, of 32 columns
  q8_min  8     32     yes      16                 as q8, 0 to 127                        f16 scale, f16 minimum, of 32 columns
  q4      4     32     yes      32                 low and high nibbles, eight in a word  f16 scale, f16 minimum, of 32 columns
  q4_16   4     16     yes      32                 as q4                                  f16 scale, f16 minimum, of 16 columns

w = scale * code, or scale * code + minimum. In a word of nibbles, the low ones of its four bytes are columns 0 to 3 and the high ones 4 to 7.

Rows lie in groups of `interleave`: unit u of each row of a group, then unit u + 1 of each. With 1, a row is in one piece, for kernels whose lanes
share a row; where lanes own neighbouring rows, a group as large as a subgroup makes what they load together one piece of memory. Words of scales
lie likewise. The last group is filled up.
-#}
{#- Columns of a unit; columns in one word. -#}
{% macro unit(format) %}{{ 128 // format.bits }}{% endmacro %}
{% macro per_word(format) %}{{ 32 // format.bits }}{% endmacro %}
{#- Words of scales of a row. -#}
{% macro scale_words(format, columns) %}{{ columns // format.group if format.minimum else (columns // format.group + 1) // 2 }}{% endmacro %}
{#- Where item 0 of row `row` is, of rows that have `items` units or words; item i is `interleave * i` further. -#}
{% macro begin(row, items, interleave) %}
{%- if interleave == 1 -%}({{ row }}) * {{ items }}u
{%- else -%}(({{ row }}) / {{ interleave }}u) * {{ items * interleave }}u + ({{ row }}) % {{ interleave }}u
{%- endif -%}
{% endmacro %}
{#- Bindings of matrix `m`, from binding `at` on: codes (with `wide` as pairs of 64-bit words) and, if there are any, scales. -#}
{% macro bindings(format, m, at, wide=false) %}
@group(0) @binding({{ at }}) var<storage, read> codes{{ m }}: array<{{ 'vec2<u64>' if wide else 'vec4<u32>' }}>;  // [groups, units, rows of a group]
{% if format.group %}
@group(0) @binding({{ at + 1 }}) var<storage, read> scales{{ m }}: array<u32>;  // [groups, words, rows of a group]
{% endif %}
{% endmacro %}
{#- The scales of columns 32 `block` on, of the row of matrix `m` whose scales begin at `at`, as `name`_0 and, of groups of 16, `name`_1: f32, or
    vec2<f32> of scale and minimum. -#}
{% macro block_scales(format, m, at, block, interleave, name) %}
{% if format.minimum and format.group == 32 %}
let {{ name }}_0 = unpack2x16float(scales{{ m }}[{{ at }} + {{ block }} * {{ interleave }}u]);
{% elif format.minimum %}
let {{ name }}_0 = unpack2x16float(scales{{ m }}[{{ at }} + 2u * {{ block }} * {{ interleave }}u]);
let {{ name }}_1 = unpack2x16float(scales{{ m }}[{{ at }} + (2u * {{ block }} + 1u) * {{ interleave }}u]);
{% elif format.group == 32 %}
let {{ name }}_0 = unpack2x16float(scales{{ m }}[{{ at }} + {{ block }} / 2u * {{ interleave }}u] >> (16u * ({{ block }} & 1u))).x;
{% else %}
let {{ name }} = unpack2x16float(scales{{ m }}[{{ at }} + {{ block }} * {{ interleave }}u]);
let {{ name }}_0 = {{ name }}.x;
let {{ name }}_1 = {{ name }}.y;
{% endif %}
{% endmacro %}
{#- The same of unit `u`, which may be half a block. -#}
{% macro unit_scales(format, m, at, u, interleave, name) %}
{% if format.bits == 4 %}
{{ block_scales(format, m, at, u, interleave, name) }}
{%- elif format.group == 32 %}
{{ block_scales(format, m, at, "(" ~ u ~ " / 2u)", interleave, name) }}
{%- else %}
let {{ name }}_0 = unpack2x16float(scales{{ m }}[{{ at }} + {{ u }} / 2u * {{ interleave }}u] >> (16u * ({{ u }} & 1u))).x;
{% endif %}
{% endmacro %}
{#- Unpacks component `c` (0 to 3) of the vec4<u32> `v` into f32 vectors called `name`. -#}
{% macro unpack(format, v, c, name) %}
{% set word = v ~ "[" ~ c ~ "]" %}
{% if format.bits == 32 %}
let {{ name }}_0 = bitcast<f32>({{ word }});
{% elif format.bits == 16 %}
let {{ name }}_0 = unpack2x16float({{ word }});
{% elif format.bits == 8 %}
let {{ name }}_0 = vec4<f32>(unpack4xI8({{ word }}));
{% elif format.bits == 4 %}
let {{ name }}_0 = vec4<f32>(unpack4xU8({{ word }} & 0x0f0f0f0fu));
let {{ name }}_1 = vec4<f32>(unpack4xU8(({{ word }} >> 4u) & 0x0f0f0f0fu));
{% endif %}
{% endmacro %}
{#- Element `i` of what `unpack` made of one word. -#}
{% macro element(format, name, i) %}
{%- if format.bits == 32 -%}{{ name }}_0
{%- elif format.bits == 16 -%}{{ name }}_0[{{ i }}]
{%- else -%}{{ name }}_{{ i // 4 }}[{{ i % 4 }}]
{%- endif -%}
{% endmacro %}
