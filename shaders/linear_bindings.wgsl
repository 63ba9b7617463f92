{#-
linear_bindings: what every form of the product is bound to. Included, with the parameters of the form (linear_lanes), `matrices` and `x_type`, that of an
element of x and of the norm: f32, or vec4<f32> with strides in fours.
-#}
{% import "weights.wgsl" as weights %}
{% set each = 2 if format.group else 1 %}
{% set next = 3 + matrices * each %}
{% set four = "" if x_type == "f32" else " / 4" %}
{% include "call.wgsl" %}
@group(0) @binding(0) var<uniform> call: Call;
@group(0) @binding(1) var<storage, read> x: array<{{ x_type }}>;  // [rows, {{ x_stride }}{{ four }}]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [rows, {{ y_stride }}]
{% for m in range(matrices) %}
{{ weights.bindings(format, m, 3 + m * each, wide) }}
{%- endfor %}
{% if norm %}
@group(0) @binding({{ next }}) var<storage, read> norm: array<{{ x_type }}>;  // [{{ columns }}{{ four }}]
{% endif %}
{% if bias %}
@group(0) @binding({{ next + (1 if norm else 0) }}) var<storage, read> bias: array<f32>;  // [{{ rows }}]
{% endif %}
