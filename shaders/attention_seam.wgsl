{#-
attention_seam: scores, masks and normalisers, defined once for every kernel of attention.

A kernel goes through them in this order; causal, window, sinks and what a script gives are uses of them:

  oldest_seen(position)                   the oldest position that this query may see: keys before it are not loaded ...
  next_key(key, oldest)                   ... but for the first ones, where a mask keeps those
  next_seen(key, end, first, last, head)  where a map tells of tiles of keys that none of the queries sees
  is_seen(position, key)                  causal and window
  capped(product)                         the model's own soft cap of scores
  score_of(product, is_seen, ...)         HIDDEN where the query doesn't see the key; the script's score and mask
  weight_of(score, row_max)               what a value weighs
  fade_of(before, after)                  what earlier sums are multiplied by when the largest score grows from `before` to `after`
  divisor_of(total, row_max, head)        what the sum of weighted values is divided by in the end

The softmax runs along (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018). A learned sink is a logit per head whose value is zero:
it is one term more of the divisor (G. Xiao and others, "Efficient Streaming Language Models with Attention Sinks", 2024); off-by-one is a sink of 0. Sigmoid
and ReLU weigh every value by itself and divide by nothing (J. Ramapuram and others, "Theory, Analysis, and Best Practices for Sigmoid Self-Attention", 2025).

A seam is described by {window (0: all), first (positions that are seen beyond the window), cap (a literal; empty: none), null (whether there is a null key), null_binding, normaliser
(`softmax`, `sigmoid`, `relu`), bias (a literal, added to scores by the latter two), sink (`none`, `zero`, `heads`), data_binding (0: none), functions
(WGSL of score_hook and mask_hook), score, mask (whether they are there), hides (whether a query may see nothing), map_at (word of the data where the map of tiles begins; 0: there is none),
map_words (of a row of it), map_by_head}. The data holds the layer's number, the sinks [heads], the tables and the map: a bit for each map_tile
queries (rows, map_rows of them) and map_tile keys, 1 where some of them may be seen.
-#}
{% macro declare(seam, group_size, heads_at_once) %}
// The score of a key that a query doesn't see.
const HIDDEN = -3.0e38;
{% if seam.data_binding %}
@group(0) @binding({{ seam.data_binding }}) var<storage, read> hook_data: array<u32>;
{% endif %}
{% if seam.score or seam.mask %}
struct At { query: i32, key: i32, head: i32, kv_head: i32, layer: i32, sequence: i32, length: i32 }
{{ seam.functions }}
{% endif %}

fn oldest_seen(position: u32) -> u32 {
{% if seam.window > 0 %}
    return select(0u, position - {{ seam.window - 1 }}u, position >= {{ seam.window }}u);
{% else %}
    return 0u;
{% endif %}
}

fn next_key(key: u32, oldest: u32) -> u32 {
{% if seam.first > 0 %}
    return select(key, max(key, oldest), key >= {{ seam.first }}u);
{% else %}
    return max(key, oldest);
{% endif %}
}
{% if seam.map_at > 0 %}

// The first position from `key` on, before `end`, that a query of [first, last] may see with one of the heads that are taken at once from `head` on.
fn next_seen(key: u32, end: u32, first: u32, last: u32, head: u32) -> u32 {
    var found = key;
    while (found < end) {
        let column = found / {{ seam.map_tile }}u;
        var word = 0u;
{% for h in range(heads_at_once if seam.map_by_head else 1) %}
        for (var row = first / {{ seam.map_tile }}u; row <= last / {{ seam.map_tile }}u; row++) {
            word |= hook_data[{{ seam.map_at }}u + ({{ "(head + " ~ h ~ "u) * " ~ seam.map_rows ~ "u + " if seam.map_by_head }}row) * {{ seam.map_words }}u + column / 32u];
        }
{% endfor %}
        if ((word >> (column % 32u) & 1u) != 0u) {
            break;
        }
        found = (column + 1u) * {{ seam.map_tile }}u;
    }
    return found;
}
{% endif %}
{% for type, bool, uint, four in [("f32", "bool", "u32", ""), ("vec4<f32>", "vec4<bool>", "vec4<u32>", "4")] %}

fn is_seen{{ four }}(position: {{ uint }}, key: {{ uint }}) -> {{ bool }} {
{% if seam.window > 0 and seam.first == 0 %}
{#- Where a key is behind the position, the difference wraps around to more than any window. -#}
    return position - key < {{ uint }}({{ seam.window }}u);
{% else %}
    return key <= position;
{% endif %}
}

fn weight_of{{ four }}(score: {{ type }}, row_max: {{ type }}) -> {{ type }} {
{% if seam.normaliser == "softmax" and four and not seam.hides %}
{#- Tiles before the first key that a row sees: all of it fades to nothing there. -#}
    return exp(score - row_max);
{% elif seam.normaliser == "softmax" %}
    return select({{ type }}(0.0), exp(score - row_max), score > {{ type }}(HIDDEN));
{% elif seam.normaliser == "sigmoid" %}
    return select({{ type }}(0.0), {{ type }}(1.0) / ({{ type }}(1.0) + exp(min(-(score + {{ type }}({{ seam.bias }})), {{ type }}(80.0)))), score > {{ type }}(HIDDEN));
{% else %}
    return max(score + {{ type }}({{ seam.bias }}), {{ type }}(0.0));
{% endif %}
}

fn fade_of{{ four }}(before: {{ type }}, after: {{ type }}) -> {{ type }} {
    return {{ "exp(before - after)" if seam.normaliser == "softmax" else type ~ "(1.0)" }};
}

fn divisor_of{{ four }}(total: {{ type }}, row_max: {{ type }}, head: u32) -> {{ type }} {
{% if seam.normaliser != "softmax" %}
    return {{ type }}(1.0);
{% elif seam.sink != "none" %}
    // Beyond e^80 a sink takes all that an f32 can tell.
    return total + exp(min({{ type }}({{ "bitcast<f32>(hook_data[1u + head])" if seam.sink == "heads" else "0.0" }}) - row_max, {{ type }}(80.0)));
{% elif seam.hides %}
    // Nothing was seen: the sums are zero, and so is the output.
    return select(total, {{ type }}(1.0), total == {{ type }}(0.0));
{% else %}
    return total;
{% endif %}
}
{% endfor %}

{% if seam.cap %}
{#- Drivers may compute a tanh by exponentials; beyond 10 it is 1 in f32. -#}
fn capped(product: f32) -> f32 {
    return {{ seam.cap }} * tanh(clamp(product / {{ seam.cap }}, -10.0, 10.0));
}
fn capped4(product: vec4<f32>) -> vec4<f32> {
    return {{ seam.cap }} * tanh(clamp(product / {{ seam.cap }}, vec4<f32>(-10.0), vec4<f32>(10.0)));
}
{% endif %}
{% macro score(product, four) %}{{ "capped" ~ four ~ "(" ~ product ~ ")" if seam.cap else product }}{% endmacro %}

// What the product of query and key becomes. Not a number, and less than any score can be, hides the key as a mask does.
fn score_of(product: f32, is_seen: bool, position: u32, key: u32, head: u32, sequence: u32) -> f32 {
{% if seam.score or seam.mask %}
    let at = At(i32(position), i32(key), i32(head), i32(head / {{ group_size }}u), i32(hook_data[0]), i32(sequence), i32(position) + 1);
    var seen = is_seen{{ " && mask_hook(at)" if seam.mask }};
{% if seam.score %}
    let score = score_hook({{ score("product", "") }}, at);
    seen = seen && (bitcast<u32>(score) & 0x7fffffffu) <= 0x7f800000u && score > -1.0e30;
    return select(HIDDEN, min(score, 1.0e30), seen);
{% else %}
    return select(HIDDEN, {{ score("product", "") }}, seen);
{% endif %}
{% else %}
    return select(HIDDEN, {{ score("product", "") }}, is_seen);
{% endif %}
}

fn score_of4(product: vec4<f32>, is_seen: vec4<bool>, position: vec4<u32>, key: u32, head: u32, sequence: u32) -> vec4<f32> {
{% if seam.score or seam.mask %}
    return vec4<f32>({% for r in range(4) %}{{ ", " if r else "" }}score_of(product[{{ r }}], is_seen[{{ r }}], position[{{ r }}], key, head, sequence){% endfor %});
{% else %}
    return select(vec4<f32>(HIDDEN), {{ score("product", "4") }}, is_seen);
{% endif %}
}
{% endmacro %}
{#- The head of a loop over keys from `begin` to `end` by `step`, for queries from position `first` to `last`: `oldest` is that of the first one. -#}
{% macro loop(seam, key, begin, step, first, last) %}
{%- set next = "next_key(" ~ key ~ " + " ~ step ~ "u, oldest)" if seam.first > 0 else key ~ " + " ~ step ~ "u" -%}
{%- set places = ", end, " ~ first ~ ", " ~ last ~ ", head)" -%}
{%- if seam.map_at > 0 -%}
for (var {{ key }} = next_seen({{ begin }}{{ places }}; {{ key }} < end; {{ key }} = next_seen({{ next }}{{ places }})
{%- else -%}
for (var {{ key }} = {{ begin }}; {{ key }} < end; {{ key }} = {{ next }})
{%- endif -%}
{% endmacro %}
