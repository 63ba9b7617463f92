{#-
probe_nothing: one lane adds one. A dispatch that waits for the one before it, and costs nothing else.

Grid: (1, 1, 1).
-#}
@group(0) @binding(0) var<storage, read_write> count: array<u32>;

@compute @workgroup_size(1)
fn main() {
    count[0] += 1u;
}
