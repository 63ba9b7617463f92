{#-
attention_merge: puts the splits of attention_decode together: each weighs as much as exp(its largest score) times its sum of weights.

Grid: (heads, rows, 1).

Parameters: heads, value, split, splits, window, out_stride, workgroup.
-#}
// Token rows of this call; positions of a sequence; sequences times context; room for splits.
struct Call { rows: u32, context: u32, tokens: u32, splits: u32 }
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> rows: array<vec2<u32>>;  // (sequence, position)
@group(0) @binding(2) var<storage, read> partial: array<f32>;  // [rows, heads, splits, value + 2]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;  // [rows, {{ out_stride }}]

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let head = group.x;
    let row = group.y;
    let used = min(rows[row].y / {{ split }}u + 1u, call.splits);
    let start = (row * {{ heads }}u + head) * call.splits * {{ value + 2 }}u;
    var most = -3.0e38;
    for (var s = 0u; s < used; s++) {
        most = max(most, partial[start + s * {{ value + 2 }}u + {{ value }}u]);
    }
    var total = 0.0;
    for (var s = 0u; s < used; s++) {
        let at = start + s * {{ value + 2 }}u + {{ value }}u;
        total += exp(partial[at] - most) * partial[at + 1u];
    }
    for (var e = local; e < {{ value }}u; e += {{ workgroup }}u) {
        var sum = 0.0;
        for (var s = 0u; s < used; s++) {
            let at = start + s * {{ value + 2 }}u;
            sum += exp(partial[at + {{ value }}u] - most) * partial[at + e];
        }
        out[row * {{ out_stride }}u + head * {{ value }}u + e] = sum / total;
    }
}
