{#-
copy_rows: y[i, :] = x[picked[i], :], for the picked rows that there are (others are 0xffffffff and left as they are).

Grid: (elements, picked rows, 1).

Parameters: width, x_stride, y_stride, workgroup.
-#}
@group(0) @binding(0) var<storage, read> picked: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = picked[id.y];
    if (id.x < {{ width }}u && row != 0xffffffffu) {
        y[id.y * {{ y_stride }}u + id.x] = x[row * {{ x_stride }}u + id.x];
    }
}
