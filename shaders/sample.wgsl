{#-
sample: chooses each sequence's next token from its logits and makes it the input of the next step, all on the device.

Greedy: the largest logit, the first of equals. Otherwise logits are divided by the temperature; top-k keeps the k largest, top-p the smallest set of the
most likely tokens whose probability reaches p (of what top-k left), min-p those at least p times as likely as the likeliest; one of the kept tokens is
drawn. The limit of a set is found by bisection on the
logits' bits in an order that sorts like the numbers, {{ ways }} probes at a time; equal logits are kept together.

Random numbers: PCG (M. Jarzynski and M. Olano, "Hash Functions for GPU Rendering", JCGT 2020) of (seed, sequence, position).

Grid: (sequences, 1, 1).

Parameters: greedy, vocab, stride, workgroup, ways.
-#}
struct Options { temperature: f32, top_p: f32, top_k: u32, seed_low: u32, seed_high: u32, min_p: f32, penalty: f32, window: u32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;  // [sequences, {{ stride }}]
@group(0) @binding(1) var<storage, read_write> history: array<u32>;  // [sequences, context + 1]
@group(0) @binding(2) var<storage, read_write> rows: array<vec2<u32>>;  // [sequences]: (sequence, position) of the token to come
@group(0) @binding(3) var<storage, read_write> lengths: array<u32>;  // [sequences]
{% include "call.wgsl" %}
@group(0) @binding(4) var<uniform> call: Call;
{% if not greedy %}
@group(0) @binding(5) var<storage, read> options: Options;
{% endif %}
var<workgroup> all_value: array<f32, {{ workgroup }}>;
var<workgroup> all_index: array<u32, {{ workgroup }}>;
{% if not greedy %}
{% set each = (vocab + workgroup - 1) // workgroup %}
var<workgroup> counts: array<array<f32, {{ workgroup }}>, {{ ways }}>;

// Bits that sort as the numbers do.
fn key_of(value: f32) -> u32 {
    let bits = bitcast<u32>(value);
    return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

fn pcg(value: u32) -> u32 {
    let state = value * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

// The largest key such that what lies at or above it, among keys at or above `floor_key`, amounts to `wanted` at least: tokens are counted, or their
// weights exp(logit - most) summed up.
fn limit(start: u32, local: u32, floor_key: u32, most: f32, warmth: f32, by_weight: bool, wanted: f32) -> u32 {
    var low = floor_key;  // enough lies at or above it
    var high = key_of(most) + 1u;  // nothing does
    while (high - low > 1u) {
        let step = max((high - low) / {{ ways + 1 }}u, 1u);
{% for w in range(ways) %}
        var sum{{ w }} = 0.0;
        let probe{{ w }} = min(low + step * {{ w + 1 }}u, high);
{% endfor %}
        for (var i = local; i < {{ vocab }}u; i += {{ workgroup }}u) {
            let value = logits[start + i];
            let key = key_of(value);
            let amount = select(1.0, exp((value - most) * warmth), by_weight);
{% for w in range(ways) %}
            sum{{ w }} += select(0.0, amount, key >= probe{{ w }});
{% endfor %}
        }
        workgroupBarrier();
{% for w in range(ways) %}
        counts[{{ w }}][local] = sum{{ w }};
{% endfor %}
        workgroupBarrier();
        if (local < {{ ways }}u) {
            var sum = 0.0;
            for (var i = 0u; i < {{ workgroup }}u; i++) {
                sum += counts[local][i];
            }
            counts[local][0] = sum;
        }
        workgroupBarrier();
        var new_low = low;
        var new_high = high;
{% for w in range(ways) %}
        if (counts[{{ w }}][0] >= wanted) {
            new_low = max(new_low, probe{{ w }});
        } else {
            new_high = min(new_high, probe{{ w }});
        }
{% endfor %}
        low = new_low;
        high = max(new_high, low + 1u);
    }
    return low;
}
{% endif %}

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let sequence = group.x;
    let start = sequence * {{ stride }}u;
    var most = -3.0e38;
    var best = 0u;
    for (var first = local; first < {{ vocab }}u; first += {{ 8 * workgroup }}u) {
        // Eight on their way together; beyond the last one, that one again.
{% for n in range(8) %}
        let i{{ n }} = min(first + {{ n * workgroup }}u, {{ vocab - 1 }}u);
        let logit{{ n }} = logits[start + i{{ n }}];
{% endfor %}
{% for n in range(8) %}
        if (logit{{ n }} > most) {
            most = logit{{ n }};
            best = i{{ n }};
        }
{% endfor %}
    }
    all_value[local] = most;
    all_index[local] = best;
    workgroupBarrier();
{% if greedy %}
    for (var half = {{ workgroup // 2 }}u; half > 0u; half /= 2u) {
        if (local < half) {
            let value = all_value[local + half];
            let index = all_index[local + half];
            if (value > most || (value == most && index < best)) {
                most = value;
                best = index;
                all_value[local] = value;
                all_index[local] = index;
            }
        }
        workgroupBarrier();
    }
    if (local == 0u) {
{% else %}
    for (var i = 0u; i < {{ workgroup }}u; i++) {
        most = max(most, all_value[i]);
    }
    let warmth = 1.0 / options.temperature;
    var floor_key = 0u;
    if (options.top_k > 0u && options.top_k < {{ vocab }}u) {
        floor_key = limit(start, local, 0u, most, warmth, false, f32(options.top_k));
    }
    // The weight of all that is kept so far, by one thread after the other: the same on every device.
    let begin = local * {{ each }}u;
    let end = min(begin + {{ each }}u, {{ vocab }}u);
    var mine = 0.0;
    for (var i = begin; i < end; i++) {
        mine += select(0.0, exp((logits[start + i] - most) * warmth), key_of(logits[start + i]) >= floor_key);
    }
    workgroupBarrier();
    all_value[local] = mine;
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < {{ workgroup }}u; i++) {
        total += all_value[i];
    }
    if (options.top_p < 1.0 || options.min_p > 0.0) {
        if (options.top_p < 1.0) {
            floor_key = limit(start, local, floor_key, most, warmth, true, options.top_p * total);
        }
        if (options.min_p > 0.0) {
            floor_key = max(floor_key, key_of(most + log(options.min_p) * options.temperature));
        }
        mine = 0.0;
        for (var i = begin; i < end; i++) {
            mine += select(0.0, exp((logits[start + i] - most) * warmth), key_of(logits[start + i]) >= floor_key);
        }
        workgroupBarrier();
        all_value[local] = mine;
        workgroupBarrier();
        total = 0.0;
        for (var i = 0u; i < {{ workgroup }}u; i++) {
            total += all_value[i];
        }
    }
    if (local == 0u) {
        let random = pcg(pcg(pcg(options.seed_low ^ pcg(options.seed_high)) + sequence) + lengths[sequence]);
        // 24 bits: every value is exact, and below 1.
        var rest = f32(random >> 8u) / 16777216.0 * total;
        var thread = 0u;
        while (thread < {{ workgroup - 1 }}u && rest >= all_value[thread]) {
            rest -= all_value[thread];
            thread += 1u;
        }
        // Rounding may leave something over at the end: then the last kept token before it is meant.
        best = 0xffffffffu;
        for (var i = thread * {{ each }}u; i < {{ vocab }}u; i++) {
            if (key_of(logits[start + i]) >= floor_key) {
                best = i;
                rest -= exp((logits[start + i] - most) * warmth);
                if (rest < 0.0) {
                    break;
                }
            }
        }
        if (best == 0xffffffffu) {
            best = all_index[0];
        }
{% endif %}
        let length = lengths[sequence];
        history[sequence * (call.context + 1u) + length] = best;
        rows[sequence] = vec2<u32>(sequence, length);
        lengths[sequence] = length + 1u;
    }
}
