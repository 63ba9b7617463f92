{#-
hadamard: the orthonormal Walsh-Hadamard transform of a head, which is its own inverse: in pieces of 32 elements, and what is left in powers of two, the largest
first (src/quant/hadamard.rs is its plain form).
-#}
{#-
Of all heads in `buffer`, in place, by the lanes of one workgroup: `queries` heads of `width` elements from `q_start` on, then `keys` heads from `k_start` on, all
behind `row_at`. Stage `half` makes (a + b, a - b) / sqrt(2) of elements that are `half` apart, as far into a head as pairs of `half` fit; up to three stages are
done at once in registers.
-#}
{% macro heads(buffer, q_start, queries, k_start, keys, width, workgroup) %}
{% set at_stage = namespace(half=1) %}
{% for _ in range(5) %}
{% set half = at_stage.half %}
{% set kept = width // (2 * half) * 2 * half %}
{% if kept > 0 and half < 32 %}
{% set stages = 3 if kept % (8 * half) == 0 and half <= 4 else 2 if kept % (4 * half) == 0 and half <= 8 else 1 %}
{% set size = 2 ** stages %}
{% set units = kept // size %}
    for (var unit = local; unit < {{ (queries + keys) * units }}u; unit += {{ workgroup }}u) {
        let head = unit / {{ units }}u;
        let i = unit % {{ units }}u;
{% if queries > 0 %}
        let head_at = row_at + select({{ k_start }}u + (head - {{ queries }}u) * {{ width }}u, {{ q_start }}u + head * {{ width }}u, head < {{ queries }}u);
{% else %}
        let head_at = row_at + {{ k_start }}u + head * {{ width }}u;
{% endif %}
        let at = head_at + i / {{ half }}u * {{ half * size }}u + i % {{ half }}u;
{% for j in range(size) %}
        let x0_{{ j }} = {{ buffer }}[at + {{ j * half }}u];
{% endfor %}
{% for stage in range(stages) %}{% set apart = 2 ** stage %}{% for j in range(size) %}
{% if j // apart % 2 == 0 %}
        let x{{ stage + 1 }}_{{ j }} = x{{ stage }}_{{ j }} + x{{ stage }}_{{ j + apart }};
        let x{{ stage + 1 }}_{{ j + apart }} = x{{ stage }}_{{ j }} - x{{ stage }}_{{ j + apart }};
{% endif %}
{% endfor %}{% endfor %}
{% for j in range(size) %}
        {{ buffer }}[at + {{ j * half }}u] = x{{ stages }}_{{ j }} * {{ ["0.70710678", "0.5", "0.35355339"][stages - 1] }};
{% endfor %}
    }
    storageBarrier();
{% set at_stage.half = half * size %}
{% endif %}
{% endfor %}
{% endmacro %}
