{#-
penalty: logits with the tokens that a sequence holds made less likely: y = x / penalty where x > 0, else x * penalty.

Source: N. S. Keskar et al., "CTRL: A Conditional Transformer Language Model for Controllable Generation", 2019, section 4.1. A token that stands in the
sequence several times is penalised once: every position computes it from x, so that it doesn't matter which of them writes last.

Grid: (sequences, 1, 1).

Parameters: vocab, stride, workgroup.
-#}
struct Options { temperature: f32, top_p: f32, top_k: u32, seed_low: u32, seed_high: u32, min_p: f32, penalty: f32, window: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;  // [sequences, {{ stride }}]
@group(0) @binding(1) var<storage, read> history: array<u32>;  // [sequences, context + 1]
@group(0) @binding(2) var<storage, read> lengths: array<u32>;  // [sequences]
{% include "call.wgsl" %}
@group(0) @binding(3) var<uniform> call: Call;
@group(0) @binding(4) var<storage, read> options: Options;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;  // [sequences, {{ stride }}]

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let start = group.x * {{ stride }}u;
    for (var i = local; i < {{ vocab }}u; i += {{ workgroup }}u) {
        y[start + i] = x[start + i];
    }
    storageBarrier();
    let length = lengths[group.x];
    // The last `window` tokens; 0: all of them.
    let first = select(length - min(options.window, length), 0u, options.window == 0u);
    for (var i = first + local; i < length; i += {{ workgroup }}u) {
        let token = min(history[group.x * (call.context + 1u) + i], {{ vocab - 1 }}u);
        let logit = x[start + token];
        y[start + token] = select(logit * options.penalty, logit / options.penalty, logit > 0.0);
    }
}
