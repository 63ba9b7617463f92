{#-
cache_write: what lies between a layer's projections and its attention. In row `t` of qkv [rows, stride], queries and keys are normalised, gated, rotated and
scaled in place; then keys and values go to the cache.

Keys of kinds that are rotated (src/quant/mod.rs) go through a Hadamard transform first, and so do the queries they meet. The transform is orthonormal, so q . k
stays what it is (S. Ashkboos and others, "QuaRot: Outlier-Free 4-Bit Inference in Rotated LLMs", 2024). So do values: attention_output turns their sums back.
Null keys and values come transformed. Blocks are made as src/quant/codec.rs says.

Order of a row: q_sem [heads, sem], q_geo [heads, geo], k_sem [kv_heads, sem], k_geo [kv_heads, geo], v [kv_heads, value], gate [heads]. For the formulas
see `Attention` in src/model/architecture.rs: queries leave here with their scale (1/sqrt(width) if there is no other), gate and temperature in them.

One workgroup per row.

Latent attention has no values of its own: its semantic keys, which `latent` (a norm of theirs) makes, are both: transformed as keys, they are transformed values too.

Parameters: stride, heads, kv_heads, sem, geo, value, workgroup, rope, rope_pairs (geo / 2, or a part of it that all parts of a head turn by), rope_heads (1: all turn alike), rope_semantic, qk_norm (`none`, `head`: each head by itself, `all`: all heads at once), eps, gate (`none`, `static`, `dynamic`),
learned_temp, tie_qk, latent (whether the semantic key is normalised, by the extras), unroll (see loops.wgsl), ring (see cache.wgsl), parts {semantic?, geometric, value}, and the bindings of what is there.
-#}
{% import "cache.wgsl" as cache %}
{% import "hadamard.wgsl" as hadamard %}
{% import "loops.wgsl" as loops %}
{% set q_geo = heads * sem %}
{% set k_sem = q_geo + heads * geo %}
{% set k_geo = k_sem + kv_heads * sem %}
{% set value_at = k_geo + kv_heads * geo %}
{% set gate_at = value_at + kv_heads * value %}
{% include "call.wgsl" %}
@group(0) @binding(0) var<uniform> call: Call;
// (sequence, position) of a row; sequence 0xffffffff: a row that is only there to fill a tile.
@group(0) @binding(1) var<storage, read> rows: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> qkv: array<f32>;  // [rows, {{ stride }}]
{% for name, part in parts | items %}
@group(0) @binding({{ part.binding }}) var<storage, read_write> {{ name }}_cache: array<{{ "atomic<u32>" if part.scaled else "u32" }}>;
{% endfor %}
{{ cache.places(ring) }}
{%- if rope %}
@group(0) @binding({{ rope_binding }}) var<storage, read> turns: array<vec2<f32>>;  // [context, rope_heads, rope_pairs]: cosine, sine
{% endif %}
{% if rope_semantic %}
@group(0) @binding({{ rope_semantic_binding }}) var<storage, read> semantic_turns: array<vec2<f32>>;  // [sem / 2]
{% endif %}
{% if extras_binding %}
// q_norm [geo or heads * geo], k_norm [geo or kv_heads * geo], gate logit [heads], logit scale [heads]: those that the layer has, in this order.
@group(0) @binding({{ extras_binding }}) var<storage, read> extras: array<f32>;
{% set norm_size = {"none": 0, "head": 2 * geo, "all": (heads + kv_heads) * geo}[qk_norm] %}
{% set gate_size = heads if gate != "none" else 0 %}
{% endif %}
{% if qk_norm != "none" %}
var<workgroup> inverse: array<f32, {{ heads + kv_heads }}>;
{% endif %}
{% if latent %}
var<workgroup> latent_sums: array<f32, {{ workgroup }}>;
{% endif %}

{% if gate != "none" or learned_temp %}
// What multiplies the semantic (x) and the geometric (y) query of a head beside 1/sqrt(width).
fn query_factor(head: u32, row_at: u32) -> vec2<f32> {
    var factor = vec2<f32>(1.0, 1.0);
{% if gate != "none" %}
    let logit = extras[{{ norm_size }}u + head]{{ " + qkv[row_at + " ~ gate_at ~ "u + head]" if gate == "dynamic" else "" }};
    let g = 1.0 / (1.0 + exp(-logit));
    factor = vec2<f32>(2.0 * g, 2.0 - 2.0 * g);
{% endif %}
{% if learned_temp %}
    factor *= exp(clamp(extras[{{ norm_size + gate_size }}u + head], -8.0, 8.0));
{% endif %}
    return factor;
}
{% endif %}
{% macro factor(path) %}{{ " * query_factor(head, row_at)." ~ path if gate != "none" or learned_temp else "" }}{% endmacro %}
{#- An element of the block: of a graphics card's registers, or of the buffer again. -#}
{% macro of_block(i) %}{{ "kept[" ~ i ~ "]" if unroll else "qkv[start + " ~ i ~ "]" }}{% endmacro %}
{#- Writes the blocks of one part: a thread takes a word of floats, or a block of 32 elements that share a scale, at a time. -#}
{% macro write(name, part, start) %}
{% set words = cache.block_words(part) | int %}
{% if words == 32 %}
    for (var i = local; i < {{ part.blocks * 32 }}u; i += {{ workgroup }}u) {
        {{ name }}_cache[token * {{ part.blocks * 32 }}u + i] = select(0u, bitcast<u32>(qkv[row_at + {{ start }}u + min(i, {{ part.width - 1 }}u)]), i < {{ part.width }}u);
    }
{% elif words == 16 %}
    for (var i = local; i < {{ part.blocks * 16 }}u; i += {{ workgroup }}u) {
        let at = row_at + {{ start }}u;
        let low = select(0.0, qkv[at + min(2u * i, {{ part.width - 1 }}u)], 2u * i < {{ part.width }}u);
        let high = select(0.0, qkv[at + min(2u * i + 1u, {{ part.width - 1 }}u)], 2u * i + 1u < {{ part.width }}u);
        {{ name }}_cache[token * {{ part.blocks * 16 }}u + i] = pack2x16float(vec2<f32>(low, high));
    }
{% else %}
    for (var block = local; block < {{ part.blocks }}u; block += {{ workgroup }}u) {
        let start = row_at + {{ start }}u + block * 32u;
        let count = min({{ loops.bound(32, unroll) }}, {{ part.width }}u - block * 32u);
        let block_at = token * {{ part.blocks }}u + block;
{% set length = "32u" if unroll else "count" %}
{% if unroll %}
        // What fills up a block is zero, and changes nothing.
        var kept = array<f32, 32>();
        for (var i = 0u; i < 32u; i++) {
            kept[i] = select(0.0, qkv[start + min(i, count - 1u)], i < count);
        }
{% endif %}
        // The element of largest magnitude, the first of equals. What is no number makes the sum none, and then the whole block: nothing hides it.
        var peak = 0.0;
        var sum = 0.0;
        for (var i = 0u; i < {{ length }}; i++) {
            let x = {{ of_block("i") }};
            peak = select(peak, x, abs(x) > abs(peak));
            sum += abs(x);
        }
        let is_finite = (bitcast<u32>(sum) & 0x7f800000u) != 0x7f800000u;
{% if part.scale == "max_abs" %}
        let scale = abs(peak) / {{ part.highest }}.0;
        let inverse_scale = select(0.0, {{ part.highest }}.0 / abs(peak), peak != 0.0);
{% else %}
        let first_inverse = select(0.0, {{ part.lowest }}.0 / peak, peak != 0.0);
        var scale = 0.0;
        var inverse_scale = 0.0;
        {
            let factors = array<f32, {{ part.factors | length }}>({{ part.factors | join(", ") }});
            var most = 0.0;
            for (var trial = 0u; trial < {{ loops.bound(part.factors | length, unroll) }}; trial++) {
                let tried = first_inverse * factors[trial];
                var products = 0.0;
                var squares = 0.0;
                for (var i = 0u; i < {{ length }}; i++) {
                    let x = {{ of_block("i") }};
                    let code = clamp(round(x * tried), {{ part.lowest }}.0, {{ part.highest }}.0);
                    products += code * x;
                    squares += code * code;
                }
                // With the scale products / squares the squared error is sum(x^2) less this.
                let refined = products / max(squares, 1.0);
                if (products * refined > most) {
                    most = products * refined;
                    scale = refined;
                    inverse_scale = tried;
                }
            }
        }
{% endif %}
{% for bits in part.planes %}
        var word{{ loop.index0 }} = 0u;
{% endfor %}
        for (var group = 0u; group < {{ loops.bound(8, unroll) }}; group++) {
            var four = 0u;
            for (var i = 0u; i < {{ loops.bound(4, unroll) }}; i++) {
                let e = group * 4u + i;
                let exact = {{ "kept[e]" if unroll else "select(0.0, qkv[start + min(e, count - 1u)], e < count)" }};
                let code = i32(select(0.0, clamp(round(exact * inverse_scale), {{ part.lowest }}.0, {{ part.highest }}.0), is_finite));
                four |= (u32(code) & 0xffu) << (8u * i);
            }
{% set before = namespace(bits=0) %}
{% for bits in part.planes %}
{% set fields = 8 // bits %}
            {
                let field = (four >> {{ before.bits }}u) & {{ (2 ** bits - 1) * 16843009 }}u;
{% if fields == 1 %}
                word{{ loop.index0 }} = field;
{% else %}
                word{{ loop.index0 }} = select(word{{ loop.index0 }}, 0u, group % {{ fields }}u == 0u) | (field << (group % {{ fields }}u * {{ bits }}u));
{% endif %}
                if (group % {{ fields }}u == {{ fields - 1 }}u) {
                    atomicStore(&{{ name }}_cache[{{ cache.tokens(ring) ~ " * " ~ part.blocks * before.bits ~ "u + " if before.bits }}block_at * {{ bits }}u + group / {{ fields }}u], word{{ loop.index0 }});
                }
            }
{% set before.bits = before.bits + bits %}
{% endfor %}
        }
        // Two scales share a word, and another workgroup may write the other one.
        let half_word = {{ cache.tokens(ring) }} * {{ part.blocks * words * 2 }}u + block_at;
        let shift = 16u * (half_word & 1u);
        atomicAnd(&{{ name }}_cache[half_word / 2u], ~(0xffffu << shift));
        atomicOr(&{{ name }}_cache[half_word / 2u], select(0x7c00u, pack2x16float(vec2<f32>(scale, 0.0)) & 0xffffu, is_finite) << shift);
    }
{% endif %}
{% endmacro %}

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = group.x;
    if (row >= call.rows || rows[min(row, call.rows - 1u)].x == 0xffffffffu) {
        return;
    }
    let position = rows[row].y;
    let token = token_of(rows[row].x, position);
    let row_at = row * {{ stride }}u;
{% if tie_qk %}
    for (var i = local; i < {{ heads * sem }}u; i += {{ workgroup }}u) {
        qkv[row_at + {{ k_sem }}u + i] = qkv[row_at + i];
    }
    storageBarrier();
{% endif %}
{% if latent %}
    // One key of all heads: each lane has some of its squares.
    var latent_squares = 0.0;
    for (var i = local; i < {{ sem }}u; i += {{ workgroup }}u) {
        latent_squares += qkv[row_at + {{ k_sem }}u + i] * qkv[row_at + {{ k_sem }}u + i];
    }
    latent_sums[local] = latent_squares;
    workgroupBarrier();
    for (var half = {{ workgroup // 2 }}u; half > 0u; half /= 2u) {
        if (local < half) {
            latent_sums[local] += latent_sums[local + half];
        }
        workgroupBarrier();
    }
    let latent_inverse = inverseSqrt(latent_sums[0] / {{ sem }}.0 + {{ eps }});
    for (var i = local; i < {{ sem }}u; i += {{ workgroup }}u) {
        qkv[row_at + {{ k_sem }}u + i] *= latent_inverse * extras[i];
    }
{% endif %}
{% if qk_norm != "none" %}
    for (var head = local; head < {{ heads + kv_heads }}u; head += {{ workgroup }}u) {
        let at = row_at + select({{ k_geo }}u + (head - {{ heads }}u) * {{ geo }}u, {{ q_geo }}u + head * {{ geo }}u, head < {{ heads }}u);
        var squares = 0.0;
        for (var i = 0u; i < {{ loops.bound(geo, unroll) }}; i++) {
            squares += qkv[at + i] * qkv[at + i];
        }
        inverse[head] = {{ "squares" if qk_norm == "all" else "inverseSqrt(squares / " ~ geo ~ ".0 + " ~ eps ~ ")" }};
    }
    workgroupBarrier();
{% if qk_norm == "all" %}
{% for part, first, count in [("query", 0, heads), ("key", heads, kv_heads)] %}
    var {{ part }}_squares = 0.0;
    for (var head = 0u; head < {{ loops.bound(count, unroll) }}; head++) {
        {{ part }}_squares += inverse[{{ first }}u + head];
    }
    let {{ part }}_inverse = inverseSqrt({{ part }}_squares / {{ count * geo }}.0 + {{ eps }});
{% endfor %}
{% endif %}
{% endif %}
    // Geometric path: pairs (i, i + geo/2) of all query heads, then of all key heads.
    for (var pair = local; pair < {{ (heads + kv_heads) * (geo // 2) }}u; pair += {{ workgroup }}u) {
        let head = pair / {{ [geo // 2, 1] | max }}u;
        let i = pair % {{ [geo // 2, 1] | max }}u;
        let is_query = head < {{ heads }}u;
        let at = row_at + i + select({{ k_geo }}u + (head - {{ heads }}u) * {{ geo }}u, {{ q_geo }}u + head * {{ geo }}u, is_query);
        var low = qkv[at];
        var high = qkv[at + {{ geo // 2 }}u];
{% if qk_norm != "none" %}
{% if qk_norm == "all" %}
        // The weights of keys lie behind those of queries, as the heads do.
        let weight_at = head * {{ geo }}u + i;
        let inverse_of = select(key_inverse, query_inverse, is_query);
{% else %}
        let weight_at = select({{ geo }}u, 0u, is_query) + i;
        let inverse_of = inverse[head];
{% endif %}
        low *= inverse_of * extras[weight_at];
        high *= inverse_of * extras[weight_at + {{ geo // 2 }}u];
{% endif %}
{% if rope %}
{% set pair_of = "i" ~ (" % " ~ rope_pairs ~ "u" if rope_pairs != geo // 2 else "") %}
{% if rope_heads > 1 %}
        // Heads that keep different rotary pairs: a query turns as the keys that it meets.
        let kv_head = select(head - {{ heads }}u, head / {{ heads // kv_heads }}u, is_query);
        let turn = turns[(position * {{ rope_heads }}u + kv_head) * {{ rope_pairs }}u + {{ pair_of }}];
{% else %}
        let turn = turns[position * {{ rope_pairs }}u + {{ pair_of }}];
{% endif %}
        let turned = vec2<f32>(low * turn.x - high * turn.y, high * turn.x + low * turn.y);
        low = turned.x;
        high = turned.y;
{% endif %}
        if (is_query) {
            let scale = {{ geo_scale }}{{ factor("y") }};
            low *= scale;
            high *= scale;
        }
        qkv[at] = low;
        qkv[at + {{ geo // 2 }}u] = high;
    }
{% if geo % 2 == 1 %}
    // Heads that aren't rotated may be of odd width: their last elements are in no pair.
    for (var head = local; head < {{ heads }}u; head += {{ workgroup }}u) {
        qkv[row_at + {{ q_geo }}u + head * {{ geo }}u + {{ geo - 1 }}u] *= {{ geo_scale }}{{ factor("y") }};
    }
{% endif %}
{% if sem > 0 and rope_semantic %}
    for (var pair = local; pair < {{ (heads + kv_heads) * (sem // 2) }}u; pair += {{ workgroup }}u) {
        let head = pair / {{ sem // 2 }}u;
        let i = pair % {{ sem // 2 }}u;
        let is_query = head < {{ heads }}u;
        let at = row_at + i + select({{ k_sem }}u + (head - {{ heads }}u) * {{ sem }}u, head * {{ sem }}u, is_query);
        let low = qkv[at];
        let high = qkv[at + {{ sem // 2 }}u];
        let turn = semantic_turns[position * {{ sem // 2 }}u + i];
        var turned = vec2<f32>(low * turn.x - high * turn.y, high * turn.x + low * turn.y);
        if (is_query) {
            turned *= {{ sem_scale }}{{ factor("x") }};
        }
        qkv[at] = turned.x;
        qkv[at + {{ sem // 2 }}u] = turned.y;
    }
{% elif sem > 0 %}
    for (var i = local; i < {{ heads * sem }}u; i += {{ workgroup }}u) {
        let head = i / {{ sem }}u;
        qkv[row_at + i] *= {{ sem_scale }}{{ factor("x") }};
    }
{% endif %}
    storageBarrier();
{% if parts.semantic is defined and parts.semantic.rotated %}
{{ hadamard.heads("qkv", 0, heads, k_sem, kv_heads, sem, workgroup) }}
{%- endif %}
{% if parts.geometric.rotated %}
{{ hadamard.heads("qkv", q_geo, heads, k_geo, kv_heads, geo, workgroup) }}
{%- endif %}
{% if parts.value is defined and parts.value.rotated %}
{{ hadamard.heads("qkv", 0, 0, value_at, kv_heads, value, workgroup) }}
{%- endif %}
{% if parts.semantic is defined %}
{{ write("semantic", parts.semantic, k_sem) }}
{%- endif %}
{{ write("geometric", parts.geometric, k_geo) }}
{%- if parts.value is defined %}
{{ write("value", parts.value, value_at) }}
{%- endif %}
}
