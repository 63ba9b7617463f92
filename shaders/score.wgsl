{#-
score: of each row of logits, the log-probability of the token that really came next, and the most likely token.

One pass: every thread keeps its largest logit and its sum of exponentials relative to it; then the threads' results are put together.

Grid: (rows, 1, 1).

Parameters: vocab, stride (of logits), workgroup.
-#}
{% include "call.wgsl" %}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> rows: array<vec2<u32>>;  // (sequence, position)
@group(0) @binding(2) var<storage, read> history: array<u32>;  // [sequences, context + 1]
@group(0) @binding(3) var<storage, read> logits: array<f32>;  // [rows, {{ stride }}]
@group(0) @binding(4) var<storage, read_write> scores: array<vec2<f32>>;  // [rows]: log-probability, and the best token's bits
var<workgroup> all_most: array<f32, {{ workgroup }}>;
var<workgroup> all_total: array<f32, {{ workgroup }}>;
var<workgroup> all_best: array<u32, {{ workgroup }}>;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = group.x;
    let start = row * {{ stride }}u;
    var most = -3.0e38;
    var best = 0u;
    var total = 0.0;
    for (var i = local; i < {{ vocab }}u; i += {{ workgroup }}u) {
        let logit = logits[start + i];
        if (logit > most) {
            total *= exp(most - logit);
            most = logit;
            best = i;
        }
        total += exp(logit - most);
    }
    all_most[local] = most;
    all_total[local] = total;
    all_best[local] = best;
    workgroupBarrier();
    if (local == 0u) {
        for (var i = 1u; i < {{ workgroup }}u; i++) {
            let larger = max(most, all_most[i]);
            total = total * exp(most - larger) + all_total[i] * exp(all_most[i] - larger);
            // Of equal logits the first token is the best, as everywhere else.
            if (all_most[i] > most || (all_most[i] == most && all_best[i] < best)) {
                best = all_best[i];
            }
            most = larger;
        }
        let at = rows[row];
        let next = history[at.x * (call.context + 1u) + at.y + 1u];
        let logit = logits[start + min(next, {{ vocab - 1 }}u)];
        scores[row] = vec2<f32>(logit - most - log(total), bitcast<f32>(best));
    }
}
